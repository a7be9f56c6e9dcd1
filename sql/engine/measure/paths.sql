-- By which ways a change of one of the tables $2 gets to the table $1: cascades, triggers and rules that name it.
WITH goal AS (
    SELECT c.oid, c.relname, coalesce(pg_catalog.pg_partition_root(c.oid), c.oid::pg_catalog.regclass)::pg_catalog.oid AS root
    FROM pg_catalog.pg_class AS c
    WHERE c.oid = pg_catalog.to_regclass($1)
), start AS (
    SELECT DISTINCT t.oid
    FROM pg_catalog.unnest($2::pg_catalog.text[]) AS named (name)
    CROSS JOIN LATERAL (
        SELECT pg_catalog.to_regclass(named.name)::pg_catalog.oid
        UNION ALL
        SELECT p.relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(named.name)) AS p
    ) AS t (oid)
    WHERE t.oid IS NOT NULL
)
SELECT pg_catalog.format('foreign key %I of %s follows %s (ON %s)', k.conname, k.conrelid::pg_catalog.regclass,
                         k.confrelid::pg_catalog.regclass,
                         pg_catalog.concat_ws(', ON ',
                             'DELETE ' || CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END,
                             'UPDATE ' || CASE k.confupdtype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END))
FROM goal
JOIN pg_catalog.pg_constraint AS k ON k.contype = 'f' AND k.conrelid IN (goal.oid, goal.root)
WHERE k.confrelid IN (SELECT start.oid FROM start)
  AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
UNION
SELECT pg_catalog.format('trigger %I on %s calls %s, which names it', t.tgname, t.tgrelid::pg_catalog.regclass, t.tgfoid::pg_catalog.regprocedure)
FROM goal
JOIN pg_catalog.pg_trigger AS t ON NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgparentid = 0
JOIN pg_catalog.pg_proc AS f ON f.oid = t.tgfoid
WHERE t.tgrelid IN (SELECT start.oid FROM start)
  AND pg_catalog.strpos(coalesce(pg_catalog.pg_get_function_sqlbody(f.oid), f.prosrc), goal.relname) > 0
UNION
SELECT pg_catalog.format('rule %I on %s names it', r.rulename, r.ev_class::pg_catalog.regclass)
FROM goal
JOIN pg_catalog.pg_rewrite AS r ON r.rulename <> '_RETURN' AND r.ev_enabled <> 'D'
WHERE r.ev_class IN (SELECT start.oid FROM start)
  AND pg_catalog.strpos(pg_catalog.pg_get_ruledef(r.oid), goal.relname) > 0
ORDER BY 1
