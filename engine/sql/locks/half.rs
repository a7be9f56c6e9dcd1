//! The half of a statement that reads: what can be planned by a role that may not write, under no lock of a writer's.

use super::{is_relation, is_relation_name};
use crate::sql::parse::with_tree;
use crate::sql::split::{Statement, nodes};
use squawk_syntax::{SyntaxKind, SyntaxNode};

/// What can be planned of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Half {
    /// It only reads: the statement itself.
    Whole(String),
    /// The rows that it would write, or look at to write them.
    Reading(String),
    /// Nothing, and why.
    None(&'static str),
}

/// The reading half of a statement.
pub fn reading_half(statement: &Statement) -> Half {
    let half = with_tree(&statement.text, |root, _| nodes(root).first().map(|node| of(node, &statement.text)));
    half.ok().flatten().unwrap_or(Half::None("its text could not be parsed"))
}

fn of(node: &SyntaxNode, text: &str) -> Half {
    use SyntaxKind as K;
    let writes = |n: &SyntaxNode| matches!(n.kind(), K::INSERT | K::UPDATE | K::DELETE | K::MERGE);
    if node.descendants().skip(1).any(|n| writes(&n)) {
        return Half::None("it writes inside WITH");
    }
    let child = |kinds: &[SyntaxKind]| node.children().find(|n| kinds.contains(&n.kind()));
    let shown = |n: Option<SyntaxNode>| n.map(|n| n.text().to_string()).unwrap_or_default();
    let with = shown(child(&[K::WITH_CLAUSE]));
    let target = || shown(node.children().find(|n| is_relation(n) || is_relation_name(n)));
    let alias = shown(node.children().find(|n| format!("{:?}", n.kind()).ends_with("ALIAS")));
    let filter = shown(child(&[K::WHERE_CLAUSE]));
    let without = |clause: &str, word: usize| clause.get(word..).unwrap_or_default().trim().to_owned();
    match node.kind() {
        K::SELECT if node.descendants().any(|n| n.kind() == K::SELECT_INTO) => Half::None("it makes a table"),
        K::SELECT | K::VALUES | K::TABLE | K::PAREN_SELECT | K::COMPOUND_SELECT => Half::Whole(text.to_owned()),
        K::INSERT => {
            let source = shown(child(&[K::SELECT, K::VALUES, K::TABLE, K::PAREN_SELECT, K::COMPOUND_SELECT]));
            if source.is_empty() { Half::None("it has no query") } else { Half::Reading(format!("{with} {source}")) }
        }
        K::UPDATE | K::DELETE if filter.to_lowercase().contains("current of") => Half::None("it follows a cursor"),
        K::UPDATE | K::DELETE => {
            let from = child(&[K::FROM_CLAUSE]).map(|n| without(&n.text().to_string(), "from".len()));
            let using = child(&[K::USING_CLAUSE]).map(|n| without(&n.text().to_string(), "using".len()));
            let more = from.or(using).map(|items| format!(", {items}")).unwrap_or_default();
            Half::Reading(format!("{with} SELECT 1 FROM {} {alias}{more} {filter}", target()))
        }
        K::MERGE => {
            let using = shown(child(&[K::USING_ON_CLAUSE]));
            let Some(on) = child(&[K::USING_ON_CLAUSE])
                .and_then(|n| n.children().find(|c| c.kind() == K::ON_CLAUSE))
                .map(|n| n.text().to_string())
            else {
                return Half::None("it has no condition");
            };
            let source = using.strip_suffix(on.as_str()).unwrap_or_default();
            let source = without(source, "using".len());
            Half::Reading(format!("{with} SELECT 1 FROM {source} LEFT JOIN {} {alias} {on}", target()))
        }
        _ => Half::None("EXPLAIN knows no statement of this kind"),
    }
}
