//! Clones that cannot be finished: the disk is full, a server dies, connections run out, a privilege is missing. Each
//! is a clear error with the right exit code, leaves nothing half made, and can be tried again once it is repaired.

mod support;

use engine::event::Event;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Bench, Gate, METHODS, OwnServer, PLAN, Session};

/// Some megabytes that take a moment to copy, and a key.
const ROWS: &str = "
    SET ROLE shop_owner;
    CREATE TABLE t (id int PRIMARY KEY, v text);
    ALTER TABLE t ALTER v SET STORAGE EXTERNAL;
    INSERT INTO t SELECT n, repeat(md5(n::text), 1000) FROM generate_series(1, 1000) AS n;
    CREATE TABLE u (id int REFERENCES t);
    INSERT INTO u SELECT generate_series(1, 1000);
";

fn filled(source: &OwnServer, target: &OwnServer, name: &str) -> Bench {
    let bench = Bench::bare_on(source.server(), target.server(), name, "");
    bench.psql(bench.production(), ROWS);
    bench
}

fn begun(event: &Event) -> bool {
    matches!(event, Event::CloneBegun { .. })
}

/// Resumes the newest run and demands a clone that is like production.
#[track_caller]
fn resumed(bench: &Bench) {
    bench.engine(&["resume", &bench.run_id()]).expect(0);
    assert_eq!(bench.unlike(), Vec::<String>::new());
}

/// A file system of its own with little room, for as long as this lives. Root may mount one; where nobody may, the
/// server itself is not let write large files, which it reports in the same way.
struct LittleRoom {
    folder: tempfile::TempDir,
    mounted: bool,
}

impl LittleRoom {
    fn new(megabytes: u32) -> LittleRoom {
        let folder = tempfile::Builder::new().prefix("room-").tempdir_in("/tmp").expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=0755"), "tmpfs"]).arg(folder.path());
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("a folder of ours");
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        LittleRoom { folder, mounted }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for LittleRoom {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: a server that a failed test left is still in it.
            let _ = Command::new("umount").arg("-l").arg(self.path()).status();
        }
    }
}

#[test]
fn a_full_disk_under_the_clone_is_told_and_leaves_nothing() {
    let source = OwnServer::new(&[]);
    let room = LittleRoom::new(150);
    let mut target = OwnServer::new(&[]);
    target.move_databases(room.path());
    for method in METHODS {
        let bench = filled(&source, &target, "full");
        // Whatever is free now but 20 MB is taken: the schema fits, the rows do not.
        // What new databases are still owed of their files is written first: dropping one waits for that.
        target.server().psql("postgres", "CHECKPOINT").expect("a checkpoint");
        let hog = room.path().join("hog");
        fill(&hog, room.path(), 20, room.mounted, &target);
        let started = Instant::now();
        bench.make_clone(method, "").expect(40).says(&[
            "could not extend file",
            if room.mounted { "No space left on device" } else { "File too large" },
            "the half-made clone was dropped",
        ]);
        assert!(started.elapsed() < Duration::from_secs(60), "{method}: {:?}", started.elapsed());
        bench.nothing_left();
        free(&hog, room.mounted, &target);
        resumed(&bench);
    }
}

/// Takes all room but `left` megabytes; where there is no file system to fill, bounds the size of the server's files.
fn fill(hog: &Path, room: &Path, left: u64, mounted: bool, target: &OwnServer) {
    if !mounted {
        return limit_files(target, &(left << 20).to_string());
    }
    let free = Command::new("df").args(["--output=avail", "-B1"]).arg(room).output().expect("df");
    let free: u64 =
        String::from_utf8_lossy(&free.stdout).lines().nth(1).and_then(|n| n.trim().parse().ok()).expect("a number");
    let file = std::fs::File::create(hog).expect("a file");
    drop(file);
    let size = free.saturating_sub(left << 20);
    let taken = Command::new("fallocate").args(["-l", &size.to_string()]).arg(hog).status().expect("fallocate");
    assert!(taken.success(), "{size} bytes are not to be had");
}

fn free(hog: &Path, mounted: bool, target: &OwnServer) {
    if mounted {
        std::fs::remove_file(hog).expect("the file that took the room");
    } else {
        limit_files(target, "unlimited");
    }
}

/// Bounds the files that the server and all its later sessions may write; done as whoever runs the server.
fn limit_files(target: &OwnServer, bytes: &str) {
    let id = target.server().process_id().expect("a server").to_string();
    let owner = std::fs::metadata(format!("/proc/{id}")).expect("a server");
    let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
    let mut set = Command::new("prlimit");
    std::os::unix::process::CommandExt::uid(std::os::unix::process::CommandExt::gid(&mut set, gid), uid);
    let set = set.args(["--pid", &id, &format!("--fsize={bytes}:")]).status();
    assert!(set.expect("prlimit").success());
}

#[test]
fn a_source_that_dies_is_told_and_the_half_clone_is_dropped() {
    let target = OwnServer::new(&[]);
    for method in METHODS {
        let mut source = OwnServer::new(&[]);
        let mut bench = filled(&source, &target, "source_dies");
        bench.clone_plan(method, "");
        let mut engine = bench.start(&["apply", PLAN]);
        bench.wait_for(&mut engine, begun);
        source.kill("QUIT");
        let code = engine.end();
        assert!(matches!(code, Some(40 | 75)), "{method}: exit {code:?}");
        let page = bench.engine(&["show", "latest", "clone"]).all();
        assert!(
            page.contains("terminat") || page.contains("closed") || page.contains("connection"),
            "{method}: {page}"
        );
        bench.nothing_left();

        source.start();
        bench.moved(Some(source.server()), None);
        resumed(&bench);
    }
}

#[test]
fn a_target_that_dies_is_told_and_what_it_kept_is_dropped_by_the_next_attempt() {
    let source = OwnServer::new(&[]);
    for method in METHODS {
        let mut target = OwnServer::new(&[]);
        let mut bench = filled(&source, &target, "target_dies");
        bench.clone_plan(method, "");
        let mut engine = bench.start(&["apply", PLAN]);
        bench.wait_for(&mut engine, begun);
        // Once something is in it.
        let half = format!("SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = 'engine_{}'", bench.run_id());
        bench.wait_until("postgres", &half, "t");
        target.kill("QUIT");
        let code = engine.end();
        assert!(matches!(code, Some(40 | 75)), "{method}: exit {code:?}");
        let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", bench.production());
        source.server().psql("postgres", &sessions).map(|left| assert_eq!(left, "0")).expect("production is up");

        target.start();
        bench.moved(None, Some(target.server()));
        assert!(!bench.exists(bench.clone_name()), "{method}: a half clone carries the name");
        resumed(&bench);
        let half = format!("SELECT count(*) FROM pg_database WHERE datname LIKE 'engine\\_{}%'", bench.run_id());
        assert_eq!(bench.psql("postgres", &half), "0", "{method}: the half clone is left");
    }
}

/// Takes connections until the server gives no more to ordinary roles.
fn crowd(bench: &Bench, database: &str) -> Vec<Session> {
    let mut crowd = Vec::new();
    while bench.psql_as("engine_cloner", "postgres", "SELECT 1").is_ok() {
        crowd.push(bench.session(database, "SELECT 1;"));
    }
    crowd
}

#[test]
fn a_server_without_a_free_connection_is_temporary() {
    let target = OwnServer::new(&["superuser_reserved_connections = 20"]);
    let source = OwnServer::new(&[]);
    for method in METHODS {
        let bench = filled(&source, &target, "crowded");
        let crowd = crowd(&bench, "postgres");
        bench.make_clone(method, "").expect(75).says(&["remaining connection slots"]);
        drop(crowd);
        bench.nothing_left();
        bench.engine(&["apply", PLAN]).expect(0);
        assert_eq!(bench.unlike(), Vec::<String>::new());
    }
}

/// The reader may have few connections: enough for one session, not for the dump beside it.
#[test]
fn a_reader_of_few_connections_ends_in_a_clear_error() {
    for method in METHODS {
        let mut bench = Bench::bare("few", "");
        bench.psql(bench.production(), ROWS);
        let role = format!("few_{method}");
        let make = format!(
            "CREATE ROLE {role} LOGIN BYPASSRLS CONNECTION LIMIT 1 IN ROLE pg_read_all_data;
             GRANT CONNECT ON DATABASE {} TO {role}",
            bench.production()
        );
        bench.psql(bench.production(), &make);
        bench.set("SHOP_PRODUCTION_URL", &bench.url(&role, bench.production()));
        let refused = bench.make_clone(method, "");
        assert!(matches!(refused.code, 40 | 75), "{method}: {refused:#?}");
        refused.says(&["CONNECTION LIMIT 1"]);
        bench.nothing_left();
        bench.psql("postgres", &format!("ALTER ROLE {role} CONNECTION LIMIT -1"));
        resumed(&bench);
    }
}

/// A privilege, how it is taken, exit code and what must be said, how it is given back.
type Lacking = (&'static str, &'static str, i32, &'static [&'static str], &'static str);

/// In all of them `reader_x` reads and `maker_x` makes; nobody else uses these roles.
const LACKING: [Lacking; 7] = [
    (
        "one table",
        "REVOKE SELECT ON u FROM reader_x",
        40,
        &["unreadable  public.u", "GRANT SELECT"],
        "GRANT SELECT ON u TO reader_x",
    ),
    (
        "one sequence",
        "REVOKE SELECT ON SEQUENCE s FROM reader_x",
        40,
        &["unreadable  public.s"],
        "GRANT SELECT ON SEQUENCE s TO reader_x",
    ),
    (
        "the schema",
        "REVOKE USAGE ON SCHEMA other FROM reader_x",
        40,
        &["unreachable  schema other"],
        "GRANT USAGE ON SCHEMA other TO reader_x",
    ),
    (
        "one column of a table",
        "REVOKE SELECT ON u FROM reader_x; GRANT SELECT (id) ON u TO reader_x",
        40,
        &["unreadable  public.u"],
        "GRANT SELECT ON u TO reader_x",
    ),
    (
        "to connect",
        "REVOKE CONNECT ON DATABASE :\"DBNAME\" FROM reader_x",
        1,
        &["permission denied for database"],
        "GRANT CONNECT ON DATABASE :\"DBNAME\" TO reader_x",
    ),
    ("to create databases", "ALTER ROLE maker_x NOCREATEDB", 40, &["CREATEDB"], "ALTER ROLE maker_x CREATEDB"),
    ("to be the owner", "REVOKE engine_owner FROM maker_x", 40, &["engine_owner"], "GRANT engine_owner TO maker_x"),
];

#[test]
fn a_role_that_lacks_one_privilege_is_told_which() {
    for method in METHODS {
        let own = OwnServer::new(&[]);
        let mut bench = filled(&own, &own, "lacking");
        let roles = format!(
            "CREATE ROLE reader_x LOGIN BYPASSRLS; CREATE ROLE maker_x LOGIN CREATEDB IN ROLE engine_owner;
             CREATE SEQUENCE s OWNED BY NONE; CREATE SCHEMA other; CREATE TABLE other.o (a int);
             ALTER SEQUENCE s OWNER TO shop_owner; ALTER SCHEMA other OWNER TO shop_owner; ALTER TABLE other.o OWNER TO shop_owner;
             GRANT CONNECT ON DATABASE {} TO reader_x; GRANT USAGE ON SCHEMA other TO reader_x;
             GRANT SELECT ON ALL TABLES IN SCHEMA public, other TO reader_x;
             GRANT SELECT ON ALL SEQUENCES IN SCHEMA public, other TO reader_x",
            bench.production()
        );
        bench.psql(bench.production(), &roles);
        bench.set("SHOP_PRODUCTION_URL", &bench.url("reader_x", bench.production()));
        bench.set("SHOP_CLONE_MAKER_URL", &bench.url("maker_x", "postgres"));
        for (what, take, code, said, give) in LACKING {
            bench.psql(bench.production(), take);
            let outcome = bench.make_clone(method, "");
            assert_eq!(outcome.code, code, "{method}, {what}: {outcome:#?}");
            assert!(said.iter().all(|text| outcome.all().contains(text)), "{method}, {what}: {outcome:#?}");
            bench.nothing_left();
            bench.psql(bench.production(), give);
        }
        bench.engine(&["apply", PLAN]).expect(0);
        assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
    }
}

/// No transaction of its own could be rolled back: what there is stays, and its end is told.
#[test]
fn a_clone_that_runs_out_of_time_is_left_and_can_be_dropped() {
    for method in METHODS {
        let bench = Bench::bare("out_of_time", "");
        bench.psql(bench.production(), ROWS);
        let _gate = Gate::before(&bench, "t", "id = 500");
        let late = bench.make_clone(method, "timeout = \"5s\"").expect(40);
        let run = bench.run_id();
        let half = format!("engine_{run}");
        let said = late.says(&[&format!("the half-made clone `{half}` is left"), &format!("engine drop {run}")]).all();
        assert!(!said.contains("rolled back"), "{method}: {said}");
        assert!(bench.exists(&half), "{method}: it is said to be left, and is not there");
        bench.engine(&["drop", &run]).expect(0).says(&[&format!("dropped {half}")]);
        bench.nothing_left();
    }
}

/// What it waits for comes before anything is made.
#[test]
fn a_clone_that_runs_out_of_time_before_it_is_begun_leaves_none() {
    for method in METHODS {
        let bench = Bench::bare("not_begun", "");
        bench.psql(bench.production(), "CREATE TABLE t (id int)");
        let _holder = bench.session(bench.production(), "BEGIN; LOCK TABLE t;");
        let late = bench.make_clone(method, "timeout = \"3s\"\nlock_timeout = \"1m\"").expect(40);
        let said = late.says(&["took longer than its timeout", "no clone was begun; production was only read"]).all();
        assert!(!said.contains("is left"), "{method}: {said}");
        bench.nothing_left();
    }
}

/// Folders of a dumped schema that the newest run holds.
fn schema_folders(bench: &Bench) -> usize {
    let entries = std::fs::read_dir(bench.home().join(bench.of_run(""))).expect("the folder of a run");
    entries
        .filter(|entry| entry.as_ref().expect("an entry").file_name().to_string_lossy().starts_with(".schema-"))
        .count()
}

/// Its `psql` stands still before a row and lives on; what reads production must not.
#[test]
fn a_dump_does_not_outlive_an_engine_that_was_killed() {
    let bench = Bench::bare("orphan", "");
    bench.psql(bench.production(), ROWS);
    let gate = Gate::before(&bench, "t", "id = 500");
    bench.clone_plan("dump", "");
    let mut engine = bench.start(&["apply", PLAN]);
    bench.wait_for(&mut engine, begun);
    gate.wait();
    let readers = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'bare_reader' AND datname = '{}'",
        bench.production()
    );
    // Nobody takes its rows, and all that lies between is full.
    let full = "state = 'active' AND query LIKE 'COPY public.t %' AND wait_event = 'ClientWrite'";
    bench.wait_until("postgres", &format!("{readers} AND {full}"), "1");
    assert_eq!(engine.kill().code(), None, "it ended before it was killed");
    let since = Instant::now();
    while bench.psql("postgres", &readers) != "0" {
        assert!(since.elapsed() < Duration::from_secs(5), "production is still read");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(schema_folders(&bench), 1, "this witness sees nothing");
    gate.open();
    resumed(&bench);
    assert_eq!(schema_folders(&bench), 0, "what the killed engine dumped is left");
}
