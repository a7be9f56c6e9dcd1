//! Keys that do not belong where they stand: misspelt, or slid under a sub-table's header.
//!
//! The word lists serve hints only. Which keys a kind of stage knows is the kind's own affair; it says so
//! when it calls `Keys::finish`.

use super::tree::{Item, Node};
use crate::diag::{Diagnostic, Diagnostics, Place};
use crate::name;

/// Keys all stages share.
pub(super) const ENVELOPE: [&str; 9] =
    ["doc", "kind", "on", "needs", "guard", "no_guard", "timeout", "lock_timeout", "retry"];

/// Further keys that stand directly in a stage, whatever its kind.
const BODY: [&str; 15] = [
    "file",
    "rollback",
    "no_rollback",
    "writes",
    "alters",
    "ensure",
    "reject",
    "prove",
    "monotonic",
    "batch",
    "transaction",
    "done_when",
    "ignore",
    "equals",
    "packet",
];

/// Keys of a target.
pub(super) const TARGET: [&str; 14] = [
    "url",
    "access",
    "clone_of",
    "database",
    "maker_url",
    "expires",
    "golden",
    "gate",
    "never",
    "policy",
    "reader",
    "tls",
    "parallel",
    "watch",
];

/// Keys of `[plan]`.
pub(super) const PLAN: [&str; 3] = ["name", "doc", "search_path"];

/// How many diagnostics are worth a suggestion: each looks at all names.
pub(super) const SHOWN: usize = 50;

/// The nearest of `known`, while few problems were found and the word has the length of a word.
pub(super) fn near<'k>(word: &str, known: impl IntoIterator<Item = &'k str>, out: &Diagnostics) -> Option<&'k str> {
    if out.0.len() >= SHOWN || word.len() > 100 {
        return None;
    }
    name::nearest(word, known)
}

/// A word of the plan for a message: in backticks, cut when it is long.
pub(super) fn quoted(word: &str) -> String {
    const LONGEST: usize = 80;
    let mut chars = word.chars();
    let head: String = chars
        .by_ref()
        .take(LONGEST)
        .flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] })
        .collect();
    if chars.next().is_some() { format!("`{head}...`") } else { format!("`{head}`") }
}

/// Where a table stands in the plan.
pub(super) struct Stand<'s> {
    /// The segments of its path.
    pub path: &'s [String],
    /// The path as one writes it.
    pub shown: &'s str,
    /// Has it a header of its own, `[a.b]`?
    pub header: bool,
}

impl Stand<'_> {
    /// The header a misplaced key belongs under: `Some("[stage.x]")`, or `Some("")` for the top of the file.
    pub fn home(&self, key: &str) -> Option<String> {
        let [first, second, _, ..] = self.path else { return self.home_of_shallow(key) };
        let belongs = match first.as_str() {
            "stage" => ENVELOPE.contains(&key) || BODY.contains(&key),
            "target" => TARGET.contains(&key),
            _ => false,
        };
        if belongs { Some(format!("[{first}.{second}]")) } else { self.home_of_shallow(key) }
    }

    fn home_of_shallow(&self, key: &str) -> Option<String> {
        if key == "engine" && !self.path.is_empty() {
            return Some(String::new());
        }
        (self.path.is_empty() && PLAN.contains(&key)).then(|| "[plan]".to_owned())
    }

    /// The diagnostic for a key that belongs elsewhere.
    pub fn misplaced(&self, key: &str, home: &str, place: Place) -> Diagnostic {
        let here = if self.shown.is_empty() { "the top of the file".to_owned() } else { format!("`[{}]`", self.shown) };
        let there = if home.is_empty() { "the top of the file".to_owned() } else { format!("`{home}`") };
        let help = match (home.is_empty(), self.header) {
            (true, _) => format!("move `{key}` above the first `[...]` header"),
            (false, true) => format!("move `{key}` up, above the header {here}: what follows a header belongs to it"),
            (false, false) => format!("write `{key}` below {there}"),
        };
        Diagnostic::new("misplaced-key", format!("`{key}` stands in {here} and is a key of {there}"), place)
            .label("not a key of this table")
            .help(help)
    }

    /// The diagnostic for one key that nobody took.
    pub fn unknown(&self, node: &Node, known: &[&str], place: Place, out: &Diagnostics) -> Diagnostic {
        if let Some(home) = self.home(&node.name) {
            return self.misplaced(&node.name, &home, place);
        }
        let envelope: &[&str] = if self.path.len() == 2 && self.path[0] == "stage" { &ENVELOPE } else { &[] };
        let here = if self.shown.is_empty() { "of a plan".to_owned() } else { format!("in `{}`", self.shown) };
        let found = Diagnostic::new("unknown-key", format!("unknown key {} {here}", quoted(&node.name)), place)
            .label("not a key here");
        match near(&node.name, known.iter().chain(envelope).copied(), out) {
            Some(nearest) => found.help(format!("did you mean `{nearest}`?")),
            None if known.is_empty() => found.help("no key is known here; remove it"),
            None => found.help(format!("the keys here are {}", list(known))),
        }
    }
}

/// `` `a`, `b` ``.
pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// What to write instead of a value of the wrong type; `group` is the name of the table it stands in.
pub(super) fn type_help(group: Option<&String>, key: &str, want: &str, item: &Item) -> Option<String> {
    let in_quotes = ["string", "quotes", "10m"].iter().any(|word| want.contains(word));
    match item {
        Item::Table(_) if want.starts_with("a predicate") => {
            Some(format!("a name has no dot: write `{}.NAME = \"...\"`", group?))
        }
        Item::Table(nodes) if want.starts_with("a string, an integer") => {
            Some(format!("a name with a dot needs quotes: `{}.\"{key}.{}\"`", group?, nodes.first()?.name))
        }
        Item::List(_) if matches!(key, "plan" | "defaults") => Some(format!("write `[{key}]`, not `[[{key}]]`")),
        Item::List(_) if want == "a table" => Some(format!("write `[{key}.NAME]`, one table for each")),
        Item::Text(_) if matches!(key, "guard" | "ensure" | "gate") => {
            Some(format!("give it a name: `{key}.NAME = \"...\"`"))
        }
        Item::Float | Item::Datetime | Item::Int(_) | Item::Bool(_) if in_quotes => Some("put it in quotes".to_owned()),
        Item::Text(_) if want.contains("list") => Some(format!("write `{key} = [\"...\"]`")),
        Item::Text(_) if want == "an integer" || want == "a boolean" => Some("write it without quotes".to_owned()),
        _ => Some(format!("write {want}")),
    }
}
