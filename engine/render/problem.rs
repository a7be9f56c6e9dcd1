//! The template engine's errors as diagnostics: with a code, at the right line, with what to type instead.

use super::values::{BARE, Value};
use crate::diag::{Diagnostic, Place, Source};
use crate::name;
use minijinja::ErrorKind;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// What `Bounded` says.
pub(super) const TOO_LONG: &str = "output too long";

/// What is wrong with a template; `span` in its text.
#[derive(Debug)]
pub(super) struct Problem {
    code: &'static str,
    message: String,
    span: Range<usize>,
    help: Option<String>,
}

impl Problem {
    /// From an error of the template engine.
    pub(super) fn of(error: &minijinja::Error, template: &Source, known: &BTreeMap<&str, &Value>) -> Self {
        let line = line_span(&template.text, error.line().unwrap_or(1));
        let detail = error.detail().unwrap_or_default();
        let new = |code, message: String, help: Option<&str>| Problem {
            code,
            message,
            span: line.clone(),
            help: help.map(str::to_owned),
        };
        let filters = "filters: literal, ident, qualified, list, upper, lower, length";
        match error.kind() {
            ErrorKind::SyntaxError | ErrorKind::BadEscape | ErrorKind::InvalidDelimiter => {
                let help =
                    detail.contains("statement").then_some("templates know if, for, set, with and macro; no includes");
                new("template-syntax", format!("template syntax: {detail}"), help)
            }
            ErrorKind::UndefinedError => new("template-undefined", "this value is not defined".into(), None),
            ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod => new("template-syntax", detail.to_owned(), Some(filters)),
            ErrorKind::OutOfFuel => {
                new("template-endless", "this template loops for too long".into(), Some("loops belong into SQL"))
            }
            ErrorKind::WriteFailure => Self::long(),
            _ => match detail.strip_prefix(BARE) {
                Some(what) => bare(template, line.clone(), what, known),
                None => new(
                    "template-value",
                    format!("template: {}", if detail.is_empty() { "invalid operation" } else { detail }),
                    None,
                ),
            },
        }
    }

    /// The output is too long.
    pub(super) fn long() -> Self {
        Problem {
            code: "template-endless",
            message: "this template renders more than 16 MiB".to_owned(),
            span: 0..0,
            help: Some("loops belong into SQL".to_owned()),
        }
    }

    /// What a filter made stands where it is no value.
    pub(super) fn misplaced(template: &Source, misplaced: super::inside::Misplaced) -> Self {
        let filtered = |inner: &str| ["literal", "ident", "qualified", "list"].iter().any(|name| inner.ends_with(name));
        let all = 0..template.text.len();
        // Loops make more of them than the text has.
        let places: Vec<Range<usize>> =
            braces(&template.text, &all).filter(|(_, inner)| filtered(inner)).map(|(span, _)| span).collect();
        let span = places.get(misplaced.piece).or(places.last()).cloned().unwrap_or(0..0);
        let help = "leave the quotes out, build longer texts with `||`, and keep values out of comments";
        Problem { code: "template-value", message: misplaced.why, span, help: Some(help.to_owned()) }
    }

    /// A template that holds a NUL.
    pub(super) fn nul(template: &Source) -> Self {
        let at = template.text.find(super::inside::MARK).unwrap_or(0);
        let message = "a template may not hold a NUL".to_owned();
        Problem { code: "template-encoding", message, span: at..at + 1, help: None }
    }

    /// At its place in the template file; the plan's place is said as well.
    pub(super) fn in_file(self, template: &Arc<Source>, plan: &Place) -> Diagnostic {
        let place = Place::new(template, self.span.clone());
        self.diagnostic(place).related(plan.clone(), "rendered for this")
    }

    /// At its place in the plan, where the template stands.
    pub(super) fn in_plan(self, template: &Source, plan: &Place) -> Diagnostic {
        let shown = plan.source.text.get(plan.span.clone()).unwrap_or_default();
        let place = match shown.find(&template.text) {
            Some(offset) => plan.within(self.span.start + offset..self.span.end + offset),
            None => plan.clone(),
        };
        self.diagnostic(place)
    }

    fn diagnostic(self, place: Place) -> Diagnostic {
        let diagnostic = Diagnostic::new(self.code, self.message, place).label("here");
        match self.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}

/// The first sensitive variable that a template reads.
pub(super) fn sensitive(read: &HashSet<String>, known: &BTreeMap<&str, &Value>, template: &Source) -> Option<Problem> {
    let hidden = read.iter().filter(|name| known.get(name.as_str()) == Some(&&Value::Sensitive));
    let (span, name) = hidden.map(|name| (find_name(&template.text, name), name)).min_by_key(|(s, n)| (s.start, *n))?;
    let message = format!("`{name}` is sensitive, and what is rendered is kept, shown and sealed");
    let help =
        Some(format!("write current_setting('engine.var.{name}'), without braces: each transaction is told its value"));
    Some(Problem { code: "template-sensitive", message, span, help })
}

/// The first name a template reads that nobody gave, in the order of its text.
pub(super) fn undefined(read: &HashSet<String>, known: &BTreeMap<&str, &Value>, template: &Source) -> Option<Problem> {
    let is_known = |name: &str| known.contains_key(name);
    let unknown = read.iter().filter(|name| !is_known(name));
    let (span, name) =
        unknown.map(|name| (find_name(&template.text, name), name)).min_by_key(|(s, n)| (s.start, *n))?;
    let help = match name::nearest(name, known.keys().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there are no variables here: declare `[var.NAME]` in the plan".to_owned(),
        None => format!("known here: {}", known.keys().copied().collect::<Vec<_>>().join(", ")),
    };
    let message = format!("`{name}` is not a variable");
    Some(Problem { code: "template-undefined", message, span, help: Some(help) })
}

fn bare(template: &Source, line: Range<usize>, what: &str, known: &BTreeMap<&str, &Value>) -> Problem {
    let fine = |inner: &str| matches!(known.get(inner), Some(Value::Int(_) | Value::Bool(_)));
    let inside = braces(&template.text, &line).find(|(_, inner)| !inner.contains('|') && !fine(inner));
    let (span, help) = match inside {
        Some((span, name)) if what == "a string" => {
            (span, format!("write `{{{{ {name} | literal }}}}`, or `| ident` where it names something"))
        }
        Some((span, _)) => (span, "integers and booleans may stand bare; a text goes through `| literal`".to_owned()),
        None => (line, "end the expression with `| literal`, `| ident`, `| qualified` or `| list`".to_owned()),
    };
    let message = format!("{what} may not stand bare in SQL");
    Problem { code: "template-bare-string", message, span, help: Some(help) }
}

/// The `{{ ... }}` of a line: its bytes, and what is inside.
fn braces<'t>(text: &'t str, line: &Range<usize>) -> impl Iterator<Item = (Range<usize>, &'t str)> {
    let offset = line.start;
    text[line.clone()].match_indices("{{").filter_map(move |(at, _)| {
        let start = offset + at;
        let end = start + text[start..].find("}}")? + 2;
        Some((start..end, text[start + 2..end - 2].trim_matches(['-', ' '])))
    })
}

/// The bytes of a line, from 1, without its line break.
fn line_span(text: &str, line: usize) -> Range<usize> {
    let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>().min(text.len());
    start..text[start..].find('\n').map_or(text.len(), |i| start + i)
}

/// Where a template first reads `name`: as a whole word inside `{{ }}` or `{% %}`.
fn find_name(text: &str, name: &str) -> Range<usize> {
    let word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'.');
    let bytes = text.as_bytes();
    let inside = |at: usize| {
        let before = &text[..at];
        let open = before.rfind("{{").max(before.rfind("{%"));
        open.is_some_and(|open| open >= before.rfind("}}").max(before.rfind("%}")).unwrap_or(0))
    };
    let whole = |at: &usize| !word(at.checked_sub(1).and_then(|i| bytes.get(i))) && !word(bytes.get(at + name.len()));
    let found = text.match_indices(name).map(|(at, _)| at).filter(whole).find(|at| inside(*at));
    found.map_or(0..0, |at| at..at + name.len())
}
