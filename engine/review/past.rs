//! Past runs: which of them a changed guard stopped, and which of those it would have let start now. Only what can be told
//! from the readings that a journal holds; no database is asked.

use super::section::Section;
use super::{Class, Finding, Review};
use crate::event::{Role, Truth};
use crate::sql::passes;

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

/// One run: what was asked last for each address.
#[derive(Clone, Debug, Default)]
pub struct PastRun {
    /// In the order of its journal.
    pub asked: Vec<Asked>,
}

/// Is there anything that past runs could say something about?
pub fn wants_runs(review: &Review) -> bool {
    review.findings.iter().any(|finding| told(finding).is_some())
}

/// Adds to each changed guard and ensure what became of it in these runs, newest first, and would become of it now.
pub fn look_back(review: &mut Review, runs: &[PastRun]) {
    for finding in &mut review.findings {
        let Some((role, stage, name, new)) = told(finding) else { continue };
        let asked = runs.iter().filter_map(|run| {
            let own = |asked: &&Asked| asked.role == role && asked.stage == stage && asked.name == name;
            run.asked.iter().rfind(own)
        });
        let asked: Vec<&Asked> = asked.collect();
        if !asked.is_empty() {
            let line = line(role, stage, &asked, new);
            finding.notes.push(line);
        }
    }
}

/// Role, stage, name and new text of a predicate that is another now.
fn told(finding: &Finding) -> Option<(Role, &str, &str, &str)> {
    let role = match finding.section {
        Section::Guard => Role::Guard,
        Section::Ensure => Role::Ensure,
        _ => return None,
    };
    let another = matches!(finding.class, Class::Loosened | Class::Tightened | Class::Changed);
    let (stage, name) = (finding.stage.as_deref()?, finding.address.rsplit('.').next()?);
    another.then_some((role, stage, name, finding.new.as_deref()?))
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
    text.push_str(&readings(&stopped));
    let started = if role == Role::Guard { format!("started `{stage}`") } else { format!("kept what `{stage}` did") };
    if !lets.is_empty() {
        text.push_str(&format!("; {} of these would have {started} now{}", lets.len(), readings(&lets)));
    }
    if !stops.is_empty() {
        text.push_str(&format!("; {} that passed would be stopped now{}", stops.len(), readings(&stops)));
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
