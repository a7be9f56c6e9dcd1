//! Which rows differ, by key, in bounded memory and without sorting anything on the servers.
//!
//! Keys are spread by their hash over fixed ranges. First pass: both sides stream the table once, and each range is
//! counted and summed. Second pass: rows of ranges that differ, as many as fit, are held by their hashes, and those
//! that only one side has or has otherwise are found. Their values are then fetched by row position, which the
//! snapshot keeps. Without a key a row is its own key, and what differs is how often it is there.

mod scan;
pub(super) mod show;

use super::side::{Side, of_a_command};
use crate::event::Failure;
use crate::fingerprint::{Form, Leaf, TablePrint};
use scan::{Held, Position, RANGES, Ranges, Source};
use std::collections::BTreeMap;

/// Rows that are held by their hashes at a time, on each side.
const HELD: u64 = 200_000;

const KEYS: &str = include_str!("../../../sql/engine/source/keys.sql");

/// A table that is there on both sides.
struct Table<'l> {
    there: &'l Leaf,
    here: &'l Leaf,
    /// Columns of both, by name: those that are compared.
    columns: Vec<String>,
    /// Which of them are the key; none: a row is its own key.
    key: Vec<usize>,
    /// Columns that only one side has.
    uncommon: Vec<(String, String)>,
}

/// What became of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    there: Option<Held>,
    here: Option<Held>,
}

/// A row that differs, ready to be shown.
#[derive(Debug)]
pub(super) struct RowDifference {
    pub(super) kind: &'static str,
    /// Columns of the key and their values; all columns where there is no key.
    pub(super) key: Vec<(String, String)>,
    /// Column, value there, value here.
    pub(super) columns: Vec<(String, Option<String>, Option<String>)>,
}

/// What was found in one table.
#[derive(Debug)]
pub(super) struct TableRows {
    pub(super) table: String,
    /// Columns of the key; empty: none that both sides have.
    pub(super) key: Vec<String>,
    /// Columns that only one side has, which is a difference of the schema.
    pub(super) uncommon: Vec<String>,
    pub(super) rows: Vec<RowDifference>,
    /// All that differ; `None` when the search ended at the limit.
    pub(super) all: Option<usize>,
}

/// Finds up to `limit` rows of each table named.
pub(super) async fn differing(
    there: &Side,
    here: &Side,
    tables: &[&TablePrint],
    limit: usize,
) -> Result<Vec<TableRows>, Failure> {
    let mut found = Vec::new();
    for table in tables {
        let leaf = |side: &'_ Side| side.leaves.iter().position(|leaf| leaf.name == table.name);
        let (Some(a), Some(b)) = (leaf(there), leaf(here)) else { continue };
        let told = one(there, here, (&there.leaves[a], &here.leaves[b]), limit).await;
        found.push(told.map_err(|failure| of_a_command(failure.fact(format!("comparing rows of {}", table.name))))?);
    }
    Ok(found)
}

async fn one(there: &Side, here: &Side, leaves: (&Leaf, &Leaf), limit: usize) -> Result<TableRows, Failure> {
    let table = Table::new(there, here, leaves).await?;
    let [a, b] = table.sources(there, here);
    let (was, is) = tokio::try_join!(a.ranges(), b.ranges())?;
    let ranges: Vec<usize> = (0..RANGES).filter(|range| !was.same(&is, *range)).collect();
    let (mut next, mut found, mut all) = (0, Vec::new(), 0);
    while found.len() < limit && next < ranges.len() {
        let until = next + fitting(&ranges[next..], &was, &is);
        let mut wanted = vec![false; RANGES];
        ranges[next..until].iter().for_each(|range| wanted[*range] = true);
        let (was, is) = tokio::try_join!(a.held(&wanted), b.held(&wanted))?;
        let differing = differences(was, is);
        all += differing.len();
        found.extend(differing.into_iter().take(limit - found.len()));
        next = until;
    }
    Ok(TableRows {
        table: table.here.name.clone(),
        key: table.key.iter().map(|at| table.columns[*at].clone()).collect(),
        uncommon: table.uncommon.iter().map(|(_, column)| column.clone()).collect(),
        rows: show::shown(&table, there, here, &found).await?,
        all: (next == ranges.len()).then_some(all),
    })
}

/// How many ranges can be held at a time: one at least.
fn fitting(ranges: &[usize], was: &Ranges, is: &Ranges) -> usize {
    let mut rows = 0;
    let over = ranges.iter().position(|range| {
        rows += was.rows(*range).max(is.rows(*range));
        rows > HELD
    });
    over.unwrap_or(ranges.len()).max(1)
}

/// Keys that the two sides do not have alike.
fn differences(mut was: scan::HeldRows, is: scan::HeldRows) -> Vec<Found> {
    let mut found = Vec::new();
    for (key, here) in is {
        match was.remove(&key) {
            Some(there) if there.same(&here) => {}
            there => found.push((key, Found { there, here: Some(here) })),
        }
    }
    found.extend(was.into_iter().map(|(key, there)| (key, Found { there: Some(there), here: None })));
    // The order of hashes: the same in every run, and no part of the table is preferred.
    found.sort_by_key(|(key, _)| *key);
    found.into_iter().map(|(_, found)| found).collect()
}

impl<'l> Table<'l> {
    async fn new(there: &Side, here: &Side, leaves: (&'l Leaf, &'l Leaf)) -> Result<Table<'l>, Failure> {
        let kept = |leaf: &Leaf| -> Vec<String> {
            leaf.columns.iter().filter(|c| c.form != Form::Generated).map(|c| c.name.clone()).collect()
        };
        let (was, is) = (kept(leaves.0), kept(leaves.1));
        let columns: Vec<String> = is.iter().filter(|name| was.contains(name)).cloned().collect();
        let uncommon = was.iter().chain(&is).filter(|name| !columns.contains(name));
        let uncommon = uncommon.map(|column| (leaves.1.name.clone(), column.clone())).collect();
        let (was, is) = (keys(there, leaves.0).await?, keys(here, leaves.1).await?);
        let position = |name: &String| columns.iter().position(|column| column == name);
        // A key of both sides, none of whose columns is computed.
        let key = is.iter().filter(|key| was.contains(key)).find_map(|key| key.iter().map(position).collect());
        Ok(Table { there: leaves.0, here: leaves.1, key: key.unwrap_or_default(), columns, uncommon })
    }

    /// Both sides as streams: there, here.
    fn sources<'s>(&'s self, there: &'s Side, here: &'s Side) -> [Source<'s>; 2] {
        [(there, self.there), (here, self.here)].map(|(side, leaf)| Source {
            tx: &side.tx,
            select: leaf.select(&self.uncommon),
            columns: self.columns.len(),
            key: &self.key,
        })
    }
}

async fn keys(side: &Side, leaf: &Leaf) -> Result<Vec<Vec<String>>, Failure> {
    Ok(side.tx.query(KEYS, &[&leaf.oid]).await?.iter().map(|row| row.get(0)).collect())
}

/// Values of rows, by position.
type Values = BTreeMap<Position, Vec<Option<String>>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn held(count: u64, sum: u128) -> Held {
        Held { count, sum, position: Position { block: 0, item: 1 } }
    }

    #[test]
    fn keys_are_told_apart_by_side_row_and_number() {
        let side = |rows: &[(u8, Held)]| rows.iter().map(|(key, held)| ([*key; 16], held.clone())).collect();
        let was: scan::HeldRows = side(&[(1, held(1, 5)), (2, held(1, 6)), (3, held(1, 7)), (5, held(2, 8))]);
        let is: scan::HeldRows = side(&[(1, held(1, 5)), (2, held(1, 9)), (4, held(1, 7)), (5, held(3, 8))]);
        let found = differences(was, is);
        let sides: Vec<(bool, bool)> = found.iter().map(|f| (f.there.is_some(), f.here.is_some())).collect();
        assert_eq!(sides, [(true, true), (true, false), (false, true), (true, true)]);
    }
}
