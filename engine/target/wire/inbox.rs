//! Messages of a server out of a stream, in one buffer that does not grow with the data.

use super::tap::Duplex;
use super::{Piece, Said, Word};
use std::io;
use tokio::io::AsyncReadExt;

/// Bytes read at a time. The server sends 8 KiB at a time; whoever falls behind reads many of those in one go.
const ROOM: usize = 256 * 1024;
/// Type and length.
const HEAD: usize = 5;

/// What has arrived and was not taken yet.
pub(super) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of a data message that are still to come.
    open: usize,
}

/// What is next.
enum Next {
    /// Data, from and to these places; whether it begins a message.
    Piece(usize, usize, bool),
    /// Another message.
    Other,
    /// Nothing yet: so many bytes must fit.
    Want(usize),
}

/// What a wait for data came to.
pub(super) enum Data {
    /// There is some.
    More,
    /// Some other message is next.
    Over,
}

impl Inbox {
    pub(super) fn new() -> Inbox {
        Inbox { buffer: vec![0; ROOM], start: 0, end: 0, open: 0 }
    }

    fn held(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads once; `want` bytes must fit behind what is held.
    async fn fill(&mut self, stream: &mut Box<dyn Duplex>, want: usize) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.start < want || self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buffer.len() < want {
            self.buffer.resize(want, 0);
        }
        match stream.read(&mut self.buffer[self.end..]).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            read => {
                self.end += read;
                Ok(())
            }
        }
    }

    /// Type and payload length of the next message, when its head is here.
    fn head(&self) -> io::Result<Option<(u8, usize)>> {
        let held = self.held();
        let Some(head) = held.first_chunk::<HEAD>() else { return Ok(None) };
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let payload = length.checked_sub(4).ok_or_else(|| io::Error::other("a message of negative length"))?;
        Ok(Some((head[0], payload)))
    }

    /// Waits until a piece of COPY data can be given, or something else is next.
    pub(super) async fn wait(&mut self, stream: &mut Box<dyn Duplex>) -> io::Result<Data> {
        loop {
            match self.next()? {
                Next::Piece(..) => return Ok(Data::More),
                Next::Other => return Ok(Data::Over),
                Next::Want(bytes) => self.fill(stream, bytes).await?,
            }
        }
    }

    /// Gives every piece of COPY data that is here.
    pub(super) fn give(&mut self, each: &mut impl FnMut(Piece<'_>)) -> io::Result<()> {
        while let Next::Piece(from, to, first) = self.next()? {
            if first {
                let (_, payload) = self.head()?.unwrap_or_default();
                self.open = payload;
            }
            self.open -= to - from;
            each(Piece { bytes: &self.buffer[from..to], first, last: self.open == 0 });
            self.start = to;
        }
        Ok(())
    }

    fn next(&self) -> io::Result<Next> {
        let here = self.end - self.start;
        if self.open > 0 {
            let to = self.start + self.open.min(here);
            return Ok(if here > 0 { Next::Piece(self.start, to, false) } else { Next::Want(1) });
        }
        let from = self.start + HEAD;
        Ok(match self.head()? {
            Some((b'd', payload)) if here >= HEAD + payload => Next::Piece(from, from + payload, true),
            // Larger than the buffer: in pieces.
            Some((b'd', payload)) if payload + HEAD > self.buffer.len() && here == self.buffer.len() => {
                Next::Piece(from, self.end, true)
            }
            Some((b'd', payload)) => Next::Want((payload + HEAD).min(self.buffer.len())),
            Some(_) => Next::Other,
            None => Next::Want(HEAD),
        })
    }

    /// The next message that matters. Data of a COPY that is being given up is skipped.
    pub(super) async fn word(&mut self, stream: &mut Box<dyn Duplex>) -> io::Result<Word> {
        loop {
            while self.open > 0 {
                if self.start == self.end {
                    self.fill(stream, 1).await?;
                }
                let take = self.open.min(self.end - self.start);
                self.open -= take;
                self.start += take;
            }
            let Some((kind, payload)) = self.head()? else {
                self.fill(stream, HEAD).await?;
                continue;
            };
            if kind == b'd' {
                self.start += HEAD;
                self.open = payload;
                continue;
            }
            if self.held().len() < HEAD + payload {
                self.fill(stream, HEAD + payload).await?;
                continue;
            }
            let from = self.start + HEAD;
            let word = word(kind, &self.buffer[from..from + payload]);
            self.start = from + payload;
            if let Some(word) = word {
                return Ok(word);
            }
        }
    }
}

fn word(kind: u8, body: &[u8]) -> Option<Word> {
    match kind {
        b'C' => Some(Word::Complete(text(body))),
        b'D' => Some(Word::Row(row(body))),
        b'G' | b'H' => Some(Word::Copy),
        b'c' => Some(Word::CopyDone),
        b'Z' => Some(Word::Ready),
        b'E' => Some(Word::Error(said(body))),
        // Notices, parameters, row descriptions, empty queries.
        _ => None,
    }
}

/// Up to the first zero byte.
fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
}

fn row(body: &[u8]) -> Vec<Option<String>> {
    let mut rest = body.get(2..).unwrap_or_default();
    let mut values = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = i32::from_be_bytes(*length);
        let Ok(length) = usize::try_from(length) else {
            values.push(None);
            rest = after;
            continue;
        };
        let (value, after) = after.split_at(length.min(after.len()));
        values.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = after;
    }
    values
}

/// The fields of an `ErrorResponse`.
fn said(body: &[u8]) -> Said {
    let mut said = Said::default();
    for field in body.split(|b| *b == 0) {
        let Some((kind, value)) = field.split_first() else { continue };
        let value = String::from_utf8_lossy(value).into_owned();
        match kind {
            b'C' => said.code = value,
            b'M' => said.message = value,
            b'D' => said.detail = Some(value),
            b'H' => said.hint = Some(value),
            b's' => said.schema = Some(value),
            b't' => said.table = Some(value),
            b'n' => said.constraint = Some(value),
            b'P' => said.position = value.parse::<usize>().ok().map(|n| n.saturating_sub(1)),
            _ => {}
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&u32::try_from(body.len() + 4).expect("short").to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// Sends `bytes` in parts of `part` bytes and takes all data, then the next word.
    async fn taken(bytes: Vec<u8>, part: usize) -> (Vec<Vec<u8>>, String) {
        let (near, mut far) = tokio::net::UnixStream::pair().expect("a pair of sockets");
        let sender = tokio::spawn(async move {
            for part in bytes.chunks(part) {
                tokio::io::AsyncWriteExt::write_all(&mut far, part).await.expect("sent");
            }
            far
        });
        let mut stream: Box<dyn Duplex> = Box::new(super::super::tap::Socket::Unix(near));
        let (mut inbox, mut rows, mut open) = (Inbox::new(), Vec::new(), Vec::new());
        let mut each = |piece: Piece<'_>| {
            assert_eq!(piece.first, open.is_empty());
            open.extend_from_slice(piece.bytes);
            if piece.last {
                rows.push(std::mem::take(&mut open));
            }
        };
        while let Data::More = inbox.wait(&mut stream).await.expect("data") {
            inbox.give(&mut each).expect("data");
        }
        let Ok(Word::Complete(tag)) = inbox.word(&mut stream).await else { panic!("no tag") };
        drop(sender.await);
        (rows, tag)
    }

    #[tokio::test]
    async fn messages_come_whole_whatever_the_parts() {
        let big: Vec<u8> = (0..3 * ROOM + 11).map(|i| u8::try_from(i % 251).expect("small")).collect();
        let rows = [b"one".to_vec(), big, b"two".to_vec(), vec![7; ROOM - HEAD], vec![8; ROOM], b"end".to_vec()];
        let mut bytes: Vec<u8> = rows.iter().flat_map(|row| message(b'd', row)).collect();
        bytes.extend(message(b'C', b"COPY 6\0"));
        for part in [7919, 65_536, 1 << 20] {
            let (got, tag) = taken(bytes.clone(), part).await;
            assert_eq!(tag, "COPY 6");
            assert!(got == rows, "parts of {part}: {:?}", got.iter().map(Vec::len).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_is_read_field_by_field() {
        let said = said(b"SERROR\0C42P01\0Mno such table\0P8\0\0");
        assert_eq!((said.code.as_str(), said.message.as_str(), said.position), ("42P01", "no such table", Some(7)));
        assert_eq!(row(b"\0\x02\0\0\0\x02on\xff\xff\xff\xff"), [Some("on".to_owned()), None]);
    }
}
