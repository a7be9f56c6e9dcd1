//! What one batch of a stage may do, on the clone and in the rehearsal alike.

use super::measure::Delta;
use crate::event::{Exit, Failure};
use crate::sql::Predicate;
use std::collections::BTreeMap;
use std::time::Duration;

/// `batch = { until, rows, most, pause }`.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Over when this is true.
    pub until: Predicate,
    /// `plans/x.toml:164`.
    pub place: String,
    /// Most row changes of one batch.
    pub rows: u64,
    /// Most batches.
    pub most: u32,
    /// Between two batches.
    pub pause: Duration,
}

impl Batch {
    /// Holds one batch of `stage` to `rows`, over all tables together, and to that it changes something.
    ///
    /// # Errors
    /// It changed more (42), or nothing (40): then no further batch would come to another end.
    pub fn hold(&self, stage: &str, delta: &Delta) -> Result<(), Failure> {
        let total: u64 = delta.rows.values().flatten().sum();
        if total > self.rows {
            let what = format!("a batch of stage `{stage}` changed more than it may");
            return Err(Failure::new(Exit::BoundExceeded, what)
                .fact(format!("{total} row changes, `rows` allows {}", self.rows))
                .fact(self.place.clone()));
        }
        if delta.is_nothing() {
            return Err(Failure::new(Exit::StageFailed, format!("a batch of stage `{stage}` changed nothing"))
                .fact(format!("`until` is still false: {}", self.until.text.trim()))
                .fact(self.place.clone())
                .next(
                    "then",
                    "correct the template or `until`: without a change no further batch will come to another end",
                ));
        }
        Ok(())
    }
}

/// Adds row changes of batches before to those of one: `writes` bounds all batches together.
pub fn add<'a>(rows: &mut BTreeMap<String, [u64; 3]>, before: impl IntoIterator<Item = (&'a String, [u64; 3])>) {
    for (table, changes) in before {
        let rows = rows.entry(table.clone()).or_default();
        for (sum, more) in rows.iter_mut().zip(changes) {
            *sum += more;
        }
    }
}
