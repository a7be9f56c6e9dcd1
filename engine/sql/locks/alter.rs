//! ALTER TABLE takes the strongest mode of all it does; CREATE TABLE locks what the new table hangs on.

use super::{Locks, Mode, name, relations, words_of};
use squawk_syntax::{SyntaxKind, SyntaxNode};

/// Storage parameters that are changed while others write.
const GENTLE: [&str; 4] = ["fillfactor", "toast_tuple_target", "parallel_workers", "log_autovacuum_min_duration"];

pub(super) fn table(node: &SyntaxNode, locks: &mut Locks) {
    let Some(named) = node.children().find(|n| n.kind() == SyntaxKind::TABLE_RELATION_NAME) else {
        return locks.not_known("it names no single table");
    };
    let Some(table) = relations(&named).next().map(|n| name(&n)) else { return };
    let mut mode = None;
    for action in node.children().skip_while(|n| *n != named).skip(1) {
        let (own, others) = of_action(&action, locks);
        mode = mode.max(Some(own));
        if let Some(others) = others {
            relations(&action).for_each(|n| locks.take(name(&n), others));
        }
    }
    locks.take(table, mode.unwrap_or(Mode::AccessExclusive));
}

/// The mode on the table itself, and that on tables the action names.
fn of_action(action: &SyntaxNode, locks: &mut Locks) -> (Mode, Option<Mode>) {
    use Mode::{AccessExclusive, ShareRowExclusive, ShareUpdateExclusive};
    use SyntaxKind as K;
    let refers = action.descendants().any(|n| n.kind() == K::REFERENCES_CONSTRAINT);
    let words = words_of(action);
    let says = |word: &str| words.iter().any(|w| w == word);
    match action.kind() {
        K::VALIDATE_CONSTRAINT => {
            locks.not_known("ROW SHARE on what a foreign key refers to");
            (ShareUpdateExclusive, None)
        }
        K::CLUSTER_ON | K::SET_WITHOUT_CLUSTER => (ShareUpdateExclusive, None),
        K::ENABLE_TRIGGER | K::DISABLE_TRIGGER | K::ENABLE_ALWAYS_TRIGGER | K::ENABLE_REPLICA_TRIGGER => {
            (ShareRowExclusive, None)
        }
        K::ADD_CONSTRAINT if action.descendants().any(|n| n.kind() == K::FOREIGN_KEY_CONSTRAINT) => {
            (ShareRowExclusive, Some(ShareRowExclusive))
        }
        K::ADD_COLUMN if refers => (AccessExclusive, Some(ShareRowExclusive)),
        K::ATTACH_PARTITION => {
            locks.not_known("the default partition, if there is one");
            (ShareUpdateExclusive, Some(AccessExclusive))
        }
        K::DETACH_PARTITION if says("concurrently") => (ShareUpdateExclusive, Some(AccessExclusive)),
        K::DETACH_PARTITION => (AccessExclusive, Some(AccessExclusive)),
        K::INHERIT_TABLE => (AccessExclusive, Some(ShareUpdateExclusive)),
        K::NO_INHERIT_TABLE => (AccessExclusive, Some(Mode::AccessShare)),
        K::ALTER_COLUMN if says("statistics") || says("n_distinct") || says("n_distinct_inherited") => {
            (ShareUpdateExclusive, None)
        }
        K::SET_OPTIONS | K::RESET_OPTIONS if gentle(&words) => (ShareUpdateExclusive, None),
        K::DROP_CONSTRAINT => {
            locks.not_known("the other table of a foreign key");
            (AccessExclusive, None)
        }
        _ => (AccessExclusive, None),
    }
}

/// `SET ( name = value, ... )` of such parameters only.
fn gentle(words: &[String]) -> bool {
    let mut names = words.windows(2).filter(|w| w[0] == "(" || w[0] == ",").map(|w| w[1].as_str()).peekable();
    names.peek().is_some() && names.all(|name| GENTLE.contains(&name) || name.starts_with("autovacuum_"))
}

pub(super) fn created(node: &SyntaxNode, locks: &mut Locks) {
    use SyntaxKind as K;
    for part in node.descendants() {
        let mode = match part.kind() {
            K::REFERENCES_CONSTRAINT | K::FOREIGN_KEY_CONSTRAINT => Mode::ShareRowExclusive,
            K::PARTITION_OF => Mode::AccessExclusive,
            K::INHERITS => Mode::ShareUpdateExclusive,
            K::LIKE_CLAUSE => Mode::AccessShare,
            _ => continue,
        };
        relations(&part).for_each(|n| locks.take(name(&n), mode));
    }
}
