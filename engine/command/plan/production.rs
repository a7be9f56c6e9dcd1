//! What touches production and what does not: facts that follow from kinds and targets, not promises.

use crate::compile::Workflow;
use crate::diag::Diagnostics;
use crate::plan::Access;
use crate::sql::Name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a stage can reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touches {
    /// Targets that are no clone, read in READ ONLY transactions.
    pub reads: Vec<String>,
    /// The target it writes, or makes.
    pub writes: Option<String>,
    /// Is what it writes a clone of the run's own?
    pub writes_clone: bool,
}

impl Touches {
    /// It has no business with any database but clones of the run.
    pub fn never_touches_production(&self) -> bool {
        self.reads.is_empty() && (self.writes.is_none() || self.writes_clone)
    }
}

/// What may be done at a target at all.
pub(super) fn of_target(workflow: &Workflow, name: &str) -> String {
    let Some(target) = workflow.plan.target(name) else { return String::new() };
    match (&target.clone_of, target.access) {
        (Some(source), _) => format!("made by this run from `{}`, and the only place its stages write", source.value),
        (None, Access::Read) => "access = \"read\": READ ONLY transactions, and no session that could write".to_owned(),
        (None, Access::Write) => "access = \"write\": a rollout writes it, once its gates hold".to_owned(),
    }
}

/// What a stage reads and writes.
pub(super) fn of_stage(workflow: &Workflow, index: usize) -> Touches {
    let stage = &workflow.stages[index];
    let head = stage.head();
    let on = head.on.as_deref().and_then(|on| workflow.plan.target(on));
    let mut reads: BTreeSet<String> = BTreeSet::new();
    let mut touches = Touches::default();
    if let Some(target) = on {
        let name = target.name.value.clone();
        match &target.clone_of {
            Some(source) if head.kind == "clone" => {
                reads.insert(source.value.clone());
                (touches.writes, touches.writes_clone) = (Some(name), true);
            }
            Some(_) => {
                let writes = stage.writes_target() || stage.work().is_some() || head.kind == "rehearse";
                (touches.writes, touches.writes_clone) = (writes.then_some(name), writes);
            }
            None => {
                reads.insert(name.clone());
                touches.writes = (head.kind == "rollout").then_some(name);
            }
        }
    }
    // A packet looks at the gates of the target it is for.
    let mut body = workflow.plan.stages[index].body.clone();
    let sealed_for = body.text("for", &mut Diagnostics::default()).filter(|_| head.kind == "packet");
    reads.extend(sealed_for.map(|target| target.value));
    let checks = head.guards.iter().chain(stage.ensures()).chain(stage.other_checks());
    let probes = checks.flat_map(|check| check.predicate.names()).filter_map(|name| match name {
        Name::Now(probe) | Name::Before(probe) => workflow.probes.get(probe),
        _ => None,
    });
    let ended = workflow.end_reads.get(&head.name).into_iter().flatten().filter_map(|probe| workflow.probes.get(probe));
    reads.extend(probes.chain(ended).map(|query| query.target.clone()));
    reads.extend(workflow.plan.targets.iter().filter(|target| target.watch).map(|target| target.name.value.clone()));
    reads.retain(|name| workflow.plan.target(name).is_some_and(|target| target.clone_of.is_none()));
    touches.reads = reads.into_iter().collect();
    touches
}
