-- The lock that the backend $1 waits for: sort, mode, the relation if it is about one, and how long in milliseconds. Of somebody's row that
-- is waited for by its transaction, the relation is that of the row, which the backend has claimed meanwhile.
SELECT w.locktype, w.mode, CASE WHEN c.oid IS NOT NULL THEN pg_catalog.format('%I.%I', n.nspname, c.relname) END,
    (EXTRACT(epoch FROM pg_catalog.clock_timestamp() - w.waitstart) * 1000)::pg_catalog.int8
FROM pg_catalog.pg_locks AS w
LEFT JOIN pg_catalog.pg_locks AS claimed
    ON w.relation IS NULL AND claimed.pid = w.pid AND claimed.locktype = 'tuple' AND claimed.granted
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = COALESCE(w.relation, claimed.relation)
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE w.pid = $1 AND NOT w.granted
LIMIT 1
