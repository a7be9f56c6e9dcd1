//! What a transaction really did: row counters of every relation including the catalogs, file nodes, sequences, locks.
//!
//! Deltas, because the counters of a session carry what earlier transactions did not flush yet. Attempts count,
//! rolled-back savepoints included: a bound is an upper bound.

use crate::event::{Exit, Failure, SequenceMove};
use crate::fingerprint::{self, SchemaObject, SequenceState};
use crate::target::{Says, Tx};
use futures_util::future::{try_join, try_join3};
use std::collections::BTreeMap;

/// One relation's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counter {
    schema: String,
    name: String,
    kind: String,
    root: String,
    changes: [i64; 3],
    filenode: i64,
}

/// The state to compare with, taken before the SQL.
#[derive(Clone, Debug)]
pub struct Before {
    counters: BTreeMap<i64, Counter>,
    /// Sequences then, where they are measured.
    pub sequences: Option<Vec<SequenceState>>,
    /// Schema objects then, when definitions may change.
    pub objects: Option<Vec<SchemaObject>>,
}

impl Before {
    /// Inserted, updated, deleted by oid, of tables.
    pub fn changes(&self) -> BTreeMap<i64, [i64; 3]> {
        self.counters.iter().map(|(oid, counter)| (*oid, counter.changes)).collect()
    }
}

/// What happened in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Inserted, updated, deleted by table (`schema.table`, partitions under their root).
    pub rows: BTreeMap<String, [u64; 3]>,
    /// Tables that were truncated, rewritten, that appeared or vanished: name and which.
    pub files: BTreeMap<String, &'static str>,
    /// Row changes of system catalogs: there was DDL, or a large object was written.
    pub catalogs: BTreeMap<String, u64>,
    /// Schema objects that differ: identity and parent relation. Only with `Before::objects`.
    pub objects: Vec<(String, Option<String>)>,
    /// Sequences that moved.
    pub sequences: Vec<SequenceMove>,
    /// All sequences as they stand now, where they are measured.
    pub stand: Vec<SequenceState>,
    /// Temporary relations that nothing drops at COMMIT.
    pub outlives: Vec<String>,
}

impl Delta {
    /// Nothing at all happened to tables or definitions.
    pub fn is_nothing(&self) -> bool {
        self.rows.is_empty() && self.files.is_empty() && self.catalogs.is_empty() && self.objects.is_empty()
    }
}

const COUNTERS: &str = include_str!("../../sql/engine/measure/counters.sql");

/// What is said of a table whose file node changed.
pub const REWRITTEN: &str = "truncated or rewritten";

/// Catalogs that move without a change of definitions.
const QUIET: [&str; 3] = ["pg_statistic", "pg_statistic_ext_data", "pg_stat_statements"];

/// Takes the state before the SQL. `with_objects`: definitions may change, so they are listed too.
///
/// # Errors
/// `track_counts` is off, so that nothing could be measured; or the server's.
pub async fn before(tx: &Tx, with_objects: bool) -> Result<Before, Failure> {
    let objects = if with_objects { Some(objects_unlocked(tx).await?) } else { None };
    tx.look_up(Says::Engine).await?;
    before_with(tx, objects).await
}

/// The same with objects that were read already.
pub(super) async fn before_with(tx: &Tx, objects: Option<Vec<SchemaObject>>) -> Result<Before, Failure> {
    let ((), sequences, counters) = try_join3(demand_counts(tx), fingerprint::sequences(tx), counters(tx)).await?;
    Ok(Before { sequences: Some(sequences), objects, counters })
}

/// As `before`, for a role that may not read every sequence: those are not measured.
///
/// # Errors
/// As `before`.
pub async fn before_without_sequences(tx: &Tx) -> Result<Before, Failure> {
    demand_counts(tx).await?;
    let objects = Some(fingerprint::objects(tx).await?);
    Ok(Before { sequences: None, objects, counters: counters(tx).await? })
}

/// Definitions, read in a savepoint that is rolled back: reading them takes locks, which would pass for the template's.
///
/// # Errors
/// The server's.
pub async fn objects_unlocked(tx: &Tx) -> Result<Vec<SchemaObject>, Failure> {
    tx.enter_read_only().await?;
    let objects = fingerprint::objects(tx).await;
    tx.leave_read_only().await?;
    objects
}

async fn demand_counts(tx: &Tx) -> Result<(), Failure> {
    let on: String = tx.ask_one("SELECT pg_catalog.current_setting('track_counts')", &[]).await?.get(0);
    if on == "on" {
        return Ok(());
    }
    Err(Failure::new(Exit::StageFailed, "`track_counts` is off, so that nothing written could be counted")
        .next("then", "ALTER SYSTEM SET track_counts = on, by the server's owner"))
}

/// Measures what happened since.
///
/// # Errors
/// The server's.
pub async fn delta(tx: &Tx, before: &Before) -> Result<Delta, Failure> {
    let stand = async {
        match &before.sequences {
            Some(_) => fingerprint::sequences(tx).await,
            None => Ok(Vec::new()),
        }
    };
    tx.look_up(Says::Engine).await?;
    let (now, stand) = try_join(counters(tx), stand).await?;
    let sequences = before.sequences.as_ref().map_or_else(Vec::new, |then| moved(then, &stand));
    let mut delta = Delta { sequences, stand, ..Delta::default() };
    for (oid, counter) in &now {
        let old = before.counters.get(oid);
        let changes: [u64; 3] =
            std::array::from_fn(|i| u64::try_from(counter.changes[i] - old.map_or(0, |o| o.changes[i])).unwrap_or(0));
        count(&mut delta, counter, changes);
        if counter.schema != "pg_catalog" && counter.kind != "S" {
            match old {
                None => drop(delta.files.insert(counter.root.clone(), "appeared")),
                Some(o) if o.filenode != counter.filenode => {
                    delta.files.insert(counter.root.clone(), REWRITTEN);
                }
                Some(_) => {}
            }
        }
    }
    for (oid, counter) in &before.counters {
        if !now.contains_key(oid) && counter.kind != "S" {
            delta.files.insert(counter.root.clone(), "dropped");
        }
    }
    if let Some(objects) = before.objects.as_ref().filter(|_| !delta.catalogs.is_empty()) {
        delta.objects = changed_objects(objects, &fingerprint::objects(tx).await?);
    }
    Ok(delta)
}

fn count(delta: &mut Delta, counter: &Counter, changes: [u64; 3]) {
    let total: u64 = changes.iter().sum();
    if total == 0 || counter.kind == "S" {
        return;
    }
    if counter.schema == "pg_catalog" {
        if !QUIET.contains(&counter.name.as_str()) {
            *delta.catalogs.entry(counter.name.clone()).or_default() += total;
        }
        return;
    }
    let entry = delta.rows.entry(counter.root.clone()).or_default();
    for (sum, change) in entry.iter_mut().zip(changes) {
        *sum += change;
    }
}

/// Row changes of this transaction so far, over all tables of users.
///
/// # Errors
/// The server's.
pub async fn rows_changed(tx: &Tx) -> Result<i64, Failure> {
    let counters = counters(tx).await?;
    Ok(counters.values().filter(|c| c.schema != "pg_catalog" && c.kind != "S").flat_map(|c| c.changes).sum())
}

/// Where the server's WAL stands, in bytes.
///
/// # Errors
/// The server's.
pub async fn wal(tx: &Tx) -> Result<u64, Failure> {
    let sql = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::pg_catalog.int8";
    Ok(tx.ask_one(sql, &[]).await?.get::<_, i64>(0).unsigned_abs())
}

/// Sequences that differ between two states; one that appeared or vanished is a matter of definitions.
pub fn moved(before: &[SequenceState], after: &[SequenceState]) -> Vec<SequenceMove> {
    let old: BTreeMap<&str, &SequenceState> = before.iter().map(|s| (s.name.as_str(), s)).collect();
    after
        .iter()
        .filter_map(|now| {
            let then = old.get(now.name.as_str())?;
            (then.next != now.next).then(|| SequenceMove {
                sequence: now.name.clone(),
                before: (then.last_value, then.is_called),
                after: (now.last_value, now.is_called),
            })
        })
        .collect()
}

/// Sequences that give, after a rollback, values that were given out before the stage already: name, and both next values.
pub fn set_back(before: &[SequenceMove], now: &[SequenceState]) -> Vec<(String, String)> {
    let behind =
        |then: i64, s: &SequenceState| s.next.is_some_and(|next| if s.ascending { next < then } else { next > then });
    let told = |m: &SequenceMove| {
        let state = now.iter().find(|state| state.name == m.sequence)?;
        let step = if state.ascending { 1 } else { -1 };
        // What it would have given before the stage, or what comes after that: its increment does not matter here.
        let then = if m.before.1 { m.before.0.saturating_add(step) } else { m.before.0 };
        behind(then, state).then(|| {
            (
                m.sequence.clone(),
                format!("next value {}, and {then} was next before the stage", state.next.unwrap_or(0)),
            )
        })
    };
    before.iter().filter_map(told).collect()
}

/// Statements that put sequences back to what they were before.
///
/// # Errors
/// A name that cannot be quoted.
pub fn put_back(moves: &[SequenceMove]) -> Result<Vec<String>, Failure> {
    moves
        .iter()
        .map(|m| {
            let name = crate::name::quote::literal(&m.sequence)
                .map_err(|why| Failure::new(Exit::Io, format!("sequence `{}`: {why}", m.sequence)))?;
            Ok(format!("SELECT pg_catalog.setval({name}::pg_catalog.regclass, {}, {})", m.before.0, m.before.1))
        })
        .collect()
}

/// Objects that differ, are new or are gone: identity and parent relation.
pub fn changed_objects(before: &[SchemaObject], after: &[SchemaObject]) -> Vec<(String, Option<String>)> {
    let key = |o: &SchemaObject| (o.kind.clone(), o.identity.clone());
    let old: BTreeMap<_, _> = before.iter().map(|o| (key(o), o)).collect();
    let new: BTreeMap<_, _> = after.iter().map(|o| (key(o), o)).collect();
    let mut changed: Vec<(String, Option<String>)> = new
        .iter()
        .filter(|(k, o)| old.get(*k).is_none_or(|before| before.definition != o.definition))
        .map(|(_, o)| (o.identity.clone(), o.parent.clone()))
        .collect();
    changed
        .extend(old.iter().filter(|(k, _)| !new.contains_key(*k)).map(|(_, o)| (o.identity.clone(), o.parent.clone())));
    changed.sort();
    changed.dedup();
    changed
}

async fn counters(tx: &Tx) -> Result<BTreeMap<i64, Counter>, Failure> {
    let rows = tx.ask(COUNTERS, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let counter = Counter {
                schema: row.get(1),
                name: row.get(2),
                kind: row.get(3),
                root: row.get(4),
                changes: [row.get(5), row.get(6), row.get(7)],
                filenode: row.get(8),
            };
            (row.get(0), counter)
        })
        .collect())
}
