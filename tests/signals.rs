//! A signal while a stage of each kind is at work, in the middle of a statement that nobody lets go on: the statement is
//! cancelled by the cancel protocol and rolled back, nothing of the engine is left on the server, the screen says what is
//! left and what to type, and what is typed comes to what a run comes to that nobody stopped.

mod support;

use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::{Bench, End, Gate, METHODS, MINI, MINI_ROLLOUT, PLAN, Session, end, server, to_the_packet};

/// Waits in a database whose name is like that, as long as the role is there.
const HOLD: &str = "
    CREATE FUNCTION hold(place text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        WHILE current_database() LIKE place AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'ROLE') LOOP
            PERFORM pg_catalog.pg_sleep(0.005);
        END LOOP;
        RETURN 1;
    END $$;
    CREATE SEQUENCE q";

/// One that waits for the disk, with lines of its log that say which database they are about.
fn prepared() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let sql = "ALTER SYSTEM SET log_line_prefix = '%d|'; SELECT pg_reload_conf()";
        let _ = server().psql("postgres", sql).expect("settings");
        let _ = server().psql("postgres", sql).expect("settings");
    });
}

/// A plan of every kind. `sql` and the way back wait where they are told to.
fn mini(name: &str) -> Bench {
    prepared();
    let bench = Bench::mini(name, "");
    let hold = HOLD.replace("ROLE", &role(&bench));
    bench.psql(
        bench.production(),
        &format!("SET ROLE shop_owner; {hold}; RESET ROLE; GRANT SELECT ON q TO engine_reader"),
    );
    let clone = bench.clone_name();
    let a = bench.mini_stage(
        "a",
        "\"base\"",
        "writes.u = 2\nensure.two = \"us = 2\"",
        &format!(
            "INSERT INTO u VALUES (1, 'a');\nINSERT INTO u SELECT 2, nextval('q')::text WHERE hold('{clone}') = 1"
        ),
        Some("DELETE FROM u WHERE hold('engine\\_%') = 1"),
    );
    let look = "[stage.look]\nkind = \"check\"\non = \"clone\"\nneeds = [\"a\"]\nno_guard = \"reads\"\nensure.held = \"held = 1\"\n";
    let probe = format!("[probe.held]\non = \"clone\"\nsql = \"SELECT public.hold('{clone}')\"\n");
    let rest = to_the_packet("\"look\"", "\"a\"", "oks = 77");
    bench.mini_plan(&format!("{probe}{a}{look}{rest}"));
    bench
}

fn role(bench: &Bench) -> String {
    format!("hold_{}", bench.clone_name())
}

fn close(bench: &Bench) {
    bench.psql("postgres", &format!("CREATE ROLE {}", role(bench)));
}

fn open(bench: &Bench) {
    bench.psql("postgres", &format!("DROP ROLE {}", role(bench)));
}

/// What a run of that plan comes to when nobody stops it.
fn whole() -> &'static End {
    static WHOLE: OnceLock<End> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let bench = mini("whole");
        bench.mini_apply(&[]).expect(0);
        end(&bench, true)
    })
}

/// Starts the engine with its words kept.
fn started(bench: &Bench, command: &[&str]) -> Child {
    bench.command(command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the engine")
}

fn send(engine: &Child, signal: &str) {
    let sent = std::process::Command::new("kill").args(["-s", signal, &engine.id().to_string()]).status();
    assert!(sent.expect("kill").success());
}

/// Sessions of the engine, its children included, that do anything in a database of this bench or of its run.
fn at_work(bench: &Bench) -> String {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'engine%' AND state <> 'idle'
            AND (datname IN ('{}', '{}') OR datname LIKE 'engine\\_{}%')",
        bench.production(),
        bench.clone_name(),
        bench.run_id()
    );
    bench.psql("postgres", &sql)
}

/// Lines of the server's log about databases of this bench and of its run.
fn log(bench: &Bench) -> Vec<String> {
    let half = format!("engine_{}", bench.run_id());
    let text = std::fs::read_to_string(server().log()).expect("the server's log");
    let ours = |line: &&str| {
        let database = line.split('|').next().unwrap_or("");
        database == bench.production() || database == bench.clone_name() || database.starts_with(&half)
    };
    text.lines().filter(ours).map(str::to_owned).collect()
}

/// Signals an engine that stands in a statement, and demands the whole farewell.
#[track_caller]
fn stopped(bench: &Bench, engine: Child, signal: &str, code: i32, left: &str) {
    let before = log(bench).len();
    let since = Instant::now();
    send(&engine, signal);
    let output = engine.wait_with_output().expect("the engine");
    let took = since.elapsed();
    let screen = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{screen}");
    bench.wait_until_idle();
    println!("FIGURE {left}: {} ms from {signal} to the end", took.as_millis());
    for said in [&format!("next   engine resume {}", bench.run_id()), "interrupted: ", &format!("left   {left}")] {
        assert!(screen.contains(said), "`{said}` is not in\n{screen}");
    }
    assert!(!screen.contains("did not answer"), "{screen}");
    let log = log(bench).split_off(before);
    let cancelled = |line: &String| line.contains("canceling statement due to user request");
    assert!(log.iter().any(cancelled), "nothing was cancelled:\n{}", log.join("\n"));
    // A child cancels its statement and leaves; nobody leaves without that. Of two sessions of a child's either may be first
    // to write its line.
    for lost in log.iter().filter(|line| line.contains("connection to client lost")) {
        let database = lost.split('|').next().unwrap_or("");
        let there = log.iter().any(|line| line.starts_with(database) && cancelled(line));
        assert!(there, "somebody was left alone:\n{}", log.join("\n"));
    }
    assert!(took < Duration::from_secs(30), "{took:?}");
}

impl Bench {
    /// The server takes a moment to notice that it was left in good order.
    #[track_caller]
    fn wait_until_idle(&self) {
        let since = Instant::now();
        while at_work(self) != "0" {
            assert!(since.elapsed() < Duration::from_secs(60), "something of the engine is left at work");
        }
    }

    /// A session of the engine waits for a lock in that database.
    #[track_caller]
    fn wait_for_a_waiter(&self, database: &str) {
        let sql = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name LIKE 'engine%' AND wait_event_type = 'Lock'";
        self.wait_until(database, sql, "t");
    }

    /// A session of the engine stands in `hold` in a database of that name.
    #[track_caller]
    fn wait_for_a_sleeper(&self, like: &str) {
        let sql =
            format!("SELECT count(*) > 0 FROM pg_stat_activity WHERE datname LIKE '{like}' AND wait_event = 'PgSleep'");
        self.wait_until("postgres", &sql, "t");
    }
}

/// Resumes, and compares with the run that nobody stopped.
#[track_caller]
fn resumed(bench: &Bench) {
    bench.engine(&["resume"]).expect(0);
    let wrong = end(bench, true).wrong(bench, whole());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn lock(bench: &Bench, table: &str) -> Session {
    bench.session(bench.production(), &format!("BEGIN; LOCK TABLE {table};"))
}

#[test]
fn while_a_statement_runs() {
    let bench = mini("sql");
    bench.mini_apply(&["--until", "base"]).expect(0);
    close(&bench);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let engine = started(&bench, &["resume"]);
        bench.wait_for_a_sleeper(bench.clone_name());
        stopped(&bench, engine, signal, code, "`a` was rolled back");
        assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM u"), "0");
    }
    open(&bench);
    resumed(&bench);
}

#[test]
fn while_a_check_reads() {
    let bench = mini("check");
    bench.mini_apply(&["--until", "a"]).expect(0);
    close(&bench);
    let engine = started(&bench, &["resume"]);
    bench.wait_for_a_sleeper(bench.clone_name());
    stopped(&bench, engine, "INT", 130, "`look` only read");
    open(&bench);
    resumed(&bench);
}

#[test]
fn while_a_fingerprint_reads() {
    let bench = mini("print");
    let mut holder = lock(&bench, "t");
    let engine = started(&bench, &["apply", MINI]);
    bench.wait_for_a_waiter(bench.production());
    stopped(&bench, engine, "INT", 130, "`pre` only read");
    holder.send("COMMIT;");
    assert!(holder.end());
    resumed(&bench);
}

#[test]
fn while_the_way_back_is_rehearsed() {
    let bench = mini("rehearse");
    bench.mini_apply(&["--until", "look"]).expect(0);
    close(&bench);
    let engine = started(&bench, &["resume"]);
    bench.wait_for_a_sleeper("engine\\_%");
    stopped(&bench, engine, "INT", 130, "`r` is rehearsed anew");
    open(&bench);
    resumed(&bench);
}

#[test]
fn while_a_packet_is_sealed() {
    let bench = mini("packet");
    bench.mini_apply(&["--until", "impact"]).expect(0);
    let mut holder = lock(&bench, "ok");
    let engine = started(&bench, &["resume"]);
    bench.wait_for_a_waiter(bench.production());
    stopped(&bench, engine, "INT", 130, "`pk` only read");
    holder.send("COMMIT;");
    assert!(holder.end());
    resumed(&bench);
}

#[test]
fn while_a_packet_is_rolled_out() {
    let rolled_out = |bench: &Bench| {
        bench.mini_apply(&[]).expect(0);
        bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    };
    let undisturbed = mini("rolled");
    rolled_out(&undisturbed);
    undisturbed.engine(&["apply", MINI_ROLLOUT]).expect(0);
    let whole = end(&undisturbed, false);

    let bench = mini("rollout");
    rolled_out(&bench);
    let mut holder = lock(&bench, "u");
    let engine = started(&bench, &["apply", MINI_ROLLOUT]);
    bench.wait_for_a_waiter(bench.production());
    stopped(&bench, engine, "INT", 130, "`go_production` was rolled back");
    holder.send("COMMIT;");
    assert!(holder.end());
    assert_eq!(bench.psql(bench.production(), "SELECT count(*) FROM u"), "0");
    bench.engine(&["resume"]).expect(0);
    let wrong = end(&bench, false).wrong(&bench, &whole);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Production of two tables; the rows of one stop at a gate while they come into the clone.
fn copied(name: &str, method: &str, more: &str) -> Bench {
    prepared();
    let bench = Bench::bare(name, "");
    let tables =
        "SET ROLE shop_owner; CREATE TABLE one (id int PRIMARY KEY, v text); CREATE TABLE two (LIKE one INCLUDING ALL);
                  INSERT INTO one SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 2000) AS n;
                  INSERT INTO two SELECT id, v FROM one";
    bench.psql(bench.production(), tables);
    bench.clone_plan(method, more);
    bench
}

#[test]
fn while_rows_are_copied() {
    for method in METHODS {
        let bench = copied("rows", method, "");
        let gate = Gate::before(&bench, "two", "id = 1000");
        let mut engine = started(&bench, &["apply", PLAN]);
        wait_for_the_run(&bench, &mut engine);
        gate.wait();
        stopped(&bench, engine, "INT", 130, "`clone` ");
        assert!(!bench.exists(bench.clone_name()), "a half clone carries the clone's name");
        gate.open();
        bench.engine(&["resume"]).expect(0);
        assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
        bench.engine(&["verify", &bench.run_id()]).expect(0);
    }
}

/// The engine waits for a table of production, itself or in `pg_dump`.
#[test]
fn while_a_clone_waits_for_a_lock() {
    for method in METHODS {
        let bench = copied("waits", method, "");
        let mut holder = lock(&bench, "two");
        let mut engine = started(&bench, &["apply", PLAN]);
        wait_for_the_run(&bench, &mut engine);
        bench.wait_for_a_waiter(bench.production());
        stopped(&bench, engine, "TERM", 143, "`clone` ");
        holder.send("COMMIT;");
        assert!(holder.end());
        bench.engine(&["resume"]).expect(0);
        assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
    }
}

/// `pg_restore` builds an index whose function waits: a child that must cancel what it does.
#[test]
fn while_an_index_is_built_by_a_child() {
    for method in METHODS {
        let bench = copied("index", method, "");
        let gate = Gate::before(&bench, "two", "id = -1");
        let index = "SET ROLE shop_owner; CREATE FUNCTION waits(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
                     'BEGIN PERFORM public.gate(); RETURN $1; END'; CREATE INDEX two_waits ON two (waits(id))";
        gate.open();
        bench.psql(bench.production(), index);
        gate.close();
        let mut engine = started(&bench, &["apply", PLAN]);
        wait_for_the_run(&bench, &mut engine);
        gate.wait();
        stopped(&bench, engine, "INT", 130, "`clone` ");
        gate.open();
        bench.engine(&["resume"]).expect(0);
        assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
    }
}

#[track_caller]
fn wait_for_the_run(bench: &Bench, engine: &mut Child) {
    while bench.runs().is_empty() {
        assert!(engine.try_wait().expect("a child").is_none(), "the engine ended before it began a run");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The server does not answer, so the first signal waits; the second does not.
#[test]
fn a_second_signal_leaves_at_once() {
    let bench = mini("second");
    bench.mini_apply(&["--until", "base"]).expect(0);
    close(&bench);
    let engine = started(&bench, &["resume"]);
    bench.wait_for_a_sleeper(bench.clone_name());
    let sql =
        format!("SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND wait_event = 'PgSleep'", bench.clone_name());
    let backend = bench.psql("postgres", &sql);
    let freeze = |signal: &str| {
        let sent = std::process::Command::new("kill").args(["-s", signal, &backend]).status();
        assert!(sent.expect("kill").success());
    };
    freeze("STOP");
    send(&engine, "INT");
    let since = Instant::now();
    // Of another name: two of one name that come at once are one.
    send(&engine, "TERM");
    let output = engine.wait_with_output().expect("the engine");
    println!("FIGURE second signal: {} ms", since.elapsed().as_millis());
    freeze("CONT");
    let code = output.status.code();
    assert!(matches!(code, Some(130 | 143)), "{code:?} {}", String::from_utf8_lossy(&output.stderr));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("interrupted: "), "it said its farewell at leisure");
    open(&bench);
    bench.wait_until_idle();
    resumed(&bench);
}

/// A server that takes the connection and says nothing: no run is begun, none is gone on with.
#[test]
fn while_targets_are_reached() {
    let mut bench = mini("reached");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("its address").port();
    let nobody = format!("postgresql://nobody@127.0.0.1:{port}/nothing");
    let name = "SHOP_PRODUCTION_URL";
    let there = bench.url("engine_reader", bench.production());
    bench.set(name, &nobody);
    let early = |bench: &Bench, command: &[&str], signal: &str, code: i32| {
        let engine = started(bench, command);
        let (_connection, _) = silent.accept().expect("the engine connects");
        send(&engine, signal);
        let output = engine.wait_with_output().expect("the engine");
        let screen = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{screen}");
        for said in ["before any stage was at work", "nothing was changed", "the same command again"] {
            assert!(screen.contains(said), "`{said}` is not in\n{screen}");
        }
    };
    early(&bench, &["apply", MINI], "INT", 130);
    assert_eq!(bench.runs(), Vec::<String>::new(), "a run was begun");
    bench.set(name, &there);
    bench.mini_apply(&["--until", "base"]).expect(0);
    bench.set(name, &nobody);
    let lines = bench.journal().events.len();
    early(&bench, &["resume"], "TERM", 143);
    early(&bench, &["rollback", "latest"], "INT", 130);
    assert_eq!(bench.journal().events.len(), lines, "the journal was written");
    bench.set(name, &there);
    resumed(&bench);
}
