//! The preflight of a clone, each time on a real server with one thing in the way: it is named with what to type,
//! several are named together, and nothing was created.

mod support;

use engine::event::Event;
use engine::sandbox::{Options, Sample, Server};
use std::sync::OnceLock;
use support::{Bench, Outcome, server};

const PLAN: &str = "plans/pf.toml";

/// A bench with the shop, and a plan that only clones it.
fn bench(name: &str, more: &str) -> Bench {
    let bench = Bench::shop(name);
    bench.psql(bench.production(), more);
    plan(&bench, "");
    bench
}

/// The plan, with more keys of its clone stage.
fn plan(bench: &Bench, keys: &str) {
    let database = bench.clone_name();
    let text = format!(
        r#"engine = 1
[plan]
name = "pf"
[target.production]
url = "env:SHOP_PRODUCTION_URL"
access = "read"
[target.clone]
clone_of = "production"
database = "{database}"
url = "env:SHOP_CLONE_URL"
maker_url = "env:SHOP_CLONE_MAKER_URL"
[stage.clone]
kind = "clone"
on = "clone"
needs = []
no_guard = "the preflight is the guard"
{keys}
"#
    );
    bench.write(PLAN, &text);
}

fn apply(bench: &Bench) -> Outcome {
    bench.engine(&["apply", PLAN])
}

/// What the journal of the newest run says of its preflight: passed or not, and each observation.
fn observed(bench: &Bench) -> (bool, String) {
    let proof = bench.journal().events.into_iter().rev().find_map(|event| match event {
        Event::Proved { proof, passed, observations, .. } if proof == "preflight" => {
            Some((passed, observations.join("\n")))
        }
        _ => None,
    });
    proof.expect("a preflight in the journal")
}

/// Demands that the stage failed in its preflight and that no clone was begun.
#[track_caller]
fn refused(bench: &Bench, said: &[&str]) -> Outcome {
    let outcome = apply(bench).expect(40).says(said).says(&["nothing was created; production was only read"]);
    assert!(!observed(bench).0, "the preflight passed");
    assert_eq!(bench.journal().count(|event| matches!(event, Event::CloneBegun { .. })), 0, "a clone was begun");
    outcome
}

/// Another server, for clones; it has the roles of the engine and no other.
fn other() -> &'static Server {
    static OTHER: OnceLock<Server> = OnceLock::new();
    OTHER.get_or_init(|| {
        let other = Server::start(&Options::default()).expect("another server");
        Sample::Shop.load(&other, "shop", 0).expect("the roles");
        other
    })
}

/// Lets the clone be made on another server.
fn elsewhere(bench: &mut Bench, server: &Server) {
    bench.set("SHOP_CLONE_URL", &server.url("engine_stage", "postgres"));
    bench.set("SHOP_CLONE_MAKER_URL", &server.url("engine_cloner", "postgres"));
}

#[test]
fn nothing_in_the_way_is_said_too() {
    let mut bench = bench("fine", "");
    elsewhere(&mut bench, other());
    apply(&bench).expect(0);
    let (passed, observations) = observed(&bench);
    assert!(passed);
    assert!(observations.contains("pg_dump "), "{observations}");
    assert!(observations.contains("disk of the clone's server: not known, the maker may not read data_directory"));
    assert!(!observations.contains("problem: ") && !observations.contains("warning: "), "{observations}");
    bench.engine(&["show", "latest", "clone"]).expect(0).says(&["Proof: preflight: PASS (nothing in the way"]);
}

#[test]
fn all_is_reported_at_once_and_nothing_is_created() {
    let mut bench = bench(
        "several",
        "CREATE ROLE only_here; CREATE ROLE in_a_policy;
         CREATE TABLE public.seen (a int); GRANT SELECT ON public.seen TO engine_reader, only_here;
         CREATE POLICY p ON public.seen TO in_a_policy USING (true);
         CREATE TABLE public.hidden (a int);
         CREATE FUNCTION public.handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
         CREATE LANGUAGE untrusted HANDLER public.handler;
         CREATE COLLATION pg_catalog.odd_one (locale = 'C');
         CREATE TABLE public.sorted (a text COLLATE odd_one); GRANT SELECT ON public.sorted TO engine_reader",
    );
    elsewhere(&mut bench, other());
    let outcome = refused(
        &bench,
        &[
            "5 things keep `production` from being cloned",
            "1. the reader cannot read all of `production`",
            "     unreadable  public.hidden",
            "     tables: GRANT SELECT ON ALL TABLES",
            "2. production holds what could reach out of a clone",
            "     language untrusted",
            "acknowledge = [",
            "3. `production` holds what only a superuser can create",
            "     function public.handler() in language c",
            "4. the clone's server lacks collations that columns name",
            "     collation odd_one, of public.sorted.a",
            "5. the clone's server lacks roles that grants and policies name",
            "     only_here, in public.seen",
            "     in_a_policy, in policy p on public.seen",
            "CREATE ROLE in_a_policy NOLOGIN; CREATE ROLE only_here NOLOGIN",
        ],
    );
    assert_eq!(outcome.stderr.matches("engine doctor").count(), 1, "{}", outcome.stderr);
    let made = "SELECT count(*) FROM pg_database WHERE datname LIKE 'engine%' OR datname LIKE 'clone%several'";
    assert_eq!(other().psql("postgres", made).expect("an answer"), "0");
    // What it says to type is what helps.
    bench.psql(
        bench.production(),
        "DROP TABLE public.hidden, public.sorted; DROP COLLATION pg_catalog.odd_one;
         DROP LANGUAGE untrusted; DROP FUNCTION public.handler()",
    );
    other().psql("postgres", "CREATE ROLE in_a_policy NOLOGIN; CREATE ROLE only_here NOLOGIN").expect("the fix");
    apply(&bench).expect(0);
}

#[test]
fn a_policy_that_binds_the_owner_too() {
    let bench = bench(
        "forced",
        "CREATE TABLE public.own (a int); GRANT SELECT ON public.own TO engine_reader;
         CREATE POLICY p ON public.own USING (a > 1);
         ALTER TABLE public.own ENABLE ROW LEVEL SECURITY; ALTER TABLE public.own FORCE ROW LEVEL SECURITY",
    );
    refused(
        &bench,
        &[
            "row level security is forced upon the owner of tables, and engine_owner does not pass by it",
            "public.own",
            "ALTER ROLE engine_owner BYPASSRLS",
        ],
    );
}

#[test]
fn a_tablespace_of_another_or_of_nowhere() {
    let mut bench = Bench::shop("space");
    plan(&bench, "");
    bench.psql("postgres", "SET allow_in_place_tablespaces = on; CREATE TABLESPACE fast LOCATION ''");
    bench.psql(
        bench.production(),
        "CREATE TABLE public.quick (a int) TABLESPACE fast; GRANT SELECT ON public.quick TO engine_reader",
    );
    let fix = "GRANT CREATE ON TABLESPACE fast TO engine_owner";
    refused(&bench, &["engine_owner may not create in the tablespace fast", "used by public.quick", fix]);
    let maker = bench.url("engine_cloner", "postgres");
    elsewhere(&mut bench, other());
    refused(&bench, &["the clone's server has no tablespace fast", "CREATE TABLESPACE fast LOCATION"]);
    bench.set("SHOP_CLONE_MAKER_URL", &maker);
    bench.set("SHOP_CLONE_URL", &bench.url("engine_stage", "postgres"));
    bench.psql("postgres", fix);
    apply(&bench).expect(0);
}

#[test]
fn an_extension_in_another_version() {
    let bench = bench("version", "UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'plpgsql'");
    refused(
        &bench,
        &[
            "the clone's server would create extensions in another version",
            "plpgsql 0.9 in `production`, 1.0 there",
            "ALTER EXTENSION plpgsql UPDATE TO '1.0', in production",
        ],
    );
    bench.psql(bench.production(), "UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'plpgsql'");
    apply(&bench).expect(0);
}

#[test]
fn what_only_a_superuser_can_make_and_rows_outside_of_the_heap() {
    let bench = bench(
        "superuser",
        "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
         CREATE TABLE public.aside (a int) USING heap2; GRANT SELECT ON public.aside TO engine_reader;
         CREATE FUNCTION public.tight(int) RETURNS int LANGUAGE sql LEAKPROOF AS 'SELECT $1'",
    );
    refused(
        &bench,
        &[
            "`production` holds what only a superuser can create, and clones are restored as engine_owner",
            "access method heap2",
            "function public.tight(integer), LEAKPROOF",
        ],
    );
    assert!(
        observed(&bench).1.contains("warning: public.aside is kept by access method heap2"),
        "{:?}",
        observed(&bench)
    );
}

#[test]
fn grants_of_others_need_a_superuser() {
    let bench = bench(
        "grantor",
        "CREATE ROLE between; CREATE ROLE last_one;
         CREATE TABLE public.passed (a int); GRANT SELECT ON public.passed TO engine_reader;
         GRANT SELECT ON public.passed TO between WITH GRANT OPTION;
         SET ROLE between; GRANT SELECT ON public.passed TO last_one; RESET ROLE",
    );
    refused(&bench, &["grants were given by somebody who is not the owner", "to last_one on public.passed"]);
    bench.psql(
        bench.production(),
        "GRANT SELECT ON public.passed TO last_one;
         SET ROLE between; REVOKE SELECT ON public.passed FROM last_one; RESET ROLE",
    );
    apply(&bench).expect(0);
}

#[test]
fn no_connection_left_for_a_role() {
    let mut bench = bench("tight", "");
    let role = "CREATE ROLE tight_reader LOGIN BYPASSRLS CONNECTION LIMIT 1; GRANT engine_reader TO tight_reader";
    bench.psql("postgres", role);
    bench.set("SHOP_PRODUCTION_URL", &bench.url("tight_reader", bench.production()));
    let said = [
        "`production` has room for 0 more sessions, and up to ",
        "the role tight_reader has CONNECTION LIMIT 1, 1 are in use",
        "ALTER ROLE tight_reader CONNECTION LIMIT -1",
        "a smaller `jobs`",
    ];
    refused(&bench, &said);
    bench.psql("postgres", "ALTER ROLE tight_reader CONNECTION LIMIT -1");
    apply(&bench).expect(0);
}

#[test]
fn a_maker_that_may_not_make() {
    let mut bench = bench("maker", "");
    let role = "CREATE ROLE idle_hands LOGIN; GRANT pg_read_all_settings TO idle_hands";
    bench.psql("postgres", role);
    bench.set("SHOP_CLONE_MAKER_URL", &bench.url("idle_hands", "postgres"));
    refused(
        &bench,
        &[
            "2 things keep",
            "idle_hands makes the clone and is no member of engine_owner",
            "GRANT engine_owner TO idle_hands",
            "idle_hands may not create databases",
            "ALTER ROLE idle_hands CREATEDB",
        ],
    );
    // It may know where the data is, and that is on this machine.
    assert!(observed(&bench).1.contains(" MB free in /"), "{:?}", observed(&bench));
    bench.psql("postgres", "GRANT engine_owner TO idle_hands; ALTER ROLE idle_hands CREATEDB");
    apply(&bench).expect(0);
}

#[test]
fn no_pg_dump() {
    let mut bench = bench("programs", "");
    let nothing = bench.home().join("nothing").display().to_string();
    bench.set("ENGINE_TEST_PG_BIN", &nothing);
    apply(&bench).expect(1).says(&["`pg_dump` is missing", "ENGINE_PG_BIN=FOLDER", "nothing was created"]);
    assert_eq!(bench.journal().count(|event| matches!(event, Event::CloneBegun { .. })), 0);
}

#[test]
fn too_few_locks_for_so_many_tables() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { dir: Some(folder.path().join("data")), fsync: false, ..Options::default() };
    let production = Server::start(&options).expect("a server");
    Sample::Shop.load(&production, "shop", 0).expect("a sample");
    let many = "SELECT format('CREATE TABLE public.t%s ()', n) FROM generate_series(1, 3000) AS n \\gexec\n
                GRANT SELECT ON ALL TABLES IN SCHEMA public TO engine_reader;
                ALTER SYSTEM SET max_locks_per_transaction = 10;";
    production.psql("shop", many).expect("tables");
    production.stop().expect("it stops");
    let production = Server::start(&options).expect("a server");
    let mut bench = bench("locks", "");
    elsewhere(&mut bench, other());
    bench.set("SHOP_PRODUCTION_URL", &production.url("engine_reader", "shop"));
    let outcome = refused(
        &bench,
        &["`production` has room for about ", "are read in one transaction", "max_locks_per_transaction = "],
    );
    assert!(!outcome.stderr.contains("the clone's server has room"), "its own locks suffice: {}", outcome.stderr);
}

#[test]
fn a_standby_that_takes_no_heed_and_a_collation_of_another_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let options = Options { dir: Some(data.clone()), fsync: false, ..Options::default() };
    let primary = Server::start(&options).expect("a server");
    Sample::Shop.load(&primary, "first", 0).expect("a sample");
    // A provider whose collations have a version; not every build has ICU.
    let provider =
        if primary.major() < 17 { "icu ICU_LOCALE 'en'" } else { "builtin BUILTIN_LOCALE 'C.UTF-8' ENCODING 'UTF8'" };
    let create = format!("CREATE DATABASE shop TEMPLATE template0 LOCALE_PROVIDER {provider} OWNER shop_owner");
    primary.psql("postgres", &create).expect("a database");
    let fill = "CREATE TABLE public.a (a text); GRANT SELECT ON public.a TO engine_reader;
                REVOKE CONNECT ON DATABASE shop FROM PUBLIC; GRANT CONNECT ON DATABASE shop TO engine_reader;
                UPDATE pg_database SET datcollversion = '0.1' WHERE datname = 'shop'";
    primary.psql("shop", fill).expect("a table");
    primary.stop().expect("it stops");
    std::fs::write(data.join("data/standby.signal"), "").expect("a signal");
    let standby = Server::start(&options).expect("a standby");
    assert!(standby.psql("shop", "SELECT pg_is_in_recovery()").expect("an answer").ends_with('t'));
    let mut bench = bench("standby", "");
    elsewhere(&mut bench, other());
    bench.set("SHOP_PRODUCTION_URL", &standby.url("engine_reader", "shop"));
    apply(&bench).expect(0);
    let (passed, observations) = observed(&bench);
    assert!(passed);
    assert!(observations.contains("is a standby with hot_standby_feedback off"), "{observations}");
    assert!(observations.contains("was made with collation version 0.1"), "{observations}");
}

#[test]
fn what_was_refused_before_is_said_as_before() {
    let bench = bench("before", "CREATE TABLE public.hidden (a int)");
    let alone = refused(
        &bench,
        &["failed: the reader cannot read all of `production`", "unreadable  public.hidden", "engine doctor PLAN"],
    );
    assert!(!alone.stderr.contains("things keep"), "{}", alone.stderr);
    assert_eq!(
        server()
            .psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'engine_%before'")
            .expect("an answer"),
        "0"
    );
}
