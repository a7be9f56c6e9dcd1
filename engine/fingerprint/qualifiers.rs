//! Views and rules over one table: servers before 16 print its columns as `table.column`, newer ones as `column`.

use std::collections::BTreeSet;

/// Are the texts one, but for qualifiers that stand before columns in `older` and are missing in `newer`?
///
/// A qualifier is a word and a dot before a word. Not one: the name of a schema, and what stands before a call or after
/// `::`; there it says which table, function or type is meant.
pub(super) fn only_dropped(older: &str, newer: &str, schemas: &BTreeSet<&str>) -> bool {
    let (older, newer) = (tokens(older), tokens(newer));
    let (mut at, mut seen) = (0, 0);
    while at < older.len() {
        if newer.get(seen) == Some(&older[at]) && !(is_qualifier(&older[at..]) && newer.get(seen + 1) != Some(&".")) {
            (at, seen) = (at + 1, seen + 1);
            continue;
        }
        let schema = schemas.contains(older[at]) || older[at].starts_with("pg_") || older[at] == "information_schema";
        let cast = at > 0 && ["::", "."].contains(&older[at - 1]);
        let call = older.get(at + 3) == Some(&"(");
        if !is_qualifier(&older[at..]) || schema || cast || call {
            return false;
        }
        at += 2;
    }
    seen == newer.len()
}

fn is_qualifier(tokens: &[&str]) -> bool {
    tokens.len() > 2 && is_word(tokens[0]) && tokens[1] == "." && (is_word(tokens[2]) || tokens[2] == "*")
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '"')
}

/// Words, quoted ones whole; literals; numbers; `::`; any other character by itself. White space is dropped.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => quoted(rest, first),
            _ if rest.starts_with("::") => 2,
            _ if word(first) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}

fn word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Length of a literal or a quoted name; a doubled quote does not end it. (Servers print no quote behind a backslash.)
fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(older: &str, newer: &str) -> bool {
        only_dropped(older, newer, &BTreeSet::from(["public", "other"]))
    }

    #[test]
    fn a_table_before_its_columns_may_be_missing() {
        assert!(same(
            " SELECT s.id,\n    s.\"A b\"\n   FROM public.shop s",
            " SELECT id,\n    \"A b\"\n   FROM public.shop s"
        ));
        assert!(same("SELECT s.s FROM public.s", "SELECT s FROM public.s"));
        assert!(same("SELECT 's.id', s.id FROM t s", "SELECT 's.id', id FROM t s"));
        assert!(same("SELECT EXTRACT(year FROM s.at) FROM t s", "SELECT EXTRACT(year FROM at) FROM t s"));
        assert!(same("SELECT (s.*)::text FROM t s", "SELECT (s.*)::text FROM t s"));
    }

    #[test]
    fn anything_else_is_a_difference() {
        assert!(!same("SELECT s.id FROM t s", "SELECT s.name FROM t s"));
        assert!(!same("SELECT s.id FROM t s", "SELECT l.id FROM t s"));
        assert!(!same("SELECT 's.id' FROM t s", "SELECT 'id' FROM t s"));
        assert!(!same("SELECT s.id FROM t s", "SELECT id FROM t s WHERE true"));
        assert!(!same("SELECT id FROM t s", "SELECT s.id FROM t s"));
    }

    #[test]
    fn what_says_which_function_type_or_table_must_be_there() {
        assert!(!same("SELECT f.lower(x) FROM t", "SELECT lower(x) FROM t"));
        assert!(!same("SELECT x::f.text FROM t", "SELECT x::text FROM t"));
        assert!(!same("SELECT x FROM public.t", "SELECT x FROM t"));
        assert!(!same("SELECT x FROM pg_catalog.t", "SELECT x FROM t"));
        assert!(!same("SELECT x FROM a, other.t", "SELECT x FROM a, t"));
    }
}
