-- Comments and security labels on what users made. Comments of the database itself are in database.sql.
SELECT 'comment', 'comment on ' || i.type || ' ' || i.identity,
    CASE WHEN o.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass THEN o.objoid::pg_catalog.regclass::pg_catalog.text END,
    o.description
FROM pg_catalog.pg_description AS o
CROSS JOIN LATERAL pg_catalog.pg_identify_object(o.classoid, o.objoid, o.objsubid) AS i
WHERE (o.objoid >= 16384 OR o.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass)
  AND COALESCE(i.schema, '') !~ '^pg_' AND COALESCE(i.schema, '') <> 'information_schema'
  AND NOT (i.type = 'schema' AND (i.name ~ '^pg_' OR i.name = 'information_schema'))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = o.classoid AND d.objid = o.objoid AND d.deptype = 'e')
UNION ALL
SELECT 'security label', 'security label of ' || s.provider || ' on ' || i.type || ' ' || i.identity, NULL, s.label
FROM pg_catalog.pg_seclabel AS s
CROSS JOIN LATERAL pg_catalog.pg_identify_object(s.classoid, s.objoid, s.objsubid) AS i
