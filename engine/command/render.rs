//! `render PLAN [--check]`: writes the lock under `sql/<plan>/`, or says whether it is fresh. A folder is all plans in it.

use super::{PlanArgs, draw, folder, print, tell};
use crate::compile::{self, Given};
use crate::diag::visible::printable;
use crate::event::{Exit, Failure};
use crate::render::lock;
use std::path::Path;

/// Renders a plan, or all plans of a folder.
///
/// # Errors
/// The lock cannot be read or written; a variables file cannot be read.
pub fn run(args: &PlanArgs, only_check: bool, json: bool) -> Result<Exit, Failure> {
    let plans = folder::spread(args)?;
    let mut exit = Exit::Ok;
    for (args, given) in &plans {
        exit = exit.worse(one(args, given, only_check, json)?);
    }
    Ok(exit)
}

fn one(args: &PlanArgs, given: &Given, only_check: bool, json: bool) -> Result<Exit, Failure> {
    let workflow = match compile::workflow(&args.plan, given) {
        Ok(workflow) => workflow,
        Err(problems) => {
            draw(&problems, json);
            return Ok(Exit::PlanInvalid);
        }
    };
    draw(&workflow.warnings, json);
    let dir = workflow.lock_dir.display().to_string();
    if only_check {
        let stale = compile::stale(&workflow.lock_dir, &workflow.lock)?;
        if stale.is_empty() {
            print(&format!("{dir}: fresh, {} files\n", workflow.lock.len()));
            return Ok(Exit::Ok);
        }
        tell(&stale_text(&workflow.lock_dir, &stale, &args.plan.display().to_string()));
        return Ok(Exit::LockStale);
    }
    lock::write(&workflow.lock_dir, &workflow.lock)
        .map_err(|e| Failure::new(Exit::Io, format!("the lock {dir} cannot be written: {e}")))?;
    print(&format!("{dir}: {} files\n", workflow.lock.len()));
    Ok(Exit::Ok)
}

/// What a stale lock says, or one that is not there.
pub(super) fn stale_text(dir: &Path, stale: &[String], plan: &str) -> String {
    let lines: String = stale.iter().map(|s| format!("  {}\n", printable(s, &[]))).collect();
    let plan = printable(plan, &[]);
    let dir_is = if dir.is_dir() { "is stale" } else { "is not there" };
    format!(
        "the lock {} {dir_is}: what was reviewed is not what would run\n{lines}\nnothing was changed\n  then  engine render {plan}   and have the difference reviewed\n",
        dir.display()
    )
}
