//! Tables that are new or gone as a whole: a stage, a target, a probe, a variable. One finding each, and one more for
//! everything of a new stage that widens what may happen.

use super::facts::{Facts, Owner, Value};
use super::section::Section;
use super::weigh::finding;
use super::{Class, Finding, Risk};

/// Findings over tables that are there on one side only.
pub(super) fn findings(before: &Facts<'_>, after: &Facts<'_>) -> Vec<Finding> {
    let whole = before.owners.is_empty() || after.owners.is_empty();
    // Of a plan that is new or gone as a whole, its stages and targets say enough.
    let told = |owner: &Owner| !whole || matches!(owner.section, Section::Stage | Section::Target);
    let mut found = Vec::new();
    for (address, owner) in
        before.owners.iter().filter(|(address, owner)| !after.owners.contains_key(*address) && told(owner))
    {
        let risk = if risky_to_lose(address, owner, before) { Risk::Raised } else { Risk::Differs };
        let mut gone = finding(address, owner.section, (Class::Removed, risk), before, after);
        gone.old = Some(before.summary(address));
        gone.notes = lost(address, owner, before);
        found.push(gone);
    }
    for (address, owner) in
        after.owners.iter().filter(|(address, owner)| !before.owners.contains_key(*address) && told(owner))
    {
        let risk = if matches!(owner.section, Section::Stage | Section::Target) { Risk::Raised } else { Risk::Differs };
        let mut new = finding(address, owner.section, (Class::Added, risk), before, after);
        new.new = Some(after.summary(address));
        found.push(new);
        found.extend(widened(address, before, after));
    }
    found
}

/// What a new stage may change, what it says it does without, and its SQL; what a new stage or target demands.
fn widened(owner: &str, before: &Facts<'_>, after: &Facts<'_>) -> Vec<Finding> {
    let of = after.all.range(format!("{owner}.")..format!("{owner}/"));
    let told = of.filter(|(address, fact)| match fact.section {
        Section::Writes
        | Section::Alters
        | Section::Ignore
        | Section::Allow
        | Section::Lint
        | Section::Reason
        | Section::Gate
        | Section::Guard
        | Section::Ensure => true,
        Section::Sql | Section::Rollback => last(address) == "sql",
        _ => false,
    });
    let risk = |section| match section {
        Section::Gate | Section::Guard | Section::Ensure => Risk::Differs,
        _ => Risk::Raised,
    };
    told.map(|(address, fact)| finding(address, fact.section, (Class::Added, risk(fact.section)), before, after))
        .collect()
}

/// A stage is a promise; a target without gates and `never` promises nothing.
fn risky_to_lose(address: &str, owner: &Owner, before: &Facts<'_>) -> bool {
    match owner.section {
        Section::Stage => true,
        Section::Target => !lost(address, owner, before).is_empty(),
        _ => false,
    }
}

/// The promises that went with it, by their addresses.
fn lost(owner: &str, what: &Owner, before: &Facts<'_>) -> Vec<String> {
    if !matches!(what.section, Section::Stage | Section::Target) {
        return Vec::new();
    }
    let of = before.all.range(format!("{owner}.")..format!("{owner}/"));
    let promises = [Section::Never, Section::Gate, Section::Guard, Section::Ensure, Section::Proof];
    let lost = of.filter(|(address, fact)| promises.contains(&fact.section) && last(address) != "level");
    lost.map(|(address, fact)| match fact.value {
        Value::There => format!("with it goes `{address}`"),
        _ => format!("with it goes `{address}`: {}", fact.said().shown().replace('`', "'")),
    })
    .collect()
}

fn last(address: &str) -> &str {
    address.rsplit('.').next().unwrap_or(address)
}
