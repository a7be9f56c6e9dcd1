//! Sensitive variables of a run: their values are read when it begins and again when it is taken up; the journal keeps a
//! digest under a key that stays in the run's folder, so that a resume can tell that a value is another one and nobody else
//! can try values against it.

use crate::compile::{Workflow, genesis};
use crate::digest;
use crate::event::{Event, Exit, Failure};
use crate::name;
use crate::target::Sensitive;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// File name within the run's folder; mode 0600. It is in no packet and in no shared journal.
const KEY: &str = "sensitive.key";

/// Key of the digests.
pub(super) type Key = [u8; 32];

/// Reads the values, and adds their digests to the workflow's inputs.
///
/// # Errors
/// A value is not where the plan or the command line says (exit 1).
pub(super) fn read(workflow: &mut Workflow, key: &Key) -> Result<Sensitive, Failure> {
    let named = workflow.plan.vars.iter().filter(|var| var.sensitive).map(|var| var.name.value.as_str());
    let texts = named.filter_map(|name| Some((name, workflow.typed.get(name)?.as_str())));
    let sensitive = Sensitive::read(texts)?;
    if let Some((variable, name)) = sensitive.named(names(workflow)) {
        return Err(Failure::new(
            Exit::Io,
            format!("the value of `var.{variable}` stands in `{name}`, a name of the plan"),
        )
        .fact("names are kept and shown, so it could not be hidden")
        .changed("nothing was changed; no run was started")
        .next("then", "choose another value, or another name"));
    }
    for (name, value) in sensitive.values() {
        workflow.inputs.insert(format!("var.{name}"), digest::keyed(key, value.as_bytes()));
    }
    workflow.genesis = genesis(&workflow.inputs);
    Ok(sensitive)
}

/// Names that a run's journal is folded by.
fn names(workflow: &Workflow) -> Vec<&str> {
    let plan = &workflow.plan;
    let works = workflow.stages.iter().filter_map(|stage| stage.head().on.as_deref());
    let mut names: Vec<&str> = vec![plan.name.as_str(), plan.source.path.as_str()];
    names.extend(plan.stages.iter().map(|stage| stage.name.value.as_str()));
    names.extend(plan.targets.iter().map(|target| target.name.value.as_str()));
    names.extend(plan.probes.iter().map(|probe| probe.name.value.as_str()));
    names.extend(plan.vars.iter().map(|var| var.name.value.as_str()));
    names.extend(workflow.databases.values().map(String::as_str));
    names.extend(works);
    names
}

/// A key for a new run.
///
/// # Errors
/// The system has no random bytes.
pub(super) fn new_key() -> Result<Key, Failure> {
    name::random().map_err(|e| Failure::new(Exit::Io, format!("no random bytes for a key: {e}")))
}

/// Keeps the key, for who owns the folder only.
///
/// # Errors
/// The disk did not take it.
pub(super) fn keep_key(dir: &Path, key: &Key) -> Result<(), Failure> {
    let path = dir.join(KEY);
    // One that is no key is in the way.
    let _ = std::fs::remove_file(&path);
    let made = File::options().write(true).create_new(true).mode(0o600).open(&path);
    made.and_then(|mut file| file.write_all(key).and_then(|()| file.sync_all()))
        .map_err(|e| Failure::new(Exit::Io, format!("{} cannot be written: {e}", path.display())))
}

/// What a refusal says beside, where values could not be compared.
pub(super) fn without_key(failure: Failure, dir: &Path) -> Failure {
    let path = dir.join(KEY);
    failure
        .fact(format!("sensitive variables cannot be compared here: {} is not there", path.display()))
        .next("bring", format!("{KEY} of this run from the machine that began it, mode 0600, to {}", path.display()))
}

/// The same where there is a key, and the digests were written anew since by a machine that had none.
pub(super) fn with_another_key<'e>(
    failure: Failure,
    secrets: &Sensitive,
    events: impl Iterator<Item = &'e Event>,
) -> Failure {
    let secret =
        |input: &str| input.strip_prefix("var.").is_some_and(|var| secrets.values().any(|(name, _)| name == var));
    let compared = |input: &String| secret(input) && failure.facts.contains(input);
    let anew = |event: &'e Event| match event {
        Event::RunResumed { accepted, host, pid, .. } if accepted.iter().any(compared) => Some((host, pid)),
        _ => None,
    };
    match events.filter_map(anew).last() {
        Some((host, pid)) => failure.fact(format!(
            "accepted by pid {pid} on {host}: where that is another machine, its {KEY} is the one to compare sensitive variables by"
        )),
        None => failure,
    }
}

/// The key that this machine keeps of a run, if it does.
///
/// # Errors
/// It cannot be read.
pub(super) fn stored_key(dir: &Path) -> Result<Option<Key>, Failure> {
    let path = dir.join(KEY);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(bytes.try_into().ok()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::new(Exit::Io, format!("{} cannot be read: {e}", path.display()))),
    }
}
