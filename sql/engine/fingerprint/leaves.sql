-- Relations that hold rows of their own: heap leaf tables and populated materialized views; foreign tables, to be listed.
-- For each the select list of a row's framing: columns by name (so that their physical order does not count), cast
-- to text where the binary form embeds an oid that is not the same everywhere, or does not exist.
WITH RECURSIVE leaf AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relpersistence, c.relispopulated, am.amname, n.nspname, c.relname,
        pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
        CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::pg_catalog.oid END AS root
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
    WHERE c.relkind IN ('r', 'm', 'f') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
), col AS MATERIALIZED (
    SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.attgenerated
    FROM pg_catalog.pg_attribute AS a JOIN leaf ON leaf.oid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped
), reach (root, node) AS (
    SELECT DISTINCT col.atttypid, col.atttypid FROM col
    UNION
    SELECT r.root, m.node
    FROM reach AS r
    JOIN pg_catalog.pg_type AS t ON t.oid = r.node
    CROSS JOIN LATERAL (
        SELECT t.typelem WHERE t.typelem <> 0
        UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
        UNION ALL SELECT f.atttypid FROM pg_catalog.pg_attribute AS f
            WHERE f.attrelid = t.typrelid AND t.typrelid <> 0 AND f.attnum > 0 AND NOT f.attisdropped
        UNION ALL SELECT g.rngsubtype FROM pg_catalog.pg_range AS g
            WHERE g.rngtypid = t.oid OR g.rngmultitypid = t.oid
    ) AS m (node)
), textual AS MATERIALIZED (
    SELECT r.root
    FROM reach AS r
    JOIN pg_catalog.pg_type AS t ON t.oid = r.node
    WHERE t.typsend::pg_catalog.oid = 0
       OR t.oid IN ('pg_catalog.regproc'::pg_catalog.regtype, 'pg_catalog.regprocedure'::pg_catalog.regtype,
            'pg_catalog.regoper'::pg_catalog.regtype, 'pg_catalog.regoperator'::pg_catalog.regtype,
            'pg_catalog.regclass'::pg_catalog.regtype, 'pg_catalog.regtype'::pg_catalog.regtype,
            'pg_catalog.regconfig'::pg_catalog.regtype, 'pg_catalog.regdictionary'::pg_catalog.regtype,
            'pg_catalog.regnamespace'::pg_catalog.regtype, 'pg_catalog.regrole'::pg_catalog.regtype,
            'pg_catalog.regcollation'::pg_catalog.regtype)
       -- Array and composite forms name the types inside by oid; below 10000 oids are assigned by hand, once and for all.
       OR (t.typelem >= 10000 AND t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc)
       OR EXISTS (SELECT FROM pg_catalog.pg_attribute AS f
                  WHERE f.attrelid = t.typrelid AND t.typrelid <> 0 AND f.attnum > 0 AND NOT f.attisdropped AND f.atttypid >= 10000)
    GROUP BY r.root
), framed AS MATERIALIZED (
    SELECT col.attrelid,
        pg_catalog.array_agg(col.attname::pg_catalog.text ORDER BY col.attname COLLATE "C") AS names,
        pg_catalog.array_agg(CASE WHEN col.attgenerated <> '' THEN 'generated' WHEN textual.root IS NOT NULL THEN 'text'
            ELSE 'binary' END ORDER BY col.attname COLLATE "C") AS forms,
        pg_catalog.array_agg(pg_catalog.quote_ident(col.attname) ORDER BY col.attname COLLATE "C") AS quoted
    FROM col
    LEFT JOIN textual ON textual.root = col.atttypid
    GROUP BY col.attrelid
)
SELECT leaf.oid::pg_catalog.int8, leaf.name,
    (SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class AS c
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = leaf.root),
    ARRAY(SELECT w.form
          FROM (SELECT leaf.oid UNION SELECT p.relid::pg_catalog.oid FROM pg_catalog.pg_partition_ancestors(leaf.oid) AS p) AS u
          JOIN pg_catalog.pg_class AS c ON c.oid = u.oid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          CROSS JOIN LATERAL (VALUES (pg_catalog.format('%I.%I', n.nspname, c.relname)),
                                     (pg_catalog.concat(n.nspname, '.', c.relname))) AS w (form)),
    -- 'p', 'u', 'm': a table, an unlogged table, a materialized view. Anything longer says why it is not read.
    CASE WHEN leaf.relkind = 'f' THEN 'foreign table'
         WHEN leaf.relkind = 'm' AND NOT leaf.relispopulated THEN 'not populated'
         WHEN leaf.amname <> 'heap' THEN 'access method ' || leaf.amname
         WHEN leaf.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery() THEN 'unlogged, on a standby'
         WHEN leaf.relkind = 'm' THEN 'm'
         ELSE leaf.relpersistence::pg_catalog.text END,
    COALESCE(framed.names, '{}'), COALESCE(framed.forms, '{}'), COALESCE(framed.quoted, '{}')
FROM leaf
LEFT JOIN framed ON framed.attrelid = leaf.oid
ORDER BY leaf.name COLLATE "C"
