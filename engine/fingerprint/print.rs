//! What a fingerprint is made of. It is stored as JSON beside the journal.

use super::watermark::Horizon;
use crate::event::Identity;
use serde::{Deserialize, Serialize};

/// How deep a fingerprint looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Schema objects only.
    Schema,
    /// Also rows of tables, counted, and sequences.
    Counts,
    /// Also every row.
    Content,
}

/// What a fingerprint covers. Tables are named `schema.table`; a partitioned one means its leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// How deep.
    pub level: Level,
    /// Tables whose rows are read; empty: all. Schema objects are always all.
    pub include: Vec<String>,
    /// Tables whose rows are not read.
    pub exclude: Vec<String>,
    /// Columns left out: table, column.
    pub ignore: Vec<(String, String)>,
}

impl Scope {
    /// Everything, at one level.
    pub fn all(level: Level) -> Scope {
        Scope { level, include: Vec::new(), exclude: Vec::new(), ignore: Vec::new() }
    }
}

/// A database, as of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// `fp1`.
    pub version: String,
    /// How deep.
    pub level: Level,
    /// SHA-256 over the sorted lines `kind \t identity \t digest` of all that follows, physical order left out.
    pub digest: String,
    /// Which database.
    pub database: Identity,
    /// Leaf tables and materialized views, by name.
    pub tables: Vec<TablePrint>,
    /// Sequences, by name.
    pub sequences: Vec<SequencePrint>,
    /// Large objects, when there are any.
    pub large_objects: Option<LargeObjects>,
    /// Schema objects, by identity.
    pub objects: Vec<SchemaObject>,
    /// What was not read, and why: `public.x: foreign table`.
    pub excluded: Vec<String>,
    /// Of its snapshot, where later ones are to be compared cheaply; not part of any digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<Horizon>,
}

impl Fingerprint {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Bytes of all rows, as framed.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

/// What holds rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// A table, or a leaf partition.
    Table,
    /// A table that a crash empties.
    Unlogged,
    /// Its rows are computed; a clone computes them anew.
    MaterializedView,
}

impl TableKind {
    /// As a difference names it.
    pub fn word(self) -> &'static str {
        match self {
            TableKind::Table => "table",
            TableKind::Unlogged => "unlogged table",
            TableKind::MaterializedView => "materialized view",
        }
    }
}

/// The rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePrint {
    /// `schema.table`, each part quoted where SQL needs it.
    pub name: String,
    /// The partitioned table it is a leaf of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Oid; not part of any digest.
    pub oid: i64,
    /// What it is.
    pub kind: TableKind,
    /// Rows.
    pub rows: u64,
    /// Bytes of the rows as framed; 0 when only counted.
    pub bytes: u64,
    /// Sum of row hashes, 64 hex digits; `None` when only counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<String>,
    /// Columns that are not in the rows: generated or ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// Where a sequence stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencePrint {
    /// `schema.sequence`.
    pub name: String,
    /// What `nextval` would give; `None`: it is exhausted.
    pub next: Option<i64>,
}

/// All large objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjects {
    /// How many.
    pub count: u64,
    /// Sum of the hashes of their pages: oid, number, bytes. `None` when only counted.
    pub sum: Option<String>,
}

/// One object of the schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaObject {
    /// `table`, `column`, `owner`, `grants`, ...; `physical` changes no meaning.
    pub kind: String,
    /// Stable and unique: `table public.x`, `trigger t on public.x`.
    pub identity: String,
    /// Relation it belongs to, `schema.table`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Definition, a line a property.
    pub definition: String,
}
