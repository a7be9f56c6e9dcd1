//! The text of `apply.sql` and `rollback.sql`: one file, its own transaction, safe whatever options psql is given.
//!
//! A closed gate raises inside the transaction, everything after it fails, and COMMIT rolls back. Readings that a
//! later predicate needs (`before.x`, `STAGE.x`) travel in settings local to the transaction.

use super::PacketStage;
use crate::event::{Exit, Failure, Role};
use crate::guard::Check;
use crate::probe::Query;
use crate::proof::Work;
use crate::quote::literal;
use crate::sql::{Name, Use};
use std::collections::{BTreeMap, BTreeSet};

/// Declared tables by stage: name in the plan, `schema.table`, bound.
pub type Bounds = BTreeMap<String, Vec<(String, String, Option<u64>)>>;

/// What the text needs to know of the run.
pub struct Sealing<'s> {
    /// Run id.
    pub run: &'s str,
    /// `engine.as_of`.
    pub as_of: &'s str,
    /// Probes, rendered; those of a clone read the target here.
    pub probes: &'s BTreeMap<String, Query>,
    /// Type of each probe, as its readings showed.
    pub kinds: &'s BTreeMap<String, String>,
    /// Variables: type and text.
    pub vars: &'s BTreeMap<String, (String, String)>,
    /// Declared tables by stage: name in the plan, `schema.table`, bound.
    pub bounds: &'s Bounds,
}

/// SQLSTATEs that the packet raises, so that the engine can tell them apart.
pub const STATES: [(Role, &str); 4] =
    [(Role::Gate, "EN001"), (Role::Guard, "EN002"), (Role::Ensure, "EN003"), (Role::DoneWhen, "EN004")];
/// SQLSTATE of a bound that was exceeded.
pub const BOUND_STATE: &str = "EN005";

fn state(role: Role) -> &'static str {
    STATES.iter().find(|(r, _)| *r == role).map_or("EN000", |(_, s)| s)
}

/// The whole of `apply.sql`.
///
/// # Errors
/// A text that cannot be written as a constant.
pub fn apply(stage: &PacketStage, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let mut out = String::from("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\n");
    out.push_str(&frame(stage, sealing)?);
    if let Some(done_when) = &stage.done_when {
        out.push_str(&refuse_if_done(done_when, sealing)?);
    }
    for gate in &stage.gates {
        out.push_str(&demand(gate, Role::Gate, &format!("target {}", stage.target), "", sealing)?);
    }
    out.push_str(&keep_readings("", &at_start(stage), sealing)?);
    for built in &stage.of {
        let Some(work) = &built.work else { continue };
        out.push_str(&one_stage(&built.head.guards, &built.ensures, work, stage, sealing)?);
    }
    out.push_str("\n-- ---------------------------------------------------------------- the end\nSET CONSTRAINTS ALL IMMEDIATE;\n");
    out.push_str(&all_bounds(sealing)?);
    for gate in &stage.gates {
        out.push_str(&demand(gate, Role::Gate, &format!("target {}", stage.target), "", sealing)?);
    }
    out.push_str("COMMIT;\n");
    Ok(out)
}

/// The whole of `rollback.sql`: not gated, since it must be possible after a revocation.
///
/// # Errors
/// As `apply`.
pub fn rollback(stage: &PacketStage, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let mut out = String::from("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\n");
    out.push_str(&frame(stage, sealing)?);
    for work in stage.of.iter().rev().filter_map(|built| built.work.as_ref()) {
        out.push_str(&format!(
            "\n-- ---------------------------------------------------------------- back over {}\n",
            work.stage
        ));
        match &work.rollback {
            Some(script) => out.push_str(&closed(&script.text)),
            None => out.push_str("DO $engine$ BEGIN RAISE EXCEPTION 'this stage has no rollback'; END $engine$;\n"),
        }
    }
    out.push_str("\nSET CONSTRAINTS ALL IMMEDIATE;\nCOMMIT;\n");
    Ok(out)
}

/// Settings first; the search path with pg_temp last, so that no temporary table shadows the approvals.
fn frame(stage: &PacketStage, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let works = stage.of.iter().filter_map(|b| b.work.as_ref());
    let timeout_ms = works.clone().map(|w| w.timeout.as_millis()).max().unwrap_or(600_000);
    let lock_ms = works.map(|w| w.lock_timeout.as_millis()).min().unwrap_or(2_000);
    let path = quoted(&format!("{}, pg_temp", stage.search_path))?;
    Ok(block(&format!(
        "    PERFORM pg_catalog.set_config('search_path', {path}, true);\n    \
         PERFORM pg_catalog.set_config('statement_timeout', '{timeout_ms}', true);\n    \
         PERFORM pg_catalog.set_config('lock_timeout', '{lock_ms}', true);\n    \
         PERFORM pg_catalog.set_config('TimeZone', 'UTC', true);\n    \
         PERFORM pg_catalog.set_config('engine.run_id', coalesce(nullif(current_setting('engine.run_id', true), ''), {}), true);\n    \
         PERFORM pg_catalog.set_config('engine.as_of', coalesce(nullif(current_setting('engine.as_of', true), ''), {}), true);\n",
        quoted(sealing.run)?,
        quoted(sealing.as_of)?
    )))
}

fn one_stage(
    guards: &[Check],
    ensures: &[Check],
    work: &Work,
    packet: &PacketStage,
    sealing: &Sealing<'_>,
) -> Result<String, Failure> {
    let owner = format!("stage {}", work.stage);
    let mut out = format!("\n-- ---------------------------------------------------------------- {owner}\n");
    for guard in guards {
        out.push_str(&demand(guard, Role::Guard, &owner, &work.stage, sealing)?);
    }
    let before: BTreeSet<String> = names(ensures, |n| match n {
        Name::Before(probe) => Some(probe.clone()),
        _ => None,
    });
    out.push_str(&keep_readings(&format!("before.{}", work.stage), &before, sealing)?);
    out.push_str(&keep_counts(&work.stage));
    out.push_str(&format!("-- {} sha256 {}\n", work.forward.template, work.forward.sha256));
    out.push_str(&closed(&work.forward.text));
    out.push_str(&bound(&work.stage, sealing)?);
    for ensure in ensures {
        out.push_str(&demand(ensure, Role::Ensure, &owner, &work.stage, sealing)?);
    }
    let everyone = packet.of.iter().flat_map(|b| b.head.guards.iter().chain(&b.ensures));
    let after: BTreeSet<String> = names(everyone, |n| match n {
        Name::At { stage, probe } if *stage == work.stage => Some(probe.clone()),
        _ => None,
    });
    out.push_str(&keep_readings(&format!("at.{}", work.stage), &after, sealing)?);
    Ok(out)
}

fn names<'c>(checks: impl IntoIterator<Item = &'c Check>, pick: impl Fn(&Name) -> Option<String>) -> BTreeSet<String> {
    checks.into_iter().flat_map(|c| &c.predicate.uses).filter_map(|u| pick(&u.name)).collect()
}

/// Readings named of stages that are not in the packet (a baseline): the state before the packet's first stage.
fn at_start(packet: &PacketStage) -> BTreeSet<String> {
    let carried: BTreeSet<&str> = packet.of.iter().map(|b| b.head.name.as_str()).collect();
    let everyone = packet.of.iter().flat_map(|b| b.head.guards.iter().chain(&b.ensures));
    names(everyone, |n| match n {
        Name::At { stage, probe } if !carried.contains(stage.as_str()) => Some(probe.clone()),
        _ => None,
    })
}

fn keep_readings(label: &str, probes: &BTreeSet<String>, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let mut body = String::new();
    for probe in probes {
        let key = quoted(&setting(label, probe))?;
        // A NULL reading is kept as an empty text, which no cast accepts: a predicate over it fails, and is closed.
        body.push_str(&format!(
            "    PERFORM pg_catalog.set_config({key}, coalesce(((\n{}\n))::pg_catalog.text, ''), true);\n",
            probe_sql(probe, sealing)
        ));
    }
    Ok(if body.is_empty() { body } else { block(&body) })
}

/// `engine_reading.before_a_seed_gap`: custom settings take two-part names.
fn setting(label: &str, probe: &str) -> String {
    format!("engine_reading.s_{}_{probe}", label.replace('.', "_"))
}

fn probe_sql<'s>(probe: &str, sealing: &Sealing<'s>) -> &'s str {
    sealing.probes.get(probe).map_or("NULL", |query| query.sql.as_str())
}

/// One predicate in one statement of its own: readings taken once, then judged; false, NULL or an error raises.
fn demand(check: &Check, role: Role, owner: &str, stage: &str, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let sql = judged(check, stage, sealing)?;
    let head = quoted(&format!(
        "blocked: {} {} of {owner} does not hold: {}; ",
        role.word(),
        check.name,
        check.predicate.text.trim()
    ))?;
    Ok(judging(
        &sql,
        &format!(
            "IF engine_ok IS NOT TRUE THEN\n        RAISE EXCEPTION USING ERRCODE = '{}', MESSAGE = {head} || engine_seen;\n    END IF;",
            state(role)
        ),
    ))
}

fn refuse_if_done(check: &Check, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let sql = judged(check, "", sealing)?;
    let message = quoted("this packet is already applied; nothing was changed: ")?;
    let raise = format!(
        "IF engine_ok IS TRUE THEN\n        RAISE EXCEPTION USING ERRCODE = '{}', MESSAGE = {message} || engine_seen;\n    END IF;",
        state(Role::DoneWhen)
    );
    Ok(judging(&sql, &raise))
}

fn judging(sql: &str, then: &str) -> String {
    let body = format!("    {sql}\n        INTO engine_ok, engine_seen FROM r;\n    {then}\n");
    let tag = tag(&body);
    format!(
        "DO {tag}\n#variable_conflict use_column\nDECLARE engine_ok boolean; engine_seen text;\nBEGIN\n{body}END {tag};\n"
    )
}

/// `WITH r AS MATERIALIZED (...) SELECT (predicate), 'gap is ' || ...`.
fn judged(check: &Check, stage: &str, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let mut distinct: Vec<(&Name, &str)> = Vec::new();
    for Use { name, span } in &check.predicate.uses {
        if !distinct.iter().any(|(n, _)| *n == name) {
            distinct.push((name, &check.predicate.text[span.clone()]));
        }
    }
    let mut columns = Vec::new();
    let mut shown = Vec::new();
    for (index, (name, written)) in distinct.iter().enumerate() {
        columns.push(format!("({}) AS v{index}", operand(name, stage, sealing)?));
        shown.push(format!("{} || coalesce(r.v{index}::pg_catalog.text, 'NULL')", quoted(&format!("{written} is "))?));
    }
    let alias = |name: &Name| {
        let index = distinct.iter().position(|(n, _)| *n == name).expect("invariant: every use was collected");
        format!("r.v{index}")
    };
    let seen = if shown.is_empty() { "''".to_owned() } else { shown.join(" || ', ' || ") };
    Ok(format!(
        "WITH r AS MATERIALIZED (SELECT {})\n    SELECT (\n{}\n), {seen}",
        columns.join(",\n        "),
        check.predicate.sql(alias)
    ))
}

fn operand(name: &Name, stage: &str, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let kept = |label: String, probe: &String| {
        let kind = sealing.kinds.get(probe).map_or("text", String::as_str);
        Ok(format!("current_setting({})::pg_catalog.{kind}", quoted(&setting(&label, probe))?))
    };
    match name {
        Name::Now(probe) => Ok(format!("\n{}\n", probe_sql(probe, sealing))),
        Name::Before(probe) => kept(format!("before.{stage}"), probe),
        Name::At { stage, probe } if sealing.bounds.contains_key(stage) => kept(format!("at.{stage}"), probe),
        Name::At { probe, .. } => kept(String::new(), probe),
        Name::Wrote(table) => {
            let of_stage = sealing.bounds.get(stage);
            let qualified =
                of_stage.and_then(|b| b.iter().find(|(plan, _, _)| plan == table)).map_or(table, |(_, q, _)| q);
            Ok(format!(
                "SELECT coalesce(sum(d.rows), 0)::pg_catalog.int8 FROM ({}) AS d WHERE d.name = {}",
                deltas(stage),
                quoted(qualified)?
            ))
        }
        Name::Var(var) => {
            let (kind, text) = sealing.vars.get(var).cloned().unwrap_or(("text".into(), String::new()));
            Ok(format!("{}::pg_catalog.{kind}", quoted(&text)?))
        }
    }
}

/// Row changes of this transaction so far, by table; partitions under their root.
const COUNTS: &str = "SELECT coalesce(rn.nspname || '.' || rt.relname, n.nspname || '.' || c.relname) AS name,
               sum(pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)
                   + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)) AS rows
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_class AS rt ON c.relispartition AND rt.oid = pg_catalog.pg_partition_root(c.oid)
        LEFT JOIN pg_catalog.pg_namespace AS rn ON rn.oid = rt.relnamespace
        WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        GROUP BY 1";

fn keep_counts(stage: &str) -> String {
    block(&format!(
        "    PERFORM pg_catalog.set_config('engine_reading.c_{stage}', (SELECT coalesce(pg_catalog.jsonb_object_agg(k.name, k.rows), '{{}}')::pg_catalog.text\n        FROM ({COUNTS}) AS k), true);\n"
    ))
}

fn deltas(stage: &str) -> String {
    format!(
        "SELECT k.name, k.rows - coalesce((current_setting('engine_reading.c_{stage}')::pg_catalog.jsonb ->> k.name)::pg_catalog.numeric, 0) AS rows\n        FROM ({COUNTS}) AS k"
    )
}

/// After a stage: no table changed more than it declares, none that it does not declare.
fn bound(stage: &str, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let declared = sealing.bounds.get(stage).cloned().unwrap_or_default();
    let limits: BTreeMap<String, Option<u64>> = declared.into_iter().map(|(_, table, most)| (table, most)).collect();
    breach(&deltas(stage), &limits, &format!("stage {stage}"))
}

/// At the end, deferred triggers included: the sums of all stages.
fn all_bounds(sealing: &Sealing<'_>) -> Result<String, Failure> {
    let mut limits: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for (_, table, most) in sealing.bounds.values().flatten() {
        let sum = limits.entry(table.clone()).or_insert(Some(0));
        *sum = sum.zip(*most).map(|(a, b)| a + b);
    }
    breach(COUNTS, &limits, "the packet")
}

fn breach(rows: &str, limits: &BTreeMap<String, Option<u64>>, owner: &str) -> Result<String, Failure> {
    let mut values = vec!["('', 0::pg_catalog.numeric)".to_owned()];
    for (table, most) in limits {
        let most = most.map_or("'Infinity'".to_owned(), |n| n.to_string());
        values.push(format!("({}, {most}::pg_catalog.numeric)", quoted(table)?));
    }
    let body = format!(
        "    SELECT pg_catalog.string_agg(d.name || ' ' || d.rows || ' of ' || coalesce(b.most, 0), ', ') INTO engine_seen\n    FROM ({rows}) AS d\n    LEFT JOIN (VALUES {}) AS b (name, most) ON b.name = d.name\n    WHERE d.rows > coalesce(b.most, 0);\n    IF engine_seen IS NOT NULL THEN\n        RAISE EXCEPTION USING ERRCODE = '{BOUND_STATE}', MESSAGE = {} || engine_seen;\n    END IF;\n",
        values.join(", "),
        quoted(&format!("{owner} changed more than it declared: "))?
    );
    let tag = tag(&body);
    Ok(format!("DO {tag}\n#variable_conflict use_column\nDECLARE engine_seen text;\nBEGIN\n{body}END {tag};\n"))
}

fn block(body: &str) -> String {
    let tag = tag(body);
    format!("DO {tag}\n#variable_conflict use_column\nBEGIN\n{body}END {tag};\n")
}

/// A dollar tag that does not occur in the body.
fn tag(body: &str) -> String {
    (0..=body.len())
        .map(|n| format!("$engine{n}$"))
        .find(|tag| !body.contains(tag.as_str()))
        .expect("invariant: some number is free")
}

/// A script whose last statement is closed.
fn closed(text: &str) -> String {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    let last =
        text.lines().rev().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--")).unwrap_or("");
    let semicolon = if last.trim_end().ends_with(';') { "" } else { ";\n" };
    format!("{text}{newline}{semicolon}")
}

fn quoted(text: &str) -> Result<String, Failure> {
    literal(text).map_err(|why| Failure::new(Exit::Io, format!("a text cannot be sealed: {why}")))
}
