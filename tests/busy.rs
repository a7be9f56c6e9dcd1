//! Production under way: others write while a run is at work beside them, and one of ten million rows is sneaked by.

mod support;

use engine::event::{Event, Unchanged};
use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::{Bench, MAIN_JOB, Session};

/// What a look at production came to.
struct Check {
    verdict: Unchanged,
    differences: Vec<String>,
    by_watermark: u64,
    /// Tables that were read, and why.
    read: Vec<String>,
}

fn checked(bench: &Bench) -> Check {
    let seen = bench.journal().events.into_iter().rev().find_map(|event| match event {
        Event::ProductionChecked { verdict, tables, by_watermark, read, .. } => {
            Some(Check { verdict, differences: tables, by_watermark, read })
        }
        _ => None,
    });
    seen.expect("a look at production")
}

/// Waits until all that began before now has ended, in every database of the server: the other tests of this file are at
/// work there too, and what is not older than every transaction under way is read rather than proved by a watermark.
fn settle(bench: &Bench) {
    let now = bench.psql(bench.production(), "SELECT pg_current_xact_id()");
    let ended = format!("SELECT pg_snapshot_xmin(pg_current_snapshot()) > '{now}'::xid8");
    let began = Instant::now();
    while bench.psql(bench.production(), &ended) != "t" {
        assert!(began.elapsed() < Duration::from_secs(120), "a transaction from before {now} is still under way");
        sleep(Duration::from_millis(100));
    }
}

/// Somebody who does the same again and again, with other values, until this is dropped.
fn writer(bench: &Bench, sql: &str) -> Session {
    let mut session = bench.session(bench.production(), "SELECT 1;");
    session.send(&format!("{sql}\n\\watch 0.02"));
    session
}

/// Ends sessions that would go on for ever.
fn end(bench: &Bench, sessions: Vec<Session>) {
    let all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    bench.psql(bench.production(), all);
    drop(sessions);
}

fn at_work(bench: &Bench) -> Vec<Session> {
    vec![
        writer(bench, "INSERT INTO busy_log (said) VALUES (clock_timestamp()::text)"),
        writer(bench, "UPDATE busy_balance SET sum = sum + 1 WHERE id = 1 + (random() * 9)::int"),
        // The same value again: rows move, content does not.
        writer(bench, "UPDATE busy_same SET v = v WHERE id = 3"),
    ]
}

const BUSY: &str = "
SET ROLE directus;
CREATE TABLE busy_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, said text);
CREATE TABLE busy_balance (id int PRIMARY KEY, sum bigint);
INSERT INTO busy_balance SELECT n, 0 FROM generate_series(1, 10) AS n;
CREATE TABLE busy_same (id int PRIMARY KEY, v text);
INSERT INTO busy_same SELECT n, 'v' FROM generate_series(1, 10) AS n;
GRANT SELECT ON busy_log, busy_balance, busy_same, busy_log_id_seq TO engine_reader;
";

/// The whole pipeline beside three writers: exactly what they changed is named, all else is proven equal.
#[test]
fn what_others_changed_meanwhile_is_named_exactly() {
    let bench = Bench::new("busy");
    bench.psql(bench.production(), BUSY);
    settle(&bench);
    let writers = at_work(&bench);
    let outcome = bench.apply(&[]);
    end(&bench, writers);
    outcome.expect(0).says(&["technical GO", "changed by others since `preflight`"]);
    let Check { verdict, differences, by_watermark, read } = checked(&bench);
    assert_eq!(verdict, Unchanged::ChangedByOthers);
    let named: BTreeSet<&str> = differences.iter().map(|line| line.split(':').next().unwrap_or(line)).collect();
    let wanted = ["sequence public.busy_log_id_seq", "table public.busy_balance", "table public.busy_log"];
    assert_eq!(named, BTreeSet::from(wanted), "{differences:?}");
    assert!(by_watermark >= 20, "{by_watermark} tables are proved without being read: {read:?}");
    // Our transactions: each one line, none with an id.
    let ours = bench.journal().count(|event| matches!(event, Event::Transaction { record } if record.xid.is_none() && record.read_only && record.same_transaction));
    let all = bench.journal().count(|event| matches!(event, Event::Transaction { .. }));
    assert!(ours == all && all > 5, "{ours} of {all}");
}

/// The same under a strict policy ends the run with 46.
#[test]
fn a_strict_policy_ends_a_run_beside_writers() {
    let bench = Bench::new("busy_strict");
    bench.psql(bench.production(), BUSY);
    let plan = bench.read(MAIN_JOB).replacen("access = \"read\"", "access = \"read\"\npolicy = \"strict\"", 1);
    bench.write(MAIN_JOB, &plan);
    bench.engine(&["render", MAIN_JOB]).expect(0);
    let writers = at_work(&bench);
    let outcome = bench.apply(&[]);
    end(&bench, writers);
    outcome.expect(46).says(&["table public.busy_log: rows", "table public.busy_balance: content differs"]);
}

/// Looks one after the other, each compared with the one before it.
fn looks(number: usize) -> String {
    let mut plan = String::from(
        "engine = 1\nplan.name = \"look\"\n[target.production]\nurl = \"env:SHOP_PRODUCTION_URL\"\naccess = \"read\"\n\
         [stage.s0]\nkind = \"fingerprint\"\non = \"production\"\nneeds = []\nno_guard = \"looks\"\n",
    );
    for n in 1..=number {
        let before = n - 1;
        plan.push_str(&format!(
            "[stage.s{n}]\nkind = \"fingerprint\"\non = \"production\"\nneeds = [\"s{before}\"]\nequals = \"s{before}\"\nno_guard = \"looks\"\n"
        ));
    }
    plan
}

/// Ten million rows; what is done to them by others, and what it is judged as.
#[test]
fn one_of_ten_million_rows() {
    let bench = Bench::bare("sneaky", "");
    bench.psql(
        bench.production(),
        "CREATE TABLE big (id int, v int); INSERT INTO big SELECT n, n % 7 FROM generate_series(1, 10000000) AS n;
         CREATE TABLE small (id int); INSERT INTO small VALUES (1)",
    );
    let cases: [(&[&str], Unchanged); 3] = [
        (&["VACUUM big"], Unchanged::ByWatermark),
        (&["UPDATE big SET v = v WHERE id = 5000000"], Unchanged::ByContent),
        (
            &[
                "INSERT INTO big VALUES (-1, -1)",
                "DELETE FROM big WHERE id = -1",
                "UPDATE big SET v = 8 WHERE id = 7654321",
            ],
            Unchanged::ChangedByOthers,
        ),
    ];
    settle(&bench);
    bench.write("plans/look.toml", &looks(cases.len()));
    bench.engine(&["apply", "plans/look.toml", "--until", "s0"]).expect(0);
    for (n, (sql, wanted)) in cases.into_iter().enumerate() {
        for statement in sql {
            bench.psql(bench.production(), statement);
        }
        let stage = format!("s{}", n + 1);
        bench.engine(&["resume", "--until", &stage]).expect(0);
        let Check { verdict, differences, read, .. } = checked(&bench);
        assert_eq!(verdict, wanted, "{sql:?}: {differences:?}, read: {read:?}");
        let named = usize::from(wanted == Unchanged::ChangedByOthers);
        assert_eq!(differences.len(), named, "{sql:?}: {differences:?}");
        assert!(
            differences.iter().all(|line| line.starts_with("table public.big: content differs")),
            "{differences:?}"
        );
    }
}
