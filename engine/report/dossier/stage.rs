//! One stage's document, from its events.

use super::{came_to, status_word};
use crate::clock;
use crate::event::{
    Event, Executed, Judgement, Line, Reading, RunState, StageBrief, StageState, TableWrite, Truth, behind,
};
use crate::report::table::markdown;

/// The document of one stage.
pub fn stage_page(lines: &[Line], brief: &StageBrief) -> String {
    let own: Vec<&Line> = lines.iter().filter(|l| l.event.stage() == Some(brief.name.as_str())).collect();
    page(&RunState::of(own.iter().map(|l| &l.event)).stage(&brief.name), &own, brief)
}

/// The same from what folding says of the stage, and its own lines.
pub(super) fn page(known: &StageState, own: &[&Line], brief: &StageBrief) -> String {
    let mut text = format!(
        "# {}: {}\n\n{}\n\nKind `{}`{}, needs {}. State: **{}**.\n",
        brief.name,
        came_to(known),
        brief.doc.as_deref().unwrap_or(""),
        brief.kind,
        brief.on.as_ref().map_or(String::new(), |on| format!(" on `{on}`")),
        if brief.needs.is_empty() { "nothing".to_owned() } else { brief.needs.join(", ") },
        status_word(&known.status)
    );
    text.extend(brief.reasons.iter().map(|r| format!("\n- {r}\n")));
    for (at, line) in own.iter().enumerate() {
        match &line.event {
            Event::Measured { .. } => text.push_str(&measured(line, &own[at..])),
            _ => text.push_str(&section(line)),
        }
    }
    text.push_str(&format!("\nDigest of what this stage is: `{}`.\n", brief.digest));
    text
}

/// One event as a section; events that people need not read are left to the journal.
fn section(line: &Line) -> String {
    match &line.event {
        Event::StageStarted { .. } => format!("\nBegun at {}.\n", line.at),
        Event::AttemptStarted { attempt, .. } => format!("\n## Attempt {attempt}, at {}\n", line.at),
        Event::Readings { moment, values, .. } => format!("\n## Readings ({moment:?})\n\n{}", readings(values)),
        Event::Judged { role, judgements, .. } => format!("\n## {}s\n\n{}", role.word(), judged(judgements)),
        Event::Statements { purpose, statements, .. } => {
            format!("\n## Statements, {purpose}\n\n{}", executed(statements))
        }
        Event::Rejects { results, .. } => {
            let rows: Vec<Vec<String>> = results
                .iter()
                .map(|r| {
                    vec![
                        if r.held { "held" } else { "NOT HELD" }.into(),
                        format!("{}.{}", r.reject, r.case),
                        r.expected.clone(),
                        r.found.clone(),
                    ]
                })
                .collect();
            format!("\n## What the database refuses\n\n{}", markdown(&["", "case", "expected", "found"], &rows))
        }
        Event::CommitIntended { xid, database_oid, .. } => {
            format!(
                "\nCommit intended: transaction {xid}, database oid {database_oid}, durable before COMMIT was sent.\n"
            )
        }
        Event::CommitAborted { xid, .. } => {
            format!("\nThe server says that transaction {xid} was rolled back, or never came there.\n")
        }
        Event::StageCommitted { xid, open_ms, .. } => {
            let open = open_ms.map_or(String::new(), |ms| format!(" It was open for {}.", clock::show_ms(ms)));
            match xid {
                Some(xid) => format!("\nThe server says that transaction {xid} is committed.{open}\n"),
                None => "\nNothing transactional was written.\n".to_owned(),
            }
        }
        Event::Proved { proof, passed, grade, observations, ms, .. } => {
            let word = if *passed { "PASS" } else { "FAIL" };
            let seen: String = observations.iter().map(|o| format!("- {o}\n")).collect();
            format!("\n## Proof: {proof}: {word} ({grade}, {})\n\n{seen}", clock::show_ms(*ms))
        }
        other => evidence(other),
    }
}

/// What a transaction did. `from`: this line and what follows it, where its COMMIT is.
fn measured(line: &Line, from: &[&Line]) -> String {
    let Event::Measured { purpose, writes, altered, sequences, held, locks, wal_bytes, .. } = &line.event else {
        return String::new();
    };
    let title = if purpose == "forward" { "What it did".to_owned() } else { format!("What it did: {purpose}") };
    // A list right behind a table would be rows of it.
    let mut text = format!("\n## {title}\n\n{}\n", wrote(writes));
    text.extend(altered.iter().map(|a| format!("- altered {a}\n")));
    let open = from.iter().find_map(|l| match &l.event {
        Event::StageCommitted { open_ms, .. } => *open_ms,
        _ => None,
    });
    let until = |after: u64| match open {
        Some(open) => format!("held for {}", clock::show_ms(open.saturating_sub(after))),
        None => format!("from {} on until its end", clock::show_ms(after)),
    };
    if held.is_empty() {
        text.extend(locks.iter().map(|l| format!("- lock: {l}\n")));
    }
    text.extend(held.iter().map(|l| format!("- lock: {} {}, {}\n", l.table, l.mode, until(l.after_ms))));
    text.extend(sequences.iter().map(|s| format!("- sequence {}: {:?} then {:?}\n", s.sequence, s.before, s.after)));
    if *wal_bytes > 0 {
        text.push_str(&format!("- WAL of the server meanwhile: {wal_bytes} bytes\n"));
    }
    text
}

/// The events of clones, fingerprints, rehearsals, packets and rollouts.
fn evidence(event: &Event) -> String {
    match event {
        Event::CloneMade {
            database, oid, tables, rows, bytes, left_out, owner, source_owners, snapshot_ms, ..
        } => {
            let out: String = left_out.iter().map(|l| format!("- not restored: {l}\n")).collect();
            format!(
                "\n## The clone\n\n`{database}` (oid {oid}): {tables} tables, {rows} rows, {bytes} bytes of content. Snapshot open for {}.\n\n- everything is owned by `{owner}`, in production by {}\n{out}",
                clock::show_ms(*snapshot_ms),
                source_owners.join(", ")
            )
        }
        Event::FingerprintTaken { target, label, level, digest, file, tables, rows, bytes, excluded, ms, .. } => {
            let out: String = excluded.iter().map(|x| format!("- excluded: {x}\n")).collect();
            format!(
                "\n## Fingerprint of `{target}` ({label}, {level})\n\n`{digest}`\n\n{tables} tables, {rows} rows, {bytes} bytes, in {}; all of it in `{file}`.\n{out}",
                clock::show_ms(*ms)
            )
        }
        Event::CloneResumed { database, anew: Some(why), .. } => {
            format!("\n## The half clone `{database}` was made anew\n\n- {why}\n")
        }
        Event::CloneResumed { database, kept, tables, kept_bytes, bytes, again, .. } => {
            let again: String = again.iter().map(|line| format!("- copied again: {line}\n")).collect();
            format!(
                "\n## The half clone `{database}` was gone on with\n\nKept {kept} of {tables} tables, {kept_bytes} of about {bytes} bytes: finished by an earlier process, and unchanged in production by its watermark.\n\n{again}"
            )
        }
        Event::SourceHeld { target, tables, lock_ms, own, others, held_ms, .. } => {
            let mut lines = format!(
                "- ACCESS SHARE on {tables} tables of `{target}`, taken in {}, held for {}\n",
                clock::show_ms(*lock_ms),
                clock::show_ms(*held_ms)
            );
            let longest = [("the engine's other sessions waited", own), ("somebody else waited", others)];
            for (who, wait) in longest {
                let wait = wait.as_ref().map_or("not seen to wait".to_owned(), |wait| {
                    format!("{} at most, for {}", clock::show_ms(wait.ms), wait.table)
                });
                lines.push_str(&format!("- {who}: {wait}\n"));
            }
            format!("\n## Locks on `{target}`\n\n{lines}")
        }
        Event::Compared { label, equal, differences, masks, .. } => {
            let word = if *equal { "equal" } else { "NOT EQUAL" };
            let lines: String = differences
                .iter()
                .map(|d| format!("- {d}\n"))
                .chain(masks.iter().map(|m| format!("- mask: {m}\n")))
                .collect();
            format!("\n## {label}: {word}\n\n{lines}")
        }
        Event::ProductionChecked { .. } | Event::Watched { .. } | Event::LookFailed { .. } => production(event),
        Event::Rehearsed { back, forward, back_ms, forward_ms, passed, .. } => format!(
            "\n## Rehearsal: {}\n\nBack over {} in {}, forward over {} in {}, each step committed on a copy that was dropped.\n",
            if *passed { "PASS" } else { "FAIL" },
            back.join(", "),
            clock::show_ms(*back_ms),
            forward.join(", "),
            clock::show_ms(*forward_ms)
        ),
        Event::PacketSealed { id, path, technical_go, reasons, .. } => {
            let lines: String = reasons.iter().map(|r| format!("- {r}\n")).collect();
            format!(
                "\n## Packet\n\nId `{id}`, in `{path}`. Technical {}.\n\n{lines}",
                if *technical_go { "GO" } else { "NO-GO" }
            )
        }
        Event::Stalled { wanted, blockers, .. } => {
            let lines: String = behind(wanted.as_ref(), blockers).iter().map(|line| format!("- {line}\n")).collect();
            format!("\n## It was held up\n\n{lines}")
        }
        Event::UndoStarted { .. }
        | Event::UndoIntended { .. }
        | Event::UndoCommitted { .. }
        | Event::Undone { .. }
        | Event::UndoFailed { .. } => undone(event),
        Event::RolledOut { packet, already, held, writes, .. } => {
            let held = if held.is_empty() {
                "approvals not locked".to_owned()
            } else {
                format!("held against change: {}", held.join(", "))
            };
            let word =
                if *already { "was applied already; nothing was sent" } else { "was applied in one transaction" };
            format!("\n## Rollout\n\nPacket `{packet}` {word}; {held}.\n\n{}", wrote(writes))
        }
        Event::StageBlocked { failure, .. } | Event::StageFailed { failure, .. } => {
            let facts: String = failure.facts.iter().map(|f| format!("    {f}\n")).collect();
            format!("\n## {}\n\n{facts}\n{}\n", failure.what, failure.changed.as_deref().unwrap_or(""))
        }
        _ => String::new(),
    }
}

/// The way back on the clone.
fn undone(event: &Event) -> String {
    match event {
        Event::UndoStarted { attempt, .. } => format!("\n## Rollback on the clone, attempt {attempt}\n"),
        Event::UndoIntended { xid, database_oid, .. } => format!(
            "\nCommit of the rollback intended: transaction {xid}, database oid {database_oid}, durable before COMMIT was sent.\n"
        ),
        Event::UndoCommitted { xid: Some(xid), .. } => {
            format!("\nThe server says that transaction {xid} of the rollback is committed.\n")
        }
        Event::Undone { summary, again, .. } => {
            let again: String = again.iter().map(|stage| format!("- to be run again: `{stage}`\n")).collect();
            format!("\n## Undone\n\n{summary}. What stands above is history.\n\n{again}")
        }
        Event::UndoFailed { failure, .. } => {
            let facts: String = failure.facts.iter().map(|fact| format!("    {fact}\n")).collect();
            format!("\n## Not undone: {}\n\n{facts}\n{}\n", failure.what, failure.changed.as_deref().unwrap_or(""))
        }
        _ => String::new(),
    }
}

/// Differences, and tables whose content was read.
fn looked(tables: &[String], read: &[String]) -> String {
    let differences = tables.iter().map(|t| format!("- {t}\n"));
    differences.chain(read.iter().map(|t| format!("- content was read: {t}\n"))).collect()
}

/// What became of production, as the evidence says it.
fn production(event: &Event) -> String {
    match event {
        Event::ProductionChecked { verdict, tables, transactions, by_watermark, read, .. } => {
            let lines = looked(tables, read);
            format!(
                "\n## Production: {}\n\nOur {transactions} transactions had no id. {by_watermark} tables are proved by their watermark.\n\n{lines}",
                verdict.word()
            )
        }
        Event::Watched { target, since, verdict, tables, by_watermark, read, ms, .. } => {
            let lines = looked(tables, read);
            format!(
                "\n## A look at `{target}` afterwards: {}\n\nSince `{since}`; {by_watermark} tables by their watermark, in {}.\n\n{lines}",
                verdict.word(),
                clock::show_ms(*ms)
            )
        }
        Event::LookFailed { failure, .. } => {
            let facts: String = failure.facts.iter().map(|fact| format!("- {fact}\n")).collect();
            format!("\n## The look afterwards ended the run\n\n{}\n\n{facts}", failure.what)
        }
        _ => String::new(),
    }
}

fn readings(values: &[Reading]) -> String {
    let rows: Vec<Vec<String>> = values.iter().map(|r| vec![r.probe.clone(), r.shown(), r.kind.clone()]).collect();
    markdown(&["probe", "reading", "type"], &rows)
}

fn judged(judgements: &[Judgement]) -> String {
    let rows: Vec<Vec<String>> = judgements
        .iter()
        .map(|j| {
            let word = match (j.truth, &j.problem) {
                (Truth::True, _) => "true".to_owned(),
                (Truth::False, _) => "FALSE".to_owned(),
                (Truth::NotEvaluable, why) => format!("NOT EVALUABLE: {}", why.as_deref().unwrap_or("")),
            };
            let operands: Vec<String> = j.operands.iter().map(|(n, v)| format!("{n} is {v}")).collect();
            vec![word, j.name.clone(), format!("`{}`", j.text), operands.join(", "), j.place.clone()]
        })
        .collect();
    markdown(&["", "name", "predicate", "readings", "place"], &rows)
}

fn executed(statements: &[Executed]) -> String {
    let rows: Vec<Vec<String>> = statements
        .iter()
        .map(|s| {
            let wrote: Vec<String> = s.wrote.iter().map(|w| format!("{} {}", w.table, w.counted())).collect();
            vec![
                s.line.map_or(String::new(), |line| line.to_string()),
                s.verb.clone(),
                s.rows.to_string(),
                format!("{} ms", s.ms),
                wrote.join("; "),
                format!("`{}`", crate::digest::short(&s.sha256)),
            ]
        })
        .collect();
    markdown(&["line", "statement", "rows", "took", "wrote", "sha256"], &rows)
}

fn wrote(writes: &[TableWrite]) -> String {
    let rows: Vec<Vec<String>> = writes
        .iter()
        .map(|w| {
            let bound = w.bound.clone().unwrap_or_else(|| "not declared".to_owned());
            vec![w.table.clone(), w.inserted.to_string(), w.updated.to_string(), w.deleted.to_string(), bound]
        })
        .collect();
    if rows.is_empty() {
        "It wrote nothing.\n".to_owned()
    } else {
        markdown(&["table", "inserted", "updated", "deleted", "bound"], &rows)
    }
}
