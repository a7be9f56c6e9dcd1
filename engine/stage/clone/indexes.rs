//! Indexes of big tables, each built as soon as its table's rows are in, and foreign keys in two steps.

use crate::event::Failure;
use crate::target::{CloneTarget, Loader, Tx};
use std::collections::{BTreeMap, VecDeque};
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
    create: String,
    /// Makes it its constraint's; waits for whoever reads the table.
    constrain: Option<String>,
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
        let index = |row: &crate::target::Row| Index {
            table: row.get(0),
            entries: std::iter::once(row.get(1)).chain(row.get::<_, Option<i64>>(2)).collect(),
            create: row.get(3),
            constrain: row.get(4),
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
                    session.run(&index.create).await?;
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
        // Last: by now most tables have been read again.
        for constrain in self.all.iter().filter_map(|index| index.constrain.as_ref()) {
            if let Some(session) = sessions.first_mut() {
                session.run(constrain).await?;
            }
        }
        Ok(())
    }
}

/// A foreign key.
#[derive(Clone, Debug)]
struct Key {
    table: String,
    add: String,
    validate: Option<String>,
}

/// Foreign keys: added at once without a look at the rows, to be validated later.
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
                add: format!(
                    "ALTER TABLE {table} ADD CONSTRAINT {name} {definition}{}",
                    if later { " NOT VALID" } else { "" }
                ),
                validate: later.then(|| format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}")),
                table,
            }
        };
        Ok(ForeignKeys { all: rows.iter().map(key).collect() })
    }

    /// Adds them one by one, without a look at the rows.
    ///
    /// # Errors
    /// The server's.
    pub async fn add(&self, target: &CloneTarget, working: &str) -> Result<(), Failure> {
        if self.all.is_empty() {
            return Ok(());
        }
        let mut session = session(target, working, "foreign keys").await?;
        for batch in self.all.chunks(50) {
            session.run(&batch.iter().map(|key| key.add.as_str()).collect::<Vec<_>>().join("; ")).await?;
        }
        Ok(())
    }

    /// What makes them valid, by table.
    pub fn validations(&self) -> BTreeMap<String, Vec<String>> {
        let mut by_table: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for key in &self.all {
            if let Some(validate) = &key.validate {
                by_table.entry(key.table.clone()).or_default().push(validate.clone());
            }
        }
        by_table
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
