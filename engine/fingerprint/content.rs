//! Rows of tables: counted, or hashed as they stream by.

use super::frames::{CopyRows, Torn};
use super::leaves::{self, Leaf};
use super::pinned::Pinned;
use super::print::{LargeObjects, Level, TableKind, TablePrint};
use crate::digest::RowSum;
use crate::event::{Exit, Failure};
use crate::target::Tx;
use futures_util::StreamExt;

/// Columns to leave out: table, column.
pub type Ignored = [(String, String)];

/// Reads the rows of the tables named, partitioned ones by their leaves, by name. What is not there, or holds no
/// rows of its own, is not in the answer. Works inside a writing transaction and sees what it wrote.
///
/// # Errors
/// The server's, such as a table that may not be read.
pub async fn tables(tx: &Tx, names: &[String], ignore: &Ignored) -> Result<Vec<TablePrint>, Failure> {
    let pinned = Pinned::pin(tx).await?;
    let found = named(tx, names, ignore).await;
    pinned.restore(tx, found).await
}

async fn named(tx: &Tx, names: &[String], ignore: &Ignored) -> Result<Vec<TablePrint>, Failure> {
    let mut prints = Vec::new();
    for leaf in leaves::list(tx).await?.iter().filter(|leaf| leaf.is_one_of(names)) {
        if let Ok(kind) = leaf.kind {
            prints.push(print(tx, leaf, kind, (Level::Content, ignore)).await?);
        }
    }
    Ok(prints)
}

/// The rows of one leaf, counted or hashed.
pub(super) async fn print(
    tx: &Tx,
    leaf: &Leaf,
    kind: TableKind,
    how: (Level, &Ignored),
) -> Result<TablePrint, Failure> {
    let (level, ignore) = how;
    let (rows, bytes, sum) = if level == Level::Content {
        let sum =
            sum(tx, &leaf.select(ignore)).await.map_err(|failure| failure.fact(format!("reading {}", leaf.name)))?;
        (sum.rows, sum.bytes, Some(sum.hex()))
    } else {
        let counted = count(tx, &format!("SELECT pg_catalog.count(*) FROM ONLY {}", leaf.name)).await;
        (counted.map_err(|failure| failure.fact(format!("counting {}", leaf.name)))?, 0, None)
    };
    let (name, root, left_out) = (leaf.name.clone(), leaf.root.clone(), leaf.left_out(ignore));
    Ok(TablePrint { name, root, oid: leaf.oid, kind, rows, bytes, sum, left_out })
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

pub(super) async fn count(tx: &Tx, sql: &str) -> Result<u64, Failure> {
    Ok(tx.query_one(sql, &[]).await?.get::<_, i64>(0).unsigned_abs())
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
