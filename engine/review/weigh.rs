//! What it means that a fact is another now: one table of rules.

use super::facts::{Fact, Facts, Value, both_shown, owner};
use super::section::Section;
use super::{Class, Finding, Risk, sql};
use crate::sql::{Weight, weigh};

/// Findings over all facts whose table is there on both sides.
pub(super) fn findings(before: &Facts<'_>, after: &Facts<'_>) -> Vec<Finding> {
    let stands = |address: &str| {
        let owner = owner(address);
        before.owners.contains_key(owner) == after.owners.contains_key(owner)
    };
    let one = |address: &String| {
        let (old, new) = (before.all.get(address), after.all.get(address));
        let values = (old.map(|fact| &fact.value), new.map(|fact| &fact.value));
        if values.0 == values.1 || !stands(address) || said_elsewhere(address, before, after) {
            return None;
        }
        let section = new.or(old)?.section;
        let (class, risk) = weighed(section, values.0, values.1)?;
        Some(finding(address, section, (class, risk), before, after))
    };
    let new = after.all.keys().filter(|address| !before.all.contains_key(*address));
    before.all.keys().chain(new).filter_map(one).collect()
}

/// The finding about one address.
pub(super) fn finding(
    address: &str,
    section: Section,
    (class, risk): (Class, Risk),
    before: &Facts<'_>,
    after: &Facts<'_>,
) -> Finding {
    let (old, new) = (before.all.get(address).map(Fact::said), after.all.get(address).map(Fact::said));
    let (old_shown, new_shown) = match (old, new) {
        (Some(old), Some(new)) => {
            let (old, new) = both_shown(old, new);
            (Some(old), Some(new))
        }
        _ => (old.map(Value::shown), new.map(Value::shown)),
    };
    let script = |value: Option<&Value>| match value {
        Some(Value::Script(text)) => text.clone(),
        _ => String::new(),
    };
    let scripts = [old, new].iter().any(|value| matches!(value, Some(Value::Script(_))));
    let stage = address.strip_prefix("stage.").map(|rest| rest.split('.').next().unwrap_or(rest).to_owned());
    Finding {
        risk,
        class,
        what: section.word(),
        address: address.to_owned(),
        stage,
        old: old_shown,
        new: new_shown,
        old_place: before.place(address),
        new_place: after.place(address),
        notes: Vec::new(),
        diff: scripts.then(|| sql::unified(&script(old), &script(new))),
        section,
        rank: section,
    }
}

/// That a rollback or a case of a reject is there or not is one finding, not one for each of its keys.
fn said_elsewhere(address: &str, before: &Facts<'_>, after: &Facts<'_>) -> bool {
    let both = |address: &str| before.all.contains_key(address) && after.all.contains_key(address);
    if both(address) {
        return false;
    }
    // By place, not by word: stages, rejects and tables may be called like keys.
    let parts: Vec<&str> = address.split('.').collect();
    match parts.as_slice() {
        ["stage", _, "rollback" | "traffic", "sql"] => true,
        ["stage", stage, "reject", reject, "refuse", case, _] => {
            !both(&format!("stage.{stage}.reject.{reject}.refuse.{case}.error"))
        }
        _ => false,
    }
}

/// The table. `None`: no meaning changed.
fn weighed(section: Section, old: Option<&Value>, new: Option<&Value>) -> Option<(Class, Risk)> {
    Some(match (old, new) {
        (None, None) => return None,
        (None, Some(_)) => (Class::Added, added(section)),
        (Some(_), None) => (Class::Removed, removed(section)),
        (Some(Value::Predicate(old)), Some(Value::Predicate(new))) => return predicate(section, old, new),
        // A probe's text is in the plan, and its layout is the plan's.
        (Some(Value::Script(old)), Some(Value::Script(new))) => {
            return Some(sql::weighed(old, new))
                .filter(|(class, _)| section != Section::Probe || *class == Class::Changed);
        }
        (Some(Value::Most(old)), Some(Value::Most(new))) => {
            let high = |most: &Option<u64>| most.unwrap_or(u64::MAX);
            number(section, high(new) > high(old))
        }
        (Some(Value::Longest(old)), Some(Value::Longest(new))) => number(section, new > old),
        (Some(Value::Times(old)), Some(Value::Times(new))) => number(section, new > old),
        (Some(Value::Rank(old, _)), Some(Value::Rank(new, _))) if new > old => (Class::Loosened, Risk::Raised),
        (Some(Value::Rank(..)), Some(Value::Rank(..))) => (Class::Tightened, Risk::Differs),
        _ => (Class::Changed, changed(section)),
    })
}

/// A predicate is loosened or tightened only where that can be decided. What says that a stage is done already, or that no
/// more batches are needed, is a risk in both directions.
fn predicate(section: Section, old: &str, new: &str) -> Option<(Class, Risk)> {
    let both_ways = matches!(section, Section::DoneWhen | Section::Batch);
    Some(match weigh(old, new) {
        Weight::Respelled => return None,
        Weight::Equal => (Class::Reworded, Risk::None),
        Weight::Loosened => (Class::Loosened, Risk::Raised),
        Weight::Tightened if both_ways => (Class::Tightened, Risk::Raised),
        Weight::Tightened => (Class::Tightened, Risk::Differs),
        Weight::Undecided => (Class::Changed, Risk::Raised),
    })
}

fn number(section: Section, up: bool) -> (Class, Risk) {
    match (up, section) {
        (true, Section::Retry) => (Class::Raised, Risk::Differs),
        (true, _) => (Class::Raised, Risk::Raised),
        (false, _) => (Class::Lowered, Risk::Differs),
    }
}

fn added(section: Section) -> Risk {
    match section {
        Section::Never
        | Section::Gate
        | Section::Guard
        | Section::Ensure
        | Section::Proof
        | Section::Reject
        | Section::Probe
        | Section::Rollback
        | Section::Needs
        | Section::Timeout
        | Section::Var
        | Section::Retry => Risk::Differs,
        Section::Doc => Risk::None,
        _ => Risk::Raised,
    }
}

fn removed(section: Section) -> Risk {
    match section {
        Section::Alters
        | Section::Ignore
        | Section::Allow
        | Section::Lint
        | Section::Needs
        | Section::Reason
        | Section::Probe
        | Section::Var
        | Section::Retry => Risk::Differs,
        Section::Doc => Risk::None,
        _ => Risk::Raised,
    }
}

fn changed(section: Section) -> Risk {
    match section {
        Section::Timeout | Section::Reason | Section::Allow | Section::Retry => Risk::Differs,
        Section::Doc => Risk::None,
        _ => Risk::Raised,
    }
}
