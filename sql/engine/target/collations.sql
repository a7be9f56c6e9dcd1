-- Collations of the system by these names (a database made from template0 has the same ones), for the encoding $2.
SELECT c.collname::pg_catalog.text
FROM pg_catalog.pg_collation AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.collnamespace AND n.nspname = 'pg_catalog'
WHERE c.collname = ANY ($1::pg_catalog.text[])
  AND c.collencoding IN (-1, pg_catalog.pg_char_to_encoding($2))
