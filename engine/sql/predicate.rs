//! Predicates: guards, gates and ensures as text, with the names they read.
//!
//! PostgreSQL evaluates them; what they may say is decided here, in `grammar`. The engine replaces every
//! name by an expression of its own (`Predicate::sql`), so that nothing in the text is resolved by the
//! server's rules for columns.

use super::grammar;
use super::locate::locate;
use super::parse::{Fault, NoTree, with_tree};
use crate::diag::{Diagnostic, Diagnostics, Place};
use std::ops::Range;

/// Longest predicate, in bytes.
const LONGEST: usize = 16 << 10;

/// A name in a predicate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `gap`: the probe's reading now.
    Now(String),
    /// `before.gap`: before this stage.
    Before(String),
    /// `baseline.gap`: when that stage ended.
    At {
        /// The stage.
        stage: String,
        /// The probe.
        probe: String,
    },
    /// `wrote.orders`, `wrote."shop.orders"`: row changes of this stage, the table as the plan writes it.
    Wrote(String),
    /// `var.x`: a variable.
    Var(String),
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Now(probe) => f.write_str(probe),
            Name::Before(probe) => write!(f, "before.{probe}"),
            Name::At { stage, probe } => write!(f, "{stage}.{probe}"),
            Name::Wrote(table) if crate::name::plain(table).is_ok() => write!(f, "wrote.{table}"),
            Name::Wrote(table) => write!(f, "wrote.\"{}\"", table.replace('"', "\"\"")),
            Name::Var(name) => write!(f, "var.{name}"),
        }
    }
}

/// One use of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// What is read.
    pub name: Name,
    /// Bytes of the predicate's text.
    pub span: Range<usize>,
}

/// A boolean SQL expression over names, inside the closed grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    /// As written, without blanks around it.
    pub text: String,
    /// Every use of a name, in the order of the text.
    pub uses: Vec<Use>,
    place: Place,
}

impl Predicate {
    /// Reads the text that stands at `place` of the plan; all that is wrong with it at once.
    pub fn parse(text: &str, place: &Place) -> Result<Self, Diagnostics> {
        let lead = text.len() - text.trim_start().len();
        let body = text.trim();
        let at = |span: Range<usize>| locate(place, text, lead + span.start..lead + span.end);
        let fail = |d: Diagnostic| Err(Diagnostics(vec![d]));
        if body.is_empty() {
            return fail(
                Diagnostic::new("predicate-syntax", "this predicate is empty", place.clone())
                    .help("write a boolean expression over probes, such as `gap = 0`"),
            );
        }
        if body.len() > LONGEST {
            return fail(Diagnostic::new("predicate-syntax", "a predicate has at most 16 KiB", place.clone()));
        }
        let looked = with_tree(&format!("{}{body}", grammar::LEAD), |root, faults| (grammar::read(root), faults));
        let (read, faults) = match looked {
            Ok(looked) => looked,
            Err(NoTree::Deep(byte)) => {
                let byte = byte.saturating_sub(grammar::LEAD.len());
                return fail(Diagnostic::new(
                    "predicate-syntax",
                    "this predicate is nested too deep",
                    at(byte..byte + 1),
                ));
            }
            Err(no_tree) => return fail(no_tree.diagnostic(&place.source)),
        };
        let mut found = Diagnostics::default();
        for wrong in read.wrong {
            let d = Diagnostic::new(wrong.code, wrong.message, at(wrong.span)).label("not in a predicate");
            found.push(match wrong.help {
                Some(help) => d.help(help),
                None => d,
            });
        }
        if !found.has_errors() {
            found.0.extend(faults.first().map(|f| syntax(f, body.len(), &at)));
        }
        if !found.has_errors() && read.uses.is_empty() {
            found.push(
                Diagnostic::new(
                    "constant-predicate",
                    "this predicate reads nothing, so it never changes",
                    at(0..body.len()),
                )
                .label("no probe, table or variable")
                .help("compare a reading of a probe, as in `gap = 0`"),
            );
        }
        if found.has_errors() {
            found.sort();
            return Err(found);
        }
        Ok(Predicate { text: body.to_owned(), uses: read.uses, place: at(0..body.len()) })
    }

    /// A text in which nothing is wrong, and whose uses are known.
    pub(super) fn known(text: &str, place: &Place, uses: Vec<Use>) -> Self {
        let (lead, body) = (text.len() - text.trim_start().len(), text.trim());
        let place = locate(place, text, lead..lead + body.len());
        Predicate { text: body.to_owned(), uses, place }
    }

    /// The text with every name replaced by what `expression` says, each in parentheses.
    pub fn sql(&self, expression: impl Fn(&Name) -> String) -> String {
        let mut out = String::with_capacity(self.text.len() * 2);
        let mut done = 0;
        for each in &self.uses {
            out.push_str(&self.text[done..each.span.start]);
            out.push('(');
            out.push_str(&expression(&each.name));
            out.push(')');
            done = each.span.end;
        }
        out.push_str(&self.text[done..]);
        out
    }

    /// Every name, with repetitions, in the order of the text.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.uses.iter().map(|u| &u.name)
    }

    /// Where the plan writes this use.
    pub fn place_of(&self, each: &Use) -> Place {
        locate(&self.place, &self.text, each.span.clone())
    }

    /// Where the plan writes the predicate.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

fn syntax(fault: &Fault, length: usize, at: &dyn Fn(Range<usize>) -> Place) -> Diagnostic {
    let lead = grammar::LEAD.len();
    let start = fault.span.start.saturating_sub(lead).min(length);
    let end = fault.span.end.saturating_sub(lead).clamp(start, length);
    Diagnostic::new("predicate-syntax", format!("syntax error: {}", fault.message), at(start..end))
        .label("here")
        .help("a predicate is one SQL expression, such as `gap = 0 AND anchors >= 30`")
}

#[cfg(test)]
#[path = "predicate_tests.rs"]
mod tests;
