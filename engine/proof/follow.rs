//! Following the rows of a big table, so that a proof need not read it again and again.
//!
//! In a proof's own transaction, which is rolled back, a trigger keeps each row as it was and as it became. What a run
//! took away and what it added then say how the sum of the table changed. It counts only when there are as many of
//! both as the server's counters say, so that nothing went past the trigger; otherwise the table is read.

use super::forward;
use super::measure::Delta;
use crate::digest::RowSum;
use crate::event::Failure;
use crate::event::evidence::{Observation, Rows};
use crate::fingerprint::{self, TablePrint};
use crate::target::{Tx, WriteTx};

const FOLLOWABLE: &str = include_str!("../../sql/engine/measure/followable.sql");

/// Bytes from which on a table is big.
pub const BIG: i64 = 8 << 20;

/// Row changes of the first run up to which a table is followed; each costs a call of the trigger.
const MOST: u64 = 20_000;

/// Tables that are followed in a transaction.
#[derive(Debug, Default)]
pub struct Followed {
    tables: Vec<String>,
}

/// What a run took away from a table and what it added.
#[derive(Clone, Debug)]
pub struct Change {
    /// Rows as they were.
    pub removed: RowSum,
    /// Rows as they became.
    pub added: RowSum,
}

impl Change {
    /// As a proof keeps it.
    pub fn observed(&self, table: &str, when: &str) -> Observation {
        let rows = |sum: &RowSum| Rows { rows: sum.rows, sum: Some(sum.hex()) };
        Observation::Followed {
            table: table.to_owned(),
            when: when.to_owned(),
            removed: rows(&self.removed),
            added: rows(&self.added),
        }
    }

    /// The table after the change.
    pub fn after(&self, before: &TablePrint) -> Option<TablePrint> {
        let mut sum = RowSum::of_hex(before.sum.as_deref()?, before.rows, before.bytes)?;
        sum.take_away(&self.removed);
        sum.merge(&self.added);
        Some(TablePrint { rows: sum.rows, bytes: sum.bytes, sum: Some(sum.hex()), ..before.clone() })
    }
}

/// Tables among these that are big and can be followed.
///
/// # Errors
/// The server's.
pub async fn followable(tx: &Tx, tables: &[String]) -> Result<Vec<String>, Failure> {
    Ok(tx.query(FOLLOWABLE, &[&tables, &BIG]).await?.iter().map(|row| row.get(0)).collect())
}

/// Follows those of `tables` that are big, if the first run changed few rows. Before anything is measured.
///
/// # Errors
/// The server's. That a table cannot be followed is none.
pub async fn follow(tx: &WriteTx, tables: &[String], first_run: u64) -> Result<Followed, Failure> {
    let mut followed = Followed::default();
    if first_run > MOST {
        return Ok(followed);
    }
    for table in followable(tx, tables).await? {
        let at = followed.tables.len();
        tx.control("SAVEPOINT engine_follow").await?;
        let end = match install(tx, &table, at).await {
            Ok(()) => {
                followed.tables.push(table);
                "RELEASE SAVEPOINT engine_follow"
            }
            Err(failure) if failure.sqlstate.is_some() => {
                "ROLLBACK TO SAVEPOINT engine_follow; RELEASE SAVEPOINT engine_follow"
            }
            Err(failure) => return Err(failure),
        };
        tx.control(end).await?;
    }
    Ok(followed)
}

/// SECURITY DEFINER: whoever writes the table, the copies are ours.
async fn install(tx: &WriteTx, table: &str, at: usize) -> Result<(), Failure> {
    tx.control(&format!(
        "CREATE TEMPORARY TABLE engine_was_{at} (LIKE {table}) ON COMMIT DROP; \
         CREATE TEMPORARY TABLE engine_is_{at} (LIKE {table}) ON COMMIT DROP; \
         CREATE FUNCTION pg_temp.engine_follow_{at}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
         SET search_path = pg_catalog, pg_temp AS $follow$ BEGIN \
         IF tg_op <> 'INSERT' THEN INSERT INTO pg_temp.engine_was_{at} SELECT old.*; END IF; \
         IF tg_op <> 'DELETE' THEN INSERT INTO pg_temp.engine_is_{at} SELECT new.*; END IF; \
         RETURN NULL; END $follow$; \
         CREATE TRIGGER zz_engine_follow AFTER INSERT OR UPDATE OR DELETE ON {table} \
         FOR EACH ROW EXECUTE FUNCTION pg_temp.engine_follow_{at}()"
    ))
    .await
    .map_err(|failure| Failure { what: forward::said(&failure).to_owned(), ..failure })
}

impl Followed {
    /// What the last run changed in `table`, if it was followed and nothing went past the trigger. Forgets it.
    ///
    /// # Errors
    /// The server's.
    pub async fn change(
        &self,
        tx: &WriteTx,
        table: &str,
        delta: &Delta,
        ignore: &fingerprint::Ignored,
    ) -> Result<Option<Change>, Failure> {
        let Some(at) = self.tables.iter().position(|followed| followed == table) else { return Ok(None) };
        let [inserted, updated, deleted] = delta.rows.get(table).copied().unwrap_or_default();
        let removed = fingerprint::rows_like(tx, table, &format!("pg_temp.engine_was_{at}"), ignore).await?;
        let added = fingerprint::rows_like(tx, table, &format!("pg_temp.engine_is_{at}"), ignore).await?;
        tx.control(&format!("DELETE FROM pg_temp.engine_was_{at}; DELETE FROM pg_temp.engine_is_{at}")).await?;
        let (Some(removed), Some(added)) = (removed, added) else { return Ok(None) };
        let all = removed.rows == updated + deleted && added.rows == inserted + updated;
        let whole = all && !delta.files.contains_key(table);
        Ok(whole.then_some(Change { removed, added }))
    }
}
