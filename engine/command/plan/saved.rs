//! A preview that is kept, and held against what would run later: `plan -o FILE`, `apply FILE`.

use super::preview::{self, Preview};
use crate::aside::{self, Aside};
use crate::command::PlanArgs;
use crate::compile::Workflow;
use crate::digest;
use crate::event::{Exit, Failure, Identity};
use crate::run;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a file begins with; the digest follows, then the preview itself.
const HEAD: &str = "{\"v\":1,\"type\":\"saved preview\",\"sha256\":\"";
const BODY: &str = "\",\"preview\":";
const END: &str = "}\n";

/// Keeps a preview: written aside, synced, renamed; for its owner alone, since readings can be confidential.
///
/// # Errors
/// The disk did not take it (exit 1); a file that was there is as it was.
pub(super) fn write(path: &Path, preview: &Preview) -> Result<(), Failure> {
    let text = serde_json::to_string(preview).expect("invariant: plain data");
    let whole = format!("{HEAD}{}{BODY}{text}{END}", digest::hex(text.as_bytes()));
    let lost = |error: std::io::Error| {
        Failure::new(Exit::Io, format!("{} cannot be written: {error}", path.display())).changed("nothing was changed")
    };
    aside::write(path, whole.as_bytes(), aside::PRIVATE).and_then(Aside::put).map_err(lost)
}

/// Reads a kept preview; `None`: this is something else, a plan most likely. No TOML begins with a brace.
///
/// # Errors
/// It is JSON and no preview, or one that has lost its end (exit 1); it was changed after it was kept (62).
pub(crate) fn read(path: &Path) -> Result<Option<Preview>, Failure> {
    let Ok(bytes) = std::fs::read(path) else { return Ok(None) };
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Ok(None);
    }
    let refused = |exit: Exit, why: String| {
        Failure::new(exit, format!("{} {why}", path.display()))
            .changed("nothing was changed; no run was started")
            .next("make one", "engine plan PLAN -o FILE")
    };
    let refuse = |why: String| refused(Exit::Io, why);
    let foreign = || refuse("is JSON, and no preview that `engine plan -o` kept".to_owned());
    let text = String::from_utf8(bytes).map_err(|_| foreign())?;
    let (digest, body) = text.strip_prefix(HEAD).and_then(|rest| rest.split_once(BODY)).ok_or_else(foreign)?;
    let body = body.strip_suffix(END).ok_or_else(|| refuse("is a kept preview that has lost its end".to_owned()))?;
    if digest::hex(body.as_bytes()) != digest {
        let why = "is a kept preview that was changed after it was kept: its digest is another";
        return Err(refused(Exit::InputsChanged, why.to_owned()));
    }
    serde_json::from_str(body).map(Some).map_err(|error| refuse(format!("is of another engine: {error}")))
}

/// The command line of a kept preview: the same plan with the same variables, as of the same day.
pub(crate) fn as_previewed(preview: &Preview) -> PlanArgs {
    PlanArgs {
        plan: preview.path.clone().into(),
        vars: preview.vars.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        vars_file: None,
        date: Some(preview.date.clone()),
    }
}

/// The plan of a preview is no plan any more; what is wrong with it was drawn.
pub(crate) fn no_plan(preview: &Preview, file: &Path) -> Failure {
    moved_failure(file, preview).fact(format!("plan {}: it was valid, and is not", preview.path))
}

/// Demands that what would run now is what was previewed; pinned probes are read again.
///
/// # Errors
/// Something moved (62), each thing a fact; a target cannot be reached.
pub(crate) async fn demand(workflow: &Workflow, preview: &Preview, file: &Path) -> Result<(), Failure> {
    let mut moved = inputs(workflow, preview);
    let binding = run::bind(workflow).await?;
    let now = preview::targets(workflow, &binding);
    for then in &preview.targets {
        match now.iter().find(|target| target.name == then.name) {
            None => moved.push(format!("target `{}`: it is not in the plan any more", then.name)),
            Some(now) => {
                moved.extend(identity(&then.name, &then.identity, &now.identity));
                moved.extend(changed(&format!("target `{}`: database", then.name), &then.clone, &now.clone));
            }
        }
    }
    let readings = preview::read(workflow, &binding, Some(&preview.pinned)).await?;
    for probe in &preview.pinned {
        let shown = |all: &BTreeMap<String, crate::event::Reading>| {
            all.get(probe).map_or("not read".to_owned(), crate::event::Reading::shown)
        };
        if preview.readings.get(probe) != readings.get(probe) {
            moved.push(format!("reading `{probe}`: {} → {}", shown(&preview.readings), shown(&readings)));
        }
    }
    if moved.is_empty() {
        return Ok(());
    }
    let mut failure = moved_failure(file, preview);
    failure.facts = moved;
    Err(failure)
}

fn moved_failure(file: &Path, preview: &Preview) -> Failure {
    let (file, plan) = (file.display(), &preview.path);
    Failure::new(Exit::InputsChanged, format!("what would run now is not what {file} shows"))
        .changed("nothing was changed; no run was started")
        .next("look", format!("engine plan {plan} -o {file}   previews what is there now"))
        .next("or", "put back what moved")
}

/// What moved on paper.
fn inputs(workflow: &Workflow, preview: &Preview) -> Vec<String> {
    let mut moved = Vec::new();
    let version = env!("CARGO_PKG_VERSION");
    if preview.engine != version {
        moved.push(format!("engine: {} → {version}", preview.engine));
    }
    let plan = Path::new(&preview.path).file_name().map(|name| name.to_string_lossy().into_owned());
    for name in differing(&preview.inputs, &workflow.inputs) {
        let how = match (preview.inputs.get(name), workflow.inputs.get(name)) {
            (Some(_), None) => "is gone",
            (None, Some(_)) => "is new",
            _ => "was changed",
        };
        moved.push(match name.strip_prefix("var.") {
            Some(variable) => format!("variable `{variable}`: {how}"),
            None if Some(name) == plan.as_ref() => format!("plan {}: {how}", preview.path),
            None => format!("template {name}: {how}"),
        });
    }
    for name in differing(&preview.vars, &workflow.typed) {
        let shown = |all: &BTreeMap<String, String>| all.get(name).cloned().unwrap_or_else(|| "none".to_owned());
        moved.push(format!("variable `{name}`: {} → {}", shown(&preview.vars), shown(&workflow.typed)));
    }
    let rendered = preview::rendered(workflow);
    moved
        .extend(differing(&preview.rendered, &rendered).into_iter().map(|name| format!("rendered {name}: it differs")));
    moved
}

fn differing<'m>(then: &'m BTreeMap<String, String>, now: &'m BTreeMap<String, String>) -> Vec<&'m String> {
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    names.into_iter().filter(|name| then.get(*name) != now.get(*name)).collect()
}

/// Another server, another database or another role. A server that was started again is the same.
fn identity(target: &str, then: &Identity, now: &Identity) -> Vec<String> {
    let what = |what: &str| format!("target `{target}`: {what}");
    let mut moved = Vec::new();
    moved.extend(changed(&what("server"), &then.system_identifier, &now.system_identifier));
    moved.extend(changed(&what("oid of the database"), &then.oid, &now.oid));
    moved.extend(changed(&what("name of the database"), &then.database, &now.database));
    moved.extend(changed(&what("role"), &then.session_user, &now.session_user));
    moved.extend(changed(&what("version"), &then.version, &now.version));
    moved.extend(changed(&what("standby"), &then.in_recovery, &now.in_recovery));
    moved
}

fn changed<T: PartialEq + std::fmt::Debug>(what: &str, then: &T, now: &T) -> Option<String> {
    (then != now).then(|| format!("{what}: {then:?} → {now:?}"))
}
