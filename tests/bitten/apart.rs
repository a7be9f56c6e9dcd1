//! Traps that are about a whole database: its encoding, its locale, its large objects, what reaches out of it, its size.

use super::{Item, METHODS, item, production, wrong};
use crate::support::{Bench, OwnServer};
use std::time::{Duration, Instant};

const NOTHING: [&str; 0] = [];

/// A production of one item with a clone of its own.
#[track_caller]
fn alone(options: &str, more: &str, trap: &Item, still_unlike: &[&str]) -> Vec<Bench> {
    let clone = |method: &&str| {
        let bench = production(trap.name, options, &[trap]);
        let found = wrong(&bench, method, more, &[trap]);
        let known = |line: &String| still_unlike.iter().any(|known| line.starts_with(known));
        let (known, unknown): (Vec<String>, Vec<String>) = found.into_iter().partition(known);
        assert!(unknown.is_empty(), "{method}, {}: {}", trap.name, unknown.join("\n"));
        assert_eq!(known.len(), still_unlike.len(), "{method}, {}: {known:#?}", trap.name);
        bench
    };
    METHODS.iter().map(clone).collect()
}

/// A server that knows no encoding takes any bytes for text.
#[test]
fn text_without_an_encoding_comes_along() {
    let trap = item(
        "sql_ascii",
        r"CREATE TABLE t (id int, v text, c char(3), vs text[]);
          INSERT INTO t VALUES (1, E'\xc3\xbc', E'\xc3\xa4', ARRAY[E'\xc3\xb6']), (2, 'plain', '', '{}');
          CREATE INDEX ON t (v);",
    );
    for bench in alone("ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'", "", &trap, &NOTHING) {
        let bytes = "SELECT current_setting('server_encoding'), length(v) FROM sql_ascii.t WHERE id = 1";
        assert_eq!(bench.psql(bench.clone_name(), bytes), "SQL_ASCII|2");
    }
}

#[test]
fn another_encoding_and_locale_come_along() {
    let trap = item(
        "latin",
        "CREATE TABLE t (v text PRIMARY KEY, n name);
         INSERT INTO t VALUES (E'\u{fc}', E'\u{fc}'), ('z', 'z');
         CREATE TABLE \"\u{fc}\" (\"\u{e4}\" int);",
    );
    for bench in alone("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'", "", &trap, &NOTHING) {
        assert_eq!(bench.psql(bench.clone_name(), "SHOW server_encoding"), "LATIN1");
    }
}

#[test]
fn large_objects_come_along() {
    let trap = item(
        "large_objects",
        "SELECT count(lo_from_bytea(n, convert_to(repeat('x', n), 'UTF8'))) FROM generate_series(1, 400) AS n;
         SELECT lo_from_bytea(90000, decode(repeat('00ff5c0a', 2000000), 'hex'));
         SELECT lo_create(90001);
         -- A hole: the first bytes were never written.
         SELECT lo_create(90002); SELECT lo_put(90002, 1000000, 'end');
         COMMENT ON LARGE OBJECT 7 IS 'seven';
         GRANT SELECT ON LARGE OBJECT 7 TO engine_reader; GRANT SELECT ON LARGE OBJECT 8 TO PUBLIC; GRANT SELECT, UPDATE ON LARGE OBJECT 8 TO bare_other;
         CREATE TABLE points (at oid); INSERT INTO points VALUES (90000);
         DO $$ BEGIN FOR n IN 1 .. 400 LOOP EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO engine_reader', n); END LOOP; END $$;
         GRANT SELECT ON LARGE OBJECT 90000, 90001, 90002 TO engine_reader;
         GRANT USAGE ON SCHEMA large_objects TO engine_reader; GRANT SELECT ON points TO engine_reader;",
    );
    for method in METHODS {
        let mut bench = production(trap.name, "", &[&trap]);
        bench.psql(bench.production(), &format!("GRANT CONNECT ON DATABASE {} TO engine_reader", bench.production()));
        bench.set("SHOP_PRODUCTION_URL", &bench.url("engine_reader", bench.production()));
        assert_eq!(wrong(&bench, method, "", &[&trap]), NOTHING, "{method}");
    }
}

/// A subscription that came along would take the real slot; an event trigger would fire in the clone.
#[test]
fn nothing_that_reaches_out_comes_along() {
    let trap = Item {
        name: "outward",
        sql: "CREATE TABLE t (a int PRIMARY KEY);
              INSERT INTO t VALUES (1);
              RESET ROLE;
              CREATE SUBSCRIPTION of_the_real_one CONNECTION 'host=nowhere.invalid dbname=x' PUBLICATION p
                  WITH (connect = false, slot_name = 'real_slot');
              CREATE PUBLICATION everything FOR ALL TABLES;
              CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'watched'; END $$;
              ALTER FUNCTION watch() OWNER TO shop_owner;
              CREATE EVENT TRIGGER watches ON ddl_command_end WHEN TAG IN ('CREATE AGGREGATE') EXECUTE FUNCTION watch();
              DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''9MB''', current_database()); END $$;",
        clone: &[
            (
                "SELECT (SELECT count(*) FROM pg_subscription AS s JOIN pg_database AS d ON d.oid = s.subdbid
                      WHERE datname = current_database()), (SELECT count(*) FROM pg_event_trigger),
                     (SELECT count(*) FROM pg_publication)",
                "0|0|0",
            ),
            ("SHOW work_mem", "9MB"),
        ],
    };
    let gone = [
        "not in the clone: - / of_the_real_one / SUBSCRIPTION",
        "not in the clone: - / everything / PUBLICATION",
        "not in the clone: - / watches / EVENT TRIGGER",
    ];
    for bench in alone("", "", &trap, &gone) {
        bench.engine(&["show", "latest", "clone"]).expect(0).says(&[
            "not restored: subscription of_the_real_one",
            "not restored: event trigger watches",
            "not restored: publication everything",
        ]);
    }
}

/// Locks are counted by the server: 3000 tables and two readers of them need more than the default room.
#[test]
fn thousands_of_tables_are_cloned_in_reasonable_time() {
    let own = OwnServer::new(&["max_locks_per_transaction = 256"]);
    for method in METHODS {
        let bench = Bench::bare_on(own.server(), own.server(), "thousands", "");
        bench.psql(bench.production(), &tables(3000));
        let started = Instant::now();
        bench.make_clone(method, "").expect(0);
        let taken = started.elapsed();
        assert_eq!(bench.unlike(), NOTHING, "{method}");
        assert!(taken < Duration::from_secs(100), "{method}: {taken:?}");
    }
}

#[test]
fn more_tables_than_the_server_can_lock_end_in_a_clear_error() {
    let own = OwnServer::new(&["max_locks_per_transaction = 10", "max_pred_locks_per_transaction = 10"]);
    for method in METHODS {
        let bench = Bench::bare_on(own.server(), own.server(), "unlockable", "");
        bench.psql(bench.production(), &tables(2500));
        bench.make_clone(method, "").expect(40).says(&["max_locks_per_transaction", "nothing was created"]);
        bench.nothing_left();
    }
}

/// A script that makes `count` tables, each in a transaction of its own.
fn tables(count: u32) -> String {
    let each = "format('CREATE TABLE t%s (id int%s, v text); INSERT INTO t%s SELECT n, ''x'' FROM generate_series(1, %s) AS n',
                       n, CASE n % 3 WHEN 0 THEN ' PRIMARY KEY' ELSE '' END, n, n % 4)";
    format!("SET client_min_messages = error;\nSELECT {each} FROM generate_series(1, {count}) AS n \\gexec")
}
