//! Shared journals that moved or were brought back from before; runs of another machine, or without a line; and what a
//! machine is told that has nothing of a run.

mod support;

use support::{Bench, MINI, server};

const OF_B: &str = "INSERT INTO u VALUES (2, 'b')";

/// `a` writes a row; `b` comes after it and is what it is given.
fn planned(name: &str, of_b: &str) -> Bench {
    let bench = Bench::mini(name, "");
    let (more, of_a) = ("writes.u = 1", "INSERT INTO u VALUES (1, 'a')");
    let a = bench.mini_stage("a", "\"base\"", more, of_a, Some("DELETE FROM u WHERE id = 1"));
    let b = bench.mini_stage("b", "\"a\"", more, of_b, Some("DELETE FROM u WHERE id = 2"));
    bench.mini_plan(&format!("{a}{b}"));
    bench
}

fn team(name: &str, of_b: &str) -> Bench {
    let mut bench = planned(name, of_b);
    bench.keep_runs_on(server());
    bench
}

fn rows(bench: &Bench) -> String {
    bench.psql(bench.clone_name(), "SELECT count(*) FROM u")
}

/// A journal that lacks lines knows no better what was given: that it moved is told first, and accepted by itself.
#[test]
fn whoever_accepts_changes_does_not_accept_another_journal_with_them() {
    let one = team("flags", "SELECT 1 / 0");
    one.mini_apply(&[]).expect(40);
    let run = one.run_id();
    one.tamper("UPDATE engine_journal.line SET server = split_part(server, '/', 1) || '/000000FF'");
    one.write("templates/mini/b.sql", &format!("{OF_B};\n"));
    let moved = "is not where its last line was written";
    let on = format!("engine resume {run} --accept-journal");
    for words in [&["resume"][..], &["resume", "--accept-changes"]] {
        one.engine(words).expect(62).says(&[moved, &on]);
    }
    let back = format!("engine rollback {run} --to a --accept-journal");
    one.engine(&["rollback", &run, "--to", "a"]).expect(62).says(&[moved, &back]);
    one.engine(&["resume", "--accept-journal"]).expect(62).says(&["the plan or its inputs changed", "b.sql"]);
    one.engine(&["resume", "--accept-journal", "--accept-changes"]).expect(0);
    assert_eq!(rows(&one), "2");
    one.engine(&["resume"]).expect(0);
}

/// In its place and from before it is whole: only who wrote the rest can tell.
#[test]
fn a_journal_that_was_brought_back_from_before_is_not_gone_on_with() {
    let one = team("before", OF_B);
    one.killed(&["apply", MINI], "journal/stage_committed/a/synced#1");
    one.wait_for_silence();
    let run = one.run_id();
    let behind_it = "DELETE FROM engine_journal.line WHERE seq >= (SELECT min(seq) FROM engine_journal.line \
                     WHERE convert_from(line, 'UTF8') LIKE '%\"type\":\"commit_intended\",\"stage\":\"a\"%')";
    one.tamper(behind_it);
    let dispose = format!("engine drop {run}");
    one.engine(&["resume", &run]).expect(62).says(&["lacks what this machine wrote", &dispose]);
    assert_eq!(rows(&one), "1");
    one.engine(&["drop", &run]).expect(0).says(&["its journal is not told"]);
    assert!(!one.exists(one.clone_name()));
}

#[test]
fn the_newest_run_of_another_machine_is_disposed_of_by_its_id_only() {
    let one = team("meant", OF_B);
    one.mini_apply(&[]).expect(0);
    let (run, two) = (one.run_id(), one.another_machine());
    let refused = format!("`latest` is run {run}, which nobody worked on from this directory");
    for verb in ["drop", "rollback"] {
        two.engine(&[verb, "latest"]).expect(2).says(&[&refused, "nothing was changed"]);
    }
    assert_eq!(rows(&one), "2");
    two.engine(&["rollback", &run]).expect(0).says(&["2 stages undone"]);
    // Somebody did by now.
    two.engine(&["drop", "latest"]).expect(0).says(&[one.clone_name()]);
    assert!(!one.exists(one.clone_name()));
}

#[test]
fn latest_in_files_does_not_pass_over_a_newer_run_in_a_database() {
    let mut bench = planned("passed", OF_B);
    bench.mini_apply(&["--until", "pre"]).expect(0);
    let in_files = bench.run_id();
    bench.keep_runs_on(server());
    bench.mini_apply(&["--until", "pre"]).expect(0);
    let passed = format!("would pass over run {}", bench.run_id());
    bench.unset("ENGINE_JOURNAL");
    for verb in ["status", "drop"] {
        bench.engine(&[verb, "latest"]).expect(2).says(&[&passed, "ENGINE_JOURNAL"]);
    }
    bench.engine(&["status", &in_files]).expect(0).says(&[&in_files]);
}

#[test]
fn a_run_that_was_killed_before_its_first_line_has_done_nothing() {
    let one = team("unbegun", OF_B);
    one.killed(&["apply", MINI], "journal/run_started/-/before#1");
    let run = one.in_journal("SELECT run FROM engine_journal.run");
    let two = one.another_machine();
    for machine in [&one, &two] {
        let said = machine.engine(&["resume", &run]).expect(2).says(&["it has done nothing", "engine apply"]);
        assert!(!said.all().contains("backup"), "{}", said.all());
    }
}

#[test]
fn a_machine_without_the_plan_has_it_where_it_is_told_to_look() {
    let one = team("planless", OF_B);
    one.mini_apply(&["--until", "a"]).expect(0);
    let two = one.another_machine();
    let (plan, kept) = (two.home().join(MINI), two.of_run("plan/mini.toml"));
    std::fs::remove_file(&plan).expect("a plan");
    two.engine(&["resume"]).expect(62).says(&[&format!("as it was then it is kept in {kept}")]);
    std::fs::copy(two.home().join(&kept), &plan).expect("the plan that is named");
    two.engine(&["resume"]).expect(0);
    assert_eq!(rows(&one), "2");
}
