//! The corpus of refusals: one statement a line, with the code it must get.

use super::*;
use crate::sql::split;

/// Refused everywhere.
const CORPUS: &str = "
sql-transaction-control | BEGIN
sql-transaction-control | begin isolation level serializable
sql-transaction-control | START TRANSACTION
sql-transaction-control | COMMIT
sql-transaction-control | COMMIT AND CHAIN
sql-transaction-control | END
sql-transaction-control | ABORT
sql-transaction-control | ROLLBACK
sql-transaction-control | ROLLBACK /* x */ TO a
sql-transaction-control | SAVEPOINT a
sql-transaction-control | RELEASE a
sql-transaction-control | PREPARE TRANSACTION 'x'
sql-transaction-control | COMMIT PREPARED 'x'
sql-transaction-control | ROLLBACK PREPARED 'x'
sql-transaction-control | SET TRANSACTION READ WRITE
sql-transaction-control | SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
sql-role-change | SET ROLE x
sql-role-change | SET LOCAL ROLE x
sql-role-change | SET SESSION AUTHORIZATION x
sql-role-change | SET LOCAL SESSION AUTHORIZATION DEFAULT
sql-role-change | RESET ROLE
sql-role-change | RESET SESSION AUTHORIZATION
sql-guarded-setting | SET \"role\" TO x
sql-guarded-setting | SET LOCAL synchronous_commit = off
sql-guarded-setting | SET client_connection_check_interval = 0
sql-guarded-setting | SET tcp_keepalives_idle = 7200
sql-guarded-setting | SET track_counts = off
sql-guarded-setting | SET LOCAL statement_timeout = 0
sql-guarded-setting | SET LOCK_TIMEOUT = 0
sql-guarded-setting | SET idle_in_transaction_session_timeout = 0
sql-guarded-setting | SET search_path = a, b
sql-guarded-setting | SET SCHEMA 'a'
sql-guarded-setting | SET session_replication_role = replica
sql-guarded-setting | SET row_security = off
sql-guarded-setting | SET default_transaction_read_only = off
sql-guarded-setting | SET transaction_read_only = off
sql-guarded-setting | SET engine.run_id = 'x'
sql-guarded-setting | RESET ALL
sql-guarded-setting | RESET search_path
sql-guarded-setting | SELECT set_config('role', 'x', false)
sql-guarded-setting | SELECT pg_catalog.set_config('Role', 'x', false)
sql-guarded-setting | SELECT * FROM \"set_config\"('engine.as_of', 'x', false)
sql-guarded-setting | SELECT set_config('ro' || 'le', 'x', false)
sql-guarded-setting | SELECT set_config(setting_name => 'x', new_value => 'y', is_local => true)
sql-guarded-setting | INSERT INTO t SELECT set_config(E'role', 'x', false)
sql-guarded-setting | UPDATE pg_settings SET setting = 'x' WHERE name = 'role'
sql-escaped-name | SELECT U&\"pg_read\\005Ffile\"('x')
sql-copy | COPY t FROM PROGRAM 'x'
sql-copy | COPY t TO '/tmp/x'
sql-copy | COPY (SELECT 1) TO STDOUT
sql-copy | COPY t FROM STDIN
sql-alter-system | ALTER SYSTEM SET work_mem = '1GB'
sql-messaging | LISTEN a
sql-messaging | NOTIFY a
sql-messaging | UNLISTEN *
sql-messaging | SELECT pg_notify('a', 'b')
sql-load | LOAD 'x'
sql-discard | DISCARD ALL
sql-instance-wide | CREATE DATABASE a
sql-instance-wide | DROP DATABASE a
sql-instance-wide | ALTER DATABASE a SET x = 1
sql-instance-wide | CREATE ROLE a
sql-instance-wide | ALTER ROLE a SUPERUSER
sql-instance-wide | DROP ROLE a
sql-instance-wide | CREATE USER a
sql-instance-wide | ALTER USER a PASSWORD 'x'
sql-instance-wide | CREATE GROUP a
sql-instance-wide | CREATE TABLESPACE a LOCATION '/x'
sql-instance-wide | DROP TABLESPACE a
sql-instance-wide | CREATE SUBSCRIPTION a CONNECTION 'x' PUBLICATION p
sql-instance-wide | DROP SUBSCRIPTION a
sql-instance-wide | CHECKPOINT
sql-not-in-transaction | VACUUM
sql-not-in-transaction | VACUUM (FULL) t
sql-not-in-transaction | CREATE INDEX CONCURRENTLY ON t (a)
sql-not-in-transaction | DROP INDEX CONCURRENTLY i
sql-not-in-transaction | REINDEX TABLE CONCURRENTLY t
sql-not-in-transaction | REINDEX DATABASE a
sql-not-in-transaction | ALTER TABLE t DETACH PARTITION p CONCURRENTLY
sql-outside-function | SELECT * FROM dblink('x', 'y') AS t(a int)
sql-outside-function | SELECT public.dblink_exec('x', 'y')
sql-outside-function | SELECT pg_read_file('x')
sql-outside-function | SELECT lo_import('x')
sql-outside-function | SELECT lo_export(1, 'x')
sql-outside-function | SELECT PG_TERMINATE_BACKEND(1)
sql-outside-function | DELETE FROM t WHERE pg_cancel_backend(1)
sql-outside-function | SELECT pg_reload_conf()
sql-outside-function | SELECT pg_switch_wal()
sql-outside-function | SELECT pg_create_logical_replication_slot('a', 'b')
sql-outside-function | SELECT pg_create_physical_replication_slot('a')
sql-outside-function | SELECT pg_advisory_lock(1)
";

/// PostgreSQL reads these as transaction control, our parser as an error: refused all the same.
#[test]
fn what_the_parser_does_not_know_is_refused_too() {
    for (sql, code) in [
        ("SET LOCAL TRANSACTION READ WRITE", "sql-guarded-setting"),
        ("SET SESSION TRANSACTION READ WRITE", "sql-guarded-setting"),
        ("SET role = x", "sql-role-change"),
        ("SET NAMES 'utf8'", "sql-guarded-setting"),
    ] {
        assert!(split(&Source::new("t", sql)).1.has_errors(), "{sql}");
        assert_eq!(codes(sql, Where::Clone), [code], "{sql}");
    }
}

/// Refused on a read target only.
const READ_ONLY: [&str; 7] = [
    "DO $$ BEGIN END $$",
    "CALL p()",
    "INSERT INTO t VALUES (1)",
    "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
    "CREATE TABLE t (a int)",
    "LOCK TABLE t",
    "SELECT 1 INTO x",
];

/// Refused nowhere.
const FINE: [&str; 13] = [
    "SELECT 1",
    "SELECT 'COMMIT; SET ROLE x', \"set_config\" FROM t -- BEGIN",
    "SELECT current_setting('engine.run_id')",
    "SELECT set_config('work_mem', '1MB', true)",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT role, all_rows FROM search_path",
    "VALUES (1)",
    "SHOW search_path",
    "EXPLAIN SELECT 1",
    "SELECT now()",
    "TABLE t",
    "SELECT query_to_xml('x', true, true, '')",
    "SELECT 1 AS begin",
];

fn codes(sql: &str, at: Where) -> Vec<&'static str> {
    let source = Source::new("t.sql", sql);
    let found = refuse(&source, at);
    for d in &found.0 {
        let place = d.place.as_ref().expect("every refusal has a place");
        assert!(!source.text[place.span.clone()].trim().is_empty() && d.help.is_some(), "{}", found.draw(false));
    }
    found.0.iter().map(|d| d.code).collect()
}

#[test]
fn the_corpus_is_refused_everywhere() {
    for line in CORPUS.lines().filter(|l| !l.is_empty()) {
        let (code, sql) = line.split_once(" | ").expect("code | statement");
        for at in [Where::Clone, Where::Read] {
            assert_eq!(codes(sql, at), [code], "{sql}");
            assert_eq!(codes(&format!("SELECT 1;\n-- x\n{sql};"), at), [code], "{sql}");
        }
        assert!(!split(&Source::new("t", sql)).1.has_errors(), "the corpus itself parses: {sql}");
    }
}

#[test]
fn outside_of_a_transaction_stands_only_what_cannot_be_in_one() {
    for sql in [
        "VACUUM",
        "VACUUM (FULL) t",
        "ANALYZE t",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)",
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a) WHERE b",
        "DROP INDEX CONCURRENTLY IF EXISTS i",
        "REINDEX TABLE CONCURRENTLY t",
        "REINDEX (CONCURRENTLY) INDEX i",
        "REINDEX TABLE CONCURRENTLY system",
        "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
        "ALTER TABLE t DETACH PARTITION p FINALIZE",
        "SET maintenance_work_mem = '64MB'",
    ] {
        assert_eq!(codes(sql, Where::Alone), [""; 0], "{sql}");
    }
    for sql in [
        "INSERT INTO t VALUES (1)",
        "SELECT 1",
        "DO $$ BEGIN END $$",
        "CALL p()",
        "CREATE INDEX ON t (a)",
        "CREATE INDEX concurrently_named ON t (a)",
        "DROP INDEX i",
        "REINDEX TABLE t",
        "REINDEX DATABASE CONCURRENTLY a",
        "REINDEX (VERBOSE, CONCURRENTLY) DATABASE a",
        "ALTER TABLE t ADD COLUMN detach int, ADD COLUMN finalize int",
        "ALTER TABLE t ADD COLUMN b int",
        "ALTER TABLE t DETACH PARTITION p",
        "CREATE TABLE concurrently (a int)",
        "SET LOCAL work_mem = '1MB'",
        "CLUSTER",
    ] {
        assert_eq!(codes(sql, Where::Alone), ["sql-needs-transaction"], "{sql}");
    }
    for (sql, code) in [
        ("BEGIN", "sql-transaction-control"),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "sql-not-repeatable"),
        ("CREATE INDEX CONCURRENTLY ON t (a)", "sql-not-repeatable"),
        ("DROP INDEX CONCURRENTLY i", "sql-not-repeatable"),
        ("SET ROLE x", "sql-role-change"),
        ("SET search_path = a", "sql-guarded-setting"),
        ("CREATE DATABASE a", "sql-instance-wide"),
    ] {
        assert_eq!(codes(sql, Where::Alone), [code], "{sql}");
    }
}

#[test]
fn a_read_target_is_only_read() {
    for sql in READ_ONLY {
        assert_eq!(codes(sql, Where::Read), ["sql-read-target"], "{sql}");
        assert_eq!(codes(sql, Where::Clone), [""; 0], "{sql}");
    }
    for sql in FINE {
        assert_eq!(codes(sql, Where::Read), [""; 0], "{sql}");
    }
    for sql in [
        "SET LOCAL work_mem = '1MB'",
        "SET TIME ZONE 'utc'",
        "CREATE EXTENSION pgcrypto",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = '' AS 'SELECT 1'",
        "CREATE INDEX ON t (a)",
        "REINDEX TABLE t",
        "SET CONSTRAINTS ALL IMMEDIATE",
    ] {
        assert_eq!(codes(sql, Where::Clone), [""; 0], "{sql}");
    }
}

#[test]
fn what_differs_from_run_to_run_is_found() {
    let source =
        Source::new("t", "SELECT 1;\nINSERT INTO t SELECT now(), CURRENT_DATE, pg_catalog.random(), 'now()', nowish()");
    let (statements, _) = split(&source);
    let found: Vec<_> = statements.iter().flat_map(nondeterministic).collect();
    let names: Vec<_> = found.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["now", "current_date", "random"]);
    assert_eq!(&source.text[found[2].0.clone()], "pg_catalog.random");
    // Columns behind a word of the grammar are not calls; calls behind it are.
    let source = Source::new("t", "SELECT 1 WHERE EXISTS (SELECT t.random FROM t) AND EXISTS (SELECT now())");
    let found: Vec<_> = split(&source).0.iter().flat_map(nondeterministic).map(|(_, name)| name).collect();
    assert_eq!(found, ["now"]);
}
