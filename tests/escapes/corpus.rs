//! The statements, and what production lends them.

/// Who refuses a statement before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// The parser, wherever it would go.
    Refuses,
    /// The parser, on its way to a target that is only read.
    RefusesReading,
    /// Nobody: it looks like any query, and what holds is the database.
    LetsPass,
}

use Parser::{LetsPass, Refuses, RefusesReading};

/// The corpus: statements sent one after the other, as far as the engine lets them be.
pub const ESCAPES: &[(Parser, &[&str])] = &[
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
    (Refuses, &["SELECT lo_export(4710, '{dir}/escaped')"]),
    (LetsPass, &["SELECT pg_current_xact_id()"]),
    (LetsPass, &["SELECT query_to_xml('DELETE FROM public.gov_seam_dossiers RETURNING 1', true, true, '')"]),
    (LetsPass, &["SELECT query_to_xml('COMMIT', true, true, '')"]),
    (LetsPass, &["SELECT ts_stat FROM ts_stat('DELETE FROM public.gov_seam_dossiers RETURNING to_tsvector(body)')"]),
    // Out of the database.
    (Refuses, &["COPY (SELECT 1) TO PROGRAM 'touch {dir}/escaped'"]),
    (Refuses, &["COPY public.gov_scopes FROM PROGRAM 'echo escaped'"]),
    (Refuses, &["COPY (SELECT 1) TO '{dir}/escaped'"]),
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
    // The witness itself, and what could make it blind.
    (Refuses, &["SET search_path = pg_temp, pg_catalog", "COMMIT", "BEGIN READ ONLY", "SELECT 1"]),
    (Refuses, &["COMMIT", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SELECT 1"]),
    (
        Refuses,
        &[
            "CREATE TEMPORARY TABLE pg_locks AS SELECT * FROM pg_catalog.pg_locks",
            "DELETE FROM public.gov_seam_dossiers",
        ],
    ),
    (RefusesReading, &["PREPARE engine AS SELECT 1", "DEALLOCATE ALL"]),
    (LetsPass, &["SELECT txid_current()"]),
    (Refuses, &["SELECT pg_export_snapshot()", "COMMIT", "SELECT 1"]),
    // Reading is what writes.
    (LetsPass, &["SELECT * FROM public.escape_view"]),
    (LetsPass, &["SELECT count(*) FROM public.gov_seams WHERE public.escape_as_owner() > 0"]),
    (LetsPass, &["SELECT table_to_xml('public.escape_view', true, true, '')"]),
    (LetsPass, &["SELECT cursor_to_xml('escape', 1, true, true, '')"]),
    (RefusesReading, &["DECLARE c CURSOR WITH HOLD FOR SELECT public.escape_as_owner()", "FETCH c", "CLOSE c"]),
    (Refuses, &["COPY public.gov_scopes FROM STDIN"]),
    // Event triggers, extensions, languages, other servers.
    (RefusesReading, &["CREATE EVENT TRIGGER escaped ON ddl_command_end EXECUTE FUNCTION public.escape_as_owner()"]),
    (RefusesReading, &["CREATE EXTENSION dblink"]),
    (RefusesReading, &["CREATE SERVER escaped FOREIGN DATA WRAPPER postgres_fdw"]),
    (RefusesReading, &["CREATE FUNCTION public.escaped() RETURNS int LANGUAGE c AS 'libc', 'system'"]),
    (Refuses, &["CREATE SUBSCRIPTION escaped CONNECTION 'dbname=postgres' PUBLICATION p"]),
    (Refuses, &["ALTER ROLE CURRENT_USER SET default_transaction_read_only = off"]),
    (Refuses, &["ALTER USER engine_reader PASSWORD 'escaped'"]),
    (Refuses, &["ALTER DATABASE postgres SET default_transaction_read_only = off"]),
    (RefusesReading, &["COMMENT ON DATABASE postgres IS 'escaped'"]),
    (RefusesReading, &["SECURITY LABEL ON TABLE public.gov_scopes IS 'escaped'"]),
    (RefusesReading, &["REINDEX TABLE public.gov_scopes"]),
    (RefusesReading, &["CLUSTER public.gov_scopes USING gov_scopes_pkey"]),
    (RefusesReading, &["ANALYZE public.gov_scopes"]),
    (Refuses, &["SELECT pg_try_advisory_lock_shared(4711)"]),
    (Refuses, &["UNLISTEN *"]),
];

/// What production lends to the attempts: a function of the owner that writes for whoever calls it, a procedure
/// that commits, a view that writes when it is read, a sequence and a large object.
pub const BAIT: &str = "
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
CREATE VIEW public.escape_view AS SELECT public.escape_as_owner() AS gone;
GRANT SELECT ON public.escape_view TO engine_reader;
SELECT lo_from_bytea(4710, 'bait');
GRANT UPDATE ON LARGE OBJECT 4710 TO engine_reader;
RESET ROLE;
";
