//! What adding a kind of stage asks for, beside its file and its line in the registry: a plan that uses it, a plan
//! that is refused over it, its page in the docs, keys and a recovery that say what they are.

use engine::stage::KINDS;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A stage without `kind` is of this one.
const DEFAULT: &str = "sql";

/// Keys that every stage has; a kind must not take one of them for itself.
const ENVELOPE: [&str; 9] = ["doc", "kind", "on", "needs", "guard", "no_guard", "timeout", "lock_timeout", "retry"];

fn names() -> BTreeSet<String> {
    KINDS.iter().map(|kind| kind.name.to_owned()).collect()
}

/// Kinds of all stages of the plans in a folder; plans that are no TOML have none.
fn used_in(folder: &str) -> BTreeSet<String> {
    let mut kinds = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    for entry in fs::read_dir(folder).expect("a folder of plans") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a plan");
        let Ok(plan) = text.parse::<toml::Table>() else { continue };
        let stages = plan.get("stage").and_then(toml::Value::as_table);
        for stage in stages.into_iter().flat_map(|table| table.values()) {
            let kind = stage.get("kind").map_or(Some(DEFAULT), toml::Value::as_str);
            kinds.extend(kind.map(str::to_owned));
        }
    }
    kinds
}

fn nothing_lacks(what: &str, there: &BTreeSet<String>) {
    let lacking: Vec<String> = names().difference(there).cloned().collect();
    assert!(lacking.is_empty(), "{what} is missing for {lacking:?}");
}

#[test]
fn every_kind_has_a_plan_that_uses_it() {
    nothing_lacks("a stage in plans/", &used_in("plans"));
}

#[test]
fn every_kind_has_a_plan_that_is_refused() {
    nothing_lacks("a stage in tests/bad_plans/", &used_in("tests/bad_plans"));
}

/// The page has a heading for each kind, and below it each of its keys in backticks.
#[test]
fn every_kind_has_its_part_of_the_docs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kinds.md");
    let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lacking = Vec::new();
    for kind in KINDS {
        let heading = |line: &str| line.starts_with('#') && words(line).any(|word| word == kind.name);
        let Some(at) = page.lines().position(heading) else {
            lacking.push(format!("a heading with `{}`", kind.name));
            continue;
        };
        let part: Vec<&str> = page.lines().skip(at + 1).take_while(|line| !line.starts_with("## ")).collect();
        let part = part.join("\n");
        let unnamed = kind.keys.iter().filter(|key| !words(&part).any(|word| word == **key));
        lacking.extend(unnamed.map(|key| format!("`{key}` of `{}`", kind.name)));
    }
    assert!(lacking.is_empty(), "docs/kinds.md lacks {}", lacking.join(", "));
}

/// Words as keys are written; `writes.TABLE` mentions `writes`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
}

#[test]
fn kinds_and_keys_are_told_apart() {
    assert_eq!(names().len(), KINDS.len(), "two kinds of one name");
    assert!(names().contains(DEFAULT));
    for kind in KINDS {
        assert!(kind.name.bytes().all(|b| b.is_ascii_lowercase()), "`{}` is one word in lower case", kind.name);
        let keys: BTreeSet<&str> = kind.keys.iter().copied().collect();
        assert_eq!(keys.len(), kind.keys.len(), "`{}` names a key twice", kind.name);
        let taken: Vec<&str> = ENVELOPE.into_iter().filter(|key| keys.contains(key)).collect();
        assert!(taken.is_empty(), "`{}` takes {taken:?} from the envelope", kind.name);
    }
}
