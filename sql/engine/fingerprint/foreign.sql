-- Foreign data wrappers, servers, user mappings. Options of user mappings hold passwords and are never read.
SELECT 'foreign data wrapper', 'foreign data wrapper ' || pg_catalog.quote_ident(w.fdwname), NULL::pg_catalog.text,
    pg_catalog.concat_ws(E'\n', 'handler ' || NULLIF(w.fdwhandler, 0)::pg_catalog.regprocedure::pg_catalog.text,
        'validator ' || NULLIF(w.fdwvalidator, 0)::pg_catalog.regprocedure::pg_catalog.text,
        'option ' || pg_catalog.array_to_string(w.fdwoptions, E'\noption '))
FROM pg_catalog.pg_foreign_data_wrapper AS w
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass AND d.objid = w.oid AND d.deptype = 'e')
UNION ALL
SELECT 'server', 'server ' || pg_catalog.quote_ident(s.srvname), NULL,
    pg_catalog.concat_ws(E'\n', 'wrapper ' || pg_catalog.quote_ident(w.fdwname), 'type ' || s.srvtype, 'version ' || s.srvversion,
        'option ' || pg_catalog.array_to_string(s.srvoptions, E'\noption '))
FROM pg_catalog.pg_foreign_server AS s
JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
UNION ALL
SELECT 'user mapping', pg_catalog.format('user mapping of %I for server %I', m.usename, m.srvname), NULL, ''
FROM pg_catalog.pg_user_mappings AS m
