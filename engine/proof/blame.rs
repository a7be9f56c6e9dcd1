//! A breach of a bound, with the statement that did it and, where the catalog can tell, the trigger or cascade.

use super::bounds::Resolved;
use super::forward::Ran;
use crate::event::{Executed, Failure};
use crate::target::Tx;

const PATHS: &str = include_str!("../../sql/engine/measure/paths.sql");

/// Demands that what ran stayed within the bounds; the transaction must not be aborted.
///
/// # Errors
/// Every breach, with counts, statement and way (exit 42); or the server's.
pub async fn hold(tx: &Tx, resolved: &Resolved, stage: &str, ran: &Ran) -> Result<(), Failure> {
    let Err(mut failure) = resolved.hold(stage, &ran.delta) else { return Ok(()) };
    let mut facts = Vec::new();
    for breach in resolved.breaches(&ran.delta) {
        facts.push(breach.text);
        if let Some(table) = breach.table {
            facts.extend(explained(tx, &table, &ran.statements).await?.into_iter().map(|line| format!("  {line}")));
        }
    }
    failure.facts = facts;
    Err(failure)
}

/// Which statements changed rows of `table`, and by which ways.
async fn explained(tx: &Tx, table: &str, statements: &[Executed]) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    let mut others: Vec<&str> = Vec::new();
    for (index, sent) in statements.iter().enumerate() {
        let Some(wrote) = sent.wrote.iter().find(|wrote| wrote.table == table) else { continue };
        lines.push(format!("by {}: {}", named(index, sent), wrote.counted()));
        others.extend(sent.wrote.iter().map(|wrote| wrote.table.as_str()));
        // Deferred work was caused by any statement before it.
        if sent.line.is_none() {
            others.extend(statements.iter().flat_map(|s| &s.wrote).map(|wrote| wrote.table.as_str()));
        }
    }
    others.sort_unstable();
    others.dedup();
    // A change of the table itself may have come from anywhere among these.
    let ways = tx.query(PATHS, &[&table, &others]).await?;
    lines.extend(ways.iter().map(|row| format!("by way of {}", row.get::<_, String>(0))));
    Ok(lines)
}

fn named(index: usize, sent: &Executed) -> String {
    match sent.line {
        Some(line) => format!("statement {} ({}), line {line}", index + 1, sent.verb),
        None => "deferred constraints and triggers".to_owned(),
    }
}
