//! A server starts, answers, and is gone: with its process, however that ends.

use super::*;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set for a copy of this program that is to own a server and be killed.
const OWNER: &str = "ENGINE_TEST_SANDBOX_OWNER";

fn start() -> Server {
    Server::start(&Options::default())
        .unwrap_or_else(|failure| panic!("{failure}: {:#?} {:?}", failure.facts, failure.next))
}

fn alive(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::test_kill_process(process).is_ok()
}

fn wait_until_gone(process: u32, folder: &Path) {
    let started = Instant::now();
    while alive(process) || folder.exists() {
        assert!(started.elapsed() < Duration::from_secs(30), "{} outlived its owner", folder.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_answers_and_is_gone_when_it_is_dropped() {
    let server = start();
    let (process, folder) = (server.process_id().expect("a process id"), server.socket().to_path_buf());
    let asked = "SELECT current_setting('server_version_num')::int / 10000, current_setting('fsync')";
    assert_eq!(server.psql("postgres", asked).expect("an answer"), format!("{}|off", server.major()));
    assert!(folder.as_os_str().len() < 60, "room for the name of the socket: {}", folder.display());
    drop(server);
    assert!(!alive(process));
    assert!(!folder.exists());
}

#[test]
fn a_statement_that_fails_says_what_and_where() {
    let server = start();
    let failure = server.psql("postgres", "SELECT 1;\nSELECT * FROM nowhere;").expect_err("no such table");
    assert_eq!(failure.sqlstate.as_deref(), Some("42P01"));
    assert!(failure.facts[0].contains(":2: ERROR:  42P01: relation \"nowhere\" does not exist"), "{:?}", failure.facts);
}

#[test]
fn data_stays_in_a_folder_that_is_named_and_nowhere_else() {
    let home = tempfile::Builder::new().prefix("engine-test-").tempdir_in("/tmp").expect("a folder");
    open(home.path());
    let options = Options { dir: Some(home.path().join("kept")), fsync: true, ..Options::default() };
    let server = Server::start(&options).expect("a new server");
    server.psql("postgres", "CREATE TABLE stays AS SELECT 7 AS n").expect("a table");
    server.stop().expect("an end");
    let server = Server::start(&options).expect("the same server");
    assert_eq!(server.psql("postgres", "SELECT n, current_setting('fsync') FROM stays").expect("the row"), "7|on");
    server.stop().expect("an end");
    let foreign = Options { dir: Some(home.path().to_path_buf()), fsync: true, ..Options::default() };
    let failure = Server::start(&foreign).expect_err("a folder with something else in it");
    assert!(failure.what.ends_with("is no sandbox: it holds `kept`"), "{}", failure.what);
}

/// Another account must be able to pass.
fn open(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[test]
fn the_samples_load_once_and_nobody_in_their_environment_is_superuser() {
    let server = start();
    let mut all = load_sample(&server, 100).expect("the sample");
    all.extend(load_shop(&server).expect("the shop"));
    assert_eq!(load_sample(&server, 100).expect("the sample again").len(), 5);
    let gap = "SELECT count(*) FROM public.gov_coverage_gap";
    assert_eq!(server.psql_as("engine_reader").run("directus", "sql", gap).expect("the gap"), "210");
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"ENGINE_CLONE_MAKER_URL") && names.contains(&"SHOP_CLONE_MAKER_URL"), "{names:?}");
    let psql = Binaries::find().expect("the programs").path("psql");
    for (name, url) in &all {
        let asked = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user";
        let output = Command::new(&psql).args(["-XAt", "-c", asked, "-d", url]).output().expect("psql");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "f\n", "{name}: {url}");
    }
    assert!(
        server.psql_as("engine_stage").run("directus", "sql", "SELECT 1").is_err(),
        "stages have no door to production"
    );
}

#[test]
fn a_connection_string_leads_to_the_socket() {
    let server = start();
    let socket = server.socket().to_string_lossy().replace('/', "%2F");
    assert_eq!(server.url("a b", "x/y"), format!("postgresql://a%20b@{socket}/x%2Fy"));
}

#[test]
fn it_is_gone_when_its_owner_is_killed() {
    let (mut owner, process, folder) = own("ready");
    assert!(alive(process) && folder.exists());
    owner.kill().expect("SIGKILL");
    owner.wait().expect("the end of the owner");
    wait_until_gone(process, &folder);
}

#[test]
fn it_is_gone_when_its_owner_aborts() {
    let (mut owner, process, folder) = own("abort");
    assert!(!owner.wait().expect("the end of the owner").success());
    wait_until_gone(process, &folder);
}

/// Starts a copy of this program that owns a server: its process, the server's process, the server's folder.
fn own(manner: &str) -> (Child, u32, PathBuf) {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(["--exact", "sandbox::tests::owner", "--nocapture"]).env(OWNER, manner);
    // No standard input: the server must not depend on ours.
    let mut owner = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a copy of this program");
    let output = BufReader::new(owner.stdout.take().expect("its output"));
    let lines = output.lines().map_while(Result::ok);
    let said = lines.into_iter().find_map(|line| Some(line.split_once("owns ")?.1.to_owned())).expect("what it owns");
    let (process, folder) = said.split_once(' ').expect("a process and a folder");
    (owner, process.parse().expect("a process id"), PathBuf::from(folder))
}

/// Not a test by itself: what the copy of this program does.
#[test]
fn owner() {
    let Ok(manner) = std::env::var(OWNER) else { return };
    let server = start();
    println!("owns {} {}", server.process_id().expect("a process id"), server.socket().display());
    if manner == "abort" {
        std::process::abort();
    }
    std::thread::park_timeout(Duration::from_mins(1));
}
