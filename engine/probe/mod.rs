//! Probes: named read-only queries that yield one value each, a reading.
//!
//! All probes of one target are taken in one statement, hence in one snapshot, inside a savepoint that can only
//! read. If that statement fails, they are read one by one, to name the culprit. A reading that cannot be had
//! (no row, two rows, an error) is a reading with a problem, never an error of ours.

use crate::event::{Failure, Reading};
use crate::target::{Says, Tx};

/// A probe ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its name.
    pub name: String,
    /// Target it reads.
    pub target: String,
    /// One SELECT, rendered.
    pub sql: String,
    /// What it means.
    pub doc: Option<String>,
}

/// Types a probe may yield, as PostgreSQL's `typname`.
pub const TYPES: [&str; 12] = [
    "bool",
    "int2",
    "int4",
    "int8",
    "numeric",
    "text",
    "date",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "jsonb",
];

/// Takes readings within a transaction; their order is that of `queries`.
///
/// # Errors
/// The connection was lost or the transaction is not itself any more.
pub async fn read(tx: &Tx, queries: &[&Query]) -> Result<Vec<Reading>, Failure> {
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    tx.enter_read_only().await?;
    let together = read_together(tx, queries).await;
    tx.leave_read_only().await?;
    if let Ok(readings) = together {
        return Ok(readings);
    }
    let mut readings = Vec::with_capacity(queries.len());
    for query in queries {
        tx.enter_read_only().await?;
        let alone = read_together(tx, &[query]).await;
        tx.leave_read_only().await?;
        readings.push(match alone {
            Ok(mut one) => one.pop().expect("invariant: one query, one reading"),
            Err(failure) if failure.sqlstate.is_some() => {
                problem(query, "", format!("cannot be read: {}", tx.said(&failure)))
            }
            Err(failure) => return Err(failure),
        });
    }
    Ok(readings)
}

async fn read_together(tx: &Tx, queries: &[&Query]) -> Result<Vec<Reading>, Failure> {
    let mut kinds = Vec::with_capacity(queries.len());
    for query in queries {
        kinds.push(tx.column_types(Says::Plan, &query.sql).await?);
    }
    let usable = |kind: &[String]| kind.len() == 1 && TYPES.contains(&kind[0].as_str());
    // Two rows are enough to know that there is more than one; an array tells no row from a NULL.
    let columns: Vec<String> = queries
        .iter()
        .zip(&kinds)
        .filter(|(_, kind)| usable(kind))
        .map(|(query, _)| {
            format!(
                "(SELECT pg_catalog.array_agg(q.v::pg_catalog.text) FROM (SELECT p.v FROM (\n{}\n) AS p(v) LIMIT 2) AS q)",
                query.sql
            )
        })
        .collect();
    let row = if columns.is_empty() {
        None
    } else {
        Some(tx.query_one_as(Says::Plan, &format!("SELECT {}", columns.join(",\n")), &[]).await?)
    };
    let mut column = 0;
    let mut readings = Vec::with_capacity(queries.len());
    for (query, kind) in queries.iter().zip(&kinds) {
        readings.push(match (usable(kind), &row) {
            (true, Some(row)) => {
                column += 1;
                reading(query, &kind[0], row.get::<_, Option<Vec<Option<String>>>>(column - 1).as_deref())
            }
            _ => problem(query, "", wrong_columns(kind)),
        });
    }
    Ok(readings)
}

fn reading(query: &Query, kind: &str, rows: Option<&[Option<String>]>) -> Reading {
    match rows {
        None | Some([]) => problem(query, kind, "returned no row".into()),
        Some([value]) => {
            Reading { probe: query.name.clone(), kind: kind.to_owned(), value: value.clone(), problem: None }
        }
        Some(_) => problem(query, kind, "returned more than one row".into()),
    }
}

fn problem(query: &Query, kind: &str, why: String) -> Reading {
    Reading { probe: query.name.clone(), kind: kind.to_owned(), value: None, problem: Some(why) }
}

fn wrong_columns(kinds: &[String]) -> String {
    match kinds {
        [kind] => format!("yields {kind}; cast it to one of {}", TYPES.join(", ")),
        many => format!("yields {} columns where one was expected", many.len()),
    }
}
