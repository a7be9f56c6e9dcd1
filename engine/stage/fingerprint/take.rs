//! Taking the fingerprint of a target: all of it, or only what an earlier one does not prove unchanged.

use crate::copy::{Crew, Split};
use crate::event::{Event, Failure};
use crate::fingerprint::{self, Fingerprint, Horizon, Level, Scope, TablePrint, Verdict};
use crate::stage::Cx;
use crate::target::{Isolation, Reader, Tx};
use std::sync::Arc;

/// How tables were looked at.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Tables that were not read: their watermark proves them unchanged.
    pub(super) by_watermark: u64,
    /// Tables that were read, and why; empty when there was no watermark to go by.
    pub(super) read: Vec<String>,
}

/// Takes a fingerprint in one snapshot, by `jobs` sessions. On a target that is no clone each of their transactions
/// goes into the journal.
pub(in crate::stage) async fn taken(
    cx: &Cx,
    reader: &Reader,
    purpose: &str,
    scope: &Scope,
    jobs: usize,
) -> Result<Fingerprint, Failure> {
    Ok(taken_since(cx, reader, purpose, scope, jobs, None).await?.0)
}

/// The same; tables that the watermark of `then` proves unchanged are not read.
pub(super) async fn taken_since(
    cx: &Cx,
    reader: &Reader,
    purpose: &str,
    scope: &Scope,
    jobs: usize,
    then: Option<&Fingerprint>,
) -> Result<(Fingerprint, Looked), Failure> {
    let tx = reader.begin(purpose, Isolation::Snapshot).await?;
    let snapshot = Some(tx.export_snapshot().await?);
    let crew = Crew {
        reader: reader.clone(),
        snapshot,
        purpose: purpose.to_owned(),
        jobs,
        split: Split::Evenly,
        loads: Arc::default(),
    };
    let target = tx.target().to_owned();
    let watched = cx.targets.plain.contains_key(&target);
    let (known, looked) = match then {
        Some(then) if scope.level == Level::Content => proved(&tx, then).await?,
        _ => (Vec::new(), Looked::default()),
    };
    let (mut print, records) = fingerprint::take_by(&tx, &crew, scope, &known).await?;
    if watched && scope.level == Level::Content {
        print.horizon = Some(Horizon::of(&tx).await?);
    }
    cx.finish(tx).await?;
    if watched {
        for record in records {
            cx.record(Event::Transaction { record })?;
        }
    }
    Ok((print, looked))
}

/// Tables of an earlier fingerprint that are what they were, in this snapshot.
async fn proved(tx: &Tx, then: &Fingerprint) -> Result<(Vec<TablePrint>, Looked), Failure> {
    let Some(horizon) = &then.horizon else { return Ok((Vec::new(), Looked::default())) };
    let verdicts = fingerprint::unchanged_since(tx, &horizon.watermark(&then.tables)).await?;
    let same = |print: &&TablePrint| {
        print.sum.is_some() && verdicts.iter().any(|v| v.oid == print.oid && v.verdict == Verdict::Unchanged)
    };
    let known: Vec<TablePrint> = then.tables.iter().filter(same).cloned().collect();
    let read = verdicts.iter().filter_map(|v| match &v.verdict {
        Verdict::Unchanged | Verdict::Gone => None,
        Verdict::New => Some(format!("{}: it is new", v.name)),
        Verdict::Unknown(why) => Some(format!("{}: {why}", v.name)),
    });
    let looked = Looked { by_watermark: known.len() as u64, read: read.collect() };
    Ok((known, looked))
}
