//! Quoting: how a value becomes SQL text, and how a table's name in a plan is read.
//!
//! The one place where a value is put between quotes; `render` and `compile` both come here. A value
//! that cannot be written safely is refused, never repaired.

use crate::name;

/// Keywords that may name a column but no function or type: quoted by PostgreSQL's `quote_ident` too.
/// Union over PostgreSQL 15 to 18; the reserved words are in `name`.
const COLUMN_ONLY: &str = "between bigint bit boolean char character coalesce dec decimal exists extract float \
greatest grouping inout int integer interval json json_array json_arrayagg json_exists json_object json_objectagg \
json_query json_scalar json_serialize json_table json_value least merge_action national nchar none normalize nullif \
numeric out overlay position precision real row setof smallint substring time timestamp treat trim values varchar \
xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable";

/// Longest identifier, in bytes.
const LONGEST: usize = 63;

/// Why a value cannot become SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It contains the NUL character, which PostgreSQL has no place for.
    Nul,
    /// An identifier is empty.
    Empty,
    /// An identifier has more than 63 bytes: PostgreSQL would cut it and mean another object.
    Long,
    /// Not `name`, `schema.name` or the quoted form of one.
    Form,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Refused::Nul => "it contains a NUL character",
            Refused::Empty => "an identifier may not be empty",
            Refused::Long => "an identifier has at most 63 bytes",
            Refused::Form => "a table is written `name`, `schema.name` or `\"Odd\".\"Name\"`",
        })
    }
}

impl std::error::Error for Refused {}

/// `value` as a string constant: `'...'`, or `E'...'` where it has a backslash, so that it means the same
/// under every setting of `standard_conforming_strings`.
pub fn literal(value: &str) -> Result<String, Refused> {
    if value.contains('\0') {
        return Err(Refused::Nul);
    }
    let quoted = value.replace('\'', "''");
    Ok(if value.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") })
}

/// `name` as an identifier, in quotes only where it needs them.
pub fn ident(name: &str) -> Result<String, Refused> {
    bounded(name)?;
    if is_plain(name) && !is_keyword(name) {
        return Ok(name.to_owned());
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// `name` or `schema.name`, each part as [`ident`] writes it.
pub fn qualified(text: &str) -> Result<String, Refused> {
    let (schema, name) = table_ref(text)?;
    let name = ident(&name)?;
    schema.map_or(Ok(name.clone()), |schema| Ok(format!("{}.{name}", ident(&schema)?)))
}

/// Reads `name`, `schema.name`, `"Odd"."Name"`: schema, if written, and name, both without quotes.
///
/// Outside quotes only `[a-z_][a-z0-9_]*` is taken: PostgreSQL would fold anything else to lower case, and
/// a plan should say what it means.
pub fn table_ref(text: &str) -> Result<(Option<String>, String), Refused> {
    let (first, rest) = part(text)?;
    if rest.is_empty() {
        return Ok((None, first));
    }
    let (second, rest) = part(rest.strip_prefix('.').ok_or(Refused::Form)?)?;
    if rest.is_empty() { Ok((Some(first), second)) } else { Err(Refused::Form) }
}

/// One identifier at the start of `text`, and what follows.
fn part(text: &str) -> Result<(String, &str), Refused> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        bounded(name)?;
        return if is_plain(name) { Ok((name.to_owned(), rest)) } else { Err(Refused::Form) };
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"').ok_or(Refused::Form)?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => break,
        }
    }
    bounded(&name)?;
    Ok((name, rest))
}

fn bounded(name: &str) -> Result<(), Refused> {
    match name {
        "" => Err(Refused::Empty),
        n if n.contains('\0') => Err(Refused::Nul),
        n if n.len() > LONGEST => Err(Refused::Long),
        _ => Ok(()),
    }
}

fn is_plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn is_keyword(name: &str) -> bool {
    name::readable(name) == Err(name::Refused::Reserved) || COLUMN_ONLY.split_ascii_whitespace().any(|k| k == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PostgreSQL reads back from a string constant.
    fn read_literal(sql: &str) -> Option<String> {
        let (escapes, body) = match sql.strip_prefix('E') {
            Some(rest) => (true, rest),
            None => (false, sql),
        };
        let body = body.strip_prefix('\'')?.strip_suffix('\'')?;
        let (mut out, mut chars) = (String::new(), body.chars());
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.next() != Some('\'') => return None,
                '\\' if escapes => out.push(chars.next().filter(|c| *c == '\\')?),
                // Without the E a backslash means what the server's settings say: never written.
                '\\' => return None,
                c => out.push(c),
            }
        }
        Some(out)
    }

    /// Every string of up to `most` pieces that have hurt someone once.
    fn odd_strings(most: usize) -> Vec<String> {
        const PIECES: [&str; 13] = ["'", "\"", "\\", "''", "$$", "--", "/*", ";", "\n", "a", "ß", "E'", "."];
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..most {
            last = last.iter().flat_map(|s| PIECES.iter().map(move |p| format!("{s}{p}"))).collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn any_literal_reads_back() {
        for value in odd_strings(4) {
            let sql = literal(&value).expect("no NUL in it");
            assert_eq!(read_literal(&sql).as_deref(), Some(value.as_str()), "{sql}");
        }
        assert_eq!(literal("a\0b"), Err(Refused::Nul));
        assert_eq!(literal("it's"), Ok("'it''s'".to_owned()));
    }

    #[test]
    fn any_identifier_reads_back_or_is_refused() {
        for name in odd_strings(3) {
            match ident(&name) {
                Ok(sql) => assert_eq!(table_ref(&sql), Ok((None, name))),
                Err(refused) => assert_eq!((refused, name.as_str()), (Refused::Empty, "")),
            }
        }
        assert_eq!(ident(&"x".repeat(64)), Err(Refused::Long));
        assert_eq!(ident(&"ä".repeat(32)), Err(Refused::Long));
        assert_eq!(ident("a\0"), Err(Refused::Nul));
    }

    #[test]
    fn quotes_only_where_needed() {
        for (name, sql) in [
            ("orders", "orders"),
            ("_x1", "_x1"),
            ("Orders", "\"Orders\""),
            ("order", "\"order\""),
            ("position", "\"position\""),
            ("1a", "\"1a\""),
            ("a\"b", "\"a\"\"b\""),
        ] {
            assert_eq!(ident(name).as_deref(), Ok(sql));
        }
        assert_eq!(qualified("shop.order").as_deref(), Ok("shop.\"order\""));
        assert_eq!(qualified("\"Odd\".\"Na\"\"me\"").as_deref(), Ok("\"Odd\".\"Na\"\"me\""));
    }

    #[test]
    fn a_table_has_one_or_two_parts() {
        assert_eq!(table_ref("a.b"), Ok((Some("a".into()), "b".into())));
        assert_eq!(table_ref("\"a.b\""), Ok((None, "a.b".into())));
        for bad in ["", "a.", ".b", "a.b.c", "A.b", "a b", "\"a", "\"a\"b", "a;drop", "\"\"", "a.\"\""] {
            assert!(table_ref(bad).is_err(), "{bad}");
        }
    }
}
