//! What people are told of a run afterwards: the stages as they are now, who died, what helps. What is told is typed.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use support::{Bench, MINI, Outcome, to_the_packet};

const ROW: &str = "INSERT INTO u VALUES (1, 'a')";

/// `a` writes a row of `u`, with a way back.
fn row(bench: &Bench, more: &str) -> String {
    bench.mini_stage("a", "\"base\"", &format!("writes.u = 1\n{more}"), ROW, Some("DELETE FROM u"))
}

fn planned(name: &str) -> Bench {
    let bench = Bench::mini(name, "");
    let a = row(&bench, "");
    bench.mini_plan(&a);
    bench
}

/// `kill -9` at a place.
fn killed(bench: &Bench, verb: &[&str], at: &str) {
    let out = bench.command(verb).env("ENGINE_CRASH_AT", at).output().expect("the engine");
    assert_eq!(out.status.signal(), Some(9), "{at}: {}", String::from_utf8_lossy(&out.stderr));
    bench.wait_for_silence();
}

#[track_caller]
fn says_not(said: &Outcome, text: &str) {
    assert!(!said.all().contains(text), "`{text}` is in\n{}", said.all());
}

/// They are those of the plan that was accepted; what a removed one had begun is not hidden.
#[test]
fn the_stages_are_those_of_the_plan_as_it_is_now() {
    let bench = Bench::mini("accepted", "");
    let a = row(&bench, "");
    let b = bench.mini_stage("b", "\"a\"", "writes.u = 1", "SELECT 1/0", None);
    bench.mini_plan(&format!("{a}{b}"));
    bench.mini_apply(&[]).expect(40);
    let early = bench.mini_stage("early", "\"a\"", "writes.u = 1", "INSERT INTO u VALUES (2, 'e')", None);
    let late = bench.mini_stage("late", "\"early\"", "writes.u = 1", "SELECT 1/0", None);
    bench.mini_plan(&format!("{a}{early}{late}"));
    bench.engine(&["resume", "--accept-changes"]).expect(40).says(&["engine show"]);
    let status =
        bench.engine(&["status"]).expect(0).says(&["5 of 6 done", "early", "late", "not in the plan any more"]);
    let of_b = status.stdout.lines().find(|line| line.split_whitespace().nth(1) == Some("b")).expect("a line of it");
    assert!(of_b.contains("failed, not in the plan any more"), "{of_b}");
    for stage in ["early", "late", "b"] {
        bench.engine(&["show", "latest", stage]).expect(0).says(&[&format!("# {stage}: ")]);
    }
    let overview = bench.read(&bench.of_run("dossier/00-overview.md"));
    for said in ["| early |", "| late |", "failed, not in the plan any more"] {
        assert!(overview.contains(said), "`{said}` is not in\n{overview}");
    }
    assert!(bench.read(&bench.of_run("dossier/05-early.md")).contains("State: **done**"));
    // What is not in the plan decides nothing.
    let decision = bench.read(&bench.of_run("dossier/08-go-no-go.md"));
    assert!(decision.contains("stage `early` is done") && !decision.contains("stage `b` is done"), "{decision}");
}

/// A packet is decided by them as well: what was added must be done and proved like the rest.
#[test]
fn a_packet_is_decided_by_the_stages_that_were_added() {
    let bench = Bench::mini("decided", "");
    let a = row(&bench, "");
    let b = bench.mini_stage("b", "\"a\"", "writes.u = 1", "SELECT 1/0", None);
    bench.mini_plan(&format!("{a}{b}"));
    bench.mini_apply(&[]).expect(40);
    let more = "writes.u = 1\nprove = [\"reversible\"]";
    let (sql, back) = ("INSERT INTO u VALUES (2, 'e')", Some("DELETE FROM u WHERE id = 2"));
    let early = bench.mini_stage("early", "\"a\"", more, sql, back);
    let packet = to_the_packet("\"early\"", "\"a\", \"early\"", "oks = 77");
    bench.mini_plan(&format!("{a}{early}{packet}"));
    bench.engine(&["resume", "--accept-changes"]).expect(0).says(&["technical GO"]);
    let page = bench.read(&format!("{}/GO-NO-GO.md", bench.packet().0));
    for criterion in ["stage `early` is done", "`early` is proved reversible"] {
        assert!(page.contains(criterion), "`{criterion}` is not in\n{page}");
    }
}

#[test]
fn the_process_that_died_is_the_last_one() {
    let bench = planned("died");
    bench.mini_apply(&["--until", "base"]).expect(0);
    let holder = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE u;");
    let engine = bench.start(&["resume"]);
    bench.wait_for_a_waiter(bench.clone_name());
    let pid = engine.id();
    engine.kill();
    bench.engine(&["status"]).expect(0).says(&[&format!("ended without a farewell (pid {pid} on ")]);
    holder.end();
}

/// The same is said of it by either verb: which stage, who holds it up, what stands, what to type.
#[test]
fn a_killed_rollback_that_waits_again_names_who_holds_it_up() {
    let bench = Bench::mini("waits", "");
    let keys = "transaction = false\nalters = [\"t\"]\ndone_when = \"named = 1\"\nlock_timeout = \"2s\"";
    let index = "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v)";
    let build = bench.mini_stage("build", "\"base\"", keys, index, Some("DROP INDEX CONCURRENTLY IF EXISTS t_v"));
    let probe = "[probe.named]\non = \"clone\"\nsql = \"SELECT count(*) FROM pg_class WHERE relname = 't_v'\"\n";
    bench.mini_plan(&format!("{probe}{build}"));
    bench.mini_apply(&[]).expect(0);
    let run = bench.run_id();
    killed(&bench, &["rollback", "latest"], "journal/undo_started/build/synced#1");
    let mut holder = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE;");
    let held =
        "SELECT count(*) FROM pg_locks WHERE mode = 'ShareUpdateExclusiveLock' AND relation = 'public.t'::regclass";
    bench.wait_until(bench.clone_name(), held, "1");
    for verb in ["resume", "rollback"] {
        let said = bench.engine(&[verb, &run]).expect(75).says(&[
            "the rollback of `build`: ",
            "lock timeout",
            "behind pid ",
            "statements before the one that failed stand",
            &format!("engine rollback {run}"),
        ]);
        if verb == "resume" {
            said.says(&["stays under way, and no stage was begun", &format!("engine resume {run}")]);
        }
    }
    holder.send("COMMIT;");
    assert!(holder.end());
    bench.engine(&["resume", &run]).expect(0);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM pg_class WHERE relname = 't_v'"), "1");
}

#[test]
fn a_stage_that_may_not_change_says_what_of_it_did_and_what_helps() {
    let bench = Bench::mini("changed", "");
    let (a, bad) = (
        row(&bench, "guard.none = \"us = 0\"\nensure.one = \"us = 1\""),
        bench.mini_stage("bad", "\"a\"", "writes.u = 1", "SELECT 1/0", None),
    );
    bench.mini_plan(&format!("{a}{bad}"));
    bench.mini_apply(&[]).expect(40);
    let run = bench.run_id();
    let refused = |part: &str| {
        let anew = format!("engine drop {run}   which drops its clone, and then: engine apply {MINI}");
        let back = format!("put it back as it was, and run: engine resume {run} --accept-changes");
        let said = bench.engine(&["resume", "--accept-changes"]).expect(62);
        let said = said.says(&["a stage that is committed was changed since", part, &anew, &back]);
        says_not(&said, "--replace");
        let plain = bench.engine(&["resume"]).expect(62);
        says_not(&plain.says(&[&format!("engine resume {run} --accept-changes")]), "RUN");
    };
    let (plan, sql) = (bench.read(MINI), "templates/mini/a.sql");
    bench.write(sql, "INSERT INTO u VALUES (1, 'b');\n");
    refused("`a`: its SQL is another (a.sql)");
    bench.write(sql, &format!("{ROW};\n"));
    for (old, new, part) in [
        ("us = 0", "us <= 0", "`a`: its guard `none` is another"),
        ("ensure.one = \"us = 1\"", "", "`a`: its ensure `one` is gone"),
        ("ensure.one = ", "ensure.two = \"us < 9\"\nensure.one = ", "`a`: its ensure `two` is new"),
        (
            "needs = [\"base\"]\nfile = \"mini/a.sql\"",
            "needs = [\"base\"]\nretry = 2\nfile = \"mini/a.sql\"\nalters = [\"t\"]",
            "beside its SQL",
        ),
    ] {
        bench.edit(MINI, old, new);
        refused(part);
        bench.write(MINI, &plan);
    }
    let bad = bench.mini_stage("bad", "\"base\"", "writes.u = 1", "SELECT 1/0", None);
    bench.mini_plan(&bad);
    refused("`a`: it is not in the plan any more");
    // What is said helps.
    bench.engine(&["drop", &run]).expect(0);
    bench.mini_apply(&["--until", "base"]).expect(0);
}

/// A journal that may only be read: nothing is begun in it, nor taken away behind its back.
#[test]
fn who_may_only_look_at_a_journal_begins_and_drops_nothing() {
    let mut bench = planned("looks");
    bench.keep_runs_on(support::server());
    bench.mini_apply(&[]).expect(0);
    let (run, keeper) = (bench.run_id(), bench.url("journal_keeper", &format!("journal_of_{}", bench.clone_name())));
    let looker = format!("looker_of_{}", bench.clone_name());
    bench.in_journal(&format!(
        "CREATE ROLE {looker} LOGIN; GRANT CONNECT ON DATABASE journal_of_{} TO {looker}; \
         GRANT USAGE ON SCHEMA engine_journal TO {looker}; \
         GRANT SELECT ON ALL TABLES IN SCHEMA engine_journal TO {looker}",
        bench.clone_name()
    ));
    bench.set("ENGINE_JOURNAL", &keeper.replace("journal_keeper", &looker));
    bench.engine(&["status"]).expect(0).says(&["all 4 stages done"]);
    let grant = format!("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA engine_journal TO {looker}");
    for verb in [&["apply", MINI][..], &["resume", &run], &["rollback", &run], &["drop", &run]] {
        let said = bench.engine(verb).expect(1);
        let said = said.says(&[
            "may look at the journal",
            "missing  INSERT on engine_journal.line",
            &grant,
            "nothing was begun",
        ]);
        says_not(&said, "engine resume");
    }
    assert!(bench.exists(bench.clone_name()), "a clone was dropped that its journal says is there");
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM u"), "1");
    bench.in_journal(&grant);
    bench.engine(&["drop", &run]).expect(0);
    bench.engine(&["status"]).expect(0).says(&[&format!("then its clone `{}` was dropped", bench.clone_name())]);
}

#[test]
fn a_journal_that_was_lost_says_what_helps() {
    let mut bench = planned("lost");
    bench.keep_runs_on(support::server());
    bench.mini_apply(&[]).expect(0);
    let (run, database) = (bench.run_id(), format!("journal_of_{}", bench.clone_name()));
    bench.psql("postgres", &format!("DROP DATABASE {database} WITH (FORCE)"));
    let said = bench.engine(&["status"]).expect(1);
    let said = said.says(&["does not exist", "bring it back from its backup", "CREATE DATABASE", "ENGINE_JOURNAL"]);
    says_not(&said, "the same command again");
    bench.psql("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0 OWNER journal_keeper"));
    let said = bench.engine(&["drop", &run]).expect(62);
    let said = said.says(&["knows no run", "it was kept there: that is another database now", "engine gc"]);
    says_not(&said, "has done nothing");
    // The statement that it names finds the clone.
    let all = said.all();
    let from = all.find("SELECT datname").expect("a statement");
    let sql = all[from..].split("   ").next().expect("its end");
    assert_eq!(bench.psql("postgres", sql), bench.clone_name());
    bench.set("ENGINE_JOURNAL", &bench.url("postgres", "postgres"));
    bench.engine(&["drop", &run]).expect(62).says(&["knows no run", "it was kept in ", "as when it began"]);
}

/// A clone that was dropped is nothing to go on with, however the run had ended.
#[test]
fn a_run_whose_clone_was_dropped_says_so() {
    let bench = planned("dropped");
    let dropped = format!("then its clone `{}` was dropped", bench.clone_name());
    for (at, before) in
        [(None, "all 4 stages done"), (Some("journal/stage_done/a/synced#1"), "ended without a farewell")]
    {
        match at {
            None => drop(bench.mini_apply(&[]).expect(0)),
            Some(at) => killed(&bench, &["apply", MINI], at),
        }
        let run = bench.run_id();
        bench.engine(&["drop", &run]).expect(0).says(&[&format!("dropped {}", bench.clone_name())]);
        for verb in [&["status"][..], &["runs"]] {
            let said = bench.engine(verb).expect(0).says(&[before, &dropped]);
            says_not(&said, "engine resume");
        }
        let overview = bench.engine(&["show", &run]).expect(0).says(&["was dropped"]);
        says_not(&overview, "engine resume");
        bench.engine(&["verify", &run]).expect(0);
        let events = bench.journal().events.len();
        bench.engine(&["drop", &run]).expect(0).says(&["no database left"]);
        assert_eq!(bench.journal().events.len(), events, "nothing was dropped, so nothing is written down");
        bench.engine(&["resume", &run]).expect(63).says(&["is gone", &format!("engine apply {MINI}")]);
    }
}

#[test]
fn a_stage_that_is_begun_again_says_how_far_it_got() {
    let tables = "CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO b SELECT k FROM generate_series(1, 40) AS k";
    let bench = Bench::mini("again", tables);
    let fill = "UPDATE b SET v = 'x' WHERE id IN (SELECT id FROM b WHERE v IS NULL ORDER BY id LIMIT 10)";
    let keys = "batch = { until = \"unfilled = 0\", rows = 10, most = 9 }\nwrites.b = 40";
    let stage = bench.mini_stage("fill", "\"base\"", keys, fill, Some("UPDATE b SET v = NULL"));
    let probe = "[probe.unfilled]\non = \"clone\"\nsql = \"SELECT count(*) FROM public.b WHERE v IS NULL\"\n";
    bench.mini_plan(&format!("{probe}{stage}"));
    bench.mini_apply(&[]).expect(0);
    bench.engine(&["rollback", "latest"]).expect(0);
    for (at, said) in [(1, "1 batch is committed"), (2, "3 batches are committed")] {
        killed(&bench, &["resume"], &format!("journal/batch_committed/fill/synced#{at}"));
        let status = bench.engine(&["status"]).expect(0).says(&["begun", said]);
        says_not(&status, "back: wrote");
        says_not(
            &bench.engine(&["show", "latest", "fill"]).expect(0).says(&[&format!("# fill: {said}")]),
            "# fill: back",
        );
    }
    bench.engine(&["resume"]).expect(0);
}

/// Nothing was undone, so what the run came to stands.
#[test]
fn a_rollback_of_nothing_leaves_the_verdict() {
    let bench = planned("nothing");
    bench.mini_apply(&[]).expect(0);
    let said = bench.engine(&["rollback", "latest", "--to", "a"]).expect(0).says(&["nothing was left to undo"]);
    says_not(&said, "engine resume");
    bench.engine(&["status"]).expect(0).says(&["all 4 stages done · 4 of 4 done"]);
    // Nor is it a failure of the command that the run had failed.
    let bad = bench.mini_stage("bad", "\"a\"", "writes.u = 1", "SELECT 1/0", None);
    bench.write(MINI, &format!("{}{bad}", bench.read(MINI)));
    bench.engine(&["resume", "--accept-changes"]).expect(40);
    let run = bench.run_id();
    let goes_on = format!("engine resume {run}   goes forward");
    bench.engine(&["rollback", "latest", "--to", "a"]).expect(0).says(&["nothing was left to undo", &goes_on]);
    bench.engine(&["status"]).expect(0).says(&["NO-GO: 4 stages done, 1 failed or blocked"]);
    bench.engine(&["rollback", "latest"]).expect(0).says(&["1 stage undone", "runs what was undone again"]);
    bench.engine(&["status"]).expect(0).says(&["rolled back: 1 stage undone"]);
    bench.engine(&["rollback", "latest", "--to", "bse"]).expect(2).says(&[
        "no such stage",
        "pre, clone, base",
        &format!("engine rollback {run} --to base"),
    ]);
    bench.engine(&["resume", "--until", "nowhere"]).expect(2).says(&["its stages: pre, clone, base, a, bad"]);
}

#[test]
fn a_place_for_runs_that_is_none_is_named() {
    let bench = planned("nofolder");
    bench.write(".engine", "a file\n");
    let said = bench.mini_apply(&[]).expect(1);
    let said = said.says(&[".engine", "is no folder", "nothing was changed", "no run was begun", "move .engine away"]);
    says_not(&said, "engine resume");
    std::fs::remove_file(bench.home().join(".engine")).expect("a file");
    bench.mini_apply(&[]).expect(0);
    // A working directory that somebody removed.
    let engine = bench.command(&["status"]);
    let mut shell = Command::new("bash");
    shell.args(["-c", "mkdir gone && cd gone && rmdir ../gone && exec \"$0\" \"$@\""]);
    shell.arg(engine.get_program()).args(engine.get_args()).current_dir(bench.home()).stdin(Stdio::null());
    let out = shell.output().expect("bash");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("the working directory is gone"), "{said}");
    assert_eq!(out.status.code(), Some(1), "{said}");
}

/// A plan that was moved is named, and disposing of a clone needs none.
#[test]
fn a_plan_that_is_not_there_is_named_and_the_clone_can_be_dropped() {
    let bench = planned("moved");
    bench.mini_apply(&[]).expect(0);
    let run = bench.run_id();
    let (from, to) = (bench.home().join(MINI), bench.home().join("plans/other.toml"));
    std::fs::rename(&from, &to).expect("a plan");
    for verb in ["resume", "rollback"] {
        let said = bench.engine(&[verb, &run]).expect(62);
        let said = said.says(&[&format!("the plan {MINI}, which run {run} began with, is not there"), "put it back"]);
        says_not(&said.says(&[&format!("engine drop {run}"), &bench.of_run("plan/mini.toml")]), "name a plan");
    }
    bench.engine(&["drop", &run]).expect(0).says(&[&format!("dropped {}", bench.clone_name())]);
    assert!(!bench.exists(bench.clone_name()));
}

/// Within a stage: room is made, and the run goes on.
#[test]
fn a_file_that_does_not_fit_says_how_to_go_on() {
    let many = "DO $$ BEGIN FOR k IN 1..200 LOOP EXECUTE format('CREATE TABLE wide_table_%s (a int, b int, c int, d int)', k); \
                END LOOP; END $$";
    let bench = Bench::mini("room", many);
    let a = row(&bench, "");
    bench.mini_plan(&a);
    let engine = bench.command(&["apply", MINI]);
    let mut shell = Command::new("env");
    shell.args(["--ignore-signal=XFSZ", "bash", "-c", "ulimit -f 40 && exec \"$0\" \"$@\""]);
    shell.arg(engine.get_program()).args(engine.get_args()).current_dir(bench.home()).stdin(Stdio::null());
    shell.env_clear().envs(engine.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let out = shell.output().expect("bash");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    for text in ["cannot be written", "make room", &format!("engine resume {}", bench.run_id())] {
        assert!(said.contains(text), "`{text}` is not in\n{said}");
    }
    assert!(!said.contains("journal.jsonl cannot"), "it is the journal that did not fit\n{said}");
    bench.engine(&["resume"]).expect(0);
}
