//! A typed walk over one TOML table: take what you know, then `finish` reports the rest.
//!
//! Every getter removes its key and pushes a diagnostic when the value has the wrong type; it then
//! answers as if the key were absent, so that one mistake is reported once and the walk goes on.

mod leaves;
mod named;

pub use leaves::{Leaf, LeafValue};

use super::tree::{Cell, Item, Node};
use super::{Spot, Value, stray};
use crate::clock;
use crate::diag::{Diagnostic, Diagnostics, Place, Source};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// One table of the plan and what was not yet taken from it.
#[derive(Clone, Debug)]
pub struct Keys {
    source: Arc<Source>,
    /// The segments of the table's path.
    segments: Vec<String>,
    /// The path as one writes it.
    path: String,
    /// The header, or the key when there is none.
    span: Range<usize>,
    /// Has the table a header of its own, `[a.b]`?
    header: bool,
    nodes: Vec<Node>,
}

impl Keys {
    /// The whole plan.
    pub(super) fn root(source: &Arc<Source>, nodes: Vec<Node>) -> Self {
        let (source, segments) = (Arc::clone(source), Vec::new());
        Keys { source, segments, path: String::new(), span: 0..0, header: false, nodes }
    }

    /// The table that is the value of `name` in this one.
    fn below(&self, name: &str, key: Range<usize>, cell: Range<usize>, nodes: Vec<Node>) -> Self {
        let header = self.source.text.as_bytes().get(cell.start) == Some(&b'[');
        let mut segments = self.segments.clone();
        segments.push(name.to_owned());
        let path = if self.path.is_empty() { written(name) } else { format!("{}.{}", self.path, written(name)) };
        let span = if header { cell } else { key };
        Keys { source: Arc::clone(&self.source), segments, path, span, header, nodes }
    }

    /// Where the table stands (its header or first key).
    pub fn place(&self) -> Place {
        self.at(self.span.clone())
    }

    /// The table's dotted path, as in `stage.a_seed`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Is the key there (not yet taken)?
    pub fn has(&self, key: &str) -> bool {
        self.nodes.iter().any(|node| node.name == key)
    }

    /// Where a key stands, if it is there.
    pub fn key_place(&self, key: &str) -> Option<Place> {
        self.nodes.iter().find(|node| node.name == key).map(|node| self.at(node.key.clone()))
    }

    /// The keys that were not taken yet, in file order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.name.as_str())
    }

    /// Was nothing written, or all taken?
    pub fn is_bare(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Takes a key without looking at its value; answers where the key stood.
    pub fn discard(&mut self, key: &str) -> Option<Place> {
        let node = self.take(key)?;
        Some(self.at(node.key))
    }

    /// A string.
    pub fn text(&mut self, key: &str, out: &mut Diagnostics) -> Option<Spot<String>> {
        let node = self.take(key)?;
        let place = self.at(node.cell.span.clone());
        match node.cell.item {
            Item::Text(value) => Some(Spot { value, place }),
            item => self.wrong(key, "a string", &item, place, out),
        }
    }

    /// A string with something in it: empty and blank ones are reported.
    pub fn filled(&mut self, key: &str, out: &mut Diagnostics) -> Option<Spot<String>> {
        let text = self.text(key, out)?;
        if text.value.trim().is_empty() {
            let found = Diagnostic::new("empty-text", format!("`{key}` of `{}` is empty", self.path), text.place);
            out.push(found.label("nothing is written here").help(format!("write it, or remove `{key}`")));
            return None;
        }
        Some(text)
    }

    /// An integer.
    pub fn int(&mut self, key: &str, out: &mut Diagnostics) -> Option<Spot<i64>> {
        let node = self.take(key)?;
        let place = self.at(node.cell.span.clone());
        match node.cell.item {
            Item::Int(Some(value)) => Some(Spot { value, place }),
            item => self.wrong(key, "an integer", &item, place, out),
        }
    }

    /// A boolean.
    pub fn flag(&mut self, key: &str, out: &mut Diagnostics) -> Option<Spot<bool>> {
        let node = self.take(key)?;
        let place = self.at(node.cell.span.clone());
        match node.cell.item {
            Item::Bool(value) => Some(Spot { value, place }),
            item => self.wrong(key, "a boolean", &item, place, out),
        }
    }

    /// A duration such as `10m`.
    pub fn duration(&mut self, key: &str, out: &mut Diagnostics) -> Option<Spot<Duration>> {
        let node = self.take(key)?;
        let place = self.at(node.cell.span.clone());
        let Item::Text(text) = &node.cell.item else {
            return self.wrong(key, "a duration such as \"10m\"", &node.cell.item, place, out);
        };
        if let Ok(value) = clock::parse_duration(text) {
            return Some(Spot { value, place });
        }

        let message = format!("{} is no duration for `{key}` of `{}`", stray::quoted(text), self.path);
        let help = "write one number and one unit of `ms`, `s`, `m`, `h` or `d`, as in `500ms` or `7d`";
        out.push(Diagnostic::new("duration", message, place).label("not a duration").help(help));
        None
    }

    /// A list of strings. An absent key is `None`, an empty list `Some(vec![])`.
    pub fn texts(&mut self, key: &str, out: &mut Diagnostics) -> Option<Vec<Spot<String>>> {
        let node = self.take(key)?;
        let place = self.at(node.cell.span.clone());
        let Item::List(cells) = node.cell.item else {
            return self.wrong(key, "a list of strings", &node.cell.item, place, out);
        };
        let mut texts = Vec::with_capacity(cells.len());
        for Cell { span, item } in cells {
            let place = self.at(span);
            match item {
                Item::Text(value) => texts.push(Spot { value, place }),
                item => _ = self.wrong::<()>(key, "only strings in the list", &item, place, out),
            }
        }
        Some(texts)
    }

    /// A sub-table.
    pub fn table(&mut self, key: &str, out: &mut Diagnostics) -> Option<Keys> {
        let node = self.take(key)?;
        let place = self.at(node.cell.span.clone());
        match node.cell.item {
            Item::Table(nodes) => Some(self.below(key, node.key, node.cell.span, nodes)),
            item => self.wrong(key, "a table", &item, place, out),
        }
    }

    /// A table of tables: `reject.NAME = {...}`, in file order (by span). Absent: empty.
    pub fn tables(&mut self, key: &str, out: &mut Diagnostics) -> Vec<(Spot<String>, Keys)> {
        let Some(mut outer) = self.table(key, out) else { return Vec::new() };
        let mut tables = Vec::with_capacity(outer.nodes.len());
        for Node { name, key, cell: Cell { span, item } } in std::mem::take(&mut outer.nodes) {
            let (place, value) = (outer.at(key.clone()), outer.at(span.clone()));
            match item {
                Item::Table(nodes) => {
                    let inner = outer.below(&name, key, span, nodes);
                    tables.push((Spot { value: name, place }, inner));
                }
                item => _ = outer.wrong::<()>(&name, "a table", &item, value, out),
            }
        }
        tables
    }

    /// One scalar: a string, an integer or a boolean.
    pub fn scalar(&mut self, key: &str, out: &mut Diagnostics) -> Option<Spot<Value>> {
        let node = self.take(key)?;
        self.value(key, node.cell, out)
    }

    /// A table of scalars: `guard.NAME = "..."`, `writes.TABLE = 30`, `permit = {...}`, in file order. Absent: empty.
    pub fn scalars(&mut self, key: &str, out: &mut Diagnostics) -> Vec<(Spot<String>, Spot<Value>)> {
        let Some(mut inner) = self.table(key, out) else { return Vec::new() };
        let mut scalars = Vec::with_capacity(inner.nodes.len());
        for node in std::mem::take(&mut inner.nodes) {
            let name = Spot { place: inner.at(node.key), value: node.name };
            if let Some(value) = inner.value(&name.value, node.cell, out) {
                scalars.push((name, value));
            }
        }
        scalars
    }

    fn value(&self, key: &str, cell: Cell, out: &mut Diagnostics) -> Option<Spot<Value>> {
        let place = self.at(cell.span);
        let value = match cell.item {
            Item::Text(text) => Value::Text(text),
            Item::Int(Some(int)) => Value::Int(int),
            Item::Bool(flag) => Value::Bool(flag),
            item => return self.wrong(key, "a string, an integer or a boolean", &item, place, out),
        };
        Some(Spot { value, place })
    }

    /// Reports every key that was not taken: `unknown-key` with the nearest of `known` as help, or, when the key
    /// belongs to a stage (or target) and slid under a sub-table such as `[stage.x.reject.y]`, where to move it.
    pub fn finish(self, known: &[&str], out: &mut Diagnostics) {
        for node in &self.nodes {
            let found = self.stands().unknown(node, known, self.at(node.key.clone()), out);
            out.push(found);
        }
    }

    fn stands(&self) -> stray::Stand<'_> {
        stray::Stand { path: &self.segments, shown: &self.path, header: self.header }
    }

    fn at(&self, span: Range<usize>) -> Place {
        Place::new(&self.source, span)
    }

    fn take(&mut self, key: &str) -> Option<Node> {
        let at = self.nodes.iter().position(|node| node.name == key)?;
        Some(self.nodes.remove(at))
    }

    /// Reports a value of the wrong type; answers `None`, as if the key were absent.
    fn wrong<T>(&self, key: &str, want: &str, item: &Item, place: Place, out: &mut Diagnostics) -> Option<T> {
        let here = if self.path.is_empty() { "of the plan".to_owned() } else { format!("of `{}`", self.path) };
        let message = format!("{} {here} has the wrong type", stray::quoted(key));
        let label = format!("expected {want}, found {}", item.kind());
        let found = Diagnostic::new("wrong-type", message, place).label(label);
        out.push(match stray::type_help(self.segments.last(), key, want, item) {
            Some(help) => found.help(help),
            None => found,
        });
        None
    }
}

/// A key as one writes it: bare or in quotes.
fn written(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_owned() } else { format!("\"{}\"", key.escape_debug()) }
}
