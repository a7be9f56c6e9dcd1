//! What one run holds against all others: advisory locks that count on the whole server.
//!
//! PostgreSQL keeps an advisory lock for one database. Two engines whose maintenance databases differ would both get theirs,
//! so whoever got it looks for the same one in the other databases. The rules by which two that look at the same
//! moment agree are below.

use super::connect::Door;
use super::fault;
use super::maker::{Maker, bug};
use super::tx::Tx;
use crate::clock::Stopwatch;
use crate::event::{Exit, Failure};
use crate::name::quote::literal;
use deadpool_postgres::Object;
use std::time::Duration;

const TRY: &str = "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended($1, 0))";

/// A lock says that it is kept by being held in the shared mode as well.
const KEEP: &str = "SELECT pg_catalog.pg_try_advisory_lock_shared(pg_catalog.hashtextextended($1, 0))";

const OTHERS: &str = include_str!("../../sql/engine/target/held.sql");

/// How often it is seen whether who wants it as well has gone.
const TICK: Duration = Duration::from_millis(20);

/// Who wants it as well leaves after one look; one that does not in so long has stopped.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);

/// A held advisory lock; it dies with its session, which never goes back to the pool.
pub struct RunLock {
    session: deadpool_postgres::ClientWrapper,
    place: String,
}

impl RunLock {
    /// Demands that it is held still, as far as this side knows.
    ///
    /// # Errors
    /// Its session has ended (75).
    pub fn still(&self) -> Result<(), Failure> {
        if !self.session.is_closed() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Temporary,
            format!("the session that keeps other runs away has ended, at {}", self.place),
        )
        .fact("the server was started again, another one took over for it, or somebody ended that session"))
    }
}

impl std::fmt::Debug for RunLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RunLock")
    }
}

/// A session that has the same lock, in whichever database.
struct Other {
    pid: i32,
    called: String,
    database: String,
    keeps: bool,
}

/// What is to be done about the others.
enum Verdict {
    Keep,
    Wait,
    Leave(Other),
}

/// Nobody else: it is kept. Somebody who keeps it, or wants it and came first (a lower process id): this one leaves.
/// Else the others leave, and this one waits for that. Whoever sees nobody was first to have it, and is seen by all who
/// come later: even one with a lower process id waits until that one keeps it, and leaves then. So two never keep it.
fn judged(own: i32, mut others: Vec<Other>) -> Verdict {
    match others.iter().position(|other| other.keeps || other.pid < own) {
        Some(first) => Verdict::Leave(others.swap_remove(first)),
        None if others.is_empty() => Verdict::Keep,
        None => Verdict::Wait,
    }
}

impl Maker {
    /// Holds the advisory lock of this target for as long as the answer lives, against every database of the server.
    ///
    /// # Errors
    /// Another engine holds it (exit 60): names it.
    pub async fn hold(&self, key: &str, holder: &str) -> Result<RunLock, Failure> {
        let session = self.door().only_holding()?.session().await?;
        let named = literal(holder).map_err(|e| bug(&e.to_string()))?;
        session
            .batch_execute(&format!("SET application_name = {named}"))
            .await
            .map_err(|e| fault::statement("naming the lock's holder", &e))?;
        let refused = take(&session, key).await;
        // Closed whatever came of it: what it holds must not go on in the pool.
        let session = Object::take(session);
        match refused? {
            None => Ok(RunLock { session, place: self.door().address() }),
            Some(other) => Err(held(self.door(), key, &other)),
        }
    }

    /// The same for a golden copy: nobody replaces it while it is copied.
    ///
    /// # Errors
    /// As `hold`.
    pub async fn hold_golden(&self, name: &str, holder: &str) -> Result<RunLock, Failure> {
        let server = self.identity().await?.system_identifier;
        self.hold(&format!("golden copy {name} of server {server}"), holder).await
    }

    /// What tells this server from every other one, a copy of its files too: all its databases answer the same.
    ///
    /// # Errors
    /// The server's.
    pub async fn instance(&self) -> Result<String, Failure> {
        let sql = "SELECT s.system_identifier || ' ' || pg_catalog.pg_postmaster_start_time() \
                   FROM pg_catalog.pg_control_system() AS s";
        let rows = self.query(sql, &[]).await?;
        rows.first().map(|row| row.get(0)).ok_or_else(|| bug("a server that does not say which it is"))
    }
}

impl Tx {
    /// `engine RUN pid 7 on db1, backend 12`: who else has one of these advisory locks in this database, where they have it still.
    ///
    /// # Errors
    /// The server's.
    pub async fn others_with(&self, locks: &[&str]) -> Result<Vec<String>, Failure> {
        let sql = include_str!("../../sql/engine/target/lock_holders.sql");
        Ok(self.query(sql, &[&locks]).await?.iter().map(|row| row.get(0)).collect())
    }
}

/// `None`: it is taken, and kept; else who has it.
async fn take(session: &Object, key: &str) -> Result<Option<Other>, Failure> {
    let failed = |e: tokio_postgres::Error| fault::statement("taking the run lock", &e);
    let got: bool = session.query_one(TRY, &[&key]).await.map_err(failed)?.get(0);
    let waited = Stopwatch::start();
    loop {
        let rows = session.query(OTHERS, &[&key]).await.map_err(failed)?;
        let own = rows.first().map_or(0, |row| row.get(0));
        let mut others: Vec<Other> = rows.iter().filter_map(other).collect();
        if !got {
            let keeper = others.iter().position(|other| other.keeps).unwrap_or(0);
            return Ok(Some(if others.is_empty() { nobody() } else { others.swap_remove(keeper) }));
        }
        match judged(own, others) {
            Verdict::Keep => break,
            Verdict::Leave(other) => return Ok(Some(other)),
            Verdict::Wait if u128::from(waited.ms()) >= LEAVES_WITHIN.as_millis() => {
                return Ok(Some(rows.iter().find_map(other).unwrap_or_else(nobody)));
            }
            Verdict::Wait => tokio::time::sleep(TICK).await,
        }
    }
    // Nobody else has the key in this database.
    let kept: bool = session.query_one(KEEP, &[&key]).await.map_err(failed)?.get(0);
    Ok((!kept).then(nobody))
}

/// There is always one row, which says who asks; without anybody else the rest of it is empty.
fn other(row: &tokio_postgres::Row) -> Option<Other> {
    let pid = row.get::<_, Option<i32>>(1)?;
    let text = |at: usize| row.get::<_, Option<String>>(at).unwrap_or_default();
    Some(Other { pid, called: text(2), database: text(3), keeps: row.get(4) })
}

fn nobody() -> Other {
    Other { pid: 0, called: "a session that just ended".to_owned(), database: String::new(), keeps: false }
}

fn held(door: &Door, key: &str, other: &Other) -> Failure {
    let failure =
        Failure::new(Exit::Held, format!("another run holds {key}")).fact(format!("held by {}", other.called));
    let elsewhere = !other.database.is_empty() && other.database != door.database();
    let failure = if elsewhere {
        let (theirs, ours) = (&other.database, door.database());
        failure.fact(format!(
            "its maintenance database is `{theirs}`, here it is `{ours}`: both make databases of one server"
        ))
    } else {
        failure
    };
    failure
        .changed("nothing was changed")
        .next("wait", "until it has ended; its lock dies with its session")
        .next("look", "engine status")
}
