//! Holding tables still: a TRUNCATE or a rewrite after a snapshot was taken reads as 0 rows, without any error.

use crate::clock::{Stopwatch, show_ms};
use crate::event::{Exit, Failure};
use crate::target::Tx;

/// Tables locked in one statement.
const BATCH: usize = 100;

/// Tables that are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How many.
    pub tables: u64,
    /// Milliseconds that taking them took, waiting included.
    pub lock_ms: u64,
}

/// Takes ACCESS SHARE on every table, waiting no longer than the session's `lock_timeout`, and demands that each is
/// still the file that this transaction's snapshot knows. The locks end with the transaction.
///
/// # Errors
/// Somebody holds a table exclusively (75), or one was truncated, rewritten or dropped since the snapshot (75): a new
/// snapshot will do.
pub async fn hold_still(tx: &Tx) -> Result<Held, Failure> {
    let rows = tx.query(include_str!("../../sql/engine/fingerprint/tables.sql"), &[]).await?;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let watch = Stopwatch::start();
    for batch in names.chunks(BATCH) {
        // The names were quoted by the server.
        let sql = format!("LOCK TABLE {} IN ACCESS SHARE MODE", batch.join(", "));
        tx.query(&sql, &[]).await.map_err(|failure| {
            let waited = format!("waited {} for locks", show_ms(watch.ms()));
            again(tx, "a table cannot be held for reading", &[failure.what, waited])
        })?;
    }
    let held = Held { tables: names.len() as u64, lock_ms: watch.ms() };
    let moved = tx.query(include_str!("../../sql/engine/fingerprint/moved.sql"), &[]).await?;
    let moved: Vec<String> = moved.iter().map(|row| row.get(0)).collect();
    if moved.is_empty() {
        return Ok(held);
    }
    Err(again(tx, "tables were truncated or rewritten since the snapshot, and would read as empty", &moved))
}

fn again(tx: &Tx, what: &str, facts: &[String]) -> Failure {
    let mut failure = Failure::new(Exit::Temporary, format!("`{}`: {what}", tx.target()))
        .changed("nothing was created; it was only read");
    failure.facts = facts.to_vec();
    failure
}
