//! Which stages lost their order when `needs` changed. A need that is gone raises the risk only where a pair of stages
//! that had an order has none now, or the other one. And in which order a packet runs what it carries.

use super::facts::Facts;
use super::renamed::Names;
use super::section::Section;
use super::{Class, Finding, Risk};
use crate::compile::Workflow;
use crate::plan::Stage;
use std::collections::BTreeSet;

/// Stages that a line names before it counts the others.
const NAMED: usize = 20;

/// A stage and those it followed and follows no longer.
struct Lost<'w> {
    stage: &'w str,
    /// Without any order now.
    free: Several<'w>,
    /// They follow it now.
    turned: Several<'w>,
}

/// The first few of many stages, in the order of the file.
#[derive(Default)]
struct Several<'w> {
    first: Vec<&'w str>,
    count: usize,
}

impl<'w> Several<'w> {
    fn add(&mut self, stage: &'w str) {
        self.count += 1;
        self.first.extend((self.count <= NAMED).then_some(stage));
    }

    fn words(&self) -> String {
        let mut words: Vec<String> = self.first.iter().map(|stage| format!("`{stage}`")).collect();
        words.extend((self.count > NAMED).then(|| format!("{} more", self.count - NAMED)));
        words.join(", ")
    }
}

impl Lost<'_> {
    fn lines(&self) -> Vec<String> {
        let line = |stages: &Several<'_>, words: String| (stages.count > 0).then_some(words);
        let turned = line(&self.turned, format!("`{}` now runs before {}", self.stage, self.turned.words()));
        let free = line(&self.free, format!("`{}` may now start before {} ended", self.stage, self.free.words()));
        turned.into_iter().chain(free).collect()
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
        match of(finding) {
            Some(lost) => finding.notes.extend(lost.lines()),
            None => finding.notes.push("this stage lost no order".to_owned()),
        }
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
        first.notes.extend(further.iter().take(NAMED).flat_map(|lost| lost.lines()));
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
        let mut lost = Lost { stage, free: Several::default(), turned: Several::default() };
        for (old_other, new_other, other) in &both {
            if !old.plan.graph.upstream(*old_at, *old_other) || new.plan.graph.upstream(*new_at, *new_other) {
                continue;
            }
            if new.plan.graph.upstream(*new_other, *new_at) {
                lost.turned.add(other);
            } else {
                lost.free.add(other);
            }
        }
        lost
    };
    both.iter().map(lost).filter(|lost| lost.free.count + lost.turned.count > 0).collect()
}

/// Packets that would run in another order what they carried before: by needs, or because stages without an order among
/// them run in that of the file.
pub(super) fn packets(
    (old, new): (&Workflow, &Workflow),
    names: &Names,
    (before, after): (&Facts<'_>, &Facts<'_>),
    findings: &mut Vec<Finding>,
) {
    let now = |name: &str| names.get(name).map_or(name, String::as_str).to_owned();
    for packet in new.plan.stages.iter().filter(|stage| stage.kind.value == "packet") {
        let name = &packet.name.value;
        let Some(was) = old.plan.stages.iter().find(|stage| now(&stage.name.value) == *name) else { continue };
        let names_of = |side: &Workflow, packet: &Stage| -> Vec<String> {
            side.plan.carried(packet).into_iter().map(|at| side.plan.stages[at].name.value.clone()).collect()
        };
        let (mut old_order, mut new_order) = (names_of(old, was), names_of(new, packet));
        let carried: BTreeSet<String> = old_order.iter().map(|stage| now(stage)).collect();
        old_order.retain(|stage| new_order.contains(&now(stage)));
        new_order.retain(|stage| carried.contains(stage));
        if old_order.iter().map(|stage| now(stage)).eq(new_order.iter().cloned()) {
            continue;
        }
        let address = format!("stage.{name}");
        findings.push(Finding {
            risk: Risk::Raised,
            class: Class::Changed,
            what: "order in the packet",
            address: format!("stage.{name}.of"),
            stage: Some(name.clone()),
            old: Some(old_order.join(", ")),
            new: Some(new_order.join(", ")),
            old_place: before.place(&address),
            new_place: after.place(&address),
            notes: vec!["what has no order by its needs runs in that of the file".to_owned()],
            diff: None,
            section: Section::Sql,
            rank: Section::Sql,
        });
    }
}
