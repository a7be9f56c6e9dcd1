//! Chains of AND and OR: the server prints `a BETWEEN 0 AND 9 AND b` as `((a >= 0 AND a <= 9) AND b)`, and parses that to
//! one chain of three, printed without the inner brackets. Both are brought to the second form, a fixed point.

use super::in_list::quoted;

/// The text with every chain that is a member of a chain of the same word made part of it; spaces are made single.
/// A text whose brackets do not match is left as it is.
pub(super) fn flattened(text: &str) -> String {
    let mut rest = text;
    match pieces(&mut rest, 0) {
        Some(pieces) if rest.is_empty() => shown(&pieces),
        _ => text.to_owned(),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Word(String),
    Group(Vec<Piece>),
}

impl Piece {
    fn is(&self, word: &str) -> bool {
        matches!(self, Piece::Word(w) if w == word)
    }
}

/// Deeper is no expression that a person wrote.
const DEEPEST: usize = 200;

fn pieces(rest: &mut &str, depth: usize) -> Option<Vec<Piece>> {
    let mut found = Vec::new();
    let mut word = String::new();
    let end = |word: &mut String, found: &mut Vec<Piece>| {
        if !word.is_empty() {
            found.push(Piece::Word(std::mem::take(word)));
        }
    };
    while let Some(c) = rest.chars().next() {
        if let Some(length) = quoted(rest) {
            word.push_str(&rest[..length]);
            *rest = &rest[length..];
            continue;
        }
        if c == ')' && depth > 0 {
            // It is the caller's.
            break;
        }
        *rest = &rest[c.len_utf8()..];
        match c {
            '(' => {
                end(&mut word, &mut found);
                let inside = (depth < DEEPEST).then(|| pieces(rest, depth + 1)).flatten()?;
                *rest = rest.strip_prefix(')')?;
                found.push(Piece::Group(joined(inside)));
            }
            ')' => return None,
            c if c.is_whitespace() => end(&mut word, &mut found),
            c => word.push(c),
        }
    }
    end(&mut word, &mut found);
    Some(found)
}

/// A chain whose members that are chains of the same word have become part of it.
fn joined(group: Vec<Piece>) -> Vec<Piece> {
    let Some(word) = chain(&group) else { return group };
    let mut flat = Vec::with_capacity(group.len());
    for (at, piece) in group.iter().enumerate() {
        let alone = (at == 0 || group[at - 1].is(word)) && group.get(at + 1).is_none_or(|next| next.is(word));
        match piece {
            Piece::Group(inner) if alone && chain(inner) == Some(word) => flat.extend(inner.iter().cloned()),
            other => flat.push(other.clone()),
        }
    }
    flat
}

/// The one word that joins the members.
fn chain(group: &[Piece]) -> Option<&'static str> {
    let has = |word| group.iter().any(|piece| piece.is(word));
    match (has("AND"), has("OR"), has("BETWEEN")) {
        (true, false, false) => Some("AND"),
        (false, true, false) => Some("OR"),
        _ => None,
    }
}

fn shown(pieces: &[Piece]) -> String {
    let show = |piece: &Piece| match piece {
        Piece::Word(word) => word.clone(),
        Piece::Group(inner) => format!("({})", shown(inner)),
    };
    pieces.iter().map(show).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_in_a_chain_of_the_same_word_is_one() {
        let same = |a: &str, b: &str| assert_eq!(flattened(a), flattened(b));
        same("CHECK ((((a >= 0) AND (a <= 9)) AND (b > 0)))", "CHECK (((a >= 0) AND (a <= 9) AND (b > 0)))");
        same("(((a < 0) OR (a > 9)) OR (b > 0))", "((a < 0) OR (a > 9) OR (b > 0))");
        same("f(((x AND y) AND z), 1)", "f((x AND y AND z), 1)");
        assert_eq!(flattened(&flattened("((a AND (b AND c)) AND d)")), flattened("(a AND b AND c AND d)"));
    }

    #[test]
    fn what_means_something_else_stays_something_else() {
        let other = |a: &str, b: &str| assert_ne!(flattened(a), flattened(b));
        other("((a OR b) AND c)", "(a OR (b AND c))");
        other("((a AND b) OR c)", "(a AND (b OR c))");
        other("(NOT (a AND b) AND c)", "(NOT a AND b AND c)");
        other("((a AND b) = (c AND d))", "(a AND b = (c AND d))");
        other("(x = '((a AND b) AND c)')", "(x = '(a AND b AND c)')");
        other("f(a AND b)", "f(a) AND b");
        assert_eq!(flattened("a ) (  b"), "a ) (  b");
    }
}
