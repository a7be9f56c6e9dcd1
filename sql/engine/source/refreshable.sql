-- What decides how rows of the tables $1 can be brought up to date one by one: a key, columns that take no value,
-- rules, triggers and how each stands. A key is the primary key or another unique index that is valid, immediate, not
-- partial, over columns that are NOT NULL and of types whose equal values have equal bytes.
SELECT c.oid::pg_catalog.int8,
    COALESCE((SELECT ARRAY(SELECT pg_catalog.quote_ident(a.attname)
                FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k (attnum, n)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum
                WHERE k.n <= i.indnkeyatts ORDER BY k.n)
        FROM pg_catalog.pg_index AS i
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
          AND i.indpred IS NULL AND i.indexprs IS NULL
          AND NOT EXISTS (SELECT
                FROM ROWS FROM (pg_catalog.unnest(i.indkey::pg_catalog.int2[]), pg_catalog.unnest(i.indcollation::pg_catalog.oid[])) WITH ORDINALITY AS k (attnum, coll, n)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum
                JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
                LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = k.coll
                WHERE k.n <= i.indnkeyatts
                  AND (NOT a.attnotnull OR a.attgenerated <> '' OR k.coll <> a.attcollation OR NOT COALESCE(l.collisdeterministic, true)
                       OR NOT (t.typtype = 'e' OR t.oid IN (
                            'pg_catalog.int2'::pg_catalog.regtype, 'pg_catalog.int4'::pg_catalog.regtype,
                            'pg_catalog.int8'::pg_catalog.regtype, 'pg_catalog.uuid'::pg_catalog.regtype,
                            'pg_catalog.text'::pg_catalog.regtype, 'pg_catalog.varchar'::pg_catalog.regtype,
                            'pg_catalog.date'::pg_catalog.regtype, 'pg_catalog.timestamp'::pg_catalog.regtype,
                            'pg_catalog.timestamptz'::pg_catalog.regtype, 'pg_catalog.bytea'::pg_catalog.regtype,
                            'pg_catalog.bool'::pg_catalog.regtype, 'pg_catalog.oid'::pg_catalog.regtype,
                            'pg_catalog.name'::pg_catalog.regtype))))
        ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1), '{}'),
    ARRAY(SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.pg_attribute AS a
          WHERE a.attrelid = c.oid AND a.attidentity = 'a' AND NOT a.attisdropped),
    EXISTS (SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid AND r.ev_type <> '1'),
    ARRAY(SELECT CASE t.tgenabled WHEN 'O' THEN 'ENABLE' WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END
            || ' TRIGGER ' || pg_catalog.quote_ident(t.tgname)
          FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal ORDER BY t.tgname),
    -- Somebody refers to it, or to what it is a part of; it is part of something.
    EXISTS (SELECT FROM pg_catalog.pg_constraint AS f WHERE f.contype = 'f' AND f.confrelid = c.oid)
        OR EXISTS (SELECT FROM pg_catalog.pg_constraint AS f JOIN pg_catalog.pg_partition_ancestors(c.oid) AS p ON p.relid = f.confrelid
                   WHERE f.contype = 'f')
FROM pg_catalog.pg_class AS c
WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]::pg_catalog.oid[])
ORDER BY 1
