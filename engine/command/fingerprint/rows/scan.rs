//! Streams of a table's rows with their positions, summed by range or held by hash.

use crate::event::{Exit, Failure};
use crate::fingerprint::{CopyRows, Torn};
use crate::target::Tx;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Ranges that keys are spread over, by the first two bytes of their hash.
pub(super) const RANGES: usize = 1 << 16;

/// Where a row lies: it stays there as long as the snapshot is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Position {
    pub(super) block: u32,
    pub(super) item: u16,
}

impl Position {
    /// As `ctid` is written.
    pub(super) fn text(self) -> String {
        format!("({},{})", self.block, self.item)
    }
}

/// What is held of a key: how many rows, the sum of their hashes, where one of them lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) count: u64,
    pub(super) sum: u128,
    pub(super) position: Position,
}

impl Held {
    /// The same rows?
    pub(super) fn same(&self, other: &Held) -> bool {
        self.count == other.count && self.sum == other.sum
    }
}

/// Rows by the hash of their key.
pub(super) type HeldRows = HashMap<[u8; 16], Held>;

/// Number and sum of the rows of each range.
#[derive(Debug)]
pub(super) struct Ranges(Vec<(u64, u128)>);

impl Ranges {
    pub(super) fn rows(&self, range: usize) -> u64 {
        self.0[range].0
    }

    pub(super) fn same(&self, other: &Ranges, range: usize) -> bool {
        self.0[range] == other.0[range]
    }
}

/// One side of a table.
pub(super) struct Source<'s> {
    pub(super) tx: &'s Tx,
    /// Its rows as the fingerprint frames them, columns of both sides only.
    pub(super) select: String,
    /// How many columns that yields.
    pub(super) columns: usize,
    /// Which of them are the key; none: all of the row.
    pub(super) key: &'s [usize],
}

/// Length and bytes of a position, before each row.
const POSITION: usize = 10;

impl Source<'_> {
    /// First pass: every row, summed in its range.
    pub(super) async fn ranges(&self) -> Result<Ranges, Failure> {
        let mut ranges = vec![(0u64, 0u128); RANGES];
        self.stream(|_, key, row| {
            let (rows, sum) = &mut ranges[range(&key)];
            *rows += 1;
            *sum = sum.wrapping_add(row);
        })
        .await?;
        Ok(Ranges(ranges))
    }

    /// Second pass: rows of the ranges wanted, by the hash of their key.
    pub(super) async fn held(&self, wanted: &[bool]) -> Result<HeldRows, Failure> {
        let mut held = HeldRows::new();
        self.stream(|position, key, row| {
            if wanted[range(&key)] {
                let known = held.entry(key).or_insert(Held { count: 0, sum: 0, position });
                known.count += 1;
                known.sum = known.sum.wrapping_add(row);
            }
        })
        .await?;
        Ok(held)
    }

    /// The hash of each column of the rows at these positions.
    pub(super) async fn columns_at(&self, at: &[Position]) -> Result<HashMap<Position, Vec<[u8; 32]>>, Failure> {
        let mut found = HashMap::new();
        if at.is_empty() {
            return Ok(found);
        }
        self.rows(&format!(" WHERE ctid = ANY ({})", positions(at)), |position, row| {
            found.insert(position, fields(row).map(|field| Sha256::digest(field).into()).collect());
        })
        .await?;
        Ok(found)
    }

    /// Calls `each` with position, hash of the key, and hash of the row.
    async fn stream(&self, mut each: impl FnMut(Position, [u8; 16], u128)) -> Result<(), Failure> {
        self.rows("", |position, row| {
            let whole: [u8; 32] = Sha256::digest(row).into();
            let key = if self.key.is_empty() { half(&whole) } else { half(&self.key_hash(row)) };
            each(position, key, u128::from_be_bytes(half(&whole)));
        })
        .await
    }

    fn key_hash(&self, row: &[u8]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for (at, field) in fields(row).enumerate() {
            if self.key.contains(&at) {
                hasher.update(field);
            }
        }
        hasher.finalize().into()
    }

    async fn rows(&self, condition: &str, mut each: impl FnMut(Position, &[u8])) -> Result<(), Failure> {
        let torn = |e: Torn| Failure::new(Exit::Temporary, format!("cannot read rows of `{}`: {e}", self.tx.target()));
        let list = self.select.strip_prefix("SELECT ").unwrap_or(&self.select);
        let comma = if self.columns == 0 { "" } else { "," };
        let sql = format!("COPY (SELECT ctid{comma} {list}{condition}) TO STDOUT (FORMAT binary)");
        let mut reader = CopyRows::default();
        let mut stream = std::pin::pin!(self.tx.copy_out(&sql).await?);
        while let Some(chunk) = stream.next().await {
            reader.feed(&chunk?, &mut |row| each(position(row), &row[POSITION..])).map_err(torn)?;
        }
        reader.finish().map_err(torn)
    }
}

/// An array of positions, for SQL: numbers only.
pub(super) fn positions(at: &[Position]) -> String {
    let list: Vec<String> = at.iter().map(|position| format!("\"{}\"", position.text())).collect();
    format!("'{{{}}}'::pg_catalog.tid[]", list.join(","))
}

fn position(row: &[u8]) -> Position {
    let bytes = |from: usize, to: usize| row.get(from..to).unwrap_or_default();
    let block = bytes(4, 8).try_into().map_or(0, u32::from_be_bytes);
    Position { block, item: bytes(8, POSITION).try_into().map_or(0, u16::from_be_bytes) }
}

/// A row's fields, each with its length before it.
fn fields(mut row: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = i32::from_be_bytes(*row.first_chunk()?);
        let (field, rest) = row.split_at_checked(4 + usize::try_from(length).unwrap_or(0))?;
        row = rest;
        Some(field)
    })
}

fn range(key: &[u8; 16]) -> usize {
    usize::from(u16::from_be_bytes([key[0], key[1]]))
}

fn half(hash: &[u8; 32]) -> [u8; 16] {
    *hash.first_chunk().expect("invariant: 16 of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_lengths() {
        let row = [0, 0, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        let found: Vec<&[u8]> = fields(&row).collect();
        assert_eq!(found, [&row[..5], &row[5..9], &row[9..]]);
    }

    #[test]
    fn positions_are_read_and_written() {
        let row = [0, 0, 0, 6, 0, 0, 1, 2, 0, 7, 9, 9];
        assert_eq!(position(&row), Position { block: 258, item: 7 });
        assert_eq!(positions(&[position(&row)]), "'{\"(258,7)\"}'::pg_catalog.tid[]");
    }
}
