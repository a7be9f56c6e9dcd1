//! `watch = true`: after each stage it is looked at whether somebody changed production, and when it was.

mod support;

use engine::event::{Event, Unchanged};
use support::Bench;

/// Four stages in a row; `hold` lasts until somebody says so.
const PLAN: &str = r#"engine = 1
plan.name = "watched"
[target.production]
url = "env:SHOP_PRODUCTION_URL"
access = "read"
watch = true
POLICY
[target.clone]
clone_of = "production"
database = "NAMED"
url = "env:SHOP_CLONE_URL"
maker_url = "env:SHOP_CLONE_MAKER_URL"
[stage.pre]
kind = "fingerprint"
on = "production"
needs = []
no_guard = "looks"
[stage.make]
kind = "clone"
on = "clone"
needs = ["pre"]
no_guard = "makes it"
[stage.a]
on = "clone"
needs = ["make"]
no_guard = "writes"
no_rollback = "not asked"
file = "watched/a.sql"
lock_timeout = "60s"
writes.t = 1
[stage.b]
on = "clone"
needs = ["a"]
no_guard = "writes"
no_rollback = "not asked"
file = "watched/b.sql"
writes.t = 1
[stage.post]
kind = "fingerprint"
on = "production"
needs = ["b"]
equals = "pre"
no_guard = "looks"
"#;

fn bench(name: &str, policy: &str) -> Bench {
    let bench = Bench::mini(
        name,
        "CREATE TABLE w (id int PRIMARY KEY, v text); INSERT INTO w VALUES (1, 'w'); CREATE SEQUENCE s",
    );
    bench.psql(bench.production(), "GRANT SELECT ON SEQUENCE s TO engine_reader");
    bench.write("templates/watched/a.sql", "UPDATE t SET v = 'a' WHERE id = 1;\n");
    bench.write("templates/watched/b.sql", "UPDATE t SET v = 'b' WHERE id = 2;\n");
    bench.write("plans/watched.toml", &PLAN.replace("POLICY", policy).replace("NAMED", bench.clone_name()));
    bench
}

/// Stage, since, verdict and differences of each look.
fn looks(bench: &Bench) -> Vec<(String, String, Unchanged, Vec<String>)> {
    let look = |event| match event {
        Event::Watched { stage, since, verdict, tables, .. } => Some((stage, since, verdict, tables)),
        _ => None,
    };
    bench.journal().events.into_iter().filter_map(look).collect()
}

#[test]
fn a_quiet_production_is_looked_at_after_each_stage() {
    let bench = bench("quiet", "");
    bench.engine(&["apply", "plans/watched.toml"]).expect(0);
    let looks = looks(&bench);
    let order: Vec<(&str, &str)> = looks.iter().map(|(stage, since, ..)| (stage.as_str(), since.as_str())).collect();
    assert_eq!(order, [("make", "pre"), ("a", "make"), ("b", "a"), ("post", "b")]);
    assert!(
        looks.iter().all(|(_, _, verdict, _)| matches!(verdict, Unchanged::ByWatermark | Unchanged::ByContent)),
        "{looks:?}"
    );
}

/// What was changed is named with the stages between which it happened, once.
#[test]
fn a_change_is_told_between_two_stages() {
    let bench = bench("told", "");
    bench.engine(&["apply", "plans/watched.toml", "--until", "a"]).expect(0);
    bench.psql(bench.production(), "UPDATE w SET v = 'x'; SELECT nextval('s')");
    let said = bench.engine(&["resume"]).expect(0);
    // A resumed run begins with what a stage has seen whole.
    let looks = looks(&bench);
    let (stage, since, verdict, tables) = &looks[looks.len() - 2];
    assert_eq!((stage.as_str(), since.as_str(), *verdict), ("b", "make", Unchanged::ChangedByOthers), "{looks:?}");
    assert_eq!(tables.len(), 2, "{tables:?}");
    assert!(tables.iter().any(|t| t.starts_with("table public.w: content differs")), "{tables:?}");
    assert!(tables.iter().any(|t| t.starts_with("sequence public.s: next value 1 -> 2")), "{tables:?}");
    said.says(&["production changed by others between `make` and the end of `b`"]);
    let shown = bench.engine(&["show", "latest", "b"]).expect(0);
    assert!(shown.stdout.contains("A look at `production` afterwards: changed by others"), "{}", shown.stdout);
}

/// Under a strict policy nothing more starts; what is done stays done.
#[test]
fn a_strict_policy_stops_the_run_where_it_was_seen() {
    let bench = bench("stops", "policy = \"strict\"");
    bench.engine(&["apply", "plans/watched.toml", "--until", "make"]).expect(0);
    bench.psql(bench.production(), "DELETE FROM w");
    let said = bench.engine(&["resume"]).expect(46);
    said.says(&[
        "was changed by others between `make` and the end of `a`",
        "table public.w: rows 1 -> 0",
        "policy = \"attributed\"",
    ]);
    assert_eq!(bench.journal().done(), ["pre", "make", "a"]);
    // Time does not undo it: the same run does not go on.
    bench.engine(&["resume"]).expect(46).says(&["was changed by others between `make` and the end of `a`"]);
    assert_eq!(bench.journal().done(), ["pre", "make", "a"]);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT v FROM t WHERE id = 1"), "a");
}

/// A stage that reads all of it anew does not make what was changed before it the way it was; nor does a resume.
#[test]
fn a_stage_that_reads_it_whole_hides_no_change() {
    let before_the_clone = bench("hidden", "policy = \"strict\"");
    before_the_clone.engine(&["apply", "plans/watched.toml", "--until", "pre"]).expect(0);
    before_the_clone.psql(before_the_clone.production(), "DELETE FROM w");
    before_the_clone.engine(&["resume"]).expect(46).says(&["between `pre` and the end of `make`", "rows 1 -> 0"]);
    let again = bench("hidden_again", "policy = \"strict\"");
    let plan = again.read("plans/watched.toml");
    let mid =
        "[stage.mid]\nkind = \"fingerprint\"\non = \"production\"\nneeds = [\"a\"]\nno_guard = \"looks\"\n[stage.b]";
    again.write(
        "plans/watched.toml",
        &plan
            .replace("[stage.b]", mid)
            .replace("needs = [\"a\"]\nno_guard = \"writes\"", "needs = [\"mid\"]\nno_guard = \"writes\""),
    );
    again.engine(&["apply", "plans/watched.toml", "--until", "a"]).expect(0);
    again.psql(again.production(), "DELETE FROM w");
    again.engine(&["resume"]).expect(46).says(&["and the end of `mid`", "rows 1 -> 0"]);
}

/// A look that could not be made ends the run, and is made before anything else when it goes on.
#[test]
fn a_look_that_failed_is_made_up_for() {
    let bench = bench("made_up", "");
    bench.engine(&["apply", "plans/watched.toml", "--until", "make"]).expect(0);
    bench.psql(bench.production(), "REVOKE SELECT ON w FROM engine_reader; UPDATE w SET v = 'q'");
    let code = bench.engine(&["resume"]).code;
    assert!(code != 0 && code != 46, "{code}");
    assert_eq!(bench.journal().done(), ["pre", "make", "a"]);
    bench.engine(&["resume"]);
    assert_eq!(bench.journal().done(), ["pre", "make", "a"], "nothing starts before the look is made");
    bench.psql(bench.production(), "GRANT SELECT ON w TO engine_reader");
    bench.engine(&["resume"]).expect(0);
    let told: Vec<_> = looks(&bench).into_iter().filter(|(stage, ..)| stage == "a").collect();
    assert!(told.iter().any(|(_, _, verdict, _)| *verdict == Unchanged::ChangedByOthers), "{told:?}");
}

/// Within one run each change is told once, where it happened; the next look goes on from there.
/// Killed where the stage is done already: what the look behind it found is not forgotten.
#[test]
fn what_a_look_found_outlives_the_process() {
    let bench = bench("outlives", "policy = \"strict\"");
    bench.engine(&["apply", "plans/watched.toml", "--until", "pre"]).expect(0);
    bench.psql(bench.production(), "UPDATE w SET v = 'x'");
    bench.killed(&["resume"], "journal/stage_done/make/synced#1");
    bench.engine(&["resume"]).expect(46);
    assert!(!bench.journal().events.iter().any(|e| matches!(e, Event::StageStarted { stage } if stage == "a")));
}

#[test]
fn a_change_is_told_once() {
    let bench = bench("once", "");
    bench.engine(&["apply", "plans/watched.toml", "--until", "make"]).expect(0);
    let holder = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE t;");
    let mut engine = bench.start(&["resume"]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::AttemptStarted { stage, .. } if stage == "a"));
    bench.psql(bench.production(), "INSERT INTO w VALUES (2, 'z')");
    drop(holder);
    assert_eq!(engine.end(), Some(0));
    let looks = looks(&bench);
    let told: Vec<(&str, Unchanged)> = looks.iter().map(|(stage, _, verdict, _)| (stage.as_str(), *verdict)).collect();
    assert_eq!(told[told.len() - 3], ("a", Unchanged::ChangedByOthers), "{looks:?}");
    assert!(matches!(told[told.len() - 2], ("b", Unchanged::ByWatermark | Unchanged::ByContent)), "{looks:?}");
    let post = bench.journal().events.into_iter().find_map(|event| match event {
        Event::ProductionChecked { verdict, tables, .. } => Some((verdict, tables)),
        _ => None,
    });
    assert_eq!(post.expect("a check"), (Unchanged::ChangedByOthers, vec!["table public.w: rows 1 -> 2".to_owned()]));
}
