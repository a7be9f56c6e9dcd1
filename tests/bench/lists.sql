-- Work for :jobs sessions of equal size: what session :job of them does, a statement a line. :what says which work.
--   copy      each table out in binary, columns that are not computed; big tables in :jobs ranges of pages
--   checksum  what `pgcopydb compare data` asks of each table
--   count     count(*) of each table
WITH tables AS (
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, pg_table_size(c.oid) AS bytes,
           pg_relation_size(c.oid) / current_setting('block_size')::int AS pages,
           sum(pg_table_size(c.oid)) OVER () AS total,
           (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '') AS columns
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
), parts AS (
    SELECT name, bytes / part.count AS bytes, columns, part.number,
           CASE WHEN part.count > 1 THEN format(' WHERE ctid >= ''(%s,0)''', pages * part.number / part.count)
                || CASE WHEN part.number + 1 < part.count
                        THEN format(' AND ctid < ''(%s,0)''', pages * (part.number + 1) / part.count) ELSE '' END
           ELSE '' END AS range
    FROM tables, LATERAL (
        SELECT number, count FROM (SELECT CASE WHEN :'what' = 'copy' AND bytes > total / 8 THEN :jobs ELSE 1 END) AS c (count),
                                  generate_series(0, count - 1) AS number) AS part
), dealt AS (
    -- Largest first, dealt to and fro.
    SELECT *, row_number() OVER (ORDER BY bytes DESC, name, number) - 1 AS place FROM parts
)
SELECT CASE :'what'
           WHEN 'copy' THEN format('COPY (SELECT %s FROM ONLY %s%s) TO STDOUT (FORMAT binary);', columns, name, range)
           WHEN 'checksum' THEN format('SELECT %L, count(1), sum(hashtext(ROW(%s)::text)::bigint) FROM ONLY %s;', name, columns, name)
           WHEN 'count' THEN format('SELECT count(*) FROM ONLY %s;', name)
       END
FROM dealt
WHERE :job = CASE WHEN place / :jobs % 2 = 0 THEN place % :jobs ELSE :jobs - 1 - place % :jobs END
ORDER BY place;
