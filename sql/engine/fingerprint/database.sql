-- The database itself: owner, grants, comment, settings; a TEMPLATE copy inherits none of them. Its locale apart.
SELECT o.kind, o.identity, NULL::pg_catalog.text, o.definition
FROM pg_catalog.pg_database AS d
CROSS JOIN LATERAL (
    SELECT 'locale' AS kind, 'encoding and locale of the database' AS identity,
        pg_catalog.concat_ws(E'\n', 'encoding ' || pg_catalog.pg_encoding_to_char(d.encoding),
            'collate ' || d.datcollate, 'ctype ' || d.datctype, 'provider ' || d.datlocprovider::pg_catalog.text,
            'locale ' || COALESCE(j.all ->> 'datlocale', j.all ->> 'daticulocale'), 'rules ' || (j.all ->> 'daticurules')) AS definition
    FROM (SELECT pg_catalog.to_jsonb(d) AS all) AS j
    UNION ALL
    SELECT 'database', 'owner of the database', pg_catalog.pg_get_userbyid(d.datdba)::pg_catalog.text
    UNION ALL
    SELECT 'database', 'grants on the database', pg_catalog.string_agg(w.line, E'\n' ORDER BY w.line COLLATE "C")
    FROM pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) AS x
    CROSS JOIN LATERAL (SELECT pg_catalog.format('%s=%s%s/%s',
        CASE x.grantee WHEN 0 THEN '-' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END,
        x.privilege_type, CASE WHEN x.is_grantable THEN '*' ELSE '' END,
        pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantor))) AS line) AS w
    UNION ALL
    SELECT 'database', 'comment on the database', pg_catalog.shobj_description(d.oid, 'pg_database')
    UNION ALL
    SELECT 'database', 'limits of the database', pg_catalog.format(E'connections %s\ntablespace %I', d.datconnlimit, ts.spcname)
    FROM pg_catalog.pg_tablespace AS ts WHERE ts.oid = d.dattablespace
    UNION ALL
    SELECT 'database', 'settings of the database' || CASE WHEN s.setrole = 0 THEN ''
            ELSE ' for ' || pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(s.setrole)) END,
        pg_catalog.array_to_string(s.setconfig, E'\n')
    FROM pg_catalog.pg_db_role_setting AS s WHERE s.setdatabase = d.oid
) AS o
WHERE d.datname = pg_catalog.current_database() AND o.definition IS NOT NULL
