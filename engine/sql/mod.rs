//! SQL text: split into statements, refused where it could leave the engine's frame, and the closed
//! grammar of predicates.
//!
//! Start at `check` for templates, `check_probe` for probes, `Predicate::parse` for guards, gates and
//! ensures. The parser is squawk's and is touched in `parse` only, its linter in `lint`. It makes good messages; what holds
//! is done by roles and by the sessions (`target`). Nothing here connects.

mod grammar;
mod known;
mod lint;
mod locate;
mod locks;
mod names;
mod parse;
mod predicate;
mod probe;
mod refuse;
mod respell;
mod scan;
mod split;
mod weaker;
mod words;

pub use crate::name::quote::{ident, literal, qualified, table_ref};
pub use known::Known;
pub use lint::{LintFinding, Sent, lint, lint_rule, lint_rules};
pub use locate::locate;
pub use locks::{Half, Locks, Mode, locks, reading_half};
pub use predicate::{Name, Predicate, Use};
pub use probe::check_probe;
pub use refuse::{Where, nondeterministic, refuse};
pub use respell::{one_line, plain_words};
pub use split::{Kind, Statement, split};
pub use weaker::{Weight, passes, weigh};
pub use words::reads_setting;

use crate::diag::{Diagnostics, Source};
use std::sync::Arc;

/// Splits and refuses in one go: the statements, and all that is wrong with them in the order of the text.
pub fn check(source: &Arc<Source>, at: Where) -> (Vec<Statement>, Diagnostics) {
    let (statements, mut found, refused) = split::split_and(source, |root| refuse::refusals(root, at));
    found.0.extend(refuse::drawn(source, refused.unwrap_or_default()).0);
    found.sort();
    (statements, found)
}
