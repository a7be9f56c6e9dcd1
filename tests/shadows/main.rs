//! What production calls by the names of the system: operators and functions that fit better than those of
//! `pg_catalog`. Nothing that the engine says itself may end up in one of them, and none may make it believe a lie.

#[path = "../support/mod.rs"]
mod support;

use support::{Bench, MINI_ROLLOUT, ROLLOUT, assert_same, server, to_the_packet};

const OPERATORS: &str = include_str!("operators.sql");

/// What the server's log says of shadows in these databases.
fn shadowed(databases: &[&str]) -> Vec<String> {
    let log = std::fs::read_to_string(server().log()).expect("the server's log");
    let of = |line: &&str| databases.iter().any(|name| line.contains(&format!("shadowed in {name}:")));
    log.lines().filter(of).map(str::to_owned).collect()
}

/// The sample with shadows, which the paths of database and reader put first.
fn production(name: &str) -> Bench {
    let bench = Bench::new(name);
    let database = bench.production();
    bench.psql(database, OPERATORS);
    bench.psql(
        "postgres",
        &format!(
            "ALTER DATABASE {database} SET search_path = public, pg_catalog;
             ALTER ROLE engine_reader IN DATABASE {database} SET search_path = public, pg_catalog;"
        ),
    );
    bench
}

/// The trap is sprung by anybody who is careless.
#[test]
fn a_shadow_says_that_it_was_called() {
    let bench = production("control");
    let database = bench.production();
    for careless in
        ["SELECT 1 FROM pg_catalog.pg_namespace AS n WHERE n.nspname ~ '^x'", "SELECT sum(1)", "SELECT 1::numeric = 1"]
    {
        let before = shadowed(&[database]).len();
        bench.psql_as("directus", database, careless).expect_err(careless);
        assert!(shadowed(&[database]).len() > before, "{careless}");
    }
    let implicit = "SET search_path = public; SELECT 1 FROM pg_catalog.pg_namespace AS n WHERE n.nspname ~ '^x'";
    bench.psql_as("directus", database, implicit).expect_err("pg_catalog comes first, and it does not help");
}

#[test]
fn the_main_job_calls_no_shadow() {
    let bench = production("job");
    let database = bench.production();
    let witness = |bench: &Bench| {
        let set = format!("ALTER DATABASE {database} ");
        bench.psql("postgres", &format!("{set} RESET search_path"));
        let all = bench.all_of(database);
        bench.psql("postgres", &format!("{set} SET search_path = public, pg_catalog"));
        all
    };
    let before = witness(&bench);
    bench.apply(&[]).expect(0);
    assert_same(&witness(&bench), &before, "production");
    let run = bench.run_id();
    for command in [
        vec!["doctor", support::MAIN_JOB],
        vec!["plan", support::MAIN_JOB],
        vec!["watermark", "env:ENGINE_PRODUCTION_URL", "-o", "mark.json"],
        vec!["fingerprint", "env:ENGINE_PRODUCTION_URL"],
        vec!["verify", &run],
    ] {
        bench.engine(&command).expect(0);
    }
    bench.psql(
        database,
        "SET search_path = pg_catalog; INSERT INTO public.os_proposal_approvals (request_code, level, approver)
         VALUES ('APR-BOOT-AUTHMODEL-1', 'L4', 'sovereign')",
    );
    bench.engine(&["apply", ROLLOUT]).expect(0);
    assert_eq!(shadowed(&[database, bench.clone_name(), "engine_"]), Vec::<String>::new());
}

/// Operators that lie: all is equal, nothing is bigger, no name fits a pattern.
const LIARS: &str = "
CREATE FUNCTION public.yes(numeric, integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION public.no(numeric, integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE FUNCTION public.no(name, name) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE OPERATOR public.= (LEFTARG = numeric, RIGHTARG = integer, FUNCTION = public.yes);
CREATE OPERATOR public.> (LEFTARG = numeric, RIGHTARG = integer, FUNCTION = public.no);
CREATE OPERATOR public.!~ (LEFTARG = name, RIGHTARG = name, FUNCTION = public.no);
CREATE TABLE asked (id int);
";

const INSERT: &str = "INSERT INTO u SELECT n, 'b' FROM generate_series(1, 3) AS n";
const NUMERIC: &str = "[probe.amount]\non = \"clone\"\nsql = \"SELECT count(*)::numeric FROM public.u\"\n";

#[test]
fn no_operator_makes_a_guard_or_an_ensure_true() {
    for (keys, code) in [("guard.g = \"amount = 7\"", 30), ("no_guard = \"-\"\nensure.e = \"amount = 7\"", 41)] {
        let bench = Bench::mini("guard", LIARS);
        let stage = bench.mini_stage("s", "\"base\"", &format!("writes.u = 3\n{keys}"), INSERT, None);
        let stage = if keys.contains("no_guard") { stage.replacen("no_guard = \"none\"\n", "", 1) } else { stage };
        bench.mini_plan(&format!("{NUMERIC}{stage}"));
        bench.mini_apply(&[]).expect(code).says(&["amount = 7"]);
    }
}

#[test]
fn no_operator_hides_a_table_from_being_counted() {
    let bench = Bench::mini("hidden", LIARS);
    bench.mini_plan(&bench.mini_stage("s", "\"base\"", "writes.u = 2", INSERT, None));
    bench.mini_apply(&[]).expect(42).says(&["public.u", "3 of 2"]);
}

/// By the engine and by psql: gates and bounds of a packet are judged by the system's operators, too.
#[test]
fn no_operator_opens_a_gate_or_widens_a_bound() {
    for by_psql in [false, true] {
        let bench = Bench::mini("gate", LIARS);
        let stage = bench.mini_stage("s", "\"base\"", "writes.u = 3", INSERT, Some("DELETE FROM u"));
        bench.mini_plan(&format!("{NUMERIC}{stage}{}", to_the_packet("\"s\"", "\"s\"", "us = 3")));
        for plan in [support::MINI, MINI_ROLLOUT] {
            let (old, new) = ("SELECT count(*) FROM public.ok", "SELECT count(*)::numeric FROM public.ok");
            bench.edit(plan, old, new);
            bench.edit(plan, "oks >= 1", "oks = 1");
        }
        bench.mini_apply(&[]).expect(0);
        let before = bench.all_of(bench.production());
        let apply = |code: i32, psql_code: i32, says: &[&str]| {
            if by_psql {
                let file = format!("{}/apply.sql", bench.packet().0);
                bench.bare_psql("shop_owner", &["-v", "ON_ERROR_STOP=1"], &file).expect(psql_code).says(says);
            } else {
                bench.engine(&["apply", MINI_ROLLOUT]).expect(code).says(says);
            }
        };
        apply(30, 3, &["oks = 1"]);
        assert_same(&bench.all_of(bench.production()), &before, "a liar opened the gate");

        bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
        // Production has since got a rule that writes more than was rehearsed.
        bench.psql(
            bench.production(),
            "CREATE RULE more AS ON INSERT TO public.u DO ALSO INSERT INTO public.asked VALUES (1)",
        );
        let before = bench.all_of(bench.production());
        // The engine sees the new rule itself; psql's packet counts.
        apply(62, 3, if by_psql { &["public.asked 3 of 0"] } else { &["rule more"] });
        assert_same(&bench.all_of(bench.production()), &before, "a liar widened a bound");
        bench.psql(bench.production(), "DROP RULE more ON public.u");
        apply(0, 0, &[]);
    }
}
