//! What is drawn from sequences beside what is committed goes back, and nothing that is: by rejects of a check, by a rollback
//! that is given up, by a stage that is cut short and does not come first when the run is taken up.

mod support;

use engine::event::Event;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;
use support::{Bench, Does, MINI, OwnServer, Proxy, Spot, ended_after, server, signal_to};

/// One sequence for two tables.
const TABLES: &str = "CREATE SEQUENCE s; CREATE TABLE h (id int DEFAULT nextval('s'), v text);
    CREATE TABLE g (id int DEFAULT nextval('s'), v text NOT NULL CHECK (v <> 'never'));
    GRANT SELECT ON SEQUENCE s TO engine_reader";

/// A check that draws twice, taking its time, and is refused once.
fn check(bench: &Bench) -> String {
    bench.write("templates/mini/rej.sql", "INSERT INTO g (v) SELECT {{ v | literal }} FROM pg_sleep(2);\n");
    "[stage.ck]\nkind = \"check\"\non = \"clone\"\nneeds = [\"base\"]\nno_guard = \"none\"\n\
     [stage.ck.reject.never]\nfile = \"mini/rej.sql\"\npermit = { v = \"x\" }\n\
     refuse.none = { with.v = \"never\", error = \"23514\" }\n"
        .to_owned()
}

/// A stage that draws three.
fn draws(bench: &Bench, name: &str, needs: &str, table: &str) -> String {
    let sql = format!("INSERT INTO {table} (v) SELECT '{name}' FROM generate_series(1, 3)");
    bench.mini_stage(name, needs, &format!("writes.{table} = 3"), &sql, None)
}

fn ids(bench: &Bench) -> String {
    let sql = "SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), '') FROM (SELECT id FROM g UNION ALL SELECT id FROM h) AS x";
    bench.psql(bench.clone_name(), sql)
}

/// The session of a check that was killed may draw once more when it comes to itself: it is waited for.
#[test]
fn rejects_that_were_left_alone_are_waited_for() {
    let bench = Bench::mini("alone", TABLES);
    let (ck, b) = (check(&bench), draws(&bench, "b", "\"ck\"", "g"));
    bench.mini_plan(&format!("{ck}{b}"));
    let backend = bench.orphan(&["apply", MINI]);
    let (code, words) = ended_after(bench.started(&["resume"]), "ck: waiting to know what became", || {
        std::thread::sleep(Duration::from_secs(4));
        signal_to(&backend, "CONT");
    });
    assert_eq!(code, Some(0), "{words}");
    assert_eq!(ids(&bench), "1 2 3");
    assert_eq!(bench.psql(bench.clone_name(), "SELECT last_value FROM s"), "3");
}

/// A check that ran out of time has left, and taken back what it drew, before the next writer begins.
#[test]
fn who_comes_after_a_check_that_ran_out_of_time_meets_nobody() {
    let bench = Bench::mini("late", TABLES);
    let late = check(&bench).replace("no_guard", "timeout = \"3s\"\nno_guard");
    let (b, c) = (draws(&bench, "b", "\"base\"", "g"), draws(&bench, "c", "\"b\"", "h"));
    bench.mini_plan(&format!("{late}{b}{c}"));
    let outcome = bench.mini_apply(&[]);
    assert_ne!(outcome.code, 0, "{}", outcome.all());
    outcome.says(&["took longer than its timeout", "ok b ", "ok c "]);
    assert_eq!(ids(&bench), "1 2 3 4 5 6");
}

/// Waits until the check's rejects have drawn.
fn at_its_rejects(bench: &Bench) {
    let at_work = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND state = 'active' AND query LIKE 'INSERT INTO g%'",
        bench.clone_name()
    );
    bench.wait_until("postgres", &at_work, "1");
    // The first of them ends, and the second is at work.
    std::thread::sleep(Duration::from_millis(2_500));
}

/// Independent of each other: one waits for the other, or what it draws would be given out again.
#[test]
fn a_check_takes_back_nothing_that_a_stage_beside_it_drew() {
    let bench = Bench::mini("beside", TABLES);
    let (ck, b) = (check(&bench), draws(&bench, "b", "\"base\"", "g"));
    let d = draws(&bench, "d", "\"b\", \"ck\"", "g");
    bench.mini_plan(&format!("{ck}{b}{d}"));
    bench.mini_apply(&[]).expect(0);
    assert_eq!(ids(&bench), "1 2 3 4 5 6");
}

#[test]
fn rejects_of_a_check_that_are_cut_short_leave_no_gap() {
    for signal in [9, 2] {
        let bench = Bench::mini(&format!("cut_{signal}"), TABLES);
        let (ck, b) = (check(&bench), draws(&bench, "b", "\"ck\"", "g"));
        bench.mini_plan(&format!("{ck}{b}"));
        let engine = bench.start(&["apply", MINI]);
        at_its_rejects(&bench);
        if signal == 9 {
            assert_eq!(engine.kill().signal(), Some(9));
        } else {
            support::signal_to(&engine.id().to_string(), "INT");
            assert_eq!(engine.end(), Some(130));
        }
        bench.engine(&["resume"]).expect(0);
        assert_eq!(ids(&bench), "1 2 3", "signal {signal}");
    }
}

/// Also by `rollback`, which does not run the check again.
#[test]
fn a_rollback_puts_back_what_a_check_had_drawn() {
    let bench = Bench::mini("check_back", TABLES);
    bench.mini_plan(&check(&bench));
    let engine = bench.start(&["apply", MINI]);
    at_its_rejects(&bench);
    assert_eq!(engine.kill().signal(), Some(9));
    bench.engine(&["rollback", "latest"]).expect(0).says(&["equal to `base`"]);
}

/// What an attempt drew goes back before anybody else draws, also when its stage does not come first.
#[test]
fn a_stage_that_was_cut_short_leaves_no_gap_to_another_one() {
    let bench = Bench::mini("first", TABLES);
    let (a, c) = (draws(&bench, "a", "\"base\"", "g"), draws(&bench, "c", "\"base\"", "h"));
    bench.mini_plan(&format!("{a}{c}"));
    bench.killed(&["apply", MINI], "commit/a/flushed#1");
    bench.engine(&["resume", "--until", "c"]).expect(0);
    assert_eq!(ids(&bench), "1 2 3");
    bench.engine(&["resume"]).expect(0);
    assert_eq!(ids(&bench), "1 2 3 4 5 6");
}

/// A stage that is committed, and whose turn comes after another one's, takes nothing back from that one.
#[test]
fn what_another_stage_drew_meanwhile_stays_drawn() {
    let bench = Bench::mini("meanwhile", TABLES);
    let (a, b) = (draws(&bench, "a", "\"base\"", "g"), draws(&bench, "b", "\"base\"", "h"));
    let c = draws(&bench, "c", "\"a\", \"b\"", "h");
    bench.mini_plan(&format!("{a}{b}{c}"));
    bench.killed(&["apply", MINI], "journal/stage_committed/a/synced#1");
    bench.engine(&["resume", "--until", "b"]).expect(0);
    bench.engine(&["resume"]).expect(0);
    assert_eq!(ids(&bench), "1 2 3 4 5 6 7 8 9");
    assert_eq!(bench.psql(bench.clone_name(), "SELECT last_value FROM s"), "9");
}

/// A stage that failed has drawn nothing that stands: what another one drew is its own, and goes back whole.
#[test]
fn a_stage_that_failed_claims_no_sequence() {
    let bench = Bench::mini("claims", TABLES);
    let sql = "INSERT INTO g (v) SELECT 'a' FROM generate_series(1, 3)";
    let a = bench.mini_stage("a", "\"base\"", "writes.g = 3\nensure.never = \"us = 77\"", sql, None);
    bench.mini_plan(&format!("{a}{}", draws(&bench, "b", "\"base\"", "h")));
    bench.mini_apply(&["--until", "a"]).expect(41);
    bench.killed(&["resume", "--until", "b"], "commit/b/flushed#1");
    bench.engine(&["resume"]).expect(41).says(&["ok b "]);
    assert_eq!(ids(&bench), "1 2 3");
}

/// Two clones have the same names and nothing else in common: at work at the same time, neither keeps what the other drew.
#[test]
fn what_is_drawn_on_another_clone_is_no_matter() {
    let bench = Bench::mini("two", TABLES);
    let other = format!("{}_other", bench.clone_name());
    let target = format!(
        "[target.other]\nclone_of = \"production\"\ndatabase = \"{other}\"\nurl = \"env:SHOP_CLONE_URL\"\nmaker_url = \"env:SHOP_CLONE_MAKER_URL\"\n\
         [stage.clone_2]\nkind = \"clone\"\non = \"other\"\nneeds = [\"base\"]\nno_guard = \"none\"\n"
    );
    let slow = |name: &str, seconds: u32| {
        let sql = format!("INSERT INTO g (v) SELECT 'x' FROM generate_series(1, 3); SELECT pg_sleep({seconds})");
        bench.mini_stage(name, "\"clone_2\"", "writes.g = 3", &sql, Some("DELETE FROM g WHERE v = 'x'"))
    };
    let (x, y) = (slow("x", 2), slow("y", 4).replace("on = \"clone\"", "on = \"other\""));
    bench.mini_plan(&format!("{target}{x}{y}"));
    bench.mini_apply(&[]).expect(0);
    bench.engine(&["rollback", "latest"]).expect(0);
    for clone in [bench.clone_name(), &other] {
        assert_eq!(bench.psql(clone, "SELECT last_value || ' ' || is_called FROM s"), "1 false", "{clone}");
    }
    bench.engine(&["drop", "latest"]).expect(0);
}

/// In batches, with another stage between two of them: what it drew is in the middle, and no value is given out twice.
#[test]
fn what_a_stage_in_batches_drew_later_is_not_given_out_again() {
    let bench = Bench::mini("between", &format!("{TABLES}; CREATE TABLE go (n int)"));
    let two = "INSERT INTO g (v) SELECT CASE WHEN EXISTS (SELECT FROM go) OR NOT EXISTS (SELECT FROM g) THEN 'a' END
               FROM generate_series(1, 2)";
    let probe = "[probe.gs]\non = \"clone\"\nsql = \"SELECT count(*) FROM public.g\"\n";
    let batch = "batch = { until = \"gs = 6\", rows = 2, most = 9 }\nwrites.g = 6";
    let a = bench.mini_stage("a", "\"base\"", batch, two, None);
    let three = "INSERT INTO h (v) SELECT 'b' FROM generate_series(1, 3)";
    let b = bench.mini_stage("b", "\"base\"", "writes.h = 3", three, Some("DELETE FROM h"));
    bench.mini_plan(&format!("{probe}{a}{b}"));
    bench.mini_apply(&["--until", "a"]).expect(40);
    bench.engine(&["resume", "--until", "b"]).expect(0);
    assert_eq!(ids(&bench), "1 2 3 4 5");
    bench.psql(bench.clone_name(), "INSERT INTO go VALUES (1)");
    bench.engine(&["resume"]).expect(0);
    assert_eq!(ids(&bench), "1 2 3 4 5 6 7 8 9");
    bench.engine(&["rollback", "latest", "--to", "a"]).expect(0);
    assert_eq!(ids(&bench), "1 2 6 7 8 9");
    bench.engine(&["resume"]).expect(0);
    assert_eq!(ids(&bench), "1 2 6 7 8 9 10 11 12");
}

/// A rollback whose triggers draw, and that is killed or refused.
#[test]
fn a_rollback_that_is_given_up_leaves_no_gap() {
    for (name, most, at) in [("killed", 9, Some("undo/b/flushed#1")), ("refused", 5, None)] {
        let bench = Bench::mini(
            &format!("given_up_{name}"),
            "CREATE TABLE g (id int PRIMARY KEY, v text); CREATE TABLE audit (id int GENERATED BY DEFAULT AS IDENTITY, what text);
             CREATE FUNCTION au() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO public.audit (what) VALUES (tg_op); RETURN NULL; END $$;
             CREATE TRIGGER au AFTER INSERT OR DELETE ON g FOR EACH ROW EXECUTE FUNCTION au();
             GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO engine_reader",
        );
        let stage = |of: &str, first: u32, needs: &str, most: u32| {
            bench.mini_stage(
                of,
                needs,
                &format!("writes.g = 3\nwrites.audit = {most}"),
                &format!("INSERT INTO g SELECT n, '{of}' FROM generate_series({first}, {}) AS n", first + 2),
                Some(&format!("DELETE FROM g WHERE v = '{of}'; DELETE FROM audit WHERE id >= {first}")),
            )
        };
        let (b, c) = (stage("b", 1, "\"base\"", most), stage("c", 11, "\"b\"", 9));
        bench.mini_plan(&format!("{b}{c}"));
        bench.mini_apply(&["--until", "b"]).expect(0);
        let stands = "SELECT last_value || ' ' || is_called FROM audit_id_seq";
        assert_eq!(bench.psql(bench.clone_name(), stands), "3 true", "{name}");
        match at {
            Some(at) => bench.killed(&["rollback", "latest"], at),
            None => drop(bench.engine(&["rollback", "latest"]).expect(42).says(&["is as before the rollback of `b`"])),
        }
        if at.is_none() {
            assert_eq!(bench.psql(bench.clone_name(), stands), "3 true", "{name}");
        }
        bench.engine(&["resume"]).expect(0);
        assert_eq!(bench.psql(bench.clone_name(), "SELECT max(id) || ' ' || count(*) FROM audit"), "6 6", "{name}");
    }
}

/// The engine's side of a connection is gone, and its server draws on: nothing is put back before it has come to its end.
#[test]
fn a_connection_that_is_lost_while_it_draws_leaves_no_gap() {
    let mut bench = Bench::mini("lost", TABLES);
    let slow = "INSERT INTO g (v) SELECT 'a' FROM generate_series(1, 3) AS n WHERE pg_sleep(1) IS NOT NULL";
    let a = bench.mini_stage("a", "\"base\"", "writes.g = 3", slow, None);
    bench.mini_plan(&a);
    bench.mini_apply(&["--until", "base"]).expect(0);
    let proxy = Proxy::before(server().socket());
    bench.set("SHOP_CLONE_URL", &proxy.url("engine_stage", "postgres"));
    proxy.arm(Spot::Statement("INSERT INTO g"), Does::Abandon);
    bench.engine(&["resume"]).expect(75);
    let drawn = "SELECT last_value || ' ' || is_called FROM s";
    assert_eq!(bench.psql(bench.clone_name(), drawn), "1 false");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(bench.psql(bench.clone_name(), drawn), "1 false");
    bench.engine(&["resume"]).expect(0);
    assert_eq!(ids(&bench), "1 2 3");
}

/// Another one would take where they stand now for where they stood.
#[test]
fn an_attempt_whose_sequences_cannot_go_back_is_the_last_one() {
    let mut bench = Bench::mini("last", TABLES);
    let sql = "INSERT INTO g (v) SELECT 'a' FROM generate_series(1, 3);\nINSERT INTO u VALUES (1, 'a')";
    let keys = "writes.g = 3\nwrites.u = 1\nlock_timeout = \"1s\"\nretry = 3";
    bench.mini_plan(&bench.mini_stage("a", "\"base\"", keys, sql, None));
    bench.mini_apply(&["--until", "base"]).expect(0);
    let proxy = Proxy::before(server().socket());
    bench.set("SHOP_CLONE_MAKER_URL", &proxy.url("engine_cloner", "postgres"));
    proxy.arm(Spot::Statement("pg_catalog.setval("), Does::CutBefore);
    let holder = bench.session(bench.clone_name(), "BEGIN; LOCK TABLE u;");
    bench.engine(&["resume"]).expect(75).says(&["lock timeout", "its sequences are put back by a resume"]);
    drop(holder);
    assert_eq!(bench.journal().count(|event| matches!(event, Event::AttemptStarted { .. })), 1);
    bench.engine(&["resume"]).expect(0);
    assert_eq!(ids(&bench), "1 2 3");
}

/// Where a server does not say what its sessions do, one that waits for its next user looks like one at work.
#[test]
fn a_session_of_which_nothing_is_told_is_not_ended_when_it_has_let_go() {
    let own = OwnServer::new(&[]);
    let bench = Bench::mini_on(own.server(), "untold", TABLES);
    let sql = "INSERT INTO g (v) VALUES ('never')";
    bench.mini_plan(&bench.mini_stage("a", "\"base\"", "writes.g = 1\nretry = 1", sql, None));
    bench.mini_apply(&["--until", "base"]).expect(0);
    bench.psql("postgres", "ALTER ROLE engine_stage SET track_activities = off");
    let log = || std::fs::read_to_string(own.server().log()).expect("the server's log");
    let before = log().len();
    bench.engine(&["resume"]).expect(40);
    let said = log().split_off(before);
    assert!(said.contains("violates check constraint"), "nothing was logged: {said}");
    assert!(!said.contains("terminating connection due to administrator command"), "{said}");
    assert_eq!(bench.psql(bench.clone_name(), "SELECT last_value || ' ' || is_called FROM s"), "1 false");
}

/// No journal knows of the transaction of a proof: what is left of it in the clone is ended, and holds up nobody.
#[test]
fn a_proof_that_was_left_open_holds_up_nobody() {
    let mut bench = Bench::mini("proof_open", "");
    let keys = "writes.t = 1\nprove = [\"idempotent\"]\nlock_timeout = \"1s\"";
    bench.mini_plan(&bench.mini_stage("a", "\"base\"", keys, "UPDATE t SET v = 'mended' WHERE id = 1", None));
    bench.killed(&["apply", MINI], "journal/stage_committed/a/synced#1");
    let direct = bench.url("engine_stage", "postgres");
    let proxy = Proxy::before(server().socket());
    bench.set("SHOP_CLONE_URL", &proxy.url("engine_stage", "postgres"));
    proxy.arm(Spot::Statement("UPDATE t"), Does::Abandon);
    bench.engine(&["resume"]).expect(75);
    let open = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND state = 'idle in transaction'",
        bench.clone_name()
    );
    assert_eq!(bench.psql("postgres", &open), "1");
    bench.set("SHOP_CLONE_URL", &direct);
    bench.engine(&["resume"]).expect(0).says(&["idempotent"]);
}
