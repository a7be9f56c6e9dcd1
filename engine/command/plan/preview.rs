//! What a plan would do now, as one document: `engine plan --json` prints it, `-o` keeps it.

use super::estimate::{self, Estimate};
use super::lint::Lints;
use super::production::{self, Touches};
use crate::clock;
use crate::compile::{self, Workflow};
use crate::diag::Source;
use crate::digest;
use crate::event::{Event, Failure, Identity, Judgement, Reading, Truth};
use crate::guard::{self, Check, Values};
use crate::probe::{self, Query};
use crate::proof::Work;
use crate::run::Binding;
use crate::sql::{self, Name};
use crate::target::Isolation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole of it. Its form is stable: `v` is 1, keys are added and never change their meaning.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Preview {
    /// 1.
    pub v: u32,
    /// `preview`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Version of the engine that took it.
    pub engine: String,
    /// When, RFC 3339.
    pub taken: String,
    /// Name of the plan.
    pub plan: String,
    /// The plan file, as it was typed.
    pub path: String,
    /// Digest of version and all inputs.
    pub genesis: String,
    /// What `run.date` means, YYYYMMDD.
    pub date: String,
    /// Variables as they would be typed; of a sensitive one where its value is, never the value.
    pub vars: BTreeMap<String, String>,
    /// SHA-256 of plan, templates and variables, by name.
    pub inputs: BTreeMap<String, String>,
    /// SHA-256 of every rendered file, by its name below `sql/PLAN/`.
    pub rendered: BTreeMap<String, String>,
    /// Targets that were reached.
    pub targets: Vec<Target>,
    /// Readings by probe. Probes of clones have none before there is one.
    pub readings: BTreeMap<String, Reading>,
    /// Probes whose reading has to be the same when this is applied.
    pub pinned: Vec<String>,
    /// Stages in the order in which they may start.
    pub stages: Vec<Stage>,
    /// Gates by target, as they stand: nothing is authorised by it.
    pub gates: BTreeMap<String, Vec<Judged>>,
}

/// One target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Name in the plan.
    pub name: String,
    /// Host and port, or socket.
    pub place: String,
    /// The clone's database, if it is one.
    pub clone: Option<String>,
    /// Who and where; of a clone that of the server which would make it.
    pub identity: Identity,
    /// Powers to write that its role has.
    pub powers: Vec<String>,
    /// What the plan waives on the way there.
    pub waived: Vec<String>,
    /// What may be done there at all, as facts.
    pub touched: String,
}

/// One stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stage {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Target.
    pub on: Option<String>,
    /// What it waits for.
    pub needs: Vec<String>,
    /// Earliest place in the run: 1 for what waits for nothing.
    pub wave: usize,
    /// How many stages may run at the same time as this one, and the first of them.
    pub beside: Beside,
    /// What it reads and what it can write.
    pub touches: Touches,
    /// Template of its SQL.
    pub template: Option<String>,
    /// Its statements, in order.
    pub statements: Vec<Statement>,
    /// Tables it may write, each with the most row changes; without: any number.
    pub writes: Vec<Writes>,
    /// Objects whose definition it may change.
    pub alters: Vec<String>,
    /// Its guards as they stand.
    pub guards: Vec<Judged>,
    /// What the linter says of its SQL, as hints about production. Previews of older engines have none.
    #[serde(default)]
    pub lints: Lints,
}

/// Stages without an order between them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Beside {
    /// How many.
    pub count: usize,
    /// At most eight of them.
    pub first: Vec<String>,
}

/// A bound.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Writes {
    /// Table as the plan writes it.
    pub table: String,
    /// Most row changes.
    pub most: Option<u64>,
}

/// One statement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// As in `INSERT`.
    pub verb: String,
    /// Line of the rendered file.
    pub line: usize,
    /// Mode of the table lock by relation, as LOCK TABLE spells it.
    pub locks: BTreeMap<String, String>,
    /// Where its text does not say what else it locks.
    pub locks_not_known: Vec<String>,
    /// What the planner of the source says.
    pub estimate: Estimate,
}

/// A predicate as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Judged {
    /// `pass`, `block`, `not evaluable`, or `not yet`: it reads what is not there before the run.
    pub state: String,
    /// The predicate and its operands.
    pub judgement: Judgement,
}

/// Takes a preview: read-only on every target.
///
/// # Errors
/// A target cannot be reached.
pub async fn take(workflow: &Workflow, binding: &Binding, date: &str, pinned: Vec<String>) -> Result<Preview, Failure> {
    let readings = read(workflow, binding, None).await?;
    let estimates = estimate::all(workflow, binding).await?;
    let mut gates = BTreeMap::new();
    for (target, checks) in &workflow.gates {
        gates.insert(target.clone(), judged(checks, binding, &readings, workflow).await?);
    }
    let waves = waves(workflow);
    let lints = compile::lints(workflow);
    let mut stages = Vec::with_capacity(workflow.stages.len());
    for index in workflow.plan.graph.order() {
        let head = workflow.stages[*index].head();
        let guards = judged(&head.guards, binding, &readings, workflow).await?;
        let estimates = estimates.get(&head.name).map_or(&[][..], Vec::as_slice);
        let stage = stage(workflow, *index, waves[*index], guards, estimates);
        stages.push(Stage { lints: Lints::from(&lints[*index]), ..stage });
    }
    Ok(Preview {
        v: 1,
        kind: "preview".to_owned(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        taken: clock::now(),
        plan: workflow.plan.name.clone(),
        path: workflow.plan.source.path.clone(),
        genesis: workflow.genesis.clone(),
        date: date.to_owned(),
        vars: workflow.typed.clone(),
        inputs: workflow.inputs.clone(),
        rendered: rendered(workflow),
        targets: targets(workflow, binding),
        readings,
        pinned,
        stages,
        gates,
    })
}

/// Digest of each rendered file.
pub(super) fn rendered(workflow: &Workflow) -> BTreeMap<String, String> {
    workflow.lock.iter().map(|file| (file.name.clone(), digest::hex(file.text.as_bytes()))).collect()
}

/// The targets as they were bound.
pub(super) fn targets(workflow: &Workflow, binding: &Binding) -> Vec<Target> {
    let target = |event: &Event| {
        let Event::TargetBound { target, place, clone, identity, powers, waived, .. } = event else { return None };
        Some(Target {
            name: target.clone(),
            place: place.clone(),
            clone: clone.clone(),
            identity: identity.clone(),
            powers: powers.clone(),
            waived: waived.clone(),
            touched: production::of_target(workflow, target),
        })
    };
    binding.events.iter().filter_map(target).collect()
}

/// Readings of the probes on targets that are there; only those named in `only`, if it is given.
pub(super) async fn read(
    workflow: &Workflow,
    binding: &Binding,
    only: Option<&[String]>,
) -> Result<BTreeMap<String, Reading>, Failure> {
    let wanted = |query: &&Query| only.is_none_or(|only| only.contains(&query.name));
    let mut readings = BTreeMap::new();
    for (name, plain) in &binding.targets.plain {
        let queries: Vec<&Query> = workflow.probes.values().filter(|q| q.target == *name).filter(wanted).collect();
        let tx = plain.reader.begin("preview", Isolation::Snapshot).await?;
        for reading in probe::read(&tx, &queries).await? {
            readings.insert(reading.probe.clone(), reading);
        }
        tx.finish().await?;
    }
    Ok(readings)
}

async fn judged(
    checks: &[Check],
    binding: &Binding,
    readings: &BTreeMap<String, Reading>,
    workflow: &Workflow,
) -> Result<Vec<Judged>, Failure> {
    let known = |name: &Name| match name {
        Name::Now(probe) => readings.contains_key(probe),
        Name::Var(_) => true,
        _ => false,
    };
    let (now, later): (Vec<Check>, Vec<Check>) = checks.iter().cloned().partition(|c| c.predicate.names().all(known));
    let mut all = Vec::with_capacity(checks.len());
    let plain = binding.targets.plain.values().next();
    match plain {
        Some(plain) if !now.is_empty() => {
            let tx = plain.reader.begin("preview", Isolation::Fresh).await?;
            let values = Values { now: readings.clone(), vars: workflow.vars.clone(), ..Values::default() };
            let judgements = guard::judge(&tx, &now, &values).await?;
            tx.finish().await?;
            all.extend(judgements.into_iter().map(|judgement| Judged { state: word(judgement.truth), judgement }));
        }
        _ => {}
    }
    all.extend(later.into_iter().map(not_yet));
    Ok(all)
}

fn word(truth: Truth) -> String {
    match truth {
        Truth::True => "pass",
        Truth::False => "block",
        Truth::NotEvaluable => "not evaluable",
    }
    .to_owned()
}

fn not_yet(check: Check) -> Judged {
    let why = "it reads what is there only once earlier stages have ended".to_owned();
    let judgement = Judgement {
        name: check.name,
        text: check.predicate.text,
        truth: Truth::NotEvaluable,
        operands: Vec::new(),
        problem: Some(why),
        place: check.place,
    };
    Judged { state: "not yet".to_owned(), judgement }
}

/// The earliest place of each stage: one more than the latest of what it needs.
fn waves(workflow: &Workflow) -> Vec<usize> {
    let graph = &workflow.plan.graph;
    let mut waves = vec![1; workflow.stages.len()];
    for index in graph.order() {
        waves[*index] = graph.needs(*index).iter().map(|need| waves[*need] + 1).max().unwrap_or(1);
    }
    waves
}

fn stage(workflow: &Workflow, index: usize, wave: usize, guards: Vec<Judged>, estimates: &[Estimate]) -> Stage {
    let compiled = &workflow.stages[index];
    let (head, work) = (compiled.head(), compiled.work());
    let work = work.as_deref();
    Stage {
        name: head.name.clone(),
        kind: head.kind.to_owned(),
        on: head.on.clone(),
        needs: workflow.plan.stages[index].needs.iter().map(|need| need.value.clone()).collect(),
        wave,
        beside: beside(workflow, index),
        touches: production::of_stage(workflow, index),
        template: work.map(|work| work.forward.template.clone()),
        statements: work.map(|work| statements(work, estimates)).unwrap_or_default(),
        writes: work
            .into_iter()
            .flat_map(|w| &w.writes)
            .map(|b| Writes { table: b.table.clone(), most: b.most })
            .collect(),
        alters: work.map(|work| work.alters.clone()).unwrap_or_default(),
        guards,
        lints: Lints::default(),
    }
}

/// No order between the two, and neither waits for its turn at their target.
fn beside(workflow: &Workflow, index: usize) -> Beside {
    let graph = &workflow.plan.graph;
    let own = &workflow.stages[index];
    let parallel = own.head().on.as_ref().and_then(|on| workflow.plan.target(on)).is_some_and(|target| target.parallel);
    let mut beside = Beside::default();
    for other in graph.order().iter().filter(|other| **other != index) {
        let stage = &workflow.stages[*other];
        let here = own.head().on.is_some() && own.head().on == stage.head().on;
        let turns = own.writes_target() && stage.writes_target() && !parallel;
        let alone = own.alone_on_target() || stage.alone_on_target();
        if graph.upstream(index, *other) || graph.upstream(*other, index) || here && (turns || alone) {
            continue;
        }
        beside.count += 1;
        if beside.first.len() < 8 {
            beside.first.push(stage.head().name.clone());
        }
    }
    beside
}

fn statements(work: &Work, estimates: &[Estimate]) -> Vec<Statement> {
    let source = Source::new(&work.forward.template, work.forward.text.clone());
    let statements = work.forward.statements.iter().enumerate();
    statements
        .map(|(number, statement)| {
            let locks = sql::locks(statement);
            Statement {
                verb: statement.verb.clone(),
                line: source.line(statement.span.start),
                locks: locks.tables.into_iter().map(|(table, mode)| (table, mode.words().to_owned())).collect(),
                locks_not_known: locks.unknown,
                estimate: estimates.get(number).cloned().unwrap_or_default(),
            }
        })
        .collect()
}
