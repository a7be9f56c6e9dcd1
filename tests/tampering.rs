//! Something is not as it was declared, sealed or written down: the engine says so, with the code of that refusal,
//! and nothing of it is committed.

mod support;

use engine::event::Status;
use support::{Bench, MAIN_JOB, MINI};

const A_SEED: &str = "templates/clone_a_to_g/a_seed.sql";

/// Rows of the tables that the stages write, on the clone.
const WRITTEN: &str = "SELECT (SELECT count(*) FROM gov_ownership_anchors), (SELECT count(*) FROM gov_rulesets),
                              (SELECT count(*) FROM gov_issues)";

/// A plan that only looks at production: one probe, one guard over it.
fn looking(probe: &str, guard: &str) -> String {
    format!(
        r#"engine = 1
plan.name = "looking"
target.production = {{ url = "env:ENGINE_PRODUCTION_URL", access = "read" }}
probe.seen = {{ on = "production", sql = "{probe}" }}

[stage.look]
kind = "check"
on = "production"
needs = []
guard.as_known = "{guard}"
"#
    )
}

fn written(bench: &Bench) -> String {
    bench.psql(bench.clone_name(), WRITTEN)
}

#[test]
fn one_byte_of_a_template_makes_the_lock_stale() {
    let bench = Bench::new("lock");
    bench.engine(&["render", MAIN_JOB]).expect(0);
    bench.engine(&["render", MAIN_JOB, "--check"]).expect(0).says(&["fresh"]);
    bench.engine(&["check", MAIN_JOB]).expect(0).says(&["lock fresh"]);
    bench.edit(A_SEED, "WHERE g.is_active", "WHERE g.is_active ");

    bench.engine(&["check", MAIN_JOB]).expect(11).says(&["STALE"]);
    bench.engine(&["render", MAIN_JOB, "--check"]).expect(11).says(&["a_seed.sql"]);
    bench.engine(&["apply", MAIN_JOB, "--locked"]).expect(11).says(&[
        "a_seed.sql",
        "engine render",
        "nothing was changed",
    ]);
    assert!(bench.runs().is_empty(), "a run was begun");
    assert!(!bench.exists("directus_gov_test_20260602"), "a clone was made");

    bench.engine(&["render", MAIN_JOB]).expect(0);
    bench.engine(&["render", MAIN_JOB, "--check"]).expect(0);
}

/// The engine as its arguments stand, where nobody is at a terminal, or somebody is.
fn as_typed(bench: &Bench, terminal: bool, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = bench.command(&[]);
    if terminal {
        let line = format!("{} {}", command.get_program().display(), arguments.join(" "));
        let environment: Vec<_> = command.get_envs().map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned))).collect();
        command = std::process::Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .current_dir(bench.home())
            .env_clear()
            .stdin(std::process::Stdio::null());
        command.envs(environment.into_iter().filter_map(|(name, value)| Some((name, value?))));
    } else {
        command.args(arguments);
    }
    let output = command.output().expect("the engine");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("the engine prints UTF-8"))
}

#[test]
fn where_nobody_is_at_a_terminal_only_what_is_locked_runs() {
    let bench = Bench::mini("unattended", "");
    bench.mini_plan("");
    let (code, said) = as_typed(&bench, false, &["apply", MINI]);
    assert_eq!(code, Some(11), "{said}");
    for text in ["is not there", "engine render plans/mini.toml", "--unlocked", "nothing was changed"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(bench.runs().is_empty(), "a run was begun");

    bench.engine(&["render", MINI]).expect(0);
    let (code, said) = as_typed(&bench, false, &["apply", MINI, "--until", "pre"]);
    assert_eq!(code, Some(0), "{said}");
    bench.edit(MINI, "count(*) FROM public.u", "count(*) + 1 FROM public.u");
    let (code, said) = as_typed(&bench, false, &["apply", MINI, "--until", "pre"]);
    assert!(code == Some(11) && said.contains("is stale") && said.contains("predicates.sql"), "{said}");
    let (code, said) = as_typed(&bench, false, &["apply", MINI, "--until", "pre", "--unlocked"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = as_typed(&bench, true, &["apply", MINI, "--until", "pre"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(bench.runs().len(), 3);
}

#[test]
fn a_lock_that_was_edited_or_added_to_is_stale_as_well() {
    let bench = Bench::new("edited");
    bench.engine(&["render", MAIN_JOB]).expect(0);
    let locked = "sql/clone_a_to_g/e_worker.sql";
    let text = bench.read(locked);
    bench.write(locked, &format!("{text}\n"));
    bench.engine(&["apply", MAIN_JOB, "--locked"]).expect(11).says(&["e_worker.sql"]);
    bench.write(locked, &text);
    bench.write("sql/clone_a_to_g/z_more.sql", "SELECT 1;\n");
    bench.engine(&["apply", MAIN_JOB, "--locked"]).expect(11).says(&["z_more.sql"]);
}

#[test]
fn a_stage_that_writes_more_than_its_bound_commits_nothing() {
    let bench = Bench::new("bound");
    bench.edit(MAIN_JOB, "writes.gov_ownership_anchors = 30", "writes.gov_ownership_anchors = 29");
    bench.apply(&["--until", "a_seed"]).expect(42).says(&["gov_ownership_anchors", "30", "29", "rolled back"]);
    assert_eq!(written(&bench), "0|0|0");
    assert!(matches!(bench.journal().status("a_seed"), Status::Failed(_)));
}

#[test]
fn a_trigger_that_writes_elsewhere_is_a_breach_of_the_stage() {
    let bench = Bench::new("aside");
    let trigger = "CREATE FUNCTION aside() RETURNS trigger LANGUAGE plpgsql AS $$
                   BEGIN INSERT INTO gov_rulesets VALUES ('ASIDE', '{}') ON CONFLICT DO NOTHING; RETURN NEW; END $$;
                   CREATE TRIGGER aside AFTER INSERT ON gov_ownership_anchors FOR EACH ROW EXECUTE FUNCTION aside();
                   ALTER FUNCTION aside() OWNER TO directus";
    bench.psql(bench.production(), trigger);
    bench.apply(&["--until", "a_seed"]).expect(42).says(&["gov_rulesets", "rolled back"]);
    assert_eq!(written(&bench), "0|0|0");
}

#[test]
fn an_undeclared_definition_is_a_breach_as_well() {
    let bench = Bench::new("altered");
    let text = bench.read(A_SEED);
    bench.write(A_SEED, &format!("{text}CREATE INDEX more_idx ON public.gov_groups (title);\n"));
    bench.apply(&["--until", "a_seed"]).expect(42).says(&["definitions changed", "`alters`", "rolled back"]);
    assert_eq!(written(&bench), "0|0|0");
    assert_eq!(bench.psql(bench.clone_name(), "SELECT to_regclass('more_idx') IS NULL"), "t");
}

#[test]
fn a_false_ensure_rolls_the_stage_back() {
    let bench = Bench::new("ensure");
    bench.edit(MAIN_JOB, "before.gap = 210 AND gap = 0", "before.gap = 210 AND gap = 1");
    bench.apply(&["--until", "a_seed"]).expect(41).says(&["gap_closed", "before.gap", "210", "rolled back"]);
    assert_eq!(written(&bench), "0|0|0");
}

#[test]
fn a_false_guard_blocks_and_shows_all_readings() {
    let bench = Bench::new("guard");
    let more = "INSERT INTO apr_action_types VALUES ('more', 'More', 'L1');
                INSERT INTO gov_rulesets VALUES ('RS-0', '{}')";
    bench.psql(bench.production(), more);
    let said = ["approvals_as_known", "action_types", "15", "nothing_written_yet", "production_written", "1"];
    bench.apply(&[]).expect(30).says(&said);
    assert!(!bench.exists(bench.clone_name()), "a clone was made");
    assert!(bench.journal().done().is_empty());
}

#[test]
fn a_guard_that_cannot_be_evaluated_blocks_and_says_why() {
    let bench = Bench::new("unknown");
    let cases = [
        ("SELECT 1 WHERE false", "seen = 1", "no row"),
        ("SELECT generate_series(1, 2)", "seen = 1", "more than one row"),
        ("SELECT 1 / (count(*) - count(*)) FROM gov_seams", "seen = 1", "division by zero"),
        ("SELECT count(*) FROM no_such_table", "seen = 1", "no_such_table"),
        ("SELECT NULL::int", "seen = 1", "NULL"),
        ("SELECT 'x'::text", "seen::int = 1", "invalid input syntax"),
    ];
    for (probe, guard, why) in cases {
        let plan = bench.write("plans/looking.toml", &looking(probe, guard));
        bench.engine(&["apply", &plan.to_string_lossy()]).expect(31).says(&["as_known", "seen", why]);
    }
}

#[test]
fn a_refusal_that_does_not_happen_as_declared_fails_the_stage() {
    let bench = Bench::new("reject");
    let said = r#"refuse.unknown_severity = { with.severity = "fatal", error = "22P02" }"#;
    bench.edit(MAIN_JOB, said, &said.replace("22P02", "23514"));
    bench.apply(&["--until", "d_boundary"]).expect(43).says(&["unknown_severity", "23514", "22P02"]);
    assert_eq!(written(&bench), "30|1|0");
}

#[test]
fn a_value_that_should_be_refused_and_is_not_fails_the_stage() {
    let bench = Bench::new("accepted");
    let other = "SELECT min(scope_code) FROM gov_scopes WHERE scope_code NOT IN ('access', 'ownership')";
    let free = bench.psql(bench.production(), other);
    let said = r#"refuse.second_in_scope = { with.scope_code = "access","#;
    bench.edit(MAIN_JOB, said, &said.replace("access", &free));
    bench.apply(&["--until", "d_boundary"]).expect(43).says(&["second_in_scope"]);
    assert_eq!(written(&bench), "30|1|0");
}

#[test]
fn a_stage_that_is_not_idempotent_is_committed_and_not_done() {
    let bench = Bench::new("again");
    bench.edit(A_SEED, "DO NOTHING", "DO UPDATE SET owner_role = excluded.owner_role || clock_timestamp()");
    bench.apply(&["--until", "b_read"]).expect(44).says(&["idempotent", "a_seed"]);
    assert_eq!(bench.journal().status("a_seed"), Status::Committed);
    assert_eq!(bench.journal().done(), ["preflight", "clone", "baseline"]);
    assert_eq!(written(&bench), "30|0|0");

    // Resume repeats the proof, never the stage.
    bench.engine(&["resume"]).expect(44).says(&["idempotent"]);
    let committed = |event: &_| matches!(event, engine::event::Event::StageCommitted { .. });
    assert_eq!(bench.journal().count(committed), 1);
}

#[test]
fn a_stage_that_cannot_run_twice_is_not_idempotent() {
    let bench = Bench::new("twice");
    bench.edit(A_SEED, "ON CONFLICT (group_code, scope_code) DO NOTHING", "");
    bench.apply(&["--until", "a_seed"]).expect(44).says(&["idempotent", "gov_ownership_anchors_pkey"]);
    assert_eq!(bench.journal().status("a_seed"), Status::Committed);
}

#[test]
fn a_rollback_that_leaves_something_behind_is_no_rollback() {
    let bench = Bench::new("half");
    bench.edit(
        "templates/clone_a_to_g/a_seed.rollback.sql",
        "basis = 'group'",
        "basis = 'group' AND scope_code <> 'access'",
    );
    bench.apply(&["--until", "a_seed"]).expect(44).says(&["reversible", "gov_ownership_anchors"]);
    assert_eq!(bench.journal().status("a_seed"), Status::Committed);
    assert_eq!(written(&bench), "30|0|0", "the proof left its traces");
}

#[test]
fn a_changed_byte_of_a_run_is_seen() {
    let bench = Bench::new("bytes");
    bench.apply(&["--until", "preflight"]).expect(0);
    let run = bench.run_id();
    bench.engine(&["verify", &run]).expect(0);

    let journal = bench.of_run("journal.jsonl");
    let text = bench.read(&journal);
    let reading = r#"{"probe":"tools","kind":"int8","value":"309"}"#;
    bench.edit(&journal, reading, &reading.replace("309", "308"));
    bench.engine(&["verify", &run]).expect(62).says(&["TAMPERED", "line"]);
    bench.engine(&["resume", &run]).expect(62).says(&["TAMPERED"]);
    let without: Vec<&str> = text.lines().enumerate().filter(|(at, _)| *at != 4).map(|(_, line)| line).collect();
    bench.write(&journal, &(without.join("\n") + "\n"));
    bench.engine(&["verify", &run]).expect(62).says(&["TAMPERED"]);
    bench.write(&journal, &text);
    bench.engine(&["verify", &run]).expect(0);

    for file in ["fingerprints/preflight.own.json", "sql/a_seed.sql", "plan/clone_a_to_g.toml"] {
        let file = bench.of_run(file);
        let text = bench.read(&file);
        bench.write(&file, &text.replacen('e', "f", 1));
        let name = file.rsplit('/').next().expect("a name");
        bench.engine(&["verify", &run]).expect(62).says(&[name]);
        bench.write(&file, &text);
    }
    bench.engine(&["verify", &run]).expect(0);

    // The list of sums is anchored nowhere; what was given stands in the first line.
    let (plan, list) = (bench.of_run("plan/clone_a_to_g.toml"), bench.of_run("SHA256SUMS"));
    let (text, sums) = (bench.read(&plan), bench.read(&list));
    bench.write(&plan, &text.replacen('e', "f", 1));
    for list_of in [
        sums.replace(&engine::digest::hex(text.as_bytes()), &engine::digest::hex(bench.read(&plan).as_bytes())),
        String::new(),
    ] {
        bench.write(&list, &list_of);
        bench.engine(&["verify", &run]).expect(62).says(&["plan/clone_a_to_g.toml"]);
    }
    bench.write(&plan, &text);
    bench.write(&list, &sums);
    bench.engine(&["verify", &run]).expect(0);
}

/// The journal with `old` replaced by `new`, and every hash after it made to fit: what somebody who holds the file can do.
fn rewritten(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old} is not in the journal");
    let mut prev: Option<String> = None;
    let mut all = String::new();
    for line in text.replacen(old, new, 1).lines() {
        let mut line = line.to_owned();
        if let Some(prev) = &prev {
            let at = line.rfind("\"prev\":\"").expect("a line names the one before") + 8;
            line.replace_range(at..at + 64, prev);
        }
        let before = prev.unwrap_or_else(|| {
            let at = line.rfind("\"prev\":\"").expect("the first names the genesis") + 8;
            line[at..at + 64].to_owned()
        });
        prev = Some(engine::journal::link(&before, line.as_bytes()));
        all.push_str(&line);
        all.push('\n');
    }
    all
}

/// Whoever wrote it, and however well it hangs together.
#[test]
fn a_stage_that_is_committed_twice_is_seen() {
    let bench = Bench::new("twice");
    bench.apply(&["--until", "a_seed"]).expect(0);
    let journal = bench.of_run("journal.jsonl");
    let text = bench.read(&journal);
    let of = |what: &str| {
        let start = text.find(&format!("\"type\":\"{what}\",\"stage\":\"a_seed\"")).expect("such a line");
        let length = text[start..].find(",\"prev\":").expect("its end");
        text[start..start + length].to_owned()
    };
    bench.write(&journal, &rewritten(&text, &of("statements"), &of("stage_committed")));
    bench.engine(&["verify", "latest"]).expect(62).says(&["committed again", "stage `a_seed`: 2 times"]);
}

#[test]
fn a_verdict_that_does_not_follow_from_what_was_seen_is_seen() {
    let bench = Bench::new("verdicts");
    bench.apply(&["--until", "d_boundary"]).expect(0);
    bench.engine(&["verify", "latest"]).expect(0).says(&["verdicts follow"]);
    let journal = bench.of_run("journal.jsonl");
    let text = bench.read(&journal);
    let cases = [
        // A grade that nobody earned, a reading of a proof, a refusal with another error, a comparison that was not equal.
        (r#""passed":true,"grade":"strict""#, r#""passed":true,"grade":"convergent""#, "proof idempotent of `a_seed`"),
        ("gov_ownership_anchors: 30 inserted", "gov_ownership_anchors: 3 inserted", "its words are not those"),
        (r#""wanted":{"rows":30,"#, r#""wanted":{"rows":31,"#, "proof reversible of `a_seed`"),
        (r#""refused":{"error":"23503""#, r#""refused":{"error":"42703""#, "reject issue.orphan of `d_boundary`"),
        (r#""equal":true,"differences":[]"#, r#""equal":true,"differences":["x"]"#, "equal is true"),
    ];
    for (old, new, word) in cases {
        bench.write(&journal, &rewritten(&text, old, new));
        bench.engine(&["verify", "latest"]).expect(62).says(&["do not follow from what was seen", word]);
    }
    bench.write(&journal, &text);
    bench.engine(&["verify", "latest"]).expect(0);
}
