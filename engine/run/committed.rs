//! A run that is taken up again builds upon what it committed: every server is asked whether that is still there.

use crate::compile::Workflow;
use crate::event::{Failure, RunState, Status};
use crate::stage;
use crate::target::{Targets, Writer};

/// Asks for every stage that the journal calls committed.
///
/// # Errors
/// A server has lost one (exit 50), or cannot be asked. Nothing was changed.
pub(super) async fn demand(workflow: &Workflow, targets: &Targets, state: &RunState) -> Result<(), Failure> {
    for stage in &workflow.stages {
        let head = stage.head();
        let known = state.stage(&head.name);
        let writer = head.on.as_deref().and_then(|on| writer(targets, on));
        // Of a stage in batches that is not done, the last one counts.
        let committed = known.committed || matches!(known.status, Status::Committed | Status::Done);
        if let Some(writer) = writer.filter(|_| committed) {
            stage::still_committed(&head.name, &writer, &known).await?;
        }
    }
    Ok(())
}

/// Whoever writes that target; nobody does as long as a clone is not made.
fn writer(targets: &Targets, on: &str) -> Option<Writer> {
    match targets.clones.get(on) {
        Some(clone) => clone.live().ok().map(|live| live.writer.clone()),
        None => targets.plain.get(on)?.writer.clone(),
    }
}
