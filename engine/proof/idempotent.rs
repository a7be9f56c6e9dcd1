//! Idempotent: the same SQL in a new session, a later transaction, a day later and by other plans changes nothing.

use super::follow::{self, Followed};
use super::measure;
use super::{RunSettings, Seen, Work, blame, bounds, forward, perturb};
use crate::event::evidence::{AFTER_SECOND, Observation, Repetition, SECOND};
use crate::event::{Exit, Failure, Reading};
use crate::fingerprint;
use crate::probe::{self, Query};
use crate::target::{Isolation, Reader, WriteTx, Writer};

/// What a second run is made with.
#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    /// What the first run did.
    pub first: &'a Repetition,
    /// Tables that it read or wrote.
    pub touched: &'a [String],
    /// Probes to read after it.
    pub probes: &'a [&'a Query],
    /// Big tables may be followed, not read.
    pub follow: bool,
}

/// What a second run showed, and the readings after it, if it came to its end.
#[derive(Clone, Debug)]
pub struct Second {
    /// The run itself.
    pub seen: Seen,
    /// Readings after it.
    pub readings: Vec<Reading>,
}

/// Repeats the work and rolls it back.
///
/// # Errors
/// The connection was lost. That the repetition fails is an observation, not an error.
pub async fn prove(
    writer: &Writer,
    reader: &Reader,
    work: &Work,
    settings: &RunSettings,
    again: Again<'_>,
) -> Result<Second, Failure> {
    let later = crate::clock::plus(&settings.as_of, std::time::Duration::from_secs(86_400))
        .unwrap_or_else(|_| settings.as_of.clone());
    let settings = RunSettings { as_of: later, run: settings.run.clone() };
    let tx = writer.session("second run of a proof").await?;
    tx.begin(work.timeout, work.lock_timeout).await?;
    let before = fingerprint::sequences(&tx).await?;
    let mut readings = Vec::new();
    let seen = repeat(&tx, reader, work, &settings, again, &mut readings).await;
    tx.control("ROLLBACK").await?;
    // After the rollback: what moved by then is what stays moved.
    let after = fingerprint::sequences(&tx).await?;
    tx.rollback().await;
    let mut observations = vec![Observation::Ran(again.first.clone())];
    match seen {
        Ok(seen) => observations.extend(seen),
        Err(failure) => observations.push(broke(SECOND, failure)?),
    }
    let sequences = measure::moved(&before, &after);
    observations.extend(sequences.iter().cloned().map(Observation::Moved));
    Ok(Second { seen: Seen { observations, sequences }, readings })
}

async fn repeat(
    tx: &WriteTx,
    reader: &Reader,
    work: &Work,
    settings: &RunSettings,
    again: Again<'_>,
    readings: &mut Vec<Reading>,
) -> Result<Vec<Observation>, Failure> {
    forward::settle(tx, settings).await?;
    let resolved = bounds::resolve(tx, work).await?;
    let under = perturb::perturb(tx, again.touched, resolved.never()).await?;
    let followed = if again.follow && work.alters.is_empty() {
        follow::follow(tx, &resolved.tables(), again.first.rows()).await?
    } else {
        Followed::default()
    };
    let before = measure::before(tx, !work.alters.is_empty()).await?;
    let ran = forward::run(tx, &work.forward, &before).await?;
    blame::hold(tx, &resolved, &work.stage, &ran).await?;
    if !again.probes.is_empty() {
        *readings = probe::read(tx, again.probes).await?;
    }
    let repetition = ran.repetition(SECOND, &work.forward, work, (settings, under));
    let mut touched: Vec<String> = repetition.touched().into_iter().map(str::to_owned).collect();
    let mut seen = vec![Observation::Ran(repetition)];
    seen.extend(work.ignored());
    let mut unread = Vec::new();
    for table in &touched {
        if let Some(change) = followed.change(tx, table, &ran.delta, &work.ignore).await? {
            seen.push(change.observed(table, AFTER_SECOND));
            unread.push(table.clone());
        }
    }
    touched.retain(|table| !unread.contains(table));
    if !touched.is_empty() {
        // Only these are compared, with a second session that still sees the first run's content.
        let second = fingerprint::tables(tx, &touched, &work.ignore).await?;
        let other = reader.begin("content after the first run", Isolation::Snapshot).await?;
        let first = fingerprint::tables(&other, &touched, &work.ignore).await?;
        other.finish().await?;
        seen.extend(super::compared(AFTER_SECOND, &first, &second));
    }
    Ok(seen)
}

/// A repetition that failed, as an observation.
///
/// # Errors
/// The failure itself, if it says nothing about the template: the connection was lost.
pub fn broke(what: &str, failure: Failure) -> Result<Observation, Failure> {
    if failure.sqlstate.is_none() && failure.exit != Exit::BoundExceeded {
        return Err(failure);
    }
    let why = std::iter::once(failure.what).chain(failure.facts).collect();
    Ok(Observation::Broke { what: what.to_owned(), why })
}
