//! How far a change reaches: defaults and the stages that follow them, probes and the predicates that read them, variables
//! and where they stand, and what people approved that no longer covers the plan.

use super::facts::show_duration;
use super::renamed::Names;
use super::section::Section;
use super::{Class, Finding, Risk};
use crate::compile::Workflow;
use crate::guard::Check;
use crate::plan::Stage;
use crate::plan::keys::LeafValue;
use crate::sql::{Name, reads_setting};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Stages and addresses that a line names before it counts the others.
const NAMED: usize = 40;

/// A changed default is one finding with the stages it reaches, not one for each of them.
pub(super) fn gather(old: &Workflow, new: &Workflow, names: &Names, findings: Vec<Finding>) -> Vec<Finding> {
    let (before, after) = (&old.plan.defaults, &new.plan.defaults);
    let timeout =
        gathered("timeout", (before.timeout, after.timeout), |stage| stage.timeout, (old, new, names), findings);
    let lock = (before.lock_timeout, after.lock_timeout);
    gathered("lock_timeout", lock, |stage| stage.lock_timeout, (old, new, names), timeout)
}

fn gathered(
    key: &str,
    (before, after): (Duration, Duration),
    of: impl Fn(&Stage) -> Duration,
    (old, new, names): (&Workflow, &Workflow, &Names),
    findings: Vec<Finding>,
) -> Vec<Finding> {
    if before == after {
        return findings;
    }
    let follows = |finding: &Finding| {
        let Some(stage) = &finding.stage else { return false };
        let was = names.iter().find(|(_, now)| *now == stage).map_or(stage, |(was, _)| was);
        let own = |workflow: &Workflow, stage: &str| workflow.plan.stage(stage).map(|(_, stage)| of(stage));
        finding.address == format!("stage.{stage}.{key}")
            && own(old, was) == Some(before)
            && own(new, stage) == Some(after)
    };
    let (reached, mut kept): (Vec<Finding>, Vec<Finding>) = findings.into_iter().partition(follows);
    let stages: Vec<String> = reached.iter().filter_map(|finding| finding.stage.clone()).collect();
    let note = if stages.is_empty() { "no stage follows it".to_owned() } else { format!("reaches {}", named(&stages)) };
    let up = after > before;
    kept.push(Finding {
        risk: if up && !stages.is_empty() { Risk::Raised } else { Risk::Differs },
        class: if up { Class::Raised } else { Class::Lowered },
        what: "default",
        address: format!("defaults.{key}"),
        stage: None,
        old: Some(show_duration(before)),
        new: Some(show_duration(after)),
        old_place: None,
        new_place: None,
        notes: vec![note],
        diff: None,
        section: Section::Timeout,
        rank: Section::Timeout,
    });
    kept
}

/// Is it a probe or a variable that means something else now? A bound that is gone lets more through, and a default that is
/// new is taken where somebody was asked.
fn touched(finding: &Finding) -> bool {
    let key = finding.address.split('.').nth(2).unwrap_or_default();
    match (finding.section, finding.class) {
        (Section::Probe | Section::Var, Class::Changed) => true,
        (Section::Var, Class::Removed) => matches!(key, "min" | "max"),
        (Section::Var, Class::Added) => key == "default",
        _ => false,
    }
}

/// What is said of a sensitive variable where no text names it.
const MAY_BE_READ: &str = "no text names it whole; it is sensitive, and SQL may put the name of its setting together";

fn is_sensitive(plan: &Workflow, var: &str) -> bool {
    plan.plan.vars.iter().any(|one| one.name.value == var && one.sensitive)
}

/// Says who reads a probe or a variable that changed. What nobody reads raises no risk.
pub(super) fn note(new: &Workflow, findings: &mut [Finding]) {
    let mut readers: Option<BTreeMap<String, BTreeSet<String>>> = None;
    for finding in findings.iter_mut().filter(|finding| touched(finding)) {
        let readers = readers.get_or_insert_with(|| read_by(new));
        let owner = finding.address.split('.').take(2).collect::<Vec<_>>().join(".");
        let mut who: BTreeSet<String> = readers.get(&owner).cloned().unwrap_or_default();
        if let Some(var) = owner.strip_prefix("var.") {
            who.extend(standing(new, var));
        }
        if who.is_empty() && owner.strip_prefix("var.").is_some_and(|var| is_sensitive(new, var)) {
            finding.risk = Risk::Raised;
            finding.notes.push(MAY_BE_READ.to_owned());
        } else if who.is_empty() {
            finding.risk = Risk::Differs;
            finding.notes.push("nothing reads it".to_owned());
        } else {
            finding.risk = Risk::Raised;
            if finding.section == Section::Probe {
                let read = |what: &str| who.iter().any(|address| address.split('.').nth(2) == Some(what));
                let ranks = [("gate", Section::Gate), ("guard", Section::Guard), ("ensure", Section::Ensure)];
                let highest = ranks.into_iter().find(|(what, _)| read(what));
                finding.rank = highest.map_or(finding.rank, |(_, rank)| rank);
            }
            finding.notes.push(format!("read by {}", named(&who.into_iter().collect::<Vec<_>>())));
        }
    }
}

/// Addresses of predicates by what they read.
fn read_by(workflow: &Workflow) -> BTreeMap<String, BTreeSet<String>> {
    let mut readers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |address: &str, checks: &[Check]| {
        for check in checks {
            for name in check.predicate.names() {
                let read = match name {
                    Name::Now(probe) | Name::Before(probe) | Name::At { probe, .. } => format!("probe.{probe}"),
                    Name::Var(var) => format!("var.{var}"),
                    Name::Wrote(_) => continue,
                };
                let address = if check.name == "done_when" {
                    format!("{address}.done_when")
                } else {
                    format!("{address}.{}", check.name)
                };
                readers.entry(read).or_default().insert(address);
            }
        }
    };
    for (target, gates) in &workflow.gates {
        add(&format!("target.{target}.gate"), gates);
    }
    for stage in &workflow.stages {
        let name = &stage.head().name;
        add(&format!("stage.{name}.guard"), &stage.head().guards);
        add(&format!("stage.{name}.ensure"), stage.ensures());
        add(&format!("stage.{name}"), stage.other_checks());
    }
    for work in workflow.stages.iter().filter_map(|stage| stage.work()) {
        for probe in &work.monotonic {
            let reader = format!("stage.{}.monotonic", work.stage);
            readers.entry(format!("probe.{probe}")).or_default().insert(reader);
        }
    }
    readers
}

/// Probes, targets, keys of kinds and templates whose text names a variable, or reads it as a setting.
fn standing(workflow: &Workflow, var: &str) -> Vec<String> {
    let plan = &workflow.plan;
    let setting = format!("engine.var.{var}");
    let names = |text: &str| in_braces(text, var) || reads_setting(text, &setting);
    let probes = plan.probes.iter().filter(|probe| names(&probe.sql.value));
    let mut found: Vec<String> = probes.map(|probe| format!("probe.{}.sql", probe.name.value)).collect();
    let named = plan.targets.iter().filter(|t| t.database.as_ref().is_some_and(|d| names(&d.value)));
    found.extend(named.map(|target| format!("target.{}.database", target.name.value)));
    for stage in &plan.stages {
        let said = stage.body.leaves().into_iter().filter(|leaf| match &leaf.value {
            LeafValue::Text(text) => names(text),
            _ => false,
        });
        found.extend(said.map(|leaf| format!("stage.{}.{}", stage.name.value, leaf.shown)));
    }
    let templates = workflow.files.iter().filter(|(name, _)| name.starts_with("templates/"));
    found.extend(templates.filter(|(_, bytes)| names(&String::from_utf8_lossy(bytes))).map(|(name, _)| name.clone()));
    found
}

/// Does `{{ ... }}` or `{% ... %}` name the variable?
fn in_braces(text: &str, var: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let inner = &rest[at + 2..];
        let end = inner.find("}}").into_iter().chain(inner.find("%}")).min().unwrap_or(inner.len());
        if inner[..end].split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == var) {
            return true;
        }
        rest = &inner[end..];
    }
    false
}

fn named(names: &[String]) -> String {
    let mut words: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    words.extend((names.len() > NAMED).then(|| format!("{} more", names.len() - NAMED)));
    words.join(", ")
}

/// What belongs to no finding: packets that no longer fit, and warnings that are new.
pub(super) fn remarks(old: Option<&Workflow>, new: Option<&Workflow>, findings: &[Finding]) -> Vec<String> {
    let (Some(old), Some(new)) = (old, new) else { return Vec::new() };
    let mut remarks = Vec::new();
    for stage in new.plan.stages.iter().filter(|stage| stage.kind.value == "packet") {
        let carries = stage.of();
        let count = findings.iter().filter(|finding| reaching(stage, finding)).count();
        if count > 0 {
            remarks.push(format!(
                "approvals: {} what `{}` seals: a packet that was approved before is not this plan's",
                if count == 1 { "one finding reaches".to_owned() } else { format!("{count} findings reach") },
                stage.name.value
            ));
        }
        let left_out = findings.iter().filter(|f| f.section == Section::Stage && f.class == Class::Added);
        for added in left_out.filter_map(|finding| finding.stage.as_deref()) {
            let writes = new.index(added).is_some_and(|at| new.stages[at].work().is_some());
            if writes && !carries.iter().any(|one| one == added) {
                remarks.push(format!("packet `{}` does not carry the new stage `{added}`", stage.name.value));
            }
        }
    }
    let known: BTreeSet<&str> = old.warnings.0.iter().map(|warning| warning.message.as_str()).collect();
    let fresh = new.warnings.0.iter().filter(|warning| !known.contains(warning.message.as_str()));
    remarks.extend(fresh.map(|warning| format!("new warning: {}", warning.message)));
    remarks
}

/// Does a finding change what a packet of this stage would do?
pub(super) fn reaching(stage: &Stage, finding: &Finding) -> bool {
    let target = || stage.leaf("for").map(|target| target.line()).unwrap_or_default();
    let own = finding.stage.as_deref().is_some_and(|s| s == stage.name.value || stage.of().iter().any(|one| one == s));
    match finding.section {
        Section::Gate | Section::Never => finding.address.starts_with(&format!("target.{}.", target())),
        Section::Probe => finding.class == Class::Changed && finding.risk == Risk::Raised,
        Section::Setting | Section::Timeout => {
            own || finding.stage.is_none() && !finding.address.starts_with("target.")
        }
        Section::Doc
        | Section::Reject
        | Section::Proof
        | Section::Allow
        | Section::Lint
        | Section::Retry
        | Section::Needs => false,
        _ => own,
    }
}
