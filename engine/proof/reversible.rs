//! Reversible: from A forward to B, back to A', forward to B': A = A' and B = B'.
//!
//! A was taken in the stage's own transaction. Rollback and second forward run in one transaction that is rolled
//! back; the rehearsal repeats the same on a copy with every step committed. Both are held to the stage's bounds,
//! so only declared tables need to be compared: the counters prove that nothing else was touched.

use super::idempotent::differing;
use super::measure;
use super::{RunSettings, Work, bounds, forward};
use crate::event::{Exit, Failure, SequenceMove};
use crate::fingerprint::{self, SchemaObject, TablePrint};
use crate::target::{Tx, WriteTx, Writer};
use serde::{Deserialize, Serialize};

/// What a stage was about to change, before it did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// Content of the declared tables.
    pub tables: Vec<TablePrint>,
    /// Definitions, when the stage declares `alters`.
    pub objects: Vec<SchemaObject>,
}

/// Takes the state of everything a work declares.
///
/// # Errors
/// The server's.
pub async fn state(tx: &Tx, work: &Work, tables: &[String]) -> Result<State, Failure> {
    let objects = if work.alters.is_empty() { Vec::new() } else { fingerprint::objects(tx).await? };
    Ok(State { tables: fingerprint::tables(tx, tables, &work.ignore).await?, objects })
}

/// What going back and forth showed.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// It holds.
    pub passed: bool,
    /// What was seen.
    pub observations: Vec<String>,
    /// Sequences it moved; the maker puts them back.
    pub sequences: Vec<SequenceMove>,
}

/// Goes back and forth on the clone, and rolls it all back.
///
/// # Errors
/// The connection was lost. That a step fails is a verdict.
pub async fn prove(
    writer: &Writer,
    work: &Work,
    settings: &RunSettings,
    a: &State,
    first_moves: &[SequenceMove],
) -> Result<Verdict, Failure> {
    let tx = writer.session("back and forth of a proof").await?;
    tx.begin(work.timeout, work.lock_timeout).await?;
    let sequences = fingerprint::sequences(&tx).await?;
    let tried = there_and_back(&tx, work, settings, a, first_moves).await;
    tx.control("ROLLBACK").await?;
    let after = fingerprint::sequences(&tx).await?;
    tx.rollback().await;
    let (passed, observations) = match tried {
        Err(failure) if failure.sqlstate.is_none() && failure.exit != Exit::BoundExceeded => return Err(failure),
        Err(failure) => (false, std::iter::once(failure.what).chain(failure.facts).collect()),
        Ok(answer) => answer,
    };
    Ok(Verdict { passed, observations, sequences: measure::moved(&sequences, &after) })
}

async fn there_and_back(
    tx: &WriteTx,
    work: &Work,
    settings: &RunSettings,
    a: &State,
    first_moves: &[SequenceMove],
) -> Result<(bool, Vec<String>), Failure> {
    let Some(rollback) = &work.rollback else {
        return Ok((false, vec!["there is no rollback".to_owned()]));
    };
    forward::settle(tx, settings).await?;
    let resolved = bounds::resolve(tx, work).await?;
    let tables = resolved.tables();
    let b = state(tx, work, &tables).await?;

    let start = measure::before(tx, !work.alters.is_empty()).await?;
    forward::send(tx, rollback).await.map_err(|f| named("the rollback", f))?;
    forward::force_constraints(tx).await?;
    let back = measure::delta(tx, &start).await?;
    resolved.hold(&work.stage, &back).map_err(|f| named("the rollback", f))?;
    let a2 = state(tx, work, &tables).await?;

    // Tables that only exist after the stage cannot be compared before it; definitions tell them.
    for statement in measure::put_back(first_moves)? {
        tx.control(&statement).await?;
    }
    let middle = measure::before(tx, !work.alters.is_empty()).await?;
    forward::send(tx, &work.forward).await.map_err(|f| named("the second forward run", f))?;
    forward::force_constraints(tx).await?;
    let forth = measure::delta(tx, &middle).await?;
    resolved.hold(&work.stage, &forth).map_err(|f| named("the second forward run", f))?;
    let b2 = state(tx, work, &tables).await?;

    let mut wrong = compare("after the rollback", a, &a2);
    wrong.extend(compare("after the second forward run", &b, &b2));
    if forth.is_nothing() {
        wrong.push("the second forward run changed nothing: nothing compared with nothing is no proof".to_owned());
    }
    let passed = wrong.is_empty();
    let rows = |d: &measure::Delta| d.rows.values().flatten().sum::<u64>();
    let mut seen = vec![format!("rollback changed {} rows, forward again {} rows", rows(&back), rows(&forth))];
    seen.extend(work.ignore.iter().map(|(t, c)| format!("not compared: {t}.{c}")));
    seen.extend(wrong);
    Ok((passed, seen))
}

fn named(step: &str, mut failure: Failure) -> Failure {
    failure.what = format!("{step} failed: {}", failure.what);
    failure
}

fn compare(when: &str, wanted: &State, found: &State) -> Vec<String> {
    let mut wrong: Vec<String> =
        differing(&wanted.tables, &found.tables).iter().map(|t| format!("content of {t} differs {when}")).collect();
    let line = |o: &SchemaObject| (o.kind.clone(), o.identity.clone(), o.definition.clone());
    let (a, b): (std::collections::BTreeSet<_>, std::collections::BTreeSet<_>) =
        (wanted.objects.iter().map(line).collect(), found.objects.iter().map(line).collect());
    wrong.extend(a.symmetric_difference(&b).map(|(_, identity, _)| format!("{identity} differs {when}")));
    wrong.dedup();
    wrong
}
