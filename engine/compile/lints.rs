//! The linter's findings about all stages, with what the plan allows. Only who shows them asks: a run does not wait for it.
//!
//! A stage's script is looked at as it is sent: in one transaction, or outside of any. What a packet carries is looked at as
//! the packet sends it, all in one transaction: there an index on a table that an earlier stage makes keeps nobody waiting, and a
//! constraint that a later stage validates is validated too early.

use super::Workflow;
use crate::diag::{Diagnostic, Diagnostics, Place, Source};
use crate::proof::{Script, Work};
use crate::sql::{self, LintFinding, Sent};
use crate::stage::Allow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// One finding about a stage's SQL.
#[derive(Clone, Debug)]
pub struct Lint {
    /// squawk's name of the rule.
    pub rule: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub help: Option<String>,
    /// The stage whose SQL it is: of a packet one that it carries.
    pub stage: String,
    /// It is about the rollback.
    pub back: bool,
    /// Template of the script.
    pub template: String,
    /// Line of the rendered script, from 1.
    pub line: usize,
    /// The statement's verb, as in `ALTER TABLE`.
    pub statement: String,
    /// Where it stands: in the template, if rendering left that as it is, else in the rendered script.
    pub place: Place,
    /// Why it is allowed.
    pub allowed: Option<String>,
}

/// What there is to say of one stage.
#[derive(Clone, Debug, Default)]
pub struct StageLints {
    /// In order of the way forth, then of the way back.
    pub found: Vec<Lint>,
    /// Of a packet: what was found in a stage that it carries, and goes with it to production.
    pub carried: Vec<Lint>,
    /// Entries of `allow` that let nothing pass.
    pub unused: Vec<Allow>,
}

/// Findings by script: the same text sent in the same way is looked at once.
type Known<'w> = HashMap<(&'w str, Sent), Vec<LintFinding>>;

/// What a packet sends.
struct Packet {
    /// The stages it carries.
    of: BTreeSet<usize>,
    /// What is found when all of it is one transaction: by stage, in bytes of that stage's script.
    found: BTreeMap<usize, Vec<LintFinding>>,
}

/// Findings about all stages, by the plan's index.
pub fn lints(workflow: &Workflow) -> Vec<StageLints> {
    let works: Vec<Option<Arc<Work>>> = workflow.stages.iter().map(|stage| stage.work()).collect();
    let scripts: BTreeSet<(&str, Sent)> = works
        .iter()
        .flatten()
        .flat_map(|work| scripts(work))
        .map(|(script, sent)| (script.text.as_str(), sent))
        .collect();
    let known = all(scripts.into_iter().collect());
    let packets = packets(workflow, &works);
    let mut lints: Vec<StageLints> = Vec::with_capacity(works.len());
    for (index, work) in works.iter().enumerate() {
        let found = match (work, packets.get(&index)) {
            (Some(work), _) => {
                let found = of_stage(workflow, index, work, &known, &packets);
                StageLints { found, ..StageLints::default() }
            }
            (None, Some(packet)) => of_packet(workflow, index, packet, &works, &known),
            (None, None) => StageLints::default(),
        };
        lints.push(found);
    }
    unused(workflow, &mut lints);
    lints
}

/// Findings that nothing allows, and entries of `allow` that let nothing pass, as warnings.
pub fn lint_warnings(workflow: &Workflow, lints: &[StageLints]) -> Diagnostics {
    let mut out = Diagnostics::default();
    for (stage, lints) in workflow.stages.iter().zip(lints) {
        let name = &stage.head().name;
        lints.found.iter().filter(|lint| lint.allowed.is_none()).for_each(|lint| out.push(warning(name, lint)));
        lints.unused.iter().for_each(|allow| out.push(unused_warning(name, allow)));
    }
    out
}

fn warning(stage: &str, lint: &Lint) -> Diagnostic {
    let label = match (lint.back, lint.stage == stage) {
        (true, _) => format!("in the rollback of `{stage}`"),
        (false, true) => format!("in stage `{stage}`"),
        (false, false) => format!("in packet `{stage}`, which is one transaction"),
    };
    let allow = format!("if it is no harm, say why in `[stage.{stage}]`: allow.{} = \"...\"", lint.rule);
    let help = lint.help.as_ref().map_or_else(|| allow.clone(), |help| format!("{help}; {allow}"));
    Diagnostic::new(lint.rule, &lint.message, lint.place.clone()).label(label).help(help).warning()
}

fn unused_warning(stage: &str, allow: &Allow) -> Diagnostic {
    let message = format!("`allow.{}` of `{stage}` lets nothing pass", allow.rule);
    let found = Diagnostic::new("unused-allow", message, allow.place.clone()).label("the rule finds nothing here");
    found.help("remove it, or it lets pass what somebody writes later").warning()
}

/// The scripts of a stage that change something, and how each is sent.
fn scripts(work: &Work) -> impl Iterator<Item = (&Script, Sent)> {
    let (forth, back) = if work.alone { (Sent::Alone, Sent::AloneBack) } else { (Sent::Forward, Sent::Back) };
    std::iter::once((&work.forward, forth)).chain(work.rollback.iter().map(move |script| (script, back)))
}

/// Looks at all of them, on all cores where there are many.
fn all(scripts: Vec<(&str, Sent)>) -> Known<'_> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = scripts.len().div_ceil(cores).max(64);
    let look = |some: &[(&str, Sent)]| -> Vec<Vec<LintFinding>> {
        some.iter().map(|(text, sent)| sql::lint(text, *sent)).collect()
    };
    let found: Vec<Vec<LintFinding>> = std::thread::scope(|scope| {
        let crew: Vec<_> = scripts.chunks(share).map(|some| scope.spawn(move || look(some))).collect();
        let ended = crew.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.flatten().collect()
    });
    scripts.into_iter().zip(found).collect()
}

/// Each packet as it sends what it carries.
fn packets(workflow: &Workflow, works: &[Option<Arc<Work>>]) -> BTreeMap<usize, Packet> {
    let mut packets = BTreeMap::new();
    for (index, stage) in workflow.plan.stages.iter().enumerate().filter(|(_, s)| s.kind.value == "packet") {
        let of = workflow.plan.carried(stage);
        let (mut text, mut starts) = (String::new(), Vec::new());
        for (stage, work) in of.iter().filter_map(|stage| Some((*stage, works[*stage].as_ref()?))) {
            starts.push((text.len(), stage));
            text.push_str(&work.forward.text);
            text.push_str("\n;\n");
        }
        let mut found: BTreeMap<usize, Vec<LintFinding>> = BTreeMap::new();
        for mut finding in sql::lint(&text, Sent::Forward) {
            let at = starts.partition_point(|(start, _)| *start <= finding.span.start);
            let Some((start, stage)) = at.checked_sub(1).map(|at| starts[at]) else { continue };
            finding.span = finding.span.start - start..finding.span.end - start;
            found.entry(stage).or_default().push(finding);
        }
        packets.insert(index, Packet { of: of.into_iter().collect(), found });
    }
    packets
}

/// What was found in the scripts of a stage. Of a stage that goes to production in packets only what holds in one of these.
fn of_stage(
    workflow: &Workflow,
    index: usize,
    work: &Work,
    known: &Known<'_>,
    packets: &BTreeMap<usize, Packet>,
) -> Vec<Lint> {
    let mut carriers = packets.values().filter(|packet| packet.of.contains(&index)).peekable();
    let carried = carriers.peek().is_some();
    let sealed: Vec<&LintFinding> = carriers.filter_map(|packet| packet.found.get(&index)).flatten().collect();
    let holds = |finding: &LintFinding| sealed.iter().any(|other| same(finding, other));
    let mut lints = Vec::new();
    for (script, sent) in scripts(work) {
        let back = !std::ptr::eq(script, &raw const work.forward);
        let found = known.get(&(script.text.as_str(), sent)).map_or(&[][..], Vec::as_slice);
        let found: Vec<&LintFinding> = found.iter().filter(|finding| back || !carried || holds(finding)).collect();
        lints.extend(described(workflow, index, script, back, &found));
    }
    lints
}

/// What holds in all that a packet carries: what is new once it is one transaction, and what its stages say as well.
fn of_packet(
    workflow: &Workflow,
    index: usize,
    packet: &Packet,
    works: &[Option<Arc<Work>>],
    known: &Known<'_>,
) -> StageLints {
    let mut lints = StageLints::default();
    for (stage, work) in packet.of.iter().filter_map(|stage| Some((*stage, works[*stage].as_ref()?))) {
        let alone = known.get(&(work.forward.text.as_str(), Sent::Forward)).map_or(&[][..], Vec::as_slice);
        let sealed = packet.found.get(&stage).into_iter().flatten();
        let (told, new): (Vec<_>, Vec<_>) = sealed.partition(|finding| alone.iter().any(|own| same(own, finding)));
        let mut new = described(workflow, stage, &work.forward, false, &new);
        for lint in new.iter_mut().filter(|lint| lint.allowed.is_none()) {
            lint.allowed = reason(&workflow.stages[index].head().allow, lint.rule);
        }
        lints.found.extend(new);
        lints.carried.extend(described(workflow, stage, &work.forward, false, &told));
    }
    lints
}

fn same(one: &LintFinding, other: &LintFinding) -> bool {
    // Where it ends hangs on what follows.
    one.rule == other.rule && one.span.start == other.span.start
}

/// Findings in a script of the stage with this index, with place and statement.
fn described(workflow: &Workflow, index: usize, script: &Script, back: bool, found: &[&LintFinding]) -> Vec<Lint> {
    if found.is_empty() {
        return Vec::new();
    }
    let head = workflow.stages[index].head();
    let rendered = format!("sql/{}/{}{}.sql", workflow.plan.name, head.name, if back { ".rollback" } else { "" });
    let shown = if script.as_written { &script.template } else { &rendered };
    let source = Source::new(shown, script.text.clone());
    let one = |finding: &&LintFinding| {
        let start = finding.span.start;
        let statement = script.statements.iter().rfind(|statement| statement.span.start <= start);
        Lint {
            rule: finding.rule,
            message: finding.message.clone(),
            help: finding.help.clone(),
            stage: head.name.clone(),
            back,
            template: script.template.clone(),
            line: source.line(start),
            statement: statement.map(|statement| statement.verb.clone()).unwrap_or_default(),
            place: Place::new(&source, finding.span.clone()),
            allowed: reason(&head.allow, finding.rule),
        }
    };
    found.iter().map(one).collect()
}

fn reason(allows: &[Allow], rule: &str) -> Option<String> {
    allows.iter().find(|allow| allow.rule == rule).map(|allow| allow.reason.clone())
}

/// Entries of `allow` of whose rule nothing was found: in the stage, or in a packet that carries it.
fn unused(workflow: &Workflow, lints: &mut [StageLints]) {
    let mut used: BTreeSet<(String, &'static str)> = BTreeSet::new();
    for (stage, lints) in workflow.stages.iter().zip(&*lints) {
        for lint in &lints.found {
            used.insert((stage.head().name.clone(), lint.rule));
            used.insert((lint.stage.clone(), lint.rule));
        }
    }
    for (stage, lints) in workflow.stages.iter().zip(lints) {
        let head = stage.head();
        let spare = head.allow.iter().filter(|allow| !used.contains(&(head.name.clone(), allow.rule)));
        lints.unused = spare.cloned().collect();
    }
}
