//! Names in a predicate: which forms there are, and what to write instead of the others.

use super::grammar::{LEAD, Read};
use super::parse::{folded, is_trivia, span, tokens};
use super::predicate::{Name, Use};
use crate::name;
use squawk_syntax::{SyntaxKind, SyntaxNode};

impl Read {
    pub(super) fn bare_name(&mut self, node: &SyntaxNode) {
        let text = node.text().to_string();
        // `IS UNKNOWN` is a name to the parser.
        let unknown =
            node.prev_sibling_or_token().is_some_and(|_| text.eq_ignore_ascii_case("unknown")) && after_is(node);
        if !unknown && self.readable(&text, node) {
            self.uses.push(used(Name::Now(text), node));
        }
    }

    /// May a predicate read something of this name? Says why not.
    fn readable(&mut self, text: &str, node: &SyntaxNode) -> bool {
        let (message, help) = match name::readable(text) {
            Ok(()) => return true,
            Err(_) if text.starts_with('"') => ("names stand without quotes here".to_owned(), None),
            Err(name::Refused::Form) if name::plain(&text.to_lowercase()).is_ok() => {
                (format!("`{text}`: names are lower case"), Some(format!("write `{}`", text.to_lowercase())))
            }
            Err(name::Refused::Ours) => {
                (format!("`{text}` stands before a dot only"), Some(format!("write `{text}.NAME`")))
            }
            Err(name::Refused::Reserved) => {
                let help = "a predicate reads probes, tables and variables only; make it a probe of another name";
                (format!("`{text}` is a word of PostgreSQL, not a reading"), Some(help.to_owned()))
            }
            Err(why) => (format!("`{text}`: {why}"), None),
        };
        self.wrong("predicate-name", span(node), message, help);
        false
    }

    pub(super) fn dotted_name(&mut self, node: &SyntaxNode) {
        let parts: Vec<_> = node.children().collect();
        let words: Vec<_> = tokens(node).filter(|t| !is_trivia(t.kind())).map(|t| t.text().to_owned()).collect();
        if let [table, dot, schema, dot2, name] = words.as_slice()
            && table == "wrote"
            && dot == "."
            && dot2 == "."
        {
            let help = format!("write `wrote.\"{schema}.{name}\"`");
            return self.wrong("predicate-name", span(node), "a table with its schema stands in quotes", Some(help));
        }
        let [owner, dot, member] = words.as_slice() else {
            return self.refuse(span(node), "a name has at most one dot, and stands alone");
        };
        let kinds = parts.iter().all(|p| p.kind() == SyntaxKind::NAME_REF);
        if !kinds || parts.len() != 2 || dot != "." {
            return self.refuse(span(node), "this is not the name of a reading");
        }
        let name = match owner.as_str() {
            "wrote" if member.starts_with('"') => Name::Wrote(folded(member)),
            "wrote" if name::plain(member).is_ok() => Name::Wrote(member.clone()),
            "wrote" => {
                let help = format!("write it as the plan's `writes` does, or in quotes: `wrote.\"{member}\"`");
                return self.wrong(
                    "predicate-name",
                    span(&parts[1]),
                    format!("`{member}` is no plain table name"),
                    Some(help),
                );
            }
            _ if !self.readable(member, &parts[1]) => return,
            "before" => Name::Before(member.clone()),
            "var" => Name::Var(member.clone()),
            "now" => {
                let help = Some(format!("write `{member}`"));
                return self.wrong("predicate-name", span(node), "a reading of now stands without a prefix", help);
            }
            _ if !self.readable(owner, &parts[0]) => return,
            _ => Name::At { stage: owner.clone(), probe: member.clone() },
        };
        self.uses.push(used(name, node));
    }
}

fn used(name: Name, node: &SyntaxNode) -> Use {
    let span = span(node);
    Use { name, span: span.start - LEAD.len()..span.end - LEAD.len() }
}

fn after_is(node: &SyntaxNode) -> bool {
    let mut before = node.prev_sibling_or_token();
    while let Some(element) = before {
        if !is_trivia(element.kind()) {
            return matches!(element.kind(), SyntaxKind::IS_KW | SyntaxKind::IS_NOT);
        }
        before = element.prev_sibling_or_token();
    }
    false
}
