-- Temporary relations of this session that are none of $1, nor parts of those, nor the engine's own.
SELECT c.relname::pg_catalog.text
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace = pg_catalog.pg_my_temp_schema()
  AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
  AND c.relname <> ALL ($1::pg_catalog.text[])
  AND c.relname !~ '^engine_(was|is)_'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass)
ORDER BY 1
