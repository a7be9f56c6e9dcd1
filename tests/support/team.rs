//! A bench whose runs are kept in a database, and what stands there, read without the engine.

use super::Bench;
use super::server::fail;
use engine::sandbox::Server;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who owns the journal's database and writes there.
pub const KEEPER: &str = "journal_keeper";

impl Bench {
    /// Keeps the runs of this bench in a new database of `server`.
    pub fn keep_runs_on(&mut self, server: &'static Server) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let run = |sql: &str| server.psql("postgres", sql).unwrap_or_else(|failure| fail(&failure));
        if run(&format!("SELECT count(*) FROM pg_roles WHERE rolname = '{KEEPER}'")) == "0" {
            run(&format!("CREATE ROLE {KEEPER} LOGIN"));
        }
        drop(turn);
        let database = format!("journal_of_{}", self.clone_name());
        run(&format!("CREATE DATABASE {database} TEMPLATE template0 OWNER {KEEPER}"));
        run(&format!("REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC"));
        self.set("ENGINE_JOURNAL", &server.url(KEEPER, &database));
        self.team = Some((server, database));
    }

    /// Are its runs kept in a database?
    pub fn is_shared(&self) -> bool {
        self.team.is_some()
    }

    /// Follows the journal's server to where it was started again.
    pub fn journal_moved(&mut self, server: &'static Server) {
        let (_, database) = self.team.clone().expect("a shared journal");
        self.set("ENGINE_JOURNAL", &server.url(KEEPER, &database));
        self.team = Some((server, database));
    }

    /// Runs SQL in the journal's database as superuser.
    #[track_caller]
    pub fn in_journal(&self, sql: &str) -> String {
        let (server, database) = self.team.as_ref().expect("a shared journal");
        server.psql(database, sql).unwrap_or_else(|failure| fail(&failure))
    }

    /// The same past the triggers that refuse it.
    #[track_caller]
    pub fn tamper(&self, sql: &str) {
        self.in_journal(&format!("SET session_replication_role = replica; {sql}"));
    }

    /// Waits until a run has its first line.
    #[track_caller]
    pub fn wait_for_a_run(&self) {
        let since = Instant::now();
        while self.team_runs().is_empty() {
            assert!(since.elapsed() < Duration::from_mins(2), "no run begins");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn team_runs(&self) -> Vec<String> {
        if self.in_journal("SELECT to_regclass('engine_journal.run') IS NULL") == "t" {
            return Vec::new();
        }
        let sql = "SELECT run FROM engine_journal.run AS r WHERE EXISTS (SELECT FROM engine_journal.line AS l \
                   WHERE l.run = r.run) ORDER BY begun";
        self.in_journal(sql).lines().map(str::to_owned).collect()
    }

    pub(super) fn team_lines(&self, run: &str) -> String {
        let sql =
            format!("SELECT convert_from(line, 'UTF8') FROM engine_journal.line WHERE run = '{run}' ORDER BY seq");
        format!("{}\n", self.in_journal(&sql))
    }
}
