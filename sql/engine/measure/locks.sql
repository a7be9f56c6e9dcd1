SELECT (pg_catalog.format('%I.%I', n.nspname, c.relname) || ' ' || pg_catalog.string_agg(DISTINCT l.mode, ', ' ORDER BY l.mode))::pg_catalog.text
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.pid = pg_catalog.pg_backend_pid()
  AND l.locktype = 'relation'
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
  AND l.mode <> 'AccessShareLock'
  AND c.relkind IN ('r', 'p', 'm', 'v')
  AND n.nspname <> 'pg_catalog'
GROUP BY n.nspname, c.relname
ORDER BY 1
