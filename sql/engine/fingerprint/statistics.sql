-- Extended statistics.
SELECT 'statistics', pg_catalog.format('statistics %I.%I', n.nspname, s.stxname), s.stxrelid::pg_catalog.regclass::pg_catalog.text,
    pg_catalog.pg_get_statisticsobjdef(s.oid)
        || CASE WHEN COALESCE(s.stxstattarget, -1) <> -1 THEN E'\ntarget ' || s.stxstattarget ELSE '' END
FROM pg_catalog.pg_statistic_ext AS s
JOIN pg_catalog.pg_namespace AS n ON n.oid = s.stxnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass AND d.objid = s.oid AND d.deptype = 'e')
