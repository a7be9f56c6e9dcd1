//! Read off after each statement: what it wrote, by whatever path, and which locks the transaction holds since then.

use super::measure::Before;
use crate::clock::Stopwatch;
use crate::event::{Failure, HeldLock, TableWrite};
use crate::target::Tx;
use std::collections::BTreeMap;

const TOUCHED: &str = include_str!("../../sql/engine/measure/touched.sql");

/// Counters of one transaction, from statement to statement.
#[derive(Debug)]
pub struct Meter {
    watch: Stopwatch,
    /// Milliseconds at the last reading: a lock that is new since then may have been taken right after it.
    read_ms: u64,
    /// Inserted, updated, deleted by oid, as last read.
    last: BTreeMap<i64, [i64; 3]>,
    /// Locks that were held before the first statement: not the template's.
    earlier: Vec<(String, String)>,
    held: BTreeMap<String, HeldLock>,
}

struct Touched {
    table: String,
    oid: i64,
    mode: String,
    changes: [i64; 3],
}

impl Meter {
    /// Before the first statement.
    ///
    /// # Errors
    /// The server's.
    pub async fn start(tx: &Tx) -> Result<Meter, Failure> {
        let earlier = touched(tx).await?.into_iter().map(|t| (t.table, t.mode)).collect();
        // The clock that the end of the transaction is told by, too.
        let watch = tx.open_since();
        Ok(Meter { watch, read_ms: watch.ms(), last: BTreeMap::new(), earlier, held: BTreeMap::new() })
    }

    /// The first statement is about to be sent; rows that changed until then are not the script's.
    pub fn begin(&mut self, before: &Before) {
        self.read_ms = self.watch.ms();
        self.last = before.changes();
    }

    /// Row changes by table since the last reading.
    ///
    /// # Errors
    /// The server's.
    pub async fn read(&mut self, tx: &Tx) -> Result<Vec<TableWrite>, Failure> {
        let after_ms = std::mem::replace(&mut self.read_ms, self.watch.ms());
        let mut wrote: BTreeMap<String, TableWrite> = BTreeMap::new();
        for now in touched(tx).await? {
            let last = self.last.insert(now.oid, now.changes).unwrap_or_default();
            let [inserted, updated, deleted] =
                std::array::from_fn(|i| u64::try_from(now.changes[i] - last[i]).unwrap_or(0));
            if inserted + updated + deleted > 0 {
                let sum = wrote.entry(now.table.clone()).or_insert_with(|| TableWrite {
                    table: now.table.clone(),
                    inserted: 0,
                    updated: 0,
                    deleted: 0,
                    bound: None,
                });
                sum.inserted += inserted;
                sum.updated += updated;
                sum.deleted += deleted;
            }
            self.hold(now, after_ms);
        }
        Ok(wrote.into_values().collect())
    }

    fn hold(&mut self, now: Touched, after_ms: u64) {
        if self.earlier.iter().any(|(table, mode)| *table == now.table && *mode == now.mode) {
            return;
        }
        let (table, mode) = (now.table.clone(), now.mode);
        match self.held.get_mut(&now.table) {
            Some(held) if rank(&held.mode) >= rank(&mode) => {}
            // Since when any of it was held says little of a lock that became stronger.
            Some(held) => *held = HeldLock { table, mode, after_ms },
            None => drop(self.held.insert(now.table, HeldLock { table, mode, after_ms })),
        }
    }

    /// The strongest lock on each table, by name.
    pub fn held(self) -> Vec<HeldLock> {
        self.held.into_values().collect()
    }
}

/// How strong a lock is; the order of PostgreSQL's table of conflicts.
fn rank(mode: &str) -> usize {
    const MODES: [&str; 8] = [
        "AccessShareLock",
        "RowShareLock",
        "RowExclusiveLock",
        "ShareUpdateExclusiveLock",
        "ShareLock",
        "ShareRowExclusiveLock",
        "ExclusiveLock",
        "AccessExclusiveLock",
    ];
    MODES.iter().position(|known| *known == mode).unwrap_or(MODES.len())
}

async fn touched(tx: &Tx) -> Result<Vec<Touched>, Failure> {
    let rows = tx.ask(TOUCHED, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| Touched {
            table: row.get(0),
            oid: row.get(1),
            mode: row.get(2),
            changes: [row.get(3), row.get(4), row.get(5)],
        })
        .collect())
}
