//! Ways out of a transaction that only reads, tried twice: the parser must refuse them with a place, and with the
//! parser out of the way the database must be what it was, or the engine must say that it is not.

mod support;

use engine::diag::{Diagnostics, Source};
use engine::event::{Exit, Failure};
use engine::sandbox::Sample;
use engine::sql::{self, Where};
use engine::target::{Door, Isolation, Reader, Settings, Url};
use std::path::Path;
use std::time::Duration;
use support::{Bench, assert_same};

/// Who refuses a statement before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parser {
    /// The parser, wherever it would go.
    Refuses,
    /// The parser, on its way to a target that is only read.
    RefusesReading,
    /// Nobody: it looks like any query, and what holds is the database.
    LetsPass,
}

use Parser::{LetsPass, Refuses, RefusesReading};

/// The corpus: statements sent one after the other, as far as the engine lets them be.
const ESCAPES: &[(Parser, &[&str])] = &[
    // The transaction is ended, and another one does what it likes.
    (Refuses, &["COMMIT", "DELETE FROM public.gov_seam_dossiers"]),
    (Refuses, &["END", "DELETE FROM public.gov_seam_dossiers"]),
    (Refuses, &["ROLLBACK", "DELETE FROM public.gov_seam_dossiers"]),
    (Refuses, &["ABORT WORK", "CREATE TABLE public.escaped ()"]),
    (Refuses, &["COMMIT AND CHAIN", "SET TRANSACTION READ WRITE", "DELETE FROM public.gov_seam_dossiers", "COMMIT"]),
    (Refuses, &["ROLLBACK AND CHAIN", "SET TRANSACTION READ WRITE", "DELETE FROM public.gov_seam_dossiers", "COMMIT"]),
    (Refuses, &["COMMIT", "BEGIN READ WRITE", "DELETE FROM public.gov_seam_dossiers", "COMMIT", "BEGIN READ ONLY"]),
    (Refuses, &["COMMIT; DELETE FROM public.gov_seam_dossiers; BEGIN READ ONLY"]),
    (Refuses, &["SELECT 1; COMMIT; DELETE FROM public.gov_seam_dossiers"]),
    (Refuses, &["PREPARE TRANSACTION 'escaped'", "COMMIT PREPARED 'escaped'"]),
    (Refuses, &["SAVEPOINT a", "SET TRANSACTION READ WRITE", "ROLLBACK TO a", "DELETE FROM public.gov_seam_dossiers"]),
    // The transaction is made one that writes.
    (Refuses, &["SET TRANSACTION READ WRITE", "DELETE FROM public.gov_seam_dossiers"]),
    (Refuses, &["SET LOCAL TRANSACTION READ WRITE", "DELETE FROM public.gov_seam_dossiers"]),
    (Refuses, &["SET transaction_read_only = off", "DELETE FROM public.gov_seam_dossiers"]),
    (Refuses, &["SELECT set_config('transaction_read_only', 'off', true)", "DELETE FROM public.gov_seam_dossiers"]),
    (Refuses, &["SELECT set_config('transaction_' || 'read_only', 'off', false)"]),
    (Refuses, &["UPDATE pg_settings SET setting = 'off' WHERE name = 'transaction_read_only'"]),
    (RefusesReading, &["DO $$ BEGIN PERFORM set_config('transaction_read_only', 'off', true); END $$"]),
    (RefusesReading, &["DO $$ BEGIN COMMIT; DELETE FROM public.gov_seam_dossiers; END $$"]),
    (RefusesReading, &["CALL public.escape()"]),
    // The session is left behind for whoever comes next.
    (Refuses, &["SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"]),
    (Refuses, &["SET default_transaction_read_only = off"]),
    (Refuses, &["SET search_path = pg_temp, public"]),
    (Refuses, &["SELECT set_config('search_path', 'pg_temp', false)"]),
    (Refuses, &["SET statement_timeout = 0"]),
    (Refuses, &["SET client_connection_check_interval = 0"]),
    (Refuses, &["SET synchronous_commit = off"]),
    (Refuses, &["RESET ALL"]),
    (Refuses, &["DISCARD ALL"]),
    (Refuses, &["SELECT pg_advisory_lock(4711)"]),
    (Refuses, &["LISTEN escaped"]),
    // Somebody else runs the rest.
    (Refuses, &["SET ROLE directus", "DELETE FROM public.gov_seam_dossiers"]),
    (Refuses, &["SET SESSION AUTHORIZATION postgres", "DELETE FROM public.gov_seam_dossiers"]),
    (Refuses, &["SELECT set_config('role', 'directus', false)", "DELETE FROM public.gov_seam_dossiers"]),
    (LetsPass, &["SELECT public.escape_as_owner()"]),
    // It is simply written.
    (RefusesReading, &["DELETE FROM public.gov_seam_dossiers"]),
    (RefusesReading, &["WITH gone AS (DELETE FROM public.gov_seam_dossiers RETURNING 1) SELECT count(*) FROM gone"]),
    (
        RefusesReading,
        &["MERGE INTO public.gov_scopes AS a USING public.gov_scopes AS b ON true WHEN MATCHED THEN DELETE"],
    ),
    (RefusesReading, &["TRUNCATE public.gov_seam_dossiers"]),
    (RefusesReading, &["SELECT * INTO public.escaped FROM public.gov_scopes"]),
    (RefusesReading, &["CREATE TABLE public.escaped AS SELECT 1"]),
    (Refuses, &["CREATE TEMPORARY TABLE escaped (i int)"]),
    (RefusesReading, &["GRANT ALL ON public.gov_scopes TO PUBLIC"]),
    (RefusesReading, &["COMMENT ON TABLE public.gov_scopes IS 'escaped'"]),
    (RefusesReading, &["LOCK TABLE public.gov_scopes IN ACCESS EXCLUSIVE MODE"]),
    (RefusesReading, &["EXPLAIN ANALYZE DELETE FROM public.gov_seam_dossiers"]),
    (RefusesReading, &["PREPARE p AS DELETE FROM public.gov_seam_dossiers", "EXECUTE p"]),
    (RefusesReading, &["REFRESH MATERIALIZED VIEW public.gov_containment_by_group"]),
    // What a transaction that only reads does not stop, or did not always.
    (LetsPass, &["SELECT nextval('public.escape_numbers')"]),
    (LetsPass, &["SELECT setval('public.escape_numbers', 1000)"]),
    (LetsPass, &["SELECT lo_from_bytea(4711, 'escaped')"]),
    (LetsPass, &["SELECT lo_create(4712)"]),
    (LetsPass, &["SELECT lo_creat(-1)"]),
    (LetsPass, &["SELECT lo_put(4710, 0, 'escaped')"]),
    (LetsPass, &["SELECT lo_truncate(lo_open(4710, 131072), 0)"]),
    (LetsPass, &["SELECT lowrite(lo_open(4710, 131072), 'escaped')"]),
    (LetsPass, &["SELECT lo_unlink(4710)"]),
    (Refuses, &["SELECT lo_import('/etc/passwd')"]),
    (Refuses, &["SELECT lo_export(4710, '/tmp/escaped')"]),
    (LetsPass, &["SELECT pg_current_xact_id()"]),
    (LetsPass, &["SELECT query_to_xml('DELETE FROM public.gov_seam_dossiers RETURNING 1', true, true, '')"]),
    (LetsPass, &["SELECT query_to_xml('COMMIT', true, true, '')"]),
    (LetsPass, &["SELECT ts_stat FROM ts_stat('DELETE FROM public.gov_seam_dossiers RETURNING to_tsvector(body)')"]),
    // Out of the database.
    (Refuses, &["COPY (SELECT 1) TO PROGRAM 'touch /tmp/escaped'"]),
    (Refuses, &["COPY public.gov_scopes FROM PROGRAM 'echo escaped'"]),
    (Refuses, &["COPY (SELECT 1) TO '/tmp/escaped'"]),
    (Refuses, &["SELECT pg_read_file('/etc/passwd')"]),
    (Refuses, &["SELECT dblink_exec('dbname=postgres', 'CREATE ROLE escaped')"]),
    (Refuses, &["ALTER SYSTEM SET work_mem = '1GB'"]),
    (Refuses, &["NOTIFY escaped"]),
    (Refuses, &["SELECT pg_notify('escaped', '')"]),
    (Refuses, &["SELECT pg_logical_emit_message(true, 'escaped', '')"]),
    (Refuses, &["SELECT pg_create_physical_replication_slot('escaped', true)"]),
    (Refuses, &["LOAD 'auto_explain'"]),
    (Refuses, &["CREATE ROLE escaped SUPERUSER"]),
    (Refuses, &["DROP DATABASE postgres"]),
    (Refuses, &["VACUUM FULL public.gov_scopes"]),
];

/// What production lends to the attempts: a function of the owner that writes for whoever calls it, a procedure
/// that commits, a sequence and a large object.
const BAIT: &str = "
SET ROLE directus;
CREATE FUNCTION public.escape_as_owner() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    DELETE FROM public.gov_seam_dossiers;
    RETURN nextval('public.escape_numbers');
END $$;
CREATE PROCEDURE public.escape() LANGUAGE plpgsql AS $$
BEGIN
    COMMIT;
    DELETE FROM public.gov_seam_dossiers;
END $$;
CREATE SEQUENCE public.escape_numbers;
GRANT USAGE ON SEQUENCE public.escape_numbers TO engine_reader;
SELECT lo_from_bytea(4710, 'bait');
GRANT UPDATE ON LARGE OBJECT 4710 TO engine_reader;
RESET ROLE;
";

/// All that an escape could leave behind on the server, beside rows and objects. Other tests add roles and databases.
const AROUND: &str = "
SELECT (SELECT string_agg(loid || ' ' || pageno || ' ' || md5(data), ',' ORDER BY loid, pageno) FROM pg_largeobject),
       (SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE rolsuper OR rolname = 'escaped'),
       (SELECT string_agg(setconfig::text, ',' ORDER BY setdatabase, setrole) FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
           OR setrole IN ('directus'::regrole, 'engine_reader'::regrole)),
       (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_prepared_xacts),
       (SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname = 'postgres'),
       (SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND d.datname = current_database()), current_setting('work_mem')
";

const ROWS: &str = include_str!("support/content.sql");

fn all_problems(text: &str, at: Where) -> Diagnostics {
    sql::check(&Source::new("escape.sql", text), at).1
}

#[test]
fn the_parser_refuses_with_a_place() {
    for (parser, statements) in ESCAPES {
        let text = statements.join(";\n");
        let (clone, read) = (all_problems(&text, Where::Clone), all_problems(&text, Where::Read));
        let refused = match parser {
            Refuses => clone.has_errors() && read.has_errors(),
            RefusesReading => !clone.has_errors() && read.has_errors(),
            LetsPass => !clone.has_errors(),
        };
        assert!(refused, "{parser:?} {text}\n{}", read.draw(false));
        assert!(read.0.iter().all(|problem| problem.place.is_some()), "{text}\n{}", read.draw(false));
        if *parser != LetsPass {
            let probe = sql::check_probe(&Source::new("probe", text.as_str()));
            assert!(probe.has_errors(), "a probe may say {text}");
        }
    }
}

/// Meta-commands are psql's; a server never sees them.
#[test]
fn commands_of_psql_are_refused() {
    for text in ["\\! touch /tmp/escaped", "SELECT 1 \\gexec", "\\copy t FROM PROGRAM 'x'", "\\c postgres", "\\i x.sql"]
    {
        assert!(all_problems(text, Where::Clone).has_errors(), "{text}");
    }
}

fn reader(bench: &Bench, role: &str) -> Reader {
    let settings = Settings {
        search_path: "public".into(),
        statement_timeout: Duration::from_secs(20),
        lock_timeout: Duration::from_secs(5),
        read_only: true,
    };
    let url = Url::literal("test", bench.url(role, bench.production()));
    Reader::new(Door::new("production", &url, None, &settings).expect("a door"))
}

/// Sends the statements as far as the engine goes on: it stops at the first failure, as a stage does.
async fn attempt(reader: &Reader, statements: &[&str], isolation: Isolation) -> Result<(), Failure> {
    let tx = reader.begin("an escape", isolation).await.expect("a transaction");
    for sql in statements {
        tx.query(sql, &[]).await?;
    }
    let record = tx.finish().await?;
    assert!(record.read_only && record.same_transaction && record.xid.is_none(), "{statements:?}: {record:?}");
    Ok(())
}

/// The next user of the pool finds a session as if nobody had been there.
async fn the_pool_is_clean(reader: &Reader, role: &str, after: &[&str]) {
    const SESSION: &str = "SELECT current_setting('transaction_read_only'), current_setting('search_path'), \
        current_user::text, current_setting('statement_timeout'), current_setting('default_transaction_read_only'), \
        current_setting('client_connection_check_interval'), \
        (SELECT count(*) FROM pg_listening_channels())::text";
    let tx = reader.begin("the next one", Isolation::Snapshot).await.expect("a transaction");
    let row = tx.query_one(SESSION, &[]).await.expect("an answer");
    let found: Vec<String> = (0..row.len()).map(|at| row.get(at)).collect();
    assert_eq!(found, ["on", "public, pg_temp", role, "20s", "on", "500ms", "0"], "after {after:?}");
    tx.finish().await.expect("still itself");
}

fn state(bench: &Bench) -> String {
    format!("{}\n{}", bench.psql(bench.production(), ROWS), bench.psql(bench.production(), AROUND))
}

fn bait(name: &str) -> Bench {
    let bench = Bench::new(name);
    bench.psql(bench.production(), BAIT);
    bench
}

/// Every attempt as `role`; afterwards production is what it was, whatever was said.
async fn nothing_is_changed(name: &str, role: &str) {
    let bench = bait(name);
    let (before, whole) = (state(&bench), bench.all_of(bench.production()));
    let reader = reader(&bench, role);
    for (_, statements) in ESCAPES {
        for isolation in [Isolation::Snapshot, Isolation::Fresh] {
            let ended = attempt(&reader, statements, isolation).await;
            if let Err(failure) = &ended {
                let told = [Exit::ChangedByUs, Exit::StageFailed].contains(&failure.exit);
                assert!(told, "{role} {statements:?}: {:?} {}", failure.exit, failure.what);
            }
            the_pool_is_clean(&reader, role, statements).await;
        }
        assert_same(&state(&bench), &before, &format!("{role} {statements:?}"));
    }
    assert_same(&bench.all_of(bench.production()), &whole, role);
    assert!(!Path::new("/tmp/escaped").exists(), "a program or a file was reached");
}

#[tokio::test]
async fn the_reader_cannot_change_production() {
    nothing_is_changed("reader", "engine_reader").await;
}

/// The owner may write all of it: here the transaction alone holds.
#[tokio::test]
async fn the_owner_does_not_change_production_by_reading() {
    nothing_is_changed("owner", "directus").await;
}

/// Ending the transaction is noticed at once, before another statement is sent.
#[tokio::test]
async fn another_transaction_is_told_from_ours() {
    let bench = bait("witness");
    for role in ["engine_reader", "directus"] {
        let reader = reader(&bench, role);
        for end in
            ["COMMIT", "END", "ROLLBACK", "ABORT", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "COMMIT AND NO CHAIN"]
        {
            let failure = attempt(&reader, &[end], Isolation::Snapshot).await.expect_err(end);
            assert_eq!(failure.exit, Exit::ChangedByUs, "{end}: {}", failure.what);
            assert!(failure.facts.iter().any(|fact| fact.contains("another one")), "{end}: {:?}", failure.facts);
        }
        let failure =
            attempt(&reader, &["SELECT pg_current_xact_id()"], Isolation::Snapshot).await.expect_err("an xid");
        assert_eq!(failure.exit, Exit::ChangedByUs, "{}", failure.what);
    }
}

/// A session that was killed is said to be lost, never to be fine.
#[tokio::test]
async fn a_lost_session_is_not_a_success() {
    let bench = bait("lost");
    let reader = reader(&bench, "engine_reader");
    let end = ["SELECT pg_terminate_backend(pg_backend_pid())"];
    let failure = attempt(&reader, &end, Isolation::Snapshot).await.expect_err("no session");
    assert_eq!(failure.exit, Exit::Temporary, "{}", failure.what);
    the_pool_is_clean(&reader, "engine_reader", &end).await;
}

/// The samples come with a reader that has no right to write: what holds when all else fails.
#[test]
fn the_samples_readers_may_write_nothing() {
    const RIGHTS: &str = "SELECT count(*) FROM pg_class AS c
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
          AND has_table_privilege('engine_reader', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')";
    for (sample, bench) in [(Sample::Governance, Bench::new("rights")), (Sample::Shop, Bench::shop("rights"))] {
        assert_eq!(bench.psql(bench.production(), RIGHTS), "0", "{sample:?}");
    }
}
