//! `gc` drops clones of ours that have expired and that nobody uses, and nothing else; `drop` nothing without a marker.

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};
use support::{Bench, Outcome, OwnServer};

/// It looks at a whole server, so tests take turns.
fn turn() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bench(name: &str) -> Bench {
    let bench = Bench::bare(name, "");
    bench.psql(bench.production(), "CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
    bench
}

/// A clone that expires at once, or never.
fn made(name: &str, expires: &str) -> Bench {
    expiring(bench(name), expires)
}

fn expiring(bench: Bench, expires: &str) -> Bench {
    bench.clone_plan("stream", "");
    let plan = bench.read(support::PLAN);
    bench.write(support::PLAN, &plan.replacen("clone_of = ", &format!("{expires}\nclone_of = "), 1));
    bench.engine(&["apply", support::PLAN]).expect(0);
    bench
}

fn gc(bench: &Bench, more: &[&str]) -> Outcome {
    bench.engine(&[&["gc", support::PLAN], more].concat()).expect(0)
}

/// The line about a database.
fn line<'o>(outcome: &'o Outcome, database: &str) -> &'o str {
    let starts = |line: &&str| line.split_whitespace().next() == Some(database);
    outcome.stdout.lines().find(starts).unwrap_or_else(|| panic!("{database} is not in\n{}", outcome.stdout))
}

/// Our own clock's instant a second ahead must be past.
fn a_moment() {
    std::thread::sleep(std::time::Duration::from_millis(1_200));
}

#[test]
fn what_has_expired_is_dropped_once_nobody_uses_it() {
    let _turn = turn();
    let bench = made("expired", "expires = \"1s\"");
    let clone = bench.clone_name();
    a_moment();
    let dry = gc(&bench, &["--dry-run"]);
    assert!(line(&dry, clone).ends_with("expired and unused, would be dropped"), "{}", dry.stdout);
    assert!(bench.exists(clone) && dry.stdout.contains("next  engine gc "), "{}", dry.stdout);
    let user = bench.session(clone, "SELECT 1");
    let used = gc(&bench, &[]);
    assert!(line(&used, clone).ends_with("kept: in use by 1 session"), "{}", used.stdout);
    drop(user);
    bench.wait_until("postgres", &format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{clone}'"), "0");
    let run = bench.run_id();
    let gone = gc(&bench, &[]);
    assert!(line(&gone, clone).ends_with("expired and unused, dropped"), "{}", gone.stdout);
    assert!(line(&gone, clone).contains(&format!("run {run} of only_clone")), "{}", gone.stdout);
    assert!(!bench.exists(clone) && bench.exists(bench.production()));
    assert!(!gc(&bench, &[]).stdout.contains(clone));
}

#[test]
fn what_has_its_time_before_it_is_kept() {
    let _turn = turn();
    let bench = made("fresh", "expires = \"1d\"");
    let kept = gc(&bench, &[]);
    assert!(line(&kept, bench.clone_name()).contains("kept: until "), "{}", kept.stdout);
    let forever = made("forever", "");
    let kept = gc(&forever, &[]);
    assert!(line(&kept, forever.clone_name()).ends_with("kept: it never expires"), "{}", kept.stdout);
    assert!(bench.exists(bench.clone_name()) && forever.exists(forever.clone_name()));
}

/// A comment travels with `pg_dump -C`; what is said of a clone must not drop what became precious.
#[test]
fn a_copied_marker_drops_nothing() {
    let _turn = turn();
    let bench = made("copied", "expires = \"1s\"");
    let comment = format!(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{}'",
        bench.clone_name()
    );
    let marker = bench.psql("postgres", &comment);
    let precious = "precious_copied";
    bench.psql("postgres", &format!("CREATE DATABASE {precious} OWNER engine_cloner"));
    bench.psql("postgres", &format!("COMMENT ON DATABASE {precious} IS '{marker}'"));
    a_moment();
    let said = gc(&bench, &[]);
    assert!(line(&said, precious).ends_with("kept: its marker was written for another database"), "{}", said.stdout);
    assert!(bench.exists(precious) && !bench.exists(bench.clone_name()));
    // Nor does a plan whose clone would bear that name.
    let plan = bench.read(support::PLAN).replace(bench.clone_name(), precious);
    bench.write(support::PLAN, &plan);
    bench.engine(&["apply", support::PLAN, "--replace"]).expect(63);
    assert!(bench.exists(precious));
    bench.psql("postgres", &format!("DROP DATABASE {precious}"));
}

/// A name alone is no proof: what is open and unmarked is somebody's.
#[test]
fn what_carries_no_marker_is_never_dropped() {
    let _turn = turn();
    let bench = made("unmarked", "expires = \"1s\"");
    let run = bench.run_id();
    for name in [format!("engine_{run}"), format!("engine_{run}_copy"), format!("engine_{run}_precious")] {
        bench.psql("postgres", &format!("CREATE DATABASE {name} OWNER engine_cloner"));
    }
    a_moment();
    let said = gc(&bench, &["--dry-run"]);
    assert!(
        line(&said, &format!("engine_{run}")).ends_with("kept: it carries no marker of this engine"),
        "{}",
        said.stdout
    );
    let dropped = bench.engine(&["drop", &run]).expect(63);
    assert!(dropped.stdout.contains(&format!("dropped {}", bench.clone_name())), "{}", dropped.all());
    dropped.says(&["carries no marker of this engine", "it was left alone", "DROP DATABASE"]);
    for end in ["", "_copy", "_precious"] {
        assert!(bench.exists(&format!("engine_{run}{end}")), "{end}");
        bench.psql("postgres", &format!("DROP DATABASE engine_{run}{end}"));
    }
}

/// Nor by a run that would make its clone under that name: it is open, so it is no half clone.
#[test]
fn a_run_does_not_take_an_unmarked_name_for_its_own() {
    let _turn = turn();
    let bench = Bench::mini("foreign", "");
    bench.mini_plan("");
    bench.mini_apply(&["--until", "pre"]).expect(0);
    let working = format!("engine_{}", bench.run_id());
    bench.psql("postgres", &format!("CREATE DATABASE {working} OWNER engine_cloner"));
    bench.engine(&["resume"]).expect(63).says(&[&working, "carries no marker of this engine"]);
    assert!(bench.exists(&working));
    // Shut, as a run that was killed before it could mark it leaves it, it is.
    bench.psql("postgres", &format!("ALTER DATABASE {working} ALLOW_CONNECTIONS false"));
    bench.engine(&["resume"]).expect(0);
    assert!(!bench.exists(&working) && bench.exists(bench.clone_name()));
}

/// A run at work holds the name of its clone; what it has is not collected under it.
#[test]
fn what_a_run_is_at_work_on_is_kept() {
    let _turn = turn();
    let bench = made("held", "expires = \"1s\"");
    a_moment();
    let server = bench.psql("postgres", "SELECT system_identifier FROM pg_control_system()");
    let key = format!("{} of server {server}", bench.clone_name());
    let holder = bench.session("postgres", &format!("SELECT pg_advisory_lock(hashtextextended('{key}', 0));"));
    let said = gc(&bench, &[]);
    assert!(line(&said, bench.clone_name()).ends_with("kept: a run is at work on it"), "{}", said.stdout);
    drop(holder);
    bench.wait_until("postgres", "SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory'", "0");
    let json = gc(&bench, &["--json"]);
    let of = json.stdout.lines().find(|line| line.contains(bench.clone_name())).expect("a line");
    let value: serde_json::Value = serde_json::from_str(of).expect("JSON");
    assert_eq!((value["type"].as_str(), value["fate"].as_str()), (Some("old_clone"), Some("dropped")), "{of}");
    assert!(!bench.exists(bench.clone_name()));
}

/// What a run makes under other names is its own as long as it is at work: it holds a lock of its id.
#[test]
fn what_a_run_is_making_is_kept() {
    let _turn = turn();
    let bench = Bench::mini("making", "");
    let stage = bench.mini_stage("a", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1, 'a')", None);
    bench.mini_plan_with("", "expires = \"1s\"", &stage);
    bench.mini_apply(&["--until", "base"]).expect(0);
    let run = bench.run_id();
    let holder = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE u;");
    let mut engine = bench.start(&["resume"]);
    bench.wait_for(&mut engine, |event| matches!(event, engine::event::Event::AttemptStarted { .. }));
    let held = format!(
        "SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory'
         AND ((classid::bigint << 32) | objid::bigint) = hashtextextended('engine run {run}', 0)"
    );
    assert_eq!(bench.psql("postgres", &held), "1", "the run holds its id");
    drop(holder);
    assert_eq!(engine.end(), Some(0));
    // As if it were at work elsewhere: its clone's name is free, its id is not.
    let lock = format!("SELECT pg_advisory_lock(hashtextextended('engine run {run}', 0));");
    let holder = bench.session("postgres", &lock);
    a_moment();
    let said = bench.engine(&["gc", support::MINI]).expect(0);
    assert!(line(&said, bench.clone_name()).ends_with("kept: a run is at work on it"), "{}", said.stdout);
    drop(holder);
}

/// A plan that makes so many clones, one after the other, which expire at once; what they are called.
fn many(bench: &Bench, number: usize) -> Vec<String> {
    let names: Vec<String> = (0..number).map(|n| format!("{}_{n}", bench.clone_name())).collect();
    let clone = |(n, database): (usize, &String)| {
        let needs = if n == 0 { String::new() } else { format!("\"make_c{}\"", n - 1) };
        format!(
            "[target.c{n}]\nclone_of = \"production\"\ndatabase = \"{database}\"\nurl = \"env:SHOP_CLONE_URL\"\n\
             maker_url = \"env:SHOP_CLONE_MAKER_URL\"\nexpires = \"1s\"\n[stage.make_c{n}]\nkind = \"clone\"\non = \"c{n}\"\n\
             needs = [{needs}]\nno_guard = \"makes it\"\n"
        )
    };
    let production = "[target.production]\nurl = \"env:SHOP_PRODUCTION_URL\"\naccess = \"read\"\n";
    let clones: String = names.iter().enumerate().map(clone).collect();
    bench.write(MANY, &format!("engine = 1\nplan.name = \"many\"\n{production}{clones}"));
    bench.engine(&["apply", MANY]).expect(0);
    names
}

const MANY: &str = "plans/many.toml";

/// A run with two clones on one server does not stand in its own way.
#[test]
fn two_clones_of_one_run_share_its_lock() {
    let _turn = turn();
    let bench = Bench::mini("twins", "");
    let names = many(&bench, 2);
    bench.engine(&["drop", "latest"]).expect(0);
    assert!(names.iter().all(|name| !bench.exists(name)));
}

/// Nor does who drops them: a session that it closes keeps its lock for a moment, and is no run at work.
#[test]
fn all_clones_of_a_run_are_dropped_at_once() {
    let _turn = turn();
    let bench = Bench::mini("litter", "");
    let names = many(&bench, 8);
    a_moment();
    let all = bench.engine(&["gc", MANY]).expect(0);
    for name in &names {
        assert!(line(&all, name).ends_with("expired and unused, dropped") && !bench.exists(name), "{}", all.stdout);
    }
}

/// What cannot be dropped is as open as it was, and the others are not forgotten over it.
#[test]
fn what_cannot_be_dropped_stays_open_and_hides_no_other() {
    let _turn = turn();
    let own = OwnServer::new(&["max_prepared_transactions = 5"]);
    let made_there = |name: &str| {
        let bench = Bench::bare_on(support::server(), own.server(), name, "");
        bench.psql(bench.production(), "CREATE TABLE t (id int)");
        expiring(bench, "expires = \"1s\"")
    };
    let (bench, other) = (made_there("prepared"), made_there("unprepared"));
    a_moment();
    bench.psql(bench.clone_name(), "BEGIN; CREATE TABLE p (); PREPARE TRANSACTION 'kept'");
    let said = bench.engine(&["gc", support::PLAN]).expect(1);
    assert!(line(&said, bench.clone_name()).contains("COULD NOT BE DROPPED"), "{}", said.stdout);
    assert!(line(&said, other.clone_name()).ends_with("expired and unused, dropped"), "{}", said.stdout);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT 1"), "1", "it is as open as it was");
    bench.psql(bench.clone_name(), "ROLLBACK PREPARED 'kept'");
    bench.engine(&["gc", support::PLAN]).expect(0);
    assert!(!bench.exists(bench.clone_name()));
}

#[test]
fn what_was_dropped_is_said_also_where_another_server_is_gone() {
    let _turn = turn();
    let mut bench = made("one_gone", "expires = \"1s\"");
    a_moment();
    let other = format!(
        "[target.other]\nclone_of = \"production\"\ndatabase = \"{}_other\"\nurl = \"env:SHOP_CLONE_URL\"\n\
         maker_url = \"env:GONE_MAKER_URL\"\n",
        bench.clone_name()
    );
    bench.edit(support::PLAN, "[defaults]", &format!("{other}[defaults]"));
    bench.set("GONE_MAKER_URL", "postgresql://engine_cloner@127.0.0.1:1/postgres?sslmode=disable");
    let said = bench.engine(&["gc", support::PLAN]);
    assert_ne!(said.code, 0, "{}", said.all());
    assert!(line(&said, bench.clone_name()).ends_with("expired and unused, dropped"), "{}", said.all());
    said.says(&["cannot reach `other`", "what is listed as dropped is gone"]);
    assert!(!bench.exists(bench.clone_name()));
}

/// A database that took the clone's place is never marked as ours, whatever comment it bears.
#[test]
fn what_took_the_clones_place_is_not_marked() {
    let _turn = turn();
    let bench = Bench::mini("placed", "");
    bench.mini_plan_with("", "expires = \"1s\"", "");
    let holder = bench.session(bench.production(), "SELECT 1;");
    bench.mini_apply(&["--until", "clone"]).expect(0);
    drop(holder);
    let (clone, run) = (bench.clone_name(), bench.run_id());
    let comment = format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{clone}'");
    let marker = bench.psql("postgres", &comment);
    bench.psql("postgres", &format!("DROP DATABASE {clone}"));
    bench.psql("postgres", &format!("CREATE DATABASE {clone} OWNER engine_cloner"));
    bench.psql("postgres", &format!("COMMENT ON DATABASE {clone} IS '{marker}'"));
    bench.engine(&["resume", &run]).expect(63);
    assert_eq!(bench.psql("postgres", &comment), marker, "it was not marked anew");
    a_moment();
    let said = bench.engine(&["gc", support::MINI]).expect(0);
    assert!(line(&said, clone).ends_with("kept: its marker was written for another database"), "{}", said.stdout);
}

/// A session that the maker may not end is waited for; one that stays makes it temporary, and nothing is lost.
#[test]
fn a_session_in_a_clone_is_waited_for() {
    let _turn = turn();
    let bench = made("occupied", "");
    let stays = bench.session(bench.clone_name(), "SELECT 1;");
    let mut dropping = bench.start(&["drop", "latest"]);
    std::thread::sleep(std::time::Duration::from_secs(8));
    assert!(!dropping.over(), "it did not wait");
    drop(stays);
    assert_eq!(dropping.end(), Some(0));
    assert!(!bench.exists(bench.clone_name()));
}

#[test]
fn a_plan_without_a_clone_has_nowhere_to_look() {
    let _turn = turn();
    let bench = bench("nowhere");
    bench.write(
        "plans/none.toml",
        "engine = 1\nplan.name = \"none\"\n[target.production]\nurl = \"env:SHOP_PRODUCTION_URL\"\naccess = \"read\"\n\
         [stage.look]\nkind = \"fingerprint\"\non = \"production\"\nneeds = []\nno_guard = \"looks\"\n",
    );
    bench.engine(&["gc", "plans/none.toml"]).expect(2).says(&["makes no clone", "nothing was changed"]);
}
