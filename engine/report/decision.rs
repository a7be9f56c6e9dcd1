//! GO or NO-GO: a conjunction over an explicit list of criteria, each with its evidence. NO-GO is the default.

use crate::event::{Event, Exit, Failure, Judgement, RunState, StageBrief, Status, Truth, Unchanged, standing};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One criterion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criterion {
    /// What must be so.
    pub what: String,
    /// `PASS`, `FAIL` or `NOT RUN`.
    pub result: String,
    /// How one knows.
    pub evidence: String,
}

/// The verdict of a run over a set of stages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Every criterion passed.
    pub technical_go: bool,
    /// All criteria.
    pub criteria: Vec<Criterion>,
    /// Gates of the target as they stood.
    pub gates: Vec<Judgement>,
}

impl Decision {
    /// Decides about `stages` (all that lie upstream of the packet) from what happened to them.
    ///
    /// What other stages did says nothing about these, so their events are left out.
    pub fn over(stages: &[StageBrief], events: &[Event], gates: Vec<Judgement>) -> Decision {
        let names: BTreeSet<&str> = stages.iter().map(|s| s.name.as_str()).collect();
        let concerned = |event: &Event| event.stage().is_none_or(|name| names.contains(name));
        let events: Vec<Event> = standing(events).into_iter().filter(concerned).collect();
        let events = events.as_slice();
        let state = RunState::of(events);
        let mut criteria: Vec<Criterion> = stages.iter().map(|s| stage_done(s, &state)).collect();
        let mut shown: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in events {
            if let Event::Proved { stage, .. } | Event::Rejects { stage, .. } = event {
                shown.entry(stage).or_default().push(event);
            }
        }
        criteria
            .extend(stages.iter().flat_map(|s| proofs(s, shown.get(s.name.as_str()).map_or(&[][..], Vec::as_slice))));
        criteria.extend(comparisons(events));
        criteria.push(rehearsed(stages, events));
        criteria.push(unchanged(events));
        criteria.push(read_only(events));
        criteria.push(could_not(events));
        criteria.extend(apart(events));
        criteria.extend(watched(events));
        let technical_go = criteria.iter().all(|c| c.result == "PASS");
        Decision { technical_go, criteria, gates }
    }

    /// `technical GO, production BLOCKED: ospa = 0, needs ospa >= 1`.
    pub fn line(&self, target: &str) -> String {
        let technical = if self.technical_go { "technical GO" } else { "technical NO-GO" };
        let closed: Vec<String> = self.gates.iter().filter(|g| g.truth != Truth::True).map(closed_gate).collect();
        if !self.technical_go {
            return technical.to_owned();
        }
        if closed.is_empty() {
            let gates = self.gates.len();
            return format!(
                "{technical}, {target} OPEN: {gates} of {gates} gates hold, asked again when it is applied"
            );
        }
        format!("{technical}, {target} BLOCKED: {}", closed.join("; "))
    }

    /// What did not pass.
    pub fn reasons(&self) -> Vec<String> {
        self.criteria
            .iter()
            .filter(|c| c.result != "PASS")
            .map(|c| format!("{}: {} ({})", c.what, c.result, c.evidence))
            .collect()
    }
}

fn closed_gate(gate: &Judgement) -> String {
    let operands: Vec<String> = gate.operands.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("{}, needs {}", operands.join(", "), gate.text)
}

fn criterion(what: String, result: &str, evidence: String) -> Criterion {
    Criterion { what, result: result.to_owned(), evidence }
}

fn stage_done(stage: &StageBrief, state: &RunState) -> Criterion {
    let known = state.stage(&stage.name);
    let what = format!("stage `{}` is done", stage.name);
    match known.status {
        Status::Done => criterion(what, "PASS", known.summary),
        Status::Waiting | Status::Started => criterion(what, "NOT RUN", "it has no outcome in the journal".into()),
        Status::Undone => criterion(what, "NOT RUN", "it was undone, and did not run again".into()),
        Status::Committed => criterion(what, "FAIL", not_proved(known.unproved.as_ref())),
        Status::Blocked(failure) | Status::Failed(failure) => criterion(what, "FAIL", failure.what),
    }
}

/// Of a stage that is committed: `why` its proofs are not there, where it was tried.
fn not_proved(why: Option<&Failure>) -> String {
    why.map_or_else(|| "committed, and not proved".to_owned(), |why| format!("committed, and not proved: {}", why.what))
}

/// `shown`: what this stage was proved and refused, in order.
fn proofs(stage: &StageBrief, shown: &[&Event]) -> Vec<Criterion> {
    stage
        .demands
        .iter()
        .filter(|demand| *demand != "rehearsal")
        .map(|demand| {
            let what = format!("`{}` is proved {demand}", stage.name);
            if demand == "reject" {
                let results = shown.iter().rev().find_map(|e| match e {
                    Event::Rejects { results, .. } => Some(results),
                    _ => None,
                });
                return match results {
                    None => criterion(format!("`{}` is refused what it must be", stage.name), "NOT RUN", String::new()),
                    Some(results) => {
                        let held = results.iter().filter(|r| r.held).count();
                        let result = if held == results.len() { "PASS" } else { "FAIL" };
                        criterion(
                            format!("the database refuses what `{}` says it must", stage.name),
                            result,
                            format!("{held} of {} cases held", results.len()),
                        )
                    }
                };
            }
            let last = shown.iter().rev().find_map(|e| match e {
                Event::Proved { proof, passed, grade, observations, .. } if proof == demand => {
                    Some((*passed, grade.clone(), observations.join("; ")))
                }
                _ => None,
            });
            match last {
                None => criterion(what, "NOT RUN", "demanded, and it did not run".into()),
                Some((true, grade, seen)) => criterion(what, "PASS", format!("{grade}: {seen}")),
                Some((false, _, seen)) => criterion(what, "FAIL", seen),
            }
        })
        .collect()
}

fn comparisons(events: &[Event]) -> Vec<Criterion> {
    let mut all: Vec<Criterion> = Vec::new();
    for event in events {
        let Event::Compared { stage, label, equal, differences, .. } = event else { continue };
        if label.starts_with("now and at") {
            // Production then and now has a criterion of its own, with other writers taken into account.
            continue;
        }
        let result = if *equal { "PASS" } else { "FAIL" };
        let evidence = if *equal { format!("fingerprints fp1, stage `{stage}`") } else { differences.join("; ") };
        let what = format!("equal: {label}");
        all.retain(|c| c.what != what);
        all.push(criterion(what, result, evidence));
    }
    all
}

/// Every writing stage was gone back over.
fn rehearsed(stages: &[StageBrief], events: &[Event]) -> Criterion {
    let what = "the full rollback was rehearsed".to_owned();
    let last = events.iter().rev().find_map(|e| match e {
        Event::Rehearsed { back, back_ms, passed, .. } => Some((back, *back_ms, *passed)),
        _ => None,
    });
    let Some((back, ms, passed)) = last else {
        return criterion(what, "NOT RUN", "no stage of kind `rehearse` has ended".into());
    };
    let missed: Vec<&str> =
        stages.iter().filter(|s| s.kind == "sql" && !back.contains(&s.name)).map(|s| s.name.as_str()).collect();
    if !missed.is_empty() {
        return criterion(what, "FAIL", format!("not gone back over: {}", missed.join(", ")));
    }
    let result = if passed { "PASS" } else { "FAIL" };
    criterion(what, result, format!("back over {} in {}", back.join(", "), crate::clock::show_ms(ms)))
}

fn unchanged(events: &[Event]) -> Criterion {
    let what = "production is what it was".to_owned();
    let last = events.iter().rev().find_map(|e| match e {
        Event::ProductionChecked { verdict, tables, .. } => Some((*verdict, tables.join("; "))),
        _ => None,
    });
    let position = |wanted: fn(&Event) -> bool| events.iter().rposition(wanted);
    let checked = position(|e| matches!(e, Event::ProductionChecked { .. }));
    let wrote = position(|e| matches!(e, Event::StageCommitted { .. } | Event::Rehearsed { .. }));
    if checked < wrote && checked.is_some() {
        return criterion(what, "FAIL", "it was compared before the last stage had written".into());
    }
    match last {
        None => criterion(what, "NOT RUN", "no fingerprint of production was compared".into()),
        Some((Unchanged::ByWatermark, _)) => criterion(
            what,
            "PASS",
            "every table by its watermark, everything else by fingerprints that are equal".into(),
        ),
        Some((Unchanged::ByContent, _)) => criterion(what, "PASS", "fingerprints before and after are equal".into()),
        Some((Unchanged::ChangedByOthers, tables)) => {
            criterion(what, "PASS", format!("changed by others, while each of our transactions had no id: {tables}"))
        }
        Some((Unchanged::Unknown, _)) => {
            criterion(what, "FAIL", "it was not compared by content, wholly, before and after".into())
        }
        Some((verdict, tables)) => criterion(what, "FAIL", format!("{}: {tables}", verdict.word())),
    }
}

/// The role that read production, and every power to write it had.
fn could_not(events: &[Event]) -> Criterion {
    let what = "the powers of the role that read production are known".to_owned();
    let bound = events.iter().filter_map(|e| match e {
        Event::TargetBound { target, clone: None, identity, powers, residual, .. } => {
            Some((target, identity, powers, residual))
        }
        _ => None,
    });
    let mut said: Vec<String> = bound
        .map(|(target, identity, powers, residual)| {
            let powers = if powers.is_empty() {
                "no power to write".to_owned()
            } else {
                format!("ATTESTED: {}", powers.join(", "))
            };
            let standby = if identity.in_recovery { ", a standby" } else { "" };
            let listed = if residual.is_empty() { String::new() } else { format!(", {} listed", residual.len()) };
            format!("`{target}` as {}: {powers}{listed}{standby}", identity.session_user)
        })
        .collect();
    // A run that was taken up again bound its targets again.
    said.dedup();
    let asked = events.iter().filter(|e| matches!(e, Event::Transaction { record } if record.powers.is_some())).count();
    said.push(format!("asked on each of {asked} connections"));
    // A role with powers is refused unless the plan attests it; then the evidence lists them.
    criterion(what, if said.len() < 2 { "NOT RUN" } else { "PASS" }, said.join("; "))
}

/// Every look at a watched target, after each stage.
fn watched(events: &[Event]) -> Option<Criterion> {
    let mut looks = 0u64;
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for event in events {
        if let Event::LookFailed { stage, failure } = event
            && failure.exit == Exit::ChangedByOthers
        {
            ours.push(format!("after `{stage}`, which a strict policy forbids: {}", failure.what));
        }
        let Event::Watched { target, since, stage, verdict, tables, .. } = event else { continue };
        looks += 1;
        let line = || format!("`{target}` between `{since}` and `{stage}`: {}", tables.join("; "));
        match verdict {
            Unchanged::ChangedByUs => ours.push(line()),
            Unchanged::ChangedByOthers => others.push(line()),
            _ => {}
        }
    }
    if looks == 0 {
        return None;
    }
    let what = "production was looked at after each stage".to_owned();
    // By others is no fault of this run; under a strict policy it would have ended it.
    let said = if others.is_empty() { String::new() } else { format!("; changed by others: {}", others.join("; ")) };
    Some(if ours.is_empty() {
        criterion(what, "PASS", format!("{looks} looks{said}"))
    } else {
        criterion(what, "FAIL", format!("changed: {}", ours.join("; ")))
    })
}

/// Production and clone do not reach each other: both doors were tried.
fn apart(events: &[Event]) -> Option<Criterion> {
    let mut tried: Vec<(String, bool)> = Vec::new();
    for event in events {
        if let Event::DoorTried { role, target, open, said, .. } = event {
            let line = format!("{role} at `{target}`: {said}");
            // Each process of a run tries them anew: told once, in the place where it was first.
            match tried.iter_mut().find(|(other, _)| *other == line) {
                Some((_, then)) => *then = *open,
                None => tried.push((line, *open)),
            }
        }
    }
    if tried.is_empty() {
        return None;
    }
    // A door that is open ends a run, unless the plan attests its roles; then the evidence says so.
    let open = tried.iter().any(|(_, open)| *open);
    let lines: Vec<String> = tried.into_iter().map(|(line, _)| line).collect();
    let evidence = format!("{}{}", if open { "ATTESTED: " } else { "" }, lines.join("; "));
    Some(criterion("production and clone are shut to each other's roles".to_owned(), "PASS", evidence))
}

fn read_only(events: &[Event]) -> Criterion {
    let mut count = 0u64;
    let mut wrong = Vec::new();
    for event in events {
        if let Event::Transaction { record } = event {
            count += 1;
            if !record.read_only || !record.same_transaction || record.xid.is_some() {
                wrong.push(format!("{} on {}", record.purpose, record.target));
            }
        }
    }
    let what = "our own transactions on production wrote nothing".to_owned();
    match (count, wrong.is_empty()) {
        (0, _) => criterion(what, "NOT RUN", "none was recorded".into()),
        (_, true) => criterion(
            what,
            "PASS",
            format!("{count} transactions: read-only, the same from begin to end, without an id"),
        ),
        (_, false) => criterion(what, "FAIL", wrong.join("; ")),
    }
}
