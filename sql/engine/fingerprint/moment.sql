-- The snapshot's horizon and end as 64 bit transaction ids; a crash of any backend moves `stats_reset`.
SELECT pg_catalog.pg_snapshot_xmin(s.snapshot)::pg_catalog.text, pg_catalog.pg_snapshot_xmax(s.snapshot)::pg_catalog.text,
    COALESCE(b.stats_reset::pg_catalog.text, 'never')
FROM (SELECT pg_catalog.pg_current_snapshot() AS snapshot) AS s, pg_catalog.pg_stat_bgwriter AS b
