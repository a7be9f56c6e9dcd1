//! `engine rollback` over a stage with `transaction = false` that was stopped half way: its statements stand once they are
//! answered, so it is not passed over. Its rollback takes them back; without one, what stands is named (50).

mod support;

use engine::event::{Event, RunState, Status};
use std::os::unix::process::ExitStatusExt;
use support::{Bench, MINI, undone};

const PROBE: &str =
    "[probe.named]\non = \"clone\"\nsql = \"SELECT count(*) FROM pg_class WHERE relname IN ('t_v', 't_w')\"\n";

const KEYS: &str = "transaction = false\nalters = [\"t\"]\ndone_when = \"named = 2\"\nguard.none = \"named = 0\"";

const GOOD: &str = "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v);\n\
                    CREATE INDEX CONCURRENTLY IF NOT EXISTS t_w ON t (v, id)";

/// The second statement fails: there are several rows.
const HALF: &str = "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v);\n\
                    CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_w ON t ((id - id))";

const BACK: &str = "DROP INDEX CONCURRENTLY IF EXISTS t_w;\nDROP INDEX CONCURRENTLY IF EXISTS t_v";

/// `a` writes two rows, `build` comes behind it.
fn bench(name: &str, tables: &str, keys: &str, sql: &str, back: Option<&str>) -> Bench {
    let bench = Bench::mini(name, tables);
    let rows = "INSERT INTO u VALUES (1, 'a'), (2, 'b')";
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 2", rows, Some("DELETE FROM u WHERE id IN (1, 2)"));
    let build = bench.mini_stage("build", "\"a\"", keys, sql, back);
    bench.mini_plan(&format!("{PROBE}{a}{build}"));
    bench
}

/// Indexes of `t`, and the rows of `u`.
fn there(bench: &Bench) -> String {
    let sql = "SELECT string_agg(c.relname || ' ' || i.indisvalid, ', ' ORDER BY c.relname), (SELECT count(*) FROM u) \
               FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'public.t'::regclass";
    bench.psql(bench.clone_name(), sql)
}

const BEFORE: &str = "t_pkey true|0";
const BUILT: &str = "t_pkey true, t_v true, t_w true|2";

fn crash(bench: &Bench, verb: &[&str], at: &str) {
    let out = bench.command(verb).env("ENGINE_CRASH_AT", at).output().expect("the engine");
    assert_eq!(out.status.signal(), Some(9), "{at}: {}", String::from_utf8_lossy(&out.stderr));
    bench.wait_for_silence();
}

/// Waits until the statement of a killed engine has ended too.
fn still(bench: &Bench) {
    let active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname";
    bench.wait_until("postgres", &format!("{active} = '{}'", bench.clone_name()), "0");
}

#[test]
fn what_failed_half_way_is_taken_back_first_and_can_be_run_again() {
    let bench = bench("aback_fails", "", KEYS, HALF, Some(BACK));
    bench.mini_apply(&[]).expect(40).says(&["could not create unique index"]);
    assert_eq!(there(&bench), "t_pkey true, t_v true|2");
    bench.engine(&["rollback", "latest", "--to", "a"]).expect(0).says(&["undone build", "done in part is undone"]);
    assert_eq!(there(&bench), "t_pkey true|2");
    bench.engine(&["rollback", "latest"]).expect(0).says(&["1 stage undone, the clone is equal to `base`"]);
    assert_eq!(undone(&bench), ["build", "a"]);
    assert_eq!(there(&bench), BEFORE);
    bench.engine(&["rollback", "latest"]).expect(0).says(&["nothing was left to undo"]);
    bench.write("templates/mini/build.sql", &format!("{GOOD};\n"));
    bench.engine(&["resume", "--accept-changes"]).expect(0);
    assert_eq!(there(&bench), BUILT);
    assert_eq!(bench.journal().status("build"), Status::Done);
    bench.engine(&["rollback", "latest"]).expect(0).says(&["2 stages undone, the clone is equal to `base`"]);
    bench.engine(&["verify", "latest"]).expect(0);
}

#[test]
fn killed_forward_and_killed_on_the_way_back_nothing_of_it_stands() {
    // Where forward dies, where the way back dies, and what goes on with it.
    for (number, (forth, back, again)) in [
        ("statement/executed#2", None, "rollback"),
        ("statement/executed#3", Some("statement/executed#1"), "rollback"),
        ("alone/sent#1", Some("journal/undo_started/build/synced#1"), "resume"),
        ("journal/measured/build/synced#1", Some("journal/undo_committed/build/synced#1"), "rollback"),
        ("alone/sent#1", Some("journal/undone/build/before#1"), "resume"),
        ("alone/begin#1", Some("journal/undone/build/before#1"), "rollback"),
    ]
    .into_iter()
    .enumerate()
    {
        let bench = bench(&format!("aback_kill_{number}"), "", KEYS, GOOD, Some(BACK));
        crash(&bench, &["apply", MINI], forth);
        if let Some(back) = back {
            crash(&bench, &["rollback", "latest"], back);
        }
        bench.engine(&[again, "latest"]).expect(0);
        if again == "rollback" {
            assert_eq!(there(&bench), BEFORE, "{forth} {back:?}");
            assert_eq!(undone(&bench), ["build", "a"], "{forth} {back:?}");
            bench.engine(&["resume"]).expect(0);
        }
        assert_eq!(there(&bench), BUILT, "{forth} {back:?}");
    }
}

/// Its rollback was under way, and the author took it out of the plan: what stands is not called undone.
#[test]
fn a_rollback_that_is_gone_from_the_plan_has_undone_nothing() {
    let bench = bench("aback_gone", "", KEYS, GOOD, Some(BACK));
    crash(&bench, &["apply", MINI], "alone/sent#1");
    crash(&bench, &["rollback", "latest"], "journal/undo_started/build/synced#1");
    let stood = there(&bench);
    assert_ne!(stood, BEFORE);
    let plan = bench.read(MINI);
    bench.write(MINI, &plan.replace("rollback = \"mini/build.rollback.sql\"", "no_rollback = \"changed my mind\""));
    bench.engine(&["resume", "--accept-changes"]).expect(50).says(&["build", "t_v"]);
    assert_eq!(there(&bench), stood);
    assert!(undone(&bench).is_empty());
    bench.write(MINI, &plan);
    bench.engine(&["resume", "--accept-changes"]).expect(0);
    assert_eq!(there(&bench), BUILT);
}

#[test]
fn without_a_rollback_what_stands_is_named_and_what_does_not_is_passed_over() {
    let bench = bench("aback_stuck", "", KEYS, HALF, None);
    bench.mini_apply(&[]).expect(40);
    let run = bench.run_id();
    for _ in 0..2 {
        bench.engine(&["rollback", "latest"]).expect(50).says(&[
            "`build` is in no transaction, was stopped half way, and has no rollback",
            "stands: index public.t_v",
            "nothing was undone",
            "not undone: `build`, `a`",
            "templates/mini/build.sql",
            &format!("engine resume {run}"),
            &format!("engine drop {run}"),
        ]);
        assert_eq!(there(&bench), "t_pkey true, t_v true|2");
    }
    assert!(RunState::of(&bench.journal().events).stage("build").stuck.is_some());
    bench.engine(&["status"]).expect(0).says(&["not undone: stage `build` is in no transaction"]);
    bench.psql(bench.clone_name(), "DROP INDEX t_v");
    bench
        .engine(&["rollback", "latest"])
        .expect(0)
        .says(&["nothing stands of what it had begun", "2 stages undone, the clone is equal to `base`"]);
    bench.write("templates/mini/build.sql", &format!("{GOOD};\n"));
    bench.engine(&["resume", "--accept-changes"]).expect(0);
    assert_eq!(there(&bench), BUILT);
    assert_eq!(RunState::of(&bench.journal().events).stage("build").stuck, None);
}

#[test]
fn a_partition_that_is_half_detached_is_named_and_not_detached() {
    let parts = "CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9); \
                 CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (9) TO (19); INSERT INTO p VALUES (1), (10)";
    let keys = "transaction = false\nalters = [\"p\", \"p2\"]\ndone_when = \"named = 9\"";
    let detach = "ALTER TABLE p DETACH PARTITION p2 CONCURRENTLY";
    let bench = bench("aback_detach", parts, keys, detach, None);
    bench.mini_apply(&["--until", "a"]).expect(0);
    let old = bench.session(bench.clone_name(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM p;");
    let engine = bench.start(&["resume"]);
    let pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending";
    bench.wait_until(bench.clone_name(), pending, "1");
    engine.kill();
    still(&bench);
    old.end();
    bench.engine(&["rollback", "latest"]).expect(50).says(&["stands: partition public.p2 is half detached"]);
    assert_eq!(bench.psql(bench.clone_name(), pending), "1", "it was detached on the way back");
}

#[test]
fn an_index_that_a_rollback_left_invalid_is_built_anew() {
    let index = "CREATE INDEX t_x ON t (v, id, v)";
    let keys = "transaction = false\nalters = [\"t\"]\ndone_when = \"named = 0\"\nguard.none = \"named = 1\"";
    let build = "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_x ON t (v, id, v)";
    let bench = bench("aback_invalid", index, keys, "DROP INDEX CONCURRENTLY IF EXISTS t_x", Some(build));
    bench.edit(MINI, "'t_v', 't_w'", "'t_x'");
    bench.mini_apply(&[]).expect(0);
    assert_eq!(there(&bench), "t_pkey true|2");
    let old = bench.session(bench.clone_name(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;");
    let engine = bench.start(&["rollback", "latest"]);
    bench.wait_until(bench.clone_name(), "SELECT count(*) FROM pg_index WHERE NOT indisvalid", "1");
    engine.kill();
    still(&bench);
    old.end();
    assert_eq!(there(&bench), "t_pkey true, t_x false|2", "it came too late");
    bench.engine(&["rollback", "latest"]).expect(0).says(&["2 stages undone, the clone is equal to `base`"]);
    assert_eq!(there(&bench), "t_pkey true, t_x true|0");
    let cleared =
        |event: &Event| matches!(event, Event::ClearedAway { what, .. } if what[0].contains("public.t_x is not valid"));
    assert_eq!(bench.journal().count(cleared), 1);
}

#[test]
fn a_rollback_is_held_to_what_its_stage_declares_and_to_never() {
    for (name, table, index, said) in [
        ("bounds", "u", "u_more", "index public.u_more  changed, not declared in `alters`"),
        ("never", "gov.approvals", "gov.more", "gov.approvals  definition, and the target says never"),
    ] {
        let (_, bare) = index.split_once('.').unwrap_or(("", index));
        let back = format!("{BACK};\nDROP INDEX CONCURRENTLY IF EXISTS {index}");
        let tables = format!("CREATE INDEX {bare} ON {table} (id)");
        let bench = bench(&format!("aback_{name}"), &tables, KEYS, GOOD, Some(&back));
        bench.mini_apply(&[]).expect(0);
        let stands = "what its statements did stands";
        bench.engine(&["rollback", "latest"]).expect(42).says(&[said, stands, "not undone: `build`, `a`"]);
        assert!(undone(&bench).is_empty(), "{name}");
    }
}

/// Refused before anything is sent it is not under way, or whoever goes on would go back first.
#[test]
fn a_rollback_that_was_refused_is_not_begun() {
    let bench = bench("aback_refused", "", KEYS, GOOD, Some(BACK));
    bench.mini_apply(&[]).expect(0);
    let oid = || bench.psql(bench.clone_name(), "SELECT 't_v'::regclass::oid");
    let built = oid();
    let lock = "SELECT pg_advisory_lock(hashtextextended('engine: a stage or a packet is at work here', 0));";
    let holder = bench.session(bench.clone_name(), lock);
    let said = bench.engine(&["rollback", "latest"]).expect(60);
    said.says(&["another session runs a stage on `clone`", "held by", "nothing was undone"]);
    drop(holder);
    bench.engine(&["resume"]).expect(0);
    assert_eq!((oid(), there(&bench).as_str()), (built, BUILT));
}

/// What nothing declares cannot be told from what others do; a rollback that is given says what there is to undo.
#[test]
fn a_rollback_is_sent_also_where_nothing_is_declared() {
    let keys = KEYS.replace("alters = [\"t\"]\n", "");
    let bench = bench("aback_parallel", "", &keys, GOOD, Some(BACK));
    bench.edit(MINI, "[probe.oks]", "parallel = true\n[probe.oks]");
    bench.mini_apply(&[]).expect(0);
    assert_eq!(there(&bench), BUILT);
    bench.engine(&["rollback", "latest"]).expect(0).says(&["2 stages undone"]);
    assert_eq!(there(&bench), BEFORE);
}

#[test]
fn what_stands_of_a_breach_without_a_rollback_is_named() {
    let bench = bench("aback_breach", "", &KEYS.replace("alters = [\"t\"]\n", ""), GOOD, None);
    bench.mini_apply(&[]).expect(42).says(&["index public.t_v  changed, and `alters` is empty"]);
    let stands = ["stands: index public.t_v", "stands: index public.t_w", "nothing was undone"];
    bench.engine(&["rollback", "latest", "--to", "a"]).expect(50).says(&stands);
    assert_eq!(there(&bench), BUILT);
}
