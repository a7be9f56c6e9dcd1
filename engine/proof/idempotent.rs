//! Idempotent: the same SQL in a new session, a later transaction, a day later and by other plans changes nothing.

use super::follow::{self, Followed};
use super::measure;
use super::{RunSettings, Seen, Work, blame, bounds, forward, perturb};
use crate::event::evidence::{AFTER_SECOND, Observation, Repetition, SECOND};
use crate::event::{Exit, Failure, Reading};
use crate::fingerprint::{self, TablePrint};
use crate::probe::{self, Query};
use crate::target::{Isolation, RETRYABLE, Reader, WriteTx, Writer};

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
    /// Why plans and the order of rows are not changed.
    pub plainly: Option<&'a str>,
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
    let settings = RunSettings { as_of: later, ..settings.clone() };
    let tx = writer.session("second run of a proof").await?;
    tx.begin(work.timeout, work.lock_timeout).await?;
    tx.tell_run(&settings.run).await?;
    let before = fingerprint::sequences(&tx).await?;
    let mut after_it = AfterIt::default();
    let seen = repeat(&tx, work, &settings, again, &mut after_it).await;
    tx.control("ROLLBACK; BEGIN READ ONLY").await?;
    // After the rollback: what moved by then is what stays moved.
    let after = fingerprint::sequences(&tx).await?;
    tx.rollback().await;
    let mut observations = vec![Observation::Ran(again.first.clone())];
    match seen {
        Ok(seen) => observations.extend(seen),
        Err(failure) => observations.push(broke(SECOND, failure)?),
    }
    if !after_it.touched.is_empty() {
        // Only these are compared, with what is there now that the second run is gone. Not while it is at work: it may
        // hold any lock.
        let other = reader.begin("content after the first run", Isolation::Snapshot).await?;
        let first = fingerprint::tables(&other, &after_it.touched, &work.ignore).await?;
        other.finish().await?;
        observations.extend(super::compared(AFTER_SECOND, &first, &after_it.content));
    }
    let moved = measure::moved(&before, &after);
    let sequences = work.put_back(moved, &mut observations);
    Ok(Second { seen: Seen { observations, sequences }, readings: after_it.readings })
}

/// What was read while the second run was there.
#[derive(Default)]
struct AfterIt {
    touched: Vec<String>,
    content: Vec<TablePrint>,
    readings: Vec<Reading>,
}

async fn repeat(
    tx: &WriteTx,
    work: &Work,
    settings: &RunSettings,
    again: Again<'_>,
    after_it: &mut AfterIt,
) -> Result<Vec<Observation>, Failure> {
    forward::settle(tx, settings).await?;
    let resolved = bounds::resolve(tx, work).await?;
    let read: Vec<String> = again.touched.iter().cloned().chain(resolved.tables()).collect();
    let under = match again.plainly {
        None => perturb::perturb(tx, work, &read, resolved.never()).await?,
        Some(why) => vec![format!("nothing changed, since otherwise {why}")],
    };
    let followed = if again.follow && work.alters.is_empty() {
        follow::follow(tx, &resolved.tables(), again.first.rows()).await?
    } else {
        Followed::default()
    };
    let before = measure::before(tx, !work.alters.is_empty()).await?;
    let ran = forward::run(tx, &work.forward, &before, None).await?;
    blame::hold(tx, &resolved, &work.stage, &ran).await?;
    if !again.probes.is_empty() {
        after_it.readings = probe::read(tx, again.probes).await?;
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
    after_it.content = fingerprint::tables(tx, &touched, &work.ignore).await?;
    after_it.touched = touched;
    Ok(seen)
}

/// A repetition that failed, as an observation.
///
/// # Errors
/// The failure itself, if it says nothing about the template: the connection was lost, or somebody else was in the way
/// (75: it is proved again by a resume).
pub fn broke(what: &str, mut failure: Failure) -> Result<Observation, Failure> {
    let code = failure.sqlstate.clone().unwrap_or_default();
    if code.is_empty() && failure.exit != Exit::BoundExceeded {
        return Err(failure);
    }
    if RETRYABLE.contains(&code.as_str()) || code.starts_with("57P") || code.starts_with("08") {
        failure.exit = Exit::Temporary;
        failure.what = format!("the {what} of a proof was in somebody's way: {}", failure.what);
        return Err(failure.changed("the stage stays committed on the clone and is not proved yet"));
    }
    let why = std::iter::once(failure.what).chain(failure.facts).collect();
    Ok(Observation::Broke { what: what.to_owned(), code, why })
}
