//! What the engine asks again and again stays prepared in the stage's session, where the stage's SQL can reach it: replaced
//! or thrown away, it must neither change an answer nor end a stage.

mod support;

use support::{Bench, MINI};

/// Puts, in the place of each statement that the engine keeps, one of the same name that counts nothing.
const FORGE: &str = "DO $forge$
DECLARE kept record; BEGIN
  FOR kept IN SELECT name, statement FROM pg_prepared_statements 
    WHERE statement LIKE '/* kept */%pg_stat_get_xact_tuples_inserted%' LOOP
    EXECUTE 'DEALLOCATE ' || quote_ident(kept.name);
    EXECUTE 'PREPARE ' || quote_ident(kept.name) || ' AS '
      || replace(kept.statement, 'pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid)', '0::int8');
    INSERT INTO public.forged VALUES (kept.name);
  END LOOP;
END $forge$";

fn bench(name: &str, writes: &str, sql: &str) -> Bench {
    let bench = Bench::mini(name, "CREATE TABLE public.forged (name text)");
    let a = bench.mini_stage("a", "\"base\"", writes, sql, Some("DELETE FROM u; DELETE FROM forged"));
    let b = bench.mini_stage(
        "b",
        "\"a\"",
        "writes.t = 1",
        "INSERT INTO t VALUES (77, 'b')",
        Some("DELETE FROM t WHERE id = 77"),
    );
    bench.mini_plan(&format!("{a}{b}"));
    bench
}

#[test]
fn a_statement_in_the_engines_name_is_not_believed() {
    let sql = format!("{FORGE};\nINSERT INTO u VALUES (1, 'a'), (2, 'b')");
    let bench = bench("forged", "writes.u = 1\nwrites.forged = \"all\"", &sql);
    bench.mini_apply(&[]).expect(42).says(&["changed more than it declared", "public.u"]);
}

/// The forgery above is one: what it puts in the engine's place was there before.
#[test]
fn there_is_something_to_forge() {
    let sql = format!("{FORGE};\nINSERT INTO u VALUES (1, 'a')");
    let bench = bench("forgeable", "writes.u = 1\nwrites.forged = \"all\"", &sql);
    bench.mini_apply(&[]).expect(0);
    let forged: u32 =
        bench.psql(bench.clone_name(), "SELECT count(*) FROM public.forged").trim().parse().expect("a number");
    assert!(forged >= 2, "{forged} statements were there");
}

#[test]
fn a_stage_may_throw_prepared_statements_away() {
    let sql = "INSERT INTO u VALUES (1, 'a');\nDEALLOCATE ALL";
    let bench = bench("thrown_away", "writes.u = 1", sql);
    bench.mini_apply(&[]).expect(0);
}

/// Names of the plan are looked up in its path, and there an operator of its own would be taken before the system's.
#[test]
fn an_operator_of_the_plans_has_no_part_in_looking_names_up() {
    let more = "CREATE FUNCTION public.same(oid, oid) RETURNS bool LANGUAGE plpgsql AS \
                $$BEGIN RAISE EXCEPTION 'somebody elses operator'; END$$; \
                CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.same)";
    let bench = Bench::mini("operator", more);
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1, 'a')", Some("DELETE FROM u"));
    bench.mini_plan(&a);
    bench.edit(MINI, "search_path = \"public, gov\"", "search_path = \"public, gov, pg_catalog\"");
    bench.mini_apply(&[]).expect(0);
}
