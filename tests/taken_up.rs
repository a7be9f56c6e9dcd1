//! What a run finds when it is taken up again, or is at work, and the world is another one: it is named as what it is.

mod support;

use engine::event::Event;
use std::path::Path;
use std::time::Duration;
use support::{
    Bench, Does, MINI, MINI_ROLLOUT, Outcome, OwnServer, Proxy, Spot, server, to_the_packet, to_the_rehearsal,
};

const WRITE: &str = "INSERT INTO u VALUES (1, 'a')";

fn written(name: &str) -> Bench {
    let bench = Bench::mini(name, "");
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1", WRITE, Some("DELETE FROM u"));
    bench.mini_plan(&format!("{a}{}", to_the_rehearsal("\"a\"", "")));
    bench
}

/// A clone of one database and a packet for another would look alike.
#[test]
fn a_run_goes_on_only_with_the_production_it_began_with() {
    let (mut bench, other) = (written("one"), Bench::mini("other", ""));
    bench.mini_apply(&["--until", "a"]).expect(0);
    let run = bench.run_id();
    let address = bench.url("engine_reader", other.production());
    let own = bench.url("engine_reader", bench.production());
    bench.set("SHOP_PRODUCTION_URL", &address);
    let before = bench.journal().events.len();
    for verb in ["resume", "rollback"] {
        let said = bench.engine(&[verb, &run]).expect(63);
        said.says(&[
            "`production` is not the database that this run began with",
            &format!("then  {} (oid ", bench.production()),
            &format!("now   {} (oid ", other.production()),
            "nothing was changed",
            &format!("engine resume {run}"),
        ]);
    }
    assert_eq!(bench.journal().events.len(), before, "nothing happened, so nothing is written down");
    bench.set("SHOP_PRODUCTION_URL", &own);
    bench.engine(&["resume"]).expect(0);
    // Renamed, it is the same one.
    let renamed = format!("{}_renamed", bench.production());
    bench.psql("postgres", &format!("ALTER DATABASE {} RENAME TO {renamed}", bench.production()));
    bench.set("SHOP_PRODUCTION_URL", &bench.url("engine_reader", &renamed));
    bench.engine(&["resume"]).expect(0);
}

/// That a clone is not on another server is no word for it being gone.
#[test]
fn a_run_goes_on_only_with_the_server_its_clones_are_on() {
    let mut bench = written("server");
    bench.mini_apply(&["--until", "a"]).expect(0);
    let own = OwnServer::new(&[]);
    let other = Bench::bare_on(own.server(), own.server(), "server_else", "");
    let doors = [("SHOP_CLONE_URL", "engine_stage"), ("SHOP_CLONE_MAKER_URL", "engine_cloner")];
    for (door, role) in doors {
        bench.set(door, &other.url(role, "postgres"));
    }
    let said = ["the clones of `clone` are made on another server", "nothing was changed"];
    for words in [["resume", "latest"], ["rollback", "latest"], ["drop", "latest"]] {
        bench.engine(&words).expect(63).says(&said);
    }
    assert!(bench.exists(bench.clone_name()));
    for (door, role) in doors {
        bench.set(door, &bench.url(role, "postgres"));
    }
    bench.engine(&["resume"]).expect(0);
    bench.engine(&["drop", "latest"]).expect(0);
    assert!(!bench.exists(bench.clone_name()));
}

/// Behind a balancer each connection may lead to another server: what was seen on one is not true of the other.
#[test]
fn an_address_that_leads_to_another_server_is_noticed() {
    let mut bench = Bench::mini("balanced", "");
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1", WRITE, Some("DELETE FROM u"));
    bench.mini_plan(&format!("{a}{}", to_the_packet("\"a\"", "\"a\"", "oks = 77")));
    bench.mini_apply(&[]).expect(0);
    let own = OwnServer::new(&[]);
    let other = Bench::mini_on(own.server(), "other", "");
    let (its, here) = (other.production(), bench.production());
    other.psql("postgres", &format!("GRANT CONNECT ON DATABASE {its} TO engine_reader"));
    other.psql("postgres", &format!("ALTER DATABASE {its} RENAME TO {here}"));
    for one in [&bench, &other] {
        one.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    }
    for (address, role, command) in [
        ("SHOP_PRODUCTION_URL", "engine_reader", ["apply", MINI, "--replace"]),
        ("MINI_WRITER_URL", "shop_owner", ["apply", MINI_ROLLOUT, "--yes"]),
    ] {
        let proxy = Proxy::before(server().socket());
        bench.set(address, &proxy.url(role, bench.production()));
        proxy.arm(Spot::Statement("pg_control_system"), Does::Hold);
        let said = std::thread::scope(|scope| {
            let engine = scope.spawn(|| bench.engine(&command));
            while proxy.armed() && !engine.is_finished() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            proxy.moved(own.server().socket());
            proxy.release();
            engine.join().expect("no panic")
        });
        said.expect(63).says(&["leads to one database now and to another then", "bound  ", "found  ", "no balancer"]);
        bench.set(address, &bench.url(role, bench.production()));
    }
    for one in [&bench, &other] {
        assert_eq!(one.psql(bench.production(), "SELECT count(*) FROM u"), "0");
    }
}

/// A connection that breaks at a COMMIT on the rehearsal's copy says nothing of the rollback that is rehearsed.
#[test]
fn a_cut_within_a_rehearsal_is_temporary_and_it_is_rehearsed_anew() {
    for does in [Does::CutBefore, Does::CutAfter, Does::Pooler] {
        let mut bench = written("rehearsed");
        bench.mini_apply(&["--until", "a"]).expect(0);
        let proxy = Proxy::before(server().socket());
        bench.set("SHOP_CLONE_URL", &proxy.url("engine_stage", "postgres"));
        proxy.arm(Spot::Commit, does);
        let said = bench.engine(&["resume"]).expect(75);
        assert!(!proxy.armed(), "{}", said.all());
        let said = said.says(&["COMMIT of", "of `a` in the rehearsal has no answer", "engine resume"]);
        assert!(!said.all().contains("Unknown") && !said.all().contains("Failure"), "{}", said.all());
        bench.engine(&["resume"]).expect(0);
        let journal = bench.journal();
        assert_eq!(journal.count(|event| matches!(event, Event::StageCommitted { stage, .. } if stage == "a")), 1);
        assert!(journal.done().contains(&"r"), "{:?}", journal.done());
        let left = format!("SELECT count(*) FROM pg_database WHERE datname LIKE 'engine\\_{}%'", bench.run_id());
        assert_eq!(bench.psql("postgres", &left), "0", "a copy was left");
    }
}

/// What was true before the first attempt need not be before the next.
#[test]
fn each_attempt_of_a_rollout_asks_its_guard_anew() {
    let bench = Bench::mini("retried", "");
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1\nlock_timeout = \"1s\"", WRITE, Some("DELETE FROM u"));
    bench.mini_plan(&format!("{a}{}", to_the_packet("\"a\"", "\"a\"", "oks = 77")));
    bench.mini_apply(&[]).expect(0);
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    let plan = bench.read(MINI_ROLLOUT);
    let guarded = "retry = 5\nguard.calm = \"oks < 3\"";
    bench.write(MINI_ROLLOUT, &plan.replace("no_guard = \"the packet brings its own\"", guarded));
    let other = bench.session(bench.production(), "BEGIN; LOCK TABLE u IN EXCLUSIVE MODE;");
    let engine = bench.start(&["apply", MINI_ROLLOUT]);
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'u'::regclass";
    bench.wait_until(bench.production(), waits, "1");
    bench.psql(bench.production(), "INSERT INTO ok VALUES (2), (3), (4)");
    assert_eq!(engine.end(), Some(30), "the guard is false by now");
    drop(other);
    let journal = bench.journal();
    let attempts = journal.count(|event| matches!(event, Event::AttemptStarted { .. }));
    assert!((1..5).contains(&attempts), "{attempts}");
    assert_eq!(bench.psql(bench.production(), "SELECT count(*) FROM u"), "0");
    bench.psql(bench.production(), "DELETE FROM ok WHERE id > 1");
    bench.engine(&["resume"]).expect(0);
    assert_eq!(bench.psql(bench.production(), "SELECT id, v FROM u"), "1|a");
}

/// A rollout through a proxy: COMMIT is answered into a cut connection, as all are; `then` what the address leads to has changed.
fn cut_off(bench: &mut Bench, then: impl FnOnce(&Proxy) + Send) -> (Outcome, Proxy) {
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1", WRITE, Some("DELETE FROM u"));
    bench.mini_plan(&format!("{a}{}", to_the_packet("\"a\"", "\"a\"", "oks = 77")));
    bench.mini_apply(&[]).expect(0);
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    let proxy = Proxy::before(server().socket());
    bench.set("MINI_WRITER_URL", &proxy.url("shop_owner", bench.production()));
    // The last that connects before COMMIT.
    proxy.arm(Spot::Statement("pg_logical_emit_message"), Does::Hold);
    let said = std::thread::scope(|scope| {
        let engine = scope.spawn(|| bench.engine(&["apply", MINI_ROLLOUT, "--yes"]));
        proxy.wait();
        proxy.moved(Path::new("/nowhere"));
        proxy.arm(Spot::Commit, Does::CutAllAfter);
        proxy.release();
        while proxy.armed() && !engine.is_finished() {
            std::thread::sleep(Duration::from_millis(5));
        }
        then(&proxy);
        engine.join().expect("the engine")
    });
    assert_eq!(bench.psql(bench.production(), "SELECT count(*) FROM u"), "1", "COMMIT never came there");
    (said, proxy)
}

/// The rollout may stand, so it is not called blocked.
#[test]
fn a_commit_that_another_server_is_asked_about_is_not_known() {
    let mut bench = Bench::mini("asked_other", "");
    let own = OwnServer::new(&[]);
    let other = Bench::mini_on(own.server(), "asked_else", "");
    other.psql("postgres", &format!("ALTER DATABASE {} RENAME TO {}", other.production(), bench.production()));
    let (said, proxy) = cut_off(&mut bench, |proxy| proxy.moved(own.server().socket()));
    said.expect(50).says(&[
        "whether stage `go_production` was committed is not known",
        "leads to one database now and to another then",
        "engine resume",
    ]);
    proxy.moved(server().socket());
    bench.engine(&["resume"]).expect(0).says(&["committed before"]);
    assert_eq!(bench.psql(bench.production(), "SELECT count(*) FROM u"), "1");
}

#[test]
fn a_commit_whose_server_is_away_for_a_moment_is_asked_about_again() {
    let mut bench = Bench::mini("asked_again", "");
    let (said, _) = cut_off(&mut bench, |proxy| {
        std::thread::sleep(Duration::from_millis(800));
        proxy.moved(server().socket());
    });
    said.expect(0);
}

/// It takes the connection and says nothing: it is given up, by whoever asks.
#[test]
fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let mut bench = written("silent");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = format!(
        "postgresql://nobody@127.0.0.1:{}/nothing?connect_timeout=1&sslmode=disable",
        silent.local_addr().expect("its address").port()
    );
    bench.set("SHOP_PRODUCTION_URL", &nobody);
    bench.mini_apply(&[]).expect(75).says(&["cannot reach `production`: it does not answer", "nothing was changed"]);
    bench.engine(&["status", "--journal", &nobody]).expect(75).says(&["does not answer"]);
}

/// Whether it is committed nobody knows: nothing is begun then, also of what does not rest upon it.
#[test]
fn beside_what_nobody_knows_nothing_is_begun() {
    let mut own = OwnServer::new(&[]);
    let mut bench = Bench::mini_on(own.server(), "not_known", "");
    let a = bench.mini_stage("a", "\"base\"", "writes.u = 1", WRITE, None);
    let b = bench.mini_stage("b", "\"base\"", "writes.t = 1", "UPDATE t SET v = 'b' WHERE id = 1", None);
    bench.mini_plan(&format!("{b}{a}"));
    bench.mini_apply(&["--until", "base"]).expect(0);
    let mut engine = bench.command(&["resume", "--until", "a"]);
    let killed = engine.env("ENGINE_CRASH_AT", "journal/commit_intended/a/synced#1").output().expect("the engine");
    assert_eq!(killed.status.code(), None);
    own.kill("INT");
    std::fs::write(own.data().join("data/standby.signal"), "").expect("a signal");
    own.start();
    bench.moved(Some(own.server()), Some(own.server()));
    assert_eq!(bench.psql("postgres", "SELECT pg_promote()"), "t");
    for _ in 0..2 {
        bench.engine(&["resume"]).expect(50).says(&["whether stage `a` was committed is not known", "1 not started"]);
        assert_eq!(bench.psql(bench.clone_name(), "SELECT v FROM t WHERE id = 1"), "v");
    }
}
