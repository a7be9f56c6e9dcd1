//! Taking a fingerprint: schema, rows, sequences, in one snapshot.

use super::content;
use super::leaves::{self, Leaf};
use super::lines;
use super::objects;
use super::print::{Fingerprint, LargeObjects, Level, SchemaObject, Scope, SequencePrint, TableKind, TablePrint};
use super::sequences::{self, SequenceState};
use crate::copy::{Crew, Source};
use crate::digest::RowSum;
use crate::event::{Exit, Failure};
use crate::target::{Identity, Row, Tx, TxRecord, identify};
use std::collections::BTreeMap;

/// Bytes that are read sooner than sessions are opened to share the work.
const SMALL: u64 = 4 << 20;

/// Fingerprints the database of `tx`, which should hold one snapshot.
///
/// # Errors
/// The server's; or the scope names a table or column that is not there.
pub async fn take(tx: &Tx, scope: &Scope) -> Result<Fingerprint, Failure> {
    let reading = chosen(tx, scope).await?;
    let tables = tables(tx, &reading.tables, scope).await?;
    let rest = rest(tx, scope).await?;
    Ok(rest.with(scope, tables, reading.excluded))
}

/// The same with a crew that shares the snapshot of `tx`: rows are read by several sessions at a time. Tables that are
/// `known` are not read. Answers the records of the crew's transactions as well.
///
/// # Errors
/// As `take`, or of any session of the crew.
pub async fn take_by(
    tx: &Tx,
    crew: &Crew,
    scope: &Scope,
    known: &[TablePrint],
) -> Result<(Fingerprint, Vec<TxRecord>), Failure> {
    if scope.level != Level::Content {
        return Ok((take(tx, scope).await?, Vec::new()));
    }
    let reading = reading(tx, scope).await?;
    // Bytes of a database without an encoding pass through a crew only.
    let encoding: String = tx.query_one("SELECT pg_catalog.current_setting('server_encoding')", &[]).await?.get(0);
    if known.is_empty()
        && encoding != "SQL_ASCII"
        && reading.sources.iter().map(|source| source.bytes).sum::<u64>() < SMALL
    {
        return Ok((take(tx, scope).await?, Vec::new()));
    }
    let sums: Vec<Option<RowSum>> =
        reading.tables.iter().map(|(leaf, kind)| sum_of(leaf, *kind, scope, known)).collect();
    let unread = reading.sources.iter().zip(&sums).filter(|(_, sum)| sum.is_none()).map(|(source, _)| source.clone());
    let (moved, rest) = tokio::join!(crew.hash(unread.collect()), rest(tx, scope));
    // The crew's failure says more: after it nobody cares what the schema is.
    let (moved, rest) = (moved?, rest?);
    let mut read = moved.sums.into_iter();
    let sums: Vec<RowSum> = sums.into_iter().map(|known| known.or_else(|| read.next()).unwrap_or_default()).collect();
    Ok((complete(scope, reading, &sums, rest), moved.records))
}

/// The sum of a table that is known, if it is read as it was then.
fn sum_of(leaf: &Leaf, kind: TableKind, scope: &Scope, known: &[TablePrint]) -> Option<RowSum> {
    let print = known.iter().find(|print| print.oid == leaf.oid && print.name == leaf.name)?;
    let as_then = print.kind == kind && print.left_out == leaf.left_out(&scope.ignore);
    as_then.then(|| RowSum::of_hex(print.sum.as_deref()?, print.rows, print.bytes)).flatten()
}

/// What is going to be read of the rows of a database.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Leaves, by name.
    pub tables: Vec<(Leaf, TableKind)>,
    /// How to read each.
    pub sources: Vec<Source>,
    /// What is not read, and why.
    pub excluded: Vec<String>,
}

/// Lists what is going to be read, and how much that is.
///
/// # Errors
/// The server's; or the scope names a table or column that is not there.
pub async fn reading(tx: &Tx, scope: &Scope) -> Result<Reading, Failure> {
    let mut reading = chosen(tx, scope).await?;
    let oids: Vec<i64> = reading.tables.iter().map(|(leaf, _)| leaf.oid).collect();
    let rows = tx.query(include_str!("../../sql/engine/fingerprint/sizes.sql"), &[&oids]).await?;
    let sizes: BTreeMap<i64, (u64, u64)> =
        rows.iter().map(|row| (row.get(0), (number(row, 1), number(row, 2)))).collect();
    reading.sources = reading
        .tables
        .iter()
        .map(|(leaf, kind)| {
            let known = sizes.get(&leaf.oid).copied();
            let (pages, bytes) = known.unwrap_or_default();
            let fields = leaf.columns.len() - leaf.left_out(&scope.ignore).len();
            Source {
                name: leaf.name.clone(),
                select: leaf.select(&scope.ignore),
                plain: leaf.plain(*kind, &scope.ignore),
                fields,
                pages,
                bytes,
                empty: known == Some((0, 0)),
            }
        })
        .collect();
    Ok(reading)
}

async fn chosen(tx: &Tx, scope: &Scope) -> Result<Reading, Failure> {
    let mut reading = Reading { tables: Vec::new(), sources: Vec::new(), excluded: Vec::new() };
    if scope.level == Level::Schema {
        return Ok(reading);
    }
    let leaves = leaves::leaves(tx).await?;
    all_named_are_there(scope, &leaves)?;
    for leaf in leaves {
        match wanted(&leaf, scope) {
            Ok(kind) => reading.tables.push((leaf, kind)),
            Err(why) => reading.excluded.push(format!("{}: {why}", leaf.name)),
        }
    }
    Ok(reading)
}

/// Everything of a fingerprint but the rows of tables.
#[derive(Clone, Debug)]
pub struct Rest {
    database: Identity,
    objects: Vec<SchemaObject>,
    /// Sequences, by name.
    pub sequences: Vec<SequenceState>,
    large_objects: Option<LargeObjects>,
    excluded: Vec<String>,
}

/// Reads everything but the rows of tables.
///
/// # Errors
/// The server's.
pub async fn rest(tx: &Tx, scope: &Scope) -> Result<Rest, Failure> {
    let mut rest = Rest {
        database: identify(tx).await?,
        objects: objects::objects(tx).await?,
        sequences: Vec::new(),
        large_objects: None,
        excluded: Vec::new(),
    };
    if scope.level == Level::Schema {
        return Ok(rest);
    }
    rest.sequences = sequences::sequences(tx).await?;
    match content::large_objects(tx, scope.level).await? {
        Ok(found) => rest.large_objects = found,
        Err(why) => rest.excluded.push(why),
    }
    Ok(rest)
}

impl Rest {
    /// Are there any, readable or not?
    pub fn has_large_objects(&self) -> bool {
        self.large_objects.is_some() || self.excluded.iter().any(|what| what.starts_with("large objects"))
    }

    fn with(self, scope: &Scope, tables: Vec<TablePrint>, mut excluded: Vec<String>) -> Fingerprint {
        excluded.extend(self.excluded);
        let sequences: Vec<SequencePrint> = self.sequences.into_iter().map(SequenceState::print).collect();
        let digest = lines::digest(&self.objects, &tables, &sequences, self.large_objects.as_ref());
        Fingerprint {
            version: "fp1".to_owned(),
            level: scope.level,
            digest,
            database: self.database,
            tables,
            sequences,
            large_objects: self.large_objects,
            objects: self.objects,
            excluded,
            horizon: None,
        }
    }
}

/// A fingerprint from sums that somebody else took, one for each source of the reading.
pub fn complete(scope: &Scope, reading: Reading, sums: &[RowSum], rest: Rest) -> Fingerprint {
    let prints = reading.tables.iter().zip(sums);
    let tables = prints.map(|((leaf, kind), sum)| content::summed(leaf, *kind, sum, &scope.ignore)).collect();
    rest.with(scope, tables, reading.excluded)
}

async fn tables(tx: &Tx, read: &[(Leaf, TableKind)], scope: &Scope) -> Result<Vec<TablePrint>, Failure> {
    let mut prints = Vec::with_capacity(read.len());
    if scope.level == Level::Content {
        for (leaf, kind) in read {
            prints.push(content::hashed(tx, leaf, *kind, &scope.ignore).await?);
        }
        return Ok(prints);
    }
    let leaves: Vec<&Leaf> = read.iter().map(|(leaf, _)| leaf).collect();
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
