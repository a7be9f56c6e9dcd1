-- Indexes being built in a database: table, phase, part done of what can be counted.
SELECT p.relid::pg_catalog.int8, p.phase,
    CASE WHEN p.blocks_total > 0 THEN 100 * p.blocks_done / p.blocks_total
         WHEN p.tuples_total > 0 THEN 100 * p.tuples_done / p.tuples_total ELSE 0 END::pg_catalog.int8
FROM pg_catalog.pg_stat_progress_create_index AS p
WHERE p.datname = $1
