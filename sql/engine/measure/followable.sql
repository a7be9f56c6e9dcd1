-- Tables among $1 that are big, and whose row changes a trigger can follow: ordinary, no part of an inheritance.
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)::pg_catalog.text
FROM pg_catalog.unnest($1::pg_catalog.text[]) AS wanted (name)
JOIN pg_catalog.pg_class AS c ON c.oid = pg_catalog.to_regclass(wanted.name)
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND NOT c.relispartition AND NOT c.relhassubclass AND NOT c.relhasrules
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = c.oid)
  AND pg_catalog.pg_relation_size(c.oid) >= $2
ORDER BY 1
