//! Rows that differ, with their values: shortened by the server, so that a large one never comes here.

use super::super::side::Side;
use super::scan::{Position, positions};
use super::{Found, RowDifference, Table, TableRows, Values};
use crate::event::{Exit, Failure};
use crate::fingerprint::Leaf;
use std::fmt::Write;

/// Characters of a value that are shown.
const SHOWN: usize = 60;

/// Columns beside the key that are shown of a row that one side only has.
const COLUMNS: usize = 6;

/// Fetches what there is to show.
pub(super) async fn shown(
    table: &Table<'_>,
    there: &Side,
    here: &Side,
    found: &[Found],
) -> Result<Vec<RowDifference>, Failure> {
    let at = |side: fn(&Found) -> Option<Position>| found.iter().filter_map(side).collect::<Vec<Position>>();
    let was_at = at(|f| f.there.as_ref().map(|held| held.position));
    let is_at = at(|f| f.here.as_ref().map(|held| held.position));
    let was = values(there, table.there, table, &was_at).await?;
    let is = values(here, table.here, table, &is_at).await?;
    let [a, b] = table.sources(there, here);
    let (was_hashes, is_hashes) = (a.columns_at(&was_at).await?, b.columns_at(&is_at).await?);
    let mut rows = Vec::with_capacity(found.len());
    for one in found {
        let row = |values: &Values, held: &Option<super::Held>| {
            held.as_ref().and_then(|held| values.get(&held.position).cloned()).unwrap_or_default()
        };
        let (old, new) = (row(&was, &one.there), row(&is, &one.here));
        let changed = match (&one.there, &one.here) {
            (Some(there), Some(here)) => {
                let (there, here) = (was_hashes.get(&there.position), is_hashes.get(&here.position));
                let differs = |at: &usize| there.map(|h| h.get(*at)) != here.map(|h| h.get(*at));
                (0..table.columns.len()).filter(differs).collect()
            }
            _ => Vec::new(),
        };
        rows.push(row_difference(table, one, &old, &new, &changed));
    }
    rows.sort_by_cached_key(|row| row.key.iter().map(|(_, value)| natural(value)).collect::<Vec<_>>());
    Ok(rows)
}

fn row_difference(
    table: &Table<'_>,
    found: &Found,
    old: &[Option<String>],
    new: &[Option<String>],
    changed: &[usize],
) -> RowDifference {
    let present = if found.here.is_some() { new } else { old };
    let named = |at: usize| table.columns.get(at).cloned().unwrap_or_default();
    let value = |row: &[Option<String>], at: usize| row.get(at).cloned().flatten();
    let key: Vec<usize> = if table.key.is_empty() { (0..table.columns.len()).collect() } else { table.key.clone() };
    let count = |held: &Option<super::Held>| Some(held.as_ref().map_or(0, |held| held.count).to_string());
    let (kind, columns) = match (&found.there, &found.here) {
        _ if table.key.is_empty() => ("times", vec![("rows".into(), count(&found.there), count(&found.here))]),
        (Some(_), Some(_)) => {
            ("changed", changed.iter().map(|at| (named(*at), value(old, *at), value(new, *at))).collect())
        }
        (there, _) => {
            let others = (0..table.columns.len()).filter(|at| !key.contains(at)).take(COLUMNS);
            let columns = others.map(|at| (named(at), value(old, at), value(new, at))).collect();
            (if there.is_some() { "only there" } else { "only here" }, columns)
        }
    };
    let text = |at: &usize| (named(*at), quoted(value(present, *at).as_deref()));
    RowDifference { kind, key: key.iter().map(text).collect(), columns }
}

/// Values as text, by the types' own output, `NULL` as `None`.
async fn values(side: &Side, leaf: &Leaf, table: &Table<'_>, at: &[Position]) -> Result<Values, Failure> {
    let mut found = Values::new();
    let columns: Vec<String> = table.columns.iter().filter_map(|name| {
        let column = &leaf.columns.iter().find(|column| column.name == *name)?.quoted;
        Some(format!(
            "CASE pg_catalog.num_nulls({column}) WHEN 0 THEN pg_catalog.left(pg_catalog.format('%s', {column}), {}) END",
            SHOWN + 1
        ))
    }).collect();
    for some in at.chunks(200) {
        let sql = format!(
            "SELECT ctid::pg_catalog.text, ARRAY[{}]::pg_catalog.text[] FROM ONLY {} WHERE ctid = ANY ({})",
            columns.join(", "),
            leaf.name,
            positions(some)
        );
        for row in side.tx.query(&sql, &[]).await? {
            let lost = |e: &dyn std::fmt::Display| {
                Failure::new(Exit::Io, format!("a row of {} cannot be shown: {e}", leaf.name))
            };
            let (place, values): (String, Vec<Option<String>>) =
                (row.try_get(0).map_err(|e| lost(&e))?, row.try_get(1).map_err(|e| lost(&e))?);
            if let Some(position) = some.iter().find(|position| position.text() == place) {
                found.insert(*position, values);
            }
        }
    }
    Ok(found)
}

/// The screen of one table.
pub(in crate::command::fingerprint) fn drawn(table: &TableRows) -> String {
    let all = match table.all {
        Some(all) if all == table.rows.len() => format!("{all}"),
        Some(all) => format!("{} of {all}", table.rows.len()),
        None => format!("{} of many", table.rows.len()),
    };
    let by = if table.key.is_empty() {
        "no key on both sides: by content".to_owned()
    } else {
        format!("by {}", table.key.join(", "))
    };
    let mut text = format!("\nrows of {}: {all}, {by}\n", table.table);
    if !table.uncommon.is_empty() {
        let _ = writeln!(text, "  not compared, on one side only: {}", table.uncommon.join(", "));
    }
    if table.rows.is_empty() {
        let _ = writeln!(text, "  none: what differs is in columns that are not compared");
    }
    for row in &table.rows {
        let key: Vec<String> = row.key.iter().map(|(column, value)| format!("{column}={value}")).collect();
        let _ = writeln!(text, "  {:<10}  {}{}", row.kind, key.join(" "), beside(row));
    }
    text
}

fn beside(row: &RowDifference) -> String {
    let parts = row.columns.iter().map(|(column, was, is)| {
        let (was, is) = (was.as_deref(), is.as_deref());
        match row.kind {
            "times" => format!("{} there, {} here", was.unwrap_or("0"), is.unwrap_or("0")),
            "changed" if was == is => format!("{column}: {} on both, and differs further on", quoted(is)),
            "changed" => format!("{column}: {} -> {}", quoted(was), quoted(is)),
            "only there" => format!("{column}={}", quoted(was)),
            _ => format!("{column}={}", quoted(is)),
        }
    });
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { String::new() } else { format!("  ({})", parts.join(", ")) }
}

/// The same for machines: a line a row.
pub(in crate::command::fingerprint) fn json(table: &TableRows) -> impl Iterator<Item = serde_json::Value> {
    table.rows.iter().map(|row| {
        let key: serde_json::Map<_, _> =
            row.key.iter().map(|(column, value)| (column.clone(), value.clone().into())).collect();
        let columns: serde_json::Map<_, _> = row
            .columns
            .iter()
            .map(|(column, was, is)| (column.clone(), serde_json::json!({ "there": was, "here": is })))
            .collect();
        serde_json::json!({
            "v": 1, "type": "row", "table": table.table, "kind": row.kind.replace(' ', "_"), "key": key,
            "columns": columns,
        })
    })
}

/// One line, shortened, with quotes unless it is a plain word or number.
fn quoted(value: Option<&str>) -> String {
    let Some(value) = value else { return "NULL".to_owned() };
    let plain =
        !matches!(value, "" | "NULL") && value.chars().all(|c| c.is_ascii_alphanumeric() || "+-._:".contains(c));
    let long = value.chars().count() > SHOWN;
    let short: String = value.chars().take(SHOWN).collect();
    let text = if plain { short } else { format!("{short:?}") };
    if long { format!("{text}...") } else { text }
}

/// Numbers by value, everything else as text.
fn natural(value: &str) -> (Option<i128>, String) {
    (value.parse().ok(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_on_one_line_and_short() {
        assert_eq!(quoted(None), "NULL");
        assert_eq!(quoted(Some("NULL of it")), "\"NULL of it\"");
        assert_eq!(quoted(Some("a\nb")), "\"a\\nb\"");
        assert_eq!(quoted(Some("-1.50")), "-1.50");
        assert_eq!(quoted(Some(&"x".repeat(61))), format!("{}...", "x".repeat(60)));
    }
}
