//! A worker in two sessions at once: the second begins while the first has not committed.
//!
//! Whatever the second does (waits, finds nothing to do, is refused), readings must not fall at either commit, and
//! the comparison at the end of the way forward demands that both together came to what one did.

use super::steps::Steps;
use crate::clock::Stopwatch;
use crate::event::Failure;
use crate::event::evidence::Observation;
use crate::fingerprint;
use crate::proof::{Work, measure};
use crate::target::{Isolation, WriteTx};
use std::time::Duration;

const FIRST: &str = "the first of two workers";
const SECOND: &str = "the second of two workers";

/// How often the second worker is looked at.
const STEP: Duration = Duration::from_millis(20);

impl Steps<'_> {
    pub(super) async fn race(&self, work: &Work) -> Result<Vec<Observation>, Failure> {
        let first = self.copy.writer.session(&format!("{FIRST} of `{}`", work.stage)).await?;
        let ran = self.open(&first, work, &work.forward, FIRST).await;
        let ran = match ran {
            Ok(ran) => ran,
            Err(failure) => return self.close(first, work, FIRST, Err(failure)).await.map(|()| Vec::new()),
        };
        let settings = self.cx.settings();
        let mut seen = vec![Observation::Ran(ran.repetition(FIRST, &work.forward, work, (&settings, Vec::new())))];

        let second = self.copy.writer.session(&format!("{SECOND} of `{}`", work.stage)).await?;
        let ended = tokio::sync::Notify::new();
        let (raced, committed) = tokio::join!(
            async {
                let ran = self.open(&second, work, &work.forward, SECOND).await;
                ended.notify_one();
                ran
            },
            async {
                let waited = as_far_as_it_gets(&first, second.backend_pid, &ended, work.timeout).await;
                self.close(first, work, FIRST, waited).await?;
                let readings = self.readings(work, &format!("after {FIRST}")).await?;
                Ok::<_, Failure>((readings, self.sequences().await?))
            }
        );
        let (readings, sequences) = match committed {
            Ok(committed) => committed,
            Err(failure) => {
                second.rollback().await;
                return Err(failure);
            }
        };
        seen.extend(readings);
        match raced {
            Ok(ran) => {
                self.close(second, work, SECOND, Ok(())).await?;
                seen.push(Observation::Ran(ran.repetition(SECOND, &work.forward, work, (&settings, Vec::new()))));
            }
            // A worker that is refused has done nothing; that is one way to keep two apart.
            Err(failure) if failure.sqlstate.is_some() => {
                second.rollback().await;
                seen.push(Observation::NotSeen { why: vec![format!("{SECOND} was refused: {}", failure.what)] });
            }
            Err(failure) => return self.close(second, work, SECOND, Err(failure)).await.map(|()| Vec::new()),
        }
        seen.extend(self.readings(work, &format!("after {SECOND}")).await?);
        // Values that the second drew in vain would be the only difference to the clone.
        self.put_back(&measure::moved(&sequences, &self.sequences().await?)).await?;
        Ok(seen)
    }

    pub(super) async fn sequences(&self) -> Result<Vec<fingerprint::SequenceState>, Failure> {
        let tx = self.copy.reader.begin("sequences of the copy", Isolation::Snapshot).await?;
        let sequences = fingerprint::sequences(&tx).await?;
        tx.finish().await?;
        Ok(sequences)
    }
}

/// Until the second session waits for the first, or has come to its end; its statements end at the stage's time-out.
async fn as_far_as_it_gets(
    first: &WriteTx,
    second: i32,
    ended: &tokio::sync::Notify,
    timeout: Duration,
) -> Result<(), Failure> {
    let watch = Stopwatch::start();
    while u128::from(watch.ms()) < timeout.as_millis() {
        let blocked = "SELECT pg_catalog.cardinality(pg_catalog.pg_blocking_pids($1)) > 0";
        if first.query_one(blocked, &[&second]).await?.get(0) {
            return Ok(());
        }
        if tokio::time::timeout(STEP, ended.notified()).await.is_ok() {
            return Ok(());
        }
    }
    Ok(())
}
