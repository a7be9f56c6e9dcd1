-- Who the backend $1 is, and the beginning of its statement, where this role may see it: one line.
SELECT pg_catalog.concat_ws(', ', 'pid ' || a.pid, 'role ' || r.rolname, 'application ' || NULLIF(a.application_name, '')),
    CASE WHEN pg_catalog.pg_has_role(a.usesysid, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
         THEN pg_catalog."left"(pg_catalog.regexp_replace(a.query, '\s+', ' ', 'g'), 120) END
FROM pg_catalog.pg_stat_activity AS a
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.usesysid
WHERE a.pid = $1
