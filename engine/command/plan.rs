//! `plan PLAN`: read-only on the targets: identities, readings, guards as they stand, what would run, and its locks.

mod estimate;
mod lint;
mod preview;
mod production;
pub(crate) mod saved;
mod screen;

pub use preview::Preview;

use super::{PlanArgs, compiled, print, tell};
use crate::clock;
use crate::compile::Workflow;
use crate::event::{Exit, Failure};
use crate::name;
use crate::run;
use std::path::PathBuf;

/// What is to be previewed, and how.
#[derive(Clone, Debug)]
pub struct Args {
    /// The plan.
    pub plan: PlanArgs,
    /// One document on stdout.
    pub json: bool,
    /// Keep it in this file.
    pub output: Option<PathBuf>,
    /// Probes whose reading must be the same when the file is applied.
    pub pin: Vec<String>,
    /// All that can be read before the run.
    pub pin_all: bool,
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
    let pinned = pinned(args, &workflow)?;
    let binding = run::bind(&workflow).await?;
    let preview = preview::take(&workflow, &binding, &date, pinned).await?;
    if let Some(path) = &args.output {
        saved::write(path, &preview)?;
        let file = path.display();
        tell(&format!("kept in {file}; this and nothing else runs by: engine apply {file}\n"));
    }
    if args.json {
        print(&format!("{}\n", serde_json::to_string(&preview).expect("invariant: plain data")));
    } else {
        print(&screen::draw(&preview));
    }
    Ok(exit_of(&preview))
}

/// The probes to pin: those on targets that are there before the run.
fn pinned(args: &Args, workflow: &Workflow) -> Result<Vec<String>, Failure> {
    let clone = |target: &str| workflow.plan.target(target).is_none_or(|target| target.clone_of.is_some());
    if args.pin_all {
        return Ok(workflow.probes.values().filter(|q| !clone(&q.target)).map(|q| q.name.clone()).collect());
    }
    let refuse = |why: String| Failure::new(Exit::Usage, why).changed("nothing was changed");
    for probe in &args.pin {
        let Some(query) = workflow.probes.get(probe) else {
            let failure = refuse(format!("--pin {probe}: this plan has no such probe"));
            let near = name::nearest(probe, workflow.probes.keys().map(String::as_str));
            return Err(near.map_or(failure.clone(), |near| failure.next("did you mean", format!("--pin {near}"))));
        };
        if clone(&query.target) {
            let why =
                format!("--pin {probe}: it reads the clone `{}`, which is not there before the run", query.target);
            return Err(refuse(why));
        }
    }
    Ok(args.pin.clone())
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
