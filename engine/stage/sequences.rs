//! Sequences move outside of transactions: what an attempt, a reject or a proof moved stays moved after ROLLBACK.
//!
//! Where a stage leaves a clone "as before", they are put back to what it found, by the maker's session; otherwise an
//! honest second attempt would differ from the baseline for ever.

use super::Cx;
use crate::event::{Failure, SequenceMove};
use crate::fingerprint::{self, SequenceState};
use crate::proof::measure;
use crate::target::{Isolation, Reader, Tx};

/// Where sequences stood: name, `last_value`, `is_called`.
pub type Places = Vec<(String, i64, bool)>;

/// Where they stand, within a transaction.
///
/// # Errors
/// The server's.
pub async fn places(tx: &Tx) -> Result<Places, Failure> {
    Ok(stand(&fingerprint::sequences(tx).await?))
}

/// The same of sequences that were read.
pub fn stand(sequences: &[SequenceState]) -> Places {
    sequences.iter().map(|s| (s.name.clone(), s.last_value, s.is_called)).collect()
}

/// What moved since; one that is new or gone is a matter of definitions.
///
/// # Errors
/// The clone cannot be reached.
pub async fn moved_since(reader: &Reader, then: &Places) -> Result<Vec<SequenceMove>, Failure> {
    let tx = reader.begin("sequences", Isolation::Fresh).await?;
    let now = places(&tx).await?;
    tx.finish().await?;
    let moved = |(name, last_value, is_called): &(String, i64, bool)| {
        let (_, now_value, now_called) = now.iter().find(|(n, ..)| n == name)?;
        let (before, after) = ((*last_value, *is_called), (*now_value, *now_called));
        (before != after).then(|| SequenceMove { sequence: name.clone(), before, after })
    };
    Ok(then.iter().filter_map(moved).collect())
}

/// Moves that can be of `stage`: those of sequences that no other stage has drawn from, on the same clone, since its last
/// attempt began.
pub fn own(cx: &Cx, stage: &str, moves: Vec<SequenceMove>) -> Vec<SequenceMove> {
    let others = |name: &str| {
        cx.with_state(|state| {
            let begun = state.stages.get(stage).map_or(0, |own| own.attempt_at);
            let beside = |of: &str| of != stage && cx.homes.get(of) == cx.homes.get(stage);
            state.stages.iter().any(|(of, known)| beside(of) && known.drew_after(begun, name))
        })
    };
    moves.into_iter().filter(|m| !others(&m.sequence)).collect()
}

/// Puts sequences of a clone back to where they were before a move.
///
/// # Errors
/// The clone cannot be reached.
pub async fn put_back(cx: &Cx, on: &str, moves: &[SequenceMove]) -> Result<(), Failure> {
    cx.alone()?;
    let target = cx.targets.clone_target(on)?;
    target.maker.inside(&target.live()?.expected.database, &measure::put_back(moves)?).await
}

/// Keeps places in the run's folder, for a process that takes the run up again.
///
/// # Errors
/// The disk did not take it.
pub fn keep(cx: &Cx, file: &str, places: &Places) -> Result<(), Failure> {
    // A file is synced, and its folder: nothing to keep needs none.
    if places.is_empty() {
        return forget(cx, file);
    }
    let bytes = serde_json::to_vec(places).expect("invariant: sequences are JSON");
    cx.journal.place().keep(file, &bytes)
}

/// Places that were kept; none when there was no sequence, of which the stage then `moved` none.
///
/// # Errors
/// The file cannot be read, or is lost.
pub fn kept(cx: &Cx, file: &str, moved: &[SequenceMove]) -> Result<Places, Failure> {
    if moved.is_empty() && !cx.dir.join(file).exists() { Ok(Places::new()) } else { super::sql::stored(cx, file) }
}

/// Undoes what an attempt that did not commit moved, of sequences that are its `own`. It left `file` behind if it got as far as its SQL; the file goes
/// once its sequences are back.
///
/// # Errors
/// The clone cannot be reached; the file stays, and the next attempt does it.
pub async fn undo(
    cx: &Cx,
    on: &str,
    file: &str,
    own: impl FnOnce(Vec<SequenceMove>) -> Vec<SequenceMove>,
) -> Result<(), Failure> {
    if !cx.dir.join(file).exists() {
        return Ok(());
    }
    let found: Places = super::sql::stored(cx, file)?;
    let live = cx.targets.clone_target(on)?.live()?;
    put_back(cx, on, &own(moved_since(&live.reader, &found).await?)).await?;
    forget(cx, file)
}

/// Forgets where sequences were found: what was drawn since then stays drawn.
///
/// # Errors
/// The disk did not take it.
pub fn forget(cx: &Cx, file: &str) -> Result<(), Failure> {
    if cx.dir.join(file).exists() { cx.journal.place().forget(file) } else { Ok(()) }
}
