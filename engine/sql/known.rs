//! Texts that were parsed before and in which nothing is wrong. A plan of thousands of stages says the same things again, and
//! two plans that are compared say nearly all of them twice: what is known is not parsed again.

use super::predicate::{Predicate, Use};
use super::{Statement, Where, check, nondeterministic};
use crate::diag::{Diagnostics, Place, Source};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is known of texts, by their bytes. May be used by several threads at once.
#[derive(Debug, Default)]
pub struct Known {
    scripts: Mutex<HashMap<String, Checked>>,
    predicates: Mutex<HashMap<String, Vec<Use>>>,
    unsteady: Mutex<HashMap<String, Calls>>,
}

/// Statements of a text, for each place where it may be sent.
type Checked = Vec<(Where, Vec<Statement>)>;

/// Where in a statement something is that differs from run to run, and what.
type Calls = Vec<(Range<usize>, String)>;

fn open<T>(shelf: &Mutex<T>) -> MutexGuard<'_, T> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    /// As `check`.
    pub fn check(&self, source: &Arc<Source>, at: Where) -> (Vec<Statement>, Diagnostics) {
        let kept =
            |all: &Vec<(Where, Vec<Statement>)>| all.iter().find(|(other, _)| *other == at).map(|(_, s)| s.clone());
        if let Some(statements) = open(&self.scripts).get(&source.text).and_then(kept) {
            return (statements, Diagnostics::default());
        }
        let (statements, found) = check(source, at);
        // What is wrong has a place, and that is another one each time.
        if found.0.is_empty() {
            open(&self.scripts).entry(source.text.clone()).or_default().push((at, statements.clone()));
        }
        (statements, found)
    }

    /// As `Predicate::parse`.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn predicate(&self, text: &str, place: &Place) -> Result<Predicate, Diagnostics> {
        if let Some(uses) = open(&self.predicates).get(text.trim()) {
            return Ok(Predicate::known(text, place, uses.clone()));
        }
        let predicate = Predicate::parse(text, place)?;
        open(&self.predicates).insert(predicate.text.clone(), predicate.uses.clone());
        Ok(predicate)
    }

    /// As `nondeterministic`.
    pub fn nondeterministic(&self, statement: &Statement) -> Calls {
        let from = statement.span.start;
        let moved = |calls: &Calls, by: &dyn Fn(usize) -> usize| -> Calls {
            calls.iter().map(|(span, what)| (by(span.start)..by(span.end), what.clone())).collect()
        };
        if let Some(calls) = open(&self.unsteady).get(&statement.text) {
            return moved(calls, &|at| at + from);
        }
        let calls = nondeterministic(statement);
        open(&self.unsteady).insert(statement.text.clone(), moved(&calls, &|at| at - from));
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_what_parsing_says() {
        let known = Known::default();
        for text in ["INSERT INTO t VALUES (now());\n", "  SELECT 1;\nUPDATE t SET a = random();", "SELECT ("] {
            for at in [Where::Clone, Where::Read, Where::Clone, Where::Alone, Where::Read] {
                let source = Source::new("x", text);
                let (wanted, problems) = check(&source, at);
                let (statements, found) = known.check(&source, at);
                assert_eq!((&statements, found.0), (&wanted, problems.0), "{text}");
                for statement in &statements {
                    let elsewhere = Statement { span: 7..7 + statement.text.len(), ..statement.clone() };
                    for one in [statement, &elsewhere] {
                        assert_eq!(known.nondeterministic(one), nondeterministic(one), "{text}");
                    }
                }
            }
        }
        for text in ["gap = 0", " gap = 0 ", "gap = 0", "gap =", "1 = 1"] {
            for lead in ["", "#\n"] {
                let source = Source::new("p", format!("{lead}{text}"));
                let place = Place::new(&source, lead.len()..lead.len() + text.len());
                let (wanted, got) = (Predicate::parse(text, &place), known.predicate(text, &place));
                assert_eq!(got.map_err(|found| found.0), wanted.map_err(|found| found.0), "{text}");
            }
        }
    }
}
