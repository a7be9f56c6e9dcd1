//! What needs somebody else at work beside the engine.

use super::support::Bench;

const PLAN: &str = "[stage.s.reject.r]\nfile = \"mini/reject.sql\"\npermit = { id = 1, to = 99 }\n\
    refuse.taken = { with.id = 2, with.to = 3, error = \"23505\", constraint = \"t_pkey\" }\n";

/// The row that must be refused is locked by somebody, so that the constraint is never asked.
fn locked(name: &str, row: u32) -> i32 {
    let bench = Bench::mini(name, "");
    bench.write("templates/mini/reject.sql", "UPDATE t SET id = {{ to }} WHERE id = {{ id }};\n");
    let keys = format!("writes.u = 1\nlock_timeout = \"300ms\"\n{PLAN}");
    bench.mini_plan(&bench.mini_stage("s", "\"base\"", &keys, "INSERT INTO u VALUES (1, 'a')", None));
    bench.mini_apply(&["--until", "base"]).expect(0);
    let holder = bench.session(bench.clone_name(), &format!("BEGIN; SELECT FROM t WHERE id = {row} FOR UPDATE;"));
    let held = "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND mode = 'RowShareLock'";
    bench.wait_until(bench.clone_name(), held, "1");
    let outcome = bench.engine(&["resume"]);
    drop(holder);
    let code = outcome.code;
    if code != 0 {
        outcome.says(&["case `taken` of reject `r` could not be tried", "55P03", "behind pid", "engine resume"]);
    }
    code
}

#[test]
fn waiting_for_a_lock_is_no_refusal() {
    // Neither refused nor permitted: whoever comes again when nobody is in the way gets the answer.
    assert_eq!(locked("lock_lie", 2), 75);
    assert_eq!(locked("lock_honest", 4), 0);
}

/// Two more issues with their events, written by two sessions; the one that began first commits last.
const ISSUE: &str = "INSERT INTO gov_issues (issue_code, scan_code, scope_code, severity, opened_at)
    SELECT 'ISS-NAME', 'SCAN-LATE-NAME', scope_code, 'info', now() FROM gov_scopes ORDER BY ordinal LIMIT 1;
    INSERT INTO gov_events (event_type, issue_code, recorded_at) VALUES ('issue.opened', 'ISS-NAME', now());";

/// Runs the shipped worker while an event with a lower position is not committed yet. Answers how many were lost.
fn out_of_order(name: &str, worker: &str) -> String {
    let bench = Bench::new(name);
    let database = bench.production();
    bench.psql(
        database,
        "INSERT INTO gov_rulesets VALUES ('R', '{}');
         INSERT INTO gov_scan_runs SELECT 'SCAN-LATE-' || n, 'R', 100, now() FROM unnest(ARRAY['LOW', 'HIGH']) AS n;",
    );
    let mut low = bench.session(database, &format!("BEGIN; {}", ISSUE.replace("NAME", "LOW")));
    let written =
        "SELECT count(*) FROM pg_locks AS l WHERE l.relation = 'gov_events'::regclass AND l.mode = 'RowExclusiveLock'";
    bench.wait_until(database, written, "1");
    bench.psql(database, &ISSUE.replace("NAME", "HIGH"));

    let script = format!("SET engine.as_of = '2026-01-01Z'; BEGIN; {worker}; COMMIT;");
    let mut at_work = bench.session(database, "");
    at_work.send(&script);
    let over = "SELECT EXISTS (SELECT FROM gov_worker_cursors) OR EXISTS (SELECT FROM pg_locks
                WHERE relation = 'gov_events'::regclass AND NOT granted)";
    bench.wait_until(database, over, "t");
    low.send("COMMIT;");
    assert!(low.end() && at_work.end());
    // Whatever is left is for the next time.
    bench.psql(database, &script);
    bench.psql(database, "SELECT count(*) FROM gov_issues WHERE status = 'open' AND issue_code LIKE 'ISS-%'")
}

#[test]
fn the_shipped_worker_loses_no_event_that_commits_late() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/clone_a_to_g/e_worker.sql");
    let shipped = std::fs::read_to_string(path).expect("the lock");
    assert_eq!(out_of_order("late_shipped", &shipped), "0");
    let naive = shipped.replace("LOCK TABLE public.gov_events IN SHARE MODE;", "");
    assert_ne!(naive, shipped);
    assert_eq!(out_of_order("late_naive", &naive), "1", "what commits late is behind the cursor");
}

const SERIAL: &str =
    "CREATE TABLE d (id serial PRIMARY KEY, v text); INSERT INTO d (v) SELECT 'x' FROM generate_series(1, 50);
    GRANT SELECT ON SEQUENCE d_id_seq TO engine_reader";
const NEXT_IS_FREE: &str = "SELECT nextval('d_id_seq') > (SELECT max(id) FROM d)";
const DRAWS: &str = "INSERT INTO d (v) SELECT 'b' FROM generate_series(1, 10)";

#[test]
fn values_that_another_stage_drew_are_not_given_out_again() {
    // Beside the second run of a proof, where the target lets writers run side by side.
    let bench = Bench::mini("beside", SERIAL);
    let sleepy = "SELECT pg_sleep(1.5);\nINSERT INTO u VALUES (1, 'a') ON CONFLICT DO NOTHING";
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1\nprove = [\"idempotent\"]", sleepy, None);
    let b = bench.mini_stage("b", "\"base\"", "writes.d = 10", &format!("SELECT pg_sleep(2.2);\n{DRAWS}"), None);
    bench.mini_plan_with("", "parallel = true", &format!("{a}{b}"));
    bench.mini_apply(&["--jobs", "4"]).expect(0);
    assert_eq!(bench.psql(bench.clone_name(), NEXT_IS_FREE), "t");

    // Between a proof that failed and the resume that repeats it.
    let bench = Bench::mini("between", SERIAL);
    let twice = "INSERT INTO u SELECT coalesce(max(id), 0) + 1, 'a' FROM u";
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1\nprove = [\"idempotent\"]", twice, None);
    let b = bench.mini_stage("b", "\"base\"", "writes.d = 10", DRAWS, None);
    bench.mini_plan(&format!("{a}{b}"));
    bench.mini_apply(&[]).expect(44);
    bench.engine(&["resume"]).expect(44);
    assert_eq!(bench.journal().status("b"), engine::event::Status::Done);
    assert_eq!(bench.psql(bench.clone_name(), NEXT_IS_FREE), "t");
}

#[test]
fn a_proof_keeps_nobody_from_writing_what_it_only_reads() {
    let bench = Bench::mini("reads", "");
    let reads = "SELECT pg_sleep(1.5);\nINSERT INTO u SELECT id, v FROM t ORDER BY id LIMIT 1 ON CONFLICT DO NOTHING";
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1\nprove = [\"idempotent\"]", reads, None);
    let writes = "SELECT pg_sleep(2.2);\nUPDATE t SET v = 'w' WHERE id > 1";
    let b = bench.mini_stage("b", "\"base\"", "writes.t = 4\nlock_timeout = \"300ms\"", writes, None);
    bench.mini_plan_with("", "parallel = true", &format!("{a}{b}"));
    bench.mini_apply(&["--jobs", "4"]).expect(0);
}

#[test]
fn traffic_that_writes_nothing_shows_nothing() {
    let bench = Bench::mini("quiet", "");
    bench.write("templates/mini/quiet.sql", "SELECT 1;\n");
    let stage =
        bench.mini_stage("s", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1, 'a')", Some("DELETE FROM u"));
    let rehearsal = super::to_the_rehearsal("\"s\"", "traffic = \"mini/quiet.sql\"");
    bench.mini_plan(&format!("{stage}{rehearsal}"));
    bench.mini_apply(&[]).expect(44).says(&[
        "wrote nothing",
        "templates/mini/quiet.sql, 1 statements",
        "the copy was dropped",
    ]);
}
