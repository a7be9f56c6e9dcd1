//! Undoing a stage on its clone: its rollback, committed once, by the protocol that committed the stage.
//!
//! `settle` finds out what a process that died left open, either way; `undo` sends the rollback and puts sequences back;
//! what a stage outside of a transaction had half done is undone by the same rollback, since it bears being sent for that;
//! `compare` shows that a clone that is back at a fingerprint is what it was.

use super::commit::{self, Way};
use super::fingerprint::taken;
use super::sql::half_done::{self, Towards};
use super::sql::{found_file, stored, wrote_words};
use super::{Cx, Stage, jobs, rehearse, sequences, stall};
use crate::clock::Stopwatch;
use crate::crash;
use crate::event::{Event, Exit, Failure, RunState, StageState, Status};
use crate::fingerprint::{Level, Scope};
use crate::proof::{Script, Work, bounds, forward, measure};
use crate::target::{Alone, Live, RETRYABLE, WriteTx};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A stage that writes a clone, and what it is undone with.
struct Unit<'u> {
    cx: &'u Cx,
    stage: &'u dyn Stage,
    name: &'u str,
    on: &'u str,
    work: Arc<Work>,
    live: Live,
}

impl<'u> Unit<'u> {
    /// `None`: it writes no clone.
    fn of(cx: &'u Cx, stage: &'u dyn Stage) -> Result<Option<Unit<'u>>, Failure> {
        let (Some(work), Some(on)) = (stage.work(), stage.head().on.as_deref()) else { return Ok(None) };
        if !cx.targets.is_clone(on) {
            return Ok(None);
        }
        let live = cx.targets.clone_target(on)?.live()?.apart();
        Ok(Some(Unit { cx, stage, name: &stage.head().name, on, work, live }))
    }

    fn known(&self) -> StageState {
        self.cx.with_state(|state| state.stage(self.name))
    }
}

/// How long it may take to know what became of a transaction before anybody is told.
const SILENCE: Duration = Duration::from_secs(2);

/// What somebody waits for, who is told so if it takes long.
pub async fn aloud<T>(say: impl FnOnce(&str), last: &str, asked: impl Future<Output = T>) -> T {
    let mut asked = std::pin::pin!(asked);
    if let Ok(known) = tokio::time::timeout(SILENCE, &mut asked).await {
        return known;
    }
    say(&format!("waiting to know what became of its last {last}"));
    asked.await
}

/// `settle`, which says so if it takes long.
///
/// # Errors
/// As `settle`.
pub async fn settle_aloud(cx: &Cx, stage: &dyn Stage) -> Result<(), Failure> {
    let say = |words: &str| cx.say(&stage.head().name, words);
    Box::pin(aloud(say, "attempt", settle(cx, stage))).await
}

/// Waits until nothing is at work in the run's clones that a process before has left there.
///
/// # Errors
/// A server cannot be asked.
pub async fn nobody_left(cx: &Cx) -> Result<(), Failure> {
    for target in cx.targets.clones.values() {
        if let Ok(live) = target.live() {
            commit::nobody_left(&cx.run, &live.writer).await?;
        }
    }
    Ok(())
}

/// Asks what became of a transaction of this stage that the journal knows no end of. One that committed is recorded, and
/// sequences that another one moved are put back.
///
/// # Errors
/// Nobody can say (50), another database (63), or its backend is still at work (60).
pub async fn settle(cx: &Cx, stage: &dyn Stage) -> Result<(), Failure> {
    if stage.head().kind == "rollout" {
        return left_by_rollout(cx, stage).await;
    }
    if stage.work().is_none() {
        return left_by_rejects(cx, stage).await;
    }
    // A stage in batches is committed as far as it got, and its last batch may be open all the same.
    let open = |s: &StageState| {
        s.attempts > 0 && (!s.committed || s.backend.is_some() && !matches!(s.status, Status::Committed | Status::Done))
    };
    if !cx.with_state(|state| state.stages.get(&stage.head().name).is_some_and(open)) {
        return Ok(());
    }
    let Some(unit) = Unit::of(cx, stage)? else { return Ok(()) };
    let known = unit.known();
    let way = if unit.work.batch.is_some() { Way::Batch(known.batches + 1) } else { Way::Forward };
    let committed = commit::recover_on(way, cx, unit.name, &unit.live.writer, &known).await?;
    if committed && unit.work.batch.is_some() {
        // What it drew from sequences is its own, as that of the batches before it.
        return sequences::forget(cx, &found_file(unit.name));
    }
    if committed {
        return Ok(());
    }
    if !unit.work.parallel {
        sequences::undo(cx, unit.on, &found_file(unit.name), |moves| sequences::own(cx, unit.name, moves)).await?;
    }
    // It draws no more: what others draw from now on is their own.
    cx.with_state(|state| state.stages.entry(unit.name.to_owned()).or_default().nothing_open());
    Ok(())
}

/// A rollout whose COMMIT may have been sent. It is asked and never sent again here: that is for its own turn, with its gates.
async fn left_by_rollout(cx: &Cx, stage: &dyn Stage) -> Result<(), Failure> {
    let (name, on) = (&stage.head().name, stage.head().on.as_deref().unwrap_or_default());
    let known = cx.with_state(|state| state.stage(name));
    let Some(writer) = cx.targets.plain(on)?.writer.as_ref().filter(|_| known.intent.is_some()) else { return Ok(()) };
    commit::recover(cx, name, &writer.apart(), &known).await.map(drop)
}

/// What a check that was cut short drew from sequences goes back: its rejects change nothing else.
async fn left_by_rejects(cx: &Cx, stage: &dyn Stage) -> Result<(), Failure> {
    let (name, on) = (&stage.head().name, stage.head().on.as_deref().unwrap_or_default());
    if !cx.targets.is_clone(on) || cx.with_state(|state| state.is_done(name)) {
        return Ok(());
    }
    let known = cx.with_state(|state| state.stage(name));
    if known.backend.is_some() {
        // Nothing of it is ever committed, but its session may still be drawing. Where no clone is, none is.
        let Ok(live) = cx.targets.clone_target(on)?.live() else { return Ok(()) };
        commit::recover(cx, name, &live.writer.apart(), &known).await?;
    }
    sequences::undo(cx, on, &found_file(name), |moves| sequences::own(cx, name, moves)).await
}

/// Finishes a rollback that a process that died had begun: undone if it was committed, else given up. For who goes on
/// forward.
///
/// # Errors
/// As `settle`.
pub async fn finish(cx: &Cx, stage: &dyn Stage, again: &[String]) -> Result<(), Failure> {
    let Some(unit) = Unit::of(cx, stage)? else { return Ok(()) };
    let watch = Stopwatch::start();
    let came_through = unit.came_through().await?;
    if !came_through && unit.work.alone {
        // Some of its statements may stand: it can only be gone on with, and they can be sent twice.
        let sent = stall::over(cx, unit.name, &unit.live.writer, Box::pin(unit.half_back(None))).await;
        sent.map_err(|failure| unit.still_on_its_way(failure))?;
    }
    if came_through || unit.work.alone {
        return unit.done(again, &watch).await;
    }
    unit.back_again().await?;
    let failure = Failure::new(Exit::Temporary, format!("the rollback of `{}` was not committed", unit.name))
        .changed(format!("`{}` is as it was", unit.name));
    cx.record(Event::UndoFailed { stage: unit.name.to_owned(), failure, settled: true, ms: watch.ms() })
}

/// Sequences as an attempt of a rollback found them; gone once it is committed, or they are back.
fn way_back_file(stage: &str) -> String {
    format!("fingerprints/{stage}.back.json")
}

/// Is its rollback under way, or is there something left of one that was given up?
pub fn is_begun(cx: &Cx, stage: &str) -> bool {
    cx.with_state(|state| state.stage(stage).undo.is_some()) || cx.dir.join(way_back_file(stage)).exists()
}

/// Was this stage stopped in the middle of statements that are in no transaction? Those that were answered stand.
pub fn is_half_done(cx: &Cx, stage: &dyn Stage) -> bool {
    let name = stage.head().name.as_str();
    let known = cx.with_state(|state| state.stage(name));
    let back = known.undo.is_some() && stage.work().is_some_and(|work| work.alone);
    !known.committed && back || is_left(cx, name)
}

/// The same of a stage by its name alone.
pub fn is_left(cx: &Cx, name: &str) -> bool {
    cx.with_state(|state| is_left_of(&cx.dir, state, name))
}

/// The same of a run that nobody works on yet, whose folder is given.
pub fn is_left_of(folder: &Path, state: &RunState, name: &str) -> bool {
    !state.stage(name).committed && half_done::is_kept(folder, name)
}

/// Undoes a stage that is committed or half done. `again`: what depends on it, and waits to be run again afterwards. `reason`: why it has no
/// rollback, if the plan says so.
///
/// # Errors
/// It has no rollback (50), which may have failed (40, 42) or wait for somebody (75); its outcome is not known (50).
/// The stage is as it was, but in the last case.
pub async fn undo(cx: &Cx, stage: &dyn Stage, again: &[String], reason: Option<&str>) -> Result<(), Failure> {
    let Some(unit) = Unit::of(cx, stage)? else { return Ok(()) };
    let watch = Stopwatch::start();
    let known = unit.known();
    if is_half_done(cx, stage) {
        if !unit.came_through().await? {
            stall::over(cx, unit.name, &unit.live.writer, Box::pin(unit.half_back(reason))).await?;
        }
        return unit.done(again, &watch).await;
    }
    // What wrote nothing needs no way back, nor does maintenance.
    let wrote = if unit.work.alone { !unit.work.changes_nothing() } else { known.xid.is_some() };
    if wrote && !unit.came_through().await? {
        let Some(rollback) = &unit.work.rollback else { return Err(unit.no_way_back(reason)) };
        stall::over(cx, unit.name, &unit.live.writer, Box::pin(unit.attempts(rollback))).await?;
    }
    unit.done(again, &watch).await
}

impl Unit<'_> {
    /// Is the rollback committed already?
    async fn came_through(&self) -> Result<bool, Failure> {
        let known = self.known();
        match &known.undo {
            None => Ok(false),
            Some(undo) if undo.committed => Ok(true),
            Some(_) => {
                let asked = commit::recover_on(Way::Back, self.cx, self.name, &self.live.writer, &known);
                aloud(|words| self.cx.say(self.name, words), "rollback", asked).await
            }
        }
    }

    /// What never came to its end goes back by its rollback: no statement outside of a transaction is taken that cannot be
    /// sent for what is not there. Without one it is looked at what stands.
    async fn half_back(&self, reason: Option<&str>) -> Result<(), Failure> {
        if let Some(rollback) = &self.work.rollback {
            return self.attempts(rollback).await;
        }
        half_done::clear_away(self.cx, &self.live, &self.work, Towards::Back).await?;
        let stands = half_done::stands(self.cx, &self.live, &self.work).await?;
        if stands.is_empty() { Ok(()) } else { Err(self.in_part(reason, stands)) }
    }

    fn in_part(&self, reason: Option<&str>, stands: Vec<String>) -> Failure {
        let what = format!("stage `{}` is in no transaction, was stopped half way, and has no rollback", self.name);
        let mut failure = Failure::new(Exit::Stuck, format!("{what}: what it did in part cannot be undone"));
        failure.facts.extend(reason.map(str::to_owned));
        let since = if self.work.parallel { "another since it began, by it or by others" } else { "stands" };
        failure.facts.extend(stands.into_iter().map(|what| format!("{since}: {what}")));
        failure
            .next(
                "look",
                format!("at its template {}: each statement stands that was answered", self.work.forward.template),
            )
            .next("go on", format!("engine resume {}   asks its `done_when`, and sends it again", self.cx.run))
            .next(
                "or",
                format!("engine drop {}   and apply the plan again: a new clone is the only way back", self.cx.run),
            )
    }

    fn no_way_back(&self, reason: Option<&str>) -> Failure {
        let failure = Failure::new(Exit::Stuck, format!("stage `{}` has no rollback", self.name));
        let failure = match reason {
            Some(reason) => failure.fact(reason),
            None => failure,
        };
        failure
            .next(
                "then",
                format!("engine drop {}   and apply the plan again: a new clone is the only way back", self.cx.run),
            )
            .next("or", format!("engine rollback {} --to {}   undoes what came after it", self.cx.run, self.name))
    }

    async fn attempts(&self, rollback: &Script) -> Result<(), Failure> {
        let before = self.known().undo.map_or(0, |undo| undo.attempts);
        let (mut attempt, retry) = (before, self.stage.head().retry);
        loop {
            attempt += 1;
            match self.attempt(rollback, attempt).await {
                Err(failure)
                    if attempt - before <= retry
                        && failure.sqlstate.as_deref().is_some_and(|code| RETRYABLE.contains(&code)) =>
                {
                    let text = format!("attempt {attempt} of the rollback ended with {}; trying again", failure.what);
                    self.cx.say(self.name, &text);
                    // Its session is closed; the locks go with its backend.
                    if self.work.alone && self.came_through().await? {
                        return Ok(());
                    }
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt(&self, rollback: &Script, attempt: u32) -> Result<(), Failure> {
        self.cx.alone()?;
        if self.work.alone {
            let sent = self.attempt_alone(rollback, attempt).await;
            return sent.map_err(|failure| self.of_rollback(failure));
        }
        self.back_again().await?;
        let tx = self.live.writer.session(&format!("rollback of `{}`", self.name)).await?;
        self.cx.record(Event::UndoStarted {
            stage: self.name.to_owned(),
            attempt,
            backend_pid: tx.backend_pid,
            backend_start: tx.backend_start.clone(),
        })?;
        match self.within(&tx, rollback).await {
            Ok(()) => commit::commit_on(Way::Back, self.cx, self.name, &self.live.writer, tx).await,
            Err(mut failure) => {
                tx.rollback().await;
                failure = self.of_rollback(failure);
                if let Err(also) = self.back_again().await {
                    failure = failure.fact(format!("its sequences are put back by what comes next: {}", also.what));
                }
                Err(failure.changed(format!("rolled back: the clone is as before the rollback of `{}`", self.name)))
            }
        }
    }

    fn way_back_file(&self) -> String {
        way_back_file(self.name)
    }

    /// What an attempt of the rollback that did not commit drew from sequences goes back. Nobody else is at work on the way back,
    /// but writers of their own.
    async fn back_again(&self) -> Result<(), Failure> {
        if self.work.parallel {
            return sequences::forget(self.cx, &self.way_back_file());
        }
        if self.cx.dir.join(self.way_back_file()).exists() {
            commit::let_go(Way::Back, self.cx, self.name, &self.live.writer).await?;
        }
        sequences::undo(self.cx, self.on, &self.way_back_file(), |moves| moves).await
    }

    fn of_rollback(&self, failure: Failure) -> Failure {
        Failure { what: format!("the rollback of `{}`: {}", self.name, failure.what), ..failure }
    }

    /// A rollback that a process that died had begun did not come to its end now either.
    fn still_on_its_way(&self, failure: Failure) -> Failure {
        let (name, run) = (self.name, &self.cx.run);
        let stands = failure.changed.clone().map_or(String::new(), |changed| format!("{changed}; "));
        failure
            .changed(format!("{stands}the rollback of `{name}` stays under way, and no stage was begun"))
            .next("then", format!("engine resume {run}   goes on with this rollback, and then forward"))
            .next("or", format!("engine rollback {run}   goes on back"))
            .next(
                "or",
                format!("engine drop {run}   and apply the plan again, where that rollback can never come to its end"),
            )
    }

    /// Outside of a transaction: its statements can be sent twice, and those that were answered stand.
    async fn attempt_alone(&self, rollback: &Script, attempt: u32) -> Result<(), Failure> {
        let purpose = format!("rollback of `{}`", self.name);
        let alone = Alone::open(&self.live.writer, &purpose, self.work.timeout, self.work.lock_timeout).await?;
        // Only what may be begun is said to be under way: nothing goes on with the rest.
        commit::stage_lock_alone(&alone, self.on, self.work.parallel, self.name).await?;
        self.cx.record(Event::UndoStarted {
            stage: self.name.to_owned(),
            attempt,
            backend_pid: alone.backend_pid,
            backend_start: alone.backend_start.clone(),
        })?;
        // An index that an attempt before left invalid would be taken for one that is there.
        if half_done::is_kept(&self.cx.dir, self.name) {
            half_done::clear_away(self.cx, &self.live, &self.work, Towards::Back).await?;
        } else {
            half_done::keep(self.cx, &self.live, self.name).await?;
        }
        self.cx.say(self.name, "running its rollback, outside of a transaction");
        let stands = "it is in no transaction: statements before the one that failed stand";
        let sent = forward::send_alone(&alone, rollback, || self.cx.alone()).await;
        let statements = sent.map_err(|failure| failure.changed(stands))?;
        let (stage, purpose) = (self.name.to_owned(), "rollback".to_owned());
        self.cx.record(Event::Statements { stage, purpose, statements })?;
        // Bounds and `never` hold both ways, as far as definitions go.
        let held = half_done::within_bounds(self.cx, &self.live, &self.work).await;
        held.map_err(|failure| {
            let drop =
                format!("engine drop {}   and apply the plan again, with a rollback that keeps to it", self.cx.run);
            failure.changed("it is in no transaction: what its statements did stands").next("then", drop)
        })?;
        self.cx.record(Event::UndoCommitted { stage: self.name.to_owned(), xid: None, open_ms: None })
    }

    /// Everything between BEGIN and COMMIT. Guards are for the way forward; bounds and `never` hold both ways.
    async fn within(&self, tx: &WriteTx, rollback: &Script) -> Result<(), Failure> {
        tx.begin(self.work.timeout, self.work.lock_timeout).await?;
        commit::stage_lock(tx, self.on, self.work.parallel, self.name).await?;
        forward::settle(tx, &self.cx.settings()).await?;
        let resolved = bounds::resolve(tx, &self.work).await?;
        let before = measure::before(tx, !self.work.alters.is_empty()).await?;
        let found = sequences::stand(before.sequences.as_deref().unwrap_or_default());
        sequences::keep(self.cx, &self.way_back_file(), &found)?;
        self.cx.say(self.name, "running its rollback");
        let ran = forward::run(tx, rollback, &before, None).await?;
        let (stage, purpose) = (self.name.to_owned(), "rollback".to_owned());
        self.cx.record(Event::Statements { stage, purpose, statements: ran.statements.clone() })?;
        self.cx.record(ran.measured(self.name, "rollback", resolved.writes(&ran.delta)))?;
        crate::proof::hold(tx, &resolved, self.name, &ran).await
    }

    /// Sequences go back to where the stage found them, and the stage waits.
    async fn done(&self, again: &[String], watch: &Stopwatch) -> Result<(), Failure> {
        let known = self.known();
        crash::point(|| format!("undo/{}/committed", self.name));
        sequences::forget(self.cx, &self.way_back_file())?;
        self.put_back(&known).await?;
        crash::point(|| format!("undo/{}/sequences", self.name));
        half_done::forget(self.cx, self.name)?;
        let summary = match known.undo {
            Some(_) if !known.committed => "what it had done in part is undone".to_owned(),
            None if !known.committed => "nothing stands of what it had begun, so nothing was sent".to_owned(),
            Some(undo) => format!("back: {}", wrote_words(&undo.writes)),
            None => "it had written nothing, so nothing was sent".to_owned(),
        };
        let (stage, again) = (self.name.to_owned(), again.to_vec());
        self.cx.record(Event::Undone { stage, summary, again, ms: watch.ms() })
    }

    async fn put_back(&self, known: &StageState) -> Result<(), Failure> {
        // Where another stage that stands drew too, as one in batches may have, a value given out twice is worse than a gap.
        let moves = sequences::own(self.cx, self.name, known.sequences.clone());
        sequences::put_back(self.cx, self.on, &moves).await?;
        // Of what rejects and proofs drew beside, and could not put back.
        let file = found_file(self.name);
        if self.work.parallel || !self.cx.dir.join(&file).exists() {
            return Ok(());
        }
        let found = stored(self.cx, &file)?;
        let rest = sequences::moved_since(&self.live.reader, &found).await?;
        sequences::put_back(self.cx, self.on, &sequences::own(self.cx, self.name, rest)).await?;
        sequences::forget(self.cx, &file)
    }
}

/// Compares a clone with what `baseline` saw of it. False: that was not its whole content, so nothing can be shown.
///
/// # Errors
/// They differ (44), or the clone cannot be read.
pub async fn compare(cx: &Cx, baseline: &str, on: &str, works: &[Arc<Work>]) -> Result<bool, Failure> {
    let wanted = cx.stored_fingerprint(baseline, "own")?;
    if wanted.level != Level::Content {
        return Ok(false);
    }
    cx.say(baseline, "comparing the clone with what it saw");
    let ignore = works.iter().flat_map(|work| work.ignore.iter().cloned()).collect();
    let scope = Scope { ignore, ..Scope::all(Level::Content) };
    let reader = cx.targets.clone_target(on)?.live()?.reader;
    let found = taken(cx, &reader, "the clone after its rollback", &scope, jobs::available()).await?;
    if found.excluded != wanted.excluded {
        return Ok(false);
    }
    rehearse::compare(cx, baseline, (&wanted, &found), &format!("the clone rolled back, and `{baseline}`"))?;
    Ok(true)
}
