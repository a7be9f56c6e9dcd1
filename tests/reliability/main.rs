//! Faults of servers, connections and disks: each is brought about for real at a stage's transaction, and the run must
//! end as docs/reliability.md says, go on, and come to what a run comes to that nobody disturbed.
//!
//! The page is made of the cases' own data. `INSTA_UPDATE=always` writes it anew.

#[path = "../support/mod.rs"]
mod support;

mod aged;
mod bed;
mod case;
mod given_up;
mod journals;
mod page;
mod rollouts;
mod stages;
mod ways;

use bed::{Subject, World};
use case::Case;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Plays cases one after the other, on one server. `ENGINE_CASE` picks those whose fault has this text in it.
fn play(subject: Subject, cases: &[Case]) {
    let mut world = World::new(subject);
    let picked = std::env::var("ENGINE_CASE").unwrap_or_default();
    let mut failed = Vec::new();
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| case.fault.contains(&picked)) {
        let played = catch_unwind(AssertUnwindSafe(|| case::play(&mut world, case, number + 1)));
        if played.is_err() {
            failed.push(case.fault);
            world.mend();
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn a_stage_is_there_once_whatever_breaks() {
    play(Subject::Stage, &stages::CASES);
}

#[test]
fn a_rollout_is_there_once_whatever_breaks() {
    play(Subject::Rollout, &rollouts::CASES);
}

#[test]
fn a_stage_of_long_ago_is_not_guessed_at() {
    play(Subject::Stage, &aged::CASES);
}

#[test]
fn a_batch_is_there_once_whatever_breaks() {
    play(Subject::Batch, &ways::BATCHES);
}

#[test]
fn a_rollback_is_there_once_whatever_breaks() {
    play(Subject::Back, &ways::BACK);
}

#[test]
fn a_shared_journal_that_breaks_ends_the_run_and_loses_nothing() {
    play(Subject::Journal, &journals::CASES);
}
