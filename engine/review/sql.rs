//! Rendered SQL: did its statements change, or only its layout, and the unified diff that shows it.

use super::{Class, Risk};
use crate::sql::plain_words;
use similar::TextDiff;

/// Comments and blanks are no risk, but they are bytes: a packet that carries them has another id.
pub(super) fn weighed(old: &str, new: &str) -> (Class, Risk) {
    if plain_words(old) == plain_words(new) { (Class::Reworded, Risk::None) } else { (Class::Changed, Risk::Raised) }
}

/// Hunks with three lines around each, without a head.
pub(super) fn unified(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut unified = diff.unified_diff();
    unified.context_radius(3).missing_newline_hint(false).to_string()
}
