//! Rows of tables that moved, brought up to date one by one in the branch.
//!
//! Of a table with a key, R are the rows of production that are recent (at or after the golden copy's horizon), n is how
//! many rows it has, both in the new snapshot. Rows of R whose key is there are updated, the others inserted. That is
//! enough, unless rows are gone: keys are unique in the new snapshot, and a row that is not recent is byte for byte one
//! of the golden copy and has no key of R. So the golden rows without a key of R hold all rows that are not recent; if
//! there are n - |R| of them, they are exactly those. If there are more, some are gone in production: its keys are read,
//! and what has none of them is deleted; then the numbers must agree.
//!
//! Every statement answers what it wrote and what was there before, and both are hashed. What was written must have the
//! sum of R; the sum of the table is what it was, less what was there before, and R. Nobody else has ever written here.
//!
//! A statement may be refused because another one has not come yet: a key that is referred to, a unique value that is
//! still taken. It is tried again as long as any of the others passes; else everything is made anew.

use super::super::making::Making;
use super::order::{Reference, ranks};
use crate::copy::{Crew, Into, Returned, Sifted, Source};
use crate::digest::RowSum;
use crate::event::{Exit, Failure, TableWrite, TxRecord};
use crate::target::Loader;
use tokio::sync::mpsc;

/// A table that moved.
#[derive(Debug)]
pub(super) struct Table {
    /// In production.
    pub oid: i64,
    /// How production is read.
    pub source: Source,
    /// Its columns but generated ones, as the rows have them.
    pub columns: Vec<String>,
    /// Columns of its key; none: it has none to go by.
    pub key: Vec<String>,
    /// Columns that take no value in an UPDATE.
    pub fixed: Vec<String>,
    /// How its triggers stand.
    pub triggers: Vec<String>,
    /// Its sum in the golden copy.
    pub before: RowSum,
    /// What is recent, and how many rows there are.
    pub found: Sifted,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Changed {
    pub sum: RowSum,
    pub write: TableWrite,
}

/// Brings tables up to date.
pub(super) struct Apply<'a> {
    pub making: &'a Making<'a>,
    /// Reads production in the snapshot.
    pub crew: Crew,
    /// The `search_path` that the database gives its sessions.
    pub path: String,
    pub references: Vec<Reference>,
}

/// A table at work.
struct Work {
    table: Table,
    /// Where its recent rows lie in the branch.
    aside: String,
    /// Parts of the update that are still to be done.
    parts: Vec<usize>,
    /// Of so many.
    of: usize,
    keys_loaded: bool,
    /// Recent rows whose key was there.
    matched: Option<u64>,
    /// What was written, and what was there before.
    written: RowSum,
    gone: RowSum,
    counts: TableWrite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Update(usize),
    Insert(usize),
    Delete(usize),
}

/// With so many recent rows a table is updated by all sessions at a time.
const SHARED: u64 = 4000;

impl Work {
    fn columns(&self, alias: &str) -> String {
        list(&self.table.columns, alias)
    }

    fn same_key(&self, a: &str, b: &str) -> String {
        let equal = |column: &String| format!("{a}.{column} OPERATOR(pg_catalog.=) {b}.{column}");
        self.table.key.iter().map(equal).collect::<Vec<_>>().join(" AND ")
    }

    /// Rows set aside: the part of that number in order of the key, of so many.
    fn aside_part(&self, part: usize, of: usize) -> String {
        let key = self.table.key.join(", ");
        if of < 2 {
            return format!("(SELECT * FROM {} ORDER BY {key} OFFSET 0)", self.aside);
        }
        format!(
            "(SELECT * FROM (SELECT s.*, pg_catalog.ntile({of}) OVER (ORDER BY {key}) AS engine_part FROM {} AS s) AS p \
             WHERE engine_part = {} ORDER BY {key} OFFSET 0)",
            self.aside,
            part + 1
        )
    }

    /// Answers rows as they are now, and as they were. The row is found twice, so that its old version can be told.
    fn update(&self, part: usize, of: usize) -> String {
        let name = &self.table.source.name;
        let set = |column: &&String| !self.table.key.contains(column) && !self.table.fixed.contains(column);
        let set: Vec<String> = self.table.columns.iter().filter(set).map(|c| format!("{c} = d.{c}")).collect();
        let (now, then) = (self.columns("a"), self.columns("o"));
        let (aside, found) = (self.aside_part(part, of), self.same_key("o", "d"));
        if set.is_empty() {
            return format!("SELECT {then}, {then} FROM {aside} AS d, ONLY {name} AS o WHERE {found}");
        }
        format!(
            "UPDATE ONLY {name} AS a SET {} FROM {aside} AS d, ONLY {name} AS o \
             WHERE {found} AND a.ctid OPERATOR(pg_catalog.=) o.ctid RETURNING {now}, {then}",
            set.join(", ")
        )
    }

    /// What is inserted is set aside no longer: an update that comes later must not find it.
    fn insert(&self) -> String {
        let name = &self.table.source.name;
        let columns = self.table.columns.join(", ");
        format!(
            "WITH missing AS (DELETE FROM {} AS d WHERE NOT EXISTS (SELECT FROM ONLY {name} AS o WHERE {}) RETURNING *) \
             INSERT INTO {name} AS a ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM missing RETURNING {}",
            self.aside,
            self.same_key("o", "d"),
            self.columns("a")
        )
    }

    fn keys(&self) -> String {
        format!("{}_keys", self.aside)
    }

    /// Has no key of production's.
    fn lost(&self, alias: &str) -> String {
        format!("NOT EXISTS (SELECT FROM {} AS k WHERE {})", self.keys(), self.same_key("k", alias))
    }

    /// Rows that are gone in production; `None`: the numbers make no sense.
    fn to_delete(&self) -> Option<u64> {
        let found = &self.table.found;
        let new = found.sum.rows.checked_sub(self.matched?)?;
        (self.table.before.rows + new).checked_sub(found.rows)
    }

    /// A plan that goes from row to row, where that is better than reading the whole table.
    fn settings(&self) -> &'static str {
        if self.table.found.sum.rows * 20 < self.table.before.rows {
            "SET enable_hashjoin = off; SET enable_mergejoin = off"
        } else {
            "RESET enable_hashjoin; RESET enable_mergejoin"
        }
    }
}

impl Apply<'_> {
    /// Brings all of them up to date; answers what became of each, in order.
    pub(super) async fn all(&self, tables: Vec<Table>) -> Result<(Vec<Changed>, Vec<TxRecord>), Failure> {
        self.no_cascade(&tables)?;
        let mut records = Vec::new();
        let schema = format!("engine_{}", self.making.cx.run);
        let mut loaders = self.loaders(&tables).await?;
        loaders[0].run(&format!("CREATE SCHEMA {schema}")).await?;
        let mut work: Vec<Work> = Vec::new();
        for (at, table) in tables.into_iter().enumerate() {
            work.push(self.begun(&mut loaders, table, &format!("{schema}.t{at}")).await?);
        }
        self.until_nothing_is_left(&mut work, &mut loaders, &mut records).await?;
        self.whole(&mut work, &mut records).await?;
        self.making.cx.say(self.making.name(), "the golden copy is up to date");
        for done in &work {
            self.settle(&mut loaders[0], done).await?;
        }
        loaders[0].run(&format!("DROP SCHEMA {schema} CASCADE")).await?;
        Ok((work.into_iter().map(changed).collect::<Result<_, _>>()?, records))
    }

    async fn loaders(&self, tables: &[Table]) -> Result<Vec<Loader>, Failure> {
        let (target, jobs) = (self.making.target, self.making.jobs());
        let shared = tables.iter().any(|table| table.found.sum.rows >= SHARED);
        let mut loaders = Vec::new();
        for _ in 0..if shared { jobs.max(1) } else { 1 } {
            let mut loader =
                target.maker.loader(self.making.working, &target.owner_role, "bringing rows up to date").await?;
            let path = &self.path;
            loader
                .run(&format!("SET search_path = {path}; SET jit = off; SET max_parallel_workers_per_gather = 0"))
                .await?;
            loaders.push(loader);
        }
        Ok(loaders)
    }

    /// An update of what a key refers to may change rows that refer to it behind our back.
    fn no_cascade(&self, tables: &[Table]) -> Result<(), Failure> {
        for table in tables {
            let mut cascades =
                self.references.iter().filter(|reference| reference.to == table.oid && reference.on_update);
            let other =
                cascades.find(|reference| !(reference.columns.1.iter().all(|column| table.key.contains(column))));
            if let Some(other) = other {
                return Err(refused(format!("an update of {} would cascade to {}", table.source.name, other.name)));
            }
        }
        Ok(())
    }

    /// Puts the recent rows beside the table, and its triggers to sleep.
    async fn begun(&self, loaders: &mut [Loader], mut table: Table, aside: &str) -> Result<Work, Failure> {
        let (loader, name) = (&mut loaders[0], &table.source.name);
        if !table.triggers.is_empty() {
            loader.run(&format!("ALTER TABLE ONLY {name} DISABLE TRIGGER USER")).await?;
        }
        if table.key.is_empty() {
            // Its rows must be out of the way of those they refer to.
            loader.run(&format!("TRUNCATE ONLY {name}")).await?;
        } else if table.found.sum.rows > 0 {
            let columns = table.columns.join(", ");
            loader
                .run(&format!("CREATE UNLOGGED TABLE {aside} AS SELECT {columns} FROM ONLY {name} WITH NO DATA"))
                .await?;
            let mut rows = 0;
            for spool in &mut table.found.spools {
                rows += spool.load(loader, &format!("COPY {aside} ({columns}) FROM STDIN (FORMAT binary)")).await?;
            }
            if rows != table.found.sum.rows {
                return Err(refused(format!(
                    "{} recent rows of {name} were read and {rows} arrived",
                    table.found.sum.rows
                )));
            }
            loader.run(&format!("ANALYZE {aside}")).await?;
        }
        table.found.spools.clear();
        let parts = if table.found.sum.rows >= SHARED { loaders.len() } else { 1 };
        let counts = TableWrite { table: table.source.name.clone(), inserted: 0, updated: 0, deleted: 0, bound: None };
        Ok(Work {
            matched: (table.found.sum.rows == 0).then_some(0),
            parts: if table.found.sum.rows > 0 { (0..parts).collect() } else { Vec::new() },
            of: parts,
            aside: aside.to_owned(),
            keys_loaded: false,
            written: RowSum::default(),
            gone: RowSum::default(),
            counts,
            table,
        })
    }

    /// Tables without a key: copied whole, once what they refer to is there.
    async fn whole(&self, work: &mut [Work], records: &mut Vec<TxRecord>) -> Result<(), Failure> {
        let keyless: Vec<usize> = (0..work.len()).filter(|at| work[*at].table.key.is_empty()).collect();
        if keyless.is_empty() {
            return Ok(());
        }
        let loader = self.loaders(&[]).await?;
        let mut places = Vec::new();
        for at in &keyless {
            let (source, columns) = (work[*at].table.source.clone(), work[*at].table.columns.clone());
            let into = Into { table: source.name.clone(), columns, text: None, alone: true };
            places.push((source, Some(into)));
        }
        let moved = self.crew.transfer(places, loader, mpsc::unbounded_channel().0).await?;
        records.extend(moved.records);
        for (at, sum) in keyless.into_iter().zip(moved.sums) {
            let done = &mut work[at];
            (done.counts.inserted, done.counts.deleted) = (sum.rows, done.table.before.rows);
            // What the copy counted is what was written; nothing of what was there is left.
            (done.table.before, done.table.found.rows) = (RowSum::default(), sum.rows);
            (done.written, done.table.found.sum) = (sum.clone(), sum);
        }
        Ok(())
    }

    async fn until_nothing_is_left(
        &self,
        work: &mut [Work],
        loaders: &mut [Loader],
        records: &mut Vec<TxRecord>,
    ) -> Result<(), Failure> {
        let oids: Vec<i64> = work.iter().map(|w| w.table.oid).collect();
        let ranks = ranks(&oids, &self.references);
        let mut order: Vec<usize> = (0..work.len()).filter(|at| !work[*at].table.key.is_empty()).collect();
        order.sort_by_key(|at| ranks[&oids[*at]]);
        let there = order.iter().flat_map(|at| [Op::Update(*at), Op::Insert(*at)]);
        let mut left: Vec<Op> = there.chain(order.iter().rev().map(|at| Op::Delete(*at))).collect();
        while !left.is_empty() {
            let (before, mut later, mut failure) = (left.len(), Vec::new(), None);
            for op in left {
                match self.step(op, work, loaders, records).await {
                    Ok(true) => {}
                    Ok(false) => later.push(op),
                    Err(refused) if refused.sqlstate.as_deref().is_some_and(|code| code.starts_with("23")) => {
                        later.push(op);
                        failure = Some(refused);
                    }
                    Err(other) => return Err(other),
                }
            }
            if later.len() == before {
                return Err(failure.unwrap_or_else(|| refused("rows that are gone are still referred to".to_owned())));
            }
            left = later;
        }
        Ok(())
    }

    /// One statement of one table; false: it cannot be said yet.
    async fn step(
        &self,
        op: Op,
        work: &mut [Work],
        loaders: &mut [Loader],
        records: &mut Vec<TxRecord>,
    ) -> Result<bool, Failure> {
        match op {
            Op::Update(at) => update(&mut work[at], loaders).await,
            Op::Insert(at) => insert(&mut work[at], &mut loaders[0]).await,
            Op::Delete(at) => self.delete(&mut work[at], &mut loaders[0], records).await,
        }
    }

    async fn delete(&self, work: &mut Work, loader: &mut Loader, records: &mut Vec<TxRecord>) -> Result<bool, Failure> {
        let name = work.table.source.name.clone();
        count_matched(work, loader).await?;
        match work.to_delete() {
            None => return Err(refused(format!("the rows of {name} do not add up"))),
            Some(0) => return Ok(true),
            Some(_) => {}
        }
        if !work.keys_loaded {
            self.load_keys(work, loader, records).await?;
        }
        loader.run("RESET enable_hashjoin; RESET enable_mergejoin").await?;
        // What a delete would change elsewhere must have happened there by itself: otherwise nobody would see it.
        for reference in self.references.iter().filter(|r| r.to == work.table.oid && r.on_delete) {
            let pairs = reference.columns.0.iter().zip(&reference.columns.1);
            let equal: Vec<String> = pairs.map(|(from, to)| format!("c.{from} = a.{to}")).collect();
            let asked = format!(
                "SELECT EXISTS (SELECT FROM {} AS c JOIN {name} AS a ON {} WHERE {})",
                reference.name,
                equal.join(" AND "),
                work.lost("a")
            );
            if loader.run(&asked).await?.first().and_then(|row| row.first()?.clone()).as_deref() != Some("f") {
                return Ok(false);
            }
        }
        let statement =
            format!("DELETE FROM ONLY {name} AS a WHERE {} RETURNING {}", work.lost("a"), work.columns("a"));
        let sums = returned(loader, &statement, &[work.table.columns.len()]).await?;
        let deleted = sums[0].rows;
        if Some(deleted) != work.to_delete() {
            return Err(refused(format!(
                "{deleted} rows of {name} are gone, and {:?} were expected",
                work.to_delete()
            )));
        }
        work.gone.merge(&sums[0]);
        work.counts.deleted = deleted;
        Ok(true)
    }

    async fn load_keys(
        &self,
        work: &mut Work,
        loader: &mut Loader,
        records: &mut Vec<TxRecord>,
    ) -> Result<(), Failure> {
        let (name, key, keys) = (&work.table.source.name, work.table.key.join(", "), work.keys());
        loader.run(&format!("CREATE UNLOGGED TABLE {keys} AS SELECT {key} FROM ONLY {name} WITH NO DATA")).await?;
        let select = format!("SELECT {key} FROM ONLY {name}");
        let source = Source { select, plain: None, fields: work.table.key.len(), ..work.table.source.clone() };
        let into = Into { table: keys.clone(), columns: work.table.key.clone(), text: None, alone: false };
        let one = self.loaders(&[]).await?;
        let moved = self.crew.transfer(vec![(source, Some(into))], one, mpsc::unbounded_channel().0).await?;
        records.extend(moved.records);
        loader.run(&format!("ANALYZE {keys}")).await?;
        work.keys_loaded = true;
        Ok(())
    }

    /// Triggers as they were, statistics where much is new.
    async fn settle(&self, loader: &mut Loader, done: &Work) -> Result<(), Failure> {
        let name = &done.table.source.name;
        for trigger in &done.table.triggers {
            loader.run(&format!("ALTER TABLE ONLY {name} {trigger}")).await?;
        }
        if done.counts.total() * 10 > done.table.found.rows {
            loader.run(&format!("ANALYZE {name}")).await?;
        }
        Ok(())
    }
}

/// The parts that are left, each by a session; those that are refused stay.
async fn update(work: &mut Work, loaders: &mut [Loader]) -> Result<bool, Failure> {
    if work.parts.is_empty() {
        return Ok(true);
    }
    let (of, fields) = (work.of, work.table.columns.len());
    let settings = work.settings();
    let at_work = work.parts.iter().zip(loaders.iter_mut()).map(|(part, loader)| {
        let statement = work.update(*part, of);
        async move {
            loader.run(settings).await?;
            returned(loader, &statement, &[fields, fields]).await
        }
    });
    let done = futures_util::future::join_all(at_work).await;
    let (mut left, mut failure) = (Vec::new(), None);
    for (part, sums) in std::mem::take(&mut work.parts).into_iter().zip(done) {
        match sums {
            Ok(sums) => {
                work.written.merge(&sums[0]);
                work.gone.merge(&sums[1]);
                work.counts.updated += sums[0].rows;
            }
            Err(refused) => {
                left.push(part);
                failure = Some(refused);
            }
        }
    }
    work.parts = left;
    if work.parts.is_empty() {
        work.matched = Some(work.counts.updated);
    }
    failure.map_or(Ok(true), Err)
}

/// When the update was refused, what it will find can be counted, since no key is ever changed.
async fn count_matched(work: &mut Work, loader: &mut Loader) -> Result<(), Failure> {
    if work.matched.is_none() {
        let (aside, name, found) = (&work.aside, &work.table.source.name, work.same_key("o", "d"));
        let asked = format!("SELECT pg_catalog.count(*) FROM {aside} AS d JOIN ONLY {name} AS o ON {found}");
        let counted = loader.run(&asked).await?;
        work.matched = counted.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
    }
    Ok(())
}

async fn insert(work: &mut Work, loader: &mut Loader) -> Result<bool, Failure> {
    if !work.parts.is_empty() && work.parts.len() < work.of {
        // The parts that are left would be cut otherwise.
        return Ok(false);
    }
    count_matched(work, loader).await?;
    if work.matched == Some(work.table.found.sum.rows) {
        return Ok(true);
    }
    loader.run(work.settings()).await?;
    let sums = returned(loader, &work.insert(), &[work.table.columns.len()]).await?;
    work.written.merge(&sums[0]);
    work.counts.inserted = sums[0].rows;
    Ok(true)
}

async fn returned(loader: &mut Loader, statement: &str, groups: &[usize]) -> Result<Vec<RowSum>, Failure> {
    Returned::by(loader, &format!("COPY ({statement}) TO STDOUT (FORMAT binary)"), groups).await
}

/// What production's table is, when all adds up.
fn changed(done: Work) -> Result<Changed, Failure> {
    let Work { table, written, gone, counts, .. } = done;
    if written != table.found.sum {
        return Err(refused(format!("{} does not hold the recent rows of production", table.source.name)));
    }
    let mut sum = table.before;
    sum.take_away(&gone);
    sum.merge(&written);
    if sum.rows != table.found.rows {
        let (name, here, there) = (&table.source.name, sum.rows, table.found.rows);
        return Err(refused(format!("{name} has {here} rows, and production {there}")));
    }
    Ok(Changed { sum, write: counts })
}

fn refused(what: String) -> Failure {
    Failure::new(Exit::StageFailed, what)
}

fn list(columns: &[String], alias: &str) -> String {
    columns.iter().map(|column| format!("{alias}.{column}")).collect::<Vec<_>>().join(", ")
}
