//! Sending a script, statement by statement, inside a transaction that somebody else ends.

use super::bounds::Resolved;
use super::measure::{self, Before, Delta};
use super::meter::Meter;
use super::{RunSettings, Script, Work, temporary};
use crate::clock::Stopwatch;
use crate::event::evidence::Repetition;
use crate::event::{Event, Executed, Failure, HeldLock, TableWrite};
use crate::name::process;
use crate::target::{Alone, Says, WriteTx};
use crate::{crash, digest};
use futures_util::future::try_join;
use std::collections::BTreeMap;

/// Statements of a script that are measured one by one; of more, only as many, each for those before it too.
const METERED: usize = 200;

pub(crate) const DEFERRED: &str = include_str!("../../sql/engine/measure/deferred.sql");
const SCRATCH: &str = include_str!("../../sql/engine/measure/scratch.sql");
const FORCE: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// Tells the transaction its run id, its one instant, and what is sensitive; and others whose it is.
///
/// # Errors
/// The server's.
pub async fn settle(tx: &WriteTx, settings: &RunSettings) -> Result<(), Failure> {
    let sql = "SELECT pg_catalog.set_config('engine.run_id', $1, true), pg_catalog.set_config('engine.as_of', $2, true), \
               pg_catalog.set_config('application_name', $3, true)";
    tx.ask(sql, &[&settings.run, &settings.as_of, &process::of(&settings.at_work)]).await?;
    for (name, value) in settings.sensitive.values() {
        let name = format!("engine.var.{name}");
        tx.query("SELECT pg_catalog.set_config($1, $2, true) IS NULL", &[&name, &value]).await?;
    }
    Ok(())
}

/// What sending a script did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its statements; what deferred constraints and triggers wrote is the last one.
    pub statements: Vec<Executed>,
    /// What it changed in sum.
    pub delta: Delta,
    /// The strongest lock on each table.
    pub held: Vec<HeldLock>,
    /// WAL that the server wrote meanwhile.
    pub wal_bytes: u64,
}

/// What the transaction is before the first statement, beside its counters.
#[derive(Debug)]
pub struct Opening {
    wal: u64,
    meter: Meter,
}

/// The same as `measure::before`, and all else that there is to read before the first statement, without waiting in between.
/// Until `run` nothing may be read that takes a lock.
///
/// # Errors
/// As `measure::before`.
pub async fn start(tx: &WriteTx, with_objects: bool) -> Result<(Before, Opening), Failure> {
    let objects = if with_objects { Some(measure::objects_unlocked(tx).await?) } else { None };
    tx.look_up(Says::Engine).await?;
    try_join(measure::before_with(tx, objects), opening(tx)).await
}

async fn opening(tx: &WriteTx) -> Result<Opening, Failure> {
    let (wal, meter) = try_join(measure::wal(tx), Meter::start(tx)).await?;
    Ok(Opening { wal, meter })
}

/// Sends a script, forces deferred constraints and measures all of it against `before`. `opening`: what `start` read.
///
/// # Errors
/// The first statement that fails, or the constraint that does not hold.
pub async fn run(tx: &WriteTx, script: &Script, before: &Before, opening: Option<Opening>) -> Result<Ran, Failure> {
    let lasting = temporary::lasting(tx, script).await?;
    let Opening { wal, mut meter } = if let Some(opening) = opening {
        opening
    } else {
        tx.look_up(Says::Engine).await?;
        self::opening(tx).await?
    };
    meter.begin(before);
    let mut statements = Vec::with_capacity(script.statements.len());
    // Asking after each of thousands would take longer than they do.
    let each = script.statements.len() / METERED + 1;
    for index in 0..script.statements.len() {
        let read = (index + 1) % each == 0;
        let sent = send_one(tx, script, index, read).await?;
        let wrote = if read { meter.read(tx).await? } else { Vec::new() };
        statements.push(Executed { wrote, ..sent });
    }
    let watch = Stopwatch::start();
    // Their triggers are the plan's.
    tx.control_and_return(FORCE).await?;
    let forced_ms = watch.ms();
    let ((wrote, wal_now), mut delta) =
        try_join(try_join(meter.read(tx), measure::wal(tx)), measure::delta(tx, before)).await?;
    if !wrote.is_empty() {
        let sha256 = digest::hex(FORCE.as_bytes());
        statements.push(Executed { verb: FORCE.into(), rows: 0, ms: forced_ms, sha256, line: None, wrote });
    }
    let wal_bytes = wal_now.saturating_sub(wal);
    temporary::leave_out(tx, script, &lasting, &mut delta).await?;
    Ok(Ran { statements, delta, held: meter.held(), wal_bytes })
}

impl Ran {
    /// As a proof keeps it. `told`: what its transaction was told, and what was another than in the first run.
    pub fn repetition(
        &self,
        what: &str,
        script: &Script,
        work: &Work,
        told: (&RunSettings, Vec<String>),
    ) -> Repetition {
        let delta = &self.delta;
        let wrote = delta.rows.iter().map(|(table, [inserted, updated, deleted])| TableWrite {
            table: table.clone(),
            inserted: *inserted,
            updated: *updated,
            deleted: *deleted,
            bound: None,
        });
        // With objects listed, a definition that was written again and is the same has not changed.
        let only_files = !delta.files.is_empty() && delta.catalogs.keys().all(|catalog| catalog == "pg_class");
        let definitions: Vec<String> = if only_files && delta.objects.is_empty() {
            Vec::new()
        } else if work.alters.is_empty() {
            delta.catalogs.iter().map(|(catalog, rows)| format!("{catalog} {rows}")).collect()
        } else {
            delta.objects.iter().map(|(identity, _)| identity.clone()).collect()
        };
        Repetition {
            what: what.to_owned(),
            sha256: script.sha256.clone(),
            as_of: told.0.as_of.clone(),
            under: told.1,
            wrote: wrote.collect(),
            files: self.files(),
            catalogs: delta.catalogs.clone(),
            definitions,
        }
    }

    fn files(&self) -> BTreeMap<String, String> {
        self.delta.files.iter().map(|(table, word)| (table.clone(), (*word).to_owned())).collect()
    }

    /// As the journal keeps it.
    pub fn measured(&self, stage: &str, purpose: &str, writes: Vec<TableWrite>) -> Event {
        let written = self.held.iter().filter(|lock| lock.mode != "AccessShareLock");
        Event::Measured {
            stage: stage.to_owned(),
            purpose: purpose.to_owned(),
            writes,
            altered: Resolved::altered(&self.delta),
            sequences: self.delta.sequences.clone(),
            locks: written.map(|lock| format!("{} {}", lock.table, lock.mode)).collect(),
            held: self.held.clone(),
            files: self.files(),
            wal_bytes: self.wal_bytes,
        }
    }
}

/// Sends every statement of a script, and measures nothing.
///
/// # Errors
/// The first statement that fails: names template, line and verb; the transaction is aborted.
pub async fn send(tx: &WriteTx, script: &Script) -> Result<Vec<Executed>, Failure> {
    let mut sent = Vec::with_capacity(script.statements.len());
    for index in 0..script.statements.len() {
        sent.push(send_one(tx, script, index, false).await?);
    }
    Ok(sent)
}

/// Sends every statement of a script outside of any transaction: each stands once it is answered.
///
/// # Errors
/// The first statement that fails; those before it stand.
pub async fn send_alone(
    alone: &Alone,
    script: &Script,
    may_go_on: impl Fn() -> Result<(), Failure>,
) -> Result<Vec<Executed>, Failure> {
    let mut sent = Vec::with_capacity(script.statements.len());
    for (index, statement) in script.statements.iter().enumerate() {
        may_go_on()?;
        let watch = Stopwatch::start();
        let rows = alone.execute(&statement.text).await;
        sent.push(executed(script, index, watch, rows)?);
    }
    Ok(sent)
}

/// `back`: the engine has something to ask right after it.
async fn send_one(tx: &WriteTx, script: &Script, index: usize, back: bool) -> Result<Executed, Failure> {
    let watch = Stopwatch::start();
    let text = &script.statements[index].text;
    let rows = if back { tx.execute_and_return(text).await } else { tx.execute(text).await };
    executed(script, index, watch, rows)
}

/// A statement that was answered, in the words of the template it came from.
fn executed(script: &Script, index: usize, watch: Stopwatch, rows: Result<u64, Failure>) -> Result<Executed, Failure> {
    let statement = &script.statements[index];
    let line = |offset: usize| line_of(&script.text, statement.span.start + offset);
    let rows = rows.map_err(|mut failure| {
        let line = line(failure.position.unwrap_or(0));
        failure.what = format!("statement {} ({}) failed: {}", index + 1, statement.verb, strip(&failure.what));
        failure.facts.insert(0, format!("{}, line {line} of the rendered text", script.template));
        failure
    })?;
    crash::point(|| "statement/executed".to_owned());
    let sha256 = digest::hex(statement.text.as_bytes());
    let (verb, ms) = (statement.verb.clone(), watch.ms());
    Ok(Executed { verb, rows, ms, sha256, line: Some(line(0)), wrote: Vec::new() })
}

/// Fires deferred constraints and triggers now, so that they are counted and can still be refused.
///
/// # Errors
/// The constraint that does not hold.
pub async fn force_constraints(tx: &WriteTx) -> Result<(), Failure> {
    // Their triggers are the plan's.
    tx.look_up(Says::Plan).await?;
    tx.control(FORCE).await
}

/// Makes an open transaction again what it is at its begin, for who runs several scripts in one: constraints that are
/// initially deferred are so again, and temporary tables are gone as after COMMIT.
///
/// # Errors
/// The server's.
pub async fn as_begun(tx: &WriteTx) -> Result<(), Failure> {
    for sql in [DEFERRED, SCRATCH] {
        for row in tx.ask(sql, &[]).await? {
            tx.control(row.get(0)).await?;
        }
    }
    Ok(())
}

/// What the server said of a statement.
pub fn said(failure: &Failure) -> &str {
    strip(&failure.what)
}

fn strip(what: &str) -> &str {
    what.strip_prefix("statement: ").unwrap_or(what)
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}
