//! Content of a clone's tables that is known without reading them: what the clone was verified to hold, of tables that no
//! stage has written since. So the state before a stage costs nothing where a table is big.

use super::SqlStage;
use crate::event::{Event, Failure, StageState};
use crate::fingerprint::{TableKind, TablePrint};
use crate::proof;
use crate::stage::Cx;
use crate::target::Tx;

/// Prints of those of `tables` that are big and as they were cloned.
///
/// # Errors
/// The server's, or a stored fingerprint is not what the journal says.
pub(super) async fn prints(cx: &Cx, tx: &Tx, stage: &SqlStage, tables: &[String]) -> Result<Vec<TablePrint>, Failure> {
    // Columns that are left out of a comparison are in the fingerprint; definitions may have changed its columns.
    if !stage.work.alters.is_empty() {
        return Ok(Vec::new());
    }
    // What a rollback left is what its template says, not what the clone was made as.
    if cx.with_state(|state| state.went_back) {
        return Ok(Vec::new());
    }
    let ignored =
        |name: &String| stage.work.ignore.iter().any(|(table, _)| table == name || *table == name.replace('"', ""));
    let big: Vec<String> = proof::followable(tx, tables)
        .await?
        .into_iter()
        .filter(|name| !ignored(name) && !touched(cx, stage, name))
        .collect();
    let made_by = cx.with_state(|state| match state.clones.get(&stage.on) {
        Some(Event::CloneMade { stage, .. }) => Some(stage.clone()),
        _ => None,
    });
    let Some(made_by) = made_by.filter(|_| !big.is_empty()) else { return Ok(Vec::new()) };
    let cloned = cx.stored_fingerprint(&made_by, "source")?;
    Ok(cloned
        .tables
        .into_iter()
        .filter(|print| big.contains(&print.name) && print.kind == TableKind::Table && print.sum.is_some())
        .collect())
}

/// Has any other stage written the table, or defined anything of it, as far as the journal knows?
fn touched(cx: &Cx, stage: &SqlStage, table: &str) -> bool {
    let by = |state: &StageState| {
        state.writes.iter().any(|wrote| wrote.table == table && wrote.total() > 0)
            || state.files.contains_key(table)
            || !state.altered.is_empty()
    };
    cx.with_state(|state| state.stages.iter().any(|(name, state)| *name != stage.head.name && by(state)))
}
