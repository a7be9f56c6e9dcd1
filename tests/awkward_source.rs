//! A production that a clone cannot simply copy: default privileges, settings of a superuser, foreign servers, and
//! comments on what it leaves out.

mod support;

use support::Bench;

const MAIN_JOB: &str = "plans/clone_a_to_g.toml";

const AWKWARD: &str = "
    ALTER DEFAULT PRIVILEGES FOR ROLE directus IN SCHEMA public GRANT SELECT ON TABLES TO engine_reader;
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET log_min_duration_statement = 1000', current_database());
        EXECUTE format('ALTER DATABASE %I SET search_path = \"$user\", public', current_database());
    END $$;
    CREATE EXTENSION postgres_fdw;
    CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere.invalid');
    CREATE USER MAPPING FOR directus SERVER far OPTIONS (user 'x', password 'canary-of-a-mapping');
    CREATE FOREIGN TABLE public.far_away (a int) SERVER far;
    ALTER FOREIGN TABLE public.far_away OWNER TO directus;
    GRANT SELECT ON public.far_away TO engine_reader;
    COMMENT ON FOREIGN TABLE public.far_away IS 'far';
    CREATE FUNCTION public.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    ALTER FUNCTION public.watch() OWNER TO directus;
    CREATE EVENT TRIGGER watches ON sql_drop EXECUTE FUNCTION public.watch();
    COMMENT ON EVENT TRIGGER watches IS 'a comment on what only a superuser can make';
    CREATE PUBLICATION all_of_it FOR ALL TABLES;
    COMMENT ON PUBLICATION all_of_it IS 'and another one';
";

#[test]
fn what_reaches_out_is_named_and_left_out_once_it_is_acknowledged() {
    let bench = Bench::new("awkward");
    bench.psql(bench.production(), AWKWARD);
    bench.apply(&["--until", "baseline"]).expect(40).says(&["postgres_fdw", "acknowledge", "nothing was created"]);
    assert!(!bench.exists(bench.clone_name()), "a clone was made");

    let plan = bench.read(MAIN_JOB).replace("[stage.clone]\n", "[stage.clone]\nacknowledge = [\"postgres_fdw\"]\n");
    bench.write(MAIN_JOB, &plan);
    bench.apply(&["--until", "baseline"]).expect(0);

    let page = bench.engine(&["show", "latest", "clone"]).expect(0).says(&[
        "not restored: extension postgres_fdw",
        "not restored: server far",
        "not restored: user mapping of directus for server far",
        "not restored: foreign table public.far_away",
        "not restored: setting log_min_duration_statement",
        "not restored: event trigger watches",
        "not restored: publication all_of_it",
    ]);
    assert!(!page.stdout.contains("canary-of-a-mapping"));
    let clone = bench.clone_name();
    assert_eq!(bench.psql(clone, "SELECT count(*) FROM pg_foreign_server"), "0");
    assert_eq!(bench.psql(clone, "SHOW search_path"), "\"$user\", public");
    // Default privileges work for whoever creates tables in the clone.
    let granted = "SET ROLE engine_owner; CREATE TABLE public.fresh (a int); RESET ROLE; \
                   SELECT has_table_privilege('engine_reader', 'public.fresh', 'SELECT')";
    assert!(bench.psql(clone, granted).ends_with('t'), "default privileges were not given again");
}
