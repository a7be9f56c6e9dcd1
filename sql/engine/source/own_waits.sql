-- What the engine itself waits for in this database: sessions of the role of session $1 that are called like the one that
-- asks, pg_dump's included; the name says which process it is.
WITH ours AS MATERIALIZED (
    SELECT a.pid
    FROM pg_catalog.pg_stat_activity AS a
    JOIN pg_catalog.pg_stat_activity AS holder ON holder.pid = $1 AND holder.usesysid = a.usesysid AND holder.datid = a.datid
    WHERE a.application_name = pg_catalog.current_setting('application_name')
), waiting AS MATERIALIZED (
    SELECT w.relation, w.mode, w.waitstart
    FROM pg_catalog.pg_locks AS w
    JOIN ours ON ours.pid = w.pid
    WHERE w.locktype = 'relation' AND NOT w.granted AND w.waitstart IS NOT NULL
)
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), w.mode,
    (EXTRACT(epoch FROM pg_catalog.clock_timestamp() - w.waitstart) * 1000)::pg_catalog.int8
FROM waiting AS w
JOIN pg_catalog.pg_class AS c ON c.oid = w.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY 3 DESC
LIMIT 1
