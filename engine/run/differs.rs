//! What of a stage is another than it was: told by the texts that its run keeps.

use crate::compile::Workflow;
use crate::event::{Event, Exit, Failure, RunState};
use crate::journal::Place;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Stages that may not change any more, and did.
pub(super) fn refused(workflow: &Workflow, state: &RunState, place: &Place, changed: &[String]) -> Failure {
    let run = &state.run;
    // Another machine's files are fetched; without them it is only said that something moved.
    let kept = place.kept().ok();
    let parts = changed.iter().map(|stage| {
        let parts = parts_of(stage, workflow, state, kept.as_ref().map(|kept| kept.dir.as_path()));
        format!("`{stage}`: {}", parts.join(", "))
    });
    let failure = Failure::new(Exit::InputsChanged, "a stage that is committed was changed since");
    let failure = parts.fold(failure, Failure::fact);
    failure
        .changed("nothing was changed")
        .next("go on", format!("put it back as it was, and run: engine resume {run} --accept-changes"))
        .next("or", format!("engine drop {run}   which drops its clone, and then: {}", anew(workflow)))
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

fn parts_of(stage: &str, workflow: &Workflow, state: &RunState, kept: Option<&Path>) -> Vec<String> {
    let digest = state.digests.get(stage);
    if workflow.index(stage).is_none() {
        let new =
            workflow.briefs.iter().find(|new| !state.digests.contains_key(&new.name) && Some(&new.digest) == digest);
        return vec![match new {
            Some(new) => format!("it is called `{}` now", new.name),
            None => "it is not in the plan any more".to_owned(),
        }];
    }
    // What is kept is what the run began with.
    let as_begun = match &state.started {
        Some(Event::RunStarted { stages, .. }) => {
            stages.iter().any(|old| old.name == stage && Some(&old.digest) == digest)
        }
        _ => false,
    };
    let mut parts = match kept.filter(|_| as_begun) {
        Some(dir) => texts_of(stage, workflow, &dir.join("sql")),
        None => return vec!["it is another one now".to_owned()],
    };
    if parts.is_empty() {
        parts.push("what it comes after, `search_path`, a probe or sensitive variable that it reads, or another key beside its SQL and its \
                    checks".to_owned());
    }
    parts
}

/// Files and checks of a stage that differ.
fn texts_of(stage: &str, workflow: &Workflow, dir: &Path) -> Vec<String> {
    let own = |name: &str| name.strip_suffix(".sql").and_then(|name| name.split('.').next()) == Some(stage);
    let before: BTreeMap<String, String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(dir.join(&name)).ok()?;
            Some((name, text))
        })
        .collect();
    let now: BTreeMap<&str, &str> = workflow.lock.iter().map(|file| (file.name.as_str(), file.text.as_str())).collect();
    let names: BTreeSet<&str> = before.keys().map(String::as_str).chain(now.keys().copied()).collect();
    let mut parts: Vec<String> = names
        .into_iter()
        .filter(|name| own(name))
        .filter_map(|name| {
            differs(before.get(name).map(String::as_str), now.get(name).copied())
                .map(|how| format!("its SQL {how} ({name})"))
        })
        .collect();
    let checks = |text: Option<&str>| checks_of(stage, text.unwrap_or_default());
    let old = checks(before.get("predicates.sql").map(String::as_str));
    let new = checks(now.get("predicates.sql").copied());
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    parts.extend(names.into_iter().filter_map(|name| {
        let how = differs(old.get(name).map(String::as_str), new.get(name).map(String::as_str))?;
        Some(format!("its {} {how}", name.replacen('.', " `", 1) + if name.contains('.') { "`" } else { "" }))
    }));
    parts
}

fn differs(before: Option<&str>, now: Option<&str>) -> Option<&'static str> {
    match (before, now) {
        (None, Some(_)) => Some("is new"),
        (Some(_), None) => Some("is gone"),
        (before, now) => (before != now).then_some("is another"),
    }
}

/// Guards, ensures and the like of a stage in the lock's list, as in `guard.enough`, and their texts.
fn checks_of(stage: &str, predicates: &str) -> BTreeMap<String, String> {
    let lead = format!("-- stage.{stage}.");
    let one = |part: &str| {
        let (address, text) = part.strip_prefix(&lead)?.split_once('\n')?;
        Some((address.to_owned(), text.trim().to_owned()))
    };
    // Each stands behind an empty line, and no predicate has one in it.
    predicates.split("\n\n").filter_map(one).collect()
}
