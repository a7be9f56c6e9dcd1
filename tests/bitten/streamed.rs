//! Traps that `pg_dump | psql` falls into and `stream` does not.

use super::{Item, METHODS, cloned_right_by, item, production};
use crate::support::PLAN;

/// One test an item, so that each says for itself whether it is right by now.
macro_rules! streamed {
    ($($test:ident: $item:expr;)*) => {
        $(#[test]
        fn $test() {
            cloned_right_by(&["stream"], stringify!($test), &[$item]);
        })*
    };
}

streamed! {
    // Leaves are compared one by one; the rows of an enum's hash are in others, as its oid is another.
    hash_of_an_enum:
    item(
        "hash_of_an_enum",
        "CREATE TYPE colour AS ENUM ('red', 'green', 'blue', 'black', 'white', 'grey', 'pink', 'gold');
         CREATE TABLE h (c colour NOT NULL, v int) PARTITION BY HASH (c);
         CREATE TABLE h0 PARTITION OF h FOR VALUES WITH (MODULUS 3, REMAINDER 0);
         CREATE TABLE h1 PARTITION OF h FOR VALUES WITH (MODULUS 3, REMAINDER 1);
         CREATE TABLE h2 PARTITION OF h FOR VALUES WITH (MODULUS 3, REMAINDER 2);
         INSERT INTO h SELECT c, n FROM unnest(enum_range(NULL::colour)) AS c, generate_series(1, 20) AS n;
         CREATE TABLE r (id int, c colour) PARTITION BY RANGE (id);
         CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (100) PARTITION BY HASH (c);
         CREATE TABLE r1a PARTITION OF r1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE r1b PARTITION OF r1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO r SELECT n, c FROM unnest(enum_range(NULL::colour)) AS c, generate_series(1, 20) AS n;
         CREATE TABLE dull (t text, v int) PARTITION BY HASH (t);
         CREATE TABLE dull0 PARTITION OF dull FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE dull1 PARTITION OF dull FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO dull SELECT n::text, n FROM generate_series(1, 50) AS n;",
    );

    // pg_dump cannot restore the order of inherited columns that came late, and the comparison does not mask it.
    columns_that_a_parent_got_late: item(
        "late_columns",
        "CREATE TABLE parent (id int, v text);
         CREATE TABLE child (c numeric) INHERITS (parent);
         INSERT INTO child SELECT n, 'child', n FROM generate_series(1, 20) AS n;
         ALTER TABLE parent ADD COLUMN late int DEFAULT 7;",
    );

    // pg_restore refreshes with an empty search_path.
    matview_that_needs_a_path: Item {
        name: "needs_path",
        sql: "CREATE TABLE t (id int);
              INSERT INTO t SELECT generate_series(1, 10);
              CREATE FUNCTION how_many() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM t';
              -- From 17 on such a view cannot even be made: its functions must bring their path along.
              DO $$ BEGIN
                  IF current_setting('server_version_num')::int >= 170000 THEN
                      ALTER FUNCTION how_many() SET search_path = needs_path;
                  END IF;
              END $$;
              CREATE MATERIALIZED VIEW counted AS SELECT how_many() AS n;
              CREATE MATERIALIZED VIEW again AS SELECT n + how_many() AS n FROM counted;
              DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = needs_path, public', current_database()); END $$;",
        clone: &[("SELECT n FROM counted", "10"), ("SELECT n FROM again", "20")],
    };

    // The same with a check and a generated column over functions with unqualified names.
    check_that_needs_a_path: item(
        "path_of_index",
        "CREATE FUNCTION inner_(t text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT upper(t)';
         CREATE FUNCTION outer_(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN inner_(t); END';
         CREATE TABLE t (v text CHECK (outer_(v) <> 'NO'), up text GENERATED ALWAYS AS (outer_(v)) STORED);
         INSERT INTO t (v) VALUES ('yes');
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = path_of_index, public', current_database()); END $$;",
    );

    // The rows of `a_user` come before those of `z_allowed`, which its check reads.
    functions_that_read_what_comes_later: item(
        "reads_later",
        "CREATE TABLE z_allowed (v int PRIMARY KEY);
         INSERT INTO z_allowed VALUES (1), (2);
         CREATE FUNCTION is_allowed(int) RETURNS boolean STABLE LANGUAGE sql AS
             'SELECT EXISTS (SELECT FROM reads_later.z_allowed WHERE v = $1)';
         CREATE DOMAIN allowed_int AS int CHECK (reads_later.is_allowed(value));
         CREATE TABLE a_user (v int CHECK (reads_later.is_allowed(v)));
         CREATE TABLE b_user (v allowed_int);
         INSERT INTO a_user VALUES (1), (2);
         INSERT INTO b_user VALUES (2);",
    );
}

/// The fingerprint reads as UTF-8 and is refused.
#[test]
fn bytes_that_are_no_text_in_any_encoding() {
    let trap = item(
        "sql_ascii",
        r"CREATE TABLE t (id int, v text, c char(3), vs text[]);
          INSERT INTO t VALUES (1, E'\xff\xfe', E'\x80', ARRAY[E'\xc3']), (2, E'\xc3\xbc', E'\xe4bc', NULL), (3, 'plain', '', '{}');
          CREATE INDEX ON t (v);",
    );
    for method in METHODS {
        let bench = production("ascii", "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'", &[&trap]);
        bench.make_clone(method, "").expect(0);
        assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
    }
}

/// A reader that may read `pg_largeobject` reads them; the clone's stage role may not, and the two are compared.
#[test]
fn large_objects_and_a_reader_of_all_data() {
    let trap = item(
        "los",
        "SELECT lo_from_bytea(7, 'seven');
         GRANT SELECT ON LARGE OBJECT 7 TO bare_reader;",
    );
    for method in METHODS {
        let bench = production("los", "", &[&trap]);
        bench.make_clone(method, "").expect(0);
        assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
    }
}

/// The driver holds a value of 100 MB in more than twice its size.
#[test]
fn one_value_of_100_megabytes() {
    let trap = item(
        "big",
        "CREATE TABLE big (id int, v bytea);
         ALTER TABLE big ALTER v SET STORAGE EXTERNAL;
         INSERT INTO big SELECT 1, convert_to(repeat(md5('x'), 3276800), 'UTF8');
         INSERT INTO big VALUES (2, 'small');",
    );
    for method in METHODS {
        let bench = production(trap.name, "", &[&trap]);
        bench.clone_plan(method, "");
        let (code, peak) = bench.start(&["apply", PLAN]).end_with_peak();
        assert_eq!(code, Some(0), "{method}");
        assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
        if *method == "dump" {
            // The rows are not ours there.
            continue;
        }
        assert!((1..200 * 1024).contains(&peak), "{method}: the engine took {peak} KiB of memory");
    }
}
