//! `plan PLAN`: read-only on the targets: identities, readings, guards as they stand, what would run.

use super::{PlanArgs, compiled, print, tell};
use crate::compile::Workflow;
use crate::event::{Event, Exit, Failure, Judgement, Reading, Truth};
use crate::guard::{self, Check, Values};
use crate::probe::{self, Query};
use crate::run::{self, Binding};
use crate::sql::Name;
use crate::target::Isolation;
use std::collections::BTreeMap;

/// Shows what a plan would do now.
///
/// # Errors
/// A target cannot be reached.
pub async fn run(args: &PlanArgs, json: bool) -> Result<Exit, Failure> {
    let workflow = match compiled(args, json)? {
        Ok(workflow) => workflow,
        Err(exit) => return Ok(exit),
    };
    let binding = run::bind(&workflow).await?;
    let readings = read(&workflow, &binding).await?;
    if json {
        for reading in readings.values() {
            print(&format!("{}\n", serde_json::json!({ "v": 1, "type": "reading", "reading": reading })));
        }
    }
    let out = Out { json };
    targets(out, &binding);
    let mut exit = Exit::Ok;
    out.people("\nstages, in the order they may start\n");
    for (number, index) in workflow.plan.graph.order().iter().enumerate() {
        let stage = &workflow.stages[*index];
        let head = stage.head();
        let on = head.on.as_deref().unwrap_or("");
        out.people(&format!("{:>4} {:<20} {:<11} {on}\n", number + 1, head.name, head.kind));
        if let Some(work) = stage.work() {
            for bound in &work.writes {
                let most = bound.most.map_or("any number of".to_owned(), |n| format!("at most {n}"));
                out.people(&format!("       writes  {} {most} row changes\n", bound.table));
            }
            for name in &work.alters {
                out.people(&format!("       alters  {name}\n"));
            }
        }
        exit = exit.worse(judged(out, "guard", &head.guards, &binding, &readings, &workflow).await?);
    }
    out.people("\ngates, as they stand: a preview authorises nothing\n");
    for (target, checks) in &workflow.gates {
        let _ = judged(out, &format!("gate of {target}"), checks, &binding, &readings, &workflow).await?;
    }
    Ok(exit)
}

fn targets(out: Out, binding: &Binding) {
    for event in &binding.events {
        let Event::TargetBound { target, place, clone, identity, powers, waived, .. } = event else { continue };
        if let Some(database) = clone {
            out.people(&format!("{target:<12} {database} at {place}, would be made by {}\n", identity.session_user));
        } else {
            let could = if powers.is_empty() {
                "cannot write".to_owned()
            } else {
                format!("has {} powers to write", powers.len())
            };
            out.people(&format!(
                "{target:<12} {} at {place}, PostgreSQL {}, as {}, which {could}\n",
                identity.database, identity.version, identity.session_user
            ));
        }
        for waived in waived {
            out.people(&format!("{target:<12} {waived}\n"));
        }
    }
}

async fn read(workflow: &Workflow, binding: &Binding) -> Result<BTreeMap<String, Reading>, Failure> {
    let mut readings = BTreeMap::new();
    for (name, plain) in &binding.targets.plain {
        let queries: Vec<&Query> = workflow.probes.values().filter(|q| q.target == *name).collect();
        let tx = plain.reader.begin("preview", Isolation::Snapshot).await?;
        for reading in probe::read(&tx, &queries).await? {
            readings.insert(reading.probe.clone(), reading);
        }
        tx.finish().await?;
    }
    Ok(readings)
}

async fn judged(
    out: Out,
    word: &str,
    checks: &[Check],
    binding: &Binding,
    readings: &BTreeMap<String, Reading>,
    workflow: &Workflow,
) -> Result<Exit, Failure> {
    let known = |name: &Name| match name {
        Name::Now(probe) => readings.contains_key(probe),
        Name::Var(_) => true,
        _ => false,
    };
    let (now, later): (Vec<&Check>, Vec<&Check>) = checks.iter().partition(|c| c.predicate.names().all(known));
    let mut exit = Exit::Ok;
    if let (Some(plain), false) = (binding.targets.plain.values().next(), now.is_empty()) {
        let tx = plain.reader.begin("preview", Isolation::Fresh).await?;
        let values = Values { now: readings.clone(), vars: workflow.vars.clone(), ..Values::default() };
        let owned: Vec<Check> = now.into_iter().cloned().collect();
        for judgement in guard::judge(&tx, &owned, &values).await? {
            exit = exit.worse(line(out, word, &judgement));
        }
        tx.finish().await?;
    }
    for check in later {
        out.people(&format!("       {word:<7} not yet     {}: {}\n", check.name, check.predicate.text));
    }
    Ok(exit)
}

fn line(out: Out, word: &str, judgement: &Judgement) -> Exit {
    let (state, exit) = match judgement.truth {
        Truth::True => ("holds", Exit::Ok),
        Truth::False => ("is FALSE", Exit::Blocked),
        Truth::NotEvaluable => ("no answer", Exit::NotEvaluable),
    };
    let operands: Vec<String> = judgement.operands.iter().map(|(name, value)| format!("{name} is {value}")).collect();
    out.people(&format!(
        "       {word:<7} {state:<10}  {}: {}   ({})\n",
        judgement.name,
        judgement.text.trim(),
        operands.join(", ")
    ));
    exit
}

/// People's text goes to stderr when stdout belongs to a machine.
#[derive(Clone, Copy)]
struct Out {
    json: bool,
}

impl Out {
    fn people(self, text: &str) {
        if self.json { tell(text) } else { print(text) }
    }
}
