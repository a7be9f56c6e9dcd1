//! Tables whose keys are free names: predicates, and what slid among them.

use super::Keys;
use crate::diag::{Diagnostic, Diagnostics};
use crate::name;
use crate::plan::tree::{Item, Node};
use crate::plan::{NamedText, Spot, stray};

impl Keys {
    /// A table of predicates: `guard.NAME = "..."`, `ensure.NAME`, `gate.NAME`, in file order. Absent: empty.
    ///
    /// Names have their form, texts are not empty, the table neither.
    pub fn predicates(&mut self, key: &str, out: &mut Diagnostics) -> Vec<NamedText> {
        let Some(mut inner) = self.table(key, out) else { return Vec::new() };
        if inner.nodes.is_empty() {
            let message = format!("`{}` has no predicate", inner.path);
            let help = format!("write `{key}.NAME = \"...\"`, or remove the empty table");
            out.push(Diagnostic::new("empty-table", message, inner.place()).label("nothing follows").help(help));
        }
        let mut predicates = Vec::with_capacity(inner.nodes.len());
        for node in std::mem::take(&mut inner.nodes) {
            predicates.extend(inner.predicate(key, node, out));
        }
        predicates
    }

    fn predicate(&self, group: &str, node: Node, out: &mut Diagnostics) -> Option<NamedText> {
        let place = self.at(node.key.clone());
        if let Some(home) = self.header.then(|| self.stands().home(&node.name)).flatten() {
            out.push(self.stands().misplaced(&node.name, &home, place));
            return None;
        }
        if let Err(why) = name::plain(&node.name) {
            let message = format!("{} is no name for a {group}", stray::quoted(&node.name));
            out.push(Diagnostic::new("name-form", message, place).label(why.to_string()).help("rename it"));
            return None;
        }
        let value = self.at(node.cell.span.clone());
        match node.cell.item {
            Item::Text(text) if text.trim().is_empty() => {
                let found = Diagnostic::new("empty-text", format!("`{}.{}` is empty", self.path, node.name), value);
                out.push(found.label("no predicate").help("write a predicate, or remove the line"));
                None
            }
            Item::Text(text) => {
                let name = Spot { value: node.name, place };
                Some(NamedText { name, text: Spot { value: text, place: value } })
            }
            item => self.wrong(&node.name, "a predicate in quotes", &item, value, out),
        }
    }

    /// Reports `key` where it slid under the header of a sub-table, instead of saying that it is missing.
    pub(in crate::plan) fn slid(&mut self, key: &str, out: &mut Diagnostics) -> bool {
        for at in 0..self.nodes.len() {
            let Node { name, key: name_at, cell } = &mut self.nodes[at];
            let (name, name_at, span) = (name.clone(), name_at.clone(), cell.span.clone());
            let Item::Table(nodes) = &mut cell.item else { continue };
            if matches!(name.as_str(), "permit" | "with") {
                continue;
            }
            let nodes = std::mem::take(nodes);
            let mut inner = self.below(&name, name_at, span, nodes);
            let node = if inner.header { inner.take(key) } else { None };
            if let (Some(node), Some(home)) = (&node, inner.stands().home(key)) {
                out.push(inner.stands().misplaced(key, &home, inner.at(node.key.clone())));
            }
            let found = node.is_some() || inner.slid(key, out);
            self.nodes[at].cell.item = Item::Table(inner.nodes);
            if found {
                return true;
            }
        }
        false
    }
}
