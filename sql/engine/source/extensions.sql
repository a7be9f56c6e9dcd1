-- Extensions and their versions.
SELECT e.extname::pg_catalog.text, e.extversion
FROM pg_catalog.pg_extension AS e
WHERE e.extname <> 'plpgsql'
ORDER BY 1
