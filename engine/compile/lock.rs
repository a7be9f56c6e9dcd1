//! The lock: the committed rendering of a plan under `sql/<plan>/`, so that a reviewer reads what would run.

use crate::event::{Exit, Failure};
use crate::guard::Check;
use crate::plan::Plan;
use crate::probe::Query;
use crate::render::lock::{self, LockDifference, LockFile};
use crate::stage::Stage;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a plan's lock lives.
pub fn lock_dir(root: &Path, plan: &str) -> PathBuf {
    root.join("sql").join(plan)
}

/// `predicates.sql`: probes, gates, guards and ensures, each under its address.
pub fn predicates(
    plan: &Plan,
    probes: &BTreeMap<String, Query>,
    stages: &[Box<dyn Stage>],
    gates: &BTreeMap<String, Vec<Check>>,
) -> LockFile {
    let mut text = format!("-- Probes and predicates of {}, as sent.\n", plan.name);
    for (name, query) in probes {
        text.push_str(&format!("\n-- probe.{name} on {}\n{};\n", query.target, query.sql));
    }
    let mut add = |address: String, checks: &[Check]| {
        for check in checks {
            text.push_str(&format!("\n-- {address}.{}\nSELECT {};\n", check.name, check.predicate.text));
        }
    };
    for (target, checks) in gates {
        add(format!("target.{target}.gate"), checks);
    }
    // By name: the order of the file means nothing, and a new stage moves no other.
    let mut sorted: Vec<&Box<dyn Stage>> = stages.iter().collect();
    sorted.sort_by(|a, b| a.head().name.cmp(&b.head().name));
    for stage in sorted {
        let name = &stage.head().name;
        add(format!("stage.{name}.guard"), &stage.head().guards);
        add(format!("stage.{name}.ensure"), stage.ensures());
        add(format!("stage.{name}"), stage.other_checks());
    }
    LockFile { name: "predicates.sql".to_owned(), text }
}

/// What differs between the committed lock and the rendering; empty when it is fresh.
///
/// # Errors
/// The folder cannot be read (exit 1).
pub fn stale(dir: &Path, files: &[LockFile]) -> Result<Vec<String>, Failure> {
    let differences = lock::compare(dir, files)
        .map_err(|e| Failure::new(Exit::Io, format!("the lock {} cannot be read: {e}", dir.display())))?;
    let shown = |difference: &LockDifference| match difference {
        LockDifference::Missing(name) => format!("{name}  is missing"),
        LockDifference::Changed(name) => format!("{name}  differs"),
        LockDifference::Extra(name) => format!("{name}  is rendered by nothing"),
    };
    Ok(differences.iter().map(shown).collect())
}
