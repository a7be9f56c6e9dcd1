//! Reading rows of a target as raw COPY data: one watched READ ONLY transaction.

use super::super::stall::{Flight, Sent};
use super::super::tx::{Isolation, Witness, begin};
use super::inbox::Data;
use super::{Piece, Wire};
use crate::clock::Stopwatch;
use crate::event::{Exit, Failure, TxRecord};
use crate::target::{Confined, Reader};
use std::sync::Arc;

/// A READ ONLY transaction that streams. Dropped without `finish`, its connection is closed.
pub struct Streamer {
    wire: Wire,
    begun: Witness,
    /// Who asks for whom it waits is told since when it is at a statement.
    flight: Arc<Flight>,
    /// Asked about its role at the end: at the beginning others would queue up for locks that it still has to take.
    confined: Option<Arc<Confined>>,
    /// A COPY is under way.
    copying: bool,
    statements: u32,
    watch: Stopwatch,
}

impl std::fmt::Debug for Streamer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Streamer({} for {})", self.wire.target, self.wire.purpose)
    }
}

impl Reader {
    /// Begins a READ ONLY transaction that streams rows.
    ///
    /// # Errors
    /// Cannot connect (75 or 1), or the server's.
    pub async fn stream(&self, purpose: &str, isolation: &Isolation) -> Result<Streamer, Failure> {
        let mut wire = Wire::open(self.door(), purpose).await?;
        // All it says is the engine's. Bytes of a database that has no encoding pass as they are.
        wire.ask(
            "SET search_path = pg_catalog, pg_temp; SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false) \
                  WHERE pg_catalog.current_setting('server_encoding') OPERATOR(pg_catalog.=) 'SQL_ASCII'",
        )
        .await?;
        if let Some(expected) = &self.door().expected {
            let (rows, _) = wire.ask(super::super::identity::IDENTITY).await?;
            expected.demand(&super::super::identity::of_text(&rows)?, &wire.target)?;
        }
        wire.ask(&begin(isolation)).await?;
        let begun = witness(&mut wire).await?;
        let confined = self.door().confined.clone();
        let flight = self.flight(begun.pid);
        Ok(Streamer { wire, begun, flight, confined, copying: false, statements: 0, watch: Stopwatch::start() })
    }
}

impl Streamer {
    /// What cancels its statement from beside it.
    pub fn canceller(&self) -> super::Canceller {
        self.wire.canceller.clone()
    }

    /// Sends `COPY ... TO STDOUT`, built from names that were quoted; its data is taken with `wait` and `give`.
    ///
    /// # Errors
    /// The server's.
    pub async fn begin_copy(&mut self, sql: &str) -> Result<(), Failure> {
        self.statements += 1;
        let _sent = Sent::now(Some(&self.flight));
        self.wire.begin_copy(sql).await?;
        self.copying = true;
        Ok(())
    }

    /// Asks, within the transaction; values come as text.
    ///
    /// # Errors
    /// The server's.
    pub async fn ask(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Failure> {
        self.statements += 1;
        let _sent = Sent::now(Some(&self.flight));
        Ok(self.wire.ask(sql).await?.0)
    }

    /// Takes the rest of a COPY that is of no use any more, so that the transaction can go on.
    ///
    /// # Errors
    /// As `wait`.
    pub async fn drain(&mut self) -> Result<(), Failure> {
        while self.copying && self.wait().await?.is_none() {
            self.give(|_| {})?;
        }
        Ok(())
    }

    /// Waits for data. `None`: there is some, to be taken with `give`; else the rows the server counted, at the end.
    ///
    /// # Errors
    /// The server's, or the connection was lost.
    pub async fn wait(&mut self) -> Result<Option<u64>, Failure> {
        let data = self.wire.inbox.wait(&mut self.wire.stream).await;
        match data.map_err(|e| self.wire.lost(&e))? {
            Data::More => Ok(None),
            Data::Over => {
                self.copying = false;
                self.wire.end_copy().await.map(Some)
            }
        }
    }

    /// Gives the data that is here.
    ///
    /// # Errors
    /// The server's messages make no sense.
    pub fn give(&mut self, mut each: impl FnMut(Piece<'_>)) -> Result<(), Failure> {
        self.wire.inbox.give(&mut each).map_err(|e| self.wire.lost(&e))
    }

    /// Ends the transaction, which must have stayed what it was, and begins another one with a snapshot of its own.
    ///
    /// # Errors
    /// As `finish`.
    pub async fn renew(&mut self) -> Result<(), Failure> {
        let now = witness(&mut self.wire).await?;
        self.unchanged(&now)?;
        self.wire.ask("ROLLBACK").await?;
        self.wire.ask(&begin(&Isolation::Snapshot)).await?;
        self.begun = witness(&mut self.wire).await?;
        Ok(())
    }

    fn unchanged(&self, now: &Witness) -> Result<(), Failure> {
        if *now == self.begun && now.read_only && now.xid.is_none() {
            return Ok(());
        }
        let what = format!("a read-only transaction on `{}` did not stay one", self.wire.target);
        Err(Failure::new(Exit::ChangedByUs, what).fact(format!("purpose: {}", self.wire.purpose)))
    }

    /// Checks the transaction a last time and rolls it back.
    ///
    /// # Errors
    /// It did not stay the READ ONLY one that was begun (45); or the connection was lost.
    pub async fn finish(mut self) -> Result<TxRecord, Failure> {
        let powers = match self.confined.take() {
            Some(confined) => {
                let target = self.wire.target.clone();
                Some(confined.demand_of(&mut self.wire, &target).await?)
            }
            None => None,
        };
        let now = witness(&mut self.wire).await?;
        self.wire.ask("ROLLBACK").await?;
        self.unchanged(&now)?;
        Ok(TxRecord {
            target: self.wire.target.clone(),
            purpose: self.wire.purpose.clone(),
            statements: self.statements,
            open_ms: self.watch.ms(),
            read_only: now.read_only,
            same_transaction: true,
            xid: now.xid,
            powers,
        })
    }
}

/// As in `tx`, without the virtual id: nothing but our own COPY runs here, and a look at all locks costs more than the
/// rows of a small table.
const WITNESS: &str = "SELECT pg_catalog.transaction_timestamp(), NULL, pg_catalog.current_setting('transaction_read_only'), \
    pg_catalog.pg_current_xact_id_if_assigned(), pg_catalog.pg_backend_pid()";

async fn witness(wire: &mut Wire) -> Result<Witness, Failure> {
    let (rows, _) = wire.ask(WITNESS).await?;
    let mut row = rows.into_iter().next().unwrap_or_default().into_iter();
    let mut next = || row.next().flatten();
    Ok(Witness {
        started: next().unwrap_or_default(),
        virtual_id: next().unwrap_or_default(),
        read_only: next().as_deref() == Some("on"),
        xid: next(),
        pid: next().and_then(|pid| pid.parse().ok()).unwrap_or(0),
    })
}
