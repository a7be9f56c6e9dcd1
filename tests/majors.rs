//! Production on one server, its clone on another: of one major version, and from each older one into each newer.
//!
//! `make test-matrix` names the versions in ENGINE_MATRIX_BINS, `15=FOLDER:16=FOLDER`. Without it the programs at hand
//! are taken, on two servers.

use engine::event::{Event, Line};
use engine::sandbox::Binaries;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const VARIABLE: &str = "ENGINE_MATRIX_BINS";

/// What is in production: all that dump and restore, and major versions, treat differently.
const CONTENTS: [&str; 2] = [include_str!("fingerprints/awkward.sql"), include_str!("matrix/more.sql")];

/// Every row there is: a witness that knows nothing of fingerprints.
const ROWS: &str = include_str!("matrix/rows.sql");

const ROLES: &str = "CREATE ROLE s_owner; CREATE ROLE s_app; CREATE ROLE s_b; GRANT pg_read_all_data TO engine_reader";

/// Masks that a clone needs within one major version.
const MASKS: [&str; 7] = [
    "the database's own owner, grants, comment and settings are not compared",
    "owners are compared through the map",
    "grants are compared with owners mapped and without what owners hold on their own objects",
    "left out of the clone",
    "IN lists over varchar, parsed anew in the clone, are printed in another form",
    "materialized views are computed anew in a clone",
    "the order of columns of an heir or a partition is made anew in a clone: column order of public.chi",
];

/// Masks that only another major version may need, and from which on one side must be for that.
const ACROSS: [(&str, u32); 4] = [
    (
        "an extension has the version that the clone's server brings along: extension pgcrypto version 1.3 -> version 1.4",
        18,
    ),
    ("columns of views and rules over one table are printed with the table before PostgreSQL 16: ", 16),
    ("the privilege MAINTAIN exists from PostgreSQL 17 on", 17),
    ("NOT NULL constraints have names from PostgreSQL 18 on", 18),
];

/// What PostgreSQL 18 needs of itself: its `pg_restore` makes up names for NOT NULL constraints anew.
const MADE_UP: &str = "names that PostgreSQL makes up for NOT NULL constraints";

/// A server of its own process, and the doors that its sandbox has for plans.
struct Server {
    process: Child,
    major: u32,
    programs: String,
    doors: Vec<(String, String)>,
    superuser: String,
}

impl Server {
    fn start(major: u32, programs: &str) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
        command.arg("sandbox").env("ENGINE_TEST_PG_BIN", programs);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("the engine");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        let (mut doors, mut superuser) = (Vec::new(), None);
        for line in output.lines().map(|line| line.expect("UTF-8")) {
            if let Some((name, value)) = line.strip_prefix("export ").and_then(|rest| rest.split_once('=')) {
                doors.push((name.to_owned(), value.trim_matches('\'').to_owned()));
            } else if let Some((_, command)) = line.split_once("psql '") {
                superuser = Some(command.trim_end_matches('\'').to_owned());
                break;
            }
        }
        let superuser = superuser.unwrap_or_else(|| panic!("no sandbox of PostgreSQL {major} from {programs}"));
        let server = Server { process, major, programs: programs.to_owned(), doors, superuser };
        server.psql("postgres", ROLES);
        server.psql("postgres", "CREATE DATABASE matrix");
        // The stage role is in every sandbox, and must not get into production's.
        server.psql(
            "postgres",
            "REVOKE CONNECT ON DATABASE matrix FROM PUBLIC; GRANT CONNECT ON DATABASE matrix TO engine_reader",
        );
        for sql in CONTENTS {
            server.psql("matrix", sql);
        }
        server
    }

    /// Runs SQL as superuser.
    #[track_caller]
    fn psql(&self, database: &str, sql: &str) -> String {
        let url = in_database(&self.superuser, database);
        let mut psql = Command::new(Path::new(&self.programs).join("psql"));
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", &url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        psql.env("PGOPTIONS", "-c client_min_messages=error");
        let mut child = psql.spawn().expect("psql");
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), sql.as_bytes()).expect("psql reads");
        let output = child.wait_with_output().expect("psql");
        assert!(output.status.success(), "PostgreSQL {}: {sql}", self.major);
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The connection string in the variable `name` of this server's sandbox, with another database.
    fn door(&self, name: &str, database: &str) -> String {
        let found = self.doors.iter().find(|(known, _)| known == name);
        in_database(&found.unwrap_or_else(|| panic!("no {name}")).1, database)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its server sees the end of the process.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn in_database(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("a connection string");
    format!("{server}/{database}")
}

/// Major versions and folders of their programs, oldest first.
fn majors() -> Vec<(u32, String)> {
    let listed = std::env::var(VARIABLE).unwrap_or_default();
    let pairs = listed.split(':').filter(|entry| !entry.is_empty());
    let found: Vec<(u32, String)> = pairs
        .map(|entry| entry.split_once('=').unwrap_or_else(|| panic!("{VARIABLE}: `{entry}` is not MAJOR=FOLDER")))
        .map(|(major, folder)| (major.parse().expect("a major version"), folder.to_owned()))
        .collect();
    if !found.is_empty() {
        return found;
    }
    let programs = Binaries::find().expect("the programs of PostgreSQL");
    let folder = programs.path("psql").parent().expect("a folder").to_string_lossy().into_owned();
    vec![(programs.major(), folder.clone()), (programs.major(), folder)]
}

const PLAN: &str = r#"engine = 1
plan.name = "majors"
[target.production]
url = "env:MAJORS_PRODUCTION_URL"
access = "read"
[target.clone]
clone_of = "production"
database = "THE_CLONE"
url = "env:MAJORS_CLONE_URL"
maker_url = "env:MAJORS_MAKER_URL"
[probe.rows]
on = "clone"
sql = "SELECT count(*) FROM public.shop"
[stage.clone]
kind = "clone"
on = "clone"
needs = []
no_guard = "a new clone"
[stage.same]
kind = "fingerprint"
on = "clone"
needs = ["clone"]
equals = "clone"
no_guard = "only looks"
[stage.rows]
kind = "check"
on = "clone"
needs = ["same"]
no_guard = "only looks"
ensure.all_there = "rows = 501"
"#;

/// Applies the plan, with programs for the newer of the two; what it said if it failed.
fn apply(home: &TempDir, from: &Server, into: &Server) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command
        .args(["apply", "plans/majors.toml", "--unlocked"])
        .current_dir(home.path())
        .stdin(Stdio::null())
        .env_clear();
    command.envs(["PATH", "LD_LIBRARY_PATH"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.env("HOME", home.path()).env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1").env("ENGINE_PG_BIN", &into.programs);
    command.env("MAJORS_PRODUCTION_URL", from.door("ENGINE_PRODUCTION_URL", "matrix"));
    command.env("MAJORS_CLONE_URL", into.door("ENGINE_CLONE_URL", "postgres"));
    command.env("MAJORS_MAKER_URL", into.door("ENGINE_CLONE_MAKER_URL", "postgres"));
    let output = command.output().expect("the engine");
    let said = || [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    if output.status.success() { Ok(()) } else { Err(format!("{}\n{}", output.status, said())) }
}

/// Clones; says what is wrong with it, if anything is.
fn clone(from: &Server, into: &Server) -> Result<(), String> {
    let home = tempfile::Builder::new().prefix("majors-").tempdir().expect("a working folder");
    let name = format!("clone_of_{}", from.major);
    std::fs::create_dir(home.path().join("plans")).expect("a folder");
    std::fs::write(home.path().join("plans/majors.toml"), PLAN.replace("THE_CLONE", &name)).expect("a plan");
    apply(&home, from, into)?;
    let (here, there) = (from.psql("matrix", ROWS), into.psql(&name, ROWS));
    into.psql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
    if here != there {
        return Err(format!("the rows differ:\n{here}\n{there}"));
    }
    masks(&home, from, into)
}

/// The masks that were used are those that this pair of versions needs, no more and no fewer.
fn masks(home: &TempDir, from: &Server, into: &Server) -> Result<(), String> {
    let run = std::fs::read_dir(home.path().join(".engine/runs")).expect("runs").next().expect("a run").expect("a run");
    let journal = std::fs::read_to_string(run.path().join("journal.jsonl")).expect("a journal");
    let mut used = Vec::new();
    for line in journal.lines() {
        let line: Line = serde_json::from_str(line).expect("a line of a journal");
        let Event::Compared { masks, .. } = line.event else { continue };
        used.extend(masks);
    }
    let crossed = |major: u32| from.major < major && into.major >= major;
    let needed = ACROSS.iter().filter(|(_, major)| crossed(*major)).map(|(mask, _)| *mask);
    let made_up = (from.major >= 18).then_some(MADE_UP);
    let needed: Vec<&str> = MASKS.into_iter().chain(needed).chain(made_up).collect();
    let surplus = used.iter().filter(|mask| !needed.iter().any(|known| mask.starts_with(known)));
    let unused = needed.iter().filter(|known| !used.iter().any(|mask| mask.starts_with(*known)));
    let wrong: Vec<String> = surplus
        .map(|mask| format!("not needed: {mask}"))
        .chain(unused.map(|mask| format!("not used: {mask}")))
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

#[test]
fn a_clone_on_another_server_is_equal() {
    let servers: Vec<Server> = majors().iter().map(|(major, programs)| Server::start(*major, programs)).collect();
    let mut wrong = Vec::new();
    for (at, from) in servers.iter().enumerate() {
        for into in &servers[at + 1..] {
            let pair = format!("from {} into {}", from.major, into.major);
            match clone(from, into) {
                Ok(()) => println!("{pair}: equal"),
                Err(what) => wrong.push(format!("{pair}: {what}")),
            }
        }
    }
    assert!(servers.len() > 1, "{VARIABLE} names fewer than two versions");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
