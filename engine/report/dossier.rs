//! The dossier: numbered documents that a run writes for people, each from the journal's events.
//!
//! 00 is the overview and the state to recover from, then one document per stage in schedule order, then GO / NO-GO
//! and the self-review; beside them `sql/` with every statement's text and its SHA-256.

mod stage;

use super::decision::Decision;
use super::page;
use super::table::markdown;
use crate::clock;
use crate::digest;
use crate::event::{Event, Judgement, Line, Role, RunState, StageBrief, StageState, Status, planned, removed};
use std::collections::BTreeMap;
use std::path::Path;

pub use stage::stage_page;

/// Writes the dossier of a run into its folder.
///
/// # Errors
/// The disk did not take it.
pub fn write(dir: &Path, lines: &[Line], sql: &[(String, String)]) -> std::io::Result<()> {
    let dossier = dir.join("dossier");
    std::fs::create_dir_all(dossier.join("sql"))?;
    for (name, text) in documents(lines) {
        put(&dossier.join(name), &text)?;
    }
    let mut sums = String::new();
    for (name, text) in sql {
        put(&dossier.join("sql").join(name), text)?;
        sums.push_str(&format!("{}  {name}\n", digest::hex(text.as_bytes())));
    }
    std::fs::write(dossier.join("sql/SHA256SUMS"), sums)
}

/// Writes a document, unless it says so already: of a long run that was taken up again, nearly all do.
fn put(path: &Path, text: &str) -> std::io::Result<()> {
    match std::fs::read(path) {
        Ok(known) if known == text.as_bytes() => Ok(()),
        _ => std::fs::write(path, text),
    }
}

/// All documents: file name and text.
pub fn documents(lines: &[Line]) -> Vec<(String, String)> {
    let events: Vec<Event> = lines.iter().map(|l| l.event.clone()).collect();
    let stages = stages(&events);
    let width = (stages.len() + 2).to_string().len().max(2);
    let number = |n: usize| format!("{n:0width$}");
    let mut documents = vec![(format!("{}-overview.md", number(0)), overview(&events, &stages))];
    // Once for all stages: folding the journal anew for each would make a long run's dossier take minutes.
    let state = RunState::of(&events);
    let mut own: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        if let Some(stage) = line.event.stage() {
            own.entry(stage).or_default().push(line);
        }
    }
    for (index, stage) in stages.iter().enumerate() {
        let name = format!("{}-{}.md", number(index + 1), stage.name.replace('_', "-"));
        let lines = own.get(stage.name.as_str()).map_or(&[][..], Vec::as_slice);
        documents.push((name, stage::page(&state.stage(&stage.name), lines, stage)));
    }
    let decision = decision(&events, &planned(&events));
    documents.push((format!("{}-go-no-go.md", number(stages.len() + 1)), go_no_go(&events, &decision)));
    documents.push((format!("{}-self-review.md", number(stages.len() + 2)), self_review(&events, &stages, &decision)));
    documents
}

/// Stages of the plan as it is now, and behind them those that had begun when a change took them out of it.
pub fn stages(events: &[Event]) -> Vec<StageBrief> {
    let mut stages = planned(events);
    stages.extend(removed(events));
    stages
}

/// The verdict over all stages, with the gates as they were last judged.
pub fn decision(events: &[Event], stages: &[StageBrief]) -> Decision {
    let gates: Vec<Judgement> = events
        .iter()
        .rev()
        .find_map(|e| match e {
            Event::Judged { role: Role::Gate, judgements, .. } => Some(judgements.clone()),
            _ => None,
        })
        .unwrap_or_default();
    Decision::over(stages, events, gates)
}

/// Was this run's clone of that name dropped after it was made?
fn dropped(events: &[Event], name: &str) -> bool {
    let last = events.iter().rev().find_map(|event| match event {
        Event::CloneMade { database, .. } if database == name => Some(false),
        Event::CloneDropped { database, .. } if database == name => Some(true),
        _ => None,
    });
    last == Some(true)
}

fn overview(events: &[Event], stages: &[StageBrief]) -> String {
    let state = RunState::of(events);
    let mut text = String::new();
    if let Some(Event::RunStarted { run, plan, plan_path, doc, as_of, .. }) = &state.started {
        text.push_str(&format!(
            "# {plan}, run {run}\n\n{}\n\nPlan `{plan_path}`, as of {as_of}.\n",
            doc.as_deref().unwrap_or("")
        ));
    }
    if let Some(Event::RunEnded { verdict, exit, ms, reasons }) = &state.ended {
        text.push_str(&format!("\n**{verdict}** (exit {}, {})\n", exit.code(), clock::show_ms(*ms)));
        text.extend(reasons.iter().map(|r| format!("\n- {r}")));
        text.push('\n');
    }
    text.push_str("\n## Stages\n\n");
    let plan = planned(events).len();
    let rows: Vec<Vec<String>> = stages
        .iter()
        .enumerate()
        .map(|(index, brief)| {
            let known = state.stage(&brief.name);
            let removed = if index < plan { "" } else { REMOVED };
            let word = format!("{}{removed}", status_word(&known.status));
            let said = said(&known);
            vec![format!("{:02}", index + 1), brief.name.clone(), brief.kind.clone(), word, said]
        })
        .collect();
    text.push_str(&markdown(&["#", "stage", "kind", "state", "what it came to"], &rows));
    text.push_str("\n## The state to recover from\n\n");
    let run = &state.run;
    let mut left = state.clones.is_empty();
    for event in state.clones.values() {
        if let Event::CloneMade { database, oid, expires, .. } = event {
            let expires = expires.as_deref().unwrap_or("never");
            let gone = dropped(events, database);
            left |= !gone;
            text.push_str(&if gone {
                format!("- the clone `{database}` (oid {oid}) was dropped\n")
            } else {
                format!("- the clone `{database}` (oid {oid}), marked with this run, expires {expires}\n")
            });
        }
    }
    let look = format!("- look: `engine show {run}`, `engine verify {run}`\n");
    text.push_str(&if left {
        format!("- go on: `engine resume {run}`\n{look}- dispose of the clone: `engine drop {run}`\n")
    } else {
        look
    });
    text.push_str("\n## Databases\n\n");
    text.push_str(&page::source(events));
    text
}

/// Behind the state of a stage that the plan has no more.
pub const REMOVED: &str = ", not in the plan any more";

/// What a stage came to, in one line.
pub fn said(known: &StageState) -> String {
    match (&known.status, &known.stuck) {
        (Status::Blocked(failure) | Status::Failed(failure), Some(stuck)) => {
            format!("{} · not undone: {}", failure.what, stuck.what)
        }
        (Status::Blocked(failure) | Status::Failed(failure), None) => failure.what.clone(),
        (_, Some(stuck)) => format!("{} · not undone: {}", stands(known), stuck.what),
        _ => stands(known),
    }
}

/// What it came to; of one that is committed and not proved, why.
fn stands(known: &StageState) -> String {
    let unproved = known.unproved.as_ref().filter(|_| known.status == Status::Committed);
    unproved.map_or_else(|| came_to(known), |why| why.what.clone())
}

/// Its closing line; of one that is begun anew that is history, and what counts is how far it got.
pub(super) fn came_to(known: &StageState) -> String {
    match (&known.status, known.batches) {
        (Status::Started, 0) => String::new(),
        (Status::Started, 1) => "1 batch is committed".to_owned(),
        (Status::Started, batches) => format!("{batches} batches are committed"),
        _ => known.summary.clone(),
    }
}

/// The word for a state.
pub fn status_word(status: &Status) -> &'static str {
    match status {
        Status::Waiting => "not started",
        Status::Started => "begun",
        Status::Committed => "committed, not proved",
        Status::Done => "done",
        Status::Blocked(_) => "blocked",
        Status::Failed(_) => "failed",
        Status::Undone => "undone",
    }
}

fn go_no_go(events: &[Event], decision: &Decision) -> String {
    let state = RunState::of(events);
    let verdict = match &state.ended {
        Some(Event::RunEnded { verdict, .. }) => verdict.clone(),
        _ => "the run has not ended".to_owned(),
    };
    let mut text = format!("# {verdict}\n\nNO-GO is the default: the verdict is the conjunction of all criteria.\n\n");
    text.push_str(&page::criteria(decision));
    text.push_str("\n## Gates\n\n");
    text.push_str(&page::gates(decision));
    for stage in state.stages.values() {
        if let Some((id, path)) = &stage.packet {
            text.push_str(&format!("\nPacket `{id}`, in `{path}`.\n"));
        }
    }
    text
}

fn self_review(events: &[Event], stages: &[StageBrief], decision: &Decision) -> String {
    let list = |lines: Vec<String>| {
        if lines.is_empty() { "- nothing\n".to_owned() } else { lines.iter().map(|l| format!("- {l}\n")).collect() }
    };
    let with = |result: &str| -> Vec<String> {
        decision.criteria.iter().filter(|c| c.result == result).map(|c| format!("{}: {}", c.what, c.evidence)).collect()
    };
    let mut not_checked = with("NOT RUN");
    not_checked.extend(
        stages
            .iter()
            .filter(|s| s.kind == "sql" && s.demands.is_empty())
            .map(|s| format!("`{}` demands no proof", s.name)),
    );
    not_checked
        .push("files in the data directory, the server's configuration and other databases of the instance".to_owned());
    let assumed = vec![
        "the server tells the truth about itself (its catalogs, counters and transaction status)".to_owned(),
        "fp1 sums of SHA-256 stand against accident and ordinary tampering, not against chosen rows by the ten thousands".to_owned(),
        "pg_dump, as a child, did not write: its role is confined and default_transaction_read_only was on".to_owned(),
    ];
    format!(
        "# Self-review\n\n## What was proved\n\n{}\n## What failed\n\n{}\n## What was assumed\n\n{}\n## What was not checked\n\n{}\n## Deviations and exclusions\n\n{}",
        list(with("PASS")),
        list(with("FAIL")),
        list(assumed),
        list(not_checked),
        page::left_out(events)
    )
}
