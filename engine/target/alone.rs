//! A session outside of any transaction, for what cannot run inside one: every statement stands once it is answered.
//!
//! It is never given back to the pool: what it set, and the locks it holds, go with it.

use super::fault;
use super::tx::Tx;
use super::writer::{WriteTx, Writer};
use crate::event::Failure;
use std::time::Duration;

/// Such a session. Closed when it is dropped.
#[derive(Debug)]
pub struct Alone {
    /// Never begun, and so closed when it is dropped.
    tx: Tx,
    /// Its backend.
    pub backend_pid: i32,
    /// When that backend started.
    pub backend_start: String,
}

impl Alone {
    /// Takes a session of the writer's and sets its time-outs: `timeout` bounds one statement.
    ///
    /// # Errors
    /// Cannot connect, the session is not the clone's, or the server's.
    pub async fn open(
        writer: &Writer,
        purpose: &str,
        timeout: Duration,
        lock_timeout: Duration,
    ) -> Result<Alone, Failure> {
        let WriteTx { tx, backend_pid, backend_start, .. } = writer.session(purpose).await?;
        let (statement_ms, lock_ms) = (timeout.as_millis(), lock_timeout.as_millis());
        let set = format!("SET statement_timeout = {statement_ms}; SET lock_timeout = {lock_ms}");
        tx.session().batch_execute(&set).await.map_err(|e| fault::statement(purpose, &e))?;
        tx.waits_for_locks(lock_timeout);
        Ok(Alone { tx, backend_pid, backend_start })
    }

    /// Takes the advisory locks of these names, for as long as this session lives; `true`: shared. False: somebody holds
    /// one of them.
    ///
    /// # Errors
    /// The server's.
    pub async fn lock(&self, names: &[(&str, bool)]) -> Result<bool, Failure> {
        for (name, shared) in names {
            let of = if *shared { "pg_try_advisory_lock_shared" } else { "pg_try_advisory_lock" };
            let sql = format!("SELECT pg_catalog.{of}(pg_catalog.hashtextextended($1, 0))");
            let row = self.tx.session().query_one(&sql, &[name]).await.map_err(|e| fault::statement("locking", &e))?;
            if !row.get::<_, bool>(0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// As `Tx::others_with`.
    ///
    /// # Errors
    /// The server's.
    pub async fn others_with(&self, locks: &[&str]) -> Result<Vec<String>, Failure> {
        self.tx.others_with(locks).await
    }

    /// Executes one statement of the plan, in the plan's path. Answers the rows it reports.
    ///
    /// # Errors
    /// The server's.
    pub async fn execute(&self, sql: &str) -> Result<u64, Failure> {
        let _sent = self.tx.sent();
        self.tx.plan_speaks();
        self.tx.session().execute(sql, &[]).await.map_err(|e| fault::statement("statement", &e))
    }
}
