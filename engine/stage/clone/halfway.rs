//! A clone that was interrupted: what an earlier process of this run finished is kept where production's watermark
//! proves that it has not changed, and only the rest is copied.
//!
//! Before the first row, what production and the half clone are is written down (`Origin`): that costs no look at rows.
//! Each large table that is wholly in is a line in the journal. `look` finds a half clone, `weigh` says what of it holds
//! at the new snapshot. Whatever is kept is read again and compared like everything else.

use super::super::Cx;
use super::making::{Begun, Making};
use super::{CloneStage, Method, working_name};
use crate::digest::{self, RowSum};
use crate::event::{CopiedTable, Event, Exit, Failure, HalfMade};
use crate::fingerprint::{self, Horizon, Leaf, SchemaObject, TableVerdict, Verdict, Watermark};
use crate::target::{CloneTarget, Expected, Isolation, Tx};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// A smaller table is copied again sooner than its line is on the disk.
const WORTH_KEEPING: u64 = 1 << 20;

/// Is a table of so many bytes worth a line?
pub(super) fn is_worth_keeping(bytes: u64) -> bool {
    bytes >= WORTH_KEEPING
}

/// Production at a snapshot, without its rows.
pub(super) struct Seen {
    watermark: Watermark,
    /// Identity of each object, and a digest of what it is.
    objects: BTreeMap<String, String>,
}

impl Seen {
    /// Looks at the catalog only.
    pub(super) async fn of(tx: &Tx) -> Result<Seen, Failure> {
        let watermark = Horizon::of(tx).await?.watermark(&[]);
        let object = |object: SchemaObject| {
            let parent = object.parent.unwrap_or_default();
            let text = format!("{}\0{parent}\0{}", object.kind, object.definition);
            (object.identity, digest::hex(text.as_bytes())[..32].to_owned())
        };
        Ok(Seen { watermark, objects: fingerprint::objects(tx).await?.into_iter().map(object).collect() })
    }

    /// The first object that is another one, or not on both sides.
    fn other_object(&self, then: &BTreeMap<String, String>) -> Option<String> {
        let changed = |(identity, digest): (&String, &String)| self.objects.get(identity) != Some(digest);
        let gone = then.iter().find(|(identity, digest)| changed((identity, digest))).map(|(identity, _)| identity);
        gone.or_else(|| self.objects.keys().find(|identity| !then.contains_key(*identity))).cloned()
    }
}

/// What a half clone was begun from.
#[derive(Serialize, Deserialize)]
struct Origin {
    source: Watermark,
    /// The half clone's own: its commits are not waited for, and a crash of its server may take them back.
    clone: Watermark,
    objects: BTreeMap<String, String>,
}

/// The server and database of a half clone, before its rows.
pub(super) async fn clone_mark(target: &CloneTarget, expected: &Expected) -> Result<Watermark, Failure> {
    let doors = target.doors(expected)?;
    let tx = doors.reader.begin("what the half clone is", Isolation::Snapshot).await?;
    let mark = Horizon::of(&tx).await?.watermark(&[]);
    tx.finish().await?;
    super::making::close(&doors);
    Ok(Watermark { tables: Vec::new(), ..mark })
}

/// Writes down that rows come now, and of what; with the tables that are there already.
pub(super) fn begin_rows(
    making: &Making<'_>,
    seen: Seen,
    (clone, expected): (Watermark, &Expected),
    kept: Vec<CopiedTable>,
) -> Result<(), Failure> {
    let cx = making.cx;
    let file = format!("half/{}.{}.json", making.name(), cx.journal.head().0);
    let origin = Origin { source: seen.watermark, clone, objects: seen.objects };
    let bytes = serde_json::to_vec(&origin).expect("invariant: an origin is JSON");
    cx.journal.place().keep(&file, &bytes)?;
    cx.record(Event::CloneRowsBegun {
        stage: making.name().to_owned(),
        database: expected.database.clone(),
        oid: expected.oid,
        file,
        file_sha256: digest::hex(&bytes),
        kept,
    })
}

/// A half clone that may be gone on with.
pub(super) struct Half {
    pub(super) expected: Expected,
    origin: Origin,
    finished: BTreeMap<i64, CopiedTable>,
}

/// Less is copied again in a moment: a failure does not leave a database behind for that.
const WORTH_LEAVING: u64 = 64 << 20;

/// What a resume could keep, in words. After a temporary failure a half clone stays when it holds enough, or when an
/// earlier process left it and this one has not begun another.
pub(super) fn worth_resuming(cx: &Cx, stage: &CloneStage, went_on: bool) -> Option<String> {
    let half = cx.with_state(|state| state.stage(&stage.head.name).half)?;
    let (tables, bytes) = (half.finished.len(), half.finished.values().map(|table| table.bytes).sum::<u64>());
    let worth = tables > 0 && (went_on || bytes >= WORTH_LEAVING);
    worth.then(|| format!("{tables} finished tables, {} MB", bytes / 1_000_000))
}

/// What an earlier process of this run left.
pub(super) enum Left {
    Nothing,
    /// Of no use, and why.
    Useless(String),
    Half(Box<Half>),
}

/// Looks for a half clone of this run, and ends what an earlier process still has at work in it.
pub(super) async fn look(cx: &Cx, stage: &CloneStage, target: &CloneTarget) -> Result<Left, Failure> {
    let working = working_name(&cx.run);
    let Some(found) = target.maker.find(&working).await? else { return Ok(Left::Nothing) };
    if stage.method == Method::Dump {
        return Ok(Left::Useless("method `dump` copies in one piece".into()));
    }
    let Some(known) = cx.with_state(|state| state.stage(&stage.head.name).half) else {
        return Ok(Left::Useless("its rows had not begun".into()));
    };
    if found.oid != known.oid || found.marker.is_none_or(|marker| marker.run != cx.run) {
        return Ok(Left::Useless(format!("`{working}` is not the database that the journal names")));
    }
    if known.finished.is_empty() {
        return Ok(Left::Useless("no table that is worth keeping was finished".into()));
    }
    // Nothing that fails here keeps a clone from being made anew.
    Ok(open(cx, target, working, known).await.unwrap_or_else(|failure| Left::Useless(failure.what)))
}

async fn open(cx: &Cx, target: &CloneTarget, working: String, known: HalfMade) -> Result<Left, Failure> {
    let HalfMade { oid, file, file_sha256, finished } = known;
    let bytes = std::fs::read(cx.dir.join(&file)).unwrap_or_default();
    if digest::hex(&bytes) != file_sha256 {
        return Ok(Left::Useless(format!("`{file}` is not what the journal says")));
    }
    let origin: Origin = serde_json::from_slice(&bytes)
        .map_err(|e| Failure::new(Exit::Io, format!("`{file}` cannot be understood: {e}")))?;
    // A loader or an index build of the process that is gone may still be at work.
    target.maker.shut(&working).await?;
    target.maker.open(&working).await?;
    let system_identifier = target.maker.identity().await?.system_identifier;
    let not = (origin.source.database.system_identifier.clone(), origin.source.database.oid);
    let expected = Expected { run: cx.run.clone(), database: working, oid, system_identifier, not };
    let doors = target.doors(&expected)?;
    let tx = doors.reader.begin("what the half clone is", Isolation::Snapshot).await?;
    let moved = origin.clone.moved(&tx).await?;
    tx.finish().await?;
    super::making::close(&doors);
    Ok(match moved {
        Some(why) => Left::Useless(format!("on the clone's side, {why}")),
        None => Left::Half(Box::new(Half { expected, origin, finished })),
    })
}

/// What of a half clone is production's at the new snapshot too.
pub(super) struct Kept {
    pub(super) expected: Expected,
    pub(super) seen: Seen,
    pub(super) tables: BTreeMap<i64, CopiedTable>,
    /// Finished tables that are copied again, and why.
    again: Vec<String>,
}

/// Compares with production at the new snapshot. Answers why nothing is kept, when that is so.
///
/// The origin's watermark claims 0 recent rows for every table, which nobody counted. Equal numbers prove a table
/// unchanged all the same: with no visible row at or after the horizon now, every row is older than it, so it was there
/// and visible at the old snapshot (all that is older had ended); as many then as now, they are the same rows. If there
/// were recent rows then, which takes a writer that was at work at the old snapshot, the table counts as changed.
pub(super) async fn weigh(half: Half, begun: &Begun) -> Result<Result<Kept, String>, Failure> {
    let Half { expected, origin, finished } = half;
    let tx = &begun.tx;
    if let Some(why) = origin.source.moved(tx).await? {
        return Ok(Err(format!("in production, {why}")));
    }
    let seen = Seen::of(tx).await?;
    if let Some(object) = seen.other_object(&origin.objects) {
        return Ok(Err(format!("in production, {object} was made, changed or dropped")));
    }
    let mut then = origin.source;
    then.tables.retain_mut(|mark| {
        let copied = finished.get(&mark.oid);
        mark.rows = copied.map_or(0, |table| table.rows);
        copied.is_some()
    });
    let verdicts = fingerprint::unchanged_since(tx, &then).await?;
    let (mut tables, mut again) = (BTreeMap::new(), Vec::new());
    for TableVerdict { name, oid, verdict } in verdicts {
        match (finished.get(&oid), verdict) {
            (Some(table), Verdict::Unchanged) => drop(tables.insert(oid, table.clone())),
            (Some(_), Verdict::Unknown(why)) => again.push(format!("{name}: {why}")),
            (Some(_), Verdict::New | Verdict::Gone) => again.push(format!("{name}: it is another table")),
            (None, _) => {}
        }
    }
    if tables.is_empty() {
        return Ok(Err(format!("no finished table is unchanged in production: {}", again.join("; "))));
    }
    Ok(Ok(Kept { expected, seen, tables, again }))
}

/// How much was kept, for people.
#[derive(Clone, Debug)]
pub(super) struct KeptWords(String);

impl KeptWords {
    /// For the summary.
    pub(super) fn words(&self) -> &str {
        &self.0
    }
}

impl Kept {
    /// Journals and says what is kept. `sizes`: all leaves, with the bytes they are expected to have.
    pub(super) fn tell<'l>(
        &self,
        making: &Making<'_>,
        sizes: impl Iterator<Item = (&'l Leaf, u64)>,
    ) -> Result<KeptWords, Failure> {
        let (mut kept_bytes, mut bytes, mut tables) = (0, 0, 0);
        for (leaf, size) in sizes {
            // Of what is here its bytes are known; of what comes, the size of its files.
            let known = self.tables.get(&leaf.oid).map(|table| table.bytes);
            (bytes, tables) = (bytes + known.unwrap_or(size), tables + 1);
            kept_bytes += known.unwrap_or(0);
        }
        let kept = self.tables.len() as u64;
        let mb = |bytes: u64| bytes / 1_000_000;
        let words = format!("kept {kept} of {tables} tables, {} MB of about {} MB", mb(kept_bytes), mb(bytes));
        making.cx.say(making.name(), &words);
        making.cx.record(Event::CloneResumed {
            stage: making.name().to_owned(),
            database: making.working.to_owned(),
            kept,
            tables,
            kept_bytes,
            bytes,
            again: self.again.clone(),
            anew: None,
        })?;
        Ok(KeptWords(words))
    }

    /// The sum of a table that is kept: production's at the new snapshot as well.
    pub(super) fn sum(&self, oid: i64) -> Option<RowSum> {
        let table = self.tables.get(&oid)?;
        RowSum::of_hex(&table.sum, table.rows, table.bytes)
    }
}

/// Drops a half clone of which nothing can be kept, and says why.
pub(super) async fn anew(cx: &Cx, stage: &CloneStage, target: &CloneTarget, why: &str) -> Result<(), Failure> {
    let (name, working) = (stage.head.name.as_str(), working_name(&cx.run));
    stage.touched.store(true, Ordering::SeqCst);
    cx.say(name, &format!("the half clone is made anew: {why}"));
    cx.record(Event::CloneResumed {
        stage: name.to_owned(),
        database: working.clone(),
        kept: 0,
        tables: 0,
        kept_bytes: 0,
        bytes: 0,
        again: Vec::new(),
        anew: Some(why.to_owned()),
    })?;
    target.maker.drop_database(&working, &cx.run).await.map(drop)
}
