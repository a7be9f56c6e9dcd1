//! `gc PLAN`: clones on the plan's servers, and what becomes of each: expired and unused ones are dropped.

use super::{PlanArgs, compiled, print};
use crate::event::{Exit, Failure};
use crate::run::{self, Fate, Old};

/// Drops what has expired, or with `dry_run` only says what would be.
///
/// # Errors
/// A server cannot be reached.
pub async fn run(args: &PlanArgs, dry_run: bool, json: bool) -> Result<Exit, Failure> {
    let workflow = match compiled(args, json)? {
        Ok(workflow) => workflow,
        Err(exit) => return Ok(exit),
    };
    if workflow.plan.targets.iter().all(|target| target.clone_of.is_none()) {
        return Err(Failure::new(Exit::Usage, format!("`{}` makes no clone", args.plan.display()))
            .changed("nothing was changed")
            .next(
                "then",
                "engine gc PLAN   with a plan whose target has `clone_of`: its `maker_url` says where to look",
            ));
    }
    let mut all = Vec::new();
    let ended = run::gc(&workflow, dry_run, &mut all).await;
    // What is gone is said, however it ended.
    let listed = list(args, &all, dry_run, json);
    match ended {
        Ok(()) => Ok(listed),
        Err(failure) if all.iter().any(|old| old.fate == Fate::Dropped) && !dry_run => {
            Err(failure.changed("what is listed as dropped is gone"))
        }
        Err(failure) => Err(failure),
    }
}

fn list(args: &PlanArgs, all: &[Old], dry_run: bool, json: bool) -> Exit {
    let failed = all.iter().any(|old| matches!(old.fate, Fate::Failed(_)));
    let exit = if failed { Exit::Io } else { Exit::Ok };
    if json {
        for old in all {
            print(&format!("{}\n", as_json(old, dry_run)));
        }
        return exit;
    }
    if all.is_empty() {
        print("there is no database of this engine\n");
    }
    let width = all.iter().map(|old| old.found.name.chars().count()).max().unwrap_or(0);
    for old in all {
        let made = old.found.marker.as_ref().map_or(String::new(), |marker| {
            let day = marker.created.get(..10).unwrap_or("");
            format!("  run {} of {}, {day}", marker.run, marker.plan)
        });
        let fate = match &old.fate {
            Fate::Dropped if dry_run => "expired and unused, would be dropped".to_owned(),
            Fate::Dropped => "expired and unused, dropped".to_owned(),
            Fate::Kept(why) => format!("kept: {why}"),
            Fate::Failed(why) => format!("COULD NOT BE DROPPED: {why}"),
        };
        print(&format!("{:<width$}{made}  {fate}\n", old.found.name));
    }
    let gone = all.iter().filter(|old| old.fate == Fate::Dropped).count();
    if dry_run && gone > 0 {
        print(&format!("next  engine gc {}\n", args.plan.display()));
    }
    exit
}

fn as_json(old: &Old, dry_run: bool) -> serde_json::Value {
    let (fate, why) = match &old.fate {
        Fate::Dropped if dry_run => ("would be dropped", None),
        Fate::Dropped => ("dropped", None),
        Fate::Kept(why) => ("kept", Some(why)),
        Fate::Failed(why) => ("failed", Some(why)),
    };
    serde_json::json!({
        "v": 1, "type": "old_clone", "database": old.found.name, "oid": old.found.oid, "marker": old.found.marker,
        "sessions": old.found.sessions, "fate": fate, "why": why,
    })
}
