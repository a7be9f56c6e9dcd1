-- All below the partitioned table $1, as `schema.table`; no row for any other table. Not by pg_partition_tree, which locks them.
WITH RECURSIVE below AS (
    SELECT i.inhrelid AS id
    FROM pg_catalog.pg_inherits AS i
    JOIN pg_catalog.pg_class AS p ON p.oid OPERATOR(pg_catalog.=) i.inhparent
    WHERE i.inhparent OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1) AND p.relkind OPERATOR(pg_catalog.=) 'p'
    UNION ALL
    SELECT i.inhrelid
    FROM below AS b
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) b.id
)
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)::pg_catalog.text
FROM below AS b
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) b.id
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
ORDER BY 1
