//! Who works on a run of the shared journal: an advisory lock of the session that writes its lines.

use super::{Rows, holders, key, unreadable};
use crate::event::{Exit, Failure};
use crate::target::Value;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a lock is asked for: that of a process that was just killed takes a moment to go.
const ASKED: (u32, Duration) = (50, Duration::from_millis(100));

impl Rows {
    /// Takes the run's lock on the session that writes its lines.
    ///
    /// # Errors
    /// Another process holds it (60): names it.
    pub fn lock(&self, holder: &str) -> Result<RowsLock, Failure> {
        const TRY: &str = concat!(
            "SELECT pg_catalog.pg_try_advisory_lock(",
            key!("$1"),
            "), pg_catalog.pg_backend_pid(), (SELECT h.application_name FROM ",
            holders!(),
            " AS h WHERE h.key = ",
            key!("$1"),
            " LIMIT 1), pg_catalog.set_config('application_name', $2, false), (SELECT h.wait_event FROM ",
            holders!(),
            " AS h WHERE h.key = ",
            key!("$1"),
            " LIMIT 1)"
        );
        self.refuse_shared_session()?;
        let mut other = None;
        let mut waits = None;
        for _ in 0..ASKED.0 {
            let values: Vec<Value> = vec![self.id(), Box::new(holder.to_owned())];
            let rows = self.base.ledger.ask(TRY, values).map_err(|failure| unreadable(self.base.place(), &failure))?;
            let Some(row) = rows.first() else { continue };
            if row.get(0) {
                self.backend.store(row.get(1), Ordering::Relaxed);
                return Ok(RowsLock(self.clone()));
            }
            other = row.get::<_, Option<String>>(2);
            waits = row.get::<_, Option<String>>(4);
            std::thread::sleep(ASKED.1);
        }
        let other = other.unwrap_or_else(|| "a session that just ended".to_owned());
        let failure = Failure::new(Exit::Held, format!("another process works on run {}", self.run))
            .fact(format!("held by {other}"))
            .fact(format!("journal {}", self.base.place()))
            .changed("nothing was changed");
        if waits.as_deref() == Some("SyncRep") {
            return Err(failure
                .fact("its session waits for a synchronous standby of the journal's server, also when its process is gone")
                .next("then", "bring that standby back, or take it out of synchronous_standby_names and reload")
                .next("look", "engine status"));
        }
        Err(failure
            .next("wait", "until it has ended; its lock dies with its session, which ends within half a minute if its machine is gone")
            .next("look", "engine status"))
    }

    /// A session has its locks as often as it asks for them: one that two processes share behind a pooler keeps neither away.
    fn refuse_shared_session(&self) -> Result<(), Failure> {
        const OWN: &str = concat!(
            "SELECT FROM ",
            holders!(),
            " AS h WHERE h.key = ",
            key!("$1::text"),
            " AND h.pid = pg_catalog.pg_backend_pid()"
        );
        let rows = self.base.ledger.ask(OWN, vec![self.id()]);
        if rows.map_err(|failure| unreadable(self.base.place(), &failure))?.is_empty() {
            return Ok(());
        }
        Err(Failure::new(Exit::Held, format!("another process works on run {}, through the same session", self.run))
            .fact(format!("journal {}: a pooler gives one session to several clients", self.base.place()))
            .changed("nothing was changed")
            .next("then", "name the server itself in --journal or ENGINE_JOURNAL, not the pooler"))
    }

    /// What the session is called that holds the run's lock.
    ///
    /// # Errors
    /// The server's.
    pub fn holder(&self) -> Result<Option<String>, Failure> {
        const HOLDER: &str = concat!(
            "SELECT h.application_name FROM ",
            holders!(),
            " AS h WHERE h.key = ",
            key!("$1::text"),
            " LIMIT 1"
        );
        let rows = self.base.ledger.ask(HOLDER, vec![self.id()]);
        let rows = rows.map_err(|failure| unreadable(self.base.place(), &failure))?;
        Ok(rows.first().and_then(|row| row.get(0)))
    }
}

/// A run's lock in the shared journal; also let go when its session ends, in any way.
#[derive(Debug)]
pub struct RowsLock(Rows);

impl Drop for RowsLock {
    fn drop(&mut self) {
        const UNLOCK: &str = concat!("SELECT pg_catalog.pg_advisory_unlock(", key!("$1"), ")");
        self.0.backend.store(0, Ordering::Relaxed);
        // A session that is gone holds nothing any more.
        let _ = self.0.base.ledger.post(UNLOCK, vec![self.0.id()]).wait_for_line();
    }
}
