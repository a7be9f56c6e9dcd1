//! Secrets that were written into a plan by mistake: recognised, and never shown.
//!
//! A diagnostic draws the line it points at. So when a plan is refused, every text that could hold a
//! password is covered with asterisks first, byte for byte, so that all spans stay true.

use crate::diag::{Diagnostic, Place, Source};
use std::ops::Range;
use std::sync::Arc;

/// Does the text hold a URL with a password in it?
pub(super) fn holds_password(text: &str) -> bool {
    // `https://host:8080/@someone` has a slash where no password can have one unescaped.
    in_urls(text).any(|span| !text[span].contains('/'))
}

/// The bytes of a text that could be secret.
fn secrets(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let words = ["password", "PASSWORD", "Password", "passwd"];
    let assigned = words
        .into_iter()
        .flat_map(move |word| text.match_indices(word).filter_map(move |(at, _)| assigned(text, at + word.len())));
    in_urls(text).chain(assigned)
}

/// `user:password` of each `scheme://user:password@host`.
fn in_urls(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    text.match_indices("://").filter_map(|(at, found)| {
        let from = at + found.len();
        let rest = &text[from..];
        let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == '\'').unwrap_or(rest.len());
        let user = &rest[..rest[..end].rfind('@')?];
        user.contains(':').then(|| from..from + user.len())
    })
}

/// The value after `password=`, as in a key/value connection string or a URL's query.
fn assigned(text: &str, after: usize) -> Option<Range<usize>> {
    let rest = text[after..].trim_start_matches(' ').strip_prefix('=')?.trim_start_matches(' ');
    let from = text.len() - rest.len();
    let quoted = rest.starts_with(['\'', '"']);
    let body = &rest[usize::from(quoted)..];
    let end = body.find(|c: char| c.is_whitespace() || c == '"' || c == '\'' || c == '&').unwrap_or(body.len());
    let from = from + usize::from(quoted);
    (end > 0).then(|| from..from + end)
}

/// The source with asterisks over what could be secret, and over `known` secrets.
pub(super) fn covered(source: &Source, known: &[Range<usize>]) -> Arc<Source> {
    let mut bytes = source.text.clone().into_bytes();
    for span in secrets(&source.text).chain(known.iter().cloned()) {
        // A newline stays, so that line numbers stay.
        bytes[span].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b'*');
    }
    Source::new(source.path.clone(), String::from_utf8_lossy(&bytes).into_owned())
}

/// A text for people with asterisks over what could be secret.
fn cover_text(text: &mut String) {
    let spans: Vec<_> = secrets(text).collect();
    for span in spans.into_iter().rev() {
        let stars = "*".repeat(span.len());
        text.replace_range(span, &stars);
    }
}

/// Makes a diagnostic point into the covered source and say nothing secret.
pub(super) fn cover(diagnostic: &mut Diagnostic, source: &Arc<Source>) {
    let moved = |place: &mut Place| place.source = Arc::clone(source);
    diagnostic.place.iter_mut().for_each(moved);
    diagnostic.related.iter_mut().for_each(|(place, _)| moved(place));
    cover_text(&mut diagnostic.message);
    cover_text(&mut diagnostic.label);
    diagnostic.help.iter_mut().for_each(cover_text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_covered_byte_for_byte() {
        let text = "url = \"postgres://me:höll@db/x\"\nb = \"host=db password=pst user=me\"\n";
        let covered = covered(&Source::new("p", text), &[]);
        assert!(!covered.text.contains("me:") && !covered.text.contains("pst user"), "{}", covered.text);
        assert_eq!(covered.text.len(), text.len());
        assert!(covered.text.contains("user=me"));
    }

    #[test]
    fn ordinary_texts_hold_none() {
        for text in ["https://example.org/a@b", "env:URL", "SELECT count(*) FROM a", "the password of x"] {
            assert!(!holds_password(text), "{text}");
        }
    }
}
