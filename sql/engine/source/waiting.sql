-- Who waits for a lock that this session holds: table, mode, milliseconds. pg_locks is as of now, not of the snapshot.
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), w.mode,
    (EXTRACT(epoch FROM pg_catalog.clock_timestamp() - w.waitstart) * 1000)::pg_catalog.int8
FROM pg_catalog.pg_locks AS w
JOIN pg_catalog.pg_locks AS h ON h.locktype = 'relation' AND h.relation = w.relation AND h.database = w.database
    AND h.granted AND h.pid = pg_catalog.pg_backend_pid()
JOIN pg_catalog.pg_class AS c ON c.oid = w.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE w.locktype = 'relation' AND NOT w.granted AND w.mode = 'AccessExclusiveLock' AND w.waitstart IS NOT NULL
ORDER BY 3 DESC
LIMIT 1
