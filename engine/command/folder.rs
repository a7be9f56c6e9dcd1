//! A folder that stands for the plans in it: `check plans/`, `render .`, and both sides of `diff`.

use super::{PlanArgs, given, tell};
use crate::compile::Given;
use crate::diag::visible::printable;
use crate::event::{Exit, Failure};
use crate::plan;
use std::path::{Path, PathBuf};

/// The ending of plans.
const TOML: &str = "toml";

/// Is it called like a plan?
pub(super) fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == TOML)
}

/// `*.toml` of a folder's `plans/`, or of the folder itself, by name; of a folder that is not there none. What is called like a
/// plan and cannot be read, a broken link say, is among them: who reads it says what is wrong.
///
/// # Errors
/// The folder cannot be read (1).
pub(super) fn plans(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let folder = held(folder);
    let unread = |e: std::io::Error| {
        Failure::new(Exit::Io, format!("the folder `{}` cannot be read: {e}", folder.display()))
            .changed("nothing was changed")
            .next("look", "at its owner and mode")
    };
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries: Vec<_> = std::fs::read_dir(&folder).and_then(Iterator::collect).map_err(unread)?;
    let paths = entries.into_iter().filter(|entry| !is_mark(&entry.file_name())).map(|entry| entry.path());
    let mut plans: Vec<PathBuf> = paths.filter(|path| is_toml(path) && !path.is_dir()).collect();
    plans.sort();
    Ok(plans)
}

/// What lies one folder below and is called like a plan, by name. Nobody looks at it.
pub(super) fn below(folder: &Path) -> Vec<PathBuf> {
    let inside = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let others = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(may_hold_plans);
    let folders = inside(&held(folder)).filter(others).filter(|path| path.is_dir());
    let mut plans: Vec<PathBuf> = folders.flat_map(|path| inside(&path).filter(|path| is_toml(path))).collect();
    plans.sort();
    plans
}

/// Could somebody mean the plans in a folder of this name to be looked at?
pub(super) fn may_hold_plans(name: &str) -> bool {
    !name.starts_with('.') && !["templates", "sql"].contains(&name)
}

/// Says that plans in subfolders were not looked at, if there are any.
pub(super) fn tell_below(plans: &[String]) {
    if let [first, others @ ..] = plans {
        let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        let first = printable(first, &[]);
        tell(&format!("note: subfolders are not looked at: `{first}`{more}; name the folder itself\n"));
    }
}

/// Where the plans of a folder lie.
fn held(folder: &Path) -> PathBuf {
    let inner = folder.join("plans");
    if inner.is_dir() { inner } else { folder.to_owned() }
}

/// The link to nowhere by which an editor marks a file that is being edited.
fn is_mark(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(".#"))
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
    let plans = plans(&args.plan)?;
    tell_below(&below(&args.plan).iter().map(|path| path.display().to_string()).collect::<Vec<_>>());
    if plans.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("no plan in `{}`", args.plan.display()))
            .changed("nothing was changed")
            .next("write", "a plan, or a folder with *.toml or with plans/"));
    }
    let declared: Vec<Vec<String>> = plans.iter().map(|path| variables(path, &given)).collect();
    if let Some((name, _)) = given.vars.iter().find(|(name, _)| !declared.iter().any(|known| known.contains(name))) {
        let what = format!("{}: no plan of `{}` declares it", given.said(name), args.plan.display());
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
    let plans = plans(&args.plan)?;
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
