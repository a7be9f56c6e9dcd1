//! Paths as a pull request knows them: from the top of the repository, wherever the command was typed and however the plan
//! was named. Where there is no repository, from the working directory.

use crate::compile::{Workflow, root_of};
use crate::diag::{Diagnostic, Place, Source};
use std::path::{Component, Path, PathBuf};

/// The same problem at a place that is there: where a rendering was not written yet, at the line of the plan that names the
/// stage's template.
pub(super) fn there(problem: &Diagnostic, workflow: &Workflow) -> Diagnostic {
    let found = problem.place.as_ref().and_then(|place| Some((place, stands_in(place, workflow)?)));
    let Some((place, stand_in)) = found else { return problem.clone() };
    let line = place.source.line(place.span.start);
    let label = format!("{}, line {line} of what is rendered", problem.label);
    Diagnostic { place: Some(stand_in), label, ..problem.clone() }
}

/// The line of the plan for a rendering that no lock holds.
fn stands_in(place: &Place, workflow: &Workflow) -> Option<Place> {
    let rest = place.source.path.strip_prefix(&format!("sql/{}/", workflow.plan.name))?;
    if workflow.lock_dir.join(rest).exists() {
        return None;
    }
    let name = rest.strip_suffix(".sql")?;
    let (name, key) = name.strip_suffix(".rollback").map_or((name, "file"), |name| (name, "rollback"));
    let stage = workflow.plan.stages.iter().find(|stage| stage.name.value == name)?;
    let leaf = stage.body.leaves().into_iter().find(|leaf| leaf.path == [key]);
    Some(leaf.map_or_else(|| stage.name.place.clone(), |leaf| leaf.place))
}

/// The same problem, with its places as paths of the repository. `plan`: the file that was checked, whose root renderings
/// are named from.
pub(super) fn rooted(problem: &Diagnostic, plan: &Path) -> Diagnostic {
    let moved = |place: &Place| {
        let path = relative(&place.source.path, plan);
        Place { source: Source::new(path, place.source.text.clone()), span: place.span.clone() }
    };
    let mut problem = problem.clone();
    problem.place = problem.place.as_ref().map(moved);
    problem.related = problem.related.as_ref().map(|(place, label)| (moved(place), label.clone()));
    problem
}

fn relative(shown: &str, plan: &Path) -> String {
    let path = Path::new(shown);
    // A rendering is called by its place in the lock, which lies beside the templates.
    let path = if path.exists() { path.to_owned() } else { root_of(plan).join(path) };
    let Some(whole) = real(&path) else { return shown.to_owned() };
    let near = whole.parent().unwrap_or(&whole);
    let top = near.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned);
    let top = top.or_else(|| std::env::current_dir().ok().and_then(|folder| folder.canonicalize().ok()));
    let below = top.as_deref().and_then(|top| whole.strip_prefix(top).ok());
    below.map_or_else(|| shown.to_owned(), |path| path.display().to_string())
}

/// The path from `/` with its folders as they are; the file itself need not be there, and stays the link it may be.
fn real(path: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(path).ok()?;
    let parts: Vec<Component<'_>> = whole.components().collect();
    let there = (1..parts.len()).rev().find_map(|count| {
        let folder: PathBuf = parts[..count].iter().collect();
        Some((count, folder.canonicalize().ok()?))
    });
    let (count, folder) = there?;
    Some(parts[count..].iter().fold(folder, |folder, part| folder.join(part)))
}
