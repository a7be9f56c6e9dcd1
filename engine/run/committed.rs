//! A run that is taken up again builds upon what it committed: every server is asked whether that is still there.

use crate::compile::Workflow;
use crate::event::{Failure, Intent, RunState, StageState, Status};
use crate::stage::{self, Progress, undo};
use crate::target::{Targets, Writer};
use std::collections::BTreeMap;

/// Asks for every stage that the journal calls committed.
///
/// # Errors
/// A server has lost one (exit 50), or cannot be asked. Nothing was changed.
pub(super) async fn demand(workflow: &Workflow, targets: &Targets, state: &RunState) -> Result<(), Failure> {
    let mut by_target: BTreeMap<&str, Vec<(&str, &StageState)>> = BTreeMap::new();
    for stage in &workflow.stages {
        let head = stage.head();
        let (Some(on), Some(known)) = (head.on.as_deref(), state.stages.get(&head.name)) else { continue };
        // Of a stage in batches that is not done, the last one counts.
        if known.committed || matches!(known.status, Status::Committed | Status::Done) {
            by_target.entry(on).or_default().push((head.name.as_str(), known));
        }
    }
    for (on, stages) in by_target {
        let Some(writer) = writer(targets, on) else { continue };
        if all_there(&writer, &stages).await? {
            continue;
        }
        // One of them is not: which?
        for (name, known) in stages {
            stage::still_committed(name, &writer, known).await?;
        }
    }
    Ok(())
}

/// Which of these stages, whose last COMMIT may have been sent, are committed? What nobody can ask for counts as such.
///
/// # Errors
/// Nobody can say (50), or its backend is still at work on it. Nothing was changed.
pub(super) async fn among(
    workflow: &Workflow,
    targets: &Targets,
    state: &RunState,
    open: &[String],
    progress: &Progress,
) -> Result<Vec<String>, Failure> {
    let mut committed = Vec::new();
    for name in open {
        let on = workflow.index(name).and_then(|index| workflow.stages[index].head().on.as_deref());
        let writer = on.and_then(|on| writer(targets, on));
        let is = match &writer {
            Some(writer) => {
                let known = state.stage(name);
                let asked = stage::is_committed(name, writer, &known);
                undo::aloud(|words| progress(name, words), "attempt", asked).await?
            }
            None => true,
        };
        committed.extend(is.then(|| name.clone()));
    }
    Ok(committed)
}

/// All in one question: a run of thousands of stages has as many to ask for.
async fn all_there(writer: &Writer, stages: &[(&str, &StageState)]) -> Result<bool, Failure> {
    let held: Vec<_> = stages.iter().filter_map(|(_, known)| known.held.as_ref()).collect();
    if held.is_empty() {
        return Ok(true);
    }
    let now = writer.identity().await?;
    let same = |(_, system, timeline, _): &&Intent| *system == now.system_identifier && *timeline == now.timeline;
    let xids: Vec<String> = held.iter().map(|(xid, ..)| xid.clone()).collect();
    Ok(held.iter().all(same) && writer.all_committed(&xids).await?)
}

/// Whoever writes that target; nobody does as long as a clone is not made.
fn writer(targets: &Targets, on: &str) -> Option<Writer> {
    match targets.clones.get(on) {
        Some(clone) => clone.live().ok().map(|live| live.writer.clone()),
        None => targets.plain.get(on)?.writer.clone(),
    }
}
