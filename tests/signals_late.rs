//! A signal when nobody thinks of one any more: while the journal's head is anchored, on the way back, while a rollback
//! that was killed is finished, while the journal does not answer. Each ends the process soon, with what is left and what
//! to type, and what is typed comes to the end.

mod support;

use engine::event::Event;
use std::time::Duration;
use support::{Bench, Does, OwnServer, Proxy, Spot, ended, in_time, log_tells, send, server, signal_to, undone};

const MAKER: &str = "SHOP_CLONE_MAKER_URL";

const PROBE: &str = "[probe.named]\non = \"clone\"\nsql = \"SELECT count(*) FROM pg_class WHERE relname = 't_v'\"\n";

/// `a` writes a row; `build`, outside of a transaction, an index.
fn planned(name: &str) -> Bench {
    log_tells();
    let bench = Bench::mini(name, "");
    let a = bench.mini_stage(
        "a",
        "\"base\"",
        "writes.u = 1",
        "INSERT INTO u VALUES (1, 'a')",
        Some("DELETE FROM u WHERE id = 1"),
    );
    let build = bench.mini_stage(
        "build",
        "\"a\"",
        "transaction = false\nalters = [\"t\"]\ndone_when = \"named = 1\"\nguard.none = \"named = 0\"",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v)",
        Some("DROP INDEX CONCURRENTLY IF EXISTS t_v"),
    );
    bench.mini_plan(&format!("{PROBE}{a}{build}"));
    bench
}

/// Rows of `u`; the index and whether it is valid.
fn there(bench: &Bench) -> String {
    let sql =
        "SELECT (SELECT count(*) FROM u), (SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('t_v'))";
    bench.psql(bench.clone_name(), sql)
}

const ALL: &str = "1|t";
const NOTHING: &str = "0|";

/// From now on the maker is reached through a proxy that is armed for what anchors the head. The marker says that the run has not
/// ended well, as that of a killed one: else it would be written at the begin, too.
fn anchored_through(bench: &mut Bench, does: Does) -> Proxy {
    let clone = bench.clone_name();
    let marker = "replace(shobj_description(oid, 'pg_database'), '\"finished\":true', '\"finished\":false')";
    let sql = format!("SELECT {marker} FROM pg_database WHERE datname = '{clone}'");
    let marker = bench.psql("postgres", &sql);
    assert!(marker.contains("\"finished\":false"), "{marker}");
    bench.psql("postgres", &format!("COMMENT ON DATABASE {clone} IS '{marker}'"));
    let proxy = Proxy::before(server().socket());
    bench.set(MAKER, &proxy.url("engine_cloner", "postgres"));
    proxy.arm(Spot::Statement("COMMENT ON DATABASE"), does);
    proxy
}

fn until_armed_no_more(proxy: &Proxy) {
    while proxy.armed() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn says(screen: &str, texts: &[&str]) {
    for text in texts {
        assert!(screen.contains(text), "`{text}` is not in\n{screen}");
    }
}

/// What the journal says was left when a signal came last.
fn left(bench: &Bench) -> Vec<String> {
    let left = |event: &Event| match event {
        Event::Interrupted { left, .. } => Some(left.clone()),
        _ => None,
    };
    bench.journal().events.iter().rev().find_map(left).expect("a signal is in the journal")
}

/// Resumed to its end, each stage is committed once, and the head is anchored.
#[track_caller]
fn whole(bench: &Bench) {
    bench.engine(&["resume"]).expect(0);
    assert_eq!(there(bench), ALL);
    for name in ["a", "build"] {
        let forth = bench.journal().count(|e| matches!(e, Event::StageCommitted { stage, .. } if stage == name));
        let back = bench.journal().count(|e| matches!(e, Event::Undone { stage, .. } if stage == name));
        assert_eq!(forth, back + 1, "{name}");
    }
    let events = bench.journal().events.len();
    bench.engine(&["verify", "latest"]).expect(0).says(&[&format!("anchored up to event {events}")]);
}

#[test]
fn a_head_that_cannot_be_anchored_is_told_and_fails_nothing() {
    for (does, why) in [(Does::StallBefore, "no answer within 10 s"), (Does::CutBefore, "connection")] {
        let mut bench = planned("unanchored");
        bench.mini_apply(&["--until", "base"]).expect(0);
        let maker = bench.url("engine_cloner", "postgres");
        let proxy = anchored_through(&mut bench, does);
        let (code, screen) = ended(bench.started(&["resume"]));
        assert!(!proxy.armed(), "nothing was to be anchored");
        assert_eq!(code, Some(0), "{screen}");
        says(&screen, &[&format!("the head of the journal is not anchored in `{}`", bench.clone_name()), why]);
        assert_eq!(bench.journal().verdict(), "all 5 stages done");
        bench.engine(&["verify", "latest"]).expect(0);
        bench.set(MAKER, &maker);
        whole(&bench);
    }
}

/// The same where the marker is to say that the run is at work again: nothing has begun, and nothing is waited for without end.
#[test]
fn a_marker_that_cannot_be_written_at_the_begin_ends_it() {
    let mut bench = planned("unmarked");
    bench.mini_apply(&["--until", "base"]).expect(0);
    let (maker, events) = (bench.url("engine_cloner", "postgres"), bench.journal().events.len());
    let proxy = Proxy::before(server().socket());
    bench.set(MAKER, &proxy.url("engine_cloner", "postgres"));
    proxy.arm(Spot::Statement("COMMENT ON DATABASE"), Does::StallBefore);
    let said = bench.engine(&["resume"]).expect(75);
    said.says(&[
        "is at work again: the maker had no answer within 10 s",
        "nothing was changed",
        "the same command again",
    ]);
    assert_eq!(bench.journal().events.len(), events);
    bench.set(MAKER, &maker);
    whole(&bench);
}

#[test]
fn while_the_head_is_anchored() {
    for (command, signal, code, next) in [
        (["resume", "latest"], "INT", 130, "next   engine resume "),
        (["rollback", "latest"], "TERM", 143, "next   engine rollback "),
    ] {
        let mut bench = planned("anchor");
        bench.mini_apply(if command[0] == "resume" { &["--until", "base"] } else { &[] }).expect(0);
        let maker = bench.url("engine_cloner", "postgres");
        let proxy = anchored_through(&mut bench, Does::StallBefore);
        let engine = bench.started(&command);
        until_armed_no_more(&proxy);
        let farewell = bench.signalled(engine, signal);
        println!("FIGURE {} at its end: {} ms from {signal} to the end", command[0], farewell.took.as_millis());
        assert_eq!(farewell.code, Some(code), "{}", farewell.screen);
        let unanchored = "is not anchored in `";
        says(&farewell.screen, &[&format!("{next}{}", bench.run_id()), unanchored, "a signal came first"]);
        assert_eq!(there(&bench), if command[0] == "resume" { ALL } else { NOTHING }, "what was done stays");
        bench.set(MAKER, &maker);
        whole(&bench);
    }
}

/// A stage's backend is frozen, and so is what anchors the head: the farewell comes within the patience and a little.
#[test]
fn while_a_server_is_frozen() {
    let mut bench = planned("frozen");
    bench.mini_apply(&["--until", "base"]).expect(0);
    let maker = bench.url("engine_cloner", "postgres");
    let mut holder = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE u;");
    let proxy = anchored_through(&mut bench, Does::StallBefore);
    let engine = bench.started(&["resume"]);
    bench.wait_for_a_waiter(bench.clone_name());
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'engine%'
               AND wait_event_type = 'Lock'";
    let backend = bench.psql(bench.clone_name(), sql);
    signal_to(&backend, "STOP");
    let farewell = bench.signalled(engine, "INT");
    signal_to(&backend, "CONT");
    println!("FIGURE frozen: {} ms from INT to the end", farewell.took.as_millis());
    assert_eq!(farewell.code, Some(130), "{}", farewell.screen);
    says(&farewell.screen, &["1 of our sessions or programs did not answer within 10 s", "next   engine resume"]);
    assert!(!proxy.armed(), "the head was not to be anchored");
    assert!(farewell.took < Duration::from_secs(30), "{:?}", farewell.took);
    holder.send("COMMIT;");
    assert!(holder.end());
    bench.wait_until_idle();
    bench.set(MAKER, &maker);
    whole(&bench);
}

fn both_ways(bench: &Bench) -> [String; 2] {
    let run = bench.run_id();
    [format!("next   engine rollback {run}"), format!("or     engine resume {run}")]
}

#[test]
fn while_a_rollback_runs() {
    in_time(|| {
        let bench = planned("back");
        bench.mini_apply(&[]).expect(0);
        let mut holder = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE u IN SHARE MODE;");
        let engine = bench.started(&["rollback", "latest"]);
        bench.wait_for_a_waiter(bench.clone_name());
        let [next, or] = both_ways(&bench);
        let said = "`a` stands as it was: its rollback was rolled back";
        let farewell = bench.stopped_with(engine, "INT", 130, said, &next);
        says(&farewell.screen, &[&or, "interrupted: 1 stage undone, and stay so"]);
        assert_eq!(left(&bench), [said]);
        assert_eq!(there(&bench), "1|");
        holder.send("COMMIT;");
        assert!(holder.end());
        bench.engine(&["rollback", "latest"]).expect(0).says(&["1 stage undone, the clone is equal to `base`"]);
        assert_eq!(undone(&bench), ["build", "a"]);
        whole(&bench);
        farewell.late
    });
}

/// It waits for whoever reads the table.
#[test]
fn while_a_rollback_outside_of_a_transaction_runs() {
    for again in ["rollback", "resume"] {
        in_time(|| {
            let bench = planned("back_alone");
            bench.mini_apply(&[]).expect(0);
            let old = bench.session(bench.clone_name(), "BEGIN; SELECT count(*) FROM t;");
            let engine = bench.started(&["rollback", "latest"]);
            bench.wait_for_a_waiter(bench.clone_name());
            let [next, or] = both_ways(&bench);
            let said = "`build`: its rollback is in no transaction";
            let farewell = bench.stopped_with(engine, "INT", 130, said, &next);
            says(&farewell.screen, &[&or]);
            assert!(matches!(left(&bench).as_slice(), [line] if line.starts_with(said)), "{:?}", left(&bench));
            assert!(old.end());
            bench.engine(&[again, "latest"]).expect(0);
            assert_eq!(there(&bench), if again == "rollback" { NOTHING } else { ALL });
            whole(&bench);
            farewell.late
        });
    }
}

#[test]
fn while_the_commit_of_a_rollback_is_on_its_way() {
    for again in ["rollback", "resume"] {
        let mut bench = planned("back_commit");
        bench.mini_apply(&["--until", "a"]).expect(0);
        let clone = bench.url("engine_stage", "postgres");
        let proxy = Proxy::before(server().socket());
        bench.set("SHOP_CLONE_URL", &proxy.url("engine_stage", "postgres"));
        proxy.arm(Spot::Commit, Does::Hold);
        let engine = bench.started(&["rollback", "latest"]);
        proxy.wait();
        assert_eq!(bench.journal().count(|event| matches!(event, Event::UndoIntended { .. })), 1, "another COMMIT");
        let farewell = bench.signalled(engine, "INT");
        println!("FIGURE commit held: {} ms from INT to the end", farewell.took.as_millis());
        assert_eq!(farewell.code, Some(130), "{}", farewell.screen);
        let said = "`a`: the COMMIT of its rollback was sent or about to be; the server is asked what became of it";
        let [next, or] = both_ways(&bench);
        says(&farewell.screen, &[&format!("left   {said}"), &next, &or]);
        assert_eq!(left(&bench)[0], said);
        proxy.release();
        bench.set("SHOP_CLONE_URL", &clone);
        bench.engine(&[again, "latest"]).expect(0);
        if again == "rollback" {
            assert_eq!(there(&bench), NOTHING);
        }
        whole(&bench);
    }
}

/// It finishes what a rollback that was killed had begun, and waits for the same reader.
#[test]
fn while_a_resume_finishes_a_rollback_that_was_killed() {
    in_time(|| {
        let bench = planned("finish");
        bench.mini_apply(&[]).expect(0);
        let old = bench.session(bench.clone_name(), "BEGIN; SELECT count(*) FROM t;");
        let engine = bench.start(&["rollback", "latest"]);
        bench.wait_for_a_waiter(bench.clone_name());
        engine.kill();
        bench.wait_until_idle();
        let engine = bench.started(&["resume"]);
        bench.wait_for_a_waiter(bench.clone_name());
        let said = "`build`: its rollback is in no transaction";
        let farewell =
            bench.stopped_with(engine, "INT", 130, said, &format!("next   engine resume {}", bench.run_id()));
        assert!(!farewell.screen.contains("nothing was changed"), "{}", farewell.screen);
        assert!(matches!(left(&bench).as_slice(), [line] if line.starts_with(said)), "{:?}", left(&bench));
        assert!(bench.journal().verdict().starts_with("interrupted: "), "{}", bench.journal().verdict());
        assert!(old.end());
        whole(&bench);
        farewell.late
    });
}

/// A look at production that ended the run before is made again before anything starts.
#[test]
fn while_a_look_is_made_up_for() {
    log_tells();
    let bench = Bench::mini("look", "");
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1, 'a')", None);
    let b = bench.mini_stage("b", "\"a\"", "writes.u = 1", "INSERT INTO u VALUES (2, 'b')", None);
    bench.mini_plan_with("watch = true", "", &format!("{a}{b}"));
    bench.mini_apply(&["--until", "base"]).expect(0);
    bench.psql(bench.production(), "REVOKE SELECT ON t FROM engine_reader; UPDATE t SET v = 'x' WHERE id = 1");
    let code = bench.engine(&["resume"]).code;
    assert!(code != 0 && bench.journal().count(|event| matches!(event, Event::LookFailed { .. })) == 1, "{code}");
    bench.psql(bench.production(), "GRANT SELECT ON t TO engine_reader");
    let mut holder = bench.session(bench.production(), "BEGIN; LOCK TABLE t;");
    let engine = bench.started(&["resume"]);
    bench.wait_for_a_waiter(bench.production());
    let farewell = bench.signalled(engine, "INT");
    assert_eq!(farewell.code, Some(130), "{}", farewell.screen);
    says(&farewell.screen, &["interrupted: 4 stages done", "0 cut short, 1 not started", "next   engine resume"]);
    assert_eq!(left(&bench), Vec::<String>::new());
    // It did not come to the end of its own time.
    assert_eq!(bench.journal().count(|event| matches!(event, Event::LookFailed { .. })), 1);
    bench.wait_until_idle();
    holder.send("COMMIT;");
    assert!(holder.end());
    bench.engine(&["resume"]).expect(0);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM u"), "2");
}

/// A run whose journal's session was frozen while a stage was at work, and which has come to a line that it waits for.
fn mute(name: &str, own: &OwnServer) -> (Bench, std::process::Child, String) {
    let mut bench = planned(name);
    bench.keep_runs_on(own.server());
    bench.mini_apply(&["--until", "base"]).expect(0);
    let mut holder = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE u;");
    let mut command = bench.command(&["resume"]);
    // One worker: who waits for the journal keeps all others from being heard.
    command.env("TOKIO_WORKER_THREADS", "1").stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let engine = command.spawn().expect("the engine");
    bench.wait_for_a_waiter(bench.clone_name());
    let sql = format!("SELECT pid FROM pg_stat_activity WHERE application_name LIKE '% pid {} on %'", engine.id());
    let ledger = bench.in_journal(&sql);
    signal_to(&ledger, "STOP");
    holder.send("COMMIT;");
    assert!(holder.end());
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE
                 'engine%' AND state = 'idle in transaction' AND now() - state_change > interval '1 second'";
    bench.wait_until(bench.clone_name(), waits, "1");
    (bench, engine, ledger)
}

#[test]
fn while_the_journal_does_not_answer() {
    let own = OwnServer::new(&[]);
    let (bench, engine, ledger) = mute("mute", &own);
    let farewell = bench.signalled(engine, "INT");
    println!("FIGURE mute journal: {} ms from INT to the end", farewell.took.as_millis());
    assert_eq!(farewell.code, Some(130), "{}", farewell.screen);
    let next = format!("engine resume {}", bench.run_id());
    says(&farewell.screen, &["stopped by SIGINT", "the journal does not answer", "what was committed stays so", &next]);
    assert!(farewell.took < Duration::from_secs(30), "{:?}", farewell.took);
    signal_to(&ledger, "CONT");
    bench.wait_until_idle();
    whole(&bench);
}

#[test]
fn a_second_signal_while_the_journal_does_not_answer() {
    let own = OwnServer::new(&[]);
    let (bench, engine, ledger) = mute("mute_twice", &own);
    send(&engine, "INT");
    // Of another name: two of one name that come at once are one.
    let farewell = bench.signalled(engine, "TERM");
    println!("FIGURE mute journal, second signal: {} ms", farewell.took.as_millis());
    assert!(matches!(farewell.code, Some(130 | 143)), "{}", farewell.screen);
    assert!(!farewell.screen.contains("stopped by"), "it said its farewell at leisure\n{}", farewell.screen);
    signal_to(&ledger, "CONT");
    bench.wait_until_idle();
    whole(&bench);
}

/// The end of a run takes its time and comes never: what it has to read for its dossier does not answer. It is not waited for
/// for longer than half a minute.
#[test]
fn while_its_end_does_not_come() {
    let bench = planned("no_end");
    bench.mini_apply(&["--until", "base"]).expect(0);
    let mut holder = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE u;");
    let engine = bench.started(&["resume"]);
    bench.wait_for_a_waiter(bench.clone_name());
    // The engine has its journal open, and goes on writing there; who opens it now waits for a writer.
    let journal = bench.home().join(bench.of_run("journal.jsonl"));
    let kept = journal.with_extension("kept");
    std::fs::rename(&journal, &kept).expect("a journal");
    assert!(std::process::Command::new("mkfifo").arg(&journal).status().expect("mkfifo").success());
    let since = std::time::Instant::now();
    send(&engine, "INT");
    let (code, screen) = ended(engine);
    let took = since.elapsed();
    std::fs::rename(&kept, &journal).expect("a journal");
    println!("FIGURE no end: {} ms from INT to the end", took.as_millis());
    assert_eq!(code, Some(130), "{screen}");
    says(&screen, &["the run did not come to its end within 30 s", "engine resume"]);
    assert!(took >= Duration::from_secs(30), "it was not given its time: {took:?}\n{screen}");
    holder.send("COMMIT;");
    assert!(holder.end());
    bench.wait_until_idle();
    assert!(left(&bench).iter().any(|line| line.contains("`a`")), "{:?}", left(&bench));
    whole(&bench);
}
