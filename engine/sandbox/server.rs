//! A server of our own: started, asked, stopped; gone when this process is.

use super::account::Account;
use super::binaries::Binaries;
use super::io;
use super::place::Place;
use super::psql::Psql;
use crate::event::{Exit, Failure};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SUPERVISOR: &str = include_str!("supervisor.sh");

/// How long a server may take to be ready, and to be gone.
const PATIENCE: Duration = Duration::from_mins(1);

/// Settings of every sandbox: on a socket only, the same on every machine.
const SETTINGS: [&str; 7] = [
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "max_connections=120",
    "track_counts=on",
    "timezone=UTC",
    "logging_collector=off",
];

/// Settings that make a server fast and its data worthless after a crash of the machine.
const CARELESS: [&str; 3] = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];

/// How a server is started. The default: nothing stays, no disk is waited for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder where the data stays: new, empty, or one that was used so before. `None`: nothing stays.
    pub dir: Option<PathBuf>,
    /// Wait for the disk, as a real server does.
    pub fsync: bool,
    /// More settings, `NAME=VALUE` as on the command line of `postgres`; they count before those of every sandbox.
    pub settings: Vec<String>,
}

/// A running PostgreSQL; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    /// Runs the server as long as we hold the other end of its standard input.
    supervisor: Child,
    binaries: Binaries,
    /// Last: what is left of it is removed after the server has stopped.
    place: Place,
}

impl Server {
    /// Sets up a server and waits until it is ready. Blocks for a second or two.
    ///
    /// # Errors
    /// PostgreSQL is missing, a folder cannot be used, or the server does not start (exit 1).
    pub fn start(options: &Options) -> Result<Server, Failure> {
        let binaries = Binaries::find()?;
        let account = Account::choose()?;
        let place = Place::make(options.dir.as_deref(), &account)?;
        same_major(&place, &binaries)?;
        let supervisor = supervise(&binaries, &place, &account, options)?;
        let mut server = Server { supervisor, binaries, place };
        server.wait_until_ready().map_err(|failure| match account.hint() {
            Some(hint) => failure.fact(hint),
            None => failure,
        })?;
        Ok(server)
    }

    /// The major version, `15`.
    pub fn major(&self) -> u32 {
        self.binaries.major()
    }

    /// The folder the socket is in.
    pub fn socket(&self) -> &Path {
        self.place.private()
    }

    /// Where the server writes its log.
    pub fn log(&self) -> PathBuf {
        self.place.log()
    }

    /// The process id of the server; `None` when it is not up.
    pub fn process_id(&self) -> Option<u32> {
        self.place.ready()
    }

    /// The connection string of `user` on `database`: nobody needs a password here. Any client understands it.
    pub fn url(&self, user: &str, database: &str) -> String {
        let socket = encode(&self.socket().to_string_lossy());
        format!("postgresql://{}@{socket}/{}", encode(user), encode(database))
    }

    /// Runs a script of SQL, `text`, as superuser; returns what it prints. `name` says in a failure which it was.
    /// `settings` are set for its session (`("sample.rows", "2000")`).
    ///
    /// # Errors
    /// A statement failed (exit 1, with its SQLSTATE); those before it stay done.
    pub fn psql_script(
        &self,
        database: &str,
        name: &str,
        text: &str,
        settings: &[(&str, &str)],
    ) -> Result<String, Failure> {
        self.psql_as("postgres").settings(settings).run(database, name, text)
    }

    /// Runs a file of SQL as superuser; returns what it prints.
    ///
    /// # Errors
    /// The file cannot be read, or a statement failed (exit 1, with its SQLSTATE).
    pub fn psql_file(&self, database: &str, path: &Path, settings: &[(&str, &str)]) -> Result<String, Failure> {
        let text = std::fs::read_to_string(path).map_err(|e| io(format_args!("cannot read {}", path.display()), &e))?;
        self.psql_script(database, &path.to_string_lossy(), &text, settings)
    }

    /// Runs SQL as superuser; returns what it prints: a line a row, columns parted by `|`.
    ///
    /// # Errors
    /// A statement failed (exit 1, with its SQLSTATE).
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, Failure> {
        self.psql_as("postgres").run(database, "sql", sql)
    }

    /// The client program, as `user`: for what a superuser should not try.
    pub fn psql_as(&self, user: &str) -> Psql {
        Psql::new(self.binaries.path("psql"), self.socket().to_path_buf(), user.to_owned())
    }

    /// Stops the server and waits until it is gone, with its folder unless that is kept.
    ///
    /// # Errors
    /// It is not gone after a minute (exit 1).
    pub fn stop(mut self) -> Result<(), Failure> {
        self.let_go()
    }

    fn let_go(&mut self) -> Result<(), Failure> {
        drop(self.supervisor.stdin.take());
        let cannot = |e: std::io::Error| io("cannot wait for the end of the server", &e);
        let what = "the server does not stop";
        let supervisor = &mut self.supervisor;
        poll(what, || supervisor.try_wait().map(|status| status.map(|_| ())).map_err(cannot))
    }

    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let (place, supervisor) = (&self.place, &mut self.supervisor);
        poll("the server does not get ready", || {
            let over = place.ended().exists() || supervisor.try_wait().is_ok_and(|status| status.is_some());
            if over {
                return Err(Failure::new(Exit::Io, "the server does not start"));
            }
            Ok(place.ready().map(|_| ()))
        })
        .map_err(|failure| with_log(failure, &place.log()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody to tell: the supervisor goes on by itself, and `stop` is there for who wants to know.
        let _ = self.let_go();
    }
}

/// Data made by another major version cannot be used.
fn same_major(place: &Place, binaries: &Binaries) -> Result<(), Failure> {
    match place.data_major() {
        Some(major) if major != binaries.major().to_string() => {
            let what = format!(
                "the data in {} is of PostgreSQL {major}, the server here is {}",
                place.data.display(),
                binaries.major()
            );
            Err(Failure::new(Exit::Io, what)
                .changed("nothing was changed; no server was started")
                .next("then", format!("rm -r {}", place.data.display()))
                .next("or", format!("export ENGINE_PG_BIN=FOLDER   with the programs of PostgreSQL {major}")))
        }
        _ => Ok(()),
    }
}

/// Starts the supervisor, in a process group of its own: a Ctrl-C at our terminal is ours alone.
fn supervise(binaries: &Binaries, place: &Place, account: &Account, options: &Options) -> Result<Child, Failure> {
    let cannot = |e: std::io::Error| io("cannot start a server", &e);
    let log = std::fs::File::create(place.log()).map_err(cannot)?;
    let mut command = Command::new("sh");
    command.args(["-c", SUPERVISOR, "supervisor"]).arg(binaries.folder()).arg(&place.data).arg(place.private());
    command.arg(if place.kept { "INT" } else { "QUIT" });
    let careless: &[&str] = if options.fsync { &[] } else { &CARELESS };
    for setting in SETTINGS.iter().chain(careless) {
        command.args(["-c", setting]);
    }
    for setting in &options.settings {
        command.args(["-c", setting]);
    }
    command.arg("-c").arg(format!("unix_socket_directories={}", place.private().display()));
    bare(&mut command);
    account.dress(&mut command);
    command.current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(log.try_clone().map_err(cannot)?).stderr(log);
    command.spawn().map_err(cannot)
}

/// Takes our environment away from a program of PostgreSQL: what it does must not depend on who runs the engine.
pub(super) fn bare(command: &mut Command) {
    let kept = ["PATH", "LD_LIBRARY_PATH"].map(|name| (name, std::env::var_os(name)));
    command.env_clear().env("LC_ALL", "C");
    command.envs(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
}

/// Asks until there is an answer: often at first, and not for ever.
fn poll<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>, Failure>) -> Result<T, Failure> {
    let (started, mut pause) = (Instant::now(), Duration::from_millis(2));
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if started.elapsed() > PATIENCE {
            return Err(Failure::new(Exit::Io, format!("{what} within {} s", PATIENCE.as_secs())));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Adds the end of the log: it says why.
fn with_log(failure: Failure, log: &Path) -> Failure {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(12)..].iter().fold(failure, |failure, line| failure.fact(*line))
}

/// Percent-encodes what is no plain letter, digit, `_` or `-`.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
