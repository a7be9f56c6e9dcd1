//! What the linter says of a stage, in a preview.

use crate::compile::{self, StageLints};
use serde::{Deserialize, Serialize};

/// Findings about one stage.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lints {
    /// Those that nothing allows, and those that are allowed.
    pub found: Vec<Lint>,
    /// Of a packet: what was found in a stage that it carries, and goes with it to production.
    pub carried: Vec<Lint>,
    /// Rules under `allow` that let nothing pass.
    pub unused_allow: Vec<String>,
}

/// One finding.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lint {
    /// squawk's name of the rule.
    pub rule: String,
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub help: Option<String>,
    /// The stage whose SQL it is; of a packet one that it carries.
    pub stage: String,
    /// `forward`, or `rollback`.
    pub script: String,
    /// Template of the script.
    pub template: String,
    /// Line of the rendered script.
    pub line: usize,
    /// Verb of the statement, as in `ALTER TABLE`.
    pub statement: String,
    /// Why the plan allows it.
    pub allowed: Option<String>,
}

impl From<&StageLints> for Lints {
    fn from(lints: &StageLints) -> Self {
        Lints {
            found: lints.found.iter().map(Lint::from).collect(),
            carried: lints.carried.iter().map(Lint::from).collect(),
            unused_allow: lints.unused.iter().map(|allow| allow.rule.to_owned()).collect(),
        }
    }
}

impl From<&compile::Lint> for Lint {
    fn from(lint: &compile::Lint) -> Self {
        Lint {
            rule: lint.rule.to_owned(),
            message: lint.message.clone(),
            help: lint.help.clone(),
            stage: lint.stage.clone(),
            script: if lint.back { "rollback" } else { "forward" }.to_owned(),
            template: lint.template.clone(),
            line: lint.line,
            statement: lint.statement.clone(),
            allowed: lint.allowed.clone(),
        }
    }
}

/// The findings, each with what to do or why it is allowed.
pub(super) fn draw(lints: &Lints) -> String {
    let mut text = String::new();
    for lint in &lints.found {
        let place = format!("{}:{} {}", lint.template, lint.line, lint.statement);
        let allowed = if lint.allowed.is_some() { " (allowed)" } else { "" };
        text.push_str(&format!("       lint    {place}   {}{allowed}\n", lint.rule));
        let mut line = |word: &str, what: &str| text.push_str(&format!("         {word:<7} {what}\n"));
        match (&lint.allowed, &lint.help) {
            (Some(reason), _) => line("because", reason),
            (None, help) => {
                line("what", &lint.message);
                if let Some(help) = help {
                    line("help", help);
                }
            }
        }
    }
    for lint in &lints.carried {
        let allowed = if lint.allowed.is_some() { " (allowed)" } else { "" };
        text.push_str(&format!("       carries lint of {}: {}{allowed}\n", lint.stage, lint.rule));
    }
    for rule in &lints.unused_allow {
        text.push_str(&format!("       lint    allow.{rule} lets nothing pass: remove it\n"));
    }
    text
}
