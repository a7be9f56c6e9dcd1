//! The terminal: one line a stage, one moving line at the bottom, refusals in one fixed order.
//!
//! Start at `Screen`. On a terminal stages have marks and the last line moves; elsewhere every stage is one line
//! that a log can be searched for. Marks are words off a terminal; colour only repeats what a word says.

mod failure;
mod out;
mod screen;

pub use failure::draw;
pub use out::{is_unwritten, print};
pub use screen::{Screen, Style};
