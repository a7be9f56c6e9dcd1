-- Does the backend $1 wait for a synchronous standby to confirm its COMMIT (0: any of this role's in this database)? Which ones
-- would do, and which are connected. The role that logged in asks: it sees what its own sessions wait for.
SELECT pg_catalog.current_setting('synchronous_standby_names'),
    (SELECT pg_catalog.string_agg(NULLIF(r.application_name, ''), ', ' ORDER BY r.application_name)
     FROM pg_catalog.pg_stat_replication AS r)
FROM pg_catalog.pg_stat_activity AS a
WHERE a.wait_event = 'SyncRep' AND (a.pid = $1 OR $1 = 0)
    AND a.datname = pg_catalog.current_database() AND a.usename = SESSION_USER
LIMIT 1
