//! What squawk's rules say of a script as it would be sent: the one door to the linter.
//!
//! A finding is a hint about production (a lock, a scan, clients that break), never a refusal. Rules that cannot be true of
//! what the engine sends are not asked; `LEFT_OUT` says why of each. squawk's own comments (`squawk-ignore`) are not heard:
//! what is let pass has a reason, and stands in the plan.

use super::parse::{NoTree, is_trivia, span_of, token_span, tokens, with_file};
use squawk_linter::{Linter, Rule, Violation};
use squawk_syntax::SyntaxKind;
use std::ops::Range;

/// How a script is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sent {
    /// In one transaction.
    Forward,
    /// The way back, in one transaction: what it drops and renames is what the way forth made.
    Back,
    /// Each statement by itself, outside of any transaction.
    Alone,
    /// The way back of such a stage.
    AloneBack,
}

impl Sent {
    fn back(self) -> bool {
        matches!(self, Sent::Back | Sent::AloneBack)
    }

    fn in_transaction(self) -> bool {
        matches!(self, Sent::Forward | Sent::Back)
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintFinding {
    /// squawk's name of the rule.
    pub rule: &'static str,
    /// What is wrong: lower case, no final period.
    pub message: String,
    /// What to do instead.
    pub help: Option<String>,
    /// Bytes of the script.
    pub span: Range<usize>,
}

/// Rules about locks, scans, rewrites and mistakes: asked of every script.
const ALWAYS: [&str; 16] = [
    "adding-field-with-default",
    "adding-foreign-key-constraint",
    "adding-not-nullable-field",
    "adding-required-field",
    "adding-serial-primary-key-field",
    "ban-duplicate-column-assignments",
    "ban-truncate-cascade",
    "changing-column-type",
    "constraint-missing-not-valid",
    "disallowed-unique-constraint",
    "identifier-too-long",
    "require-concurrent-index-creation",
    "require-concurrent-index-deletion",
    "require-concurrent-partition-detach",
    "require-concurrent-reindex",
    "require-enum-value-ordering",
];

/// Rules about clients that know the old shape, and about the shape itself: asked of what goes forth. The way back restores what
/// was there.
const FORTH: [&str; 26] = [
    "ban-alter-domain-with-add-constraint",
    "ban-alter-identity",
    "ban-char-field",
    "ban-create-domain-with-constraint",
    "ban-drop-column",
    "ban-drop-constraint",
    "ban-drop-default",
    "ban-drop-domain",
    "ban-drop-extension",
    "ban-drop-function",
    "ban-drop-generated-expression",
    "ban-drop-not-null",
    "ban-drop-schema",
    "ban-drop-sequence",
    "ban-drop-table",
    "ban-drop-type",
    "ban-drop-view",
    "ban-set-schema",
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "prefer-identity",
    "prefer-text-field",
    "prefer-timestamp-tz",
    "renaming-column",
    "renaming-object",
    "renaming-table",
];

const REFUSED: &str = "what it is about is refused already, as an error";
/// Rules of squawk that are not asked, and why.
const LEFT_OUT: [(&str, &str); 10] = [
    ("require-lock-timeout", "the engine sets a lock_timeout in front of every script, and so does a packet"),
    ("require-statement-timeout", "the engine sets a statement_timeout in front of every script, and so does a packet"),
    ("require-timeout-settings", "the engine sets both time-outs in front of every script, and so does a packet"),
    ("transaction-nesting", REFUSED),
    ("ban-uncommitted-transaction", REFUSED),
    ("ban-concurrent-index-creation-in-transaction", REFUSED),
    ("ban-drop-database", REFUSED),
    ("prefer-robust-stmts", "a transaction is undone as a whole, and outside of one `sql-not-repeatable` is an error"),
    ("prefer-repack", "it is about PostgreSQL 19, and the engine knows 15 to 18"),
    ("unused-ignore", "comments that steer squawk are not heard: `allow` says the reason in the plan"),
];

/// Names of all rules that are asked.
pub fn lint_rules() -> impl Iterator<Item = &'static str> {
    ALWAYS.into_iter().chain(FORTH)
}

/// The rule of that name, if it is asked; else why it is not, if squawk knows it.
///
/// # Errors
/// It is not asked. `None`: there is no such rule.
pub fn lint_rule(name: &str) -> Result<&'static str, Option<&'static str>> {
    if let Some((_, why)) = LEFT_OUT.iter().find(|(rule, _)| *rule == name) {
        return Err(Some(why));
    }
    // Some rules have two names.
    let proper = Rule::try_from(name).map_err(|_| None)?.to_string();
    let on_demand = "squawk asks it only on demand: whether it matters hangs on who reads the database";
    lint_rules().find(|rule| *rule == proper).ok_or(Some(on_demand))
}

/// What the rules say of `text`, in its order. A text that does not parse has been refused, and has no finding.
pub fn lint(text: &str, sent: Sent) -> Vec<LintFinding> {
    let found =
        if text.contains("squawk") { silenced(text).and_then(|text| asked(&text, sent)) } else { asked(text, sent) };
    let found = found.unwrap_or_default();
    let told =
        |finding: &&LintFinding| finding.rule != NOT_VALID || !found.iter().any(|other| says_more(other, finding));
    found.iter().filter(told).cloned().collect()
}

const NOT_VALID: &str = "constraint-missing-not-valid";

/// About the same constraint, and what to do for its kind: a unique one cannot be NOT VALID at all.
fn says_more(one: &LintFinding, other: &LintFinding) -> bool {
    let kinds = ["adding-foreign-key-constraint", "adding-serial-primary-key-field", "disallowed-unique-constraint"];
    kinds.contains(&one.rule) && one.span.start < other.span.end && other.span.start < one.span.end
}

fn asked(text: &str, sent: Sent) -> Result<Vec<LintFinding>, NoTree> {
    with_file(text, |file| {
        let forth = FORTH.into_iter().filter(|_| !sent.back());
        let rules: Vec<(Rule, &'static str)> =
            ALWAYS.into_iter().chain(forth).filter_map(|name| Some((Rule::try_from(name).ok()?, name))).collect();
        let mut linter = Linter::from(rules.iter().map(|(rule, _)| *rule));
        linter.settings.assume_in_transaction = sent.in_transaction();
        let name = |rule: Rule| rules.iter().find(|(known, _)| *known == rule).map(|(_, name)| *name);
        linter.lint(file, text).into_iter().filter_map(|v| Some(finding(name(v.code)?, &v, text))).collect()
    })
}

/// The text with blanks for its comments, byte by byte, so that none of them steers the linter.
fn silenced(text: &str) -> Result<String, NoTree> {
    with_file(text, |file| {
        let mut bytes = text.as_bytes().to_vec();
        for comment in tokens(&file.syntax_node()).filter(|t| is_trivia(t.kind()) && t.kind() == SyntaxKind::COMMENT) {
            bytes[token_span(&comment)].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        }
        String::from_utf8(bytes).expect("invariant: whole comments became blanks")
    })
}

fn finding(rule: &'static str, violation: &Violation, text: &str) -> LintFinding {
    let help = match rule {
        "require-concurrent-index-creation" | "require-concurrent-index-deletion" | "require-concurrent-reindex" => {
            Some("write CONCURRENTLY, in a stage of its own with `transaction = false`".to_owned())
        }
        "require-concurrent-partition-detach" => {
            Some("write DETACH PARTITION ... CONCURRENTLY, in a stage of its own with `transaction = false`".to_owned())
        }
        _ => violation.help.as_deref().map(in_our_words),
    };
    let mut span = span_of(violation.text_range);
    span.end = span.start + text[span.clone()].trim_end_matches(|c: char| c == ';' || c.is_whitespace()).len();
    LintFinding { rule, message: in_our_words(&violation.message), help, span }
}

/// Lower case in front, no period behind.
fn in_our_words(text: &str) -> String {
    let text = text.trim().trim_end_matches(['.', '!']);
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(head), Some(next)) if !next.is_uppercase() => head.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str, sent: Sent) -> Vec<&'static str> {
        lint(text, sent).into_iter().map(|finding| finding.rule).collect()
    }

    /// A new version of the linter brings rules about which somebody has to decide.
    #[test]
    fn every_rule_of_squawk_is_asked_or_left_out_with_a_reason() {
        for rule in Linter::with_default_rules().rules {
            let name = rule.to_string();
            let asked = lint_rules().any(|known| known == name);
            let left_out = LEFT_OUT.iter().any(|(known, _)| *known == name);
            assert!(asked != left_out, "{name}: asked {asked}, left out {left_out}");
        }
        for name in lint_rules() {
            assert!(Rule::try_from(name).is_ok_and(|rule| rule.to_string() == name && !rule.is_opt_in()), "{name}");
        }
    }

    #[test]
    fn a_comment_does_not_silence_a_rule() {
        for comment in ["-- squawk-ignore ban-drop-table\n", "/* squawk-ignore-file é */ ", "-- squawk-ignore-file\n"]
        {
            let text = format!("{comment}DROP TABLE t; -- é squawk-ignore-file");
            let found = lint(&text, Sent::Forward);
            assert_eq!(found.iter().map(|f| &text[f.span.clone()]).collect::<Vec<_>>(), ["DROP TABLE t"], "{text}");
        }
        let text = "-- squawk-disable-assume-in-transaction\nCREATE TABLE t (id bigint); CREATE INDEX i ON t (id);";
        assert_eq!(rules(text, Sent::Forward), [""; 0], "in the transaction that made the table nobody waits");
        assert_eq!(rules("SELECT 'squawk-ignore'; DROP TABLE t;", Sent::Forward), ["ban-drop-table"]);
    }

    #[test]
    fn the_way_back_may_drop_and_still_says_what_blocks() {
        let text = "ALTER TABLE t DROP COLUMN c; DROP INDEX i;";
        assert_eq!(rules(text, Sent::Forward), ["ban-drop-column", "require-concurrent-index-deletion"]);
        assert_eq!(rules(text, Sent::Back), ["require-concurrent-index-deletion"]);
    }

    #[test]
    fn a_constraint_is_found_once_by_the_rule_of_its_kind() {
        let add = |what: &str| rules(&format!("ALTER TABLE t ADD CONSTRAINT k {what}, DROP COLUMN c;"), Sent::Back);
        assert_eq!(add("UNIQUE (a)"), ["disallowed-unique-constraint"]);
        assert_eq!(add("PRIMARY KEY (a)"), ["adding-serial-primary-key-field"]);
        assert_eq!(add("FOREIGN KEY (a) REFERENCES u"), ["adding-foreign-key-constraint"]);
        assert_eq!(add("CHECK (a > 0)"), [NOT_VALID]);
        assert_eq!(add("CHECK (a > 0), ADD UNIQUE (b)"), [NOT_VALID, "disallowed-unique-constraint"]);
    }

    #[test]
    fn a_rule_is_named_as_squawk_does() {
        assert_eq!(lint_rule("prefer-timestamptz"), Ok("prefer-timestamp-tz"));
        assert_eq!(lint_rule("drop-it"), Err(None));
        assert!(lint_rule("require-timeout-settings").is_err_and(|why| why.is_some_and(|w| w.contains("both"))));
        assert!(lint_rule("require-table-schema").is_err_and(|why| why.is_some_and(|w| w.contains("demand"))));
    }

    #[test]
    fn a_deep_text_needs_no_deep_stack() {
        let text =
            format!("ALTER TABLE t ADD COLUMN c bigint NOT NULL; SELECT {}1{};", "(".repeat(3900), ")".repeat(3900));
        assert_eq!(rules(&text, Sent::Forward), ["adding-required-field"]);
    }
}
