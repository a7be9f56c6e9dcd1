//! Production's people come first: how long a clone may keep somebody waiting, how long it waits itself, and that it
//! says both. With real sessions, and a backend stopped as `kill -STOP` does where one must not answer.

mod support;

use engine::event::{Event, LockWait};
use std::time::{Duration, Instant};
use support::{Bench, Gate, METHODS, OwnServer, PLAN, Session};

/// A table that is large enough to be caught while it is read, and one to alter.
const TABLES: &str = "
    SET ROLE shop_owner;
    CREATE TABLE quiet (id int PRIMARY KEY, v text);
    INSERT INTO quiet SELECT n, 'q' FROM generate_series(1, 100) AS n;
    CREATE TABLE big (id int, v text);
    ALTER TABLE big ALTER v SET STORAGE EXTERNAL;
    INSERT INTO big SELECT n, repeat(md5(n::text), 3000) FROM generate_series(1, 150) AS n;
";

/// A backend of the reader's that was stopped in the middle of copying rows of `big`; it goes on when this is dropped.
struct Stopped(String);

impl Stopped {
    #[track_caller]
    fn copying_big(bench: &Bench) -> Stopped {
        // Looked for by the server itself: a look from outside comes too late.
        let sql = format!(
            "DO $$ DECLARE found int; BEGIN
                 FOR n IN 1 .. 60000 LOOP
                     SELECT pid INTO found FROM pg_stat_activity
                     WHERE datname = '{}' AND usename = 'bare_reader' AND state = 'active'
                       AND query LIKE 'COPY %' AND query ~ '\\mbig\\M';
                     IF found IS NOT NULL THEN
                         EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'cat > /dev/null; kill -STOP ' || found);
                         PERFORM set_config('give.way', found::text, false);
                         RETURN;
                     END IF;
                     PERFORM pg_stat_clear_snapshot(), pg_sleep(0.0005);
                 END LOOP;
                 RAISE 'nobody copies rows of big';
             END $$;
             SELECT current_setting('give.way')",
            bench.production()
        );
        Stopped(bench.psql(bench.production(), &sql))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-s", "CONT", &self.0]).status();
    }
}

/// Somebody's release, which waits for the lock of a table; answers when it does.
#[track_caller]
fn release(bench: &Bench, table: &str, lock_timeout: &str) -> Session {
    let set = format!("SET application_name = 'release 7'; SET lock_timeout = '{lock_timeout}';");
    let mut release = bench.session(bench.production(), &set);
    release.send(&format!("ALTER TABLE {table}\n    ADD COLUMN w int;"));
    let waits = format!(
        "SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) WHERE NOT l.granted
                        AND l.mode = 'AccessExclusiveLock' AND a.datname = '{}')",
        bench.production()
    );
    bench.wait_until(bench.production(), &waits, "t");
    release
}

/// What the last clone of a run said about locks in production.
#[track_caller]
fn held(bench: &Bench) -> (u64, u64, Option<LockWait>, Option<LockWait>) {
    let held = bench.journal().events.into_iter().rev().find_map(|event| match event {
        Event::SourceHeld { tables, lock_ms, own, others, .. } => Some((tables, lock_ms, own, others)),
        _ => None,
    });
    held.expect("a clone that let production go")
}

/// The engine ended by giving way, in time, and says for whom.
#[track_caller]
fn gave_way(bench: &Bench, engine: support::Running, within: Duration) -> String {
    let since = Instant::now();
    assert_eq!(engine.end(), Some(75));
    assert!(since.elapsed() < within, "it took {:?} to give way", since.elapsed());
    let page = bench.engine(&["show", "latest", "clone"]).all();
    for said in ["gave way", "public.big", "application release 7", "waited", "ACCESS EXCLUSIVE"] {
        assert!(page.contains(said), "`{said}` is not said\n{page}");
    }
    page
}

#[test]
fn the_clone_gives_way_although_a_backend_of_production_stands_still() {
    for method in METHODS {
        let (source, target) = (OwnServer::new(&[]), OwnServer::new(&[]));
        let bench = Bench::bare_on(source.server(), target.server(), "stopped", "");
        bench.psql(bench.production(), TABLES);
        bench.clone_plan(method, "max_lock_wait = \"1s\"");
        let engine = bench.start(&["apply", PLAN]);
        let stopped = Stopped::copying_big(&bench);
        let release = release(&bench, "big", "60s");
        gave_way(&bench, engine, Duration::from_secs(8));
        bench.nothing_left();
        drop(stopped);
        assert!(release.end(), "{method}: the release did not get through");
        bench.engine(&["resume", &bench.run_id()]).expect(0);
        assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
    }
}

/// DROP DATABASE waits for every process of its server, also for one that copies production's rows.
#[test]
fn what_cannot_be_dropped_because_a_process_does_not_answer_is_told() {
    let server = OwnServer::new(&[]);
    let bench = Bench::bare_on(server.server(), server.server(), "barrier", "");
    bench.psql(bench.production(), TABLES);
    bench.clone_plan("stream", "max_lock_wait = \"1s\"");
    let engine = bench.start(&["apply", PLAN]);
    let stopped = Stopped::copying_big(&bench);
    let release = release(&bench, "big", "60s");
    let page = gave_way(&bench, engine, Duration::from_secs(30));
    let run = bench.run_id();
    for said in ["could not be dropped", "does not answer"] {
        assert!(page.contains(said), "`{said}` is not said\n{page}");
    }
    let advice = format!("engine drop {run}");
    let advised = |event: &Event| matches!(event, Event::StageFailed { failure, .. } if failure.next.iter().any(|(_, command)| *command == advice));
    assert_eq!(bench.journal().count(advised), 1, "what to type next is not said");
    drop(stopped);
    assert!(release.end(), "the release did not get through");
    bench.engine(&["drop", &run]).expect(0).says(&[&format!("dropped engine_{run}")]);
    bench.nothing_left();
    bench.engine(&["resume", &run]).expect(0);
    assert_eq!(bench.unlike(), Vec::<String>::new());
}

/// Nothing is stopped: the clone is only slow. Who waited gets through as soon as the clone has given way.
#[test]
fn a_slow_clone_gives_way_and_who_waited_gets_through() {
    for method in METHODS {
        let mut bench = Bench::bare("slow", "");
        bench.psql(bench.production(), TABLES);
        bench.psql("postgres", &format!("CREATE ROLE sees_{method} LOGIN BYPASSRLS IN ROLE pg_read_all_data, pg_read_all_stats; GRANT CONNECT ON DATABASE {} TO sees_{method}", bench.production()));
        bench.set("SHOP_PRODUCTION_URL", &bench.url(&format!("sees_{method}"), bench.production()));
        let gate = Gate::before(&bench, "big", "id = 75");
        bench.clone_plan(method, "max_lock_wait = \"1s\"");
        let mut engine = bench.start(&["apply", PLAN]);
        bench.wait_for(&mut engine, |event| matches!(event, Event::CloneBegun { .. }));
        gate.wait();
        let release = release(&bench, "big", "60s");
        let since = Instant::now();
        assert!(release.end(), "{method}: the release did not get through");
        assert!(since.elapsed() < Duration::from_secs(5), "{method}: the release waited {:?}", since.elapsed());
        let page = gave_way(&bench, engine, Duration::from_secs(8));
        assert!(page.contains("ALTER TABLE big ADD COLUMN w int"), "{method}: its statement is not shown\n{page}");
        bench.nothing_left();
    }
}

#[test]
fn who_waited_for_how_long_is_in_the_journal_and_in_the_dossier() {
    for method in METHODS {
        let bench = Bench::bare("shown", "");
        bench.psql(bench.production(), TABLES);
        let gate = Gate::before(&bench, "big", "id = 75");
        bench.clone_plan(method, "max_lock_wait = \"1m\"");
        let mut engine = bench.start(&["apply", PLAN]);
        bench.wait_for(&mut engine, |event| matches!(event, Event::CloneBegun { .. }));
        gate.wait();
        let mut release = release(&bench, "big", "60s");
        // A second of it, as the server sees it.
        let second = "SELECT bool_or(clock_timestamp() - waitstart > '1200ms') FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
                      WHERE NOT granted AND mode = 'AccessExclusiveLock' AND a.datname = current_database()";
        bench.wait_until(bench.production(), second, "t");
        gate.open();
        assert_eq!(engine.end(), Some(0), "{method}");
        release.send("SELECT 1;");
        assert!(release.end(), "{method}: the release did not get through");
        let (tables, _, own, others) = held(&bench);
        let others = others.unwrap_or_else(|| panic!("{method}: nobody was seen to wait"));
        assert_eq!((tables, own), (2, None), "{method}");
        assert!(others.table == "public.big" && (500..60_000).contains(&others.ms), "{method}: {others:?}");
        let page = bench.engine(&["show", "latest", "clone"]).all();
        assert!(page.contains("somebody waited") && page.contains("Locks on `production`"), "{method}\n{page}");
    }
}

#[test]
fn what_the_engine_waited_for_itself_is_told() {
    for method in METHODS {
        let bench = Bench::bare("own", "");
        bench.psql(bench.production(), TABLES);
        let mut holder = bench.session(bench.production(), "BEGIN; LOCK TABLE quiet;");
        bench.clone_plan(method, "");
        let engine = bench.start(&["apply", PLAN]);
        let second = "SELECT bool_or(clock_timestamp() - waitstart > '700ms') FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
                      WHERE NOT granted AND a.usename = 'bare_reader' AND a.datname = current_database()";
        bench.wait_until(bench.production(), second, "t");
        holder.send("COMMIT;");
        assert!(holder.end());
        assert_eq!(engine.end(), Some(0), "{method}");
        let (_, lock_ms, _, others) = held(&bench);
        assert!((700..60_000).contains(&lock_ms), "{method}: {lock_ms} ms");
        assert_eq!(others, None, "{method}");
        let page = bench.engine(&["show", "latest", "clone"]).all();
        assert!(page.contains("for locks"), "{method}\n{page}");
    }
}

/// The second session of the engine comes behind somebody who waits for the first.
#[test]
fn what_a_copying_session_waited_for_is_told() {
    let bench = Bench::bare("behind", "");
    bench.psql(bench.production(), TABLES);
    let gate = Gate::before(&bench, "big", "id = 75");
    bench.clone_plan("stream", "jobs = 1");
    let mut engine = bench.start(&["apply", PLAN]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::CloneBegun { .. }));
    gate.wait();
    let release = release(&bench, "quiet", "4s");
    gate.open();
    assert_eq!(engine.end(), Some(0));
    assert!(!release.end(), "the release was to run out of time");
    let (_, _, own, _) = held(&bench);
    let own = own.expect("a wait of the engine's");
    assert!(own.table == "public.quiet" && (500..5_000).contains(&own.ms), "{own:?}");
}
