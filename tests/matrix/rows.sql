-- Every row of every table, a line a table: a witness that knows nothing of fingerprints, nor of the order of columns.
SELECT format('SELECT %L, count(*), md5(string_agg(w.row, E''\n'' ORDER BY w.row COLLATE "C")) '
              'FROM ONLY %s AS t, LATERAL (SELECT to_jsonb(t)::text AS row) AS w', name, name)
FROM (SELECT c.oid::regclass::text AS name FROM pg_class AS c
      WHERE c.relkind = 'r' AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)') AS named
ORDER BY name
\gexec
SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2;
