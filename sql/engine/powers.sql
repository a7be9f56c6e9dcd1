-- What a role could do to this database: grade (1 above all rules, 2 writes, 3 disturbs others, 4 listed), the power in
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
), leads AS (
    SELECT DISTINCT ON (h.roleid) h.roleid, r.rolname, r.rolsuper, r.rolcreaterole, r.rolreplication,
           pg_catalog.quote_ident(r.rolname) AS name, pg_catalog.quote_ident(f.rolname) AS first
    FROM hops AS h
    JOIN pg_catalog.pg_roles AS r ON r.oid = h.roleid
    JOIN pg_catalog.pg_roles AS f ON f.oid = h.first
    ORDER BY h.roleid, h.first <> h.roleid, f.rolname
), who AS (
    -- To whom a right may be granted so that this role has it; `whole`: the statement that takes out the membership.
    SELECT me.oid AS grantee, 'granted to it' AS how, me.name AS holder, NULL AS whole FROM me
    UNION ALL
    SELECT 0, 'granted to PUBLIC', 'PUBLIC', NULL
    UNION ALL
    SELECT l.roleid, 'granted to ' || l.name || ', of which it is a member', l.name,
           'REVOKE ' || l.first || ' FROM ' || me.name
    FROM leads AS l CROSS JOIN me
), db AS (
    SELECT d.oid, d.datdba, d.datacl, pg_catalog.quote_ident(d.datname) AS name, pg_catalog.quote_ident(o.rolname) AS owner
    FROM pg_catalog.pg_database AS d JOIN pg_catalog.pg_roles AS o ON o.oid = d.datdba
    WHERE d.datname = pg_catalog.current_database()
), granted AS (
    -- Rights by grant, on whatever has an owner: they count when they are not the owner's own.
    SELECT 'TABLE' AS sort, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name,
           a.privilege_type AS privilege, a.grantee
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND a.privilege_type <> 'SELECT' AND a.grantee <> c.relowner
    UNION ALL
    SELECT 'SEQUENCE', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), a.privilege_type, a.grantee
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
    WHERE c.relkind = 'S' AND n.nspname !~ '^pg_' AND a.privilege_type IN ('USAGE', 'UPDATE') AND a.grantee <> c.relowner
    UNION ALL
    SELECT 'SCHEMA', pg_catalog.quote_ident(n.nspname), a.privilege_type, a.grantee
    FROM pg_catalog.pg_namespace AS n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
    WHERE n.nspname !~ '^pg_' AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
    UNION ALL
    SELECT 'DATABASE', db.name, a.privilege_type, a.grantee
    FROM db CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(db.datacl, pg_catalog.acldefault('d', db.datdba))) AS a
    WHERE a.privilege_type IN ('CREATE', 'TEMPORARY') AND a.grantee <> db.datdba
    UNION ALL
    SELECT 'LARGE OBJECT', l.oid::pg_catalog.text, a.privilege_type, a.grantee
    FROM pg_catalog.pg_largeobject_metadata AS l CROSS JOIN LATERAL pg_catalog.aclexplode(l.lomacl) AS a
    WHERE a.privilege_type = 'UPDATE' AND a.grantee <> l.lomowner
    UNION ALL
    SELECT 'PARAMETER', p.parname, a.privilege_type, a.grantee
    FROM pg_catalog.pg_parameter_acl AS p CROSS JOIN LATERAL pg_catalog.aclexplode(p.paracl) AS a
    UNION ALL
    SELECT 'FOREIGN SERVER', pg_catalog.quote_ident(s.srvname), a.privilege_type, a.grantee
    FROM pg_catalog.pg_foreign_server AS s CROSS JOIN LATERAL pg_catalog.aclexplode(s.srvacl) AS a
    WHERE a.grantee <> s.srvowner
    UNION ALL
    SELECT 'TABLESPACE', pg_catalog.quote_ident(t.spcname), a.privilege_type, a.grantee
    FROM pg_catalog.pg_tablespace AS t CROSS JOIN LATERAL pg_catalog.aclexplode(t.spcacl) AS a
    WHERE a.grantee <> t.spcowner
), judged AS (
    SELECT CASE
               WHEN g.sort = 'PARAMETER' AND g.privilege = 'ALTER SYSTEM' THEN 1
               WHEN g.sort = 'TABLE' AND g.privilege IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER') THEN 2
               WHEN g.sort IN ('SEQUENCE', 'SCHEMA', 'LARGE OBJECT') OR (g.sort = 'DATABASE' AND g.privilege = 'CREATE') THEN 2
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
               WHEN g.sort = 'FOREIGN SERVER' THEN 'may reach out through server '
               ELSE 'may use '
           END AS act,
           g.sort, g.name, g.privilege, w.how, w.holder, w.whole
    FROM granted AS g JOIN who AS w ON w.grantee = g.grantee
), owned AS (
    -- Whatever somebody owns here; a sequence of a column goes with its table.
    SELECT s.refobjid AS owner, i.type || ' ' || i.identity AS described, i.type, i.identity
    FROM pg_catalog.pg_shdepend AS s
    CROSS JOIN LATERAL pg_catalog.pg_identify_object(s.classid, s.objid, 0) AS i
    JOIN db ON db.oid = s.dbid
    WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.deptype = 'o'
      AND s.refobjid IN (SELECT w.grantee FROM who AS w)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                      WHERE d.classid = s.classid AND d.objid = s.objid AND d.deptype IN ('a', 'i')
                        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass)
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
                ELSE 1 END, 3,
           'is a member of ' || l.name || CASE WHEN l.rolname ~ '^pg_' THEN '' ELSE ', which is above all rules' END,
           'REVOKE ' || l.first || ' FROM ' || me.name, '', ''
    FROM leads AS l CROSS JOIN me
    WHERE l.rolsuper OR l.rolcreaterole OR l.rolreplication
       OR l.rolname IN ('pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files',
                        'pg_maintain', 'pg_create_subscription', 'pg_checkpoint', 'pg_signal_backend',
                        'pg_signal_autovacuum_worker')
    UNION ALL
    SELECT 2, 4, 'owns database ' || db.name || CASE WHEN w.whole IS NULL THEN '' ELSE ' as a member of ' || w.holder END,
           coalesce(w.whole, ''), '', ''
    FROM db JOIN who AS w ON w.grantee = db.datdba
    UNION ALL
    SELECT j.grade, 5, j.act || j.name || CASE WHEN j.sort = 'TABLE' AND j.grade = 2
                THEN ' (' || string_agg(j.privilege, ', ' ORDER BY j.privilege) || ' ' || j.how || ')' ELSE ' (' || j.how || ')' END,
           coalesce(j.whole, 'REVOKE ' || string_agg(j.privilege, ', ' ORDER BY j.privilege) || ' ON ' || j.sort || ' '),
           CASE WHEN j.whole IS NULL THEN j.name ELSE '' END,
           CASE WHEN j.whole IS NULL THEN ' FROM ' || j.holder ELSE '' END
    FROM judged AS j
    GROUP BY j.grade, j.act, j.sort, j.name, j.how, j.holder, j.whole
    UNION ALL
    SELECT 2, 5, 'may write ' || q.name || ' (' || q.privilege || ' of ' || string_agg(q.att, ', ' ORDER BY q.att) || ' ' || w.how || ')',
           coalesce(w.whole, 'REVOKE ' || q.privilege || ' (' || string_agg(q.att, ', ' ORDER BY q.att) || ') ON TABLE '),
           CASE WHEN w.whole IS NULL THEN q.name ELSE '' END, CASE WHEN w.whole IS NULL THEN ' FROM ' || w.holder ELSE '' END
    FROM (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name,
                 pg_catalog.quote_ident(t.attname) AS att, a.privilege_type AS privilege, a.grantee
          FROM pg_catalog.pg_attribute AS t
          JOIN pg_catalog.pg_class AS c ON c.oid = t.attrelid
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          CROSS JOIN LATERAL pg_catalog.aclexplode(t.attacl) AS a
          WHERE t.attacl IS NOT NULL AND n.nspname !~ '^pg_' AND a.privilege_type IN ('INSERT', 'UPDATE')
            AND a.grantee <> c.relowner) AS q
    JOIN who AS w ON w.grantee = q.grantee
    GROUP BY q.name, q.privilege, w.how, w.holder, w.whole
    UNION ALL
    SELECT 2, 6, 'owns ' || o.described,
           CASE WHEN db.datdba = me.oid OR o.type IN ('extension', 'default acl', 'user mapping') THEN ''
                ELSE 'ALTER ' || CASE o.type WHEN 'statistics object' THEN 'STATISTICS' WHEN 'foreign-data wrapper' THEN 'FOREIGN DATA WRAPPER'
                                             ELSE upper(o.type) END || ' ' || o.identity || ' OWNER TO ' || db.owner END
           -- What it could read as the owner it shall go on reading.
           || CASE WHEN db.datdba <> me.oid AND o.type IN ('table', 'view', 'materialized view', 'foreign table', 'sequence')
                   THEN '; GRANT SELECT ON ' || CASE o.type WHEN 'sequence' THEN 'SEQUENCE ' ELSE 'TABLE ' END || o.identity || ' TO ' || me.name
                   ELSE '' END, '', ''
    FROM owned AS o JOIN me ON me.oid = o.owner CROSS JOIN db
    UNION ALL
    SELECT 2, 6, 'owns ' || count(*) || ' objects as a member of ' || l.name || ', such as ' || min(o.described),
           'REVOKE ' || l.first || ' FROM ' || me.name, '', ''
    FROM owned AS o JOIN leads AS l ON l.roleid = o.owner CROSS JOIN me
    GROUP BY l.name, l.first, me.name
    UNION ALL
    SELECT 4, 7, 'may make databases', 'ALTER ROLE ' || me.name || ' NOCREATEDB', '', '' FROM me WHERE me.rolcreatedb
    UNION ALL
    -- A function that works as its owner can do what its owner can; whether it does is in its body.
    SELECT 4, 8, 'may call ' || i.identity || ', which runs as ' || pg_catalog.quote_ident(o.rolname) || ' (' || w.how || ')',
           coalesce(w.whole, 'REVOKE EXECUTE ON ROUTINE '),
           CASE WHEN w.whole IS NULL THEN i.identity ELSE '' END,
           CASE WHEN w.whole IS NULL THEN ' FROM ' || w.holder ELSE '' END
    FROM pg_catalog.pg_proc AS p
    CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0) AS i
    JOIN pg_catalog.pg_roles AS o ON o.oid = p.proowner
    CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS a
    JOIN who AS w ON w.grantee = a.grantee
    WHERE p.prosecdef AND a.grantee <> p.proowner
      AND p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace
    UNION ALL
    SELECT 4, 9, 'may call ' || string_agg(DISTINCT pg_catalog.quote_ident(p.proname), ', ') || ', which '
           || CASE n.nspname WHEN 'pg_catalog' THEN 'make or change large objects' ELSE 'connect to other databases' END
           || ' (' || w.how || ')',
           coalesce(w.whole, 'REVOKE EXECUTE ON ROUTINE '),
           CASE WHEN w.whole IS NULL THEN string_agg(i.identity, ', ' ORDER BY i.identity) ELSE '' END,
           CASE WHEN w.whole IS NULL THEN ' FROM ' || w.holder ELSE '' END
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0) AS i
    CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS a
    JOIN who AS w ON w.grantee = a.grantee
    WHERE (n.nspname = 'pg_catalog'
           AND p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lo_unlink', 'lowrite', 'lo_truncate', 'lo_truncate64')
           -- From 16 on they fail in a transaction that only reads.
           AND pg_catalog.current_setting('server_version_num')::pg_catalog.int4 < 160000)
       OR (p.proname IN ('dblink', 'dblink_exec', 'dblink_connect', 'dblink_connect_u', 'dblink_send_query')
           AND n.nspname <> 'pg_catalog' AND a.grantee <> p.proowner)
    GROUP BY n.nspname, w.how, w.holder, w.whole
)
SELECT s.grade, s.power, s.before, s.object, s.after
FROM said AS s CROSS JOIN me
-- Of a superuser nothing else is worth saying.
WHERE NOT me.rolsuper OR s.rank = 1
ORDER BY s.grade, s.rank, s.power
LIMIT 5000
