//! What changed since a run began, and what of it may be accepted.

use super::differs;
use super::life::Resumption;
use crate::compile::Workflow;
use crate::event::{Exit, Failure, RunState, Status};
use crate::journal::Place;
use crate::stage::undo;
use std::path::Path;

/// Inputs that are not what the run was last given, when they may differ.
///
/// # Errors
/// Some are, and nobody accepts them (exit 62).
pub(super) fn inputs(
    workflow: &Workflow,
    state: &RunState,
    how: Resumption,
    verb: &str,
) -> Result<Vec<String>, Failure> {
    let (before, now) = (&state.inputs, &workflow.inputs);
    let names: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let moved: Vec<String> = names.into_iter().filter(|n| before.get(*n) != now.get(*n)).cloned().collect();
    if moved.is_empty() || how.accept_changes {
        return Ok(moved);
    }
    let mut failure = Failure::new(Exit::InputsChanged, "the plan or its inputs changed since the run began")
        .changed("nothing was changed")
        .next(
            "go on",
            format!("engine {verb} {} --accept-changes   when only stages that are not committed differ", state.run),
        )
        .next("or", "put the files back as they were");
    failure.facts = moved;
    Err(failure)
}

/// What begins a run of the same plan with the same variables.
pub(super) fn anew(workflow: &Workflow) -> String {
    let vars = workflow.typed.iter().map(|(name, value)| format!(" --var {}", word(&format!("{name}={value}"))));
    format!("engine apply {}{}", word(&workflow.plan.source.path), vars.collect::<String>())
}

/// As a shell takes it for one word.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Does the SQL of a stage ask for a sensitive variable that is another now? Its value is in no text, so in no digest either.
fn reads(workflow: &Workflow, stage: &str, moved: &[String]) -> bool {
    let texts =
        || workflow.lock.iter().filter(|file| file.name.split('.').next() == Some(stage)).map(|file| &file.text);
    let asks = |name: &str| texts().any(|text| text.contains(&format!("engine.var.{name}")));
    moved.iter().filter_map(|input| input.strip_prefix("var.")).any(asks)
}

/// Files and checks of a stage that differ.
fn texts_of(stage: &str, workflow: &Workflow, dir: &Path) -> Vec<String> {
    let own = |name: &str| {
        name.split('.').next() == Some(stage) && Path::new(name).extension().is_some_and(|end| end == "sql")
    };
    let before: BTreeMap<String, String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(dir.join(&name)).ok()?;
            Some((name, text))
        })
        .map(|(old, _)| old.clone())
        .collect();
    if changed.is_empty() { Ok(()) } else { Err(differs::refused(workflow, state, place, &changed)) }
}
