//! What `resume --accept-changes` takes and what it does not: whatever is committed, or stands of statements in no transaction,
//! stays what it was. And what nobody can tell is no answer.

mod support;

use support::{Bench, MINI, MINI_ROLLOUT, to_the_packet};

/// Once for each time it is sent.
const ONCE_MORE: &str = "UPDATE t SET v = v || 'x'";
const GUARDED: &str = "writes.t = 5\nguard.few = \"ts < var.most\"";

/// `ins` is committed, `bad` after it failed.
fn stopped(name: &str) -> Bench {
    let bench = Bench::mini(name, "");
    let ins = bench.mini_stage("ins", "\"base\"", GUARDED, ONCE_MORE, Some("UPDATE t SET v = 'v'"));
    let bad = bench.mini_stage("bad", "\"ins\"", "writes.u = 1", "SELECT 1 / 0", Some("DELETE FROM u WHERE id = 1"));
    bench.mini_plan(&format!("[var.most]\ntype = \"int\"\ndefault = 9\n{ins}{bad}"));
    bench.mini_apply(&[]).expect(40);
    bench
}

fn values(bench: &Bench) -> String {
    bench.psql(bench.clone_name(), "SELECT DISTINCT v FROM t")
}

#[test]
fn a_committed_stage_keeps_what_it_comes_after_and_all_that_it_reads() {
    let bench = stopped("acc_kept");
    let plan = bench.read(MINI);
    let early = bench.mini_stage(
        "early",
        "\"base\"",
        "writes.u = 1",
        "INSERT INTO u VALUES (7)",
        Some("DELETE FROM u WHERE id = 7"),
    );
    let of_ins = "[stage.ins]\non = \"clone\"\nneeds = [\"base\"]";
    assert!(plan.contains(of_ins));
    bench.write("templates/mini/bad.sql", "INSERT INTO u VALUES (1, 'a');\n");
    for (what, changed) in [
        ("what it comes after", plan.replace(of_ins, "[stage.ins]\non = \"clone\"\nneeds = [\"early\"]") + &early),
        ("where its names are looked up", plan.replace("\"public, gov\"", "\"gov, public\"")),
        (
            "what its guard reads",
            plan.replace("SELECT count(*) FROM public.t\"", "SELECT count(*) + 0 FROM public.t\""),
        ),
    ] {
        assert_ne!(changed, plan, "{what}");
        bench.write(MINI, &changed);
        bench
            .engine(&["resume", "--accept-changes"])
            .expect(62)
            .says(&["a stage that is committed was changed since", "ins"]);
        assert_eq!(values(&bench), "vx", "{what}");
    }
    // A stage that is not committed may come after another one, and another one may be new.
    bench.write(MINI, &(plan.replace("needs = [\"ins\"]", "needs = [\"ins\", \"early\"]") + &early));
    bench.engine(&["resume", "--accept-changes"]).expect(0);
    bench.engine(&["rollback", "latest"]).expect(0);
    assert_eq!(values(&bench), "v");
    bench.engine(&["resume"]).expect(0);
    assert_eq!(values(&bench), "vx");
}

#[test]
fn what_stands_of_a_stage_in_no_transaction_is_gone_on_with_outside_of_one() {
    let bench = Bench::mini("acc_half", "");
    let probe =
        "[probe.built]\non = \"clone\"\nsql = \"SELECT count(*) FROM pg_class WHERE relname IN ('t_v', 't_w')\"\n";
    let alone = "transaction = false\nalters = [\"t\"]\ndone_when = \"built = 2\"";
    let sql = "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v);\nCREATE INDEX CONCURRENTLY IF NOT EXISTS t_w ON t (nowhere)";
    let back = "DROP INDEX CONCURRENTLY IF EXISTS t_w;\nDROP INDEX CONCURRENTLY IF EXISTS t_v";
    let ix = bench.mini_stage("ix", "\"base\"", alone, sql, Some(back));
    bench.mini_plan(&format!("{probe}{ix}"));
    let plan = bench.read(MINI);
    bench.mini_apply(&[]).expect(40);
    let built = || bench.psql(bench.clone_name(), "SELECT relname FROM pg_class WHERE relname ~ '^t_[vw]$'");
    assert_eq!(built(), "t_v");
    let says = ["a stage that is committed was changed since", "ix"];
    bench.write(MINI, &plan.replace(alone, "writes.u = 1"));
    bench.write("templates/mini/ix.sql", "INSERT INTO u VALUES (1, 'a');\n");
    bench.write("templates/mini/ix.rollback.sql", "DELETE FROM u;\n");
    bench.engine(&["resume", "--accept-changes"]).expect(62).says(&says);
    bench.write(MINI, &plan.replace(&ix, ""));
    bench.engine(&["resume", "--accept-changes"]).expect(62).says(&says);
    assert_eq!(built(), "t_v", "nothing of it was forgotten");
    bench.write(MINI, &plan);
    bench.write("templates/mini/ix.sql", &format!("{};\n", sql.replace("nowhere", "id")));
    bench.write("templates/mini/ix.rollback.sql", &format!("{back};\n"));
    bench.engine(&["resume", "--accept-changes"]).expect(0);
    assert_eq!(built(), "t_v\nt_w");
    bench.engine(&["rollback", "latest"]).expect(0);
    assert_eq!(built(), "");
}

/// NULL, an error, no row: whether it is done already nobody can tell, so nothing is sent.
#[test]
fn a_stage_of_which_nobody_can_tell_whether_it_is_done_is_not_sent() {
    for (number, unknown) in ["SELECT NULL::int", "SELECT 1 / 0", "SELECT 1 WHERE false"].into_iter().enumerate() {
        let bench = Bench::mini(&format!("acc_unknown_{number}"), "");
        let probe = format!("[probe.there]\non = \"clone\"\nsql = \"{unknown}\"\n");
        let one = bench.mini_stage("one", "\"base\"", "writes.t = 5\ndone_when = \"there = 1\"", ONCE_MORE, None);
        let keys = "transaction = false\nalters = [\"t\"]\ndone_when = \"there = 1\"";
        let alone =
            bench.mini_stage("alone", "\"base\"", keys, "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v)", None);
        let batch = "batch = { until = \"ts = 0\", rows = 5, most = 1 }\nwrites.t = 5\ndone_when = \"there = 1\"";
        let parts = bench.mini_stage("parts", "\"base\"", batch, ONCE_MORE, None);
        for (name, stage) in [("one", one), ("alone", alone), ("parts", parts)] {
            bench.mini_plan(&format!("{probe}{stage}"));
            let said = bench.mini_apply(&["--replace"]).expect(31);
            said.says(&[&format!("done_when `done_when` of stage `{name}` cannot be evaluated")]);
            assert_eq!(values(&bench), "v", "{name}: {unknown}");
            assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM pg_class WHERE relname = 't_v'"), "0");
            bench.engine(&["drop", "latest"]).expect(0);
        }
    }
}

/// The same of what was rolled out already, where it matters most.
#[test]
fn a_packet_of_which_nobody_can_tell_whether_it_is_applied_is_not_sent() {
    let bench = Bench::mini("acc_packet", "");
    let probe = "[probe.filled]\non = \"clone\"\nsql = \"SELECT sum(id) FROM public.u\"\n";
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1, 'a')", Some("DELETE FROM u"));
    bench.mini_plan(&format!("{probe}{a}{}", to_the_packet("\"a\"", "\"a\"", "filled = 1")));
    bench.mini_apply(&[]).expect(0);
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    bench.engine(&["apply", MINI_ROLLOUT]).expect(31).says(&[
        "done_when",
        "cannot be evaluated",
        "nothing of it was sent",
    ]);
    assert_eq!(bench.psql(bench.production(), "SELECT count(*) FROM u"), "0");
}

/// Both would go on from the same line, and each of its stages would run twice.
/// What was accepted once and moves again is told as what it is.
#[test]
fn a_template_that_moves_again_is_no_matter_of_sensitive_variables() {
    let bench = stopped("acc_again");
    bench.write("templates/mini/bad.sql", "SELECT 2 / 0;\n");
    bench.engine(&["resume", "--accept-changes"]).expect(40);
    bench.write("templates/mini/bad.sql", "INSERT INTO u VALUES (1, 'a');\n");
    let said = bench.engine(&["resume"]).expect(62).says(&["bad.sql"]);
    assert!(!said.stderr.contains("sensitive"), "{}", said.stderr);
    bench.engine(&["resume", "--accept-changes"]).expect(0);
}

/// A proof that failed is not loosened until it passes: what it looks at is a part of what was promised.
#[test]
fn what_a_committed_stage_has_to_prove_stays_what_it_was() {
    let bench = Bench::mini("acc_proof", "");
    let probes = "[probe.more]\non = \"clone\"\nsql = \"SELECT count(*) FROM public.u\"\n\
                  [probe.fewer]\non = \"clone\"\nsql = \"SELECT -count(*) FROM public.u\"\n";
    let keys = "writes.u = 1\nmonotonic = [\"more\", \"fewer\"]";
    let a = bench.mini_stage("a", "\"base\"", keys, "INSERT INTO u VALUES (1, 'a')", Some("DELETE FROM u"));
    bench.mini_plan(&format!("{probes}{a}"));
    bench.mini_apply(&[]).expect(44).says(&["fewer"]);
    let plan = bench.read(MINI);
    for (what, by) in [(", \"fewer\"]", "]"), ("SELECT -count(*)", "SELECT count(*)")] {
        bench.write(MINI, &plan.replace(what, by));
        let said = bench.engine(&["resume", "--accept-changes"]).expect(62);
        said.says(&["a stage that is committed was changed since", "a"]);
    }
    bench.write(MINI, &plan);
    bench.engine(&["resume"]).expect(44);
}

/// What a fingerprint saw by one level is no word for another one.
#[test]
fn a_fingerprint_that_is_done_keeps_its_level() {
    let bench = Bench::mini("acc_look", "");
    let bad = bench.mini_stage("bad", "\"look\"", "writes.u = 1", "SELECT 1 / 0", Some("DELETE FROM u WHERE id = 1"));
    let look = "[stage.look]\nkind = \"fingerprint\"\non = \"clone\"\nneeds = [\"base\"]\nlevel = \"counts\"\nno_guard = \"none\"\n";
    bench.mini_plan(&format!("{look}{bad}"));
    bench.mini_apply(&[]).expect(40);
    bench.write("templates/mini/bad.sql", "INSERT INTO u VALUES (1, 'a');\n");
    bench.edit(MINI, "level = \"counts\"", "level = \"content\"");
    bench.engine(&["resume", "--accept-changes"]).expect(62).says(&["was changed since", "`look`"]);
    bench.edit(MINI, "level = \"content\"", "level = \"counts\"");
    bench.engine(&["resume", "--accept-changes"]).expect(0);
}

#[test]
fn a_copy_of_a_runs_folder_is_no_run() {
    let bench = stopped("acc_copy");
    let run = bench.run_id();
    let runs = bench.home().join(".engine/runs");
    support::copy(&runs.join(&run), &runs.join("zzzzzzzz"));
    bench.write("templates/mini/bad.sql", "INSERT INTO u VALUES (1, 'a');\n");
    for verb in ["resume", "rollback", "status", "verify", "drop"] {
        let says = [format!("it began as run {run}"), "remove the copy".to_owned()];
        bench.engine(&[verb, "zzzzzzzz"]).expect(62).says(&says.each_ref().map(String::as_str));
    }
    assert!(bench.exists(bench.clone_name()));
    bench.engine(&["resume", &run, "--accept-changes"]).expect(0);
    assert_eq!(values(&bench), "vx");
}
