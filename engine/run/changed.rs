//! What changed since a run began, and what of it may be accepted.

use super::differs;
use super::life::Resumption;
use crate::compile::Workflow;
use crate::event::{Exit, Failure, RunState, Status};
use crate::journal::Place;
use crate::sql::reads_setting;
use crate::stage::undo;
use std::path::Path;

/// Inputs that are not what the run was last given, when they may differ.
///
/// # Errors
/// Some are, and nobody accepts them (exit 62).
pub(super) fn inputs(
    workflow: &Workflow,
    state: &RunState,
    how: Resumption,
    again: &str,
) -> Result<Vec<String>, Failure> {
    let (before, now) = (&state.inputs, &workflow.inputs);
    let names: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let moved: Vec<String> = names.into_iter().filter(|n| before.get(*n) != now.get(*n)).cloned().collect();
    if moved.is_empty() || how.accept_changes {
        return Ok(moved);
    }
    let mut failure = Failure::new(Exit::InputsChanged, "the plan or its inputs changed since the run began")
        .changed("nothing was changed")
        .next("go on", format!("{again} --accept-changes   when only stages that are not committed differ"))
        .next("or", "put the files back as they were");
    failure.facts = moved;
    Err(failure)
}

/// May a stage not change any more? It is committed. And what began in batches goes on in batches, what stands of statements in
/// no transaction is gone on with outside of one.
fn bound(workflow: &Workflow, state: &RunState, folder: &Path, name: &str) -> bool {
    let known = state.stage(name);
    let now = workflow.index(name).and_then(|index| workflow.stages[index].work());
    matches!(known.status, Status::Committed | Status::Done)
        || known.batches > 0 && now.as_ref().is_none_or(|work| work.batch.is_none())
        || undo::is_left_of(folder, state, name) && now.is_none_or(|work| !work.alone)
}

/// May its last transaction be committed, as far as the journal knows? On the target where it is now, the server can be asked.
fn is_open(workflow: &Workflow, state: &RunState, name: &str) -> bool {
    state.stage(name).intent.is_some() && workflow.index(name).is_some()
}

/// Does the SQL of a stage ask for a sensitive variable that is another now? Its value is in no text, so in no digest either.
fn reads(workflow: &Workflow, stage: &str, moved: &[String]) -> bool {
    let texts =
        || workflow.lock.iter().filter(|file| file.name.split('.').next() == Some(stage)).map(|file| &file.text);
    let asks = |name: &str| texts().any(|text| reads_setting(text, &format!("engine.var.{name}")));
    moved.iter().filter_map(|input| input.strip_prefix("var.")).any(asks)
}

/// Stages that are committed or done must be unchanged, byte for byte. `moved`: inputs that are others now. Answers those that
/// changed and of which a server has to say whether they are.
///
/// # Errors
/// One is not (exit 62).
pub(super) fn refuse_stages(
    workflow: &Workflow,
    state: &RunState,
    place: &Place,
    moved: &[String],
) -> Result<Vec<String>, Failure> {
    let may_not = |name: &str| bound(workflow, state, place.dir(), name) || state.stage(name).intent.is_some();
    let changed = state
        .digests
        .iter()
        .filter(|(old, _)| may_not(old))
        .filter(|(old, digest)| {
            workflow.briefs.iter().find(|new| new.name == **old).is_none_or(|new| new.digest != **digest)
                || reads(workflow, old, moved)
        })
        .map(|(old, _)| old.clone());
    let (bound, open): (Vec<String>, Vec<String>) =
        changed.partition(|name| bound(workflow, state, place.dir(), name) || !is_open(workflow, state, name));
    if bound.is_empty() { Ok(open) } else { Err(differs::refused(workflow, state, place, &bound)) }
}
