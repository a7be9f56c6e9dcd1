-- Triggers with the state they are in; the internal ones (foreign keys) by table and constraint.
SELECT 'trigger', pg_catalog.format('trigger %I on %I.%I', t.tgname, n.nspname, c.relname),
    pg_catalog.format('%I.%I', n.nspname, c.relname),
    pg_catalog.concat_ws(E'\n', pg_catalog.pg_get_triggerdef(t.oid),
        CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled for replicas' WHEN 'A' THEN 'enabled always'
            ELSE 'enabled' END,
        CASE WHEN t.tgparentid <> 0 THEN 'of the parent table' END)
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT 'internal triggers', pg_catalog.format('internal triggers of %I of %s on %I.%I', w.constraint_name, w.owner, n.nspname, c.relname),
    pg_catalog.format('%I.%I', n.nspname, c.relname),
    pg_catalog.string_agg(DISTINCT w.action, E'\n' ORDER BY w.action)
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_constraint AS k ON k.oid = t.tgconstraint
LEFT JOIN pg_catalog.pg_constraint AS parent ON parent.oid = k.conparentid AND parent.conrelid = k.conrelid
CROSS JOIN LATERAL (SELECT COALESCE(parent.conname, k.conname) AS constraint_name,
    k.conrelid::pg_catalog.regclass::pg_catalog.text AS owner,
    t.tgfoid::pg_catalog.regproc::pg_catalog.text || CASE t.tgenabled WHEN 'D' THEN ' disabled'
        WHEN 'R' THEN ' enabled for replicas' WHEN 'A' THEN ' enabled always' ELSE ' enabled' END AS action) AS w
WHERE t.tgisinternal AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
GROUP BY n.nspname, c.relname, w.constraint_name, w.owner
