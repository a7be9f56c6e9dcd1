//! The parsed TOML as our own tree: owned, in file order, with spans.
//!
//! `toml`'s tables sort their keys and borrow the text; ours keep the order of the file, which is the order of
//! the plan's stages, and live as long as the plan. Nothing here knows what a key means.

use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The key, decoded.
    pub name: String,
    /// The key's bytes.
    pub key: Range<usize>,
    /// Its value.
    pub cell: Cell,
}

/// A value and its bytes.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// For a text that stands as it is: the bytes inside the quotes. For a table with a header: the header.
    pub span: Range<usize>,
    /// The value.
    pub item: Item,
}

/// What a value may be.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Text(String),
    /// `None`: does not fit 64 bits.
    Int(Option<i64>),
    Bool(bool),
    Float,
    Datetime,
    List(Vec<Cell>),
    Table(Vec<Node>),
}

impl Item {
    /// The type for people, with its article.
    pub fn kind(&self) -> &'static str {
        match self {
            Item::Text(_) => "a string",
            Item::Int(Some(_)) => "an integer",
            Item::Int(None) => "an integer of more than 64 bits",
            Item::Bool(_) => "a boolean",
            Item::Float => "a float",
            Item::Datetime => "a date or time",
            Item::List(_) => "a list",
            Item::Table(_) => "a table",
        }
    }
}

/// Takes a parsed table over; `text` is what it was parsed from.
pub(super) fn nodes(table: DeTable<'_>, text: &str) -> Vec<Node> {
    let mut nodes: Vec<Node> = table
        .into_iter()
        .map(|(key, value)| Node {
            key: key.span(),
            name: key.into_inner().into_owned(),
            cell: cell(value.span(), value.into_inner(), text),
        })
        .collect();
    nodes.sort_by_key(|node| node.key.start);
    nodes
}

fn cell(span: Range<usize>, value: DeValue<'_>, text: &str) -> Cell {
    match value {
        DeValue::String(s) => {
            let span = inside(&span, &s, text).unwrap_or(span);
            Cell { span, item: Item::Text(s.into_owned()) }
        }
        DeValue::Integer(i) => Cell { span, item: Item::Int(i64::from_str_radix(i.as_str(), i.radix()).ok()) },
        DeValue::Float(_) => Cell { span, item: Item::Float },
        DeValue::Boolean(b) => Cell { span, item: Item::Bool(b) },
        DeValue::Datetime(_) => Cell { span, item: Item::Datetime },
        DeValue::Array(list) => {
            let cells = list.into_iter().map(|item| cell(item.span(), item.into_inner(), text)).collect();
            Cell { span, item: Item::List(cells) }
        }
        DeValue::Table(table) => Cell { span, item: Item::Table(nodes(table, text)) },
    }
}

/// The bytes inside the quotes, if they are the value as it stands (no escapes, no folding).
fn inside(span: &Range<usize>, value: &str, text: &str) -> Option<Range<usize>> {
    let raw = text.get(span.clone())?;
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
    let mut from = quotes;
    if quotes == 3 {
        // The newline right after the opening quotes is no part of the value.
        let rest = raw.get(quotes..)?;
        from += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
    }
    let to = raw.len().checked_sub(quotes)?;
    (raw.get(from..to)? == value).then(|| span.start + from..span.start + to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Cell {
        let table = DeTable::parse(text).expect("test text is TOML").into_inner();
        nodes(table, text).remove(0).cell
    }

    #[test]
    fn a_plain_text_maps_onto_its_bytes() {
        for text in
            ["a = \"x = 1\"", "a = 'x = 1'", "a = \"\"\"x = 1\"\"\"", "a = \"\"\"\nx = 1\"\"\"", "a = '''\r\nx = 1'''"]
        {
            assert_eq!(&text[first(text).span], "x = 1", "{text}");
        }
    }

    #[test]
    fn an_escaped_text_keeps_its_quotes() {
        let text = r#"a = "x \u003d 1""#;
        assert_eq!(&text[first(text).span], r#""x \u003d 1""#);
    }

    #[test]
    fn keys_stand_in_file_order() {
        let text = "z = 1\nm.q = 2\na = 3\nm.b = 4\n";
        let table = DeTable::parse(text).expect("test text is TOML").into_inner();
        let names: Vec<_> = nodes(table, text).into_iter().map(|n| n.name).collect();
        assert_eq!(names, ["z", "m", "a"]);
    }

    #[test]
    fn integers_have_64_bits() {
        assert!(matches!(first("a = 10_000").item, Item::Int(Some(10_000))));
        assert!(matches!(first("a = 0xff").item, Item::Int(Some(255))));
        assert!(matches!(first("a = 99999999999999999999").item, Item::Int(None)));
    }
}
