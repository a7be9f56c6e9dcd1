//! Rows out of a binary COPY stream, without copying those that lie in one chunk.
//!
//! Format: an 11 byte signature, flags, a header extension; then per row an int16 number of fields and per field
//! an int32 length (-1: NULL) and its bytes; -1 as the number of fields ends the stream.
//! A row is given as its fields' lengths and bytes, without their number.

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the extension.
const HEADER: usize = 19;

/// The stream is not what binary COPY sends, or ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the COPY stream {0}")]
pub struct Torn(&'static str);

/// Takes chunks, gives rows. Memory is bounded by the largest row and chunk.
#[derive(Debug, Default)]
pub struct CopyRows {
    /// Bytes from the start of a row that is not complete yet.
    pending: Vec<u8>,
    place: Place,
    /// Fields of the current row not seen yet; `None` before their number is known.
    left: Option<u16>,
    /// Where the next field's length is, counted from the start of the row.
    next: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Header,
    Rows,
    Ended,
}

enum Step {
    /// This many bytes were taken, the row among them.
    Row(usize),
    /// This many bytes were taken that are no row.
    Skip(usize),
    More,
}

impl CopyRows {
    /// Takes the next chunk and calls `row` for each row it completes.
    ///
    /// # Errors
    /// The bytes are not a binary COPY.
    pub fn feed(&mut self, chunk: &[u8], row: &mut impl FnMut(&[u8])) -> Result<(), Torn> {
        if self.pending.is_empty() {
            let taken = self.advance(chunk, row)?;
            self.pending.extend_from_slice(&chunk[taken..]);
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(chunk);
        let taken = self.advance(&pending, row)?;
        pending.drain(..taken);
        self.pending = pending;
        Ok(())
    }

    /// Demands that the stream has ended as it should.
    ///
    /// # Errors
    /// It ended early.
    pub fn finish(self) -> Result<(), Torn> {
        if self.place == Place::Ended && self.pending.is_empty() { Ok(()) } else { Err(Torn("ended early")) }
    }

    /// Takes all that is complete at the start of `buffer`; answers how much that was.
    fn advance(&mut self, buffer: &[u8], row: &mut impl FnMut(&[u8])) -> Result<usize, Torn> {
        let mut taken = 0;
        loop {
            let rest = &buffer[taken..];
            match self.step(rest)? {
                Step::Row(end) => {
                    row(&rest[2..end]);
                    taken += end;
                }
                Step::Skip(end) => taken += end,
                Step::More => return Ok(taken),
            }
        }
    }

    fn step(&mut self, rest: &[u8]) -> Result<Step, Torn> {
        match self.place {
            Place::Header => self.header(rest),
            Place::Rows => self.row(rest),
            Place::Ended if rest.is_empty() => Ok(Step::More),
            Place::Ended => Err(Torn("goes on after its end")),
        }
    }

    fn header(&mut self, rest: &[u8]) -> Result<Step, Torn> {
        let Some(extension) = int32(rest, HEADER - 4) else { return Ok(Step::More) };
        if !rest.starts_with(SIGNATURE) {
            return Err(Torn("has no signature"));
        }
        let end = HEADER + usize::try_from(extension).map_err(|_| Torn("has a negative length"))?;
        if rest.len() < end {
            return Ok(Step::More);
        }
        self.place = Place::Rows;
        Ok(Step::Skip(end))
    }

    fn row(&mut self, rest: &[u8]) -> Result<Step, Torn> {
        let mut left = match self.left {
            Some(left) => left,
            None => match fields(rest) {
                None => return Ok(Step::More),
                Some(-1) => {
                    self.place = Place::Ended;
                    return Ok(Step::Skip(2));
                }
                Some(number) => {
                    self.next = 2;
                    u16::try_from(number).map_err(|_| Torn("has a negative number of fields"))?
                }
            },
        };
        while left > 0 {
            let Some(length) = int32(rest, self.next) else { break };
            let length =
                if length == -1 { 0 } else { usize::try_from(length).map_err(|_| Torn("has a negative length"))? };
            self.next += 4 + length;
            left -= 1;
        }
        if left > 0 || rest.len() < self.next {
            self.left = Some(left);
            return Ok(Step::More);
        }
        self.left = None;
        Ok(Step::Row(self.next))
    }
}

fn fields(bytes: &[u8]) -> Option<i16> {
    bytes.first_chunk().map(|two| i16::from_be_bytes(*two))
}

fn int32(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().map(|four| i32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 3, 7, 7, 7]);
        for row in rows {
            out.extend_from_slice(&i16::try_from(row.len()).expect("few fields").to_be_bytes());
            for field in *row {
                let length = field.map_or(-1, |f| i32::try_from(f.len()).expect("short field"));
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(field.unwrap_or_default());
            }
        }
        out.extend_from_slice(&[0xff, 0xff]);
        out
    }

    fn rows(chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, Torn> {
        let (mut reader, mut out) = (CopyRows::default(), Vec::new());
        for chunk in chunks {
            reader.feed(chunk, &mut |row| out.push(row.to_vec()))?;
        }
        reader.finish().map(|()| out)
    }

    fn sample() -> Vec<u8> {
        stream(&[&[Some(b"a"), None, Some(b"")], &[], &[Some(&[0xff; 300])], &[None], &[Some(&[0xff; 2])]])
    }

    #[test]
    fn rows_are_the_framing_of_their_fields() {
        let whole = rows(&[&sample()]).expect("a stream");
        assert_eq!(whole.len(), 5);
        assert_eq!(whole[0], b"\0\0\0\x01a\xff\xff\xff\xff\0\0\0\0");
        assert_eq!(whole[1], b"");
        assert_eq!(whole[3], b"\xff\xff\xff\xff");
        assert_eq!(rows(&[&stream(&[])]), Ok(Vec::new()));
    }

    #[test]
    fn chunk_borders_do_not_count() {
        let bytes = sample();
        let whole = rows(&[&bytes]);
        for cut in 0..=bytes.len() {
            assert_eq!(rows(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
        }
        for size in [1, 2, 3, 7, 64] {
            assert_eq!(rows(&bytes.chunks(size).collect::<Vec<_>>()), whole, "chunks of {size}");
        }
    }

    #[test]
    fn what_is_torn_is_refused() {
        let bytes = sample();
        for cut in 0..bytes.len() {
            assert_eq!(rows(&[&bytes[..cut]]), Err(Torn("ended early")), "cut at {cut}");
        }
        assert_eq!(rows(&[&bytes, b"x"]), Err(Torn("goes on after its end")));
        assert_eq!(rows(&[b"something else that is long enough"]), Err(Torn("has no signature")));
        assert_eq!(rows(&[&bytes[..22], &[0, 1, 0xff, 0xff, 0xff, 0xfe]]), Err(Torn("has a negative length")));
    }
}
