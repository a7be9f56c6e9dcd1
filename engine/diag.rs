//! Diagnostics: what is wrong with a plan or a template, where, and what to do about it.
//!
//! A diagnostic has a stable code, a place (file and bytes), a label under the caret and a help line.
//! Rooms above collect all of them and report them in one go; nothing here stops at the first.

pub mod ci;
mod conflict;
pub mod visible;

pub use conflict::conflicts;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use visible::printable;

/// A text that was read once, and the name it is shown under.
#[derive(Debug)]
pub struct Source {
    /// Path as the user knows it.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// Where its lines end; found when a line is asked for first. A plan of thousands of stages asks for as many.
    ends: OnceLock<Vec<usize>>,
}

impl PartialEq for Source {
    fn eq(&self, other: &Source) -> bool {
        self.path == other.path && self.text == other.text
    }
}

impl Eq for Source {}

impl Source {
    /// Takes a text that was read.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Source { path: path.into(), text: text.into(), ends: OnceLock::new() })
    }

    /// Line number, from 1, of a byte offset.
    pub fn line(&self, offset: usize) -> usize {
        let ends = self.ends.get_or_init(|| self.text.match_indices('\n').map(|(at, _)| at).collect());
        1 + ends.partition_point(|end| *end < offset)
    }
}

/// A place: bytes `span` of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The text.
    pub source: Arc<Source>,
    /// Bytes within it.
    pub span: Range<usize>,
}

impl Place {
    /// Bytes `span` of `source`.
    pub fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        Place { source: Arc::clone(source), span }
    }

    /// `path:line`, as an operator types it into an editor.
    pub fn shown(&self) -> String {
        format!("{}:{}", self.source.path, self.source.line(self.span.start))
    }

    /// The place `inner` bytes into this one (say, an expression inside a string value).
    #[must_use]
    pub fn within(&self, inner: Range<usize>) -> Self {
        let start = (self.span.start + inner.start).min(self.span.end);
        Place {
            source: Arc::clone(&self.source),
            span: start..(self.span.start + inner.end).clamp(start, self.span.end),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code, kebab-case, as `engine explain` knows it.
    pub code: &'static str,
    /// One line, lower case, no final period.
    pub message: String,
    /// Where; `None` only when there is no text (a file that cannot be read).
    pub place: Option<Place>,
    /// What to say under the caret.
    pub label: String,
    /// A second place that belongs to it, with its label.
    pub related: Option<(Place, String)>,
    /// What to do.
    pub help: Option<String>,
    /// A warning does not make the plan invalid.
    pub warning: bool,
}

impl Diagnostic {
    /// An error at a place.
    pub fn new(code: &'static str, message: impl Into<String>, place: Place) -> Self {
        Diagnostic { place: Some(place), ..Self::nowhere(code, message) }
    }

    /// An error without a text to point into.
    pub fn nowhere(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            message: message.into(),
            place: None,
            label: String::new(),
            related: None,
            help: None,
            warning: false,
        }
    }

    /// Adds the label under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds a help line.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place.
    #[must_use]
    pub fn related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related = Some((place, label.into()));
        self
    }

    /// Makes it a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.warning = true;
        self
    }
}

/// All that is wrong, in the order of the text.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

/// A diagnostic as a line of `--json`.
#[derive(Serialize)]
struct Problem<'d> {
    v: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'d str,
    message: &'d str,
    path: Option<&'d str>,
    line: Option<usize>,
    span: Option<[usize; 2]>,
    label: &'d str,
    help: Option<&'d str>,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Is the plan invalid?
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| !d.warning)
    }

    /// By place, errors and warnings mixed as they stand in the text; doubles removed.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| {
            let key = |d: &Diagnostic| d.place.as_ref().map(|p| (p.source.path.clone(), p.span.start, p.span.end));
            key(a).cmp(&key(b)).then_with(|| a.code.cmp(b.code)).then_with(|| a.message.cmp(&b.message))
        });
        self.0.dedup();
    }

    /// Drawn with carets, and a closing line that counts them.
    pub fn draw(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() }.term_width(120);
        let mut out = String::new();
        for diagnostic in &self.0 {
            out.push_str(&draw_one(&renderer, diagnostic));
            out.push_str("\n\n");
        }
        let warnings = self.0.iter().filter(|d| d.warning).count();
        let errors = self.0.len() - warnings;
        if errors > 0 {
            out.push_str(&format!("{errors} {} found", if errors == 1 { "problem" } else { "problems" }));
            out.push_str(&if warnings > 0 { format!(", {warnings} warnings; ") } else { "; ".into() });
            out.push_str("no database was touched\n");
        }
        out
    }

    /// One JSON object a line.
    pub fn json_lines(&self) -> Vec<String> {
        let line = |d: &Diagnostic| {
            let line = Problem {
                v: 1,
                kind: if d.warning { "warning" } else { "problem" },
                code: d.code,
                message: &d.message,
                path: d.place.as_ref().map(|p| p.source.path.as_str()),
                line: d.place.as_ref().map(|p| p.source.line(p.span.start)),
                span: d.place.as_ref().map(|p| [p.span.start, p.span.end]),
                label: &d.label,
                help: d.help.as_deref(),
            };
            serde_json::to_string(&line).expect("invariant: a line of strings and numbers is JSON")
        };
        self.0.iter().map(line).collect()
    }
}

fn draw_one(renderer: &Renderer, d: &Diagnostic) -> String {
    let level = if d.warning { Level::WARNING } else { Level::ERROR };
    let title = level.primary_title(printable(&d.message, &[])).id(d.code);
    let mut group = match &d.place {
        Some(place) => title.element(snippet(place, AnnotationKind::Primary, &d.label)),
        None => Group::with_title(title),
    };
    if let Some((place, label)) = &d.related {
        group = group.element(snippet(place, AnnotationKind::Context, label));
    }
    if let Some(help) = &d.help {
        group = group.element(Level::HELP.message(printable(help, &['\n'])));
    }
    renderer.render(&[group])
}

/// Lines longer than this are cut around the span: a 10 MB line must not become a 10 MB message.
const WIDE: usize = 400;

fn snippet(
    place: &Place,
    kind: AnnotationKind,
    label: &str,
) -> Snippet<'static, annotate_snippets::Annotation<'static>> {
    let text = place.source.text.as_str();
    let clamp = |at: usize| (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let (start, end) = (clamp(place.span.start), clamp(place.span.end.max(place.span.start)));
    // Only the lines of the span: the renderer looks at all that it is given.
    let from = text[..start].rfind('\n').map_or(0, |i| i + 1);
    let to = text[end..].find('\n').map_or(text.len(), |i| end + i);
    let from = clamp(from.max(start.saturating_sub(WIDE)));
    let to = clamp(to.min(end.min(start + WIDE) + WIDE));
    // What cannot be seen is shown, so the span is where its text stands then. A tab and the end of a line are the renderer's.
    let seen = |part: &str| printable(part, &['\n', '\r', '\t']);
    let (before, within, after) =
        (seen(&text[from..start]), seen(&text[start..end.min(to)]), seen(&text[end.min(to)..to]));
    let annotation = kind.span(before.len()..before.len() + within.len()).label(printable(label, &['\n']));
    Snippet::source(before + &within + &after)
        .line_start(place.source.line(from))
        .path(printable(&place.source.path, &[]))
        .annotation(annotation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_is_drawn_under_the_bytes() {
        let source = Source::new("plans/x.toml", "a = 1\ngurad = 2\n");
        let mut all = Diagnostics::default();
        all.push(
            Diagnostic::new("unknown-key", "unknown key `gurad`", Place::new(&source, 6..11))
                .label("not a key of a stage")
                .help("did you mean `guard`?"),
        );
        let text = all.draw(false);
        assert!(text.contains("plans/x.toml:2:1") && text.contains("^^^^^ not a key of a stage"), "{text}");
        assert!(text.contains("did you mean `guard`?") && text.contains("1 problem found"), "{text}");
    }

    #[test]
    fn what_a_plan_says_does_not_steer_the_terminal() {
        let source = Source::new("plans/\u{1b}[2J.toml", "a = \"\u{202e}\u{a0}x\u{1b}[1A\"\n");
        let at = source.text.find('x').expect("an x");
        let found = Diagnostic::new("c", "no table `\u{1b}[1A\ny`", Place::new(&source, at..at + 1));
        let found =
            found.label("\u{1b}[8m here").related(Place::new(&source, 0..1), "\u{ad}").help("\u{1b}[0K\nor this");
        let text = Diagnostics(vec![found]).draw(false);
        assert!(text.chars().all(|c| c == '\n' || visible::visible(c).is_none()), "{text:?}");
        assert!(text.contains("error[c]: no table `<U+001B>[1A<U+000A>y`"), "{text}");
        let (line, carets) = (text.lines().nth(3).expect("the line"), text.lines().nth(4).expect("the carets"));
        let column = |line: &str, what: &str| line.split_once(what).expect("it is there").0.chars().count();
        assert_eq!(column(line, "x<U+001B>[1A"), column(carets, "^ <U+001B>[8m here"), "{text}");
        let github = ci::github(&Diagnostic::new("c", "\u{1b}[1A", Place::new(&source, 0..1)));
        assert!(!github.contains('\u{1b}'), "{github}");
    }

    #[test]
    fn a_huge_line_is_cut() {
        let source = Source::new("x", format!("{}here{}", "é".repeat(100_000), "ü".repeat(100_000)));
        let mut all = Diagnostics::default();
        all.push(Diagnostic::new("c", "m", Place::new(&source, 200_000..200_004)));
        assert!(all.draw(false).len() < 5_000);
    }
}
