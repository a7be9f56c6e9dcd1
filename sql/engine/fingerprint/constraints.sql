-- Constraints of tables. Left out: constraint triggers (see triggers) and the copies of a foreign key that the
-- server keeps for each partition of the referenced table. `connoinherit` of inherited ones is not printed.
SELECT CASE k.contype WHEN 'n' THEN 'not null constraint' ELSE 'constraint' END,
    pg_catalog.format('constraint %I on %I.%I', k.conname, n.nspname, c.relname),
    pg_catalog.format('%I.%I', n.nspname, c.relname),
    pg_catalog.concat_ws(E'\n',
        pg_catalog.pg_get_constraintdef(k.oid),
        CASE WHEN NOT k.convalidated THEN 'not validated' END,
        CASE WHEN k.coninhcount > 0 THEN 'inherited' END,
        CASE WHEN NOT k.conislocal THEN 'not local' END)
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_constraint AS parent ON parent.oid = k.conparentid
WHERE k.contype <> 't' AND parent.conrelid IS DISTINCT FROM k.conrelid
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
