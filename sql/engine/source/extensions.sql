-- Extensions and their versions. `plpgsql` as well: the clone gets it from template0.
SELECT e.extname::pg_catalog.text, e.extversion
FROM pg_catalog.pg_extension AS e
ORDER BY 1
