-- Row counters of this session by relation: of users' all, of the system's those that are not zero. Every stage asks twice,
-- so nothing is sorted, and no catalog is named that says nothing.
SELECT c.oid::pg_catalog.int8 AS oid,
       n.nspname::pg_catalog.text AS schema,
       c.relname::pg_catalog.text AS name,
       c.relkind::pg_catalog.text AS kind,
       CASE WHEN r.oid IS NULL THEN pg_catalog.format('%I.%I', n.nspname, c.relname)
            ELSE pg_catalog.format('%I.%I', rn.nspname, r.relname) END::pg_catalog.text AS root,
       pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) AS inserted,
       pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) AS updated,
       pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) AS deleted,
       c.relfilenode::pg_catalog.int8 AS filenode
FROM pg_catalog.pg_namespace AS n
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid
LEFT JOIN pg_catalog.pg_class AS r ON c.relispartition AND r.oid = pg_catalog.pg_partition_root(c.oid)
LEFT JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
WHERE c.relkind IN ('r', 'm', 'S', 'p')
  AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
UNION ALL
SELECT k.oid::pg_catalog.int8, 'pg_catalog', k.relname::pg_catalog.text, 'r', k.relname::pg_catalog.text,
       k.inserted, k.updated, k.deleted, 0
FROM (SELECT c.oid, c.relname,
             pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) AS inserted,
             pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) AS updated,
             pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) AS deleted
      FROM pg_catalog.pg_class AS c
      WHERE c.relkind = 'r' AND c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace
      OFFSET 0) AS k
WHERE k.inserted + k.updated + k.deleted > 0
