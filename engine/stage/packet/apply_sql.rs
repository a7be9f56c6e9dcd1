//! The text of `apply.sql` and `rollback.sql`: one file, its own transaction, safe whatever options psql is given.
//!
//! A closed gate raises inside the transaction, everything after it fails, and COMMIT rolls back. Readings that a
//! later predicate needs (`before.x`, `STAGE.x`) travel in settings local to the transaction. Probes and templates look
//! names up in the plan's path, everything else among the system's alone: no operator of production's opens a gate.

use super::{PacketStage, definitions};
use crate::event::{Exit, Failure, Role};
use crate::guard::Check;
use crate::name::quote::literal;
use crate::probe::Query;
use crate::proof::forward::DEFERRED;
use crate::proof::{Script, Work};
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
    /// Definitions may change.
    pub alters: bool,
    /// The plan's path, `pg_temp` not in it.
    pub search_path: &'s str,
    /// Sensitive variables that whoever applies it has to set.
    pub sensitive: &'s [String],
    /// Of these, those that the way back reads.
    pub sensitive_back: &'s [String],
}

/// SQLSTATEs that the packet raises, so that the engine can tell them apart.
pub const STATES: [(Role, &str); 4] =
    [(Role::Gate, "EN001"), (Role::Guard, "EN002"), (Role::Ensure, "EN003"), (Role::DoneWhen, "EN004")];
/// SQLSTATE of a sensitive variable that nobody set.
const UNTOLD: &str = "EN006";
/// SQLSTATE of a bound that was exceeded.
pub const BOUND_STATE: &str = "EN005";

fn state(role: Role) -> &'static str {
    STATES.iter().find(|(r, _)| *r == role).map_or("EN000", |(_, s)| s)
}

/// The whole of `apply.sql`: BEGIN, two time-outs, one DO statement, COMMIT.
///
/// One statement, since psql with `ON_ERROR_ROLLBACK` goes on after a statement that failed: what follows a closed
/// gate must not be statements of their own.
///
/// # Errors
/// A text that cannot be written as a constant.
pub fn apply(stage: &PacketStage, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let mut body = run(&frame(sealing, sealing.sensitive)?);
    body.push_str(&run(&alone()?));
    if let Some(done_when) = &stage.done_when {
        body.push_str(&run(&refuse_if_done(done_when, sealing)?));
    }
    let gates: Vec<String> = stage
        .gates
        .iter()
        .map(|gate| Ok(run(&demand(gate, Role::Gate, &format!("target {}", stage.target), "", sealing)?)))
        .collect::<Result<_, Failure>>()?;
    body.push_str(&gates.concat());
    body.push_str(&run(&hold()));
    body.push_str(&run(&keep_readings("", &at_start(stage), sealing)?));
    body.push_str(&run(&definitions::keep_files()));
    for (number, built) in stage.of.iter().enumerate() {
        let Some(work) = &built.work else { continue };
        if number > 0 {
            body.push_str(&run(&deferred_again()));
        }
        body.push_str(&one_stage(&built.head.guards, &built.ensures, work, stage, sealing)?);
    }
    body.push_str("\n-- ---------------------------------------------------------------- the end\n");
    body.push_str(&of_plan("SET CONSTRAINTS ALL IMMEDIATE;\n", sealing)?);
    body.push_str(&run(&all_bounds(sealing)?));
    body.push_str(&run(&definitions::undeclared(sealing)?));
    body.push_str(&gates.concat());
    body.push_str(&path_of_plan(sealing)?);
    Ok(framed(stage, sealing, "apply.sql", &body))
}

/// The whole of `rollback.sql`: not gated, since it must be possible after a revocation.
///
/// # Errors
/// As `apply`.
pub fn rollback(stage: &PacketStage, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let mut body = run(&frame(sealing, sealing.sensitive_back)?);
    body.push_str(&run(&alone()?));
    for work in stage.of.iter().rev().filter_map(|built| built.work.as_ref()) {
        let rule = "-- ----------------------------------------------------------------";
        body.push_str(&format!("\n{rule} back over {}\n", work.stage));
        body.push_str(&match &work.rollback {
            Some(script) => of_plan(&closed(script), sealing)?,
            None => format!("RAISE EXCEPTION 'stage {} has no rollback';\n", work.stage),
        });
    }
    body.push_str(&of_plan("SET CONSTRAINTS ALL IMMEDIATE;\n", sealing)?);
    body.push_str(&path_of_plan(sealing)?);
    Ok(framed(stage, sealing, "rollback.sql", &body))
}

/// Statements as they are, executed inside the one DO statement.
fn run(sql: &str) -> String {
    if sql.is_empty() {
        return String::new();
    }
    let tag = tag(sql);
    format!("EXECUTE {tag}\n{sql}{tag};\n")
}

/// The path of all that the engine says itself.
const OWN_PATH: &str = "PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);\n";

/// The path of probes and templates; with `pg_temp` last, so that no temporary table shadows the approvals.
fn path_of_plan(sealing: &Sealing<'_>) -> Result<String, Failure> {
    let path = quoted(&format!("{}, pg_temp", sealing.search_path))?;
    Ok(format!("PERFORM pg_catalog.set_config('search_path', {path}, true);\n"))
}

/// Statements that the plan says, under its path.
fn of_plan(sql: &str, sealing: &Sealing<'_>) -> Result<String, Failure> {
    Ok(format!("{}{}{OWN_PATH}", path_of_plan(sealing)?, run(sql)))
}

fn framed(stage: &PacketStage, sealing: &Sealing<'_>, name: &str, body: &str) -> String {
    let works = stage.of.iter().filter_map(|b| b.work.as_ref());
    let timeout_ms = super::timeout_ms(works.clone().map(AsRef::as_ref));
    let lock_ms = works.map(|w| w.lock_timeout.as_millis()).min().unwrap_or(2_000);
    let tag = tag(body);
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\n\
         -- {name} for `{}`, sealed by run {}. One transaction, one statement: it goes through as a whole or not at all.\n\
         -- GO-NO-GO.md says what it changes, VERIFY.md how to check it.\nSET LOCAL statement_timeout = {timeout_ms};\n\
         SET LOCAL lock_timeout = {lock_ms};\nDO {tag}\nBEGIN\n{body}END {tag};\nCOMMIT;\n",
        stage.target, sealing.run
    )
}

/// Settings first.
fn frame(sealing: &Sealing<'_>, sensitive: &[String]) -> Result<String, Failure> {
    Ok(block(&format!(
        "    {OWN_PATH}    \
         PERFORM pg_catalog.set_config('TimeZone', 'UTC', true);\n    \
         PERFORM pg_catalog.set_config('engine.run_id', coalesce(nullif(current_setting('engine.run_id', true), ''), {}), true);\n    \
         PERFORM pg_catalog.set_config('engine.as_of', coalesce(nullif(current_setting('engine.as_of', true), ''), {}), true);\n{}",
        quoted(sealing.run)?,
        quoted(sealing.as_of)?,
        sensitive.iter().map(|name| told(name)).collect::<String>()
    )))
}

/// A sensitive variable is in no packet: who applies it says its value.
fn told(name: &str) -> String {
    format!(
        "    IF coalesce(current_setting('engine.var.{name}', true), '') = '' THEN\n        \
         RAISE EXCEPTION 'engine.var.{name} is not set: its value is sensitive and in no packet' USING ERRCODE = '{UNTOLD}',\n        \
         HINT = 'in psql, before this file: SET engine.var.{name} = the value, from a file that only you may read';\n    END IF;\n"
    )
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
        out.push_str(&run(&demand(guard, Role::Guard, &owner, &work.stage, sealing)?));
    }
    let before: BTreeSet<String> = names(ensures, |n| match n {
        Name::Before(probe) => Some(probe.clone()),
        _ => None,
    });
    out.push_str(&run(&keep_readings(&format!("before.{}", work.stage), &before, sealing)?));
    out.push_str(&run(&keep_counts(&work.stage)));
    out.push_str(&format!("-- {} sha256 {}\n", work.forward.template, work.forward.sha256));
    out.push_str(&of_plan(&closed(&work.forward), sealing)?);
    // As on the clone: what is deferred happens before it is counted and looked at.
    out.push_str(&of_plan("SET CONSTRAINTS ALL IMMEDIATE;\n", sealing)?);
    out.push_str(&run(&bound(&work.stage, sealing)?));
    for ensure in ensures {
        out.push_str(&run(&demand(ensure, Role::Ensure, &owner, &work.stage, sealing)?));
    }
    let everyone = packet.of.iter().flat_map(|b| b.head.guards.iter().chain(&b.ensures));
    let after: BTreeSet<String> = names(everyone, |n| match n {
        Name::At { stage, probe } if *stage == work.stage => Some(probe.clone()),
        _ => None,
    });
    out.push_str(&run(&keep_readings(&format!("at.{}", work.stage), &after, sealing)?));
    Ok(out)
}

/// The next stage begins as it would in a transaction of its own: what is initially deferred is so again.
fn deferred_again() -> String {
    judging_nothing(&format!(
        "    SELECT d.sql INTO engine_seen FROM (\n{}\n    ) AS d (sql);\n    \
         IF engine_seen IS NOT NULL THEN\n        EXECUTE engine_seen;\n    END IF;\n",
        DEFERRED.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n")
    ))
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
        // `v` before a value, so that NULL is kept apart from an empty text.
        body.push_str(&format!(
            "    PERFORM pg_catalog.set_config({key}, coalesce('v' || ((\n{}\n))::pg_catalog.text, ''), true);\n",
            probe_sql(probe, sealing)
        ));
    }
    Ok(if body.is_empty() { body } else { block(&format!("{}{body}{OWN_PATH}", path_of_plan(sealing)?)) })
}

/// A custom setting of its own for each reading; names of stages and probes cannot run into each other.
fn setting(label: &str, probe: &str) -> String {
    let digest = crate::digest::hex_parts([label.as_bytes(), probe.as_bytes()]);
    format!("engine_reading.r_{}", crate::digest::short(&digest))
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
    let untold = quoted("blocked: whether this packet is already applied cannot be told: ")?;
    let raise = format!(
        "IF engine_ok IS TRUE THEN\n        RAISE EXCEPTION USING ERRCODE = '{}', MESSAGE = {message} || engine_seen;\n    \
         ELSIF engine_ok IS NULL THEN\n        RAISE EXCEPTION USING ERRCODE = '{}', MESSAGE = {untold} || engine_seen;\n    END IF;",
        state(Role::DoneWhen),
        state(Role::Guard)
    );
    Ok(judging(&sql, &raise))
}

/// A block with a text to keep something in.
pub(super) fn judging_nothing(body: &str) -> String {
    let tag = tag(body);
    format!("DO {tag}\n#variable_conflict use_column\nDECLARE engine_seen text;\nBEGIN\n{body}END {tag};\n")
}

fn judging(sql: &str, then: &str) -> String {
    let body = format!("    {sql}\n        INTO engine_ok, engine_seen FROM r;\n    {then}\n");
    let tag = tag(&body);
    format!(
        "DO {tag}\n#variable_conflict use_column\nDECLARE engine_ok boolean; engine_seen text; engine_now record;\nBEGIN\n{body}END {tag};\n"
    )
}

/// Probes under the plan's path, then `WITH r AS MATERIALIZED (...) SELECT (predicate), 'gap is ' || ...`.
fn judged(check: &Check, stage: &str, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let mut distinct: Vec<(&Name, &str)> = Vec::new();
    for Use { name, span } in &check.predicate.uses {
        if !distinct.iter().any(|(n, _)| *n == name) {
            distinct.push((name, &check.predicate.text[span.clone()]));
        }
    }
    let mut columns = Vec::new();
    let mut shown = Vec::new();
    let mut now = Vec::new();
    for (index, (name, written)) in distinct.iter().enumerate() {
        if let Name::Now(probe) = name {
            now.push(format!("(\n{}\n) AS v{index}", probe_sql(probe, sealing)));
        }
        columns.push(format!("({}) AS v{index}", operand((name, index), stage, sealing)?));
        shown.push(format!("{} || coalesce(r.v{index}::pg_catalog.text, 'NULL')", quoted(&format!("{written} is "))?));
    }
    let alias = |name: &Name| {
        let index = distinct.iter().position(|(n, _)| *n == name).expect("invariant: every use was collected");
        format!("r.v{index}")
    };
    let seen = if shown.is_empty() { "''".to_owned() } else { shown.join(" || ', ' || ") };
    // All in one statement, hence in one snapshot.
    let readings = if now.is_empty() {
        String::new()
    } else {
        format!(
            "{}    SELECT {}\n        INTO engine_now;\n    {OWN_PATH}    ",
            path_of_plan(sealing)?,
            now.join(",\n        ")
        )
    };
    Ok(format!(
        "{readings}WITH r AS MATERIALIZED (SELECT {})\n    SELECT (\n{}\n), {seen}",
        columns.join(",\n        "),
        check.predicate.sql(alias)
    ))
}

fn operand((name, index): (&Name, usize), stage: &str, sealing: &Sealing<'_>) -> Result<String, Failure> {
    let kept = |label: String, probe: &String| {
        let kind = sealing.kinds.get(probe).map_or("text", String::as_str);
        let key = quoted(&setting(&label, probe))?;
        Ok(format!(
            "(CASE WHEN current_setting({key}) <> '' THEN pg_catalog.substr(current_setting({key}), 2) END)::pg_catalog.{kind}"
        ))
    };
    match name {
        Name::Now(_) => Ok(format!("engine_now.v{index}")),
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
const COUNTS: &str = "SELECT CASE WHEN rt.oid IS NULL THEN pg_catalog.format('%I.%I', n.nspname, c.relname)
                    ELSE pg_catalog.format('%I.%I', rn.nspname, rt.relname) END AS name,
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

pub(super) fn block(body: &str) -> String {
    let tag = tag(body);
    format!("DO {tag}\n#variable_conflict use_column\nBEGIN\n{body}END {tag};\n")
}

/// A dollar tag that does not occur in the body.
pub(super) fn tag(body: &str) -> String {
    (0..=body.len())
        .map(|n| format!("$engine{n}$"))
        .find(|tag| !body.contains(tag.as_str()))
        .expect("invariant: some number is free")
}

/// A script whose last statement is closed.
fn closed(script: &Script) -> String {
    let text = &script.text;
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    let rest = script.statements.last().map_or("", |last| &text[last.span.end..]);
    let semicolon = if rest.trim_start().starts_with(';') { "" } else { ";\n" };
    format!("{text}{newline}{semicolon}")
}

/// Holds what the gates read against change, where the approvals' owner has provided for it; they are asked again
/// at the end in any case.
fn hold() -> String {
    let find = "pg_catalog.to_regprocedure('engine_gate.hold()')";
    block(&format!(
        "    IF pg_catalog.has_function_privilege({find}::pg_catalog.oid, 'EXECUTE') THEN\n        \
         EXECUTE 'SELECT engine_gate.hold()';\n    END IF;\n"
    ))
}

/// The lock that every stage and packet takes: two of them are never at work on one database.
fn alone() -> Result<String, Failure> {
    let key = quoted(crate::stage::commit::LOCK_KEY)?;
    Ok(block(&format!(
        "    IF NOT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended({key}, 0)) THEN\n        \
         RAISE EXCEPTION 'another session applies a packet to this database';\n    END IF;\n    \
         IF pg_catalog.current_setting('track_counts') <> 'on' THEN\n        \
         RAISE EXCEPTION 'track_counts is off: nothing written could be counted';\n    END IF;\n"
    )))
}

pub(super) fn quoted(text: &str) -> Result<String, Failure> {
    literal(text).map_err(|why| Failure::new(Exit::Io, format!("a text cannot be sealed: {why}")))
}
