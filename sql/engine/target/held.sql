-- Who asks, and every other session that has the advisory lock $1, in whichever database of the server: what it calls
-- itself, where it is connected, and does it keep the lock (it has it in the shared mode, too)?
SELECT pg_catalog.pg_backend_pid(), h.pid, a.application_name, a.datname::text, h.keeps
FROM (SELECT) AS one
LEFT JOIN (
    SELECT l.pid, pg_catalog.bool_or(l.mode OPERATOR(pg_catalog.=) 'ShareLock') AS keeps
    FROM pg_catalog.pg_locks AS l
    WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted AND l.objsubid OPERATOR(pg_catalog.=) 1
      AND ((l.classid::bigint OPERATOR(pg_catalog.<<) 32) OPERATOR(pg_catalog.|) l.objid::bigint)
          OPERATOR(pg_catalog.=) pg_catalog.hashtextextended($1, 0)
      AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
    GROUP BY l.pid
) AS h ON true
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid OPERATOR(pg_catalog.=) h.pid
