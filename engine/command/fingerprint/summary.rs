//! A fingerprint on one screen.

use super::side::{Side, Taken};
use crate::clock::show_ms;
use crate::fingerprint::{Fingerprint, Level, TablePrint};
use std::fmt::Write;

/// Tables that are listed by size.
const BIGGEST: usize = 5;

/// What is not read is listed up to here; the file has all of it.
const LISTED: usize = 20;

/// The screen.
pub(super) fn drawn(side: &Side, taken: &Taken) -> String {
    let print = &taken.print;
    let mut text = format!("{} at {} · PostgreSQL {}", print.database.database, side.address, print.database.version);
    let standby = if print.database.in_recovery { ", a standby" } else { "" };
    let could = match side.powers.first() {
        None => ", which can only read".to_owned(),
        Some(power) => {
            format!(", which {power}; this transaction was READ ONLY and wrote nothing")
        }
    };
    let _ = writeln!(text, "{standby} · as {}{could}", print.database.session_user);
    let _ = writeln!(text, "  level      {}, one snapshot, read in {}", word(print.level), show_ms(taken.ms));
    let _ = writeln!(text, "  digest     {}", print.digest);
    let _ = writeln!(text, "  schema     {} objects", print.objects.len());
    if print.level != Level::Schema {
        let size = if print.level == Level::Content { format!(", {}", bytes(print.bytes())) } else { String::new() };
        let _ = writeln!(text, "  rows       {} in {} tables{size}", print.rows(), print.tables.len());
        let _ = writeln!(text, "  sequences  {}", print.sequences.len());
    }
    if let Some(large) = &print.large_objects {
        let _ = writeln!(text, "  large objects  {}", large.count);
    }
    list(&mut text, "biggest", biggest(print).map(|table| line(table, print.level)), BIGGEST, None);
    let excluded = print.excluded.iter().cloned();
    list(&mut text, "not read", excluded, LISTED, Some(print.excluded.len()));
    text
}

/// A heading and its lines, if there are any.
fn list(text: &mut String, heading: &str, lines: impl Iterator<Item = String>, most: usize, all: Option<usize>) {
    let shown: Vec<String> = lines.take(most).collect();
    if shown.is_empty() {
        return;
    }
    let _ = writeln!(text, "  {heading}");
    for line in &shown {
        let _ = writeln!(text, "    {line}");
    }
    if let Some(more) = all.map(|all| all - shown.len()).filter(|more| *more > 0) {
        let _ = writeln!(text, "    and {more} more; -o FILE keeps all of it");
    }
}

fn biggest(print: &Fingerprint) -> impl Iterator<Item = &TablePrint> {
    let mut tables: Vec<&TablePrint> = print.tables.iter().filter(|table| table.rows > 0).collect();
    tables.sort_by_key(|table| std::cmp::Reverse((table.bytes, table.rows)));
    tables.into_iter()
}

fn line(table: &TablePrint, level: Level) -> String {
    let size = if level == Level::Content { format!(", {}", bytes(table.bytes)) } else { String::new() };
    format!("{}  {} rows{size}", table.name, table.rows)
}

/// The same for machines: one line.
pub(super) fn json(side: &Side, taken: &Taken) -> serde_json::Value {
    let print = &taken.print;
    let biggest: Vec<&str> = biggest(print).take(BIGGEST).map(|table| table.name.as_str()).collect();
    serde_json::json!({
        "v": 1, "type": "fingerprint", "of": side.word, "database": print.database, "level": print.level,
        "digest": print.digest, "objects": print.objects.len(), "tables": print.tables.len(), "rows": print.rows(),
        "bytes": print.bytes(), "sequences": print.sequences.len(), "large_objects": print.large_objects,
        "biggest": biggest, "excluded": print.excluded, "powers": side.powers, "ms": taken.ms,
    })
}

/// As options write it.
pub(super) fn word(level: Level) -> &'static str {
    match level {
        Level::Schema => "schema",
        Level::Counts => "counts",
        Level::Content => "content",
    }
}

/// `4.5 MB`.
pub(super) fn bytes(count: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // shown with one digit
    let shown = |unit: u64| count as f64 / unit as f64;
    match count {
        0..1_000 => format!("{count} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", shown(1_000)),
        1_000_000..1_000_000_000 => format!("{:.1} MB", shown(1_000_000)),
        _ => format!("{:.1} GB", shown(1_000_000_000)),
    }
}
