//! `[stage.NAME]` and `[defaults]`: the envelope that all stages share.

use super::super::keys::Keys;
use super::super::stray::{near, quoted};
use super::super::{Defaults, NamedText, Spot, Stage};
use super::{Tables, words};
use crate::diag::{Diagnostic, Diagnostics};
use crate::name::{self, Refused};
use std::collections::HashSet;
use std::time::Duration;

/// PostgreSQL counts a timeout in milliseconds of 31 bits.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24 * 24);

impl Defaults {
    pub(super) fn read(root: &mut Keys, out: &mut Diagnostics) -> Defaults {
        let unwritten = Defaults { timeout: Duration::from_mins(10), lock_timeout: Duration::from_secs(2), retry: 0 };
        let Some(mut keys) = root.table("defaults", out) else { return unwritten };
        let defaults = unwritten.overridden(&mut keys, out);
        keys.finish(&["timeout", "lock_timeout", "retry"], out);
        defaults
    }

    /// These, replaced by what is written in `keys`.
    fn overridden(&self, keys: &mut Keys, out: &mut Diagnostics) -> Defaults {
        Defaults {
            timeout: words::positive(keys, "timeout", LONGEST_TIMEOUT, out).unwrap_or(self.timeout),
            lock_timeout: words::positive(keys, "lock_timeout", LONGEST_TIMEOUT, out).unwrap_or(self.lock_timeout),
            retry: retry(keys, out).unwrap_or(self.retry),
        }
    }
}

pub(super) fn read(tables: Tables, targets: &[String], defaults: &Defaults, out: &mut Diagnostics) -> Vec<Stage> {
    let names = super::names(&tables);
    let stages: HashSet<&str> = names.iter().map(String::as_str).collect();
    let targets: HashSet<&str> = targets.iter().map(String::as_str).collect();
    tables
        .into_iter()
        .map(|(name, keys)| stage(name, keys, &Known { stages: &stages, targets: &targets, defaults }, out))
        .collect()
}

/// What a stage may refer to.
struct Known<'k> {
    stages: &'k HashSet<&'k str>,
    targets: &'k HashSet<&'k str>,
    defaults: &'k Defaults,
}

/// `predicates.sql` of a lock is no stage's.
fn form(word: &str) -> Result<(), Refused> {
    if word == "predicates" { Err(Refused::Lock) } else { name::readable(word) }
}

fn stage(name: Spot<String>, mut keys: Keys, known: &Known<'_>, out: &mut Diagnostics) -> Stage {
    words::name(&name, "a stage", form, out);
    let kind = keys.filled("kind", out).unwrap_or_else(|| Spot { value: "sql".to_owned(), place: keys.place() });
    let on = keys.text("on", out);
    if let Some(on) = on.as_ref().filter(|on| !known.targets.contains(on.value.as_str())) {
        words::known("target", on, known.targets.iter().copied(), out);
    }
    let needs = needs(&name, &mut keys, known.stages, out);
    let (guards, no_guard) = guards(&mut keys, out);
    let Defaults { timeout, lock_timeout, retry } = known.defaults.overridden(&mut keys, out);
    let doc = keys.text("doc", out).map(|doc| doc.value);
    Stage { name, kind, doc, on, needs, guards, no_guard, timeout, lock_timeout, retry, body: keys }
}

fn needs(name: &Spot<String>, keys: &mut Keys, stages: &HashSet<&str>, out: &mut Diagnostics) -> Vec<Spot<String>> {
    if !keys.has("needs") && !elsewhere(keys, "needs", out) {
        words::missing(
            keys,
            "needs",
            "write `needs = [\"STAGE\"]`, or `needs = []`: the order of the file means nothing",
            out,
        );
    }
    let needs = keys.texts("needs", out).unwrap_or_default();
    for need in &needs {
        if need.value == name.value {
            let message = format!("`{}` needs itself", name.value);
            let found = Diagnostic::new("needs-itself", message, need.place.clone()).label("the stage itself");
            out.push(found.help("remove it"));
        } else if !stages.contains(need.value.as_str()) {
            words::known("stage", need, stages.iter().copied(), out);
        }
    }
    words::doubled(&needs, "needs", out);
    needs
}

fn guards(keys: &mut Keys, out: &mut Diagnostics) -> (Vec<NamedText>, Option<Spot<String>>) {
    let (guard, reason) = (keys.key_place("guard"), keys.key_place("no_guard"));
    let guards = keys.predicates("guard", out);
    let no_guard = keys.filled("no_guard", out);
    match (guard, reason) {
        (Some(guard), Some(reason)) => {
            let message = format!("`{}` has guards and a reason for having none", keys.path());
            let found =
                Diagnostic::new("guard-and-no-guard", message, reason).label("says that there is nothing to check");
            out.push(found.related(guard, "a guard").help("remove `no_guard`"));
        }
        (None, None) if !elsewhere(keys, "guard", out) && !keys.slid("no_guard", out) => {
            let found = Diagnostic::new("no-guard", format!("`{}` has no guard", keys.path()), keys.place());
            let help =
                "write `guard.NAME = \"PREDICATE\"`, or `no_guard = \"REASON\"` where there is truly nothing to check";
            out.push(found.label("nothing says when it may start").help(help));
        }
        _ => {}
    }
    (guards, no_guard)
}

/// Reports a required key that slid away or is misspelt, instead of saying that it is missing.
fn elsewhere(keys: &mut Keys, key: &str, out: &mut Diagnostics) -> bool {
    keys.slid(key, out) || misspelt(keys, key, out)
}

/// Reports a key that must be a misspelt `key`, instead of saying that `key` is missing.
fn misspelt(keys: &mut Keys, key: &str, out: &mut Diagnostics) -> bool {
    let found = keys.names().find(|name| near(name, [key], out).is_some()).map(ToOwned::to_owned);
    let Some(place) = found.as_ref().and_then(|name| keys.discard(name)) else { return false };
    let message = format!("unknown key {} in `{}`", quoted(&found.unwrap_or_default()), keys.path());
    out.push(
        Diagnostic::new("unknown-key", message, place).label("not a key here").help(format!("did you mean `{key}`?")),
    );
    true
}

/// `retry`, an integer of 0 to 10.
fn retry(keys: &mut Keys, out: &mut Diagnostics) -> Option<u32> {
    const MOST: u32 = 10;
    let written = keys.int("retry", out)?;
    let tries = u32::try_from(written.value).ok().filter(|tries| *tries <= MOST);
    if tries.is_none() {
        let message = format!("`retry` of `{}` is {}", keys.path(), written.value);
        let found = Diagnostic::new("out-of-range", message, written.place);
        out.push(found.label(format!("not within 0 to {MOST}")).help(format!("write a number from 0 to {MOST}")));
    }
    tries
}
