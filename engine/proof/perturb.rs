//! The second run of a proof goes another way to the same place: other plans, and rows in another physical order.
//!
//! Whatever depends on the order in which rows happen to come (LIMIT without ORDER BY, an aggregate that keeps the
//! first) then comes out differently. Everything here is rolled back with the proof.

use super::Work;
use crate::event::Failure;
use crate::target::{Says, WriteTx};

const MOVABLE: &str = include_str!("../../sql/engine/measure/movable.sql");

/// Index scans become bitmap scans, which answer in physical order at about the same price; hash joins become
/// merge joins or nested loops.
const SETTINGS: [(&str, &str); 6] = [
    ("work_mem", "1MB"),
    ("enable_hashjoin", "off"),
    ("enable_hashagg", "off"),
    ("enable_indexscan", "off"),
    ("enable_indexonlyscan", "off"),
    ("synchronize_seqscans", "off"),
];

/// Where all tables are this small together, in pages, reading them whole costs nothing: no bitmap either.
const SMALL: i64 = 64;

/// Rows up to which a table is turned round whole; of a larger one only its first rows are moved.
const ALL: i64 = 20_000;
/// Rows of a larger table that are moved.
const FIRST: i64 = 500;

struct Movable {
    table: String,
    root: String,
    column: Option<String>,
    pages: i64,
    rules: bool,
    off: Vec<String>,
    on: Vec<String>,
}

/// Changes plans, and the order of rows in `tables` except those that are `never` written; says what it changed.
///
/// # Errors
/// The server's. A table whose rows cannot be moved is said, and is no error.
pub async fn perturb(tx: &WriteTx, work: &Work, tables: &[String], never: &[String]) -> Result<Vec<String>, Failure> {
    let rows = tx.query(MOVABLE, &[&tables]).await?;
    let movable: Vec<Movable> = rows
        .iter()
        .map(|row| Movable {
            table: row.get(0),
            column: row.get(1),
            pages: row.get(2),
            rules: row.get(3),
            off: row.get(4),
            on: row.get(5),
            root: row.get(6),
        })
        .collect();
    let mut under = Vec::new();
    for table in &movable {
        let why_not = match &table.column {
            _ if table.rules => Some("it has rules"),
            _ if never.contains(&table.table) || never.contains(&table.root) => Some("it is never written"),
            // Their writers would have to wait for this proof.
            _ if work.parallel => Some("others may write it"),
            None => Some("it has no column that can be written"),
            Some(_) => None,
        };
        match why_not {
            Some(why) => under.push(format!("rows of {} where they were: {why}", table.table)),
            None => under.extend(moved(tx, table).await?),
        }
    }
    let mut settings = SETTINGS.to_vec();
    if movable.iter().map(|table| table.pages).sum::<i64>() <= SMALL {
        settings.push(("enable_bitmapscan", "off"));
    }
    for (name, value) in &settings {
        tx.control(&format!("SET LOCAL {name} = '{value}'")).await?;
    }
    under.insert(0, settings.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", "));
    Ok(under)
}

/// Writes rows of a table again as they are, in another order; triggers that would see it are off.
async fn moved(tx: &WriteTx, table: &Movable) -> Result<Option<String>, Failure> {
    let Movable { table: name, column: Some(column), off, on, pages, .. } = table else { return Ok(None) };
    if *pages == 0 {
        return Ok(None);
    }
    let column = crate::name::quote::ident(column).unwrap_or_else(|_| column.clone());
    // One by one, since an UPDATE of many goes through them in the order in which they lie. Few are turned round, more are
    // shuffled, always in the same way: turned round they could be in the order of an index.
    let again = format!(
        "DO $engine$ #variable_conflict use_column
         DECLARE engine_rows tid[]; engine_row tid; BEGIN \
         SELECT pg_catalog.array_agg(engine_r.ctid) INTO engine_rows \
         FROM (SELECT ctid FROM ONLY {name} LIMIT {ALL} + 1) AS engine_r; \
         IF pg_catalog.cardinality(engine_rows) > {ALL} THEN engine_rows := engine_rows[1:{FIRST}]; END IF; \
         IF pg_catalog.cardinality(engine_rows) > 16 THEN engine_rows := (SELECT pg_catalog.array_agg(engine_r.at \
         ORDER BY pg_catalog.hashtextextended(engine_r.at::pg_catalog.text, 7)) \
         FROM pg_catalog.unnest(engine_rows) AS engine_r (at)); END IF; \
         FOR engine_at IN REVERSE coalesce(pg_catalog.cardinality(engine_rows), 0) .. 1 LOOP \
         engine_row := engine_rows[engine_at]; \
         UPDATE ONLY {name} SET {column} = {column} WHERE ctid = engine_row; END LOOP; END $engine$"
    );
    tx.control("SAVEPOINT engine_move").await?;
    let tried = async {
        if !off.is_empty() {
            tx.control(&format!("ALTER TABLE {name} {}", off.join(", "))).await?;
        }
        // Triggers that always fire are the plan's.
        tx.look_up(Says::Plan).await?;
        tx.control(&again).await?;
        if !on.is_empty() {
            tx.control(&format!("ALTER TABLE {name} {}", on.join(", "))).await?;
        }
        Ok::<(), Failure>(())
    }
    .await;
    let (end, said) = match tried {
        Ok(()) => ("RELEASE SAVEPOINT engine_move", format!("rows of {name} in another order")),
        Err(failure) if failure.sqlstate.is_some() => {
            let end = "ROLLBACK TO SAVEPOINT engine_move; RELEASE SAVEPOINT engine_move";
            (end, format!("rows of {name} where they were ({})", crate::proof::forward::said(&failure)))
        }
        Err(failure) => return Err(failure),
    };
    tx.control(end).await?;
    Ok(Some(said))
}
