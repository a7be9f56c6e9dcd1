//! Traps in the shapes of tables and in what hangs on them: partitions, keys, indexes, triggers, rules, policies.

use super::{Item, cloned_right, item};

const ITEMS: [Item; 14] = [
    item(
        "hash_of_a_text",
        "CREATE TABLE h (t text, v int) PARTITION BY HASH (t, v);
         CREATE TABLE h0 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE h1 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO h SELECT n::text, n FROM generate_series(1, 50) AS n;",
    ),
    item(
        "partitions",
        "CREATE TABLE p (id int NOT NULL, at date NOT NULL, kind text, v numeric DEFAULT 1) PARTITION BY RANGE (at);
         CREATE TABLE p2020 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY LIST (kind);
         CREATE TABLE p2020a (v numeric, junk int, kind text, at date NOT NULL, id int NOT NULL);
         ALTER TABLE p2020a DROP junk;
         ALTER TABLE p2020 ATTACH PARTITION p2020a FOR VALUES IN ('a', NULL);
         CREATE TABLE p2020rest PARTITION OF p2020 DEFAULT PARTITION BY HASH (id);
         CREATE TABLE p2020rest0 PARTITION OF p2020rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE p2020rest1 (kind text, at date NOT NULL, id int NOT NULL, v numeric DEFAULT 5);
         ALTER TABLE p2020rest ATTACH PARTITION p2020rest1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         CREATE TABLE pdefault PARTITION OF p DEFAULT;
         CREATE TABLE pempty PARTITION OF p FOR VALUES FROM ('2030-01-01') TO ('2031-01-01') PARTITION BY LIST (id);
         INSERT INTO p SELECT n, date '2020-01-01' + n, (ARRAY['a', 'b', NULL])[n % 3 + 1], n FROM generate_series(1, 500) AS n;",
    ),
    item(
        "partitioned_keys",
        "CREATE TABLE p (id int, at date, kind text DEFAULT 'a', v numeric) PARTITION BY RANGE (at);
         CREATE TABLE p1 (v numeric, at date NOT NULL, kind text, id int NOT NULL);
         ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
         CREATE TABLE p2 PARTITION OF p DEFAULT;
         ALTER TABLE p ADD PRIMARY KEY (id, at);
         CREATE INDEX ON p (kind);
         CREATE INDEX p1_own ON p1 (v) WHERE v > 0;
         CREATE INDEX lonely ON ONLY p (v);
         INSERT INTO p SELECT n, date '2020-06-01' + n, 'k' || n % 3, n FROM generate_series(1, 400) AS n;
         CREATE TABLE refers (id int, at date, FOREIGN KEY (id, at) REFERENCES p ON DELETE CASCADE);
         INSERT INTO refers SELECT id, at FROM p WHERE id < 100;
         CREATE TABLE q (id int, at date, FOREIGN KEY (id, at) REFERENCES p) PARTITION BY LIST (id);
         CREATE TABLE q1 (at date, id int);
         ALTER TABLE q ATTACH PARTITION q1 FOR VALUES IN (1, 2);
         INSERT INTO q SELECT id, at FROM p WHERE id < 3;
         CREATE TABLE detached PARTITION OF p FOR VALUES FROM ('2000-01-01') TO ('2001-01-01');
         INSERT INTO p VALUES (1, '2000-05-05');
         ALTER TABLE p DETACH PARTITION detached;",
    ),
    item(
        "circular_keys",
        "CREATE TABLE a (id int PRIMARY KEY, b int);
         CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a, self int REFERENCES b DEFERRABLE INITIALLY DEFERRED);
         ALTER TABLE a ADD CONSTRAINT a_b FOREIGN KEY (b) REFERENCES b ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;
         BEGIN;
         INSERT INTO a SELECT n, 101 - n FROM generate_series(1, 100) AS n;
         INSERT INTO b SELECT n, n, 101 - n FROM generate_series(1, 100) AS n;
         COMMIT;
         CREATE TABLE tree (id int PRIMARY KEY, up int NOT NULL REFERENCES tree ON UPDATE CASCADE);
         INSERT INTO tree SELECT n, greatest(n - 1, 1) FROM generate_series(1, 50) AS n;",
    ),
    Item {
        name: "not_valid",
        sql: "CREATE TABLE a (id int PRIMARY KEY);
              CREATE TABLE b (a int, v int);
              INSERT INTO a VALUES (1);
              INSERT INTO b VALUES (1, 1), (2, -1);
              ALTER TABLE b ADD CONSTRAINT old FOREIGN KEY (a) REFERENCES a NOT VALID,
                            ADD CONSTRAINT positive CHECK (v > 0) NOT VALID;
              CREATE TABLE fine (a int REFERENCES a, w int);
              INSERT INTO fine VALUES (1, 1);",
        clone: &[
            ("SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint
              WHERE NOT convalidated AND connamespace = 'not_valid'::regnamespace", "old,positive"),
            ("DO $$ BEGIN INSERT INTO b VALUES (3, 1); EXCEPTION WHEN foreign_key_violation THEN RETURN; END $$", ""),
        ],
    },
    item(
        "unique_in_many_ways",
        "CREATE TABLE u (a int, b int, r int4range, CONSTRAINT later UNIQUE (a) DEFERRABLE INITIALLY DEFERRED,
                         CONSTRAINT nulls UNIQUE NULLS NOT DISTINCT (b), EXCLUDE USING gist (r WITH &&) WHERE (a > 5));
         INSERT INTO u SELECT n, n, int4range(n, n + 1) FROM generate_series(1, 100) AS n;
         INSERT INTO u VALUES (NULL, NULL, NULL);
         CREATE UNIQUE INDEX odd ON u ((a + b), lower(a::text) COLLATE \"C\" DESC NULLS LAST) INCLUDE (r) WHERE a > 3;
         CREATE INDEX brin ON u USING brin (a) WITH (pages_per_range = 4);
         CREATE INDEX hash ON u USING hash (b);
         CREATE UNIQUE INDEX becomes_key ON u (a, b);
         ALTER TABLE u ALTER a SET STATISTICS 50;
         CREATE TABLE k (a int NOT NULL, b int NOT NULL);
         CREATE UNIQUE INDEX k_i ON k (b);
         ALTER TABLE k ADD CONSTRAINT k_key PRIMARY KEY USING INDEX k_i, REPLICA IDENTITY USING INDEX k_key;
         ALTER TABLE k CLUSTER ON k_key;
         ALTER TABLE u REPLICA IDENTITY FULL;",
    ),
    item(
        "invalid_index",
        "CREATE TABLE t (a int);
         INSERT INTO t VALUES (1), (1);
         CREATE INDEX good ON t (a);
         \\set ON_ERROR_STOP 0
         CREATE UNIQUE INDEX CONCURRENTLY bad ON t (a);
         \\set ON_ERROR_STOP 1
         SELECT 1 / count(*) FROM pg_index WHERE indexrelid = 'bad'::regclass AND NOT indisvalid;",
    ),
    Item {
        name: "triggers",
        sql: "CREATE TABLE t (id int, v text);
              CREATE TABLE audit (what text);
              INSERT INTO t SELECT n, 'as it was' FROM generate_series(1, 30) AS n;
              CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN NEW.v := 'spoilt'; INSERT INTO triggers.audit VALUES ('fired'); RETURN NEW; END $$;
              CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no more rows'; END $$;
              CREATE TRIGGER spoils BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION spoil();
              CREATE TRIGGER always BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION spoil();
              CREATE TRIGGER refuses BEFORE INSERT ON audit EXECUTE FUNCTION refuse();
              CREATE TRIGGER off BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse();
              CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
                  FOR EACH ROW EXECUTE FUNCTION refuse();
              ALTER TABLE t DISABLE TRIGGER off, ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER spoils;
              CREATE TABLE ruled (id int);
              INSERT INTO ruled VALUES (1), (2);
              CREATE RULE nothing AS ON INSERT TO ruled DO INSTEAD NOTHING;
              CREATE RULE twice AS ON UPDATE TO ruled DO ALSO INSERT INTO triggers.audit VALUES ('ruled');",
        clone: &[("SELECT count(*) FROM audit", "0"), ("SELECT DISTINCT v FROM t", "as it was")],
    },
    Item {
        name: "row_security",
        sql: "CREATE TABLE f (id int, who name);
              INSERT INTO f SELECT n, 'somebody' FROM generate_series(1, 30) AS n;
              CREATE POLICY own ON f USING (who = current_user) WITH CHECK (false);
              CREATE POLICY strict ON f AS RESTRICTIVE FOR UPDATE TO engine_reader USING (id IN (1, 2));
              ALTER TABLE f ENABLE ROW LEVEL SECURITY;
              CREATE TABLE shut (id int);
              INSERT INTO shut VALUES (1);
              ALTER TABLE shut ENABLE ROW LEVEL SECURITY;
              CREATE TABLE sleeping (id int);
              INSERT INTO sleeping VALUES (1);
              CREATE POLICY not_yet ON sleeping USING (false);",
        clone: &[("SELECT count(*) FROM f", "30")],
    },
    item(
        "views_upon_views",
        "CREATE TABLE t (id int PRIMARY KEY, v text, w text);
         INSERT INTO t VALUES (1, 'a', 'b');
         CREATE VIEW by_key AS SELECT id, v, count(*) FROM t GROUP BY id;
         CREATE VIEW upon AS SELECT * FROM by_key WHERE v IN ('a', 'b');
         CREATE VIEW checked WITH (security_barrier) AS SELECT * FROM t WHERE id > 0 WITH LOCAL CHECK OPTION;
         CREATE FUNCTION reads_view() RETURNS SETOF upon LANGUAGE sql BEGIN ATOMIC SELECT * FROM upon; END;
         CREATE VIEW of_function AS SELECT * FROM reads_view();
         CREATE RECURSIVE VIEW up(n) AS VALUES (1) UNION ALL SELECT n + 1 FROM up WHERE n < 5;
         CREATE VIEW ruled AS SELECT 1 AS one;
         CREATE RULE ins AS ON INSERT TO ruled DO INSTEAD INSERT INTO t VALUES (NEW.one, 'x', 'y');
         ALTER VIEW checked ALTER v SET DEFAULT 'd';",
    ),
    item(
        "materialised",
        "CREATE TABLE t (id int PRIMARY KEY, v int);
         INSERT INTO t SELECT n, n % 5 FROM generate_series(1, 100) AS n;
         CREATE MATERIALIZED VIEW z_first AS SELECT v, count(*) AS n FROM t GROUP BY v;
         CREATE UNIQUE INDEX ON z_first (v);
         CREATE MATERIALIZED VIEW a_second AS SELECT sum(n) AS n FROM z_first;
         CREATE VIEW between_ AS SELECT n FROM a_second;
         CREATE MATERIALIZED VIEW \"0 third\" AS SELECT n * 2 AS n FROM between_;
         CREATE MATERIALIZED VIEW never_filled AS SELECT * FROM t WITH NO DATA;
         CREATE INDEX ON never_filled (v);",
    ),
    Item {
        name: "unlogged",
        sql: "CREATE UNLOGGED TABLE u (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
              INSERT INTO u (v) SELECT 'x' FROM generate_series(1, 40);
              CREATE UNLOGGED SEQUENCE s; SELECT nextval('s');
              CREATE TABLE p (id int) PARTITION BY LIST (id);
              CREATE UNLOGGED TABLE p1 PARTITION OF p FOR VALUES IN (1);
              CREATE TABLE p2 PARTITION OF p DEFAULT;
              INSERT INTO p VALUES (1), (2);",
        clone: &[("SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class
                   WHERE relnamespace = 'unlogged'::regnamespace AND relpersistence = 'u' AND relkind = 'r'", "p1,u")],
    },
    item(
        "functions_that_read",
        "CREATE TABLE allowed (v int PRIMARY KEY);
         INSERT INTO allowed VALUES (1), (2);
         CREATE FUNCTION is_allowed(int) RETURNS boolean STABLE LANGUAGE sql AS
             'SELECT EXISTS (SELECT FROM functions_that_read.allowed WHERE v = $1)';
         CREATE DOMAIN allowed_int AS int CHECK (functions_that_read.is_allowed(value));
         CREATE TABLE by_check (v int CHECK (functions_that_read.is_allowed(v)));
         CREATE TABLE by_domain (v allowed_int, vs allowed_int[]);
         INSERT INTO by_check VALUES (1), (2);
         INSERT INTO by_domain VALUES (2, '{1,2}');",
    ),
    item("wide", "SELECT format('CREATE TABLE w (%s)', string_agg(format('c%s %s', n,
             (ARRAY['int', 'text', 'numeric', 'timestamptz', 'jsonb', 'uuid'])[n % 6 + 1]), ', ')) FROM generate_series(1, 300) AS n \\gexec
         INSERT INTO w (c1, c2, c5, c300) SELECT n::text, n, gen_random_uuid(), n FROM generate_series(1, 200) AS n;
         SELECT format('INSERT INTO w SELECT %s FROM generate_series(1, 20) AS g', string_agg(
             (ARRAY['g', 'repeat(''w'', 20)', 'g / 3.0', 'now()', '''[1]''', 'gen_random_uuid()'])[n % 6 + 1], ', ')) FROM generate_series(1, 300) AS n \\gexec"),
];

#[test]
fn tables_of_any_shape_are_cloned_with_what_hangs_on_them() {
    cloned_right("shapes", &ITEMS);
}
