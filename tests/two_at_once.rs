//! Two engines at the same instant, again and again: exactly one goes on, the other one says who does, and the run of the
//! one is as if nobody else had been there.

mod support;

use engine::event::{Event, Exit};
use engine::target::{Door, Maker, Settings, Url};
use std::io::{Read, Write};
use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Bench, Gate, KEEPER, MINI, server, session_to, to_the_rehearsal};

/// Rounds of each of the two sorts, to begin and to resume: a hundred in all with a journal in files, and as many with one in
/// a database, where whoever is refused first waits some seconds for a session that may be closing.
const ROUNDS: (usize, usize) = (50, 50);
const TEAM_ROUNDS: (usize, usize) = (90, 10);

/// A plan whose first stage looks at production, and stands there as long as a table of `gates` is locked.
fn bench(name: &str) -> Bench {
    let bench = Bench::mini(name, "CREATE TABLE gates (id int)");
    let look = "[stage.look]\nkind = \"check\"\non = \"production\"\nneeds = []\nno_guard = \"reads\"\nensure.none = \"gates = 0\"\n";
    let probe = "[probe.gates]\non = \"production\"\nsql = \"SELECT count(*) FROM public.gates\"\n";
    bench.mini_plan(&format!("{look}{probe}"));
    bench
}

/// Two machines that share a journal.
fn team(name: &str) -> [Bench; 2] {
    let mut one = bench(name);
    one.keep_runs_on(server());
    let two = one.another_machine();
    [one, two]
}

/// Starts one on each machine, waits until one of them has ended by itself, lets the other one go on, and demands exactly
/// that.
fn round(machines: [&Bench; 2], command: &[&str]) -> (Output, Output) {
    let bench = machines[0];
    let mut gate = bench.session(bench.production(), "BEGIN; LOCK TABLE gates;");
    let start = |machine: &Bench| {
        machine.command(command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the engine")
    };
    let mut two = machines.map(start);
    let over = loop {
        if let Some(over) = two.iter_mut().position(|engine| engine.try_wait().expect("a child").is_some()) {
            break over;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    gate.send("COMMIT;");
    assert!(gate.end());
    let [a, b] = two.map(Child::wait_with_output).map(|output| output.expect("the engine"));
    if over == 0 { (a, b) } else { (b, a) }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name").trim().to_owned()
}

/// The last process that began or took up the newest run.
fn pid(bench: &Bench) -> u32 {
    let mut last = 0;
    for event in bench.journal().events {
        if let Event::RunStarted { pid, .. } | Event::RunResumed { pid, .. } = event {
            last = pid;
        }
    }
    last
}

/// Demands that one went on, that the other says who does, and that the run is whole.
fn told(bench: &Bench, (refused, went_on): &(Output, Output), number: usize) {
    let screens = format!("round {number}\n{}\n{}", said(refused), said(went_on));
    assert_eq!((refused.status.code(), went_on.status.code()), (Some(60), Some(0)), "{screens}");
    let run = bench.run_id();
    for word in [&format!("engine {run} pid {} on {}", pid(bench), host()), "nothing was changed"] {
        assert!(said(refused).contains(word), "`{word}` is not there, {screens}");
    }
    assert_eq!(bench.journal().done(), ["look"], "round {number}");
    bench.engine(&["verify", &run]).expect(0);
}

fn exactly_one_begins(machines: [&Bench; 2], rounds: usize) {
    for number in 1..=rounds {
        let ended = round(machines, &["apply", MINI, "--until", "look"]);
        assert_eq!(machines[0].runs().len(), number, "the one that was refused left a run behind");
        told(machines[0], &ended, number);
    }
}

fn exactly_one_resumes(machines: [&Bench; 2], rounds: usize) {
    let bench = machines[0];
    for number in 1..=rounds {
        // Refused at first, so that there is something to go on with.
        bench.psql(bench.production(), "INSERT INTO gates VALUES (1)");
        bench.engine(&["apply", MINI, "--until", "look"]).expect(41);
        bench.psql(bench.production(), "DELETE FROM gates");
        let ended = round(machines, &["resume", &bench.run_id(), "--until", "look"]);
        told(bench, &ended, number);
        assert_eq!(bench.journal().count(|event| matches!(event, Event::RunResumed { .. })), 1, "round {number}");
    }
}

#[test]
fn of_two_that_begin_exactly_one_does() {
    let bench = bench("begin");
    exactly_one_begins([&bench, &bench], ROUNDS.0);
}

#[test]
fn of_two_that_resume_exactly_one_does() {
    let bench = bench("resume");
    exactly_one_resumes([&bench, &bench], ROUNDS.1);
}

#[test]
fn of_two_machines_that_begin_exactly_one_does() {
    let [one, two] = team("begin_team");
    exactly_one_begins([&one, &two], TEAM_ROUNDS.0);
}

#[test]
fn of_two_machines_that_resume_exactly_one_does() {
    let [one, two] = team("resume_team");
    exactly_one_resumes([&one, &two], TEAM_ROUNDS.1);
}

/// Each comes to make its tables; whoever had to wait finds them there.
#[test]
fn two_machines_that_begin_at_once_in_an_empty_journal_both_do() {
    let (mut one, mut two) = (bench("empty_one"), bench("empty_two"));
    one.keep_runs_on(server());
    let journal = format!("journal_of_{}", one.clone_name());
    two.set("ENGINE_JOURNAL", &server().url(KEEPER, &journal));
    let lock = "SELECT pg_advisory_lock(hashtextextended('engine_journal', 0));";
    let held = session_to(&server().url("postgres", &journal), lock);
    let begun = [&one, &two].map(|machine| machine.start(&["apply", MINI, "--until", "look"]));
    let waiting = "SELECT least(count(*), WANTED) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    one.wait_until(&journal, &waiting.replace("WANTED", "1"), "1");
    // They wait for five seconds; one that comes later finds the tables as well.
    let since = Instant::now();
    while one.in_journal(&waiting.replace("WANTED", "2")) != "2" && since.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(held);
    for engine in begun {
        assert_eq!(engine.end(), Some(0));
    }
    assert_eq!(one.runs().len(), 2);
}

/// It has read the journal, and cannot get a word out, when another one takes the run to its end: what it knows is old.
#[test]
fn one_that_read_the_journal_before_another_went_on_is_refused() {
    let bench = bench("stale");
    bench.psql(bench.production(), "INSERT INTO gates VALUES (1)");
    bench.engine(&["apply", MINI, "--until", "look"]).expect(41);
    bench.psql(bench.production(), "DELETE FROM gates");
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    // As much as fits: the first word that the engine says, which is of the journal it has read, waits.
    writer.write_all(&vec![b'.'; 64 << 10]).expect("a pipe");
    let mut slow = bench.command(&["resume", "--until", "look"]).stderr(writer).spawn().expect("the engine");
    while !waits_to_write(slow.id()) {
        assert!(slow.try_wait().expect("a child").is_none(), "the engine ended before it said a word");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    bench.engine(&["resume", "--until", "look"]).expect(0);
    let before = bench.read(&bench.of_run("journal.jsonl"));
    let mut screen = String::new();
    reader.read_to_string(&mut screen).expect("its words");
    assert_eq!(slow.wait().expect("a child").code(), Some(60), "{screen}");
    assert!(screen.contains("another process went on with this run"), "{screen}");
    assert!(screen.contains(&format!("it was pid {} on {}", pid(&bench), host())), "{screen}");
    assert_eq!(bench.read(&bench.of_run("journal.jsonl")), before);
    bench.engine(&["verify", &bench.run_id()]).expect(0);
}

/// Does a thread of that process stand in a `write` to its standard error?
fn waits_to_write(id: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let calls = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("syscall")).ok());
    // The number of `write`, here and on ARM, and the descriptor.
    calls.into_iter().any(|call| call.starts_with("1 0x2 ") || call.starts_with("64 0x2 "))
}

/// A second maintenance database on the bench's server; the connection string of whoever makes clones from there.
fn another_maintenance(bench: &Bench) -> String {
    let name = format!("ops_of_{}", bench.clone_name());
    bench.psql("postgres", &format!("CREATE DATABASE {name}"));
    bench.url("engine_cloner", &name)
}

/// PostgreSQL keeps an advisory lock for one database; a clone is of the whole server.
#[test]
fn maintenance_databases_that_differ_exclude_each_other() {
    let one = bench("maintenance");
    let mut two = one.another_machine();
    two.set("SHOP_CLONE_MAKER_URL", &another_maintenance(&one));
    let mut gate = one.session(one.production(), "BEGIN; LOCK TABLE gates;");
    let begun = one.start(&["apply", MINI, "--until", "look"]);
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    one.wait_until(one.production(), waits, "1");
    let holder = format!("engine {} pid {} on {}", one.run_id(), begun.id(), host());
    let databases = format!("its maintenance database is `postgres`, here it is `ops_of_{}`", one.clone_name());
    let refused = two.engine(&["apply", MINI, "--until", "look"]).expect(60);
    refused.says(&["another run holds", &holder, &databases, "nothing was changed"]);
    assert!(two.runs().is_empty(), "the one that was refused left a run behind");
    gate.send("COMMIT;");
    assert!(gate.end());
    assert_eq!(begun.end(), Some(0));
    one.wait_for_silence();
    two.engine(&["apply", MINI, "--until", "look"]).expect(0);
}

/// A lock that is only wanted as yet, and by a session that came first and does not go on, is no prize for the second.
#[test]
fn whoever_came_first_in_another_database_is_not_overtaken() {
    let one = bench("first");
    another_maintenance(&one);
    let server = one.psql("postgres", "SELECT system_identifier FROM pg_control_system()");
    let sql = format!(
        "SET application_name = 'the first'; SELECT pg_advisory_lock(hashtextextended('{} of server {server}', 0));",
        one.clone_name()
    );
    let ops = format!("ops_of_{}", one.clone_name());
    let first = one.session(&ops, &sql);
    let held = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'the first'";
    one.wait_until(&ops, held, "1");
    one.engine(&["apply", MINI, "--until", "look"]).expect(60).says(&["held by the first", "nothing was changed"]);
    drop(first);
    one.wait_until(&ops, held, "0");
    one.engine(&["apply", MINI, "--until", "look"]).expect(0);
}

/// The lock of the run itself is taken once on a server, also by a run whose clones are made from two databases.
#[test]
fn a_run_with_two_maintenance_databases_does_not_exclude_itself() {
    let mut bench = bench("own");
    bench.set("OTHER_MAKER_URL", &another_maintenance(&bench));
    let more = format!(
        "[target.other]\nclone_of = \"production\"\ndatabase = \"{}_other\"\nurl = \"env:SHOP_CLONE_URL\"\n\
         maker_url = \"env:OTHER_MAKER_URL\"\n\
         [stage.other]\nkind = \"clone\"\non = \"other\"\nneeds = [\"clone\"]\nno_guard = \"none\"\n",
        bench.clone_name()
    );
    bench.mini_plan(&more);
    bench.mini_apply(&[]).expect(0);
    assert_eq!(bench.journal().done().len(), 4);
}

/// Makers of three databases who want the same at the same instant: one has it, every time, and the others say so.
#[tokio::test(flavor = "multi_thread")]
async fn of_makers_in_three_databases_exactly_one_holds() {
    let bench = bench("makers");
    for number in 0..3 {
        bench.psql("postgres", &format!("CREATE DATABASE ops_{number}"));
    }
    let settings = Settings {
        search_path: String::new(),
        statement_timeout: Duration::from_secs(60),
        lock_timeout: Duration::from_secs(5),
        read_only: false,
    };
    let maker = |number: usize| {
        let url = Url::literal("test", bench.url("engine_cloner", &format!("ops_{}", number % 3)));
        Maker::new(Door::new("clone", &url, None, &settings).expect("a door"))
    };
    let makers: Vec<Maker> = (0..6).map(maker).collect();
    for round in 0..100 {
        let key = format!("round {round}");
        let start = Arc::new(tokio::sync::Barrier::new(makers.len()));
        let mut all = tokio::task::JoinSet::new();
        for (number, maker) in makers.iter().cloned().enumerate() {
            let (key, start) = (key.clone(), Arc::clone(&start));
            all.spawn(async move {
                start.wait().await;
                maker.hold(&key, &format!("maker {number}")).await
            });
        }
        let (held, refused): (Vec<_>, Vec<_>) = all.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(held.len(), 1, "round {round}: {refused:?}");
        for failure in refused.into_iter().map(|refused| refused.expect_err("it is refused")) {
            assert_eq!(failure.exit, Exit::Held, "{failure:?}");
            assert!(
                failure.facts[0].starts_with("held by maker ") || failure.facts[0].contains("just ended"),
                "{failure:?}"
            );
        }
    }
}

/// What an earlier run left goes while another run of the same plan is at work; what that one has does not.
#[test]
fn a_drop_beside_another_run_of_the_plan_takes_its_own_only() {
    let bench = bench("drop");
    bench.mini_apply(&[]).expect(0);
    let (first, old) = (bench.run_id(), bench.clone_name().to_owned());
    let (new, plan) = (format!("{old}_new"), bench.read(MINI));
    bench.write(MINI, &plan.replace(&format!("\"{old}\""), &format!("\"{new}\"")));
    let gate = Gate::before(&bench, "t", "id = 3");
    let engine = bench.start(&["apply", MINI]);
    while bench.runs().len() < 2 {
        std::thread::sleep(Duration::from_millis(10));
    }
    gate.wait();
    let second = bench.run_id();
    bench.engine(&["drop", &first]).expect(0).says(&[&old]);
    assert!(!bench.exists(&old));
    let refused = bench.engine(&["drop", &second]).expect(60);
    refused.says(&[&format!("engine {second} pid {}", engine.id()), "nothing was changed"]);
    gate.open();
    assert_eq!(engine.end(), Some(0));
    assert!(bench.exists(&new));
    assert_eq!(bench.journal().done().len(), 4);
    bench.engine(&["drop", &second]).expect(0);
    assert!(!bench.exists(&new));
}

/// What is half made is called by its run, whichever of its clones it is.
#[test]
fn two_clones_of_one_run_and_their_rehearsals_are_made_one_after_the_other() {
    let bench = Bench::mini("twins", "");
    let second = format!("{}_b", bench.clone_name());
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1, 'a')", Some("DELETE FROM u"));
    let own = to_the_rehearsal("\"a\"", "");
    let twin = |text: &str| {
        ["stage.clone", "stage.base", "stage.a", "stage.r"]
            .iter()
            .fold(text.to_owned(), |text, name| text.replace(&format!("[{name}]"), &format!("[{name}_b]")))
            .replace("on = \"clone\"", "on = \"twin\"")
    };
    bench.mini_plan(&format!("{a}{own}"));
    let plan = bench.read(MINI);
    let target = plan.find("[target.clone]").expect("a clone");
    let end = target + plan[target..].find("[probe").expect("probes");
    let of_twin = plan[target..end].replace("[target.clone]", "[target.twin]").replace(bench.clone_name(), &second);
    let stages = plan.find("[stage.clone]").expect("stages");
    let more = twin(&plan[stages..])
        .replace("needs = [\"clone\"]", "needs = [\"clone_b\"]")
        .replace("equals = \"clone\"", "equals = \"clone_b\"")
        .replace("needs = [\"base\"]", "needs = [\"base_b\"]")
        .replace("needs = [\"a\"]", "needs = [\"a_b\"]")
        .replace("baseline = \"base\"", "baseline = \"base_b\"");
    bench.write(MINI, &format!("{}{of_twin}{}{more}", &plan[..end], &plan[end..]));
    bench.mini_apply(&[]).expect(0).says(&["all 9 stages done"]);
    for database in [bench.clone_name(), &second] {
        assert_eq!(bench.psql(database, "SELECT id FROM u"), "1");
    }
}
