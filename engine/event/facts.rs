//! The small facts events are made of.

use super::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A stage as the plan declared it, for those who read the journal without the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageBrief {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Doc line.
    pub doc: Option<String>,
    /// Target.
    pub on: Option<String>,
    /// Its needs.
    pub needs: Vec<String>,
    /// Why it has no guard, rollback or permitted twin.
    pub reasons: Vec<String>,
    /// Proofs it demands.
    pub demands: Vec<String>,
    /// Digest over everything that is executed for it.
    pub digest: String,
}

/// Every list of stages that the journal knows: the first line's, and one for each time that changes were accepted.
fn lists(events: &[Event]) -> impl DoubleEndedIterator<Item = &[StageBrief]> {
    events.iter().filter_map(|event| match event {
        Event::RunStarted { stages, .. } => Some(stages.as_slice()),
        Event::RunResumed { briefs, .. } if !briefs.is_empty() => Some(briefs.as_slice()),
        _ => None,
    })
}

/// The stages of the plan as the run goes by it now, in schedule order.
pub fn planned(events: &[Event]) -> Vec<StageBrief> {
    lists(events).next_back().unwrap_or_default().to_vec()
}

/// Stages that an accepted change took out of the plan, and that had begun; as they were declared last.
pub fn removed(events: &[Event]) -> Vec<StageBrief> {
    let mut seen: BTreeSet<&str> =
        lists(events).next_back().unwrap_or_default().iter().map(|stage| stage.name.as_str()).collect();
    let mut gone: Vec<&StageBrief> = Vec::new();
    for stage in lists(events).rev().skip(1).flatten() {
        if seen.insert(&stage.name) {
            gone.push(stage);
        }
    }
    let begun: BTreeSet<&str> = events.iter().filter_map(Event::stage).collect();
    gone.into_iter().filter(|stage| begun.contains(stage.name.as_str())).cloned().collect()
}

/// The process that took the run up last: its id and machine.
pub fn process(events: &[Event]) -> Option<(u32, &str)> {
    events.iter().rev().find_map(|event| match event {
        Event::RunStarted { pid, host, .. } | Event::RunResumed { pid, host, .. } => Some((*pid, host.as_str())),
        _ => None,
    })
}

/// When a reading was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before the stage's SQL: what guards and `before.x` see.
    Before,
    /// After it: what ensures see, and `STAGE.x` later.
    After,
    /// For the verdict.
    Verdict,
}

/// One value of one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Probe.
    pub probe: String,
    /// Type, as in `int8` or `numeric`.
    pub kind: String,
    /// Text of the value; `None` is NULL.
    pub value: Option<String>,
    /// Why there is no value: no row, two rows, an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Reading {
    /// For people: the value, `NULL`, or why it is unknown.
    pub fn shown(&self) -> String {
        match (&self.problem, &self.value) {
            (Some(problem), _) => format!("unknown: {problem}"),
            (None, Some(value)) => value.clone(),
            (None, None) => "NULL".to_owned(),
        }
    }
}

/// What a predicate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Before a stage.
    Guard,
    /// After a stage, before COMMIT.
    Ensure,
    /// Before anything is written to a target.
    Gate,
    /// Already done?
    DoneWhen,
    /// Are there no more batches?
    Until,
}

impl Role {
    /// The word people use.
    pub fn word(self) -> &'static str {
        match self {
            Role::Guard => "guard",
            Role::Ensure => "ensure",
            Role::Gate => "gate",
            Role::DoneWhen => "done_when",
            Role::Until => "until",
        }
    }
}

/// What a predicate came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// Passes.
    True,
    /// Blocks.
    False,
    /// NULL, no row, two rows, an error or a time-out: blocks and says so.
    NotEvaluable,
}

/// One predicate, its operands and its truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Name in the plan.
    pub name: String,
    /// Its text in the plan.
    pub text: String,
    /// What it came to.
    pub truth: Truth,
    /// Each operand as written, with its value.
    pub operands: Vec<(String, String)>,
    /// Why it could not be evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// `plans/x.toml:164`.
    pub place: String,
}

/// One statement that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    /// As in `INSERT`.
    pub verb: String,
    /// Rows the server reported.
    pub rows: u64,
    /// Milliseconds.
    pub ms: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Line of the rendered template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Row changes by table while it ran, by whatever path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrote: Vec<TableWrite>,
}

/// The strongest lock a transaction took on a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLock {
    /// `schema.table`.
    pub table: String,
    /// As in `RowExclusiveLock`.
    pub mode: String,
    /// Milliseconds after the session was taken at which the statement began that took it; it is held until the end.
    pub after_ms: u64,
}

/// Row changes of one table, partitions counted under their root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableWrite {
    /// `schema.table`.
    pub table: String,
    /// Inserted, attempts included.
    pub inserted: u64,
    /// Updated.
    pub updated: u64,
    /// Deleted.
    pub deleted: u64,
    /// Declared bound: a number, `all`, or `None` when not declared.
    pub bound: Option<String>,
}

impl TableWrite {
    /// All row changes.
    pub fn total(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    /// `3 inserted, 1 deleted`.
    pub fn counted(&self) -> String {
        let parts = [(self.inserted, "inserted"), (self.updated, "updated"), (self.deleted, "deleted")];
        let told: Vec<String> =
            parts.iter().filter(|(rows, _)| *rows > 0).map(|(rows, word)| format!("{rows} {word}")).collect();
        told.join(", ")
    }
}

/// A sequence that moved: what `nextval` would have given before and gives now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceMove {
    /// `schema.sequence`.
    pub sequence: String,
    /// `last_value, is_called` before.
    pub before: (i64, bool),
    /// And after.
    pub after: (i64, bool),
}

/// A table whose rows are all in a clone, committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedTable {
    /// `schema.table`.
    pub name: String,
    /// Its oid in production.
    pub oid: i64,
    /// Rows.
    pub rows: u64,
    /// Bytes of the rows as framed.
    pub bytes: u64,
    /// Sum of their hashes, 64 hex digits.
    pub sum: String,
}

/// A wait for the lock of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockWait {
    /// `schema.table`.
    pub table: String,
    /// Milliseconds.
    pub ms: u64,
}

/// A lock that a statement waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// `relation`, `transactionid`, `tuple`, `advisory`, ... as `pg_locks` has them.
    pub lock: String,
    /// `RowExclusiveLock`.
    pub mode: String,
    /// `schema.table`, where it is about one.
    pub relation: Option<String>,
    /// Milliseconds it has waited.
    pub ms: u64,
}

/// What `Wanted::lock` says of a COMMIT that waits for a synchronous standby: `mode` is `synchronous_standby_names` then, and
/// `relation` are the standbys that are connected.
pub const SYNC_REP: &str = "syncrep";

impl Wanted {
    /// For people: `RowExclusiveLock on public.t`.
    pub fn words(&self) -> String {
        match (self.lock.as_str(), &self.relation) {
            (SYNC_REP, connected) => format!(
                "a synchronous standby to confirm its COMMIT (synchronous_standby_names = '{}', connected: {})",
                self.mode,
                connected.as_deref().unwrap_or("none")
            ),
            ("relation", Some(relation)) => format!("{} on {relation}", self.mode),
            ("transactionid" | "tuple", Some(relation)) => format!("a row of {relation}"),
            ("transactionid", None) => "the end of a transaction that wrote the same key or row".to_owned(),
            (lock, Some(relation)) => format!("{} ({lock}) on {relation}", self.mode),
            (lock, None) => format!("{} ({lock})", self.mode),
        }
    }
}

/// A session that holds up a statement. What it runs is never written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// Its backend; 0: a prepared transaction.
    pub pid: i32,
    /// Whom it holds up: our backend, or another blocker.
    pub holds_up: i32,
    /// `application_name`.
    pub application: String,
    /// Its role.
    pub user: Option<String>,
    /// `idle in transaction`, where the role that asked may see it.
    pub state: Option<String>,
    /// How long its transaction has been open when it was seen first, in milliseconds, where that may be seen.
    pub open_ms: Option<u64>,
    /// It waits for nobody: the head of the chain.
    pub head: bool,
}

impl Blocker {
    /// For people: `pid 4711, role kim, application psql, idle in transaction, its transaction is open for 5 min`.
    pub fn words(&self) -> String {
        if self.pid == 0 {
            return "a prepared transaction (pg_prepared_xacts)".to_owned();
        }
        let mut words = vec![format!("pid {}", self.pid)];
        words.extend(self.user.as_ref().map(|user| format!("role {user}")));
        words.extend((!self.application.is_empty()).then(|| format!("application {}", self.application)));
        words.extend(self.state.clone());
        let open = |ms: u64| format!("its transaction is open for {}", crate::clock::show_ms(ms));
        words.extend(self.open_ms.map(open));
        words.join(", ")
    }
}

/// What a statement waits for and behind whom, a line each: the holder of the lock, for whom that one waits, and so on.
pub fn behind(wanted: Option<&Wanted>, blockers: &[Blocker]) -> Vec<String> {
    let mut lines: Vec<String> = wanted.iter().map(|wanted| format!("waits for {}", wanted.words())).collect();
    for blocker in blockers {
        let other = blockers.iter().find(|other| other.pid == blocker.holds_up);
        let words = blocker.words();
        lines.push(match other {
            None => format!("behind {words}"),
            Some(other) => {
                let head = if blocker.head { ", the head of the chain" } else { "" };
                format!("pid {} waits itself, behind {words}{head}", other.pid)
            }
        });
    }
    lines
}

/// One case of a reject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectResult {
    /// Name of the reject.
    pub reject: String,
    /// Name of the refused case, or `permit`.
    pub case: String,
    /// SHA-256 of its SQL.
    #[serde(default)]
    pub sha256: String,
    /// SQLSTATE and constraint it had to be refused with; `None` for a permitted twin.
    #[serde(default)]
    pub wanted: Option<Refusal>,
    /// How it was refused; `None` when it was not.
    #[serde(default)]
    pub refused: Option<Refusal>,
    /// The name the constraint has at the root of the partitions, when that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Row changes, when it was not refused.
    #[serde(default)]
    pub rows: i64,
    /// What had to happen.
    pub expected: String,
    /// What happened.
    pub found: String,
    /// They agree.
    pub held: bool,
}

/// An error of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// SQLSTATE.
    pub error: String,
    /// The constraint that refused.
    pub constraint: Option<String>,
}

/// What became of production.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unchanged {
    /// Every table proved by its watermark.
    ByWatermark,
    /// Equal content.
    ByContent,
    /// Changed while all our transactions had no xid.
    ChangedByOthers,
    /// One of ours wrote.
    ChangedByUs,
    /// Cannot be said.
    Unknown,
}

impl Unchanged {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Unchanged::ByWatermark => "unchanged (by watermark)",
            Unchanged::ByContent => "unchanged (by content)",
            Unchanged::ChangedByOthers => "changed by others",
            Unchanged::ChangedByUs => "changed by us",
            Unchanged::Unknown => "unknown",
        }
    }
}
