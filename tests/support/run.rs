//! What a run left behind, read without the engine: its journal and its dossier.

use super::{Bench, Outcome};
use engine::event::{Event, Line, Moment, RunState, Status};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The plan of the main job.
pub const MAIN_JOB: &str = "plans/clone_a_to_g.toml";

/// The plan of its other half.
pub const ROLLOUT: &str = "plans/production_rollout.toml";

/// How long anything here may take before a test gives up.
const PATIENCE: Duration = Duration::from_mins(2);

/// An engine at work; it ends with the test, however that ends.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Has it ended by itself?
    pub fn over(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_some()
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// `kill -9`; how it ended.
    pub fn kill(mut self) -> ExitStatus {
        self.0.kill().expect("a child");
        self.0.wait().expect("a child")
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// Waits for its end: the exit code, and the most memory it ever had, in KiB.
    pub fn end_with_peak(mut self) -> (Option<i32>, u64) {
        let mut peak = 0;
        loop {
            // The kernel's own high-water mark: only the last few milliseconds can be missed.
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
            let mark =
                status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
            peak = peak.max(mark.unwrap_or(0));
            if let Some(ended) = self.0.try_wait().expect("a child") {
                return (ended.code(), peak);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for its end: the exit code.
    pub fn end(mut self) -> Option<i32> {
        self.0.wait().expect("a child").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A run's journal: events as they stand there, in order.
#[derive(Debug)]
pub struct Journal {
    /// Run id.
    pub run: String,
    /// Events.
    pub events: Vec<Event>,
}

impl Bench {
    /// Applies the main job on this bench's clone.
    pub fn apply(&self, more: &[&str]) -> Outcome {
        let var = self.clone_var();
        let words = ["apply", MAIN_JOB, "--var", &var];
        self.engine(&[&words, more].concat())
    }

    /// Starts it, and does not wait.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running(self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the engine"))
    }

    /// Ids of all runs here, oldest first.
    pub fn runs(&self) -> Vec<String> {
        if self.team.is_some() {
            return self.team_runs();
        }
        let Ok(entries) = std::fs::read_dir(self.home().join(".engine/runs")) else { return Vec::new() };
        let mut runs: Vec<(String, String)> = entries
            .filter_map(|entry| {
                let entry = entry.expect("an entry");
                // A last line that was cut off may end within a character.
                let bytes = std::fs::read(entry.path().join("journal.jsonl")).ok()?;
                let text = String::from_utf8_lossy(&bytes);
                let first: Line = serde_json::from_str(text.lines().next()?).ok()?;
                Some((first.at, entry.file_name().to_string_lossy().into_owned()))
            })
            .collect();
        runs.sort();
        runs.into_iter().map(|(_, run)| run).collect()
    }

    /// Id of the newest run.
    #[track_caller]
    pub fn run_id(&self) -> String {
        self.runs().pop().expect("a run")
    }

    /// A file of the newest run, relative to the working folder.
    pub fn of_run(&self, file: &str) -> String {
        format!(".engine/runs/{}/{file}", self.run_id())
    }

    /// The journal of the newest run: its whole lines.
    #[track_caller]
    pub fn journal(&self) -> Journal {
        self.journal_of(&self.run_id())
    }

    fn journal_of(&self, run: &str) -> Journal {
        let text = match self.team {
            Some(_) => self.team_lines(run),
            None => self.read(&format!(".engine/runs/{run}/journal.jsonl")),
        };
        let whole = text.rfind('\n').map_or("", |at| &text[..at]);
        let event = |line: &str| serde_json::from_str::<Line>(line).expect("a line of a journal").event;
        Journal { run: run.to_owned(), events: whole.lines().map(event).collect() }
    }

    /// Replaces the one place in a file where `old` stands.
    #[track_caller]
    pub fn edit(&self, file: &str, old: &str, new: &str) {
        let text = self.read(file);
        assert_eq!(text.matches(old).count(), 1, "`{old}` in {file}");
        self.write(file, &text.replacen(old, new, 1));
    }

    /// Reads the newest run's journal again and again until it says `wanted`; at once when `engine` ended before.
    #[track_caller]
    pub fn wait_for(&self, engine: &mut Running, wanted: impl Fn(&Event) -> bool) {
        let since = Instant::now();
        loop {
            if !self.runs().is_empty() && self.journal().events.iter().any(&wanted) {
                return;
            }
            let ended = engine.0.try_wait().expect("a child");
            assert!(ended.is_none(), "the engine ended ({ended:?}) before its journal said what was waited for");
            assert!(since.elapsed() < PATIENCE, "the journal does not say what was waited for");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The packet that was sealed here last: its folder, relative to the working folder, and its id.
    #[track_caller]
    pub fn packet(&self) -> (String, String) {
        let sealed = |run: &String| {
            self.journal_of(run).events.into_iter().rev().find_map(|event| match event {
                Event::PacketSealed { path, id, .. } => Some((path, id)),
                _ => None,
            })
        };
        self.runs().iter().rev().find_map(sealed).expect("a sealed packet")
    }

    /// Asks until the server's answer is `answer`.
    #[track_caller]
    pub fn wait_until(&self, database: &str, sql: &str, answer: &str) {
        let since = Instant::now();
        while self.psql(database, sql) != answer {
            assert!(since.elapsed() < PATIENCE, "the server does not come to say `{answer}` to {sql}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until no session of the newest run is left on the server: its process was killed.
    #[track_caller]
    pub fn wait_for_silence(&self) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'engine {}%' OR datname LIKE '%{}%'",
            self.run_id(),
            self.clone_name()
        );
        self.wait_until("postgres", &sql, "0");
    }
}

impl Journal {
    /// Names of the stages that are done, in the order they became so.
    pub fn done(&self) -> Vec<&str> {
        let mut done = Vec::new();
        for event in &self.events {
            if let Event::StageDone { stage, .. } = event {
                done.push(stage.as_str());
            }
        }
        done
    }

    /// What folding says of a stage.
    pub fn status(&self, stage: &str) -> Status {
        RunState::of(&self.events).stage(stage).status
    }

    /// The last line of the last end of the run.
    #[track_caller]
    pub fn verdict(&self) -> &str {
        let ended = self.events.iter().rev().find_map(|event| match event {
            Event::RunEnded { verdict, .. } => Some(verdict.as_str()),
            _ => None,
        });
        ended.expect("a run that ended")
    }

    /// The value of a probe before or after a stage.
    #[track_caller]
    pub fn reading(&self, of: &str, at: Moment, probe: &str) -> &str {
        let found = self.events.iter().rev().find_map(|event| match event {
            Event::Readings { stage, moment, values } if stage == of && *moment == at => {
                values.iter().find(|value| value.probe == probe)?.value.as_deref()
            }
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no reading of {probe} {at:?} {of}"))
    }

    /// How often an event happened.
    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }
}

impl Outcome {
    /// Demands an exit code; shows everything when it is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Outcome {
        let Outcome { code: found, stdout, stderr } = &self;
        assert_eq!(*found, code, "exit code\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        self
    }

    /// Demands that each of `texts` was printed somewhere.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Outcome {
        let all = self.all();
        for text in texts {
            assert!(all.contains(text), "`{text}` is not in\n{all}");
        }
        self
    }

    /// All it printed.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// All files below a folder.
pub fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Copies a folder and all below it.
pub fn copy(from: &std::path::Path, to: &std::path::Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("it is below the folder"));
        std::fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
        std::fs::copy(&file, target).expect("a copy");
    }
}

/// The stages that were undone, in their order.
pub fn undone(bench: &Bench) -> Vec<String> {
    let events = bench.journal().events;
    let stage = |event: &Event| match event {
        Event::Undone { stage, .. } => Some(stage.clone()),
        _ => None,
    };
    events.iter().filter_map(stage).collect()
}
