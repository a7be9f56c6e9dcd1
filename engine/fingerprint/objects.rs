//! Schema objects: one query per file, every row `kind, identity, parent, definition`.

use super::print::SchemaObject;
use crate::event::{Failure, Marker};
use crate::target::{Row, Tx};

const QUERIES: [&str; 17] = [
    include_str!("../../sql/engine/fingerprint/schemas_and_extensions.sql"),
    include_str!("../../sql/engine/fingerprint/types.sql"),
    include_str!("../../sql/engine/fingerprint/functions.sql"),
    include_str!("../../sql/engine/fingerprint/relations.sql"),
    include_str!("../../sql/engine/fingerprint/columns.sql"),
    include_str!("../../sql/engine/fingerprint/constraints.sql"),
    include_str!("../../sql/engine/fingerprint/indexes.sql"),
    include_str!("../../sql/engine/fingerprint/triggers.sql"),
    include_str!("../../sql/engine/fingerprint/policies_and_rules.sql"),
    include_str!("../../sql/engine/fingerprint/statistics.sql"),
    include_str!("../../sql/engine/fingerprint/operators.sql"),
    include_str!("../../sql/engine/fingerprint/text_and_language.sql"),
    include_str!("../../sql/engine/fingerprint/foreign.sql"),
    include_str!("../../sql/engine/fingerprint/replication.sql"),
    include_str!("../../sql/engine/fingerprint/comments.sql"),
    include_str!("../../sql/engine/fingerprint/database.sql"),
    include_str!("../../sql/engine/fingerprint/physical.sql"),
];

/// Owners and privileges, apart since masks work on them.
const POWERS: [&str; 3] = [
    include_str!("../../sql/engine/fingerprint/owners.sql"),
    include_str!("../../sql/engine/fingerprint/grants.sql"),
    include_str!("../../sql/engine/fingerprint/default_privileges.sql"),
];

/// Where the marker of a clone stands.
const COMMENT: &str = "comment on the database";

/// Reads all schema objects, sorted by identity. Members of extensions are left out: the extension stands for them.
/// Definitions are printed relative to the path in which the engine's statements run.
///
/// # Errors
/// The server's.
pub async fn objects(tx: &Tx) -> Result<Vec<SchemaObject>, Failure> {
    let mut all = Vec::new();
    for sql in QUERIES.iter().chain(&POWERS) {
        all.extend(tx.ask(sql, &[]).await?.iter().map(object));
    }
    all.sort_by(|a: &SchemaObject, b| a.identity.cmp(&b.identity));
    Ok(all)
}

fn object(row: &Row) -> SchemaObject {
    let (identity, mut definition): (String, String) = (row.get(1), row.get(3));
    if identity == COMMENT {
        // The engine writes it anew, and compares the clone with what it was before.
        definition = Marker::steady(definition);
    }
    SchemaObject { kind: row.get(0), identity, parent: row.get(2), definition }
}
