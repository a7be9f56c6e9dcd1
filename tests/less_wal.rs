//! Whole pages in the WAL of a clone that is made are compressed where the maker may say so.

mod support;

use support::{Bench, OwnServer};

/// Bytes of WAL that a clone with an index to build costs.
fn wal_of_a_clone(server: &OwnServer, name: &str, grant: &str) -> u64 {
    let bench = Bench::bare_on(server.server(), server.server(), name, "");
    let rows = "CREATE TABLE t (id int, v text);
        INSERT INTO t SELECT n, repeat('x', 200) || n FROM generate_series(1, 60000) AS n;
        CREATE INDEX ON t (v)";
    bench.psql(bench.production(), rows);
    bench.psql(
        "postgres",
        &format!(
            "{grant} SET ON PARAMETER wal_compression {} engine_cloner",
            if grant == "GRANT" { "TO" } else { "FROM" }
        ),
    );
    let wal =
        || bench.psql("postgres", "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").parse::<u64>().expect("bytes");
    let before = wal();
    bench.make_clone("stream", "").expect(0);
    wal() - before
}

#[test]
fn whole_pages_are_compressed_where_the_maker_may() {
    let server = OwnServer::new(&["full_page_writes=on"]);
    let plain = wal_of_a_clone(&server, "plain", "REVOKE");
    let compressed = wal_of_a_clone(&server, "compressed", "GRANT");
    assert!(compressed * 10 < plain * 9, "{compressed} of {plain} bytes");
}
