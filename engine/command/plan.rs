//! `plan PLAN`: read-only on the targets: identities, readings, guards as they stand, what would run, and its locks.

mod estimate;
mod preview;
mod production;
mod screen;

pub use preview::Preview;

use super::{PlanArgs, compiled, print};
use crate::clock;
use crate::event::{Exit, Failure};
use crate::run;

/// What is to be previewed, and how.
#[derive(Clone, Debug)]
pub struct Args {
    /// The plan.
    pub plan: PlanArgs,
    /// One document on stdout.
    pub json: bool,
}

/// Shows what a plan would do now.
///
/// # Errors
/// A target cannot be reached.
pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let date = args.plan.date.clone().unwrap_or_else(clock::today);
    let plan = PlanArgs { date: Some(date.clone()), ..args.plan.clone() };
    let workflow = match compiled(&plan, false)? {
        Ok(workflow) => workflow,
        Err(exit) => return Ok(exit),
    };
    let binding = run::bind(&workflow).await?;
    let preview = preview::take(&workflow, &binding, &date, Vec::new()).await?;
    if args.json {
        print(&format!("{}\n", serde_json::to_string(&preview).expect("invariant: plain data")));
    } else {
        print(&screen::draw(&preview));
    }
    Ok(exit_of(&preview))
}

/// 30 or 31 when a guard that can be read now does not hold. Gates do not count: a preview authorises nothing.
fn exit_of(preview: &Preview) -> Exit {
    let guards = preview.stages.iter().flat_map(|stage| &stage.guards);
    guards.fold(Exit::Ok, |exit, guard| match guard.state.as_str() {
        "block" => exit.worse(Exit::Blocked),
        "not evaluable" => exit.worse(Exit::NotEvaluable),
        _ => exit,
    })
}
