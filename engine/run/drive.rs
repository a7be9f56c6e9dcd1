//! Driving a workflow: ready stages run in parallel, one writer at a time per target, until nothing may start.

use super::schedule::{Ready, Schedule};
use super::signals;
use crate::clock::Stopwatch;
use crate::compile::Workflow;
use crate::event::{Event, Exit, Failure, StageState, Status, behind};
use crate::plan::Policy;
use crate::stage::{self, Cx, Done, Head, Stage, undo};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, RwLock};
use tokio::task::JoinSet;

/// How long a stage that ran out of time may keep its turn until its session is gone; that is ended after five seconds.
const FAREWELL: Duration = Duration::from_secs(15);

/// How driving ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Failures by stage, in the order they happened.
    pub failures: Vec<(String, Failure)>,
    /// Stages that are done.
    pub done: usize,
    /// Stages that never started.
    pub not_started: usize,
    /// Stages that were at work when a signal came.
    pub cut_short: usize,
    /// Stages beyond `--until`.
    pub left_aside: usize,
    /// A signal ended it.
    pub interrupted: Option<Exit>,
    /// A watched target is not what it has to be: nothing more may start.
    pub stopped: bool,
}

/// Who may be at work on a target: writers exclude each other, a rehearsal excludes everybody.
#[derive(Default)]
struct Occupation {
    writer: Mutex<()>,
    presence: RwLock<()>,
}

/// What drives: shared by all stages at work.
pub struct Machine {
    /// The workflow.
    pub workflow: Arc<Workflow>,
    /// The context.
    pub cx: Arc<Cx>,
    /// Most stages at a time.
    pub jobs: usize,
    /// Stop before anything that depends on this one.
    pub until: Option<usize>,
}

impl Machine {
    /// Runs all that can be run.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub async fn drive(&self) -> Result<Outcome, Failure> {
        let plan = &self.workflow.plan;
        let mut states: Vec<Ready> = plan.stages.iter().map(|s| self.known(&s.name.value)).collect();
        let mut left_aside = 0;
        if let Some(until) = self.until {
            for (index, state) in states.iter_mut().enumerate() {
                if index != until && !plan.graph.upstream(until, index) && *state == Ready::Waiting {
                    *state = Ready::Ended;
                    left_aside += 1;
                }
            }
        }
        let mut schedule = Schedule::new(&plan.graph, states);
        let occupied: Arc<BTreeMap<String, Occupation>> =
            Arc::new(plan.targets.iter().map(|t| (t.name.value.clone(), Occupation::default())).collect());
        let mut outcome = Outcome { left_aside, ..Outcome::default() };
        tokio::select! {
            made_up = self.make_up_for_the_last_look(&mut outcome) => made_up?,
            _ = signals::came() => {}
        }
        let not_known = tokio::select! {
            not_known = self.settle_what_was_open() => not_known,
            _ = signals::came() => Vec::new(),
        };
        for (index, failure) in not_known {
            let stage = plan.stages[index].name.value.clone();
            self.cx.record(Event::StageStarted { stage })?;
            let ended = Ended { index, result: Err(failure), ms: 0, looked: Ok(()) };
            let state = self.settle(ended, &mut outcome)?;
            schedule.set(index, state);
        }
        let mut running: JoinSet<Ended> = JoinSet::new();
        let mut heartbeat = tokio::time::interval(Duration::from_secs(20));
        loop {
            let may_start = |at_work: usize| at_work < self.jobs && !outcome.stopped && signals::first().is_none();
            let free = |schedule: &Schedule<'_>| schedule.next(|index| self.is_free_for(index, schedule));
            while let Some(index) = free(&schedule).filter(|_| may_start(running.len())) {
                schedule.set(index, Ready::Running);
                self.cx.record(Event::StageStarted { stage: plan.stages[index].name.value.clone() })?;
                running.spawn(one(Arc::clone(&self.workflow), Arc::clone(&self.cx), Arc::clone(&occupied), index));
            }
            let ended = tokio::select! {
                biased;
                exit = signals::came() => {
                    let silent = signals::stop(&mut running).await;
                    self.interrupted(exit, &schedule, silent)?;
                    outcome.interrupted = Some(exit);
                    break;
                }
                ended = running.join_next() => match ended {
                    None => break,
                    Some(Ok(ended)) => ended,
                    Some(Err(error)) => return Err(Failure::new(Exit::Io, format!("a bug of the engine: a stage ended badly: {error}"))),
                },
                _ = heartbeat.tick() => {
                    // An empty text: nothing new, and still at work.
                    for index in schedule.standing(Ready::Running) {
                        self.cx.say(&plan.stages[index].name.value, "");
                    }
                    continue;
                }
            };
            let index = ended.index;
            let state = self.settle(ended, &mut outcome)?;
            schedule.set(index, state);
        }
        outcome.done = schedule.standing(Ready::Done).count();
        outcome.cut_short = schedule.standing(Ready::Running).count();
        outcome.not_started = schedule.standing(Ready::Waiting).count();
        Ok(outcome)
    }

    /// Of these kinds one stage at a time: what is half made has a name that tells the run, and no more.
    fn is_free_for(&self, index: usize, schedule: &Schedule<'_>) -> bool {
        let kind = |index: usize| self.workflow.stages[index].head().kind;
        !["clone", "rehearse"].contains(&kind(index))
            || !schedule.standing(Ready::Running).any(|other| kind(other) == kind(index))
    }

    fn interrupted(&self, exit: Exit, schedule: &Schedule<'_>, silent: usize) -> Result<(), Failure> {
        let running = schedule.standing(Ready::Running).map(|index| self.workflow.stages[index].as_ref());
        let at_work: Vec<(&str, &str)> =
            running.map(|stage| (stage.head().name.as_str(), signals::work_of(stage))).collect();
        let left = self.cx.with_state(|state| signals::left(state, &at_work, silent));
        signals::interrupted(&self.cx, exit, left)
    }

    /// What stages that a process before had begun left open, before any other one draws from the same sequences. Answers those of
    /// which nobody can say whether they are committed: nothing is begun behind them. What else cannot be settled now is told by
    /// the stage itself when it is its turn.
    async fn settle_what_was_open(&self) -> Vec<(usize, Failure)> {
        let mut not_known = Vec::new();
        for (index, stage) in self.workflow.stages.iter().enumerate() {
            if !self.cx.with_state(|state| state.is_done(&stage.head().name)) {
                let settled = undo::settle_aloud(&self.cx, stage.as_ref()).await;
                not_known.extend(settled.err().filter(|e| e.exit == Exit::Stuck).map(|failure| (index, failure)));
            }
        }
        if self.cx.with_state(|state| !state.stages.is_empty()) {
            let _ = undo::nobody_left(&self.cx).await;
        }
        not_known
    }

    /// A look that ended the run before is made again before anything starts. One that found what a strict policy forbids
    /// has found it for good: time does not undo it.
    async fn make_up_for_the_last_look(&self, outcome: &mut Outcome) -> Result<(), Failure> {
        let Some((stage, failure)) = self.cx.with_state(|state| state.look_failed.clone()) else { return Ok(()) };
        let plan = &self.workflow.plan;
        let strict = plan.targets.iter().any(|target| target.watch && target.policy == Policy::Strict);
        let again = match (failure.exit, self.workflow.index(&stage)) {
            (Exit::ChangedByOthers, _) if strict => Err(failure),
            (_, Some(index)) => {
                let ended = self.workflow.stages[index].as_ref();
                stage::look(&self.cx, plan, &self.workflow.stages, ended).await
            }
            (_, None) => Ok(()),
        };
        if let Err(failure) = again {
            outcome.stopped = true;
            self.cx.record(Event::LookFailed { stage: stage.clone(), failure: failure.clone() })?;
            outcome.failures.push((stage, failure));
        }
        Ok(())
    }

    fn known(&self, stage: &str) -> Ready {
        if self.cx.with_state(|state| state.is_done(stage)) { Ready::Done } else { Ready::Waiting }
    }

    fn settle(&self, ended: Ended, outcome: &mut Outcome) -> Result<Ready, Failure> {
        let Ended { index, result, ms, looked } = ended;
        let stage = self.workflow.plan.stages[index].name.value.clone();
        match result {
            Ok(done) => {
                // First, or who takes the run up from between the two takes what was found for what was there.
                if let Err(failure) = looked {
                    outcome.stopped = true;
                    self.cx.record(Event::LookFailed { stage: stage.clone(), failure: failure.clone() })?;
                    outcome.failures.push((stage.clone(), failure));
                }
                self.cx.record(Event::StageDone { stage, summary: done.summary, ms })?;
                Ok(Ready::Done)
            }
            Err(failure) => {
                outcome.failures.push((stage.clone(), failure.clone()));
                // Whatever came next would build upon what nobody knows.
                outcome.stopped |= failure.exit == Exit::Stuck;
                let blocked = matches!(failure.exit, Exit::Blocked | Exit::NotEvaluable | Exit::WrongDatabase);
                self.cx.record(if blocked {
                    Event::StageBlocked { stage, failure, ms }
                } else {
                    Event::StageFailed { stage, failure, ms }
                })?;
                Ok(Ready::Ended)
            }
        }
    }
}

/// How a stage ended.
struct Ended {
    index: usize,
    result: Result<Done, Failure>,
    ms: u64,
    /// What the look at watched targets came to, afterwards.
    looked: Result<(), Failure>,
}

/// One stage, within its time and its turn on the target; then a look at what is watched.
async fn one(workflow: Arc<Workflow>, cx: Arc<Cx>, occupied: Arc<BTreeMap<String, Occupation>>, index: usize) -> Ended {
    let stage = &workflow.stages[index];
    let head = stage.head();
    let own = head.on.as_deref();
    let parallel = own.and_then(|on| workflow.plan.target(on)).is_some_and(|t| t.parallel);
    let mut present = Vec::new();
    let mut alone = None;
    for (name, occupation) in occupied.iter() {
        if stage.alone_on_target() && own == Some(name.as_str()) {
            alone = Some(occupation.presence.write().await);
        } else {
            present.push(occupation.presence.read().await);
        }
    }
    let turn = match own.and_then(|on| occupied.get(on)) {
        Some(occupation) if stage.writes_target() && !parallel => Some(occupation.writer.lock().await),
        _ => None,
    };
    let watch = Stopwatch::start();
    let limit = head.timeout;
    let work = async {
        cx.alone_forward().map_err(|failure| failure.changed("nothing of it was sent"))?;
        stage::over_readers(&cx, &head.name, stage.run(&cx)).await
    };
    let within = tokio::time::timeout(limit, work).await;
    let late = within.is_err();
    let result = within.unwrap_or_else(|_| Err(timed_out(&cx, stage.as_ref(), limit)));
    let result = result.map_err(|failure| at_least(&cx, &head.name, failure));
    let ms = watch.ms();
    if late && stage.writes_target() {
        leave(&cx, stage.as_ref()).await;
    }
    // Still in its turn: what is looked at is what was there when this stage ended.
    let looked = match &result {
        Ok(_) => stage::look(&cx, &workflow.plan, &workflow.stages, stage.as_ref()).await,
        Err(_) => Ok(()),
    };
    drop((turn, alone, present));
    Ended { index, result, ms, looked }
}

/// What a failure says in any case: that what is committed stays, and what to type when nothing has to be put right.
fn at_least(cx: &Cx, stage: &str, mut failure: Failure) -> Failure {
    let committed = cx.with_state(|state| state.stage(stage).status == Status::Committed);
    if failure.changed.is_none() && committed {
        failure =
            failure.changed(format!("`{stage}` is committed and stays so; what follows its COMMIT is not done yet"));
    }
    if failure.next.is_empty() && failure.exit == Exit::Temporary {
        failure = failure.next("then", format!("engine resume {}", cx.run));
    }
    failure
}

/// A session of a stage that ran out of time has not noticed yet, and whoever writes next would meet it. What cannot be
/// settled now is when the run is taken up.
async fn leave(cx: &Cx, stage: &dyn Stage) {
    if cx.with_state(|state| state.stage(&stage.head().name).intent.is_none()) {
        let _ = tokio::time::timeout(FAREWELL, Box::pin(undo::settle(cx, stage))).await;
    }
    // A proof of one that is committed may be at it as well.
    if stage.work().is_some() {
        let _ = tokio::time::timeout(FAREWELL, Box::pin(undo::nobody_left(cx))).await;
    }
}

/// What a stage that ran out of time left behind, by what the journal knows of it.
fn timed_out(cx: &Cx, stage: &dyn Stage, limit: Duration) -> Failure {
    let head = stage.head();
    let what = format!("stage `{}` took longer than its timeout of {limit:?}", head.name);
    let state = cx.with_state(|state| state.stage(&head.name));
    if state.status == Status::Committed {
        return Failure::new(Exit::ProofFailed, what)
            .changed("it is committed and stays so; its proofs did not end in time, so it counts as not proved")
            .next("then", format!("engine resume {}   proves it again", cx.run));
    }
    if let Some((xid, ..)) = state.intent {
        return Failure::new(Exit::Stuck, what)
            .fact(format!("COMMIT of transaction {xid} was sent or about to be; its outcome was not waited for"))
            .changed("it is either wholly there or not at all")
            .next("then", format!("engine resume {}   asks the server what became of it", cx.run));
    }
    if head.kind == "clone" {
        return half_clone(cx, head, Failure::new(Exit::StageFailed, what), &state);
    }
    let changed = match stage.work() {
        Some(work) if work.alone => {
            "its statement was ended; those before it stand, and a resume clears away what is half done"
        }
        Some(work) if work.batch.is_some() => {
            "its batch was ended and rolled back; those before it are committed and stay"
        }
        _ => "its statements were ended and rolled back",
    };
    held_up(Failure::new(Exit::StageFailed, what), &state).changed(changed).next(
        "then",
        format!("raise `timeout` of stage `{}` and run: engine resume {} --accept-changes", head.name, cx.run),
    )
}

/// A clone that ran out of time is left as it is: nobody waits for a DROP then.
fn half_clone(cx: &Cx, head: &Head, failure: Failure, state: &StageState) -> Failure {
    let (stage, on) = (&head.name, head.on.as_deref().unwrap_or_default());
    let (half, made) = cx.with_state(|all| (all.half_made.contains_key(on), all.clones.contains_key(on)));
    let mut changed = match (half, made) {
        (true, _) => format!("the half-made clone `engine_{}` is left; production was only read", cx.run),
        (false, true) => "the clone is made, and not done yet; production was only read".to_owned(),
        (false, false) => "no clone was begun; production was only read".to_owned(),
    };
    if let Some(run) = &state.dropped {
        changed.push_str(&format!("; the clone of run {run}, which was in its place, is gone"));
    }
    let kept = state.half.as_ref().map_or(0, |half| half.finished.len());
    let failure = if kept > 0 { failure.fact(format!("{kept} finished tables can be gone on with")) } else { failure };
    failure
        .changed(changed)
        .next("then", format!("raise `timeout` of stage `{stage}` and run: engine resume {} --accept-changes", cx.run))
        .next("give up", format!("engine drop {}", cx.run))
}

/// With who held up its last statements, as far as the journal knows.
pub(super) fn held_up(failure: Failure, state: &StageState) -> Failure {
    let Some((wanted, blockers)) = &state.stalled else { return failure };
    behind(wanted.as_ref(), blockers)
        .into_iter()
        .fold(failure, |failure, line| failure.fact(format!("was seen: {line}")))
}
