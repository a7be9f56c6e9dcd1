//! A statement that waits: who holds it up is asked by a second session, named on the screen and in the failure, and what
//! others run stays on the operator's own terminal.

mod support;

use engine::event::{Blocker, Event, Wanted};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::{Bench, Does, MINI_ROLLOUT, OwnServer, Proxy, Session, Spot, server, to_the_packet};

/// What a holder ran last; it must be on no log and in no file.
const CANARY: &str = "canary_7c1f";

/// A run that stands before stage `s`, which runs `sql`.
fn before(name: &str, more: &str, sql: &str) -> Bench {
    let bench = Bench::mini(name, "");
    let s = bench.mini_stage("s", "\"base\"", more, sql, Some("DELETE FROM u WHERE id > 100"));
    bench.mini_plan(&s);
    bench.mini_apply(&["--until", "base"]).expect(0);
    bench
}

const SHORT: &str = "lock_timeout = \"3s\"\nwrites.u = 1\nwrites.t = 1";
const INSERT: &str = "INSERT INTO u VALUES (101, 'x')";

/// Somebody of `role` who did something, holds what `sql` takes, and then does nothing.
fn holder(bench: &Bench, role: &str, database: &str, application: &str, sql: &str) -> (Session, i32) {
    let pid =
        format!("SELECT pid FROM pg_stat_activity WHERE application_name = '{application}' AND datname = '{database}'");
    let set = format!("SET application_name = '{application}'; BEGIN; {sql}; SELECT '{CANARY}';");
    let session = bench.session_as(role, database, &set);
    (session, bench.psql(database, &pid).parse().expect("one holder"))
}

fn stalls(bench: &Bench) -> Vec<(Option<Wanted>, Vec<Blocker>)> {
    let stalled = |event| match event {
        Event::Stalled { wanted, blockers, .. } => Some((wanted, blockers)),
        _ => None,
    };
    bench.journal().events.into_iter().filter_map(stalled).collect()
}

/// How often the second session asked in `database`, as the server's own log has it.
fn asked(database: &str) -> usize {
    static LOGGED: OnceLock<()> = OnceLock::new();
    LOGGED.get_or_init(|| {
        let alter = "ALTER SYSTEM SET log_statement = 'all';\nALTER SYSTEM SET log_line_prefix = '<%d> ';\nSELECT pg_reload_conf();";
        server().psql("postgres", alter).expect("settings");
        let since = Instant::now();
        while server().psql("postgres", "SHOW log_statement").is_ok_and(|now| now != "all") {
            assert!(since.elapsed() < Duration::from_mins(1), "the server does not log statements");
        }
    });
    let log = std::fs::read(server().log()).expect("a log");
    let log = String::from_utf8_lossy(&log).into_owned();
    let lines: Vec<&str> = log.lines().collect();
    // A statement of several lines: its first one names the database.
    lines
        .iter()
        .filter(|line| line.starts_with(&format!("<{database}>")) && line.contains("Who holds up the backend"))
        .count()
}

#[track_caller]
fn no_canary(bench: &Bench) {
    let folder = bench.home().join(".engine");
    for file in support::files(&folder) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).expect("a file")).into_owned();
        assert!(!text.contains(CANARY), "what somebody ran is in {}", file.display());
    }
}

#[test]
fn the_failure_names_who_held_the_lock_and_the_journal_holds_no_query() {
    let bench = before("st_idle", SHORT, INSERT);
    let clone = bench.clone_name().to_owned();
    let (session, pid) = holder(&bench, "engine_stage", &clone, "release 7", "LOCK TABLE u IN SHARE MODE");
    let behind = format!(
        "behind pid {pid}, role engine_stage, application release 7, idle in transaction, its transaction is open for"
    );
    let told = bench.engine(&["resume"]).expect(75).says(&[
        "engine: s waits for RowExclusiveLock on public.u, behind pid",
        "canceling statement due to lock timeout",
        "\n  waits for RowExclusiveLock on public.u\n",
        &format!("\n  {behind}"),
        "rolled back",
    ]);
    assert!(!told.all().contains(CANARY), "off a terminal: {}", told.all());
    no_canary(&bench);
    let stalls = stalls(&bench);
    assert_eq!(stalls.len(), 1, "{stalls:?}");
    let (wanted, blockers) = &stalls[0];
    let wanted = wanted.as_ref().expect("a lock");
    assert_eq!((wanted.lock.as_str(), wanted.relation.as_deref()), ("relation", Some("public.u")));
    assert_eq!((blockers.len(), blockers[0].pid, blockers[0].head), (1, pid, true));
    assert!(blockers[0].open_ms.is_some());
    bench.engine(&["show", "latest", "s"]).expect(0).says(&["It was held up", &behind]);
    drop(session);
    bench.engine(&["resume"]).expect(0);
}

/// A case of rejects that meets somebody's lock was not tried: that is no database that does not refuse.
#[test]
fn a_case_that_somebody_is_in_the_way_of_was_not_tried() {
    let bench = Bench::mini("st_case", "");
    bench.write("templates/mini/case.sql", "UPDATE t SET id = {{ id }} WHERE id = 1;\n");
    let s = bench.mini_stage("s", "\"base\"", "lock_timeout = \"1s\"\nwrites.u = 1", INSERT, None);
    let reject = "[stage.s.reject.key]\nfile = \"mini/case.sql\"\npermit = { id = 77 }\n\
                  refuse.taken = { with.id = 2, error = \"23505\" }\n";
    bench.mini_plan(&format!("{s}{reject}"));
    bench.mini_apply(&["--until", "base"]).expect(0);
    let clone = bench.clone_name().to_owned();
    let (session, _) = holder(&bench, "engine_stage", &clone, "release 7", "SELECT FROM t WHERE id = 1 FOR UPDATE");
    bench.engine(&["resume"]).expect(75).says(&[
        "case `permit` of reject `key` could not be tried",
        "canceling statement due to lock timeout",
        "rolled back",
    ]);
    drop(session);
    bench.engine(&["resume"]).expect(0).says(&["1 refused, 1 permitted"]);
}

#[test]
fn a_terminal_shows_what_the_holder_ran() {
    let bench = before("st_terminal", SHORT, INSERT);
    let clone = bench.clone_name().to_owned();
    let (_session, pid) = holder(&bench, "engine_stage", &clone, "release 8", "LOCK TABLE u IN SHARE MODE");
    let engine = bench.command(&["resume"]);
    let mut script = Command::new("script");
    script.args(["-qec", &format!("{} resume", env!("CARGO_BIN_EXE_engine")), "/dev/null"]).stdin(Stdio::null());
    script.current_dir(bench.home()).env_clear();
    script.envs(engine.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let shown = script.output().expect("script of bsdutils");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&format!("detail: pid {pid} ran last: SELECT '{CANARY}'")), "{shown}");
    no_canary(&bench);
}

#[test]
fn of_a_chain_the_head_is_named() {
    let bench = before("st_chain", SHORT, INSERT);
    let clone = bench.clone_name().to_owned();
    let (first, head) = holder(&bench, "engine_stage", &clone, "head", "LOCK TABLE t IN SHARE MODE");
    let (mut middle, pid) = holder(&bench, "engine_stage", &clone, "middle", "LOCK TABLE u IN SHARE MODE");
    // It gives up by itself, so that a test that fails ends.
    middle.send("SET LOCAL lock_timeout = '60s'; LOCK TABLE t IN EXCLUSIVE MODE;");
    let waits = format!("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = {pid}");
    bench.wait_until(&clone, &waits, "1");
    bench.engine(&["resume"]).expect(75).says(&[
        &format!("behind pid {pid}, role engine_stage, application middle, active,"),
        &format!("pid {pid} waits itself, behind pid {head}, role engine_stage, application head, idle in transaction"),
        "the head of the chain",
    ]);
    let (_, blockers) = stalls(&bench).remove(0);
    let chain: Vec<(i32, i32, bool)> = blockers.iter().map(|b| (b.pid, b.holds_up, b.head)).collect();
    assert_eq!((chain.len(), chain[0].0, chain[0].2, chain[1]), (2, pid, false, (head, pid, true)));
    drop(first);
    assert!(middle.end());
}

#[test]
fn what_the_role_may_not_see_is_said_with_the_grant_that_shows_it() {
    let bench = before("st_hidden", SHORT, INSERT);
    let clone = bench.clone_name().to_owned();
    let (session, pid) = holder(&bench, "postgres", &clone, "nightly", "LOCK TABLE u IN SHARE MODE");
    let told = bench.engine(&["resume"]).expect(75).says(&[
        &format!("behind pid {pid}, role postgres, application nightly\n"),
        &format!("of pid {pid}: its query is not shown to this role; GRANT pg_read_all_stats TO engine_stage"),
    ]);
    assert!(!told.all().contains("insufficient privilege"), "{}", told.all());
    drop(session);

    // The grant it names is the one that helps.
    let sees = format!("sees_{clone}");
    bench.psql("postgres", &format!("CREATE ROLE {sees} LOGIN IN ROLE engine_owner, pg_read_all_stats; ALTER ROLE {sees} SET role = 'engine_owner'; GRANT CONNECT ON DATABASE {clone} TO {sees}"));
    let mut bench = bench;
    bench.set("SHOP_CLONE_URL", &bench.url(&sees, "postgres"));
    let (_session, pid) = holder(&bench, "postgres", &clone, "nightly 2", "LOCK TABLE u IN SHARE MODE");
    let told = bench.engine(&["resume"]).expect(75).says(&[&format!(
        "behind pid {pid}, role postgres, application nightly 2, idle in transaction, its transaction is open for"
    )]);
    assert!(!told.all().contains("is not shown"), "{}", told.all());
}

#[test]
fn a_row_that_somebody_holds_is_told_by_its_table() {
    let bench = before("st_row", SHORT, "UPDATE t SET v = 'x' WHERE id = 1");
    let clone = bench.clone_name().to_owned();
    let (_session, pid) = holder(&bench, "engine_stage", &clone, "rows", "UPDATE t SET v = 'y' WHERE id = 1");
    bench.engine(&["resume"]).expect(75).says(&["waits for a row of public.t", &format!("behind pid {pid},")]);
}

#[test]
fn a_stage_that_runs_out_of_time_says_who_held_it_up() {
    let bench = before("st_time", "timeout = \"5s\"\nlock_timeout = \"5s\"\nwrites.u = 1", INSERT);
    let clone = bench.clone_name().to_owned();
    let (_session, pid) = holder(&bench, "engine_stage", &clone, "slow", "LOCK TABLE u IN SHARE MODE");
    bench.engine(&["resume"]).expect(40).says(&[
        "longer than its timeout",
        "was seen: waits for RowExclusiveLock on public.u",
        &format!("was seen: behind pid {pid},"),
    ]);
}

#[test]
fn it_is_asked_once_a_second_and_told_once() {
    let bench = before("st_once", "lock_timeout = \"1m\"\nwrites.u = 1", INSERT);
    let clone = bench.clone_name().to_owned();
    assert_eq!(asked(&clone), 0);
    let (session, _) = holder(&bench, "engine_stage", &clone, "patient", "LOCK TABLE u IN SHARE MODE");
    let mut engine = bench.start(&["resume"]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::Stalled { .. }));
    let since = Instant::now();
    while asked(&clone) < 4 {
        assert!(!engine.over() && since.elapsed() < Duration::from_mins(1), "it does not look again");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(since.elapsed() >= Duration::from_secs(2), "three more looks within {:?}", since.elapsed());
    drop(session);
    assert_eq!(engine.end(), Some(0));
    assert_eq!(stalls(&bench).len(), 1);
}

#[test]
fn nothing_is_asked_while_statements_are_answered_in_time() {
    let bench = before("st_quick", "lock_timeout = \"1m\"\nwrites.u = 1", &format!("SELECT pg_sleep(0.5);\n{INSERT}"));
    let clone = bench.clone_name().to_owned();
    assert_eq!(asked(&clone), 0);
    bench.engine(&["resume"]).expect(0);
    assert_eq!(asked(&clone), 0);
    assert!(stalls(&bench).is_empty());
}

#[test]
fn a_statement_that_nobody_holds_up_is_not_told() {
    let bench = before("st_long", "lock_timeout = \"1m\"\nwrites.u = 1", &format!("SELECT pg_sleep(4);\n{INSERT}"));
    let clone = bench.clone_name().to_owned();
    asked(&clone);
    bench.engine(&["resume"]).expect(0);
    assert!(asked(&clone) >= 1, "it was not looked at");
    assert!(stalls(&bench).is_empty());
}

#[test]
fn a_rollout_says_who_holds_it_up_on_production() {
    let bench = Bench::mini("st_rollout", "");
    let s = bench.mini_stage("s", "\"base\"", "writes.u = 1", INSERT, Some("DELETE FROM u WHERE id > 100"));
    bench.mini_plan(&format!("{s}{}", to_the_packet("\"s\"", "\"s\"", "oks = 77")));
    bench.mini_apply(&[]).expect(0);
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    let production = bench.production().to_owned();
    let (session, pid) = holder(&bench, "postgres", &production, "backup", "LOCK TABLE u IN SHARE MODE");
    let mut engine = bench.start(&["apply", MINI_ROLLOUT]);
    bench.wait_for(&mut engine, |event| matches!(event, Event::Stalled { .. }));
    drop(session);
    assert_eq!(engine.end(), Some(0));
    let (wanted, blockers) = stalls(&bench).remove(0);
    assert_eq!(wanted.and_then(|wanted| wanted.relation).as_deref(), Some("public.u"));
    assert_eq!((blockers[0].pid, blockers[0].application.as_str(), blockers[0].open_ms), (pid, "backup", None));
    assert_eq!(bench.psql(&production, "SELECT count(*) FROM u"), "1");
    no_canary(&bench);
}

#[test]
fn a_rollback_says_it_too() {
    let bench = before("st_undo", SHORT, INSERT);
    bench.engine(&["resume"]).expect(0);
    let clone = bench.clone_name().to_owned();
    let (session, pid) = holder(&bench, "engine_stage", &clone, "reader", "LOCK TABLE u IN SHARE MODE");
    bench.engine(&["rollback", "latest"]).expect(75).says(&[
        "the rollback of `s`",
        "waits for RowExclusiveLock on public.u",
        &format!("behind pid {pid},"),
    ]);
    drop(session);
    bench.engine(&["rollback", "latest"]).expect(0).says(&["equal to `base`"]);
}

/// Of stages that write nothing: who holds up what they read, on the clone and on production.
#[test]
fn whoever_holds_up_what_is_only_read_is_named() {
    let bench = Bench::mini("st_read", "");
    let s = bench.mini_stage("s", "\"base\"", "writes.u = 1", INSERT, Some("DELETE FROM u WHERE id > 100"));
    let look = "[stage.look]\nkind = \"check\"\non = \"production\"\nneeds = [\"s\"]\nno_guard = \"reads\"\nensure.none = \"oks = 0\"\n";
    bench.mini_plan(&format!("{s}{look}{}", to_the_packet("\"look\"", "\"s\"", "oks = 77")));
    bench.mini_apply(&["--until", "clone"]).expect(0);
    let (clone, production) = (bench.clone_name().to_owned(), bench.production().to_owned());
    for (stage, before, role, database, table, code) in [
        ("base", "clone", "engine_stage", &clone, "u", 75),
        ("look", "s", "postgres", &production, "ok", 41),
        // Before it makes its copy it looks at the clone.
        ("r", "look", "engine_stage", &clone, "u", 75),
        ("impact", "r", "postgres", &production, "t", 75),
        // Its preview of the gates says that one is not known, and is sealed.
        ("pk", "impact", "postgres", &production, "ok", 0),
    ] {
        bench.engine(&["resume", "--until", before]).expect(0);
        let lock = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        let (session, pid) = holder(&bench, role, database, stage, &lock);
        let told = bench.engine(&["resume", "--until", stage]).expect(code);
        let mut told = told.says(&[&format!(
            "engine: {stage} waits for AccessShareLock on public.{table}, behind pid {pid}, role {role}, application {stage}"
        )]);
        if code != 0 {
            told = told.says(&[
                "lock timeout",
                &format!("\n  waits for AccessShareLock on public.{table}\n"),
                &format!("\n  behind pid {pid}, role {role}, application {stage}"),
            ]);
        }
        assert!(!told.all().contains(CANARY), "off a terminal: {}", told.all());
        let last = stalls(&bench).pop().expect("it was noted");
        assert_eq!((last.1.len(), last.1[0].pid, last.1[0].head), (1, pid, true), "{stage}");
        bench.engine(&["show", "latest", stage]).expect(0).says(&["It was held up"]);
        drop(session);
    }
    no_canary(&bench);
    bench.engine(&["resume"]).expect(0).says(&["technical GO"]);
    assert_eq!(stalls(&bench).len(), 5);
}

/// What a rehearsal does on its copy.
#[test]
fn whoever_holds_up_a_rehearsal_on_its_copy_is_named() {
    let bench = Bench::mini(
        "st_copy",
        "CREATE FUNCTION gate() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
             WHILE current_database() LIKE '%_copy'
                   AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'gate_of_the_copy') LOOP
                 PERFORM pg_catalog.pg_sleep(0.005);
             END LOOP;
         END $$",
    );
    bench.psql("postgres", "CREATE ROLE gate_of_the_copy");
    let back = "SELECT gate();\nDELETE FROM u WHERE id > 100";
    let s = bench.mini_stage("s", "\"base\"", "writes.u = 1", INSERT, Some(back));
    bench.mini_plan(&format!("{s}{}", support::to_the_rehearsal("\"s\"", "")));
    bench.mini_apply(&["--until", "s"]).expect(0);
    let mut engine = bench.start(&["resume"]);
    let copy = format!("engine_{}_copy", bench.run_id());
    let stands = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{copy}' AND wait_event = 'PgSleep'");
    bench.wait_until("postgres", &stands, "1");
    let (session, pid) = holder(&bench, "engine_stage", &copy, "in the copy", "LOCK TABLE u IN SHARE MODE");
    bench.psql("postgres", "DROP ROLE gate_of_the_copy");
    bench.wait_for(&mut engine, |event| matches!(event, Event::Stalled { stage, .. } if stage == "r"));
    drop(session);
    assert_eq!(engine.end(), Some(0));
    let (wanted, blockers) = stalls(&bench).remove(0);
    assert_eq!(wanted.and_then(|wanted| wanted.relation).as_deref(), Some("public.u"));
    assert_eq!((blockers.len(), blockers[0].pid), (1, pid));
}

/// Nobody holds it up; the server waits for a standby, at COMMIT and when the transaction's id is made durable.
#[test]
fn a_commit_that_waits_for_a_standby_says_so() {
    let own = OwnServer::new(&[]);
    let mut bench = Bench::mini_on(own.server(), "st_standby", "");
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1", INSERT, None);
    let b = bench.mini_stage("b", "\"a\"", "writes.u = 1", "INSERT INTO u VALUES (102, 'x')", None);
    bench.mini_plan(&format!("{a}{b}"));
    bench.mini_apply(&["--until", "base"]).expect(0);
    let proxy = Proxy::before(own.server().socket());
    bench.set("SHOP_CLONE_URL", &proxy.url("engine_stage", "postgres"));
    let standbys = |names: &str| {
        let alter = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}';\nSELECT pg_reload_conf();");
        bench.psql("postgres", &alter);
        bench.wait_until("postgres", "SHOW synchronous_standby_names", names);
    };
    for stage in ["a", "b"] {
        // What makes its id durable waits first; the server commits nothing else of the run meanwhile.
        proxy.arm(if stage == "a" { Spot::Commit } else { Spot::Statement("(102, 'x')") }, Does::Hold);
        let mut engine = bench.start(&["resume", "--until", stage]);
        proxy.wait();
        standbys("nobody");
        proxy.release();
        bench.wait_for(&mut engine, |event| matches!(event, Event::Stalled { stage: of, .. } if of == stage));
        standbys("");
        assert_eq!(engine.end(), Some(0));
        let (wanted, blockers) = stalls(&bench).pop().expect("it was noted");
        assert!(blockers.is_empty());
        assert_eq!(
            wanted.expect("a standby").words(),
            "a synchronous standby to confirm its COMMIT (synchronous_standby_names = 'nobody', connected: none)"
        );
    }
    assert_eq!(stalls(&bench).len(), 2);
    bench.engine(&["show", "latest", "a"]).expect(0).says(&["It was held up", "a synchronous standby to confirm"]);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM u"), "2");
}

/// Whoever takes it up does not end the waiting: the commit would stand without its standby, and nobody would say so.
#[test]
fn a_rollout_that_waits_for_a_standby_is_left_to_wait() {
    let own = OwnServer::new(&[]);
    let mut bench = Bench::mini_on(own.server(), "st_left", "");
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1", INSERT, Some("DELETE FROM u"));
    bench.mini_plan(&format!("{a}{}", support::to_the_packet("\"a\"", "\"a\"", "oks = 77")));
    bench.mini_apply(&[]).expect(0);
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    let proxy = Proxy::before(own.server().socket());
    bench.set("MINI_WRITER_URL", &proxy.url("shop_owner", bench.production()));
    let standbys = |names: &str| {
        let alter = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}';\nSELECT pg_reload_conf();");
        bench.psql("postgres", &alter);
        bench.wait_until("postgres", "SHOW synchronous_standby_names", names);
    };
    proxy.arm(Spot::Commit, Does::Hold);
    let engine = bench.start(&["apply", support::MINI_ROLLOUT, "--yes"]);
    proxy.wait();
    standbys("nobody");
    proxy.release();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'";
    bench.wait_until("postgres", waits, "1");
    engine.kill();
    bench.engine(&["resume"]).expect(75).says(&["waits for a synchronous standby", "it was left to wait"]);
    assert_eq!(bench.psql("postgres", waits), "1");
    standbys("");
    bench.engine(&["resume"]).expect(0).says(&["committed before"]);
    assert_eq!(bench.psql(bench.production(), "SELECT count(*) FROM u"), "1");
}
