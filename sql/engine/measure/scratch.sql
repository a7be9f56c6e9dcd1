-- Statements that drop what a script left in this session's temporary schema, the engine's own tables excepted.
SELECT pg_catalog.format('DROP %s IF EXISTS pg_temp.%I CASCADE',
                         CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, c.relname)
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace = pg_catalog.pg_my_temp_schema()
  AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
  AND c.relname !~ '^engine_(was|is)_'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass)
ORDER BY c.relname
