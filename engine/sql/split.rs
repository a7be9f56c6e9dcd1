//! A text of SQL becomes statements. Every syntax error is a diagnostic at its place.

use super::parse::{Fault, is_trivia, span, token_span, tokens, with_tree};
use crate::diag::{Diagnostic, Diagnostics, Place, Source};
use squawk_syntax::{SyntaxKind, SyntaxNode};
use std::ops::Range;
use std::sync::Arc;

/// More syntax errors than these in one text are the same mistake again.
const MOST_FAULTS: usize = 20;

/// What a statement does, as far as its text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SELECT, VALUES, TABLE, SHOW, EXPLAIN: reads, unless a function it calls writes.
    Read,
    /// INSERT, UPDATE, DELETE, MERGE, TRUNCATE, also inside WITH or under EXPLAIN ANALYZE.
    Write,
    /// Creates, changes or drops definitions; GRANT, REVOKE, COMMENT.
    Ddl,
    /// DO and CALL: what they do is not in the text.
    Code,
    /// Everything else: SET, LOCK, ANALYZE, ...
    Utility,
}

/// One statement of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its exact bytes, from its first to its last word: no `;`, no comment before or after it.
    pub text: String,
    /// Where these bytes stand in the source.
    pub span: Range<usize>,
    /// For people: `INSERT`, `CREATE TABLE`.
    pub verb: String,
    /// What it does.
    pub kind: Kind,
}

impl Statement {
    /// It makes something temporary.
    pub fn makes_temporary(&self) -> bool {
        self.temporary_name().is_some()
    }

    /// The name of the temporary table it makes, folded.
    pub fn temporary_name(&self) -> Option<String> {
        let words: Vec<String> = self.text.split_whitespace().map(str::to_ascii_lowercase).take(9).collect();
        let table = words.iter().position(|word| word == "table")?;
        let temporary = |word: &String| word == "temp" || word == "temporary";
        if words.first().map(String::as_str) != Some("create") || !words[..table].iter().any(temporary) {
            return None;
        }
        let exists = words.get(table + 1).is_some_and(|word| word == "if");
        // As it stands, since a quoted name is not folded; up to its columns.
        let name = self.text.split_whitespace().nth(table + 1 + if exists { 3 } else { 0 })?;
        let name = name.split('(').next().unwrap_or(name);
        let name = name.rsplit_once('.').map_or(name, |(_, name)| name);
        Some(super::parse::folded(name))
    }
}

/// The statements of `source` and every syntax error. A text without a statement is an error.
pub fn split(source: &Arc<Source>) -> (Vec<Statement>, Diagnostics) {
    let (statements, found, _) = split_and(source, |_| ());
    (statements, found)
}

/// The same, and what `more` makes of the very tree. `None`: there is no tree.
pub(super) fn split_and<T: Send>(
    source: &Arc<Source>,
    more: impl FnOnce(&SyntaxNode) -> T + Send,
) -> (Vec<Statement>, Diagnostics, Option<T>) {
    let looked = with_tree(&source.text, |root, faults| {
        let statements: Vec<_> = nodes(root).iter().filter_map(|n| statement(n, &source.text)).collect();
        (statements, meta_commands(root, &source.text), data_starts(root), faults, more(root))
    });
    let mut found = Diagnostics::default();
    let (statements, metas, data, faults, more) = match looked {
        Ok(looked) => looked,
        Err(no_tree) => {
            found.push(no_tree.diagnostic(source));
            return (Vec::new(), found, None);
        }
    };
    for line in &metas {
        found.push(meta_command(source, line.clone()));
    }
    push_faults(source, &faults, &metas, data, &mut found);
    if statements.is_empty() && !found.has_errors() {
        let end = source.text.len();
        found.push(
            Diagnostic::new("sql-empty", "there is no SQL statement in this text", Place::new(source, 0..end.min(1)))
                .label("nothing but blanks and comments")
                .help("write a statement, or leave the key out"),
        );
    }
    (statements, found, Some(more))
}

/// The statements' nodes.
pub(super) fn nodes(root: &SyntaxNode) -> Vec<SyntaxNode> {
    root.children().filter(|n| !matches!(n.kind(), SyntaxKind::ERROR | SyntaxKind::EMPTY_STMT)).collect()
}

fn statement(node: &SyntaxNode, text: &str) -> Option<Statement> {
    let mut words = tokens(node).filter(|t| !is_trivia(t.kind()));
    let first = words.next().filter(|word| word.kind() != SyntaxKind::SEMICOLON)?;
    let start = token_span(&first).start;
    // The last word, and the one before it: a semicolon at the end is none of the statement's.
    let (mut before, mut last) = (first.clone(), first);
    for word in words {
        before = std::mem::replace(&mut last, word);
    }
    let end = token_span(if last.kind() == SyntaxKind::SEMICOLON { &before } else { &last }).end;
    Some(Statement { text: text[start..end].to_owned(), span: start..end, verb: verb(node.kind()), kind: kind(node) })
}

fn verb(kind: SyntaxKind) -> String {
    match kind {
        SyntaxKind::COMPOUND_SELECT | SyntaxKind::PAREN_SELECT => "SELECT".to_owned(),
        SyntaxKind::BEGIN => "BEGIN".to_owned(),
        kind => format!("{kind:?}").replace('_', " "),
    }
}

/// What the statement at `node` does.
pub(super) fn kind(node: &SyntaxNode) -> Kind {
    use SyntaxKind::{
        CALL, COMMENT_ON, COMPOUND_SELECT, DELETE, DO, EXPLAIN, GRANT, IMPORT_FOREIGN_SCHEMA, INSERT, MERGE,
        PAREN_SELECT, REASSIGN, REFRESH, REVOKE, SECURITY_LABEL, SELECT, SELECT_INTO, SHOW, TABLE, TRUNCATE, UPDATE,
        VALUES,
    };
    let name = format!("{:?}", node.kind());
    match node.kind() {
        INSERT | UPDATE | DELETE | MERGE | TRUNCATE => Kind::Write,
        SELECT | VALUES | TABLE | PAREN_SELECT | COMPOUND_SELECT | SHOW | EXPLAIN => {
            let below = |kinds: &[SyntaxKind]| node.descendants().any(|n| kinds.contains(&n.kind()));
            match () {
                () if below(&[SELECT_INTO]) => Kind::Ddl,
                () if below(&[INSERT, UPDATE, DELETE, MERGE]) => Kind::Write,
                () => Kind::Read,
            }
        }
        DO | CALL => Kind::Code,
        SELECT_INTO | GRANT | REVOKE | COMMENT_ON | REFRESH | REASSIGN | SECURITY_LABEL | IMPORT_FOREIGN_SCHEMA => {
            Kind::Ddl
        }
        _ if ["CREATE_", "ALTER_", "DROP_"].iter().any(|p| name.starts_with(p)) => Kind::Ddl,
        _ => Kind::Utility,
    }
}

/// The lines that hold a backslash outside quotes: psql's, never SQL.
fn meta_commands(root: &SyntaxNode, text: &str) -> Vec<Range<usize>> {
    let mut lines: Vec<Range<usize>> = Vec::new();
    for token in tokens(root).filter(|t| t.text().starts_with('\\')) {
        let start = token_span(&token).start;
        if lines.last().is_none_or(|line| line.end <= start) {
            lines.push(start..text[start..].find('\n').map_or(text.len(), |i| start + i));
        }
    }
    lines
}

fn meta_command(source: &Arc<Source>, line: Range<usize>) -> Diagnostic {
    let word = source.text[line.clone()].split_whitespace().next().unwrap_or("\\").to_owned();
    Diagnostic::new("sql-meta-command", format!("`{word}` is a command of psql, not SQL"), Place::new(source, line))
        .label("no server understands this")
        .help("write SQL; what the engine should do around it stands in the plan")
}

/// Where inline COPY data would start: what follows is rows, and not worth a syntax error each.
fn data_starts(root: &SyntaxNode) -> Option<usize> {
    root.descendants().find(|n| n.kind() == SyntaxKind::COPY_STDIN).map(|n| span(&n).end)
}

/// One error a line, and none that another diagnostic explains.
fn push_faults(
    source: &Arc<Source>,
    faults: &[Fault],
    metas: &[Range<usize>],
    data: Option<usize>,
    found: &mut Diagnostics,
) {
    let mut last_line = 0;
    let mut left = MOST_FAULTS;
    for fault in faults {
        let line = source.line(fault.span.start);
        let explained =
            data.is_some_and(|start| fault.span.start > start) || metas.iter().any(|m| source.line(m.start) == line);
        if explained || line == last_line || left == 0 {
            continue;
        }
        (last_line, left) = (line, left - 1);
        let place = Place::new(source, fault.span.clone());
        found.push(Diagnostic::new("sql-syntax", format!("syntax error: {}", fault.message), place).label("here"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<(String, String, Kind)> {
        let source = Source::new("t.sql", sql);
        let (statements, found) = split(&source);
        assert!(found.0.is_empty(), "{}", found.draw(false));
        for s in &statements {
            assert_eq!(source.text[s.span.clone()], s.text);
        }
        statements.into_iter().map(|s| (s.text, s.verb, s.kind)).collect()
    }

    fn codes(sql: &str) -> Vec<&'static str> {
        split(&Source::new("t.sql", sql)).1.0.iter().map(|d| d.code).collect()
    }

    #[test]
    fn comments_and_semicolons_stay_out() {
        let got = texts("-- one\nINSERT INTO t VALUES (1) -- end\n; ;\n/* two */ SELECT ';' AS \"a;b\", $$;$$ -- x");
        assert_eq!(got[0], ("INSERT INTO t VALUES (1)".into(), "INSERT".into(), Kind::Write));
        assert_eq!(got[1].0, "SELECT ';' AS \"a;b\", $$;$$");
        assert_eq!(got.len(), 2);
    }

    #[test]
    fn a_body_is_one_statement() {
        let got = texts("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3");
        assert_eq!((got.len(), got[0].1.as_str(), got[0].2), (2, "CREATE FUNCTION", Kind::Ddl));
    }

    #[test]
    fn kinds_see_through_with_and_explain() {
        for (sql, kind) in [
            ("WITH a AS (SELECT 1) SELECT * FROM a", Kind::Read),
            ("WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", Kind::Write),
            ("EXPLAIN ANALYZE DELETE FROM t", Kind::Write),
            ("SELECT 1 INTO x", Kind::Ddl),
            ("(SELECT 1) UNION SELECT 2", Kind::Read),
            ("CREATE TABLE a AS SELECT 1", Kind::Ddl),
            ("DO $$ BEGIN END $$", Kind::Code),
            ("LOCK TABLE t", Kind::Utility),
            ("TRUNCATE t", Kind::Write),
        ] {
            assert_eq!(texts(sql)[0].2, kind, "{sql}");
        }
    }

    #[test]
    fn errors_have_places() {
        let source = Source::new("t.sql", "SELECT 1;\nSELEC 2;\nINSERT t VALUES (1)");
        let (_, found) = split(&source);
        let lines: Vec<_> = found.0.iter().filter_map(|d| d.place.as_ref()).map(Place::shown).collect();
        assert_eq!(lines, ["t.sql:2", "t.sql:3"], "{}", found.draw(false));
        assert_eq!(codes(" -- nothing\n;;"), ["sql-empty"]);
        assert_eq!(codes(""), ["sql-empty"]);
        assert_eq!(codes("SELECT 'open"), ["sql-syntax"]);
        assert_eq!(codes(&"(".repeat(10_000)), ["sql-too-deep"]);
    }

    #[test]
    fn meta_commands_are_one_diagnostic_a_line() {
        assert_eq!(codes("\\d foo\nSELECT 1;\nSELECT 2 \\gexec"), ["sql-meta-command", "sql-meta-command"]);
        assert_eq!(codes("SELECT '\n\\d'"), [""; 0]);
        assert_eq!(codes("COPY t FROM STDIN;\n1\t2\n3\t4\n\\.\n"), ["sql-meta-command"]);
    }

    #[test]
    fn the_trial_templates_parse() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
        let mut folders = vec![std::path::PathBuf::from(root)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("templates are there").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).expect("readable");
                let sql =
                    text.split("{{").map(|s| s.split_once("}}").map_or(s, |(_, s)| s)).collect::<Vec<_>>().join("''");
                let source = Source::new(path.display().to_string(), sql);
                let (_, found) = crate::sql::check(&source, crate::sql::Where::Clone);
                assert!(!found.has_errors(), "{}", found.draw(false));
            }
        }
    }
}
