-- Bytes of those databases of $1 that are there, as far as the maker may know.
SELECT coalesce(pg_catalog.sum(CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT')
                                    THEN pg_catalog.pg_database_size(d.oid) END), 0)::pg_catalog.int8
FROM pg_catalog.pg_database AS d
WHERE d.datname = ANY ($1)
