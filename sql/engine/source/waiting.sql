-- Who waits for a lock that the session $1 holds, or another one of this process: one that reads a table by ranges holds its
-- indexes too. Table or index, mode, milliseconds, backend. pg_locks is as of now.
WITH waiting AS MATERIALIZED (
    SELECT w.database, w.relation, w.mode, w.waitstart, w.pid
    FROM pg_catalog.pg_locks AS w
    WHERE w.locktype = 'relation' AND NOT w.granted AND w.mode = 'AccessExclusiveLock' AND w.waitstart IS NOT NULL
)
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), w.mode,
    (EXTRACT(epoch FROM pg_catalog.clock_timestamp() - w.waitstart) * 1000)::pg_catalog.int8, w.pid
FROM waiting AS w
JOIN pg_catalog.pg_class AS c ON c.oid = w.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE EXISTS (SELECT FROM pg_catalog.pg_locks AS h
              WHERE h.locktype = 'relation' AND h.relation = w.relation AND h.database = w.database AND h.granted
                AND (h.pid = $1
                     OR h.pid IN (SELECT a.pid FROM pg_catalog.pg_stat_activity AS a
                                  WHERE a.datname = pg_catalog.current_database() AND a.usename = session_user
                                    AND a.application_name = pg_catalog.current_setting('application_name'))))
ORDER BY 3 DESC
LIMIT 1
