//! Did a stage keep its promise? Bounds over what the transaction really did, rejects, and the proofs by repetition.
//!
//! A proof repeats the template, not the stage: no guards, no ensures, the same bounds. Start at `Work`, the
//! compiled writing unit, then `forward` (sending it), `measure` (what it did) and `bounds` (what it may do).

pub mod batch;
mod blame;
pub mod bounds;
mod follow;
pub mod forward;
pub mod idempotent;
pub mod measure;
mod meter;
mod perturb;
pub mod reject;
pub mod reversible;
mod temporary;

pub use batch::Batch;
pub use blame::hold;
pub use follow::followable;

use crate::event::SequenceMove;
use crate::event::evidence::{Observation, Rows};
use crate::fingerprint::TablePrint;
use crate::sql::Statement;
use crate::target::Sensitive;
use std::collections::BTreeSet;
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
    /// Probes whose reading it never lowers.
    pub monotonic: Vec<String>,
    /// Independent writers may be at work beside it.
    pub parallel: bool,
    /// `transaction = false`: each statement stands once it is answered.
    pub alone: bool,
    /// It runs again and again, each time a transaction of its own.
    pub batch: Option<Batch>,
    /// It may be run twice, so that two sessions at once must come to the same as one.
    pub idempotent: bool,
    /// Bound of one transaction.
    pub timeout: Duration,
    /// Longest wait for a lock.
    pub lock_timeout: Duration,
}

impl Work {
    /// Maintenance outside of a transaction: neither rows nor definitions are another thing after it, so there is no way
    /// back to go. Who gives a rollback says that there is one.
    pub fn changes_nothing(&self) -> bool {
        self.alone && self.alters.is_empty() && self.rollback.is_none()
    }

    /// Columns that no comparison looks at, as a proof prints them.
    fn ignored(&self) -> impl Iterator<Item = Observation> {
        self.ignore.iter().map(|(table, column)| Observation::Ignored { column: format!("{table}.{column}") })
    }
}

impl Work {
    /// Moved sequences that are put back. Where others may draw from them at the same time none is: a value given out
    /// twice is worse than a gap.
    fn put_back(&self, moved: Vec<SequenceMove>, seen: &mut Vec<Observation>) -> Vec<SequenceMove> {
        if self.parallel {
            let stays =
                |m: &SequenceMove| format!("sequence {} stays where it is now, as others may draw from it", m.sequence);
            seen.extend((!moved.is_empty()).then(|| Observation::NotSeen { why: moved.iter().map(stays).collect() }));
            return Vec::new();
        }
        seen.extend(moved.iter().cloned().map(Observation::Moved));
        moved
    }
}

/// What a proof by repetition saw; `evidence::verdict` says what follows.
#[derive(Clone, Debug)]
pub struct Seen {
    /// In order.
    pub observations: Vec<Observation>,
    /// Sequences it moved; the maker puts them back.
    pub sequences: Vec<SequenceMove>,
}

/// The rows of tables at two moments, as observations: every table that either has.
fn compared(when: &str, wanted: &[TablePrint], found: &[TablePrint]) -> Vec<Observation> {
    let names: BTreeSet<&str> = wanted.iter().chain(found).map(|t| t.name.as_str()).collect();
    let of = |all: &[TablePrint], name: &str| {
        all.iter().find(|t| t.name == name).map(|t| Rows { rows: t.rows, sum: t.sum.clone() })
    };
    let root = |name: &str| wanted.iter().chain(found).find(|t| t.name == name).and_then(|t| t.root.clone());
    names
        .into_iter()
        .map(|name| Observation::Compared {
            table: name.to_owned(),
            root: root(name),
            when: when.to_owned(),
            wanted: of(wanted, name),
            found: of(found, name),
        })
        .collect()
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
    /// Rendering left the template's text as it is.
    pub as_written: bool,
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
    /// `engine.run_id`: in a rollout the run that was approved.
    pub run: String,
    /// The run that works, by which others can tell whose session it is.
    pub at_work: String,
    /// `engine.as_of`.
    pub as_of: String,
    /// `engine.var.NAME` of sensitive variables.
    pub sensitive: Sensitive,
}
