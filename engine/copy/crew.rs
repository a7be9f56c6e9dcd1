//! Several sessions on one snapshot, working off one queue of chunks.

use super::chunks::{Chunk, Source, Split, plan};
use super::transfer::{self, Into, Loads};
use crate::digest::RowSum;
use crate::event::{Failure, TxRecord};
use crate::target::{Isolation, Loader, Reader, Streamer};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

/// Sessions that read one snapshot.
#[derive(Clone, Debug)]
pub struct Crew {
    /// Who reads.
    pub reader: Reader,
    /// The exported snapshot they share; none where nobody writes: a transaction is short then, and holds no
    /// lock for long.
    pub snapshot: Option<String>,
    /// What their transactions are for.
    pub purpose: String,
    /// How many at most.
    pub jobs: usize,
    /// When tables are taken in ranges.
    pub split: Split,
    /// Counted while they work.
    pub loads: Arc<Loads>,
}

/// What a crew did.
#[derive(Debug, Default)]
pub struct Moved {
    /// A sum for each source, in their order.
    pub sums: Vec<RowSum>,
    /// A record for each transaction.
    pub records: Vec<TxRecord>,
}

/// Where nobody writes, a transaction ends after so many chunks or bytes: what wants to alter a table waits for no more.
const HELD: u32 = 32;
const HELD_BYTES: u64 = 16 << 20;

/// What the workers share.
struct Board {
    sources: Vec<Source>,
    queue: Mutex<VecDeque<Chunk>>,
    /// For each source: its sum, and chunks still out.
    sums: Mutex<Vec<(RowSum, usize)>>,
    loads: Arc<Loads>,
    /// Chunks that the other side refused, perhaps because a check of theirs reads rows that were not there yet.
    late: Mutex<VecDeque<Chunk>>,
    /// Workers that still take chunks.
    active: AtomicUsize,
}

impl Board {
    fn new(sources: Vec<Source>, chunks: Vec<Chunk>, loads: Arc<Loads>) -> Board {
        let mut sums = vec![(RowSum::default(), 0); sources.len()];
        for chunk in &chunks {
            sums[chunk.source].1 += 1;
        }
        let (queue, late, active) = (Mutex::new(chunks.into()), Mutex::default(), AtomicUsize::new(0));
        Board { sources, queue, sums: Mutex::new(sums), loads, late, active }
    }

    fn next(&self) -> Option<Chunk> {
        self.queue.lock().expect("invariant: no holder of the queue panics").pop_front()
    }

    /// Adds a chunk's sum; answers the table's when it was its last.
    fn add(&self, source: usize, sum: &RowSum) -> Option<RowSum> {
        let mut sums = self.sums.lock().expect("invariant: no holder of the sums panics");
        let (total, out) = &mut sums[source];
        total.merge(sum);
        *out -= 1;
        (*out == 0).then(|| total.clone())
    }

    fn sums(&self) -> Vec<RowSum> {
        let sums = self.sums.lock().expect("invariant: no holder of the sums panics");
        sums.iter().map(|(sum, _)| sum.clone()).collect()
    }
}

impl Crew {
    /// Reads and hashes.
    ///
    /// # Errors
    /// The first failure of any session; the others are ended.
    pub async fn hash(&self, sources: Vec<Source>) -> Result<Moved, Failure> {
        let chunks = plan(&sources, self.jobs, self.split);
        let workers = chunks.len().min(self.jobs.max(1));
        let board = Arc::new(Board::new(sources, chunks, Arc::clone(&self.loads)));
        let mut crew = JoinSet::new();
        for _ in 0..workers {
            let (board, this) = (Arc::clone(&board), self.clone());
            crew.spawn(async move { this.hashing(&board).await });
        }
        let records = joined(crew).await?;
        Ok(Moved { sums: board.sums(), records })
    }

    /// Reads, hashes, and writes what has a place through `loaders`, one a session. Says on `done` when a source is in and
    /// committed: its index and its sum.
    ///
    /// # Errors
    /// The first failure of any session; the others are ended.
    pub async fn transfer(
        &self,
        sources: Vec<(Source, Option<Into>)>,
        loaders: Vec<Loader>,
        done: UnboundedSender<(usize, RowSum)>,
    ) -> Result<Moved, Failure> {
        let (sources, into): (Vec<Source>, Vec<Option<Into>>) = sources.into_iter().unzip();
        let chunks = plan(&sources, loaders.len(), self.split);
        let (board, into) = (Arc::new(Board::new(sources, chunks, Arc::clone(&self.loads))), Arc::new(into));
        board.active.store(loaders.len(), Ordering::SeqCst);
        let mut crew = JoinSet::new();
        for to in loaders {
            let (board, into, this, done) = (Arc::clone(&board), Arc::clone(&into), self.clone(), done.clone());
            crew.spawn(async move { this.transferring(&board, &into, to, &done).await });
        }
        drop(done);
        let records = joined(crew).await?;
        Ok(Moved { sums: board.sums(), records })
    }

    async fn hashing(&self, board: &Board) -> Result<TxRecord, Failure> {
        let mut from = self.streamer().await?;
        let (mut chunks, mut bytes) = (0, 0);
        while let Some(chunk) = board.next() {
            let source = &board.sources[chunk.source];
            if self.snapshot.is_none() && (chunks >= HELD || bytes >= HELD_BYTES) {
                from.renew().await?;
                (chunks, bytes) = (0, 0);
            }
            (chunks, bytes) = (chunks + 1, bytes + chunk.bytes);
            let sum = transfer::hash(&mut from, source, &chunk, &board.loads).await;
            board.add(chunk.source, &sum.map_err(|f| f.fact(format!("reading {}", source.name)))?);
        }
        from.finish().await
    }

    async fn transferring(
        &self,
        board: &Board,
        into: &[Option<Into>],
        mut to: Loader,
        done: &UnboundedSender<(usize, RowSum)>,
    ) -> Result<TxRecord, Failure> {
        let mut from = self.streamer().await?;
        while let Some(chunk) = board.next() {
            match moved(board, into, &chunk, (&mut from, &mut to), done).await {
                Err(refused) if may_pass_later(&refused) => {
                    from.drain().await?;
                    to.run("ROLLBACK").await?;
                    board.late.lock().expect("invariant: no holder of the queue panics").push_back(chunk);
                }
                other => other?,
            }
        }
        if board.active.fetch_sub(1, Ordering::SeqCst) == 1 {
            self::late(board, into, (&mut from, &mut to), done).await?;
        }
        from.finish().await
    }

    pub(super) async fn streamer(&self) -> Result<Streamer, Failure> {
        let isolation = self.snapshot.clone().map_or(Isolation::Snapshot, Isolation::Imported);
        let from = self.reader.stream(&self.purpose, &isolation).await?;
        self.loads.reads(from.canceller());
        Ok(from)
    }
}

async fn moved(
    board: &Board,
    into: &[Option<Into>],
    chunk: &Chunk,
    (from, to): (&mut Streamer, &mut Loader),
    done: &UnboundedSender<(usize, RowSum)>,
) -> Result<(), Failure> {
    let source = &board.sources[chunk.source];
    let sum = match &into[chunk.source] {
        Some(into) => transfer::transfer(from, to, (source, chunk, into), &board.loads).await,
        None => transfer::hash(from, source, chunk, &board.loads).await,
    };
    if let Some(sum) = board.add(chunk.source, &sum.map_err(|f| f.fact(format!("copying {}", source.name)))?) {
        // Nobody listens any more once the copy was given up.
        let _ = done.send((chunk.source, sum));
    }
    Ok(())
}

/// A value (22), a constraint (23) or a function (P0) refused a row: the function of a check may read rows that were
/// not there yet. What a statement names (42) is there since before the rows, or never will be.
fn may_pass_later(failure: &Failure) -> bool {
    failure.sqlstate.as_deref().is_some_and(|code| ["22", "23", "P0"].contains(&&code[..code.len().min(2)]))
}

/// What was refused, by the last worker, when everything else is there; over and over while any of it passes.
async fn late(
    board: &Board,
    into: &[Option<Into>],
    (from, to): (&mut Streamer, &mut Loader),
    done: &UnboundedSender<(usize, RowSum)>,
) -> Result<(), Failure> {
    loop {
        let chunks = std::mem::take(&mut *board.late.lock().expect("invariant: no holder of the queue panics"));
        let (before, mut left, mut failure) = (chunks.len(), VecDeque::new(), None);
        for chunk in chunks {
            if let Err(refused) = moved(board, into, &chunk, (&mut *from, &mut *to), done).await {
                from.drain().await?;
                to.run("ROLLBACK").await?;
                left.push_back(chunk);
                failure = Some(refused);
            }
        }
        match failure {
            None => return Ok(()),
            Some(failure) if left.len() == before => return Err(failure),
            Some(_) => *board.late.lock().expect("invariant: no holder of the queue panics") = left,
        }
    }
}

/// All records, or the first failure; what still runs then is ended with the set.
async fn joined(mut crew: JoinSet<Result<TxRecord, Failure>>) -> Result<Vec<TxRecord>, Failure> {
    let mut records = Vec::new();
    while let Some(ended) = crew.join_next().await {
        records.push(ended.expect("invariant: no worker panics or is cancelled while the set lives")?);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Exit;

    #[test]
    fn only_what_other_rows_can_mend_is_tried_again() {
        let refused = |code: &str| {
            let mut failure = Failure::new(Exit::StageFailed, "refused");
            failure.sqlstate = Some(code.to_owned());
            may_pass_later(&failure)
        };
        assert!(["23514", "22P02", "P0001"].into_iter().all(refused));
        assert!(!["42883", "42501", "42P01", "53100", "57014", "55P03", ""].into_iter().any(refused));
        assert!(!may_pass_later(&Failure::new(Exit::Temporary, "lost")));
    }
}
