//! The small facts events are made of.

use serde::{Deserialize, Serialize};

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
