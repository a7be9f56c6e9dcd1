//! Witnesses that are not the engine: what a database holds, bare psql, a session that stays open.

use super::server::server;
use super::{Bench, Outcome};
use engine::sandbox::Binaries;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

const CONTENT: &str = include_str!("content.sql");

fn program(name: &str) -> Command {
    // Every look asks every program on this machine for its version.
    static BINARIES: LazyLock<Binaries> = LazyLock::new(|| Binaries::find().expect("PostgreSQL"));
    let mut command = Command::new(BINARIES.path(name));
    command.env_clear().env("LC_ALL", "C.UTF-8").env("PGCONNECT_TIMEOUT", "20");
    command
}

fn outcome(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().expect("a program of PostgreSQL");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Outcome { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// What `pg_dump` prints of a database.
#[track_caller]
pub fn dump(url: &str, options: &[&str]) -> String {
    outcome(program("pg_dump").args(options).arg("-d").arg(url)).expect(0).stdout
}

impl Bench {
    /// Every row and every definition of a database, as a text to compare.
    #[track_caller]
    pub fn all_of(&self, database: &str) -> String {
        let rows = self.psql(database, CONTENT);
        let dump = dump(&self.url("postgres", database), &["-s"]);
        // Since 2025 a dump opens and closes with a random word.
        let fixed = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
        let schema: Vec<&str> = dump.lines().filter(fixed).collect();
        format!("{rows}\n{}", schema.join("\n"))
    }

    /// `psql OPTIONS -f FILE` as `role`, nothing of ours around it.
    pub fn bare_psql(&self, role: &str, options: &[&str], file: &str) -> Outcome {
        let url = self.url(role, self.production());
        outcome(program("psql").arg("-X").args(options).arg("-f").arg(self.home().join(file)).arg("-d").arg(url))
    }

    /// A superuser's session that has run `sql` and stays open, within its transaction, until it is dropped.
    pub fn session(&self, database: &str, sql: &str) -> Session {
        self.session_as("postgres", database, sql)
    }

    /// The same of another role.
    pub fn session_as(&self, role: &str, database: &str, sql: &str) -> Session {
        session_to(&self.url(role, database), sql)
    }

    /// A login of this bench's own that has `member_of`'s rights and needs `password`: its connection string.
    pub fn login(&self, role: &str, attributes: &str, member_of: &[&str], password: &str) -> String {
        let groups = if member_of.is_empty() { String::new() } else { format!("IN ROLE {}", member_of.join(", ")) };
        self.psql("postgres", &format!("CREATE ROLE {role} LOGIN {attributes} {groups} PASSWORD '{password}'"));
        demand_password(self, role);
        self.url(role, self.production()).replacen('@', &format!(":{password}@"), 1)
    }
}

/// Makes the server ask `role` for its password, and waits until it does.
fn demand_password(bench: &Bench, role: &str) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let file = bench.psql("postgres", "SHOW hba_file");
    let path = Path::new(&file);
    let rules = std::fs::read_to_string(path).expect("the rules of the server");
    std::fs::write(path, format!("local all {role} scram-sha-256\n{rules}")).expect("the rules of the server");
    bench.psql("postgres", "SELECT pg_reload_conf()");
    let wrong = bench.url(role, "postgres").replacen('@', ":no@", 1);
    let since = std::time::Instant::now();
    while server().psql_as(role).run(&wrong, "sql", "SELECT 1").is_ok() {
        assert!(since.elapsed().as_secs() < 60, "the server does not ask {role} for a password");
    }
}

/// Demands that two states of a database are one; shows the lines that are not.
#[track_caller]
pub fn assert_same(now: &str, before: &str, otherwise: &str) {
    let new = now.lines().filter(|line| !before.lines().any(|other| other == *line));
    let gone = before.lines().filter(|line| !now.lines().any(|other| other == *line));
    let lines: Vec<String> = gone.map(|line| format!("- {line}")).chain(new.map(|line| format!("+ {line}"))).collect();
    assert!(now == before, "{otherwise}\n{}", lines.join("\n"));
}

/// A session by a connection string that has run `sql` and stays open until it is dropped.
pub fn session_to(url: &str, sql: &str) -> Session {
    let mut command = program("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url]);
    let mut psql = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql");
    let stdin = psql.stdin.as_mut().expect("a pipe");
    stdin.write_all(format!("{sql}\n\\echo open\n").as_bytes()).expect("psql reads");
    let stdout = psql.stdout.as_mut().expect("a pipe");
    let said = BufReader::new(stdout).lines().map(|line| line.expect("psql writes"));
    assert!(said.into_iter().any(|line| line == "open"), "the session did not get through {sql}");
    Session { psql }
}

/// An open session of psql.
#[derive(Debug)]
pub struct Session {
    psql: Child,
}

impl Session {
    /// Sends more SQL and does not wait for its end.
    pub fn send(&mut self, sql: &str) {
        let stdin = self.psql.stdin.as_mut().expect("a pipe");
        stdin.write_all(format!("{sql}\n").as_bytes()).expect("psql reads");
    }

    /// Waits for its end; did all it was sent succeed?
    pub fn end(mut self) -> bool {
        drop(self.psql.stdin.take());
        self.psql.wait().expect("psql").success()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.psql.stdin.take());
        let _ = self.psql.wait();
    }
}
