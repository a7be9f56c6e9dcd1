-- Every row of a database, a line a relation: count and digest of the rows' text, whatever their order. Knows nothing
-- of fp1. Rows of partitioned tables are read through the root: which leaf they are in is not content where
-- the key is hashed. Then sequences and large objects.
SET bytea_output = 'hex';
SET search_path = '';

SELECT format('SELECT %L, count(*), md5(coalesce(string_agg(row, '''' ORDER BY row), '''')) FROM '
              '(SELECT md5(convert_to(t::text, ''SQL_ASCII'')) COLLATE "C" AS row FROM %s %s AS t) AS r', name, only_, name)
FROM (SELECT c.oid::regclass::text AS name, CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY' END AS only_
      FROM pg_catalog.pg_class AS c
      WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND c.relpersistence <> 't'
        AND (c.relkind <> 'm' OR c.relispopulated)
        AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)') AS named
ORDER BY name COLLATE "C"
\gexec

SELECT format('SELECT ''sequence'', %L, last_value, is_called FROM %s', name, name)
FROM (SELECT c.oid::regclass::text AS name FROM pg_catalog.pg_class AS c WHERE c.relkind = 'S') AS named
ORDER BY name COLLATE "C"
\gexec

SELECT 'large object', m.oid, length(lo_get(m.oid)), md5(lo_get(m.oid)), obj_description(m.oid, 'pg_largeobject'),
       (SELECT string_agg(format('%s=%s', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                                 a.privilege_type), ',' ORDER BY a.grantee, a.privilege_type)
        FROM aclexplode(m.lomacl) AS a WHERE a.grantee <> m.lomowner)
FROM pg_catalog.pg_largeobject_metadata AS m
ORDER BY m.oid;
