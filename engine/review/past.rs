//! Past runs: which of them a changed guard stopped, and which of those it would have let start now. Only what can be told
//! from the readings that a journal holds; no database is asked.

use super::section::Section;
use super::{Class, Finding, Opened, Outdated, PastPacket, Review};
use crate::event::{Role, Truth};
use crate::sql::passes;
use std::collections::BTreeMap;

/// Values that a line names before it counts the others.
const NAMED: usize = 5;

/// One time that a predicate was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Stage it was asked for.
    pub stage: String,
    /// As what.
    pub role: Role,
    /// Its name in the plan.
    pub name: String,
    /// What it came to.
    pub truth: Truth,
    /// What it read, each name with its value.
    pub operands: Vec<(String, String)>,
}

/// One run: what was asked last for each address, and what it sealed.
#[derive(Clone, Debug, Default)]
pub struct PastRun {
    /// Its id.
    pub id: String,
    /// In the order of its journal.
    pub asked: Vec<Asked>,
    /// Digests of its files and variables, as accepted last.
    pub inputs: BTreeMap<String, String>,
    /// Digests of its stages.
    pub stages: BTreeMap<String, String>,
    /// What it sealed, in the order of its journal.
    pub packets: Vec<PastPacket>,
}

/// Is there anything that past runs could say something about?
pub fn wants_runs(review: &Review) -> bool {
    review.sealing.differs() || review.findings.iter().any(|finding| told(finding).is_some())
}

/// Adds to each changed guard, ensure and gate what became of it in these runs, newest first, and would become of it now;
/// and the packets that are none of the new plan. `opened`: what all runs say of packets, by id.
pub fn look_back(review: &mut Review, runs: &[PastRun], opened: &BTreeMap<String, Opened>) {
    for finding in &mut review.findings {
        let Some(told) = told(finding) else { continue };
        let own = |asked: &&Asked| {
            let stage = match told.role {
                Role::Gate => review.asks.iter().any(|(stage, on)| asked.stage == *stage && told.of == on),
                _ => asked.stage == told.of,
            };
            stage && asked.role == told.role && asked.name == told.name
        };
        let asked: Vec<&Asked> = runs.iter().filter_map(|run| run.asked.iter().rfind(own)).collect();
        if !asked.is_empty() {
            let line = line(told.role, told.of, &asked, told.new);
            finding.notes.push(line);
        }
    }
    review.packets = review.sealing.outdated(runs, opened);
    review.remarks.extend(review.packets.iter().map(Outdated::line));
}

/// A predicate that is another now.
#[derive(Clone, Copy)]
struct Told<'f> {
    role: Role,
    /// Its stage; of a gate its target.
    of: &'f str,
    name: &'f str,
    /// The new text.
    new: &'f str,
}

fn told(finding: &Finding) -> Option<Told<'_>> {
    let role = match finding.section {
        Section::Guard => Role::Guard,
        Section::Ensure => Role::Ensure,
        Section::Gate => Role::Gate,
        _ => return None,
    };
    let another = matches!(finding.class, Class::Loosened | Class::Tightened | Class::Changed);
    let of = match role {
        Role::Gate => finding.address.split('.').nth(1)?,
        _ => finding.stage.as_deref()?,
    };
    let name = finding.address.rsplit('.').next()?;
    another.then_some(Told { role, of, name, new: finding.new.as_deref()? })
}

fn line(role: Role, stage: &str, asked: &[&Asked], new: &str) -> String {
    let now = |one: &&&Asked| {
        passes(new, |name| one.operands.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
    };
    let (passed, stopped): (Vec<&&Asked>, Vec<&&Asked>) = asked.iter().partition(|one| one.truth == Truth::True);
    let lets: Vec<&&Asked> = stopped.iter().filter(|one| now(one) == Some(true)).copied().collect();
    let stops: Vec<&&Asked> = passed.iter().filter(|one| now(one) == Some(false)).copied().collect();
    let unknown = asked.iter().filter(|one| now(one).is_none()).count();
    let mut text = format!("of the last {} that asked it, {} stopped here", runs(asked.len()), were(stopped.len()));
    if role == Role::Gate {
        text = format!("of the last {} that asked it, {} found it closed", runs(asked.len()), none(stopped.len()));
    }
    text.push_str(&readings(&stopped));
    let (opens, shuts) = match role {
        Role::Gate => ("would find it open now".to_owned(), "that found it open would find it closed now"),
        Role::Guard => (format!("would have started `{stage}` now"), "that passed would be stopped now"),
        _ => (format!("would have kept what `{stage}` did now"), "that passed would be stopped now"),
    };
    if !lets.is_empty() {
        text.push_str(&format!("; {} of these {opens}{}", lets.len(), readings(&lets)));
    }
    if !stops.is_empty() {
        text.push_str(&format!("; {} {shuts}{}", stops.len(), readings(&stops)));
    }
    if unknown > 0 {
        text.push_str(&format!("; of {unknown} it cannot be told from the readings kept"));
    }
    text
}

fn runs(count: usize) -> String {
    if count == 1 { "run".to_owned() } else { format!("{count} runs") }
}

fn were(count: usize) -> String {
    match count {
        0 => "none was".to_owned(),
        1 => "1 was".to_owned(),
        many => format!("{many} were"),
    }
}

fn none(count: usize) -> String {
    if count == 0 { "none".to_owned() } else { count.to_string() }
}

/// ` (gap 196, gap 42)`.
fn readings(asked: &[&&Asked]) -> String {
    let one = |asked: &&&&Asked| {
        let values: Vec<String> =
            asked.operands.iter().map(|(name, value)| format!("{name} {}", value.replace('`', "'"))).collect();
        values.join(" and ")
    };
    let mut words: Vec<String> = asked.iter().take(NAMED).map(|asked| one(&asked)).collect();
    words.extend((asked.len() > NAMED).then(|| format!("{} more", asked.len() - NAMED)));
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}
