-- Schemas and extensions. An extension stands for all its members.
SELECT 'schema', 'schema ' || pg_catalog.quote_ident(n.nspname), NULL::pg_catalog.text, ''
FROM pg_catalog.pg_namespace AS n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = n.oid AND d.deptype = 'e')
UNION ALL
SELECT 'extension', 'extension ' || pg_catalog.quote_ident(e.extname), NULL,
    pg_catalog.format(E'version %s\nschema %I', e.extversion, n.nspname)
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
