//! A terminal that goes away, and an output that takes nothing: neither ends a run in silence, or fine.

mod support;

use std::fs::OpenOptions;
use std::process::{Child, Command, Stdio};
use support::{Bench, ended, send};

const WRITE: &str = "INSERT INTO u VALUES (1, 'a')";

fn written(name: &str) -> Bench {
    let bench = Bench::mini(name, "");
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1", WRITE, Some("DELETE FROM u"));
    bench.mini_plan(&a);
    bench.mini_apply(&["--until", "base"]).expect(0);
    bench
}

/// The engine with SIGHUP as `how` says, whatever these tests were started with.
fn started(bench: &Bench, how: &str, arguments: &[&str]) -> Child {
    let engine = bench.command(arguments);
    let mut command = Command::new("env");
    command.arg(format!("--{how}-signal=HUP")).arg(engine.get_program()).args(engine.get_args());
    command.current_dir(bench.home()).stdin(Stdio::null()).env_clear();
    command.envs(engine.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("env of coreutils")
}

/// A session that is closed sends it, and its shell once more.
#[test]
fn a_terminal_that_goes_away_ends_a_run_in_good_order() {
    let bench = written("hup");
    let mut holder = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE u;");
    let engine = started(&bench, "default", &["resume"]);
    bench.wait_for_a_waiter(bench.clone_name());
    send(&engine, "HUP");
    send(&engine, "HUP");
    let (code, screen) = ended(engine);
    assert_eq!(code, Some(129), "{screen}");
    for said in ["interrupted: ", "left   `a` was rolled back", &format!("next   engine resume {}", bench.run_id())] {
        assert!(screen.contains(said), "`{said}` is not in\n{screen}");
    }
    bench.engine(&["status"]).expect(0).says(&["interrupted: "]);
    holder.send("COMMIT;");
    assert!(holder.end());
    bench.engine(&["resume"]).expect(0);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM u"), "1");
}

#[test]
fn under_nohup_it_is_not_heard() {
    let bench = written("nohup");
    let mut holder = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE u;");
    let engine = started(&bench, "ignore", &["resume"]);
    bench.wait_for_a_waiter(bench.clone_name());
    send(&engine, "HUP");
    // It would have been cancelled long before the lock is let go.
    std::thread::sleep(std::time::Duration::from_millis(500));
    holder.send("COMMIT;");
    assert!(holder.end());
    let (code, screen) = ended(engine);
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM u"), "1");
}

/// What was done stays done, and is no success all the same: somebody waits for what was to be printed.
#[test]
fn events_that_cannot_be_written_are_no_success() {
    let bench = written("full");
    let full = || OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    for arguments in [&["resume", "--json"][..], &["rollback", "latest", "--json"], &["resume", "--json"]] {
        let engine = bench.command(arguments).stdout(full()).stderr(Stdio::piped()).spawn().expect("the engine");
        let (code, screen) = ended(engine);
        assert_eq!(code, Some(1), "{arguments:?}: {screen}");
        assert_eq!(screen.matches("standard output cannot be written").count(), 1, "{screen}");
        assert!(screen.contains("what it does stays done"), "{screen}");
    }
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM u"), "1");
    bench.engine(&["status"]).expect(0).says(&["all 4 stages done"]);
}
