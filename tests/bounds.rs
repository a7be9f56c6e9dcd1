//! What a stage may write is what it declares, by whatever path it is written.

mod support;

use engine::event::Event;
use support::{Bench, MINI, Outcome};

/// Runs one stage `s` on the clone of a production that has `tables` as well.
fn run(name: &str, tables: &str, more: &str, sql: &str) -> (Bench, Outcome) {
    let bench = Bench::mini(name, tables);
    bench.mini_plan(&bench.mini_stage("s", "\"base\"", more, sql, None));
    let outcome = bench.mini_apply(&[]);
    (bench, outcome)
}

/// It is a breach that names `what`, and nothing of it stays.
fn breach(name: &str, tables: &str, more: &str, sql: &str, what: &[&str]) {
    let (bench, outcome) = run(name, tables, more, sql);
    outcome.expect(42).says(&["changed more than it declared", "rolled back"]).says(what);
    assert_eq!(bench.journal().count(|event| matches!(event, Event::StageCommitted { .. })), 0);
}

fn fine(name: &str, tables: &str, more: &str, sql: &str) -> Bench {
    let (bench, outcome) = run(name, tables, more, sql);
    outcome.expect(0);
    bench
}

/// `check` refuses the plan with that code.
fn refused(bench: &Bench, code: &str, words: &[&str]) {
    bench.engine(&["check", MINI]).expect(10).says(&[code]).says(words);
    bench.mini_apply(&[]).expect(10);
    assert!(bench.runs().is_empty(), "a run was begun");
}

const ALL_OF_IT: &str = "writes.\"gov.approvals\" = \"all\"\nalters = [\"gov.approvals\"]";

#[test]
fn never_is_never_under_another_name_of_the_table() {
    // `never = ["approvals"]` finds it through the search path, the stage names its schema.
    let cases = [
        ("never_truncate", "TRUNCATE gov.approvals"),
        ("never_insert", "INSERT INTO gov.approvals VALUES (2)"),
        ("never_alter", "ALTER TABLE gov.approvals ADD COLUMN more int"),
        ("never_drop", "DROP TABLE gov.approvals"),
    ];
    for (name, sql) in cases {
        breach(name, "", ALL_OF_IT, sql, &["gov.approvals", "never"]);
    }
}

#[test]
fn never_is_of_the_table_itself_and_not_only_of_what_belongs_to_it() {
    let cases = [
        ("never_secured", "ALTER TABLE gov.approvals ENABLE ROW LEVEL SECURITY"),
        ("never_option", "ALTER TABLE gov.approvals SET (fillfactor = 70)"),
    ];
    for (name, sql) in cases {
        let said = "gov.approvals  definition, and the target says never";
        breach(name, "", "alters = [\"gov.approvals\"]", sql, &[said]);
    }
}

#[test]
fn never_is_of_the_partitions_too() {
    let tables = "DROP TABLE gov.approvals; CREATE TABLE gov.approvals (id int, k int) PARTITION BY LIST (k);
                  CREATE TABLE gov.approvals_1 PARTITION OF gov.approvals FOR VALUES IN (1);
                  CREATE FUNCTION aside() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$";
    let sql = "CREATE TRIGGER aside BEFORE INSERT ON gov.approvals_1 FOR EACH ROW EXECUTE FUNCTION aside()";
    let said = "gov.approvals_1  definition, and the target says never";
    breach("never_leaf", tables, "alters = [\"gov.approvals_1\"]", sql, &[said]);
}

/// A lock that only looking them up would take is held until COMMIT.
#[test]
fn what_is_never_written_is_not_locked_to_know_its_partitions() {
    let tables = "DROP TABLE gov.approvals; CREATE TABLE gov.approvals (id int, k int) PARTITION BY LIST (k);
                  CREATE TABLE gov.approvals_1 PARTITION OF gov.approvals FOR VALUES IN (1)";
    let bench = fine("never_held", tables, "writes.u = 1", "INSERT INTO u VALUES (1, 'b')");
    let events = bench.journal().events;
    let held = events.iter().filter_map(|event| match event {
        Event::Measured { held, .. } => Some(held),
        _ => None,
    });
    let held: Vec<&str> = held.flatten().map(|lock| lock.table.as_str()).collect();
    assert!(held.contains(&"public.u"), "{held:?}");
    assert!(!held.iter().any(|table| table.starts_with("gov.")), "{held:?}");
}

#[test]
fn nothing_declares_a_large_object() {
    let sql = "ALTER TABLE u ADD COLUMN z int;\nSELECT lo_from_bytea(0, 'secret')";
    breach("large", "", "alters = [\"u\"]", sql, &["large objects were written"]);
    breach("large_only", "", "alters = [\"u\"]", "SELECT lo_create(0)", &["large objects were written"]);
    breach("large_bare", "", "writes.u = 1", "SELECT lo_from_bytea(0, 'secret')", &["large objects were written"]);
}

#[test]
fn truncate_is_all_of_a_table() {
    let left = "SELECT count(*) FROM t";
    let bench = fine("truncate_all", "", "writes.t = \"all\"", "TRUNCATE t");
    assert_eq!(bench.psql(bench.clone_name(), left), "0");
    let bench = fine("truncate_more", "", "writes.t = \"all\"", "TRUNCATE t;\nINSERT INTO t VALUES (1, 'again')");
    assert_eq!(bench.psql(bench.clone_name(), left), "1");
    breach("truncate_five", "", "writes.t = 5", "TRUNCATE t", &["public.t", "truncated"]);
    breach("truncate_none", "", "writes.u = \"all\"", "TRUNCATE t", &["public.t", "truncated"]);
    let sql = "TRUNCATE u;\nALTER TABLE t ADD COLUMN more int";
    breach("truncate_alter", "", "writes.u = \"all\"", sql, &["definitions changed"]);
}

#[test]
fn a_quoted_table_can_be_declared() {
    let tables = "CREATE TABLE \"My Table\" (a int); CREATE TABLE \"a.b\" (a int); CREATE SCHEMA \"S\"; CREATE TABLE \"S\".\"T\" (a int)";
    let tables =
        format!("{tables}; GRANT USAGE ON SCHEMA \"S\" TO engine_reader; GRANT SELECT ON \"S\".\"T\" TO engine_reader");
    let more = "writes.'\"My Table\"' = 1\nwrites.'\"a.b\"' = 1\nwrites.'\"S\".\"T\"' = 1\nalters = ['\"My Table\"', '\"S\".\"T\"']\n\
                ensure.counted = 'wrote.\"\"\"My Table\"\"\" = 1'";
    let sql = "ALTER TABLE \"My Table\" ADD COLUMN z int;\nALTER TABLE \"S\".\"T\" ADD COLUMN z int;\n\
               INSERT INTO \"My Table\" VALUES (1, 2);\nINSERT INTO \"a.b\" VALUES (1);\nINSERT INTO \"S\".\"T\" VALUES (1, 2)";
    let bench = fine("quoted", &tables, more, sql);
    let clone = bench.clone_name();
    assert_eq!(bench.psql(clone, "SELECT z, (SELECT z FROM \"S\".\"T\") FROM \"My Table\""), "2|2");
    let two = "INSERT INTO \"My Table\" VALUES (1), (2)";
    breach("quoted_two", &tables, "writes.'\"My Table\"' = 1", two, &["\"My Table\"", "2 of 1"]);
}

#[test]
fn an_ensure_over_another_target_speaks_of_after_the_sql() {
    let bench = Bench::mini("late", "");
    let more = "writes.u = 1\nguard.closed = \"oks = 0\"\nensure.opened = \"oks = 1 AND before.oks = 0\"";
    bench.mini_plan(&bench.mini_stage("s", "\"base\"", more, "INSERT INTO u VALUES (1, 'b')", None));
    bench.mini_apply(&["--until", "base"]).expect(0);

    let reader = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE u IN SHARE MODE;");
    let engine = bench.start(&["resume"]);
    bench.wait_until(bench.clone_name(), &waiting("'u'"), "1");
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    drop(reader);
    assert_eq!(engine.end(), Some(0), "{}", bench.journal().verdict());
}

/// How many sessions wait for a lock on these tables.
fn waiting(tables: &str) -> String {
    format!(
        "SELECT count(*) FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
         WHERE NOT l.granted AND l.locktype = 'relation' AND c.relname IN ({tables})
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
}

#[test]
fn a_permit_that_only_reads_changes_no_row() {
    let reject = "writes.u = 1\n[stage.s.reject.twice]\nfile = \"mini/reject.sql\"\npermit = { id = 7 }\n\
                  refuse.known = { with.id = 1, error = \"23505\" }";
    for (name, permitted, code) in [("reads", "SELECT id FROM t", 43), ("writes", "INSERT INTO t VALUES (7, 'new')", 0)]
    {
        let bench = Bench::mini(name, "");
        let template = format!(
            "{{% if id == 7 %}}{permitted}{{% else %}}INSERT INTO t VALUES ({{{{ id }}}}, 'twice'){{% endif %}};\n"
        );
        bench.write("templates/mini/reject.sql", &template);
        bench.mini_plan(&bench.mini_stage("s", "\"base\"", reject, "INSERT INTO u VALUES (1, 'b')", None));
        let outcome = bench.mini_apply(&[]).expect(code);
        if code == 43 {
            outcome.says(&["twice.permit", "no row was changed"]);
            assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM u"), "0");
        }
        assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM t"), "5", "a reject left something behind");
    }
}

#[test]
fn what_a_refusal_replaces_is_a_value_of_the_permit() {
    let bench = Bench::mini("replaces", "");
    let reject = "writes.u = 1\n[stage.s.reject.twice]\nfile = \"mini/reject.sql\"\npermit = { id = 7 }\n\
                  refuse.known = { with.idd = 1, error = \"23505\" }";
    bench.write("templates/mini/reject.sql", "INSERT INTO t VALUES ({{ id }}, 'twice');\n");
    bench.mini_plan(&bench.mini_stage("s", "\"base\"", reject, "INSERT INTO u VALUES (1, 'b')", None));
    refused(&bench, "unknown-key", &["with.idd", "replaces nothing of `permit`"]);
}

/// Two writers without an order, both kept waiting by a lock; `together` of them come that far.
fn two_writers(name: &str, clone: &str, together: &str) {
    let bench = Bench::mini(name, "");
    let one = bench.mini_stage("one", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1, 'b')", None);
    let two = bench.mini_stage("two", "\"base\"", "writes.t = 1", "INSERT INTO t VALUES (100, 'b')", None);
    bench.mini_plan_with("", clone, &format!("{one}{two}"));
    bench.mini_apply(&["--until", "base"]).expect(0);
    let reader = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE t, u IN SHARE MODE;");
    let engine = bench.start(&["resume", "--jobs", "4"]);
    bench.wait_until(bench.clone_name(), &waiting("'t', 'u'"), together);
    // Time enough for the other one, if it did not wait for its turn.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(bench.psql(bench.clone_name(), &waiting("'t', 'u'")), together);
    drop(reader);
    assert_eq!(engine.end(), Some(0), "{}", bench.journal().verdict());
    let wrote = "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)";
    assert_eq!(bench.psql(bench.clone_name(), wrote), "6|1");
}

#[test]
fn independent_writers_run_together_where_the_target_says_so() {
    two_writers("together", "parallel = true", "2");
}

#[test]
fn independent_writers_run_one_after_the_other_where_it_does_not() {
    two_writers("alone", "", "1");
}

#[test]
fn a_clone_has_no_gate() {
    let bench = Bench::mini("gated", "");
    let stage = bench.mini_stage("s", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1, 'b')", None);
    bench.mini_plan_with("", "gate.idle = \"us = 0\"", &stage);
    refused(&bench, "gate-on-clone", &["a clone has no gate"]);
}

#[test]
fn a_partition_counts_under_its_root() {
    let tables =
        "CREATE TABLE p (id int, k int) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
                  CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2) PARTITION BY LIST (id);
                  CREATE TABLE p2a PARTITION OF p2 FOR VALUES IN (1)";
    let two = "INSERT INTO p VALUES (1, 1);\nINSERT INTO p2a VALUES (1, 2)";
    let counted = "writes.p = 2\nensure.counted = \"wrote.p = 2\"";
    fine("parts", tables, counted, two);
    let three = format!("{two};\nINSERT INTO p1 VALUES (3, 1)");
    breach("parts_three", tables, "writes.p = 2", &three, &["public.p  3 of 2"]);
    breach("parts_none", tables, "writes.u = 2", "INSERT INTO p2a VALUES (1, 2)", &["public.p  1 of 0"]);
}

#[test]
fn a_cascade_and_a_deferred_trigger_count() {
    let tables = "CREATE TABLE child (id int, t_id int REFERENCES t ON DELETE CASCADE);
                  INSERT INTO child VALUES (1, 1), (2, 1)";
    let delete = "DELETE FROM t WHERE id = 1";
    breach("cascade", tables, "writes.t = 1", delete, &["public.child  2 of 0"]);
    fine("cascade_all", tables, "writes.t = 1\nwrites.child = 2", delete);

    let tables = "CREATE TABLE log (id int);
                  CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN INSERT INTO public.log VALUES (new.id); RETURN NULL; END $$;
                  CREATE CONSTRAINT TRIGGER late AFTER INSERT ON u DEFERRABLE INITIALLY DEFERRED
                  FOR EACH ROW EXECUTE FUNCTION noted()";
    let insert = "INSERT INTO u VALUES (1, 'b')";
    breach("deferred", tables, "writes.u = 1", insert, &["public.log  1 of 0"]);
    fine("deferred_all", tables, "writes.u = 1\nwrites.log = 1\nensure.noted = \"wrote.log = 1\"", insert);
}

#[test]
fn a_lock_is_held_from_the_statement_that_took_it() {
    let sql = "DO $$ BEGIN LOCK TABLE t IN SHARE MODE; PERFORM pg_sleep(1); END $$";
    let bench = fine("held", "", "writes.u = 1", &format!("{sql};\nINSERT INTO u VALUES (1, 'b')"));
    let (held, open) = bench.journal().events.iter().fold((None, None), |(held, open), event| match event {
        Event::Measured { held, .. } => (held.iter().find(|l| l.table == "public.t").cloned(), open),
        Event::StageCommitted { open_ms, .. } => (held, *open_ms),
        _ => (held, open),
    });
    let (held, open) = (held.expect("the lock"), open.expect("a commit"));
    assert_eq!(held.mode, "ShareLock");
    assert!(open - held.after_ms >= 1000, "{held:?}, open for {open} ms");
}
