//! `[target.NAME]`: the databases, clones and others.

use super::super::keys::Keys;
use super::super::stray::{self, quoted};
use super::super::{Access, Policy, ReaderPolicy, Spot, Target, Tls, UrlRef};
use super::{Tables, words};
use crate::diag::{Diagnostic, Diagnostics, Place};
use crate::name;
use std::collections::HashMap;
use std::time::Duration;

/// No clone is kept longer than ten years; an instant stays within what a calendar can say.
const LONGEST_LIFE: Duration = Duration::from_hours(3_650 * 24);

pub(super) fn read(mut tables: Tables, out: &mut Diagnostics) -> Vec<Target> {
    let names: Vec<String> = super::names(&tables);
    let clones: Vec<bool> = tables.iter().map(|(_, keys)| keys.has("clone_of")).collect();
    let is_clone: HashMap<&str, bool> = names.iter().map(String::as_str).zip(clones).collect();
    let mut databases: HashMap<String, Place> = HashMap::new();
    let mut targets = Vec::with_capacity(tables.len());
    for (name, keys) in tables.drain(..) {
        words::name(&name, "a target", name::plain, out);
        let target = if keys.has("clone_of") { clone(name, keys, &is_clone, out) } else { original(name, keys, out) };
        for database in target.iter().flat_map(|target| target.database.iter().chain(&target.golden)) {
            apart(database, &mut databases, out);
        }
        targets.extend(target);
    }
    targets
}

/// What clones and others have in common.
struct Common {
    gates: Vec<super::super::NamedText>,
    never: Vec<Spot<String>>,
    policy: Policy,
    reader: ReaderPolicy,
    tls: Option<Tls>,
    parallel: bool,
}

impl Common {
    fn read(keys: &mut Keys, out: &mut Diagnostics) -> Common {
        let never = keys.texts("never", out).unwrap_or_default();
        for table in &never {
            words::table_name(table, out);
        }
        words::doubled(&never, "never", out);
        let policies = [("attributed", Policy::Attributed), ("strict", Policy::Strict)];
        let readers = [("confined", ReaderPolicy::Confined), ("attested", ReaderPolicy::Attested)];
        let ways = [Tls::VerifyFull, Tls::Unverified, Tls::Plain].map(|way| (way.text(), way));
        Common {
            gates: keys.predicates("gate", out),
            never,
            policy: words::one_of(keys, "policy", &policies, out).unwrap_or(Policy::Attributed),
            reader: words::one_of(keys, "reader", &readers, out).unwrap_or(ReaderPolicy::Confined),
            tls: words::one_of(keys, "tls", &ways, out),
            parallel: keys.flag("parallel", out).is_some_and(|flag| flag.value),
        }
    }
}

/// A target that exists before the run.
fn original(name: Spot<String>, mut keys: Keys, out: &mut Diagnostics) -> Option<Target> {
    for key in ["database", "maker_url", "expires", "golden"] {
        if let Some(place) = keys.discard(key) {
            let message = format!("`{key}` is for clones, and `{}` has no `clone_of`", keys.path());
            let found = Diagnostic::new("clone-only-key", message, place).label("only a clone has it");
            out.push(found.help(format!("write `clone_of = \"TARGET\"`, or remove `{key}`")));
        }
    }
    let gated = keys.has("gate");
    let url = required_url(&mut keys, "url", out);
    if !keys.has("access") {
        words::missing(&keys, "access", "write `access = \"read\"`, or `\"write\"` together with a gate", out);
    }
    let watch = keys.flag("watch", out).is_some_and(|flag| flag.value);
    let written = keys.key_place("access");
    let access = words::one_of(&mut keys, "access", &[("read", Access::Read), ("write", Access::Write)], out);
    let common = Common::read(&mut keys, out);
    if access == Some(Access::Write) && !gated {
        let message = format!("`{}` may be written and has no gate", keys.path());
        let found = Diagnostic::new("write-without-gate", message, written.unwrap_or_else(|| keys.place()));
        out.push(
            found
                .label("written only behind a gate")
                .help("write `gate.NAME = \"PREDICATE\"`: what must hold before anything is written there"),
        );
    }
    keys.finish(&stray::TARGET, out);
    let Common { gates, never, policy, reader, tls, parallel } = common;
    let (maker_url, clone_of, database, expires, golden) = (None, None, None, None, None);
    let (url, access) = (url?, access?);
    Some(Target {
        name,
        url,
        maker_url,
        tls,
        access,
        clone_of,
        database,
        expires,
        golden,
        gates,
        never,
        policy,
        reader,
        parallel,
        watch,
    })
}

/// A target that a `clone` stage makes.
fn clone(name: Spot<String>, mut keys: Keys, is_clone: &HashMap<&str, bool>, out: &mut Diagnostics) -> Option<Target> {
    let clone_of = keys.text("clone_of", out);
    if let Some(origin) = &clone_of {
        check_origin(&name, origin, is_clone, out);
    }
    let url = required_url(&mut keys, "url", out);
    let maker_url = required_url(&mut keys, "maker_url", out);
    if !keys.has("database") {
        words::missing(
            &keys,
            "database",
            "write `database = \"NAME\"`, the database to make; `{{ run.date }}` may stand in it",
            out,
        );
    }
    let database = keys.filled("database", out);
    let expires = words::positive(&mut keys, "expires", LONGEST_LIFE, out);
    let golden = keys.text("golden", out);
    if let Some(golden) = &golden {
        words::name(golden, "a golden copy", name::plain, out);
    }
    if let Some(access) = keys.text("access", out).filter(|access| access.value != "write") {
        let message = format!("{} is no access for `{}`, which is a clone", quoted(&access.value), keys.path());
        let found = Diagnostic::new("clone-access", message, access.place).label("a clone is always written");
        out.push(found.help("remove `access`"));
    }
    if let Some(place) = keys.discard("watch") {
        let message = format!("`watch` is for what nobody of ours writes, and `{}` is a clone", keys.path());
        let found = Diagnostic::new("watch-clone", message, place).label("a clone is written by the stages");
        out.push(found.help("write it at the target that it is a clone of, or remove it"));
    }
    let Common { gates, never, policy, reader, tls, parallel } = Common::read(&mut keys, out);
    keys.finish(&stray::TARGET, out);
    let (url, maker_url, database) = (url?, Some(maker_url?), Some(database?));
    let (access, clone_of) = (Access::Write, Some(clone_of?));
    Some(Target {
        name,
        url,
        maker_url,
        tls,
        access,
        clone_of,
        database,
        expires,
        golden,
        gates,
        never,
        policy,
        reader,
        parallel,
        watch: false,
    })
}

fn check_origin(name: &Spot<String>, origin: &Spot<String>, is_clone: &HashMap<&str, bool>, out: &mut Diagnostics) {
    match is_clone.get(origin.value.as_str()) {
        Some(false) => {}
        Some(true) => {
            let itself = origin.value == name.value;
            let label = if itself { "the clone itself" } else { "a clone too" };
            let message =
                format!("`target.{}` is a clone of {}, which is no original", name.value, quoted(&origin.value));
            let found = Diagnostic::new("clone-of-clone", message, origin.place.clone()).label(label);
            out.push(found.help("name a target that has no `clone_of`"));
        }
        None => {
            let originals = is_clone.iter().filter(|(_, clone)| !**clone).map(|(name, _)| *name);
            words::known("target", origin, originals, out);
        }
    }
}

fn required_url(keys: &mut Keys, key: &str, out: &mut Diagnostics) -> Option<Spot<UrlRef>> {
    if !keys.has(key) {
        words::missing(keys, key, &format!("write `{key} = \"env:NAME\"` or `{key} = \"file:PATH\"`"), out);
    }
    words::url(keys, key, out)
}

/// Two clones in one database would drop each other; a golden copy is a database as well.
fn apart(database: &Spot<String>, seen: &mut HashMap<String, Place>, out: &mut Diagnostics) {
    if let Some(first) = seen.get(&database.value) {
        let message = format!("two databases are called {}", quoted(&database.value));
        let found = Diagnostic::new("same-database", message, database.place.clone()).label("the same database");
        out.push(
            found
                .related(first.clone(), "first here")
                .help("give each clone, and each golden copy, a database of its own"),
        );
    } else {
        seen.insert(database.value.clone(), database.place.clone());
    }
}
