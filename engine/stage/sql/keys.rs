//! The keys of a `sql` stage.

use super::alone::AloneStage;
use super::{KIND, SqlStage, batch};
use crate::diag::Diagnostic;
use crate::plan::keys::Keys;
use crate::proof::{Script, Work};
use crate::sql::Where;
use crate::stage::{Head, Parse, Stage};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parses them; everything that is wrong with them at once.
pub(super) fn parse(mut head: Head, mut keys: Keys, cx: &mut Parse<'_>) -> Option<Box<dyn Stage>> {
    let target = cx.needs_clone(&head)?;
    let alone = keys.flag("transaction", cx.out).filter(|flag| !flag.value);
    let at = if alone.is_some() { Where::Alone } else { Where::Clone };
    if let Some(flag) = &alone {
        unlike_a_transaction(cx, &mut keys, &flag.place);
    }
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
    way_back(cx, &head, (rollback.is_some(), no_rollback.is_some()), &place);
    let none = BTreeMap::new();
    let forward = file.and_then(|path| cx.script_at(&path, &format!("{}.sql", head.name), &none, at));
    if let Some(script) = forward.as_ref().filter(|_| alone.is_some()) {
        detached_alone(cx, script, &place);
    }
    let has_rollback = rollback.is_some();
    let rollback = rollback.and_then(|path| cx.script_at(&path, &format!("{}.rollback.sql", head.name), &none, at));
    let writes = cx.writes(&mut keys);
    let alters = keys.texts("alters", cx.out).unwrap_or_default();
    for (named, spot) in writes.iter().map(|b| (&b.table, &place)).chain(alters.iter().map(|a| (&a.value, &a.place))) {
        never(cx, &target, named, spot);
    }
    let ensures = cx.ensures(&mut keys, &writes);
    let done_when = cx.done_when(&mut keys);
    let prove_place = keys.key_place("prove");
    let batch = batch::parse(cx, &mut keys);
    let rejects = cx.rejects(&mut keys, &target.name.value);
    let (idempotent, reversible) = proofs(cx, &mut keys, has_rollback);
    if let Some(place) = prove_place.filter(|_| reversible && batch.is_some()) {
        let message = "`reversible` cannot be proved of batches: it goes forth and back in one transaction".to_owned();
        let found = Diagnostic::new("batch-reversible", message, place).label("not of batches");
        cx.out
            .push(found.help("remove it; the `rehearse` stage goes back over all batches, and forth again one by one"));
    }
    let rising = keys.key_place("monotonic");
    let monotonic = monotonic(cx, &mut keys, &target.name.value);
    if let Some(place) = rising.filter(|_| batch.is_some()) {
        let message = "`monotonic` cannot be shown of batches: nobody reads between two of them".to_owned();
        let found = Diagnostic::new("batch-reversible", message, place).label("not of batches");
        cx.out.push(found.help("remove it, or write an ensure over `before.x`"));
    }
    let ignore = ignore(cx, &mut keys);
    head.allow = cx.allow(&mut keys);
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
        alone: alone.is_some(),
        batch: batch.as_ref().map(|(batch, _)| batch.clone()),
        idempotent,
        timeout: head.timeout,
        lock_timeout: head.lock_timeout,
    };
    let on = target.name.value.clone();
    let work = Arc::new(work);
    let parallel = target.parallel;
    if alone.is_some() {
        // That it is missing was said.
        return Some(Box::new(AloneStage { head, work, ensures, done_when: done_when?, parallel, on }));
    }
    let until = batch.map(|(_, check)| check);
    Some(Box::new(SqlStage {
        head,
        work,
        ensures,
        others: done_when.iter().chain(&until).cloned().collect(),
        done_when,
        until,
        rejects,
        idempotent,
        reversible,
        monotonic,
        parallel,
        on,
    }))
}

/// Either a rollback, or why there is none.
fn way_back(cx: &mut Parse<'_>, head: &Head, (has, has_not): (bool, bool), place: &crate::diag::Place) {
    if has == has_not {
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
}

/// Keys that need a transaction around the stage, and one that is needed without.
fn unlike_a_transaction(cx: &mut Parse<'_>, keys: &mut Keys, flag: &crate::diag::Place) {
    let why = [
        ("writes", "statements outside of a transaction change no rows", "remove it"),
        ("batch", "a batch is a transaction", "remove one of the two"),
        ("reject", "a refusal is tried in a transaction that is rolled back", "give it to a stage of kind `check`"),
        (
            "prove",
            "a proof repeats the stage in a transaction that is rolled back",
            "remove it; `done_when` says what holds",
        ),
        ("monotonic", "it is read around a second run in a transaction", "remove it"),
    ];
    for (key, because, help) in why {
        let Some(place) = keys.key_place(key) else { continue };
        keys.discard(key);
        let message = format!("`{key}` cannot stand beside `transaction = false`: {because}");
        let found = Diagnostic::new("without-transaction", message, place).label("needs a transaction");
        cx.out.push(found.related(flag.clone(), "none here").help(help));
    }
    if !keys.has("done_when") {
        let message = "`transaction = false` needs `done_when`".to_owned();
        let found = Diagnostic::new("without-transaction", message, flag.clone()).label("how does a resume tell?");
        cx.out.push(found.help(
            "write `done_when = \"...\"`, true exactly when all of it is there: after a kill nothing else can tell",
        ));
    }
}

/// Detaching a partition cannot be sent twice, so nothing may come behind it that a kill could leave open.
fn detached_alone(cx: &mut Parse<'_>, script: &Script, place: &crate::diag::Place) {
    let sent: Vec<&str> = script.statements.iter().map(|s| s.verb.as_str()).filter(|verb| *verb != "SET").collect();
    if sent.len() > 1 && sent.contains(&"ALTER TABLE") {
        let message = "DETACH PARTITION stands beside other statements, outside of a transaction".to_owned();
        let found = Diagnostic::new("sql-not-repeatable", message, place.clone()).label("cannot be sent twice");
        cx.out
            .push(found.help("give it a stage of its own: after a kill the statements are sent again from the first"));
    }
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
