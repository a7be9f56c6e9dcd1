//! `batch`: the template again and again, each time a transaction of its own, each committed exactly once.

mod support;

use engine::event::{Event, RunState, Status};
use std::os::unix::process::ExitStatusExt;
use support::Bench;

const UNTIL: &str = "[probe.unfilled]\non = \"clone\"\nsql = \"SELECT count(*) FROM public.b WHERE v IS NULL\"\n";

const FILL: &str = "UPDATE b SET v = 'x' || id WHERE id IN (SELECT id FROM b WHERE v IS NULL ORDER BY id LIMIT 10);\n\
                    INSERT INTO log (n) SELECT count(*) FROM b WHERE v IS NOT NULL";

const BACK: &str = "UPDATE b SET v = NULL;\nDELETE FROM log";

/// 95 rows to fill, ten at a time; `log` has a row of its own for each batch, numbered by a sequence.
fn bench(name: &str) -> Bench {
    let tables = "CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO b SELECT k FROM generate_series(1, 95) AS k; \
                  CREATE TABLE log (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int)";
    let bench = Bench::mini(name, tables);
    bench.psql(bench.production(), "GRANT SELECT ON b, log, log_id_seq TO engine_reader");
    bench
}

fn plan(bench: &Bench, batch: &str, more: &str, sql: &str) {
    let keys = format!("batch = {{ {batch} }}\n{more}");
    let stage = bench.mini_stage("fill", "\"base\"", &keys, sql, Some(BACK));
    bench.mini_plan(&format!("{UNTIL}{stage}"));
}

const BATCH: &str = "until = \"unfilled = 0\", rows = 11, most = 10";
const WRITES: &str = "writes.b = 95\nwrites.log = 10\nguard.empty = \"unfilled = 95\"\n\
                      ensure.filled = \"before.unfilled = 95 AND unfilled = 0 AND wrote.b = 95\"";

fn batches(bench: &Bench) -> Vec<u32> {
    let number = |event: &Event| match event {
        Event::BatchCommitted { batch, .. } => Some(*batch),
        _ => None,
    };
    bench.journal().events.iter().filter_map(number).collect()
}

/// Every batch once, each row of the log once, and no number of the sequence left out or given twice.
fn filled_once(bench: &Bench) {
    assert_eq!(batches(bench), (1..=10).collect::<Vec<u32>>());
    let found = bench.psql(
        bench.clone_name(),
        "SELECT (SELECT count(*) FROM b WHERE v = 'x' || id), (SELECT string_agg(id || ':' || n, ' ' ORDER BY id) FROM log)",
    );
    assert_eq!(found, "95|1:10 2:20 3:30 4:40 5:50 6:60 7:70 8:80 9:90 10:95");
    assert_eq!(bench.psql(bench.clone_name(), "SELECT nextval('log_id_seq')"), "11");
}

#[test]
fn every_batch_is_a_transaction_of_its_own_until_there_are_enough() {
    let bench = bench("batch_all");
    plan(&bench, BATCH, &format!("{WRITES}\nprove = [\"idempotent\"]"), FILL);
    // The log makes each run another: idempotent is what it is not.
    bench.mini_apply(&[]).expect(44).says(&["not idempotent"]);
    filled_once(&bench);

    let bench = self::bench("batch_proved");
    let rows = "UPDATE b SET v = 'x' || id WHERE id IN (SELECT id FROM b WHERE v IS NULL ORDER BY id LIMIT 10)";
    let writes = "writes.b = 95\nguard.empty = \"unfilled = 95\"\nensure.filled = \"wrote.b = 95 AND unfilled = 0\"";
    plan(&bench, BATCH, &format!("{writes}\nprove = [\"idempotent\"]"), rows);
    bench.mini_apply(&[]).expect(0).says(&["95 -> 0", "wrote 95 of 95 in 10 batches", "idempotent"]);
    let xids: std::collections::BTreeSet<Option<String>> = bench
        .journal()
        .events
        .iter()
        .filter_map(|event| match event {
            Event::BatchCommitted { xid, .. } => Some(xid.clone()),
            _ => None,
        })
        .collect();
    assert_eq!((xids.len(), xids.contains(&None)), (10, false), "each has a transaction id of its own");
}

#[test]
fn killed_between_and_within_batches_it_goes_on_with_the_next() {
    for (number, at) in [
        "commit/fill/xid#3",
        "commit/fill/flushed#4",
        "commit/answered#2",
        "batch/committed#7",
        "statement/executed#5",
        "journal/batch_committed/fill/before#4",
        "journal/batch_committed/fill/synced#10",
        "journal/commit_intended/fill/synced#1",
        "journal/stage_committed/fill/before#1",
    ]
    .into_iter()
    .enumerate()
    {
        let bench = bench(&format!("batch_kill_{number}"));
        plan(&bench, BATCH, WRITES, FILL);
        let status = bench
            .command(&["apply", support::MINI])
            .env("ENGINE_CRASH_AT", at)
            .stderr(std::process::Stdio::null())
            .status()
            .expect("the engine");
        assert_eq!(status.signal(), Some(9), "{at} was not reached");
        bench.engine(&["resume"]).expect(0).says(&["wrote 105 of 105 in 10 batches"]);
        filled_once(&bench);
    }
}

#[test]
fn a_batch_that_changes_nothing_fails_and_what_was_done_before_stays() {
    let bench = bench("batch_nothing");
    let some =
        "UPDATE b SET v = 'x' || id WHERE id IN (SELECT id FROM b WHERE v IS NULL AND id <= 20 ORDER BY id LIMIT 10)";
    plan(&bench, BATCH, "writes.b = 95", some);
    bench.mini_apply(&[]).expect(40).says(&[
        "a batch of stage `fill` changed nothing",
        "unfilled = 0",
        "2 batches of `fill` (20 row changes) are committed and stay",
    ]);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM b WHERE v IS NOT NULL"), "20");
    // Corrected, it goes on with the third.
    let rest = "UPDATE b SET v = 'x' || id WHERE id IN (SELECT id FROM b WHERE v IS NULL ORDER BY id LIMIT 10)";
    bench.write("templates/mini/fill.sql", &format!("{rest};\n"));
    bench.engine(&["resume", "--accept-changes"]).expect(0).says(&["in 10 batches"]);
    assert_eq!(batches(&bench), (1..=10).collect::<Vec<u32>>());
}

#[test]
fn rows_bounds_a_batch_writes_all_of_them_and_most_their_number() {
    for (name, batch, writes, says) in [
        ("rows", "until = \"unfilled = 0\", rows = 10, most = 10", WRITES, "11 row changes, `rows` allows 10"),
        ("writes", BATCH, "writes.b = 45\nwrites.log = 10", "public.b  50 of 45"),
        ("most", "until = \"unfilled = 0\", rows = 11, most = 4", WRITES, "is not done after 4 batches"),
    ] {
        let bench = bench(&format!("batch_{name}"));
        plan(&bench, batch, writes, FILL);
        let code = if name == "most" { 40 } else { 42 };
        bench.mini_apply(&[]).expect(code).says(&[says]);
        let committed = batches(&bench).len();
        assert_eq!(committed, 4 * usize::from(name != "rows"), "{name}");
        assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM log"), committed.to_string(), "{name}");
        // What the batch that failed drew from the sequence is put back.
        assert_eq!(
            bench.psql(bench.clone_name(), "SELECT nextval('log_id_seq')"),
            (committed + 1).to_string(),
            "{name}: a number was lost"
        );
    }
}

#[test]
fn ensures_speak_of_all_batches_and_nothing_is_sent_when_there_are_enough() {
    let bench = bench("batch_ensure");
    plan(&bench, BATCH, "writes.b = 95\nwrites.log = 10\nensure.less = \"wrote.b = 94\"", FILL);
    bench.mini_apply(&[]).expect(41).says(&["wrote.b is 95", "10 batches of `fill` (105 row changes) are committed"]);

    let bench = self::bench("batch_enough");
    plan(&bench, "until = \"unfilled >= 0\", rows = 11, most = 10", "writes.b = 95\nwrites.log = 10", FILL);
    bench.mini_apply(&[]).expect(0).says(&["wrote 0 of 105 in 0 batches"]);
    assert_eq!(batches(&bench), [0u32; 0]);
    let state = RunState::of(&bench.journal().events);
    assert_eq!(state.stage("fill").status, Status::Done);
}

#[test]
fn the_rehearsal_goes_back_over_all_batches_and_forth_one_by_one() {
    let bench = bench("batch_rehearsed");
    let keys = format!("batch = {{ {BATCH} }}\n{WRITES}");
    let stage = bench.mini_stage("fill", "\"base\"", &keys, FILL, Some(BACK));
    let rehearsal = support::to_the_rehearsal("\"fill\"", "");
    bench.mini_plan(&format!("{UNTIL}{stage}{rehearsal}"));
    bench.mini_apply(&[]).expect(0).says(&["1 stages back to the baseline, forward to the same content"]);
    filled_once(&bench);
}

/// The rehearsal ends in the same content, on another way: in the copy a batch is larger, or writes rows again.
#[test]
fn the_rehearsal_holds_each_batch_and_all_of_them_together() {
    let copy = "current_database() LIKE 'engine_%_copy'";
    let large = format!(
        "UPDATE b SET v = 'x' || id WHERE id IN (SELECT id FROM b WHERE v IS NULL ORDER BY id LIMIT \
         (CASE WHEN {copy} THEN 12 ELSE 10 END))"
    );
    let again = format!(
        "UPDATE b SET v = 'x' || id WHERE id IN (SELECT id FROM b WHERE v IS NULL ORDER BY id LIMIT 10) OR id = 1 AND {copy}"
    );
    // Of nothing but what a batch may not do there is no trace in the content: it would pass.
    let none = format!(
        "UPDATE b SET v = 'x' || id WHERE NOT {copy} AND id IN (SELECT id FROM b WHERE v IS NULL ORDER BY id LIMIT 10)"
    );
    for (name, sql, exit, says) in [
        ("large", large, 42, ["a batch of stage `fill` changed more than it may", "12 row changes, `rows` allows 11"]),
        ("again", again, 42, ["public.b", "98 of 95"]),
        ("none", none, 44, ["a batch of stage `fill` changed nothing", "`until` is still false"]),
    ] {
        let bench = bench(&format!("batch_held_{name}"));
        let keys = format!("batch = {{ {BATCH} }}\nwrites.b = 95");
        let stage = bench.mini_stage("fill", "\"base\"", &keys, &sql, Some("UPDATE b SET v = NULL"));
        let rehearsal = support::to_the_rehearsal("\"fill\"", "");
        bench.mini_plan(&format!("{UNTIL}{stage}{rehearsal}"));
        let told = bench.mini_apply(&[]).expect(exit);
        told.says(&["forward again of `fill` in the rehearsal", "the copy was dropped"]).says(&says);
        assert_eq!(batches(&bench).len(), 10, "{name}: on the clone it was another");
    }
}

#[test]
fn a_rollback_goes_back_over_all_batches_also_over_those_of_a_stage_that_failed() {
    let bench = bench("batch_back");
    plan(&bench, BATCH, WRITES, FILL);
    bench.mini_apply(&[]).expect(0);
    let untouched = "SELECT (SELECT count(*) FROM b WHERE v IS NOT NULL), (SELECT count(*) FROM log)";
    bench.engine(&["rollback", "latest"]).expect(0).says(&["1 stage undone", "the clone is equal to `base`"]);
    assert_eq!(bench.psql(bench.clone_name(), untouched), "0|0");
    bench.engine(&["resume"]).expect(0);
    assert_eq!(bench.psql(bench.clone_name(), untouched), "95|10");
    assert_eq!(bench.psql(bench.clone_name(), "SELECT max(id) FROM log"), "10", "numbers were lost on the way");

    let bench = self::bench("batch_back_failed");
    plan(&bench, "until = \"unfilled = 0\", rows = 11, most = 4", WRITES, FILL);
    bench.mini_apply(&[]).expect(40);
    assert_eq!(bench.psql(bench.clone_name(), untouched), "40|4");
    bench.engine(&["rollback", "latest"]).expect(0).says(&["1 stage undone", "the clone is equal to `base`"]);
    assert_eq!(bench.psql(bench.clone_name(), untouched), "0|0");
    let plan = bench.read(support::MINI).replace("most = 4", "most = 10");
    bench.write(support::MINI, &plan);
    bench.engine(&["resume", "--accept-changes"]).expect(0).says(&["in 10 batches"]);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT max(id) FROM log"), "10");
}

/// Part of it came before, part of it after: it stands as a whole or not at all.
#[test]
fn there_is_no_way_back_to_a_stage_that_another_one_lies_astride_of() {
    let bench = bench("batch_behind");
    let keys = format!("batch = {{ {} }}\n{WRITES}", BATCH.replace("most = 10", "most = 4"));
    let fill = bench.mini_stage("fill", "\"base\"", &keys, FILL, Some(BACK));
    let b = bench.mini_stage("b", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1, 'b')", Some("DELETE FROM u"));
    bench.mini_plan(&format!("{UNTIL}{fill}{b}"));
    bench.mini_apply(&["--until", "fill"]).expect(40).says(&["is not done after 4 batches"]);
    bench.engine(&["resume", "--until", "b"]).expect(0);
    bench.edit(support::MINI, "most = 4", "most = 10");
    bench.engine(&["resume", "--accept-changes"]).expect(0).says(&["in 10 batches"]);
    let astride = ["`fill` began before it, and committed batches after it", "--to base", "nothing was changed"];
    bench.engine(&["rollback", "latest", "--to", "b"]).expect(2).says(&astride);
    bench.engine(&["rollback", "latest", "--to", "base"]).expect(0).says(&["2 stages undone"]);
}
