//! Rows and cost as the planner of the source estimates them: EXPLAIN and never ANALYZE, in a watched transaction that can
//! only read, of the half of a statement that reads, so that the role that reads needs no more rights and no lock of a
//! writer is asked for.

use crate::clock;
use crate::compile::Workflow;
use crate::event::{Exit, Failure};
use crate::proof::Work;
use crate::run::Binding;
use crate::sql::{self, Half};
use crate::target::{Isolation, Says, Tx};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An estimate, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Rows the statement would return, or look at to write.
    pub rows: Option<f64>,
    /// Total cost, in the planner's unit.
    pub cost: Option<f64>,
    /// Only its reading half was planned.
    pub reading_half: bool,
    /// Why there is no estimate.
    pub none: Option<String>,
}

impl Estimate {
    fn none(why: impl Into<String>) -> Estimate {
        Estimate { none: Some(why.into()), ..Estimate::default() }
    }
}

/// Estimates of every stage's statements, by stage.
pub(super) async fn all(workflow: &Workflow, binding: &Binding) -> Result<BTreeMap<String, Vec<Estimate>>, Failure> {
    let mut by_target: BTreeMap<String, Vec<(String, Arc<Work>)>> = BTreeMap::new();
    for index in workflow.plan.graph.order() {
        let stage = &workflow.stages[*index];
        let target = stage.head().on.as_deref().and_then(|on| workflow.plan.target(on));
        let (Some(work), Some(target)) = (stage.work(), target) else { continue };
        let source = target.clone_of.as_ref().unwrap_or(&target.name).value.clone();
        by_target.entry(source).or_default().push((stage.head().name.clone(), work));
    }
    let mut estimates = BTreeMap::new();
    for (target, stages) in by_target {
        let Some(plain) = binding.targets.plain.get(&target) else { continue };
        let tx = plain.reader.begin("estimates", Isolation::Snapshot).await?;
        for (stage, work) in stages {
            let mut own = Vec::with_capacity(work.forward.statements.len());
            for statement in &work.forward.statements {
                own.push(one(&tx, sql::reading_half(statement)).await?);
            }
            estimates.insert(stage, own);
        }
        tx.finish().await?;
    }
    Ok(estimates)
}

async fn one(tx: &Tx, half: Half) -> Result<Estimate, Failure> {
    let (text, reading_half) = match half {
        Half::Whole(text) => (text, false),
        Half::Reading(text) => (text, true),
        Half::None(why) => return Ok(Estimate::none(why)),
    };
    tx.enter_read_only().await?;
    let planned = explained(tx, &text).await;
    tx.leave_read_only().await?;
    match planned {
        Ok((rows, cost)) => Ok(Estimate { rows, cost, reading_half, none: None }),
        // A transaction that did not stay itself, or a lost connection, is no answer about a statement.
        Err(failure) if failure.sqlstate.is_none() || failure.exit == Exit::ChangedByUs => Err(failure),
        Err(failure) => Ok(Estimate::none(why(tx, &failure))),
    }
}

/// Rows and cost at the top of the plan.
async fn explained(tx: &Tx, text: &str) -> Result<(Option<f64>, Option<f64>), Failure> {
    // What a run sets: a planner may look at it.
    let as_of = clock::now();
    let set = "SELECT pg_catalog.set_config('engine.as_of', $1, true), pg_catalog.set_config('engine.run_id', 'preview', true)";
    tx.query(set, &[&as_of]).await?;
    let row = tx.query_one_as(Says::Plan, &format!("EXPLAIN (FORMAT JSON) {text}"), &[]).await?;
    let plan: serde_json::Value = row.get(0);
    let top = &plan[0]["Plan"];
    Ok((top["Plan Rows"].as_f64(), top["Total Cost"].as_f64()))
}

/// In a word, and what the server said.
fn why(tx: &Tx, failure: &Failure) -> String {
    let said = tx.said(failure);
    match failure.sqlstate.as_deref() {
        Some("42501") => format!("the role that reads may not: {said}"),
        Some("42P01" | "42703" | "42883" | "3F000") => format!("not there before the run: {said}"),
        Some("42704") => format!("it reads what only a run sets: {said}"),
        _ => said.to_owned(),
    }
}
