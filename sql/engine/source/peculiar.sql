-- Tables that a clone cannot treat as the others: under policies that bind their owner too, or not in the heap.
SELECT CASE WHEN m.amname <> 'heap' THEN 'method' ELSE 'forced' END AS why,
    pg_catalog.format('%I.%I', n.nspname, c.relname), m.amname::pg_catalog.text
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (m.amname <> 'heap' OR (c.relforcerowsecurity AND c.relrowsecurity))
ORDER BY 1, 2
