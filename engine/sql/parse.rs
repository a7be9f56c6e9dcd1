//! The one door to the parser: a text becomes a tree, on a stack that is large enough for it.

use super::scan;
use crate::diag::{Diagnostic, Place, Source};
use squawk_syntax::{Parse, SourceFile, SyntaxKind, SyntaxNode, SyntaxToken};
use std::ops::Range;
use std::sync::Arc;

/// Stack of the parsing thread, in bytes: twice what the deepest text that `scan` lets through was seen to need.
const STACK: usize = 64 << 20;

/// Levels that any thread's stack has room for, by the same measure: a plan of thousands of stages needs no thread for each.
const SHALLOW: usize = 60;

/// Why there is no tree.
#[derive(Debug)]
pub(super) enum NoTree {
    /// Nested too deep, at this byte.
    Deep(usize),
    /// The operating system gave no thread.
    Thread(std::io::Error),
}

impl NoTree {
    /// As a diagnostic about `source`.
    pub(super) fn diagnostic(&self, source: &Arc<Source>) -> Diagnostic {
        match self {
            NoTree::Deep(at) => {
                Diagnostic::new("sql-too-deep", "this SQL is nested too deep", Place::new(source, *at..at + 1))
                    .label("more than 4000 levels here")
                    .help("break the expression up, or separate its parts by commas")
            }
            NoTree::Thread(error) => {
                Diagnostic::nowhere("sql-syntax", format!("the SQL could not be parsed: no thread: {error}"))
            }
        }
    }
}

/// A syntax error: what is wrong, and where. Never empty where the text is not.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) span: Range<usize>,
}

/// Parses `text` and hands the root and the errors to `look`; the tree cannot leave its thread.
pub(super) fn with_tree<T: Send>(
    text: &str,
    look: impl FnOnce(&SyntaxNode, Vec<Fault>) -> T + Send,
) -> Result<T, NoTree> {
    with_file(text, |parsed| {
        let root = parsed.syntax_node();
        let faults = parsed.errors().iter().map(|e| fault(&root, e.message(), span_of(e.range()))).collect();
        look(&root, faults)
    })
}

/// Parses `text` and hands the whole of it to `look`, errors and all.
pub(super) fn with_file<T: Send>(text: &str, look: impl FnOnce(&Parse<SourceFile>) -> T + Send) -> Result<T, NoTree> {
    let depth = scan::depth(text).map_err(NoTree::Deep)?;
    let work = || look(&SourceFile::parse(text));
    if depth <= SHALLOW {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).map_err(NoTree::Thread)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Generic over the range type, whose crate is not ours to name.
pub(super) fn span_of<R: Into<Range<usize>>>(range: R) -> Range<usize> {
    range.into()
}

/// Bytes of a node.
pub(super) fn span(node: &SyntaxNode) -> Range<usize> {
    span_of(node.text_range())
}

/// Bytes of a token.
pub(super) fn token_span(token: &SyntaxToken) -> Range<usize> {
    span_of(token.text_range())
}

/// Is it a blank or a comment?
pub(super) fn is_trivia(kind: SyntaxKind) -> bool {
    matches!(kind, SyntaxKind::WHITESPACE | SyntaxKind::COMMENT)
}

/// All tokens below `node`.
pub(super) fn tokens(node: &SyntaxNode) -> impl Iterator<Item = SyntaxToken> {
    node.descendants_with_tokens().filter_map(squawk_syntax::SyntaxElement::into_token)
}

/// A name as the catalogs spell it: without its quotes, or folded to lower case.
pub(super) fn folded(text: &str) -> String {
    match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => text.to_lowercase(),
    }
}

/// The function a node calls: its name, folded and without schema, and the bytes of the name.
pub(super) fn called(node: &SyntaxNode) -> Option<(String, Range<usize>)> {
    if node.kind() != SyntaxKind::CALL_EXPR {
        return None;
    }
    let callee = node.children().next()?;
    // EXISTS, EXTRACT, TRIM: words of the grammar, not names; the names in them are columns.
    if format!("{:?}", callee.kind()).ends_with("_FN") {
        return None;
    }
    let last = callee.descendants().filter(|n| n.kind() == SyntaxKind::NAME_REF).last()?;
    Some((folded(&last.text().to_string()), span(&callee)))
}

/// The parser's error in our words, stretched to the word it stands at.
fn fault(root: &SyntaxNode, message: &str, span: Range<usize>) -> Fault {
    let token = tokens(root).filter(|t| !is_trivia(t.kind())).find(|t| token_span(t).end > span.start);
    let (found, span) = match &token {
        Some(t) if span.is_empty() => (format!("`{}`", shortened(t.text())), token_span(t)),
        Some(t) => (format!("`{}`", shortened(t.text())), span),
        None => ("the end".to_owned(), span),
    };
    let message = match message.split_once(", found ").or_else(|| message.split_once(", got ")) {
        Some((expected, _)) => format!("{expected}, found {found}"),
        None => format!("{message} at {found}"),
    };
    Fault { message: lower_first(&message.replace(". at ", " at ")), span }
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 30 {
        format!("{}...", line.chars().take(27).collect::<String>())
    } else {
        line.to_owned()
    }
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        // A word in capitals stays: `ONLY cannot be ...`.
        (Some(head), Some(next)) if !next.is_uppercase() => head.to_lowercase().chain(chars).collect(),
        _ => message.to_owned(),
    }
}
