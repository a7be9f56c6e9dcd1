//! One page for people: GO or NO-GO, in the order an approver reads.

use super::decision::Decision;
use super::table::markdown;
use crate::clock;
use crate::event::{Event, Identity, Truth, planned};

/// What the page is made of.
pub struct Sealed<'s> {
    /// The verdict.
    pub decision: &'s Decision,
    /// What happened, in order.
    pub events: &'s [Event],
    /// The target it is for.
    pub target: &'s str,
    /// Table, rows rehearsed, bound.
    pub writes: &'s [(String, u64, String)],
}

/// `GO-NO-GO.md`. The packet's id is the digest of its SHA256SUMS, so the page cannot print it: the folder's name does.
pub fn go_no_go(sealed: &Sealed<'_>) -> String {
    let mut text = format!("# {}\n\n", sealed.decision.line(sealed.target));
    text.push_str("NO-GO is the default. The verdict is the conjunction of every criterion below; the packet's id is\n`sha256sum SHA256SUMS`, and its first 12 digits name the folder.\n\n");
    text.push_str("## What changes\n\n");
    let rows: Vec<Vec<String>> =
        sealed.writes.iter().map(|(t, n, most)| vec![t.clone(), n.to_string(), most.clone()]).collect();
    text.push_str(&markdown(&["table", "rows rehearsed", "bound"], &rows));
    text.push_str(&locks(sealed.events));
    text.push_str("\n## Criteria\n\n");
    text.push_str(&criteria(sealed.decision));
    text.push_str("\n## Gates of the target, as they stood\n\n");
    text.push_str(&gates(sealed.decision));
    text.push_str(
        "\nThey are asked again, twice, in the transaction that applies the packet. This reading authorises nothing.\n",
    );
    text.push_str("\n## Rollback\n\n");
    text.push_str(&rollback(sealed.events));
    text.push_str("\n## Left out, and deviations\n\n");
    text.push_str(&left_out(sealed.events));
    text.push_str("\n## Source and versions\n\n");
    text.push_str(&source(sealed.events));
    text.push_str("\n## What the approver confirms\n\n- I read `apply.sql` from its first line to its last.\n- The tables and bounds above are what was asked for.\n- The id I approve is the one printed by `sha256sum SHA256SUMS`.\n");
    text
}

/// Criteria as a table.
pub fn criteria(decision: &Decision) -> String {
    let rows: Vec<Vec<String>> =
        decision.criteria.iter().map(|c| vec![c.result.clone(), c.what.clone(), c.evidence.clone()]).collect();
    markdown(&["result", "criterion", "evidence"], &rows)
}

/// Gates as a table.
pub fn gates(decision: &Decision) -> String {
    let rows: Vec<Vec<String>> = decision
        .gates
        .iter()
        .map(|g| {
            let state = match g.truth {
                Truth::True => "open",
                Truth::False => "CLOSED",
                Truth::NotEvaluable => "CLOSED (not evaluable)",
            };
            let operands: Vec<String> = g.operands.iter().map(|(n, v)| format!("{n} is {v}")).collect();
            vec![state.to_owned(), g.name.clone(), g.text.clone(), operands.join(", ")]
        })
        .collect();
    markdown(&["state", "gate", "predicate", "readings"], &rows)
}

fn locks(events: &[Event]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for event in events {
        if let Event::Measured { stage, locks, .. } = event {
            lines.extend(locks.iter().map(|lock| format!("- `{stage}`: {lock}\n")));
        }
    }
    if lines.is_empty() {
        String::new()
    } else {
        format!("\nLocks held on the clone, until COMMIT:\n\n{}", lines.concat())
    }
}

fn rollback(events: &[Event]) -> String {
    let last = events.iter().rev().find_map(|e| match e {
        Event::Rehearsed { back, forward, back_ms, forward_ms, .. } => Some(format!(
            "Rehearsed on a copy of the clone, every step committed: back over {} in {}, forward over {} in {}.\n",
            back.join(", "),
            clock::show_ms(*back_ms),
            forward.join(", "),
            clock::show_ms(*forward_ms)
        )),
        _ => None,
    });
    let rehearsed = last.unwrap_or_else(|| "NOT REHEARSED.\n".to_owned());
    format!(
        "{rehearsed}`rollback.sql` takes back what this packet wrote; what others wrote on top of it since is not kept apart.\n"
    )
}

/// Everything that was excluded, left out or assumed.
pub fn left_out(events: &[Event]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for event in events {
        match event {
            Event::CloneMade { left_out, .. } => {
                lines.extend(left_out.iter().map(|l| format!("not restored in the clone: {l}")));
            }
            Event::FingerprintTaken { stage, excluded, .. } => {
                lines.extend(excluded.iter().map(|x| format!("not in the fingerprint of `{stage}`: {x}")));
            }
            Event::Compared { stage, label, masks, .. } => {
                lines.extend(masks.iter().map(|m| format!("`{stage}`, {label}: {m}")));
            }
            Event::RunStarted { .. } => {
                for stage in planned(events) {
                    lines.extend(stage.reasons.iter().map(|r| format!("`{}`: {r}", stage.name)));
                }
            }
            Event::TargetBound { target, waived, .. } => {
                lines.extend(waived.iter().map(|w| format!("`{target}` was {w}")));
            }
            Event::Undone { stage, .. } => {
                lines.push(format!("`{stage}` had run before, and its rollback was committed on the clone"));
            }
            Event::RunResumed { accepted, torn, .. } => {
                lines.extend(accepted.iter().map(|a| format!("changed while the run was stopped, and accepted: {a}")));
                lines.extend(torn.iter().map(|b| format!("{b} bytes of a half-written journal line were cut")));
            }
            _ => {}
        }
    }
    lines.dedup();
    if lines.is_empty() {
        return "None.\n".to_owned();
    }
    lines.iter().map(|l| format!("- {l}\n")).collect()
}

/// Where the clone came from, and versions.
pub fn source(events: &[Event]) -> String {
    let shown = |i: &Identity| {
        format!("{} (oid {}) of server {}, PostgreSQL {}", i.database, i.oid, i.system_identifier, i.version)
    };
    let way = |i: &Identity| i.tls.as_ref().map_or(String::new(), |tls| format!(", over {tls}"));
    let mut text = String::new();
    for event in events {
        match event {
            Event::RunStarted { run, plan, engine_version, as_of, .. } => {
                text.push_str(&format!("- run {run} of {plan}, engine {engine_version}, as of {as_of}\n"));
            }
            Event::TargetBound { target, clone: Some(database), identity, powers, .. } => {
                let version = &identity.version;
                let (maker, way) = (&identity.session_user, way(identity));
                text.push_str(&format!("- `{target}`: {database}, made by {maker}, PostgreSQL {version}{way}\n"));
                for power in powers {
                    text.push_str(&format!("  - ATTESTED: {power}\n"));
                }
            }
            Event::TargetBound { target, identity, powers, residual, .. } => {
                let (reader, way) = (&identity.session_user, way(identity));
                text.push_str(&format!("- `{target}`: {}, as {reader}{way}\n", shown(identity)));
                for power in powers {
                    text.push_str(&format!("  - that role {power}\n"));
                }
                for power in residual {
                    text.push_str(&format!("  - listed, not refused: it {power}\n"));
                }
            }
            Event::DoorTried { role, target, database, said, .. } => {
                text.push_str(&format!("- {role} tried to connect to `{target}` ({database}): {said}\n"));
            }
            Event::CloneMade { database, source, snapshot_ms, .. } => text.push_str(&format!(
                "- clone {database} of {}, snapshot open for {}\n",
                shown(source),
                clock::show_ms(*snapshot_ms)
            )),
            Event::Child { target, program, purpose, .. } => text.push_str(&format!(
                "- {program} read `{target}` for {purpose} in transactions of its own, with default_transaction_read_only on and confined by its role\n"
            )),
            _ => {}
        }
    }
    text
}
