//! Rolling a run back on its clones: the rollbacks of its committed stages, last one first, each committed once.
//!
//! What depends on an undone stage waits to be run again; `resume` runs it. A rollout is never undone here.

use super::drive::held_up;
use super::life::{Ended, Options, Resumption, TakenUp, end, stages, take_up};
use super::signals;
use crate::clock::Stopwatch;
use crate::compile::Workflow;
use crate::event::{Event, Exit, Failure, RunState, Status};
use crate::journal::{History, Place};
use crate::name;
use crate::proof::Work;
use crate::stage::{Cx, Stage, undo};
use std::sync::Arc;
use std::time::Duration;

/// Undoes what a run committed on its clones, back to `to` and not over it, or all of it. A failure of a stage is in the
/// journal, and the last of what is answered.
///
/// # Errors
/// Before anything was undone: `to` is not done (2), a rollout lies on the way (50), and all that keeps a run from being
/// taken up again (60, 62, 63).
pub async fn rollback(
    workflow: Workflow,
    place: Place,
    history: History,
    to: Option<&str>,
    how: Resumption,
    options: &Options,
) -> Result<(Ended, Option<Failure>), Failure> {
    let state = RunState::of(history.events());
    if let Some(to) = to {
        refuse_unknown(&workflow, &state, to)?;
    }
    refuse_rollouts(&workflow, &state, to)?;
    refuse_under_way(&workflow, &state, to)?;
    refuse_astride(&state, to)?;
    let typed = rest(to);
    let verb = ("rollback", typed.as_str());
    let TakenUp { workflow, cx, .. } = &take_up(workflow, place, &history, how, options, verb).await?;
    let watch = Stopwatch::start();
    let back = Back { workflow, cx, to };
    let mut way = Way::default();
    let ended = match signals::unless_it_comes(back.all(&mut way)).await {
        Ok(ended) => ended.map(|()| None),
        Err(cut) => Ok(Some(cut)),
    };
    let Way { at, undone, compared } = way;
    let count = stages(undone.len());
    let (verdict, failure) = match ended {
        Ok(None) if undone.is_empty() && state.ended.is_some() => {
            let said = said(to, &undone, &compared);
            return nothing_undone(workflow, cx, watch.ms(), history, said).await;
        }
        Ok(None) => ((Exit::Ok, said(to, &undone, &compared), Vec::new()), None),
        Ok(Some((exit, silent))) => {
            signals::interrupted(cx, exit, left_of(workflow, cx, at.as_deref(), silent))?;
            ((exit, format!("interrupted: {count} undone, and stay so"), Vec::new()), None)
        }
        Err(failure) => {
            let left = back.left().into_iter().partition(|name| back.may_be_undone(name));
            let failure = cx.hide_failure(told(failure, &undone, &left));
            let word = if failure.exit == Exit::Stuck { "stuck" } else { "failed" };
            let verdict = format!("{word}: {count} undone, then: {}", failure.what);
            ((failure.exit, verdict, vec![failure.what.clone()]), Some(failure))
        }
    };
    Ok((end(workflow, cx, verdict, watch.ms(), history).await?, failure))
}

/// What was typed behind the run's id: the same command without it would undo everything.
fn rest(to: Option<&str>) -> String {
    to.map_or_else(String::new, |to| format!(" --to {to}"))
}

/// Stages whose rollback a process that died had begun: undone if it was committed, given up else.
///
/// # Errors
/// Nobody can say (50), or the server's.
pub(super) async fn finish_pending(workflow: &Workflow, cx: &Cx) -> Result<(), Failure> {
    for (index, stage) in workflow.stages.iter().enumerate() {
        if undo::is_begun(cx, &stage.head().name) {
            undo::finish(cx, stage.as_ref(), &again(workflow, cx, index)).await?;
        }
    }
    Ok(())
}

/// What a signal left of rollbacks that are under way, and of that of `at`, which may not have sent anything.
pub(super) fn left_of(workflow: &Workflow, cx: &Cx, at: Option<&str>, silent: usize) -> Vec<String> {
    let alone = |stage: &dyn Stage| stage.work().is_some_and(|work| work.alone);
    let stages = workflow.stages.iter().map(|stage| (stage.head().name.as_str(), alone(stage.as_ref())));
    cx.with_state(|state| {
        let under_way = |(name, _): &(&str, bool)| at == Some(*name) || state.stage(name).undo.is_some();
        let under_way: Vec<(&str, bool)> = stages.filter(under_way).collect();
        signals::left_back(state, &under_way, silent)
    })
}

/// What depends on a stage, directly or not, has begun, and does not stand: what is committed is undone before it, or its clone
/// would hold what nobody knows of.
fn again(workflow: &Workflow, cx: &Cx, index: usize) -> Vec<String> {
    let names = workflow.plan.graph.all_downstream(index).into_iter();
    let names = names.map(|below| workflow.plan.stages[below].name.value.clone());
    let waits = |name: &String| {
        cx.with_state(|state| {
            let known = state.stage(name);
            known.status != Status::Waiting && !known.committed
        })
    };
    names.filter(waits).collect()
}

/// How far it got.
#[derive(Default)]
struct Way {
    /// The stage whose rollback is under way.
    at: Option<String>,
    undone: Vec<String>,
    /// Fingerprints that a clone is equal to again.
    compared: Vec<String>,
}

struct Back<'b> {
    workflow: &'b Workflow,
    cx: &'b Cx,
    to: Option<&'b str>,
}

impl Back<'_> {
    async fn all(&self, way: &mut Way) -> Result<(), Failure> {
        for stage in &self.workflow.stages {
            undo::settle_aloud(self.cx, stage.as_ref()).await?;
        }
        undo::nobody_left(self.cx).await?;
        // One of which nobody had known it may have turned out to be committed.
        self.cx.with_state(|state| refuse_rollouts(self.workflow, state, self.to))?;
        let left = self.left();
        self.cx.record(Event::RollbackBegun { to: self.to.map(str::to_owned), stages: left.clone() })?;
        for name in left {
            let index = self.workflow.index(&name).ok_or_else(|| gone(&name))?;
            let watch = Stopwatch::start();
            way.at = Some(name.clone());
            if let Err(failure) = Box::pin(self.one(index)).await {
                let stage = name;
                let (settled, ms) = (false, watch.ms());
                // Of one that is in no transaction some may be undone: it stays under way, and is gone on with.
                let begun = self.cx.with_state(|state| state.stage(&stage).undo.is_some());
                if !begun || !self.workflow.stages[index].work().is_some_and(|work| work.alone) {
                    self.cx.record(Event::UndoFailed { stage, failure: failure.clone(), settled, ms })?;
                }
                return Err(failure);
            }
            way.undone.extend(way.at.take());
        }
        self.compare(&mut way.compared).await
    }

    /// One stage, within its time.
    async fn one(&self, index: usize) -> Result<(), Failure> {
        self.cx.alone()?;
        let stage = self.workflow.stages[index].as_ref();
        let name = stage.head().name.as_str();
        let reasons = self.workflow.briefs.iter().find(|brief| brief.name == name).map(|brief| &brief.reasons);
        let reason = reasons.and_then(|reasons| reasons.iter().find(|reason| reason.starts_with("no rollback: ")));
        let again = again(self.workflow, self.cx, index);
        let limit = stage.head().timeout;
        let mut work =
            std::pin::pin!(tokio::time::timeout(limit, undo::undo(self.cx, stage, &again, reason.map(String::as_str))));
        let mut heartbeat = tokio::time::interval(Duration::from_secs(20));
        loop {
            tokio::select! {
                ended = &mut work => return ended.unwrap_or_else(|_| Err(self.timed_out(name, limit))),
                // An empty text: nothing new, and still at work.
                _ = heartbeat.tick() => self.cx.say(name, ""),
            }
        }
    }

    fn timed_out(&self, name: &str, limit: Duration) -> Failure {
        let what = format!("the rollback of `{name}` took longer than its timeout of {limit:?}");
        let state = self.cx.with_state(|state| state.stage(name));
        let undo = state.undo.clone().unwrap_or_default();
        if undo.intent.is_some() || undo.committed {
            return Failure::new(Exit::Stuck, what).changed("it is either wholly undone or not at all").next(
                "then",
                format!("engine rollback {}{}   asks the server what became of it", self.cx.run, rest(self.to)),
            );
        }
        let alone = self.workflow.index(name).and_then(|index| self.workflow.stages[index].work());
        let alone = alone.is_some_and(|work| work.alone);
        held_up(Failure::new(Exit::StageFailed, what), &state)
            .changed(if alone {
                "its statement was ended; those before it are in no transaction and stand"
            } else {
                "its statements were ended and rolled back"
            })
            .next(
                "then",
                format!(
                    "raise `timeout` of `{name}`, and: engine rollback {}{} --accept-changes",
                    self.cx.run,
                    rest(self.to)
                ),
            )
    }

    /// Stages on clones that come after `to`, last one first: those that are in no transaction and were stopped half way,
    /// which nothing can rest on, and the committed ones.
    fn left(&self) -> Vec<String> {
        let mut left = self.half_done();
        left.extend(self.committed());
        left
    }

    fn half_done(&self) -> Vec<String> {
        let (cx, stages) = (self.cx, self.workflow.stages.iter().map(AsRef::as_ref));
        let half = |stage: &&dyn Stage| self.on_clone(&stage.head().name) && undo::is_half_done(cx, *stage);
        let mut half: Vec<String> = stages.filter(half).map(|stage| stage.head().name.clone()).collect();
        // One that the plan has no more must not be passed over either.
        let known: Vec<String> = cx.with_state(|state| state.stages.keys().cloned().collect());
        half.extend(known.into_iter().filter(|name| self.workflow.index(name).is_none() && undo::is_left(cx, name)));
        half.sort_by_key(|name| std::cmp::Reverse(cx.with_state(|state| state.stage(name).attempt_at)));
        half
    }

    fn committed(&self) -> Vec<String> {
        self.cx.with_state(|state| {
            let after = behind(state, self.to);
            let undoable = |name: &&String| state.stage(name).committed && self.on_clone(name);
            state.order[after..].iter().rev().filter(undoable).cloned().collect()
        })
    }

    /// COMMIT of its rollback was sent or about to be, and what became of it nobody has said.
    fn may_be_undone(&self, name: &str) -> bool {
        let undo = self.cx.with_state(|state| state.stage(name).undo);
        undo.is_some_and(|undo| undo.committed || undo.intent.is_some())
    }

    fn on_clone(&self, name: &str) -> bool {
        let stage = self.workflow.index(name).map(|index| self.workflow.stages[index].head());
        // A stage that is not in the plan any more: it cannot be undone, and must not be passed over.
        stage.is_none_or(|head| head.kind == "sql" && head.on.as_deref().is_some_and(|on| self.cx.targets.is_clone(on)))
    }

    /// Where a clone is back at a fingerprint, it is compared with it.
    async fn compare(&self, compared: &mut Vec<String>) -> Result<(), Failure> {
        for on in self.cx.targets.clones.keys() {
            let of_clone = |stage: &&dyn Stage| stage.head().on.as_deref() == Some(on.as_str());
            let here: Vec<&dyn Stage> = self.workflow.stages.iter().map(AsRef::as_ref).filter(of_clone).collect();
            let Some(baseline) = self.cx.with_state(|state| last_look(state, &here)) else { continue };
            let waiting = |stage: &&&dyn Stage| !self.cx.with_state(|state| state.stage(&stage.head().name).committed);
            let works: Vec<Arc<Work>> = here.iter().filter(waiting).filter_map(|stage| stage.work()).collect();
            if undo::compare(self.cx, &baseline, on, &works).await.map_err(|failure| self.unequal(failure))? {
                compared.push(baseline);
            }
        }
        Ok(())
    }

    fn unequal(&self, failure: Failure) -> Failure {
        if failure.exit != Exit::ProofFailed {
            return failure;
        }
        failure
            .next(
                "then",
                format!("engine drop {}   and apply the plan again: a new clone is the way back", self.cx.run),
            )
            .next("and", "correct the rollback that leaves this behind; `prove = [\"reversible\"]` shows which")
    }
}

/// The fingerprint of a clone that nothing has been committed on since.
fn last_look(state: &RunState, here: &[&dyn Stage]) -> Option<String> {
    let kind = |name: &str| here.iter().find(|stage| stage.head().name == name).map(|stage| stage.head().kind);
    let since = state.order.iter().rev().take_while(|name| !state.stage(name).committed || kind(name) != Some("sql"));
    since.filter(|name| kind(name) == Some("fingerprint") && state.is_done(name)).last().cloned()
}

/// Where in the order of commits what comes after `to` begins.
fn behind(state: &RunState, to: Option<&str>) -> usize {
    to.and_then(|to| state.order.iter().position(|name| name == to)).map_or(0, |at| at + 1)
}

/// A rollback that was stopped, of a stage that is not to be gone over: it may be undone, or half undone, and would be called
/// one that stands.
fn refuse_under_way(workflow: &Workflow, state: &RunState, to: Option<&str>) -> Result<(), Failure> {
    let alone =
        |name: &str| workflow.index(name).and_then(|at| workflow.stages[at].work()).is_some_and(|work| work.alone);
    let may_stand = |name: &&String| {
        let undo = state.stage(name).undo;
        undo.is_none_or(|undo| !undo.committed && undo.intent.is_none() && !alone(name))
    };
    let (Some(to), before) = (to, &state.order[..behind(state, to)]) else { return Ok(()) };
    let Some(name) = before.iter().find(|name| !may_stand(name)) else { return Ok(()) };
    let run = &state.run;
    Err(Failure::new(
        Exit::Usage,
        format!("--to {to}: a rollback of `{name}` was stopped, and has to be gone on with first"),
    )
    .changed("nothing was changed")
    .next("then", format!("engine rollback {run}   goes on back, over `{name}` and all before it"))
    .next("or", format!("engine resume {run}   brings it to an end, and goes forward from there")))
}

/// A stage in batches that had begun before `to` and went on behind it: part of it came after, and it goes back as a whole or
/// not at all.
fn refuse_astride(state: &RunState, to: Option<&str>) -> Result<(), Failure> {
    let Some(to) = to else { return Ok(()) };
    let (before, of_to) = (&state.order[..behind(state, Some(to)) - 1], state.stage(to).committed_at);
    let astride = |name: &&String| state.stage(name).committed && state.stage(name).committed_at > of_to && of_to > 0;
    let Some(at) = before.iter().position(|name| astride(&name)) else { return Ok(()) };
    let (name, run) = (&before[at], &state.run);
    let failure =
        Failure::new(Exit::Usage, format!("--to {to}: `{name}` began before it, and committed batches after it"))
            .changed("nothing was changed");
    let failure = match at.checked_sub(1).map(|earlier| &before[earlier]) {
        Some(earlier) => failure.next("then", format!("engine rollback {run} --to {earlier}   goes back over both")),
        None => failure,
    };
    Err(failure.next("or", format!("engine rollback {run} --to {name}   goes back over what began after it")))
}

fn refuse_unknown(workflow: &Workflow, state: &RunState, to: &str) -> Result<(), Failure> {
    let why = if workflow.index(to).is_none() {
        "this plan has no such stage"
    } else if !state.order.iter().any(|name| name == to) {
        "it is not done in this run, so there is no going back to it"
    } else {
        return Ok(());
    };
    let failure = Failure::new(Exit::Usage, format!("--to {to}: {why}")).changed("nothing was changed");
    let failure = if state.order.is_empty() {
        failure
    } else {
        failure.fact(format!("done, in this order: {}", state.order.join(", ")))
    };
    let near = name::nearest(to, state.order.iter().map(String::as_str)).or(state.order.last().map(String::as_str));
    Err(match near {
        Some(stage) => {
            failure.next("then", format!("engine rollback {} --to {stage}   or to another of these", state.run))
        }
        None => failure.next("then", format!("engine resume {}   nothing is done yet", state.run)),
    })
}

/// What was applied to a target that is no clone is undone by its people.
fn refuse_rollouts(workflow: &Workflow, state: &RunState, to: Option<&str>) -> Result<(), Failure> {
    let rolled_out = |stage: &&dyn Stage| {
        let (name, known) = (&stage.head().name, state.stage(&stage.head().name));
        let after = state.order[behind(state, to)..].contains(name);
        stage.head().kind == "rollout" && known.committed && after
    };
    let Some(stage) = workflow.stages.iter().map(AsRef::as_ref).find(rolled_out) else { return Ok(()) };
    let (name, run) = (&stage.head().name, &state.run);
    let known = state.stage(name);
    let on = stage.head().on.as_deref().unwrap_or_default();
    let packet = known.opened.as_deref().map(crate::digest::short).unwrap_or_default().to_owned();
    let what = format!("`{name}` rolled out to `{on}`, which is no clone: this verb never undoes that");
    Err(Failure::new(Exit::Stuck, what)
        .changed("nothing was changed")
        .next("undo it", format!(".engine/packets/packet-{packet}/rollback.sql, by the owner of `{on}`, with psql"))
        .next("or", format!("engine rollback {run} --to STAGE   stops before a stage that came after the rollout")))
}

fn gone(name: &str) -> Failure {
    Failure::new(Exit::InputsChanged, format!("what stage `{name}` did stands, and the plan has it no more"))
        .next("then", "put it back into the plan, with its rollback")
}

/// What the run came to before stays what it came to.
async fn nothing_undone(
    workflow: &Workflow,
    cx: &Cx,
    ms: u64,
    history: History,
    said: String,
) -> Result<(Ended, Option<Failure>), Failure> {
    let Some(Event::RunEnded { exit, verdict, reasons, .. }) = RunState::of(history.events()).ended else {
        return Ok((end(workflow, cx, (Exit::Ok, said, Vec::new()), ms, history).await?, None));
    };
    let mut ended = end(workflow, cx, (exit, verdict, reasons), ms, history).await?;
    ended.notes.insert(0, said);
    // That the run had failed before is no failure of this command; a signal is.
    if ended.exit == exit {
        ended.exit = signals::first().unwrap_or(Exit::Ok);
    }
    Ok((ended, None))
}

/// `rolled back to `a`: 2 stages undone, equal to `base``.
fn said(to: Option<&str>, undone: &[String], compared: &[String]) -> String {
    let back = to.map_or("rolled back".to_owned(), |to| format!("rolled back to `{to}`"));
    let count = if undone.is_empty() {
        "nothing was left to undo".to_owned()
    } else {
        format!("{} undone", stages(undone.len()))
    };
    let equal: Vec<String> = compared.iter().map(|name| format!("the clone is equal to `{name}`")).collect();
    let equal =
        if equal.is_empty() { "not compared: no fingerprint was taken there".to_owned() } else { equal.join(", ") };
    format!("{back}: {count}, {equal}")
}

/// The failure, and exactly what is undone, of what that is not known, and what is not.
fn told(failure: Failure, undone: &[String], (unknown, left): &(Vec<String>, Vec<String>)) -> Failure {
    let names = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut said: Vec<String> = failure.changed.iter().cloned().collect();
    said.push(match undone {
        [] => "nothing was undone".to_owned(),
        undone => format!("undone, and stay so: {}", names(undone)),
    });
    if !unknown.is_empty() {
        said.push(format!("whether it is undone is asked again by the same command: {}", names(unknown)));
    }
    if !left.is_empty() {
        said.push(format!("not undone: {}", names(left)));
    }
    failure.changed(said.join("; "))
}
