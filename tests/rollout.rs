//! The other half: a sealed packet goes to production once people have ratified it, and not before. By the engine
//! and by bare psql.

mod support;

use engine::event::Event;
use support::{Bench, Outcome, ROLLOUT, assert_same};

const RATIFY: &str = "INSERT INTO os_proposal_approvals (request_code, level, approver)
                      VALUES ('APR-BOOT-AUTHMODEL-1', 'L4', 'sovereign')";

const REVOKE: &str = "UPDATE os_proposal_approvals SET revoked_at = now()";

/// Gap, anchors, scanned pairs, triaged issues, events.
const COUNTS: &str = "SELECT (SELECT count(*) FROM gov_coverage_gap), (SELECT count(*) FROM gov_ownership_anchors),
                             (SELECT count(*) FROM gov_candidate_objects),
                             (SELECT count(*) FROM gov_issues WHERE status = 'triaged'), (SELECT count(*) FROM gov_events)";

const BEFORE: &str = "210|0|0|0|0";
const AFTER: &str = "0|30|210|6|6";

/// A bench where the packet lies sealed.
fn sealed(name: &str) -> Bench {
    let bench = Bench::new(name);
    bench.apply(&[]).expect(0);
    bench
}

fn rollout(bench: &Bench) -> Outcome {
    bench.engine(&["apply", ROLLOUT])
}

fn production(bench: &Bench, sql: &str) -> String {
    bench.psql(bench.production(), sql)
}

#[test]
fn the_gate_blocks_until_people_ratify_and_then_the_packet_is_applied_once() {
    let bench = sealed("gate");
    let before = bench.all_of(bench.production());

    rollout(&bench).expect(30).says(&["ratified", "ospa is 0", "ospa >= 1", "person", "was not changed"]);
    assert_same(&bench.all_of(bench.production()), &before, "a closed gate let something through");

    production(&bench, RATIFY);
    rollout(&bench).expect(0);
    assert_eq!(production(&bench, COUNTS), AFTER);
    let sealer = bench.runs()[0].clone();
    let signed = format!("SELECT count(*) FROM gov_ownership_anchors WHERE run_id = '{sealer}'");
    assert_eq!(production(&bench, &signed), "30", "the anchors name the run that was approved");
    the_approvals_were_held(&bench);

    let applied = bench.all_of(bench.production());
    rollout(&bench).expect(0).says(&["already applied"]);
    assert_same(&bench.all_of(bench.production()), &applied, "a second time changed something");
}

fn the_approvals_were_held(bench: &Bench) {
    let journal = bench.journal();
    let held = journal.events.iter().find_map(|event| match event {
        Event::RolledOut { held, already: false, .. } => Some(held),
        _ => None,
    });
    let held = held.expect("a rollout");
    assert!(held.iter().any(|table| table.contains("os_proposal_approvals")), "{held:?}");
}

#[test]
fn a_revoked_ratification_closes_the_gate_again() {
    let bench = sealed("revoked");
    production(&bench, RATIFY);
    production(&bench, REVOKE);
    rollout(&bench).expect(30).says(&["ratified", "ospa is 0"]);
    let file = format!("{}/apply.sql", bench.packet().0);
    bench.bare_psql("gov_rollout", &[], &file).says(&["ospa is 0"]);
    assert_eq!(production(&bench, COUNTS), BEFORE);
}

#[test]
fn nobody_can_revoke_or_roll_out_as_well_while_the_packet_is_being_applied() {
    let bench = Bench::new("held");
    // The rollout shall wait for a lock as long as this test needs it to.
    for plan in [support::MAIN_JOB, ROLLOUT] {
        bench.edit(plan, "lock_timeout = \"2s\"", "lock_timeout = \"2m\"");
    }
    bench.apply(&[]).expect(0);
    production(&bench, RATIFY);

    let reader = bench.session(bench.production(), "BEGIN; LOCK TABLE gov_ownership_anchors IN SHARE MODE;");
    let engine = bench.start(&["apply", ROLLOUT]);
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND relation = 'gov_ownership_anchors'::regclass";
    bench.wait_until(bench.production(), waits, "1");
    let refused = bench.psql_as("postgres", bench.production(), &format!("SET lock_timeout = '50ms'; {REVOKE}"));
    assert_eq!(refused.expect_err("a ratification was revoked").sqlstate.as_deref(), Some("55P03"));
    let first = bench.runs().last().expect("the first rollout").clone();
    let named = format!("held by engine {first} pid {} on ", engine.id());
    rollout(&bench).expect(60).says(&["another session runs a stage on `production`", &named, ", backend "]);
    drop(reader);

    assert_eq!(engine.end(), Some(0));
    assert_eq!(production(&bench, COUNTS), AFTER);
    production(&bench, REVOKE);
}

#[test]
fn bare_psql_is_stopped_by_the_same_gate_and_applies_the_same_packet_once() {
    let bench = sealed("psql");
    let file = format!("{}/apply.sql", bench.packet().0);
    let before = bench.all_of(bench.production());
    let options: [&[&str]; 6] = [
        &[],
        &["--single-transaction"],
        &["-v", "ON_ERROR_STOP=1"],
        &["-v", "AUTOCOMMIT=off"],
        &["-v", "SINGLELINE=on"],
        // A savepoint before each statement: what fails is taken back, and the file goes on.
        &["-v", "ON_ERROR_ROLLBACK=on"],
    ];
    for options in options {
        bench.bare_psql("gov_rollout", options, &file).says(&["blocked: gate ratified", "ospa is 0"]);
        assert_same(&bench.all_of(bench.production()), &before, &format!("psql {options:?} got through a closed gate"));
    }

    production(&bench, RATIFY);
    let applied = bench.bare_psql("gov_rollout", &[], &file).expect(0);
    assert!(!applied.stderr.contains("ERROR"), "{}", applied.stderr);
    assert_eq!(production(&bench, COUNTS), AFTER);

    let after = bench.all_of(bench.production());
    bench.bare_psql("gov_rollout", &["-v", "ON_ERROR_STOP=1"], &file).expect(3).says(&["already applied"]);
    assert_same(&bench.all_of(bench.production()), &after, "a second time changed something");
    rollout(&bench).expect(0).says(&["already applied"]);
    assert_same(&bench.all_of(bench.production()), &after, "the engine changed what psql had applied");
}

#[test]
fn a_role_that_could_write_the_approvals_is_refused() {
    let mut bench = sealed("forger");
    bench.psql("postgres", "CREATE ROLE rollout_forger LOGIN IN ROLE gov_rollout, gov_steward");
    bench.set("ENGINE_PRODUCTION_WRITER_URL", &bench.url("rollout_forger", bench.production()));
    production(&bench, RATIFY);
    rollout(&bench).expect(30).says(&["os_proposal_approvals", "REVOKE"]);
    assert_eq!(production(&bench, COUNTS), BEFORE);
}

#[test]
fn a_packet_that_is_not_what_was_sealed_is_refused() {
    let bench = sealed("forged");
    production(&bench, RATIFY);
    let folder = bench.packet().0;
    let verify = |what: &str| bench.engine(&["verify", &folder]).expect(62).says(&[what]);
    for name in ["apply.sql", "rollout.json", "decision.json", "stages/a_seed.sql", "evidence/journal.jsonl"] {
        let file = format!("{folder}/{name}");
        let text = bench.read(&file);
        bench.write(&file, &format!("{text} "));
        rollout(&bench).expect(62).says(&[name]);
        verify(name);
        bench.write(&file, &text);
    }
    let added = bench.write(&format!("{folder}/plan/more.sql"), "SELECT 1;\n");
    rollout(&bench).expect(62).says(&["more.sql", "added"]);
    verify("more.sql");
    std::fs::remove_file(added).expect("a file");
    std::fs::rename(bench.home().join(&folder).join("rollback.sql"), bench.home().join("away")).expect("a file");
    rollout(&bench).expect(62).says(&["rollback.sql", "missing"]);
    assert_eq!(production(&bench, COUNTS), BEFORE);
}

#[test]
fn a_packet_whose_tables_changed_since_is_refused() {
    let drifts = [
        ("ALTER TABLE gov_issues ADD COLUMN note text", "gov_issues"),
        (
            "CREATE TRIGGER aside BEFORE INSERT ON gov_rulesets FOR EACH ROW EXECUTE FUNCTION approval_requests_touch()",
            "aside",
        ),
    ];
    let bench = sealed("drift");
    production(&bench, RATIFY);
    for (drift, named) in drifts {
        production(&bench, drift);
        rollout(&bench).expect(62).says(&[named]);
        assert_eq!(production(&bench, COUNTS), BEFORE);
    }
}

#[test]
fn a_packet_goes_to_the_database_it_was_sealed_for_and_to_no_other() {
    let mut bench = sealed("elsewhere");
    let other = Bench::new("other");
    production(&other, RATIFY);
    bench.set("ENGINE_PRODUCTION_WRITER_URL", &bench.url("gov_rollout", other.production()));
    rollout(&bench).expect(63).says(&[other.production()]);
    assert_eq!(production(&other, COUNTS), BEFORE);
}

#[test]
fn a_plan_with_another_gate_than_the_packets_is_refused() {
    let bench = sealed("gates");
    for (old, new) in [("ospa >= 1", "ospa >= 0"), ("WHERE revoked_at IS NULL", "WHERE true")] {
        let text = bench.read(ROLLOUT);
        bench.edit(ROLLOUT, old, new);
        rollout(&bench).expect(62).says(&["ratified"]);
        bench.write(ROLLOUT, &text);
    }
    assert_eq!(production(&bench, COUNTS), BEFORE);
}
