//! `check PLAN...`: everything that can be known without a database, all problems in one go.

use super::{PlanArgs, compiled, print};
use crate::compile;
use crate::event::{Exit, Failure};

/// Checks plans.
///
/// # Errors
/// A variables file that cannot be read.
pub fn run(plans: &[PlanArgs], json: bool) -> Result<Exit, Failure> {
    let mut exit = Exit::Ok;
    for args in plans {
        match compiled(args, json)? {
            Err(invalid) => exit = exit.worse(invalid),
            Ok(workflow) => {
                let stale = if workflow.lock_dir.is_dir() {
                    compile::stale(&workflow.lock_dir, &workflow.lock)?
                } else {
                    Vec::new()
                };
                let lock = match (workflow.lock_dir.is_dir(), stale.len()) {
                    (false, _) => "no lock yet: engine render".to_owned(),
                    (true, 0) => "lock fresh".to_owned(),
                    (true, n) => format!("lock STALE in {n} files: engine render {}", args.plan.display()),
                };
                if !stale.is_empty() {
                    exit = exit.worse(Exit::LockStale);
                }
                if json {
                    let line = serde_json::json!({ "v": 1, "type": "checked", "plan": args.plan, "stale": stale });
                    print(&format!("{line}\n"));
                } else {
                    print(&format!(
                        "{}: ok, {}, {}, {lock}\n",
                        args.plan.display(),
                        count(workflow.plan.stages.len(), "stage"),
                        count(workflow.plan.probes.len(), "probe")
                    ));
                }
            }
        }
    }
    Ok(exit)
}

fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
