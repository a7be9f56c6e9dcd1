//! Has anything changed? An exact answer at about the price of `count(*)`.
//!
//! W is the horizon of a snapshot: every transaction before it had ended. Later, in one snapshot, a table with the
//! same oid, columns, enum labels and number of rows, and with the same *recent* rows (their xmin at or after W), has
//! the same visible rows: older ones can only disappear, and everything new is recent. docs: clone-and-fingerprint.

use super::content;
use super::leaves::{self, Leaf};
use super::print::TablePrint;
use super::take::number;
use crate::digest::{self, RowSum};
use crate::event::{Exit, Failure, Identity};
use crate::target::{Tx, identify};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// After this many transaction ids, new rows look old.
const HALF: u64 = 1 << 31;

/// A database at one snapshot, cheap to compare with later ones of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// Horizon, a 64 bit transaction id.
    pub horizon: u64,
    /// Which database of which server, started when.
    pub database: Identity,
    /// Moved by a crash of any backend: a lost asynchronous commit takes rows back and frees transaction ids.
    pub stats_reset: String,
    /// Its leaf tables, by name.
    pub tables: Vec<TableMark>,
}

/// A table at a watermark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableMark {
    /// Oid: names can be swapped.
    pub oid: i64,
    /// `schema.table`.
    pub name: String,
    /// Hash of its columns (number, name, type) and of the labels of its enums.
    pub shape: String,
    /// Rows.
    pub rows: u64,
    /// Rows at or after the horizon.
    pub recent: u64,
    /// Sum of their hashes.
    pub recent_sum: String,
}

/// When a database was looked at, and how its tables were shaped then: what is at or after it can be found again, and
/// with it all that is new. A watermark without its sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizon {
    /// A 64 bit transaction id: every transaction before it had ended.
    pub at: u64,
    /// Which database of which server, started when.
    pub database: Identity,
    /// As in a watermark.
    pub stats_reset: String,
    /// Its heap leaves: oid, name, hash of what decides how its tuples are read.
    pub shapes: Vec<(i64, String, String)>,
}

impl Horizon {
    /// The horizon of a snapshot.
    ///
    /// # Errors
    /// The server's.
    pub async fn of(tx: &Tx) -> Result<Horizon, Failure> {
        let (moment, database) = (moment(tx).await?, identify(tx).await?);
        let shapes = shaped(tx).await?.into_iter().map(|(leaf, shape)| (leaf.oid, leaf.name, shape)).collect();
        Ok(Horizon { at: moment.horizon, database, stats_reset: moment.stats_reset, shapes })
    }

    /// A watermark without a look at recent rows: it claims that there are none, and as many rows as these prints say.
    /// Where that is wrong a table will not count as unchanged; where it does, it is: without a recent row later, each row
    /// is one that was there, and as many rows are the same rows.
    pub fn watermark(&self, tables: &[TablePrint]) -> Watermark {
        let rows: BTreeMap<i64, u64> = tables.iter().map(|print| (print.oid, print.rows)).collect();
        let mark = |(oid, name, shape): &(i64, String, String)| TableMark {
            oid: *oid,
            name: name.clone(),
            shape: shape.clone(),
            rows: rows.get(oid).copied().unwrap_or(0),
            recent: 0,
            recent_sum: RowSum::default().hex(),
        };
        Watermark {
            horizon: self.at,
            database: self.database.clone(),
            stats_reset: self.stats_reset.clone(),
            tables: self.shapes.iter().map(mark).collect(),
        }
    }

    /// Why nothing can be said by it any more, in a later snapshot; `None`: everything that is new is recent.
    ///
    /// # Errors
    /// The server's.
    pub async fn lost(&self, tx: &Tx) -> Result<Option<String>, Failure> {
        let (horizon, stats_reset) = (self.at, self.stats_reset.clone());
        let then = Watermark { horizon, database: self.database.clone(), stats_reset, tables: Vec::new() };
        if let Some(why) = moved(&moment(tx).await?, &identify(tx).await?, &then) {
            return Ok(Some(why));
        }
        let now: Vec<_> = shaped(tx).await?.into_iter().map(|(leaf, shape)| (leaf.oid, leaf.name, shape)).collect();
        let gone = self.shapes.iter().find(|shape| !now.contains(shape));
        let new = now.iter().find(|shape| !self.shapes.contains(shape));
        Ok(new.or(gone).map(|(_, name, _)| format!("{name} is not the table it was")))
    }

    /// The condition for a row to be recent.
    pub fn recent(&self) -> String {
        recent(self.at)
    }
}

/// What became of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableVerdict {
    /// `schema.table`, as it is called now; as it was called when it is gone.
    pub name: String,
    /// Oid.
    pub oid: i64,
    /// Unchanged, or why that cannot be said.
    pub verdict: Verdict,
}

/// Unchanged, or why that cannot be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its visible rows are the same.
    Unchanged,
    /// They may differ: the content must be compared. Says what moved.
    Unknown(String),
    /// There was no such table.
    New,
    /// There is no such table.
    Gone,
}

/// Takes the watermark of a snapshot. Tables that are not heap are left out, and will be `New` later.
///
/// # Errors
/// The server's.
pub async fn watermark(tx: &Tx) -> Result<Watermark, Failure> {
    let moment = moment(tx).await?;
    let database = identify(tx).await?;
    let tables = marks(tx, &shaped(tx).await?, moment.horizon).await?;
    Ok(Watermark { horizon: moment.horizon, database, stats_reset: moment.stats_reset, tables })
}

impl Watermark {
    /// Why nothing of it can be relied on any more, as seen by `tx`.
    ///
    /// # Errors
    /// The server's.
    pub async fn moved(&self, tx: &Tx) -> Result<Option<String>, Failure> {
        Ok(moved(&moment(tx).await?, &identify(tx).await?, self))
    }
}

/// Compares with an earlier watermark, within one snapshot. If nothing that was said then can be relied on any more,
/// every table is `Unknown`.
///
/// # Errors
/// The server's.
pub async fn unchanged_since(tx: &Tx, then: &Watermark) -> Result<Vec<TableVerdict>, Failure> {
    let moved = moved(&moment(tx).await?, &identify(tx).await?, then);
    let tables = shaped(tx).await?;
    let before: BTreeMap<i64, &TableMark> = then.tables.iter().map(|mark| (mark.oid, mark)).collect();
    let told = |leaf: &Leaf, verdict| TableVerdict { name: leaf.name.clone(), oid: leaf.oid, verdict };
    let (mut verdicts, mut to_read) = (Vec::new(), Vec::new());
    for (leaf, shape) in &tables {
        match (before.get(&leaf.oid), &moved) {
            (None, _) => verdicts.push(told(leaf, Verdict::New)),
            (Some(_), Some(why)) => verdicts.push(told(leaf, Verdict::Unknown(why.clone()))),
            (Some(mark), None) if mark.shape != *shape => {
                verdicts.push(told(leaf, Verdict::Unknown("its columns or enum labels changed".into())));
            }
            (Some(_), None) => to_read.push((leaf.clone(), shape.clone())),
        }
    }
    let now = marks(tx, &to_read, then.horizon).await?;
    verdicts.extend(to_read.iter().zip(&now).map(|((leaf, _), now)| told(leaf, judged(before[&leaf.oid], now))));
    let there: BTreeSet<i64> = tables.iter().map(|(leaf, _)| leaf.oid).collect();
    let gone = then.tables.iter().filter(|mark| !there.contains(&mark.oid));
    verdicts.extend(gone.map(|m| TableVerdict { name: m.name.clone(), oid: m.oid, verdict: Verdict::Gone }));
    verdicts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(verdicts)
}

struct Moment {
    horizon: u64,
    next: u64,
    stats_reset: String,
}

async fn moment(tx: &Tx) -> Result<Moment, Failure> {
    let row = tx.query_one(include_str!("../../sql/engine/fingerprint/moment.sql"), &[]).await?;
    let xid = |text: String| {
        text.parse().map_err(|_| Failure::new(Exit::Io, format!("`{text}` of `{}` is no transaction id", tx.target())))
    };
    Ok(Moment { horizon: xid(row.get(0))?, next: xid(row.get(1))?, stats_reset: row.get(2) })
}

/// Leaves that are heap tables, with their shapes.
async fn shaped(tx: &Tx) -> Result<Vec<(Leaf, String)>, Failure> {
    let rows = tx.query(include_str!("../../sql/engine/fingerprint/shapes.sql"), &[]).await?;
    let shapes: BTreeMap<i64, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let shape = |leaf: &Leaf| digest::hex(shapes.get(&leaf.oid).map_or("", String::as_str).as_bytes());
    let leaves = leaves::leaves(tx).await?.into_iter().filter(|leaf| leaf.kind.is_ok());
    Ok(leaves
        .map(|leaf| {
            let shape = shape(&leaf);
            (leaf, shape)
        })
        .collect())
}

/// The marks of the tables, in order. Only those with recent rows are read a second time.
async fn marks(tx: &Tx, tables: &[(Leaf, String)], horizon: u64) -> Result<Vec<TableMark>, Failure> {
    let recent = recent(horizon);
    let leaves: Vec<&Leaf> = tables.iter().map(|(leaf, _)| leaf).collect();
    let aggregates = format!("pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE {recent})");
    let counts = content::each(tx, &leaves, &aggregates).await?;
    let mut marks = Vec::with_capacity(tables.len());
    for ((leaf, shape), row) in tables.iter().zip(&counts) {
        let mut sum = RowSum::default();
        if number(row, 2) > 0 {
            sum = content::sum(tx, &format!("{} WHERE {recent}", leaf.select(&[]))).await?;
        }
        let (name, shape) = (leaf.name.clone(), shape.clone());
        marks.push(TableMark {
            oid: leaf.oid,
            name,
            shape,
            rows: number(row, 1),
            recent: sum.rows,
            recent_sum: sum.hex(),
        });
    }
    Ok(marks)
}

/// The condition for a row's xmin to be at or after the horizon, modulo 2^32. The sub-select is evaluated once.
fn recent(horizon: u64) -> String {
    format!(
        "(((SELECT pg_catalog.age('{horizon}'::pg_catalog.xid8::pg_catalog.xid))::pg_catalog.int8 \
         - pg_catalog.age(xmin)) & 4294967295) < 2147483648"
    )
}

fn judged(then: &TableMark, now: &TableMark) -> Verdict {
    let unknown = |why: String| Verdict::Unknown(why);
    if then.name != now.name {
        unknown(format!("it was called {}", then.name))
    } else if then.rows != now.rows {
        unknown(format!("rows {} -> {}", then.rows, now.rows))
    } else if then.recent != now.recent {
        unknown(format!("recent rows {} -> {}", then.recent, now.recent))
    } else if then.recent_sum != now.recent_sum {
        unknown(format!("its {} recent rows have another sum", now.recent))
    } else {
        Verdict::Unchanged
    }
}

/// Why nothing of the watermark can be relied on any more.
fn moved(now: &Moment, database: &Identity, then: &Watermark) -> Option<String> {
    if !database.same_database(&then.database) {
        Some("it is another database".into())
    } else if database.timeline != then.database.timeline {
        Some(format!("the timeline went from {} to {}", then.database.timeline, database.timeline))
    } else if database.started != then.database.started {
        Some("the server was restarted".into())
    } else if now.stats_reset != then.stats_reset {
        Some("the server recovered from a crash, or its statistics were reset".into())
    } else if now.next < then.horizon || now.next - then.horizon >= HALF {
        Some("too many transactions have run".into())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            system_identifier: "7".into(),
            timeline: 1,
            database: "d".into(),
            oid: 5,
            version: "16.1".into(),
            version_num: 160_001,
            started: "then".into(),
            session_user: "r".into(),
            current_user: "r".into(),
            in_recovery: false,
            marker: None,
            tls: None,
        }
    }

    fn at(next: u64) -> Moment {
        Moment { horizon: next, next, stats_reset: "never".into() }
    }

    #[test]
    fn a_watermark_is_not_valid_for_ever() {
        let then = Watermark { horizon: 100, database: identity(), stats_reset: "never".into(), tables: Vec::new() };
        assert_eq!(moved(&at(100), &identity(), &then), None);
        assert_eq!(moved(&at(99 + HALF), &identity(), &then), None);
        assert!(moved(&at(100 + HALF), &identity(), &then).is_some());
        assert!(moved(&at(99), &identity(), &then).is_some());
        assert!(moved(&Moment { stats_reset: "now".into(), ..at(100) }, &identity(), &then).is_some());
        for other in [
            Identity { started: "now".into(), ..identity() },
            Identity { timeline: 2, ..identity() },
            Identity { oid: 6, ..identity() },
        ] {
            assert!(moved(&at(100), &other, &then).is_some());
        }
    }
}
