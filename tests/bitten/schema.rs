//! Traps in what holds no rows: grants, comments, statistics, functions, types, extensions.

use super::{Item, METHODS, cloned_right, item, production};

const ITEMS: [Item; 11] = [
    item(
        "statistics",
        "CREATE TABLE t (a int, b int, c text);
         INSERT INTO t SELECT n % 10, n % 10, 'c' FROM generate_series(1, 500) AS n;
         CREATE STATISTICS s_all ON a, b, c FROM t;
         CREATE STATISTICS s_two (ndistinct, mcv) ON a, b FROM t;
         CREATE STATISTICS s_expr ON (a + b), lower(c) FROM t;
         ALTER STATISTICS s_two SET STATISTICS 77;
         ALTER TABLE t ALTER a SET STATISTICS 500, ALTER b SET (n_distinct = -0.5);
         ANALYZE t;",
    ),
    item(
        "comments",
        "CREATE TABLE t (a int CONSTRAINT positive CHECK (a > 0) CONSTRAINT k PRIMARY KEY);
         CREATE VIEW v AS SELECT a FROM t;
         CREATE TYPE e AS ENUM ('x'); CREATE DOMAIN d AS int; CREATE SEQUENCE s; CREATE TYPE c AS (f int);
         CREATE FUNCTION f(a int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE STATISTICS st ON (a % 2) FROM t;
         CREATE POLICY p ON t USING (true);
         CREATE RULE r AS ON DELETE TO v DO INSTEAD NOTHING;
         COMMENT ON SCHEMA comments IS 'a schema''s';
         COMMENT ON TABLE t IS E'two\\nlines, a tab\\t, \\\\ and ☃';
         COMMENT ON COLUMN t.a IS '\"'; COMMENT ON COLUMN v.a IS 'of a view'; COMMENT ON COLUMN c.f IS 'of a type';
         COMMENT ON CONSTRAINT positive ON t IS '-- Name: x'; COMMENT ON INDEX k IS 'i'; COMMENT ON VIEW v IS 'v';
         COMMENT ON TYPE e IS 'e'; COMMENT ON DOMAIN d IS 'd'; COMMENT ON SEQUENCE s IS 's'; COMMENT ON TYPE c IS 'c';
         COMMENT ON FUNCTION f(int) IS 'f'; COMMENT ON STATISTICS st IS 'st'; COMMENT ON POLICY p ON t IS 'p';
         COMMENT ON RULE r ON v IS 'r';",
    ),
    item(
        "grants",
        "CREATE TABLE t (a int, b int, c int); CREATE TABLE shut (a int); CREATE TABLE bare (a int);
         CREATE VIEW v AS SELECT 1 AS one; CREATE SEQUENCE s; CREATE TYPE e AS ENUM ('x'); CREATE DOMAIN d AS int;
         CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1';
         GRANT SELECT ON t TO PUBLIC;
         GRANT INSERT, UPDATE ON t TO engine_reader WITH GRANT OPTION;
         GRANT SELECT (a), UPDATE (a, b), REFERENCES (c) ON t TO engine_reader;
         GRANT SELECT (b) ON t TO PUBLIC;
         REVOKE ALL ON shut FROM shop_owner;
         GRANT SELECT ON shut TO engine_reader;
         REVOKE UPDATE ON bare FROM shop_owner;
         GRANT SELECT ON v TO PUBLIC; GRANT USAGE, UPDATE ON SEQUENCE s TO engine_reader;
         REVOKE USAGE ON TYPE e FROM PUBLIC; GRANT USAGE ON TYPE e TO engine_reader; REVOKE USAGE ON DOMAIN d FROM PUBLIC;
         REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC; GRANT EXECUTE ON FUNCTION f() TO engine_reader;
         GRANT EXECUTE ON FUNCTION g() TO engine_reader; REVOKE EXECUTE ON PROCEDURE p() FROM PUBLIC, shop_owner;
         GRANT USAGE ON SCHEMA grants TO PUBLIC; GRANT CREATE ON SCHEMA grants TO engine_reader;",
    ),
    item(
        "default_privileges",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO engine_reader;
         ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
         ALTER DEFAULT PRIVILEGES IN SCHEMA default_privileges GRANT SELECT ON SEQUENCES TO PUBLIC;
         ALTER DEFAULT PRIVILEGES IN SCHEMA default_privileges GRANT INSERT, UPDATE ON TABLES TO engine_reader WITH GRANT OPTION;
         CREATE TABLE later (id serial);
         CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
    ),
    item(
        "options",
        "CREATE TABLE t (a text, b text COMPRESSION pglz, c int) WITH (fillfactor = 70, autovacuum_enabled = false,
                         toast.autovacuum_enabled = false, parallel_workers = 3);
         ALTER TABLE t ALTER a SET STORAGE MAIN, ALTER b SET STORAGE EXTENDED;
         CREATE INDEX i ON t (c) WITH (fillfactor = 50, deduplicate_items = off);
         INSERT INTO t SELECT repeat('a', 5000), repeat('b', 5000), n FROM generate_series(1, 20) AS n;
         CREATE TYPE shape AS (x int, y text);
         CREATE TABLE typed OF shape (PRIMARY KEY (x), y WITH OPTIONS DEFAULT 'y');
         INSERT INTO typed VALUES (1);
         CREATE TABLE heap USING heap AS SELECT 1 AS a;"
    ),
    item(
        "functions",
        "CREATE FUNCTION base(a int, VARIADIC b text[] DEFAULT '{}') RETURNS int IMMUTABLE STRICT PARALLEL SAFE COST 7 LANGUAGE sql AS 'SELECT $1';
         CREATE FUNCTION base(a text, OUT x int, INOUT y text) RETURNS record LANGUAGE plpgsql AS $f$ BEGIN x := 1; END $f$;
         CREATE FUNCTION tab(n int) RETURNS TABLE (i int, t text) ROWS 5 LANGUAGE sql AS $$ SELECT 1, 'x' $$;
         CREATE FUNCTION definer() RETURNS text SECURITY DEFINER SET search_path = functions, pg_temp SET work_mem = '7MB'
             LANGUAGE sql AS $$ SELECT '$' || '$' $$;
         CREATE FUNCTION atomic(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT base(a) + 1; END;
         CREATE PROCEDURE proc(INOUT a int, b int DEFAULT base(3)) LANGUAGE plpgsql AS $$ BEGIN a := b; COMMIT; END $$;
         CREATE TABLE uses (a int DEFAULT base(1), b int CHECK (base(b) > 0), c int GENERATED ALWAYS AS (base(a)) STORED);
         INSERT INTO uses VALUES (DEFAULT, 1);
         CREATE INDEX ON uses (base(a));
         CREATE AGGREGATE agg(int) (sfunc = int4pl, stype = int, initcond = '0', parallel = safe);
         CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq, commutator = ===, restrict = eqsel);
         CREATE TABLE tt (a int);
         CREATE FUNCTION of_row(tt) RETURNS int LANGUAGE sql AS 'SELECT $1.a';
         CREATE VIEW calls AS SELECT of_row(tt) FROM tt WHERE a === 1;",
    ),
    item(
        "types",
        "CREATE DOMAIN d AS varchar(5) CONSTRAINT known CHECK (length(value) = 1) NOT NULL DEFAULT 'a';
         CREATE DOMAIN dd AS d CHECK (value <> 'b');
         CREATE DOMAIN late AS int;
         CREATE TABLE t (d d, dd dd, l late);
         INSERT INTO t VALUES ('a', 'a', -1), ('b', 'a', 1);
         ALTER DOMAIN late ADD CONSTRAINT positive CHECK (value > 0) NOT VALID;
         CREATE TYPE e AS ENUM ('one', 'three');
         ALTER TYPE e ADD VALUE 'two' BEFORE 'three'; ALTER TYPE e RENAME VALUE 'one' TO 'uno'; CREATE TYPE empty AS ENUM ();
         CREATE COLLATION coll (provider = libc, locale = 'C');
         CREATE TYPE r AS RANGE (subtype = text, collation = coll, multirange_type_name = many_r);
         CREATE TYPE c AS (a int, b text COLLATE coll);
         CREATE TABLE u (t text COLLATE coll PRIMARY KEY, e e, r r, m many_r, c c);
         INSERT INTO u VALUES ('x', 'two', '[a,b)', '{[a,b),[c,d)}', ROW(1, 'z'));
         CREATE CAST (c AS text) WITH INOUT AS ASSIGNMENT;",
    ),
    item(
        "text_search",
        "CREATE TEXT SEARCH DICTIONARY dict (TEMPLATE = simple, stopwords = english);
         CREATE TEXT SEARCH CONFIGURATION conf (COPY = english);
         ALTER TEXT SEARCH CONFIGURATION conf ALTER MAPPING FOR asciiword WITH dict, english_stem;
         CREATE TABLE doc (id int, body text, v tsvector GENERATED ALWAYS AS (to_tsvector('text_search.conf'::regconfig, body)) STORED, q tsquery);
         CREATE INDEX ON doc USING gin (v);
         INSERT INTO doc VALUES (1, 'The quick brown foxes', DEFAULT, 'fox & !dog:*');",
    ),
    Item {
        name: "extensions",
        sql: "CREATE EXTENSION citext SCHEMA extensions;
              CREATE EXTENSION hstore SCHEMA extensions;
              CREATE EXTENSION btree_gist SCHEMA public;
              CREATE EXTENSION pg_trgm; CREATE EXTENSION ltree SCHEMA extensions;
              CREATE TABLE t (c citext PRIMARY KEY, h hstore, cs citext[], hs hstore[], l ltree);
              INSERT INTO t VALUES ('Mixed', 'a=>1, b=>NULL', '{A,b}', ARRAY['x=>y'::hstore], 'a.b'), ('other', '', NULL, NULL, '');
              CREATE INDEX ON t USING gin (h);
              CREATE INDEX ON t USING gin ((c::text) gin_trgm_ops);
              CREATE TABLE booked (room int, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&));
              INSERT INTO booked VALUES (1, '[2020-01-01,2020-01-02)');",
        clone: &[("SELECT c FROM t WHERE c = 'mIXED'", "Mixed")],
    },
    item(
        "publications",
        "CREATE TABLE t (a int PRIMARY KEY, b text);
         CREATE PUBLICATION part FOR TABLE t (a) WHERE (a > 5) WITH (publish = 'insert, update');
         CREATE PUBLICATION empty;",
    ),
    item(
        "owned_by_others",
        "RESET ROLE;
         CREATE TABLE of_superuser (id int GENERATED ALWAYS AS IDENTITY, v text);
         INSERT INTO of_superuser (v) VALUES ('x');
         CREATE TABLE of_reader (id serial);
         GRANT CREATE ON SCHEMA owned_by_others TO bare_other;
         ALTER TABLE of_reader OWNER TO bare_other;
         REVOKE CREATE ON SCHEMA owned_by_others FROM bare_other;
         CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
         GRANT SELECT ON of_superuser TO shop_owner;",
    ),
];

#[test]
fn what_holds_no_rows_is_cloned_as_well() {
    cloned_right("schema", &ITEMS);
}

/// Read again, (a AND b) AND c is a AND b AND c, in every place that holds an expression: `pg_dump -s` prints the clone in
/// another form than production, which is no difference.
#[test]
fn expressions_that_are_printed_in_another_form() {
    let trap = item(
        "printed",
        r#"CREATE TABLE t (a int, b int, v varchar(9), d date, n numeric(5, 2), c char(3), j jsonb, f float8, e interval, r real,
             CONSTRAINT between_and CHECK (a BETWEEN 0 AND 9 AND b > 0),
             CONSTRAINT not_between CHECK (a NOT BETWEEN 0 AND 9 OR b > 0),
             CONSTRAINT sym CHECK (a BETWEEN SYMMETRIC 9 AND 0 AND b > 0),
             CONSTRAINT nested CHECK ((a > 0 AND b > 0) AND (a < 9 OR (b < 9 OR a = 7))),
             CONSTRAINT like_any CHECK (v LIKE ANY (ARRAY['a%', 'b%'])),
             CONSTRAINT not_in CHECK (v NOT IN ('a', 'b') AND c IN ('x', 'y') AND n IN (1, 2.5)),
             CONSTRAINT row_ CHECK ((a, b) >= (0, 0) AND (a, b) IS DISTINCT FROM (1, 2)),
             CONSTRAINT casts CHECK (v::text || c <> '' AND n::int = a AND f::numeric(4, 1) > r AND e > '1 day'::interval),
             CONSTRAINT case_ CHECK (CASE a WHEN 1 THEN v ELSE c END <> coalesce(v, c, 'q')),
             CONSTRAINT null_if CHECK (nullif(v, c) IS NOT NULL AND greatest(a, b, 3) > 1 AND (v IS NULL) IS NOT TRUE),
             CONSTRAINT at_zone CHECK (d + time '12:00' > (timestamptz '2020-01-01 00:00+00' AT TIME ZONE 'UTC')),
             CONSTRAINT extracts CHECK (extract(year FROM d) > 1900 AND substring(v FROM 1 FOR 2) <> 'zz' AND position('a' IN v) >= 0 AND trim(BOTH FROM v) = v AND overlay(v PLACING 'x' FROM 1) <> 'y'),
             CONSTRAINT json CHECK (j ->> 'a' = 'x' AND j @> '{"a": 1}' AND (j -> 'b' ->> 0)::int > 0),
             CONSTRAINT regex CHECK (v ~* '^a' AND v SIMILAR TO 'a|b' AND c !~ 'x'),
             CONSTRAINT coll CHECK (v COLLATE "C" > 'a' AND v < c COLLATE "POSIX"),
             CONSTRAINT minus CHECK (- a < -1 AND a - -1 > 0 AND f <> -0.0 AND a # b <> 0 AND @ a > 0));
           CREATE INDEX i1 ON t (a) WHERE a BETWEEN 0 AND 9 AND b > 0;
           CREATE INDEX i2 ON t (v) WHERE v IN ('a', 'b') AND a > 0;
           CREATE INDEX i3 ON t ((a BETWEEN 1 AND 2 AND b = 1), (v || c));
           CREATE VIEW v1 AS SELECT a BETWEEN 0 AND 9 AND b > 0 AS x, v IN ('a', 'b') AS y, c IN ('x') AS z FROM t WHERE a BETWEEN 0 AND 9 AND b > 0;
           CREATE VIEW v2 AS SELECT t.*, u.a AS ua FROM t JOIN t AS u USING (b) WHERE (t.a, u.a) IN (SELECT 1, 2) ORDER BY 1 DESC NULLS LAST LIMIT 5;
           CREATE VIEW v3 AS SELECT count(*) FILTER (WHERE a BETWEEN 0 AND 9 AND b > 0), sum(a) OVER w FROM t GROUP BY a WINDOW w AS (ORDER BY a ROWS 3 PRECEDING);
           CREATE POLICY p ON t USING (a BETWEEN 0 AND 9 AND b > 0) WITH CHECK (v IN ('a', 'b') AND a > 0);
           CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
           CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW.a BETWEEN 0 AND 9 AND NEW.b > 0 AND OLD.v IN ('a', 'b')) EXECUTE FUNCTION tf();
           CREATE RULE ru AS ON DELETE TO t WHERE OLD.a BETWEEN 0 AND 9 AND OLD.b > 0 DO INSTEAD NOTHING;
           CREATE FUNCTION at_(x int) RETURNS boolean LANGUAGE sql BEGIN ATOMIC SELECT x BETWEEN 0 AND 9 AND x <> 5; END;
           CREATE DOMAIN dom AS int CHECK (value BETWEEN 0 AND 9 AND value <> 5);
           CREATE TABLE g (a int, ok boolean GENERATED ALWAYS AS (a BETWEEN 0 AND 9 AND a <> 5) STORED, de boolean DEFAULT (1 BETWEEN 0 AND 9 AND true));
           CREATE STATISTICS st ON (a BETWEEN 0 AND 9 AND b > 0), (a + 1) FROM t;
           CREATE TABLE ex (a int, r int4range, EXCLUDE USING gist (r WITH &&) WHERE (a BETWEEN 0 AND 9 AND a <> 5));
           CREATE TABLE pa (a int) PARTITION BY RANGE ((a BETWEEN 0 AND 9 AND a <> 5));"#,
    );
    for method in METHODS {
        let bench = production(trap.name, "", &[&trap]);
        bench.make_clone(method, "").expect(0);
    }
}
