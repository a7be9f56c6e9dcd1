//! Idempotent: the same SQL in a new session, a later transaction and a day later changes nothing.

use super::measure::{self, Delta};
use super::{RunSettings, Work, bounds, forward};
use crate::event::{Failure, SequenceMove};
use crate::fingerprint::{self, TablePrint};
use crate::target::{Isolation, Reader, WriteTx, Writer};

/// What the second run showed.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// It holds.
    pub passed: bool,
    /// `strict` (no row touched) or `convergent` (touched, same content).
    pub grade: &'static str,
    /// What was seen.
    pub observations: Vec<String>,
    /// Sequences it advanced; the maker puts them back.
    pub sequences: Vec<SequenceMove>,
}

/// Repeats the work and rolls it back.
///
/// # Errors
/// The connection was lost. That the repetition fails is a verdict, not an error.
pub async fn prove(writer: &Writer, reader: &Reader, work: &Work, settings: &RunSettings) -> Result<Verdict, Failure> {
    let later = crate::clock::plus(&settings.as_of, std::time::Duration::from_secs(86_400))
        .unwrap_or_else(|_| settings.as_of.clone());
    let tx = writer.session("second run of a proof").await?;
    tx.begin(work.timeout, work.lock_timeout).await?;
    let before = measure::before(&tx, !work.alters.is_empty()).await?;
    let again = repeat(&tx, work, &RunSettings { as_of: later.clone(), run: settings.run.clone() }, &before).await;
    let verdict = match again {
        Err(failure) if failure.sqlstate.is_none() && failure.exit != crate::event::Exit::BoundExceeded => Err(failure),
        Err(failure) => Ok(Verdict {
            passed: false,
            grade: "failed",
            observations: std::iter::once(format!("the second run failed: {}", failure.what))
                .chain(failure.facts)
                .collect(),
            sequences: Vec::new(),
        }),
        Ok(delta) if delta.is_nothing() => Ok(Verdict {
            passed: true,
            grade: "strict",
            observations: vec![format!("second run at {later} touched no row and no definition")],
            sequences: delta.sequences,
        }),
        Ok(delta) => compare(&tx, reader, work, delta).await,
    };
    let after = match tx.control("ROLLBACK").await {
        Ok(()) => fingerprint::sequences(&tx).await?,
        Err(failure) => return Err(failure),
    };
    tx.rollback().await;
    // After the rollback: what moved by then is what stays moved.
    Ok(Verdict { sequences: measure::moved(before.sequences.as_deref().unwrap_or_default(), &after), ..verdict? })
}

async fn repeat(tx: &WriteTx, work: &Work, settings: &RunSettings, before: &measure::Before) -> Result<Delta, Failure> {
    forward::settle(tx, settings).await?;
    let resolved = bounds::resolve(tx, work).await?;
    forward::send(tx, &work.forward).await?;
    forward::force_constraints(tx).await?;
    let delta = measure::delta(tx, before).await?;
    resolved.hold(&work.stage, &delta)?;
    Ok(delta)
}

/// Rows were touched: only these tables are compared, with a second session that still sees the first run's content.
async fn compare(tx: &WriteTx, reader: &Reader, work: &Work, delta: Delta) -> Result<Verdict, Failure> {
    let touched: Vec<String> = delta.rows.keys().chain(delta.files.keys()).cloned().collect();
    let second = fingerprint::tables(tx, &touched, &work.ignore).await?;
    let other = reader.begin("content after the first run", Isolation::Snapshot).await?;
    let first = fingerprint::tables(&other, &touched, &work.ignore).await?;
    other.finish().await?;
    let mut observations: Vec<String> = delta
        .rows
        .iter()
        .map(|(table, [i, u, d])| format!("second run touched {table}: {i} inserted, {u} updated, {d} deleted"))
        .collect();
    let differing = differing(&first, &second);
    // With objects listed, a definition that was written again and is the same has not changed.
    let definitions = !delta.catalogs.is_empty() && (work.alters.is_empty() || !delta.objects.is_empty());
    if definitions {
        let names: Vec<String> = delta.catalogs.iter().map(|(c, n)| format!("{c} {n}")).collect();
        observations.push(format!("second run changed definitions: {}", names.join(", ")));
    }
    observations.extend(differing.iter().map(|t| format!("content of {t} differs after the second run")));
    observations.extend(work.ignore.iter().map(|(t, c)| format!("not compared: {t}.{c}")));
    let passed = differing.is_empty() && !definitions;
    let grade = if passed { "convergent" } else { "failed" };
    Ok(Verdict { passed, grade, observations, sequences: delta.sequences })
}

/// Tables whose rows or sums differ.
pub fn differing(a: &[TablePrint], b: &[TablePrint]) -> Vec<String> {
    let print = |t: &TablePrint| (t.rows, t.sum.clone());
    let names: std::collections::BTreeSet<&str> = a.iter().chain(b).map(|t| t.name.as_str()).collect();
    names
        .into_iter()
        .filter(|name| {
            let of = |all: &[TablePrint]| all.iter().find(|t| t.name == *name).map(print);
            of(a) != of(b)
        })
        .map(str::to_owned)
        .collect()
}
