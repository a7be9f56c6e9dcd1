-- Bytes of a database, and the server's version.
SELECT pg_catalog.pg_database_size(d.oid), pg_catalog.current_setting('server_version_num')::pg_catalog.int4
FROM pg_catalog.pg_database AS d
WHERE d.datname = $1
