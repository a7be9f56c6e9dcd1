//! Which stages lost their order when `needs` changed. A need that is gone raises the risk only where a pair of stages
//! that had an order has none now.

use super::facts::Section;
use super::{Class, Finding, Risk};
use crate::compile::Workflow;
use std::collections::BTreeMap;

/// Stages that a line names before it counts the others.
const NAMED: usize = 20;

/// Gives each need that is gone its risk, and the pairs that became unordered.
pub(super) fn explain(old: &Workflow, new: &Workflow, findings: &mut [Finding]) {
    let gone = |finding: &&mut Finding| finding.section == Section::Needs && finding.class == Class::Removed;
    if !findings.iter_mut().any(|finding| gone(&finding)) {
        return;
    }
    let mut lost = unordered(old, new);
    let mut told: Vec<&mut Finding> = findings.iter_mut().filter(gone).collect();
    for finding in &mut told {
        let stage = finding.stage.clone().unwrap_or_default();
        match lost.remove(&stage) {
            Some(others) => {
                finding.risk = Risk::Raised;
                finding.notes.push(format!("`{stage}` may now start before {} ended", named(&others)));
            }
            None if finding.notes.is_empty() => {
                finding.notes.push("every pair of stages that had an order still has it".to_owned());
            }
            None => {}
        }
    }
    // Stages further down lost an order as well; the first need that is gone tells of them.
    if let (Some(first), false) = (told.iter_mut().find(|finding| finding.risk == Risk::Raised), lost.is_empty()) {
        let more = lost.len().saturating_sub(NAMED);
        let lines = lost.iter().take(NAMED);
        first
            .notes
            .extend(lines.map(|(stage, others)| format!("`{stage}` may now start before {} ended", named(others))));
        first.notes.extend((more > 0).then(|| format!("and {more} more stages lost an order")));
    }
}

/// Stages of both plans, each with those it followed and follows no longer.
fn unordered(old: &Workflow, new: &Workflow) -> BTreeMap<String, Vec<String>> {
    let both: Vec<(usize, usize, &str)> = (old.plan.stages.iter().enumerate())
        .filter_map(|(at, stage)| Some((at, new.index(&stage.name.value)?, stage.name.value.as_str())))
        .collect();
    let mut lost = BTreeMap::new();
    for (old_at, new_at, name) in &both {
        let unordered = both.iter().filter(|(old_other, new_other, _)| {
            old.plan.graph.upstream(*old_at, *old_other)
                && !new.plan.graph.upstream(*new_at, *new_other)
                && !new.plan.graph.upstream(*new_other, *new_at)
        });
        let others: Vec<String> = unordered.map(|(_, _, other)| (*other).to_owned()).collect();
        if !others.is_empty() {
            lost.insert((*name).to_owned(), others);
        }
    }
    lost
}

fn named(stages: &[String]) -> String {
    let mut words: Vec<String> = stages.iter().take(NAMED).map(|stage| format!("`{stage}`")).collect();
    words.extend((stages.len() > NAMED).then(|| format!("{} more", stages.len() - NAMED)));
    words.join(", ")
}
