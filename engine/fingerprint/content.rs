//! Rows of tables: counted, or hashed as they stream by.

use super::frames::{CopyRows, Torn};
use super::leaves::{self, Leaf};
use super::print::{LargeObjects, Level, TableKind, TablePrint};
use crate::digest::RowSum;
use crate::event::{Exit, Failure};
use crate::target::{Row, Tx};
use futures_util::StreamExt;

/// Columns to leave out: table, column.
pub type Ignored = [(String, String)];

/// Reads the rows of the tables named, partitioned ones by their leaves, by name. What is not there, or holds no
/// rows of its own, is not in the answer. Works inside a writing transaction and sees what it wrote.
///
/// # Errors
/// The server's, such as a table that may not be read.
pub async fn tables(tx: &Tx, names: &[String], ignore: &Ignored) -> Result<Vec<TablePrint>, Failure> {
    let mut prints = Vec::new();
    for leaf in leaves::leaves(tx).await?.iter().filter(|leaf| leaf.is_one_of(names)) {
        if let Ok(kind) = leaf.kind {
            prints.push(hashed(tx, leaf, kind, ignore).await?);
        }
    }
    Ok(prints)
}

/// The rows of `from`, a table with the columns of `table`, summed as if they were rows of `table`; `None` when that is
/// no table of its own.
///
/// # Errors
/// The server's.
pub async fn rows_like(tx: &Tx, table: &str, from: &str, ignore: &Ignored) -> Result<Option<RowSum>, Failure> {
    let Some(leaf) = leaves::leaves(tx).await?.into_iter().find(|leaf| leaf.name == table) else { return Ok(None) };
    let select = leaf.select(ignore).replace(&format!(" FROM ONLY {table}"), &format!(" FROM ONLY {from}"));
    sum(tx, &select).await.map(Some)
}

/// The rows of one leaf, hashed.
pub(super) async fn hashed(tx: &Tx, leaf: &Leaf, kind: TableKind, ignore: &Ignored) -> Result<TablePrint, Failure> {
    let sum = sum(tx, &leaf.select(ignore)).await.map_err(|failure| failure.fact(format!("reading {}", leaf.name)))?;
    Ok(summed(leaf, kind, &sum, ignore))
}

/// The rows of one leaf, as somebody summed them.
pub(super) fn summed(leaf: &Leaf, kind: TableKind, sum: &RowSum, ignore: &Ignored) -> TablePrint {
    let counted = counted(leaf, kind, sum.rows);
    TablePrint { bytes: sum.bytes, sum: Some(sum.hex()), left_out: leaf.left_out(ignore), ..counted }
}

/// The rows of one leaf, only counted.
pub(super) fn counted(leaf: &Leaf, kind: TableKind, rows: u64) -> TablePrint {
    let (name, root) = (leaf.name.clone(), leaf.root.clone());
    TablePrint { name, root, oid: leaf.oid, kind, rows, bytes: 0, sum: None, left_out: Vec::new() }
}

/// Tables asked in one statement.
const BATCH: usize = 100;

/// One row for each leaf, in order, its number first: many tables a statement, since each statement is watched.
pub(super) async fn each(tx: &Tx, leaves: &[&Leaf], aggregates: &str) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::with_capacity(leaves.len());
    for batch in leaves.chunks(BATCH) {
        let select = |(i, leaf): (usize, &&Leaf)| format!("SELECT {i}, {aggregates} FROM ONLY {}", leaf.name);
        let selects: Vec<String> = batch.iter().enumerate().map(select).collect();
        rows.extend(tx.query(&format!("{} ORDER BY 1", selects.join(" UNION ALL ")), &[]).await?);
    }
    Ok(rows)
}

/// Streams a query and sums its rows.
pub(super) async fn sum(tx: &Tx, select: &str) -> Result<RowSum, Failure> {
    let torn = |e: Torn| Failure::new(Exit::Temporary, format!("cannot read rows of `{}`: {e}", tx.target()));
    let (mut reader, mut sum) = (CopyRows::default(), RowSum::default());
    let mut stream = std::pin::pin!(tx.copy_out(&format!("COPY ({select}) TO STDOUT (FORMAT binary)")).await?);
    while let Some(chunk) = stream.next().await {
        reader.feed(&chunk?, &mut |row| sum.add_row(row)).map_err(torn)?;
    }
    reader.finish().map_err(torn)?;
    Ok(sum)
}

/// Large objects: `None` when there are none, the reason when they may not be read.
pub(super) async fn large_objects(tx: &Tx, level: Level) -> Result<Result<Option<LargeObjects>, String>, Failure> {
    let row = tx.query_one(include_str!("../../sql/engine/fingerprint/large_objects.sql"), &[]).await?;
    let (count, readable): (i64, bool) = (row.get(0), row.get(1));
    let count = count.unsigned_abs();
    Ok(match (count, level, readable) {
        (0, _, _) => Ok(None),
        (_, Level::Content, true) => {
            let pages = sum(tx, "SELECT loid, pageno, data FROM pg_catalog.pg_largeobject").await?;
            Ok(Some(LargeObjects { count, sum: Some(pages.hex()) }))
        }
        (_, Level::Content, false) => Err(format!("large objects: {count}, this role may not read them")),
        (_, Level::Schema | Level::Counts, _) => Ok(Some(LargeObjects { count, sum: None })),
    })
}
