-- Statements that take out of a half clone what a dump's section post-data makes, in this order: who depends goes first.
-- What belongs to an extension came with it, and stays. Partitions lose with their parents what they have from them.
WITH rel AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relispartition, c.relrowsecurity, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'v') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
)
SELECT s.statement
FROM (
    SELECT 1 AS turn, p.oid, pg_catalog.format('DROP PUBLICATION %I', p.pubname) AS statement
    FROM pg_catalog.pg_publication AS p
    UNION ALL
    SELECT 2, t.oid, pg_catalog.format('DROP TRIGGER %I ON %s', t.tgname, rel.name)
    FROM pg_catalog.pg_trigger AS t JOIN rel ON rel.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND t.tgparentid = 0
    UNION ALL
    SELECT 3, w.oid, pg_catalog.format('DROP RULE %I ON %s', w.rulename, rel.name)
    FROM pg_catalog.pg_rewrite AS w JOIN rel ON rel.oid = w.ev_class
    WHERE w.rulename <> '_RETURN'
    UNION ALL
    SELECT 4, p.oid, pg_catalog.format('DROP POLICY %I ON %s', p.polname, rel.name)
    FROM pg_catalog.pg_policy AS p JOIN rel ON rel.oid = p.polrelid
    UNION ALL
    SELECT 5, rel.oid, pg_catalog.format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', rel.name)
    FROM rel WHERE rel.relrowsecurity
    UNION ALL
    SELECT 6, e.oid, pg_catalog.format('DROP STATISTICS %I.%I', n.nspname, e.stxname)
    FROM pg_catalog.pg_statistic_ext AS e JOIN rel ON rel.oid = e.stxrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = e.stxnamespace
    UNION ALL
    SELECT CASE c.contype WHEN 'f' THEN 7 ELSE 8 END, c.oid,
        pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', rel.name, c.conname)
    FROM pg_catalog.pg_constraint AS c JOIN rel ON rel.oid = c.conrelid
    WHERE c.contype IN ('f', 'p', 'u', 'x') AND c.conparentid = 0
    UNION ALL
    SELECT 9, i.oid, pg_catalog.format('DROP INDEX %I.%I', n.nspname, i.relname)
    FROM pg_catalog.pg_index AS x JOIN rel ON rel.oid = x.indrelid
    JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid AND NOT i.relispartition
    JOIN pg_catalog.pg_namespace AS n ON n.oid = i.relnamespace
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS c WHERE c.conindid = x.indexrelid AND c.contype IN ('p', 'u', 'x'))
) AS s
ORDER BY s.turn, s.oid
