//! The life of a run: begun, driven, ended; or taken up again from its journal.

use super::bind::{Binding, bind};
use super::drive::{Machine, Outcome};
use crate::clock::{self, Stopwatch};
use crate::compile::Workflow;
use crate::event::{Event, Exit, Failure, RunState, Status};
use crate::journal::{self, History, Journal, store};
use crate::name;
use crate::report::dossier;
use crate::stage::{Cx, Looks, Progress, Sink};
use crate::target::{Expected, RunLock, Targets};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// How a run is to be driven.
pub struct Options {
    /// Most stages at a time.
    pub jobs: usize,
    /// Stop after this stage.
    pub until: Option<String>,
    /// Drop this plan's finished clone of that name first.
    pub replace: bool,
    /// Told every durable line.
    pub sink: Sink,
    /// Told what is being done.
    pub progress: Progress,
}

/// How a run is taken up again.
#[derive(Clone, Copy, Debug)]
pub struct Resumption {
    /// Later stages may differ from what the run began with.
    pub accept_changes: bool,
}

/// Begins a run and drives it to its end.
///
/// # Errors
/// Before anything was begun: credentials, reachability, a target held by another run.
pub async fn start(workflow: Workflow, options: &Options) -> Result<(String, Exit, History), Failure> {
    let workflow = Arc::new(workflow);
    let run = name::run_id().map_err(|e| Failure::new(Exit::Io, format!("no random bytes for a run id: {e}")))?;
    let Binding { targets, events } = bind(&workflow).await?;
    let locks = hold(&targets, &run).await?;
    let dir = store::new_run(&run)?;
    let folder_lock = store::lock(&dir, &holder())?;
    keep_inputs(&dir, &workflow)?;
    let journal = Arc::new(Journal::create(&dir, &workflow.genesis)?);
    let as_of = clock::now();
    let cx = context(&workflow, run.clone(), as_of.clone(), dir, journal, targets, RunState::default(), options);
    cx.record(Event::RunStarted {
        run: run.clone(),
        plan: workflow.plan.name.clone(),
        plan_path: workflow.plan.source.path.clone(),
        doc: workflow.plan.doc.clone(),
        engine_version: env!("CARGO_PKG_VERSION").to_owned(),
        as_of,
        genesis: workflow.genesis.clone(),
        vars: workflow.typed.clone(),
        inputs: workflow.inputs.clone(),
        stages: workflow.briefs.clone(),
        host: host(),
        pid: std::process::id(),
    })?;
    for event in events {
        cx.record(event)?;
    }
    let (exit, history) = finish(workflow, cx, History::default(), options).await?;
    drop((locks, folder_lock));
    Ok((run, exit, history))
}

/// Takes a run up again.
///
/// # Errors
/// Its inputs moved (62), its clone is not there (63), another process works on it (60).
pub async fn resume(
    workflow: Workflow,
    dir: PathBuf,
    history: History,
    how: Resumption,
    options: &Options,
) -> Result<(Exit, History), Failure> {
    let workflow = Arc::new(workflow);
    let folder_lock = store::lock(&dir, &holder())?;
    still_so(&dir, &history)?;
    let state = RunState::of(history.events());
    let Some(Event::RunStarted { run, as_of, inputs, stages, .. }) = state.started.clone() else {
        return Err(Failure::new(Exit::InputsChanged, "the journal does not say how the run began"));
    };
    let accepted = changed_inputs(&workflow, &inputs, how)?;
    if !accepted.is_empty() {
        refuse_changed_stages(&workflow, &stages, &state)?;
    }
    let Binding { targets, events } = bind(&workflow).await?;
    let locks = hold(&targets, &run).await?;
    super::anchors::demand(&targets, &run, &history).await?;
    revive(&targets, &state).await?;
    let journal = Arc::new(Journal::reopen(&dir, &history)?);
    let cx = context(&workflow, run, as_of, dir, journal, targets, state, options);
    cx.record(Event::RunResumed {
        host: host(),
        pid: std::process::id(),
        torn: (history.torn_bytes > 0).then_some(history.torn_bytes),
        accepted,
    })?;
    for event in events {
        cx.record(event)?;
    }
    let ended = finish(workflow, cx, history, options).await?;
    drop((locks, folder_lock));
    Ok(ended)
}

#[allow(clippy::too_many_arguments)] // the one place where a context is put together
fn context(
    workflow: &Arc<Workflow>,
    run: String,
    as_of: String,
    dir: PathBuf,
    journal: Arc<Journal>,
    targets: Targets,
    state: RunState,
    options: &Options,
) -> Arc<Cx> {
    Arc::new(Cx {
        run,
        plan: workflow.plan.name.clone(),
        as_of,
        dir,
        journal,
        targets: Arc::new(targets),
        probes: workflow.probes.clone(),
        vars: workflow.vars.clone(),
        end_reads: workflow.end_reads.clone(),
        inputs: workflow.files.clone(),
        replace: options.replace,
        sink: Arc::clone(&options.sink),
        progress: Arc::clone(&options.progress),
        looks: Looks::default(),
        state: Mutex::new(state),
    })
}

/// Drives, writes the dossier, anchors the journal's head, ends.
async fn finish(
    workflow: Arc<Workflow>,
    cx: Arc<Cx>,
    history: History,
    options: &Options,
) -> Result<(Exit, History), Failure> {
    let watch = Stopwatch::start();
    let until = match &options.until {
        Some(name) => {
            Some(workflow.index(name).ok_or_else(|| Failure::new(Exit::Usage, format!("there is no stage `{name}`")))?)
        }
        None => None,
    };
    let machine = Machine { workflow: Arc::clone(&workflow), cx: Arc::clone(&cx), jobs: options.jobs.max(1), until };
    let outcome = machine.drive().await?;
    let (exit, verdict, reasons) = verdict(&cx, &outcome);
    cx.record(Event::RunEnded { exit, verdict, reasons, ms: watch.ms() })?;
    anchor(&cx, exit).await;
    let history = history.read_on(&cx.dir)?;
    dossier::write(
        &cx.dir,
        &history.lines,
        &workflow.lock.iter().map(|f| (f.name.clone(), f.text.clone())).collect::<Vec<_>>(),
    )
    .map_err(|e| Failure::new(Exit::Io, format!("the dossier cannot be written: {e}")))?;
    Ok((exit, history))
}

fn verdict(cx: &Cx, outcome: &Outcome) -> (Exit, String, Vec<String>) {
    let mut exit = outcome.failures.iter().fold(Exit::Ok, |exit, (_, failure)| exit.worse(failure.exit));
    let mut reasons: Vec<String> =
        outcome.failures.iter().map(|(stage, failure)| format!("{stage}: {}", failure.what)).collect();
    if let Some(signal) = outcome.interrupted {
        exit = exit.worse(signal);
    }
    // The packet's line is the verdict: technical GO or NO-GO, and what stands before production. Of several, the worst.
    let sealed = cx.with_state(|state| {
        let done = state.stages.values().filter(|s| s.packet.is_some() && s.status == Status::Done);
        let mut lines: Vec<String> = done.map(|s| s.summary.clone()).collect();
        lines.sort_by_key(|line| !line.contains("technical NO-GO"));
        lines.into_iter().next()
    });
    let line = match (sealed, exit) {
        (Some(summary), Exit::Ok) => {
            let (_, line) = summary.split_once(" · ").unwrap_or(("", summary.as_str()));
            if line.starts_with("technical NO-GO") {
                exit = Exit::NoGo;
                reasons.extend(packet_reasons(cx));
            }
            line.to_owned()
        }
        (_, Exit::Ok) if outcome.left_aside > 0 => format!("{} done, as far as asked", stages(outcome.done)),
        (_, Exit::Ok) => format!("all {} done", stages(outcome.done)),
        (_, _) if outcome.interrupted.is_some() => format!(
            "interrupted: {} done, and stay so; {} cut short, {} not started",
            stages(outcome.done),
            outcome.cut_short,
            outcome.not_started
        ),
        (_, exit) => {
            let word = if matches!(exit, Exit::Blocked | Exit::NotEvaluable) { "blocked" } else { "NO-GO" };
            format!(
                "{word}: {} done, {} failed or blocked, {} not started",
                stages(outcome.done),
                outcome.failures.len(),
                outcome.not_started
            )
        }
    };
    (exit, line, reasons)
}

fn stages(number: usize) -> String {
    if number == 1 { "1 stage".to_owned() } else { format!("{number} stages") }
}

fn packet_reasons(cx: &Cx) -> Vec<String> {
    journal::read(&cx.dir)
        .map(|history| {
            let sealed = history.events().filter_map(|event| match event {
                Event::PacketSealed { reasons, .. } => Some(reasons.clone()),
                _ => None,
            });
            sealed.last().unwrap_or_default()
        })
        .unwrap_or_default()
}

/// The journal's head in the clone's marker: a truncated journal shows. A clone that is gone keeps its old anchor.
async fn anchor(cx: &Cx, exit: Exit) {
    for clone in cx.targets.clones.values() {
        let Ok(live) = clone.live() else { continue };
        let Ok(Some(found)) = clone.maker.find(&live.expected.database).await else { continue };
        // By name alone it could be another one by now, that a copied comment calls ours.
        let same = found.oid == live.expected.oid && found.marker.as_ref().is_some_and(|m| m.is_of(found.oid));
        let Some(mut marker) = found.marker.filter(|_| same) else { continue };
        marker.head = Some(cx.journal.head());
        marker.finished = exit == Exit::Ok || exit == Exit::NoGo;
        // An anchor that cannot be written makes the journal less anchored, which `verify` says; it fails nothing.
        let _ = clone.maker.mark(&live.expected.database, live.expected.oid, &marker).await;
    }
}

/// One run at a time per clone, held in the maintenance database: a TEMPLATE copy needs the clone free of sessions.
async fn hold(targets: &Targets, run: &str) -> Result<Vec<RunLock>, Failure> {
    let mut locks = Vec::new();
    let holder = format!("engine {run} {}", holder());
    let holder = holder.get(..63).unwrap_or(&holder);
    // Such a lock is one of a database: once in each where clones are made.
    let mut places = BTreeSet::new();
    for clone in targets.clones.values() {
        let identity = clone.maker.identity().await?;
        let key = format!("{} of server {}", clone.database, identity.system_identifier);
        locks.push(clone.maker.hold(&key, holder).await?);
        if places.insert((identity.system_identifier, identity.oid)) {
            // What it makes under other names is its own as long as it is at work.
            locks.push(clone.maker.hold(&run_key(run), holder).await?);
        }
    }
    Ok(locks)
}

/// What a run at work holds, for whoever finds a database of its.
pub(super) fn run_key(run: &str) -> String {
    format!("engine run {run}")
}

/// Opens the doors of clones that history says are there, each proven to be the one.
async fn revive(targets: &Targets, state: &RunState) -> Result<(), Failure> {
    for (name, clone) in &targets.clones {
        let Some(Event::CloneMade { database, oid, source, .. }) = state.clones.get(name) else { continue };
        let identity = clone.maker.identity().await?;
        let expected = Expected {
            run: state.run.clone(),
            database: database.clone(),
            oid: *oid,
            system_identifier: identity.system_identifier,
            not: (source.system_identifier.clone(), source.oid),
        };
        let found = clone.maker.find(database).await?.ok_or_else(|| {
            Failure::new(Exit::WrongDatabase, format!("the clone `{database}` of run {} is gone", state.run))
                .changed("nothing was changed")
                .next("start anew", "engine apply PLAN")
        })?;
        if found.oid != *oid || found.marker.as_ref().is_none_or(|m| m.run != state.run) {
            let by =
                found.marker.map_or("no marker of this engine".to_owned(), |m| format!("a marker of run {}", m.run));
            return Err(Failure::new(
                Exit::WrongDatabase,
                format!("`{database}` is not the clone of run {}", state.run),
            )
            .fact(format!("meant   oid {oid}, marked by run {}", state.run))
            .fact(format!("found   oid {}, with {by}", found.oid))
            .changed("nothing was changed"));
        }
        // A process that was killed between shutting the clone for a copy and opening it again left it shut.
        clone.maker.open(database).await?;
        clone.came_alive(&expected)?;
        clone.live()?.writer.identity().await?;
    }
    Ok(())
}

fn changed_inputs(
    workflow: &Workflow,
    before: &BTreeMap<String, String>,
    how: Resumption,
) -> Result<Vec<String>, Failure> {
    let now = &workflow.inputs;
    let names: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let moved: Vec<String> = names.into_iter().filter(|n| before.get(*n) != now.get(*n)).cloned().collect();
    if moved.is_empty() || how.accept_changes {
        return Ok(moved);
    }
    let mut failure = Failure::new(Exit::InputsChanged, "the plan or its inputs changed since the run began")
        .changed("nothing was changed")
        .next("go on", "engine resume RUN --accept-changes   when only stages that are not committed differ")
        .next("or", "put the files back as they were");
    failure.facts = moved;
    Err(failure)
}

/// Stages that are committed or done must be unchanged, byte for byte.
fn refuse_changed_stages(
    workflow: &Workflow,
    before: &[crate::event::StageBrief],
    state: &RunState,
) -> Result<(), Failure> {
    let changed: Vec<String> = before
        .iter()
        .filter(|old| matches!(state.stage(&old.name).status, Status::Committed | Status::Done))
        .filter(|old| {
            workflow.briefs.iter().find(|new| new.name == old.name).is_none_or(|new| new.digest != old.digest)
        })
        .map(|old| old.name.clone())
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::InputsChanged, "a stage that is committed was changed since")
        .changed("nothing was changed")
        .next("start anew", "engine apply PLAN --replace");
    failure.facts = changed;
    Err(failure)
}

fn keep_inputs(dir: &Path, workflow: &Workflow) -> Result<(), Failure> {
    let mut sums = String::new();
    for file in &workflow.lock {
        store::write(&dir.join("sql").join(&file.name), file.text.as_bytes())?;
        sums.push_str(&format!("{}  sql/{}\n", crate::digest::hex(file.text.as_bytes()), file.name));
    }
    for (name, bytes) in &workflow.files {
        store::write(&dir.join("plan").join(name), bytes)?;
        sums.push_str(&format!("{}  plan/{name}\n", crate::digest::hex(bytes)));
    }
    store::write(
        &dir.join("vars.json"),
        &serde_json::to_vec_pretty(&workflow.typed).expect("invariant: texts are JSON"),
    )?;
    store::write(&dir.join("SHA256SUMS"), sums.as_bytes())
}

/// The journal was read before its folder was locked: who had the lock in between may have gone on with it.
fn still_so(dir: &Path, history: &History) -> Result<(), Failure> {
    if history.is_still_so(dir)? {
        return Ok(());
    }
    let now = journal::read(dir)?;
    let mut last = String::new();
    for event in now.events() {
        if let Event::RunStarted { pid, host, .. } | Event::RunResumed { pid, host, .. } = event {
            last = format!("pid {pid} on {host}");
        }
    }
    Err(Failure::new(Exit::Held, "another process went on with this run just now")
        .fact(format!("it was {last}"))
        .fact(format!("the journal had {} events when it was read, and is another one now", history.lines.len()))
        .changed("nothing was changed")
        .next("then", "the same command again, which goes on from there"))
}

/// `pid 7 on db1`: this process, for people who look for it.
pub fn holder() -> String {
    format!("pid {} on {}", std::process::id(), host())
}

/// This machine's name, for people who look for the process.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
