//! What a sealed packet demands of its target, and the bytes it sends.

use crate::diag::Source;
use crate::event::{Exit, Failure};
use crate::fingerprint::{self, SchemaObject};
use crate::proof::{Bound, Script, bounds};
use crate::sql;
use crate::stage::packet::manifest::{Manifest, Packet, SealedBound};
use crate::target::WriteTx;
use std::collections::BTreeSet;

/// The definitions of the tables to be written are production's at seal time: same server, exact.
pub(super) async fn refuse_drift(target: &str, tx: &WriteTx, manifest: &Manifest) -> Result<(), Failure> {
    let objects = fingerprint::objects(tx).await?;
    let now: BTreeSet<(String, String, String)> = objects.iter().map(line).collect();
    let known: BTreeSet<(String, String, String)> = manifest.schema.iter().map(line).collect();
    let named: BTreeSet<(String, String)> = known.iter().map(|(k, i, _)| (k.clone(), i.clone())).collect();
    let tables: BTreeSet<&String> = manifest.writes.iter().map(|w| &w.table).chain(&manifest.alters).collect();
    let mut partitions: BTreeSet<String> = BTreeSet::new();
    for table in &tables {
        partitions.extend(bounds::partitions(tx, table).await?);
    }
    let of = |objects: &[SchemaObject]| objects.iter().filter_map(|o| o.parent.clone()).collect::<BTreeSet<String>>();
    let (sealed, there) = (of(&manifest.schema), of(&objects));
    // A partition comes and goes with its day: one that is wholly gone is no drift.
    let dropped: BTreeSet<&String> = sealed.iter().filter(|t| !tables.contains(t) && !there.contains(*t)).collect();
    let of_dropped = |o: &SchemaObject| {
        let own = |table: &String| o.parent.as_ref() == Some(table) || o.identity.ends_with(&format!(" {table}"));
        dropped.iter().any(|table| own(table))
    };
    let gone = manifest.schema.iter().filter(|o| !now.contains(&line(o)) && !of_dropped(o));
    let gone: BTreeSet<String> = gone.map(|o| o.identity.clone()).collect();
    // Something new on a written table (a trigger, a constraint) is drift as well; on a partition that is new itself, what
    // it has not from its table.
    let concerned = |o: &&SchemaObject| {
        o.parent.as_ref().is_some_and(|table| {
            tables.contains(table) || partitions.contains(table) && (sealed.contains(table) || is_its_own(o))
        })
    };
    let new = |o: &&SchemaObject| !named.contains(&(o.kind.clone(), o.identity.clone()));
    let added: Vec<String> = objects.iter().filter(concerned).filter(new).map(|o| o.identity.clone()).collect();
    if gone.is_empty() && added.is_empty() {
        return Ok(());
    }
    let mut failure =
        Failure::new(Exit::InputsChanged, format!("definitions on `{target}` are not those the packet was sealed for"))
            .next("seal anew", format!("engine apply plans/{}.toml", manifest.plan));
    failure.facts = gone
        .iter()
        .map(|g| format!("{g}  changed or gone"))
        .chain(added.iter().map(|a| format!("{a}  is new")))
        .collect();
    Err(failure)
}

/// Does it act on rows, and belong to a partition alone?
fn is_its_own(o: &SchemaObject) -> bool {
    let acts = ["trigger", "policy", "rule", "constraint", "not null constraint"].contains(&o.kind.as_str());
    acts && !o.definition.lines().any(|line| line == "of the parent table" || line == "inherited")
}

fn line(o: &SchemaObject) -> (String, String, String) {
    (o.kind.clone(), o.identity.clone(), o.definition.clone())
}

/// The packet's `apply.sql` without its first and last statement, which the engine sends itself.
pub(super) fn script(packet: &Packet) -> Result<Script, Failure> {
    let text = packet.text("apply.sql")?;
    let source = Source::new("apply.sql", text.clone());
    let (mut statements, problems) = sql::split(&source);
    let framed = statements.first().is_some_and(|s| s.text.starts_with("BEGIN"))
        && statements.last().is_some_and(|s| s.text == "COMMIT");
    if problems.has_errors() || !framed {
        return Err(
            Failure::new(Exit::InputsChanged, "apply.sql is not framed by BEGIN and COMMIT").fact(problems.draw(false))
        );
    }
    statements.remove(0);
    statements.pop();
    let sha256 = crate::digest::hex(text.as_bytes());
    Ok(Script { template: "apply.sql".to_owned(), sha256, text, statements, as_written: true })
}

pub(super) fn bounds_of(manifest: &Manifest) -> bounds::Resolved {
    let bound =
        |w: &SealedBound| Bound { table: w.table.clone(), most: w.most, place: "packet: rollout.json".to_owned() };
    let tables = manifest.writes.iter().map(|w| (w.table.clone(), bound(w))).collect();
    bounds::Resolved::sealed(tables, manifest.alters.clone(), manifest.never.clone())
}
