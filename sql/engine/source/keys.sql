-- What can name a row of a relation: its unique indexes over columns that are never NULL, the primary key first, then
-- the narrowest. Columns by name; partial, deferrable and invalid ones and those over expressions name nothing.
SELECT k.columns
FROM pg_catalog.pg_index AS i
CROSS JOIN LATERAL (
    SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attname COLLATE "C") AS columns,
        pg_catalog.bool_and(a.attnotnull) AS never_null
    FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS u (attnum, n)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
    WHERE u.n <= i.indnkeyatts
) AS k
WHERE i.indrelid = $1::pg_catalog.int8::pg_catalog.oid
  AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND k.never_null
ORDER BY i.indisprimary DESC, i.indnkeyatts, k.columns::pg_catalog.text COLLATE "C"
