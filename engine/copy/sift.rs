//! Reading only what is new of tables, in one pass: the rows that fulfil a condition, kept aside and hashed, and how
//! many rows there are at all.
//!
//! The number comes from the session's own counters: a sequential or TID range scan counts each visible row that it
//! looks at in `pg_stat_get_xact_tuples_returned`, before any condition. They are exact within a transaction (`proof`
//! bounds writes by their like), and a session of the sieve scans a table for the sieve alone. Where they are not kept
//! (`track_counts` is off), or the plan was another one, the number is another one than it was: that never makes a
//! table look unchanged.

use super::chunks::{Chunk, Source, plan};
use super::crew::Crew;
use super::rows::Rows;
use super::spool::Spool;
use crate::digest::RowSum;
use crate::event::{Exit, Failure, TxRecord};
use crate::target::Streamer;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// What is let through.
#[derive(Clone, Debug)]
pub struct Sieve {
    /// A condition on a row.
    pub condition: String,
    /// More rows than that, and it is given up: copying everything is quicker.
    pub most: u64,
    /// Where rows are kept aside that do not fit into memory.
    pub folder: PathBuf,
}

/// What was found of one table.
#[derive(Debug, Default)]
pub struct Sifted {
    /// Rows there are, let through or not.
    pub rows: u64,
    /// Sum of those let through.
    pub sum: RowSum,
    /// Those rows, in parts.
    pub spools: Vec<Spool>,
}

struct Board {
    sources: Vec<(i64, Source)>,
    queue: Mutex<VecDeque<Chunk>>,
    found: Mutex<Vec<Sifted>>,
    through: AtomicU64,
}

/// Rows are handed to the spool in pieces of about this size.
const PIECE: usize = 256 * 1024;

impl Crew {
    /// Reads each source (with its oid) once. Answers what was found, in order, and the records of the transactions;
    /// `None` for what was found when too much came through.
    ///
    /// # Errors
    /// The first failure of any session; the others are ended.
    pub async fn sift(
        &self,
        sources: Vec<(i64, Source)>,
        sieve: Sieve,
    ) -> Result<(Option<Vec<Sifted>>, Vec<TxRecord>), Failure> {
        let plain: Vec<Source> = sources.iter().map(|(_, source)| source.clone()).collect();
        let chunks = plan(&plain, self.jobs, self.split);
        let workers = chunks.len().min(self.jobs.max(1));
        let found = Mutex::new(plain.iter().map(|_| Sifted::default()).collect());
        let queue = Mutex::new(chunks.into());
        let board = Arc::new(Board { sources, queue, found, through: AtomicU64::new(0) });
        let (mut crew, sieve) = (JoinSet::new(), Arc::new(sieve));
        for _ in 0..workers {
            let (board, this, sieve) = (Arc::clone(&board), self.clone(), Arc::clone(&sieve));
            crew.spawn(async move { this.sifting(&board, &sieve).await });
        }
        let mut records = Vec::new();
        while let Some(ended) = crew.join_next().await {
            records.extend(ended.expect("invariant: no worker panics or is cancelled while the set lives")?);
        }
        if board.through.load(Ordering::Relaxed) > sieve.most {
            return Ok((None, records));
        }
        let board = Arc::into_inner(board).expect("invariant: all workers have ended");
        Ok((Some(board.found.into_inner().expect("invariant: no holder of the findings panics")), records))
    }

    /// `None`: given up in the middle of a table, and the connection was closed.
    async fn sifting(&self, board: &Board, sieve: &Sieve) -> Result<Option<TxRecord>, Failure> {
        let mut from = self.streamer().await?;
        // A helper of the server would count for itself.
        from.ask("SET max_parallel_workers_per_gather = 0").await?;
        let mut seen: Vec<usize> = Vec::new();
        loop {
            let next = board.queue.lock().expect("invariant: no holder of the queue panics").pop_front();
            let Some(chunk) = next else { break };
            let source = &board.sources[chunk.source].1;
            let sifted = sifted(&mut from, source, (&chunk, sieve), &board.through).await;
            let Some((sum, spool)) = sifted.map_err(|f| f.fact(format!("reading {}", source.name)))? else {
                return Ok(None);
            };
            let mut found = board.found.lock().expect("invariant: no holder of the findings panics");
            found[chunk.source].sum.merge(&sum);
            found[chunk.source].spools.extend((sum.rows > 0).then_some(spool));
            if !seen.contains(&chunk.source) {
                seen.push(chunk.source);
            }
        }
        let oids: Vec<String> = seen.iter().map(|source| board.sources[*source].0.to_string()).collect();
        let asked = format!(
            "SELECT pg_catalog.pg_stat_get_xact_tuples_returned(u.oid) \
             FROM pg_catalog.unnest('{{{}}}'::pg_catalog.oid[]) WITH ORDINALITY AS u (oid, n) ORDER BY u.n",
            oids.join(",")
        );
        for (source, row) in seen.iter().zip(from.ask(&asked).await?) {
            let rows = row.first().and_then(|value| value.as_deref()?.parse::<u64>().ok()).unwrap_or(0);
            board.found.lock().expect("invariant: no holder of the findings panics")[*source].rows += rows;
        }
        Ok(Some(from.finish().await?))
    }
}

async fn sifted(
    from: &mut Streamer,
    source: &Source,
    (chunk, sieve): (&Chunk, &Sieve),
    through: &AtomicU64,
) -> Result<Option<(RowSum, Spool)>, Failure> {
    let select = chunk.select_where(source, &sieve.condition);
    from.begin_copy(&format!("COPY ({select}) TO STDOUT (FORMAT binary)")).await?;
    let (mut rows, mut spool, mut buffer) = (Rows::of(source.fields), Spool::new(&sieve.folder), Vec::new());
    loop {
        if let Some(counted) = from.wait().await? {
            spool.write(&buffer)?;
            let sum = rows.end(counted).map_err(|e| Failure::new(Exit::Temporary, e.to_string()))?;
            return Ok(Some((sum, spool)));
        }
        let before = rows.seen().0;
        from.give(|piece| rows.take(piece, Some(&mut buffer)))?;
        if let Some(why) = rows.torn() {
            return Err(Failure::new(Exit::Temporary, why.to_string()));
        }
        let now = rows.seen().0 - before;
        if through.fetch_add(now, Ordering::Relaxed) + now > sieve.most {
            return Ok(None);
        }
        if buffer.len() >= PIECE {
            spool.write(&buffer)?;
            buffer.clear();
        }
    }
}
