-- What a server, the role and the database allow, and how much of it is in use; asked of both sides of a clone.
SELECT pg_catalog.current_setting('max_connections')::pg_catalog.int8 AS connections,
    pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int8
        + coalesce(pg_catalog.current_setting('reserved_connections', true)::pg_catalog.int8, 0) AS reserved,
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity AS a WHERE a.datid IS NOT NULL) AS used,
    r.rolsuper, r.rolconnlimit::pg_catalog.int8,
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity AS a WHERE a.usesysid = r.oid AND a.datid IS NOT NULL) AS by_role,
    d.datconnlimit::pg_catalog.int8,
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity AS a WHERE a.datid = d.oid) AS in_database,
    -- As the server sizes its lock table: every process there can be counts.
    pg_catalog.current_setting('max_locks_per_transaction')::pg_catalog.int8
        * (pg_catalog.current_setting('max_connections')::pg_catalog.int8
           + pg_catalog.current_setting('max_prepared_transactions')::pg_catalog.int8
           + coalesce(pg_catalog.current_setting('autovacuum_worker_slots', true),
                      pg_catalog.current_setting('autovacuum_max_workers'))::pg_catalog.int8 + 1
           + pg_catalog.current_setting('max_worker_processes')::pg_catalog.int8
           + pg_catalog.current_setting('max_wal_senders')::pg_catalog.int8) AS locks,
    (SELECT pg_catalog.max(pg_catalog.age(o.datfrozenxid)) FROM pg_catalog.pg_database AS o)::pg_catalog.int8 AS oldest,
    r.rolname::pg_catalog.text, r.rolsuper OR r.rolcreatedb AS creates, pg_catalog.pg_is_in_recovery() AS standby,
    pg_catalog.current_setting('server_version_num')::pg_catalog.int4 / 10000 AS major,
    -- Hidden from a role that may not read all settings: no row then.
    (SELECT s.setting FROM pg_catalog.pg_settings AS s WHERE s.name = 'data_directory') AS folder
FROM pg_catalog.pg_roles AS r
JOIN pg_catalog.pg_database AS d ON d.datname = pg_catalog.current_database()
WHERE r.rolname = session_user
