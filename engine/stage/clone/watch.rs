//! While a clone is made: how far it is, and who in production waits for it.

use super::super::Cx;
use crate::clock::{Stopwatch, show_ms};
use crate::copy::Loads;
use crate::event::{Exit, Failure};
use crate::target::{Maker, Tx};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(500);

/// The longest wait that somebody had because of the clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// Table.
    pub table: String,
    /// Milliseconds.
    pub ms: u64,
}

impl Waited {
    /// For the summary; nothing when nobody waited.
    pub fn words(&self) -> String {
        if self.ms == 0 {
            return String::new();
        }
        format!(" · somebody waited {} for {}", show_ms(self.ms), self.table)
    }
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
    /// Bytes there are, as far as one can know.
    pub expected: u64,
    /// Who holds production's tables, and how long somebody may wait for that.
    pub holder: Option<(&'r Tx, Option<Duration>)>,
    /// Where indexes are built: maker and database.
    pub building: Option<(&'r Maker, &'r str)>,
    /// The longest wait seen.
    pub waited: Mutex<Waited>,
}

impl Watch<'_> {
    /// Does `work`, looking around meanwhile.
    ///
    /// # Errors
    /// Those of the work; or somebody waits for too long (75).
    pub async fn over<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let (mut work, watch) = (std::pin::pin!(work), Stopwatch::start());
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tick.tick().await;
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => self.look(watch.ms()).await?,
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
        if let Some((tx, bound)) = self.holder {
            let rows = tx.query(include_str!("../../../sql/engine/source/waiting.sql"), &[]).await?;
            if let Some(row) = rows.first() {
                let (table, waits): (String, u64) = (row.get(0), row.get::<_, i64>(2).unsigned_abs());
                text.push_str(&format!(" · somebody waits {} for {table}", show_ms(waits)));
                self.note(&table, waits);
                if bound.is_some_and(|bound| u128::from(waits) > bound.as_millis()) {
                    return Err(gives_way(tx, &table, waits));
                }
            }
        }
        self.cx.say(self.stage, &text);
        Ok(())
    }

    fn progress(&self, ms: u64) -> String {
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

    fn note(&self, table: &str, ms: u64) {
        let mut waited = self.waited.lock().expect("invariant: nobody panics while noting a wait");
        if ms > waited.ms {
            *waited = Waited { table: table.to_owned(), ms };
        }
    }
}

fn gives_way(tx: &Tx, table: &str, ms: u64) -> Failure {
    Failure::new(Exit::Temporary, format!("the clone gave way: on `{}` somebody waited for {table}", tx.target()))
        .fact(format!("waited   {} for ACCESS EXCLUSIVE, behind the ACCESS SHARE of this clone", show_ms(ms)))
        .next("again", "engine resume, once that is done")
        .next("or", "a longer `max_lock_wait` in the clone stage")
}
