SELECT pg_catalog.split_part(c.setting, '=', 1) AS name,
       pg_catalog.substr(c.setting, pg_catalog.strpos(c.setting, '=') + 1) AS value,
       coalesce(r.rolname::pg_catalog.text, '') AS role
FROM pg_catalog.pg_db_role_setting AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase AND d.datname = pg_catalog.current_database()
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole,
     pg_catalog.unnest(s.setconfig) AS c(setting)
ORDER BY 3, 1
