//! Heads of a run's journal that its databases keep in their markers.

use super::bind::maker_settings;
use crate::compile::Workflow;
use crate::event::{Exit, Failure, RunState};
use crate::journal::{Anchor, History};
use crate::target::{Door, Maker, Targets, Url};
use std::time::Duration;

/// A server that does not answer `verify` for that long is not asked any more.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// What one database's marker says; or why it could not be asked.
pub type Answer = (String, Result<Option<Anchor>, Failure>);

/// Asks the databases of a run that are still there: its clones, and a half one. Connects as their maker.
pub async fn ask(workflow: &Workflow, state: &RunState) -> Vec<Answer> {
    let mut answers = Vec::new();
    for target in workflow.plan.targets.iter().filter(|target| target.clone_of.is_some()) {
        let Some(database) = workflow.databases.get(&target.name.value) else { continue };
        let found = async {
            let door = Door::new(&target.name.value, &Url::of_maker(target)?, None, &maker_settings(workflow))?;
            anchored(&Maker::new(door), database, &state.run).await
        };
        let found = tokio::time::timeout(ANSWERS_WITHIN, found).await;
        let silent = || Failure::new(Exit::Temporary, format!("no answer within {} s", ANSWERS_WITHIN.as_secs()));
        answers.push((database.clone(), found.unwrap_or_else(|_| Err(silent()))));
    }
    answers
}

/// Demands that the journal is the one that the databases of the run were told of.
///
/// # Errors
/// It is not (62), or the server's.
pub(super) async fn demand(targets: &Targets, run: &str, history: &History) -> Result<(), Failure> {
    for clone in targets.clones.values() {
        for database in [&clone.database, &format!("engine_{run}")] {
            if let Some(anchor) = anchored(&clone.maker, database, run).await? {
                history.demand(run, &anchor)?;
            }
        }
    }
    Ok(())
}

/// The head in the marker of that database, if it is this run's and no copy of its comment.
async fn anchored(maker: &Maker, database: &str, run: &str) -> Result<Option<Anchor>, Failure> {
    let Some(found) = maker.find(database).await? else { return Ok(None) };
    let ours = found.marker.filter(|marker| marker.run == run && marker.is_of(found.oid));
    let head = ours.and_then(|marker| marker.head);
    Ok(head.map(|(count, hash)| Anchor { by: format!("the marker of its clone `{database}`"), count, hash }))
}
