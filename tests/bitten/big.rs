//! Large values must go through the engine a few at a time: its memory does not grow with the database.

use super::{METHODS, item, production};
use crate::support::PLAN;
use engine::event::Event;

/// What the engine may take, in KiB, whatever the size of the database.
const MOST: u64 = 100 * 1024;

#[test]
fn a_hundred_megabytes_in_large_values_pass_in_little_memory() {
    let trap = item(
        "big",
        "CREATE TABLE big (id int, v bytea);
         ALTER TABLE big ALTER v SET STORAGE EXTERNAL;
         INSERT INTO big SELECT n, convert_to(repeat(md5(n::text), 320000), 'UTF8') FROM generate_series(1, 10) AS n;",
    );
    for method in METHODS {
        let bench = production(trap.name, "", &[&trap]);
        let size = "SELECT sum(octet_length(v)) FROM big.big";
        assert_eq!(bench.psql(bench.production(), size), "102400000");
        bench.clone_plan(method, "");
        let (code, peak) = bench.start(&["apply", PLAN]).end_with_peak();
        assert_eq!(code, Some(0), "{method}");
        assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
        assert!((1..MOST).contains(&peak), "{method}: the engine took {peak} KiB of memory");
    }
}

/// Indexes of big leaves are built by themselves, and attached to those of the partitioned table all the same.
#[test]
fn big_partitions_keep_their_indexes_attached() {
    let trap = item(
        "big_leaves",
        "CREATE TABLE p (k int, id int, v text, PRIMARY KEY (k, id)) PARTITION BY LIST (k);
         CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
         CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
         CREATE INDEX ON p (v);
         CREATE INDEX ON p1 (id DESC) WHERE id > 10;
         CREATE TABLE alone (id int CONSTRAINT own UNIQUE DEFERRABLE INITIALLY DEFERRED, v text);
         INSERT INTO p SELECT k, n, repeat('x', 80) || n FROM generate_series(1, 2) AS k, generate_series(1, 90000) AS n;
         INSERT INTO alone SELECT n, repeat('y', 80) FROM generate_series(1, 90000) AS n;",
    );
    for method in METHODS {
        let bench = production(trap.name, "", &[&trap]);
        bench.make_clone(method, "").expect(0);
        assert_eq!(bench.unlike(), Vec::<String>::new(), "{method}");
    }
}

/// Ranges of pages leave no row out: pages without rows, rows that grew beyond the page count the planner knows.
#[test]
fn a_table_that_is_taken_in_ranges_loses_no_row() {
    let trap = item(
        "ranges",
        "CREATE TABLE gaps (id int, v text) WITH (autovacuum_enabled = false);
         ALTER TABLE gaps ALTER v SET STORAGE PLAIN;
         INSERT INTO gaps SELECT n, repeat('x', 3500) FROM generate_series(1, 6000) AS n;
         ANALYZE gaps;
         INSERT INTO gaps SELECT n, repeat('y', 3500) FROM generate_series(6001, 26000) AS n;
         DELETE FROM gaps WHERE id BETWEEN 2000 AND 9000 OR id % 13001 = 0;
         VACUUM gaps;",
    );
    let bench = production(trap.name, "", &[&trap]);
    bench.make_clone("stream", "jobs = 4").expect(0);
    assert_eq!(bench.unlike(), Vec::<String>::new());
    // One table and yet several statements: it was taken in ranges.
    let statements = bench.journal().events.into_iter().map(|event| match event {
        Event::Transaction { record } if record.purpose == "rows of the clone" => record.statements,
        _ => 0,
    });
    let statements: u32 = statements.sum();
    assert!(statements >= 3, "{statements} statements");
}
