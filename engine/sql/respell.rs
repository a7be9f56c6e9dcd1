//! SQL without its layout: two texts that differ in blanks, comments and the case of words only come out equal.

use super::parse::{is_trivia, tokens, with_tree};
use squawk_syntax::{SyntaxKind, SyntaxNode};

/// The words of a text, so that layout does not count. A text that cannot be taken apart is its own answer.
pub fn plain_words(text: &str) -> String {
    with_tree(text, |root, _| words_of(root)).unwrap_or_else(|_| text.to_owned())
}

/// A text on one line: blanks and ends of lines between its words are one blank each, and what is in quotes is as it is. A text
/// that cannot be taken apart is its own answer.
pub fn one_line(text: &str) -> String {
    let folded = |root: &SyntaxNode| {
        let mut out = String::with_capacity(text.len());
        for token in tokens(root) {
            if !is_trivia(token.kind()) {
                out.push_str(token.text());
                continue;
            }
            for word in token.text().split_whitespace() {
                out.push_str(if out.is_empty() || out.ends_with(' ') { "" } else { " " });
                out.push_str(word);
            }
            out.push_str(if out.is_empty() || out.ends_with(' ') { "" } else { " " });
        }
        out.trim_end().to_owned()
    };
    with_tree(text, |root, _| folded(root)).unwrap_or_else(|_| text.to_owned())
}

/// Words and signs of a tree, joined by single blanks where a blank can matter.
///
/// A blank between two signs can (`- -1`, `! =`), and so can one between two words; beside a bracket none does.
/// Two strings are one when a line ends between them, so that the line end is kept. And `u & 'y'` is not the string `u&'y'`.
pub(super) fn words_of(node: &SyntaxNode) -> String {
    let mut out = String::new();
    let (mut last, mut blank, mut line) = (Side::Start, false, false);
    for token in tokens(node) {
        let text = token.text();
        if is_trivia(token.kind()) {
            blank = true;
            line |= text.contains('\n') || text.starts_with("--");
            continue;
        }
        let side = Side::of(token.kind(), text);
        if text == "&" && last == Side::Word && out.ends_with('u') {
            out.push(' ');
        } else if blank && side == last && side != Side::Bracket {
            out.push(if line && side == Side::Text { '\n' } else { ' ' });
        } else if blank && matches!((last, side), (Side::Word, Side::Text) | (Side::Text, Side::Word)) {
            out.push(' ');
        }
        if side == Side::Word {
            out.push_str(&text.to_ascii_lowercase());
        } else {
            out.push_str(text);
        }
        (last, blank, line) = (side, false, false);
    }
    out
}

/// What kind of neighbour a token is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Start,
    Word,
    Text,
    Sign,
    Bracket,
}

impl Side {
    fn of(kind: SyntaxKind, text: &str) -> Side {
        let first = text.chars().next().unwrap_or(' ');
        match kind {
            SyntaxKind::STRING => Side::Text,
            _ if text.ends_with('\'') || text.contains('"') || text.starts_with('$') => Side::Text,
            _ if first.is_alphanumeric() || first == '_' => Side::Word,
            _ if matches!(first, '(' | ')' | '[' | ']' | ',' | ';') => Side::Bracket,
            _ => Side::Sign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{one_line, plain_words};

    #[test]
    fn what_is_in_quotes_stays_on_one_line() {
        for (text, wanted) in [
            ("  a =\n\t 1  AND b\n", "a = 1 AND b"),
            ("name  = 'a  b'", "name = 'a  b'"),
            ("name = 'a\tb\n'", "name = 'a\tb\n'"),
            ("wrote.\"a  b\"   > 1", "wrote.\"a  b\" > 1"),
            ("SELECT  $$ a  b $$,  1 /* why  not */ , 2", "SELECT $$ a  b $$, 1 /* why not */ , 2"),
        ] {
            assert_eq!(one_line(text), wanted, "{text}");
        }
    }

    #[test]
    fn layout_does_not_count() {
        let same = [
            ("gap=210", "gap  =  210"),
            ("SELECT a FROM t WHERE b", "select a\n  from t -- why\nWHERE b"),
            ("a IN (1, 2)", "a in(1,2)"),
            ("INSERT INTO t (a) VALUES (1);", "INSERT INTO t(a)\nVALUES(1) ;"),
        ];
        for (one, other) in same {
            assert_eq!(plain_words(one), plain_words(other), "{one} | {other}");
        }
    }

    #[test]
    fn what_counts_stays() {
        let apart = [
            ("a <> 'X'", "a <> 'x'"),
            ("a <> \"X\"", "a <> \"x\""),
            ("a ! = 1", "a != 1"),
            ("a - -1", "a --1"),
            ("a = u & 'y'", "a = u&'y'"),
            ("a = u &'y'", "a = U&'y'"),
            ("SELECT 'a'\n'b'", "SELECT 'a' 'b'"),
            ("a b", "ab"),
            ("f('a --b')", "f('a')"),
            ("SELECT $$ a  b $$", "SELECT $$ a b $$"),
        ];
        for (one, other) in apart {
            assert_ne!(plain_words(one), plain_words(other), "{one} | {other}");
        }
    }
}
