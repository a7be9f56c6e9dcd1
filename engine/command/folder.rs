//! A folder that stands for the plans in it: `check plans/`, `render .`, and both sides of `diff`.

use super::{PlanArgs, given};
use crate::compile::Given;
use crate::event::{Exit, Failure};
use crate::plan;
use std::path::{Path, PathBuf};

/// The ending of plans.
const TOML: &str = "toml";

/// Is it called like a plan?
pub(super) fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == TOML)
}

/// `*.toml` of a folder's `plans/`, or of the folder itself, by name.
pub(super) fn plans(folder: &Path) -> Vec<PathBuf> {
    let inner = folder.join("plans");
    let folder = if inner.is_dir() { &inner } else { folder };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut plans: Vec<PathBuf> = entries.filter(|path| path.is_file() && is_toml(path)).collect();
    plans.sort();
    plans
}

/// The variables that a plan declares; of one that cannot be read none. Not asked where none is given.
pub(super) fn variables(path: &Path, given: &Given) -> Vec<String> {
    if given.vars.is_empty() {
        return Vec::new();
    }
    let plan = plan::load(path).map(|(plan, _)| plan);
    plan.map(|plan| plan.vars.into_iter().map(|var| var.name.value).collect()).unwrap_or_default()
}

/// What a word of the command line means: the plan itself, or each plan of a folder with the values that it declares.
///
/// # Errors
/// A variables file that cannot be read, a folder without a plan, or a value for a variable that no plan declares (2).
pub(super) fn spread(args: &PlanArgs) -> Result<Vec<(PlanArgs, Given)>, Failure> {
    let given = given(args)?;
    if !args.plan.is_dir() {
        return Ok(vec![(args.clone(), given)]);
    }
    let plans = plans(&args.plan);
    if plans.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("no plan in `{}`", args.plan.display()))
            .changed("nothing was changed")
            .next("write", "a plan, or a folder with *.toml or with plans/"));
    }
    let declared: Vec<Vec<String>> = plans.iter().map(|path| variables(path, &given)).collect();
    if let Some((name, _)) = given.vars.iter().find(|(name, _)| !declared.iter().any(|known| known.contains(name))) {
        let what = format!("--var {name}: no plan of `{}` declares it", args.plan.display());
        return Err(Failure::new(Exit::Usage, what).changed("nothing was changed"));
    }
    let one = |(plan, declared): (PathBuf, Vec<String>)| {
        let vars = given.vars.iter().filter(|(name, _)| declared.contains(name)).cloned().collect();
        (PlanArgs { plan, ..args.clone() }, Given { vars, ..given.clone() })
    };
    Ok(plans.into_iter().zip(declared).map(one).collect())
}

/// Refuses a folder where one plan is wanted, with what to type instead.
///
/// # Errors
/// It is a folder (2).
pub(super) fn one_plan(args: &PlanArgs, verb: &str) -> Result<(), Failure> {
    if !args.plan.is_dir() {
        return Ok(());
    }
    let plans = plans(&args.plan);
    let what = format!("`{}` is a folder with {} plans: `{verb}` takes one", args.plan.display(), plans.len());
    let failure = Failure::new(Exit::Usage, what).changed("nothing was changed");
    Err(match plans.first() {
        Some(first) => plans
            .iter()
            .fold(failure, |failure, plan| failure.fact(plan.display().to_string()))
            .next("name it", format!("engine {verb} {}", first.display())),
        None => failure.next("name it", format!("engine {verb} PLAN, as in plans/hello.toml")),
    })
}
