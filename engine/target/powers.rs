//! What could this role do? Read from the catalog, on every connect.

use super::Tx;
use crate::event::Failure;

const POWERS: &str = include_str!("../../sql/engine/powers.sql");

/// Powers to change anything that a role has in a database, by name; empty for a role that only reads.
///
/// # Errors
/// The server's.
pub async fn powers(tx: &Tx, role: &str) -> Result<Vec<String>, Failure> {
    Ok(tx.query(POWERS, &[&role]).await?.iter().map(|row| row.get(0)).collect())
}
