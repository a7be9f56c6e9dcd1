//! What no template and no probe may say, by parsed statement.
//!
//! Good messages before anything runs. The boundary itself is elsewhere: the role, the session's frame,
//! and the check of its identity after every statement.

use super::parse::{called, folded, is_trivia, span, token_span, tokens, with_tree};
use super::split::{Kind, Statement, kind, nodes};
use super::words;
use crate::diag::{Diagnostic, Diagnostics, Place, Source};
use squawk_syntax::{SyntaxKind, SyntaxNode};
use std::ops::Range;
use std::sync::Arc;

/// Where a statement will be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// To a clone, inside a stage's transaction.
    Clone,
    /// To a clone, outside of any transaction.
    Alone,
    /// To a target that is only read, or a probe anywhere.
    Read,
}

/// Code of what a stage with `transaction = false` is for.
const NOT_IN_TRANSACTION: &str = "sql-not-in-transaction";

/// One refusal, before it has a source.
pub(super) struct Refusal {
    code: &'static str,
    message: String,
    span: Range<usize>,
    help: &'static str,
}

/// Every refusal of `source`'s statements. Syntax errors are `split`'s.
pub fn refuse(source: &Arc<Source>, at: Where) -> Diagnostics {
    // Without a tree `split` has said so.
    drawn(source, with_tree(&source.text, |root, _| refusals(root, at)).unwrap_or_default())
}

/// Every refusal of a tree.
pub(super) fn refusals(root: &SyntaxNode, at: Where) -> Vec<Refusal> {
    nodes(root).iter().flat_map(|node| of_statement(node, at)).collect()
}

/// Refusals as diagnostics of `source`.
pub(super) fn drawn(source: &Arc<Source>, refusals: Vec<Refusal>) -> Diagnostics {
    let draw =
        |r: Refusal| Diagnostic::new(r.code, r.message, Place::new(source, r.span)).label("refused").help(r.help);
    Diagnostics(refusals.into_iter().map(draw).collect())
}

/// Functions of a statement whose value differs from run to run: where in the source, and which.
pub fn nondeterministic(statement: &Statement) -> Vec<(Range<usize>, String)> {
    let offset = statement.span.start;
    let shift = |s: Range<usize>| s.start + offset..s.end + offset;
    let looked = with_tree(&statement.text, |root, _| {
        let calls = root.descendants().filter_map(|n| called(&n));
        let words = root.descendants().filter(|n| n.kind() == SyntaxKind::NAME_REF).filter_map(|n| {
            let token = n.first_token()?;
            let keyword = token.kind() != SyntaxKind::IDENT && token.text().contains(['_', 'e', 'E']);
            let name = token.text().to_lowercase();
            (keyword && (name.starts_with("current_") || name.starts_with("localtime"))).then(|| (name, span(&n)))
        });
        let all = calls.chain(words).filter(|(name, _)| words::NONDETERMINISTIC.contains(&name.as_str()));
        let limits = root.descendants().filter(|n| n.kind() == SyntaxKind::LIMIT_CLAUSE).filter_map(|n| {
            let ordered = n.parent()?.children().any(|c| c.kind() == SyntaxKind::ORDER_BY_CLAUSE);
            (!ordered).then(|| ("LIMIT without ORDER BY".to_owned(), span(&n)))
        });
        let mut all: Vec<_> = all.chain(limits).map(|(name, span)| (shift(span), name)).collect();
        all.sort_by_key(|(span, _)| span.start);
        all.dedup();
        all
    });
    looked.unwrap_or_default()
}

fn of_statement(node: &SyntaxNode, at: Where) -> Vec<Refusal> {
    let mut found: Vec<Refusal> = by_kind(node).into_iter().chain(concurrently(node)).chain(temporary(node)).collect();
    if at == Where::Alone {
        found.retain(|refusal| refusal.code != NOT_IN_TRANSACTION);
    }
    found.extend(settings(node));
    found.extend(escaped_name(node));
    found.extend(node.descendants().filter_map(|n| call(&n)));
    if found.is_empty() && at == Where::Read {
        found.extend(not_reading(node));
    }
    if found.is_empty() && at == Where::Alone {
        found.extend(needs_transaction(node));
    }
    found
}

fn refusal(code: &'static str, message: impl Into<String>, span: Range<usize>, help: &'static str) -> Refusal {
    Refusal { code, message: message.into(), span, help }
}

/// `U&"pg_read\005Ffile"`: a name that nobody can read, and that the lists of names would not know.
fn escaped_name(node: &SyntaxNode) -> Option<Refusal> {
    let escaped = |text: &str| text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("u&\""));
    let name = tokens(node).find(|token| escaped(token.text()))?;
    let help = "write the name as it is, in double quotes";
    Some(refusal("sql-escaped-name", "a name is written in escapes", token_span(&name), help))
}

/// Statements refused whatever they say.
fn by_kind(node: &SyntaxNode) -> Option<Refusal> {
    const FRAME: &str = "the engine opens and ends every transaction itself; leave it out";
    const INSTANCE: &str = "it concerns the whole server, of which this database is a part; ask its administrator";
    let what = head(node);
    let all = words_span(node);
    let name = format!("{:?}", node.kind());
    let (code, message, help) = match name.as_str() {
        "BEGIN"
        | "COMMIT_TRANSACTION"
        | "COMMIT_PREPARED"
        | "ROLLBACK_TRANSACTION"
        | "ROLLBACK_PREPARED"
        | "ROLLBACK_TO_SAVEPOINT"
        | "SAVEPOINT_CREATE"
        | "RELEASE_SAVEPOINT"
        | "PREPARE_TRANSACTION"
        | "COMMIT"
        | "ROLLBACK"
        | "SET_TRANSACTION" => ("sql-transaction-control", format!("{what} is transaction control"), FRAME),
        "SET_ROLE" | "RESET_ROLE" | "SET_SESSION_AUTH" | "RESET_SESSION_AUTH" => (
            "sql-role-change",
            format!("{what} changes who runs the statement"),
            "the role is the target's `url`; leave it out",
        ),
        "COPY" => (
            "sql-copy",
            "COPY moves rows through files, programs or the client".to_owned(),
            "write INSERT ... VALUES or INSERT ... SELECT",
        ),
        "ALTER_SYSTEM" => ("sql-alter-system", "ALTER SYSTEM changes the whole server".to_owned(), INSTANCE),
        "LISTEN" | "NOTIFY" | "UNLISTEN" => {
            ("sql-messaging", format!("{what} talks to other sessions"), "write a row that the other side reads")
        }
        "LOAD" => ("sql-load", "LOAD runs a library in the server".to_owned(), INSTANCE),
        "DISCARD" => (
            "sql-discard",
            "DISCARD throws the session's settings away".to_owned(),
            "the engine ends every session itself; leave it out",
        ),
        "VACUUM" | "REPACK" => (
            NOT_IN_TRANSACTION,
            format!("{what} cannot run inside a transaction"),
            "give it a stage of its own with `transaction = false`, or leave it to autovacuum",
        ),
        "CHECKPOINT" => ("sql-instance-wide", "CHECKPOINT concerns the whole server".to_owned(), INSTANCE),
        _ if instance_wide(&name) => ("sql-instance-wide", format!("{what} concerns the whole server"), INSTANCE),
        _ => return None,
    };
    Some(refusal(code, message, all, help))
}

fn instance_wide(kind: &str) -> bool {
    const OBJECTS: [&str; 6] = ["DATABASE", "ROLE", "USER", "GROUP", "TABLESPACE", "SUBSCRIPTION"];
    ["CREATE_", "ALTER_", "DROP_"].iter().filter_map(|verb| kind.strip_prefix(verb)).any(|o| OBJECTS.contains(&o))
}

/// Statements with CONCURRENTLY, and those that go over a whole database.
fn concurrently(node: &SyntaxNode) -> Option<Refusal> {
    use SyntaxKind::{ALTER_TABLE, CONCURRENTLY_KW, CREATE_INDEX, DROP_INDEX, REINDEX};
    if !matches!(node.kind(), CREATE_INDEX | DROP_INDEX | REINDEX | ALTER_TABLE) {
        return None;
    }
    let words: Vec<_> = tokens(node).filter(|t| !is_trivia(t.kind())).collect();
    let whole = |t: &str| ["schema", "database", "system"].contains(&t);
    let culprit = words.iter().find(|t| t.kind() == CONCURRENTLY_KW).or_else(|| {
        words
            .iter()
            .skip(1)
            .find(|t| node.kind() == REINDEX && t.kind() != SyntaxKind::IDENT && whole(&t.text().to_lowercase()))
    })?;
    let message = format!("{} {} cannot run inside a transaction", head(node), culprit.text().to_uppercase());
    let help =
        "give it a stage of its own with `transaction = false`, or leave the word out where the table is small enough";
    Some(refusal(NOT_IN_TRANSACTION, message, token_span(culprit), help))
}

/// Outside of a transaction: anything that could as well run inside one, where it is committed exactly once.
fn needs_transaction(node: &SyntaxNode) -> Option<Refusal> {
    use SyntaxKind::{ALTER_TABLE, ANALYZE, CREATE_INDEX, DROP_INDEX, REINDEX, SET, VACUUM};
    let words: Vec<String> = tokens(node).filter(|t| !is_trivia(t.kind())).map(|t| t.text().to_lowercase()).collect();
    let says = |word: &str| words.iter().any(|w| w == word);
    // REINDEX [(options)] what
    let options = words.iter().position(|w| w == ")").filter(|_| words.get(1).is_some_and(|w| w == "("));
    let whole = words.get(options.unwrap_or(0) + 1).is_some_and(|w| w == "database" || w == "system");
    let detaches = words.windows(2).any(|w| w[0] == "detach" && w[1] == "partition");
    let fine = match node.kind() {
        CREATE_INDEX | DROP_INDEX => says("concurrently"),
        REINDEX => says("concurrently") && !whole,
        ALTER_TABLE => detaches && (says("concurrently") || says("finalize")),
        VACUUM | ANALYZE => true,
        // The session is closed behind the stage.
        SET => words.get(1).is_none_or(|word| word != "local"),
        _ => false,
    };
    let unless = match node.kind() {
        CREATE_INDEX if fine && !says("exists") => Some("IF NOT EXISTS and a name"),
        DROP_INDEX if fine && !says("exists") => Some("IF EXISTS"),
        _ => None,
    };
    if let Some(unless) = unless {
        let message = format!("{} CONCURRENTLY cannot be sent twice without {unless}", head(node));
        let help = "after a kill nobody knows whether it came to its end: it is sent again (what is not valid is dropped first)";
        return Some(refusal("sql-not-repeatable", message, words_span(node), help));
    }
    let message = format!("{} belongs into a transaction", head(node));
    let help = "outside of one stand only CREATE, DROP and REINDEX INDEX CONCURRENTLY, DETACH PARTITION CONCURRENTLY, VACUUM, \
                ANALYZE and SET; give it a stage of its own, without `transaction = false`";
    (!fine).then(|| refusal("sql-needs-transaction", message, words_span(node), help))
}

fn is_temporary(word: &String) -> bool {
    word == "temp" || word == "temporary"
}

/// `CREATE OR REPLACE TEMP`: what comes before the kind of object, and so before any name.
fn words_before_kind(text: &[String]) -> &[String] {
    let kind = |word: &String| ["table", "view", "sequence", "function"].contains(&word.as_str());
    &text[..text.iter().position(kind).unwrap_or(0)]
}

/// `CREATE TABLE pg_temp.x`.
fn named_temporary(text: &[String]) -> Option<usize> {
    text.windows(2).take(8).position(|w| w[0] == "pg_temp" && w[1] == ".")
}

/// Whatever is temporary must be gone at COMMIT, or the next stage may find it.
fn temporary(node: &SyntaxNode) -> Option<Refusal> {
    let words: Vec<_> = tokens(node).filter(|t| !is_trivia(t.kind())).collect();
    let text: Vec<String> = words.iter().map(|t| t.text().to_lowercase()).collect();
    let at = match text.first().map(String::as_str) {
        Some("create") => words_before_kind(&text).iter().position(is_temporary).or_else(|| named_temporary(&text))?,
        // SELECT ... INTO TEMP name; a table that is called temp has no name behind it.
        Some("select" | "with" | "(") => {
            let name = |word: &String| {
                word == "table" || word.starts_with('"') || !words::RESERVED_AFTER_INTO.contains(&word.as_str())
            };
            text.windows(3).position(|w| w[0] == "into" && is_temporary(&w[1]) && name(&w[2]))? + 1
        }
        _ => return None,
    };
    let dropped = text.windows(3).any(|w| w[0] == "on" && w[1] == "commit" && w[2] == "drop");
    let help = "write CREATE TEMPORARY TABLE ... ON COMMIT DROP";
    let message = "this outlives the stage's transaction";
    (!dropped).then(|| refusal("sql-temporary-outlives", message, token_span(&words[at]), help))
}

/// SET and RESET of settings that carry the engine's frame. A function's own `SET search_path` is fine.
fn settings(node: &SyntaxNode) -> Option<Refusal> {
    const HELP: &str = "the engine sets it; see `timeout`, `lock_timeout` and `[plan] search_path`";
    let guarded = |name: &str, span: Range<usize>| {
        let message = format!("`{name}` is a setting that the engine guards");
        words::is_guarded(name).then(|| refusal("sql-guarded-setting", message, span, HELP))
    };
    match node.kind() {
        SyntaxKind::SET | SyntaxKind::RESET => {
            let parameter = node.descendants().find(|n| n.kind() == SyntaxKind::CONFIG_PARAMETER_REF);
            if let Some(parameter) = parameter {
                return guarded(&dotted(&parameter), span(&parameter));
            }
            // SET SCHEMA 'x', SET NAMES 'x', RESET ALL; not SET TIME ZONE.
            let word =
                tokens(node).filter(|t| !is_trivia(t.kind())).find(|t| words::is_guarded(&t.text().to_lowercase()))?;
            guarded(&word.text().to_lowercase(), token_span(&word))
        }
        SyntaxKind::UPDATE => {
            let table = node.descendants().find(|n| n.kind() == SyntaxKind::RELATION_NAME_REF)?;
            let name = dotted(&table);
            (name == "pg_settings" || name == "pg_catalog.pg_settings")
                .then(|| refusal("sql-guarded-setting", "an update of `pg_settings` is a SET", span(&table), HELP))
        }
        _ => None,
    }
}

/// Calls of functions that set, notify, or reach outside.
fn call(node: &SyntaxNode) -> Option<Refusal> {
    let (name, place) = called(node)?;
    if name == "pg_notify" {
        let help = "write a row that the other side reads";
        return Some(refusal("sql-messaging", "pg_notify talks to other sessions", place, help));
    }
    if name == "set_config" {
        let help = "write SET LOCAL with the name of the setting, or leave it out";
        let argument = node.descendants().find(|n| n.kind() == SyntaxKind::ARG)?;
        let text = argument.text().to_string();
        let setting = text.trim().strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).map(str::to_lowercase);
        let message = match setting {
            Some(s) if !s.contains('\'') && !words::is_guarded(&s) => return None,
            Some(s) => format!("`{s}` is a setting that the engine guards"),
            None => "set_config must name its setting as a plain constant".to_owned(),
        };
        return Some(refusal("sql-guarded-setting", message, place, help));
    }
    let why = words::reaches_outside(&name)?;
    let help = "a probe only reads, and what a stage does must be undone by ROLLBACK; this is neither";
    Some(refusal("sql-outside-function", format!("`{name}` is refused: {why}"), place, help))
}

/// On a target that is only read: anything that does not read.
fn not_reading(node: &SyntaxNode) -> Option<Refusal> {
    let message = match kind(node) {
        Kind::Read => return None,
        Kind::Code => format!("{} can do anything, and this target is only read", head(node)),
        Kind::Write | Kind::Ddl => format!("{} writes, and this target is only read", head(node)),
        Kind::Utility => format!("{} is not a query, and this target is only read", head(node)),
    };
    Some(refusal("sql-read-target", message, words_span(node), "write a SELECT, or send it to a clone"))
}

/// `a.b` of a node's words, each folded.
fn dotted(node: &SyntaxNode) -> String {
    tokens(node).filter(|t| !is_trivia(t.kind())).map(|t| folded(t.text())).collect()
}

/// The first one or two words, as a person would call the statement.
fn head(node: &SyntaxNode) -> String {
    let words: Vec<_> =
        tokens(node).filter(|t| !is_trivia(t.kind())).take(2).map(|t| t.text().to_uppercase()).collect();
    let is_word = |w: &&String| w.bytes().all(|b| b.is_ascii_alphabetic());
    let one =
        ["DO", "CALL", "COPY", "INSERT", "DELETE", "UPDATE", "MERGE", "TRUNCATE", "SAVEPOINT", "VACUUM", "LISTEN"];
    let count = if words.first().is_some_and(|w| one.contains(&w.as_str())) { 1 } else { 2 };
    words.iter().take(count).take_while(is_word).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// A statement without the comments and blanks around it and its `;`.
fn words_span(node: &SyntaxNode) -> Range<usize> {
    let words = tokens(node).filter(|t| !is_trivia(t.kind()) && t.kind() != SyntaxKind::SEMICOLON);
    let spans: Vec<_> = words.map(|t| token_span(&t)).collect();
    match (spans.first(), spans.last()) {
        (Some(first), Some(last)) => first.start..last.end,
        _ => span(node),
    }
}

#[cfg(test)]
#[path = "refuse_tests.rs"]
mod tests;
