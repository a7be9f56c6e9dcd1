//! Did a stage keep its promise? Bounds over what the transaction really did, rejects, and the proofs by repetition.
//!
//! A proof repeats the template, not the stage: no guards, no ensures, the same bounds. Start at `Work`, the
//! compiled writing unit, then `forward` (sending it), `measure` (what it did) and `bounds` (what it may do).

pub mod bounds;
pub mod forward;
pub mod idempotent;
pub mod measure;
pub mod reject;
pub mod reversible;

use crate::sql::Statement;
use std::time::Duration;

/// A stage's SQL, ready to be sent: the same for apply, proofs, rehearsal and packet.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Stage it belongs to.
    pub stage: String,
    /// Its statements, in order.
    pub forward: Script,
    /// How it is taken back.
    pub rollback: Option<Script>,
    /// Tables it may change, each with the most row changes.
    pub writes: Vec<Bound>,
    /// Objects whose definition it may create, change or drop.
    pub alters: Vec<String>,
    /// `table, column` left out of every comparison of content.
    pub ignore: Vec<(String, String)>,
    /// Tables no stage may write or alter on this target.
    pub never: Vec<String>,
    /// Bound of one transaction.
    pub timeout: Duration,
    /// Longest wait for a lock.
    pub lock_timeout: Duration,
}

/// Rendered SQL.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Template it came from, as `templates/x/y.sql`.
    pub template: String,
    /// The exact text.
    pub text: String,
    /// SHA-256 of the text.
    pub sha256: String,
    /// Its statements.
    pub statements: Vec<Statement>,
}

/// `writes.TABLE = N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// As the plan writes it.
    pub table: String,
    /// The most row changes; `None`: any, TRUNCATE and rewrites included.
    pub most: Option<u64>,
    /// `plans/x.toml:164`.
    pub place: String,
}

/// What every writing transaction of a run is told.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// `engine.run_id`.
    pub run: String,
    /// `engine.as_of`.
    pub as_of: String,
}
