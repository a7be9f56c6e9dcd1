//! Reversible: from A forward to B, back to A', forward to B': A = A' and B = B'.
//!
//! A was taken in the stage's own transaction. Rollback and second forward run in one transaction that is rolled
//! back; the rehearsal repeats the same on a copy with every step committed. Both are held to the stage's bounds,
//! so only declared tables need to be compared: the counters prove that nothing else was touched.

use super::follow::{self, Followed};
use super::idempotent::broke;
use super::measure::{self, Delta};
use super::{RunSettings, Script, Seen, Work, blame, bounds, compared, forward};
use crate::event::evidence::{AFTER_AGAIN, AFTER_BACK, AGAIN, BACK, Observation, Repetition};
use crate::event::{Failure, SequenceMove};
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

/// What the first run left: its state before, what it wrote, which sequences it moved.
#[derive(Clone, Copy, Debug)]
pub struct First<'f> {
    /// Before it.
    pub before: &'f State,
    /// What it did.
    pub run: &'f Repetition,
    /// Sequences it moved.
    pub moves: &'f [SequenceMove],
    /// Big tables may be followed, not read again.
    pub follow: bool,
}

/// Takes the state of everything a work declares; what is `known` is not read.
///
/// # Errors
/// The server's.
pub async fn state(tx: &Tx, work: &Work, tables: &[String], known: Vec<TablePrint>) -> Result<State, Failure> {
    let objects = if work.alters.is_empty() { Vec::new() } else { measure::objects_unlocked(tx).await? };
    let unknown: Vec<String> =
        tables.iter().filter(|name| known.iter().all(|print| print.name != **name)).cloned().collect();
    // In a savepoint that is rolled back: its locks would pass for the template's.
    tx.enter_read_only().await?;
    let read = fingerprint::tables(tx, &unknown, &work.ignore).await;
    tx.leave_read_only().await?;
    let mut tables = read?;
    tables.extend(known);
    Ok(State { tables, objects })
}

/// Goes back and forth on the clone, and rolls it all back.
///
/// # Errors
/// The connection was lost. That a step fails is an observation.
pub async fn prove(writer: &Writer, work: &Work, settings: &RunSettings, first: First<'_>) -> Result<Seen, Failure> {
    let tx = writer.session("back and forth of a proof").await?;
    tx.begin(work.timeout, work.lock_timeout).await?;
    tx.tell_run(&settings.run).await?;
    let before = fingerprint::sequences(&tx).await?;
    let mut observations = vec![Observation::Ran(first.run.clone())];
    let tried = there_and_back(&tx, work, settings, first, &mut observations).await;
    tx.control("ROLLBACK; BEGIN READ ONLY").await?;
    let after = fingerprint::sequences(&tx).await?;
    tx.rollback().await;
    if let Err((step, failure)) = tried {
        observations.push(broke(step, failure)?);
    }
    observations.extend(work.ignored());
    let sequences = work.put_back(measure::moved(&before, &after), &mut observations);
    Ok(Seen { observations, sequences })
}

async fn there_and_back(
    tx: &WriteTx,
    work: &Work,
    settings: &RunSettings,
    first: First<'_>,
    seen: &mut Vec<Observation>,
) -> Result<(), (&'static str, Failure)> {
    let at = |step: &'static str| move |failure: Failure| (step, failure);
    let Some(rollback) = &work.rollback else {
        seen.push(Observation::Broke {
            what: BACK.to_owned(),
            code: String::new(),
            why: vec!["there is none".to_owned()],
        });
        return Ok(());
    };
    forward::settle(tx, settings).await.map_err(at(BACK))?;
    let resolved = bounds::resolve(tx, work).await.map_err(at(BACK))?;
    let tables = resolved.tables();
    let b = state(tx, work, &tables, Vec::new()).await.map_err(at(BACK))?;
    let followed = if first.follow && work.alters.is_empty() {
        follow::follow(tx, &tables, first.run.rows()).await.map_err(at(BACK))?
    } else {
        Followed::default()
    };

    let (back, delta) = step(tx, work, &resolved, BACK, rollback, settings).await.map_err(at(BACK))?;
    let known = after(tx, work, &followed, &b, &delta, (BACK, seen)).await.map_err(at(BACK))?;
    let a = state(tx, work, &tables, known).await.map_err(at(BACK))?;
    seen.push(Observation::Ran(back));
    seen.extend(differences(AFTER_BACK, first.before, &a));
    let sequences = fingerprint::sequences(tx).await.map_err(at(BACK))?;
    seen.extend(measure::set_back(first.moves, &sequences).into_iter().map(|(sequence, detail)| {
        Observation::Defined {
            object: format!("sequence {sequence}"),
            when: AFTER_BACK.to_owned(),
            detail,
            physical: false,
        }
    }));

    for statement in measure::put_back(first.moves).map_err(at(AGAIN))? {
        tx.control(&statement).await.map_err(at(AGAIN))?;
    }
    let (again, delta) = step(tx, work, &resolved, AGAIN, &work.forward, settings).await.map_err(at(AGAIN))?;
    let known = after(tx, work, &followed, &a, &delta, (AGAIN, seen)).await.map_err(at(AGAIN))?;
    let b_again = state(tx, work, &tables, known).await.map_err(at(AGAIN))?;
    seen.push(Observation::Ran(again));
    seen.extend(differences(AFTER_AGAIN, &b, &b_again));
    Ok(())
}

/// Tables that were followed, as they are after a step: known without being read.
async fn after(
    tx: &WriteTx,
    work: &Work,
    followed: &Followed,
    before: &State,
    delta: &Delta,
    (step, seen): (&str, &mut Vec<Observation>),
) -> Result<Vec<TablePrint>, Failure> {
    let mut known = Vec::new();
    for print in &before.tables {
        if let Some(change) = followed.change(tx, &print.name, delta, &work.ignore).await? {
            seen.push(change.observed(&print.name, &format!("by the {step}")));
            known.extend(change.after(print));
        }
    }
    Ok(known)
}

async fn step(
    tx: &WriteTx,
    work: &Work,
    resolved: &bounds::Resolved,
    what: &str,
    script: &Script,
    settings: &RunSettings,
) -> Result<(Repetition, Delta), Failure> {
    forward::as_begun(tx).await?;
    let before = measure::before(tx, !work.alters.is_empty()).await?;
    let ran = forward::run(tx, script, &before, None).await?;
    blame::hold(tx, resolved, &work.stage, &ran).await?;
    Ok((ran.repetition(what, script, work, (settings, Vec::new())), ran.delta))
}

fn differences(when: &str, wanted: &State, found: &State) -> Vec<Observation> {
    let mut seen = compared(when, &wanted.tables, &found.tables);
    let objects = fingerprint::object_differences(&wanted.objects, &found.objects).into_iter();
    seen.extend(objects.map(|d| Observation::Defined {
        object: d.what,
        when: when.to_owned(),
        detail: d.detail,
        physical: d.physical,
    }));
    seen
}
