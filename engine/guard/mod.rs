//! Predicates: may it start, did it keep its promise, is the gate open? Evaluated by PostgreSQL.
//!
//! The engine resolves the names of the parsed expression and hands each value over as a typed constant under
//! an alias of its own, in a MATERIALIZED subquery: nothing is captured and no probe runs twice.

use crate::event::{Exit, Failure, Judgement, Reading, Role, Truth};
use crate::name::quote::literal;
use crate::sql::{Name, Predicate, Use};
use crate::target::{Says, Tx};
use std::collections::BTreeMap;

/// A predicate of the plan and where it stands.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// The parsed expression.
    pub predicate: Predicate,
    /// `plans/x.toml:164`.
    pub place: String,
}

/// Everything a predicate may read, already read.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// Readings now, by probe.
    pub now: BTreeMap<String, Reading>,
    /// Readings before the stage, by probe.
    pub before: BTreeMap<String, Reading>,
    /// Readings when a stage ended, by stage and probe.
    pub at: BTreeMap<(String, String), Reading>,
    /// Row changes of this stage, by the table's name as the plan writes it.
    pub wrote: BTreeMap<String, u64>,
    /// Variables: type and text.
    pub vars: BTreeMap<String, (String, String)>,
}

impl Values {
    fn of(&self, name: &Name) -> Reading {
        let missing = |probe: &str, why: &str| Reading {
            probe: probe.to_owned(),
            kind: String::new(),
            value: None,
            problem: Some(why.to_owned()),
        };
        let constant = |kind: &str, value: String| Reading {
            probe: String::new(),
            kind: kind.to_owned(),
            value: Some(value),
            problem: None,
        };
        match name {
            Name::Now(probe) => self.now.get(probe).cloned().unwrap_or_else(|| missing(probe, "not yet readable")),
            Name::Before(probe) => {
                self.before.get(probe).cloned().unwrap_or_else(|| missing(probe, "was not read before"))
            }
            Name::At { stage, probe } => self
                .at
                .get(&(stage.clone(), probe.clone()))
                .cloned()
                .unwrap_or_else(|| missing(probe, "was not read when that stage ended")),
            Name::Wrote(table) => constant("int8", self.wrote.get(table).copied().unwrap_or(0).to_string()),
            Name::Var(var) => match self.vars.get(var) {
                Some((kind, text)) => constant(kind, text.clone()),
                None => missing(var, "has no value"),
            },
        }
    }
}

/// Evaluates predicates within a transaction (any database will do: they read nothing but constants, and call nothing
/// but what the system brings).
///
/// # Errors
/// The connection was lost. A predicate that cannot be evaluated is a judgement, not an error.
pub async fn judge(tx: &Tx, checks: &[Check], values: &Values) -> Result<Vec<Judgement>, Failure> {
    let mut judgements: Vec<Judgement> = checks.iter().map(|check| prepare(check, values)).collect();
    let open: Vec<usize> = (0..checks.len()).filter(|i| judgements[*i].problem.is_none()).collect();
    if open.is_empty() {
        return Ok(judgements);
    }
    let together: Vec<&Check> = open.iter().map(|i| &checks[*i]).collect();
    match evaluate(tx, &together, values).await {
        Ok(truths) => {
            for (index, truth) in open.iter().zip(truths) {
                settle(&mut judgements[*index], truth);
            }
        }
        Err(failure) if failure.sqlstate.is_none() => return Err(failure),
        // One of them failed: each alone, so that the others keep their answer.
        Err(_) => {
            for index in open {
                match evaluate(tx, &[&checks[index]], values).await {
                    Ok(truths) => settle(&mut judgements[index], truths.into_iter().next().flatten()),
                    Err(failure) if failure.sqlstate.is_none() => return Err(failure),
                    Err(failure) => judgements[index].problem = Some(tx.said(&failure).to_owned()),
                }
            }
        }
    }
    Ok(judgements)
}

fn settle(judgement: &mut Judgement, truth: Option<bool>) {
    (judgement.truth, judgement.problem) = match truth {
        Some(true) => (Truth::True, None),
        Some(false) => (Truth::False, None),
        None => (Truth::NotEvaluable, Some("the predicate is NULL".to_owned())),
    };
}

fn prepare(check: &Check, values: &Values) -> Judgement {
    let mut operands = Vec::new();
    let mut problem = None;
    for Use { name, span } in &check.predicate.uses {
        let written = check.predicate.text[span.clone()].to_owned();
        let reading = values.of(name);
        if let Some(why) = &reading.problem {
            problem.get_or_insert_with(|| format!("{written} {why}"));
        }
        if !operands.iter().any(|(w, _)| *w == written) {
            operands.push((written, reading.shown()));
        }
    }
    Judgement {
        name: check.name.clone(),
        text: check.predicate.text.clone(),
        truth: Truth::NotEvaluable,
        operands,
        problem,
        place: check.place.clone(),
    }
}

async fn evaluate(tx: &Tx, checks: &[&Check], values: &Values) -> Result<Vec<Option<bool>>, Failure> {
    let sql = statement(checks, values)?;
    tx.enter_read_only().await?;
    let answer = async {
        let kinds = tx.column_types(Says::Engine, &sql).await?;
        if let Some(other) = kinds.iter().find(|kind| *kind != "bool") {
            let mut failure = Failure::new(Exit::NotEvaluable, format!("the predicate is {other}, not boolean"));
            failure.sqlstate = Some("42804".to_owned());
            return Err(failure);
        }
        tx.query_one(&sql, &[]).await
    }
    .await;
    tx.leave_read_only().await?;
    let row = answer?;
    Ok((0..checks.len()).map(|i| row.get(i)).collect())
}

/// `WITH r AS MATERIALIZED (SELECT '210'::int8 AS v0, ...) SELECT (<predicate>), ... FROM r`.
fn statement(checks: &[&Check], values: &Values) -> Result<String, Failure> {
    let mut names: Vec<Name> = Vec::new();
    for Use { name, .. } in checks.iter().flat_map(|check| &check.predicate.uses) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let mut columns = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let reading = values.of(name);
        columns.push(format!("{} AS v{index}", constant(&reading)?));
    }
    let alias = |name: &Name| {
        let index = names.iter().position(|n| n == name).expect("invariant: every use was collected");
        format!("r.v{index}")
    };
    let predicates: Vec<String> = checks.iter().map(|check| format!("(\n{}\n)", check.predicate.sql(alias))).collect();
    Ok(format!("WITH r AS MATERIALIZED (SELECT {})\nSELECT {}\nFROM r", columns.join(", "), predicates.join(",\n")))
}

fn constant(reading: &Reading) -> Result<String, Failure> {
    let kind = if reading.kind.is_empty() { "text" } else { &reading.kind };
    let value = match &reading.value {
        None => "NULL".to_owned(),
        Some(text) => literal(text).map_err(|why| {
            Failure::new(Exit::NotEvaluable, format!("a reading cannot be written as a constant: {why}"))
        })?,
    };
    Ok(format!("{value}::pg_catalog.{kind}"))
}

/// Of `done_when` or `until`: do all of them hold? What nobody can tell is no answer: it blocks, and nothing is sent.
///
/// # Errors
/// One cannot be evaluated (exit 31).
pub fn decided(role: Role, owner: &str, judgements: &[Judgement]) -> Result<bool, Failure> {
    let unknown: Vec<Judgement> = judgements.iter().filter(|j| j.truth == Truth::NotEvaluable).cloned().collect();
    match refusal(role, owner, &unknown) {
        Some(failure) => Err(failure.changed("nothing of it was sent")),
        None => Ok(judgements.iter().all(|j| j.truth == Truth::True)),
    }
}

/// The first predicate that does not hold makes a failure with all of them; `None` when all hold.
pub fn refusal(role: Role, owner: &str, judgements: &[Judgement]) -> Option<Failure> {
    let broken: Vec<&Judgement> = judgements.iter().filter(|j| j.truth != Truth::True).collect();
    let first = broken.first()?;
    let word = role.word();
    let exit = match (role, broken.iter().all(|j| j.truth == Truth::NotEvaluable)) {
        (Role::Ensure, _) => Exit::EnsureFailed,
        (_, true) => Exit::NotEvaluable,
        (_, false) => Exit::Blocked,
    };
    let state = |j: &Judgement| match (j.truth, &j.problem) {
        (Truth::NotEvaluable, Some(why)) => format!("cannot be evaluated: {why}"),
        (Truth::NotEvaluable, None) => "cannot be evaluated".to_owned(),
        _ => "is false".to_owned(),
    };
    let mut failure = Failure::new(exit, format!("{word} `{}` of {owner} {}", first.name, state(first)));
    for (index, judgement) in broken.iter().enumerate() {
        if index > 0 {
            failure.facts.push(format!("and {word} `{}` {}", judgement.name, state(judgement)));
        }
        failure.facts.push(judgement.text.trim().to_owned());
        let operands: Vec<String> =
            judgement.operands.iter().map(|(name, value)| format!("{name} is {value}")).collect();
        failure.facts.push(operands.join(", "));
        failure.facts.push(judgement.place.clone());
    }
    Some(failure)
}
