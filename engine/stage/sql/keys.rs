//! The keys of a `sql` stage.

use super::{KIND, SqlStage};
use crate::diag::Diagnostic;
use crate::plan::keys::Keys;
use crate::proof::Work;
use crate::stage::{Head, Parse, Stage};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parses them; everything that is wrong with them at once.
pub(super) fn parse(head: Head, mut keys: Keys, cx: &mut Parse<'_>) -> Option<Box<dyn Stage>> {
    let target = cx.needs_clone(&head)?;
    cx.not_yet(&mut keys, "batch", "write one transaction bounded by `writes`, or several stages");
    cx.not_yet(&mut keys, "transaction", "leave it out: every statement runs in the stage's one transaction");
    let place = cx.plan_stage().name.place.clone();
    let file = keys.text("file", cx.out);
    let rollback = keys.text("rollback", cx.out);
    let no_rollback = keys.text("no_rollback", cx.out);
    if file.is_none() {
        cx.out.push(
            Diagnostic::new("stage-without-file", format!("stage `{}` has no `file`", head.name), place.clone())
                .label("no SQL")
                .help("write `file = \"PLAN/STAGE.sql\"`, a path under templates/"),
        );
    }
    if rollback.is_some() == no_rollback.is_some() {
        cx.out.push(
            Diagnostic::new(
                "stage-without-rollback",
                format!("stage `{}` needs either `rollback` or `no_rollback`", head.name),
                place.clone(),
            )
            .label("how is it taken back?")
            .help("write `rollback = \"PLAN/STAGE.rollback.sql\"`, or say in `no_rollback` why there is none"),
        );
    }
    let none = BTreeMap::new();
    let forward = file.and_then(|path| cx.script(&path, &format!("{}.sql", head.name), &none));
    let has_rollback = rollback.is_some();
    let rollback = rollback.and_then(|path| cx.script(&path, &format!("{}.rollback.sql", head.name), &none));
    let writes = cx.writes(&mut keys);
    let alters = keys.texts("alters", cx.out).unwrap_or_default();
    for (named, spot) in writes.iter().map(|b| (&b.table, &place)).chain(alters.iter().map(|a| (&a.value, &a.place))) {
        never(cx, &target, named, spot);
    }
    let ensures = cx.ensures(&mut keys, &writes);
    let done_when = cx.done_when(&mut keys);
    let rejects = cx.rejects(&mut keys, &target.name.value);
    let (idempotent, reversible) = proofs(cx, &mut keys, has_rollback);
    let monotonic = monotonic(cx, &mut keys, &target.name.value);
    let ignore = ignore(cx, &mut keys);
    keys.finish(&cx.known(&KIND), cx.out);
    let source_never = target.clone_of.as_ref().and_then(|source| cx.plan.target(&source.value));
    let never =
        target.never.iter().chain(source_never.into_iter().flat_map(|t| &t.never)).map(|n| n.value.clone()).collect();
    let work = Work {
        stage: head.name.clone(),
        forward: forward?,
        rollback,
        writes,
        alters: alters.into_iter().map(|a| a.value).collect(),
        ignore,
        never,
        monotonic: monotonic.clone(),
        parallel: target.parallel,
        idempotent,
        timeout: head.timeout,
        lock_timeout: head.lock_timeout,
    };
    let on = target.name.value.clone();
    let work = Arc::new(work);
    let parallel = target.parallel;
    Some(Box::new(SqlStage {
        head,
        work,
        ensures,
        done_when,
        rejects,
        idempotent,
        reversible,
        monotonic,
        parallel,
        on,
    }))
}

fn never(cx: &mut Parse<'_>, target: &crate::plan::Target, table: &str, place: &crate::diag::Place) {
    let source = target.clone_of.as_ref().and_then(|source| cx.plan.target(&source.value));
    let bare = |name: &str| name.strip_prefix("public.").unwrap_or(name).to_owned();
    let hit =
        target.never.iter().chain(source.into_iter().flat_map(|t| &t.never)).find(|n| bare(&n.value) == bare(table));
    if let Some(hit) = hit {
        cx.out.push(
            Diagnostic::new(
                "never-written",
                format!("`{table}` is never written, and this stage declares it"),
                place.clone(),
            )
            .label("declared here")
            .related(hit.place.clone(), "never, says the target")
            .help("remove the table from `writes` or `alters`; removing it from `never` is the highest risk there is"),
        );
    }
}

fn proofs(cx: &mut Parse<'_>, keys: &mut Keys, has_rollback: bool) -> (bool, bool) {
    let (mut idempotent, mut reversible) = (false, false);
    for proof in keys.texts("prove", cx.out).unwrap_or_default() {
        match proof.value.as_str() {
            "idempotent" => idempotent = true,
            "reversible" if has_rollback => reversible = true,
            "reversible" => cx.out.push(
                Diagnostic::new("proof-without-rollback", "`reversible` needs a `rollback`", proof.place)
                    .label("nothing to go back with")
                    .help("add `rollback`, or remove the proof"),
            ),
            other => cx.out.push(
                Diagnostic::new("unknown-proof", format!("there is no proof `{other}`"), proof.place)
                    .label("not a proof")
                    .help("proofs are `idempotent` and `reversible`"),
            ),
        }
    }
    (idempotent, reversible)
}

fn monotonic(cx: &mut Parse<'_>, keys: &mut Keys, on: &str) -> Vec<String> {
    let mut names = Vec::new();
    for name in keys.texts("monotonic", cx.out).unwrap_or_default() {
        match cx.plan.probe(&name.value).map(|probe| probe.on.value.clone()) {
            Some(target) if target == on => names.push(name.value),
            Some(target) => cx.out.push(
                Diagnostic::new(
                    "monotonic-elsewhere",
                    format!("`{}` reads `{target}`, not `{on}`", name.value),
                    name.place,
                )
                .label("not what this stage writes")
                .help("`monotonic` lists probes of the stage's own target"),
            ),
            None => cx.out.push(
                Diagnostic::new("unknown-name", format!("there is no probe `{}`", name.value), name.place)
                    .label("not a probe")
                    .help("`monotonic` lists probes whose reading never falls"),
            ),
        }
    }
    names
}

fn ignore(cx: &mut Parse<'_>, keys: &mut Keys) -> Vec<(String, String)> {
    let mut columns = Vec::new();
    for entry in keys.texts("ignore", cx.out).unwrap_or_default() {
        match entry.value.rsplit_once('.') {
            Some((table, column)) if !table.is_empty() && !column.is_empty() => {
                let table = if table.contains('.') { table.to_owned() } else { format!("public.{table}") };
                columns.push((table, column.to_owned()));
            }
            _ => cx.out.push(
                Diagnostic::new("ignore-form", format!("`{}` is no column", entry.value), entry.place)
                    .label("here")
                    .help("write \"table.column\" or \"schema.table.column\""),
            ),
        }
    }
    columns
}
