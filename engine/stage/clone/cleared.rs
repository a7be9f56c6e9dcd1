//! Takes out of a half clone what is not kept: all that comes after the rows, so that one path builds it, and the rows of
//! tables that are copied again. May itself be interrupted anywhere, and is simply done again.

use super::halfway::Kept;
use super::making::{Begun, Making};
use super::restore::{Restore, Toc};
use super::{indexes, quoted, toc};
use crate::event::Failure;
use crate::target::Loader;

/// Statements sent as one: each batch is a transaction and holds its locks to its end.
const BATCH: usize = 50;

const POST_DATA: &str = include_str!("../../../sql/engine/target/post_data.sql");
const FILLED: &str = include_str!("../../../sql/engine/target/filled.sql");
const UNLINK: &str = include_str!("../../../sql/engine/target/unlink.sql");
const LATE_CHECKS: &str = include_str!("../../../sql/engine/source/late_checks.sql");

/// Leaves the half clone with its schema up to the rows, and the rows of tables that are kept.
pub(super) async fn clear(
    making: &Making<'_>,
    begun: &Begun,
    (restore, toc): (&Restore<'_>, &Toc),
    kept: &Kept,
) -> Result<(), Failure> {
    making.cx.say(making.name(), "taking out what is not kept");
    let reset = format!("ALTER DATABASE {} RESET ALL", quoted(making.working)?);
    making.target.maker.inside(making.working, &[reset]).await?;
    let mut session = indexes::session(making.target, making.working, "taking out what is not kept").await?;
    let late = toc::late_checks(&toc.kept);
    let checks = begun.tx.query(LATE_CHECKS, &[&late]).await?;
    let mut statements: Vec<String> = checks.iter().map(|row| row.get(0)).collect();
    statements.extend(column(session.run(POST_DATA).await?));
    batches(&mut session, &statements).await?;
    let names: Vec<&str> = kept.tables.values().map(|table| table.name.as_str()).collect();
    let filled = column(session.run(FILLED).await?);
    let truncate = filled.iter().filter(|name| !names.contains(&name.as_str()));
    let truncate: Vec<String> = truncate.map(|name| format!("TRUNCATE ONLY {name}")).collect();
    batches(&mut session, &truncate).await?;
    while column(session.run(UNLINK).await?).first().is_some_and(|unlinked| unlinked != "0") {}
    restore.empty_large_objects(toc).await
}

fn column(rows: Vec<Vec<Option<String>>>) -> Vec<String> {
    rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
}

async fn batches(session: &mut Loader, statements: &[String]) -> Result<(), Failure> {
    for batch in statements.chunks(BATCH) {
        session.run(&batch.join("; ")).await?;
    }
    Ok(())
}
