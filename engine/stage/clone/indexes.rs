//! Indexes of big tables, each built as soon as its table's rows are in, and foreign keys in two steps.

use crate::event::Failure;
use crate::target::{CloneTarget, Loader, Tx};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

/// Smaller tables are left to `pg_restore`: a session would cost more than their indexes.
const BIG: u64 = 8 << 20;

/// An index that is built by its own statements.
#[derive(Clone, Debug)]
struct Index {
    table: i64,
    /// Oids of the entries of the dump that it stands for: the index, and its constraint if it has one. Never 0, which
    /// is what a dump writes for what has no oid of its own, such as the attaching of a partition's index.
    entries: Vec<i64>,
    statements: Vec<String>,
}

/// Indexes that need not wait for `pg_restore`.
#[derive(Clone, Debug, Default)]
pub struct Indexes {
    all: Vec<Index>,
}

impl Indexes {
    /// Those of tables with at least `BIG` bytes.
    ///
    /// # Errors
    /// The server's.
    pub async fn of(tx: &Tx, sizes: impl Iterator<Item = (i64, u64)>) -> Result<Indexes, Failure> {
        let big: Vec<i64> = sizes.filter(|(_, bytes)| *bytes >= BIG).map(|(oid, _)| oid).collect();
        if big.is_empty() {
            return Ok(Indexes::default());
        }
        let rows = tx.query(include_str!("../../../sql/engine/source/indexes.sql"), &[&big]).await?;
        let index = |row: &crate::target::Row| {
            let constraint: Option<String> = row.get(4);
            Index {
                table: row.get(0),
                entries: std::iter::once(row.get(1)).chain(row.get::<_, Option<i64>>(2)).collect(),
                statements: std::iter::once(row.get(3)).chain(constraint).collect(),
            }
        };
        Ok(Indexes { all: rows.iter().map(index).collect() })
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Does the entry of a dump stand for one of them?
    pub fn has(&self, oid: i64) -> bool {
        self.all.iter().any(|index| index.entries.contains(&oid))
    }

    /// Builds them as their tables' oids arrive; done when no more can arrive and all are built.
    ///
    /// # Errors
    /// The server's, such as a duplicate key.
    pub async fn build(&self, mut sessions: Vec<Loader>, mut tables: UnboundedReceiver<i64>) -> Result<(), Failure> {
        let mut by_table: BTreeMap<i64, Vec<Index>> = BTreeMap::new();
        for index in &self.all {
            by_table.entry(index.table).or_default().push(index.clone());
        }
        let (mut waiting, mut at_work, mut open) = (VecDeque::<Index>::new(), JoinSet::new(), true);
        while open || !at_work.is_empty() || !waiting.is_empty() {
            while !sessions.is_empty()
                && let Some(index) = waiting.pop_front()
            {
                let mut session = sessions.pop().expect("invariant: there is a session");
                at_work.spawn(async move {
                    for statement in &index.statements {
                        session.run(statement).await?;
                    }
                    Ok::<Loader, Failure>(session)
                });
            }
            tokio::select! {
                table = tables.recv(), if open => match table {
                    Some(oid) => waiting.extend(by_table.remove(&oid).unwrap_or_default()),
                    None => open = false,
                },
                Some(done) = at_work.join_next() => {
                    sessions.push(done.expect("invariant: no index worker panics or is cancelled")?);
                }
            }
        }
        Ok(())
    }
}

/// A foreign key.
#[derive(Clone, Debug)]
struct Key {
    table: i64,
    add: String,
    validate: Option<String>,
}

/// Foreign keys: added at once without a look at the rows, then validated, those of different tables side by side.
#[derive(Clone, Debug, Default)]
pub struct ForeignKeys {
    all: Vec<Key>,
}

impl ForeignKeys {
    /// Those of a source.
    ///
    /// # Errors
    /// The server's.
    pub async fn of(tx: &Tx) -> Result<ForeignKeys, Failure> {
        let rows = tx.query(include_str!("../../../sql/engine/source/foreign_keys.sql"), &[]).await?;
        let key = |row: &crate::target::Row| {
            let (table, name, definition): (String, String, String) = (row.get(2), row.get(3), row.get(4));
            let later: bool = row.get(5);
            Key {
                table: row.get(1),
                add: format!(
                    "ALTER TABLE {table} ADD CONSTRAINT {name} {definition}{}",
                    if later { " NOT VALID" } else { "" }
                ),
                validate: later.then(|| format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}")),
            }
        };
        Ok(ForeignKeys { all: rows.iter().map(key).collect() })
    }

    /// Adds them one by one, then validates with `jobs` sessions, each table in one of them.
    ///
    /// # Errors
    /// The server's, such as a row that breaks a key.
    pub async fn restore(&self, target: &CloneTarget, working: &str, jobs: usize) -> Result<(), Failure> {
        if self.all.is_empty() {
            return Ok(());
        }
        let mut session = session(target, working, "foreign keys").await?;
        for batch in self.all.chunks(50) {
            session.run(&batch.iter().map(|key| key.add.as_str()).collect::<Vec<_>>().join("; ")).await?;
        }
        let mut by_table: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for key in &self.all {
            if let Some(validate) = &key.validate {
                by_table.entry(key.table).or_default().push(validate.clone());
            }
        }
        let jobs = jobs.min(by_table.len());
        let queue = Arc::new(Mutex::new(by_table.into_values().collect::<Vec<_>>()));
        let mut at_work = JoinSet::new();
        for _ in 0..jobs {
            let mut session = self::session(target, working, "validating foreign keys").await?;
            let queue = Arc::clone(&queue);
            at_work.spawn(async move {
                loop {
                    let next = queue.lock().expect("invariant: no holder of the queue panics").pop();
                    let Some(statements) = next else { return Ok::<(), Failure>(()) };
                    for statement in statements {
                        session.run(&statement).await?;
                    }
                }
            });
        }
        while let Some(done) = at_work.join_next().await {
            done.expect("invariant: no validating worker panics or is cancelled")?;
        }
        Ok(())
    }
}

/// A session that builds, as the owner, with memory for sorting.
pub(super) async fn session(target: &CloneTarget, working: &str, purpose: &str) -> Result<Loader, Failure> {
    let mut session = target.maker.loader(working, &target.owner_role, purpose).await?;
    session.run("SET search_path = ''; SET maintenance_work_mem = '256MB'").await?;
    if super::jobs::available() < 4 {
        // The rows are read again meanwhile: there is no core left for the server's own helpers.
        session.run("SET max_parallel_maintenance_workers = 0").await?;
    }
    Ok(session)
}
