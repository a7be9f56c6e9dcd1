//! Signals to an engine at work: its farewell, and what the server's log says of when it was answered.

use super::Bench;
use super::server::server;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// From the server's last answer to a cancel to the end of the process: what is promised.
pub const PROMISED: Duration = Duration::from_secs(2);

/// How an engine ended that was signalled.
#[derive(Debug)]
pub struct Farewell {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it told people.
    pub screen: String,
    /// From the signal to its end.
    pub took: Duration,
    /// From the server's last answer to a cancel to its end; zero if there was none.
    pub late: Duration,
}

/// Lines of the server's log say which database they are about, and when they were written.
pub fn log_tells() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let sql = "ALTER SYSTEM SET log_line_prefix = '%d|%n|'; SELECT pg_reload_conf()";
        let _ = server().psql("postgres", sql).expect("settings");
        let _ = server().psql("postgres", sql).expect("settings");
    });
}

/// A test of how soon a process ends: on a machine that others keep busy it may have two more tries, each a run of its own.
#[track_caller]
pub fn in_time(test: impl Fn() -> Duration) {
    let mut late = Vec::new();
    for _ in 0..3 {
        late.push(test());
        if late.last().is_some_and(|late| *late <= PROMISED) {
            return;
        }
    }
    panic!("from the server's answer to the end of the process, three times: {late:?}");
}

/// Sends a signal by name.
pub fn send(engine: &Child, signal: &str) {
    signal_to(&engine.id().to_string(), signal);
}

/// The same to any process.
pub fn signal_to(pid: &str, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, pid]).status();
    assert!(sent.expect("kill").success());
}

/// Waits until it has ended, for two minutes at most: exit code and words.
#[track_caller]
pub fn ended(mut engine: Child) -> (Option<i32>, String) {
    let mut stderr = engine.stderr.take().expect("its words are kept");
    let words = std::thread::spawn(move || {
        let mut words = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stderr, &mut words);
        String::from_utf8_lossy(&words).into_owned()
    });
    let since = Instant::now();
    let code = loop {
        if let Some(status) = engine.try_wait().expect("a child") {
            break status.code();
        }
        if since.elapsed() > Duration::from_mins(2) {
            let _ = engine.kill();
            let _ = engine.wait();
            panic!("the engine does not end; it said:\n{}", words.join().expect("words"));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    (code, words.join().expect("words"))
}

/// Waits until it says `text`, for two minutes at most, does that, and waits for its end: exit code and words.
#[track_caller]
pub fn ended_after(mut engine: Child, text: &str, does: impl FnOnce()) -> (Option<i32>, String) {
    let stderr = engine.stderr.take().expect("its words are kept");
    let (send, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let lines = std::io::BufRead::lines(std::io::BufReader::new(stderr));
        lines.map_while(Result::ok).try_for_each(|line| send.send(line))
    });
    let (mut words, mut does, end) = (String::new(), Some(does), Instant::now() + Duration::from_mins(2));
    while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
        words.push_str(&format!("{line}\n"));
        if let Some(does) = does.take_if(|_| line.contains(text)) {
            does();
        }
    }
    if let Some(does) = does {
        does();
        let _ = engine.kill();
        panic!("`{text}` is not said in\n{words}");
    }
    (engine.wait().expect("a child").code(), words)
}

impl Bench {
    /// Starts the engine with its words kept.
    pub fn started(&self, command: &[&str]) -> Child {
        self.command(command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the engine")
    }

    /// Starts the engine, stops its backend in the first statement that sleeps on the clone, and kills the engine: the backend
    /// does not notice until it is sent CONT.
    #[track_caller]
    pub fn orphan(&self, command: &[&str]) -> String {
        let mut engine = self.started(command);
        let backend = self.sleeper(self.clone_name());
        signal_to(&backend, "STOP");
        engine.kill().expect("a child");
        engine.wait().expect("a child");
        backend
    }

    /// Kills the engine at a place.
    #[track_caller]
    pub fn killed(&self, words: &[&str], at: &str) {
        let output = self.command(words).env("ENGINE_CRASH_AT", at).output().expect("the engine");
        assert_eq!(output.status.signal(), Some(9), "{at}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Signals an engine and waits for its end.
    #[track_caller]
    pub fn signalled(&self, engine: Child, signal: &str) -> Farewell {
        let before = self.log().len();
        let since = Instant::now();
        send(&engine, signal);
        let (code, screen) = ended(engine);
        let (took, now) = (since.elapsed(), SystemTime::now().duration_since(UNIX_EPOCH).expect("a time"));
        let answered = self
            .log()
            .split_off(before)
            .iter()
            .filter(|line| cancelled(line))
            .filter_map(|line| time(line))
            .next_back();
        let late = answered.map_or(Duration::ZERO, |answered| now.saturating_sub(answered));
        Farewell { code, screen, took, late }
    }

    /// The same of one that stands in a statement; demands the whole farewell. Answers how late it was.
    #[track_caller]
    pub fn stopped(&self, engine: Child, signal: &str, code: i32, left: &str) -> Duration {
        let next = format!("next   engine resume {}", self.run_id());
        self.stopped_with(engine, signal, code, left, &next).late
    }

    /// The same with what is to be typed next.
    #[track_caller]
    pub fn stopped_with(&self, engine: Child, signal: &str, code: i32, left: &str, next: &str) -> Farewell {
        let before = self.log().len();
        let farewell = self.signalled(engine, signal);
        let Farewell { code: found, screen, took, late } = &farewell;
        assert_eq!(*found, Some(code), "{screen}");
        self.wait_until_idle();
        println!(
            "FIGURE {left}: {} ms from {signal}, {} ms from the answer, to the end",
            took.as_millis(),
            late.as_millis()
        );
        for said in [next, "interrupted: ", &format!("left   {left}")] {
            assert!(screen.contains(said), "`{said}` is not in\n{screen}");
        }
        assert!(!screen.contains("did not answer"), "{screen}");
        let log = self.log().split_off(before);
        assert!(log.iter().any(|line| cancelled(line)), "nothing was cancelled:\n{}", log.join("\n"));
        // A child cancels its statement and leaves; nobody leaves without that. Of two sessions of a child's either may be
        // first to write its line.
        for lost in log.iter().filter(|line| line.contains("connection to client lost")) {
            let database = lost.split('|').next().unwrap_or("");
            let there = log.iter().any(|line| line.starts_with(database) && cancelled(line));
            assert!(there, "somebody was left alone:\n{}", log.join("\n"));
        }
        farewell
    }

    /// Lines of the server's log about databases of this bench and of its run.
    pub fn log(&self) -> Vec<String> {
        let half = format!("engine_{}", self.run_id());
        let text = std::fs::read_to_string(server().log()).expect("the server's log");
        let ours = |line: &&str| {
            let database = line.split('|').next().unwrap_or("");
            database == self.production() || database == self.clone_name() || database.starts_with(&half)
        };
        text.lines().filter(ours).map(str::to_owned).collect()
    }

    /// Sessions of the engine, its children included, that do anything in a database of this bench or of its run.
    fn at_work(&self) -> String {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'engine%' AND state <> 'idle'
                AND (datname IN ('{}', '{}') OR datname LIKE 'engine\\_{}%')",
            self.production(),
            self.clone_name(),
            self.run_id()
        );
        self.psql("postgres", &sql)
    }

    /// The server takes a moment to notice that it was left in good order.
    #[track_caller]
    pub fn wait_until_idle(&self) {
        let since = Instant::now();
        while self.at_work() != "0" {
            assert!(since.elapsed() < Duration::from_mins(1), "something of the engine is left at work");
        }
    }

    /// A session of the engine waits for a lock in that database.
    #[track_caller]
    pub fn wait_for_a_waiter(&self, database: &str) {
        let sql = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name LIKE 'engine%' AND wait_event_type = 'Lock'";
        self.wait_until(database, sql, "t");
    }

    /// A session of the engine sleeps in a database of that name.
    #[track_caller]
    pub fn wait_for_a_sleeper(&self, like: &str) {
        let sql =
            format!("SELECT count(*) > 0 FROM pg_stat_activity WHERE datname LIKE '{like}' AND wait_event = 'PgSleep'");
        self.wait_until("postgres", &sql, "t");
    }

    /// The one backend that sleeps in a database.
    #[track_caller]
    pub fn sleeper(&self, database: &str) -> String {
        self.wait_for_a_sleeper(database);
        let sql = format!("SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND wait_event = 'PgSleep'");
        self.psql("postgres", &sql)
    }
}

fn cancelled(line: &str) -> bool {
    line.contains("canceling statement due to user request")
}

/// When a line was written, since 1970.
fn time(line: &str) -> Option<Duration> {
    let seconds: f64 = line.split('|').nth(1)?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
