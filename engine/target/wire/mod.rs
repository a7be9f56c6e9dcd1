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
}

impl Wire {
    async fn open(door: &Door, purpose: &str) -> Result<Wire, Failure> {
        let (stream, token) = tap::open(door).await?;
        let (target, canceller) = (door.target.clone(), Canceller::new(door, token));
        Ok(Wire { stream, inbox: Inbox::new(), target, purpose: purpose.to_owned(), canceller })
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
        let mut sent = self.stream.write_all(&head).await;
        for part in body {
            if sent.is_ok() {
                sent = self.stream.write_all(part).await;
            }
        }
        sent.map_err(|e| self.lost(&e))
    }

    async fn query(&mut self, sql: &str) -> Result<(), Failure> {
        let mut message = Vec::with_capacity(sql.len() + 6);
        message.push(b'Q');
        let length = u32::try_from(sql.len() + 5).expect("invariant: a statement is smaller than 4 GiB");
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(sql.as_bytes());
        message.push(0);
        let sent = async {
            self.stream.write_all(&message).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|e| self.lost(&e))
    }

    /// The next message that is neither notice nor parameter.
    async fn word(&mut self) -> Result<Word, Failure> {
        let word = self.inbox.word(&mut self.stream).await;
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
                break;
            }
        }
        self.failed(said)
    }
}
