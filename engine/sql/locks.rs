//! Which locks a statement takes on which table, as far as its text says.
//!
//! By class of statement, as PostgreSQL's documentation and sources have it; `tests/locks.rs` holds each row against
//! what a server really takes. Foreign keys, triggers, views and partitions bring more, which no text shows.

mod alter;
mod half;

pub use half::{Half, reading_half};

use super::parse::{called, folded, is_trivia, tokens, with_tree};
use super::split::{Kind, Statement, kind, nodes};
use super::words;
use squawk_syntax::{SyntaxKind, SyntaxNode};
use std::collections::{BTreeMap, BTreeSet};

/// Modes of table locks, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// SELECT.
    AccessShare,
    /// SELECT ... FOR UPDATE.
    RowShare,
    /// INSERT, UPDATE, DELETE, MERGE.
    RowExclusive,
    /// VACUUM, ANALYZE, CREATE INDEX CONCURRENTLY.
    ShareUpdateExclusive,
    /// CREATE INDEX.
    Share,
    /// CREATE TRIGGER, a new foreign key.
    ShareRowExclusive,
    /// REFRESH MATERIALIZED VIEW CONCURRENTLY.
    Exclusive,
    /// Most of ALTER TABLE, DROP, TRUNCATE: nobody else may even read.
    AccessExclusive,
}

impl Mode {
    /// As LOCK TABLE spells it.
    pub fn words(self) -> &'static str {
        match self {
            Mode::AccessShare => "ACCESS SHARE",
            Mode::RowShare => "ROW SHARE",
            Mode::RowExclusive => "ROW EXCLUSIVE",
            Mode::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Mode::Share => "SHARE",
            Mode::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Mode::Exclusive => "EXCLUSIVE",
            Mode::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }
}

/// What one statement locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// Strongest mode by relation, as the statement names it, folded.
    pub tables: BTreeMap<String, Mode>,
    /// What its text does not say: more locks may come of it.
    pub unknown: Vec<String>,
}

impl Locks {
    fn take(&mut self, table: String, mode: Mode) {
        let held = self.tables.entry(table).or_insert(mode);
        *held = mode.max(*held);
    }

    fn not_known(&mut self, why: impl Into<String>) {
        let why = why.into();
        if !self.unknown.contains(&why) {
            self.unknown.push(why);
        }
    }
}

/// Definitions that are no table and are made without a lock on one.
const NO_TABLE: [SyntaxKind; 9] = [
    SyntaxKind::CREATE_FUNCTION,
    SyntaxKind::CREATE_PROCEDURE,
    SyntaxKind::CREATE_SCHEMA,
    SyntaxKind::CREATE_TYPE,
    SyntaxKind::CREATE_DOMAIN,
    SyntaxKind::CREATE_SEQUENCE,
    SyntaxKind::SET,
    SyntaxKind::RESET,
    SyntaxKind::SHOW,
];

/// The locks of a statement.
pub fn locks(statement: &Statement) -> Locks {
    let looked = with_tree(&statement.text, |root, _| nodes(root).first().map(of));
    looked
        .ok()
        .flatten()
        .unwrap_or_else(|| Locks { unknown: vec!["its text could not be parsed".to_owned()], ..Locks::default() })
}

fn of(node: &SyntaxNode) -> Locks {
    use SyntaxKind as K;
    let mut locks = Locks::default();
    match node.kind() {
        K::DO | K::CALL => locks.not_known("what it does is not in its text"),
        K::ALTER_TABLE => alter::table(node, &mut locks),
        K::CREATE_TABLE => alter::created(node, &mut locks),
        K::CREATE_TABLE_AS | K::CREATE_VIEW | K::CREATE_MATERIALIZED_VIEW => queries(node, &mut locks),
        kind_of if NO_TABLE.contains(&kind_of) => {}
        _ if matches!(kind(node), Kind::Read | Kind::Write) && node.kind() != K::TRUNCATE
            || node.kind() == K::SELECT =>
        {
            queries(node, &mut locks);
        }
        _ => by_class(node, &mut locks),
    }
    locks
}

/// Statements that take one mode on all they name.
fn by_class(node: &SyntaxNode, locks: &mut Locks) {
    use SyntaxKind as K;
    let mode = match node.kind() {
        K::CREATE_INDEX | K::REINDEX if says(node, "concurrently") => Mode::ShareUpdateExclusive,
        K::CREATE_INDEX => Mode::Share,
        K::TRUNCATE => {
            if says(node, "cascade") {
                locks.not_known("tables whose foreign keys refer to it, as CASCADE empties them");
            }
            Mode::AccessExclusive
        }
        K::DROP_TABLE => {
            locks.not_known("tables that its foreign keys refer to");
            Mode::AccessExclusive
        }
        K::DROP_VIEW | K::DROP_MATERIALIZED_VIEW | K::DROP_SEQUENCE => {
            return named_paths(node, Mode::AccessExclusive, locks);
        }
        K::DROP_INDEX => {
            locks.not_known("the same on the table of the index");
            let mode = if says(node, "concurrently") { Mode::ShareUpdateExclusive } else { Mode::AccessExclusive };
            return named_paths(node, mode, locks);
        }
        K::REFRESH => {
            locks.not_known("what its query reads");
            let mode = if says(node, "concurrently") { Mode::Exclusive } else { Mode::AccessExclusive };
            return named_paths(node, mode, locks);
        }
        K::CREATE_TRIGGER => Mode::ShareRowExclusive,
        K::DROP_TRIGGER | K::CREATE_RULE | K::DROP_RULE | K::CREATE_POLICY | K::ALTER_POLICY | K::DROP_POLICY => {
            Mode::AccessExclusive
        }
        K::VACUUM if says(node, "full") => Mode::AccessExclusive,
        K::VACUUM | K::ANALYZE | K::COMMENT_ON => Mode::ShareUpdateExclusive,
        K::REINDEX => {
            locks.not_known("ACCESS EXCLUSIVE on the indexes");
            Mode::Share
        }
        K::CLUSTER => Mode::AccessExclusive,
        K::LOCK => asked_for(node),
        _ => return locks.not_known("this kind of statement"),
    };
    let named: BTreeSet<String> = relations(node).map(|n| name(&n)).collect();
    if named.is_empty() {
        locks.not_known("it names no table");
    }
    if matches!(node.kind(), K::CREATE_RULE | K::CREATE_POLICY | K::ALTER_POLICY) {
        // The first is what it is made on; what its expressions read is locked when they run.
        return relations(node).next().into_iter().for_each(|n| locks.take(name(&n), mode));
    }
    for table in named {
        locks.take(table, mode);
    }
}

/// Relations that the grammar names by a bare path: views, indexes, sequences.
fn named_paths(node: &SyntaxNode, mode: Mode, locks: &mut Locks) {
    let path = |n: &SyntaxNode| {
        n.kind() == SyntaxKind::PATH_REF && n.parent().is_none_or(|p| p.kind() != SyntaxKind::PATH_REF)
    };
    node.descendants().filter(path).for_each(|n| locks.take(name(&n), mode));
}

/// LOCK TABLE names its mode itself.
fn asked_for(node: &SyntaxNode) -> Mode {
    use Mode::{
        AccessExclusive, AccessShare, Exclusive, RowExclusive, RowShare, Share, ShareRowExclusive, ShareUpdateExclusive,
    };
    let text = words_of(node).join(" ");
    let all = [
        ShareUpdateExclusive,
        ShareRowExclusive,
        AccessExclusive,
        RowExclusive,
        AccessShare,
        RowShare,
        Exclusive,
        Share,
    ];
    let says = |mode: &Mode| text.contains(&format!(" in {} mode", mode.words().to_lowercase()));
    all.into_iter().find(says).unwrap_or(AccessExclusive)
}

/// SELECT and what writes rows, also inside WITH: who is written, who is locked by rows, who is read.
fn queries(node: &SyntaxNode, locks: &mut Locks) {
    use SyntaxKind as K;
    let parts = |kind: SyntaxKind| node.descendants().filter(move |n| n.kind() == kind);
    let ctes: BTreeSet<String> = parts(K::CTE_NAME).map(|n| name(&n)).collect();
    let table = |n: &SyntaxNode| Some(name(n)).filter(|named| !ctes.contains(named));
    relations(node).filter_map(|n| table(&n)).for_each(|named| locks.take(named, Mode::AccessShare));
    for writer in [K::INSERT, K::UPDATE, K::DELETE, K::MERGE].into_iter().flat_map(parts) {
        // Of a writer's children the first relation is what it writes, whatever a WITH before it reads.
        let target = writer.children().find(|n| is_relation(n) || is_relation_name(n));
        let target = target.and_then(|n| relations(&n).next());
        if let Some(target) = target {
            locks.take(name(&target), Mode::RowExclusive);
        }
    }
    for clause in parts(K::LOCKING_CLAUSE) {
        let Some(from) = clause.parent().and_then(|s| s.children().find(|n| n.kind() == K::FROM_CLAUSE)) else {
            continue;
        };
        let of: BTreeSet<String> =
            clause.descendants().filter(|n| n.kind() == K::NAME_REF || is_relation(n)).map(|n| name(&n)).collect();
        for item in from.descendants().filter(|n| n.kind() == K::RELATION_FROM_ITEM) {
            let Some(relation) = relations(&item).next() else { continue };
            let alias = item.descendants().find(|n| n.kind() == K::TABLE_ALIAS).map(|n| name(&n));
            let called = alias.unwrap_or_else(|| last(&name(&relation)));
            if let Some(named) = table(&relation).filter(|_| of.is_empty() || of.contains(&called)) {
                locks.take(named, Mode::RowShare);
            }
        }
    }
    let calls = node.descendants().filter_map(|n| called(&n)).map(|(name, _)| name);
    let others: BTreeSet<String> = calls.filter(|f| !words::locks_nothing(f)).collect();
    for function in &others {
        locks.not_known(format!("what `{function}` does"));
    }
}

fn last(dotted: &str) -> String {
    dotted.rsplit_once('.').map_or(dotted, |(_, last)| last).to_owned()
}

fn is_relation(node: &SyntaxNode) -> bool {
    matches!(node.kind(), SyntaxKind::RELATION_NAME_REF | SyntaxKind::TABLE_NAME_REF)
}

fn is_relation_name(node: &SyntaxNode) -> bool {
    matches!(node.kind(), SyntaxKind::RELATION_NAME | SyntaxKind::TABLE_RELATION_NAME)
}

/// Relations that a node names, its own name included.
fn relations(node: &SyntaxNode) -> impl Iterator<Item = SyntaxNode> + use<> {
    node.descendants().filter(is_relation)
}

/// A name with its schema, if it is written, each part as the catalogs spell it.
fn name(node: &SyntaxNode) -> String {
    tokens(node).filter(|t| !is_trivia(t.kind())).map(|t| folded(t.text())).collect()
}

/// Its words in lower case, strings and quoted names as they are.
fn words_of(node: &SyntaxNode) -> Vec<String> {
    tokens(node).filter(|t| !is_trivia(t.kind())).map(|t| t.text().to_lowercase()).collect()
}

fn says(node: &SyntaxNode, word: &str) -> bool {
    words_of(node).iter().any(|w| w == word)
}
