//! Temporary tables write into the catalogs like any other, and are gone at COMMIT: they are no change of definitions.
//!
//! `check` demands ON COMMIT DROP. That nothing else was defined is shown here: catalogs that a temporary table writes
//! to hold, outside of it, the very row versions that they held before.

use super::Script;
use super::measure::Delta;
use crate::event::Failure;
use crate::target::Tx;

const TEMPORARY: &str = include_str!("../../sql/engine/measure/temporary.sql");
const LASTING: &str = include_str!("../../sql/engine/measure/lasting.sql");

/// Catalogs that a temporary table, its indexes, constraints and columns write to.
const ITS_CATALOGS: [&str; 13] = [
    "pg_attrdef",
    "pg_attribute",
    "pg_class",
    "pg_constraint",
    "pg_depend",
    "pg_description",
    "pg_index",
    "pg_inherits",
    "pg_namespace",
    "pg_sequence",
    "pg_shdepend",
    "pg_trigger",
    "pg_type",
];

/// Row versions of these catalogs, by catalog; `None` where no statement of the script makes a temporary table.
pub(super) type Lasting = Option<Vec<(String, i64, Option<String>)>>;

/// What the catalogs hold beside temporary tables.
///
/// # Errors
/// The server's.
pub(super) async fn lasting(tx: &Tx, script: &Script) -> Result<Lasting, Failure> {
    if !script.statements.iter().any(crate::sql::Statement::makes_temporary) {
        return Ok(None);
    }
    let rows = tx.query(LASTING, &[]).await?;
    Ok(Some(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()))
}

/// Leaves out of a delta what temporary tables wrote into the catalogs, if that is all that was written there.
///
/// # Errors
/// The server's.
pub(super) async fn leave_out(tx: &Tx, script: &Script, before: &Lasting, delta: &mut Delta) -> Result<(), Failure> {
    if !delta.catalogs.is_empty() {
        // Each that the script itself makes is dropped at COMMIT: `check` has seen to that.
        let own: Vec<String> = script.statements.iter().filter_map(crate::sql::Statement::temporary_name).collect();
        delta.outlives = tx.ask(TEMPORARY, &[&own]).await?.iter().map(|row| row.get(0)).collect();
    }
    let only_its = delta.catalogs.keys().all(|catalog| ITS_CATALOGS.contains(&catalog.as_str()));
    if before.is_some() && only_its && delta.objects.is_empty() && lasting(tx, script).await? == *before {
        delta.catalogs.clear();
    }
    Ok(())
}
