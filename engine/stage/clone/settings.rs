//! `ALTER DATABASE SET`, which a dump without `-C` leaves out.

use super::super::source_facts::SourceFacts;
use super::quoted;
use crate::event::{Exit, Failure};
use crate::name::quote::literal;
use crate::target::Maker;

/// Sets them, each alone: what needs a superuser is left out and listed.
pub(super) async fn restore(maker: &Maker, working: &str, facts: &SourceFacts) -> Result<Vec<String>, Failure> {
    let mut left_out = Vec::new();
    for (name, value) in &facts.settings {
        let text = setting_text(name, value)?;
        let statement = format!("ALTER DATABASE {} SET {} TO {text}", quoted(working)?, quoted(name)?);
        match maker.inside(working, &[statement]).await {
            Ok(()) => {}
            Err(refused) if refused.sqlstate.as_deref() == Some("42501") => {
                left_out.push(format!("setting {name}"));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(left_out)
}

/// A setting's value as SQL. Lists of names are quoted item by item: the catalog holds them as one text.
pub(super) fn setting_text(name: &str, value: &str) -> Result<String, Failure> {
    let failed = |e| Failure::new(Exit::Io, format!("setting `{name}`: {e}"));
    let lists = ["search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"];
    if !lists.contains(&name) {
        return literal(value).map_err(failed);
    }
    let item = |item: &str| literal(item.trim().trim_matches('"')).map_err(failed);
    Ok(value.split(',').map(item).collect::<Result<Vec<_>, _>>()?.join(", "))
}
