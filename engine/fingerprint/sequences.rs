//! Where sequences stand. `RESTART` and `setval` differ in what is stored and agree in what comes next.

use super::print::SequencePrint;
use crate::event::Failure;
use crate::target::{Row, Tx};

/// A sequence, enough to put it back with `setval`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceState {
    /// `schema.sequence`, quoted where SQL needs it.
    pub name: String,
    /// As stored.
    pub last_value: i64,
    /// Whether `last_value` has been given out.
    pub is_called: bool,
    /// What `nextval` would give; `None`: it is exhausted.
    pub next: Option<i64>,
    /// It counts upward.
    pub ascending: bool,
}

impl SequenceState {
    /// What a fingerprint keeps.
    pub(super) fn print(self) -> SequencePrint {
        SequencePrint { name: self.name, next: self.next }
    }
}

/// How a sequence goes on.
struct Rule {
    name: String,
    increment: i64,
    min: i64,
    max: i64,
    cycles: bool,
}

/// Sequences asked in one statement.
const BATCH: usize = 200;

/// Reads all sequences of user schemas, by name.
///
/// # Errors
/// The server's, such as a sequence that may not be read.
pub async fn sequences(tx: &Tx) -> Result<Vec<SequenceState>, Failure> {
    let rules = tx.ask(include_str!("../../sql/engine/fingerprint/sequences.sql"), &[]).await?;
    let mut rules: Vec<Rule> = rules.iter().map(rule).collect();
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    let mut states = Vec::with_capacity(rules.len());
    for batch in rules.chunks(BATCH) {
        // The names were quoted by the server.
        let parts = batch.iter().enumerate().map(|(i, r)| format!("SELECT {i}, last_value, is_called FROM {}", r.name));
        let sql = format!("{} ORDER BY 1", parts.collect::<Vec<_>>().join(" UNION ALL "));
        let rows = tx.query(&sql, &[]).await?;
        states.extend(batch.iter().zip(&rows).map(|(rule, row)| state(rule, row.get(1), row.get(2))));
    }
    Ok(states)
}

fn rule(row: &Row) -> Rule {
    Rule { name: row.get(0), increment: row.get(1), min: row.get(2), max: row.get(3), cycles: row.get(4) }
}

fn state(rule: &Rule, last_value: i64, is_called: bool) -> SequenceState {
    let next = if is_called { after(rule, last_value) } else { Some(last_value) };
    SequenceState { name: rule.name.clone(), last_value, is_called, next, ascending: rule.increment > 0 }
}

fn after(rule: &Rule, last: i64) -> Option<i64> {
    let next = last.checked_add(rule.increment).filter(|n| (rule.min..=rule.max).contains(n));
    next.or_else(|| rule.cycles.then_some(if rule.increment > 0 { rule.min } else { rule.max }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(increment: i64, cycles: bool) -> Rule {
        Rule { name: "s".into(), increment, min: 1, max: 10, cycles }
    }

    #[test]
    fn what_comes_next() {
        assert_eq!(state(&rule(1, false), 1, false).next, Some(1));
        assert_eq!(state(&rule(1, false), 1, true).next, Some(2));
        assert_eq!(state(&rule(1, false), 10, true).next, None);
        assert_eq!(state(&rule(3, true), 9, true).next, Some(1));
        assert_eq!(state(&rule(-1, true), 1, true).next, Some(10));
        let far = Rule { name: "s".into(), increment: 1, min: 1, max: i64::MAX, cycles: false };
        assert_eq!(state(&far, i64::MAX, true).next, None);
    }
}
