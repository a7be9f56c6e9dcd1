//! Several sessions on one snapshot, working off one queue of chunks.

use super::chunks::{Chunk, Source, plan};
use super::transfer::{self, Into, Loads};
use crate::digest::RowSum;
use crate::event::{Failure, TxRecord};
use crate::target::{Isolation, Loader, Reader, Streamer};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

/// Sessions that read one snapshot.
#[derive(Clone, Debug)]
pub struct Crew {
    /// Who reads.
    pub reader: Reader,
    /// The exported snapshot they share; none where nobody writes: each chunk is a transaction of its own then, and
    /// holds no lock longer than it is read.
    pub snapshot: Option<String>,
    /// What their transactions are for.
    pub purpose: String,
    /// How many at most.
    pub jobs: usize,
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

/// What the workers share.
struct Board {
    sources: Vec<Source>,
    queue: Mutex<VecDeque<Chunk>>,
    /// For each source: its sum, and chunks still out.
    sums: Mutex<Vec<(RowSum, usize)>>,
    loads: Arc<Loads>,
}

impl Board {
    fn new(sources: Vec<Source>, chunks: Vec<Chunk>, loads: Arc<Loads>) -> Board {
        let mut sums = vec![(RowSum::default(), 0); sources.len()];
        for chunk in &chunks {
            sums[chunk.source].1 += 1;
        }
        Board { sources, queue: Mutex::new(chunks.into()), sums: Mutex::new(sums), loads }
    }

    fn next(&self) -> Option<Chunk> {
        self.queue.lock().expect("invariant: no holder of the queue panics").pop_front()
    }

    /// Adds a chunk's sum; true when it was its table's last.
    fn add(&self, source: usize, sum: &RowSum) -> bool {
        let mut sums = self.sums.lock().expect("invariant: no holder of the sums panics");
        let (total, out) = &mut sums[source];
        total.merge(sum);
        *out -= 1;
        *out == 0
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
        let chunks = plan(&sources, self.jobs);
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

    /// Reads, hashes, and writes what has a place through `loaders`, one a session. Says on `done` when a source is in, by its index.
    ///
    /// # Errors
    /// The first failure of any session; the others are ended.
    pub async fn transfer(
        &self,
        sources: Vec<(Source, Option<Into>)>,
        loaders: Vec<Loader>,
        done: UnboundedSender<usize>,
    ) -> Result<Moved, Failure> {
        let (sources, into): (Vec<Source>, Vec<Option<Into>>) = sources.into_iter().unzip();
        let chunks = plan(&sources, loaders.len());
        let (board, into) = (Arc::new(Board::new(sources, chunks, Arc::clone(&self.loads))), Arc::new(into));
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
        while let Some(chunk) = board.next() {
            let source = &board.sources[chunk.source];
            if self.snapshot.is_none() {
                from.renew().await?;
            }
            let sum = transfer::hash(&mut from, source, &chunk.select(source), &board.loads).await;
            board.add(chunk.source, &sum.map_err(|f| f.fact(format!("reading {}", source.name)))?);
        }
        from.finish().await
    }

    async fn transferring(
        &self,
        board: &Board,
        into: &[Option<Into>],
        mut to: Loader,
        done: &UnboundedSender<usize>,
    ) -> Result<TxRecord, Failure> {
        let mut from = self.streamer().await?;
        while let Some(chunk) = board.next() {
            let (source, into) = (&board.sources[chunk.source], &into[chunk.source]);
            let sum = match into {
                Some(into) => transfer::transfer(&mut from, &mut to, (source, &chunk, into), &board.loads).await,
                None => transfer::hash(&mut from, source, &chunk.select(source), &board.loads).await,
            };
            if board.add(chunk.source, &sum.map_err(|f| f.fact(format!("copying {}", source.name)))?) {
                // Nobody listens any more once the copy was given up.
                let _ = done.send(chunk.source);
            }
        }
        from.finish().await
    }

    async fn streamer(&self) -> Result<Streamer, Failure> {
        let isolation = self.snapshot.clone().map_or(Isolation::Snapshot, Isolation::Imported);
        self.reader.stream(&self.purpose, &isolation).await
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
