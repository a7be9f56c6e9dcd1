//! Sending a script, statement by statement, inside a transaction that somebody else ends.

use super::{RunSettings, Script};
use crate::clock::Stopwatch;
use crate::digest;
use crate::event::{Executed, Failure};
use crate::target::WriteTx;

/// Tells the transaction its run id and its one instant.
///
/// # Errors
/// The server's.
pub async fn settle(tx: &WriteTx, settings: &RunSettings) -> Result<(), Failure> {
    let sql =
        "SELECT pg_catalog.set_config('engine.run_id', $1, true), pg_catalog.set_config('engine.as_of', $2, true)";
    tx.query(sql, &[&settings.run, &settings.as_of]).await.map(drop)
}

/// Sends every statement of a script.
///
/// # Errors
/// The first statement that fails: names template, line and verb; the transaction is aborted.
pub async fn send(tx: &WriteTx, script: &Script) -> Result<Vec<Executed>, Failure> {
    let mut sent = Vec::with_capacity(script.statements.len());
    for (index, statement) in script.statements.iter().enumerate() {
        let watch = Stopwatch::start();
        let rows = tx.execute(&statement.text).await.map_err(|mut failure| {
            let line = line_of(&script.text, statement.span.start + failure.position.unwrap_or(0));
            failure.what = format!("statement {} ({}) failed: {}", index + 1, statement.verb, strip(&failure.what));
            failure.facts.insert(0, format!("{}, line {line} of the rendered text", script.template));
            failure
        })?;
        sent.push(Executed {
            verb: statement.verb.clone(),
            rows,
            ms: watch.ms(),
            sha256: digest::hex(statement.text.as_bytes()),
        });
    }
    Ok(sent)
}

/// Fires deferred constraints and triggers now, so that they are counted and can still be refused.
///
/// # Errors
/// The constraint that does not hold.
pub async fn force_constraints(tx: &WriteTx) -> Result<(), Failure> {
    tx.control("SET CONSTRAINTS ALL IMMEDIATE").await
}

fn strip(what: &str) -> &str {
    what.strip_prefix("statement: ").unwrap_or(what)
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}
