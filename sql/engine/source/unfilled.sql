-- Tables that do not say how full their pages shall be.
SELECT c.oid::pg_catalog.int8
FROM pg_catalog.pg_class AS c
WHERE c.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_catalog.unnest(c.reloptions) AS o (option) WHERE o.option LIKE 'fillfactor=%')
ORDER BY 1
