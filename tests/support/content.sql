-- All that is in a database, a line a table or sequence: an independent witness that knows nothing of fp1.
SELECT format('SELECT %L, count(*), md5(string_agg(t::text, E''\n'' ORDER BY t::text COLLATE "C")) FROM ONLY %s AS t', name, name)
FROM (SELECT c.oid::regclass::text AS name FROM pg_class AS c
      WHERE c.relkind IN ('r', 'm') AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)') AS named
ORDER BY name
\gexec

SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2;
