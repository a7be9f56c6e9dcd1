//! A run that was stopped, in any way, goes on from its journal: nothing twice, nothing lost, or it says why not.

mod support;

use engine::event::Event;
use std::os::unix::process::ExitStatusExt;
use support::{Bench, MAIN_JOB, ROLLOUT, files};

const VERDICT: &str = "technical GO, production BLOCKED: ospa = 0, needs ospa >= 1";

/// What the stages leave on the clone.
const WRITTEN: &str =
    "SELECT (SELECT count(*) FROM gov_ownership_anchors), (SELECT count(*) FROM gov_candidate_objects),
                              (SELECT count(*) FROM gov_issues WHERE status = 'triaged'),
                              (SELECT count(*) FROM gov_events), (SELECT max(position) FROM gov_events)";

const ALL_WRITTEN: &str = "30|210|6|6|6";

/// Result and criterion of every row of the dossier's verdict, without the evidence: that has times in it.
fn criteria(bench: &Bench) -> Vec<String> {
    let page = bench.read(&bench.of_run("dossier/12-go-no-go.md"));
    assert!(page.starts_with(&format!("# {VERDICT}\n")), "{page}");
    let rows = page.lines().filter(|line| line.starts_with("| "));
    rows.map(|row| row.split(" | ").take(2).collect::<Vec<_>>().join(" | ")).collect()
}

/// The run ended well, whatever happened on the way.
fn ended_well(bench: &Bench) {
    let journal = bench.journal();
    assert_eq!(journal.verdict(), VERDICT);
    assert_eq!(bench.psql(bench.clone_name(), WRITTEN), ALL_WRITTEN);
    for stage in ["a_seed", "c_write_half", "d_boundary", "e_worker"] {
        let committed = |event: &Event| matches!(event, Event::StageCommitted { stage: s, .. } if s == stage);
        assert_eq!(journal.count(committed), 1, "{stage} was committed more than once");
    }
    assert_eq!(bench.runs().len(), 1);
    bench.engine(&["verify", &journal.run]).expect(0);
    let left =
        format!("SELECT string_agg(datname, ',') FROM pg_database WHERE datname LIKE 'engine\\_{}%'", journal.run);
    assert_eq!(bench.psql("postgres", &left), "", "a half-made database was left");
}

/// Kills the engine when its journal says `event`, and waits until the server noticed.
fn kill_at(bench: &Bench, event: impl Fn(&Event) -> bool) {
    let var = bench.clone_var();
    let mut engine = bench.start(&["apply", MAIN_JOB, "--var", &var]);
    bench.wait_for(&mut engine, event);
    assert_eq!(engine.kill().signal(), Some(9), "it ended before it was killed");
    bench.wait_for_silence();
}

#[test]
fn a_run_in_two_parts_ends_as_one_that_was_not_stopped() {
    let whole = Bench::new("whole");
    whole.apply(&[]).expect(0);
    let parts = Bench::new("parts");
    parts.apply(&["--until", "a_seed"]).expect(0);
    assert_eq!(parts.journal().done(), ["preflight", "clone", "baseline", "a_seed"]);
    assert_eq!(parts.psql(parts.clone_name(), "SELECT count(*) FROM gov_ownership_anchors"), "30");

    parts.engine(&["resume"]).expect(0).says(&[VERDICT]);
    ended_well(&parts);
    assert_eq!(criteria(&parts), criteria(&whole));
    let names = |bench: &Bench| {
        let folder = bench.home().join(bench.of_run("dossier"));
        files(&folder).iter().map(|file| file.strip_prefix(&folder).expect("below it").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&parts), names(&whole));

    let of_stages = |event: &Event| event.stage().is_some();
    let events = parts.journal().count(of_stages);
    parts.engine(&["resume"]).expect(0).says(&[VERDICT]);
    ended_well(&parts);
    assert_eq!(parts.journal().count(of_stages), events, "a run that was done did something again");
}

#[test]
fn killed_while_it_makes_the_clone_it_makes_it_anew() {
    let bench = Bench::new("kill_clone");
    kill_at(&bench, |event| matches!(event, Event::CloneBegun { .. }));
    assert!(!bench.exists(bench.clone_name()), "a half clone carries the clone's name");
    bench.engine(&["resume"]).expect(0).says(&[VERDICT]);
    ended_well(&bench);
}

#[test]
fn killed_around_a_commit_it_asks_the_server_and_commits_once() {
    let bench = Bench::new("kill_commit");
    kill_at(&bench, |event| matches!(event, Event::CommitIntended { stage, .. } if stage == "a_seed"));
    bench.engine(&["resume"]).expect(0).says(&[VERDICT]);
    ended_well(&bench);
}

#[test]
fn killed_between_commit_and_proof_it_proves_and_does_not_run_again() {
    let bench = Bench::new("kill_proof");
    kill_at(&bench, |event| matches!(event, Event::StageCommitted { stage, .. } if stage == "c_write_half"));
    bench.engine(&["resume"]).expect(0).says(&[VERDICT]);
    ended_well(&bench);
}

#[test]
fn killed_in_the_rehearsal_it_disposes_of_the_copy() {
    let bench = Bench::new("kill_copy");
    let var = bench.clone_var();
    let mut engine = bench.start(&["apply", MAIN_JOB, "--var", &var]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::StageStarted { stage } if stage == "f_rollback"));
    let copy = format!("SELECT count(*) FROM pg_database WHERE datname = 'engine_{}_copy'", bench.run_id());
    bench.wait_until("postgres", &copy, "1");
    engine.kill();
    bench.wait_for_silence();
    assert_eq!(bench.psql("postgres", &copy), "1", "the engine was killed too late");
    bench.engine(&["resume"]).expect(0).says(&[VERDICT]);
    ended_well(&bench);
}

#[test]
fn a_signal_ends_it_cleanly_and_says_how_to_go_on() {
    let bench = Bench::new("signals");
    let var = bench.clone_var();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let command = if name == "INT" { vec!["apply", MAIN_JOB, "--var", &var] } else { vec!["resume"] };
        let mut engine = bench.start(&command);
        let begun = if name == "INT" { "clone" } else { "f_rollback" };
        bench.wait_for(&mut engine, |event| matches!(event, Event::StageStarted { stage } if stage == begun));
        engine.signal(name);
        assert_eq!(engine.end(), Some(code), "after SIG{name}");
        let journal = bench.journal();
        assert!(journal.verdict().starts_with("interrupted"), "{}", journal.verdict());
        bench.wait_for_silence();
    }
    bench.engine(&["resume"]).expect(0).says(&[VERDICT]);
    ended_well(&bench);
}

#[test]
fn a_torn_last_line_is_cut_and_recorded() {
    let bench = Bench::new("torn");
    bench.apply(&["--until", "preflight"]).expect(0);
    let file = bench.of_run("journal.jsonl");
    let text = bench.read(&file);
    let torn = r#"{"v":1,"seq":99,"at":"2026-"#;
    bench.write(&file, &format!("{text}{torn}"));
    bench.engine(&["resume"]).expect(0).says(&[VERDICT]);
    let recorded =
        |event: &Event| matches!(event, Event::RunResumed { torn: Some(bytes), .. } if *bytes == torn.len() as u64);
    assert_eq!(bench.journal().count(recorded), 1);
    assert!(bench.read(&file).starts_with(&text));
    ended_well(&bench);
}

#[test]
fn a_changed_template_stops_a_resume_unless_it_is_accepted() {
    let bench = Bench::new("changes");
    bench.apply(&["--until", "a_seed"]).expect(0);
    let later = "templates/clone_a_to_g/e_worker.sql";
    let text = bench.read(later);
    bench.write(later, &format!("-- corrected\n{text}"));
    bench.engine(&["resume"]).expect(62).says(&["e_worker.sql", "--accept-changes", "nothing was changed"]);

    let committed = "templates/clone_a_to_g/a_seed.sql";
    let seed = bench.read(committed);
    bench.write(committed, &format!("-- corrected\n{seed}"));
    bench.engine(&["resume", "--accept-changes"]).expect(62).says(&["a_seed", "committed"]);
    bench.write(committed, &seed);
    assert_eq!(bench.journal().done().len(), 4, "a refused resume did something");

    bench.engine(&["resume", "--accept-changes"]).expect(0).says(&[VERDICT]);
    ended_well(&bench);
    let review = bench.read(&bench.of_run("dossier/13-self-review.md"));
    assert!(review.contains("e_worker.sql"), "the deviation is not in the dossier\n{review}");
    let (packet, _) = bench.packet();
    assert!(
        bench.read(&format!("{packet}/apply.sql")).contains("-- corrected"),
        "the packet is not from the new template"
    );
    assert!(bench.read(&format!("{packet}/GO-NO-GO.md")).contains("e_worker.sql"), "the approver does not see it");
    bench.engine(&["verify", &packet]).expect(0);
}

#[test]
fn a_changed_plan_stops_a_resume() {
    let bench = Bench::new("plan");
    bench.apply(&["--until", "preflight"]).expect(0);
    bench.edit(MAIN_JOB, "ensure.no_gap = \"gap = 0\"", "ensure.no_gap = \"gap >= 0\"");
    bench.engine(&["resume"]).expect(62).says(&["clone_a_to_g.toml"]);
    assert!(!bench.exists(bench.clone_name()));
}

#[test]
fn a_clone_that_went_away_or_was_exchanged_is_noticed() {
    let bench = Bench::new("gone");
    let clone = bench.clone_name();
    bench.apply(&["--until", "baseline"]).expect(0);
    bench.psql("postgres", &format!("ALTER DATABASE {clone} RENAME TO {clone}_away"));
    bench.engine(&["resume"]).expect(63).says(&[clone, "gone"]);

    let stranger = "OWNER engine_cloner ALLOW_CONNECTIONS false";
    bench.psql("postgres", &format!("CREATE DATABASE {clone} TEMPLATE {clone}_away {stranger}"));
    bench.engine(&["resume"]).expect(63).says(&[clone]);
    let open = format!("SELECT datallowconn FROM pg_database WHERE datname = '{clone}'");
    assert_eq!(bench.psql("postgres", &open), "f", "a database that is not ours was opened");
    let marker = "SELECT format('COMMENT ON DATABASE %I IS %L', '{clone}', shobj_description(oid, 'pg_database'))
                  FROM pg_database WHERE datname = '{clone}_away'";
    let comment = bench.psql("postgres", &marker.replace("{clone}", clone));
    bench.psql("postgres", &comment);
    bench.engine(&["resume"]).expect(63).says(&[clone]);
    assert_eq!(bench.psql("postgres", &open), "f", "a database with a forged marker was opened");

    bench.psql("postgres", &format!("DROP DATABASE {clone}"));
    bench.psql("postgres", &format!("ALTER DATABASE {clone}_away RENAME TO {clone}"));
    bench.engine(&["resume"]).expect(0);
    ended_well(&bench);
}

#[test]
fn a_second_engine_keeps_away_and_names_the_first() {
    let bench = Bench::new("two");
    let var = bench.clone_var();
    let mut first = bench.start(&["apply", MAIN_JOB, "--var", &var]);
    bench.wait_for(&mut first, |event| matches!(event, Event::StageStarted { stage } if stage == "clone"));
    first.signal("STOP");
    let run = bench.run_id();
    let pid = first.id().to_string();
    bench.apply(&[]).expect(60).says(&[&run, &pid]);
    bench.apply(&["--replace"]).expect(60).says(&[&run]);
    bench.engine(&["resume", &run]).expect(60);
    bench.engine(&["drop", &run]).expect(60);
    first.signal("CONT");
    assert_eq!(first.end(), Some(0));
    ended_well(&bench);
}

#[test]
fn a_rollout_that_was_killed_is_applied_once() {
    let bench = Bench::new("kill_rollout");
    bench.apply(&[]).expect(0);
    let ratify =
        "INSERT INTO os_proposal_approvals (request_code, level, approver) VALUES ('APR-BOOT-AUTHMODEL-1', 'L4', 'x')";
    bench.psql(bench.production(), ratify);
    let mut engine = bench.start(&["apply", ROLLOUT]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::CommitIntended { stage, .. } if stage == "apply"));
    engine.kill();
    bench.wait_until(bench.production(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", "0");
    bench.engine(&["resume"]).expect(0);
    // The rows are there once. If the killed transaction was rolled back, its identity values are gone for good: a
    // sequence is not taken back, so the cursor is compared with the events and not with a number.
    let (rows, _position) = ALL_WRITTEN.rsplit_once('|').expect("columns");
    assert!(bench.psql(bench.production(), WRITTEN).starts_with(&format!("{rows}|")));
    let at_the_end = "SELECT position = (SELECT max(position) FROM gov_events) FROM gov_worker_cursors";
    assert_eq!(bench.psql(bench.production(), at_the_end), "t");
    let journal = bench.journal();
    assert_eq!(journal.count(|event| matches!(event, Event::StageCommitted { stage, .. } if stage == "apply")), 1);
}

/// What `nextval` would give for the identity column of events.
const NEXT_POSITION: &str =
    "SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END FROM gov_events_position_seq";

#[test]
fn a_failed_attempt_puts_its_sequences_back_so_that_the_corrected_one_can_be_rehearsed() {
    let bench = Bench::new("sequences");
    let (right, wrong) = ("\"open_issues = 6 AND events = 6\"", "\"open_issues = 6 AND events = 7\"");
    bench.edit(MAIN_JOB, right, wrong);
    bench.apply(&[]).expect(41).says(&["events is 6", "the clone is as before `d_boundary`"]);
    assert_eq!(bench.psql(bench.clone_name(), NEXT_POSITION), "1", "the clone is not as before");

    bench.edit(MAIN_JOB, wrong, right);
    bench.engine(&["resume", "--accept-changes"]).expect(0).says(&[VERDICT]);
    ended_well(&bench);
}

#[test]
fn killed_within_a_stage_its_sequences_are_put_back_by_the_next_attempt() {
    let bench = Bench::new("kill_sequences");
    kill_at(&bench, |event| matches!(event, Event::Statements { stage, .. } if stage == "d_boundary"));
    bench.engine(&["resume"]).expect(0).says(&[VERDICT]);
    ended_well(&bench);
}

#[test]
fn rejects_of_a_check_leave_the_clone_as_it_was() {
    let bench = Bench::new("check_rejects");
    let check = "[stage.looks_again]\nkind = \"check\"\non = \"clone\"\nneeds = [\"d_boundary\"]\nno_guard = \"only tries\"\n\
                 reject.event.file = \"clone_a_to_g/reject/again.sql\"\n\
                 reject.event.no_permit = \"each has been raised\"\n\
                 reject.event.refuse.twice = { error = \"23505\" }\n\n";
    bench.write(
        "templates/clone_a_to_g/reject/again.sql",
        "INSERT INTO public.gov_events (event_type, issue_code, recorded_at)\n\
         SELECT event_type, issue_code, recorded_at FROM public.gov_events;\n",
    );
    bench.edit(MAIN_JOB, "[stage.e_worker]\n", &format!("{check}[stage.e_worker]\n"));
    bench.edit(MAIN_JOB, "needs = [\"d_boundary\"]\nguard.events_wait", "needs = [\"looks_again\"]\nguard.events_wait");
    bench.apply(&["--until", "looks_again"]).expect(0).says(&["1 refused"]);
    assert_eq!(bench.psql(bench.clone_name(), NEXT_POSITION), "7", "the reject's values were not put back");
}
