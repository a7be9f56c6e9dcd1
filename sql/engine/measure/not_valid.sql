-- Indexes of the tables $1 that are not valid, by oid.
SELECT x.indexrelid::pg_catalog.int8
FROM pg_catalog.unnest($1::pg_catalog.text[]) AS wanted (name)
JOIN pg_catalog.pg_index AS x ON x.indrelid = pg_catalog.to_regclass(wanted.name)
WHERE NOT x.indisvalid
ORDER BY 1
