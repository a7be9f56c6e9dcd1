SELECT p.power FROM (
    SELECT 1 AS rank, 'is superuser' AS power FROM pg_catalog.pg_roles AS r WHERE r.rolname = $1::pg_catalog.name AND r.rolsuper
    UNION ALL
    SELECT 2, 'may create roles' FROM pg_catalog.pg_roles AS r WHERE r.rolname = $1::pg_catalog.name AND r.rolcreaterole
    UNION ALL
    SELECT 2, 'may replicate' FROM pg_catalog.pg_roles AS r WHERE r.rolname = $1::pg_catalog.name AND r.rolreplication
    UNION ALL
    SELECT 3, 'is a member of ' || r.rolname
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname IN ('pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files',
                        'pg_maintain', 'pg_create_subscription', 'pg_checkpoint')
      AND pg_catalog.pg_has_role($1::pg_catalog.name, r.oid, 'MEMBER')
    UNION ALL
    SELECT 4, 'owns database ' || pg_catalog.quote_ident(d.datname)
    FROM pg_catalog.pg_database AS d
    WHERE d.datname = pg_catalog.current_database() AND pg_catalog.pg_has_role($1::pg_catalog.name, d.datdba, 'MEMBER')
    UNION ALL
    SELECT 4, 'may create schemas in database ' || pg_catalog.quote_ident(pg_catalog.current_database())
    WHERE pg_catalog.has_database_privilege($1::pg_catalog.name, pg_catalog.current_database(), 'CREATE')
    UNION ALL
    SELECT 5, 'may create objects in schema ' || pg_catalog.quote_ident(n.nspname)
    FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname !~ '^pg_' AND pg_catalog.has_schema_privilege($1::pg_catalog.name, n.oid, 'CREATE')
    UNION ALL
    SELECT 6, 'may write ' || pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND (pg_catalog.has_table_privilege($1::pg_catalog.name, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
           OR pg_catalog.has_any_column_privilege($1::pg_catalog.name, c.oid, 'INSERT, UPDATE')
           OR pg_catalog.pg_has_role($1::pg_catalog.name, c.relowner, 'MEMBER'))
    UNION ALL
    SELECT 6, 'may advance ' || pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    -- CASE: the planner may not ask for a sequence's privilege before it knows that it is one.
    WHERE n.nspname !~ '^pg_'
      AND CASE c.relkind WHEN 'S' THEN pg_catalog.has_sequence_privilege($1::pg_catalog.name, c.oid, 'USAGE, UPDATE') ELSE false END
) AS p
ORDER BY p.rank, p.power
LIMIT 200
