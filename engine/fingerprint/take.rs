//! Taking a fingerprint: schema, rows, sequences, in one transaction.

use super::content;
use super::leaves::{self, Leaf};
use super::lines;
use super::objects;
use super::pinned::Pinned;
use super::print::{Fingerprint, LargeObjects, Level, Scope, SequencePrint, TableKind, TablePrint};
use super::sequences::{self, SequenceState};
use crate::event::{Exit, Failure};
use crate::target::{Row, Tx, identify};

/// Fingerprints the database of `tx`, which should hold one snapshot.
///
/// # Errors
/// The server's; or the scope names a table or column that is not there.
pub async fn take(tx: &Tx, scope: &Scope) -> Result<Fingerprint, Failure> {
    let pinned = Pinned::pin(tx).await?;
    let taken = within(tx, scope).await;
    pinned.restore(tx, taken).await
}

async fn within(tx: &Tx, scope: &Scope) -> Result<Fingerprint, Failure> {
    let database = identify(tx).await?;
    let objects = objects::list(tx).await?;
    let rows = if scope.level == Level::Schema { Rows::default() } else { rows(tx, scope).await? };
    let digest = lines::digest(&objects, &rows.tables, &rows.sequences, rows.large_objects.as_ref());
    Ok(Fingerprint {
        version: "fp1".to_owned(),
        level: scope.level,
        digest,
        database,
        tables: rows.tables,
        sequences: rows.sequences,
        large_objects: rows.large_objects,
        objects,
        excluded: rows.excluded,
    })
}

#[derive(Default)]
struct Rows {
    tables: Vec<TablePrint>,
    sequences: Vec<SequencePrint>,
    large_objects: Option<LargeObjects>,
    excluded: Vec<String>,
}

async fn rows(tx: &Tx, scope: &Scope) -> Result<Rows, Failure> {
    let leaves = leaves::list(tx).await?;
    all_named_are_there(scope, &leaves)?;
    let mut rows = Rows::default();
    let mut read = Vec::new();
    for leaf in &leaves {
        match wanted(leaf, scope) {
            Ok(kind) => read.push((leaf, kind)),
            Err(why) => rows.excluded.push(format!("{}: {why}", leaf.name)),
        }
    }
    rows.tables = tables(tx, &read, scope).await?;
    rows.sequences = sequences::list(tx).await?.into_iter().map(SequenceState::print).collect();
    match content::large_objects(tx, scope.level).await? {
        Ok(found) => rows.large_objects = found,
        Err(why) => rows.excluded.push(why),
    }
    Ok(rows)
}

async fn tables(tx: &Tx, read: &[(&Leaf, TableKind)], scope: &Scope) -> Result<Vec<TablePrint>, Failure> {
    let mut prints = Vec::with_capacity(read.len());
    if scope.level == Level::Content {
        for (leaf, kind) in read {
            prints.push(content::hashed(tx, leaf, *kind, &scope.ignore).await?);
        }
        return Ok(prints);
    }
    let leaves: Vec<&Leaf> = read.iter().map(|(leaf, _)| *leaf).collect();
    let counts = content::each(tx, &leaves, "pg_catalog.count(*)").await?;
    let counted = read.iter().zip(&counts).map(|((leaf, kind), row)| content::counted(leaf, *kind, number(row, 1)));
    Ok(counted.collect())
}

/// A count that the server gave.
pub(super) fn number(row: &Row, column: usize) -> u64 {
    row.get::<_, i64>(column).unsigned_abs()
}

fn wanted(leaf: &Leaf, scope: &Scope) -> Result<TableKind, String> {
    let kind = leaf.kind.clone()?;
    if leaf.is_one_of(&scope.exclude) || !(scope.include.is_empty() || leaf.is_one_of(&scope.include)) {
        return Err("not in the scope".to_owned());
    }
    Ok(kind)
}

/// A misspelt name in a scope would make a fingerprint say less than it seems to.
fn all_named_are_there(scope: &Scope, leaves: &[Leaf]) -> Result<(), Failure> {
    let refuse = |what: String| {
        let failure =
            Failure::new(Exit::StageFailed, format!("the scope of a fingerprint names {what}, which is not there"));
        Err(failure.changed("nothing was changed"))
    };
    for name in scope.include.iter().chain(&scope.exclude) {
        if !leaves.iter().any(|leaf| leaf.answers.contains(name)) {
            return refuse(format!("the table `{name}`"));
        }
    }
    for (table, column) in &scope.ignore {
        let mut of_table = leaves.iter().filter(|leaf| leaf.answers.contains(table));
        if !of_table.any(|leaf| leaf.columns.iter().any(|c| c.name == *column)) {
            return refuse(format!("the column `{table}.{column}`"));
        }
    }
    Ok(())
}
