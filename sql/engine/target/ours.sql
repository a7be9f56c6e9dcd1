-- Every database that may be ours: marked, or called as a run calls what it makes. Name, oid, comment, sessions of
-- somebody, may we drop it, the server's time.
SELECT d.datname::pg_catalog.text, d.oid::pg_catalog.int8, pg_catalog.shobj_description(d.oid, 'pg_database'),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity AS a WHERE a.datid = d.oid AND a.usesysid IS NOT NULL),
       pg_catalog.pg_has_role(d.datdba, 'MEMBER') AND NOT d.datistemplate,
       pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM pg_catalog.pg_database AS d
WHERE pg_catalog.shobj_description(d.oid, 'pg_database') LIKE '{"engine":%' OR d.datname ~ '^engine_[a-z0-9]{8}(_copy|_golden)?$'
ORDER BY d.datname
