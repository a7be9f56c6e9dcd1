//! `apply PLAN`: the run.

use super::plan::{Preview, saved};
use super::sandbox::{self, Sandbox};
use super::{PlanArgs, compiled, render, tell};
use crate::compile;
use crate::event::{Event, Exit, Failure, RunState};
use crate::journal::History;
use crate::name;
use crate::run::{self, Ended, Options};
use crate::ui::{Screen, Style};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;

/// How a plan is applied.
#[derive(Clone, Debug)]
pub struct Args {
    /// The plan.
    pub plan: PlanArgs,
    /// Stop after this stage.
    pub until: Option<String>,
    /// Refuse a stale lock?
    pub locked: Locked,
    /// Most stages at a time.
    pub jobs: usize,
    /// Drop this plan's clone of that name first.
    pub replace: bool,
    /// On a throw-away server with the sample.
    pub sandbox: bool,
    /// Events on stdout.
    pub json: bool,
    /// `--journal`.
    pub journal: Option<String>,
}

/// Must the lock be what would run?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// It was said so.
    Yes,
    /// It was said that it need not.
    No,
    /// Nothing was said, and nobody is at a terminal: what a machine runs is what people have reviewed.
    Unattended,
}

impl Locked {
    /// By what was said, else by whether somebody is at a terminal.
    pub fn of(locked: bool, unlocked: bool) -> Locked {
        // A runner may lend a terminal to nobody.
        let runner = || std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        let attended = || (std::io::stdin().is_terminal() || std::io::stderr().is_terminal()) && !runner();
        match (locked, unlocked) {
            (true, _) => Locked::Yes,
            (_, true) => Locked::No,
            _ if attended() => Locked::No,
            _ => Locked::Unattended,
        }
    }
}

/// Applies a plan.
///
/// # Errors
/// Whatever kept the run from beginning; what happened within it is in its exit code.
pub async fn run(args: &Args) -> Result<Exit, Failure> {
    super::here()?;
    let file = &args.plan.plan;
    let preview = saved::read(file)?;
    let words = match &preview {
        Some(preview) => previewed(args, preview)?,
        None => args.plan.clone(),
    };
    let workflow = match (compiled(&words, args.json)?, &preview) {
        (Ok(workflow), _) => workflow,
        (Err(_), Some(preview)) => return Err(saved::no_plan(preview, file)),
        (Err(exit), None) => return Ok(exit),
    };
    let plan = words.plan.display().to_string();
    if args.locked != Locked::No {
        let stale = compile::stale(&workflow.lock_dir, &workflow.lock)?;
        if !stale.is_empty() {
            tell(&render::stale_text(&workflow.lock_dir, &stale, &plan));
            if args.locked == Locked::Unattended {
                tell("  or    add --unlocked   nobody is at a terminal, so only what is locked runs\n");
            }
            return Ok(Exit::LockStale);
        }
    }
    known(&workflow, args.until.as_deref())?;
    super::may_be_stopped(args.json, super::go_on)?;
    let _sandbox: Option<Sandbox> = if args.sandbox { Some(sandbox::lend_for(&workflow.plan).await?) } else { None };
    if let Some(preview) = &preview {
        saved::demand(&workflow, preview, file).await?;
    }
    let home = super::home(args.journal.as_deref())?;
    let screen = Screen::new(Style::detect(args.json));
    let options = Options {
        jobs: args.jobs,
        until: args.until.clone(),
        replace: args.replace,
        home: home.clone(),
        sink: screen.sink(),
        progress: screen.progress(),
    };
    let (run, ended) = run::start(workflow, &options).await?;
    close(&screen, &run, &plan, &ended);
    Ok(ended.exit)
}

/// The plan of a kept preview; its variables are those of the preview.
fn previewed(args: &Args, preview: &Preview) -> Result<PlanArgs, Failure> {
    if args.plan.vars.is_empty() && args.plan.vars_file.is_none() {
        return Ok(saved::as_previewed(preview));
    }
    let what = format!("{} is a kept preview and brings its variables", args.plan.plan.display());
    Err(Failure::new(Exit::Usage, what)
        .changed("nothing was changed")
        .next("then", "leave --var and --vars-file out, or take another preview with them"))
}

/// Demands that `--until` names a stage.
pub(super) fn known(workflow: &compile::Workflow, until: Option<&str>) -> Result<(), Failure> {
    if let Some(until) = until.filter(|until| workflow.index(until).is_none()) {
        let names = || workflow.briefs.iter().map(|stage| stage.name.as_str());
        let failure = Failure::new(Exit::Usage, format!("--until {until}: this plan has no such stage"))
            .fact(format!("its stages: {}", names().collect::<Vec<_>>().join(", ")))
            .changed("nothing was changed");
        return Err(match name::nearest(until, names()) {
            Some(near) => failure.next("did you mean", format!("--until {near}")),
            None => failure.next("then", "--until with one of these, or without it"),
        });
    }
    Ok(())
}

/// The last lines: every failure with its story, and what to type.
pub(super) fn close(screen: &Screen, run: &str, plan: &str, Ended { exit, history, notes }: &Ended) {
    let state = RunState::of(history.events());
    for (name, stage) in &state.stages {
        use crate::event::Status;
        if let Status::Blocked(failure) | Status::Failed(failure) = &stage.status {
            screen.failure_of(name, &advised(failure, run, name, plan));
        }
    }
    // A committed stage whose proof failed is not in a failed state; its last failure is the journal's.
    let committed = |stage: &str| state.stage(stage).status == crate::event::Status::Committed;
    let last: BTreeMap<&str, &Failure> = history
        .events()
        .filter_map(|event| match event {
            Event::StageFailed { stage, failure, .. } | Event::StageBlocked { stage, failure, .. }
                if committed(stage) =>
            {
                Some((stage.as_str(), failure))
            }
            _ => None,
        })
        .collect();
    for (stage, failure) in last {
        screen.failure_of(stage, failure);
    }
    // A look that failed before was made again since.
    for event in of_this_process(history) {
        if let Event::LookFailed { stage, failure } = event {
            screen.failure(&advised(failure, run, stage, plan));
        }
    }
    let sealed = state.stages.values().find_map(|s| s.packet.clone());
    say_notes(screen, notes);
    if let (Exit::Ok, Some((id, _))) = (exit, sealed) {
        let short = crate::digest::short(&id);
        screen.say(&format!("  next   engine apply {} --var packet={short}   once it is ratified", rollout_plan(plan)));
    }
    let cut = of_this_process(history).any(|event| matches!(event, Event::Interrupted { .. }));
    if cut || matches!(exit, Exit::HungUp | Exit::Interrupted | Exit::Terminated) {
        say_left(screen, history);
        screen.say(&format!("  next   engine resume {run}"));
    }
}

/// What is told beside the journal.
pub(super) fn say_notes(screen: &Screen, notes: &[String]) {
    for note in notes {
        screen.say(&format!("  note   {note}"));
    }
}

/// What is left of the stages that were at work when a signal came.
pub(super) fn say_left(screen: &Screen, history: &History) {
    let left = of_this_process(history).filter_map(|event| match event {
        Event::Interrupted { left, .. } => Some(left),
        _ => None,
    });
    for line in left.last().into_iter().flatten() {
        screen.say(&format!("  left   {line}"));
    }
}

/// Events since a process took the run up last.
fn of_this_process(history: &History) -> impl Iterator<Item = &Event> {
    let begins = |event: &Event| matches!(event, Event::RunStarted { .. } | Event::RunResumed { .. });
    let events: Vec<&Event> = history.events().collect();
    let since = events.iter().rposition(|event| begins(event)).unwrap_or(0);
    events.into_iter().skip(since)
}

/// The failure with what to type next, by its kind, when its room said nothing better.
fn advised(failure: &Failure, run: &str, stage: &str, plan: &str) -> Failure {
    let mut failure = failure.clone();
    if failure.changed.is_none() {
        failure.changed = Some("this stage changed nothing; production was only read".to_owned());
    }
    if !failure.next.is_empty() {
        // Once there is room again it goes on.
        let room = failure.next.iter().all(|(word, _)| word == "make room");
        return if room { failure.next("then", format!("engine resume {run}")) } else { failure };
    }
    match failure.exit {
        Exit::Blocked | Exit::NotEvaluable => failure
            .next("look", format!("engine plan {plan}   all guards as they stand, read-only"))
            .next("then", format!("wait until it holds and run: engine resume {run}"))
            .next("or", "change the plan in a pull request, and start a new run"),
        Exit::Temporary => failure.next("then", format!("engine resume {run}")),
        Exit::StageFailed if is_full(&failure) => {
            failure.next("make room", "on the disk of the server").next("then", format!("engine resume {run}"))
        }
        _ => failure
            .next("look", format!("engine show {run} {stage}   its SQL, readings and timings"))
            .next("then", format!("correct what it says and run: engine resume {run} --accept-changes")),
    }
}

/// Did the server have no room for what it was to write?
fn is_full(failure: &Failure) -> bool {
    let said = ["could not extend file", "could not write to file", "could not write block"];
    failure.sqlstate.as_deref() == Some("53100") || said.iter().any(|text| failure.what.contains(text))
}

/// The plan beside this one that rolls out what it sealed, if there is one.
fn rollout_plan(plan: &str) -> String {
    let dir = Path::new(plan).parent().unwrap_or(Path::new("."));
    let sealed_for = std::fs::read_to_string(plan).unwrap_or_default();
    let gates: Vec<&str> = sealed_for.lines().filter(|l| l.starts_with("gate.")).collect();
    let mut others: Vec<_> =
        std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|e| e.path()).collect();
    others.sort();
    others
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .find(|path| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.contains("kind = \"rollout\"")
                && !gates.is_empty()
                && gates.iter().all(|g| text.contains(gate_text(g)))
        })
        .map_or_else(|| "ROLLOUT-PLAN".to_owned(), |path| path.display().to_string())
}

/// `gate.ratified = "ospa >= 1"` without what may follow.
fn gate_text(line: &str) -> &str {
    line.match_indices('"').nth(1).map_or(line, |(at, _)| &line[..=at])
}
