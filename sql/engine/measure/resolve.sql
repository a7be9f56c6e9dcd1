-- Asked in the plan's path, where an operator of the plan's would be taken first: so each is named.
SELECT (pg_catalog.format('%I.%I', n.nspname, c.relname))::pg_catalog.text
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)::pg_catalog.oid
