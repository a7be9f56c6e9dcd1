//! What a run shows while it runs.

use super::failure::draw;
use crate::clock::show_ms;
use crate::event::{Event, Identity, Line, behind};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How a screen looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Marks, and a line that moves.
    Terminal,
    /// One line a stage, no marks.
    Log,
    /// Events on stdout, one JSON object a line; people's text on stderr as in a log.
    Json,
}

impl Style {
    /// What fits where stderr goes.
    pub fn detect(json: bool) -> Style {
        if json {
            Style::Json
        } else if std::io::stderr().is_terminal() {
            Style::Terminal
        } else {
            Style::Log
        }
    }
}

/// Told what a stage is doing: stage, text.
pub type Listener = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// A run's screen. Cheap to share.
#[derive(Clone)]
pub struct Screen(Arc<Inner>);

struct Inner {
    style: Style,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    run: String,
    plan: String,
    /// Stage to its number, from 1.
    numbers: BTreeMap<String, usize>,
    width: usize,
    started: BTreeMap<String, Instant>,
    /// What each stage said last.
    doing: BTreeMap<String, String>,
    last_said: BTreeMap<String, Instant>,
    bars: BTreeMap<String, ProgressBar>,
    /// What failures of stages hold beside what the journal may: for this terminal only.
    details: BTreeMap<String, String>,
    snapshot_ms: u64,
}

/// How often something is said of a stage where no line moves.
const EVERY: Duration = Duration::from_secs(60);

impl Screen {
    /// An empty screen.
    pub fn new(style: Style) -> Screen {
        Screen(Arc::new(Inner { style, state: Mutex::default() }))
    }

    /// What the plan lets pass on the way to a target.
    fn waived(&self, target: &str, waived: &[String]) {
        let lead = if self.0.style == Style::Terminal { "  " } else { "engine: " };
        for waived in waived {
            self.say(&format!("{lead}{target} is {waived}"));
        }
    }

    /// For a run: told every durable line.
    pub fn sink(&self) -> Arc<dyn Fn(&Line) + Send + Sync> {
        let screen = self.clone();
        Arc::new(move |line| screen.show(line))
    }

    /// For a run: told what a stage is doing.
    pub fn progress(&self) -> Listener {
        let screen = self.clone();
        Arc::new(move |stage, text| screen.moving(stage, text))
    }

    /// For a run that is taken up again: its numbers, since its first line was written long ago.
    pub fn know(&self, run: &str, plan: &str, stages: &[crate::event::StageBrief]) {
        let mut state = self.0.state.lock().expect("invariant: drawing does not panic");
        state.begin(run, plan, stages.iter().map(|s| s.name.clone()));
    }

    fn show(&self, line: &Line) {
        if self.0.style == Style::Json {
            let text = serde_json::to_string(line).expect("invariant: an event is JSON");
            // A reader that went away, or a disk that is full, does not end the run: what it did is in the journal.
            super::print(
                &format!("{text}\n"),
                "; the run goes on, what it does stays done, and its journal has every event",
            );
        }
        let mut state = self.0.state.lock().expect("invariant: drawing does not panic");
        state.remember(&line.event);
        match &line.event {
            Event::RunStarted { run, plan, stages, .. } => {
                state.begin(run, plan, stages.iter().map(|s| s.name.clone()));
                self.say(&state.head(self.0.style, stages.len()));
            }
            Event::TargetBound { target, place, clone: None, identity, powers, waived, .. } => {
                self.say(&bound(self.0.style, target, &way(place, identity), identity, powers));
                self.waived(target, waived);
            }
            Event::TargetBound { target, place, clone: Some(database), identity, waived, .. } => {
                self.say(&bound_clone(self.0.style, target, &way(place, identity), database, identity));
                self.waived(target, waived);
            }
            Event::StageStarted { stage } | Event::UndoStarted { stage, .. } => {
                state.started.insert(stage.clone(), Instant::now());
                if self.0.style == Style::Terminal && !state.bars.contains_key(stage) {
                    let bar = ProgressBar::new_spinner();
                    let style = ProgressStyle::with_template("{prefix}  {elapsed}  {msg}")
                        .unwrap_or_else(|_| ProgressStyle::default_spinner());
                    bar.set_style(style);
                    bar.set_prefix(state.left("…", stage));
                    bar.enable_steady_tick(Duration::from_millis(250));
                    state.bars.insert(stage.clone(), bar);
                }
            }
            Event::CloneMade { snapshot_ms, .. } => state.snapshot_ms += snapshot_ms,
            Event::StageDone { stage, summary, ms } => self.ended(&mut state, stage, "ok", *ms, summary),
            Event::StageBlocked { stage, failure, ms } => self.ended(&mut state, stage, "blocked", *ms, &failure.what),
            Event::StageFailed { stage, failure, ms } | Event::UndoFailed { stage, failure, ms, .. } => {
                let word = if failure.exit == crate::event::Exit::Stuck { "stuck" } else { "failed" };
                self.ended(&mut state, stage, word, *ms, &failure.what);
            }
            // On a terminal the moving line says it.
            Event::Stalled { stage, wanted, blockers } if self.0.style != Style::Terminal => {
                self.say(&format!("engine: {stage} {}", behind(wanted.as_ref(), blockers).join(", ")));
            }
            Event::Undone { stage, summary, ms, .. } => self.ended(&mut state, stage, "undone", *ms, summary),
            Event::CloneResumed { stage, anew: Some(why), .. } => {
                self.say(&format!("engine: {stage}: the half clone is made anew: {why}"));
            }
            Event::Watched { target, since, stage, verdict, tables, .. } if !tables.is_empty() => {
                let what = tables.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
                let more = tables.len().saturating_sub(4);
                let more = if more > 0 { format!(", and {more} more") } else { String::new() };
                self.say(&format!(
                    "engine: {target} {} between `{since}` and the end of `{stage}`: {what}{more}",
                    verdict.word()
                ));
            }
            Event::RunResumed { pid, .. } => self.say(&format!("taken up again by process {pid}")),
            Event::RunEnded { verdict, reasons, ms, .. } => self.say(&state.tail(self.0.style, verdict, reasons, *ms)),
            _ => {}
        }
    }

    fn ended(&self, state: &mut State, stage: &str, word: &str, ms: u64, said: &str) {
        if let Some(bar) = state.bars.remove(stage) {
            bar.finish_and_clear();
        }
        let text = match self.0.style {
            Style::Terminal => {
                let mark = match word {
                    "ok" => "✔",
                    "blocked" => "■",
                    "undone" => "↺",
                    _ => "✘",
                };
                format!("{}  {:>6}  {said}", state.left(mark, stage), show_ms(ms))
            }
            Style::Log | Style::Json => {
                let (number, all) = (state.numbers.get(stage).copied().unwrap_or(0), state.numbers.len());
                format!(
                    "engine: {number:>2}/{all} {word} {stage} {} {}",
                    show_ms(ms),
                    said.replace(" · ", ", ").replace('→', "->")
                )
            }
        };
        self.say(&text);
    }

    /// The one moving line, what follows a line break in it on a terminal only; elsewhere a line a minute, so that nobody takes silence for death.
    fn moving(&self, stage: &str, text: &str) {
        let mut state = self.0.state.lock().expect("invariant: drawing does not panic");
        let (text, private) = text.split_once('\n').unwrap_or((text, ""));
        if !state.started.contains_key(stage) {
            // It has no line that could move: this is about an earlier attempt of it.
            let lately = state.last_said.get(stage).is_some_and(|at| at.elapsed() < EVERY);
            if !text.is_empty() && !lately {
                state.last_said.insert(stage.to_owned(), Instant::now());
                let lead = if self.0.style == Style::Terminal { "  " } else { "engine: " };
                self.say(&format!("{lead}{stage}: {text}"));
            }
            return;
        }
        if !text.is_empty() {
            let beside = if private.is_empty() || self.0.style != Style::Terminal { "" } else { " · " };
            let private = if beside.is_empty() { "" } else { private };
            state.doing.insert(stage.to_owned(), format!("{text}{beside}{private}"));
        }
        if let Some(bar) = state.bars.get(stage) {
            bar.set_message(state.doing.get(stage).cloned().unwrap_or_default());
            return;
        }
        let since =
            state.last_said.get(stage).or_else(|| state.started.get(stage)).map_or(Duration::ZERO, Instant::elapsed);
        if since >= EVERY {
            state.last_said.insert(stage.to_owned(), Instant::now());
            let doing = state.doing.get(stage).map_or("at work", String::as_str);
            let minutes = state.started.get(stage).map_or(0, |at| at.elapsed().as_secs() / 60);
            self.say(&format!("engine: {stage} {doing}, for {minutes} min"));
        }
    }

    /// A failure that ended the command, or a stage.
    pub fn failure(&self, failure: &crate::event::Failure) {
        self.say(&format!("\n{}", draw(failure)));
    }

    /// The failure of a stage as the journal has it, with what only this terminal may show.
    pub fn failure_of(&self, stage: &str, failure: &crate::event::Failure) {
        let state = self.0.state.lock().expect("invariant: drawing does not panic");
        let detail = state.details.get(stage).cloned();
        drop(state);
        let detail = failure.detail.clone().or(detail);
        self.failure(&crate::event::Failure { detail, ..failure.clone() });
    }

    /// One line for people.
    pub fn say(&self, text: &str) {
        // Standard error may be closed; the journal and the exit code say the same.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

impl State {
    fn remember(&mut self, event: &Event) {
        match event {
            Event::StageFailed { stage, failure, .. } | Event::StageBlocked { stage, failure, .. } => {
                self.details.extend(failure.detail.clone().map(|detail| (stage.clone(), detail)));
            }
            Event::StageStarted { stage } => drop(self.details.remove(stage)),
            _ => {}
        }
    }

    fn begin(&mut self, run: &str, plan: &str, stages: impl Iterator<Item = String>) {
        run.clone_into(&mut self.run);
        plan.clone_into(&mut self.plan);
        self.numbers = stages.enumerate().map(|(i, s)| (s, i + 1)).collect();
        self.width = self.numbers.keys().map(String::len).max().unwrap_or(0);
    }

    fn head(&self, style: Style, stages: usize) -> String {
        match style {
            Style::Terminal => format!("{} · run {} · {stages} stages", self.plan, self.run),
            _ => format!("engine: {} run {}, {stages} stages", self.plan, self.run),
        }
    }

    fn left(&self, mark: &str, stage: &str) -> String {
        let number = self.numbers.get(stage).copied().unwrap_or(0);
        format!("{number:>4} {mark} {stage:<width$}", width = self.width)
    }

    fn tail(&self, style: Style, verdict: &str, reasons: &[String], ms: u64) -> String {
        let dossier = format!(".engine/runs/{}/dossier", self.run);
        let mut text = match style {
            Style::Terminal => format!("\n{verdict}\n  {} in all", show_ms(ms)),
            _ => format!("engine: {verdict}\nengine: {} in all", show_ms(ms)),
        };
        if self.snapshot_ms > 0 {
            text.push_str(&format!(", {} with a snapshot open on production", show_ms(self.snapshot_ms)));
        }
        // Failures draw themselves; a verdict's reasons have no other place.
        let lead = if style == Style::Terminal { "  " } else { "engine: " };
        for reason in reasons.iter().filter(|_| verdict.starts_with("technical NO-GO")) {
            text.push_str(&format!("\n{lead}{reason}"));
        }
        if style == Style::Terminal {
            text.push_str(&format!("\n  read   {dossier}"));
        } else {
            text.push_str(&format!("\nengine: dossier {dossier}"));
        }
        text
    }
}

/// The place, and the TLS that leads there.
fn way(place: &str, identity: &Identity) -> String {
    match identity.tls.as_deref().and_then(|tls| tls.split(' ').next()) {
        Some(version) => format!("{place} over {version}"),
        None => place.to_owned(),
    }
}

fn bound_clone(style: Style, target: &str, place: &str, database: &str, maker: &Identity) -> String {
    match style {
        Style::Terminal => format!(
            "  {target:<11} {database} at {place} · PostgreSQL {} · made by {}",
            maker.version, maker.session_user
        ),
        _ => format!(
            "engine: {target} {database} at {place}, PostgreSQL {}, made by {}",
            maker.version, maker.session_user
        ),
    }
}

fn bound(style: Style, target: &str, place: &str, identity: &Identity, powers: &[String]) -> String {
    let database = &identity.database;
    let could = if powers.is_empty() {
        "which cannot write".to_owned()
    } else {
        format!("which has {} powers to write", powers.len())
    };
    match style {
        Style::Terminal => format!(
            "  {target:<11} {database} at {place} · PostgreSQL {} · as {}, {could}",
            identity.version, identity.session_user
        ),
        _ => format!(
            "engine: {target} {database} at {place}, PostgreSQL {}, as {}, {could}",
            identity.version, identity.session_user
        ),
    }
}
