//! What a stage outside of any transaction can leave half done: what was there before anything was sent, what of it is not
//! any more, and clearing away what no statement means to leave.
//!
//! Both ways need it: forward, where `done_when` would take an index that is not valid for one that is; and back, where
//! `IF NOT EXISTS` would.

use super::stored;
use crate::crash;
use crate::event::{Event, Failure};
use crate::fingerprint::{self, SchemaObject};
use crate::proof::{Work, bounds, measure};
use crate::stage::{Cx, sequences};
use crate::target::{Alone, Isolation, Live, Tx};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

const HALF_DONE: &str = include_str!("../../../sql/engine/measure/half_done.sql");
const NOT_VALID: &str = include_str!("../../../sql/engine/measure/not_valid.sql");

/// Insufficient privilege.
const NOT_ALLOWED: &str = "42501";

/// What was there before anything was sent; kept in the run's folder until the stage is done, or undone.
#[derive(Debug, Serialize, Deserialize)]
pub struct Found {
    /// Oids of indexes that were not valid then, and are nobody's to drop.
    not_valid: Vec<i64>,
    objects: Vec<SchemaObject>,
}

/// Where somebody who clears away is going.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// On: a partition whose detaching was begun is detached.
    Forward,
    /// Back: it is left, since detaching it is no way back.
    Back,
}

/// What was there before this stage sent anything; `None`: it has not sent anything, or has come to its end.
///
/// # Errors
/// The file is lost.
pub fn found(cx: &Cx, stage: &str) -> Result<Option<Found>, Failure> {
    if is_kept(&cx.dir, stage) { stored(cx, &file(stage)).map(Some) } else { Ok(None) }
}

/// Has it sent something, and not come to its end?
pub fn is_kept(folder: &Path, stage: &str) -> bool {
    folder.join(file(stage)).exists()
}

/// Keeps what is there now.
///
/// # Errors
/// The server's, or the file cannot be written.
pub async fn keep(cx: &Cx, live: &Live, stage: &str) -> Result<(), Failure> {
    let tx = live.reader.begin("what is there", Isolation::Snapshot).await?;
    let not_valid = tx.query(NOT_VALID, &[]).await?.iter().map(|row| row.get(0)).collect();
    let objects = fingerprint::objects(&tx).await?;
    tx.finish().await?;
    let bytes = serde_json::to_vec(&Found { not_valid, objects }).expect("invariant: this is JSON");
    cx.journal.place().keep(&file(stage), &bytes)
}

/// The stage has come to its end, either way.
///
/// # Errors
/// The file cannot be removed.
pub fn forget(cx: &Cx, stage: &str) -> Result<(), Failure> {
    sequences::forget(cx, &file(stage))
}

/// Definitions that are not what they were, each with what it belongs to.
///
/// # Errors
/// The server's.
pub async fn altered(cx: &Cx, tx: &Tx, stage: &str, found: &Found) -> Result<Vec<(String, Option<String>)>, Failure> {
    let objects = measure::changed_objects(&found.objects, &fingerprint::objects(tx).await?);
    // Between two attempts other stages may have defined what they declare.
    let others = cx.with_state(|state| {
        let others = state.stages.iter().filter(|(name, _)| *name != stage);
        others.flat_map(|(_, other)| other.altered.clone()).collect::<BTreeSet<String>>()
    });
    Ok(objects.into_iter().filter(|(what, _)| !others.contains(what)).collect())
}

/// Definitions that changed since it began, either way, all of them declared.
///
/// # Errors
/// One is not declared, or belongs to what is never touched (42); the server's.
pub async fn within_bounds(cx: &Cx, live: &Live, work: &Work) -> Result<Vec<String>, Failure> {
    // Beside other writers nobody can tell whose definition it is.
    let name = work.stage.as_str();
    let Some(found) = found(cx, name)?.filter(|_| !work.parallel) else { return Ok(Vec::new()) };
    let tx = live.reader.begin("what was altered", Isolation::Snapshot).await?;
    let resolved = bounds::resolve(&tx, work).await?;
    let objects = altered(cx, &tx, name, &found).await?;
    tx.finish().await?;
    let mut delta = measure::Delta { objects, ..measure::Delta::default() };
    if !delta.objects.is_empty() {
        delta.catalogs = [("pg_class".to_owned(), delta.objects.len() as u64)].into();
    }
    resolved.hold(name, &delta)?;
    Ok(bounds::Resolved::altered(&delta))
}

/// What of a stage that was stopped half way stands, in words; empty: nothing does.
///
/// # Errors
/// The server's.
pub async fn stands(cx: &Cx, live: &Live, work: &Work) -> Result<Vec<String>, Failure> {
    let Some(found) = found(cx, &work.stage)? else { return Ok(Vec::new()) };
    let tx = live.reader.begin("what stands of it", Isolation::Snapshot).await?;
    let mut words: BTreeSet<String> =
        altered(cx, &tx, &work.stage, &found).await?.into_iter().map(|(what, _)| what).collect();
    // Of maintenance an index of a TOAST table may be left, which only a superuser may drop.
    let counts = |left: &Left| !(left.toast && work.changes_nothing());
    words.extend(left(&tx, work, &found).await?.into_iter().filter(counts).map(|left| left.words));
    tx.finish().await?;
    Ok(words.into_iter().collect())
}

/// What is not valid still, at the end of a stage: a line each.
///
/// # Errors
/// The server's.
pub async fn left_over(cx: &Cx, live: &Live, work: &Work) -> Result<Vec<String>, Failure> {
    let Some(found) = found(cx, &work.stage)? else { return Ok(Vec::new()) };
    let tx = live.reader.begin("what is left over", Isolation::Fresh).await?;
    let left = left(&tx, work, &found).await?;
    tx.finish().await?;
    Ok(left.into_iter().map(|left| format!("left: {}", left.words)).collect())
}

/// What became of what was left half done, a line each.
#[derive(Default)]
pub struct Cleared {
    /// Gone.
    pub away: Vec<String>,
    /// Still there: indexes of TOAST tables, which stand in a schema that the stage's role may not use.
    pub kept: Vec<String>,
}

impl Cleared {
    /// For the failure of an attempt, and for people.
    pub fn facts(&self) -> Vec<String> {
        let away = (!self.away.is_empty()).then(|| format!("cleared away: {}", self.away.join("; ")));
        away.into_iter().chain(self.kept.iter().map(|kept| format!("left: {kept}"))).collect()
    }
}

/// Drops what was left half done.
///
/// # Errors
/// The server's; what was dropped before stays so.
pub async fn clear_away(cx: &Cx, live: &Live, work: &Work, towards: Towards) -> Result<Cleared, Failure> {
    let mut cleared = Cleared::default();
    let Some(found) = found(cx, &work.stage)? else { return Ok(cleared) };
    let tx = live.reader.begin("what is half done", Isolation::Fresh).await?;
    let mut ours = left(&tx, work, &found).await?;
    tx.finish().await?;
    ours.retain(|left| towards == Towards::Forward || !left.goes_on);
    if ours.is_empty() {
        return Ok(cleared);
    }
    cx.alone()?;
    let purpose = format!("clearing away what stage `{}` left half done", work.stage);
    let alone = Alone::open(&live.writer, &purpose, work.timeout, work.lock_timeout).await?;
    for left in ours {
        cx.alone()?;
        match alone.execute(&left.statement).await {
            Ok(_) => cleared.away.push(format!("{}: {}", left.words, left.statement)),
            Err(failure) if left.toast && failure.sqlstate.as_deref() == Some(NOT_ALLOWED) => {
                cleared.kept.push(format!("{}, and only a superuser may: {}", left.words, left.statement));
            }
            Err(failure) => return Err(failure),
        }
        crash::point(|| "alone/cleared".to_owned());
    }
    for kept in &cleared.kept {
        cx.say(&work.stage, &format!("left: {kept}"));
    }
    let (what, kept) = (cleared.away.clone(), cleared.kept.clone());
    cx.record(Event::ClearedAway { stage: work.stage.clone(), what, kept })?;
    Ok(cleared)
}

/// One thing that is half done.
struct Left {
    words: String,
    /// What clears it away.
    statement: String,
    /// That brings it to its end, and not away.
    goes_on: bool,
    /// It is an index of a TOAST table.
    toast: bool,
}

async fn left(tx: &Tx, work: &Work, found: &Found) -> Result<Vec<Left>, Failure> {
    let rows = tx.query(HALF_DONE, &[&found.not_valid]).await?;
    let ours = rows.iter().filter(|row| means(work, &row.get::<_, Vec<String>>(2), row.get(3), row.get(4)));
    Ok(ours
        .map(|row| Left { words: row.get(0), statement: row.get(1), goes_on: row.get(4), toast: row.get(5) })
        .collect())
}

/// Can a statement of this stage have left that behind? It names the index, its table or the table's root, or goes over
/// the whole schema. Only one that detaches leaves a partition half `detached`.
fn means(work: &Work, names: &[String], schema: &str, detached: bool) -> bool {
    let scripts = || std::iter::once(&work.forward).chain(&work.rollback);
    let whole = |text: &str| says(text, "reindex") && says(text, "schema") && says(text, schema);
    scripts().filter(|script| !detached || says(&script.text, "detach")).any(|script| {
        names.iter().any(|name| says(&script.text, name) || says(&script.text, &name.replace('"', "\"\"")))
            || whole(&script.text)
    })
}

/// Bytes that PostgreSQL keeps of an index's name before `_ccnew`, or fewer, where a letter would be cut.
const CUT: std::ops::RangeInclusive<usize> = 54..=57;

/// Does a text name this, as a word of its own? One that may have been cut, as the beginning of a word.
fn says(text: &str, name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let ends = |rest: &str| !rest.starts_with(word) || CUT.contains(&name.len());
    let (text, low) = (text.to_lowercase(), name.to_lowercase());
    text.match_indices(&low).any(|(at, found)| !text[..at].ends_with(word) && ends(&text[at + found.len()..]))
}

fn file(stage: &str) -> String {
    format!("fingerprints/{stage}.alone.json")
}

#[cfg(test)]
mod tests {
    use super::says;

    #[test]
    fn a_name_is_a_word_and_one_that_was_cut_begins_one() {
        assert!(says("REINDEX INDEX CONCURRENTLY public.t_v;", "t_v"));
        assert!(!says("REINDEX INDEX CONCURRENTLY public.t_v2;", "t_v"));
        let long = "i".repeat(62);
        assert!(says(&format!("REINDEX INDEX CONCURRENTLY {long};"), &long[..57]));
        assert!(!says(&format!("REINDEX INDEX CONCURRENTLY x{long};"), &long[..57]));
    }
}
