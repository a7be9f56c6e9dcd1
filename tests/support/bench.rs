//! The bench of one test: a production, a name for a clone, a working folder, and the engine to run there.

use super::server::{bare_roles, empty_production, fail, production, server};
use engine::event::Failure;
use engine::sandbox::{Environment, Sample, Server};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// What of the repository is copied into the working folder.
const COPIED: [&str; 3] = ["plans", "templates", "sql"];

/// Variables of ours that the engine sees as well.
const PASSED: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "ENGINE_TEST_PG_BIN", "ENGINE_PG_BIN"];

/// All that one test works with; nothing of it is another test's, but the roles.
#[derive(Debug)]
pub struct Bench {
    server: &'static Server,
    /// Where production is: `server`, unless the two are apart.
    source: &'static Server,
    home: TempDir,
    production: String,
    clone: String,
    environment: Environment,
    /// The database of the shared journal, if it has one.
    pub(super) team: Option<(&'static Server, String)>,
}

/// How a run of the engine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code; 128 and the signal, as a shell says it, if one ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Bench {
    /// A bench with the governance sample; `name` (a word) becomes part of the databases' names.
    pub fn new(name: &str) -> Bench {
        Bench::with(Sample::Governance, name)
    }

    /// A bench with the shop.
    pub fn shop(name: &str) -> Bench {
        Bench::with(Sample::Shop, name)
    }

    fn with(sample: Sample, name: &str) -> Bench {
        let (database, clone) = names(name);
        let server = server();
        production(sample, &database);
        let environment = sample.environment(server, &database);
        Bench::around(server, server, database, clone, environment)
    }

    /// A bench whose production is an empty database, made with `options` of CREATE DATABASE and owned by
    /// `shop_owner`; it is read by `bare_reader`, who may read every table and nothing else.
    pub fn bare(name: &str, options: &str) -> Bench {
        Bench::bare_on(server(), server(), name, options)
    }

    /// The same with production on one server and its clones on another.
    pub fn bare_on(source: &'static Server, target: &'static Server, name: &str, options: &str) -> Bench {
        let (database, clone) = names(name);
        for server in [target, source] {
            bare_roles(server);
        }
        empty_production(source, &database, options);
        let doors = [
            ("SHOP_PRODUCTION_URL", source.url("bare_reader", &database)),
            ("SHOP_CLONE_URL", target.url("engine_stage", "postgres")),
            ("SHOP_CLONE_MAKER_URL", target.url("engine_cloner", "postgres")),
        ];
        let environment = doors.map(|(name, url)| (name.to_owned(), url)).to_vec();
        Bench::around(target, source, database, clone, environment)
    }

    fn around(
        server: &'static Server,
        source: &'static Server,
        production: String,
        clone: String,
        environment: Environment,
    ) -> Bench {
        let home = tempfile::Builder::new().prefix("bench-").tempdir().expect("a working folder");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in COPIED.iter().filter(|folder| repository.join(folder).is_dir()) {
            copy(&repository.join(folder), &home.path().join(folder));
        }
        Bench { server, source, home, production, clone, environment, team: None }
    }

    /// The same with a working folder of its own, in which only plans, templates and their SQL are: another machine.
    pub fn another_machine(&self) -> Bench {
        let (production, clone) = (self.production.clone(), self.clone.clone());
        let other = Bench::around(self.server, self.source, production, clone, self.environment.clone());
        for folder in COPIED {
            copy(&self.home().join(folder), &other.home().join(folder));
        }
        Bench { team: self.team.clone(), ..other }
    }

    /// The name of this test's production.
    pub fn production(&self) -> &str {
        &self.production
    }

    /// The name to give to this test's clone.
    pub fn clone_name(&self) -> &str {
        &self.clone
    }

    /// `clone_database=NAME`, for `--var`.
    pub fn clone_var(&self) -> String {
        format!("clone_database={}", self.clone)
    }

    /// The working folder: `plans/`, `templates/`, `sql/` as in the repository, and `.engine/` once it ran.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Sets a variable for every later run, or changes it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Unsets a variable for every later run.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// Follows a bare bench's servers to where they were started again.
    pub fn moved(&mut self, source: Option<&'static Server>, target: Option<&'static Server>) {
        if let Some(source) = source {
            self.source = source;
            self.set("SHOP_PRODUCTION_URL", &source.url("bare_reader", &self.production.clone()));
        }
        if let Some(target) = target {
            self.server = target;
            self.set("SHOP_CLONE_URL", &target.url("engine_stage", "postgres"));
            self.set("SHOP_CLONE_MAKER_URL", &target.url("engine_cloner", "postgres"));
        }
    }

    /// Writes a file below the working folder, with the folders it needs; returns where it is.
    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let file = self.home().join(path);
        fs::create_dir_all(file.parent().expect("a path in the working folder")).expect("a folder");
        fs::write(&file, text).expect("a file");
        file
    }

    /// Reads a file below the working folder.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.home().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The engine, ready to run here with nothing of our environment but where programs are. Plans of tests have no lock.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let applies = arguments.first() == Some(&"apply") && !arguments.contains(&"--locked");
        let arguments = [arguments, if applies { &["--unlocked"] } else { &[] }].concat();
        let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
        command.args(arguments).current_dir(self.home()).stdin(Stdio::null()).env_clear();
        command.envs(PASSED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("HOME", self.home()).env("LC_ALL", "C.UTF-8").env("TERM", "dumb").env("NO_COLOR", "1");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the engine to its end.
    pub fn engine(&self, arguments: &[&str]) -> Outcome {
        use std::os::unix::process::ExitStatusExt;
        let output = self.command(arguments).output().expect("the engine");
        let code = output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal));
        Outcome {
            code: code.expect("a code or a signal"),
            stdout: String::from_utf8(output.stdout).expect("the engine prints UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("the engine prints UTF-8"),
        }
    }

    /// Runs SQL as superuser; returns what it prints: a line a row, columns parted by `|`.
    #[track_caller]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.server_of(database).psql(database, sql).unwrap_or_else(|failure| fail(&failure))
    }

    /// Runs SQL as `role`, who may well be refused.
    pub fn psql_as(&self, role: &str, database: &str, sql: &str) -> Result<String, Failure> {
        self.server_of(database).psql_as(role).run(database, "sql", sql)
    }

    /// The server that holds `database`: any but production is where clones are.
    fn server_of(&self, database: &str) -> &'static Server {
        if database == self.production { self.source } else { self.server }
    }

    /// The connection string of `role` on `database`.
    pub fn url(&self, role: &str, database: &str) -> String {
        self.server_of(database).url(role, database)
    }

    /// Is there a database of that name?
    pub fn exists(&self, database: &str) -> bool {
        let psql = self.server.psql_as("postgres").variables(&[("name", database)]);
        let asked = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = :'name'";
        psql.run("postgres", "sql", asked).unwrap_or_else(|failure| fail(&failure)) == "1"
    }

    /// Drops its databases, for tests that make many of them: a server's disk is not theirs alone.
    pub fn clear(self) {
        let journal = self.team.as_ref().map(|(server, database)| (*server, database.as_str()));
        let own = [(self.source, self.production.as_str()), (self.server, self.clone.as_str())];
        for (server, database) in own.into_iter().chain(journal) {
            let drop = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
            server.psql("postgres", &drop).unwrap_or_else(|failure| fail(&failure));
        }
    }
}

/// Names of a production and its clone that no other bench has.
fn names(name: &str) -> (String, String) {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    (format!("prod_{number}_{name}"), format!("clone_{number}_{name}"))
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder of the repository") {
        let entry = entry.expect("an entry");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        }
    }
}
