//! The life of a run: begun, driven, ended; or taken up again from its journal.

use super::bind::{Binding, bind};
use super::changed;
use super::committed;
use super::differs;
use super::drive::{Machine, Outcome};
use super::rollback;
use super::sensitive;
use super::{anchors, signals};
use crate::clock::{self, Stopwatch};
use crate::compile::Workflow;
use crate::event::{Event, Exit, Failure, RunState, Status};
use crate::journal::{Held, History, Home, Journal, Place};
use crate::name::{self, process};
use crate::report::dossier;
use crate::stage::{Cx, Looks, Progress, Sink};
use crate::target::{Expected, RunLock, Sensitive, Targets};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// How a run is to be driven.
pub struct Options {
    /// Most stages at a time.
    pub jobs: usize,
    /// Stop after this stage.
    pub until: Option<String>,
    /// Drop this plan's finished clone of that name first.
    pub replace: bool,
    /// Where runs are kept.
    pub home: Home,
    /// Told every durable line.
    pub sink: Sink,
    /// Told what is being done.
    pub progress: Progress,
}

const AGAIN: &str = "the same command again";

/// How a run is taken up again.
#[derive(Clone, Copy, Debug)]
pub struct Resumption {
    /// Later stages may differ from what the run began with.
    pub accept_changes: bool,
    /// The shared journal may be elsewhere than its last line was written: whoever says so knows that none was lost.
    pub accept_journal: bool,
}

/// How a run ended, as far as this process had a part in it.
#[derive(Debug)]
pub struct Ended {
    /// With what.
    pub exit: Exit,
    /// Its journal, whole.
    pub history: History,
    /// What people are told beside it, a line each.
    pub notes: Vec<String>,
}

/// Begins a run and drives it to its end.
///
/// # Errors
/// Before anything was begun: credentials, reachability, a target held by another run.
pub async fn start(mut workflow: Workflow, options: &Options) -> Result<(String, Ended), Failure> {
    let key = sensitive::new_key()?;
    let secrets = sensitive::read(&mut workflow, &key)?;
    let workflow = Arc::new(workflow);
    let run = name::run_id().map_err(|e| Failure::new(Exit::Io, format!("no random bytes for a run id: {e}")))?;
    let Binding { targets, events } = bind(&workflow).await?;
    refuse_as_journal(&options.home, &targets).await?;
    let locks = hold(&targets, &run).await?;
    let (place, held) = options.home.begin(&run).map_err(unbegun)?;
    keep_inputs(&place, &workflow).map_err(unbegun)?;
    if !secrets.is_empty() {
        sensitive::keep_key(place.dir(), &key)?;
    }
    // From its first line on it is a run, and to be resumed.
    signals::at_work(&run).await;
    let journal = Arc::new(place.create(&workflow.genesis).map_err(unbegun)?);
    let as_of = clock::now();
    let bound = Bound { targets, locks, secrets };
    let cx = context(&workflow, run.clone(), as_of.clone(), journal, bound, RunState::default(), options);
    cx.record(Event::RunStarted {
        run: run.clone(),
        plan: workflow.plan.name.clone(),
        plan_path: workflow.plan.source.path.clone(),
        doc: workflow.plan.doc.clone(),
        engine_version: env!("CARGO_PKG_VERSION").to_owned(),
        as_of,
        date: Some(workflow.date.clone()),
        genesis: workflow.genesis.clone(),
        vars: workflow.typed.clone(),
        inputs: workflow.inputs.clone(),
        stages: workflow.briefs.clone(),
        host: process::host(),
        pid: std::process::id(),
    })
    .map_err(unbegun)?;
    for event in events {
        cx.record(event)?;
    }
    let ended = finish(workflow, cx, History::default(), options).await?;
    drop(held);
    Ok((run, ended))
}

/// Before its first line there is nothing to be resumed.
fn unbegun(mut failure: Failure) -> Failure {
    failure.next.retain(|(_, next)| !next.starts_with("engine resume"));
    if !failure.next.iter().any(|(_, next)| next.ends_with(AGAIN)) {
        failure = failure.next("then", AGAIN);
    }
    let told = failure.changed.take().filter(|changed| changed.starts_with("nothing was"));
    failure.changed(told.unwrap_or_else(|| "nothing was changed; no stage was begun".to_owned()))
}

/// Takes a run up again.
///
/// # Errors
/// Its inputs moved (62), its clone is not there (63), another process works on it (60).
pub async fn resume(
    workflow: Workflow,
    place: Place,
    history: History,
    how: Resumption,
    options: &Options,
) -> Result<Ended, Failure> {
    let rest = options.until.as_ref().map_or_else(String::new, |until| format!(" --until {until}"));
    let taken = take_up(workflow, place, &history, how, options, ("resume", &rest)).await?;
    let (workflow, cx) = (&taken.workflow, &taken.cx);
    // A rollback that was killed: what was committed of it counts.
    let finished = match signals::unless_it_comes(rollback::finish_pending(workflow, cx)).await {
        Ok(finished) => finished,
        Err((signal, silent)) => {
            signals::interrupted(cx, signal, rollback::left_of(workflow, cx, None, silent))?;
            let verdict = "interrupted: no stage was begun".to_owned();
            return end(workflow, cx, (signal, verdict, Vec::new()), 0, history).await;
        }
    };
    if let Err(failure) = finished.map_err(|failure| cx.hide_failure(failure)) {
        let verdict = format!("not taken up: {}", failure.what);
        let ended = end(workflow, cx, (failure.exit, verdict, Vec::new()), 0, history).await?;
        return Err(ended.notes.into_iter().fold(failure, Failure::fact));
    }
    finish(Arc::clone(workflow), Arc::clone(cx), history, options).await
}

/// A run that was taken up again, and what it holds.
pub(super) struct TakenUp {
    pub(super) workflow: Arc<Workflow>,
    pub(super) cx: Arc<Cx>,
    _held: Held,
}

/// Takes a run up again for a verb, with what else was typed behind the run's id: nobody else works on it, its inputs are what they were, its clones are its own.
///
/// # Errors
/// As `resume`.
pub(super) async fn take_up(
    mut workflow: Workflow,
    place: Place,
    history: &History,
    how: Resumption,
    options: &Options,
    (verb, rest): (&str, &str),
) -> Result<TakenUp, Failure> {
    let held = place.hold()?;
    // Who had the lock since it was read may have gone on with it.
    place.demand_still(history)?;
    let stored = sensitive::stored_key(place.dir())?;
    // Without it nothing can be compared: under a new one every value is another one, and stays comparable from then on.
    let key = stored.map_or_else(sensitive::new_key, Ok)?;
    let secrets = sensitive::read(&mut workflow, &key)?;
    let keyless = stored.is_none() && !secrets.is_empty();
    let told = |failure| {
        if keyless {
            sensitive::without_key(failure, place.dir())
        } else {
            sensitive::with_another_key(failure, &secrets, history.events())
        }
    };
    let workflow = Arc::new(workflow);
    let state = RunState::of(history.events());
    let Some(Event::RunStarted { run, as_of, .. }) = state.started.clone() else {
        return Err(Failure::new(Exit::InputsChanged, "the journal does not say how the run began"));
    };
    // First: a journal that lacks lines knows no better what was accepted, and which stages are committed.
    let again = format!("engine {verb} {run}{rest}");
    let moved = place.same_server(how.accept_journal, &again)?;
    place.demand_noted(history)?;
    let mut accepted = changed::inputs(&workflow, &state, how, &again).map_err(told)?;
    place.bring()?;
    let open = if accepted.is_empty() {
        Vec::new()
    } else {
        changed::refuse_stages(&workflow, &state, &place, &accepted).map_err(told)?
    };
    accepted.extend(moved);
    let Binding { targets, events } = bind(&workflow).await?;
    super::rebound::demand(&targets, &run, history).await?;
    refuse_as_journal(&options.home, &targets).await?;
    let locks = hold(&targets, &run).await?;
    anchors::demand(&targets, &run, history).await?;
    revive(&targets, &state, &differs::anew(&workflow)).await?;
    committed::demand(&workflow, &targets, &state).await?;
    let committed = committed::among(&workflow, &targets, &state, &open, &options.progress).await?;
    if !committed.is_empty() {
        return Err(differs::refused(&workflow, &state, &place, &committed));
    }
    if keyless {
        sensitive::keep_key(place.dir(), &key)?;
    }
    signals::at_work(&run).await;
    let journal = Arc::new(place.reopen(history)?);
    let bound = Bound { targets, locks, secrets };
    let cx = context(&workflow, run, as_of, journal, bound, state, options);
    if verb != "resume" || workflow.briefs.iter().any(|stage| !cx.with_state(|state| state.is_done(&stage.name))) {
        anchors::at_work_again(&cx).await?;
    }
    let digests = || workflow.briefs.iter().map(|stage| (stage.name.clone(), stage.digest.clone())).collect();
    cx.record(Event::RunResumed {
        host: process::host(),
        pid: std::process::id(),
        torn: (history.torn_bytes > 0).then_some(history.torn_bytes),
        inputs: if accepted.is_empty() { BTreeMap::new() } else { workflow.inputs.clone() },
        stages: if accepted.is_empty() { BTreeMap::new() } else { digests() },
        briefs: if accepted.is_empty() { Vec::new() } else { workflow.briefs.clone() },
        accepted,
    })?;
    for event in events {
        cx.record(event)?;
    }
    Ok(TakenUp { workflow, cx, _held: held })
}

/// What a run has to do with, and what it holds of it.
struct Bound {
    targets: Targets,
    locks: Vec<RunLock>,
    secrets: Sensitive,
}

fn context(
    workflow: &Arc<Workflow>,
    run: String,
    as_of: String,
    journal: Arc<Journal>,
    bound: Bound,
    state: RunState,
    options: &Options,
) -> Arc<Cx> {
    Arc::new(Cx {
        run,
        plan: workflow.plan.name.clone(),
        as_of,
        dir: PathBuf::from(journal.place().dir()),
        journal,
        targets: Arc::new(bound.targets),
        probes: workflow.probes.clone(),
        vars: workflow.vars.clone(),
        sensitive: bound.secrets,
        end_reads: workflow.end_reads.clone(),
        inputs: workflow.files.clone(),
        replace: options.replace,
        sink: Arc::clone(&options.sink),
        progress: Arc::clone(&options.progress),
        homes: homes(workflow),
        locks: bound.locks,
        looks: Looks::default(),
        state: Mutex::new(state),
    })
}

fn homes(workflow: &Workflow) -> BTreeMap<String, String> {
    let heads = workflow.stages.iter().map(|stage| stage.head());
    heads.filter_map(|head| Some((head.name.clone(), head.on.clone()?))).collect()
}

/// Drives, writes the dossier, anchors the journal's head, ends.
async fn finish(workflow: Arc<Workflow>, cx: Arc<Cx>, history: History, options: &Options) -> Result<Ended, Failure> {
    let watch = Stopwatch::start();
    let until = match &options.until {
        Some(name) => {
            Some(workflow.index(name).ok_or_else(|| Failure::new(Exit::Usage, format!("there is no stage `{name}`")))?)
        }
        None => None,
    };
    let machine = Machine { workflow: Arc::clone(&workflow), cx: Arc::clone(&cx), jobs: options.jobs.max(1), until };
    let outcome = machine.drive().await?;
    let verdict = verdict(&cx, &outcome);
    end(&workflow, &cx, verdict, watch.ms(), history).await
}

/// Says how it ended, anchors the journal's head, writes the dossier. `known`: the journal as it was read.
pub(super) async fn end(
    workflow: &Workflow,
    cx: &Cx,
    (exit, verdict, reasons): (Exit, String, Vec<String>),
    ms: u64,
    known: History,
) -> Result<Ended, Failure> {
    cx.record(Event::RunEnded { exit, verdict, reasons, ms })?;
    let notes = anchors::anchor(cx, exit).await;
    let history = cx.journal.place().read_on(known)?;
    dossier::write(
        &cx.dir,
        &history.lines,
        &workflow.lock.iter().map(|f| (f.name.clone(), f.text.clone())).collect::<Vec<_>>(),
    )
    .map_err(|e| Failure::new(Exit::Io, format!("the dossier cannot be written: {e}")))?;
    cx.journal.place().keep_folder("dossier")?;
    // One that came at the very end: all that was done is written down, and who sent it is answered.
    let exit = signals::first().map_or(exit, |signal| exit.worse(signal));
    signals::all_is_said();
    Ok(Ended { exit, history, notes })
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

pub(super) fn stages(number: usize) -> String {
    if number == 1 { "1 stage".to_owned() } else { format!("{number} stages") }
}

fn packet_reasons(cx: &Cx) -> Vec<String> {
    cx.journal
        .place()
        .read()
        .map(|history| {
            let sealed = history.events().filter_map(|event| match event {
                Event::PacketSealed { reasons, .. } => Some(reasons.clone()),
                _ => None,
            });
            sealed.last().unwrap_or_default()
        })
        .unwrap_or_default()
}

/// The journal is not kept in a database that must not be touched, nor in one that is dropped.
async fn refuse_as_journal(home: &Home, targets: &Targets) -> Result<(), Failure> {
    let Some(base) = home.base() else { return Ok(()) };
    let is = base.identity();
    let mut same: Option<(&str, &str)> = None;
    for (name, plain) in &targets.plain {
        if (plain.identity.system_identifier.as_str(), plain.identity.oid) == (is.system_identifier.as_str(), is.oid) {
            same = Some((name, "is that target itself"));
        }
    }
    for (name, clone) in &targets.clones {
        let called = clone.database == is.database || clone.golden.as_ref() == Some(&is.database);
        if called && clone.maker.identity().await?.system_identifier == is.system_identifier {
            same = Some((name, "has the name of that clone, which is made and dropped"));
        }
    }
    let Some((target, why)) = same else { return Ok(()) };
    Err(Failure::new(Exit::WrongDatabase, format!("the journal would be kept in the target `{target}`"))
        .fact(format!("the database {} {why}", base.place()))
        .changed("nothing was changed; no run was started")
        .next("then", "name a database of its own in --journal or ENGINE_JOURNAL"))
}

/// One run at a time per clone, held in the maintenance database: a TEMPLATE copy needs the clone free of sessions.
async fn hold(targets: &Targets, run: &str) -> Result<Vec<RunLock>, Failure> {
    let mut locks = Vec::new();
    let holder = process::of(run);
    for clone in targets.clones.values() {
        let identity = clone.maker.identity().await?;
        let key = format!("{} of server {}", clone.database, identity.system_identifier);
        locks.push(clone.maker.hold(&key, &holder).await?);
    }
    locks.extend(hold_run(targets, run).await?);
    Ok(locks)
}

/// What a run makes under other names is its own as long as it is at work: once on each server where clones are made, which
/// counts in all of its databases.
pub(super) async fn hold_run(targets: &Targets, run: &str) -> Result<Vec<RunLock>, Failure> {
    let (mut locks, mut places) = (Vec::new(), BTreeSet::new());
    for clone in targets.clones.values() {
        if places.insert(clone.maker.instance().await?) {
            locks.push(clone.maker.hold(&run_key(run), &process::of(run)).await?);
        }
    }
    Ok(locks)
}

/// What a run at work holds, for whoever finds a database of its.
pub(super) fn run_key(run: &str) -> String {
    format!("engine run {run}")
}

/// Opens the doors of clones that history says are there, each proven to be the one.
async fn revive(targets: &Targets, state: &RunState, anew: &str) -> Result<(), Failure> {
    for (name, clone) in &targets.clones {
        let Some(Event::CloneMade { stage, database, oid, source, .. }) = state.clones.get(name) else { continue };
        // Whoever was killed right after it was made begins it anew: it may be dropped already, and nobody was in it.
        if !state.is_done(stage) {
            continue;
        }
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
                .next("start anew", anew)
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
            .changed("nothing was changed")
            .next("then", format!("give `{database}` back to its clone and run: engine resume {}", state.run))
            .next("or", format!("start anew, with another name for the clone: {anew}")));
        }
        // A process that was killed between shutting the clone for a copy and opening it again left it shut.
        clone.maker.open(database).await?;
        clone.came_alive(&expected)?;
        clone.live()?.writer.identity().await?;
    }
    Ok(())
}

fn keep_inputs(place: &Place, workflow: &Workflow) -> Result<(), Failure> {
    let mut sums = String::new();
    let mut files: Vec<(String, &[u8])> = Vec::new();
    let sql = workflow.lock.iter().map(|file| (format!("sql/{}", file.name), file.text.as_bytes()));
    let plan = workflow.files.iter().map(|(name, bytes)| (format!("plan/{name}"), bytes.as_slice()));
    for (path, bytes) in sql.chain(plan) {
        sums.push_str(&format!("{}  {path}\n", crate::digest::hex(bytes)));
        files.push((path, bytes));
    }
    let vars = serde_json::to_vec_pretty(&workflow.typed).expect("invariant: texts are JSON");
    files.push(("vars.json".to_owned(), &vars));
    files.push(("SHA256SUMS".to_owned(), sums.as_bytes()));
    place.keep_all(&files)
}
