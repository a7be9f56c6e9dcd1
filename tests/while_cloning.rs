//! Production lives on while it is cloned: writers, and people who truncate, alter and drop. The clone is what
//! production was at one moment, or there is none and a clear error; production is never harmed.

mod support;

use engine::event::Event;
use std::time::{Duration, Instant};
use support::{Bench, Gate, METHODS, Outcome, PLAN, Session, objects_of, rows_of};

/// What is done to a table `t` that takes its rows away: a snapshot that is older cannot be read any more.
const REWRITES: [&str; 3] = ["TRUNCATE t", "ALTER TABLE t ALTER w TYPE bigint", "DROP TABLE t"];

/// What is done to a table `t` after which an older snapshot can still be read, or be refused.
const CHANGES: [&str; 6] = [
    "ALTER TABLE t ADD COLUMN x int DEFAULT 5",
    "ALTER TABLE t DROP COLUMN w",
    "ALTER TABLE t RENAME COLUMN v TO was_v",
    "ALTER TABLE t RENAME TO was_t",
    "ALTER TABLE t ALTER v SET DEFAULT 'other', ADD CHECK (id > 0)",
    "DELETE FROM t WHERE id > 10; INSERT INTO t SELECT n, 'new' FROM generate_series(5000, 5100) AS n; CREATE TABLE new AS SELECT 1 AS a",
];

/// The change on the table of that number.
fn on(change: &str, number: usize) -> String {
    change
        .replace(" t ", &format!(" t{number} "))
        .replace("TRUNCATE t", &format!("TRUNCATE t{number}"))
        .replace("DROP TABLE t", &format!("DROP TABLE t{number}"))
        .replace("was_t", &format!("was_t{number}"))
}

/// Tables to change under the clone's eyes, one that nobody changes, one that is large enough to be caught being read.
fn bench(name: &str) -> Bench {
    let bench = Bench::bare(name, "");
    let table = |number: usize| {
        format!(
            "CREATE TABLE t{number} (id int PRIMARY KEY, v text, w int DEFAULT 1);
             INSERT INTO t{number} SELECT n, 'v' || n, n FROM generate_series(1, 200) AS n;"
        )
    };
    let tables: String = (0..REWRITES.len() + CHANGES.len()).map(table).collect();
    let script = format!(
        "SET ROLE shop_owner;
         {tables}
         CREATE TABLE bystander (id int PRIMARY KEY, v text);
         INSERT INTO bystander SELECT n, 'b' FROM generate_series(1, 100) AS n;
         CREATE TABLE big (id int, v text);
         ALTER TABLE big ALTER v SET STORAGE EXTERNAL;
         INSERT INTO big SELECT n, repeat(md5(n::text), 3000) FROM generate_series(1, 300) AS n;"
    );
    bench.psql(bench.production(), &script);
    bench
}

/// Waits until `sql`, asked on production's server, answers `t`; panics when the engine ends before.
#[track_caller]
fn wait_while(bench: &Bench, engine: &mut support::Running, sql: &str) {
    let since = Instant::now();
    while bench.psql("postgres", sql) != "t" {
        assert!(!engine.over(), "the engine ended before: {sql}");
        assert!(since.elapsed() < Duration::from_secs(60), "in vain: {sql}");
    }
}

/// `t` once the reader waits for a lock in production.
fn reader_waits(bench: &Bench) -> String {
    format!(
        "SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
                        WHERE NOT l.granted AND a.usename = 'bare_reader' AND a.datname = '{}')",
        bench.production()
    )
}

/// `t` once `count` others wait for a lock in production.
fn others_wait(bench: &Bench, count: usize) -> String {
    format!(
        "SELECT count(DISTINCT l.pid) = {count} FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
         WHERE NOT l.granted AND a.usename <> 'bare_reader' AND a.datname = '{}'",
        bench.production()
    )
}

/// The clone is what production was (`rows` and objects), or there is a clear error that names the table and nothing left.
#[track_caller]
fn right_or_refused(bench: &Bench, what: &str, code: Option<i32>, then: &(String, String)) {
    match code {
        Some(0) => {
            let clone = bench.clone_name();
            let now = (rows_of(bench, clone), format!("{:#?}", objects_of(bench, clone)));
            support::assert_same(&now.0, &then.0, &format!("{what}: the clone's rows are not those of the snapshot"));
            support::assert_same(
                &now.1,
                &then.1,
                &format!("{what}: the clone's objects are not those of the snapshot"),
            );
        }
        Some(40 | 75) => {
            let page = bench.engine(&["show", "latest", "clone"]).all();
            assert!(page.contains("public.t") || page.contains("\"t"), "{what}: the table is not named\n{page}");
            bench.nothing_left();
        }
        other => panic!("{what}: exit {other:?}"),
    }
}

fn state(bench: &Bench) -> (String, String) {
    (rows_of(bench, bench.production()), format!("{:#?}", objects_of(bench, bench.production())))
}

/// The worst moment: the snapshot is taken and the tables are not held yet. Somebody who holds them has changed them by
/// the time the engine gets them.
#[track_caller]
fn changed_in_the_window(method: &str, changes: &[String]) -> (Bench, Option<i32>) {
    let bench = bench("window");
    let then = state(&bench);
    let mut other = bench.session(bench.production(), &format!("BEGIN; LOCK TABLE t0; {};", changes.join("; ")));
    bench.clone_plan(method, "");
    let mut engine = bench.start(&["apply", PLAN]);
    wait_while(&bench, &mut engine, &reader_waits(&bench));
    other.send("COMMIT;");
    assert!(other.end(), "{method}: {changes:?} failed in production");
    let code = engine.end();
    right_or_refused(&bench, &format!("{method}: {changes:?}"), code, &then);
    (bench, code)
}

#[test]
fn rows_taken_away_between_the_snapshot_and_the_lock_are_missed() {
    for method in METHODS {
        for change in REWRITES {
            let (bench, code) = changed_in_the_window(method, &[on(change, 0)]);
            assert_eq!(code, Some(75), "{method}: {change}: its rows are gone, so this snapshot cannot be read");
            bench.engine(&["resume", &bench.run_id()]).expect(0);
            assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}: {change}, once more");
        }
    }
}

#[test]
fn what_changes_between_the_snapshot_and_the_lock_does_no_harm() {
    for method in METHODS {
        let changes: Vec<String> = CHANGES.iter().enumerate().map(|(number, change)| on(change, number)).collect();
        changed_in_the_window(method, &changes);
    }
}

/// Stops a session of the reader in the middle of copying rows of `big`, as `kill -STOP` does; it goes on when the
/// answer is dropped.
struct Frozen<'b> {
    bench: &'b Bench,
    process: String,
}

impl<'b> Frozen<'b> {
    #[track_caller]
    fn new(bench: &'b Bench, method: &str) -> Frozen<'b> {
        // `dump` reads the rows twice: once for the fingerprint, then by pg_dump, which is the copying.
        let by = if method == "dump" { "query LIKE 'COPY public.big %' AND query NOT LIKE '%binary%'" } else { "true" };
        let sql = format!(
            "DO $$ DECLARE found int; BEGIN
                 FOR n IN 1 .. 60000 LOOP
                     SELECT pid INTO found FROM pg_stat_activity
                     WHERE datname = '{}' AND usename = 'bare_reader' AND state = 'active' AND {by}
                       AND query LIKE 'COPY %' AND query ~ '\\mbig\\M';
                     IF found IS NOT NULL THEN
                         EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'cat > /dev/null; kill -STOP ' || found);
                         PERFORM set_config('while.cloning', found::text, false);
                         RETURN;
                     END IF;
                     PERFORM pg_stat_clear_snapshot(), pg_sleep(0.0005);
                 END LOOP;
                 RAISE 'nobody copies rows of big';
             END $$;
             SELECT current_setting('while.cloning')",
            bench.production()
        );
        Frozen { bench, process: bench.psql("postgres", &sql) }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let go_on = format!("COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; kill -CONT {}'", self.process);
        self.bench.psql("postgres", &go_on);
    }
}

#[test]
fn what_arrives_while_rows_are_copied_waits_and_then_happens() {
    for method in METHODS {
        let bench = bench("copying");
        let then = state(&bench);
        bench.clone_plan(method, "");
        let mut engine = bench.start(&["apply", PLAN]);
        let frozen = Frozen::new(&bench, method);
        let mut others: Vec<Session> = Vec::new();
        let all: Vec<&str> = REWRITES.iter().chain(&CHANGES).copied().collect();
        for (number, change) in all.iter().enumerate() {
            let mut other = bench.session(bench.production(), "SET lock_timeout = '30s';");
            other.send(&format!("BEGIN; {}; COMMIT;", on(change, number)));
            others.push(other);
        }
        // The last one only moves rows: it does not wait, and must not be seen either.
        wait_while(&bench, &mut engine, &others_wait(&bench, all.len() - 1));
        let last = others.pop().expect("the last of them");
        assert!(last.end(), "{method}: {} had to wait", all[all.len() - 1]);
        drop(frozen);
        let code = engine.end();
        for (other, change) in others.into_iter().zip(&all) {
            assert!(other.end(), "{method}: {change} failed in production");
        }
        assert_eq!(code, Some(0), "{method}: {:?}", bench.journal().events.iter().rev().take(4).collect::<Vec<_>>());
        right_or_refused(&bench, method, code, &then);
    }
}

/// A bank: every transaction keeps the sums, so that a clone that mixes two moments shows it.
const BANK: &str = "
    SET ROLE shop_owner;
    CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL);
    INSERT INTO accounts SELECT n, 0 FROM generate_series(1, 500) AS n;
    CREATE TABLE ledger (n bigint PRIMARY KEY, what text);
    CREATE TABLE counter (n bigint);
    INSERT INTO counter VALUES (0);
    CREATE TABLE here (id int PRIMARY KEY, v text);
    CREATE TABLE there (id int PRIMARY KEY, v text);
    INSERT INTO here SELECT n, repeat('x', 300) FROM generate_series(1, 5000) AS n;
    CREATE TABLE stop (now boolean);
";

/// Writes until it is told to stop; each round is one transaction.
const WRITER: &str = "
    SET ROLE shop_owner;
    DO $$ DECLARE f int; t int; BEGIN
        WHILE NOT EXISTS (SELECT FROM stop) LOOP
            UPDATE counter SET n = n + 1;
            f := 1 + random() * 499; t := 1 + random() * 499;
            UPDATE accounts SET balance = balance - 5 WHERE id = f;
            UPDATE accounts SET balance = balance + 5 WHERE id = t;
            INSERT INTO ledger SELECT n, 'moved' FROM counter;
            WITH moved AS (DELETE FROM here WHERE id BETWEEN f * 10 AND f * 10 + 5 RETURNING *)
            INSERT INTO there SELECT * FROM moved;
            WITH moved AS (DELETE FROM there WHERE id BETWEEN t * 10 AND t * 10 + 5 RETURNING *)
            INSERT INTO here SELECT * FROM moved;
            COMMIT;
        END LOOP;
    END $$;
";

/// All sums, in one line; the last two numbers are how many rounds were written.
const SUMS: &str = "
    SELECT sum(balance) AS zero, (SELECT count(*) FROM accounts) AS accounts,
           (SELECT count(*) || ' ' || count(DISTINCT id) FROM (SELECT id FROM here UNION ALL SELECT id FROM there) AS b) AS moved,
           (SELECT count(*) - max(n) FROM ledger) AS holes, (SELECT max(n) FROM ledger) - (SELECT n FROM counter) AS gap
    FROM accounts";

#[test]
fn a_writer_goes_on_and_the_clone_is_of_one_moment() {
    for method in METHODS {
        let bench = Bench::bare("writer", "");
        bench.psql(bench.production(), BANK);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| bench.psql_as("postgres", bench.production(), WRITER));
            bench.wait_until(bench.production(), "SELECT n > 100 FROM counter", "t");
            let made = bench.make_clone(method, "");
            bench.psql(bench.production(), "INSERT INTO stop VALUES (true)");
            let wrote = writer.join().expect("a thread");
            assert!(wrote.is_ok(), "{method}: the writer was disturbed: {wrote:?}");
            made.expect(0);
        });
        let sums = "0|500|5000 5000|0|0";
        assert_eq!(bench.psql(bench.production(), SUMS), sums, "{method}: production");
        assert_eq!(bench.psql(bench.clone_name(), SUMS), sums, "{method}: the clone mixes two moments");
        let rounds = |database: &str| bench.psql(database, "SELECT n FROM counter").parse::<u64>().expect("a number");
        let (then, now) = (rounds(bench.clone_name()), rounds(bench.production()));
        assert!(100 < then && then < now, "{method}: nothing was written meanwhile: {then}, {now}");
    }
}

/// Every lock that the reader's sessions ever hold in production, sampled until the clone has its name.
#[test]
fn nothing_stronger_than_access_share_is_held_on_production() {
    for method in METHODS {
        let bench = bench("locks");
        bench.clone_plan(method, "");
        let sample = format!(
            "CREATE TEMP TABLE seen (relation oid, mode text, PRIMARY KEY (relation, mode));
             DO $$ BEGIN
                 WHILE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{}') LOOP
                     INSERT INTO seen SELECT l.relation, l.mode FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
                     WHERE a.usename = 'bare_reader' AND l.locktype IN ('relation', 'tuple', 'object', 'page', 'extend')
                       AND l.database = (SELECT oid FROM pg_database WHERE datname = '{}')
                     ON CONFLICT DO NOTHING;
                     PERFORM pg_stat_clear_snapshot(), pg_sleep(0.001);
                 END LOOP;
             END $$;
             SELECT string_agg(DISTINCT mode, ','), count(*) FILTER (WHERE relation IN ('t0'::regclass, 'big'::regclass, 'bystander'::regclass))
             FROM seen",
            bench.clone_name(),
            bench.production()
        );
        std::thread::scope(|scope| {
            let sampler = scope.spawn(|| bench.psql(bench.production(), &sample));
            bench.wait_until("postgres", "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'DO $$ BEGIN%seen%' AND state = 'active' AND pid <> pg_backend_pid())", "t");
            bench.engine(&["apply", PLAN]).expect(0);
            assert_eq!(sampler.join().expect("a thread"), "AccessShareLock|3", "{method}");
        });
    }
}

/// A table that somebody holds is not waited for without end, and the wait leaves nothing behind.
#[test]
fn a_table_that_somebody_holds_is_waited_for_a_few_seconds_only() {
    for method in METHODS {
        let bench = bench("held");
        let holder: Session = bench.session(bench.production(), "BEGIN; LOCK TABLE t3;");
        let started = Instant::now();
        let outcome: Outcome = bench.make_clone(method, "").expect(75);
        assert!(started.elapsed() < Duration::from_secs(15), "{method}: {:?}", started.elapsed());
        outcome.says(&["lock timeout", "engine resume"]);
        bench.nothing_left();
        drop(holder);
        bench.engine(&["resume", &bench.run_id()]).expect(0);
        assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
    }
}

/// What arrives while nobody but the engine's own session holds the table: `pg_dump` then waits behind it, the engine for
/// `pg_dump`, and it for the engine.
#[test]
fn what_arrives_before_the_dump_does_not_wait_for_ever() {
    for method in METHODS {
        let bench = bench("deadlock");
        let then = state(&bench);
        bench.clone_plan(method, "");
        let mut engine = bench.start(&["apply", PLAN]);
        let frozen = Frozen::new(&bench, "any");
        let mut other = bench.session(bench.production(), "SET lock_timeout = '20s';");
        other.send("TRUNCATE t0;");
        wait_while(&bench, &mut engine, &others_wait(&bench, 1));
        drop(frozen);
        let happened = other.end();
        let code = engine.end();
        right_or_refused(&bench, method, code, &then);
        assert!(
            happened,
            "{method}: production's TRUNCATE could not happen within 20 s; the clone ended with {code:?}"
        );
    }
}

/// The next value of a sequence moves while rows are copied: it belongs to no snapshot.
#[test]
fn a_writer_that_takes_numbers_goes_on() {
    for method in METHODS {
        let bench = Bench::bare("numbers", "");
        bench.psql(bench.production(), BANK);
        bench.psql(
            bench.production(),
            "SET ROLE shop_owner; CREATE TABLE numbered (id bigint GENERATED ALWAYS AS IDENTITY, v int)",
        );
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let round = WRITER.replace("COMMIT;", "INSERT INTO numbered (v) VALUES (1); COMMIT;");
                bench.psql_as("postgres", bench.production(), &round)
            });
            bench.wait_until(bench.production(), "SELECT n > 100 FROM counter", "t");
            let made = bench.make_clone(method, "");
            bench.psql(bench.production(), "INSERT INTO stop VALUES (true)");
            assert!(writer.join().expect("a thread").is_ok(), "{method}: the writer was disturbed");
            made.expect(0);
        });
        let ahead = "SELECT nextval(pg_get_serial_sequence('numbered', 'id')) > (SELECT max(id) FROM numbered)";
        assert_eq!(bench.psql(bench.clone_name(), ahead), "t", "{method}: the next number is taken already");
    }
}

/// `lock_timeout` of the plan is how long the engine waits in production.
#[test]
fn the_plan_says_how_long_a_held_table_is_waited_for() {
    for method in METHODS {
        let bench = bench("patience");
        let _holder = bench.session(bench.production(), "BEGIN; LOCK TABLE t3;");
        let started = Instant::now();
        bench.make_clone(method, "lock_timeout = \"300ms\"").expect(75);
        assert!(started.elapsed() < Duration::from_secs(3), "{method}: {:?}", started.elapsed());
    }
}

/// A column that travels as text makes a query of the COPY, and a query holds the indexes of its table as well; the
/// session of the snapshot does not.
#[test]
fn who_waits_for_an_index_is_given_way_to_as_well() {
    let bench = Bench::bare("index", "");
    let table = "SET ROLE shop_owner;
                 CREATE TABLE typed (id int, sort regtype, v text);
                 ALTER TABLE typed ALTER v SET STORAGE EXTERNAL;
                 CREATE INDEX typed_id ON typed (id);
                 INSERT INTO typed SELECT n, 'int4'::regtype, repeat(md5(n::text), 3000)
                 FROM generate_series(1, 150) AS n";
    bench.psql(bench.production(), table);
    let gate = Gate::before(&bench, "typed", "id = 75");
    bench.clone_plan("stream", "max_lock_wait = \"2s\"");
    let mut engine = bench.start(&["apply", PLAN]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::CloneBegun { .. }));
    gate.wait();
    let mut other = bench.session(bench.production(), "SET lock_timeout = '20s';");
    other.send("REINDEX INDEX typed_id;");
    wait_while(&bench, &mut engine, &others_wait(&bench, 1));
    assert!(other.end(), "the clone did not give way within 20 s");
    assert_eq!(engine.end(), Some(75));
    let page = bench.engine(&["show", "latest", "clone"]).all();
    assert!(page.contains("gave way") && page.contains("public.typed_id"), "{page}");
    bench.nothing_left();
}
