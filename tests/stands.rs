//! What is committed stands, whatever fails behind it; and what the engine itself writes on a clone is no change of it.

mod support;

use engine::event::Event;
use support::{Bench, MINI, ended, ended_after, signal_to};

fn commits(bench: &Bench, of: &str) -> usize {
    bench.journal().count(|event| matches!(event, Event::StageCommitted { stage, .. } if stage == of))
}

/// A table of which nothing says that a row is there already.
const TWICE: &str = "CREATE TABLE g (v text); GRANT SELECT ON g TO engine_reader";

/// Production is read behind COMMIT, for a later guard, and cannot be: the stage is not begun a second time.
#[test]
fn a_reading_that_fails_behind_commit_runs_nothing_again() {
    let bench = Bench::mini("behind", TWICE);
    let slow = "INSERT INTO g SELECT 'a' FROM generate_series(1, 3); SELECT pg_sleep(3)";
    let a = bench.mini_stage("a", "\"base\"", "writes.g = 3", slow, None);
    let b =
        bench.mini_stage("b", "\"a\"", "guard.same = \"oks = a.oks\"\nwrites.u = 1", "INSERT INTO u VALUES (1)", None);
    bench.mini_plan(&format!("{a}{b}"));
    let engine = bench.start(&["apply", MINI]);
    let at_work = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND state = 'active' AND query LIKE '%pg_sleep%'",
        bench.clone_name()
    );
    bench.wait_until("postgres", &at_work, "1");
    // Another database has its name for a while.
    let production = bench.production();
    let sql = |text: String| text.split(';').map(|one| bench.psql("postgres", one)).for_each(drop);
    sql(format!(
        "ALTER DATABASE {production} ALLOW_CONNECTIONS false;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{production}';
         ALTER DATABASE {production} RENAME TO {production}_away; CREATE DATABASE {production} OWNER shop_owner;
         REVOKE CONNECT, TEMPORARY ON DATABASE {production} FROM PUBLIC;
         GRANT CONNECT ON DATABASE {production} TO engine_reader"
    ));
    assert_eq!(engine.end(), Some(63));
    assert_eq!(commits(&bench, "a"), 1);
    let told = "`production` leads to one database now and to another then";
    bench.engine(&["status"]).expect(0).says(&["a", "committed, not proved", told]);
    let page = bench.read(&bench.of_run("dossier/06-go-no-go.md"));
    assert!(page.contains(told), "{page}");
    // Nor may it become another one.
    bench.write("templates/mini/a.sql", "INSERT INTO g VALUES ('other');\n");
    bench.engine(&["resume", "--accept-changes"]).expect(62).says(&["`a`"]);
    bench.write("templates/mini/a.sql", &format!("{slow};\n"));
    bench.engine(&["resume"]).expect(63);
    sql(format!(
        "DROP DATABASE {production}; ALTER DATABASE {production}_away RENAME TO {production};
         ALTER DATABASE {production} ALLOW_CONNECTIONS true"
    ));
    bench.engine(&["resume"]).expect(0);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM g"), "3");
    assert_eq!(commits(&bench, "a"), 1);
    bench.engine(&["verify", "latest"]).expect(0);
}

/// Its engine is gone, and its backend does not notice: whoever takes the run up waits for it, and says so.
#[test]
fn who_waits_for_the_session_of_the_last_attempt_says_so() {
    for (name, words, left) in [("forward", &["resume"][..], "1"), ("back", &["rollback", "latest"], "0")] {
        let bench = Bench::mini(&format!("orphan_{name}"), TWICE);
        let a = bench.mini_stage("a", "\"base\"", "writes.g = 1", "INSERT INTO g SELECT 'a' FROM pg_sleep(3)", None);
        let b = bench.mini_stage("b", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1)", None);
        bench.mini_plan(&format!("{a}{b}"));
        let backend = bench.orphan(&["apply", MINI]);
        let mut ran = String::new();
        let (code, words) = ended_after(bench.started(words), "a: waiting to know what became", || {
            ran = bench.psql(bench.clone_name(), "SELECT count(*) FROM u");
            signal_to(&backend, "CONT");
        });
        assert_eq!(code, Some(0), "{words}");
        assert_eq!(ran, "0", "another stage ran before it was known");
        assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM g"), left);
        assert_eq!(commits(&bench, "a").to_string(), left);
    }
}

/// The same of a rollback, whether it is asked for again or the run is gone on with.
#[test]
fn who_waits_for_the_session_of_a_rollback_says_so() {
    for (name, words, left) in [("on", &["resume"][..], "1"), ("again", &["rollback", "latest"], "0")] {
        let bench = Bench::mini(&format!("orphan_back_{name}"), TWICE);
        let back = "DELETE FROM g WHERE v = 'a' AND pg_sleep(3) IS NOT NULL";
        bench.mini_plan(&bench.mini_stage("a", "\"base\"", "writes.g = 1", "INSERT INTO g VALUES ('a')", Some(back)));
        bench.mini_apply(&[]).expect(0);
        let backend = bench.orphan(&["rollback", "latest"]);
        let (code, words) =
            ended_after(bench.started(words), "a: waiting to know what became of its last rollback", || {
                signal_to(&backend, "CONT");
            });
        assert_eq!(code, Some(0), "{words}");
        assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM g"), left);
    }
}

/// Nobody is kept away any more, and it may be another server by now: nothing is sent, and nothing committed.
#[test]
fn a_run_whose_lock_is_gone_goes_no_further() {
    let bench = Bench::mini("no_lock", TWICE);
    let a = bench.mini_stage("a", "\"base\"", "writes.g = 1", "INSERT INTO g SELECT 'a' FROM pg_sleep(3)", None);
    let b = bench.mini_stage("b", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1)", None);
    bench.mini_plan(&format!("{a}{b}"));
    let engine = bench.started(&["apply", MINI]);
    bench.sleeper(bench.clone_name());
    unlock(&bench);
    let (code, words) = ended(engine);
    assert_eq!(code, Some(75), "{words}");
    for said in ["the session that keeps other runs away has ended", "nothing of `a` was committed", "engine resume"] {
        assert!(words.contains(said), "`{said}` is not in {words}");
    }
    assert_eq!(bench.psql(bench.clone_name(), "SELECT (SELECT count(*) FROM g) + (SELECT count(*) FROM u)"), "0");
    let began = |event: &Event| matches!(event, Event::AttemptStarted { stage, .. } if stage == "b");
    assert!(!bench.journal().events.iter().any(began), "another stage was begun");
    bench.engine(&["resume"]).expect(0);
    assert_eq!((commits(&bench, "a"), commits(&bench, "b")), (1, 1));
}

/// Ends the sessions that hold the newest run's locks.
fn unlock(bench: &Bench) {
    let run = bench.run_id();
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'engine {run} pid%' AND datname = 'postgres'"
    );
    assert_eq!(bench.psql("postgres", &sql), "2");
}

/// Behind COMMIT it is told as what it is, with what to type.
#[test]
fn a_stage_whose_lock_is_gone_behind_its_commit_stays_committed() {
    let bench = Bench::mini("no_lock_behind", "CREATE TABLE n (id int GENERATED ALWAYS AS IDENTITY, v text UNIQUE)");
    bench.psql(bench.production(), "GRANT SELECT ON n, n_id_seq TO engine_reader");
    let sql = "INSERT INTO n (v) SELECT 'a' FROM pg_sleep(2) ON CONFLICT DO NOTHING";
    bench.mini_plan(&bench.mini_stage("a", "\"base\"", "writes.n = 1\nprove = [\"idempotent\"]", sql, None));
    bench.mini_apply(&["--until", "base"]).expect(0);
    let engine = bench.started(&["resume"]);
    bench.wait_until(bench.clone_name(), "SELECT count(*) FROM n", "1");
    unlock(&bench);
    let (code, words) = ended(engine);
    assert_eq!(code, Some(75), "{words}");
    let next = format!("engine resume {}", bench.run_id());
    for said in ["`a` is committed and stays so; what follows its COMMIT is not done yet", &next] {
        assert!(words.contains(said), "`{said}` is not in {words}");
    }
    bench.engine(&["resume"]).expect(0);
    assert_eq!(commits(&bench, "a"), 1);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT last_value FROM n_id_seq"), "1");
}

/// What is in no transaction is not called committed, and no further attempt is made.
#[test]
fn a_stage_in_no_transaction_whose_lock_is_gone_is_not_committed() {
    let bench = Bench::mini("no_lock_alone", "");
    let more =
        "transaction = false\nalters = [\"t\"]\ndone_when = \"named = 1\"\nguard.none = \"named = 0\"\nretry = 2";
    let probe = "[probe.named]\non = \"clone\"\nsql = \"SELECT count(*) FROM pg_class WHERE relname = 't_v'\"\n";
    let sql = "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v);\nCREATE INDEX CONCURRENTLY IF NOT EXISTS t_w ON t (v, id)";
    bench.mini_plan(&format!("{probe}{}", bench.mini_stage("build", "\"base\"", more, sql, None)));
    bench.mini_apply(&["--until", "base"]).expect(0);
    let holder = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE t IN ROW EXCLUSIVE MODE;");
    let engine = bench.started(&["resume"]);
    bench.wait_for_a_waiter(bench.clone_name());
    unlock(&bench);
    drop(holder);
    let (code, words) = ended(engine);
    assert_eq!(code, Some(75), "{words}");
    assert_eq!(commits(&bench, "build"), 0);
    let built = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname IN ('t_v', 't_w')";
    assert_eq!(bench.psql(bench.clone_name(), built), "t_v", "nothing more is sent");
    bench.engine(&["resume"]).expect(0);
    assert_eq!(commits(&bench, "build"), 1);
}

/// On the way back, too; and who goes back is not sent forward. What the server says is kept there as well.
#[test]
fn a_rollback_whose_lock_is_gone_goes_no_further() {
    let bench = Bench::mini("no_lock_back", TWICE);
    let back = "DELETE FROM g WHERE v = 'a' AND pg_sleep(3) IS NOT NULL";
    bench.mini_plan(&bench.mini_stage("a", "\"base\"", "writes.g = 1", "INSERT INTO g VALUES ('a')", Some(back)));
    bench.mini_apply(&[]).expect(0);
    let engine = bench.started(&["rollback", "latest"]);
    bench.sleeper(bench.clone_name());
    unlock(&bench);
    let (code, words) = ended(engine);
    assert_eq!(code, Some(75), "{words}");
    assert!(words.contains("engine rollback") && !words.contains("engine resume"), "{words}");
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM g"), "1");
    bench.killed(&["rollback", "latest"], "journal/undo_intended/a/synced#1");
    bench.engine(&["rollback", "latest"]).expect(0);
    assert_eq!(bench.journal().count(|event| matches!(event, Event::CommitAborted { .. })), 1);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM g"), "0");
}

/// Killed twice while a fingerprint was taken, and production was another one the second time: nobody tampered with it.
#[test]
fn a_fingerprint_that_is_taken_again_is_no_tampering() {
    let bench = Bench::mini("taken_again", TWICE);
    bench.mini_plan("");
    bench.killed(&["apply", MINI], "journal/fingerprint_taken/pre/synced#1");
    bench.psql(bench.production(), "INSERT INTO g VALUES ('p')");
    bench.killed(&["resume"], "journal/fingerprint_taken/pre/before#1");
    bench.engine(&["verify", "latest"]).expect(0);
    bench.engine(&["resume"]).expect(0);
    bench.engine(&["verify", "latest"]).expect(0);
    let print = bench.of_run("fingerprints/pre.own.json");
    bench.write(&print, &bench.read(&print).replacen("public.g", "public.h", 1));
    bench.engine(&["verify", "latest"]).expect(62);
}

/// Whoever looks whether a run is at work is no run at work.
#[test]
fn two_that_look_at_once_do_not_take_each_other_for_a_run() {
    let bench = Bench::mini("looked_at", "");
    bench.mini_plan("");
    bench.killed(&["apply", MINI], "journal/stage_done/pre/synced#1");
    let lock = bench.home().join(bench.of_run("lock"));
    let flock = |how: &[&str], then: &[&str]| {
        std::process::Command::new("flock").args(how).arg(&lock).args(then).spawn().expect("flock")
    };
    let mut looker = flock(&["-s"], &["sleep", "60"]);
    while flock(&["-n", "-x"], &["true"]).wait().expect("flock").success() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let said = bench.engine(&["runs"]).expect(0).all() + &bench.engine(&["status"]).expect(0).all();
    looker.kill().expect("a child");
    looker.wait().expect("a child");
    assert!(!said.contains("running"), "{said}");
}

/// A run that had ended well is taken up again and killed: its clone is not free to be replaced.
#[test]
fn the_clone_of_a_run_that_is_at_work_again_is_not_replaced() {
    let bench = Bench::mini("again", TWICE);
    let a = bench.mini_stage("a", "\"base\"", "writes.g = 1", "INSERT INTO g VALUES ('a')", None);
    let b = bench.mini_stage("b", "\"a\"", "writes.u = 1", "INSERT INTO u VALUES (1)", None);
    bench.mini_plan(&format!("{a}{b}"));
    bench.mini_apply(&["--until", "a"]).expect(0);
    bench.killed(&["resume"], "journal/stage_committed/b/synced#1");
    let run = bench.run_id();
    bench.mini_apply(&["--replace"]).expect(63).says(&["it is not finished, so it is not replaced"]);
    bench.engine(&["resume", &run]).expect(0);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM u"), "1");
    bench.mini_apply(&["--replace"]).expect(0);
}

/// Killed right after the clone was made, it is made anew, and killed again while the first one is gone already.
#[test]
fn a_clone_that_is_made_anew_may_be_gone_meanwhile() {
    let again = ["drop/dropped#1", "journal/clone_dropped/clone/synced#1", "create/made#1", "rename/renamed#1"];
    for (number, again) in again.into_iter().enumerate() {
        let bench = Bench::mini(&format!("anew{number}"), TWICE);
        bench.mini_plan(&bench.mini_stage("a", "\"base\"", "writes.g = 1", "INSERT INTO g VALUES ('a')", None));
        bench.killed(&["apply", MINI], "journal/clone_made/clone/synced#1");
        bench.killed(&["resume"], again);
        bench.engine(&["resume"]).expect(0);
        assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM g"), "1");
        bench.engine(&["verify", "latest"]).expect(0);
    }
}

/// The marker of the clone says anew where the journal stands whenever a run ends: that is no change of the clone.
#[test]
fn a_clone_is_equal_to_what_it_was_also_after_a_pause() {
    let bench = Bench::mini("paused", "");
    let look = "[stage.look]\nkind = \"fingerprint\"\non = \"clone\"\nneeds = [\"base\"]\nequals = \"base\"\nno_guard = \"reads\"\n";
    bench.mini_plan(look);
    bench.mini_apply(&["--until", "base"]).expect(0);
    bench.engine(&["resume"]).expect(0).says(&["equal to `base`"]);
    // Another word on it is one.
    let other = Bench::mini("said", "");
    other.mini_plan(look);
    other.mini_apply(&["--until", "base"]).expect(0);
    let longer = other.psql(
        "postgres",
        &format!(
            "SELECT replace(shobj_description(oid, 'pg_database'), '\"plan\":\"mini\"', '\"plan\":\"other\"')
             FROM pg_database WHERE datname = '{}'",
            other.clone_name()
        ),
    );
    assert!(longer.contains("\"plan\":\"other\""), "{longer}");
    other.psql("postgres", &format!("COMMENT ON DATABASE {} IS '{longer}'", other.clone_name()));
    other.engine(&["resume"]).expect(40).says(&["comment on the database"]);
}

/// The same where definitions are compared with those of before a process that died.
#[test]
fn a_proof_that_was_cut_short_is_made_again() {
    let bench = Bench::mini("cut", "");
    let a = bench.mini_stage(
        "a",
        "\"base\"",
        "alters = [\"u\"]\nprove = [\"reversible\"]",
        "ALTER TABLE u ADD COLUMN more int",
        Some("ALTER TABLE u DROP COLUMN more"),
    );
    bench.mini_plan(&a);
    bench.killed(&["apply", MINI], "journal/stage_committed/a/synced#1");
    // It ends in good order, and says on the clone how far its journal is; the proof is still to be made.
    bench.engine(&["resume", "--until", "base"]).expect(0);
    bench.engine(&["resume"]).expect(0).says(&["reversible"]);
    assert_eq!(commits(&bench, "a"), 1);
}

#[test]
fn no_word_at_all_means_no_run() {
    let bench = Bench::mini("unset", "");
    bench.mini_plan("");
    bench.mini_apply(&[]).expect(0);
    for verb in ["drop", "rollback", "resume", "show", "verify"] {
        bench.engine(&[verb, ""]).expect(2);
    }
    assert!(bench.exists(bench.clone_name()));
}

/// Its COMMIT may have been sent, or was: the server is asked before a correction is refused.
#[test]
fn what_was_never_committed_may_be_corrected() {
    for (at, code, rows) in [("journal/commit_intended/a/synced#1", 0, "2"), ("commit/answered#1", 62, "1")] {
        let bench = Bench::mini(&format!("open_{code}"), TWICE);
        let a = bench.mini_stage("a", "\"base\"", "writes.g = 2", "INSERT INTO g VALUES ('wrong')", None);
        bench.mini_plan(&a);
        bench.killed(&["apply", MINI], at);
        bench.write("templates/mini/a.sql", "INSERT INTO g VALUES ('right'), ('too');\n");
        bench.engine(&["resume", "--accept-changes"]).expect(code);
        if code == 62 {
            bench.write("templates/mini/a.sql", "INSERT INTO g VALUES ('wrong');\n");
            bench.engine(&["resume"]).expect(0);
        }
        assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM g"), rows, "{at}");
        assert_eq!(commits(&bench, "a"), 1, "{at}");
    }
}
