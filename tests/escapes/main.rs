//! Ways out of a transaction that only reads, tried three ways: as shipped the parser must refuse them with a place;
//! with the parser out of the way the database must be what it was, or the engine must say that it is not; and a
//! superuser reads, on a server of its own, where a few are stopped by nothing but the role. Beside that whole plans and
//! templates, and what a stage could try from a clone.

#[path = "../support/mod.rs"]
mod support;

mod corpus;
mod from_a_clone;
mod plans;
mod superuser;
mod traps;

use corpus::{BAIT, ESCAPES, Parser};
use engine::diag::{Diagnostics, Source};
use engine::event::{Exit, Failure};
use engine::sandbox::{Sample, Server};
use engine::sql::{self, Where};
use engine::target::{Door, Isolation, Reader, Says, Settings, Url};
use std::path::Path;
use std::time::Duration;
use support::{Bench, assert_same, server};

/// All that an escape could leave behind on the server, beside rows and objects. Other tests add roles and databases.
const AROUND: &str = "
SELECT (SELECT string_agg(loid || ' ' || pageno || ' ' || md5(data), ',' ORDER BY loid, pageno) FROM pg_largeobject),
       (SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE rolsuper OR rolname = 'escaped'),
       (SELECT string_agg(setconfig::text, ',' ORDER BY setdatabase, setrole) FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
           OR setrole IN (SELECT oid FROM pg_roles WHERE rolname IN ('directus', 'engine_reader'))),
       (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_prepared_xacts),
       (SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname = 'postgres'),
       (SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND d.datname = current_database()), current_setting('work_mem')
";

/// Every definition: a text that differs when one was written.
const VERSIONS: &str = include_str!("versions.sql");

const ROWS: &str = include_str!("../support/content.sql");

fn all_problems(text: &str, at: Where) -> Diagnostics {
    sql::check(&Source::new("escape.sql", text), at).1
}

#[test]
fn the_parser_refuses_with_a_place() {
    for (parser, statements) in ESCAPES {
        let text = statements.join(";\n");
        let (clone, read) = (all_problems(&text, Where::Clone), all_problems(&text, Where::Read));
        let refused = match parser {
            Parser::Refuses => clone.has_errors() && read.has_errors(),
            Parser::RefusesReading => !clone.has_errors() && read.has_errors(),
            Parser::LetsPass => !clone.has_errors(),
        };
        assert!(refused, "{parser:?} {text}\n{}", read.draw(false));
        assert!(read.0.iter().all(|problem| problem.place.is_some()), "{text}\n{}", read.draw(false));
        if *parser != Parser::LetsPass {
            let probe = sql::check_probe(&Source::new("probe", text.as_str()));
            assert!(probe.has_errors(), "a probe may say {text}");
        }
    }
}

/// Meta-commands are psql's; a server never sees them.
#[test]
fn commands_of_psql_are_refused() {
    for text in ["\\! touch escaped", "SELECT 1 \\gexec", "\\copy t FROM PROGRAM 'x'", "\\c postgres", "\\i x.sql"] {
        assert!(all_problems(text, Where::Clone).has_errors(), "{text}");
    }
}

fn reader(url: &str) -> Reader {
    let settings = Settings {
        search_path: "public".into(),
        statement_timeout: Duration::from_secs(20),
        lock_timeout: Duration::from_secs(5),
        read_only: true,
    };
    let url = Url::literal("test", url);
    Reader::new(Door::new("production", &url, None, &settings).expect("a door"))
}

/// Sends the statements as far as the engine goes on: it stops at the first failure, as a stage does.
async fn attempt(reader: &Reader, statements: &[impl AsRef<str>], isolation: Isolation) -> Result<(), Failure> {
    let statements: Vec<&str> = statements.iter().map(AsRef::as_ref).collect();
    let tx = reader.begin("an escape", isolation).await.expect("a transaction");
    for sql in &statements {
        tx.query_as(Says::Plan, sql, &[]).await?;
    }
    let record = tx.finish().await?;
    assert!(record.read_only && record.same_transaction && record.xid.is_none(), "{statements:?}: {record:?}");
    Ok(())
}

/// The next user of the pool finds a session as if nobody had been there.
async fn the_pool_is_clean(reader: &Reader, role: &str, after: &[impl AsRef<str> + std::fmt::Debug]) {
    const SESSION: &str = "SELECT current_setting('transaction_read_only'), current_setting('search_path'), \
        current_user::text, current_setting('statement_timeout'), current_setting('default_transaction_read_only'), \
        current_setting('client_connection_check_interval'), \
        (SELECT count(*) FROM pg_listening_channels())::text";
    let tx = reader.begin("the next one", Isolation::Snapshot).await.expect("a transaction");
    let row = tx.query_one_as(Says::Plan, SESSION, &[]).await.expect("an answer");
    let found: Vec<String> = (0..row.len()).map(|at| row.get(at)).collect();
    assert_eq!(found, ["on", "public, pg_temp", role, "20s", "on", "500ms", "0"], "after {after:?}");
    tx.finish().await.expect("still itself");
}

fn state(server: &Server, database: &str) -> String {
    let asked = [ROWS, AROUND, VERSIONS]
        .map(|sql| server.psql(database, sql).unwrap_or_else(|failure| panic!("{}", failure.what)));
    asked.join("\n")
}

/// A folder that the server's account may write, and the statements that mean it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("escapes-").tempdir().expect("a folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).expect("a folder of ours");
    folder
}

fn into(folder: &Path, statements: &[&str]) -> Vec<String> {
    let folder = folder.to_str().expect("a path that can be read");
    statements.iter().map(|sql| sql.replace("{dir}", folder)).collect()
}

fn bait(name: &str) -> Bench {
    let bench = Bench::new(name);
    bench.psql(bench.production(), BAIT);
    bench
}

/// Every attempt as `role`; afterwards production is what it was, whatever was said.
async fn nothing_is_changed(name: &str, role: &str) {
    let bench = bait(name);
    let folder = folder();
    let state = || state(server(), bench.production());
    let (before, whole) = (state(), bench.all_of(bench.production()));
    let reader = reader(&bench.url(role, bench.production()));
    for (_, statements) in ESCAPES {
        let statements = &into(folder.path(), statements);
        for isolation in [Isolation::Snapshot, Isolation::Fresh] {
            let ended = attempt(&reader, statements, isolation).await;
            if let Err(failure) = &ended {
                let told = [Exit::ChangedByUs, Exit::StageFailed].contains(&failure.exit);
                assert!(told, "{role} {statements:?}: {:?} {}", failure.exit, failure.what);
            }
            the_pool_is_clean(&reader, role, statements).await;
        }
        assert_same(&state(), &before, &format!("{role} {statements:?}"));
    }
    assert_same(&bench.all_of(bench.production()), &whole, role);
    let reached = std::fs::read_dir(folder.path()).expect("our folder").count();
    assert_eq!(reached, 0, "a program or a file was reached");
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
        let reader = reader(&bench.url(role, bench.production()));
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
    let reader = reader(&bench.url("engine_reader", bench.production()));
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
