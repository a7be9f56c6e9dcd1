//! GO is said of what was shown, and of nothing else: each of these is almost a GO.

mod support;

use engine::event::{Event, Status};
use support::{Bench, MINI, Outcome, to_the_packet};

const INSERT: &str = "INSERT INTO u VALUES (1, 'b')";
const DELETE: &str = "DELETE FROM u";

/// The plain case, which the others differ from by one thing: `s` writes one row of `u`.
fn plain(bench: &Bench) -> String {
    bench.mini_stage("s", "\"base\"", "writes.u = 1", INSERT, Some(DELETE))
}

/// A second writer, of `t`.
fn second(bench: &Bench, needs: &str) -> String {
    let (sql, back) = ("INSERT INTO t VALUES (200, 'b')", "DELETE FROM t WHERE id = 200");
    bench.mini_stage("s2", needs, "writes.t = 1", sql, Some(back))
}

/// Why the packet sealed by this stage is no GO; empty if it is one.
fn reasons(bench: &Bench, of: &str) -> Vec<String> {
    let sealed = bench.journal().events.into_iter().rev().find_map(|event| match event {
        Event::PacketSealed { stage, reasons, technical_go, .. } if stage == of => Some((reasons, technical_go)),
        _ => None,
    });
    let (reasons, go) = sealed.unwrap_or_else(|| panic!("`{of}` sealed nothing"));
    assert_eq!(go, reasons.is_empty());
    reasons
}

/// It ended NO-GO, for this one reason.
#[track_caller]
fn no_go(bench: &Bench, outcome: Outcome, words: &[&str]) {
    outcome.expect(47).says(&["technical NO-GO"]);
    let reasons = reasons(bench, "pk");
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(words.iter().all(|word| reasons[0].contains(word)), "{words:?} are not in {reasons:?}");
    assert_eq!(bench.journal().status("pk"), Status::Done, "what is NO-GO is sealed nevertheless, and says so");
}

#[test]
fn the_plain_case_is_a_go() {
    let bench = Bench::mini("plain", "");
    bench.mini_plan(&format!("{}{}", plain(&bench), to_the_packet("\"s\"", "\"s\"", "us = 1")));
    bench.mini_apply(&[]).expect(0).says(&["technical GO"]);
    assert!(reasons(&bench, "pk").is_empty());
}

#[test]
fn what_is_written_after_the_rehearsal_was_not_rehearsed() {
    let bench = Bench::mini("after", "");
    let tail = to_the_packet("\"s\"", "\"s\", \"s2\"", "us = 1 AND ts = 6");
    let tail = tail.replace("needs = [\"r\"]", "needs = [\"s2\"]");
    bench.mini_plan(&format!("{}{}{tail}", plain(&bench), second(&bench, "\"r\"")));
    let outcome = bench.mini_apply(&[]);
    no_go(&bench, outcome, &["the full rollback was rehearsed", "not gone back over: s2"]);
}

/// The packet's stage began before there was such a stage: what it seals is what the plan is now.
#[test]
fn what_came_into_the_plan_after_the_packet_was_begun_was_not_rehearsed() {
    let bench = Bench::mini("came_later", "");
    let tail = to_the_packet("\"s\"", "\"s\"", "us = 1");
    let shut = "no_guard = \"none\"\n";
    assert!(tail.ends_with(shut));
    let closed = format!("{}guard.later = \"us = 7\"\n", tail.strip_suffix(shut).expect("seen"));
    bench.mini_plan(&format!("{}{closed}", plain(&bench)));
    bench.mini_apply(&[]).expect(30).says(&["pk"]);
    let tail = tail.replace("needs = [\"impact\"]\nof = [\"s\"]", "needs = [\"s2\"]\nof = [\"s\", \"s2\"]");
    let tail = tail.replace("us = 1", "us = 1 AND ts = 6");
    bench.mini_plan(&format!("{}{}{tail}", plain(&bench), second(&bench, "\"impact\"")));
    bench.engine(&["resume", "--accept-changes"]).expect(47);
    let reasons = reasons(&bench, "pk");
    for words in ["not gone back over: s2", "before the last stage had written"] {
        assert!(reasons.iter().any(|reason| reason.contains(words)), "{words} is not in {reasons:?}");
    }
}

#[test]
fn what_is_written_before_or_after_the_rehearsal_is_no_plan() {
    let bench = Bench::mini("unordered", "");
    let tail = to_the_packet("\"s\"", "\"s\"", "us = 1");
    bench.mini_plan(&format!("{}{}{tail}", plain(&bench), second(&bench, "\"base\"")));
    bench.engine(&["check", MINI]).expect(10).says(&["rehearse-unordered", "`s2`", "`needs` of `r`"]);
    bench.mini_apply(&[]).expect(10);
    assert!(bench.runs().is_empty(), "a run was begun");

    bench.mini_plan(&format!("{}{}{tail}", plain(&bench), second(&bench, "\"s\"")));
    bench.engine(&["check", MINI]).expect(10).says(&["rehearse-unordered"]);
    let tail = to_the_packet("\"s2\"", "\"s\", \"s2\"", "us = 1 AND ts = 6");
    bench.mini_plan(&format!("{}{}{tail}", plain(&bench), second(&bench, "\"s\"")));
    bench.engine(&["check", MINI]).expect(0);
}

#[test]
fn production_is_looked_at_after_the_last_write_or_it_says_nothing() {
    let bench = Bench::mini("early", "");
    let tail = to_the_packet("\"s\"", "\"s\", \"s2\"", "us = 1 AND ts = 6");
    // Everything is rehearsed; production was compared between the two writers.
    let tail = tail
        .replace("needs = [\"r\"]", "needs = [\"s\"]")
        .replace("needs = [\"s\"]\nbaseline", "needs = [\"s2\"]\nbaseline");
    let tail = tail.replace("needs = [\"impact\"]", "needs = [\"r\"]");
    bench.mini_plan(&format!("{}{}{tail}", plain(&bench), second(&bench, "\"impact\"")));
    let outcome = bench.mini_apply(&[]);
    no_go(&bench, outcome, &["production is what it was", "before the last stage had written"]);
}

#[test]
fn a_schema_that_is_the_same_is_no_unchanged_production() {
    for (name, level) in
        [("schema", "level = \"schema\""), ("counts", "level = \"counts\""), ("part", "include = [\"t\"]")]
    {
        let bench = Bench::mini(name, "");
        let before = format!(
            "[stage.earlier]\nkind = \"fingerprint\"\non = \"production\"\nneeds = []\nno_guard = \"none\"\n{level}\n"
        );
        let tail = to_the_packet("\"s\"", "\"s\"", "us = 1")
            .replace("equals = \"pre\"", &format!("equals = \"earlier\"\n{level}"));
        let tail = tail.replace("needs = [\"r\"]", "needs = [\"r\", \"earlier\"]");
        bench.mini_plan(&format!("{before}{}{tail}", plain(&bench)));
        let outcome = bench.mini_apply(&[]).says(&["not all of it was looked at"]);
        no_go(&bench, outcome, &["production is what it was", "FAIL"]);
    }
}

/// A run during which somebody else writes production, between the fingerprints.
fn others_write(name: &str, policy: &str) -> (Bench, Outcome) {
    let bench = Bench::mini(name, "");
    let tail = to_the_packet("\"s\"", "\"s\"", "us = 1");
    bench.mini_plan_with(policy, "", &format!("{}{tail}", plain(&bench)));
    bench.mini_apply(&["--until", "r"]).expect(0);
    bench.psql(bench.production(), "INSERT INTO t VALUES (6, 'somebody else')");
    let outcome = bench.engine(&["resume"]);
    (bench, outcome)
}

#[test]
fn what_others_changed_is_reported_as_theirs() {
    let (bench, outcome) = others_write("others", "");
    outcome.expect(0).says(&["changed by others", "technical GO"]);
    let decision = bench.read(&format!("{}/decision.json", bench.packet().0));
    assert!(decision.contains("changed by others") && decision.contains("public.t"), "{decision}");
}

#[test]
fn what_others_changed_ends_a_strict_run() {
    let (bench, outcome) = others_write("strict", "policy = \"strict\"");
    outcome.expect(46).says(&["changed by others", "public.t", "wrote nothing"]);
    assert!(!bench.journal().done().contains(&"pk"));
}

#[test]
fn one_no_go_among_two_packets_is_a_no_go() {
    // `b` has no rehearsal, and is sealed before the good one; or it is sealed after it, and `s2` was not rehearsed.
    for (name, needs, impact) in [("first", "s", "\"r\", \"b\""), ("last", "s2", "\"r\"")] {
        let bench = Bench::mini(name, "");
        let tail = to_the_packet("\"s\"", "\"s\"", "us = 1");
        let tail = tail.replace("needs = [\"r\"]", &format!("needs = [{impact}]"));
        let b = format!(
            "[stage.b]\nkind = \"packet\"\nfor = \"production\"\nneeds = [\"{needs}\"]\nof = [\"{needs}\"]\n\
             done_when = \"us = 1\"\nno_guard = \"none\"\n"
        );
        bench.mini_plan(&format!("{}{}{tail}{b}", plain(&bench), second(&bench, "\"pk\"")));
        bench.mini_apply(&[]).expect(47);
        assert!(reasons(&bench, "pk").is_empty(), "{:?}", reasons(&bench, "pk"));
        assert!(!reasons(&bench, "b").is_empty());
    }
}

#[test]
fn a_proof_that_does_not_end_leaves_a_committed_stage_and_is_repeated_alone() {
    // Only a second run finds a row in `u`, and then it sleeps.
    let bench = Bench::mini("slow", "CREATE TABLE nap (seconds int); INSERT INTO nap VALUES (300)");
    let sql = "SELECT pg_sleep(seconds) FROM nap WHERE EXISTS (SELECT FROM u);\n\
               INSERT INTO u VALUES (1, 'b') ON CONFLICT DO NOTHING";
    let more = "writes.u = 1\nprove = [\"idempotent\", \"reversible\"]\ntimeout = \"4s\"";
    bench.mini_plan(&bench.mini_stage("s", "\"base\"", more, sql, Some(DELETE)));
    bench.mini_apply(&[]).expect(44).says(&[
        "longer than its timeout",
        "it is committed and stays so",
        "engine resume",
    ]);
    assert_eq!(bench.journal().done(), ["pre", "clone", "base"]);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT id, v FROM u"), "1|b");

    bench.wait_for_silence();
    bench.engine(&["resume"]).expect(44).says(&["it is committed and stays so"]);
    bench.wait_for_silence();
    bench.psql(bench.clone_name(), "UPDATE nap SET seconds = 0");
    bench.engine(&["resume"]).expect(0);
    let committed = |event: &Event| matches!(event, Event::StageCommitted { .. });
    assert_eq!(bench.journal().count(committed), 1);
    assert_eq!(bench.journal().status("s"), Status::Done);
}

#[test]
fn what_was_done_already_is_done_and_not_proved() {
    let bench = Bench::mini("already", "INSERT INTO u VALUES (1, 'b')");
    let more = "writes.u = 1\nguard.free = \"us = 0\"\ndone_when = \"us = 1\"\nprove = [\"idempotent\"]";
    let sql = "INSERT INTO u VALUES (1, 'b') ON CONFLICT DO NOTHING";
    let stage = bench.mini_stage("s", "\"base\"", more, sql, Some("DELETE FROM u WHERE v = 'of nobody'"));
    bench.mini_plan(&format!("{stage}{}", to_the_packet("\"s\"", "\"s\"", "us = 1")));
    let outcome = bench.mini_apply(&[]).says(&["already done, nothing was sent"]);
    no_go(&bench, outcome, &["`s` is proved idempotent", "NOT RUN"]);
    assert_eq!(bench.journal().status("s"), Status::Done);
    let proved = |event: &Event| matches!(event, Event::Proved { stage, .. } if stage == "s");
    assert_eq!(bench.journal().count(proved), 0);
}
