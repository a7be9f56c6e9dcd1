//! A signal while a stage of each kind is at work, in the middle of a statement that nobody lets go on: the statement is
//! cancelled by the cancel protocol and rolled back, nothing of the engine is left on the server, the screen says what is
//! left and what to type, and what is typed comes to what a run comes to that nobody stopped.

mod support;

use engine::event::Event;
use std::process::Child;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::{
    Bench, End, Gate, METHODS, MINI, MINI_ROLLOUT, PLAN, Session, end, in_time, log_tells, send, signal_to,
    to_the_packet,
};

/// Waits in a database whose name is like that, as long as the role is there.
const HOLD: &str = "
    CREATE FUNCTION hold(place text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        WHILE current_database() LIKE place AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'ROLE') LOOP
            PERFORM pg_catalog.pg_sleep(0.005);
        END LOOP;
        RETURN 1;
    END $$;
    CREATE SEQUENCE q";

/// A plan of every kind. `sql` and the way back wait where they are told to.
fn mini(name: &str) -> Bench {
    log_tells();
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
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        in_time(|| {
            let bench = mini("sql");
            bench.mini_apply(&["--until", "base"]).expect(0);
            close(&bench);
            let engine = bench.started(&["resume"]);
            bench.wait_for_a_sleeper(bench.clone_name());
            let late = bench.stopped(engine, signal, code, "`a` was rolled back");
            assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM u"), "0");
            open(&bench);
            resumed(&bench);
            late
        });
    }
}

#[test]
fn while_a_check_reads() {
    in_time(|| {
        let bench = mini("check");
        bench.mini_apply(&["--until", "a"]).expect(0);
        close(&bench);
        let engine = bench.started(&["resume"]);
        bench.wait_for_a_sleeper(bench.clone_name());
        let late = bench.stopped(engine, "INT", 130, "`look` only read");
        open(&bench);
        resumed(&bench);
        late
    });
}

#[test]
fn while_a_fingerprint_reads() {
    in_time(|| {
        let bench = mini("print");
        let mut holder = lock(&bench, "t");
        let engine = bench.started(&["apply", MINI]);
        bench.wait_for_a_waiter(bench.production());
        let late = bench.stopped(engine, "INT", 130, "`pre` only read");
        holder.send("COMMIT;");
        assert!(holder.end());
        resumed(&bench);
        late
    });
}

#[test]
fn while_the_way_back_is_rehearsed() {
    in_time(|| {
        let bench = mini("rehearse");
        bench.mini_apply(&["--until", "look"]).expect(0);
        close(&bench);
        let engine = bench.started(&["resume"]);
        bench.wait_for_a_sleeper("engine\\_%");
        let late = bench.stopped(engine, "INT", 130, "`r` is rehearsed anew");
        open(&bench);
        resumed(&bench);
        late
    });
}

#[test]
fn while_a_packet_is_sealed() {
    in_time(|| {
        let bench = mini("packet");
        bench.mini_apply(&["--until", "impact"]).expect(0);
        let mut holder = lock(&bench, "ok");
        let engine = bench.started(&["resume"]);
        bench.wait_for_a_waiter(bench.production());
        let late = bench.stopped(engine, "INT", 130, "`pk` only read");
        holder.send("COMMIT;");
        assert!(holder.end());
        resumed(&bench);
        late
    });
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

    in_time(|| {
        let bench = mini("rollout");
        rolled_out(&bench);
        let mut holder = lock(&bench, "u");
        let engine = bench.started(&["apply", MINI_ROLLOUT]);
        bench.wait_for_a_waiter(bench.production());
        let late = bench.stopped(engine, "INT", 130, "`go_production` was rolled back");
        holder.send("COMMIT;");
        assert!(holder.end());
        assert_eq!(bench.psql(bench.production(), "SELECT count(*) FROM u"), "0");
        bench.engine(&["resume"]).expect(0);
        let wrong = end(&bench, false).wrong(&bench, &whole);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        late
    });
}

/// Production of two tables; the rows of one stop at a gate while they come into the clone.
fn copied(name: &str, method: &str, more: &str) -> Bench {
    log_tells();
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
        in_time(|| {
            let bench = copied("rows", method, "");
            let gate = Gate::before(&bench, "two", "id = 1000");
            let mut engine = bench.started(&["apply", PLAN]);
            wait_for_the_run(&bench, &mut engine);
            gate.wait();
            let late = bench.stopped(engine, "INT", 130, "`clone` ");
            assert!(!bench.exists(bench.clone_name()), "a half clone carries the clone's name");
            gate.open();
            bench.engine(&["resume"]).expect(0);
            assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
            bench.engine(&["verify", &bench.run_id()]).expect(0);
            late
        });
    }
}

/// The engine waits for a table of production, itself or in `pg_dump`.
#[test]
fn while_a_clone_waits_for_a_lock() {
    for method in METHODS {
        in_time(|| {
            let bench = copied("waits", method, "");
            let mut holder = lock(&bench, "two");
            let mut engine = bench.started(&["apply", PLAN]);
            wait_for_the_run(&bench, &mut engine);
            bench.wait_for_a_waiter(bench.production());
            let late = bench.stopped(engine, "TERM", 143, "`clone` ");
            holder.send("COMMIT;");
            assert!(holder.end());
            bench.engine(&["resume"]).expect(0);
            assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
            late
        });
    }
}

/// `pg_restore` builds an index whose function waits: a child that must cancel what it does.
#[test]
fn while_an_index_is_built_by_a_child() {
    for method in METHODS {
        in_time(|| {
            let bench = copied("index", method, "");
            let gate = Gate::before(&bench, "two", "id = -1");
            let index = "SET ROLE shop_owner; CREATE FUNCTION waits(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
                         'BEGIN PERFORM public.gate(); RETURN $1; END'; CREATE INDEX two_waits ON two (waits(id))";
            gate.open();
            bench.psql(bench.production(), index);
            gate.close();
            let mut engine = bench.started(&["apply", PLAN]);
            wait_for_the_run(&bench, &mut engine);
            gate.wait();
            let late = bench.stopped(engine, "INT", 130, "`clone` ");
            gate.open();
            bench.engine(&["resume"]).expect(0);
            assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
            late
        });
    }
}

/// The first two batches stay, and a resume goes on with the third.
#[test]
fn while_a_third_batch_runs() {
    const FILL: &str = "UPDATE b SET v = 'x' || id WHERE id IN (SELECT id FROM b WHERE v IS NULL ORDER BY id LIMIT 10);\n\
                        INSERT INTO log (n) SELECT count(*) FROM b WHERE v IS NOT NULL";
    in_time(|| {
        log_tells();
        let tables =
            "CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO b SELECT k FROM generate_series(1, 50) AS k;
                      CREATE TABLE log (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int)";
        let bench = Bench::mini("batch", tables);
        bench.psql(bench.production(), "GRANT SELECT ON b, log, log_id_seq TO engine_reader");
        let keys = "batch = { until = \"unfilled = 0\", rows = 11, most = 5 }\nwrites.b = 50\nwrites.log = 5";
        let fill = bench.mini_stage("fill", "\"base\"", keys, FILL, None);
        let probe = "[probe.unfilled]\non = \"clone\"\nsql = \"SELECT count(*) FROM public.b WHERE v IS NULL\"\n";
        bench.mini_plan(&format!("{probe}{fill}"));
        bench.mini_apply(&["--until", "base"]).expect(0);
        let mut holder = bench.session(bench.clone_name(), "BEGIN; SELECT FROM b WHERE id = 25 FOR UPDATE;");
        let engine = bench.started(&["resume"]);
        bench.wait_for_a_waiter(bench.clone_name());
        let left = "`fill`: its last batch was rolled back; 2 before it are committed and stay";
        let late = bench.stopped(engine, "INT", 130, left);
        assert_eq!(bench.psql(bench.clone_name(), "SELECT count(v), (SELECT count(*) FROM log) FROM b"), "20|2");
        holder.send("COMMIT;");
        assert!(holder.end());
        bench.engine(&["resume"]).expect(0);
        let numbers = |event: &Event| match event {
            Event::BatchCommitted { batch, .. } => Some(*batch),
            _ => None,
        };
        assert_eq!(bench.journal().events.iter().filter_map(numbers).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        let log = "SELECT string_agg(id || ':' || n, ' ' ORDER BY id) FROM log";
        assert_eq!(bench.psql(bench.clone_name(), log), "1:10 2:20 3:30 4:40 5:50");
        late
    });
}

/// The run ends with what the failure means; what was cut short is said all the same.
#[test]
fn while_another_stage_has_failed() {
    in_time(|| {
        log_tells();
        let bench = Bench::mini("failed", "");
        let sleep = "INSERT INTO u SELECT 1 FROM pg_sleep(60)";
        let slow = bench.mini_stage("slow", "\"base\"", "writes.u = 1", sleep, None);
        let bad = bench.mini_stage("bad", "\"base\"", "writes.t = 1", "SELECT 1 / 0", None);
        bench.mini_plan_with("", "parallel = true", &format!("{slow}{bad}"));
        bench.mini_apply(&["--until", "base"]).expect(0);
        let mut engine = bench.started(&["resume", "--jobs", "4"]);
        let failed = |event: &Event| matches!(event, Event::StageFailed { stage, .. } if stage == "bad");
        while bench.journal().count(failed) == 0 {
            assert!(engine.try_wait().expect("a child").is_none(), "it ended before the signal");
            std::thread::sleep(Duration::from_millis(2));
        }
        bench.wait_for_a_sleeper(bench.clone_name());
        bench.stopped(engine, "INT", 40, "`slow` was rolled back")
    });
}

/// Outside of a transaction: it waits for an older snapshot, and what it built so far is not valid.
#[test]
fn while_an_index_is_built_concurrently() {
    in_time(|| {
        log_tells();
        let bench = Bench::mini("alone", "");
        let keys = "transaction = false\nalters = [\"t\"]\ndone_when = \"named = 1\"\nguard.none = \"named = 0\"";
        let sql = "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v)";
        let build = bench.mini_stage("build", "\"base\"", keys, sql, None);
        let probe = "[probe.named]\non = \"clone\"\nsql = \"SELECT count(*) FROM pg_class WHERE relname = 't_v'\"\n";
        bench.mini_plan(&format!("{probe}{build}"));
        bench.mini_apply(&["--until", "base"]).expect(0);
        let old = bench.session(bench.clone_name(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;");
        let engine = bench.started(&["resume"]);
        let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
        bench.wait_until(bench.clone_name(), invalid, "1");
        let late = bench.stopped(engine, "INT", 130, "`build` is in no transaction: what its statements did stands");
        assert_eq!(bench.psql(bench.clone_name(), invalid), "1");
        assert!(old.end());
        bench.engine(&["resume"]).expect(0);
        let cleared =
            |event: &Event| matches!(event, Event::ClearedAway { what, .. } if what[0].contains("public.t_v"));
        assert_eq!(bench.journal().count(cleared), 1, "the index that was not valid was not dropped");
        let valid = "SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass AND indisvalid";
        assert_eq!(bench.psql(bench.clone_name(), &format!("{valid} AND NOT indisprimary")), "1");
        late
    });
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
    let engine = bench.started(&["resume"]);
    let backend = bench.sleeper(bench.clone_name());
    signal_to(&backend, "STOP");
    send(&engine, "INT");
    let since = Instant::now();
    // Of another name: two of one name that come at once are one.
    send(&engine, "TERM");
    let output = engine.wait_with_output().expect("the engine");
    println!("FIGURE second signal: {} ms", since.elapsed().as_millis());
    signal_to(&backend, "CONT");
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
        let engine = bench.started(command);
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
