//! The closed grammar of predicates: an allow list over the parsed tree. What is not named here is refused.

use super::parse::{is_trivia, span, token_span, tokens};
use super::predicate::Use;
use super::words;
use crate::name;
use squawk_syntax::{SyntaxKind, SyntaxNode, SyntaxToken};
use std::ops::Range;

/// What stands before a predicate when it is parsed; offsets are after it.
pub(super) const LEAD: &str = "SELECT ";

/// What a walk over the tree found.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) uses: Vec<Use>,
    pub(super) wrong: Vec<Wrong>,
}

/// Something outside the grammar; `span` in the predicate's text.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) span: Range<usize>,
    pub(super) help: Option<String>,
}

/// Walks the tree of `LEAD` and a predicate.
pub(super) fn read(root: &SyntaxNode) -> Read {
    let mut read = Read::default();
    for token in tokens(root) {
        read.token(&token);
    }
    if let Some(expression) = only_expression(root, &mut read) {
        read.expression(&expression);
    }
    read.uses.sort_by_key(|u| u.span.start);
    read
}

/// The one expression of `SELECT expression`, or what else there is.
fn only_expression(root: &SyntaxNode, read: &mut Read) -> Option<SyntaxNode> {
    use SyntaxKind::{SELECT, SELECT_CLAUSE, TARGET, TARGET_LIST};
    let mut node = root.clone();
    let mut expression = None;
    for kind in [SELECT, SELECT_CLAUSE, TARGET_LIST, TARGET] {
        for child in node.children() {
            if child.kind() != kind || expression.is_some() {
                read.refuse(span(&child), stray(child.kind()));
            } else {
                expression = Some(child);
            }
        }
        node = expression.take()?;
    }
    for star in tokens(&node).filter(|t| t.parent().as_ref() == Some(&node) && t.kind() == SyntaxKind::STAR) {
        read.refuse(token_span(&star), "`*` is not a reading");
    }
    for child in node.children() {
        if expression.is_some() {
            read.refuse(span(&child), "one expression, and nothing after it");
        } else {
            expression = Some(child);
        }
    }
    expression
}

fn stray(kind: SyntaxKind) -> &'static str {
    match kind {
        SyntaxKind::ERROR => "this does not belong to the expression: parentheses must balance inside it",
        SyntaxKind::TARGET => "a predicate is one expression, not a list",
        SyntaxKind::FROM_CLAUSE => "a predicate reads no table: make it a probe",
        _ => "one expression, and nothing after it",
    }
}

impl Read {
    pub(super) fn refuse(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.wrong("predicate-grammar", span, message, None);
    }

    pub(super) fn wrong(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let lead = LEAD.len();
        let span = span.start.saturating_sub(lead)..span.end.saturating_sub(lead);
        self.wrong.push(Wrong { code, message: message.into(), span, help });
    }

    /// Tokens refused wherever they stand.
    fn token(&mut self, token: &SyntaxToken) {
        let help = "say it in the plan's `doc`, or in a TOML comment";
        let place = token_span(token);
        match token.kind() {
            SyntaxKind::COMMENT => {
                self.wrong("predicate-grammar", place, "a predicate holds no comment", Some(help.to_owned()));
            }
            SyntaxKind::SEMICOLON => self.refuse(place, "a predicate holds no `;`"),
            _ => {}
        }
    }

    fn expression(&mut self, node: &SyntaxNode) {
        use SyntaxKind as K;
        match node.kind() {
            K::LITERAL => self.constant(node),
            K::NAME_REF => self.bare_name(node),
            K::FIELD_EXPR => self.dotted_name(node),
            K::CALL_EXPR => self.call(node),
            K::CAST_EXPR => self.cast(node),
            K::BIN_EXPR => self.binary(node),
            K::PAREN_EXPR
            | K::PREFIX_EXPR
            | K::POSTFIX_EXPR
            | K::BETWEEN_EXPR
            | K::CASE_EXPR
            | K::WHEN_CLAUSE_LIST
            | K::WHEN_CLAUSE
            | K::ELSE_CLAUSE => self.children(node),
            K::CUSTOM_OP => self.operator(node),
            K::IS_NOT | K::IS_DISTINCT_FROM | K::IS_NOT_DISTINCT_FROM | K::NOT_IN | K::NOT_LIKE | K::NOT_ILIKE => {}
            K::TUPLE_EXPR if node.last_token().is_none_or(|t| t.kind() != K::R_PAREN) => {
                self.wrong("predicate-syntax", span(node), "syntax error: this parenthesis is not closed", None);
            }
            K::ERROR => self.wrong("predicate-syntax", span(node), "syntax error: this is not complete", None),
            other => self.refuse(span(node), unlisted(other)),
        }
    }

    fn children(&mut self, node: &SyntaxNode) {
        for child in node.children() {
            self.expression(&child);
        }
    }

    fn constant(&mut self, node: &SyntaxNode) {
        use SyntaxKind::{FALSE_KW, INT_NUMBER, NULL_KW, NUMERIC_NUMBER, POSITIONAL_PARAM, STRING, TRUE_KW};
        let words: Vec<_> = tokens(node).filter(|t| !is_trivia(t.kind())).collect();
        match words.as_slice() {
            [one] if matches!(one.kind(), INT_NUMBER | NUMERIC_NUMBER | TRUE_KW | FALSE_KW | NULL_KW) => {}
            [one] if one.kind() == STRING && !one.text().contains('\\') => {}
            [one] if one.kind() == STRING => self.refuse(span(node), "a string holds no backslash here"),
            [one] if one.kind() == POSITIONAL_PARAM => {
                self.refuse(span(node), "a predicate has no parameters: use `var.NAME`");
            }
            _ => self.refuse(span(node), "strings are written in plain quotes: 'text'"),
        }
    }

    fn call(&mut self, node: &SyntaxNode) {
        let children: Vec<_> = node.children().collect();
        let [callee, arguments] = children.as_slice() else {
            return self.special_call(node, children.last().map_or(SyntaxKind::ERROR, SyntaxNode::kind));
        };
        let name = callee.text().to_string().to_lowercase();
        if callee.kind() != SyntaxKind::NAME_REF || !words::PURE.contains(&name.as_str()) {
            let near = name::nearest(&name, words::PURE)
                .map_or_else(|| words::PURE.join(", "), |n| format!("did you mean `{n}`?"));
            let help = format!("aggregates and all else belong into a probe; a predicate may call: {near}");
            let help = if near.starts_with("did") { near } else { help };
            let shown = callee.text().to_string();
            let shown = shown.split(['(', '\n']).next().unwrap_or_default().trim().to_owned();
            return self.wrong(
                "predicate-function",
                span(callee),
                format!("`{shown}` may not be called in a predicate"),
                Some(help),
            );
        }
        for token in tokens(arguments).filter(|t| t.parent().as_ref() == Some(arguments)) {
            if token.kind() == SyntaxKind::STAR {
                self.refuse(token_span(&token), "`*` is not an argument here");
            }
        }
        for argument in arguments.children() {
            let inner: Vec<_> = argument.children().collect();
            match inner.as_slice() {
                [only] if argument.kind() == SyntaxKind::ARG && argument.text() == only.text() => self.expression(only),
                _ => self.refuse(span(&argument), "plain arguments only"),
            }
        }
    }

    /// What PostgreSQL's grammar knows by name (EXISTS, EXTRACT, TRIM, ...), and calls with FILTER or OVER.
    fn special_call(&mut self, node: &SyntaxNode, kind: SyntaxKind) {
        let message = unlisted(kind);
        let shown = format!("{kind:?}");
        match shown.strip_suffix("_FN") {
            Some(function) if message == unlisted(SyntaxKind::SEMICOLON) => {
                let message = format!("`{}` may not be called in a predicate", function.to_lowercase());
                self.wrong("predicate-function", span(node), message, Some("make it a probe".to_owned()));
            }
            _ => self.refuse(span(node), message),
        }
    }

    fn cast(&mut self, node: &SyntaxNode) {
        const CLOCK: [&str; 5] = ["now", "today", "tomorrow", "yesterday", "allballs"];
        for child in node.children() {
            match child.kind() {
                SyntaxKind::COLON_COLON => {}
                kind if is_type(kind) => self.type_name(&child),
                SyntaxKind::LITERAL
                    if CLOCK.contains(&child.text().to_string().trim_matches(['\'', ' ']).to_lowercase().as_str()) =>
                {
                    self.refuse(span(&child), "a predicate does not read the clock: make it a probe");
                }
                _ => self.expression(&child),
            }
        }
    }

    fn type_name(&mut self, node: &SyntaxNode) {
        let words: Vec<_> = tokens(node).filter(|t| !is_trivia(t.kind())).map(|t| t.text().to_lowercase()).collect();
        let mut inside = false;
        let outer: Vec<_> = words
            .iter()
            .filter(|w| {
                inside |= *w == "(";
                let keep = !inside;
                inside &= *w != ")";
                keep
            })
            .map(String::as_str)
            .collect();
        let lengths = words.iter().skip_while(|w| *w != "(").take_while(|w| *w != ")").skip(1);
        let numbers = lengths.filter(|w| *w != ",").all(|w| w.bytes().all(|b| b.is_ascii_digit()));
        if !numbers || !words::TYPES.contains(&outer.join(" ").as_str()) {
            let help = format!("types here: {}", words::TYPES.join(", "));
            self.wrong("predicate-grammar", span(node), "a predicate casts to plain built-in types only", Some(help));
        }
    }

    fn binary(&mut self, node: &SyntaxNode) {
        let children: Vec<_> = node.children().collect();
        let listed = tokens(node).any(|t| t.parent().as_ref() == Some(node) && t.kind() == SyntaxKind::IN_KW)
            || children.iter().any(|c| c.kind() == SyntaxKind::NOT_IN);
        for token in tokens(node).filter(|t| t.parent().as_ref() == Some(node) && !is_trivia(t.kind())) {
            self.sign(&token);
        }
        for (i, child) in children.iter().enumerate() {
            let list = child.kind() == SyntaxKind::TUPLE_EXPR && listed && i + 1 == children.len();
            if list && !tokens(child).any(|t| t.kind() == SyntaxKind::ROW_KW) {
                self.children(child);
            } else {
                self.expression(child);
            }
        }
    }

    /// A sign or word that stands between two expressions.
    fn sign(&mut self, token: &SyntaxToken) {
        const SIGNS: [&str; 20] = [
            "=", "<>", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "^", "and", "or", "is", "in", "like",
            "ilike", "not",
        ];
        let text = token.text().to_lowercase();
        if !SIGNS.contains(&text.as_str()) && !words::OPERATORS.contains(&text.as_str()) {
            self.refuse(token_span(token), format!("`{text}` is not an operator of predicates"));
        }
    }

    fn operator(&mut self, node: &SyntaxNode) {
        let text = node.text().to_string();
        let help = match text.as_str() {
            "==" => Some("write `=`"),
            "&&" => Some("write `AND`"),
            "!" => Some("write `NOT`"),
            text if words::OPERATORS.contains(&text) => return,
            _ => None,
        };
        self.wrong(
            "predicate-grammar",
            span(node),
            format!("`{text}` is not an operator of predicates"),
            help.map(str::to_owned),
        );
    }
}

fn is_type(kind: SyntaxKind) -> bool {
    format!("{kind:?}").ends_with("_TYPE")
}

fn unlisted(kind: SyntaxKind) -> String {
    let what = match format!("{kind:?}").as_str() {
        "SELECT" | "PAREN_SELECT" | "COMPOUND_SELECT" | "EXISTS_FN" | "VALUES" | "TABLE" => {
            "a sub-select: make it a probe"
        }
        "OVER_CLAUSE" => "a window function: make it a probe",
        "FILTER_CLAUSE" | "WITHIN_CLAUSE" | "AGGREGATE" => "an aggregate: make it a probe",
        "ARRAY_EXPR" | "INDEX_EXPR" | "SLICE_EXPR" | "ANY_FN" | "ALL_FN" | "SOME_FN" => "an array: use IN (...)",
        "TUPLE_EXPR" => "a row: compare its parts one by one",
        "ERROR" => "something that does not parse",
        "COLLATE" => "a collation",
        _ => "something outside its grammar",
    };
    format!("a predicate may not hold {what}")
}
