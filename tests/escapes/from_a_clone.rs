//! What a stage could try from a clone, with the parser out of the way: as the stage role, through the writer, in one
//! transaction that is committed, beside a production on the same server.

use super::corpus::ESCAPES;
use super::{folder, into};
use crate::support::{Bench, assert_same, server};
use engine::diag::Source;
use engine::sql::{self, Where};
use engine::target::{Door, Expected, Says, Settings, Url, Writer};
use std::time::Duration;

/// Statements that only somebody who may write would say. `PRODUCTION` and `CLONE` are the databases, `VICTIM` a backend
/// of production's owner.
const FROM_A_CLONE: &[&[&str]] = &[
    // Into production, over another connection.
    &["CREATE EXTENSION dblink", "SELECT dblink_exec('dbname=PRODUCTION', 'DELETE FROM gov_seam_dossiers')"],
    &[
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER b FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'PRODUCTION')",
    ],
    &["CREATE EXTENSION file_fdw"],
    &["CREATE SUBSCRIPTION escaped CONNECTION 'dbname=PRODUCTION' PUBLICATION p"],
    &["SELECT * FROM PRODUCTION.public.gov_scopes"],
    &["INSERT INTO PRODUCTION.public.gov_scopes SELECT * FROM gov_scopes"],
    // Programs, files, libraries.
    &["COPY (SELECT 1) TO PROGRAM 'touch {dir}/program'"],
    &["COPY public.gov_scopes FROM PROGRAM 'touch {dir}/program'"],
    &["COPY (SELECT 1) TO '{dir}/file'"],
    &["DO $$ BEGIN EXECUTE 'COPY (SELECT 1) TO PROGRAM ''touch {dir}/program'''; END $$"],
    &["SELECT lo_import('/etc/passwd')"],
    &["SELECT lo_export(lo_from_bytea(0, 'x'), '{dir}/file')"],
    &["SELECT pg_read_file('PG_VERSION')"],
    &["SELECT pg_ls_dir('.')"],
    &["LOAD 'auto_explain'"],
    &["LOAD '$libdir/plugins/x'"],
    &["CREATE FUNCTION escaped(cstring) RETURNS int LANGUAGE c AS 'libc.so.6', 'system'"],
    &["CREATE FUNCTION escaped() RETURNS int LANGUAGE internal AS 'pg_reload_conf'"],
    &["CREATE EXTENSION plpython3u"],
    &["CREATE LANGUAGE plperlu"],
    &["CREATE TABLESPACE escaped LOCATION '{dir}'"],
    // Roles, and who one is.
    &["ALTER ROLE engine_stage SUPERUSER"],
    &["ALTER ROLE engine_stage CREATEDB CREATEROLE"],
    &["SET ROLE NONE", "ALTER ROLE engine_stage SUPERUSER"],
    &["ALTER ROLE engine_owner LOGIN"],
    &["ALTER ROLE engine_cloner SET role = engine_stage"],
    &["CREATE ROLE escaped SUPERUSER"],
    &["GRANT directus TO engine_stage"],
    &["GRANT pg_execute_server_program TO engine_stage"],
    &["GRANT engine_owner TO engine_reader"],
    &["SET ROLE directus"],
    &["SET ROLE engine_cloner"],
    &["SET ROLE pg_write_all_data"],
    &["SET SESSION AUTHORIZATION directus"],
    &["SET SESSION AUTHORIZATION postgres"],
    &["RESET SESSION AUTHORIZATION", "RESET ROLE", "SET ROLE postgres"],
    &["DROP OWNED BY directus"],
    &["REASSIGN OWNED BY directus TO engine_owner"],
    &["ALTER DEFAULT PRIVILEGES FOR ROLE directus GRANT ALL ON TABLES TO engine_owner"],
    &["CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "ALTER FUNCTION f() OWNER TO directus"],
    // Databases and the server.
    &["CREATE DATABASE escaped"],
    &["DROP DATABASE PRODUCTION"],
    &["ALTER DATABASE PRODUCTION SET default_transaction_read_only = on"],
    &["ALTER DATABASE PRODUCTION CONNECTION LIMIT 0"],
    &["ALTER DATABASE PRODUCTION OWNER TO engine_owner"],
    &["ALTER DATABASE CLONE SET session_preload_libraries = 'x'"],
    &["ALTER DATABASE CLONE RENAME TO escaped"],
    &["COMMENT ON DATABASE PRODUCTION IS 'escaped'"],
    &["COMMENT ON DATABASE CLONE IS 'no clone any more'"],
    &["REVOKE CONNECT ON DATABASE PRODUCTION FROM directus"],
    &["GRANT CONNECT ON DATABASE PRODUCTION TO engine_stage"],
    &["ALTER SYSTEM SET max_connections = 1"],
    &["SELECT pg_reload_conf()"],
    &["SELECT pg_switch_wal()"],
    &["SELECT pg_create_restore_point('escaped')"],
    &["SELECT pg_create_physical_replication_slot('escaped')"],
    &["SELECT pg_stat_reset()"],
    &["SELECT pg_stat_reset_shared('wal')"],
    &["CHECKPOINT"],
    &["CREATE EVENT TRIGGER escaped ON ddl_command_start EXECUTE FUNCTION escape_event()"],
    &["CREATE PUBLICATION escaped FOR ALL TABLES"],
    // Production's work.
    &["SELECT pg_terminate_backend(VICTIM)"],
    &["SELECT pg_cancel_backend(VICTIM)"],
    &["SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'PRODUCTION'"],
    &["LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE"],
    &["LOCK TABLE pg_database IN SHARE MODE"],
    &["LOCK TABLE pg_db_role_setting IN ROW EXCLUSIVE MODE"],
    &["LOCK TABLE pg_shdepend IN EXCLUSIVE MODE"],
    &["SELECT FROM pg_database FOR UPDATE"],
    &["UPDATE pg_database SET datallowconn = false"],
    &["UPDATE pg_authid SET rolsuper = true"],
    &["DELETE FROM pg_shdescription"],
    &["SET allow_system_table_mods = on", "DELETE FROM pg_database"],
    // What the next user of the session would find.
    &["SELECT pg_advisory_lock(4711)", "SELECT pg_advisory_lock_shared(4712)"],
    &["LISTEN escaped", "NOTIFY escaped"],
    &["SELECT pg_notify('escaped', 'x')"],
    &["CREATE TEMPORARY TABLE gov_scopes AS SELECT 1 AS escaped"],
    &["CREATE TEMPORARY VIEW pg_locks AS SELECT 1 AS pid"],
    &["PREPARE TRANSACTION 'escaped'"],
    &["COMMIT", "PREPARE TRANSACTION 'escaped'"],
    &["COMMIT AND CHAIN", "SELECT pg_advisory_lock(4713)"],
    &["DO $$ BEGIN COMMIT; END $$"],
    &["CREATE PROCEDURE escaped_p() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'", "CALL escaped_p()"],
    &["SET SESSION search_path = pg_temp"],
    &["SET SESSION synchronous_commit = off"],
    &["SET SESSION session_replication_role = replica"],
    &["SET SESSION statement_timeout = 1000"],
    &["SET SESSION default_transaction_read_only = on"],
    &["SELECT set_config('search_path', 'pg_temp', false), set_config('row_security', 'off', false)"],
    &["SET ROLE NONE", "SELECT 1"],
    &["DECLARE c CURSOR WITH HOLD FOR SELECT 1"],
];

/// How many there are.
pub const COUNT: usize = FROM_A_CLONE.len();

/// All of the server that is not this clone: roles and what is set for them, databases with their owners, rights, comments
/// and settings, slots, prepared transactions, locks that last, the session of production's owner.
const SERVER: &str = "
SELECT md5(string_agg(r::text, ',' ORDER BY oid)) FROM pg_authid AS r;
SELECT md5(string_agg(m::text, ',' ORDER BY roleid, member)) FROM pg_auth_members AS m;
SELECT string_agg(s::text, ',' ORDER BY setdatabase, setrole) FROM pg_db_role_setting AS s
WHERE setdatabase = 0 OR setdatabase IN (SELECT oid FROM pg_database WHERE datname IN ('CLONE', 'PRODUCTION'));
SELECT string_agg(format('%s %s %s %s %s', datname, datdba, datallowconn, datconnlimit, datacl), ',' ORDER BY oid), count(*)
FROM pg_database WHERE datname IN ('CLONE', 'PRODUCTION', 'escaped', 'postgres', 'template1');
SELECT string_agg(s::text, ',' ORDER BY objoid) FROM pg_shdescription AS s JOIN pg_database AS d ON d.oid = objoid
WHERE datname IN ('CLONE', 'PRODUCTION', 'postgres');
SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_prepared_xacts), (SELECT count(*) FROM pg_tablespace),
       (SELECT count(*) FROM pg_subscription), current_setting('max_connections'), current_setting('work_mem');
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid IN (4711, 4712, 4713);
SELECT count(*), min(state) FROM pg_stat_activity WHERE pid = VICTIM;
";

/// A door as a run opens it for its stages.
fn writer(bench: &Bench) -> Writer {
    let oid = |name: &str| -> i64 {
        let asked = format!("SELECT oid FROM pg_database WHERE datname = '{name}'");
        bench.psql("postgres", &asked).parse().expect("an oid")
    };
    let system_identifier = bench.psql("postgres", "SELECT system_identifier FROM pg_control_system()");
    let expected = Expected {
        run: bench.run_id(),
        database: bench.clone_name().to_owned(),
        oid: oid(bench.clone_name()),
        system_identifier: system_identifier.clone(),
        not: (system_identifier, oid(bench.production())),
    };
    let settings = Settings {
        search_path: "public".into(),
        statement_timeout: Duration::from_secs(20),
        lock_timeout: Duration::from_secs(2),
        read_only: false,
    };
    let url = Url::literal("test", bench.url("engine_stage", bench.clone_name()));
    let door = Door::new("clone", &url, None, &settings).expect("a door").expecting(expected);
    Writer::to_clone(door).expect("a writer")
}

/// The session that the next stage gets.
async fn session(writer: &Writer, after: &[String]) -> Vec<String> {
    const SESSION: &str =
        "SELECT current_user::text, current_setting('search_path'), current_setting('synchronous_commit'),
        current_setting('session_replication_role'), current_setting('statement_timeout'), current_setting('row_security'),
        current_setting('default_transaction_read_only'), (SELECT count(*) FROM pg_listening_channels())::text,
        (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema())::text,
        (SELECT count(*) FROM pg_cursors WHERE is_holdable)::text";
    let tx = writer.session("the next one").await.unwrap_or_else(|f| panic!("after {after:?}: {}", f.what));
    tx.begin(Duration::from_secs(20), Duration::from_secs(2)).await.expect("BEGIN");
    let row = tx.query_one_as(Says::Plan, SESSION, &[]).await.expect("an answer");
    let found: Vec<String> = (0..row.len()).map(|at| row.get(at)).collect();
    tx.rollback().await;
    found
}

#[tokio::test]
async fn a_stage_gets_at_nothing_but_its_clone() {
    let bench = Bench::new("from_a_clone");
    bench.apply(&["--until", "baseline"]).expect(0);
    let (production, clone) = (bench.production().to_owned(), bench.clone_name().to_owned());
    let (folder, writer) = (folder(), writer(&bench));
    let victim_url = bench.url("directus", &production);
    let (victim, connection) = tokio_postgres::connect(&victim_url, tokio_postgres::NoTls).await.expect("a session");
    tokio::spawn(connection);
    let pid: i32 = victim.query_one("SELECT pg_backend_pid()", &[]).await.expect("an answer").get(0);
    let fill =
        |sql: &str| sql.replace("PRODUCTION", &production).replace("CLONE", &clone).replace("VICTIM", &pid.to_string());
    let around = || format!("{}\n{}", super::state(server(), &production), bench.psql("postgres", &fill(SERVER)));
    let (before, whole) = (around(), bench.all_of(&production));
    // What a role may always do to itself is caught by measuring: the next test.
    let own = |statements: &&[&str]| !statements[0].starts_with("ALTER ROLE CURRENT_USER");
    let all = ESCAPES.iter().map(|(_, statements)| *statements).chain(FROM_A_CLONE.iter().copied()).filter(own);
    let clean = session(&writer, &[]).await;
    assert_eq!(clean[..2], ["engine_owner", "public, pg_temp"]);
    let mut tried = 0;
    for statements in all {
        let statements: Vec<String> = into(folder.path(), statements).iter().map(|sql| fill(sql)).collect();
        let tx = writer.session("an escape").await.unwrap_or_else(|f| panic!("before {statements:?}: {}", f.what));
        tx.begin(Duration::from_secs(20), Duration::from_secs(2)).await.expect("BEGIN");
        let mut done = Ok(0);
        for sql in &statements {
            if done.is_ok() {
                done = tx.execute(sql).await;
            }
        }
        match done {
            Ok(_) => drop(tx.commit(None).await),
            Err(_) => drop(tx.rollback().await),
        }
        assert_eq!(session(&writer, &statements).await, clean, "after {statements:?}");
        assert_same(&around(), &before, &format!("{statements:?}"));
        victim.simple_query("SELECT count(*) FROM gov_scopes").await.expect("production's session lives");
        tried += 1;
    }
    assert!(tried >= 180, "{tried}");
    assert_same(&bench.all_of(&production), &whole, "all of them");
    assert_eq!(std::fs::read_dir(folder.path()).expect("our folder").count(), 0, "a program or a file was reached");
}

/// No right is needed to change one's own password and settings, which belong to the server, and code can hide it from
/// the parser. It is seen before COMMIT, also by a stage that may change definitions.
#[test]
fn a_stage_does_not_change_its_own_role() {
    for own in ["ALTER ROLE engine_owner SET work_mem = ''1GB''", "ALTER ROLE engine_owner PASSWORD ''escaped''"] {
        for keys in ["", "alters = [\"public.t\"]"] {
            let bench = Bench::mini("own_role", "");
            let role = || bench.psql("postgres", "SELECT a::text FROM pg_authid AS a WHERE rolname = 'engine_owner'");
            let (before, production) = (role(), bench.all_of(bench.production()));
            let table = if keys.is_empty() { "" } else { "ALTER TABLE t ADD escaped int;\n" };
            let sql = format!("{table}DO $$ BEGIN EXECUTE '{own}'; END $$");
            bench.mini_plan(&bench.mini_stage("s", "\"base\"", keys, &sql, None));
            bench.mini_apply(&[]).expect(42).says(&["beyond this database"]);
            assert_same(&role(), &before, own);
            assert_same(&bench.all_of(bench.production()), &production, own);
        }
    }
}

/// As shipped most of these are not even sent.
#[test]
fn the_parser_refuses_most_of_them() {
    let refused = |statements: &&&[&str]| {
        let text = statements.join(";\n");
        sql::check(&Source::new("escape.sql", text), Where::Clone).1.has_errors()
    };
    let count = FROM_A_CLONE.iter().filter(refused).count();
    assert!(count * 2 > FROM_A_CLONE.len(), "{count} of {}", FROM_A_CLONE.len());
}
