//! Code that a stage leaves in its clone, waiting for somebody with more rights to run it: the maker of clones, who copies
//! the clone, puts sequences back and drops it. Whatever it does there, it runs none of this.

use crate::support::{Bench, server, to_the_rehearsal};

/// Springs for the maker only; how everybody else's statements end does not change.
const TRAPS: &str = "
CREATE FUNCTION trapped() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
    IF session_user = 'engine_cloner' THEN
        RAISE EXCEPTION 'trapped % in %', session_user, current_database();
    END IF;
    RETURN true;
END $$;
CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trapped(); RETURN new; END $$;
CREATE TRIGGER trap BEFORE INSERT OR UPDATE OR DELETE ON u FOR EACH ROW EXECUTE FUNCTION trap();
ALTER TABLE u ADD CONSTRAINT trap CHECK (trapped());
ALTER TABLE u ADD trapped boolean GENERATED ALWAYS AS (trapped()) STORED;
ALTER TABLE u ALTER v SET DEFAULT public.trapped()::text;
CREATE INDEX trap ON u (id) WHERE trapped();
CREATE INDEX trap_key ON u ((trapped()));
CREATE VIEW trap_view AS SELECT trapped() AS trapped;
CREATE MATERIALIZED VIEW trap_kept AS SELECT trapped() AS trapped;
CREATE SEQUENCE trap_numbers;
CREATE DOMAIN trap_domain AS int CHECK (trapped());
CREATE TABLE trap_table (d trap_domain DEFAULT 1, n int DEFAULT nextval('trap_numbers'));
CREATE FUNCTION trap_text(u) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trapped(); RETURN 'x'; END $$;
CREATE RULE trap AS ON DELETE TO trap_table DO ALSO SELECT trapped();
CREATE FUNCTION setval(regclass, integer, boolean) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trapped(); RETURN 1; END $$;
CREATE FUNCTION count(integer) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trapped(); RETURN 1; END $$;
INSERT INTO trap_table VALUES (1), (2);
INSERT INTO u (id, v) VALUES (1, 'a')";

const BACK: &str = "
DELETE FROM u;
DROP RULE trap ON trap_table;
DROP FUNCTION count(integer);
DROP FUNCTION setval(regclass, integer, boolean);
DROP FUNCTION trap_text(u);
DROP TABLE trap_table;
DROP DOMAIN trap_domain;
DROP SEQUENCE trap_numbers;
DROP MATERIALIZED VIEW trap_kept;
DROP VIEW trap_view;
DROP INDEX trap_key;
DROP INDEX trap;
ALTER TABLE u ALTER v DROP DEFAULT;
ALTER TABLE u DROP trapped;
ALTER TABLE u DROP CONSTRAINT trap;
DROP TRIGGER trap ON u;
DROP FUNCTION trap();
DROP FUNCTION trapped()";

const ALTERS: &str = r#"alters = ["public.u", "public.trapped()", "public.trap()", "public.trap", "public.trap_key", "public.trap_view",
"public.trap_kept", "public.trap_numbers", "public.trap_domain", "trap_table", "trap_kept", "public.trap_table", "public.trap_text(public.u)",
"public.setval(pg_catalog.regclass, pg_catalog.int4, pg_catalog.bool)", "public.count(pg_catalog.int4)",
"public.setval(regclass,integer,boolean)", "public.count(integer)", "public.trap_text(u)"]
writes.u = "all"
writes.trap_table = "all"
writes.trap_kept = "all"
prove = ["reversible"]
"#;

#[test]
fn the_maker_runs_no_code_of_a_stage() {
    let bench = Bench::mini("traps", "");
    let stage = bench.mini_stage("s", "\"base\"", ALTERS, TRAPS, Some(BACK));
    let draws = "SELECT nextval('trap_numbers');\nINSERT INTO trap_table VALUES (3)";
    let later = bench.mini_stage(
        "later",
        "\"s\"",
        "writes.trap_table = 1\nprove = [\"reversible\"]",
        draws,
        Some("DELETE FROM trap_table WHERE d = 3"),
    );
    bench.mini_plan(&format!("{stage}{later}{}", to_the_rehearsal("\"later\"", "")));
    let outcome = bench.mini_apply(&[]);
    assert!([0, 44].contains(&outcome.code), "{}", outcome.all());
    let clone = bench.clone_name().to_owned();
    let said = || {
        let log = std::fs::read_to_string(server().log()).expect("the server's log");
        log.lines().filter(|line| line.contains("trapped engine_cloner in")).count()
    };
    assert_eq!(said(), 0, "the maker ran code of the stage");
    for sql in ["SELECT trapped()", "SELECT trapped FROM trap_view", "SELECT trap_text(u) FROM u"] {
        let sql = format!("SET ROLE engine_owner; {sql}");
        bench.psql_as("engine_cloner", &clone, &sql).expect_err("the trap springs for the maker");
    }
    assert_eq!(said(), 3);
    bench.engine(&["drop", "latest"]).expect(0);
    assert!(!bench.exists(&clone));
    assert_eq!(said(), 3, "dropping ran code of the stage");
}
