//! Statements in flight, and a second session that asks who holds one up.
//!
//! A `Writer` knows the backends of its sessions and since when each is at a statement, and so does a `Reader` of a stage that
//! is watched. A `Lookout` is opened only when one takes long; it reads the catalog, waits for nothing, and is closed,
//! never given back.

use super::connect::Door;
use super::fault;
use crate::clock::Stopwatch;
use crate::event::{Blocker, Failure, SYNC_REP, Wanted};
use deadpool_postgres::{ClientWrapper, Object};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

const STALLED: &str = include_str!("../../sql/engine/target/stalled.sql");
const WANTED: &str = include_str!("../../sql/engine/target/wanted.sql");
const AWAITED: &str = include_str!("../../sql/engine/target/awaited.sql");

/// A session's backend, and what it is at.
#[derive(Debug)]
pub(super) struct Flight {
    pid: i32,
    at: Mutex<At>,
}

#[derive(Clone, Copy, Debug)]
struct At {
    since: Option<Stopwatch>,
    /// Statements in flight: several may be sent one after the other without waiting in between.
    sent: u32,
    lock_timeout: Duration,
}

impl Flight {
    /// Of the backend with that process id; 0: it is not known, and no lock is waited for there.
    pub(super) fn of(pid: i32) -> Arc<Flight> {
        Arc::new(Flight { pid, at: Mutex::new(At { since: None, sent: 0, lock_timeout: Duration::ZERO }) })
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
                at.since = at.since.or_else(|| Some(Stopwatch::start()));
                at.sent += 1;
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
                at.since = at.since.filter(|_| at.sent > 0);
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

    /// Is there a session yet?
    fn any(&self) -> bool {
        let all = self.0.lock().expect("invariant: nobody panics while noting a session");
        all.iter().any(|known| known.strong_count() > 0)
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

/// Sessions that are watched: those of one writer, or of one reader.
#[derive(Clone, Debug)]
pub struct Watched {
    door: Door,
    flights: Flights,
}

impl Watched {
    pub(super) fn new(door: &Door, flights: &Flights) -> Watched {
        Watched { door: door.clone(), flights: flights.clone() }
    }

    /// Are these the same sessions?
    pub fn is(&self, other: &Watched) -> bool {
        Arc::ptr_eq(&self.flights.0, &other.flights.0)
    }

    /// The statement of these sessions that has waited longest for its answer.
    pub fn in_flight(&self) -> Option<InFlight> {
        self.flights.longest()
    }

    /// A second session there, which asks who holds a statement up.
    ///
    /// # Errors
    /// Cannot connect, or the server's.
    pub async fn lookout(&self) -> Result<Lookout, Failure> {
        Lookout::open(&self.door).await
    }
}

/// The readers of one stage, each with its own sessions: whoever asks for one while the stage is at work adds to them.
#[derive(Clone, Debug, Default)]
pub struct Readers(Arc<Mutex<Vec<Watched>>>);

tokio::task_local! {
    static READERS: Readers;
}

impl Readers {
    /// One alone, which may be a writer's sessions.
    pub fn only(watched: Watched) -> Readers {
        Readers(Arc::new(Mutex::new(vec![watched])))
    }

    /// Does `work`; the readers it takes of its targets are these.
    pub async fn of<T>(&self, work: impl Future<Output = T>) -> T {
        READERS.scope(self.clone(), work).await
    }

    /// All of them.
    pub fn all(&self) -> Vec<Watched> {
        self.0.lock().expect("invariant: nobody panics while noting a reader").clone()
    }

    /// One more, if a stage is at work that is watched. Those that nobody reads by any more are left out: a stage of many batches
    /// asks for readers again and again.
    pub(super) fn add(watched: impl FnOnce() -> Watched) {
        // Outside of a stage nobody watches, and nobody has to.
        let _ = READERS.try_with(|readers| {
            let mut all = readers.0.lock().expect("invariant: nobody panics while noting a reader");
            all.retain(|known| Arc::strong_count(&known.flights.0) > 1 || known.flights.any());
            all.push(watched());
        });
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
    /// The lock, or the standby that is to confirm a COMMIT; `None` when it waits for neither.
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
        let wanted = match wanted {
            Some(row) => Some(Wanted {
                lock: row.get(0),
                mode: row.get(1),
                relation: row.get(2),
                ms: row.get::<_, Option<i64>>(3).unwrap_or(0).unsigned_abs(),
            }),
            None if behind.is_empty() => self.awaited(pid).await.map_err(failed)?,
            None => None,
        };
        Ok(Stall { wanted, behind, role: self.role.clone() })
    }
}

impl Lookout {
    /// The standby that it waits for. Since when is not told.
    async fn awaited(&self, pid: i32) -> Result<Option<Wanted>, tokio_postgres::Error> {
        let row = self.session.query_opt(AWAITED, &[&pid]).await?;
        Ok(row.map(|row| Wanted { lock: SYNC_REP.to_owned(), mode: row.get(0), relation: row.get(1), ms: 0 }))
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

#[cfg(test)]
mod tests {
    use super::super::{Reader, Settings, Url};
    use super::*;

    #[tokio::test]
    async fn readers_that_are_gone_are_not_watched() {
        let settings = Settings {
            search_path: String::new(),
            statement_timeout: Duration::ZERO,
            lock_timeout: Duration::ZERO,
            read_only: true,
        };
        let url = Url::literal("test", "postgresql://nobody@/nothing?host=/nowhere".to_owned());
        let reader = Reader::new(Door::new("t", &url, None, &settings).expect("a door"));
        let readers = Readers::default();
        readers
            .of(async {
                let kept = reader.of_stage();
                // Its session goes on, as a transaction's does whose reader was asked for in passing.
                let flight = reader.of_stage().flight(4711);
                let sent = Sent::now(Some(&flight));
                for _ in 0..100 {
                    drop(reader.of_stage());
                }
                let pids: Vec<i32> = readers.all().iter().filter_map(Watched::in_flight).map(|f| f.pid).collect();
                assert_eq!((readers.all().len(), pids), (3, vec![4711]));
                drop((kept, sent));
            })
            .await;
        // Outside of a stage nobody is watched.
        drop(reader.of_stage());
        assert_eq!(readers.all().len(), 3);
    }

    #[test]
    fn of_statements_that_overlap_the_first_one_counts_until_the_last_is_answered() {
        let (flights, flight) = (Flights::default(), Flight::of(1));
        flights.add(&flight);
        let first = Sent::now(Some(&flight));
        let second = Sent::now(Some(&flight));
        drop(first);
        assert!(flights.longest().is_some());
        drop(second);
        assert_eq!(flights.longest(), None);
    }
}
