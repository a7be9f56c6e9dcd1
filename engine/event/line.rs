//! A line of a journal.

use super::Event;
use serde::{Deserialize, Serialize};

/// One line of a journal: an event, when, and the link to the line before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Version of the format: 1.
    pub v: u32,
    /// From 0, without gaps.
    pub seq: u64,
    /// Wall clock, RFC 3339; order is `seq`, never this.
    pub at: String,
    /// Nanoseconds since the process that wrote it started the run.
    pub mono_ns: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// Hash of the line before; the genesis for the first.
    pub prev: String,
}
