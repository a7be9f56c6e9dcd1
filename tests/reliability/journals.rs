//! What happens to the shared journal of a run: nobody commits what could not be written down before, and what was
//! committed is found.

use crate::bed::{Bed, limit_files};
use crate::case::{Act, Case, Left, PLAIN, RESUME, Then};
use crate::support::{Does, KEEPER, Spot};

/// The line that must be there before COMMIT is sent.
const BEFORE: Spot = Spot::Value("\"commit_intended\"");

/// The line that says that the stage is committed.
const AFTER: Spot = Spot::Value("\"stage_committed\"");

const SAID: &[&str] =
    &["the journal of run", "cannot be written", "what was committed before stays committed", "engine resume"];

/// The run cannot say anything any more.
const ENDED: Case = Case { exit: 1, says: SAID, ..PLAIN };

pub const CASES: [Case; 14] = [
    Case {
        fault: "one byte at a time",
        how: "every byte of the journal's connection goes alone, both ways",
        act: Act::Slow,
        left: Left::Whole,
        then: &[],
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "cut before the intent",
        how: "both connections are closed before the line that must precede COMMIT arrives",
        act: Act::Proxy(BEFORE, Does::CutBefore),
        ..ENDED
    },
    Case {
        fault: "cut after the intent",
        how: "the line that must precede COMMIT is written, the answer is lost, both connections are closed",
        act: Act::Proxy(BEFORE, Does::CutAfter),
        ..ENDED
    },
    Case {
        fault: "reset before the intent",
        how: "the same as a cut, by a reset",
        act: Act::Proxy(BEFORE, Does::ResetBefore),
        ..ENDED
    },
    Case {
        fault: "reset after the intent",
        how: "the same as a cut, by a reset",
        act: Act::Proxy(BEFORE, Does::ResetAfter),
        ..ENDED
    },
    Case {
        fault: "cut before the outcome",
        how: "the stage is committed; both connections are closed before the line that says so arrives",
        act: Act::Proxy(AFTER, Does::CutBefore),
        left: Left::Whole,
        attempts: 1,
        ..ENDED
    },
    Case {
        fault: "cut after the outcome",
        how: "the line that says that the stage is committed is written, the answer is lost, both connections are closed",
        act: Act::Proxy(AFTER, Does::CutAfter),
        left: Left::Whole,
        attempts: 1,
        ..ENDED
    },
    Case {
        fault: "half a connection",
        how: "the engine's side is closed before the intent arrives, the journal's server does not see it",
        act: Act::Proxy(BEFORE, Does::Orphan),
        then: &[
            Then {
                first: "not seen yet",
                repair: |_| (),
                exit: 60,
                says: &["another process works on run", "held by engine", "ends within half a minute"],
                ..RESUME
            },
            Then { first: "seen: its session has ended", repair: terminate, ..RESUME },
        ],
        ..ENDED
    },
    Case {
        fault: "the answer to the intent never comes",
        how: "the line that must precede COMMIT is written, the answer is kept back",
        act: Act::Proxy(BEFORE, Does::Stall),
        says: &["cannot be written: the server did not answer within 30s", "engine resume"],
        ..ENDED
    },
    Case {
        fault: "the journal's session terminated",
        how: "pg_terminate_backend while the intent is on its way",
        act: Act::Held(BEFORE, terminate),
        ..ENDED
    },
    Case {
        fault: "the journal's server crashes",
        how: "stopped `immediate` and started while the intent is on its way",
        act: Act::Held(BEFORE, crash),
        ..ENDED
    },
    Case {
        fault: "disk of the journal's server full",
        how: "the server's files may not grow while the intent is on its way",
        act: Act::Held(BEFORE, fill_the_disk),
        says: &["could not extend file", "cannot be written", "engine resume"],
        then: &[Then { first: "room made", repair: empty_the_disk, ..RESUME }],
        ..ENDED
    },
    Case {
        fault: "max_connections reached",
        how: "others take every connection of the journal's server while the intent is on its way: the run has its own",
        act: Act::Held(BEFORE, crowd),
        left: Left::Whole,
        then: &[],
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "max_connections reached, and the session terminated",
        how: "others take every connection of the journal's server, that of the run too, while the intent is on its way",
        act: Act::Held(BEFORE, terminate_and_crowd),
        then: &[
            Then {
                first: "still crowded",
                repair: |_| (),
                exit: 75,
                says: &["cannot reach `ENGINE_JOURNAL`", "nothing was changed", "the same command again"],
                ..RESUME
            },
            Then { first: "others gone", repair: leave, ..RESUME },
        ],
        ..ENDED
    },
];

fn crash(bed: &mut Bed) {
    bed.journal_crashes();
}

fn terminate(bed: &mut Bed) {
    let sql = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
               WHERE datname = current_database() AND usename = 'journal_keeper' AND application_name LIKE 'engine % pid%'";
    assert_eq!(bed.bench.in_journal(sql), "1");
}

/// Only superusers' connections are left.
fn crowd(bed: &mut Bed) {
    let server = bed.team.as_ref().expect("a journal of its own").server();
    let database = format!("journal_of_{}", bed.bench.clone_name());
    bed.crowd(server, &database, 0);
    server.psql_as(KEEPER).run(&database, "sql", "SELECT 1").expect_err("every connection is taken");
}

fn terminate_and_crowd(bed: &mut Bed) {
    terminate(bed);
    crowd(bed);
}

fn leave(bed: &mut Bed) {
    bed.others.clear();
}

/// The table of lines has 18 MB, more than a file of WAL, and each new line needs a page of its own.
fn fill_the_disk(bed: &mut Bed) {
    let line = "(run, seq, prev, hash, line, server)";
    bed.bench.tamper(&format!(
        "ALTER TABLE engine_journal.line SET (fillfactor = 10);
         INSERT INTO engine_journal.line {line} SELECT 'junk', k, k::text, '', convert_to(repeat('x', 1000), 'UTF8'), ''
         FROM generate_series(1, 2300) AS k;
         DELETE FROM engine_journal.line WHERE run = 'junk'"
    ));
    let size: u64 =
        bed.bench.in_journal("SELECT pg_relation_size('engine_journal.line')").parse().expect("a number of bytes");
    assert!(size > 17 << 20, "{size}");
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for pid in bed.bench.in_journal(sql).lines() {
        limit_files(pid.parse().expect("a number"), &size.to_string());
    }
    limit_files(server(bed), &size.to_string());
}

fn empty_the_disk(bed: &mut Bed) {
    limit_files(server(bed), "unlimited");
}

fn server(bed: &Bed) -> u32 {
    bed.team.as_ref().expect("a journal of its own").server().process_id().expect("a server")
}
