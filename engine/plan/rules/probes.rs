//! `[probe.NAME]`.

use super::super::keys::Keys;
use super::super::{Probe, Spot};
use super::{Tables, words};
use crate::diag::Diagnostics;
use crate::name;
use std::collections::HashSet;

pub(super) fn read(tables: Tables, targets: &[String], out: &mut Diagnostics) -> Vec<Probe> {
    let known: HashSet<&str> = targets.iter().map(String::as_str).collect();
    tables.into_iter().filter_map(|(name, keys)| probe(name, keys, &known, out)).collect()
}

fn probe(name: Spot<String>, mut keys: Keys, targets: &HashSet<&str>, out: &mut Diagnostics) -> Option<Probe> {
    words::name(&name, "a probe", name::readable, out);
    if !keys.has("on") {
        words::missing(&keys, "on", "write `on = \"TARGET\"`, the target it reads", out);
    }
    let on = keys.text("on", out);
    if let Some(on) = on.as_ref().filter(|on| !targets.contains(on.value.as_str())) {
        words::known("target", on, targets.iter().copied(), out);
    }
    if !keys.has("sql") {
        words::missing(&keys, "sql", "write `sql = \"SELECT ...\"`, one row of one column", out);
    }
    let sql = keys.filled("sql", out);
    let doc = keys.text("doc", out).map(|doc| doc.value);
    keys.finish(&["on", "doc", "sql"], out);
    Some(Probe { name, on: on?, doc, sql: sql? })
}
