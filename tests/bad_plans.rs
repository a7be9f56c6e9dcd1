//! Plans that are refused, one idea each, and the words they are refused with; and plans that are not.
//!
//! A file of `tests/bad_plans` says on its first line which code it gets: `# code: missing-key`. What is drawn for it
//! stands in `tests/snapshots/bad_plans`. After a change on purpose: `INSTA_UPDATE=always cargo test --test bad_plans`,
//! and read the difference as the author of a plan would.

use engine::compile::{self, Given, Workflow};
use engine::diag::Diagnostics;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Compiles a plan by its path from the root of the repository, so that no message depends on where that is.
fn compiled(plan: &Path) -> Result<Workflow, Diagnostics> {
    std::env::set_current_dir(env!("CARGO_MANIFEST_DIR")).expect("the root of the repository");
    compile::workflow(plan, &Given::default())
}

/// Files of a folder of the repository with this ending, in order.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let absolute = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&absolute).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut found: Vec<PathBuf> = names.map(|name| Path::new(folder).join(name)).collect();
    found.retain(|path| path.extension().is_some_and(|known| known == ending));
    found.sort();
    found
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a file has a name").to_string_lossy().into_owned()
}

/// The code on the first line of a bad plan.
fn promised(plan: &Path) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(plan)).expect("a plan");
    let line = text.lines().next().unwrap_or_default();
    let code = line.strip_prefix("# code: ").and_then(|rest| rest.split(' ').next());
    code.unwrap_or_else(|| panic!("{}: the first line names no code", plan.display())).to_owned()
}

fn refused(plan: &Path) {
    let Err(found) = compiled(plan) else { panic!("{} is accepted", plan.display()) };
    let drawn = found.draw(false);
    let codes: Vec<&str> = found.0.iter().filter(|d| !d.warning).map(|d| d.code).collect();
    let code = promised(plan);
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/bad_plans"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!(stem(plan), drawn) });
    assert!(codes.contains(&code.as_str()), "{}: {code} is promised, {codes:?} came\n{drawn}", plan.display());
}

#[test]
fn bad_plans_are_refused_in_the_same_words() {
    let plans = files("tests/bad_plans", "toml");
    assert!(plans.len() > 100, "only {} bad plans were found", plans.len());
    let failed = |plan: &&PathBuf| catch_unwind(AssertUnwindSafe(|| refused(plan))).is_err();
    let failed: Vec<String> = plans.iter().filter(failed).map(|plan| stem(plan)).collect();
    assert!(failed.is_empty(), "{} of {} failed: {}", failed.len(), plans.len(), failed.join(", "));
}

#[test]
fn every_snapshot_has_its_plan() {
    let names = |folder, ending| files(folder, ending).iter().map(|path| stem(path)).collect::<BTreeSet<String>>();
    let (plans, snapshots) = (names("tests/bad_plans", "toml"), names("tests/snapshots/bad_plans", "snap"));
    let orphans: Vec<&String> = snapshots.difference(&plans).collect();
    assert!(orphans.is_empty(), "snapshots without a plan: {orphans:?}");
}

#[test]
fn good_plans_compile_without_a_warning() {
    let plans = files("plans", "toml");
    assert!(!plans.is_empty(), "no plan was found");
    for plan in plans {
        let workflow = compiled(&plan).unwrap_or_else(|found| panic!("{}", found.draw(false)));
        assert!(workflow.warnings.0.is_empty(), "{}", workflow.warnings.draw(false));
        let found = compile::lint_warnings(&workflow, &compile::lints(&workflow));
        assert!(found.0.is_empty(), "{}", found.draw(false));
    }
}

/// A plan has a lock once `engine render` wrote one; from then on it says what would run.
#[test]
fn committed_renderings_are_fresh() {
    for plan in files("plans", "toml") {
        let workflow = compiled(&plan).unwrap_or_else(|found| panic!("{}", found.draw(false)));
        if workflow.lock_dir.is_dir() {
            let stale = compile::stale(&workflow.lock_dir, &workflow.lock).expect("a folder that can be read");
            assert!(stale.is_empty(), "{}: type `engine render {0}`\n{}", plan.display(), stale.join("\n"));
        }
    }
}

/// A lock whose plan was renamed or removed would be read by reviewers and run by nobody.
#[test]
fn every_lock_has_its_plan() {
    let compiled = |plan: &PathBuf| compiled(plan).unwrap_or_else(|found| panic!("{}", found.draw(false)));
    let known: BTreeSet<PathBuf> = files("plans", "toml").iter().map(|plan| compiled(plan).lock_dir).collect();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")).expect("the folder sql") {
        let folder = Path::new("sql").join(entry.expect("an entry").file_name());
        let ours = [Path::new("sql/engine"), Path::new("sql/sample")].contains(&folder.as_path());
        assert!(ours || known.contains(&folder), "{} is the lock of no plan", folder.display());
    }
}
