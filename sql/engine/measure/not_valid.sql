-- Indexes that are not valid, by oid.
SELECT x.indexrelid::pg_catalog.int8 FROM pg_catalog.pg_index AS x WHERE NOT x.indisvalid ORDER BY 1
