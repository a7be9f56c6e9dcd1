-- Collations of the system that columns and indexes of user tables name, with one of them each.
SELECT l.collname::pg_catalog.text, pg_catalog.min(pg_catalog.format('%I.%I.%I', n.nspname, c.relname, a.attname) COLLATE "C")
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
JOIN pg_catalog.pg_namespace AS ln ON ln.oid = l.collnamespace AND ln.nspname = 'pg_catalog'
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND l.collname NOT IN ('default', 'C', 'POSIX', 'ucs_basic') AND NOT a.attisdropped
GROUP BY l.collname
ORDER BY 1
