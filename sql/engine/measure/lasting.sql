-- Rows of the catalogs a temporary table leaves rows in, without those rows: which versions there are.
WITH scratch AS (
    SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname ~ '^pg_(toast_)?temp_'
), relation AS (
    SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.relnamespace IN (SELECT scratch.oid FROM scratch)
), version (catalog, of, id) AS (
    SELECT 'pg_class', c.relnamespace, c.ctid::pg_catalog.text || c.xmin::pg_catalog.text FROM pg_catalog.pg_class AS c
    UNION ALL
    SELECT 'pg_type', t.typnamespace, t.ctid::pg_catalog.text || t.xmin::pg_catalog.text FROM pg_catalog.pg_type AS t
    UNION ALL
    SELECT 'pg_constraint', k.connamespace, k.ctid::pg_catalog.text || k.xmin::pg_catalog.text FROM pg_catalog.pg_constraint AS k
    UNION ALL
    SELECT 'pg_namespace', n.oid, n.ctid::pg_catalog.text || n.xmin::pg_catalog.text FROM pg_catalog.pg_namespace AS n
    UNION ALL
    SELECT 'pg_attribute', a.attrelid, a.ctid::pg_catalog.text || a.xmin::pg_catalog.text FROM pg_catalog.pg_attribute AS a
    UNION ALL
    SELECT 'pg_index', i.indrelid, i.ctid::pg_catalog.text || i.xmin::pg_catalog.text FROM pg_catalog.pg_index AS i
    UNION ALL
    SELECT 'pg_attrdef', d.adrelid, d.ctid::pg_catalog.text || d.xmin::pg_catalog.text FROM pg_catalog.pg_attrdef AS d
    UNION ALL
    SELECT 'pg_sequence', s.seqrelid, s.ctid::pg_catalog.text || s.xmin::pg_catalog.text FROM pg_catalog.pg_sequence AS s
    UNION ALL
    SELECT 'pg_trigger', t.tgrelid, t.ctid::pg_catalog.text || t.xmin::pg_catalog.text FROM pg_catalog.pg_trigger AS t
    UNION ALL
    SELECT 'pg_inherits', i.inhrelid, i.ctid::pg_catalog.text || i.xmin::pg_catalog.text FROM pg_catalog.pg_inherits AS i
    UNION ALL
    SELECT 'pg_description', d.objoid, d.ctid::pg_catalog.text || d.xmin::pg_catalog.text FROM pg_catalog.pg_description AS d
    UNION ALL
    SELECT 'pg_depend', 0, d.ctid::pg_catalog.text || d.xmin::pg_catalog.text FROM pg_catalog.pg_depend AS d WHERE d.deptype IN ('x', 'e')
)
SELECT catalog, pg_catalog.count(*)::pg_catalog.int8, pg_catalog.sum(pg_catalog.hashtextextended(id, 0))::pg_catalog.text
FROM version
WHERE of NOT IN (SELECT scratch.oid FROM scratch UNION ALL SELECT relation.oid FROM relation)
GROUP BY catalog
ORDER BY catalog
