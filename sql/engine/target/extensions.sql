-- Extensions named that this server could create, and the version that CREATE EXTENSION would take.
SELECT e.name::pg_catalog.text, e.default_version
FROM pg_catalog.pg_available_extensions AS e
WHERE e.name = ANY ($1::pg_catalog.text[])
