//! A packet is its bytes, is applied once and by one at a time, and does on production what it did on the clone.

mod support;

use engine::digest;
use engine::event::Event;
use serde_json::Value;
use support::{Bench, MINI, MINI_ROLLOUT, Outcome, assert_same, to_the_packet};

const INSERT: &str = "INSERT INTO u VALUES (1, 'b')";
const DELETE: &str = "DELETE FROM u";

/// `engine/stage/commit.rs`: whoever writes a database holds this lock.
const LOCK: &str =
    "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('engine: a stage or a packet is at work here', 0));";

/// Seals a packet of one stage `s` and opens the gate.
fn sealed(bench: &Bench, more: &str, sql: &str, rollback: &str, probes: &str, done_when: &str) {
    let stage = bench.mini_stage("s", "\"base\"", more, sql, Some(rollback));
    seal(bench, &format!("{probes}{stage}{}", to_the_packet("\"s\"", "\"s\"", done_when)));
}

/// The same of two stages, one after the other: keys, SQL and rollback of each.
fn sealed_two(bench: &Bench, [keys, sql, rollback]: [&str; 3], [more, then, back]: [&str; 3]) {
    let first = bench.mini_stage("s", "\"base\"", keys, sql, Some(rollback));
    let second = bench.mini_stage("two", "\"s\"", more, then, Some(back));
    seal(bench, &format!("{first}{second}{}", to_the_packet("\"two\"", "\"s\", \"two\"", "us = 2")));
}

fn seal(bench: &Bench, stages: &str) {
    bench.mini_plan(stages);
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
    let neither = ["no run is called `packet-zzzz`", "no packet is called `packet-zzzz`", "looked in .engine/packets"];
    bench.engine(&["verify", "packet-zzzz"]).expect(2).says(&neither);
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

#[test]
fn psql_applies_no_packet_of_which_it_cannot_tell_whether_it_is_applied() {
    let bench = Bench::mini("untold", "");
    let probe = "[probe.kept]\non = \"clone\"\nsql = \"SELECT sum(id)::int8 FROM public.u\"\n";
    sealed(&bench, "writes.u = 1", INSERT, DELETE, probe, "kept = 1");
    by_psql(&bench, "apply.sql").expect(3).says(&["cannot be told", "kept is NULL"]);
    rollout(&bench, "latest").expect(31);
    assert_eq!(production(&bench, "SELECT count(*) FROM u"), "0");
}

#[test]
fn psql_applies_no_packet_twice_that_emptied_what_would_tell() {
    let probes = [("no_sum", "SELECT sum(id)::int8 FROM public.t"), ("no_row", "SELECT id FROM public.t WHERE id = 3")];
    for (name, sql) in probes {
        let bench = Bench::mini(name, "");
        let probe = format!("[probe.kept]\non = \"clone\"\nsql = \"{sql}\"\n");
        let forward = "DELETE FROM t;\nINSERT INTO u SELECT count(*) + 1, 'b' FROM u";
        let back = "DELETE FROM u;\nINSERT INTO t SELECT n, 'v' FROM generate_series(1, 5) AS n";
        sealed(&bench, "writes.t = 5\nwrites.u = 1", forward, back, &probe, "kept = 0");
        by_psql(&bench, "apply.sql").expect(0);
        let applied = bench.all_of(bench.production());
        by_psql(&bench, "apply.sql").expect(3).says(&["cannot be told", "kept is NULL"]);
        assert_same(&bench.all_of(bench.production()), &applied, &format!("{name}: applied once more"));
    }
}

const NOTED: &str = "CREATE TABLE totals (id int);
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.totals VALUES (new.id); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON u DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION noted()";

const KEYS: &str = "writes.u = 1\nwrites.totals = 1\nensure.t = \"wrote.totals = 1\"";

const BACK: &str = "DELETE FROM totals;\nDELETE FROM u";

#[test]
fn a_packets_ensures_see_what_was_deferred() {
    let bench = Bench::mini("late", NOTED);
    sealed(&bench, KEYS, INSERT, BACK, "", "us = 1");
    by_psql(&bench, "apply.sql").expect(0);
    by_psql(&bench, "rollback.sql").expect(0);
    rollout(&bench, "latest").expect(0);
    assert_eq!(production(&bench, "SELECT u.id, totals.id FROM u, totals"), "1|1");
}

#[test]
fn what_is_deferred_is_so_again_for_the_next_stage_of_a_packet() {
    // A row before the one it refers to: only while the constraint is deferred.
    let child = "CREATE TABLE child (id int, u_id int REFERENCES u DEFERRABLE INITIALLY DEFERRED)";
    // A name that another constraint bears, which cannot be deferred, defers neither.
    let twins = "CREATE TABLE x1 (u_id int CONSTRAINT twin REFERENCES u DEFERRABLE INITIALLY DEFERRED);
                 CREATE TABLE x2 (u_id int CONSTRAINT twin REFERENCES u)";
    let bench = Bench::mini("late_again", &format!("{NOTED};\n{child};\n{twins}"));
    let keys = format!("{KEYS}\nwrites.child = 1");
    let sql = "INSERT INTO child VALUES (1, 7);\nINSERT INTO u VALUES (7, 'c')";
    let back = "DELETE FROM child;\nDELETE FROM totals WHERE id = 7;\nDELETE FROM u WHERE id = 7";
    sealed_two(&bench, [KEYS, INSERT, BACK], [&keys, sql, back]);
    by_psql(&bench, "apply.sql").expect(0);
    by_psql(&bench, "rollback.sql").expect(0);
    rollout(&bench, "latest").expect(0);
    assert_eq!(production(&bench, "SELECT string_agg(id::text, ',' ORDER BY id) FROM totals"), "1,7");
    assert_eq!(production(&bench, "SELECT u_id FROM child"), "7");
}

/// Whoever applies the packet may not even name what is in there.
#[test]
fn what_is_deferred_in_a_schema_of_others_is_none_of_a_packets() {
    let bench = Bench::mini("late_others", "");
    let second = ["writes.u = 1", "INSERT INTO u VALUES (2, 'c')", "DELETE FROM u WHERE id = 2"];
    sealed_two(&bench, ["writes.u = 1", INSERT, "DELETE FROM u WHERE id = 1"], second);
    let key = "up int REFERENCES other.k DEFERRABLE INITIALLY DEFERRED";
    production(&bench, &format!("CREATE SCHEMA other; CREATE TABLE other.k (id int PRIMARY KEY, {key})"));
    by_psql(&bench, "apply.sql").expect(0);
    by_psql(&bench, "rollback.sql").expect(0);
    rollout(&bench, "latest").expect(0);
    assert_eq!(production(&bench, "SELECT count(*) FROM u"), "2");
}

#[test]
fn a_stage_that_makes_a_temporary_table_is_in_no_packet() {
    let bench = Bench::mini("temporary", "");
    let sql = "CREATE TEMP TABLE a ON COMMIT DROP AS SELECT id, v FROM t WHERE id < 2;\nINSERT INTO u SELECT * FROM a";
    let stage = bench.mini_stage("s", "\"base\"", "writes.u = 1", sql, Some(DELETE));
    bench.mini_plan(&stage);
    bench.engine(&["check", MINI]).expect(0);
    bench.mini_plan(&format!("{stage}{}", to_the_packet("\"s\"", "\"s\"", "us = 1")));
    bench.engine(&["check", MINI]).expect(10).says(&["packet-of", "makes a temporary table"]);
    bench.mini_apply(&[]).expect(10);
    assert!(bench.runs().is_empty(), "a run was begun");
}

#[test]
fn a_packet_may_alter_a_function() {
    let function =
        |n: u32| format!("CREATE OR REPLACE FUNCTION f(public.mood, text) RETURNS int LANGUAGE sql AS 'SELECT {n}'");
    let bench = Bench::mini("function", &format!("CREATE TYPE mood AS ENUM ('well');\n{}", function(1)));
    let keys = "writes.u = 1\nalters = [\"public.f(public.mood,text)\"]";
    let (sql, back) = (format!("{};\n{INSERT}", function(2)), format!("{};\n{DELETE}", function(1)));
    sealed(&bench, keys, &sql, &back, "", "us = 1");
    rollout(&bench, "latest").expect(0);
    assert_eq!(production(&bench, "SELECT f('well', '')"), "2");
}

#[test]
fn a_packet_may_take_as_long_as_all_its_stages() {
    let bench = Bench::mini("as_long", "");
    let first = ["timeout = \"60s\"\nwrites.u = 1", INSERT, "DELETE FROM u WHERE id = 1"];
    let second = ["timeout = \"70s\"\nwrites.u = 1", "INSERT INTO u VALUES (2, 'c')", "DELETE FROM u WHERE id = 2"];
    sealed_two(&bench, first, second);
    let folder = bench.packet().0;
    for name in ["apply.sql", "rollback.sql"] {
        let text = bench.read(&format!("{folder}/{name}"));
        assert!(text.contains("\nSET LOCAL statement_timeout = 130000;\n"), "{name}\n{text}");
    }
    let manifest: Value = serde_json::from_str(&bench.read(&format!("{folder}/rollout.json"))).expect("JSON");
    assert_eq!(manifest["timeout_ms"], 130_000);
    rollout(&bench, "latest").expect(0);
}

#[test]
fn a_packet_whose_partitions_changed_since_is_refused() {
    let tables = "CREATE TABLE p (id int, k int DEFAULT 1) PARTITION BY LIST (k);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
        CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2) PARTITION BY LIST (id);
        CREATE TABLE p2a PARTITION OF p2 FOR VALUES IN (1);
        CREATE FUNCTION aside() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$";
    let bench = Bench::mini("parts", tables);
    let probe = "[probe.ps]\non = \"clone\"\nsql = \"SELECT count(*) FROM public.p\"\n";
    sealed(&bench, "writes.p = 1", "INSERT INTO p VALUES (1, 2)", "DELETE FROM p", probe, "ps = 1");
    let trigger = |leaf: &str| {
        let made = format!("CREATE TRIGGER aside BEFORE INSERT ON {leaf} FOR EACH ROW EXECUTE FUNCTION aside()");
        (made, format!("DROP TRIGGER aside ON {leaf}"), format!("trigger aside on public.{leaf}  is new"))
    };
    let default = |value: u32| format!("ALTER TABLE p1 ALTER COLUMN k SET DEFAULT {value}");
    let changed = "column k of public.p1  changed or gone".to_owned();
    for (drift, undone, said) in [trigger("p1"), trigger("p2a"), (default(2), default(1), changed)] {
        production(&bench, &drift);
        rollout(&bench, "latest").expect(62).says(&[&said, "`production` was not changed"]);
        assert_eq!(production(&bench, "SELECT count(*) FROM p"), "0", "{drift}");
        production(&bench, &undone);
    }
    rollout(&bench, "latest").expect(0);
    assert_eq!(production(&bench, "SELECT id, k FROM p2a"), "1|2");
}

/// They come and go with their days; what acts on the rows of a new one, and is not its table's, is drift all the same.
#[test]
fn a_partition_that_is_new_or_gone_since_does_not_refuse_a_packet() {
    let tables = "CREATE TABLE p (id int CHECK (id > 0), k int DEFAULT 1) PARTITION BY LIST (k);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
        CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
        CREATE FUNCTION aside() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$";
    let bench = Bench::mini("parts_of_days", tables);
    let probe = "[probe.ps]\non = \"clone\"\nsql = \"SELECT count(*) FROM public.p\"\n";
    sealed(&bench, "writes.p = 1", "INSERT INTO p VALUES (1, 2)", "DELETE FROM p", probe, "ps = 1");
    production(&bench, "SET ROLE shop_owner; CREATE TABLE p3 PARTITION OF p FOR VALUES IN (3); DROP TABLE p1");
    production(&bench, "CREATE TRIGGER aside BEFORE INSERT ON p3 FOR EACH ROW EXECUTE FUNCTION aside()");
    let said = ["trigger aside on public.p3  is new", "`production` was not changed"];
    rollout(&bench, "latest").expect(62).says(&said);
    production(&bench, "DROP TRIGGER aside ON p3");
    rollout(&bench, "latest").expect(0);
    assert_eq!(production(&bench, "SELECT id, k FROM p2"), "1|2");
}

#[test]
fn a_gate_that_closes_while_the_packet_runs_takes_it_back_and_says_so() {
    let bench = simple("closes");
    // A gate of the rollout's own: the packet's text does not ask it, and nothing holds what it reads.
    let (gate, stage) = ("gate.open = \"oks >= 1\"", "[stage.go_production]");
    bench.edit(MINI_ROLLOUT, gate, &format!("{gate}\ngate.calm = \"calms >= 1\""));
    let probe = "[probe.calms]\non = \"production\"\nsql = \"SELECT count(*) FROM public.calm\"";
    bench.edit(MINI_ROLLOUT, stage, &format!("{probe}\n{stage}"));
    production(&bench, "CREATE TABLE calm (id int); GRANT SELECT ON calm TO shop_owner; INSERT INTO calm VALUES (1)");

    let reader = bench.session(bench.production(), "BEGIN; LOCK TABLE u IN SHARE MODE;");
    let engine = bench.start(&["apply", MINI_ROLLOUT]);
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'u'::regclass
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    bench.wait_until(bench.production(), waits, "1");
    production(&bench, "DELETE FROM calm");
    drop(reader);
    assert_eq!(engine.end(), Some(30));
    let blocked = bench.journal().events.into_iter().find_map(|event| match event {
        Event::StageBlocked { failure, .. } => Some(failure),
        _ => None,
    });
    let blocked = blocked.expect("a refusal");
    assert!(blocked.what.contains("calm"), "{blocked:?}");
    let changed = blocked.changed.as_deref().unwrap_or_default();
    assert!(changed.contains("`production` was not changed; the transaction was rolled back"), "{changed}");
    assert!(!changed.contains("no write transaction"), "{changed}");
    assert_eq!(production(&bench, "SELECT count(*) FROM u"), "0");

    production(&bench, "INSERT INTO calm VALUES (1)");
    rollout(&bench, "latest").expect(0);
}

#[test]
fn the_latest_packet_is_the_one_sealed_last_whatever_is_signed_later() {
    let bench = Bench::mini("latest", "");
    let tail = to_the_packet("\"s\"", "\"s\"", "us = 1");
    let older = bench.mini_stage("s", "\"base\"", "writes.u = 1", INSERT, Some(DELETE));
    bench.mini_plan(&format!("{older}{tail}"));
    bench.mini_apply(&[]).expect(0);
    let (folder, old) = bench.packet();
    let sql = "INSERT INTO u VALUES (2, 'sealed last')";
    let newer = bench.mini_stage("s", "\"base\"", "writes.u = 1", sql, Some(DELETE));
    bench.mini_plan(&format!("{newer}{tail}"));
    bench.mini_apply(&["--replace"]).expect(0);
    assert_ne!(bench.packet().1, old);
    bench.write(&format!("{folder}/SHA256SUMS.sig"), "-----BEGIN SSH SIGNATURE-----\n");

    production(&bench, "INSERT INTO ok VALUES (1)");
    rollout(&bench, "latest").expect(0);
    assert_eq!(production(&bench, "SELECT id, v FROM u"), "2|sealed last");
}
