//! One chunk from a snapshot into the database that is being made.

use super::chunks::{Chunk, Source};
use super::rows::{Rows, Torn};
use crate::crash;
use crate::digest::RowSum;
use crate::event::{Exit, Failure};
use crate::target::{Canceller, Loader, Streamer};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the rows of a source go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Into {
    /// Table as SQL names it: the leaf, or what it is a partition of.
    pub table: String,
    /// Columns as SQL names them; none: `COPY t FROM`.
    pub columns: Vec<String>,
    /// Rows travel as text, by this query, beside the binary ones that are hashed.
    pub text: Option<String>,
    /// The table is filled by this source alone: it may be truncated and its rows frozen.
    pub alone: bool,
}

/// Counts that somebody else may look at meanwhile.
#[derive(Debug, Default)]
pub struct Loads {
    /// Rows so far.
    pub rows: AtomicU64,
    /// Bytes so far.
    pub bytes: AtomicU64,
    /// What cancels the sessions that read.
    reading: Mutex<Vec<Canceller>>,
}

impl Loads {
    pub(super) fn reads(&self, canceller: Canceller) {
        self.reading.lock().expect("invariant: no holder of a canceller panics").push(canceller);
    }

    /// Cancels what the sessions that read are doing, side by side.
    pub async fn cancel(&self) {
        let all = self.reading.lock().expect("invariant: no holder of a canceller panics").clone();
        futures_util::future::join_all(all.iter().map(Canceller::cancel)).await;
    }

    fn add(&self, before: (u64, u64), now: (u64, u64)) {
        self.rows.fetch_add(now.0 - before.0, Ordering::Relaxed);
        self.bytes.fetch_add(now.1 - before.1, Ordering::Relaxed);
    }
}

/// A smaller table is read faster than a new file is made for it.
const WORTH_FREEZING: u64 = 1 << 20;

/// Reads a chunk and hashes it.
pub(super) async fn hash(
    from: &mut Streamer,
    source: &Source,
    chunk: &Chunk,
    loads: &Loads,
) -> Result<RowSum, Failure> {
    from.begin_copy(&chunk.copy(source)).await?;
    let mut rows = Rows::of(source.fields);
    loop {
        if let Some(counted) = from.wait().await? {
            return rows.end(counted).map_err(|e| torn(source, e));
        }
        let before = rows.seen();
        from.give(|piece| rows.take(piece, None))?;
        loads.add(before, rows.seen());
        if let Some(why) = rows.torn() {
            return Err(torn(source, why));
        }
    }
}

/// Reads a chunk, hashes it and writes it, in one transaction of the writing side.
pub(super) async fn transfer(
    from: &mut Streamer,
    to: &mut Loader,
    (source, chunk, into): (&Source, &Chunk, &Into),
    loads: &Loads,
) -> Result<RowSum, Failure> {
    let frozen = into.alone && chunk.pages.is_none() && source.bytes >= WORTH_FREEZING;
    if frozen {
        // In the transaction that truncated it a table's rows can be frozen: nobody need look at them again.
        to.run(&format!("BEGIN; TRUNCATE ONLY {}", into.table)).await?;
    }
    let columns = if into.columns.is_empty() { String::new() } else { format!(" ({})", into.columns.join(", ")) };
    let freeze = if frozen { ", FREEZE" } else { "" };
    let format = if into.text.is_some() { "text" } else { "binary" };
    let copy = format!("COPY {}{columns} FROM STDIN (FORMAT {format}{freeze})", into.table);
    let sum = if let Some(text) = &into.text {
        let text = chunk.select(&Source { select: text.clone(), ..source.clone() });
        from.begin_copy(&format!("COPY ({text}) TO STDOUT")).await?;
        to.begin_copy(&copy, true).await?;
        let sent = as_text(from, to).await?;
        let taken = to.end_copy().await?;
        let sum = hash(from, source, chunk, loads).await?;
        same_rows(source, &[sent, taken], sum.rows)?;
        sum
    } else {
        from.begin_copy(&chunk.copy(source)).await?;
        to.begin_copy(&copy, false).await?;
        let sum = as_binary(from, to, source, loads).await?;
        let taken = to.end_copy().await?;
        same_rows(source, &[taken], sum.rows)?;
        sum
    };
    if frozen {
        to.run("COMMIT").await?;
    }
    Ok(sum)
}

async fn as_binary(from: &mut Streamer, to: &mut Loader, source: &Source, loads: &Loads) -> Result<RowSum, Failure> {
    let mut rows = Rows::of(source.fields);
    loop {
        if let Some(counted) = from.wait().await? {
            return rows.end(counted).map_err(|e| torn(source, e));
        }
        let before = rows.seen();
        let on = to.gather();
        from.give(|piece| rows.take(piece, Some(&mut *on)))?;
        crash::point(|| "copy/piece".to_owned());
        loads.add(before, rows.seen());
        if let Some(why) = rows.torn() {
            return Err(torn(source, why));
        }
        to.pass_on().await?;
    }
}

async fn as_text(from: &mut Streamer, to: &mut Loader) -> Result<u64, Failure> {
    loop {
        if let Some(counted) = from.wait().await? {
            return Ok(counted);
        }
        let on = to.gather();
        from.give(|piece| on.extend_from_slice(piece.bytes))?;
        to.pass_on().await?;
    }
}

fn same_rows(source: &Source, others: &[u64], rows: u64) -> Result<(), Failure> {
    if others.iter().all(|other| *other == rows) {
        return Ok(());
    }
    let what = format!("{}: {rows} rows were read and {others:?} arrived", source.name);
    Err(Failure::new(Exit::StageFailed, what))
}

fn torn(source: &Source, why: Torn) -> Failure {
    Failure::new(Exit::Temporary, format!("reading {}: {why}", source.name))
}
