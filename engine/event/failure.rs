//! Failures: the world went wrong. Typed, serialisable, in the journal, and shown to people.

use super::Exit;
use serde::{Deserialize, Serialize};

/// What went wrong, with the values, what was and was not changed, and what to type next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// How the command ends.
    pub exit: Exit,
    /// One line: lower case, no final period, names in backticks.
    pub what: String,
    /// Further lines: operands with their values, places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<String>,
    /// What was and was not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<String>,
    /// What to type next: a word and a command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<(String, String)>,
    /// SQLSTATE, when a server said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
    /// Constraint named by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<String>,
    /// Table named by the server, `schema.table`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Byte position in the statement that was sent, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    /// DETAIL can carry rows: for the operator's own terminal, never serialised.
    #[serde(skip)]
    pub detail: Option<String>,
}

impl Failure {
    /// A failure with its one line.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Failure {
            exit,
            what: what.into(),
            facts: Vec::new(),
            changed: None,
            next: Vec::new(),
            sqlstate: None,
            constraint: None,
            table: None,
            position: None,
            detail: None,
        }
    }

    /// Adds a line with values or a place.
    #[must_use]
    pub fn fact(mut self, line: impl Into<String>) -> Self {
        self.facts.push(line.into());
        self
    }

    /// Says what was and was not changed.
    #[must_use]
    pub fn changed(mut self, line: impl Into<String>) -> Self {
        self.changed = Some(line.into());
        self
    }

    /// Adds what to type next.
    #[must_use]
    pub fn next(mut self, word: impl Into<String>, command: impl Into<String>) -> Self {
        self.next.push((word.into(), command.into()));
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}
