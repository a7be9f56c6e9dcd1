//! A run that is taken up so late that its server has forgotten how the transaction ended.

use crate::bed::Bed;
use crate::case::{Act, Case, PLAIN, RESUME, Then};

pub const CASES: [Case; 1] = [Case {
    fault: "the server has forgotten the transaction",
    how: "engine killed before COMMIT is sent; 1,100,000 transactions of others, VACUUM FREEZE in every database",
    act: Act::Vanish("journal/commit_intended/a/synced#1"),
    exit: 137,
    then: &[
        Then {
            first: "what pg_xact kept of it is gone",
            repair: age,
            exit: 50,
            says: &[
                "whether stage `a` was committed is not known: the server has forgotten how that transaction ended",
                "it is older than all that its pg_xact keeps",
                "nothing more was sent",
                "compare the tables the stage writes with its bound",
                "start anew",
            ],
            ..RESUME
        },
        Then { word: "drop", ..RESUME },
        Then { word: "apply", ..RESUME },
    ],
    attempts: 1,
    ..PLAIN
}];

/// A file of pg_xact has room for the ends of 1,048,576 transactions, and only whole files are taken away.
fn age(bed: &mut Bed) {
    let idle = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", bed.database());
    bed.bench.wait_until("postgres", &idle, "0");
    let before = bed.bench.psql("postgres", "SELECT pg_current_xact_id()::text::bigint");
    // A block with EXCEPTION is a transaction within one, with an id of its own.
    let take = "DO $$ BEGIN
        FOR n IN 1..11 LOOP
            FOR k IN 1..100000 LOOP
                BEGIN PERFORM pg_logical_emit_message(true, '', ''); EXCEPTION WHEN division_by_zero THEN NULL; END;
            END LOOP;
            COMMIT;
        END LOOP;
    END $$";
    bed.bench.psql("postgres", take);
    bed.bench.psql("postgres", "UPDATE pg_database SET datallowconn = true WHERE datname = 'template0'; CHECKPOINT");
    let databases = bed.bench.psql("postgres", "SELECT datname FROM pg_database ORDER BY datname");
    for database in databases.lines() {
        bed.bench.psql(database, "VACUUM FREEZE");
    }
    bed.bench.psql("postgres", "UPDATE pg_database SET datallowconn = false WHERE datname = 'template0'");
    assert_eq!(bed.bench.psql("postgres", &format!("SELECT pg_xact_status('{before}') IS NULL")), "t");
}
