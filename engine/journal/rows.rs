//! The shared journal: runs kept in a PostgreSQL database, so that another machine can take them up.
//!
//! `Base` is the database and the one session to it; `Rows` is a run there. The session that holds a run's advisory lock
//! is the one that writes its lines: an engine that lost it can write nothing more, and commits need a line first.

mod files;
mod grants;
mod lock;

use super::read::{History, Trouble, parse};
use crate::event::{Exit, Failure};
use crate::target::{Answer, Door, Identity, Ledger, Row, Settings, Url, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// Its tables.
const TABLES: &str = include_str!("../../sql/engine/journal.sql");

/// The version of the tables that this engine knows.
const FORMAT: i32 = 1;

pub use lock::RowsLock;

/// The key of a run's lock: the same words in every statement that needs it.
macro_rules! key {
    ($run:literal) => {
        concat!("pg_catalog.hashtextextended('engine journal of run ' OPERATOR(pg_catalog.||) ", $run, ", 0)")
    };
}

/// Advisory locks of this database by their keys, and what the sessions are called that hold them.
macro_rules! holders {
    () => {
        "(SELECT (l.classid::bigint << 32) | l.objid::bigint AS key, a.application_name, a.pid, a.wait_event \
         FROM pg_catalog.pg_locks AS l \
         JOIN pg_catalog.pg_stat_activity AS a USING (pid) WHERE l.locktype = 'advisory' AND l.granted \
         AND l.objsubid = 1 AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d \
         WHERE d.datname = pg_catalog.current_database()))"
    };
}

use {holders, key};

/// The database, and this process's one session to it.
#[derive(Debug)]
pub struct Base {
    ledger: Ledger,
    /// System identifier and timeline of the server as it is now, and the database's oid.
    server: String,
    /// Were the tables there when it was opened?
    known: bool,
}

impl Base {
    /// Opens it; nothing is written. Also answers whether `url` holds a password.
    ///
    /// # Errors
    /// It cannot be reached, or holds a journal that this engine does not know (62), or something else (63).
    pub fn open(word: &str, url: &Url) -> Result<(Base, bool), Failure> {
        const SERVER: &str = "SELECT c.system_identifier::text || '/' || CASE WHEN pg_catalog.pg_is_in_recovery() THEN \
            'standby' ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) END \
            || '/' || d.oid FROM pg_catalog.pg_control_system() AS c, pg_catalog.pg_database AS d \
            WHERE d.datname = pg_catalog.current_database()";
        let settings = Settings {
            search_path: String::new(),
            statement_timeout: Duration::from_mins(1),
            lock_timeout: Duration::from_secs(5),
            read_only: false,
        };
        let door = Door::new(word, url, None, &settings)?;
        let password = door.has_password();
        let ledger = Ledger::open(door).map_err(|failure| match failure.changed {
            None => failure.changed("nothing was changed").next("then", "the same command again"),
            Some(_) => failure,
        });
        let ledger = ledger.map_err(|failure| match failure.sqlstate.as_deref() {
            Some("3D000") => lost_database(word, failure),
            _ => failure,
        })?;
        let rows = ledger.ask(SERVER, Vec::new()).map_err(|failure| unreadable(&ledger.place, &failure))?;
        let server = rows.first().map(|row| row.get(0)).unwrap_or_default();
        let mut base = Base { ledger, server, known: false };
        base.known = base.format()?;
        Ok((base, password))
    }

    /// Which database it is.
    pub fn identity(&self) -> &Identity {
        &self.ledger.identity
    }

    /// `host:port/database`, for people.
    pub fn place(&self) -> &str {
        &self.ledger.place
    }

    /// Is it a standby, which takes no line and knows nobody's locks?
    pub fn is_standby(&self) -> bool {
        self.server.contains("/standby/")
    }

    /// Demands that it takes lines.
    ///
    /// # Errors
    /// It is a standby (1).
    pub fn demand_primary(&self) -> Result<(), Failure> {
        if !self.is_standby() {
            return Ok(());
        }
        Err(Failure::new(Exit::Io, format!("the journal's server {} is a standby", self.place()))
            .fact("it takes no line, and whoever works on a run is not seen on it")
            .changed("nothing was changed")
            .next("then", "name the primary in --journal or ENGINE_JOURNAL"))
    }

    /// Makes the tables if they are not there.
    ///
    /// # Errors
    /// The role may not (1), or the server's.
    pub fn prepare(&self) -> Result<(), Failure> {
        self.demand_primary()?;
        if self.known || self.format()? {
            return Ok(());
        }
        let made = self
            .ledger
            .script("BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('engine_journal', 0))")
            .and_then(|()| if self.format()? { Ok(()) } else { self.ledger.script(TABLES) })
            .and_then(|()| self.ledger.script("COMMIT"));
        made.or_else(|failure| {
            let _ = self.ledger.script("ROLLBACK");
            // Another machine may have made them meanwhile: whatever failed of it here, they are there.
            if self.format()? {
                return Ok(());
            }
            let (role, database) = (&self.identity().session_user, &self.identity().database);
            let what = format!("the journal's tables cannot be made in {}: {}", self.place(), failure.what);
            let told = Failure::new(Exit::Io, what).changed("nothing was changed");
            if failure.sqlstate.as_deref() != Some("42501") {
                return Err(told.next("then", "the same command again"));
            }
            Err(told
                .next("then", format!("GRANT CREATE ON DATABASE {database} TO {role}, by the database's owner"))
                .next("or", "let the owner run sql/engine/journal.sql there, and grant as docs/journal.md says"))
        })
    }

    /// Are the tables there, and of a version that is known?
    fn format(&self) -> Result<bool, Failure> {
        let there = "SELECT pg_catalog.to_regnamespace('engine_journal') IS NOT NULL, \
                     pg_catalog.to_regclass('engine_journal.format') IS NOT NULL";
        let unreadable = |failure: Failure| unreadable(self.place(), &failure);
        let rows = self.ledger.ask(there, Vec::new()).map_err(unreadable)?;
        let (schema, table) = rows.first().map_or((false, false), |row| (row.get(0), row.get(1)));
        if !schema {
            return Ok(false);
        }
        if !table {
            let what = format!("the schema engine_journal in {} is no journal of this engine", self.place());
            return Err(Failure::new(Exit::WrongDatabase, what)
                .changed("nothing was changed")
                .next("then", "name another database in --journal or ENGINE_JOURNAL"));
        }
        let rows = self.ledger.ask("SELECT version FROM engine_journal.format", Vec::new()).map_err(unreadable)?;
        let versions: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        if versions == [FORMAT] {
            return Ok(true);
        }
        let found: Vec<String> = versions.iter().map(ToString::to_string).collect();
        Err(Failure::new(
            Exit::InputsChanged,
            format!("the journal in {} has a format this engine does not know", self.place()),
        )
        .fact(format!("found  {}", if found.is_empty() { "none".to_owned() } else { found.join(", ") }))
        .fact(format!("known  {FORMAT}"))
        .changed("nothing was changed")
        .next("then", "use the engine that wrote it, or a newer one"))
    }

    /// Is a run of exactly that id known, without any line? False also where it cannot be asked.
    pub fn has_not_begun(&self, run: &str) -> bool {
        const UNBEGUN: &str = "SELECT FROM engine_journal.run AS r WHERE r.run = $1 \
            AND NOT EXISTS (SELECT FROM engine_journal.line AS k WHERE k.run = r.run)";
        self.known && self.ledger.ask(UNBEGUN, vec![Box::new(run.to_owned())]).is_ok_and(|rows| !rows.is_empty())
    }

    /// Runs that have a line: id, and what the session is called that holds it now. Oldest first.
    ///
    /// # Errors
    /// The server's.
    pub fn runs(&self) -> Result<Vec<(String, Option<String>)>, Failure> {
        const RUNS: &str = concat!(
            "SELECT r.run, h.application_name FROM engine_journal.run AS r LEFT JOIN ",
            holders!(),
            " AS h ON h.key = ",
            key!("r.run"),
            " WHERE EXISTS (SELECT FROM engine_journal.line AS k WHERE k.run = r.run) ORDER BY r.begun, r.run"
        );
        if !self.known && !self.format()? {
            return Ok(Vec::new());
        }
        let rows = self.ledger.ask(RUNS, Vec::new()).map_err(|failure| unreadable(self.place(), &failure))?;
        let runs: Vec<(String, Option<String>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        match runs.iter().find(|(run, _)| !is_word(run)) {
            // It becomes the name of a folder.
            Some((run, _)) => {
                Err(Failure::new(Exit::InputsChanged, format!("the journal in {} was TAMPERED with", self.place()))
                    .fact(format!("{run:?} is no run's id"))
                    .changed("nothing was changed; a journal is never repaired"))
            }
            None => Ok(runs),
        }
    }
}

/// The database is not there: trying again never helps.
fn lost_database(word: &str, failure: Failure) -> Failure {
    let mut failure = failure.changed("nothing was changed");
    failure.next.clear();
    failure
        .fact("it holds the journals of its runs: without it none of them can be seen or taken up")
        .next("then", format!("correct its name in {word}"))
        .next("or", "bring it back from its backup")
        .next(
            "or",
            "CREATE DATABASE, by an owner as docs/journal.md says: an empty journal, which knows no run of before",
        )
}

/// Has an id the form of one?
fn is_word(run: &str) -> bool {
    !run.is_empty() && run.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn unreadable(place: &str, failure: &Failure) -> Failure {
    let exit = if failure.exit == Exit::Temporary { Exit::Temporary } else { Exit::Io };
    let mut told = Failure::new(exit, format!("the journal in {place} cannot be read: {}", failure.what))
        .changed("nothing was changed");
    if failure.sqlstate.as_deref() == Some("42501") {
        told = told.next("then", "grant what docs/journal.md says to the role of the connection string");
    }
    Failure { sqlstate: failure.sqlstate.clone(), ..told }
}

/// A run in the shared journal.
#[derive(Clone, Debug)]
pub struct Rows {
    base: Arc<Base>,
    run: String,
    /// Backend that took the lock: no other may write. 0: none has.
    backend: Arc<AtomicI32>,
}

impl Rows {
    /// The run of that id; nothing is asked yet.
    pub fn new(base: &Arc<Base>, run: &str) -> Rows {
        Rows { base: Arc::clone(base), run: run.to_owned(), backend: Arc::default() }
    }

    /// `run r2d2 in host:port/database`.
    pub fn place(&self) -> String {
        format!("run {} in {}", self.run, self.base.place())
    }

    /// The database.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// Makes the run known; its lock is held.
    ///
    /// # Errors
    /// One of that id exists, or the server's.
    pub fn begin(&self) -> Result<(), Failure> {
        const BEGIN: &str = "INSERT INTO engine_journal.run (run) SELECT $1::text \
            WHERE pg_catalog.pg_backend_pid() = $2::integer RETURNING run";
        self.only_by_holder(self.base.ledger.ask(BEGIN, vec![self.id(), self.pid()]))
    }

    /// All lines, as they would stand in a file, whole or not.
    ///
    /// # Errors
    /// The server's.
    pub fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        for row in self.rows()? {
            bytes.extend_from_slice(row.get::<_, &[u8]>(3));
            bytes.push(b'\n');
        }
        Ok(bytes)
    }

    /// The lines, and that they fit.
    ///
    /// # Errors
    /// The server's, or a line does not fit the chain (exit 62: TAMPERED, nothing is repaired).
    pub fn read(&self) -> Result<History, Failure> {
        let kept: Vec<Kept> = self.rows()?.iter().map(Kept::of).collect();
        history(&kept).map_err(|trouble| trouble.failure(&format!("the journal of {}", self.place())))
    }

    /// In pages: over a slow line no single answer is to take longer than a statement may.
    fn rows(&self) -> Result<Vec<Row>, Failure> {
        const PAGE: usize = 2000;
        const LINES: &str = "SELECT k.seq, k.prev, k.hash, k.line FROM engine_journal.line AS k \
            WHERE k.run = $1 AND k.seq > $2 ORDER BY k.seq LIMIT 2000";
        let (mut all, mut last) = (Vec::new(), i64::MIN);
        loop {
            let page = self.base.ledger.ask(LINES, vec![self.id(), Box::new(last)]);
            let page = page.map_err(|failure| unreadable(self.base.place(), &failure))?;
            last = page.last().map_or(last, |end| end.get(0));
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Which server took the last line, when it is not the one that answers now: after a failover or a restored backup
    /// lines may be missing that were answered.
    ///
    /// # Errors
    /// The server's.
    pub fn moved(&self) -> Result<Option<(String, String)>, Failure> {
        const LAST: &str = "SELECT k.server FROM engine_journal.line AS k WHERE k.run = $1 ORDER BY k.seq DESC LIMIT 1";
        let rows = self.base.ledger.ask(LAST, vec![self.id()]);
        let rows = rows.map_err(|failure| unreadable(self.base.place(), &failure))?;
        let last = rows.first().map_or_else(String::new, |row| row.get(0));
        let now = &self.base.server;
        // Lines of an engine that did not write down the database.
        let without_oid = now.rsplit_once('/').is_some_and(|(server, _)| server == last);
        Ok((last != *now && !without_oid).then(|| (last, now.clone())))
    }

    /// Sends a line; it is there once the answer is.
    pub fn post(&self, seq: u64, prev: &str, hash: &str, line: &[u8]) -> Answer {
        const APPEND: &str = "INSERT INTO engine_journal.line (run, seq, prev, hash, line, server) \
            SELECT $1::text, $2::bigint, $3::text, $4::text, $5::bytea, $6::text \
            WHERE pg_catalog.pg_backend_pid() = $7::integer RETURNING seq";
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let texts = [prev, hash].map(str::to_owned);
        let [prev, hash] = texts;
        let values: Vec<Value> = vec![
            self.id(),
            Box::new(seq),
            Box::new(prev),
            Box::new(hash),
            Box::new(line.to_vec()),
            Box::new(self.base.server.clone()),
            self.pid(),
        ];
        self.base.ledger.post(APPEND, values)
    }

    /// Waits until a line is there.
    ///
    /// # Errors
    /// It is not, or nobody knows: the run must stop.
    pub fn written(&self, answer: Answer) -> Result<(), Failure> {
        self.only_by_holder(answer.wait_for_line())
    }

    /// Opens a transaction that a test leaves open.
    pub(super) fn never_commit(&self) {
        let _ = self.base.ledger.script("BEGIN");
    }

    /// What was written only if this session holds the lock.
    fn only_by_holder(&self, answer: Result<Vec<Row>, Failure>) -> Result<(), Failure> {
        match answer {
            Ok(rows) if !rows.is_empty() => Ok(()),
            Ok(_) => {
                Err(self.lost("another session answered than the one that holds the run's lock: is there a pooler?"))
            }
            Err(failure) => Err(self.lost(&failure.what)),
        }
    }

    /// The journal did not take it, or its answer is lost.
    pub(super) fn lost(&self, why: &str) -> Failure {
        Failure::new(Exit::Io, format!("the journal of {} cannot be written: {why}", self.place()))
            .changed("what was committed before stays committed; nothing more is started")
            .next("then", format!("engine resume {}   once the journal can be written again", self.run))
    }

    fn id(&self) -> Value {
        Box::new(self.run.clone())
    }

    fn pid(&self) -> Value {
        Box::new(self.backend.load(Ordering::Relaxed))
    }
}

/// A line as it is kept.
#[derive(Clone, Debug)]
struct Kept {
    seq: i64,
    prev: String,
    hash: String,
    line: Vec<u8>,
}

impl Kept {
    fn of(row: &Row) -> Kept {
        Kept { seq: row.get(0), prev: row.get(1), hash: row.get(2), line: row.get(3) }
    }
}

/// The lines by the very chain of a file, and then that the columns say the same.
fn history(kept: &[Kept]) -> Result<History, Trouble> {
    let mut bytes = Vec::new();
    for (index, row) in kept.iter().enumerate() {
        let at = |what: String| Err(Trouble::at(index as u64 + 1, what));
        if i64::try_from(index) != Ok(row.seq) {
            return at(format!("is missing: the next row is numbered {}", row.seq));
        }
        if row.line.is_empty() || row.line.contains(&b'\n') {
            return at("is no single line".to_owned());
        }
        bytes.extend_from_slice(&row.line);
        bytes.push(b'\n');
    }
    let history = parse(&bytes)?;
    for (index, row) in kept.iter().enumerate() {
        let at = |what: &str| Err(Trouble::at(index as u64 + 1, what));
        if row.prev != history.lines[index].prev {
            return at("its column `prev` is not what its bytes say");
        }
        if row.hash != history.hashes[index] {
            return at("its bytes are not those that its column `hash` was written for");
        }
    }
    Ok(history)
}
