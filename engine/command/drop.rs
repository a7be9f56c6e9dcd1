//! `drop RUN`: disposes of the databases a run made; nothing without its marker is dropped. `drop --golden PLAN`: of the
//! golden copies that a plan names.

use super::{PlanArgs, as_begun, compiled, kept_plan, print, tell};
use crate::compile::{self, Workflow};
use crate::event::{Event, Exit, Failure, RunState};
use crate::journal::{History, Home, Place};
use crate::run;

/// Drops a run's clones.
///
/// # Errors
/// A process works on the run (60), or a database is not its own (63).
pub async fn run(home: &Home, word: &str) -> Result<Exit, Failure> {
    home.demand_meant(word)?;
    let (id, place) = home.find(word)?;
    let _held = place.hold()?;
    let history = place.read()?;
    let state = RunState::of(history.events());
    let Some(Event::RunStarted { plan_path, vars, as_of, date, .. }) = state.started.clone() else {
        return Err(Failure::new(Exit::InputsChanged, format!("the journal of run {id} is empty")));
    };
    let workflow = match plan_of(&place, &as_begun(&plan_path, &vars, &as_of, date.as_deref()))? {
        Ok(workflow) => workflow,
        Err(exit) => return Ok(exit),
    };
    let run::Disposed { dropped, unmarked } = run::drop_clones(&workflow, &history, &state).await?;
    if dropped.is_empty() && unmarked.is_empty() {
        print(&format!("run {id} has no database left\n"));
    }
    for database in &dropped {
        print(&format!("dropped {database}\n"));
    }
    write_down(&place, &history, &state, &dropped)?;
    match unmarked.first() {
        None => Ok(Exit::Ok),
        Some(name) => Err(Failure::new(Exit::WrongDatabase, format!("`{name}` carries no marker of this engine"))
            .fact("this run made one of that name; it is another one now, or a run that was killed at once left it so")
            .changed("it was left alone; a database without a marker is never dropped by this verb")
            .next("then", format!("engine resume {id}   makes its clone anew, in place of what it left"))
            .next("or", format!("look into it, and as its owner: DROP DATABASE {name}"))),
    }
}

/// The run's plan as it is now; or as the run's folder keeps it, when that one is gone or wrong. Only its targets are needed.
fn plan_of(place: &Place, args: &PlanArgs) -> Result<Result<Workflow, Exit>, Failure> {
    let as_kept = || -> Option<Workflow> {
        let folder = place.kept().ok()?;
        let plan = kept_plan(&folder.dir, &args.plan.to_string_lossy());
        compile::workflow(&plan, &super::given(args).ok()?).ok()
    };
    match compile::workflow(&args.plan, &super::given(args)?) {
        Ok(workflow) => Ok(Ok(workflow)),
        Err(problems) => Ok(as_kept().ok_or_else(|| {
            super::draw(&problems, false);
            Exit::PlanInvalid
        })),
    }
}

/// Whoever reads the journal later must know that the clone is gone: nothing can be resumed on it.
fn write_down(place: &Place, history: &History, state: &RunState, dropped: &[String]) -> Result<(), Failure> {
    let gone = |event: &&Event| matches!(event, Event::CloneMade { database, .. } if dropped.contains(database));
    let gone: Vec<&Event> = state.clones.values().filter(gone).collect();
    if gone.is_empty() {
        return Ok(());
    }
    let untold = |mut failure: Failure| {
        failure.next.retain(|(word, _)| word == "make room");
        failure.changed("its databases are dropped, which its journal does not say")
    };
    // A line in a journal that may have lost some would hide that from a resume.
    if let Err(failure) = place.same_server(false, "engine drop").and_then(|_| place.demand_noted(history)) {
        tell(&format!("note: its journal is not told: {}\n", failure.what));
        return Ok(());
    }
    let journal = place.reopen(history).map_err(untold)?;
    if history.torn_bytes > 0 {
        let (host, pid, torn) = (crate::name::process::host(), std::process::id(), Some(history.torn_bytes));
        let (accepted, inputs, stages, briefs) = Default::default();
        journal.append(Event::RunResumed { host, pid, torn, accepted, inputs, stages, briefs }).map_err(untold)?;
    }
    let mut names = Vec::new();
    for event in gone {
        let Event::CloneMade { stage, database, .. } = event else { continue };
        let (stage, database, run) = (stage.clone(), database.clone(), state.run.clone());
        names.push(format!("`{database}`"));
        journal.append(Event::CloneDropped { stage, database, run }).map_err(untold)?;
    }
    let (exit, before, reasons, ms) = match &state.ended {
        Some(Event::RunEnded { exit, verdict, reasons, ms }) => (*exit, verdict.as_str(), reasons.clone(), *ms),
        _ => (Exit::Interrupted, "ended without a farewell", Vec::new(), 0),
    };
    let verdict = format!("{before}; then its clone {} was dropped", names.join(", "));
    journal.append(Event::RunEnded { exit, verdict, reasons, ms }).map_err(untold)?;
    Ok(())
}

/// Drops the golden copies that a plan names.
///
/// # Errors
/// A database of that name is no golden copy (63), or a run uses it (60).
pub async fn golden(plan: &PlanArgs) -> Result<Exit, Failure> {
    let workflow = match compiled(plan, false)? {
        Ok(workflow) => workflow,
        Err(exit) => return Ok(exit),
    };
    if workflow.plan.targets.iter().all(|target| target.golden.is_none()) {
        return Err(Failure::new(Exit::Usage, format!("`{}` names no golden copy", plan.plan.display()))
            .changed("nothing was changed")
            .next("then", "the plan whose clone target has the key `golden`: engine drop --golden PLAN")
            .next("or", "engine drop RUN   for what a run made"));
    }
    for (name, dropped) in run::drop_golden(&workflow).await? {
        print(&if dropped { format!("dropped {name}\n") } else { format!("there is no golden copy {name}\n") });
    }
    Ok(Exit::Ok)
}
