//! What happens to a stage on a clone.

use crate::bed::{Bed, FIRST, MIDDLE, crowd_out, limit_files};
use crate::case::{Act, Case, Left, PLAIN, RESUME, Then};
use crate::support::{Does, Session, Spot};
use std::process::Command;

/// The server is started, others are at work, and the run goes on.
pub const RESTART: Then = Then { first: "server started, 30 transactions of others", repair: restart, ..RESUME };

/// What the engine says when it knows that nothing was committed.
pub const NOTHING: &[&str] = &["nothing of `a` was committed", "engine resume"];

pub const CASES: [Case; 28] = [
    Case {
        fault: "one byte at a time",
        how: "every byte of every connection of the run goes alone, both ways",
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
        fault: "the answer to COMMIT never comes",
        how: "it is kept back; the stage's `timeout` is 15 s",
        keys: "timeout = \"15s\"",
        act: Act::Proxy(Spot::Commit, Does::Stall),
        exit: 50,
        says: &["took longer than its timeout of 15s", "COMMIT of transaction", "asks the server what became of it"],
        left: Left::Whole,
        attempts: 1,
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
        fault: "half a connection within a stage",
        how: "the engine's side is closed between two statements, the server does not see it and keeps its locks",
        act: Act::Proxy(MIDDLE, Does::Orphan),
        exit: 75,
        says: &["the connection was lost", "engine resume"],
        ..PLAIN
    },
    Case {
        fault: "backend terminated within a stage",
        how: "pg_terminate_backend between two statements",
        act: Act::Held(MIDDLE, terminate),
        exit: 75,
        says: &["rolled back: the clone is as before `a`", "engine resume"],
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
        fault: "server crashes within a stage",
        how: "stopped `immediate` between two statements",
        act: Act::Held(MIDDLE, crash),
        exit: 75,
        says: &["rolled back: the clone is as before `a`", "engine resume"],
        then: &[RESTART],
        ..PLAIN
    },
    Case {
        fault: "server crashes before COMMIT",
        how: "stopped `immediate` while COMMIT is on its way",
        act: Act::Held(Spot::Commit, crash),
        exit: 50,
        says: &["whether stage `a` was committed is not known", "asks the server what became of it"],
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
        act: Act::Vanish("journal/stage_committed/a/before#1"),
        exit: 137,
        left: Left::Whole,
        then: &[Then {
            first: "server crashed and started, 30 transactions of others",
            repair: crash_and_restart,
            ..RESUME
        }],
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "an asynchronous commit that would be lost",
        how: "server stopped `immediate` and engine killed once it has written down that the stage is committed; the server has synchronous_commit = off",
        act: Act::Vanish("journal/stage_committed/a/synced#1"),
        exit: 137,
        left: Left::Whole,
        then: &[Then {
            first: "server crashed and started, 30 transactions of others",
            repair: crash_and_restart,
            ..RESUME
        }],
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "disk of the journal full before COMMIT",
        how: "the engine's files may not grow from between two statements on",
        act: Act::Held(MIDDLE, fill_the_journal),
        exit: 1,
        says: &["the journal", "cannot be written", "make room", "engine resume"],
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
        fault: "disk of the database full",
        how: "the server's files may not grow beyond 17 MB, the stage writes 24",
        big: true,
        act: Act::Held(Spot::Statement("INSERT INTO n"), fill_the_disk),
        exit: 40,
        says: &["could not extend file", "rolled back: the clone is as before `a`", "make room", "engine resume"],
        then: &[Then { first: "room made", repair: empty_the_disk, ..RESUME }],
        ..PLAIN
    },
    Case {
        fault: "clone dropped",
        how: "DROP DATABASE ... WITH (FORCE) between two statements",
        act: Act::Held(MIDDLE, drop_the_clone),
        exit: 63,
        says: &["is gone", "start anew", "engine apply"],
        left: Left::Gone,
        then: &[Then { exit: 63, says: &["is gone", "engine apply"], ..RESUME }, Then { word: "apply", ..RESUME }],
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "clone replaced by another of its name",
        how: "renamed between two statements, and an empty database takes its name",
        act: Act::Held(MIDDLE, replace_the_clone),
        exit: 63,
        says: &["is not the clone of this run", "it is not production", "engine resume"],
        then: &[
            Then { first: "nothing repaired", exit: 63, says: &["is not the clone of run", "engine resume"], ..RESUME },
            Then { first: "renamed back", repair: put_the_clone_back, ..RESUME },
        ],
        ..PLAIN
    },
    Case {
        fault: "max_connections reached",
        how: "others take every connection between two statements: none is left to make the id durable",
        keys: "lock_timeout = \"60s\"",
        act: Act::Crowded(MIDDLE),
        exit: 75,
        says: &["remaining connection slots", "engine resume"],
        then: &[
            Then {
                first: "still crowded",
                repair: crowd_out,
                exit: 75,
                says: &["tried 3 times", "nothing was changed", "the same command again"],
                ..RESUME
            },
            Then { first: "others gone", repair: leave, ..RESUME },
        ],
        ..PLAIN
    },
    Case {
        fault: "deadlock",
        how: "another session locks the two rows in the other order; `retry = 1`",
        keys: "retry = 1",
        act: Act::Held(MIDDLE, embrace),
        left: Left::Whole,
        then: &[],
        ..PLAIN
    },
    Case {
        fault: "lock time-out",
        how: "another session holds a row; `lock_timeout = \"300ms\"`, `retry = 1`",
        keys: "lock_timeout = \"300ms\"\nretry = 1",
        act: Act::Held(MIDDLE, lock),
        exit: 75,
        says: &["lock timeout", "SQLSTATE 55P03", "rolled back: the clone is as before `a`", "engine resume"],
        then: &[Then { first: "the other session ended", repair: leave, ..RESUME }],
        attempts: 3,
        ..PLAIN
    },
    Case {
        fault: "serialization failure",
        how: "a trigger of the clone's raises 40001 as long as somebody holds a lock; `retry = 2`",
        keys: "retry = 2",
        act: Act::Held(MIDDLE, conflict),
        exit: 75,
        says: &["SQLSTATE 40001", "rolled back: the clone is as before `a`", "engine resume"],
        then: &[Then { first: "the conflict is over", repair: agree, ..RESUME }],
        attempts: 4,
        ..PLAIN
    },
    Case {
        fault: "server restored to before the stage",
        how: "its data of between two statements is kept, and put back when the run has ended",
        act: Act::Held(MIDDLE, keep_the_data),
        left: Left::Whole,
        then: &[
            Then {
                first: "data put back",
                repair: put_the_data_back,
                exit: 50,
                says: &["stage `a` was committed, and its server has lost it", "nothing was changed", "start anew"],
                ..RESUME
            },
            Then { word: "drop", ..RESUME },
            Then { word: "apply", ..RESUME },
        ],
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "failed over to a standby that lagged",
        how: "the run has ended; a standby that has its data of before the stage is promoted, and made no checkpoint yet",
        act: Act::Held(FIRST, keep_the_data),
        left: Left::Whole,
        then: FAILED_OVER,
        attempts: 1,
        ..PLAIN
    },
    Case {
        fault: "failed over before COMMIT",
        how: "server stopped `immediate` and engine killed while COMMIT is on its way; a standby that has its data is promoted, \
              and made no checkpoint yet",
        act: Act::Held(Spot::Commit, keep_the_data_and_crash),
        exit: 137,
        then: FAILED_OVER_WITHIN,
        attempts: 1,
        ..PLAIN
    },
];

/// Nobody can tell what became of what was committed on the old timeline: the run ends there, and a new one begins.
const FAILED_OVER: &[Then] = &[
    Then {
        first: "standby promoted, 30 transactions of others",
        repair: fail_over,
        exit: 50,
        says: &["stage `a` was committed, and whether its server still has it is not known", TIMELINES, "start anew"],
        ..RESUME
    },
    Then { repair: checkpoints_again, word: "drop", ..RESUME },
    Then { word: "apply", ..RESUME },
];

const FAILED_OVER_WITHIN: &[Then] = &[
    Then {
        first: "standby promoted, 30 transactions of others",
        repair: fail_over,
        exit: 50,
        says: &["whether stage `a` was committed is not known", "restored or failed over since", "start anew"],
        ..RESUME
    },
    Then { repair: checkpoints_again, word: "drop", ..RESUME },
    Then { word: "apply", ..RESUME },
];

const TIMELINES: &str = "the server is on timeline";

/// The backend that has the stage's transaction open.
pub fn terminate(bed: &mut Bed) {
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
         WHERE datname = '{}' AND state = 'idle in transaction'",
        bed.database()
    );
    assert_eq!(bed.bench.psql("postgres", &sql), "1");
}

pub fn crash(bed: &mut Bed) {
    bed.crash();
}

fn restart(bed: &mut Bed) {
    bed.restart();
}

pub fn crash_both(bed: &mut Bed) {
    // The server first: it must not hear that its client has gone.
    bed.crash();
    bed.engine.as_mut().expect("an engine").kill();
}

pub fn crash_and_restart(bed: &mut Bed) {
    bed.crash();
    bed.restart();
}

/// Whatever the journal is now, a few bytes of its next line still fit.
pub fn fill_the_journal(bed: &mut Bed) {
    let journal = bed.bench.home().join(bed.bench.of_run("journal.jsonl"));
    let size = std::fs::metadata(journal).expect("a journal").len();
    limit_files(bed.engine.as_ref().expect("an engine").id(), &(size + 20).to_string());
}

fn server(bed: &Bed) -> u32 {
    bed.own.server().process_id().expect("a server")
}

/// Backends that are there already are bounded, too.
fn fill_the_disk(bed: &mut Bed) {
    let sql = format!("SELECT pid FROM pg_stat_activity WHERE datname = '{}'", bed.database());
    for pid in bed.bench.psql("postgres", &sql).lines() {
        limit_files(pid.parse().expect("a number"), &(17 << 20).to_string());
    }
    limit_files(server(bed), &(17 << 20).to_string());
}

fn empty_the_disk(bed: &mut Bed) {
    limit_files(server(bed), "unlimited");
}

fn drop_the_clone(bed: &mut Bed) {
    bed.bench.psql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", bed.database()));
}

fn replace_the_clone(bed: &mut Bed) {
    let name = bed.database().to_owned();
    bed.bench.psql("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    let end = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE datname =";
    bed.bench.psql("postgres", &format!("{end} '{name}'"));
    bed.bench.psql("postgres", &format!("ALTER DATABASE {name} RENAME TO {name}_away"));
    bed.bench.psql("postgres", &format!("CREATE DATABASE {name}"));
    bed.bench.psql(&name, "CREATE TABLE n (id int); CREATE TABLE t (v text)");
}

fn put_the_clone_back(bed: &mut Bed) {
    let name = bed.database().to_owned();
    bed.bench.psql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
    bed.bench.psql("postgres", &format!("ALTER DATABASE {name}_away RENAME TO {name}"));
    bed.bench.psql("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
}

/// Takes connections until the server gives no more to ordinary roles.
pub fn leave(bed: &mut Bed) {
    bed.others.clear();
}

fn other(bed: &Bed, sql: &str) -> Session {
    bed.bench.session(bed.database(), sql)
}

/// Has row 1, and waits for row 2, which the stage has; only the stage looks for deadlocks. It leaves with the end of
/// its wait.
fn embrace(bed: &mut Bed) {
    let mut session = other(
        bed,
        "SET deadlock_timeout = '1h'; SET application_name = 'other'; BEGIN; SELECT FROM t WHERE id = 1 FOR UPDATE;",
    );
    session.send("SELECT FROM t WHERE id = 2 FOR UPDATE; ROLLBACK;");
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'other' AND wait_event_type = 'Lock'";
    bed.bench.wait_until("postgres", waits, "1");
    bed.others.push(session);
}

pub fn lock(bed: &mut Bed) {
    let session = other(bed, "BEGIN; SELECT FROM t WHERE id = 1 FOR UPDATE;");
    bed.others.push(session);
}

fn conflict(bed: &mut Bed) {
    let database = bed.database().to_owned();
    let session = other(bed, "SELECT pg_advisory_lock(4711);");
    bed.others.push(session);
    assert_eq!(
        bed.bench.psql(&database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"),
        "1"
    );
}

/// As a backup has it: nobody writes, and what is open there will never be committed.
fn keep_the_data(bed: &mut Bed) {
    let data = bed.bench.psql("postgres", "CHECKPOINT; SHOW data_directory");
    assert!(Command::new("cp").args(["-a", &data, &format!("{data}.kept")]).status().expect("cp").success());
}

fn put_the_data_back(bed: &mut Bed) {
    let data = bed.bench.psql("postgres", "SHOW data_directory");
    bed.crash();
    std::fs::remove_dir_all(&data).expect("the data of a server of ours");
    std::fs::rename(format!("{data}.kept"), &data).expect("what was kept of it");
    std::fs::remove_file(format!("{data}/postmaster.pid")).expect("it was at work");
    bed.start();
}

fn keep_the_data_and_crash(bed: &mut Bed) {
    keep_the_data(bed);
    crash_both(bed);
}

/// Puts the data back as that of a standby, and promotes it. Its checkpointer is stopped before: for minutes, on a server with
/// much to write, the control file still says the old timeline.
fn fail_over(bed: &mut Bed) {
    let data = bed.own.data().join("data");
    if bed.up {
        bed.crash();
    }
    std::fs::remove_dir_all(&data).expect("the data of a server of ours");
    std::fs::rename(data.with_extension("kept"), &data).expect("what was kept of it");
    std::fs::remove_file(data.join("postmaster.pid")).expect("it was at work");
    std::fs::write(data.join("standby.signal"), "").expect("a signal");
    bed.start();
    signal_the_checkpointer(bed, "STOP");
    assert_eq!(bed.bench.psql("postgres", "SELECT pg_promote()"), "t");
    let take = "SELECT pg_current_xact_id();\n".repeat(30);
    bed.bench.psql("postgres", &take);
}

fn checkpoints_again(bed: &mut Bed) {
    signal_the_checkpointer(bed, "CONT");
}

fn signal_the_checkpointer(bed: &Bed, signal: &str) {
    let pid = bed.bench.psql("postgres", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
    assert!(Command::new("kill").args(["-s", signal, &pid]).status().expect("kill").success());
}

fn agree(bed: &mut Bed) {
    bed.others.clear();
}
