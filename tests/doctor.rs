//! What `doctor` says a role could do, and that the statements it prints make it right: they are run, word for word.

mod support;

use engine::event::{Event, Exit};
use engine::target::{Confined, Door, Isolation, Reader, Settings, Url};
use std::time::Duration;
use support::{Bench, MAIN_JOB, OwnServer};

const PLAN: &str = r#"engine = 1
plan.name = "look"
[target.production]
url = "env:SHOP_PRODUCTION_URL"
access = "read"
POLICY
[stage.look]
kind = "fingerprint"
on = "production"
needs = []
no_guard = "looks"
"#;

/// A production of two schemas, with a reader of its own called like the bench.
fn bench(name: &str) -> (Bench, String) {
    let mut bench = Bench::bare(name, "");
    let reader = format!("reader_{name}");
    bench.psql("postgres", &format!("CREATE ROLE {reader} LOGIN"));
    bench.psql(
        bench.production(),
        &format!(
            "GRANT CONNECT ON DATABASE {0} TO {reader};
             SET ROLE shop_owner; CREATE SCHEMA s;
             CREATE TABLE s.a (id int PRIMARY KEY, v text); CREATE TABLE s.\"B b\" (id int, w text);
             CREATE SEQUENCE s.n; CREATE FUNCTION s.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
             REVOKE EXECUTE ON FUNCTION s.f() FROM PUBLIC;
             GRANT USAGE ON SCHEMA s TO {reader}; GRANT SELECT ON ALL TABLES IN SCHEMA s TO {reader};
             GRANT SELECT ON ALL SEQUENCES IN SCHEMA s TO {reader}",
            bench.production()
        ),
    );
    bench.write("plans/look.toml", &PLAN.replace("POLICY", ""));
    bench.set("SHOP_PRODUCTION_URL", &bench.url(&reader, bench.production()));
    (bench, reader)
}

/// Lines that are statements, as they are printed.
fn statements(screen: &str) -> String {
    let verbs = ["ALTER ", "GRANT ", "REVOKE ", "SET ROLE "];
    let lines = screen.lines().map(str::trim).filter(|line| verbs.iter().any(|verb| line.starts_with(verb)));
    lines.collect::<Vec<_>>().join("\n")
}

/// The screen up to what is only listed: what must be done.
fn to_do(screen: &str) -> &str {
    screen.split("what is only listed").next().unwrap_or(screen)
}

fn doctor(bench: &Bench, code: i32) -> String {
    bench.engine(&["doctor", "plans/look.toml"]).expect(code).stdout
}

/// One power: how it is given (as the owner or as a superuser), the heading it stands under, and its words.
const POWERS: &[(&str, &str, &str)] = &[
    ("ALTER ROLE ROLE SUPERUSER", "above all rights", "is superuser"),
    ("ALTER ROLE ROLE CREATEROLE", "above all rights", "may create roles"),
    ("ALTER ROLE ROLE REPLICATION", "above all rights", "may replicate"),
    ("GRANT pg_execute_server_program TO ROLE", "above all rights", "is a member of pg_execute_server_program"),
    ("GRANT pg_read_server_files TO ROLE", "above all rights", "is a member of pg_read_server_files"),
    (
        "GRANT ALTER SYSTEM ON PARAMETER work_mem TO ROLE",
        "above all rights",
        "may change for the whole server the parameter",
    ),
    ("GRANT pg_write_all_data TO ROLE", "could change it", "is a member of pg_write_all_data"),
    ("GRANT UPDATE, DELETE ON s.a TO ROLE", "could change it", "may write s.a (DELETE, UPDATE granted to it)"),
    ("GRANT INSERT ON s.\"B b\" TO PUBLIC", "could change it", "may write s.\"B b\" (INSERT granted to PUBLIC)"),
    ("GRANT TRUNCATE ON s.a TO ROLE", "could change it", "may write s.a (TRUNCATE granted to it)"),
    ("GRANT TRIGGER ON s.a TO ROLE", "could change it", "may write s.a (TRIGGER granted to it)"),
    ("GRANT UPDATE (v) ON s.a TO ROLE", "could change it", "may write s.a (UPDATE of v granted to it)"),
    ("GRANT USAGE ON SEQUENCE s.n TO ROLE", "could change it", "may advance s.n"),
    ("GRANT CREATE ON SCHEMA s TO PUBLIC", "could change it", "may create objects in schema s (granted to PUBLIC)"),
    ("GRANT CREATE ON DATABASE \" BASE \" TO ROLE", "could change it", "may create schemas in database"),
    ("ALTER TABLE s.a OWNER TO ROLE", "could change it", "owns table s.a"),
    (
        "CREATE FUNCTION s.g() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION s.g() OWNER TO ROLE",
        "could change it",
        "owns function s.g()",
    ),
    (
        "CREATE AGGREGATE s.k(*) (sfunc = int8inc, stype = int8, initcond = '0'); ALTER AGGREGATE s.k(*) OWNER TO ROLE",
        "could change it",
        "owns aggregate s.k",
    ),
    (
        "CREATE TABLE s.p (id int) PARTITION BY RANGE (id); CREATE TABLE s.q PARTITION OF s.p DEFAULT;
         ALTER TABLE s.p OWNER TO ROLE",
        "could change it",
        "owns table s.p",
    ),
    ("ALTER TABLE s.q OWNER TO ROLE", "could change it", "owns table s.q"),
    ("GRANT EXECUTE ON FUNCTION pg_reload_conf() TO ROLE", "above all rights", "may call pg_catalog.pg_reload_conf()"),
    ("GRANT EXECUTE ON FUNCTION lo_export(oid, text) TO PUBLIC", "above all rights", "may call pg_catalog.lo_export"),
    (
        "GRANT SET ON PARAMETER session_preload_libraries TO ROLE",
        "above all rights",
        "may set the parameter session_preload_libraries",
    ),
    (
        "GRANT SET ON PARAMETER lo_compat_privileges TO ROLE",
        "could change it",
        "may set the parameter lo_compat_privileges",
    ),
    (
        "CREATE FOREIGN DATA WRAPPER fw; GRANT USAGE ON FOREIGN DATA WRAPPER fw TO ROLE",
        "could change it",
        "may make servers of foreign-data wrapper fw",
    ),
    (
        "CREATE SERVER far FOREIGN DATA WRAPPER fw; CREATE USER MAPPING FOR ROLE SERVER far; GRANT INSERT ON s.a TO ROLE",
        "could change it",
        "may write s.a (INSERT granted to it)",
    ),
    (
        "CREATE ROLE mid_ROLE; GRANT USAGE ON SCHEMA s TO mid_ROLE; GRANT UPDATE ON s.a TO mid_ROLE WITH GRANT OPTION;
         SET ROLE mid_ROLE; GRANT UPDATE ON s.a TO ROLE; RESET ROLE",
        "could change it",
        "may write s.a (UPDATE granted to it)",
    ),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner GRANT INSERT ON TABLES TO ROLE",
        "could change it",
        "will be able to write every table that shop_owner makes (granted to it)",
    ),
    ("GRANT shop_owner TO ROLE", "could change it", "as a member of shop_owner"),
    ("SELECT lo_create(77); GRANT UPDATE ON LARGE OBJECT 77 TO ROLE", "could change it", "may write large object 77"),
    (
        "CREATE ROLE through_ROLE; GRANT through_ROLE TO ROLE; GRANT UPDATE ON s.a TO through_ROLE",
        "could change it",
        "may write s.a (UPDATE granted to through_ROLE, of which it is a member)",
    ),
    (
        "CREATE ROLE first_ROLE; CREATE ROLE last_ROLE; GRANT first_ROLE TO ROLE; GRANT last_ROLE TO first_ROLE;
         GRANT USAGE ON SEQUENCE s.n TO last_ROLE",
        "could change it",
        "may advance s.n (granted to last_ROLE, of which it is a member)",
    ),
    ("GRANT pg_signal_backend TO ROLE", "could disturb others", "is a member of pg_signal_backend"),
    ("GRANT pg_checkpoint TO ROLE", "could disturb others", "is a member of pg_checkpoint"),
];

/// What only newer servers have: from which on.
const NEWER: &[(u32, (&str, &str, &str))] = &[
    (17, ("GRANT MAINTAIN ON s.a TO ROLE", "could disturb others", "may lock and rebuild s.a (granted to it)")),
    (17, ("GRANT pg_maintain TO ROLE", "could disturb others", "is a member of pg_maintain")),
    (16, ("GRANT pg_create_subscription TO ROLE", "could disturb others", "is a member of pg_create_subscription")),
];

/// Each alone: listed under its grade, refused by a run, and gone after the statements that were printed.
#[test]
fn each_power_is_graded_and_taken_away_by_what_is_printed() {
    let (bench, reader) = bench("each");
    let major = support::server().major();
    let newer = NEWER.iter().filter(|(since, _)| major >= *since).map(|(_, power)| power);
    for (given, heading, words) in POWERS.iter().chain(newer) {
        let fill = |text: &str| {
            text.replace("\" BASE \"", bench.production())
                .replace("ROLE ROLE", &format!("ROLE {reader}"))
                .replace("TO ROLE", &format!("TO {reader}"))
                .replace("FOR ROLE SERVER", &format!("FOR {reader} SERVER"))
                .replace("_ROLE", &format!("_{reader}"))
        };
        bench.psql(bench.production(), &fill(given));
        let screen = doctor(&bench, 1);
        let under = screen.split(heading).nth(1).unwrap_or_else(|| panic!("{given}: no `{heading}` in\n{screen}"));
        assert!(under.contains(&fill(words)), "{given}: {words} is not in\n{screen}");
        let refused = bench.engine(&["apply", "plans/look.toml"]).expect(1);
        assert!(refused.stderr.contains("could change it, and the plan wants a confined reader"), "{}", refused.stderr);
        bench.psql(bench.production(), &statements(to_do(&screen)));
        let after = doctor(&bench, 0);
        assert!(after.contains("right as it is"), "{given}: {after}");
    }
    bench.engine(&["apply", "plans/look.toml"]).expect(0);
}

/// A role that must be given as well as taken from, all at once.
#[test]
fn what_is_missing_is_granted_by_what_is_printed() {
    let (bench, reader) = bench("missing");
    let production = bench.production();
    bench.psql(
        production,
        &format!(
            "REVOKE USAGE ON SCHEMA s FROM {reader}; REVOKE SELECT ON s.\"B b\", s.n FROM {reader};
             SET ROLE shop_owner; CREATE SCHEMA t; CREATE TABLE t.c (id int); CREATE TABLE t.d (id int);
             ALTER TABLE t.d ENABLE ROW LEVEL SECURITY; SELECT lo_create(5), lo_create(6); RESET ROLE;
             GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA s, t TO {reader}"
        ),
    );
    let screen = doctor(&bench, 1);
    for words in [
        "cannot read schema s (unreachable)",
        "cannot read s.\"B b\" (unreadable)",
        "cannot read t.d (row level security)",
        "cannot read 2 (large object)",
        &format!("REVOKE DELETE, INSERT, UPDATE ON TABLE s.\"B b\", s.a, t.c, t.d FROM {reader};"),
        &format!("GRANT SELECT ON TABLE s.\"B b\", t.c, t.d TO {reader};"),
        &format!("GRANT SELECT ON LARGE OBJECT 5, 6 TO {reader};"),
        &format!("ALTER ROLE {reader} BYPASSRLS;"),
    ] {
        assert!(screen.contains(words), "{words} is not in\n{screen}");
    }
    bench.psql(production, &statements(to_do(&screen)));
    assert!(doctor(&bench, 0).contains("right as it is"));
    bench.engine(&["apply", "plans/look.toml"]).expect(0);
    // A witness that is not the engine's query.
    let writes = format!(
        "SELECT count(*) FROM pg_class WHERE relnamespace IN ('s'::regnamespace, 't'::regnamespace) AND relkind = 'r'
         AND (has_table_privilege('{reader}', oid, 'INSERT, UPDATE, DELETE, TRUNCATE') OR NOT has_table_privilege('{reader}', oid, 'SELECT'))"
    );
    assert_eq!(bench.psql(production, &writes), "0");
}

/// What PUBLIC may do everywhere is in the evidence by name, and refuses nobody.
#[test]
fn what_is_only_listed_refuses_nobody() {
    let (bench, reader) = bench("listed");
    let production = bench.production();
    bench.psql(
        production,
        &format!("GRANT EXECUTE ON FUNCTION s.f() TO PUBLIC; GRANT TEMPORARY ON DATABASE {production} TO PUBLIC"),
    );
    bench.psql(production, &format!("GRANT REFERENCES ON s.a TO {reader}; GRANT SET ON PARAMETER log_statement TO {reader}; ALTER ROLE {reader} CREATEDB"));
    let screen = doctor(&bench, 0);
    let listed = screen.split("listed, not refused").nth(1).expect("a list");
    let words = [
        "may call s.f(), which runs as shop_owner (granted to PUBLIC)",
        "may make temporary tables in database",
        "may refer to s.a",
        "may set the parameter log_statement",
        "may make databases",
    ];
    for words in words {
        assert!(listed.contains(words), "{words} is not in\n{screen}");
    }
    bench.engine(&["apply", "plans/look.toml"]).expect(0);
    let named = bench.journal().events.into_iter().find_map(|event| match event {
        Event::TargetBound { powers, residual, .. } => Some((powers, residual)),
        _ => None,
    });
    let (powers, residual) = named.expect("a bound target");
    assert!(powers.is_empty(), "{powers:?}");
    assert!(words.iter().all(|words| residual.iter().any(|power| power.starts_with(words))), "{residual:?}");
    // Closed by what is printed as well.
    bench.psql(production, &statements(&screen));
    assert!(!doctor(&bench, 0).contains("may call s.f()"));
}

/// Given to another owner it would work with that owner's rights, for whoever may call it: that is for a person.
#[test]
fn what_would_lend_its_owners_rights_is_not_given_away() {
    let (bench, reader) = bench("lend");
    let production = bench.production();
    bench.psql(
        production,
        &format!(
            "GRANT CREATE ON SCHEMA s TO {reader}; SET ROLE {reader};
             CREATE FUNCTION s.mine() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM s.a';
             CREATE VIEW s.seen AS SELECT * FROM s.a; RESET ROLE; REVOKE CREATE ON SCHEMA s FROM {reader};
             GRANT DELETE ON s.a TO {reader}; ALTER DATABASE {production} SET lo_compat_privileges = on"
        ),
    );
    let screen = doctor(&bench, 1);
    for words in [
        "by hand, after a look at what it does: it owns function s.mine()",
        "by hand, after a look at what it does: it owns view s.seen",
        "it may write all large objects, since lo_compat_privileges is on",
        &format!("REVOKE DELETE ON TABLE s.a FROM {reader};"),
    ] {
        assert!(screen.contains(words), "{words} is not in\n{screen}");
    }
    assert!(!screen.contains("OWNER TO"), "{screen}");
    bench.psql(production, &statements(to_do(&screen)));
    bench.psql(production, "DROP FUNCTION s.mine(); DROP VIEW s.seen");
    bench.psql(production, &format!("ALTER DATABASE {production} RESET lo_compat_privileges"));
    assert!(doctor(&bench, 0).contains("right as it is"));
}

/// Thousands of harmless grants hide nothing.
#[test]
fn many_powers_of_one_sort_hide_none_of_another() {
    let (bench, reader) = bench("many");
    bench.psql(
        bench.production(),
        &format!(
            "DO $$ BEGIN FOR n IN 1 .. 1200 LOOP EXECUTE format('CREATE TABLE s.m%s (); GRANT SELECT, INSERT ON s.m%s TO {reader}', n, n); END LOOP; END $$;
             GRANT pg_signal_backend TO {reader}; GRANT EXECUTE ON FUNCTION s.f() TO PUBLIC"
        ),
    );
    let screen = doctor(&bench, 1);
    for words in ["is a member of pg_signal_backend", "may call s.f(), which runs as shop_owner"] {
        assert!(screen.contains(words), "{words} is not in\n{}", &screen[..2_000]);
    }
    // How many were cut off is in the evidence.
    bench.write("plans/look.toml", &PLAN.replace("POLICY", "reader = \"attested\""));
    bench.engine(&["apply", "plans/look.toml"]).expect(0);
    let named = bench.journal().events.into_iter().find_map(|event| match event {
        Event::TargetBound { powers, .. } => Some(powers),
        _ => None,
    });
    let named = named.expect("a bound target");
    assert_eq!(named.len(), 1_001, "a thousand of one sort, and one of another");
    assert!(named.iter().any(|power| power.ends_with(", and 200 more like it")), "{:?}", named.last());
    bench.write("plans/look.toml", &PLAN.replace("POLICY", ""));
    // Two rounds: a thousand of a sort at a time.
    bench.psql(bench.production(), &statements(to_do(&screen)));
    let again = doctor(&bench, 1);
    bench.psql(bench.production(), &statements(to_do(&again)));
    assert!(doctor(&bench, 0).contains("right as it is"));
}

/// The owner of a database cannot be made its reader; what is printed makes another one.
#[test]
fn an_owner_is_told_to_let_somebody_else_read() {
    let (mut bench, _) = bench("owner");
    bench.set("SHOP_PRODUCTION_URL", &bench.url("shop_owner", bench.production()));
    let screen = doctor(&bench, 1);
    assert!(screen.contains("the owner of a database is no reader of it"), "{screen}");
    let recipe: Vec<&str> =
        screen.lines().map(str::trim).filter(|l| l.starts_with("CREATE ROLE") || l.starts_with("GRANT")).collect();
    let own = "reader_of_owner";
    bench.psql(bench.production(), &recipe.join("\n").replace("engine_reader", own));
    bench.set("SHOP_PRODUCTION_URL", &bench.url(own, bench.production()));
    assert!(doctor(&bench, 0).contains("right as it is"));
}

/// The same check on every connection: a right that came after the run began ends it.
#[tokio::test]
async fn a_role_that_grows_is_noticed_on_the_next_connection() {
    let (bench, role) = bench("grows");
    let (statement_timeout, lock_timeout) = (Duration::from_secs(20), Duration::from_secs(5));
    let settings = Settings { search_path: "public".into(), statement_timeout, lock_timeout, read_only: true };
    let url = Url::literal("test", bench.url(&role, bench.production()));
    let reader = Reader::new(Door::new("production", &url, None, &settings).expect("a door"));
    let reader = reader.confined(Confined { role: role.clone(), strict: true });
    let first = reader.begin("before", Isolation::Snapshot).await.expect("a transaction");
    let streamed = reader.stream("before", &Isolation::Snapshot).await.expect("a stream");
    assert_eq!(streamed.finish().await.expect("its end").powers, Some(0));
    bench.psql(bench.production(), &format!("GRANT UPDATE ON s.a TO {role}"));
    let second = reader.begin("after", Isolation::Snapshot).await.expect_err("a role that grew");
    let third = reader
        .stream("after", &Isolation::Snapshot)
        .await
        .expect("a stream")
        .finish()
        .await
        .expect_err("a role that grew");
    for failure in [second, third] {
        assert_eq!(failure.exit, Exit::Io, "{}", failure.what);
        assert!(failure.facts.iter().any(|fact| fact.starts_with("may write s.a (UPDATE")), "{:?}", failure.facts);
    }
    assert_eq!(first.finish().await.expect("its end").powers, Some(0));
    // A connection that was asked is not asked again.
    bench.psql(bench.production(), &format!("REVOKE UPDATE ON s.a FROM {role}"));
    let again = reader.begin("again", Isolation::Snapshot).await.expect("a transaction");
    assert_eq!(again.finish().await.expect("its end").powers, None);
}

/// Both doors are tried in every run, and the packet says what the server answered.
#[test]
fn both_doors_are_tried() {
    let bench = Bench::new("doors");
    bench.apply(&[]).expect(0).says(&["engine_reader shut out"]);
    let journal = bench.journal();
    let tried: Vec<(&str, &str, bool, &str)> = journal
        .events
        .iter()
        .filter_map(|event| match event {
            Event::DoorTried { role, database, open, said, .. } => {
                Some((role.as_str(), database.as_str(), *open, said.as_str()))
            }
            _ => None,
        })
        .collect();
    let denied = |database: &str| format!("permission denied for database \"{database}\" (42501)");
    assert_eq!(
        tried,
        [
            ("engine_stage", bench.production(), false, denied(bench.production()).as_str()),
            ("engine_reader", bench.clone_name(), false, denied(bench.clone_name()).as_str())
        ]
    );
    let asked =
        journal.events.iter().filter(|e| matches!(e, Event::Transaction { record } if record.powers == Some(0)));
    assert!(asked.count() >= 3, "the role is asked about on each connection");
    let page = bench.read(&format!("{}/GO-NO-GO.md", bench.packet().0));
    assert!(page.contains("production and clone are shut to each other's roles"), "{page}");
    assert!(
        bench.engine(&["doctor", MAIN_JOB]).expect(0).stdout.contains("tried: engine_stage is not let into production")
    );
}

/// A reader that is let into the clone could be made to run what a stage left there.
#[test]
fn a_reader_that_is_let_into_the_clone_makes_none() {
    let mut bench = Bench::new("let_in");
    bench.psql("postgres", "CREATE ROLE near_reader LOGIN BYPASSRLS IN ROLE engine_reader, engine_stage");
    bench.set("ENGINE_PRODUCTION_URL", &bench.url("near_reader", bench.production()));
    let said = bench.apply(&[]);
    assert_eq!(said.code, 40, "{}", said.all());
    said.says(&["near_reader", "is let into the clone", "take near_reader out of the roles"]);
    assert!(!bench.exists(bench.clone_name()));
    let plan = bench.read(MAIN_JOB);
    bench.write(MAIN_JOB, &plan.replacen("access = \"read\"", "access = \"read\"\nreader = \"attested\"", 1));
    bench.engine(&["render", MAIN_JOB]).expect(0);
    bench.apply(&[]).expect(0).says(&["near_reader LET IN, attested"]);
}

/// Attested, what the clone's roles could do to production is in the evidence as well.
#[test]
fn what_a_clones_role_could_do_is_named_when_it_is_attested() {
    let mut bench = Bench::new("named");
    bench.psql("postgres", "CREATE ROLE able_stage LOGIN IN ROLE engine_owner, pg_execute_server_program");
    bench.psql("postgres", "ALTER ROLE able_stage SET role = engine_owner");
    bench.set("ENGINE_CLONE_URL", &bench.url("able_stage", "postgres"));
    bench.apply(&[]).expect(1).says(&["role able_stage is a member of pg_execute_server_program"]);
    let plan = bench.read(MAIN_JOB);
    bench.write(MAIN_JOB, &plan.replacen("access = \"read\"", "access = \"read\"\nreader = \"attested\"", 1));
    bench.engine(&["render", MAIN_JOB]).expect(0);
    bench.apply(&[]).expect(0);
    let page = bench.read(&format!("{}/GO-NO-GO.md", bench.packet().0));
    assert!(page.contains("ATTESTED: role able_stage is a member of pg_execute_server_program"), "{page}");
}

/// In another server the catalog of the clone's says nothing about production: only trying does.
#[test]
fn a_stage_role_of_another_server_that_opens_production_is_refused() {
    let other = OwnServer::new(&[]);
    let mut bench = Bench::bare_on(support::server(), other.server(), "far_door", "");
    bench.clone_plan("stream", "");
    let apply = || bench.engine(&["apply", support::PLAN]);
    bench.psql(bench.production(), &format!("GRANT CONNECT ON DATABASE {} TO engine_stage", bench.production()));
    apply().expect(1).says(&[
        "a role of the clone",
        "could reach `production`",
        "role engine_stage was let in when it was tried",
    ]);
    bench.psql(bench.production(), &format!("REVOKE CONNECT ON DATABASE {} FROM engine_stage", bench.production()));
    // The door is production's also where its name is left out and goes by the role's.
    let named = bench.production().to_owned();
    bench.psql(&named, &format!("CREATE ROLE {named} LOGIN BYPASSRLS IN ROLE pg_read_all_data; GRANT CONNECT ON DATABASE {named} TO {named}, engine_stage"));
    let url = bench.url(&named, &named);
    bench.set("SHOP_PRODUCTION_URL", url.strip_suffix(&format!("/{named}")).expect("a database"));
    bench.engine(&["apply", support::PLAN]).expect(1).says(&["role engine_stage was let in when it was tried"]);
    bench.psql(&named, &format!("REVOKE CONNECT ON DATABASE {named} FROM engine_stage"));
    bench.set("SHOP_PRODUCTION_URL", &url);
    let apply = || bench.engine(&["apply", support::PLAN]);
    // And what gets out of a database of its own server.
    bench.psql("postgres", "CREATE ROLE boss SUPERUSER; GRANT pg_execute_server_program, boss TO engine_stage; ALTER ROLE engine_cloner CREATEROLE");
    let said = bench.engine(&["doctor", support::PLAN]).expect(1).stdout;
    apply().expect(1).says(&[
        "role engine_stage is a member of pg_execute_server_program",
        "role engine_stage is a member of boss, which is above all rights",
        "role engine_cloner may create roles",
    ]);
    bench.psql("postgres", &statements(&said));
    apply().expect(0);
}
