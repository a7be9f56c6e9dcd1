SELECT DISTINCT pg_catalog.pg_get_userbyid(o.owner)::pg_catalog.text
FROM (
    SELECT c.relowner AS owner, c.relnamespace AS schema FROM pg_catalog.pg_class AS c
    UNION ALL SELECT p.proowner, p.pronamespace FROM pg_catalog.pg_proc AS p
    UNION ALL SELECT t.typowner, t.typnamespace FROM pg_catalog.pg_type AS t
    UNION ALL SELECT s.nspowner, s.oid FROM pg_catalog.pg_namespace AS s
) AS o
JOIN pg_catalog.pg_namespace AS n ON n.oid = o.schema
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1
