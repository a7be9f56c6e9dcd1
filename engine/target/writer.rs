//! Writing a target: one transaction, COMMIT sent once, its outcome asked for.

use super::connect::{Door, clean, give_back, give_back_if};
use super::fault;
use super::names::Says;
use super::prepared;
use super::stall::{Flight, Flights, Sent, Watched};
use super::tx::Tx;
use crate::crash;
use crate::event::{Exit, Failure, Identity};
use futures_util::future::{join, join4, try_join};
use std::ops::Deref;
use std::time::Duration;
use tokio_postgres::SimpleQueryMessage;

/// What became of a transaction id.
const STATUS: &str = "SELECT pg_catalog.pg_xact_status($1::pg_catalog.text::pg_catalog.xid8)";

/// Write access to a clone (every session proves which one), or to a rollout's target.
#[derive(Clone, Debug)]
pub struct Writer {
    door: Door,
    /// The same for what the engine alone says, beside its transactions.
    beside: Door,
    flights: Flights,
}

/// How a COMMIT ended, as the server says when asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// `pg_xact_status` says committed, or nothing transactional was written.
    Committed,
    /// It was rolled back; with the error that COMMIT was answered by, if there was one.
    Aborted(Option<Failure>),
    /// No answer, or none that can be relied on.
    Unknown(Failure),
}

impl Writer {
    /// Writes through `door`. For a clone the door must be expecting its identity.
    ///
    /// # Errors
    /// A clone's door that proves nothing is refused: that would be a bug of ours, and production's data.
    pub fn to_clone(door: Door) -> Result<Writer, Failure> {
        if door.expected.is_none() {
            return Err(Failure::new(Exit::Io, format!("a writer to `{}` must expect an identity", door.target)));
        }
        Writer::through(door)
    }

    /// Writes to the target of a rollout, which is no clone.
    ///
    /// # Errors
    /// No pool can be made (exit 1).
    pub fn to_rollout_target(door: Door) -> Result<Writer, Failure> {
        Writer::through(door)
    }

    fn through(door: Door) -> Result<Writer, Failure> {
        let beside = door.engines_own()?;
        Ok(Writer { door, beside, flights: Flights::default() })
    }

    /// Ends all its pooled sessions; a TEMPLATE copy needs the clone free of them.
    pub fn close(&self) {
        self.door.close();
        self.beside.close();
    }

    /// The door.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Takes a session and says which backend it is; `WriteTx::begin` starts the transaction.
    ///
    /// # Errors
    /// Cannot connect, or the session is not the clone's.
    pub async fn session(&self, purpose: &str) -> Result<WriteTx, Failure> {
        let session = self.door.unproven().await?;
        // One does not wait for the other; neither of them changes anything, wherever this leads.
        let (session, (pid, started)) = match try_join(self.door.prove(&session), backend(&session)).await {
            Ok(((), backend)) => (session, backend),
            Err(failure) => {
                drop(deadpool_postgres::Object::take(session));
                return Err(failure);
            }
        };
        let mut tx = Tx::on(session, &self.door, purpose);
        let flight = Flight::of(pid);
        self.flights.add(&flight);
        tx.told_to(flight);
        Ok(WriteTx { tx, backend_pid: pid, backend_start: started })
    }

    /// The same writer; only its own sessions are `watched`.
    #[must_use]
    pub fn apart(&self) -> Writer {
        Writer { door: self.door.clone(), beside: self.beside.clone(), flights: Flights::default() }
    }

    /// Its sessions, for whoever watches them.
    pub fn watched(&self) -> Watched {
        Watched::new(&self.door, &self.flights)
    }

    /// Makes the WAL written so far durable, from a session of its own: an xid that lives only in
    /// unflushed WAL is given to another transaction after a crash.
    ///
    /// # Errors
    /// The server's.
    pub async fn flush_wal(&self) -> Result<(), Failure> {
        let session = self.beside.session().await?;
        let flush = "SET synchronous_commit = on; SELECT pg_catalog.pg_logical_emit_message(true, 'engine', '')";
        // It may wait for a synchronous standby.
        let flight = Flight::of(0);
        self.flights.add(&flight);
        let sent = Sent::now(Some(&flight));
        let (done, cleaned) = join(session.batch_execute(flush), clean(&session)).await;
        drop(sent);
        give_back_if(session, &cleaned);
        done.map_err(|e| fault::statement("making the transaction id durable", &e))
    }

    /// What became of a transaction id: `committed`, `aborted`, `in progress`, `future`, or `None` when too old.
    ///
    /// # Errors
    /// The server's.
    pub async fn xact_status(&self, xid: &str) -> Result<Option<String>, Failure> {
        let session = self.beside.session().await?;
        let answer = session.query_one(STATUS, &[&xid]).await;
        let status = match answer {
            Ok(row) => Ok(row.get(0)),
            Err(error) if error.code().is_some_and(|c| c.code() == "22023") => Ok(Some("future".to_owned())),
            Err(error) => Err(fault::statement("asking what became of the transaction", &error)),
        };
        give_back(session).await;
        status
    }

    /// Are all of these transactions committed, or too old to be known? False, too, when one is not known yet.
    ///
    /// # Errors
    /// The server's.
    pub async fn all_committed(&self, xids: &[String]) -> Result<bool, Failure> {
        let session = self.beside.session().await?;
        let sql = "SELECT pg_catalog.count(*) FROM pg_catalog.unnest($1::pg_catalog.text[]) AS x (id) \
                   WHERE pg_catalog.pg_xact_status(x.id::pg_catalog.xid8) OPERATOR(pg_catalog.<>) 'committed'";
        let answer = session.query_one(sql, &[&xids]).await;
        let all = match answer {
            Ok(row) => Ok(row.get::<_, i64>(0) == 0),
            Err(error) if error.code().is_some_and(|c| c.code() == "22023") => Ok(false),
            Err(error) => Err(fault::statement("asking what became of the transactions", &error)),
        };
        give_back(session).await;
        all
    }

    /// Is that backend still there? Then its transaction may still be open.
    ///
    /// # Errors
    /// The server's.
    pub async fn backend_alive(&self, pid: i32, started: &str) -> Result<bool, Failure> {
        self.backend_is(pid, started, "").await
    }

    /// Is that backend still at a statement, or in a transaction? One that is only there waits for its next user. Where
    /// `track_activities` is off only a transaction's own lock tells.
    ///
    /// # Errors
    /// The server's.
    pub async fn backend_at_work(&self, pid: i32, started: &str) -> Result<bool, Failure> {
        self.backend_is(
            pid,
            started,
            "AND a.state IS DISTINCT FROM 'idle' AND (a.state IS DISTINCT FROM 'disabled' OR EXISTS ( \
             SELECT FROM pg_catalog.pg_locks AS l WHERE l.pid = a.pid AND l.locktype = 'virtualxid'))",
        )
        .await
    }

    /// Does that backend wait for a synchronous standby? Then its COMMIT is done where it is, and to end it would end the
    /// waiting: nobody would learn that the standby has it not.
    ///
    /// # Errors
    /// The server's.
    pub async fn waits_for_standby(&self, pid: i32, started: &str) -> Result<bool, Failure> {
        self.backend_is(pid, started, "AND a.wait_event = 'SyncRep'").await
    }

    async fn backend_is(&self, pid: i32, started: &str, and: &'static str) -> Result<bool, Failure> {
        let session = self.beside.session().await?;
        let sql = format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a \
             WHERE a.pid = $1 AND a.backend_start::text = $2 {and})"
        );
        let row = as_login(&session, &sql, &[&pid, &started]).await;
        give_back(session).await;
        Ok(row?.get(0))
    }

    /// Sessions in this database that hold an advisory lock, with when each began; empty where this role is not told.
    ///
    /// # Errors
    /// The server's.
    pub async fn holders_of(&self, lock: &str) -> Result<Vec<(i32, String)>, Failure> {
        let session = self.beside.session().await?;
        let sql = "SELECT coalesce(pg_catalog.array_agg(a.pid), '{}'), \
                   coalesce(pg_catalog.array_agg(coalesce(a.backend_start::text, '')), '{}') \
                   FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid \
                   WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND a.datname = pg_catalog.current_database() \
                   AND (l.classid::pg_catalog.int8 << 32) | l.objid::pg_catalog.int8 = pg_catalog.hashtextextended($1, 0)";
        let row = as_login(&session, sql, &[&lock]).await;
        give_back(session).await;
        let row = row?;
        let (pids, since): (Vec<i32>, Vec<String>) = (row.get(0), row.get(1));
        Ok(pids.into_iter().zip(since).collect())
    }

    /// Ends that backend, if it is still there: nobody hears it any more, and its transaction is open.
    ///
    /// # Errors
    /// The server's: it is no backend of this role.
    pub async fn end_backend(&self, pid: i32, started: &str) -> Result<(), Failure> {
        let session = self.beside.session().await?;
        let sql = "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(a.pid)) \
                   FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = $1 AND a.backend_start::text = $2";
        let ended = as_login(&session, sql, &[&pid, &started]).await;
        give_back(session).await;
        ended.map(drop)
    }

    /// Which database this leads to.
    ///
    /// # Errors
    /// Cannot connect, or the server's.
    pub async fn identity(&self) -> Result<Identity, Failure> {
        let session = self.beside.session().await?;
        let identity = super::identity::identify_session(&session).await;
        give_back(session).await;
        identity
    }
}

/// The lock by which a transaction says of which run it is.
pub fn of_run(run: &str) -> String {
    format!("engine run {run} proves")
}

/// Which backend serves the session, and since when. The function below the view `pg_stat_activity`, which joins names to
/// all backends first; as the role that logged in, for it hides its backends from the role it works as. An error rolls
/// the role back with it.
async fn backend(session: &deadpool_postgres::Object) -> Result<(i32, String), Failure> {
    let sql = "SET ROLE NONE; SELECT a.pid, a.backend_start FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a; \
               RESET ROLE";
    let answers = session.simple_query(sql).await.map_err(|e| fault::statement("asking for a backend", &e))?;
    let found = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some((row.get(0)?.parse().ok()?, row.get(1).unwrap_or_default().to_owned())),
        _ => None,
    });
    found.ok_or_else(|| Failure::new(Exit::Temporary, "a session does not say which backend serves it"))
}

/// What became of a transaction that had `xid`; without one nothing of it can be lost.
async fn status_of(
    session: &deadpool_postgres::Object,
    asking: &str,
    xid: Option<&str>,
) -> Result<Option<String>, Failure> {
    let Some(xid) = xid else { return Ok(Some("committed".to_owned())) };
    Ok(prepared::once(session, asking, STATUS, &[xid]).await?.get(0))
}

/// Asks as the role that logged in: `pg_stat_activity` hides its backends from the role it works as.
async fn as_login(
    session: &deadpool_postgres::Object,
    sql: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<tokio_postgres::Row, Failure> {
    let failed = |e: tokio_postgres::Error| fault::statement("asking for a backend", &e);
    session.batch_execute("SET ROLE NONE").await.map_err(failed)?;
    let row = session.query_one(sql, params).await.map_err(failed);
    session.batch_execute("RESET ROLE").await.map_err(failed)?;
    row
}

/// An open writing transaction; everything a `Tx` can be asked, and statements.
#[derive(Debug)]
pub struct WriteTx {
    pub(super) tx: Tx,
    /// Its backend.
    pub backend_pid: i32,
    /// When that backend started.
    pub backend_start: String,
}

impl Deref for WriteTx {
    type Target = Tx;
    fn deref(&self) -> &Tx {
        &self.tx
    }
}

impl WriteTx {
    /// BEGIN READ COMMITTED with the stage's time-outs.
    ///
    /// # Errors
    /// The server's.
    pub async fn begin(&self, timeout: Duration, lock_timeout: Duration) -> Result<(), Failure> {
        self.begin_within(timeout, timeout, lock_timeout).await
    }

    /// The same where all of it may take longer than a statement. It is idle while other targets are read, never for longer than
    /// `whole`: behind a proxy that keeps its side open nobody else would end it.
    ///
    /// # Errors
    /// The server's.
    pub async fn begin_within(
        &self,
        whole: Duration,
        timeout: Duration,
        lock_timeout: Duration,
    ) -> Result<(), Failure> {
        self.tx.waits_for_locks(lock_timeout);
        let (statement_ms, lock_ms) = (timeout.as_millis(), lock_timeout.as_millis());
        // The most that a server takes.
        let idle_ms = (whole + Duration::from_mins(1)).as_millis().min(i32::MAX.unsigned_abs().into());
        self.tx
            .begin_with(&format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = {statement_ms}; \
                 SET LOCAL lock_timeout = {lock_ms}; SET LOCAL idle_in_transaction_session_timeout = {idle_ms}"
            ))
            .await
    }

    /// Looks the plan's names up in another path than the door's: a packet brings its own.
    #[must_use]
    pub fn in_path(mut self, search_path: &str) -> WriteTx {
        self.tx.set_path(&format!("{search_path}, pg_temp"));
        self
    }

    /// Executes one statement of the plan (extended protocol: two in one text are an error). Answers the rows it reports.
    ///
    /// # Errors
    /// The server's.
    pub async fn execute(&self, sql: &str) -> Result<u64, Failure> {
        let _sent = self.tx.sent();
        let ran = self.tx.plan_saying(Says::Plan, self.tx.session().execute_typed(sql, &[])).await?;
        ran.map_err(|e| fault::statement("statement", &e))
    }

    /// The same, with the word back at the engine when it is answered: its turn is sent with it.
    ///
    /// # Errors
    /// The server's.
    pub async fn execute_and_return(&self, sql: &str) -> Result<u64, Failure> {
        // Polled, and so sent, in this order. Of a transaction that failed the second says only that.
        let (ran, turned) = join(self.execute(sql), self.tx.look_up(Says::Engine)).await;
        let rows = ran?;
        turned.map(|()| rows)
    }

    /// A statement of the engine's that lets the plan's triggers run; else as `execute_and_return`.
    ///
    /// # Errors
    /// The server's.
    pub async fn control_and_return(&self, sql: &str) -> Result<(), Failure> {
        let _sent = self.tx.sent();
        let said = self.tx.plan_saying(Says::Plan, self.tx.session().batch_execute(sql));
        let (done, turned) = join(said, self.tx.look_up(Says::Engine)).await;
        done?.map_err(|e| self.tx.failed(&e))?;
        turned
    }

    /// The engine's own statements: savepoints, constraints, settings.
    ///
    /// # Errors
    /// The server's.
    pub async fn control(&self, sql: &str) -> Result<(), Failure> {
        self.tx.batch(sql).await
    }

    /// The transaction's id, if it has one. From here on its COMMIT waits for the disk, whatever was set.
    ///
    /// # Errors
    /// The server's.
    pub async fn xid(&self) -> Result<Option<String>, Failure> {
        self.tx.look_up(Says::Engine).await?;
        let sql = "SET LOCAL synchronous_commit = on; SELECT pg_catalog.pg_current_xact_id_if_assigned()";
        let _sent = self.tx.sent();
        let answers =
            self.tx.session().simple_query(sql).await.map_err(|e| fault::statement("asking for its id", &e))?;
        Ok(answers.iter().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }

    /// Sends COMMIT once, then asks in the same session what became of `xid`.
    pub async fn commit(self, xid: Option<&str>) -> CommitOutcome {
        // Deferred triggers fire at COMMIT, and they are the plan's. A transaction that cannot take this is aborted: then
        // COMMIT answers so.
        let path = self.tx.look_up(Says::Plan);
        // It stays the transaction's until its end is known: given up in between, it is closed and never lent again.
        let session = self.tx.session();
        let asking = format!("COMMIT of {}", self.tx.purpose());
        let commit = async {
            let _sent = self.tx.sent();
            session.batch_execute("COMMIT").await
        };
        // One after the other, without waiting in between: the server takes up the question when COMMIT has ended.
        let (_, ended, status, cleaned) = join4(path, commit, status_of(session, &asking, xid), clean(session)).await;
        if let Err(error) = ended {
            let said = |error: &tokio_postgres::Error| fault::statement(&asking, error);
            // An error proves nothing, whoever it seems to be from: a server that panics may have written its commit
            // record, and a pooler that lost the server does not know. Without an id there is nothing to be lost.
            return match xid {
                None => CommitOutcome::Aborted(Some(said(&error))),
                Some(_) => CommitOutcome::Unknown(said(&error)),
            };
        }
        crash::point(|| "commit/answered".to_owned());
        let outcome = match status {
            Ok(Some(s)) if s == "committed" => CommitOutcome::Committed,
            Ok(Some(s)) if s == "aborted" => CommitOutcome::Aborted(None),
            Ok(other) => {
                let other = other.unwrap_or_else(|| "nothing".into());
                let what = format!("COMMIT was answered, and of its transaction the server says `{other}`");
                CommitOutcome::Unknown(Failure::new(Exit::Stuck, what))
            }
            Err(failure) => return CommitOutcome::Unknown(failure),
        };
        give_back_if(self.tx.into_session(), &cleaned);
        outcome
    }

    /// Rolls back and gives the session back. False: nobody answered, and its backend may still be at it.
    pub async fn rollback(self) -> bool {
        let session = self.tx.into_session();
        let answered = session.batch_execute("ROLLBACK").await.is_ok();
        if answered {
            give_back(session).await;
        } else {
            drop(deadpool_postgres::Object::take(session));
        }
        answered
    }

    /// Says by a lock which run is at work, where its journal does not: until the transaction ends.
    ///
    /// # Errors
    /// The server's.
    pub async fn tell_run(&self, run: &str) -> Result<(), Failure> {
        let sql = "SELECT pg_catalog.pg_advisory_xact_lock_shared(pg_catalog.hashtextextended($1, 0))";
        self.tx.ask(sql, &[&of_run(run)]).await.map(drop)
    }
}
