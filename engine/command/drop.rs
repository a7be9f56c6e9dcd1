//! `drop RUN`: disposes of the databases a run made; nothing without its marker is dropped. `drop --golden PLAN`: of the
//! golden copies that a plan names.

use super::{PlanArgs, as_begun, compiled, print};
use crate::event::{Event, Exit, Failure, RunState};
use crate::journal::Home;
use crate::run;

/// Drops a run's clones.
///
/// # Errors
/// A process works on the run (60), or a database is not its own (63).
pub async fn run(home: &Home, word: &str) -> Result<Exit, Failure> {
    let (id, place) = home.find(word)?;
    let _held = place.hold()?;
    let history = place.read()?;
    let state = RunState::of(history.events());
    let Some(Event::RunStarted { plan_path, vars, as_of, .. }) = state.started.clone() else {
        return Err(Failure::new(Exit::InputsChanged, format!("the journal of run {id} is empty")));
    };
    let plan = as_begun(&plan_path, &vars, &as_of);
    let workflow = match compiled(&plan, false)? {
        Ok(workflow) => workflow,
        Err(exit) => return Ok(exit),
    };
    let run::Disposed { dropped, unmarked } = run::drop_clones(&workflow, &state).await?;
    if dropped.is_empty() && unmarked.is_empty() {
        print(&format!("run {id} has no database left\n"));
    }
    for database in &dropped {
        print(&format!("dropped {database}\n"));
    }
    match unmarked.first() {
        None => Ok(Exit::Ok),
        Some(name) => Err(Failure::new(Exit::WrongDatabase, format!("`{name}` carries no marker of this engine"))
            .fact("this run made one of that name; it is another one now, or a run that was killed at once left it so")
            .changed("it was left alone; a database without a marker is never dropped by this verb")
            .next("then", format!("engine resume {id}   makes its clone anew, in place of what it left"))
            .next("or", format!("look into it, and as its owner: DROP DATABASE {name}"))),
    }
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
