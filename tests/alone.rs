//! `transaction = false`: statements that cannot run inside one. What is half done is cleared away, `done_when` tells.

mod support;

use engine::event::Event;
use std::os::unix::process::ExitStatusExt;
use support::{Bench, MINI, to_the_rehearsal};

const PROBES: &str = r#"
[probe.valid]
on = "clone"
sql = "SELECT count(*) FROM pg_index WHERE indrelid = 'public.t'::regclass AND indisvalid"
[probe.named]
on = "clone"
sql = "SELECT count(*) FROM pg_class WHERE relname IN ('t_v', 't_w')"
"#;

const BUILD: &str = "SET maintenance_work_mem = '8MB';\nCREATE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v);\n\
                     CREATE INDEX CONCURRENTLY IF NOT EXISTS t_w ON t (v, id)";

const BACK: &str = "DROP INDEX CONCURRENTLY IF EXISTS t_w;\nDROP INDEX CONCURRENTLY IF EXISTS t_v";

const KEYS: &str = "transaction = false\nalters = [\"t\"]\ndone_when = \"named = 2\"\nguard.none = \"named = 0\"\n\
                    ensure.valid = \"before.valid = 1 AND valid = 3\"";

fn plan(bench: &Bench, keys: &str, sql: &str, more: &str) {
    let stage = bench.mini_stage("build", "\"base\"", keys, sql, Some(BACK));
    bench.mini_plan(&format!("{PROBES}{stage}{more}"));
}

fn indexes(bench: &Bench) -> String {
    let sql = "SELECT string_agg(c.relname || ' ' || i.indisvalid, ', ' ORDER BY c.relname) FROM pg_index i \
               JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'public.t'::regclass";
    bench.psql(bench.clone_name(), sql)
}

const BUILT: &str = "t_pkey true, t_v true, t_w true";

#[test]
fn an_index_is_built_concurrently_rehearsed_and_taken_back() {
    let bench = Bench::mini("alone", "");
    let vacuum = bench.mini_stage(
        "vacuum",
        "\"build\"",
        "transaction = false\ndone_when = \"valid = 99\"\n",
        "VACUUM (ANALYZE) t",
        None,
    );
    // Maintenance leaves no trace that a predicate could ask for: `done_when` is false before, and must be true after.
    plan(&bench, KEYS, BUILD, &format!("{vacuum}{}", to_the_rehearsal("\"vacuum\"", "")));
    bench.mini_apply(&[]).expect(41).says(&["`done_when` of stage `vacuum` is not true after its statements ran"]);
    let plan = bench.read(MINI).replace("valid = 99", "analyzed >= 1");
    let analyzed =
        "[probe.analyzed]\non = \"clone\"\nsql = \"SELECT relpages FROM pg_class WHERE oid = 'public.t'::regclass\"\n";
    bench.write(MINI, &format!("{plan}{analyzed}"));
    bench
        .engine(&["resume", "--accept-changes"])
        .expect(0)
        .says(&["done by an earlier attempt, says `done_when`", "2 stages back"]);
    assert_eq!(indexes(&bench), BUILT);
    let measured = |event: &Event| matches!(event, Event::Measured { stage, altered, .. } if stage == "build" && altered.len() == 2);
    assert_eq!(bench.journal().count(measured), 1, "two indexes, and both were declared");
}

#[test]
fn killed_anywhere_it_comes_to_the_same() {
    for (number, at) in [
        "alone/begin#1",
        "statement/executed#1",
        "alone/sent#1",
        "journal/attempt_started/build/synced#1",
        "journal/statements/build/before#1",
        "journal/measured/build/synced#1",
        "journal/stage_committed/build/before#1",
        "journal/stage_committed/build/synced#1",
        "journal/stage_done/build/before#1",
    ]
    .into_iter()
    .enumerate()
    {
        let bench = Bench::mini(&format!("alone_kill_{number}"), "");
        plan(&bench, KEYS, BUILD, "");
        let status = bench
            .command(&["apply", MINI])
            .env("ENGINE_CRASH_AT", at)
            .stderr(std::process::Stdio::null())
            .status()
            .expect("the engine");
        assert_eq!(status.signal(), Some(9), "{at} was not reached");
        bench.engine(&["resume"]).expect(0);
        assert_eq!(indexes(&bench), BUILT, "{at}");
        assert_eq!(
            bench.journal().count(|e| matches!(e, Event::StageCommitted { stage, .. } if stage == "build")),
            1,
            "{at}"
        );
    }
}

#[test]
fn killed_while_it_builds_the_index_that_is_not_valid_goes_first() {
    let bench = Bench::mini("alone_invalid", "");
    // Whether it is there is all that it asks: an index that is not valid would do. And only the indexes are declared.
    plan(&bench, &KEYS.replace("[\"t\"]", "[\"t_v\", \"t_w\"]"), BUILD, "");
    bench.mini_apply(&["--until", "base"]).expect(0);
    // Concurrently means: waiting for every older snapshot of the database.
    let old = bench.session(bench.clone_name(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;");
    let engine = bench.start(&["resume"]);
    bench.wait_until(bench.clone_name(), "SELECT count(*) FROM pg_index WHERE NOT indisvalid", "1");
    engine.kill();
    let building =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND state = 'active'", bench.clone_name());
    bench.wait_until("postgres", &building, "0");
    old.end();
    assert!(indexes(&bench).contains("t_v false"), "it came too late: {}", indexes(&bench));
    bench.engine(&["resume"]).expect(0);
    assert_eq!(indexes(&bench), BUILT);
    let cleared = |event: &Event| matches!(event, Event::ClearedAway { what, .. } if what.len() == 1 && what[0].contains("index public.t_v is not valid"));
    assert_eq!(bench.journal().count(cleared), 1);
}

#[test]
fn what_fails_is_cleared_away_at_once_and_what_was_not_valid_before_is_left() {
    let bench = Bench::mini("alone_fails", "");
    bench.psql(bench.production(), "INSERT INTO t VALUES (6, 'v')");
    let unique = "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v)";
    plan(&bench, "transaction = false\nalters = [\"t\"]\ndone_when = \"named = 1\"", unique, "");
    bench.mini_apply(&["--until", "base"]).expect(0);
    let old =
        "CREATE INDEX t_old ON t (id, v); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_old'::regclass";
    bench.psql(bench.clone_name(), old);
    bench.engine(&["resume"]).expect(40).says(&[
        "could not create unique index",
        "cleared away: index public.t_v is not valid",
        "statements before the one that failed stand",
    ]);
    assert_eq!(indexes(&bench), "t_old false, t_pkey true");
}

#[test]
fn what_is_altered_has_to_be_declared_and_what_is_done_is_not_sent() {
    let bench = Bench::mini("alone_alters", "");
    let undeclared = "transaction = false\nalters = [\"u\"]\ndone_when = \"named = 2\"";
    plan(&bench, undeclared, BUILD, "");
    bench.mini_apply(&[]).expect(42).says(&[
        "public.t_v",
        "not declared in `alters`",
        "what its statements did stands",
    ]);

    let bench = Bench::mini("alone_done", "CREATE INDEX t_v ON t (v); CREATE INDEX t_w ON t (v, id)");
    plan(&bench, KEYS, BUILD, "");
    bench.mini_apply(&[]).expect(0).says(&["already done, nothing was sent"]);
    assert_eq!(bench.journal().count(|e| matches!(e, Event::AttemptStarted { .. })), 0);
}

#[test]
fn a_partition_that_is_half_detached_is_detached() {
    let parts = "CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9); \
                 CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (9) TO (19); INSERT INTO p VALUES (1), (10)";
    let bench = Bench::mini("alone_detach", parts);
    let probe = "[probe.parts]\non = \"clone\"\nsql = \"SELECT count(*) FROM pg_inherits WHERE inhparent = 'public.p'::regclass\"\n";
    let stage = bench.mini_stage(
        "part",
        "\"base\"",
        "transaction = false\nalters = [\"p\", \"p2\"]\ndone_when = \"parts = 1\"",
        "ALTER TABLE p DETACH PARTITION p2 CONCURRENTLY",
        None,
    );
    bench.mini_plan(&format!("{probe}{stage}"));
    bench.mini_apply(&["--until", "base"]).expect(0);
    let old = bench.session(bench.clone_name(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM p;");
    let engine = bench.start(&["resume"]);
    bench.wait_until(bench.clone_name(), "SELECT count(*) FROM pg_inherits WHERE inhdetachpending", "1");
    engine.kill();
    let building =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND state = 'active'", bench.clone_name());
    bench.wait_until("postgres", &building, "0");
    old.end();
    bench.engine(&["resume"]).expect(0);
    let left = "SELECT count(*), bool_or(inhdetachpending) FROM pg_inherits WHERE inhparent = 'public.p'::regclass";
    assert_eq!(bench.psql(bench.clone_name(), left), "1|f");
}

#[test]
fn a_rollback_drops_the_indexes_again_and_leaves_maintenance_alone() {
    let bench = Bench::mini("alone_back", "");
    let vacuum =
        bench.mini_stage("vacuum", "\"build\"", "transaction = false\ndone_when = \"pages > 0\"", "VACUUM t", None);
    let pages =
        "[probe.pages]\non = \"clone\"\nsql = \"SELECT relpages FROM pg_class WHERE oid = 'public.t'::regclass\"\n";
    plan(&bench, KEYS, BUILD, &format!("{pages}{vacuum}"));
    bench.mini_apply(&[]).expect(0);
    assert_eq!(indexes(&bench), BUILT);
    bench.engine(&["rollback", "latest"]).expect(0).says(&["undone", "the clone is equal to `base`"]);
    assert_eq!(indexes(&bench), "t_pkey true");
    bench.engine(&["resume"]).expect(0);
    assert_eq!(indexes(&bench), BUILT);
}

#[test]
fn who_keeps_a_concurrent_build_waiting_is_named() {
    let bench = Bench::mini("alone_stalled", "");
    plan(&bench, KEYS, BUILD, "");
    bench.mini_apply(&["--until", "base"]).expect(0);
    let old = bench.session(bench.clone_name(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;");
    let mut engine = bench.start(&["resume"]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::Stalled { stage, .. } if stage == "build"));
    old.end();
    assert_eq!(engine.end(), Some(0));
    assert_eq!(indexes(&bench), BUILT);
}

/// REINDEX of a table builds the index of its TOAST table too. Nobody but a superuser may drop that one, unless he may use
/// the schema it is in.
#[test]
fn an_invalid_index_of_a_toast_table_is_dropped_or_said_to_be_left() {
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    for (name, allowed) in [("left", false), ("dropped", true)] {
        let bench = Bench::mini(&format!("alone_toast_{name}"), "");
        // A new index in its place: younger than every other one.
        let newest = "SELECT relname::text FROM pg_class WHERE relkind = 'i' AND relname LIKE '%\\\\_pkey' ORDER BY oid DESC LIMIT 1";
        let probe = format!("[probe.newest]\non = \"clone\"\nsql = \"{newest}\"\n");
        let keys = "transaction = false\ndone_when = \"newest = 't_pkey'\"";
        let sql = "REINDEX TABLE CONCURRENTLY t";
        let stage = bench.mini_stage("fresh", "\"base\"", keys, sql, None);
        bench.mini_plan(&format!("{probe}{stage}"));
        bench.mini_apply(&["--until", "base"]).expect(0);
        let clone = bench.clone_name();
        // Whatever order the clone's indexes were built in.
        bench.psql(clone, "CREATE TABLE later (id int CONSTRAINT later_pkey PRIMARY KEY)");
        if allowed {
            bench.psql(clone, "GRANT USAGE ON SCHEMA pg_toast TO PUBLIC");
        }
        let old = bench.session(clone, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;");
        let engine = bench.start(&["resume"]);
        bench.wait_until(clone, invalid, "2");
        bench.psql(clone, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'REINDEX TABLE%'");
        assert_eq!(engine.end(), Some(40));
        old.end();
        let words = "of the TOAST table of public.t is not valid";
        let drop = "DROP INDEX CONCURRENTLY IF EXISTS pg_toast.pg_toast_";
        let told = bench.engine(&["status"]).expect(0);
        let toast = |lines: &[String]| lines.iter().any(|line| line.contains(words) && line.contains(drop));
        let cleared = |event: &Event| {
            matches!(event, Event::ClearedAway { what, kept, .. }
            if toast(what) == allowed && toast(kept) != allowed && what.iter().any(|w| w.contains("public.t_pkey_ccnew")))
        };
        assert_eq!(bench.journal().count(cleared), 1, "{}", told.all());
        assert_eq!(bench.psql(clone, invalid), if allowed { "0" } else { "1" });
        let page = bench.engine(&["show", "latest", "fresh"]).expect(0).all();
        assert_eq!(page.contains("only a superuser may: DROP INDEX CONCURRENTLY"), !allowed, "{page}");
        let done = bench.engine(&["resume"]).expect(0);
        assert_eq!(done.all().contains("left: index pg_toast.pg_toast_"), !allowed, "{}", done.all());
    }
}
