//! A session whose COPY data is handled where it arrives: the driver's own COPY stream hands every row through a
//! channel, which costs more than the rest of a copy together. Simple queries and COPY, nothing else.

mod cancel;
mod inbox;
mod load;
mod read;
mod tap;

pub use cancel::Canceller;
pub use load::Loader;
pub use read::Streamer;

use super::at_work::{self, AtWork};
use super::connect::Door;
use super::fault::{self, Said};
use crate::event::{Exit, Failure};
use inbox::Inbox;
use tap::Duplex;
use tokio::io::AsyncWriteExt;

/// A part of one COPY message's payload. The server sends one message a row, except for the largest rows whole.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'b> {
    /// The bytes.
    pub bytes: &'b [u8],
    /// They begin a message.
    pub first: bool,
    /// They end it.
    pub last: bool,
}

/// A message that is no data.
enum Word {
    /// `CommandComplete`: its tag.
    Complete(String),
    /// A row of text values.
    Row(Vec<Option<String>>),
    /// COPY may begin.
    Copy,
    /// COPY's data has ended.
    CopyDone,
    /// `ReadyForQuery`.
    Ready,
    /// `ErrorResponse`.
    Error(Said),
}

/// The session.
pub(super) struct Wire {
    stream: Box<dyn Duplex>,
    inbox: Inbox,
    target: String,
    purpose: String,
    canceller: Canceller,
    /// The server was sent something and has not said that it is ready for more.
    busy: bool,
    /// A message is on its way there, perhaps in part.
    sending: bool,
    /// Until it is closed.
    at_work: Option<AtWork>,
}

impl Wire {
    async fn open(door: &Door, purpose: &str) -> Result<Wire, Failure> {
        let (stream, token) = tap::open(door).await?;
        let (target, canceller) = (door.target.clone(), Canceller::new(door, token));
        let (purpose, at_work) = (purpose.to_owned(), Some(AtWork::session(canceller.clone())));
        Ok(Wire { stream, inbox: Inbox::new(), target, purpose, canceller, busy: false, sending: false, at_work })
    }

    fn what(&self) -> String {
        format!("{} on `{}`", self.purpose, self.target)
    }

    fn lost(&self, error: &std::io::Error) -> Failure {
        Failure::new(Exit::Temporary, format!("{}: {error}", self.what())).fact("the connection was lost")
    }

    fn failed(&self, said: Said) -> Failure {
        let held = said.code == "55P03";
        let mut failure = fault::server(&self.what(), said);
        if held {
            // Nobody's fault: somebody else has the table.
            failure.exit = Exit::Temporary;
        }
        failure
    }

    async fn send(&mut self, kind: u8, body: &[&[u8]]) -> Result<(), Failure> {
        let length: usize = body.iter().map(|part| part.len()).sum::<usize>() + 4;
        let mut head = [kind, 0, 0, 0, 0];
        let length = u32::try_from(length).expect("invariant: messages are smaller than 4 GiB");
        head[1..].copy_from_slice(&length.to_be_bytes());
        self.sending = true;
        let mut sent = self.stream.write_all(&head).await;
        for part in body {
            if sent.is_ok() {
                sent = self.stream.write_all(part).await;
            }
        }
        self.sending = false;
        sent.map_err(|e| self.lost(&e))
    }

    async fn query(&mut self, sql: &str) -> Result<(), Failure> {
        let mut message = Vec::with_capacity(sql.len() + 6);
        message.push(b'Q');
        let length = u32::try_from(sql.len() + 5).expect("invariant: a statement is smaller than 4 GiB");
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(sql.as_bytes());
        message.push(0);
        (self.busy, self.sending) = (true, true);
        let sent = async {
            self.stream.write_all(&message).await?;
            self.stream.flush().await
        };
        let sent = sent.await;
        self.sending = false;
        sent.map_err(|e| self.lost(&e))
    }

    /// The next message that is neither notice nor parameter.
    async fn word(&mut self) -> Result<Word, Failure> {
        let word = self.inbox.word(&mut self.stream).await;
        self.busy &= !matches!(word, Ok(Word::Ready));
        word.map_err(|e| self.lost(&e))
    }

    /// Statements whose rows, if any, are read as text. Answers the rows and the last tag.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<(Vec<Vec<Option<String>>>, String), Failure> {
        self.query(sql).await?;
        let (mut rows, mut tag) = (Vec::new(), String::new());
        loop {
            match self.word().await? {
                Word::Row(row) => rows.push(row),
                Word::Complete(said) => tag = said,
                Word::Error(said) => return Err(self.settled(said).await),
                Word::Ready => return Ok((rows, tag)),
                Word::Copy | Word::CopyDone => {}
            }
        }
    }

    /// Sends a COPY and waits until its data may flow.
    async fn begin_copy(&mut self, sql: &str) -> Result<(), Failure> {
        self.query(sql).await?;
        loop {
            match self.word().await? {
                Word::Copy => return Ok(()),
                Word::Error(said) => return Err(self.settled(said).await),
                _ => {}
            }
        }
    }

    /// The rest of a COPY after its data: the rows the server counted.
    async fn end_copy(&mut self) -> Result<u64, Failure> {
        let mut rows = 0;
        loop {
            match self.word().await? {
                Word::Complete(tag) => rows = tag.strip_prefix("COPY ").and_then(|n| n.parse().ok()).unwrap_or(0),
                Word::Error(said) => return Err(self.settled(said).await),
                Word::Ready => return Ok(rows),
                _ => {}
            }
        }
    }

    /// After an error the session is ready again, or gone; either way the error is what counts.
    async fn settled(&mut self, said: Said) -> Failure {
        while let Ok(word) = self.inbox.word(&mut self.stream).await {
            if matches!(word, Word::Ready) {
                self.busy = false;
                break;
            }
        }
        self.failed(said)
    }
}

impl Drop for Wire {
    /// At the end of a run what it does is cancelled, and it is closed in good order; else it is closed at once, which the
    /// server notices when it reads or writes next. So it is, too, in the middle of a message: nobody has its rest.
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.sending || !at_work::ending() {
            return;
        }
        let mut stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let mut inbox = std::mem::replace(&mut self.inbox, Inbox::new());
        let (busy, at_work) = (self.busy, self.at_work.take());
        runtime.spawn(async move {
            // A cancel does not reach a COPY that waits for rows; this does, and means nothing to all others.
            if busy && stream.write_all(b"f\0\0\0\x05\0").await.is_ok() {
                while !matches!(inbox.word(&mut stream).await, Ok(Word::Ready) | Err(_)) {}
            }
            let _ = stream.write_all(b"X\0\0\0\x04").await;
            let _ = stream.shutdown().await;
            drop(at_work);
        });
    }
}
