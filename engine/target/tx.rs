//! A transaction one may ask. Read-only ones are watched: their identity is checked after each statement.

use super::connect::{Door, give_back};
use super::fault;
use super::names::{Path, Says};
use super::prepared;
use super::stall::{Flight, Sent};
use super::wire::Canceller;
use crate::event::{Exit, Failure, TxRecord};
use deadpool_postgres::Object;
use futures_util::future::join;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// How a transaction is begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// REPEATABLE READ READ ONLY: one snapshot.
    Snapshot,
    /// The same on a snapshot that another session exported.
    Imported(String),
    /// READ COMMITTED READ ONLY: a new snapshot for each statement.
    Fresh,
}

/// What makes a transaction itself: SQL inside it can copy a setting, not these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) started: String,
    pub(super) virtual_id: String,
    pub(super) read_only: bool,
    pub(super) xid: Option<String>,
    pub(super) pid: i32,
}

const WITNESS: &str = "SELECT pg_catalog.transaction_timestamp()::pg_catalog.text, \
    (SELECT l.virtualtransaction FROM pg_catalog.pg_locks AS l WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() \
     AND l.locktype OPERATOR(pg_catalog.=) 'virtualxid' AND l.granted LIMIT 1), \
    pg_catalog.current_setting('transaction_read_only'), pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text, \
    pg_catalog.pg_backend_pid()";

/// How a read-only transaction begins.
pub(super) fn begin(isolation: &Isolation) -> String {
    match isolation {
        Isolation::Fresh => "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY".to_owned(),
        Isolation::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned(),
        Isolation::Imported(id) => {
            let id = id.replace('\'', "");
            format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{id}'")
        }
    }
}

/// An open transaction. Dropped without `finish`, its connection is closed, never reused.
pub struct Tx {
    session: Option<Object>,
    door: Door,
    purpose: String,
    path: Path,
    /// What is prepared in the session is the engine's, as far as is known.
    ours: AtomicBool,
    /// How often something began to run that may prepare more; and how often when that was asked.
    spoke: AtomicU32,
    asked: AtomicU32,
    watched: Option<Witness>,
    /// On a new connection of a confined reader: powers it should not have, and was bound with.
    powers: Option<u64>,
    statements: AtomicU32,
    watch: crate::clock::Stopwatch,
    /// Of a writer: who asks for whom it waits is told since when it is at a statement.
    flight: Option<Arc<Flight>>,
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tx({} for {})", self.target(), self.purpose)
    }
}

impl Tx {
    /// Begins a READ ONLY transaction and pins it with a first SELECT.
    pub(super) async fn read_only(door: &Door, purpose: &str, isolation: Isolation) -> Result<Tx, Failure> {
        let session = door.session().await?;
        let new = Object::metrics(&session).recycle_count == 0;
        let mut tx = Tx::on(session, door, purpose);
        tx.batch(&begin(&isolation)).await?;
        tx.watched = Some(tx.witness().await?);
        if let Some(confined) = door.confined.as_ref().filter(|_| new) {
            tx.look_up(Says::Engine).await?;
            tx.powers = Some(confined.demand(tx.session(), &door.target).await?);
        }
        Ok(tx)
    }

    /// A transaction that was or will be begun by a `Writer` on this session.
    pub(super) fn on(session: Object, door: &Door, purpose: &str) -> Tx {
        Tx {
            session: Some(session),
            door: door.clone(),
            purpose: purpose.to_owned(),
            path: Path::new(&door.path),
            ours: AtomicBool::new(false),
            spoke: AtomicU32::new(1),
            asked: AtomicU32::new(0),
            watched: None,
            powers: None,
            statements: AtomicU32::new(0),
            watch: crate::clock::Stopwatch::start(),
            flight: None,
        }
    }

    /// Its backend, if it is watched.
    pub(super) fn pid(&self) -> Option<i32> {
        self.watched.as_ref().map(|begun| begun.pid)
    }

    /// From here on statements are told.
    pub(super) fn told_to(&mut self, flight: Arc<Flight>) {
        self.flight = Some(flight);
    }

    /// A statement is sent; it is answered when this is dropped.
    pub(super) fn sent(&self) -> Sent<'_> {
        Sent::now(self.flight.as_deref())
    }

    /// The longest that a lock is waited for from here on.
    pub(super) fn waits_for_locks(&self, lock_timeout: Duration) {
        if let Some(flight) = &self.flight {
            flight.bound(lock_timeout);
        }
    }

    /// The target's name.
    pub fn target(&self) -> &str {
        &self.door.target
    }

    /// What it is for.
    pub(super) fn purpose(&self) -> &str {
        &self.purpose
    }

    /// Runs since the session was taken for it.
    pub fn open_since(&self) -> crate::clock::Stopwatch {
        self.watch
    }

    /// What cancels its statement from beside it.
    pub fn canceller(&self) -> Canceller {
        Canceller::new(&self.door, self.session().cancel_token())
    }

    pub(super) fn session(&self) -> &Object {
        self.session.as_ref().expect("invariant: the session is there until the transaction ends")
    }

    /// Runs one query of the engine. In a read-only transaction its identity is checked afterwards.
    ///
    /// # Errors
    /// The server's error with its SQLSTATE; or the transaction is not the one that was begun (exit 45).
    pub async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
        self.query_as(Says::Engine, sql, params).await
    }

    /// The same, with names looked up for whoever says it.
    ///
    /// # Errors
    /// As `query`.
    pub async fn query_as(&self, says: Says, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let _sent = self.sent();
        // Whoever says it, it may call what the plan or the database brought: a predicate, a column's expression.
        let rows =
            self.plan_saying(says, Box::pin(self.session().query(sql, params))).await?.map_err(|e| self.failed(&e))?;
        self.check().await?;
        Ok(rows)
    }

    /// Runs one query of the engine that is asked again and again: it stays prepared in the session.
    ///
    /// # Errors
    /// As `query`.
    pub async fn ask(&self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
        self.ask_as(Says::Engine, sql, params).await
    }

    /// The same, with names in its parameters looked up for whoever says them. It must run nothing of the plan's.
    ///
    /// # Errors
    /// As `query`.
    pub async fn ask_as(
        &self,
        says: Says,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        if self.is_doubted() {
            self.look_up(Says::Engine).await?;
        }
        if !self.ours.load(Ordering::Relaxed) {
            return self.query_as(says, sql, params).await;
        }
        self.statements.fetch_add(1, Ordering::Relaxed);
        let _sent = self.sent();
        let asked = Box::pin(prepared::query(self.session(), sql, params));
        let rows = match says {
            Says::Engine => self.saying(says, asked).await?,
            // Names are looked up among the plan's: nothing of it should run, and nobody relies on that.
            Says::Plan => self.plan_saying(says, asked).await?,
        };
        let rows = rows.map_err(|e| self.failed(&e))?;
        self.check().await?;
        Ok(rows)
    }

    /// The same, with exactly one row.
    ///
    /// # Errors
    /// As `query_one`.
    pub async fn ask_one(&self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Failure> {
        self.only(self.ask(sql, params).await?)
    }

    pub(super) fn failed(&self, error: &tokio_postgres::Error) -> Failure {
        fault::statement(&format!("{} on `{}`", self.purpose, self.target()), error)
    }

    /// Runs a query of exactly one row.
    ///
    /// # Errors
    /// As `query`; or there is not exactly one row.
    pub async fn query_one(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Failure> {
        self.query_one_as(Says::Engine, sql, params).await
    }

    /// The same, with names looked up for whoever says it.
    ///
    /// # Errors
    /// As `query_one`.
    pub async fn query_one_as(&self, says: Says, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Failure> {
        self.only(self.query_as(says, sql, params).await?)
    }

    fn only(&self, mut rows: Vec<Row>) -> Result<Row, Failure> {
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (last, more) => Err(Failure::new(
                Exit::StageFailed,
                format!(
                    "{} on `{}`: {} rows where one was expected",
                    self.purpose,
                    self.target(),
                    more + usize::from(last.is_some())
                ),
            )),
        }
    }

    /// The type names (`format_type`) of the columns `sql` would yield; nothing is executed.
    ///
    /// # Errors
    /// The server's error: syntax, unknown table or column, missing right.
    pub async fn column_types(&self, says: Says, sql: &str) -> Result<Vec<String>, Failure> {
        self.look_up(says).await?;
        if says == Says::Plan {
            self.plan_speaks();
        }
        // Whoever is asked what it yields waits for its locks, too.
        let _sent = self.sent();
        let statement = self.session().prepare(sql).await.map_err(|e| self.failed(&e))?;
        Ok(statement.columns().iter().map(|c| c.type_().name().to_owned()).collect())
    }

    /// What the server said, without the purpose that this transaction puts before it.
    pub fn said<'f>(&self, failure: &'f Failure) -> &'f str {
        let prefix = format!("{} on `{}`: ", self.purpose, self.target());
        failure.what.strip_prefix(&prefix).unwrap_or(&failure.what)
    }

    /// From here on names are looked up for whoever has the word; nothing is sent when he had it before.
    ///
    /// # Errors
    /// The server's.
    pub async fn look_up(&self, says: Says) -> Result<(), Failure> {
        if says == Says::Engine && self.is_doubted() {
            self.path.unknown();
        }
        let Some(change) = self.path.change(says) else { return Ok(()) };
        Box::pin(self.turn(says, &change)).await
    }

    async fn turn(&self, says: Says, change: &str) -> Result<(), Failure> {
        let _sent = self.sent();
        // What is sent from now on comes after it.
        self.path.is(says);
        let turned = if says == Says::Engine && self.is_doubted() {
            // What begins to run while this is asked is not in its answer.
            let spoke = self.spoke.load(Ordering::Relaxed);
            prepared::turn(self.session(), change).await.map(|ours| {
                self.ours.store(ours, Ordering::Relaxed);
                self.asked.store(spoke, Ordering::Relaxed);
            })
        } else {
            self.session().batch_execute(change).await
        };
        turned.map_err(|e| {
            self.path.unknown();
            self.failed(&e)
        })
    }

    /// A statement of `says`, sent right behind what it must be preceded by: far from the server each answer that is waited
    /// for takes longer than the statement. Its own error is the inner one.
    async fn saying<T>(
        &self,
        says: Says,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<Result<T, tokio_postgres::Error>, Failure> {
        if says == Says::Engine && self.is_doubted() {
            self.path.unknown();
        }
        let Some(change) = self.path.change(says) else { return Ok(statement.await) };
        // Polled, and so sent, in this order.
        let (turned, done) = join(Box::pin(self.turn(says, &change)), statement).await;
        turned.map(|()| done)
    }

    /// The same for what may run something of the plan's.
    pub(super) async fn plan_saying<T>(
        &self,
        says: Says,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<Result<T, tokio_postgres::Error>, Failure> {
        let spoken = async {
            self.plan_speaks();
            statement.await
        };
        self.saying(says, spoken).await
    }

    /// Begins the transaction with the word being the engine's.
    pub(super) async fn begin_with(&self, begin: &str) -> Result<(), Failure> {
        self.plan_speaks();
        self.path.unknown();
        let path = self.path.change(Says::Engine).unwrap_or_default();
        self.turn(Says::Engine, &format!("{begin}; {path}")).await
    }

    /// A statement of the plan is about to be sent.
    pub(super) fn plan_speaks(&self) {
        self.spoke.fetch_add(1, Ordering::Relaxed);
    }

    fn is_doubted(&self) -> bool {
        self.spoke.load(Ordering::Relaxed) != self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn set_path(&mut self, plan: &str) {
        self.path = Path::new(plan);
    }

    pub(super) async fn batch(&self, sql: &str) -> Result<(), Failure> {
        self.path.unknown();
        self.plan_speaks();
        let _sent = self.sent();
        self.session().batch_execute(sql).await.map_err(|e| self.failed(&e))
    }

    /// Opens a savepoint that can only read; `leave_read_only` ends it. Cannot be switched off inside.
    ///
    /// # Errors
    /// The server's.
    pub async fn enter_read_only(&self) -> Result<(), Failure> {
        match self.watched {
            // Already read-only: the savepoint is still wanted, an error must not end the transaction.
            Some(_) => self.batch("SAVEPOINT engine_read").await,
            None => self.batch("SAVEPOINT engine_read; SET TRANSACTION READ ONLY").await,
        }
    }

    /// Leaves the read-only savepoint; also after an error inside it.
    ///
    /// # Errors
    /// The server's.
    pub async fn leave_read_only(&self) -> Result<(), Failure> {
        self.batch("ROLLBACK TO SAVEPOINT engine_read; RELEASE SAVEPOINT engine_read").await
    }

    /// Exports this transaction's snapshot; it lives as long as the transaction.
    ///
    /// # Errors
    /// The server's.
    pub async fn export_snapshot(&self) -> Result<String, Failure> {
        Ok(self.query_one("SELECT pg_catalog.pg_export_snapshot()", &[]).await?.get(0))
    }

    async fn witness(&self) -> Result<Witness, Failure> {
        let what = format!("watching {} on `{}`", self.purpose, self.target());
        let row = prepared::once(self.session(), &what, WITNESS, &[]).await?;
        Ok(Witness {
            started: row.get(0),
            virtual_id: row.get::<_, Option<String>>(1).unwrap_or_default(),
            read_only: row.get::<_, String>(2) == "on",
            xid: row.get(3),
            pid: row.get(4),
        })
    }

    /// Demands that a watched transaction is still itself, read-only and without an xid.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        let Some(begun) = &self.watched else { return Ok(()) };
        let now = self.witness().await?;
        if now == *begun && now.read_only && now.xid.is_none() {
            return Ok(());
        }
        Err(Failure::new(Exit::ChangedByUs, format!("a read-only transaction on `{}` did not stay one", self.target()))
            .fact(format!("purpose: {}", self.purpose))
            .fact(format!(
                "read only is {}, transaction id is {}, the transaction is {}",
                if now.read_only { "on" } else { "off" },
                now.xid.as_deref().unwrap_or("none"),
                if now.started == begun.started && now.virtual_id == begun.virtual_id {
                    "the same"
                } else {
                    "another one"
                },
            ))
            .changed(format!(
                "what that transaction did on `{}` is not known; its connection was closed",
                self.target()
            )))
    }

    /// Checks a read-only transaction a last time, rolls it back and gives its session back.
    ///
    /// # Errors
    /// As `check`; or the connection was lost.
    pub async fn finish(mut self) -> Result<TxRecord, Failure> {
        let witness = self.witness().await?;
        self.check().await?;
        self.batch("ROLLBACK").await?;
        let record = TxRecord {
            target: self.target().to_owned(),
            purpose: self.purpose.clone(),
            statements: self.statements.load(Ordering::Relaxed),
            open_ms: self.watch.ms(),
            read_only: witness.read_only,
            same_transaction: self.watched.as_ref().is_none_or(|begun| *begun == witness),
            xid: witness.xid,
            powers: self.powers,
        };
        if let Some(session) = self.session.take() {
            give_back(session).await;
        }
        Ok(record)
    }

    /// Takes the session out, for a `Writer` that ends the transaction itself.
    pub(super) fn into_session(mut self) -> Object {
        self.session.take().expect("invariant: the session is there until the transaction ends")
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            drop(Object::take(session));
        }
    }
}
