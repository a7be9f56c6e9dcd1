-- Pages of each heap's main file, as it is now: `relpages` is an estimate that loses rows. What is stored out of line
-- only weighs, so the estimate will do for it. Only tables that are asked for are looked at: a look waits for their locks.
WITH asked AS MATERIALIZED (
    SELECT c.oid, c.reltoastrelid
    FROM pg_catalog.pg_class AS c
    WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]::pg_catalog.oid[])
), sized AS MATERIALIZED (
    SELECT a.oid, a.reltoastrelid, pg_catalog.pg_relation_size(a.oid) AS bytes FROM asked AS a
)
SELECT s.oid::pg_catalog.int8, s.bytes / pg_catalog.current_setting('block_size')::pg_catalog.int8,
    s.bytes + COALESCE(t.relpages, 0)::pg_catalog.int8 * pg_catalog.current_setting('block_size')::pg_catalog.int8
FROM sized AS s
LEFT JOIN pg_catalog.pg_class AS t ON t.oid = s.reltoastrelid
WHERE s.bytes IS NOT NULL
