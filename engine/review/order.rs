//! Which stages lost their order when `needs` changed. A need that is gone raises the risk only where a pair of stages
//! that had an order has none now.

use super::renamed::Names;
use super::section::Section;
use super::{Class, Finding, Risk};
use crate::compile::Workflow;

/// Stages that a line names before it counts the others.
const NAMED: usize = 20;

/// A stage and those it followed and follows no longer.
struct Lost<'w> {
    stage: &'w str,
    /// The first of them, in the order of the file.
    first: Vec<&'w str>,
    count: usize,
}

impl Lost<'_> {
    fn line(&self) -> String {
        let mut words: Vec<String> = self.first.iter().map(|stage| format!("`{stage}`")).collect();
        words.extend((self.count > NAMED).then(|| format!("{} more", self.count - NAMED)));
        format!("`{}` may now start before {} ended", self.stage, words.join(", "))
    }
}

/// Gives each need that is gone its risk, and the pairs that became unordered.
pub(super) fn explain(old: &Workflow, new: &Workflow, names: &Names, findings: &mut [Finding]) {
    let gone = |finding: &&mut Finding| finding.section == Section::Needs && finding.class == Class::Removed;
    let mut told: Vec<&mut Finding> = findings.iter_mut().filter(gone).collect();
    if told.is_empty() {
        return;
    }
    let lost = unordered(old, new, names);
    let of = |finding: &Finding| lost.iter().find(|lost| finding.stage.as_deref() == Some(lost.stage));
    for finding in &mut told {
        finding.notes.push(match of(finding) {
            Some(lost) => lost.line(),
            None => "every pair of stages that had an order still has it".to_owned(),
        });
        if of(finding).is_some() {
            finding.risk = Risk::Raised;
        }
    }
    // Stages further down lost an order as well; the first need that is gone tells of them.
    let own: Vec<String> = told.iter().filter_map(|finding| finding.stage.clone()).collect();
    let further: Vec<&Lost<'_>> = lost.iter().filter(|lost| !own.iter().any(|own| own == lost.stage)).collect();
    let first = if told.iter().any(|finding| finding.risk == Risk::Raised) {
        told.iter_mut().find(|finding| finding.risk == Risk::Raised)
    } else {
        told.first_mut()
    };
    if let (Some(first), false) = (first, further.is_empty()) {
        first.risk = Risk::Raised;
        first.notes.extend(further.iter().take(NAMED).map(|lost| lost.line()));
        let more = further.len().saturating_sub(NAMED);
        first.notes.extend((more > 0).then(|| format!("and {more} more stages lost an order")));
    }
}

/// Stages of both plans that lost an order, in the order of the old file.
fn unordered<'w>(old: &'w Workflow, new: &Workflow, names: &'w Names) -> Vec<Lost<'w>> {
    let now = |name: &'w String| names.get(name).unwrap_or(name).as_str();
    let both: Vec<(usize, usize, &str)> = (old.plan.stages.iter().enumerate())
        .filter_map(|(at, stage)| Some((at, new.index(now(&stage.name.value))?, now(&stage.name.value))))
        .collect();
    let lost = |(old_at, new_at, stage): &(usize, usize, &'w str)| {
        let mut lost = Lost { stage, first: Vec::new(), count: 0 };
        for (old_other, new_other, other) in &both {
            let unordered = old.plan.graph.upstream(*old_at, *old_other)
                && !new.plan.graph.upstream(*new_at, *new_other)
                && !new.plan.graph.upstream(*new_other, *new_at);
            if unordered {
                lost.count += 1;
                lost.first.extend((lost.count <= NAMED).then_some(*other));
            }
        }
        lost
    };
    both.iter().map(lost).filter(|lost| lost.count > 0).collect()
}
