-- How the source stands: what there is to copy, and what may get in the way of a long snapshot.
SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'm', 'i', 'I', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') AS relations,
    pg_catalog.pg_database_size(d.oid) AS bytes,
    pg_catalog.pg_is_in_recovery() AS standby,
    pg_catalog.current_setting('hot_standby_feedback') = 'on' AS feedback,
    pg_catalog.current_setting('max_standby_streaming_delay') AS delay,
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_xacts AS p WHERE p.database = d.datname) AS prepared,
    (SELECT pg_catalog.max(pg_catalog.age(a.backend_xmin)) FROM pg_catalog.pg_stat_activity AS a
     WHERE a.pid <> pg_catalog.pg_backend_pid())::pg_catalog.int8 AS held_back,
    d.datcollversion AS recorded, pg_catalog.pg_database_collation_actual_version(d.oid) AS actual,
    pg_catalog.current_setting('transaction_timeout', true) AS transaction_timeout
FROM pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database()
