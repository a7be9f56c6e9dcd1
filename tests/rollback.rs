//! `engine rollback`: what a run committed on its clone is undone, last one first, each once, whatever happens on the way;
//! and what depended on it is run again.

mod support;

use engine::event::{Event, RunState, Status};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use support::{Bench, MINI, MINI_ROLLOUT, assert_same, to_the_packet, undone};

/// Rows that were there before the run: a rollback that is run twice takes some of them.
const TABLES: &str = "CREATE TABLE n (id int GENERATED ALWAYS AS IDENTITY, v text);
INSERT INTO n (v) SELECT 'old' FROM generate_series(1, 20);
CREATE TABLE held (n int)";

const ROWS: &str =
    "SELECT (SELECT count(*) FROM u), (SELECT count(*) FROM n), (SELECT count(*) FROM n WHERE v = 'old')";
const BEFORE: &str = "0|20|20";
const AFTER: &str = "2|26|20";

/// Takes back the newest three rows, whoever wrote them.
const NEWEST: &str = "DELETE FROM n WHERE id IN (SELECT id FROM n ORDER BY id DESC LIMIT 3)";
const THREE: &str = "INSERT INTO n (v) SELECT 'new' FROM generate_series(1, 3)";

/// `a`, then `b` and `c`, which write the same table; `look` reads what they left. `rest` follows.
fn planned(name: &str, c: (&str, Option<&str>), rest: &str) -> Bench {
    let bench = Bench::mini(name, TABLES);
    bench.psql(bench.production(), "GRANT SELECT ON n, held, n_id_seq TO engine_reader");
    let two = "INSERT INTO u VALUES (1, 'a');\nINSERT INTO u VALUES (2, 'b')";
    let more = "writes.u = 2\nensure.two = \"us = 2\"\nprove = [\"reversible\"]";
    let a = bench.mini_stage("a", "\"base\"", more, two, Some("DELETE FROM u WHERE id IN (1, 2)"));
    let b = bench.mini_stage("b", "\"a\"", "writes.n = 3\nprove = [\"reversible\"]", THREE, Some(NEWEST));
    let c = bench.mini_stage("c", "\"b\"", c.0, THREE, c.1);
    let look = "[stage.look]\nkind = \"check\"\non = \"clone\"\nneeds = [\"c\"]\nno_guard = \"reads\"\nensure.two = \"us = 2\"\n";
    bench.mini_plan(&format!("{a}{b}{c}{look}{rest}"));
    bench
}

fn short(name: &str) -> Bench {
    planned(name, ("writes.n = 3", Some(NEWEST)), "")
}

fn rows(bench: &Bench) -> String {
    bench.psql(bench.clone_name(), ROWS)
}

/// Stages that folding calls undone, and those that wait.
fn standing(bench: &Bench) -> (Vec<String>, Vec<String>) {
    let state = RunState::of(&bench.journal().events);
    let of = |wanted: &Status| {
        state.stages.iter().filter(|(_, s)| s.status == *wanted).map(|(name, _)| name.clone()).collect()
    };
    (of(&Status::Undone), of(&Status::Waiting))
}

#[test]
fn all_of_it_is_undone_and_run_again_to_a_new_packet() {
    let rest = to_the_packet("\"look\"", "\"a\", \"b\", \"c\"", "oks = 77");
    let bench = planned("rb_whole", ("writes.n = 3", Some(NEWEST)), &rest);
    bench.mini_apply(&["--until", "base"]).expect(0);
    let before = bench.all_of(bench.clone_name());
    bench.engine(&["resume"]).expect(0).says(&["technical GO"]);
    let after = bench.all_of(bench.clone_name());
    assert_eq!(rows(&bench), AFTER);
    let (first, _) = bench.packet();

    let told = bench.engine(&["rollback", "latest"]).expect(0).says(&[
        "undone c",
        "undone b",
        "undone a",
        "base: comparing the clone",
        "3 stages undone, the clone is equal to `base`",
        "engine resume",
    ]);
    assert!(told.stderr.lines().all(|line| !line.ends_with(": ")), "a line without words\n{}", told.stderr);
    assert_same(&bench.all_of(bench.clone_name()), &before, "the clone is not what it was");
    assert_eq!(undone(&bench), ["c", "b", "a"]);
    assert_eq!(standing(&bench).0, ["a", "b", "c"]);
    assert_eq!(standing(&bench).1, ["impact", "look", "pk", "r"]);
    bench.engine(&["status"]).expect(0).says(&["rolled back: 3 stages undone", "undone", "3 of 10 done"]);
    bench
        .engine(&["show", "latest", "b"])
        .expect(0)
        .says(&["Rollback on the clone, attempt 1", "to be run again: `c`"]);

    bench.engine(&["rollback", "latest"]).expect(0).says(&["nothing was left to undo", "equal to `base`"]);
    assert_same(&bench.all_of(bench.clone_name()), &before, "a second rollback did something");

    bench.engine(&["resume"]).expect(0).says(&["technical GO"]);
    assert_same(&bench.all_of(bench.clone_name()), &after, "forward again is not what it was forward");
    let journal = bench.journal();
    for stage in ["a", "b", "c"] {
        let committed = |event: &Event| matches!(event, Event::StageCommitted { stage: of, .. } if of == stage);
        assert_eq!(journal.count(committed), 2, "{stage}");
    }
    for stage in ["look", "r", "impact", "pk"] {
        let done = |event: &Event| matches!(event, Event::StageDone { stage: of, .. } if of == stage);
        assert_eq!(journal.count(done), 2, "{stage} did not run again");
    }
    let (second, _) = bench.packet();
    assert_ne!(first, second, "the packet of before was taken for the new one");
    for packet in [&first, &second] {
        bench.engine(&["verify", packet]).expect(0);
    }
    let page = bench.read(&format!("{second}/GO-NO-GO.md"));
    assert!(page.contains("`b` had run before, and its rollback was committed on the clone"), "{page}");
    assert_eq!(page.matches("- `b`: public.n RowExclusiveLock").count(), 1, "locks of what was undone\n{page}");
    let sealed = bench.read(&format!("{second}/evidence/journal.jsonl"));
    assert!(sealed.contains("\"type\":\"undone\""), "the evidence ends before the rollback");
    bench.engine(&["verify", "latest"]).expect(0);
}

#[test]
fn back_to_a_stage_and_not_over_it() {
    let bench = short("rb_to");
    bench.mini_apply(&[]).expect(0);
    let told = bench.engine(&["rollback", "latest", "--to", "a", "--json"]).expect(0);
    let lines: Vec<serde_json::Value> =
        told.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    assert_eq!((of("rollback_begun"), of("undone"), of("run_ended")), (1, 2, 1), "{}", told.stdout);
    assert!(told.stderr.contains("rolled back to `a`: 2 stages undone, not compared"), "{}", told.stderr);
    assert_eq!(rows(&bench), "2|20|20");
    assert_eq!(bench.journal().status("a"), Status::Done);
    assert_eq!(standing(&bench), (vec!["b".to_owned(), "c".to_owned()], vec!["look".to_owned()]));
    bench.engine(&["rollback", "latest", "--to", "b"]).expect(2).says(&["not done in this run", "pre, clone, base, a"]);
    bench.engine(&["rollback", "latest", "--to", "nowhere"]).expect(2).says(&["no such stage"]);
    bench.engine(&["resume"]).expect(0);
    assert_eq!(rows(&bench), AFTER);
}

/// It is undone, and its journal does not say so to the end: it would be called one that stands.
#[test]
fn there_is_no_way_back_to_a_stage_whose_own_rollback_was_stopped() {
    let bench = short("rb_stopped");
    bench.mini_apply(&[]).expect(0);
    bench.killed(&["rollback", "latest", "--to", "a"], "journal/undo_committed/b/synced#1");
    let refused = ["a rollback of `b` was stopped", "nothing was changed"];
    bench.engine(&["rollback", "latest", "--to", "b"]).expect(2).says(&refused);
    bench.engine(&["rollback", "latest", "--to", "a"]).expect(0).says(&["rolled back to `a`: 1 stage undone"]);
    assert_eq!(undone(&bench), ["c", "b"]);
    assert_eq!(rows(&bench), "2|20|20");
}

#[test]
fn a_stage_without_a_rollback_is_stuck_and_nothing_beyond_it_is_undone() {
    let bench = planned("rb_stuck", ("writes.n = 3", None), "");
    bench.edit(MINI, "no_rollback = \"none\"", "no_rollback = \"the rows were sent\"");
    let d = bench.mini_stage("d", "\"c\"", "writes.n = 3", THREE, Some(NEWEST));
    bench.write(MINI, &format!("{}{d}", bench.read(MINI)));
    bench.mini_apply(&[]).expect(0);
    let run = bench.run_id();
    for undone in ["undone, and stay so: `d`", "nothing was undone"] {
        bench.engine(&["rollback", "latest"]).expect(50).says(&[
            "stuck: stage `c` has no rollback",
            "no rollback: the rows were sent",
            undone,
            "not undone: `c`, `b`, `a`",
            &format!("engine drop {run}"),
        ]);
        assert_eq!(rows(&bench), AFTER);
    }
    let state = RunState::of(&bench.journal().events);
    assert_eq!((state.stage("d").status, state.stage("c").status), (Status::Undone, Status::Done));
    assert!(state.stage("c").stuck.is_some());
    bench.engine(&["status"]).expect(0).says(&["not undone: stage `c` has no rollback"]);
    bench.engine(&["resume"]).expect(0);
    assert_eq!(rows(&bench), "2|29|20");
}

#[test]
fn a_rollback_that_fails_stops_there_and_can_be_repeated() {
    let bench = short("rb_fails");
    bench.mini_apply(&[]).expect(0);
    let clone = bench.clone_name().to_owned();
    let guard = "CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     IF (SELECT count(*) FROM n) < 24 THEN RAISE 'kept by somebody'; END IF; RETURN NULL; END $$;
                 CREATE TRIGGER stay AFTER DELETE ON n EXECUTE FUNCTION stay()";
    // The rollback of `c` leaves 23 rows: it may; that of `b` would leave 20.
    bench.psql(&clone, &guard.replace("< 24", "< 23"));
    bench.engine(&["rollback", "latest"]).expect(40).says(&[
        "the rollback of `b`: statement 1 (DELETE) failed",
        "kept by somebody",
        "rolled back: the clone is as before the rollback of `b`",
        "undone, and stay so: `c`",
        "not undone: `b`, `a`",
        "engine rollback",
    ]);
    assert_eq!(rows(&bench), "2|23|20");
    assert!(RunState::of(&bench.journal().events).stage("b").stuck.is_some());
    bench.psql(&clone, "DROP TRIGGER stay ON n; DROP FUNCTION stay()");
    bench.engine(&["rollback", "latest"]).expect(0).says(&["2 stages undone", "equal to `base`"]);
    assert_eq!(rows(&bench), BEFORE);
    assert_eq!(undone(&bench), ["c", "b", "a"], "c was undone twice");
}

#[test]
fn a_rollback_is_held_to_the_bounds_of_its_stage_and_to_never() {
    let more = NEWEST.replace("LIMIT 3", "LIMIT 4");
    let bench = planned("rb_bounds", ("writes.n = 3", Some(&more)), "");
    bench.mini_apply(&[]).expect(0);
    bench.engine(&["rollback", "latest"]).expect(42).says(&["public.n", "4 of 3", "nothing was undone"]);
    assert_eq!(rows(&bench), AFTER);

    let never = format!("{NEWEST};\nDELETE FROM gov.approvals");
    let bench = planned("rb_never", ("writes.n = 3", Some(&never)), "");
    bench.mini_apply(&[]).expect(0);
    bench.engine(&["rollback", "latest"]).expect(42).says(&["gov.approvals", "never"]);
    assert_eq!(rows(&bench), AFTER);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM gov.approvals"), "1");
}

#[test]
fn a_rollback_that_does_not_lead_back_is_seen() {
    let fewer = NEWEST.replace("LIMIT 3", "LIMIT 2");
    let bench = planned("rb_unequal", ("writes.n = 3", Some(&fewer)), "");
    bench.mini_apply(&[]).expect(0);
    // That of `b` takes the newest three too: one of the four that are left is not there any more.
    bench.engine(&["rollback", "latest"]).expect(44).says(&[
        "not equal: the clone rolled back, and `base`",
        "public.n",
        "undone, and stay so: `c`, `b`, `a`",
        "engine drop",
    ]);
}

#[test]
fn a_stage_is_gone_back_over_and_corrected_as_often_as_it_takes() {
    let bench = short("rb_corrected");
    bench.mini_apply(&[]).expect(0);
    for word in ["newer", "newest"] {
        bench.engine(&["rollback", "latest", "--to", "a"]).expect(0);
        let template = "templates/mini/b.sql";
        let text = bench.read(template);
        bench.write(template, &text.replace(if word == "newer" { "'new'" } else { "'newer'" }, &format!("'{word}'")));
        bench.engine(&["resume"]).expect(62).says(&["b.sql"]);
        bench.engine(&["resume", "--accept-changes"]).expect(0);
        assert_eq!(bench.psql(bench.clone_name(), &format!("SELECT count(*) FROM n WHERE v = '{word}'")), "3");
        assert_eq!(rows(&bench), AFTER);
    }
    // What was accepted holds from then on: what is committed must be that.
    bench.edit("templates/mini/b.sql", "'newest'", "'new'");
    bench.engine(&["rollback", "latest"]).expect(62);
    bench.engine(&["rollback", "latest", "--accept-changes"]).expect(62).says(&["committed", "b"]);
}

#[test]
fn a_rollout_is_never_undone_by_this_verb() {
    let rest = to_the_packet("\"look\"", "\"a\"", "us = 77");
    let bench = planned("rb_rollout", ("writes.n = 3", Some(NEWEST)), &rest.replace("us = 77", "oks = 77"));
    bench.mini_apply(&[]).expect(0);
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    bench.engine(&["apply", MINI_ROLLOUT]).expect(0);
    let before = bench.all_of(bench.production());
    assert_eq!(bench.psql(bench.production(), "SELECT count(*) FROM u"), "2");
    let lines = bench.journal().events.len();
    bench.engine(&["rollback", "latest"]).expect(50).says(&[
        "rolled out to `production`, which is no clone",
        "rollback.sql",
        "nothing was changed",
    ]);
    assert_same(&bench.all_of(bench.production()), &before, "production was changed");
    assert_eq!(bench.journal().events.len(), lines);
}

/// Its COMMIT may have been sent when the engine was killed: the server is asked, and nothing is sent again.
#[test]
fn a_rollout_of_which_nobody_knows_is_asked_for_and_not_sent_again() {
    let rest = to_the_packet("\"look\"", "\"a\"", "us = 77");
    let bench = planned("rb_asked", ("writes.n = 3", Some(NEWEST)), &rest.replace("us = 77", "oks = 77"));
    bench.mini_apply(&[]).expect(0);
    bench.engine(&["drop", &bench.run_id()]).expect(0);
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    let plan = bench.read(MINI);
    let (plan, _) = plan.split_once("[stage.r]").expect("the rehearsal");
    let plan = plan.replace(
        "url = \"env:SHOP_PRODUCTION_URL\"\naccess = \"read\"",
        "url = \"env:MINI_WRITER_URL\"\naccess = \"write\"",
    );
    let go = "[var.packet]\ntype = \"packet\"\ndefault = \"latest\"\n[stage.go]\nkind = \"rollout\"\non = \"production\"\n\
              needs = [\"look\"]\npacket = \"{{ packet }}\"\nno_guard = \"the packet brings its own\"\n";
    bench.write("plans/both.toml", &format!("{plan}{go}"));
    for (at, stands) in [("journal/commit_intended/go/synced#1", false), ("journal/stage_committed/go/before#1", true)]
    {
        bench.killed(&["apply", "plans/both.toml"], at);
        assert_eq!(rows(&bench), AFTER, "{at}");
        let before = bench.all_of(bench.production());
        let outcome = bench.engine(&["rollback", "latest"]);
        assert_same(&bench.all_of(bench.production()), &before, "production was changed");
        if stands {
            outcome.expect(50).says(&["`go` rolled out to `production`, which is no clone", "nothing was undone"]);
            assert_eq!(rows(&bench), AFTER, "{at}");
        } else {
            outcome.expect(0);
            assert_eq!(rows(&bench), BEFORE, "{at}");
            let aborted = |event: &Event| matches!(event, Event::CommitAborted { stage, .. } if stage == "go");
            assert!(bench.journal().events.iter().any(aborted), "what the server said is not written down");
        }
        bench.engine(&["verify", "latest"]).expect(0);
        bench.engine(&["drop", &bench.run_id()]).expect(0);
    }
}

#[test]
fn another_clone_changed_inputs_and_another_process_are_refused() {
    let bench = short("rb_refused");
    bench.mini_apply(&[]).expect(0);
    let clone = bench.clone_name().to_owned();
    let template = "templates/mini/b.rollback.sql";
    let text = bench.read(template);
    bench.write(template, &format!("-- other\n{text}"));
    bench.engine(&["rollback", "latest"]).expect(62).says(&["b.rollback.sql", "nothing was changed"]);
    bench.engine(&["rollback", "latest", "--accept-changes"]).expect(62).says(&["committed", "b"]);
    // What is to be typed does no more than what was.
    for (verb, only) in [("rollback", ["--to", "a"]), ("resume", ["--until", "c"])] {
        let again = format!("engine {verb} {} {} --accept-changes", bench.run_id(), only.join(" "));
        bench.engine(&[verb, "latest", only[0], only[1]]).expect(62).says(&[&again]);
    }
    bench.write(template, &text);

    bench.psql("postgres", &format!("ALTER DATABASE {clone} RENAME TO {clone}_away"));
    bench.psql("postgres", &format!("CREATE DATABASE {clone} OWNER engine_cloner"));
    bench.engine(&["rollback", "latest"]).expect(63).says(&[&clone]);
    bench.psql("postgres", &format!("DROP DATABASE {clone}"));
    bench.psql("postgres", &format!("ALTER DATABASE {clone}_away RENAME TO {clone}"));

    let session = bench.session(&clone, "BEGIN; LOCK TABLE n IN SHARE MODE;");
    let mut first = bench.start(&["rollback", "latest"]);
    bench.wait_for(&mut first, |event| matches!(event, Event::UndoStarted { .. }));
    bench.engine(&["rollback", "latest"]).expect(60);
    bench.engine(&["resume"]).expect(60);
    drop(session);
    assert_eq!(first.end(), Some(0));
    assert_eq!(rows(&bench), BEFORE);
}

#[test]
fn a_signal_ends_it_cleanly_and_what_was_undone_stays_so() {
    let bench = short("rb_signal");
    bench.mini_apply(&[]).expect(0);
    let session = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE u IN SHARE MODE;");
    let mut engine = bench.start(&["rollback", "latest"]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::UndoStarted { stage, .. } if stage == "a"));
    engine.signal("INT");
    assert_eq!(engine.end(), Some(130));
    assert!(bench.journal().verdict().starts_with("interrupted: 2 stages undone"), "{}", bench.journal().verdict());
    assert_eq!(rows(&bench), "2|20|20");
    drop(session);
    bench.engine(&["rollback", "latest"]).expect(0).says(&["1 stage undone", "equal to `base`"]);
    assert_eq!(rows(&bench), BEFORE);
}

#[test]
fn killed_within_a_stage_it_is_settled_before_anything_is_undone() {
    let bench = short("rb_forward");
    let killed = bench.command(&["apply", MINI]).env("ENGINE_CRASH_AT", "commit/answered#2").output().expect("engine");
    assert_eq!(killed.status.signal(), Some(9));
    bench.wait_for_silence();
    // `b` is committed, and the journal does not say so.
    assert_eq!(rows(&bench), "2|23|20");
    bench.engine(&["rollback", "latest"]).expect(0).says(&["2 stages undone", "equal to `base`"]);
    assert_eq!(undone(&bench), ["b", "a"]);
    assert_eq!(rows(&bench), BEFORE);

    let bench = short("rb_forward_2");
    let killed = bench.command(&["apply", MINI]).env("ENGINE_CRASH_AT", "commit/b/flushed#1").output().expect("engine");
    assert_eq!(killed.status.signal(), Some(9));
    bench.engine(&["rollback", "latest"]).expect(0).says(&["1 stage undone", "equal to `base`"]);
    assert_eq!(rows(&bench), BEFORE);
}

/// Places that are tried when not all are: of `b`, where its transaction goes on, and half a line of each step.
fn chosen(place: &str) -> bool {
    let half = ["undo_started", "undo_intended", "undo_committed", "undone"];
    ["undo/b/", "commit/answered#2", "statement/executed#2"].iter().any(|start| place.starts_with(start))
        || half.iter().any(|event| place.starts_with(&format!("journal/{event}/b/half")))
        || place.starts_with("journal/undone/b/synced")
}

/// Kills the engine there, and takes it up again by `again`.
fn crash(bench: &Bench, at: &str, again: &str) -> Result<(), String> {
    let killed = bench.command(&["rollback", "latest"]).env("ENGINE_CRASH_AT", at).output().expect("the engine");
    if killed.status.signal() != Some(9) {
        return Err(format!("it did not crash: {}", String::from_utf8_lossy(&killed.stderr)));
    }
    let repeated = bench.engine(&[again, "latest"]);
    if repeated.code != 0 {
        return Err(format!("{again} ended with {}\n{}", repeated.code, repeated.all()));
    }
    let (found, wanted) = (rows(bench), if again == "rollback" { BEFORE } else { AFTER });
    if found != wanted {
        return Err(format!("after {again}: {found}, not {wanted}"));
    }
    let resumed = bench.engine(&["resume"]);
    if resumed.code != 0 || rows(bench) != AFTER {
        return Err(format!("forward again: {} {}\n{}", resumed.code, rows(bench), resumed.all()));
    }
    let events = bench.journal().events;
    let count = |wanted: fn(&Event, &str) -> bool, stage: &str| events.iter().filter(|e| wanted(e, stage)).count();
    for stage in ["a", "b", "c"] {
        let forward = count(|e, name| matches!(e, Event::StageCommitted { stage, .. } if stage == name), stage);
        let back = count(|e, name| matches!(e, Event::UndoCommitted { stage, .. } if stage == name), stage);
        if forward != back + 1 {
            return Err(format!("{stage}: {forward} times forward, {back} times back"));
        }
    }
    Ok(())
}

/// A rollback, killed at places of it and taken up again; `make crash-matrix` takes all places.
#[test]
fn killed_at_every_place_it_undoes_each_stage_once() {
    let bench = short("rb_crash");
    bench.mini_apply(&[]).expect(0);
    let first = bench.all_of(bench.clone_name());
    let log = bench.home().join("places");
    let passed = bench.command(&["rollback", "latest"]).env("ENGINE_CRASH_LOG", &log).output().expect("the engine");
    assert_eq!(passed.status.code(), Some(0));
    bench.engine(&["resume"]).expect(0);
    let places: Vec<String> = bench.read("places").lines().map(str::to_owned).collect();
    let all = std::env::var_os("CRASH_MATRIX").is_some();
    let picked: Vec<&String> = places.iter().filter(|place| all || chosen(place)).collect();
    let kinds: BTreeSet<&str> = places.iter().filter_map(|place| place.split('#').next()).collect();
    println!("{} places of {} names, {} tried", places.len(), kinds.len(), picked.len());
    assert!(picked.len() >= 11, "{places:?}");
    let mut wrong = Vec::new();
    for (number, at) in picked.into_iter().enumerate() {
        // Taken up by the same verb, or by going on forward; by both where COMMIT is near.
        let near = at.starts_with("undo/") || all && (at.starts_with("commit/") || at.contains("undo_committed"));
        let ways: &[&str] = if near { &["rollback", "resume"] } else { &[["rollback", "resume"][number % 2]] };
        wrong.extend(ways.iter().filter_map(|again| Some(format!("{at}: {}", crash(&bench, at, again).err()?))));
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }
    assert_same(&bench.all_of(bench.clone_name()), &first, "after so many rounds the clone is another one");
    bench.engine(&["verify", "latest"]).expect(0);
}
