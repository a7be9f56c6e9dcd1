-- What the role that reads may not see: kind, name, and the statement that lets it, in three parts.
SELECT 'unreachable' AS kind, 'schema ' || pg_catalog.quote_ident(n.nspname) AS name, 'GRANT USAGE ON SCHEMA ' AS before,
       pg_catalog.quote_ident(n.nspname) AS object, ' TO ' || pg_catalog.quote_ident(current_user) AS after
FROM pg_catalog.pg_namespace AS n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  AND EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'm', 'S'))
UNION ALL
SELECT 'unreadable', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
       'GRANT SELECT ON ' || CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
       ' TO ' || pg_catalog.quote_ident(current_user)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'S')
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT CASE c.relkind WHEN 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
                         ELSE pg_catalog.has_table_privilege(c.oid, 'SELECT') END
UNION ALL
SELECT 'row level security', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
       'ALTER ROLE ' || pg_catalog.quote_ident(current_user) || ' BYPASSRLS', '', ''
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE pg_catalog.row_security_active(c.oid)
  AND n.nspname !~ '^pg_'
UNION ALL
SELECT 'large object', count(*)::pg_catalog.text, 'GRANT SELECT ON LARGE OBJECT ',
       string_agg(l.oid::pg_catalog.text, ', ' ORDER BY l.oid), ' TO ' || pg_catalog.quote_ident(current_user)
FROM pg_catalog.pg_largeobject_metadata AS l
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user AND r.rolsuper)
  AND NOT pg_catalog.pg_has_role(l.lomowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(l.lomacl) AS a
                  WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE')))
HAVING count(*) > 0
ORDER BY 1, 2
