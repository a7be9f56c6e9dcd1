//! Texts of the whole plan: `{{` outside templates, and passwords.

use super::super::secret;
use super::super::tree::{Cell, Item, Node};
use crate::diag::{Diagnostic, Place, Source};
use std::sync::Arc;

/// Looks at every text of the plan.
pub(super) fn check(source: &Arc<Source>, nodes: &[Node]) -> Vec<Diagnostic> {
    let mut walk = Walk { source, path: Vec::new(), out: Vec::new() };
    walk.table(nodes);
    walk.out
}

struct Walk<'w> {
    source: &'w Arc<Source>,
    path: Vec<&'w str>,
    out: Vec<Diagnostic>,
}

impl<'w> Walk<'w> {
    fn table(&mut self, nodes: &'w [Node]) {
        for node in nodes {
            self.path.push(&node.name);
            self.cell(&node.cell);
            self.path.pop();
        }
    }

    fn cell(&mut self, cell: &'w Cell) {
        match &cell.item {
            Item::Text(text) => self.text(text, cell),
            Item::List(cells) => cells.iter().for_each(|cell| self.cell(cell)),
            Item::Table(nodes) => self.table(nodes),
            _ => {}
        }
    }

    fn text(&mut self, text: &str, cell: &Cell) {
        let place = || Place::new(self.source, cell.span.clone());
        let key = self.path.last().copied().unwrap_or_default();
        let is_url = matches!(self.path[..], ["target", _, "url" | "maker_url"]);
        if !is_url && secret::holds_password(text) {
            let found = Diagnostic::new("literal-secret", format!("`{key}` holds a password"), place());
            let help = "a target's `url` says where the connection string is: `env:NAME` or `file:PATH`";
            self.out.push(found.label("a connection string does not belong in a plan").help(help));
        }
        if !self.is_template()
            && (if self.is_data() { has_tag(text) } else { text.contains("{{") || text.contains("{%") })
        {
            let found = Diagnostic::new("not-a-template", format!("`{key}` is no template"), place());
            let help = "templates are a target's `database`, a probe's `sql`, a rollout's `packet` and the files under \
                        `templates/`; a predicate reads a variable as `var.NAME`";
            self.out.push(found.label("`{{` and `{%` mean nothing here").help(help));
        }
    }

    fn is_template(&self) -> bool {
        matches!(self.path[..], ["target", _, "database"] | ["probe", _, "sql"] | ["stage", _, "packet"])
    }

    /// Values that go to SQL as they are: there `{{1,2},{3,4}}` is an array.
    fn is_data(&self) -> bool {
        let reject = matches!(self.path[..], ["stage", _, "reject", ..]);
        matches!(self.path[..], ["var", _, "default"])
            || reject && self.path.iter().any(|key| matches!(*key, "permit" | "with"))
    }
}

/// Holds the text something like `{{ name }}`?
fn has_tag(text: &str) -> bool {
    text.split("{{").skip(1).any(|rest| {
        rest.split_once("}}")
            .is_some_and(|(inner, _)| inner.contains(char::is_alphabetic) && !inner.contains([',', '{', '}']))
    })
}

#[cfg(test)]
mod tests {
    use super::has_tag;

    #[test]
    fn arrays_are_no_tags() {
        assert!(has_tag("{{ scan }}") && has_tag("a{{scan|literal}}"));
        assert!(!has_tag("{{1,2},{3,4}}") && !has_tag("{{1}}") && !has_tag("{{ a"));
    }
}
