//! Stages that lack something upstream: a clone that is not made yet, a stage that has not ended. One lost name in `needs`
//! would be told once for each stage below it; only the first is, since with it the others are mended as well.

use super::Parse;
use crate::diag::{Diagnostic, Place};
use crate::name;
use crate::plan::graph::Graph;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What was said so far.
#[derive(Debug, Default)]
pub struct Lacks {
    /// Stages, and what each of them lacks, by their indices.
    stages: RefCell<Vec<(usize, usize)>>,
    /// Clones that no stage makes.
    clones: RefCell<BTreeSet<String>>,
}

impl Lacks {
    /// Notes that `stage` lacks `wanted` upstream. `false`: it follows from something that was said already, of the stage itself
    /// or of one above it.
    fn say(&self, graph: &Graph, stage: usize, wanted: usize) -> bool {
        let mut said = self.stages.borrow_mut();
        let follows = said.iter().any(|(lacking, missing)| {
            (*lacking == stage || graph.upstream(stage, *lacking))
                && (*missing == wanted || graph.upstream(*missing, wanted))
        });
        if !follows {
            said.push((stage, wanted));
        }
        !follows
    }

    /// Does the stage's place in the order hang on something that is lacking?
    pub fn unsettled(&self, graph: &Graph, stage: usize) -> bool {
        self.stages.borrow().iter().any(|(lacking, _)| *lacking == stage || graph.upstream(stage, *lacking))
    }
}

impl Parse<'_> {
    /// What is wrong with naming a stage here: it is none, or not upstream.
    pub(super) fn wrong_stage(&self, stage: &str, place: &Place) -> Option<Diagnostic> {
        let Some((index, _)) = self.plan.stage(stage) else {
            let near = name::nearest(stage, self.plan.stages.iter().map(|s| s.name.value.as_str()));
            let help = near.map_or_else(|| "write `STAGE.probe`".to_owned(), |near| format!("did you mean `{near}`?"));
            return Some(
                Diagnostic::new("unknown-name", format!("there is no stage `{stage}`"), place.clone())
                    .label("here")
                    .help(help),
            );
        };
        let graph = &self.plan.graph;
        if graph.upstream(self.stage, index) || !self.lacks.say(graph, self.stage, index) {
            return None;
        }
        let own = &self.plan_stage().name.value;
        Some(
            Diagnostic::new(
                "stage-not-upstream",
                format!("`{stage}` is not among the needs of `{own}`"),
                place.clone(),
            )
            .label("not ended when this is asked")
            .help(format!("add \"{stage}\" to `needs`, directly or through another stage")),
        )
    }

    /// What to write when a target is a clone that no stage upstream makes, and that was not said yet.
    pub(super) fn not_made(&self, on: &str) -> Option<String> {
        self.plan.target(on)?.clone_of.as_ref()?;
        let maker = self
            .plan
            .stages
            .iter()
            .position(|s| s.kind.value == "clone" && s.on.as_ref().is_some_and(|target| target.value == on));
        let graph = &self.plan.graph;
        match maker {
            Some(maker) if graph.upstream(self.stage, maker) || !self.lacks.say(graph, self.stage, maker) => None,
            Some(maker) => Some(format!("add \"{}\" to `needs`", self.plan.stages[maker].name.value)),
            None if !self.lacks.clones.borrow_mut().insert(on.to_owned()) => None,
            None => Some(format!("add a stage of kind `clone` on `{on}`")),
        }
    }

    /// Does the stage run on that target itself? Then it is told of the whole stage that the clone is not made, not of each
    /// probe it reads; so is it of a stage that makes the clone.
    pub(super) fn says_itself(&self, on: &str) -> bool {
        let stage = self.plan_stage();
        let has = stage.on.as_ref().is_some_and(|own| own.value == on);
        has && !matches!(stage.kind.value.as_str(), "clone" | "packet")
    }
}
