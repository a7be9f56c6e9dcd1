//! One COPY stream: rows recognised, hashed, and passed on as they are.
//!
//! Binary COPY: an 11 byte signature, flags, a header extension; then per row an int16 number of fields and per field
//! an int32 length (-1: NULL) and its bytes; -1 as the number of fields ends it. PostgreSQL sends one message a row,
//! the header before the first and the end in a message of its own; a stream that does otherwise is refused.
//! A row's hash is over its fields' lengths and bytes, without their number (format fp1).

use crate::digest::{RowHash, RowSum};
use crate::target::Piece;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the extension.
const HEADER: usize = 19;

/// What is wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the COPY stream {0}")]
pub(super) struct Torn(&'static str);

/// The rows of one binary COPY.
#[derive(Debug)]
pub(super) struct Rows {
    fields: [u8; 2],
    sum: RowSum,
    /// A row larger than the buffer it comes in.
    large: Option<RowHash>,
    begun: bool,
    ended: bool,
    torn: Option<Torn>,
}

impl Rows {
    /// Rows of so many fields.
    pub(super) fn of(fields: usize) -> Rows {
        let fields = i16::try_from(fields).expect("invariant: PostgreSQL has at most 1600 columns").to_be_bytes();
        Rows { fields, sum: RowSum::default(), large: None, begun: false, ended: false, torn: None }
    }

    /// Takes a piece and puts what belongs to rows into `on`, when given.
    pub(super) fn take(&mut self, piece: Piece<'_>, on: Option<&mut Vec<u8>>) {
        if self.torn.is_none()
            && let Err(torn) = self.taken(piece, on)
        {
            self.torn = Some(torn);
        }
    }

    fn taken(&mut self, piece: Piece<'_>, mut on: Option<&mut Vec<u8>>) -> Result<(), Torn> {
        let mut bytes = piece.bytes;
        if piece.first {
            if !self.begun {
                bytes = after_header(bytes)?;
                self.begun = true;
                if bytes.is_empty() {
                    return Ok(());
                }
            }
            if self.ended {
                return Err(Torn("goes on after its end"));
            }
            if bytes == [0xff, 0xff] {
                self.ended = true;
                return Ok(());
            }
            if !bytes.starts_with(&self.fields) {
                return Err(Torn("has a row of another number of fields"));
            }
        }
        if let Some(on) = on.as_mut() {
            on.extend_from_slice(bytes);
        }
        match (piece.first, piece.last) {
            (true, true) => {
                whole(bytes)?;
                self.sum.add_row(&bytes[2..]);
            }
            (true, false) => {
                let mut hash = RowHash::default();
                hash.update(&bytes[2..]);
                self.large = Some(hash);
            }
            (false, last) => {
                let mut hash = self.large.take().ok_or(Torn("goes on with a row that did not begin"))?;
                hash.update(bytes);
                if last {
                    self.sum.add_hash(hash);
                } else {
                    self.large = Some(hash);
                }
            }
        }
        Ok(())
    }

    /// Rows so far.
    pub(super) fn seen(&self) -> (u64, u64) {
        (self.sum.rows, self.sum.bytes)
    }

    /// The sum, when the stream ended as it should with as many rows as the server counted.
    pub(super) fn end(self, counted: u64) -> Result<RowSum, Torn> {
        if let Some(torn) = self.torn {
            return Err(torn);
        }
        if !self.ended || self.large.is_some() {
            return Err(Torn("ended early"));
        }
        if self.sum.rows != counted {
            return Err(Torn("has another number of rows than the server says"));
        }
        Ok(self.sum)
    }

    /// Why it cannot go on, if so.
    pub(super) fn torn(&self) -> Option<Torn> {
        self.torn
    }
}

fn after_header(bytes: &[u8]) -> Result<&[u8], Torn> {
    if !bytes.starts_with(SIGNATURE) || bytes.len() < HEADER {
        return Err(Torn("has no signature"));
    }
    let extension = u32::from_be_bytes([bytes[15], bytes[16], bytes[17], bytes[18]]) as usize;
    bytes.get(HEADER + extension..).ok_or(Torn("has a header of another length"))
}

/// The fields' lengths must fill the message: then a row is a row.
fn whole(row: &[u8]) -> Result<(), Torn> {
    let mut rest = &row[2..];
    for _ in 0..u16::from_be_bytes([row[0], row[1]]) {
        let Some((length, after)) = rest.split_first_chunk::<4>() else { return Err(Torn("has a row cut short")) };
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        rest = after.get(length..).ok_or(Torn("has a row cut short"))?;
    }
    if rest.is_empty() { Ok(()) } else { Err(Torn("has more than one row in a message")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[0; 8]);
        bytes
    }

    fn row(fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut bytes = i16::try_from(fields.len()).expect("few").to_be_bytes().to_vec();
        for field in fields {
            bytes.extend_from_slice(&field.map_or(-1, |f| i32::try_from(f.len()).expect("short")).to_be_bytes());
            bytes.extend_from_slice(field.unwrap_or_default());
        }
        bytes
    }

    fn piece(bytes: &[u8]) -> Piece<'_> {
        Piece { bytes, first: true, last: true }
    }

    #[test]
    fn rows_are_hashed_and_passed_on_whatever_their_size() {
        let (a, b) = (row(&[Some(b"a"), None]), row(&[Some(&[7; 3000]), Some(b"")]));
        let (mut rows, mut on) = (Rows::of(2), Vec::new());
        rows.take(piece(&[header(), a.clone()].concat()), Some(&mut on));
        rows.take(Piece { bytes: &b[..1000], first: true, last: false }, Some(&mut on));
        rows.take(Piece { bytes: &b[1000..2000], first: false, last: false }, Some(&mut on));
        rows.take(Piece { bytes: &b[2000..], first: false, last: true }, Some(&mut on));
        rows.take(piece(&[0xff, 0xff]), Some(&mut on));
        assert_eq!(on, [a.clone(), b.clone()].concat());
        let mut sum = RowSum::default();
        sum.add_row(&a[2..]);
        sum.add_row(&b[2..]);
        assert_eq!(rows.end(2), Ok(sum));
    }

    #[test]
    fn what_is_torn_is_refused() {
        let ended = |pieces: &[&[u8]], counted| {
            let mut rows = Rows::of(1);
            for bytes in pieces {
                rows.take(piece(bytes), None);
            }
            rows.end(counted).map(|sum| sum.rows).map_err(|torn| torn.0)
        };
        let (head, one) = (header(), row(&[Some(b"x")]));
        let end: &[u8] = &[0xff, 0xff];
        assert_eq!(ended(&[&head, &one, end], 1), Ok(1));
        assert_eq!(ended(&[&head, end], 0), Ok(0));
        assert_eq!(ended(&[&head, &one], 1), Err("ended early"));
        assert_eq!(ended(&[&head, &one, end], 2), Err("has another number of rows than the server says"));
        assert_eq!(ended(&[&head, &row(&[None, None]), end], 1), Err("has a row of another number of fields"));
        assert_eq!(
            ended(&[&head, &[one.clone(), one.clone()].concat(), end], 2),
            Err("has more than one row in a message")
        );
        assert_eq!(ended(&[&head, &one[..4], end], 1), Err("has a row cut short"));
        assert_eq!(ended(&[b"something else that is long enough"], 0), Err("has no signature"));
        assert_eq!(ended(&[&head, end, &one], 0), Err("goes on after its end"));
    }
}
