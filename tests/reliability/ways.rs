//! What happens to a batch of a stage, and to the rollback of one: transactions by the same protocol.

use crate::case::{Act, Case, Left, PLAIN, RESUME, Then};
use crate::stages::{RESTART, crash, crash_and_restart, crash_both, terminate};
use crate::support::{Does, Spot};

/// The second COMMIT of the stage.
const SECOND: Spot = Spot::CommitAfter(1);

/// All three batches, one that finds that there are enough, and what was run again.
const AGAIN: usize = 5;

const NOT_KNOWN: &[&str] = &["whether batch 2 of stage `a` was committed is not known", "engine resume"];

const BATCH: Case = Case { attempts: AGAIN, ..PLAIN };

pub const BATCHES: [Case; 8] = [
    Case {
        fault: "cut before COMMIT",
        how: "both connections are closed while COMMIT is on its way",
        act: Act::Proxy(SECOND, Does::CutBefore),
        exit: 75,
        says: &["1 batch of `a` (5 row changes) is committed and stays; the last one was rolled back", "engine resume"],
        ..BATCH
    },
    Case {
        fault: "cut after COMMIT",
        how: "the server's answer to COMMIT is lost, both connections are closed",
        act: Act::Proxy(SECOND, Does::CutAfter),
        left: Left::Whole,
        then: &[],
        attempts: 4,
        ..BATCH
    },
    Case {
        fault: "half a connection",
        how: "the engine's side is closed before COMMIT, the server does not see it",
        act: Act::Proxy(SECOND, Does::Orphan),
        exit: 75,
        ..BATCH
    },
    Case {
        fault: "backend terminated before COMMIT",
        how: "pg_terminate_backend while COMMIT is on its way",
        act: Act::Held(SECOND, terminate),
        exit: 75,
        ..BATCH
    },
    Case {
        fault: "server crashes before COMMIT",
        how: "stopped `immediate` while COMMIT is on its way",
        act: Act::Held(SECOND, crash),
        exit: 50,
        says: NOT_KNOWN,
        then: &[RESTART],
        ..BATCH
    },
    Case {
        fault: "server and engine crash before COMMIT",
        how: "stopped `immediate` and killed while COMMIT is on its way",
        act: Act::Held(SECOND, crash_both),
        exit: 137,
        then: &[RESTART],
        ..BATCH
    },
    Case {
        fault: "engine crashes between the id and COMMIT, and then the server",
        how: "engine killed once the transaction's id is durable in both places, server stopped `immediate`",
        act: Act::Vanish("journal/commit_intended/a/synced#2"),
        exit: 137,
        then: CRASHED,
        ..BATCH
    },
    Case {
        fault: "server and engine crash after COMMIT",
        how: "engine killed before it writes down the answer, server stopped `immediate`",
        act: Act::Vanish("journal/batch_committed/a/before#2"),
        exit: 137,
        left: Left::Whole,
        then: CRASHED,
        attempts: 4,
        ..BATCH
    },
];

const CRASHED: &[Then] =
    &[Then { first: "server crashed and started, 30 transactions of others", repair: crash_and_restart, ..RESUME }];

/// A rollback goes on by the same word.
const ON: Then = Then { word: "rollback", ..RESUME };

const CRASHED_BACK: &[Then] =
    &[Then { first: "server crashed and started, 30 transactions of others", repair: crash_and_restart, ..ON }];

const RESTART_BACK: &[Then] = &[Then { word: "rollback", ..RESTART }];

pub const BACK: [Case; 8] = [
    Case {
        fault: "cut before COMMIT",
        how: "both connections are closed while COMMIT is on its way",
        act: Act::Proxy(Spot::Commit, Does::CutBefore),
        exit: 75,
        says: &["nothing of the rollback of `a` was committed", "engine rollback"],
        then: &[ON],
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
        fault: "half a connection",
        how: "the engine's side is closed before COMMIT, the server does not see it",
        act: Act::Proxy(Spot::Commit, Does::Orphan),
        exit: 75,
        then: &[ON],
        ..PLAIN
    },
    Case {
        fault: "backend terminated before COMMIT",
        how: "pg_terminate_backend while COMMIT is on its way",
        act: Act::Held(Spot::Commit, terminate),
        exit: 75,
        then: &[ON],
        ..PLAIN
    },
    Case {
        fault: "server crashes before COMMIT",
        how: "stopped `immediate` while COMMIT is on its way",
        act: Act::Held(Spot::Commit, crash),
        exit: 50,
        says: &["whether the rollback of `a` was committed is not known", "engine rollback"],
        then: RESTART_BACK,
        ..PLAIN
    },
    Case {
        fault: "server and engine crash before COMMIT",
        how: "stopped `immediate` and killed while COMMIT is on its way",
        act: Act::Held(Spot::Commit, crash_both),
        exit: 137,
        then: RESTART_BACK,
        ..PLAIN
    },
    Case {
        fault: "engine crashes between the id and COMMIT, and then the server",
        how: "engine killed once the transaction's id is durable in both places, server stopped `immediate`",
        act: Act::Vanish("journal/undo_intended/a/synced#1"),
        exit: 137,
        then: CRASHED_BACK,
        ..PLAIN
    },
    Case {
        fault: "server and engine crash after COMMIT",
        how: "engine killed before it writes down the answer, server stopped `immediate`",
        act: Act::Vanish("journal/undo_committed/a/before#1"),
        exit: 137,
        left: Left::Whole,
        then: CRASHED_BACK,
        attempts: 1,
        ..PLAIN
    },
];
