-- Who else has one of the advisory locks $1 in this database: what it calls itself, and its backend.
SELECT DISTINCT pg_catalog.concat(NULLIF(a.application_name, '') OPERATOR(pg_catalog.||) ', ', 'backend ', l.pid)
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_stat_activity AS a ON a.pid OPERATOR(pg_catalog.=) l.pid
WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted AND l.objsubid OPERATOR(pg_catalog.=) 1
  AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
  AND ((l.classid::bigint OPERATOR(pg_catalog.<<) 32) OPERATOR(pg_catalog.|) l.objid::bigint) OPERATOR(pg_catalog.=) ANY (
      SELECT pg_catalog.hashtextextended(k, 0) FROM pg_catalog.unnest($1::text[]) AS k)
ORDER BY 1
