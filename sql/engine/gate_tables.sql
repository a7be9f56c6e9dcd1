SELECT l.relation::pg_catalog.int8,
       (pg_catalog.format('%I.%I', n.nspname, c.relname))::pg_catalog.text,
       -- Any role it is a member of counts, inherited or not: SET ROLE is one statement away.
       EXISTS (SELECT FROM pg_catalog.pg_roles AS m
               WHERE pg_catalog.pg_has_role(session_user, m.oid, 'MEMBER')
                 AND (pg_catalog.has_table_privilege(m.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
                      OR pg_catalog.has_any_column_privilege(m.oid, c.oid, 'INSERT, UPDATE')))
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.pid = pg_catalog.pg_backend_pid()
  AND l.locktype = 'relation'
  AND c.relkind IN ('r', 'p', 'm', 'v')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY 2
