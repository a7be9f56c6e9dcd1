//! Anchors: the head of a journal, kept somewhere else. The chain shows a line that was changed; an anchor shows a
//! journal that was cut, or written anew, up to the line it names.

use super::History;
use crate::event::{Exit, Failure};

/// A head that was kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Who keeps it, in words: `the packet P`, `the marker of its clone C`.
    pub by: String,
    /// Number of lines it is about.
    pub count: u64,
    /// Hash of the last of them.
    pub hash: String,
}

impl History {
    /// Demands that this journal is the one an anchor was taken of, and no shorter.
    ///
    /// # Errors
    /// It is not (exit 62): says at which line.
    pub fn demand(&self, run: &str, anchor: &Anchor) -> Result<(), Failure> {
        let Anchor { by, count, hash } = anchor;
        let at = usize::try_from(*count).unwrap_or(usize::MAX);
        let is = at.checked_sub(1).map(|before| self.hashes.get(before));
        let wrong = match is {
            // Of no line at all: there is nothing it could tell.
            None => return Ok(()),
            Some(Some(known)) if known == hash => return Ok(()),
            Some(Some(_)) => format!("line {count}: it, or one before it, is not the one that was anchored"),
            Some(None) => {
                format!("line {}: the journal ends before it, and was anchored at line {count}", self.lines.len() + 1)
            }
        };
        Err(Failure::new(
            Exit::InputsChanged,
            format!("the journal of run {run} was TAMPERED with: {by} knows another one"),
        )
        .fact(wrong)
        .changed("nothing was changed; a journal is never repaired")
        .next("then", "put the journal back from a copy; without one this run cannot be gone on with"))
    }
}
