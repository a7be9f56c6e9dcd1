-- Who holds up the backend $1, and for whom the holders wait themselves: a row a session, the nearest first. What is not
-- shown of other people's sessions is NULL. The role that logged in asks; nothing here waits for a lock.
WITH RECURSIVE chain AS (
    SELECT 1 AS depth, b.pid, $1 AS holds_up, ARRAY[$1, b.pid] AS path
    FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids($1)) AS b (pid)
    UNION ALL
    SELECT chain.depth + 1, b.pid, chain.pid, chain.path || b.pid
    FROM chain, pg_catalog.unnest(pg_catalog.pg_blocking_pids(chain.pid)) AS b (pid)
    WHERE chain.depth < 8 AND chain.pid <> 0 AND b.pid <> ALL (chain.path)
), nearest AS (
    SELECT DISTINCT ON (pid) pid, depth, holds_up FROM chain ORDER BY pid, depth
)
SELECT n.pid, n.holds_up, a.application_name, r.rolname::text, a.state,
    (EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start) * 1000)::pg_catalog.int8,
    COALESCE(pg_catalog.pg_has_role(a.usesysid, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE'), false),
    pg_catalog."left"(pg_catalog.regexp_replace(a.query, '\s+', ' ', 'g'), 200),
    NOT EXISTS (SELECT FROM chain AS c WHERE c.holds_up = n.pid)
FROM nearest AS n
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = n.pid
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.usesysid
ORDER BY n.depth, n.pid
LIMIT 16
