//! The rules of the house, read off the sources: which room may use which, who may touch which crate, and what no
//! source may say. Every rule names all places that break it.

mod source;

use source::{SourceFile, Token, Word, sources};
use std::collections::{BTreeMap, BTreeSet};

/// Rooms by floor. A room may use rooms on lower floors; the table in `engine/lib.rs` says the same to people.
const FLOORS: [&[&str]; 11] = [
    &["name", "digest", "diag", "clock", "programs", "crash", "aside"],
    &["plan", "event", "render", "sql"],
    &["target", "report"],
    &["copy"],
    &["probe", "journal", "fingerprint"],
    &["guard", "proof"],
    &["stage"],
    &["compile"],
    &["run", "ui", "sandbox", "review"],
    &["command"],
    &["cli"],
];

/// Crates that only some files may name, and those files.
const DOORS: [(&[&str], &[&str]); 12] = [
    (&["tokio_postgres", "deadpool_postgres", "tokio_postgres_rustls", "rustls"], &["engine/target/"]),
    (&["minijinja"], &["engine/render/"]),
    (&["petgraph"], &["engine/plan/graph.rs"]),
    (&["clap", "clap_complete"], &["engine/cli/", "engine/command/", "engine/main.rs"]),
    (&["squawk_syntax"], &["engine/sql/"]),
    (&["squawk_linter"], &["engine/sql/lint.rs"]),
    (&["annotate_snippets"], &["engine/diag.rs"]),
    (&["unicode_properties"], &["engine/diag/visible.rs"]),
    (&["indicatif"], &["engine/ui/"]),
    (&["layout_rs"], &["engine/command/graph/svg.rs"]),
    (&["taplo"], &["engine/plan/format.rs"]),
    (&["jiff"], &["engine/clock.rs"]),
];

/// Macros of unfinished or talking code. The second list may stand where output is the business.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];
const TALKING: [&str; 4] = ["print", "println", "eprint", "eprintln"];
const TALKERS: [&str; 3] = ["cli", "command", "ui"];

/// Files longer than `LONGEST` lines, and why.
const LONGEST: usize = 500;
const LONG: [(&str, &str); 0] = [];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 10] =
    ["util", "utils", "common", "helper", "helpers", "manager", "core", "misc", "shared", "types"];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Fails with all that breaks a rule.
fn demand(rule: &str, broken: impl IntoIterator<Item = String>) {
    let broken: BTreeSet<String> = broken.into_iter().collect();
    let list: Vec<String> = broken.iter().map(|place| format!("  {place}")).collect();
    assert!(broken.is_empty(), "{rule}:\n{}", list.join("\n"));
}

/// Rooms that a file names by `crate::ROOM` or `use crate::{ROOM, ...}`.
fn used_rooms(file: &SourceFile) -> Vec<(String, Token)> {
    let mut used = Vec::new();
    for (at, token) in file.tokens.iter().enumerate().filter(|(_, token)| token.names("crate")) {
        let after = &file.tokens[at + 1..];
        if !(after.len() > 2 && after[0].is(':') && after[1].is(':')) {
            continue;
        }
        if after[2].is('{') {
            used.extend(group(&after[3..]).into_iter().map(|name| (name, token.clone())));
        } else if let Some(name) = after[2].name() {
            used.push((name.to_owned(), token.clone()));
        }
    }
    used
}

/// The first name of each entry of `{a::b, c, d::{e, f}}`, from behind its opening brace.
fn group(tokens: &[Token]) -> Vec<String> {
    let (mut depth, mut first, mut names) = (1usize, true, Vec::new());
    for token in tokens {
        match &token.word {
            Word::Sign('{') => depth += 1,
            Word::Sign('}') => depth -= 1,
            Word::Sign(',') if depth == 1 => first = true,
            Word::Name(name) if first => {
                names.push(name.clone());
                first = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

#[test]
fn rooms_use_lower_floors_only() {
    let files = sources();
    let wrong = |file: &SourceFile| {
        let (room, own) = (file.room().to_owned(), floor(file.room()));
        let up = move |(used, token): (String, Token)| {
            let allowed = used == room || floor(&used) < own && floor(&used).is_some();
            (!allowed).then(|| format!("{}: `{room}` uses `{used}`", file.at(&token)))
        };
        used_rooms(file).into_iter().filter_map(up).collect::<Vec<_>>()
    };
    demand("a room uses rooms on lower floors only", files.iter().flat_map(wrong));
}

/// `super::super::x` must not be a way around the rule of the floors.
#[test]
fn no_path_climbs_out_of_its_room() {
    let climbs = |file: &SourceFile| {
        let inline =
            usize::from(file.tokens.windows(3).any(|w| w[0].names("mod") && w[1].name().is_some() && w[2].is('{')));
        let most = file.modules().len().saturating_sub(1) + inline;
        let mut found = Vec::new();
        let (mut supers, mut quiet) = (0, 0);
        for token in &file.tokens {
            if token.names("super") {
                supers += 1;
                quiet = 0;
                if supers > most {
                    found.push(format!("{}: {supers} times `super`", file.at(token)));
                }
            } else if token.is(':') && quiet < 2 {
                quiet += 1;
            } else {
                supers = 0;
            }
        }
        found
    };
    demand("a path with `super` stays within its room", sources().iter().flat_map(climbs));
}

#[test]
fn every_room_stands_on_a_floor_and_in_the_map() {
    let files = sources();
    let lib = files.iter().find(|file| file.path == "engine/lib.rs").expect("engine/lib.rs");
    let rooms: BTreeSet<&str> = FLOORS.iter().flat_map(|rooms| rooms.iter().copied()).collect();
    let there: BTreeSet<&str> = files.iter().map(SourceFile::room).filter(|r| !["lib", "main"].contains(r)).collect();
    assert_eq!(there, rooms, "folders and files of engine/ (left), rooms with a floor (right)");
    let declared: BTreeSet<&str> =
        lib.product.windows(2).filter(|w| w[0].names("mod")).filter_map(|w| w[1].name()).collect();
    assert_eq!(declared, rooms, "modules of engine/lib.rs (left), rooms with a floor (right)");

    let row = |line: &str| -> Option<(usize, BTreeSet<String>)> {
        let cells: Vec<&str> = line.strip_prefix("//! | ")?.split(" | ").collect();
        let floor = cells.first()?.parse().ok()?;
        let names = cells.get(1)?.split(": ").next()?;
        Some((floor, names.split('`').skip(1).step_by(2).map(str::to_owned).collect()))
    };
    let map: BTreeMap<usize, BTreeSet<String>> = lib.text.lines().filter_map(row).collect();
    let meant: BTreeMap<usize, BTreeSet<String>> = FLOORS
        .iter()
        .enumerate()
        .map(|(floor, rooms)| (floor, rooms.iter().map(|r| (*r).to_owned()).collect()))
        .collect();
    assert_eq!(map, meant, "the table in engine/lib.rs (left), the floors of this test (right)");
}

#[test]
fn crates_stay_behind_their_doors() {
    let files = sources();
    let wrong = |file: &SourceFile| {
        let mut found = Vec::new();
        for (crates, homes) in DOORS {
            if homes.iter().any(|home| file.path.starts_with(home)) {
                continue;
            }
            let named = file.tokens.iter().filter(|t| t.name().is_some_and(|name| crates.contains(&name)));
            found.extend(named.map(|token| format!("{}: {:?} belongs to {homes:?}", file.at(token), token.word)));
        }
        found
    };
    demand("some crates are named in one place only", files.iter().flat_map(wrong));
}

#[test]
fn every_file_says_what_it_is() {
    let silent = |file: &&SourceFile| !file.text.starts_with("//! ");
    let files = sources();
    demand("a file opens with `//! ` and what it is", files.iter().filter(silent).map(|file| file.path.clone()));
}

#[test]
fn nothing_panics_without_a_reason() {
    let bad = |file: &SourceFile| {
        let words = file.product.windows(4).filter_map(|w| {
            let called = w[0].is('.') && w[2].is('(');
            let unwraps = called && w[1].names("unwrap") && w[3].is(')');
            let expects = called && w[1].names("expect") && w[3].text().is_some_and(|t| !t.starts_with("invariant: "));
            (unwraps || expects).then(|| file.at(&w[1]))
        });
        words.collect::<Vec<_>>()
    };
    demand("`unwrap()` never, `expect` with \"invariant: ...\"", sources().iter().flat_map(bad));
}

#[test]
fn nothing_is_unfinished_and_nothing_talks_out_of_turn() {
    let bad = |file: &SourceFile| {
        let talker = TALKERS.contains(&file.room());
        let calls = file.product.windows(2).filter(|w| w[1].is('!')).filter(|w| {
            w[0].name().is_some_and(|name| UNFINISHED.contains(&name) || !talker && TALKING.contains(&name))
        });
        let mut found: Vec<String> = calls.map(|w| file.at(&w[0])).collect();
        for (number, line) in file.text.lines().enumerate() {
            if ["TODO", "FIXME", "XXX", "HACK"].iter().any(|mark| word_in(line, mark)) {
                found.push(format!("{}:{}", file.path, number + 1));
            }
        }
        found
    };
    demand("no mark of unfinished work, no output outside cli, command and ui", sources().iter().flat_map(bad));
}

fn word_in(line: &str, word: &str) -> bool {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|found| found == word)
}

#[test]
fn files_are_short() {
    let files = sources();
    let long =
        |file: &&SourceFile| file.text.lines().count() > LONGEST && !LONG.iter().any(|(path, _)| *path == file.path);
    let shown = |file: &SourceFile| format!("{}: {} lines", file.path, file.text.lines().count());
    demand("a file has at most 500 lines", files.iter().filter(long).map(shown));
    let no_longer = |(path, _): &&(&str, &str)| {
        files.iter().find(|file| file.path == *path).is_none_or(|file| file.text.lines().count() <= LONGEST)
    };
    demand("the list of long files is true", LONG.iter().filter(no_longer).map(|(path, _)| (*path).to_owned()));
}

#[test]
fn modules_have_names_that_say_something() {
    let files = sources();
    let empty = |file: &&SourceFile| file.modules().iter().any(|name| EMPTY_NAMES.contains(name));
    demand("a module is called by what it does", files.iter().filter(empty).map(|file| file.path.clone()));
}

/// Codes are what people search for, and what `tests/bad_plans` pins.
#[test]
fn codes_of_diagnostics_are_kebab_case() {
    let files = sources();
    let codes = files.iter().flat_map(|file| {
        let made = file.product.windows(6).filter(|w| {
            w[0].names("Diagnostic") && w[1].is(':') && w[2].is(':') && (w[3].names("new") || w[3].names("nowhere"))
        });
        made.filter_map(|w| Some((file.at(&w[5]), w[5].text()?.to_owned()))).collect::<Vec<_>>()
    });
    let codes: Vec<(String, String)> = codes.collect();
    assert!(codes.len() > 30, "only {} codes were found", codes.len());
    let bad = codes.iter().filter(|(_, code)| !kebab(code)).map(|(place, code)| format!("{place}: {code:?}"));
    demand("a code is kebab-case", bad);
}

fn kebab(code: &str) -> bool {
    code.split('-').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
        && code.starts_with(|c: char| c.is_ascii_lowercase())
}
