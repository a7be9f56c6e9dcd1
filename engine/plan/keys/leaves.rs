//! What a table says, key by key, without knowing what the keys mean: for who compares two plans.

use super::{Keys, written};
use crate::diag::Place;
use crate::plan::tree::{Cell, Item, Node};

/// A key that is no table, and its value.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The keys that lead to it, decoded.
    pub path: Vec<String>,
    /// The same, as one writes it: `reject.issue.refuse.orphan.error`.
    pub shown: String,
    /// What it says.
    pub value: LeafValue,
    /// Where its value stands.
    pub place: Place,
}

/// What a key that is no table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeafValue {
    /// A string.
    Text(String),
    /// Any other single value, as text.
    Plain(String),
    /// A list; what is no string in it as text.
    List(Vec<String>),
}

impl LeafValue {
    /// As one line.
    pub fn line(&self) -> String {
        match self {
            LeafValue::Text(text) | LeafValue::Plain(text) => text.clone(),
            LeafValue::List(items) => items.join(", "),
        }
    }
}

impl Keys {
    /// Every leaf that was not taken yet, in file order.
    pub fn leaves(&self) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        self.walk(&self.nodes, &[], "", &mut leaves);
        leaves
    }

    fn walk(&self, nodes: &[Node], path: &[String], shown: &str, leaves: &mut Vec<Leaf>) {
        for node in nodes {
            let path: Vec<String> = path.iter().cloned().chain([node.name.clone()]).collect();
            let own = written(&node.name);
            let shown = if shown.is_empty() { own } else { format!("{shown}.{own}") };
            if let Item::Table(inner) = &node.cell.item {
                self.walk(inner, &path, &shown, leaves);
            } else {
                let place = self.at(node.cell.span.clone());
                leaves.push(Leaf { path, shown, value: value(&node.cell), place });
            }
        }
    }
}

fn value(cell: &Cell) -> LeafValue {
    match &cell.item {
        Item::Text(text) => LeafValue::Text(text.clone()),
        Item::List(cells) => LeafValue::List(cells.iter().map(|cell| value(cell).line()).collect()),
        Item::Int(Some(int)) => LeafValue::Plain(int.to_string()),
        Item::Bool(flag) => LeafValue::Plain(flag.to_string()),
        other => LeafValue::Plain(other.kind().to_owned()),
    }
}
