//! A stage that dies moves sequences that another stage drew from before: they are put back, since that one was done.
//! The kill loop found it: the copy of a rehearsal drew other values than the clone.

mod support;

use std::os::unix::process::ExitStatusExt;
use support::{Bench, MAIN_JOB};

const NEXT_POSITION: &str =
    "SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END FROM gov_events_position_seq";

#[test]
fn what_its_rejects_moved_of_a_sequence_of_an_earlier_stage_is_put_back() {
    // Behind its rejects: not committed, at its COMMIT, and committed.
    for at in ["journal/rejects/e_worker/synced#1", "journal/commit_intended/e_worker/synced#1", "commit/answered#4"] {
        let bench = Bench::new("moved");
        let var = bench.clone_var();
        let mut command = bench.command(&["apply", MAIN_JOB, "--var", &var]);
        let output = command.env("ENGINE_CRASH_AT", at).output().expect("the engine");
        assert_eq!(output.status.signal(), Some(9), "{at}: {}", String::from_utf8_lossy(&output.stderr));
        let begun = bench.journal().count(|event| event.stage() == Some("e_worker"));
        assert!(begun > 0, "{at}: it died before the stage");
        assert_ne!(bench.psql(bench.clone_name(), NEXT_POSITION), "7", "{at}: nothing was moved");
        bench.engine(&["resume"]).expect(0);
        assert_eq!(bench.psql(bench.clone_name(), NEXT_POSITION), "7", "{at}");
    }
}
