//! A machine that vanishes says nothing to anybody: what its run held is let go by the servers themselves, soon. And a run that
//! only waits is not ended by a server that ends who waits.

mod support;

use std::time::{Duration, Instant};
use support::{Bench, Gate, MINI, PLAN, TcpServer};

/// Parts of a second that `/proc/net/tcp` counts in.
const TICKS: u64 = 100;

/// A connection of a server as its kernel sees it: which timer runs, and in how many ticks it ends.
#[derive(Debug)]
struct Timer {
    /// The other end.
    client: u16,
    kind: u8,
    ticks: u64,
}

/// Of every connection that a server on this port has.
fn timers(port: u16) -> Vec<Timer> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("connections of this machine");
    let wanted = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1].ends_with(&wanted) && row[3] == "01")
        .map(|row| {
            let (kind, ticks) = row[5].split_once(':').expect("a timer");
            let number = |text: &str| u64::from_str_radix(text, 16).expect("a number");
            let client = row[2].split_once(':').map(|(_, port)| u16::from_str_radix(port, 16).expect("a port"));
            Timer {
                client: client.expect("an address"),
                kind: u8::try_from(number(kind)).expect("a kind"),
                ticks: number(ticks),
            }
        })
        .collect()
}

/// A stage that takes a while and writes down what bounds its transaction.
fn waiting(tcp: &TcpServer, name: &str, seconds: u32) -> Bench {
    let mut bench = Bench::mini_on(tcp.server(), name, "");
    let production = bench.production().to_owned();
    let url = |role: &str, database: &str| tcp.url(role, database, "sslmode=prefer");
    bench.set("SHOP_PRODUCTION_URL", &url("bare_reader", &production));
    bench.set("SHOP_CLONE_URL", &url("engine_stage", "postgres"));
    bench.set("SHOP_CLONE_MAKER_URL", &url("engine_cloner", "postgres"));
    let bounded = "INSERT INTO u VALUES (1, current_setting('idle_in_transaction_session_timeout') || ' ' ||
                       current_setting('tcp_user_timeout'))";
    let sql = format!("{bounded};\nSELECT pg_sleep({seconds})");
    bench.mini_plan(&bench.mini_stage("a", "\"base\"", "writes.u = 1\ntimeout = \"90s\"", &sql, None));
    bench
}

/// Waits until each connection of a server, at least so many, is looked after within ten seconds. Right after a packet another
/// timer runs for a moment.
#[track_caller]
fn asked_for_soon(port: u16, many: usize) -> Vec<Timer> {
    let (since, soon) = (Instant::now(), 10 * TICKS + TICKS / 2);
    loop {
        let found = timers(port);
        let well = |timer: &Timer| timer.kind == 2 && timer.ticks <= soon;
        if found.len() >= many && found.iter().all(well) {
            return found;
        }
        assert!(since.elapsed() < Duration::from_secs(10), "{found:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_session_is_asked_for_soon_and_none_is_ended_for_waiting() {
    let tcp = TcpServer::without_tls();
    let bench = waiting(&tcp, "vanished", 25);
    let psql = |sql: &str| bench.psql("postgres", sql);
    psql("ALTER SYSTEM SET idle_session_timeout = '2s'");
    psql("SELECT pg_reload_conf()");
    let engine = bench.start(&["apply", MINI]);
    // Long enough after the last word on the session that holds the run's lock.
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(25)%' AND state = 'active' \
                 AND pid <> pg_backend_pid() AND now() - query_start > '3 s'";
    bench.wait_until("postgres", waits, "1");
    let locks = "SELECT string_agg(DISTINCT a.application_name, ',') FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) \
                 WHERE l.locktype = 'advisory' AND a.datname = 'postgres'";
    let holders = psql(locks);
    assert!(holders.contains(&format!("engine {} pid ", bench.run_id())), "the run has lost its lock: {holders}");
    let found = asked_for_soon(tcp.port, 2);
    assert_eq!(psql(locks), holders, "{found:?}");
    assert_eq!(engine.end(), Some(0));
    assert_eq!(bench.psql(bench.clone_name(), "SELECT v FROM u"), "150s 30000");
    assert_eq!(psql(locks), "");
}

/// Nobody resumes, nobody ends it: the statement of an engine that was killed goes by itself, long before it would be done.
#[test]
fn a_statement_ends_with_the_process_that_sent_it() {
    let tcp = TcpServer::without_tls();
    let bench = waiting(&tcp, "orphaned", 85);
    let engine = bench.start(&["apply", MINI]);
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(85)%' AND state = 'active' \
                  AND pid <> pg_backend_pid()";
    bench.wait_until("postgres", asleep, "1");
    engine.kill();
    let since = Instant::now();
    bench.wait_until("postgres", asleep, "0");
    assert!(since.elapsed() < Duration::from_secs(40), "it ended with its sleep, not with its client");
}

/// The same for the programs of PostgreSQL that read and write for the engine: `pg_restore` stands at a row.
#[test]
fn sessions_of_its_programs_are_asked_for_soon_too() {
    let tcp = TcpServer::without_tls();
    let bench = waiting(&tcp, "programs", 0);
    bench.clone_plan("dump", "");
    let gate = Gate::before(&bench, "t", "id = 3");
    let engine = bench.start(&["apply", PLAN]);
    while bench.runs().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    gate.wait();
    let stands = "SELECT client_port FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE 'COPY %'";
    let port: u16 = bench.psql("postgres", stands).parse().expect("one session stands at the gate");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", engine.id())).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    assert!(children.into_iter().any(|children| !children.trim().is_empty()), "no program is at work");
    let found = asked_for_soon(tcp.port, 2);
    assert!(found.iter().any(|timer| timer.client == port), "{port} is not among {found:?}");
    gate.open();
    assert_eq!(engine.end(), Some(0));
}
