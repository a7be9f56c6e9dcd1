//! `packet`: seals what would go to a target: one self-guarding file, its rollback, evidence, and the verdict.
//!
//! Built aside and renamed into place; two builds from one journal give the same bytes and the same id.

mod apply_sql;
mod build;
mod definitions;
pub mod manifest;

pub(super) use build::probes_of;

use super::{Built, Cx, Done, Head, Kind, Parse, Recovery, Running, Stage, readings};
use crate::diag::{Diagnostic, Place};
use crate::event::{Event, Failure, Moment};
use crate::guard::Check;
use crate::plan::Spot;
use crate::plan::keys::Keys;
use crate::proof::Work;

/// The kind.
pub static KIND: Kind =
    Kind { name: "packet", keys: &["of", "for", "done_when", "allow"], recovery: Recovery::Repeatable, parse };

/// Where sealed packets live, relative to the working directory.
pub const PACKETS: &str = ".engine/packets";

#[derive(Debug)]
pub(super) struct PacketStage {
    head: Head,
    /// The target the packet is for.
    target: String,
    /// The stages it carries, in schedule order.
    of: Vec<Built>,
    gates: Vec<Check>,
    done_when: Option<Check>,
    /// Stages upstream, whose outcome the verdict is about.
    upstream: Vec<String>,
    search_path: String,
}

fn parse(mut head: Head, mut keys: Keys, cx: &mut Parse<'_>) -> Option<Box<dyn Stage>> {
    let place = cx.plan_stage().name.place.clone();
    if let Some(on) = &cx.plan_stage().on {
        cx.out.push(
            Diagnostic::new("packet-on", "a packet runs on no target", on.place.clone())
                .label("remove it")
                .help("a packet has `for`, the target it is sealed for"),
        );
    }
    let target = keys.text("for", cx.out);
    let of = keys.texts("of", cx.out).unwrap_or_default();
    let done_when = cx.done_when(&mut keys);
    head.allow = cx.allow(&mut keys);
    keys.finish(&cx.known(&KIND), cx.out);
    if done_when.is_none() && !cx.plan_stage().body.has("done_when") {
        cx.out.push(
            Diagnostic::new("packet-without-done-when", format!("stage `{}` has no `done_when`", head.name), place.clone())
                .label("how is it seen that it is applied already?")
                .help("write `done_when = \"...\"`, true exactly when everything the packet does is there: it is applied once"),
        );
    }
    let Some(target) = target else {
        cx.out.push(
            Diagnostic::new("packet-without-for", format!("stage `{}` has no `for`", head.name), place)
                .label("for which target?")
                .help("write `for = \"TARGET\"`, the database the packet would be applied to"),
        );
        return None;
    };
    let known = cx.plan.target(&target.value).filter(|t| t.clone_of.is_none());
    let gates = cx.gates.get(&target.value).cloned().unwrap_or_default();
    if known.is_none() || gates.is_empty() {
        let why = if known.is_none() { "is no target of this plan that is not a clone" } else { "has no gate" };
        cx.out.push(
            Diagnostic::new("packet-target", format!("`{}` {why}", target.value), target.place)
                .label("cannot be sealed for")
                .help("name a target with `gate.NAME = \"...\"`: a packet is sealed with it"),
        );
        return None;
    }
    let mut carried = cx.upstream_stages(&of);
    for (name, built) in &carried {
        if let Some((why, place)) = built.work.as_ref().and_then(|work| not_one_transaction(work, name)) {
            let message = format!("`{}` cannot be sealed: a packet is one transaction", name.value);
            let help = "leave it out of `of`: it is done on production by hand, outside of the packet";
            cx.out.push(Diagnostic::new("packet-of", message, place).label(why).help(help));
        }
        if built.work.is_none() {
            cx.out.push(
                Diagnostic::new("packet-of", format!("`{}` writes nothing", name.value), name.place.clone())
                    .label("not a writing stage")
                    .help("`of` lists stages of kind `sql`"),
            );
        }
    }
    if of.is_empty() {
        cx.out.push(
            Diagnostic::new("packet-of", format!("stage `{}` has no `of`", head.name), place)
                .label("seals nothing")
                .help("write `of = [\"STAGE\", ...]`"),
        );
    }
    let order = cx.plan.carried(cx.plan_stage());
    carried.sort_by_key(|(_, built)| order.iter().position(|at| cx.plan.stages[*at].name.value == built.head.name));
    let carried = carried.into_iter().map(|(_, built)| built).collect();
    let upstream =
        cx.plan.graph.all_upstream(cx.stage).into_iter().map(|i| cx.plan.stages[i].name.value.clone()).collect();
    let search_path = cx.plan.search_path.clone();
    Some(Box::new(PacketStage { head, target: target.value, of: carried, gates, done_when, upstream, search_path }))
}

/// How long all of it may take, in milliseconds: to the server it is one statement.
pub(in crate::stage) fn timeout_ms<'w>(works: impl Iterator<Item = &'w Work>) -> u64 {
    let all = works.map(|work| u64::try_from(work.timeout.as_millis()).unwrap_or(u64::MAX));
    // The most that a server takes; and that of no stage is that of any.
    match all.fold(0, u64::saturating_add) {
        0 => 600_000,
        sum => sum.min(i32::MAX.unsigned_abs().into()),
    }
}

/// Why a stage cannot be part of one transaction.
fn not_one_transaction(work: &Work, name: &Spot<String>) -> Option<(&'static str, Place)> {
    let why = match work {
        Work { alone: true, .. } => "`transaction = false`",
        Work { batch: Some(_), .. } => "runs in batches",
        // It would outlive its stage there, be counted as a definition, and meet the next one of its name.
        Work { forward, .. } if forward.statements.iter().any(crate::sql::Statement::makes_temporary) => {
            "makes a temporary table"
        }
        _ => return None,
    };
    Some((why, name.place.clone()))
}

impl Stage for PacketStage {
    fn head(&self) -> &Head {
        &self.head
    }

    fn other_checks(&self) -> &[Check] {
        self.done_when.as_slice()
    }

    fn promise(&self) -> String {
        let of: Vec<&str> = self.of.iter().map(|stage| stage.head.name.as_str()).collect();
        let gates: Vec<&str> = self.gates.iter().map(|gate| gate.predicate.text.as_str()).collect();
        format!("{of:?} for {} behind {gates:?}", self.target)
    }

    fn run<'r>(&'r self, cx: &'r Cx) -> Running<'r> {
        Box::pin(self.go(cx))
    }
}

impl PacketStage {
    async fn go(&self, cx: &Cx) -> Result<Done, Failure> {
        let name = self.head.name.as_str();
        readings::guards_outside(cx, &self.head).await?;
        let (gates, gate_readings) = readings::gates(cx, &self.target, &self.gates).await?;
        readings::keep(cx, name, Moment::Verdict, &gate_readings)?;
        cx.record(Event::Judged { stage: name.to_owned(), role: crate::event::Role::Gate, judgements: gates.clone() })?;
        cx.say(name, "sealing");
        let sealed = build::seal(cx, self, gates).await?;
        cx.record(Event::PacketSealed {
            stage: name.to_owned(),
            id: sealed.id.clone(),
            path: sealed.path.display().to_string(),
            technical_go: sealed.decision.technical_go,
            reasons: sealed.decision.reasons(),
        })?;
        Ok(Done {
            summary: format!("packet {} · {}", crate::digest::short(&sealed.id), sealed.decision.line(&self.target)),
        })
    }
}
