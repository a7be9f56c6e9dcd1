//! A clone whose engine was killed goes on: what was finished and is proven unchanged is kept and not read again, the
//! rest is copied, and the result is production at the new snapshot. Or it is made anew, and says why.

mod support;

use engine::event::{Event, Exit, Failure};
use std::os::unix::process::ExitStatusExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use support::{Bench, Gate, OwnServer, PLAN, Running};

/// Tables worth keeping, one that stands at a gate, a tiny one; and all that a dump puts after the rows. Without
/// autovacuum: it reads what is stored out of line, and a test counts who does.
const ROWS: &str = "
    SET ROLE shop_owner;
    CREATE TABLE one (id int PRIMARY KEY, v text); ALTER TABLE one ALTER v SET STORAGE EXTERNAL;
    CREATE TABLE two (LIKE one INCLUDING ALL);
    CREATE TABLE three (LIKE one INCLUDING ALL);
    CREATE TABLE four (LIKE one INCLUDING ALL);
    CREATE TABLE slow (LIKE one INCLUDING ALL);
    CREATE TABLE tiny (id int PRIMARY KEY, v text);
    DO 'DECLARE t text; BEGIN FOREACH t IN ARRAY ARRAY[''one'', ''two'', ''three'', ''four'', ''slow''] LOOP
        EXECUTE format(''ALTER TABLE %I SET (autovacuum_enabled = off, toast.autovacuum_enabled = off)'', t);
    END LOOP; END';
    INSERT INTO one SELECT n, repeat(md5(n::text), 120) FROM generate_series(1, 1000) AS n;
    INSERT INTO two SELECT id, v FROM one;
    INSERT INTO three SELECT id, v FROM one;
    INSERT INTO four SELECT id + 1, v FROM one;
    INSERT INTO slow SELECT id, v || v FROM one;
    INSERT INTO tiny SELECT n, 't' FROM generate_series(1, 10) AS n;
";

const AFTER_ROWS: &str = "
    ALTER TABLE two ADD FOREIGN KEY (id) REFERENCES one;
    ALTER TABLE three ADD FOREIGN KEY (id) REFERENCES two NOT VALID;
    ALTER TABLE three ADD CONSTRAINT late CHECK (id > 0) NOT VALID;
    CREATE INDEX two_v ON two (md5(v));
    CREATE UNIQUE INDEX four_id ON four (id) WHERE id > 5;
    ALTER TABLE four REPLICA IDENTITY USING INDEX four_pkey;
    CREATE STATISTICS one_stats (dependencies) ON id, v FROM one;
    CREATE TABLE parted (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
    CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
    INSERT INTO parted SELECT n, 1 + n % 2 FROM generate_series(1, 100) AS n;
    CREATE INDEX parted_k ON parted (k);
    ALTER TABLE tiny ADD COLUMN p int, ADD COLUMN k int, ADD FOREIGN KEY (p, k) REFERENCES parted;
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER does_nothing BEFORE INSERT ON parted FOR EACH ROW EXECUTE FUNCTION nothing();
    CREATE TRIGGER is_off AFTER UPDATE ON tiny FOR EACH ROW EXECUTE FUNCTION nothing();
    ALTER TABLE tiny DISABLE TRIGGER is_off;
    CREATE RULE no_delete AS ON DELETE TO tiny DO INSTEAD NOTHING;
    ALTER TABLE tiny ENABLE ROW LEVEL SECURITY;
    CREATE POLICY everybody ON tiny USING (true);
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM one;
    CREATE UNIQUE INDEX counted_n ON counted (n);
    CREATE DOMAIN positive AS int;
    ALTER DOMAIN positive ADD CONSTRAINT above CHECK (VALUE > 0) NOT VALID;
    COMMENT ON INDEX two_v IS 'a comment after the rows';
    SELECT lo_from_bytea(4711, 'large');
    RESET ROLE;
    ALTER LARGE OBJECT 4711 OWNER TO shop_owner;
    GRANT SELECT ON LARGE OBJECT 4711 TO bare_reader;
";

/// One test at a time: a horizon is a whole server's, and a writer of another test would hold it back.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Production as above, and what is more of it.
fn filled(bench: &Bench, more: &str) {
    bench.psql(bench.production(), &format!("{ROWS}{more}"));
    bench.clone_plan("stream", "jobs = 2");
}

fn copied(bench: &Bench) -> usize {
    let of = |event: &Event| match event {
        Event::TablesCopied { tables, .. } => tables.len(),
        _ => 0,
    };
    bench.journal().events.iter().map(of).sum()
}

/// Starts the engine and kills it when `slow` stands at its gate and `count` tables are told to be in.
#[track_caller]
fn killed_at(bench: &Bench, gate: &Gate<'_>, count: usize) {
    let mut engine = bench.start(&["apply", PLAN]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::CloneRowsBegun { .. }));
    gate.wait();
    bench.wait_for(&mut engine, |_| copied(bench) == count);
    kill(bench, engine);
}

#[track_caller]
fn kill(bench: &Bench, engine: Running) {
    assert_eq!(engine.kill().signal(), Some(9), "it ended before it was killed");
    bench.wait_for_silence();
    assert!(!bench.exists(bench.clone_name()), "a half clone carries the clone's name");
    assert!(bench.exists(&half(bench)), "there is no half clone");
}

fn half(bench: &Bench) -> String {
    format!("engine_{}", bench.run_id())
}

/// What a resume said of the half clone, each time: kept, copied again and why, why all of it was made anew.
fn told(bench: &Bench) -> Vec<(u64, Vec<String>, Option<String>)> {
    let one = |event: Event| match event {
        Event::CloneResumed { kept, again, anew, .. } => Some((kept, again, anew)),
        _ => None,
    };
    bench.journal().events.into_iter().filter_map(one).collect()
}

/// Goes on to a clone that is like production.
#[track_caller]
fn resumed(bench: &Bench) -> String {
    let said = bench.engine(&["resume", &bench.run_id()]).expect(0).all();
    assert_eq!(bench.unlike(), Vec::<String>::new());
    assert!(!bench.exists(&half(bench)), "the half clone is left");
    said
}

/// Resumes, and demands that the half clone was made anew for this reason.
#[track_caller]
fn made_anew(bench: &Bench, why: &str) {
    resumed(bench);
    let told = told(bench);
    let anew = told.last().and_then(|(_, _, anew)| anew.clone());
    assert!(anew.as_ref().is_some_and(|text| text.contains(why)), "`{why}` is not why: {told:?}");
}

/// Blocks of rows stored out of line that anybody ever read in production: a count does not touch them, a copy does.
#[track_caller]
fn read_out_of_line(bench: &Bench, table: &str) -> u64 {
    let sql = format!("SELECT toast_blks_read + toast_blks_hit FROM pg_statio_user_tables WHERE relname = '{table}'");
    bench.psql(bench.production(), &sql).parse().expect("a number")
}

#[test]
fn what_was_finished_is_kept_and_not_read_again() {
    let _turn = turn();
    let bench = Bench::bare("kept", "");
    filled(&bench, AFTER_ROWS);
    let gate = Gate::before(&bench, "slow", "id = 500");
    killed_at(&bench, &gate, 4);
    gate.open();
    let tables = ["one", "two", "three", "four", "slow"];
    let before = tables.map(|table| read_out_of_line(&bench, table));
    let said = bench.engine(&["resume", &bench.run_id()]).expect(0);
    assert_eq!(told(&bench), [(4, Vec::new(), None)], "{said:?}");
    said.says(&["kept 4 of 9 tables, "]);
    let after = tables.map(|table| read_out_of_line(&bench, table));
    assert_eq!(after[..4], before[..4], "a table that was kept was read again");
    assert!(after[4] > before[4], "this witness sees nothing");
    assert_eq!(bench.unlike(), Vec::<String>::new());
    assert_eq!(told(&bench), [(4, Vec::new(), None)]);
    let page = bench.engine(&["show", "latest", "clone"]).all();
    assert!(page.contains("Kept 4 of 9 tables"), "{page}");
    bench.engine(&["verify", &bench.run_id()]).expect(0);
}

#[test]
fn only_what_changed_in_production_is_copied_again() {
    let _turn = turn();
    let bench = Bench::bare("changed", "");
    filled(&bench, "");
    let gate = Gate::before(&bench, "slow", "id = 500");
    killed_at(&bench, &gate, 4);
    gate.open();
    bench.psql(
        bench.production(),
        "UPDATE one SET v = 'new' WHERE id = 7; TRUNCATE two; DELETE FROM tiny WHERE id = 3; INSERT INTO tiny VALUES (99, 'new')",
    );
    let untouched = read_out_of_line(&bench, "three");
    resumed(&bench);
    assert!(read_out_of_line(&bench, "three") > untouched, "the witnesses of this test read everything");
    let (kept, again, anew) = told(&bench).pop().expect("a word on the half clone");
    assert_eq!((kept, anew), (2, None), "{again:?}");
    assert_eq!(again, ["public.one: recent rows 0 -> 1", "public.two: rows 1000 -> 0"]);
}

#[test]
fn tables_that_changed_places_are_not_taken_for_each_other() {
    let _turn = turn();
    let bench = Bench::bare("swapped", "");
    filled(&bench, "");
    let gate = Gate::before(&bench, "slow", "id = 500");
    killed_at(&bench, &gate, 4);
    gate.open();
    let mut swap = String::from(
        "ALTER TABLE three RENAME TO swap; ALTER TABLE four RENAME TO three; ALTER TABLE swap RENAME TO four;",
    );
    swap.push_str("ALTER INDEX three_pkey RENAME TO swap_pkey; ALTER INDEX four_pkey RENAME TO three_pkey; ALTER INDEX swap_pkey RENAME TO four_pkey");
    bench.psql(bench.production(), &swap);
    resumed(&bench);
    let (kept, again, anew) = told(&bench).pop().expect("a word on the half clone");
    assert_eq!((kept, anew), (2, None), "{again:?}");
    assert_eq!(again, ["public.four: it was called public.three", "public.three: it was called public.four"]);
}

/// A writer that was at work at the first snapshot commits later: its rows are older than that snapshot's end.
#[test]
fn a_writer_that_was_at_work_at_the_snapshot_is_seen() {
    let _turn = turn();
    let bench = Bench::bare("at_work", "");
    filled(&bench, "");
    let gate = Gate::before(&bench, "slow", "id = 500");
    let change = "BEGIN; SAVEPOINT s; DELETE FROM one WHERE id = 1; INSERT INTO one VALUES (5000, 'later');";
    let mut writer = bench.session(bench.production(), change);
    bench.psql(bench.production(), "INSERT INTO two VALUES (-1, 'committed while somebody is at work')");
    killed_at(&bench, &gate, 4);
    gate.open();
    writer.send("COMMIT;");
    assert!(writer.end());
    resumed(&bench);
    let (kept, again, _) = told(&bench).pop().expect("a word on the half clone");
    // `two` did not change, but has a row that this watermark does not vouch for.
    assert_eq!((kept, again.len()), (2, 2), "{again:?}");
    assert!(again[0].starts_with("public.one: ") && again[1].starts_with("public.two: "), "{again:?}");
}

#[test]
fn it_may_be_killed_again_and_again() {
    let _turn = turn();
    let bench = Bench::bare("again", "");
    filled(&bench, AFTER_ROWS);
    let gate = Gate::before(&bench, "slow", "id = 500");
    killed_at(&bench, &gate, 4);
    for times in 1..=2 {
        let mut engine = bench.start(&["resume", &bench.run_id()]);
        bench.wait_for(&mut engine, |_| told(&bench).len() == times);
        gate.wait();
        kill(&bench, engine);
        bench.psql(bench.production(), &format!("UPDATE tiny SET v = 'time {times}'"));
    }
    gate.open();
    bench.psql(bench.production(), "DELETE FROM four WHERE id = 9");
    resumed(&bench);
    let kept: Vec<u64> = told(&bench).into_iter().map(|(kept, _, _)| kept).collect();
    assert_eq!(kept, [4, 4, 3]);
}

/// The rows are in, and indexes and keys half built, by a `pg_restore` that outlives the engine.
#[test]
fn killed_while_the_rest_is_built_it_builds_the_rest_anew() {
    let _turn = turn();
    let bench = Bench::bare("built", "");
    filled(&bench, AFTER_ROWS);
    let gate = Gate::before(&bench, "slow", "id = -1");
    let index = "SET ROLE shop_owner; CREATE FUNCTION waits(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
                 'BEGIN PERFORM public.gate(); RETURN $1; END'; CREATE INDEX zz_waits ON tiny (waits(id));
                 ALTER TABLE zz ADD FOREIGN KEY (id) REFERENCES one";
    bench.psql(bench.production(), "SET ROLE shop_owner; CREATE TABLE zz (id int PRIMARY KEY)");
    bench.psql(bench.production(), index);
    let mut engine = bench.start(&["apply", PLAN]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::SourceHeld { .. }));
    gate.wait();
    let built = "SELECT count(*) > 3 FROM pg_constraint WHERE contype = 'p' AND connamespace = 'public'::regnamespace";
    bench.wait_until(&half(&bench), built, "t");
    kill(&bench, engine);
    gate.open();
    resumed(&bench);
    assert_eq!(told(&bench), [(5, Vec::new(), None)]);
}

#[test]
fn it_is_made_anew_when_production_was_altered() {
    let _turn = turn();
    for (what, why) in [
        ("ALTER TABLE three ADD COLUMN w int", "public.three"),
        ("DROP TABLE three", "public.three"),
        ("CREATE INDEX again ON one (md5(v))", "again"),
        ("GRANT SELECT ON one TO bare_other", "grants"),
    ] {
        let bench = Bench::bare("altered", "");
        filled(&bench, "");
        let gate = Gate::before(&bench, "slow", "id = 500");
        killed_at(&bench, &gate, 4);
        gate.open();
        bench.psql(bench.production(), what);
        made_anew(&bench, why);
    }
}

#[test]
fn it_is_made_anew_when_a_server_was_started_again() {
    for (side, why) in [
        ("production", "in production, the server was restarted"),
        ("clone", "on the clone's side, the server was restarted"),
    ] {
        let (mut source, mut target) = (OwnServer::new(&[]), OwnServer::new(&[]));
        let mut bench = Bench::bare_on(source.server(), target.server(), "restarted", "");
        filled(&bench, "");
        let gate = Gate::before(&bench, "slow", "id = 500");
        killed_at(&bench, &gate, 4);
        gate.open();
        drop(gate);
        // The server's own commits are not waited for either: what the test did is to survive.
        bench.psql("postgres", "CHECKPOINT");
        if side == "clone" {
            target.kill("QUIT");
            target.start();
            bench.moved(None, Some(target.server()));
        } else {
            source.kill("INT");
            source.start();
            bench.moved(Some(source.server()), None);
        }
        made_anew(&bench, why);
    }
}

#[test]
fn a_half_clone_that_is_gone_or_another_one_is_not_gone_on_with() {
    let _turn = turn();
    let bench = Bench::bare("gone", "");
    filled(&bench, "");
    let gate = Gate::before(&bench, "slow", "id = 500");
    killed_at(&bench, &gate, 4);
    let copy = format!("CREATE DATABASE other TEMPLATE {0} OWNER engine_cloner; DROP DATABASE {0}", half(&bench));
    let marker = format!(
        "SELECT quote_literal(shobj_description(oid, 'pg_database')) FROM pg_database WHERE datname = '{}'",
        half(&bench)
    );
    let marker = bench.psql("postgres", &marker);
    for statement in copy.split("; ") {
        bench.psql("postgres", statement);
    }
    bench.psql("postgres", &format!("ALTER DATABASE other RENAME TO {}", half(&bench)));
    bench.psql("postgres", &format!("COMMENT ON DATABASE {} IS {marker}", half(&bench)));
    // A copied comment does not make it ours: it is neither gone on with nor dropped.
    let refused = bench.engine(&["resume", &bench.run_id()]).expect(63);
    assert!(refused.all().contains("its marker was written for another database, and copied"), "{}", refused.all());
    assert!(bench.exists(&half(&bench)));
    bench.psql("postgres", &format!("DROP DATABASE {}", half(&bench)));
    gate.open();
    resumed(&bench);
    assert_eq!(told(&bench).len(), 1, "there was nothing to go on with, and nothing to say of it");
}

/// Verification reads what was kept as well: what somebody did to it in between is found, and does not end the run.
#[test]
fn a_half_clone_that_was_tampered_with_does_not_become_the_clone() {
    let _turn = turn();
    for tampering in [
        "UPDATE one SET v = 'mine' WHERE id = 5",
        "DELETE FROM two WHERE id = 5",
        "ALTER TABLE three ADD COLUMN mine int",
    ] {
        let bench = Bench::bare("tampered", "");
        filled(&bench, "");
        let gate = Gate::before(&bench, "slow", "id = 500");
        killed_at(&bench, &gate, 4);
        gate.open();
        bench.psql(&half(&bench), tampering);
        made_anew(&bench, "what was kept did not become a clone");
        let unequal = |event: &Event| matches!(event, Event::Compared { equal: false, .. });
        assert_eq!(bench.journal().count(unequal), 1, "{tampering}");
    }
}

#[test]
fn a_run_that_is_given_up_is_disposed_of() {
    let _turn = turn();
    let bench = Bench::bare("given_up", "");
    filled(&bench, "");
    let gate = Gate::before(&bench, "slow", "id = 500");
    killed_at(&bench, &gate, 4);
    bench.engine(&["drop", &bench.run_id()]).expect(0).says(&[&format!("dropped {}", half(&bench))]);
    bench.nothing_left();
    gate.open();
    resumed(&bench);
}

/// A signal is an interruption too.
#[test]
fn a_signal_keeps_the_half_clone() {
    let _turn = turn();
    let bench = Bench::bare("signal", "");
    filled(&bench, "");
    let gate = Gate::before(&bench, "slow", "id = 500");
    let mut engine = bench.start(&["apply", PLAN]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::CloneRowsBegun { .. }));
    gate.wait();
    bench.wait_for(&mut engine, |_| copied(&bench) == 4);
    engine.signal("INT");
    assert_eq!(engine.end(), Some(130));
    assert!(bench.exists(&half(&bench)));
    gate.open();
    resumed(&bench);
    assert_eq!(told(&bench), [(4, Vec::new(), None)]);
}

/// What the last failure says of what was and was not changed, and what to type next.
#[track_caller]
fn failed(bench: &Bench) -> String {
    let failures = bench.journal().events.into_iter().rev().find_map(|event| match event {
        Event::StageFailed { failure, .. } => Some(failure),
        _ => None,
    });
    let Failure { exit, changed, next, .. } = failures.expect("a failure");
    assert_eq!(exit, Exit::Temporary);
    format!("{} {next:?}", changed.unwrap_or_default())
}

/// A resume that comes at a bad time does not throw away what there is.
#[test]
fn a_resume_that_has_to_wait_too_long_keeps_the_half_clone() {
    let _turn = turn();
    let bench = Bench::bare("bad_time", "");
    filled(&bench, "");
    let gate = Gate::before(&bench, "slow", "id = 500");
    killed_at(&bench, &gate, 4);
    gate.open();
    let holder = bench.session(bench.production(), "BEGIN; LOCK TABLE tiny;");
    bench.engine(&["resume", &bench.run_id()]).expect(75);
    let said = failed(&bench);
    for text in [
        format!("`{}` is kept for engine resume, with 4 finished tables", half(&bench)),
        format!("engine drop {}", bench.run_id()),
    ] {
        assert!(said.contains(&text), "`{text}` is not said: {said}");
    }
    drop(holder);
    resumed(&bench);
    assert_eq!(told(&bench), [(4, Vec::new(), None)]);
}

/// Nothing of it was touched yet, whatever there is to put right first. A role is altered, so on a server of its own.
#[test]
fn a_resume_that_preflight_refuses_keeps_the_half_clone() {
    let own = OwnServer::new(&[]);
    let bench = Bench::bare_on(own.server(), own.server(), "refused", "");
    filled(&bench, "");
    let gate = Gate::before(&bench, "slow", "id = 500");
    killed_at(&bench, &gate, 4);
    gate.open();
    bench.psql("postgres", "ALTER ROLE engine_cloner NOCREATEDB");
    let kept = format!("`{}` is kept for engine resume, with 4 finished tables", half(&bench));
    bench.engine(&["resume", &bench.run_id()]).expect(40).says(&["CREATEDB", &kept]);
    assert!(bench.exists(&half(&bench)), "the half clone is gone");
    bench.psql("postgres", "ALTER ROLE engine_cloner CREATEDB");
    let said = resumed(&bench);
    assert!(said.contains("kept 4 of 6 tables, "), "{said}");
}

/// It has the clone's name already when the last thing fails: that is no half clone, and nothing of it is promised.
#[test]
fn what_has_the_name_of_the_clone_is_not_promised_to_be_kept() {
    let own = OwnServer::new(&[]);
    let bench = Bench::bare_on(own.server(), own.server(), "named", "");
    filled(&bench, "");
    let gate = Gate::before(&bench, "slow", "id = 500");
    killed_at(&bench, &gate, 4);
    let mut engine = bench.start(&["resume", &bench.run_id()]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::CloneResumed { .. }));
    gate.wait();
    // Production's reader has all the sessions it needs: the next one is that which tries the clone's door.
    bench.psql("postgres", "ALTER ROLE bare_reader CONNECTION LIMIT 1");
    gate.open();
    assert_eq!(engine.end(), Some(75));
    let renamed = "SELECT count(*) FROM pg_stat_database WHERE datname LIKE 'engine\\_%'";
    assert_eq!(bench.psql("postgres", renamed), "0", "it never came to the door");
    let said = failed(&bench);
    assert!(!said.contains("is kept for engine resume"), "{said}");
    bench.psql("postgres", "ALTER ROLE bare_reader CONNECTION LIMIT -1");
    resumed(&bench);
}

/// A lost connection keeps what took long, and only that.
#[test]
fn a_lost_connection_leaves_a_half_clone_only_when_much_is_in_it() {
    let _turn = turn();
    for (more, stays) in [
        ("", false),
        ("INSERT INTO one SELECT n, repeat(md5(n::text), 1200) FROM generate_series(2000, 4000) AS n;", true),
    ] {
        let bench = Bench::bare("lost", "");
        filled(&bench, more);
        let gate = Gate::before(&bench, "slow", "id = 500");
        let mut engine = bench.start(&["apply", PLAN]);
        bench.wait_for(&mut engine, |event| matches!(event, Event::CloneRowsBegun { .. }));
        gate.wait();
        bench.wait_for(&mut engine, |_| copied(&bench) == 4);
        let cut = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE usename = 'bare_reader' AND datname = current_database()";
        assert_eq!(bench.psql(bench.production(), cut), "t");
        assert_eq!(engine.end(), Some(75));
        gate.open();
        assert_eq!(bench.exists(&half(&bench)), stays);
        assert_eq!(failed(&bench).contains("is kept for engine resume"), stays);
        resumed(&bench);
        assert_eq!(told(&bench).len(), usize::from(stays));
        assert!(told(&bench).iter().all(|(kept, _, _)| *kept == 4));
    }
}
