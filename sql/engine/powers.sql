-- What a role could do to this database: grade (1 above all rights, 2 writes, 3 disturbs others, 4 listed), the power in
-- words, and the statement that takes it away in three parts; objects of statements with equal ends go into one.
WITH RECURSIVE me AS (
    SELECT r.oid, r.rolname, r.rolsuper, r.rolcreaterole, r.rolreplication, r.rolcreatedb,
           pg_catalog.quote_ident(r.rolname) AS name
    FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) $1::pg_catalog.name
), hops AS (
    -- Every role it may become, and the grant that leads there.
    SELECT m.roleid, m.roleid AS first FROM pg_catalog.pg_auth_members AS m JOIN me ON m.member = me.oid
    UNION
    SELECT m.roleid, h.first FROM hops AS h JOIN pg_catalog.pg_auth_members AS m ON m.member = h.roleid
), leaves AS (
    -- What takes it out of a role: from 16 on a membership may be granted more than once, each by its own grantor.
    SELECT m.roleid, string_agg('REVOKE ' || pg_catalog.quote_ident(r.rolname) || ' FROM ' || me.name
               || CASE WHEN pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 160000
                       THEN ' GRANTED BY ' || pg_catalog.quote_ident(g.rolname) ELSE '' END
               || CASE WHEN m.admin_option THEN ' CASCADE' ELSE '' END, '; ' ORDER BY g.rolname) AS statement
    FROM pg_catalog.pg_auth_members AS m
    JOIN me ON m.member = me.oid
    JOIN pg_catalog.pg_roles AS r ON r.oid = m.roleid
    LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = m.grantor
    GROUP BY m.roleid
), leads AS (
    SELECT DISTINCT ON (h.roleid) h.roleid, r.rolname, r.rolsuper, r.rolcreaterole, r.rolreplication, r.rolcreatedb,
           pg_catalog.quote_ident(r.rolname) AS name, v.statement AS leave
    FROM hops AS h
    JOIN pg_catalog.pg_roles AS r ON r.oid = h.roleid
    JOIN leaves AS v ON v.roleid = h.first
    ORDER BY h.roleid, h.first <> h.roleid, v.statement
), who AS (
    -- To whom a right may be granted so that this role has it.
    SELECT me.oid AS grantee, 'granted to it' AS how, me.name AS holder, NULL AS leave FROM me
    UNION ALL
    SELECT 0, 'granted to PUBLIC', 'PUBLIC', NULL
    UNION ALL
    SELECT l.roleid, 'granted to ' || l.name || ', of which it is a member', l.name, l.leave FROM leads AS l
), db AS (
    SELECT d.oid, d.datdba, d.datacl, pg_catalog.quote_ident(d.datname) AS name, pg_catalog.quote_ident(o.rolname) AS owner
    FROM pg_catalog.pg_database AS d JOIN pg_catalog.pg_roles AS o ON o.oid = d.datdba
    WHERE d.datname = pg_catalog.current_database()
), acl AS (
    -- Every grant there is on anything of this database, with the owner who may take it back.
    SELECT 'TABLE' AS sort, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name,
           '' AS part, c.relowner AS owner, a.privilege_type AS privilege, a.grantee, a.grantor, a.is_grantable
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND a.privilege_type <> 'SELECT'
    UNION ALL
    SELECT 'TABLE', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
           pg_catalog.quote_ident(t.attname), c.relowner, a.privilege_type, a.grantee, a.grantor, a.is_grantable
    FROM pg_catalog.pg_attribute AS t
    JOIN pg_catalog.pg_class AS c ON c.oid = t.attrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(t.attacl) AS a
    WHERE t.attacl IS NOT NULL AND n.nspname !~ '^pg_' AND a.privilege_type IN ('INSERT', 'UPDATE')
    UNION ALL
    SELECT 'SEQUENCE', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), '', c.relowner,
           a.privilege_type, a.grantee, a.grantor, a.is_grantable
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
    WHERE c.relkind = 'S' AND n.nspname !~ '^pg_' AND a.privilege_type IN ('USAGE', 'UPDATE')
    UNION ALL
    SELECT 'SCHEMA', pg_catalog.quote_ident(n.nspname), '', n.nspowner, a.privilege_type, a.grantee, a.grantor, a.is_grantable
    FROM pg_catalog.pg_namespace AS n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
    WHERE n.nspname !~ '^pg_(toast|temp)' AND a.privilege_type = 'CREATE'
    UNION ALL
    SELECT 'DATABASE', db.name, '', db.datdba, a.privilege_type, a.grantee, a.grantor, a.is_grantable
    FROM db CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(db.datacl, pg_catalog.acldefault('d', db.datdba))) AS a
    WHERE a.privilege_type IN ('CREATE', 'TEMPORARY')
    UNION ALL
    SELECT 'LARGE OBJECT', l.oid::pg_catalog.text, '', l.lomowner, a.privilege_type, a.grantee, a.grantor, a.is_grantable
    FROM pg_catalog.pg_largeobject_metadata AS l CROSS JOIN LATERAL pg_catalog.aclexplode(l.lomacl) AS a
    WHERE a.privilege_type = 'UPDATE'
    UNION ALL
    SELECT 'PARAMETER', p.parname, '', a.grantor, a.privilege_type, a.grantee, a.grantor, a.is_grantable
    FROM pg_catalog.pg_parameter_acl AS p CROSS JOIN LATERAL pg_catalog.aclexplode(p.paracl) AS a
    WHERE a.grantee <> a.grantor
    UNION ALL
    SELECT 'FOREIGN SERVER', pg_catalog.quote_ident(s.srvname), '', s.srvowner, a.privilege_type, a.grantee, a.grantor, a.is_grantable
    FROM pg_catalog.pg_foreign_server AS s CROSS JOIN LATERAL pg_catalog.aclexplode(s.srvacl) AS a
    UNION ALL
    SELECT 'FOREIGN DATA WRAPPER', pg_catalog.quote_ident(w.fdwname), '', w.fdwowner, a.privilege_type, a.grantee, a.grantor, a.is_grantable
    FROM pg_catalog.pg_foreign_data_wrapper AS w CROSS JOIN LATERAL pg_catalog.aclexplode(w.fdwacl) AS a
    UNION ALL
    SELECT 'TABLESPACE', pg_catalog.quote_ident(t.spcname), '', t.spcowner, a.privilege_type, a.grantee, a.grantor, a.is_grantable
    FROM pg_catalog.pg_tablespace AS t CROSS JOIN LATERAL pg_catalog.aclexplode(t.spcacl) AS a
), granted AS (
    -- Those that this role has, and that are not an owner's own; with both ends of what takes them back: a grant is taken
    -- back by who gave it, and with it what was given on.
    SELECT a.sort, a.name, a.part, a.privilege, w.how, w.holder,
           CASE WHEN a.grantor = a.owner THEN '' ELSE 'SET ROLE ' || pg_catalog.quote_ident(g.rolname) || '; ' END || 'REVOKE ' AS before,
           ' FROM ' || w.holder || CASE WHEN a.is_grantable THEN ' CASCADE' ELSE '' END
           || CASE WHEN a.grantor = a.owner THEN '' ELSE '; RESET ROLE' END AS after
    FROM acl AS a
    JOIN who AS w ON w.grantee = a.grantee
    LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantor
    WHERE a.grantee <> a.owner
), judged AS (
    SELECT CASE
               WHEN g.sort = 'PARAMETER' AND (g.privilege = 'ALTER SYSTEM' OR g.name IN ('session_preload_libraries',
                    'dynamic_library_path', 'allow_system_table_mods')) THEN 1
               WHEN g.sort = 'PARAMETER' AND g.name IN ('lo_compat_privileges', 'session_replication_role', 'zero_damaged_pages') THEN 2
               WHEN g.sort = 'TABLE' AND g.privilege IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER') THEN 2
               WHEN g.sort IN ('SEQUENCE', 'SCHEMA', 'LARGE OBJECT', 'FOREIGN SERVER', 'FOREIGN DATA WRAPPER')
                    OR (g.sort = 'DATABASE' AND g.privilege = 'CREATE') THEN 2
               WHEN g.sort = 'TABLE' AND g.privilege = 'MAINTAIN' THEN 3
               ELSE 4
           END AS grade,
           CASE
               WHEN g.sort = 'TABLE' AND g.privilege = 'REFERENCES' THEN 'may refer to '
               WHEN g.sort = 'TABLE' AND g.privilege = 'MAINTAIN' THEN 'may lock and rebuild '
               WHEN g.sort = 'TABLE' THEN 'may write '
               WHEN g.sort = 'SEQUENCE' THEN 'may advance '
               WHEN g.sort = 'SCHEMA' THEN 'may create objects in schema '
               WHEN g.sort = 'DATABASE' AND g.privilege = 'CREATE' THEN 'may create schemas in database '
               WHEN g.sort = 'DATABASE' THEN 'may make temporary tables in database '
               WHEN g.sort = 'LARGE OBJECT' THEN 'may write large object '
               WHEN g.sort = 'PARAMETER' AND g.privilege = 'ALTER SYSTEM' THEN 'may change for the whole server the parameter '
               WHEN g.sort = 'PARAMETER' THEN 'may set the parameter '
               WHEN g.sort = 'FOREIGN SERVER' THEN 'may make a door through server '
               WHEN g.sort = 'FOREIGN DATA WRAPPER' THEN 'may make servers of foreign-data wrapper '
               ELSE 'may use '
           END AS act,
           g.*
    FROM granted AS g
), owned AS (
    -- Whatever somebody owns here; a sequence of a column goes with its table, a temporary table with its session.
    SELECT s.refobjid AS owner, i.type || ' ' || i.identity AS described, i.type, i.identity,
           -- Given to another owner, it would run or read with that owner's rights for whoever may use it.
           i.type IN ('view', 'materialized view')
           OR (s.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
               AND EXISTS (SELECT FROM pg_catalog.pg_proc AS p WHERE p.oid = s.objid AND p.prosecdef))
           OR (s.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
               AND EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = s.objid AND c.relhasrules)) AS by_hand
    FROM pg_catalog.pg_shdepend AS s
    CROSS JOIN LATERAL pg_catalog.pg_identify_object(s.classid, s.objid, 0) AS i
    JOIN db ON db.oid = s.dbid
    WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.deptype = 'o'
      AND s.refobjid IN (SELECT w.grantee FROM who AS w)
      AND coalesce(i.schema, '') !~ '^pg_(toast_)?temp' AND i.type NOT IN ('user mapping', 'default acl')
      AND NOT (s.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
               AND EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = s.objid AND c.relkind = 'S')
               AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                           WHERE d.classid = s.classid AND d.objid = s.objid AND d.deptype IN ('a', 'i')
                             AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass))
    UNION ALL
    SELECT b.subowner, 'subscription ' || pg_catalog.quote_ident(b.subname), 'subscription', pg_catalog.quote_ident(b.subname), false
    FROM pg_catalog.pg_subscription AS b JOIN db ON db.oid = b.subdbid
    WHERE b.subowner IN (SELECT w.grantee FROM who AS w)
), said AS (
    SELECT 1 AS grade, 1 AS rank, 'is superuser' AS power, 'ALTER ROLE ' || me.name || ' NOSUPERUSER' AS before, '' AS object, '' AS after
    FROM me WHERE me.rolsuper
    UNION ALL
    SELECT 1, 2, 'may create roles', 'ALTER ROLE ' || me.name || ' NOCREATEROLE', '', '' FROM me WHERE me.rolcreaterole
    UNION ALL
    SELECT 1, 2, 'may replicate', 'ALTER ROLE ' || me.name || ' NOREPLICATION', '', '' FROM me WHERE me.rolreplication
    UNION ALL
    SELECT CASE WHEN l.rolname IN ('pg_write_all_data', 'pg_database_owner') THEN 2
                WHEN l.rolname IN ('pg_maintain', 'pg_signal_backend', 'pg_signal_autovacuum_worker', 'pg_checkpoint',
                                   'pg_create_subscription') THEN 3
                WHEN l.rolname IN ('pg_stat_scan_tables', 'pg_use_reserved_connections') THEN 4
                ELSE 1 END, 3,
           'is a member of ' || l.name || CASE WHEN l.rolname ~ '^pg_' THEN '' ELSE ', which is above all rights' END,
           l.leave, '', ''
    FROM leads AS l
    WHERE l.rolsuper OR l.rolcreaterole OR l.rolreplication
       OR l.rolname IN ('pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files',
                        'pg_maintain', 'pg_create_subscription', 'pg_checkpoint', 'pg_signal_backend',
                        'pg_signal_autovacuum_worker', 'pg_stat_scan_tables', 'pg_use_reserved_connections')
    UNION ALL
    SELECT 2, 4, 'owns database ' || db.name || CASE WHEN w.leave IS NULL THEN '' ELSE ' as a member of ' || w.holder END,
           coalesce(w.leave, ''), '', ''
    FROM db JOIN who AS w ON w.grantee = db.datdba
    UNION ALL
    -- `apart`: the right, where it is one on columns.
    SELECT j.grade, 5, j.act || j.name || CASE
                WHEN j.apart <> '' THEN ' (' || j.apart || ' of ' || string_agg(DISTINCT j.part, ', ') || ' ' || j.how || ')'
                WHEN j.sort = 'TABLE' AND j.grade = 2 THEN ' (' || string_agg(DISTINCT j.privilege, ', ') || ' ' || j.how || ')'
                ELSE ' (' || j.how || ')' END,
           j.before || CASE WHEN j.apart <> '' THEN j.apart || ' (' || string_agg(DISTINCT j.part, ', ') || ')'
                            ELSE string_agg(DISTINCT j.privilege, ', ') END || ' ON ' || j.sort || ' ', j.name, j.after
    FROM (SELECT g.*, CASE WHEN g.part = '' THEN '' ELSE g.privilege END AS apart FROM judged AS g) AS j
    GROUP BY j.grade, j.act, j.sort, j.name, j.how, j.before, j.after, j.apart
    UNION ALL
    -- What is granted in advance on everything that somebody will make.
    SELECT 2, 5, 'will be able to write every ' || CASE d.defaclobjtype WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' ELSE 'schema' END
                 || ' that ' || pg_catalog.quote_ident(o.rolname) || ' makes'
                 || coalesce(' in schema ' || pg_catalog.quote_ident(n.nspname), '') || ' (' || w.how || ')',
           'ALTER DEFAULT PRIVILEGES FOR ROLE ' || pg_catalog.quote_ident(o.rolname)
           || coalesce(' IN SCHEMA ' || pg_catalog.quote_ident(n.nspname), '') || ' REVOKE '
           || string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) || ' ON '
           || CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' ELSE 'SCHEMAS' END || ' FROM ' || w.holder, '', ''
    FROM pg_catalog.pg_default_acl AS d
    JOIN pg_catalog.pg_roles AS o ON o.oid = d.defaclrole
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = d.defaclnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) AS a
    JOIN who AS w ON w.grantee = a.grantee
    WHERE a.grantee <> d.defaclrole
      AND CASE d.defaclobjtype WHEN 'r' THEN a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
                               WHEN 'S' THEN a.privilege_type IN ('USAGE', 'UPDATE')
                               WHEN 'n' THEN a.privilege_type = 'CREATE' ELSE false END
    GROUP BY d.defaclobjtype, o.rolname, n.nspname, w.how, w.holder
    UNION ALL
    SELECT 2, 5, 'may write all large objects, since lo_compat_privileges is on', '', '', ''
    WHERE pg_catalog.current_setting('lo_compat_privileges') = 'on'
    UNION ALL
    -- Functions of the system that were not everybody's when it was made: files, programs, the server itself.
    SELECT 1, 5, 'may call ' || i.identity || ' (' || w.how || ')', 'REVOKE EXECUTE ON ROUTINE ', i.identity, ' FROM ' || w.holder
    FROM pg_catalog.pg_proc AS p
    CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0) AS i
    CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) AS a
    JOIN who AS w ON w.grantee = a.grantee
    WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.proacl IS NOT NULL AND a.grantee <> p.proowner
      AND EXISTS (SELECT FROM pg_catalog.pg_init_privs AS v
                  WHERE v.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND v.objoid = p.oid
                    AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(v.initprivs) AS b WHERE b.grantee = a.grantee))
    UNION ALL
    SELECT 2, 6, 'owns ' || o.described,
           CASE WHEN db.datdba = me.oid OR o.by_hand OR o.type = 'extension' THEN ''
                ELSE 'ALTER ' || CASE WHEN o.type IN ('function', 'procedure', 'aggregate') THEN 'ROUTINE'
                                      WHEN o.type = 'statistics object' THEN 'STATISTICS' WHEN o.type = 'foreign-data wrapper' THEN 'FOREIGN DATA WRAPPER'
                                      ELSE upper(o.type) END || ' ' || o.identity || ' OWNER TO ' || db.owner END
           -- What it could read as the owner it shall go on reading.
           || CASE WHEN db.datdba <> me.oid AND NOT o.by_hand AND o.type IN ('table', 'foreign table', 'sequence')
                   THEN '; GRANT SELECT ON ' || CASE o.type WHEN 'sequence' THEN 'SEQUENCE ' ELSE 'TABLE ' END || o.identity || ' TO ' || me.name
                   ELSE '' END, '', ''
    FROM owned AS o JOIN me ON me.oid = o.owner CROSS JOIN db
    UNION ALL
    SELECT 2, 6, 'owns ' || count(*) || ' objects as a member of ' || l.name || ', such as ' || min(o.described),
           l.leave, '', ''
    FROM owned AS o JOIN leads AS l ON l.roleid = o.owner
    GROUP BY l.name, l.leave
    UNION ALL
    SELECT 4, 7, 'may make databases', 'ALTER ROLE ' || me.name || ' NOCREATEDB', '', '' FROM me WHERE me.rolcreatedb
    UNION ALL
    SELECT 4, 7, 'may make databases as a member of ' || l.name, l.leave, '', '' FROM leads AS l WHERE l.rolcreatedb
    UNION ALL
    -- A function that works as its owner can do what its owner can; whether it does is in its body.
    SELECT 4, 8, 'may call ' || i.identity || CASE WHEN p.prosecdef THEN ', which runs as ' || pg_catalog.quote_ident(o.rolname)
                                                   ELSE ', written in ' || g.lanname END || ' (' || w.how || ')',
           'REVOKE EXECUTE ON ROUTINE ', i.identity, ' FROM ' || w.holder
    FROM pg_catalog.pg_proc AS p
    CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0) AS i
    JOIN pg_catalog.pg_roles AS o ON o.oid = p.proowner
    JOIN pg_catalog.pg_language AS g ON g.oid = p.prolang
    CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS a
    JOIN who AS w ON w.grantee = a.grantee
    -- A language that is not trusted can do what the server can; an extension's functions are the extension's.
    WHERE (p.prosecdef OR (NOT g.lanpltrusted AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                               WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')))
      AND a.grantee <> p.proowner AND p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace
    UNION ALL
    SELECT 4, 9, 'may call ' || string_agg(DISTINCT pg_catalog.quote_ident(p.proname), ', ') || ', which '
           || CASE n.nspname WHEN 'pg_catalog' THEN 'make or change large objects' ELSE 'connect to other databases' END
           || ' (' || w.how || ')',
           'REVOKE EXECUTE ON ROUTINE ', string_agg(i.identity, ', ' ORDER BY i.identity), ' FROM ' || w.holder
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0) AS i
    CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS a
    JOIN who AS w ON w.grantee = a.grantee
    WHERE (n.nspname = 'pg_catalog'
           AND p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lo_unlink', 'lowrite', 'lo_truncate', 'lo_truncate64'))
       OR (p.proname IN ('dblink', 'dblink_exec', 'dblink_connect', 'dblink_connect_u', 'dblink_send_query')
           AND n.nspname <> 'pg_catalog' AND a.grantee <> p.proowner)
    GROUP BY n.nspname, w.how, w.holder
), counted AS (
    -- However many there are of one sort, they hide none of another.
    SELECT s.*, row_number() OVER of_a_sort AS n, count(*) OVER (PARTITION BY s.grade, s.rank) AS all_of_it
    FROM said AS s CROSS JOIN me
    -- Of a superuser nothing else is worth saying.
    WHERE NOT me.rolsuper OR s.rank = 1
    WINDOW of_a_sort AS (PARTITION BY s.grade, s.rank ORDER BY s.power)
)
SELECT c.grade, c.power || CASE WHEN c.n = 1000 AND c.all_of_it > 1000 THEN ', and ' || (c.all_of_it - 1000) || ' more like it' ELSE '' END,
       c.before, c.object, c.after
FROM counted AS c
WHERE c.n <= 1000
ORDER BY c.grade, c.rank, c.power
