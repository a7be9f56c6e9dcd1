//! While a clone is made: how far it is, who in production waits for it, and for whom it waits there.
//!
//! It looks by a session of its own, READ COMMITTED: the one that holds the snapshot may be busy, or not answer.

use super::super::Cx;
use crate::clock::{Stopwatch, show_ms};
use crate::copy::Loads;
use crate::event::{Exit, Failure, LockWait};
use crate::target::{Maker, Row, Tx};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(500);
/// An answer takes milliseconds; without one nobody can say who waits.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// So long a cancelled statement may take to end before its session is closed.
const BRIEFLY: Duration = Duration::from_secs(1);

const WAITING: &str = include_str!("../../../sql/engine/source/waiting.sql");
const OWN_WAITS: &str = include_str!("../../../sql/engine/source/own_waits.sql");
const WAITER: &str = include_str!("../../../sql/engine/source/waiter.sql");

/// What the locks in production cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Tables that were held.
    pub tables: u64,
    /// Milliseconds that taking them took, waiting included.
    pub lock_ms: u64,
    /// The longest wait seen of anything that the engine opened there beside.
    pub own: Option<LockWait>,
    /// The longest wait seen of somebody else, behind the engine.
    pub others: Option<LockWait>,
}

/// Less is not worth a word in a summary; the journal has it.
const WORTH_SAYING_MS: u64 = 100;

impl Waits {
    /// For the summary; nothing when nobody waited.
    pub fn words(&self) -> String {
        let mut text = String::new();
        let own = self.lock_ms + self.own.as_ref().map_or(0, |wait| wait.ms);
        if own >= WORTH_SAYING_MS {
            text.push_str(&format!(" · waited {} for locks", show_ms(own)));
        }
        if let Some(LockWait { table, ms }) = &self.others {
            text.push_str(&format!(" · somebody waited {} for {table}", show_ms(*ms)));
        }
        text
    }
}

/// Who holds production's tables.
pub struct Holder<'r> {
    /// By this transaction.
    pub tx: &'r Tx,
    /// Its backend.
    pub pid: i32,
    /// A READ COMMITTED transaction of another session, to look by.
    pub looker: &'r Tx,
    /// How long somebody may wait.
    pub bound: Option<Duration>,
    /// What was seen.
    pub waits: &'r Mutex<Waits>,
}

/// Looks while work goes on.
pub struct Watch<'r> {
    /// The run.
    pub cx: &'r Cx,
    /// The stage.
    pub stage: &'r str,
    /// What is being done.
    pub doing: &'static str,
    /// What has been moved.
    pub loads: Arc<Loads>,
    /// Bytes there are, as far as one can know; 0: this moves none.
    pub expected: u64,
    /// Who holds production's tables, if anybody does.
    pub holder: Option<Holder<'r>>,
    /// Where indexes are built: maker and database.
    pub building: Option<(&'r Maker, &'r str)>,
}

impl Watch<'_> {
    /// Does `work`, looking around meanwhile. When somebody waits for too long, what runs on production is cancelled;
    /// soon after the work is dropped, and its sessions are closed, whether they answered or not.
    ///
    /// # Errors
    /// Those of the work; or somebody waits for too long (75).
    pub async fn over<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let mut work = std::pin::pin!(work);
        // Side by side: both may ask on the same connection, and an answer that nobody takes holds up the next.
        let failure = tokio::select! {
            done = &mut work => return done,
            failure = self.looking() => failure,
        };
        let ending = async { tokio::join!(self.cancel(), &mut work) };
        let _ = tokio::time::timeout(BRIEFLY, ending).await;
        Err(failure)
    }

    async fn cancel(&self) {
        if let Some(holder) = &self.holder {
            let snapshot = holder.tx.canceller();
            tokio::join!(self.loads.cancel(), snapshot.cancel());
        }
    }

    async fn looking(&self) -> Failure {
        let watch = Stopwatch::start();
        loop {
            tokio::time::sleep(EVERY).await;
            match tokio::time::timeout(ANSWERS_WITHIN, self.look(watch.ms())).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => return failure,
                Err(_) => return no_answer(),
            }
        }
    }

    async fn look(&self, ms: u64) -> Result<(), Failure> {
        let mut text = self.progress(ms);
        if let Some((maker, database)) = self.building {
            for (phase, percent) in maker.index_builds(database).await? {
                text.push_str(&format!(" · index: {phase} {percent} %"));
            }
        }
        if let Some(holder) = &self.holder {
            holder.look(&mut text).await?;
        }
        self.cx.say(self.stage, &text);
        Ok(())
    }

    fn progress(&self, ms: u64) -> String {
        if self.expected == 0 {
            return self.doing.to_owned();
        }
        let (rows, bytes) = (self.loads.rows.load(Ordering::Relaxed), self.loads.bytes.load(Ordering::Relaxed));
        let rate = bytes.saturating_mul(1000) / ms.max(1);
        let mb = |bytes: u64| bytes / 1_000_000;
        let mut text =
            format!("{}: {} MB of about {}, {rows} rows, {} MB/s", self.doing, mb(bytes), mb(self.expected), mb(rate));
        if rate > 0 && self.expected > bytes {
            text.push_str(&format!(", about {} left", show_ms((self.expected - bytes).saturating_mul(1000) / rate)));
        }
        text
    }
}

impl Holder<'_> {
    async fn look(&self, text: &mut String) -> Result<(), Failure> {
        // What is known of sessions is kept for a transaction, unless it says otherwise.
        self.looker.query("SELECT pg_catalog.pg_stat_clear_snapshot()", &[]).await?;
        let own = self.looker.query(OWN_WAITS, &[&self.pid]).await?;
        let others = self.looker.query(WAITING, &[&self.pid]).await?;
        if let Some(wait) = own.first().map(waited) {
            text.push_str(&format!(" · waits {} for {}", show_ms(wait.ms), wait.table));
            self.note(|waits| &mut waits.own, wait);
        }
        let Some((wait, by)) = others.first().map(|row| (waited(row), row.get::<_, i32>(3))) else { return Ok(()) };
        text.push_str(&format!(" · somebody waits {} for {}", show_ms(wait.ms), wait.table));
        self.note(|waits| &mut waits.others, wait.clone());
        if self.bound.is_some_and(|bound| u128::from(wait.ms) > bound.as_millis()) {
            return Err(self.gives_way(&wait, by).await);
        }
        Ok(())
    }

    fn note(&self, of: impl FnOnce(&mut Waits) -> &mut Option<LockWait>, wait: LockWait) {
        let mut waits = self.waits.lock().expect("invariant: nobody panics while noting a wait");
        let longest = of(&mut waits);
        if longest.as_ref().is_none_or(|known| known.ms < wait.ms) {
            *longest = Some(wait);
        }
    }

    async fn gives_way(&self, LockWait { table, ms }: &LockWait, by: i32) -> Failure {
        let mut failure = Failure::new(
            Exit::Temporary,
            format!("the clone gave way: on `{}` somebody waited for {table}", self.tx.target()),
        )
        .fact(format!("waited   {} for ACCESS EXCLUSIVE, behind the ACCESS SHARE of this clone", show_ms(*ms)));
        // Who has gone by now is not waiting any more: then there is nothing to tell.
        if let Ok(rows) = self.looker.query(WAITER, &[&by]).await
            && let Some(row) = rows.first()
        {
            let (who, statement): (String, Option<String>) = (row.get(0), row.get(1));
            failure = failure.fact(format!("by       {who}"));
            failure = failure.fact(match statement {
                Some(text) => format!("runs     {text}"),
                None => "runs     a statement that this reader may not see (pg_read_all_stats lets it)".to_owned(),
            });
        }
        failure
            .next("again", "engine resume, once that is done")
            .next("or", "a longer `max_lock_wait` in the clone stage")
    }
}

/// Table, mode, milliseconds.
fn waited(row: &Row) -> LockWait {
    LockWait { table: row.get(0), ms: row.get::<_, i64>(2).unsigned_abs() }
}

fn no_answer() -> Failure {
    let seconds = ANSWERS_WITHIN.as_secs();
    let what = format!("who waits for this clone cannot be said: there was no answer within {seconds} s");
    Failure::new(Exit::Temporary, what).next("again", "engine resume, once the servers answer")
}
