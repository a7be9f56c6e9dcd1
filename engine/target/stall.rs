//! Statements in flight, and a second session that asks who holds one up.
//!
//! A `Writer` knows the backends of its sessions and since when each is at a statement. A `Lookout` is opened only when one
//! takes long; it reads the catalog, waits for nothing, and is closed, never given back.

use super::connect::Door;
use super::fault;
use crate::clock::Stopwatch;
use crate::event::{Blocker, Failure, Wanted};
use deadpool_postgres::{ClientWrapper, Object};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

const STALLED: &str = include_str!("../../sql/engine/target/stalled.sql");
const WANTED: &str = include_str!("../../sql/engine/target/wanted.sql");

/// A session's backend, and what it is at.
#[derive(Debug)]
pub(super) struct Flight {
    pid: i32,
    at: Mutex<At>,
}

#[derive(Clone, Copy, Debug)]
struct At {
    /// Statements that were sent and are not answered: one is sent behind the other without waiting.
    sent: u32,
    /// Since when there is any.
    since: Option<Stopwatch>,
    lock_timeout: Duration,
}

impl Flight {
    pub(super) fn of(pid: i32) -> Arc<Flight> {
        Arc::new(Flight { pid, at: Mutex::new(At { sent: 0, since: None, lock_timeout: Duration::ZERO }) })
    }

    /// Locks are waited for no longer; zero: for ever.
    pub(super) fn bound(&self, lock_timeout: Duration) {
        self.with(|at| at.lock_timeout = lock_timeout);
    }

    fn with<T>(&self, look: impl FnOnce(&mut At) -> T) -> T {
        look(&mut self.at.lock().expect("invariant: nobody panics while noting a statement"))
    }
}

/// A statement in flight, as long as this lives.
pub(super) struct Sent<'f>(Option<&'f Flight>);

impl<'f> Sent<'f> {
    pub(super) fn now(flight: Option<&'f Flight>) -> Sent<'f> {
        if let Some(flight) = flight {
            flight.with(|at| {
                at.sent += 1;
                at.since.get_or_insert_with(Stopwatch::start);
            });
        }
        Sent(flight)
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if let Some(flight) = self.0 {
            flight.with(|at| {
                at.sent -= 1;
                if at.sent == 0 {
                    at.since = None;
                }
            });
        }
    }
}

/// The sessions of one writer.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights(Arc<Mutex<Vec<Weak<Flight>>>>);

impl Flights {
    pub(super) fn add(&self, flight: &Arc<Flight>) {
        let mut all = self.0.lock().expect("invariant: nobody panics while noting a session");
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(flight));
    }

    /// The statement that has been in flight longest.
    pub(super) fn longest(&self) -> Option<InFlight> {
        let all = self.0.lock().expect("invariant: nobody panics while noting a session");
        let at = |flight: Arc<Flight>| {
            let At { since, lock_timeout, .. } = flight.with(|at| *at);
            Some(InFlight { pid: flight.pid, ms: since?.ms(), lock_timeout })
        };
        all.iter().filter_map(Weak::upgrade).filter_map(at).max_by_key(|flying| flying.ms)
    }
}

/// A statement that has been sent and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Its backend.
    pub pid: i32,
    /// Milliseconds since it was sent.
    pub ms: u64,
    /// The longest that it waits for a lock; zero: for ever.
    pub lock_timeout: Duration,
}

/// A session that holds a statement up, or holds up who does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Who it is.
    pub blocker: Blocker,
    /// May this role see what it does? Else its state, its transaction's age and its query are not known.
    pub shown: bool,
    /// What it runs, or ran last: one line, shortened. Other people's data: for the operator's own terminal.
    pub query: Option<String>,
}

/// What a backend waits for, and behind whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// The lock; `None` when it waits for none.
    pub wanted: Option<Wanted>,
    /// The nearest first.
    pub behind: Vec<Holding>,
    /// The role that asked, for the GRANT that lets it see more.
    pub role: String,
}

/// The second session.
pub struct Lookout {
    session: ClientWrapper,
    role: String,
}

impl std::fmt::Debug for Lookout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lookout(as {})", self.role)
    }
}

/// As the role that logged in, which sees more of its own sessions; it can change nothing and waits for nothing.
const SETTLED: &str = "SET ROLE NONE; SET search_path = pg_catalog, pg_temp; SET default_transaction_read_only = on; \
                       SET statement_timeout = 2000; SET lock_timeout = 100";

impl Lookout {
    pub(super) async fn open(door: &Door) -> Result<Lookout, Failure> {
        // Taken out of the pool: what it is set to must not be somebody else's.
        let session = Object::take(door.session().await?);
        session.batch_execute(SETTLED).await.map_err(|e| fault::statement("looking for who holds it up", &e))?;
        Ok(Lookout { session, role: door.user().to_owned() })
    }

    /// Asks once who holds up that backend. Empty when nobody does.
    ///
    /// # Errors
    /// The server's.
    pub async fn look(&self, pid: i32) -> Result<Stall, Failure> {
        let failed = |e: tokio_postgres::Error| fault::statement("asking who holds it up", &e);
        let rows = self.session.query(STALLED, &[&pid]).await.map_err(failed)?;
        let behind: Vec<Holding> = rows.iter().map(holding).collect();
        let wanted = self.session.query_opt(WANTED, &[&pid]).await.map_err(failed)?;
        let wanted = wanted.map(|row| Wanted {
            lock: row.get(0),
            mode: row.get(1),
            relation: row.get(2),
            ms: row.get::<_, Option<i64>>(3).unwrap_or(0).unsigned_abs(),
        });
        Ok(Stall { wanted, behind, role: self.role.clone() })
    }
}

fn holding(row: &tokio_postgres::Row) -> Holding {
    let shown = row.get(6);
    let age: Option<i64> = row.get(5);
    Holding {
        blocker: Blocker {
            pid: row.get(0),
            holds_up: row.get(1),
            application: row.get::<_, Option<String>>(2).unwrap_or_default(),
            user: row.get(3),
            state: row.get(4),
            open_ms: age.map(i64::unsigned_abs),
            head: row.get(8),
        },
        shown,
        query: row.get::<_, Option<String>>(7).filter(|query| shown && !query.trim().is_empty()),
    }
}
