//! What the proofs of a stage read: nothing of a table that the stage does not touch, however big it is.

mod support;

use support::Bench;

/// Scans of the sample's big table, in a clone whose run has ended: sessions tell the statistics when they end.
const SCANS: &str =
    "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_all_tables WHERE relid = 'audit_trail'::regclass";

#[test]
fn proofs_do_not_read_what_a_stage_does_not_touch() {
    let bench = Bench::new("unread");
    let scans = |until: &str| {
        bench.apply(&["--replace", "--until", until]).expect(0);
        bench.psql(bench.clone_name(), SCANS).parse::<u32>().expect("a number")
    };
    let made_and_compared = scans("baseline");
    assert!(made_and_compared > 0, "the statistics count");
    // Every writing stage with all of its proofs.
    assert_eq!(scans("e_worker"), made_and_compared);
}

/// 10 MB in 20 000 rows; a function that changes one in a savepoint of its own, and takes that back.
const BIG: &str = "CREATE TABLE big (id int PRIMARY KEY, v int, pad text);
    INSERT INTO big SELECT n, n, repeat('x', 500) FROM generate_series(1, 20000) AS n;
    CREATE FUNCTION tried() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        UPDATE public.big SET v = -v WHERE id = 7; RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN NULL; END $$";

const READS: &str = "SELECT seq_scan FROM pg_stat_all_tables WHERE relid = 'big'::regclass";

/// Runs a stage over 30 rows of the big table: how often the stage and its proofs went through it, its page, its code.
fn over_30_rows(name: &str, more: &str, sql: &str, rollback: &str) -> (u32, String, i32) {
    let bench = Bench::mini(name, BIG);
    let keys = format!("writes.big = 31\nprove = [\"idempotent\", \"reversible\"]\n{more}");
    bench.mini_plan(&bench.mini_stage("s", "\"base\"", &keys, sql, Some(rollback)));
    bench.mini_apply(&["--until", "base"]).expect(0);
    let reads = || bench.psql(bench.clone_name(), READS).parse::<u32>().expect("a number");
    let before = reads();
    let outcome = bench.engine(&["resume"]);
    bench.engine(&["verify", "latest"]).expect(0);
    (reads() - before, bench.engine(&["show", "latest", "s"]).stdout, outcome.code)
}

const FORTH: &str = "UPDATE big SET v = -id WHERE id BETWEEN 101 AND 130";
const BACK: &str = "UPDATE big SET v = id WHERE id BETWEEN 101 AND 130";

#[test]
fn proofs_of_a_stage_that_touches_little_of_a_big_table_read_it_once() {
    let (reads, page, code) = over_30_rows("once", "", FORTH, BACK);
    assert_eq!(code, 0, "{page}");
    let follows =
        "public.big, followed row by row after the second run: 30 rows taken away, 30 added, the same content";
    assert!(page.contains(follows), "{page}");
    assert!(page.contains("content of public.big is equal after the rollback: 20000 rows"), "{page}");
    // Moving its first rows looks at the first pages, which counts as a scan too.
    assert!(reads <= 2, "{reads} scans\n{page}");
}

#[test]
fn a_lie_about_a_big_table_is_told_without_reading_it_again() {
    let lies = [
        // Another row than it changed; what was there before is not what was there before.
        ("lie_back", FORTH, "UPDATE big SET v = id + 1 WHERE id BETWEEN 101 AND 130", "differs after the rollback"),
        ("lie_twice", "UPDATE big SET v = v + 1 WHERE id BETWEEN 101 AND 130", BACK, "added, other content"),
    ];
    for (name, sql, rollback, says) in lies {
        let (_, page, code) = over_30_rows(name, "", sql, rollback);
        assert_eq!(code, 44, "{page}");
        assert!(page.contains(says), "{says}\n{page}");
    }
}

#[test]
fn what_goes_past_the_trigger_is_read() {
    // One attempt more than the trigger could keep: the counters tell.
    let (reads, page, code) = over_30_rows("attempt", "", &format!("{FORTH};\nSELECT tried()"), BACK);
    assert_eq!(code, 0, "{page}");
    assert!(!page.contains("followed row by row after the second run"), "{page}");
    assert!(reads > 2, "{reads} scans");
}

#[test]
fn a_big_table_that_an_earlier_stage_wrote_is_read_before() {
    let bench = Bench::mini("earlier", BIG);
    let keys = "writes.big = 30\nprove = [\"reversible\"]";
    let one = bench.mini_stage("one", "\"base\"", keys, FORTH, Some(BACK));
    let sql = "UPDATE big SET v = 0 WHERE id BETWEEN 111 AND 140";
    let back = "UPDATE big SET v = CASE WHEN id <= 130 THEN -id ELSE id END WHERE id BETWEEN 111 AND 140";
    let two = bench.mini_stage("two", "\"one\"", keys, sql, Some(back));
    bench.mini_plan(&format!("{one}{two}"));
    bench.mini_apply(&[]).expect(0);
}
