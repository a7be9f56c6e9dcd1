//! What happens to a rollout: the one write to production, behind its gate.

use crate::bed::MIDDLE;
use crate::case::{Act, Case, Left, PLAIN, Then};
use crate::stages::{RESTART, crash, crash_and_restart, crash_both, fill_the_journal, leave, lock, terminate};
use crate::support::{Does, Spot};

const NOTHING: &[&str] = &["nothing of `go_production` was committed", "engine resume"];

pub const CASES: [Case; 15] = [
    Case {
        fault: "one byte at a time",
        how: "every byte goes alone, both ways",
        act: Act::Slow,
        left: Left::Whole,
        then: &[],
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "cut before COMMIT",
        how: "both connections are closed while COMMIT is on its way",
        act: Act::Proxy(Spot::Commit, Does::CutBefore),
        exit: 75,
        says: NOTHING,
        ..PLAIN
    },
    Case {
        fault: "cut after COMMIT",
        how: "the server's answer to COMMIT is lost, both connections are closed",
        act: Act::Proxy(Spot::Commit, Does::CutAfter),
        left: Left::Whole,
        then: &[],
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "reset before COMMIT",
        how: "the same as a cut, by a reset",
        act: Act::Proxy(Spot::Commit, Does::ResetBefore),
        exit: 75,
        says: NOTHING,
        ..PLAIN
    },
    Case {
        fault: "reset after COMMIT",
        how: "the same as a cut, by a reset",
        act: Act::Proxy(Spot::Commit, Does::ResetAfter),
        left: Left::Whole,
        then: &[],
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "a pooler's error for an answer",
        how: "the server commits; the engine is told FATAL 08P01, `server conn crashed?`",
        act: Act::Proxy(Spot::Commit, Does::Pooler),
        left: Left::Whole,
        then: &[],
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "COMMIT never arrives",
        how: "it is kept back; the stage's `timeout` is 15 s",
        keys: "timeout = \"15s\"",
        act: Act::Proxy(Spot::Commit, Does::StallBefore),
        exit: 50,
        says: &["took longer than its timeout of 15s", "COMMIT of transaction", "asks the server what became of it"],
        ..PLAIN
    },
    Case {
        fault: "half a connection",
        how: "the engine's side is closed before COMMIT, the server does not see it",
        act: Act::Proxy(Spot::Commit, Does::Orphan),
        exit: 75,
        says: NOTHING,
        ..PLAIN
    },
    Case {
        fault: "backend terminated before COMMIT",
        how: "pg_terminate_backend while COMMIT is on its way",
        act: Act::Held(Spot::Commit, terminate),
        exit: 75,
        says: NOTHING,
        ..PLAIN
    },
    Case {
        fault: "disk of the journal full at COMMIT",
        how: "the engine's files may not grow while COMMIT is on its way",
        act: Act::Held(Spot::Commit, fill_the_journal),
        exit: 1,
        says: &["the journal", "cannot be written", "make room", "engine resume"],
        left: Left::Whole,
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "server crashes within a rollout",
        how: "stopped `immediate` between two statements",
        act: Act::Held(MIDDLE, crash),
        exit: 75,
        says: &["`production` was not changed", "engine resume"],
        then: &[RESTART],
        ..PLAIN
    },
    Case {
        fault: "server crashes before COMMIT",
        how: "stopped `immediate` while COMMIT is on its way",
        act: Act::Held(Spot::Commit, crash),
        exit: 50,
        says: &["whether stage `go_production` was committed is not known", "asks the server what became of it"],
        then: &[RESTART],
        ..PLAIN
    },
    Case {
        fault: "server and engine crash before COMMIT",
        how: "stopped `immediate` and killed while COMMIT is on its way",
        act: Act::Held(Spot::Commit, crash_both),
        exit: 137,
        then: &[RESTART],
        ..PLAIN
    },
    Case {
        fault: "server and engine crash after COMMIT",
        how: "engine killed before it writes down the answer, server stopped `immediate`",
        act: Act::Vanish("journal/stage_committed/go_production/before#1"),
        exit: 137,
        left: Left::Whole,
        then: &[Then {
            first: "server crashed and started, 30 transactions of others",
            repair: crash_and_restart,
            ..crate::case::RESUME
        }],
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "lock time-out",
        how: "another session holds a row; `retry = 1`",
        keys: "retry = 1",
        act: Act::Held(MIDDLE, lock),
        exit: 75,
        says: &["lock timeout", "SQLSTATE 55P03", "`production` was not changed", "engine resume"],
        then: &[Then { first: "the other session ended", repair: leave, ..crate::case::RESUME }],
        attempts: 3,
        ..PLAIN
    },
];
