-- Tablespaces named that are there, and whether the role $2 may create in them.
SELECT t.spcname::pg_catalog.text, pg_catalog.has_tablespace_privilege($2::pg_catalog.name, t.oid, 'CREATE')
FROM pg_catalog.pg_tablespace AS t
WHERE t.spcname = ANY ($1::pg_catalog.text[])
