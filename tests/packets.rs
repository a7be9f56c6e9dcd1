//! A packet is its bytes, is applied once and by one at a time, and does on production what it did on the clone.

mod support;

use engine::digest;
use support::{Bench, MINI, MINI_ROLLOUT, Outcome, assert_same, to_the_packet};

const INSERT: &str = "INSERT INTO u VALUES (1, 'b')";
const DELETE: &str = "DELETE FROM u";

/// `engine/stage/commit.rs`: whoever writes a database holds this lock.
const LOCK: &str =
    "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('engine: a stage or a packet is at work here', 0));";

/// Seals a packet of one stage `s` and opens the gate.
fn sealed(bench: &Bench, more: &str, sql: &str, rollback: &str, probes: &str, done_when: &str) {
    let stage = bench.mini_stage("s", "\"base\"", more, sql, Some(rollback));
    bench.mini_plan(&format!("{probes}{stage}{}", to_the_packet("\"s\"", "\"s\"", done_when)));
    bench.mini_apply(&[]).expect(0).says(&["technical GO, production BLOCKED: oks = 0"]);
    production(bench, "INSERT INTO ok VALUES (1)");
}

fn simple(name: &str) -> Bench {
    let bench = Bench::mini(name, "");
    sealed(&bench, "writes.u = 1", INSERT, DELETE, "", "us = 1");
    bench
}

fn production(bench: &Bench, sql: &str) -> String {
    bench.psql(bench.production(), sql)
}

fn rollout(bench: &Bench, packet: &str) -> Outcome {
    bench.engine(&["apply", MINI_ROLLOUT, "--var", &format!("packet={packet}")])
}

fn by_psql(bench: &Bench, file: &str) -> Outcome {
    let file = format!("{}/{file}", bench.packet().0);
    bench.bare_psql("shop_owner", &["-v", "ON_ERROR_STOP=1"], &file)
}

#[test]
fn a_packet_whose_sums_were_forged_with_it_is_not_the_one_that_was_approved() {
    let bench = simple("sums");
    let (folder, id) = bench.packet();
    let (apply, sums) = (format!("{folder}/apply.sql"), format!("{folder}/SHA256SUMS"));
    let (sealed, listed) = (bench.read(&apply), bench.read(&sums));
    let forged = sealed.replace("(1, 'b')", "(2, 'forged')");
    assert_ne!(forged, sealed);
    bench.write(&apply, &forged);
    let digests = [digest::hex(sealed.as_bytes()), digest::hex(forged.as_bytes())];
    bench.edit(&sums, &digests[0], &digests[1]);

    let short = &id[..12];
    for word in [id.as_str(), short, &id[..7], folder.as_str(), "latest"] {
        rollout(&bench, word).expect(62).says(&["not the one that was sealed", "nothing was sent"]);
    }
    for word in [id.as_str(), short, folder.as_str()] {
        bench.engine(&["verify", word]).expect(62);
    }
    assert_eq!(production(&bench, "SELECT count(*) FROM u"), "0");

    bench.write(&apply, &sealed);
    bench.write(&sums, &listed);
    rollout(&bench, &id).expect(0);
    assert_eq!(production(&bench, "SELECT id, v FROM u"), "1|b");
}

#[test]
fn a_signature_beside_the_sums_belongs_there_and_another_file_does_not() {
    let bench = simple("signed");
    let folder = bench.packet().0;
    bench.write(&format!("{folder}/SHA256SUMS.sig"), "-----BEGIN SSH SIGNATURE-----\n");
    bench.write(&format!("{folder}/attest/someone.sig"), "-----BEGIN SSH SIGNATURE-----\n");
    bench.engine(&["verify", &folder]).expect(0).says(&["every file is as it was sealed"]);
    let other = bench.write(&format!("{folder}/apply.sql.sig"), "more\n");
    bench.engine(&["verify", &folder]).expect(62).says(&["apply.sql.sig", "added"]);
    std::fs::remove_file(other).expect("a file");
    rollout(&bench, "latest").expect(0);
}

/// Sealed where `t` has five rows, applied where it has six.
fn behaves_otherwise(name: &str, otherwise: &str) {
    let bench = Bench::mini(name, "CREATE TABLE w (id int); INSERT INTO w VALUES (1)");
    let sql = format!("{INSERT};\nDO $$ BEGIN IF (SELECT count(*) FROM public.t) > 5 THEN {otherwise}; END IF; END $$");
    sealed(&bench, "writes.u = 1", &sql, DELETE, "", "us = 1");
    production(&bench, "INSERT INTO t VALUES (6, 'only here')");
    let before = bench.all_of(bench.production());

    rollout(&bench, "latest").expect(42).says(&["`production` was not changed", "rolled back"]);
    assert_same(&bench.all_of(bench.production()), &before, &format!("the engine let through: {otherwise}"));
    by_psql(&bench, "apply.sql").expect(3).says(&["declare"]);
    assert_same(&bench.all_of(bench.production()), &before, &format!("psql let through: {otherwise}"));

    production(&bench, "DELETE FROM t WHERE id = 6");
    rollout(&bench, "latest").expect(0);
}

#[test]
fn a_packet_that_truncates_another_table_on_production_only_is_refused() {
    behaves_otherwise("truncates", "TRUNCATE public.w");
}

#[test]
fn a_packet_that_writes_another_table_on_production_only_is_refused() {
    behaves_otherwise("writes", "INSERT INTO public.w VALUES (2)");
}

#[test]
fn a_packet_that_alters_another_table_on_production_only_is_refused() {
    behaves_otherwise("alters", "ALTER TABLE public.w ADD COLUMN x int");
}

#[test]
fn a_packet_that_drops_or_makes_a_table_on_production_only_is_refused() {
    behaves_otherwise("drops", "DROP TABLE public.w; CREATE TABLE public.x (id int)");
}

#[test]
fn a_packet_says_how_it_is_seen_to_be_applied() {
    let bench = Bench::mini("when", "");
    let stage = bench.mini_stage("s", "\"base\"", "writes.u = 1", INSERT, Some(DELETE));
    let tail = to_the_packet("\"s\"", "\"s\"", "us = 1");
    bench.mini_plan(&format!("{stage}{tail}"));
    bench.engine(&["check", MINI]).expect(0);
    bench.mini_plan(&format!("{stage}{}", tail.replace("done_when = \"us = 1\"\n", "")));
    bench.engine(&["check", MINI]).expect(10).says(&["packet-without-done-when", "stage `pk` has no `done_when`"]);
    bench.mini_apply(&[]).expect(10);
    assert!(bench.runs().is_empty(), "a run was begun");
}

#[test]
fn who_holds_the_lock_of_a_database_is_alone_there() {
    let bench = simple("alone");
    let holder = bench.session(bench.production(), LOCK);
    rollout(&bench, "latest").expect(60).says(&["another session", "nothing was changed"]);
    by_psql(&bench, "apply.sql").expect(3).says(&["another session applies a packet"]);
    assert_eq!(production(&bench, "SELECT count(*) FROM u"), "0");
    drop(holder);
    rollout(&bench, "latest").expect(0);
    assert_eq!(production(&bench, "SELECT count(*) FROM u"), "1");
}

#[test]
fn two_rollouts_are_never_at_work_whatever_their_targets_are_called() {
    let bench = simple("two");
    let reader = bench.session(bench.production(), "BEGIN; LOCK TABLE u IN SHARE MODE;");
    let first = bench.start(&["apply", MINI_ROLLOUT]);
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'u'::regclass
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    bench.wait_until(bench.production(), waits, "1");
    bench.engine(&["apply", "plans/elsewhere.toml"]).expect(60);
    by_psql(&bench, "apply.sql").expect(3).says(&["another session applies a packet"]);
    drop(reader);
    assert_eq!(first.end(), Some(0));
    assert_eq!(production(&bench, "SELECT count(*) FROM u"), "1");
    bench.engine(&["apply", "plans/elsewhere.toml"]).expect(0).says(&["already applied"]);
}

#[test]
fn null_and_empty_readings_are_what_they_were_in_the_file_too() {
    let bench = Bench::mini("null", "");
    let probes = "[probe.nothing]\non = \"clone\"\nsql = \"SELECT max(v) FROM public.u WHERE id = 99\"\n\
                  [probe.empty]\non = \"clone\"\nsql = \"SELECT max('') FROM public.t\"\n\
                  [probe.number]\non = \"clone\"\nsql = \"SELECT max(id) FROM public.u WHERE id = 99\"\n";
    let more = "writes.u = 1\n\
                guard.base = \"base.nothing IS NULL AND base.empty = '' AND base.number IS NULL\"\n\
                ensure.nothing = \"before.nothing IS NULL AND nothing IS NULL\"\n\
                ensure.number = \"before.number IS NULL AND base.number IS NULL\"\n\
                ensure.empty = \"before.empty = '' AND before.empty IS NOT NULL AND base.empty IS NOT NULL\"";
    sealed(&bench, more, INSERT, DELETE, probes, "us = 1");
    by_psql(&bench, "apply.sql").expect(0);
    assert_eq!(production(&bench, "SELECT id, v FROM u"), "1|b");
    by_psql(&bench, "rollback.sql").expect(0);
    rollout(&bench, "latest").expect(0);
    assert_eq!(production(&bench, "SELECT id, v FROM u"), "1|b");
}

#[test]
fn a_packet_of_a_stage_that_makes_a_table_can_be_applied() {
    let bench = Bench::mini("makes", "");
    let made = "SELECT to_regclass('public.n') IS NOT NULL";
    let probe = format!("[probe.made]\non = \"clone\"\nsql = \"{made}\"\n");
    let more = "alters = [\"n\"]\nwrites.n = 1\nguard.new = \"NOT made\"\nensure.made = \"made AND wrote.n = 1\"\n\
                prove = [\"reversible\"]";
    let sql = "CREATE TABLE n (a int PRIMARY KEY);\nINSERT INTO n VALUES (1)";
    sealed(&bench, more, sql, "DROP TABLE n", &probe, "made");

    by_psql(&bench, "apply.sql").expect(0);
    assert_eq!(production(&bench, "SELECT a FROM n"), "1");
    by_psql(&bench, "rollback.sql").expect(0);
    assert_eq!(production(&bench, made), "f");
    rollout(&bench, "latest").expect(0).says(&["wrote 1 of 1"]);
    assert_eq!(production(&bench, "SELECT a FROM n"), "1");
    rollout(&bench, "latest").expect(0).says(&["already applied"]);
}
