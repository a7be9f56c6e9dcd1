//! The main job, end to end: `plans/clone_a_to_g.toml` on a real PostgreSQL, from the seed to the sealed packet.

mod support;

use engine::event::Moment;
use support::{Bench, assert_same, files};

/// The stages, in the order they are done.
const STAGES: [&str; 11] = [
    "preflight",
    "clone",
    "baseline",
    "a_seed",
    "b_read",
    "c_write_half",
    "d_boundary",
    "e_worker",
    "f_rollback",
    "production_impact",
    "g_rollout",
];

const VERDICT: &str = "technical GO, production BLOCKED: ospa = 0, needs ospa >= 1";

#[test]
fn the_pipeline_runs_from_a_to_g_and_production_stays_what_it_was() {
    let bench = Bench::new("a_to_g");
    let before = bench.all_of(bench.production());

    bench.apply(&[]).expect(0).says(&[VERDICT]);

    let journal = bench.journal();
    assert_eq!(journal.done(), STAGES);
    assert_eq!(journal.verdict(), VERDICT);
    assert_eq!(journal.reading("a_seed", Moment::Before, "gap"), "210");
    assert_eq!(journal.reading("a_seed", Moment::After, "gap"), "0");
    assert_eq!(journal.reading("b_read", Moment::Before, "coverage"), "100.00");
    assert_same(&bench.all_of(bench.production()), &before, "production was changed");
    the_clone_holds_what_the_programme_wants(&bench);
    the_dossier_is_numbered_in_schedule_order(&bench);
    the_clone_is_marked_and_shut(&bench, &journal.run);
    assert!(!bench.exists(&format!("engine_{}_copy", journal.run)), "the rehearsal's copy is still there");
    assert!(!bench.exists(&format!("engine_{}", journal.run)), "the clone under its working name is still there");
    what_was_sealed_verifies(&bench);
}

fn the_clone_holds_what_the_programme_wants(bench: &Bench) {
    let counts = "SELECT (SELECT count(*) FROM gov_coverage_gap), (SELECT count(*) FROM gov_ownership_anchors),
                         (SELECT count(*) FROM gov_candidate_objects WHERE state_code = 'covered'),
                         (SELECT count(*) FROM gov_issues WHERE status = 'triaged'), (SELECT count(*) FROM gov_events),
                         (SELECT round(100.0 * count(owner_role) / count(*), 2) FROM gov_coverage)";
    assert_eq!(bench.psql(bench.clone_name(), counts), "0|30|210|6|6|100.00");
    let signed = format!("SELECT count(*) FROM gov_ownership_anchors WHERE run_id = '{}'", bench.run_id());
    assert_eq!(bench.psql(bench.clone_name(), &signed), "30");
}

fn the_dossier_is_numbered_in_schedule_order(bench: &Bench) {
    let folder = bench.home().join(bench.of_run("dossier"));
    let mut wanted = vec!["00-overview.md".to_owned()];
    wanted.extend(STAGES.iter().enumerate().map(|(at, stage)| format!("{:02}-{}.md", at + 1, stage.replace('_', "-"))));
    wanted.extend(["12-go-no-go.md".to_owned(), "13-self-review.md".to_owned()]);
    let found: Vec<String> = files(&folder)
        .iter()
        .filter(|file| file.parent() == Some(&folder))
        .map(|file| file.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(found, wanted);
    assert!(bench.read(&bench.of_run("dossier/12-go-no-go.md")).contains(VERDICT));
    let sums = std::process::Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(folder.join("sql"))
        .output()
        .expect("sha256sum");
    assert!(sums.status.success(), "{}", String::from_utf8_lossy(&sums.stdout));
    let listed = bench.read(&bench.of_run("dossier/sql/SHA256SUMS")).lines().count();
    assert_eq!(files(&folder.join("sql")).len(), listed + 1, "a file that SHA256SUMS does not list");
    assert!(bench.read(&bench.of_run("dossier/sql/a_seed.sql")).contains("INSERT INTO public.gov_ownership_anchors"));
}

fn the_clone_is_marked_and_shut(bench: &Bench, run: &str) {
    let (production, clone) = (bench.production(), bench.clone_name());
    let comment = bench.psql(
        clone,
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()",
    );
    let marker: serde_json::Value = serde_json::from_str(&comment).expect("a marker");
    assert_eq!((&marker["engine"], &marker["run"], &marker["role"]), (&1.into(), &run.into(), &"clone".into()));
    let public = "SELECT count(*) FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
                  WHERE datname = current_database() AND grantee = 0";
    assert_eq!(bench.psql(clone, public), "0", "PUBLIC may do something with the clone");
    assert!(bench.psql_as("gov_tenant", clone, "SELECT 1").is_err(), "a tenant gets into the clone");
    assert!(bench.psql_as("engine_reader", clone, "SELECT 1").is_err(), "production's reader gets into the clone");
    assert!(bench.psql_as("engine_stage", production, "SELECT 1").is_err(), "the stages' role gets into production");
    assert!(bench.psql_as("engine_cloner", production, "SELECT 1").is_err(), "the cloner gets into production");
    assert_eq!(bench.psql_as("engine_stage", clone, "SELECT 1").expect("the stages' role works there"), "1");
    let strong = "SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolsuper OR rolcreaterole OR rolreplication";
    assert_eq!(bench.psql("postgres", strong), "postgres");
    let foreign = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace
                   AND relowner <> 'engine_owner'::regrole";
    assert_eq!(bench.psql(clone, foreign), "0", "something in the clone is not engine_owner's");
}

fn what_was_sealed_verifies(bench: &Bench) {
    let (folder, id) = bench.packet();
    bench.engine(&["verify", &bench.run_id()]).expect(0).says(&["whole"]);
    bench.engine(&["verify", &folder]).expect(0).says(&[&id]);
    bench.engine(&["verify", &id]).expect(0);
    let sums = std::fs::read(bench.home().join(&folder).join("SHA256SUMS")).expect("a file");
    assert_eq!(engine::digest::hex(&sums), id);
    let decision: serde_json::Value =
        serde_json::from_str(&bench.read(&format!("{folder}/decision.json"))).expect("JSON");
    assert_eq!(decision["technical_go"], true);
    assert!(bench.read(&format!("{folder}/GO-NO-GO.md")).contains(VERDICT));
}

#[test]
fn a_clone_is_never_made_over_another_and_is_dropped_by_its_marker_only() {
    let bench = Bench::new("replace");
    let clone = bench.clone_name();
    bench.apply(&["--until", "a_seed"]).expect(0);
    let first = bench.run_id();

    bench.apply(&["--until", "clone"]).expect(63).says(&[clone, &first, "--replace", &format!("engine drop {first}")]);
    assert_eq!(bench.psql(clone, "SELECT count(*) FROM gov_ownership_anchors"), "30", "the first clone was touched");

    bench.apply(&["--until", "clone", "--replace"]).expect(0);
    let second = bench.run_id();
    assert_ne!(first, second);
    assert_eq!(bench.psql(clone, "SELECT count(*) FROM gov_ownership_anchors"), "0", "the clone was not replaced");

    bench.engine(&["drop", &first]).expect(0).says(&["no database left"]);
    assert!(bench.exists(clone), "the clone of another run was dropped");
    bench.engine(&["drop", &second]).expect(0).says(&[clone]);
    assert!(!bench.exists(clone));

    bench.psql("postgres", &format!("CREATE DATABASE {clone}"));
    bench.engine(&["drop", &second]).expect(63).says(&[clone, "marker"]);
    bench.apply(&["--replace"]).expect(63).says(&[clone]);
    assert!(bench.exists(clone), "a database that is not ours was dropped");
}

#[test]
fn with_json_every_line_of_stdout_is_a_versioned_event() {
    let bench = Bench::new("json");
    let outcome = bench.apply(&["--until", "b_read", "--json"]).expect(0);
    let lines: Vec<serde_json::Value> = outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    for line in &lines {
        assert_eq!(line["v"], 1, "{line}");
        assert!(line["type"].is_string(), "{line}");
    }
    let done: Vec<&str> =
        lines.iter().filter(|line| line["type"] == "stage_done").filter_map(|line| line["stage"].as_str()).collect();
    assert_eq!(done, &STAGES[..5]);
    assert_eq!(lines.last().expect("lines")["type"], "run_ended");

    let shown = bench.engine(&["show", "latest", "--json"]).expect(0);
    assert_eq!(shown.stdout, bench.read(&bench.of_run("journal.jsonl")));
    let listed = bench.engine(&["runs", "--json"]).expect(0);
    let run: serde_json::Value = serde_json::from_str(&listed.stdout).expect("one line");
    assert_eq!(run["run"], bench.run_id());
}
