//! From a path to a plan: reads the file, parses TOML, applies the rules, and keeps the report short.
//!
//! Whatever is wrong becomes a diagnostic, files that cannot be read included.

use super::{Plan, rules, secret, stray, tree};
use crate::diag::{Diagnostic, Diagnostics, Place, Source};
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use toml::de::DeTable;

/// A plan larger than this was not written by people.
const MOST_BYTES: u64 = 16 << 20;

/// How many diagnostics are shown; drawing each looks at the whole text.
pub const SHOWN: usize = stray::SHOWN;

/// Reads and checks a plan.
///
/// # Errors
/// All that is wrong with it, in the order of the text, warnings among them; at most `SHOWN` and how many more.
pub fn load(path: &Path) -> Result<(Plan, Diagnostics), Diagnostics> {
    let shown = path.display().to_string();
    match read(path, &shown) {
        Ok(text) => parse(shown, text),
        Err(found) => Err(found),
    }
}

/// Checks a plan's text; `path` is the name it is shown under and the plan's name if it has no other.
///
/// # Errors
/// As `load`.
pub fn parse(path: impl Into<String>, text: impl Into<String>) -> Result<(Plan, Diagnostics), Diagnostics> {
    let source = Source::new(path, text);
    let mut out = Diagnostics(crate::diag::conflicts(&source));
    if out.has_errors() {
        return Err(report(&source, out));
    }
    let plan = syntax(&source, &mut out).and_then(|table| {
        let nodes = tree::nodes(table, &source.text);
        rules::plan(&source, nodes, &mut out)
    });
    match plan.filter(|_| !out.has_errors()) {
        Some(plan) => Ok((plan, cap(out))),
        None => Err(report(&source, out)),
    }
}

/// Sorts, and leaves the first `SHOWN` and a line that counts the others.
#[must_use]
pub fn cap(mut out: Diagnostics) -> Diagnostics {
    // Errors first into the count: a flood of warnings must not hide the one error.
    out.0.sort_by_key(|d| (d.warning, d.place.as_ref().map(|place| place.span.start)));
    let more = out.0.len().saturating_sub(SHOWN);
    out.0.truncate(SHOWN);
    for d in &mut out.0 {
        [&mut d.message, &mut d.label].into_iter().chain(&mut d.help).for_each(clip);
    }
    out.sort();
    if more > 0 {
        out.push(Diagnostic::nowhere("more", format!("and {more} more problems, not shown")).warning());
    }
    out
}

/// Cuts a text that a name of a megabyte made long.
fn clip(text: &mut String) {
    const LONGEST: usize = 4_000;
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push_str("...");
    }
}

/// The report of a bad plan, with all that could be a password covered.
fn report(source: &Source, out: Diagnostics) -> Diagnostics {
    let secret = |d: &&Diagnostic| matches!(d.code, "literal-secret" | "url-form");
    let place = |d: &Diagnostic| d.place.as_ref().map(|place| place.span.clone());
    let known: Vec<Range<usize>> = out.0.iter().filter(secret).filter_map(place).collect();
    let mut out = cap(out);
    let shown = secret::covered(source, &known);
    out.0.iter_mut().for_each(|d| secret::cover(d, &shown));
    out
}

/// The one thing that is wrong with a file that cannot be read.
fn alone(code: &'static str, message: String, help: &str) -> Diagnostics {
    Diagnostics(vec![Diagnostic::nowhere(code, message).help(help)])
}

fn read(path: &Path, shown: &str) -> Result<String, Diagnostics> {
    let unreadable = |why: &str, help: &str| alone("plan-unreadable", format!("`{shown}` {why}"), help);
    let cannot = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => match std::fs::read_link(path) {
            Ok(to) => {
                let message = format!("`{shown}` is a symbolic link to `{}`, and nothing is there", to.display());
                alone("plan-not-found", message, "put the plan there, or name another one")
            }
            Err(_) => {
                alone("plan-not-found", format!("there is no file `{shown}`"), "name a plan, as in `plans/hello.toml`")
            }
        },
        _ => unreadable(&format!("cannot be read: {e}"), "look at its owner and mode"),
    };
    let kind = std::fs::metadata(path).map_err(cannot)?;
    if kind.is_dir() {
        return Err(unreadable("is a directory", "name a plan inside it"));
    }
    // A pipe or a device might never end.
    if !kind.is_file() {
        return Err(unreadable("is no regular file", "write the plan into a file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MOST_BYTES {
        let size = kind.len().max(MOST_BYTES + 1);
        let message = format!("`{shown}` has {size} bytes, a plan has at most {MOST_BYTES}");
        return Err(alone("plan-too-large", message, "is this the right file?"));
    }
    decode(bytes, shown)
}

fn decode(bytes: Vec<u8>, shown: &str) -> Result<String, Diagnostics> {
    let mark = match bytes.as_slice() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(("plan-not-utf8", "begins with a byte order mark of UTF-16")),
        [0xef, 0xbb, 0xbf, ..] => Some(("plan-bom", "begins with a byte order mark")),
        _ => None,
    };
    if let Some((code, what)) = mark {
        return Err(alone(code, format!("`{shown}` {what}"), "save it as UTF-8 without a byte order mark"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let (at, bytes) = (e.utf8_error().valid_up_to(), e.as_bytes());
        let line = bytes[..at].split(|b| *b == b'\n').count();
        let message = format!("`{shown}` is not UTF-8: byte {at} (line {line}) is 0x{:02x}", bytes[at]);
        alone("plan-not-utf8", message, "save it as UTF-8")
    })
}

/// Parses TOML; all errors are reported, and then there is no table.
fn syntax<'s>(source: &'s Arc<Source>, out: &mut Diagnostics) -> Option<DeTable<'s>> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    // All keys below a header that stands twice would be doubles as well: they are echoes of one mistake.
    let mut echo = 0..0;
    for (count, error) in errors.iter().enumerate() {
        let span = error.span().unwrap_or(source.text.len()..source.text.len());
        if error.message() == "duplicate key" {
            if echo.contains(&span.start) {
                continue;
            }
            if in_header(&source.text, span.start) {
                let rest = &source.text[span.end..];
                echo = span.end..rest.find("\n[").map_or(source.text.len(), |at| span.end + at);
            }
        }
        let mut found = Diagnostic::new("toml-syntax", error.message(), Place::new(source, span.clone()));
        if error.message() == "duplicate key" {
            found = found.label("written a second time").help("remove one of the two, or rename it");
            if let Some(first) = (count < SHOWN).then(|| first_of(&source.text, span.start)).flatten() {
                found = found.related(Place::new(source, first), "first here");
            }
        } else {
            found =
                found.label("not TOML").help("a text stands in quotes, a table's header in `[...]`, one key a line");
        }
        out.push(found);
    }
    errors.is_empty().then(|| table.into_inner())
}

/// Is the byte within a header, `[a.b]`?
fn in_header(text: &str, at: usize) -> bool {
    const LONGEST: usize = 1_000;
    let head = &text.as_bytes()[at.saturating_sub(LONGEST)..at];
    let line = head.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    line.trim_ascii_start().starts_with(b"[") && !line.contains(&b'=')
}

/// The line that says first what the line at `at` says again: the same header, or the same key below it.
fn first_of(text: &str, at: usize) -> Option<Range<usize>> {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next()?;
    let word = |line: &str| {
        let end = if line.trim_start().starts_with('[') { line.find(']') } else { line.find('=') };
        end.map(|end| line[..end].trim().to_owned())
    };
    let again = word(line)?;
    let header = again.starts_with('[');
    // A key repeats one of its own table, which began at the last header.
    let from = if header { 0 } else { text[..start].rfind("\n[").map_or(0, |newline| newline + 1) };
    let mut begin = from;
    for other in text[from..start].split_inclusive('\n') {
        if word(other).is_some_and(|word| word == again) {
            return Some(begin..begin + other.trim_end().len());
        }
        begin += other.len();
    }
    None
}
