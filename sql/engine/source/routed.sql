-- Leaves whose rows may belong into another leaf of the clone: a hash of a type that has its own oids there, such as an
-- enum. They are loaded through the partitioned table at the top.
SELECT DISTINCT p.inhrelid::pg_catalog.int8, pg_catalog.format('%I.%I', n.nspname, r.relname)
FROM pg_catalog.pg_inherits AS p
JOIN pg_catalog.pg_class AS l ON l.oid = p.inhrelid AND l.relkind = 'r' AND l.relispartition
CROSS JOIN LATERAL pg_catalog.pg_partition_ancestors(l.oid) AS above
JOIN pg_catalog.pg_partitioned_table AS k ON k.partrelid = above.relid AND k.partstrat = 'h'
JOIN pg_catalog.pg_class AS r ON r.oid = pg_catalog.pg_partition_root(l.oid)
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
WHERE EXISTS (SELECT FROM pg_catalog.unnest(k.partattrs::pg_catalog.int2[]) AS key (attnum)
              LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.partrelid AND a.attnum = key.attnum
              WHERE key.attnum = 0 OR a.atttypid >= 16384)
ORDER BY 1
