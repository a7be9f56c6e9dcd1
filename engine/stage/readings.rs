//! Taking the readings that predicates name, and judging them.

use super::{Cx, Head};
use crate::event::{Event, Failure, Moment, Reading, Role};
use crate::guard::{self, Check, Values};
use crate::probe::{self, Query};
use crate::sql::{Name, Use};
use crate::target::{Isolation, Tx};
use std::collections::{BTreeMap, BTreeSet};

/// Probes named in predicates: those read now, and those read before.
pub fn wanted<'c>(checks: impl IntoIterator<Item = &'c Check>) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut now, mut before) = (BTreeSet::new(), BTreeSet::new());
    for Use { name, .. } in checks.into_iter().flat_map(|check| &check.predicate.uses) {
        match name {
            Name::Now(probe) => drop(now.insert(probe.clone())),
            Name::Before(probe) => drop(before.insert(probe.clone())),
            Name::At { .. } | Name::Wrote(_) | Name::Var(_) => {}
        }
    }
    (now, before)
}

/// Reads probes: those of `here` within its transaction, the others each in one of their own.
/// Probes of a clone that is not there yet are left out.
///
/// # Errors
/// A target cannot be reached.
pub async fn read_probes(
    cx: &Cx,
    names: &BTreeSet<String>,
    here: Option<(&str, &Tx)>,
) -> Result<BTreeMap<String, Reading>, Failure> {
    let mut by_target: BTreeMap<&str, Vec<&Query>> = BTreeMap::new();
    for query in names.iter().filter_map(|name| cx.probes.get(name)) {
        by_target.entry(query.target.as_str()).or_default().push(query);
    }
    let mut readings = BTreeMap::new();
    for (target, queries) in by_target {
        let values = match here {
            Some((here, tx)) if here == target => probe::read(tx, &queries).await?,
            _ => {
                if cx.targets.is_clone(target) && cx.targets.clone_target(target)?.live().is_err() {
                    continue;
                }
                let tx = cx.targets.reader(target)?.begin("readings", Isolation::Snapshot).await?;
                let values = probe::read(&tx, &queries).await?;
                cx.finish(tx).await?;
                values
            }
        };
        readings.extend(values.into_iter().map(|reading| (reading.probe.clone(), reading)));
    }
    Ok(readings)
}

/// Puts readings into the journal.
///
/// # Errors
/// The journal's.
pub fn keep(cx: &Cx, stage: &str, moment: Moment, readings: &BTreeMap<String, Reading>) -> Result<(), Failure> {
    if readings.is_empty() {
        return Ok(());
    }
    cx.record(Event::Readings { stage: stage.to_owned(), moment, values: readings.values().cloned().collect() })
}

/// Values a predicate may read beside those of this stage: ended stages and variables.
pub fn values(cx: &Cx) -> Values {
    let at = cx.with_state(|state| {
        state
            .stages
            .iter()
            .flat_map(|(stage, s)| s.after.iter().map(move |r| ((stage.clone(), r.probe.clone()), r.clone())))
            .collect()
    });
    Values { at, vars: cx.vars.clone(), ..Values::default() }
}

/// Judges and records; a refusal is an error that blocks.
///
/// # Errors
/// A predicate does not hold.
pub async fn demand(
    cx: &Cx,
    tx: &Tx,
    (stage, owner, role): (&str, &str, Role),
    checks: &[Check],
    values: &Values,
) -> Result<(), Failure> {
    if checks.is_empty() {
        return Ok(());
    }
    let judgements = guard::judge(tx, checks, values).await?;
    let refusal = guard::refusal(role, owner, &judgements);
    cx.record(Event::Judged { stage: stage.to_owned(), role, judgements })?;
    refusal.map_or(Ok(()), Err)
}

/// Guards of a stage that runs no transaction of its own on a target: readings just before, judged where they
/// can be (any target of the plan will do: a predicate reads constants only).
///
/// # Errors
/// A guard does not hold, or no target can be reached.
pub async fn guards_outside(cx: &Cx, head: &Head) -> Result<BTreeMap<String, Reading>, Failure> {
    let (now, _) = wanted(&head.guards);
    let readings = read_probes(cx, &now, None).await?;
    keep(cx, &head.name, Moment::Before, &readings)?;
    if head.guards.is_empty() {
        return Ok(readings);
    }
    let judge = judge_target(cx, head)?;
    let tx = cx.targets.reader(&judge)?.begin("judging guards", Isolation::Fresh).await?;
    let values = Values { now: readings.clone(), ..values(cx) };
    let owner = format!("stage `{}`", head.name);
    let held = demand(cx, &tx, (&head.name, &owner, Role::Guard), &head.guards, &values).await;
    cx.finish(tx).await?;
    held.map(|()| readings)
}

/// Where predicates can be evaluated: the stage's own target if it is there, else any plain one.
fn judge_target(cx: &Cx, head: &Head) -> Result<String, Failure> {
    let own = head.on.clone().filter(|on| cx.targets.reader(on).is_ok());
    own.or_else(|| cx.targets.plain.keys().next().cloned())
        .ok_or_else(|| Failure::new(crate::event::Exit::NotEvaluable, "there is no target to evaluate predicates on"))
}

/// Reads what later stages name as `STAGE.probe`, when this stage has ended.
///
/// # Errors
/// A target cannot be reached.
pub async fn at_end(cx: &Cx, head: &Head, known: &BTreeMap<String, Reading>) -> Result<(), Failure> {
    let wanted: BTreeSet<String> = cx.end_reads.get(&head.name).into_iter().flatten().cloned().collect();
    let missing: BTreeSet<String> = wanted.iter().filter(|name| !known.contains_key(*name)).cloned().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut all = known.clone();
    all.extend(read_probes(cx, &missing, None).await?);
    keep(cx, &head.name, Moment::After, &all)
}

/// Evaluates the gates of a target as they stand, for previews: nothing is authorised by it.
///
/// # Errors
/// The target cannot be reached.
pub async fn gates(
    cx: &Cx,
    target: &str,
    checks: &[Check],
) -> Result<(Vec<crate::event::Judgement>, BTreeMap<String, Reading>), Failure> {
    let (now, _) = wanted(checks);
    let tx = cx.targets.reader(target)?.begin("preview of the gates", Isolation::Snapshot).await?;
    let readings = read_probes(cx, &now, Some((target, &tx))).await?;
    let values = Values { now: readings.clone(), ..values(cx) };
    let judgements = guard::judge(&tx, checks, &values).await?;
    cx.finish(tx).await?;
    Ok((judgements, readings))
}

/// `gap 210 → 0 · coverage 100.00`: the readings that predicates name, with an arrow when they changed.
pub fn shown(checks: &[Check], before: &BTreeMap<String, Reading>, after: &BTreeMap<String, Reading>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for Use { name, .. } in checks.iter().flat_map(|check| &check.predicate.uses) {
        let (Name::Now(probe) | Name::Before(probe)) = name else { continue };
        let (old, new) = (before.get(probe).map(Reading::shown), after.get(probe).map(Reading::shown));
        let word = match (old, new) {
            (Some(old), Some(new)) if old != new => format!("{probe} {old} → {new}"),
            (_, Some(new)) => format!("{probe} {new}"),
            (Some(old), None) => format!("{probe} {old}"),
            (None, None) => continue,
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}
