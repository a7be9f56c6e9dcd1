//! Fingerprints (format fp1): what a database is, so that a difference can be named.
//!
//! `take` reads one database in one transaction; `differences` compares two results, exactly or through the masks a
//! clone needs. `objects`, `tables` and `sequences` read parts of it, also inside a stage's transaction.
//! `Watermark` tells in about the time of `count(*)` which tables cannot have changed.
//! SQL is in sql/engine/fingerprint, and is looked up as the engine's: definitions are printed relative to the path. Nothing
//! here writes.

mod chains;
mod compare;
mod content;
mod detail;
mod frames;
mod in_list;
mod leaves;
mod lines;
mod masks;
mod objects;
mod print;
mod qualifiers;
mod roles;
mod sequences;
mod still;
mod take;
mod watermark;

pub use compare::{Compare, Comparison, Difference, differences, object_differences};
pub use content::{Ignored, rows_like, tables};
pub use frames::{CopyRows, Torn};
pub use leaves::{Form, Leaf, LeafColumn, leaves};
pub use objects::objects;
pub use print::{Fingerprint, LargeObjects, Level, SchemaObject, Scope, SequencePrint, TableKind, TablePrint};
pub use sequences::{SequenceState, sequences};
pub use still::{Held, hold_still};
pub use take::{Reading, Rest, complete, reading, rest, take, take_by};
pub use watermark::{Horizon, TableMark, TableVerdict, Verdict, Watermark, unchanged_since, watermark};
