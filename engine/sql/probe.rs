//! A probe's text: exactly one statement that reads.

use super::parse::{span, with_tree};
use super::refuse::{Where, refuse};
use super::split::{Kind, nodes, split};
use crate::diag::{Diagnostic, Diagnostics, Place, Source};
use squawk_syntax::SyntaxKind;
use std::ops::Range;
use std::sync::Arc;

/// The code of everything that keeps a text from being a probe.
const CODE: &str = "probe-not-one-select";

/// All that keeps `source` from being a probe: syntax errors, refusals of a read target, more or less than one
/// statement, and anything but SELECT or VALUES that only reads.
pub fn check_probe(source: &Arc<Source>) -> Diagnostics {
    let (statements, mut found) = split(source);
    if found.has_errors() {
        return found;
    }
    let bad = |span: Range<usize>, message: &str, help: &str| {
        Diagnostic::new(CODE, message, Place::new(source, span)).label("not in a probe").help(help)
    };
    if let Some(second) = statements.get(1) {
        let help = "one probe, one value: make it two probes";
        found.push(bad(second.span.clone(), "a probe is one statement, here starts a second one", help));
        return found;
    }
    for statement in &statements {
        if statement.kind == Kind::Write || statement.kind == Kind::Ddl {
            let message = format!("a probe only reads, this is {}", statement.verb);
            found.push(bad(statement.span.clone(), &message, "a probe may not write, not even in a WITH"));
        }
    }
    if found.has_errors() {
        return found;
    }
    let odd = with_tree(&source.text, |root, _| nodes(root).iter().flat_map(oddities).collect::<Vec<_>>());
    for (span, message, help) in odd.unwrap_or_default() {
        found.push(bad(span, message, help));
    }
    if !found.has_errors() {
        found.0.extend(refuse(source, Where::Read).0);
    }
    found.sort();
    found
}

fn oddities(node: &squawk_syntax::SyntaxNode) -> Vec<(Range<usize>, &'static str, &'static str)> {
    use SyntaxKind::{COMPOUND_SELECT, LOCKING_CLAUSE, PAREN_SELECT, SELECT, VALUES};
    let mut odd = Vec::new();
    let reads = matches!(node.kind(), SELECT | VALUES | COMPOUND_SELECT | PAREN_SELECT);
    if !reads {
        odd.push((span(node), "a probe is a SELECT", "write `SELECT ...` with one row and one column"));
    }
    for lock in node.descendants().filter(|n| n.kind() == LOCKING_CLAUSE) {
        odd.push((span(&lock), "a probe takes no row locks", "leave FOR UPDATE and its kin out"));
    }
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(sql: &str) -> Vec<&'static str> {
        check_probe(&Source::new("p", sql)).0.iter().map(|d| d.code).collect()
    }

    #[test]
    fn one_select_passes() {
        for sql in [
            "SELECT count(*) FROM t",
            "-- why\nWITH a AS (SELECT 1 AS x) SELECT x FROM a; -- end",
            "VALUES (1)",
            "SELECT 1 UNION SELECT 1",
            "(SELECT 1)",
        ] {
            assert_eq!(codes(sql), [""; 0], "{sql}");
        }
    }

    #[test]
    fn anything_else_does_not() {
        for sql in [
            "SELECT 1; SELECT 2",
            "DELETE FROM t",
            "WITH a AS (DELETE FROM t RETURNING *) SELECT count(*) FROM a",
            "SELECT 1 INTO x",
            "SELECT x FROM t FOR UPDATE",
            "SELECT (SELECT x FROM t LIMIT 1 FOR SHARE)",
            "TABLE t",
            "SHOW search_path",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE DELETE FROM t",
            "DO $$ BEGIN END $$",
            "LOCK TABLE t",
            "CREATE TABLE t (a int)",
        ] {
            assert_eq!(codes(sql), [CODE], "{sql}");
        }
        assert_eq!(codes("SELECT set_config('role', 'x', true)"), ["sql-guarded-setting"]);
        assert_eq!(codes("SELECT 1) , (2"), ["sql-syntax"]);
        assert_eq!(codes(""), ["sql-empty"]);
    }
}
