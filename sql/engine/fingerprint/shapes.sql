-- For the watermark: what decides how the tuples of a table are read. Columns with number, name, type, kind of
-- generation; labels of every enum that a column reaches.
WITH RECURSIVE col AS MATERIALIZED (
    SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.attgenerated
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
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
), labels AS MATERIALIZED (
    SELECT r.root, pg_catalog.string_agg(pg_catalog.format('%s %s %L', r.node, e.enumsortorder, e.enumlabel), ';'
            ORDER BY r.node, e.enumsortorder) AS list
    FROM reach AS r JOIN pg_catalog.pg_enum AS e ON e.enumtypid = r.node
    GROUP BY r.root
)
SELECT col.attrelid::pg_catalog.int8,
    pg_catalog.string_agg(pg_catalog.format('%s %I %s %s %s', col.attnum, col.attname, col.atttypid, col.attgenerated, labels.list),
        E'\n' ORDER BY col.attnum)
FROM col LEFT JOIN labels ON labels.root = col.atttypid
GROUP BY col.attrelid
