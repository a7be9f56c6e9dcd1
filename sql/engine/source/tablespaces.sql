-- Tablespaces that relations name, with one of them each. The database's own is no part of a clone.
SELECT t.spcname::pg_catalog.text, pg_catalog.min(pg_catalog.format('%I.%I', n.nspname, c.relname) COLLATE "C"), pg_catalog.count(*)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_tablespace AS t ON t.oid = c.reltablespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
GROUP BY t.spcname
ORDER BY 1
