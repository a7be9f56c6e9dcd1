SELECT 'extension' AS kind, e.extname::pg_catalog.text AS name,
       (SELECT coalesce(bool_or(v.trusted), false) FROM pg_catalog.pg_available_extension_versions AS v
        WHERE v.name = e.extname AND v.version = e.extversion)
       AND e.extname NOT IN ('dblink', 'postgres_fdw', 'file_fdw', 'http', 'pg_net', 'pg_cron') AS harmless
FROM pg_catalog.pg_extension AS e
WHERE e.extname <> 'plpgsql'
UNION ALL
SELECT 'language', l.lanname::pg_catalog.text, false
FROM pg_catalog.pg_language AS l
WHERE l.lanispl AND NOT l.lanpltrusted
UNION ALL
SELECT 'server', s.srvname::pg_catalog.text, true FROM pg_catalog.pg_foreign_server AS s
UNION ALL
SELECT 'user mapping of ' || coalesce(pg_catalog.quote_ident(m.usename), 'public') || ' for server', m.srvname::pg_catalog.text, true
FROM pg_catalog.pg_user_mappings AS m
UNION ALL
SELECT 'subscription', s.subname::pg_catalog.text, true
FROM pg_catalog.pg_subscription AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid AND d.datname = pg_catalog.current_database()
UNION ALL
SELECT 'event trigger', t.evtname::pg_catalog.text, true FROM pg_catalog.pg_event_trigger AS t
UNION ALL
SELECT 'publication', p.pubname::pg_catalog.text, true FROM pg_catalog.pg_publication AS p WHERE p.puballtables
ORDER BY 1, 2
