//! The second run of a proof goes another way to the same place: other plans, and rows in another physical order.
//!
//! Whatever depends on the order in which rows happen to come (LIMIT without ORDER BY, an aggregate that keeps the
//! first) then comes out differently. Everything here is rolled back with the proof.

use crate::event::Failure;
use crate::target::WriteTx;

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
const SMALL: i64 = 1000;

/// Pages up to which half of a table is moved; of a larger one only its first rows are.
const HALF: i64 = 8;
/// Rows of a larger table that are moved.
const FIRST: i64 = 500;

struct Movable {
    table: String,
    column: String,
    pages: i64,
    rules: bool,
    off: Vec<String>,
    on: Vec<String>,
}

/// Changes plans, and the order of rows in `tables` except those that are `never` written; says what it changed.
///
/// # Errors
/// The server's. A table whose rows cannot be moved is said, and is no error.
pub async fn perturb(tx: &WriteTx, tables: &[String], never: &[String]) -> Result<Vec<String>, Failure> {
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
        })
        .collect();
    let mut under = Vec::new();
    for table in &movable {
        if table.rules || never.contains(&table.table) {
            under.push(format!("rows of {} where they were", table.table));
        } else {
            under.extend(moved(tx, table).await?);
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

/// Writes the first rows of a table again as they are, so that they come last; triggers that would see it are off.
async fn moved(tx: &WriteTx, table: &Movable) -> Result<Option<String>, Failure> {
    let Movable { table: name, column, off, on, pages, .. } = table;
    if *pages == 0 {
        return Ok(None);
    }
    let column = crate::name::quote::ident(column).unwrap_or_else(|_| column.clone());
    let most =
        if *pages <= HALF { format!("(SELECT pg_catalog.count(*) / 2 FROM ONLY {name})") } else { FIRST.to_string() };
    let again = format!(
        "UPDATE ONLY {name} SET {column} = {column} \
         WHERE ctid = ANY (ARRAY(SELECT ctid FROM ONLY {name} LIMIT {most}))"
    );
    tx.control("SAVEPOINT engine_move").await?;
    let tried = async {
        if !off.is_empty() {
            tx.control(&format!("ALTER TABLE {name} {}", off.join(", "))).await?;
        }
        let rows = tx.execute(&again).await?;
        if !on.is_empty() {
            tx.control(&format!("ALTER TABLE {name} {}", on.join(", "))).await?;
        }
        Ok::<u64, Failure>(rows)
    }
    .await;
    let (end, said) = match tried {
        Ok(rows) => ("RELEASE SAVEPOINT engine_move", format!("{rows} rows of {name} moved behind the others")),
        Err(failure) if failure.sqlstate.is_some() => {
            let end = "ROLLBACK TO SAVEPOINT engine_move; RELEASE SAVEPOINT engine_move";
            (end, format!("rows of {name} where they were ({})", crate::proof::forward::said(&failure)))
        }
        Err(failure) => return Err(failure),
    };
    tx.control(end).await?;
    Ok(Some(said))
}
