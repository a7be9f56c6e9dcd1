//! Rows kept aside on their way, and rows that a statement answers, hashed in groups of their fields.

use crate::digest::RowSum;
use crate::event::{Exit, Failure};
use crate::target::Loader;
use std::io::{Read, Seek, Write};
use std::path::Path;

/// So much of a table is kept in memory; the rest goes into a file without a name.
const IN_MEMORY: usize = 32 << 20;
/// Read and sent at a time.
const PIECE: usize = 256 * 1024;

/// Rows as binary COPY frames them.
#[derive(Debug)]
pub struct Spool(tempfile::SpooledTempFile);

fn lost(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Io, format!("rows cannot be kept aside: {error}"))
}

impl Spool {
    /// An empty one, whose file would lie in `folder`.
    pub(super) fn new(folder: &Path) -> Spool {
        Spool(tempfile::spooled_tempfile_in(IN_MEMORY, folder))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.0.write_all(bytes).map_err(|e| lost(&e))
    }

    /// Loads its rows by a `COPY ... FROM STDIN (FORMAT binary)`; answers how many the server counted.
    ///
    /// # Errors
    /// The server's, or the disk's.
    pub async fn load(&mut self, to: &mut Loader, copy: &str) -> Result<u64, Failure> {
        self.0.rewind().map_err(|e| lost(&e))?;
        to.begin_copy(copy, false).await?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = self.0.read(&mut piece).map_err(|e| lost(&e))?;
            if read == 0 {
                return to.end_copy().await;
            }
            to.gather().extend_from_slice(&piece[..read]);
            to.pass_on().await?;
        }
    }
}

/// Rows that a statement answered, by groups of fields.
#[derive(Debug)]
pub struct Returned {
    groups: Vec<usize>,
    sums: Vec<RowSum>,
    row: Vec<u8>,
    torn: bool,
}

/// Signature, flags, length of the extension.
const HEADER: usize = 19;

impl Returned {
    /// Runs `COPY (...) TO STDOUT (FORMAT binary)`; a sum for each group of so many fields, as if it were a row.
    ///
    /// # Errors
    /// The server's; or what came is no such stream.
    pub async fn by(to: &mut Loader, sql: &str, groups: &[usize]) -> Result<Vec<RowSum>, Failure> {
        let sums = vec![RowSum::default(); groups.len()];
        let mut returned = Returned { groups: groups.to_vec(), sums, row: Vec::new(), torn: false };
        let mut header = true;
        let counted = to
            .copy_out(sql, |piece| {
                returned.row.extend_from_slice(piece.bytes);
                if piece.last {
                    if std::mem::take(&mut header) {
                        returned.row.drain(..HEADER.min(returned.row.len()));
                    }
                    returned.whole();
                }
            })
            .await?;
        if returned.torn || returned.sums.iter().any(|sum| sum.rows != counted) {
            return Err(Failure::new(Exit::Temporary, "the answer of a statement is not what it should be"));
        }
        Ok(returned.sums)
    }

    /// A message is a row, the end, or nothing but the header.
    fn whole(&mut self) {
        if !(self.row.is_empty() || self.row == [0xff, 0xff]) && self.add().is_none() {
            self.torn = true;
        }
        self.row.clear();
    }

    fn add(&mut self) -> Option<()> {
        let (number, fields) = self.row.split_first_chunk::<2>()?;
        if usize::from(u16::from_be_bytes(*number)) != self.groups.iter().sum::<usize>() {
            return None;
        }
        let mut rest = fields;
        for (group, sum) in self.groups.iter().zip(&mut self.sums) {
            let whole = rest;
            for _ in 0..*group {
                let (length, after) = rest.split_first_chunk::<4>()?;
                rest = after.get(usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0)..)?;
            }
            sum.add_row(&whole[..whole.len() - rest.len()]);
        }
        rest.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_fields_are_rows_of_their_own() {
        let field = |text: &[u8]| [&u32::try_from(text.len()).expect("short").to_be_bytes()[..], text].concat();
        let null = (-1_i32).to_be_bytes().to_vec();
        let (a, b) = ([field(b"new"), null].concat(), [field(b"old"), field(b"")].concat());
        let row = [vec![0, 4], a.clone(), b.clone()].concat();
        let mut returned =
            Returned { groups: vec![2, 2], sums: vec![RowSum::default(); 2], row: row.clone(), torn: false };
        returned.whole();
        let mut sums = vec![RowSum::default(); 2];
        sums[0].add_row(&a);
        sums[1].add_row(&b);
        assert_eq!((returned.sums.clone(), returned.torn), (sums, false));
        for torn in [&row[..row.len() - 1], &row[..9], &[&row[..], b"x"].concat(), &[0, 3, 1]] {
            let mut returned = Returned {
                row: torn.to_vec(),
                torn: false,
                ..Returned { groups: vec![2, 2], sums: vec![RowSum::default(); 2], row: Vec::new(), torn: false }
            };
            returned.whole();
            assert!(returned.torn, "{torn:?}");
        }
    }
}
