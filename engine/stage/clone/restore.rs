//! The children of a clone: `pg_dump` on production in its exported snapshot, `pg_restore` and `psql` into the clone.

use super::super::Cx;
use super::super::source_facts::SourceFacts;
use super::child::{Child, Printed};
use super::toc::{self, Entries};
use crate::clock::Stopwatch;
use crate::event::{Event, Exit, Failure};
use crate::fingerprint::Fingerprint;
use crate::programs::Programs;
use crate::target::{Door, lets_go};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Sessions of `pg_dump`: they cannot write.
const READING: &str = "-c default_transaction_read_only=on";

/// One clone's restoring.
pub struct Restore<'r> {
    /// The run.
    pub cx: &'r Cx,
    /// The stage, for progress.
    pub stage: &'r str,
    /// Production.
    pub source: &'r Door,
    /// Its name in the plan.
    pub source_name: &'r str,
    /// The clone, as the maker.
    pub into: &'r Door,
    /// Who will own everything.
    pub owner_role: &'r str,
    /// What must not be restored.
    pub facts: &'r SourceFacts,
    /// Parallel index builds.
    pub jobs: usize,
    /// Longest wait for a lock in production.
    pub lock_timeout: std::time::Duration,
    /// Major version of the servers.
    pub server_major: u32,
}

/// Commits are not waited for: a clone that is being made is made again after a crash, and its renaming is waited for.
const RESTORING: &str = "-c statement_timeout=0 -c lock_timeout=0 -c synchronous_commit=off";

/// A dumped schema and the list of what is restored of it.
pub struct Toc {
    archive: PathBuf,
    /// Lines for `--use-list`.
    pub kept: String,
    defaults: Option<PathBuf>,
    /// Foreign tables, which a clone does without.
    pub left_out: Vec<String>,
    dir: tempfile::TempDir,
}

impl Toc {
    /// Materialised views that hold data, in the order in which they can be filled.
    pub fn views(&self, source: &Fingerprint) -> Vec<String> {
        let oids = super::toc::views_with_data(&self.kept);
        oids.iter().filter_map(|oid| source.tables.iter().find(|t| t.oid == *oid)).map(|t| t.name.clone()).collect()
    }
}

impl Restore<'_> {
    fn programs(&self) -> Result<Programs, Failure> {
        Programs::client_for(self.server_major)
            .map_err(|e| Failure::new(Exit::Io, e.to_string()).changed("nothing was created; production was only read"))
    }

    fn command(programs: &Programs, program: &str, door: &Door, options: &str) -> Result<Command, Failure> {
        let mut command = Command::new(programs.path(program));
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        for name in ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            if let Ok(value) = std::env::var(name) {
                command.env(name, value);
            }
        }
        // What they say is read: `DETAIL` must not be called otherwise.
        command.env("LC_ALL", "C");
        command.env("PGOPTIONS", format!("{options} {}", lets_go())).envs(door.child_environment(programs.major())?);
        Ok(command)
    }

    /// `pg_dump -Fc` of pre-data and post-data in the snapshot, and the list of entries that a clone may hold.
    pub async fn schema(&self, snapshot: &str) -> Result<Toc, Failure> {
        let programs = self.programs()?;
        // Of processes of this run that were killed.
        for left in left_folders(&self.cx.dir) {
            let _ = std::fs::remove_dir_all(left);
        }
        let dir = tempfile::Builder::new()
            .prefix(SCHEMA_FOLDER)
            .tempdir_in(&self.cx.dir)
            .map_err(|e| Failure::new(Exit::Io, format!("no temporary folder in {}: {e}", self.cx.dir.display())))?;
        let archive = dir.path().join("schema.dump");
        self.cx.say(self.stage, "dumping the schema");
        let mut dump = Self::command(&programs, "pg_dump", self.source, READING)?;
        dump.args([
            "--no-password",
            "--section=pre-data",
            "--section=post-data",
            "--format=custom",
            "--no-owner",
            "--no-subscriptions",
        ])
        .arg(format!("--snapshot={snapshot}"))
        .arg(format!("--lock-wait-timeout={}", self.lock_timeout.as_millis()))
        .arg(format!("--file={}", archive.display()));
        self.on_production(dump, "pg_dump", "schema").await?;
        let mut lister = Self::command(&programs, "pg_restore", self.into, "")?;
        lister.arg("--list").arg(&archive).stdout(Stdio::piped());
        let listed = self.finish(lister, "pg_restore --list").await?;
        let entries = Entries::of(&listed, &self.facts.extensions_out, &self.facts.publications_out);
        let defaults = dir.path().join("defaults");
        write_list(&defaults, &entries.defaults)?;
        let defaults = (!entries.defaults.is_empty()).then_some(defaults);
        Ok(Toc { archive, kept: entries.kept, defaults, left_out: entries.left_out, dir })
    }

    /// Default privileges as the archive prints them; empty when there are none.
    pub async fn default_privileges(&self, toc: &Toc) -> Result<String, Failure> {
        let Some(list) = &toc.defaults else { return Ok(String::new()) };
        let mut printer = Self::command(&self.programs()?, "pg_restore", self.into, "")?;
        printer
            .arg(format!("--use-list={}", list.display()))
            .args(["--file=-"])
            .arg(&toc.archive)
            .stdout(Stdio::piped());
        self.finish(printer, "pg_restore").await
    }

    /// Tables, types, functions.
    pub async fn pre_data(&self, toc: &Toc) -> Result<(), Failure> {
        self.cx.say(self.stage, "restoring the schema");
        self.restore_section(toc, "pre-data", &toc.kept, 1).await
    }

    /// Large objects without their content, again: before 17 they are part of the section before the rows.
    pub async fn empty_large_objects(&self, toc: &Toc) -> Result<(), Failure> {
        self.restore_section(toc, "pre-data", &toc::large_objects(&toc.kept), 1).await
    }

    /// Indexes, constraints, triggers, and the contents of materialised views: those in `list`.
    pub async fn post_data(&self, toc: &Toc, list: &str) -> Result<(), Failure> {
        // A session for each job costs more than a handful of entries.
        let jobs = if list.lines().count() < 12 { 1 } else { self.jobs };
        self.restore_section(toc, "post-data", list, jobs).await
    }

    async fn restore_section(&self, toc: &Toc, section: &str, list: &str, jobs: usize) -> Result<(), Failure> {
        if list.is_empty() {
            return Ok(());
        }
        let path = toc.dir.path().join("list");
        write_list(&path, list)?;
        let mut restore = Self::command(&self.programs()?, "pg_restore", self.into, RESTORING)?;
        restore
            .args(["--no-password", "--no-owner", "--exit-on-error"])
            .arg(format!("--role={}", self.owner_role))
            .arg(format!("--section={section}"))
            .arg(format!("--jobs={jobs}"))
            .arg(format!("--use-list={}", path.display()))
            .arg(format!("--dbname={}", self.into.database()))
            .arg(&toc.archive);
        self.finish(restore, "pg_restore").await.map(drop)
    }

    /// `pg_dump --section=data | psql`: rows, sequences and large objects, nothing on disk in between.
    pub async fn data(&self, snapshot: &str) -> Result<(), Failure> {
        self.cx.say(self.stage, "copying the rows");
        self.piped(snapshot, "rows", &[]).await
    }

    /// The same for large objects alone (and sequences, which are set again afterwards).
    pub async fn large_objects(&self, snapshot: &str) -> Result<(), Failure> {
        self.piped(snapshot, "large objects", &["--exclude-table-data=*.*"]).await
    }

    async fn piped(&self, snapshot: &str, purpose: &str, options: &[&str]) -> Result<(), Failure> {
        let programs = self.programs()?;
        let watch = Stopwatch::start();
        let mut dump = Self::command(&programs, "pg_dump", self.source, READING)?;
        dump.args(["--no-password", "--section=data", "--format=plain", "--no-owner"])
            .args(options)
            .arg(format!("--lock-wait-timeout={}", self.lock_timeout.as_millis()))
            .arg(format!("--snapshot={snapshot}"))
            .stdout(Stdio::piped());
        let mut dump = Child::start(&mut dump, "pg_dump")?;
        let options =
            format!("-c role={} -c statement_timeout=0 -c synchronous_commit=off", self.owner_role.replace(' ', "\\ "));
        let mut load = Self::command(&programs, "psql", self.into, &options)?;
        load.args([
            "--no-password",
            "--no-psqlrc",
            "--quiet",
            "--single-transaction",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            "VERBOSITY=terse",
            "--file=-",
        ])
        .stdin(Stdio::piped());
        let mut load = Child::start(&mut load, "psql")?;
        let (Some(rows), Some(into)) = (dump.stdout(), load.stdin()) else {
            return Err(Failure::new(Exit::Io, "pg_dump has no output to read, or psql no input to write to"));
        };
        // Through this process, not from one to the other: when it is killed `pg_dump` writes into nothing, and ends, and
        // with it its hold on production.
        let ((), dumped, loaded) =
            tokio::join!(Printed::of(rows).into(into), wait(dump, "pg_dump"), wait(load, "psql"));
        // When psql stops, pg_dump only sees a broken pipe: psql's own words come first.
        loaded?;
        dumped?;
        self.child("pg_dump", purpose, watch.ms())
    }

    /// ANALYZE on the clone only.
    pub async fn analyze(&self) -> Result<(), Failure> {
        self.cx.say(self.stage, "analysing");
        let options = format!("-c role={} -c statement_timeout=0", self.owner_role.replace(' ', "\\ "));
        let mut analyze = Self::command(&self.programs()?, "psql", self.into, &options)?;
        analyze.args(["--no-password", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "--command=ANALYZE"]);
        self.finish(analyze, "psql").await.map(drop)
    }

    async fn on_production(&self, command: Command, program: &str, purpose: &str) -> Result<(), Failure> {
        let watch = Stopwatch::start();
        self.finish(command, program).await?;
        self.child(program, purpose, watch.ms())
    }

    fn child(&self, program: &str, purpose: &str, ms: u64) -> Result<(), Failure> {
        self.cx.record(Event::Child {
            target: self.source_name.to_owned(),
            program: program.to_owned(),
            purpose: purpose.to_owned(),
            ms,
        })
    }

    async fn finish(&self, mut command: Command, program: &str) -> Result<String, Failure> {
        wait(Child::start(&mut command, program)?, program).await
    }
}

/// What the folder of a schema's dump is called, within the run's.
const SCHEMA_FOLDER: &str = ".schema-";

fn left_folders(dir: &Path) -> Vec<PathBuf> {
    let ours = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(SCHEMA_FOLDER);
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries.filter(ours).map(|entry| entry.path()).collect()
}

fn write_list(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|e| Failure::new(Exit::Io, format!("{}: {e}", path.display())))
}

async fn wait(child: Child, program: &str) -> Result<String, Failure> {
    let output = child.output().await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let exit = if passes(&said) { Exit::Temporary } else { Exit::StageFailed };
    let mut failure = Failure::new(exit, format!("{program} failed: {}", output.status));
    failure.facts = tellable(&said);
    Err(failure)
}

/// What a child says of what another time may go well.
const PASSES: [&str; 17] = [
    "due to lock timeout",
    "server closed the connection unexpectedly",
    "could not receive data from server",
    "could not send data to server",
    "no connection to the server",
    "SSL connection has been closed unexpectedly",
    "SSL SYSCALL error",
    "SSL error: unexpected eof",
    "Connection refused",
    "Connection timed out",
    "No route to host",
    "Network is unreachable",
    "could not translate host name",
    "timeout expired",
    "the database system is ",
    "too many clients already",
    "remaining connection slots are reserved",
];

/// Only what the child itself says counts, not the text of a statement or a row that it quotes.
fn passes(said: &str) -> bool {
    let mut quoted = false;
    said.lines().any(|line| {
        if ["pg_dump:", "pg_restore:", "psql:"].iter().any(|begin| line.starts_with(begin)) {
            quoted = false;
        } else if ["Command was:", "DETAIL:", "CONTEXT:"].iter().any(|begins| line.contains(begins)) {
            quoted = true;
        }
        !quoted && PASSES.iter().any(|text| line.contains(text))
    })
}

/// The lines that carry no row: what stands behind `DETAIL` and `CONTEXT`, up to the next thing said, can.
fn tellable(said: &str) -> Vec<String> {
    const BEGINS: [&str; 5] = ["pg_dump:", "pg_restore:", "psql:", "HINT:", "Command was:"];
    let mut within_detail = false;
    let mut told = Vec::new();
    for line in said.lines().filter(|line| !line.trim().is_empty()) {
        if line.contains("DETAIL:") || line.contains("CONTEXT:") {
            within_detail = true;
        } else if BEGINS.iter().any(|begin| line.trim_start().starts_with(begin)) {
            within_detail = false;
        }
        if !within_detail && told.len() < 12 {
            told.push(line.to_owned());
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::{passes, tellable};

    #[test]
    fn what_passes_is_what_the_child_says_and_not_what_it_quotes() {
        assert!(passes(
            "pg_dump: error: query failed: SSL SYSCALL error: EOF detected\npg_dump: detail: Query was: COPY t"
        ));
        assert!(passes("pg_dump: error: connection to server at \"db\" failed: No route to host\n"));
        assert!(passes(
            "pg_restore: error: could not execute query: x\nCommand was: y\npg_restore: error: Connection refused"
        ));
        let body = "pg_restore: error: could not execute query: ERROR:  syntax error\n\
                    Command was: CREATE FUNCTION f() AS 'BEGIN\n RAISE ''timeout expired'';\n Connection refused\nEND';\n";
        assert!(!passes(body));
        assert!(!passes("pg_restore: error: ERROR:  no such thing\n"));
    }

    #[test]
    fn a_row_is_not_told_however_many_lines_it_has() {
        let said = "pg_restore: error: could not execute query: ERROR:  could not create unique index \"k\"\n\
                    DETAIL:  Key (email)=(a@b.c\nsecond line) is duplicated.\n\
                    Command was: CREATE UNIQUE INDEX k ON t (email);\n\npg_restore: warning: errors ignored\n";
        let told = [
            "pg_restore: error: could not execute query: ERROR:  could not create unique index \"k\"",
            "Command was: CREATE UNIQUE INDEX k ON t (email);",
            "pg_restore: warning: errors ignored",
        ];
        assert_eq!(tellable(said), told);
    }
}
