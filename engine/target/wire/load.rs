//! Loading rows into a database that is being made: COPY from raw data, as the owner of what is in it.

use super::inbox::Data;
use super::{Piece, Wire, Word};
use crate::event::Failure;
use crate::name::quote::ident;
use crate::target::Maker;
use futures_util::FutureExt;

/// Bytes gathered before they are sent as one message.
const MESSAGE: usize = 256 * 1024;
/// Type and length.
const HEAD: usize = 5;

/// A session of the maker's that loads. Dropped within a COPY, its connection is closed and the COPY undone.
pub struct Loader {
    wire: Wire,
    /// One message, its head left free.
    message: Vec<u8>,
    text: bool,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Loader({})", self.wire.target)
    }
}

/// Images of whole pages, of indexes that are built and of rows brought up to date all over a copy, are most of the WAL
/// there. Only where the maker may: GRANT SET ON PARAMETER wal_compression.
const COMPRESS: &str = "SELECT pg_catalog.set_config('wal_compression', CASE WHEN 'lz4' OPERATOR(pg_catalog.=) ANY (s.enumvals) \
    THEN 'lz4' ELSE 'pglz' END, false) FROM pg_catalog.pg_settings AS s \
    WHERE s.name OPERATOR(pg_catalog.=) 'wal_compression' AND s.setting OPERATOR(pg_catalog.=) 'off' \
      AND pg_catalog.has_parameter_privilege('wal_compression', 'SET')";

impl Maker {
    /// A session inside `database` that works as `role`. Its commits are not waited for: a database that is being
    /// made is made again after a crash.
    ///
    /// # Errors
    /// Cannot connect, or the server's.
    pub async fn loader(&self, database: &str, role: &str, purpose: &str) -> Result<Loader, Failure> {
        let mut wire = Wire::open(&self.door().to_database(database)?, purpose).await?;
        let role = ident(role).map_err(|why| super::super::maker::bug(&why.to_string()))?;
        wire.ask(
            "SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false) \
                  WHERE pg_catalog.current_setting('server_encoding') OPERATOR(pg_catalog.=) 'SQL_ASCII'",
        )
        .await?;
        wire.ask(COMPRESS).await?;
        wire.ask(&format!(
            "SET ROLE {role}; SET synchronous_commit = off; SET statement_timeout = 0; SET lock_timeout = 0; \
             SET row_security = off; SET check_function_bodies = off"
        ))
        .await?;
        Ok(Loader { wire, message: Vec::with_capacity(MESSAGE + 8192), text: false })
    }
}

impl Loader {
    /// Statements, each message a transaction of its own unless they say otherwise. Rows come as text.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Failure> {
        Ok(self.wire.ask(sql).await?.0)
    }

    /// Runs `COPY ... TO STDOUT` and gives its data; answers the rows the server counted.
    ///
    /// # Errors
    /// The server's, or the connection was lost.
    pub async fn copy_out(&mut self, sql: &str, mut each: impl FnMut(Piece<'_>)) -> Result<u64, Failure> {
        self.wire.begin_copy(sql).await?;
        loop {
            let data = self.wire.inbox.wait(&mut self.wire.stream).await;
            match data.map_err(|e| self.wire.lost(&e))? {
                Data::More => self.wire.inbox.give(&mut each).map_err(|e| self.wire.lost(&e))?,
                Data::Over => return self.wire.end_copy().await,
            }
        }
    }

    /// Sends `COPY ... FROM STDIN`; binary ones get their header.
    ///
    /// # Errors
    /// The server's.
    pub async fn begin_copy(&mut self, sql: &str, text: bool) -> Result<(), Failure> {
        self.wire.begin_copy(sql).await?;
        self.text = text;
        self.message.clear();
        self.message.extend_from_slice(&[0; HEAD]);
        if !text {
            self.message.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        }
        Ok(())
    }

    /// Where rows as COPY frames them are put.
    pub fn gather(&mut self) -> &mut Vec<u8> {
        &mut self.message
    }

    /// Sends what was gathered, once it is worth it.
    ///
    /// # Errors
    /// The server refused what was sent before, or the connection was lost.
    pub async fn pass_on(&mut self) -> Result<(), Failure> {
        if self.message.len() >= MESSAGE { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let length = u32::try_from(self.message.len() - 1).expect("invariant: a message is far below 4 GiB");
        self.message[0] = b'd';
        self.message[1..HEAD].copy_from_slice(&length.to_be_bytes());
        self.wire.sending = true;
        let sent = tokio::io::AsyncWriteExt::write_all(&mut self.wire.stream, &self.message).await;
        self.wire.sending = false;
        let sent = sent.map_err(|e| self.wire.lost(&e));
        self.message.truncate(HEAD);
        // The server says nothing while all is well; after an error it would swallow the rest in silence.
        if let Some(word) = self.wire.word().now_or_never()
            && let Word::Error(said) = word?
        {
            return Err(self.wire.settled(said).await);
        }
        sent
    }

    /// Ends the COPY; answers the rows the server counted.
    ///
    /// # Errors
    /// The server's.
    pub async fn end_copy(&mut self) -> Result<u64, Failure> {
        if !self.text {
            self.message.extend_from_slice(&[0xff, 0xff]);
        }
        if self.message.len() > HEAD {
            self.flush().await?;
        }
        self.wire.send(b'c', &[]).await?;
        self.wire.end_copy().await
    }
}
