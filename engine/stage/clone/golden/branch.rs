//! A clone as a copy of the golden one, brought up to production's new snapshot.

use super::super::making::{Begun, Copied, Made, Making, close};
use super::super::watch::Waits;
use super::super::{indexes, settings, stream};
use super::apply::{Apply, Changed, Table};
use super::order;
use super::state::State;
use crate::clock::Stopwatch;
use crate::copy::{Crew, Loads, Sieve, Sifted, Source, Split};
use crate::digest::RowSum;
use crate::event::{Event, Exit, Failure, TableWrite};
use crate::fingerprint::{self, Compare, Fingerprint, Form, Leaf, Level, Reading, Rest, Scope, TableKind};
use crate::target::{Expected, Isolation};
use std::sync::Arc;

/// More than one row in so many is recent: copying everything is quicker.
const MUCH: u64 = 4;
/// A small database is branched from whatever happened to it.
const FEW: u64 = 10_000;

/// What came of it.
pub(super) enum Branched {
    /// A clone; what was written into the branch; rows that were recent.
    Yes(Box<Made>, Vec<TableWrite>, u64),
    /// Nothing is left of it, and why.
    No(Box<Begun>, String),
}

/// Why there is no branch.
enum Doubt {
    /// Making everything anew is the answer.
    Anew(String),
    /// The run cannot go on.
    Failed(Failure),
}

impl From<Failure> for Doubt {
    /// What the clone's server refused is a reason to make it anew; what we did to production, that it cannot be reached,
    /// or that the snapshot's transaction is aborted (`Doubt::Failed` where it is asked) is not.
    fn from(failure: Failure) -> Doubt {
        let ours = failure.sqlstate.is_some() || matches!(failure.exit, Exit::StageFailed | Exit::WrongDatabase);
        if !ours || matches!(failure.exit, Exit::ChangedByUs | Exit::Temporary) {
            return Doubt::Failed(failure);
        }
        let facts = failure.facts.first().map_or_else(String::new, |fact| format!(" ({fact})"));
        Doubt::Anew(format!("{}{facts}", failure.what))
    }
}

fn anew<T>(why: impl Into<String>) -> Result<T, Doubt> {
    Err(Doubt::Anew(why.into()))
}

/// Tries to branch.
///
/// # Errors
/// What would keep a clone from being made at all.
pub(super) async fn run(making: Making<'_>, begun: Begun, state: &State) -> Result<Branched, Failure> {
    let loads = Arc::default();
    let watch = making.watch(&begun, "bringing the golden copy up to date", &loads, 0);
    let branch = Branch { making, begun: &begun, state, loads: Arc::clone(&loads) };
    // A doubt is no failure for the watch, which passes failures on.
    let tried = watch.over(async {
        match branch.attempt().await {
            Ok(done) => Ok(Ok(done)),
            Err(Doubt::Anew(why)) => Ok(Err(why)),
            Err(Doubt::Failed(failure)) => Err(failure),
        }
    });
    let tried = Box::pin(tried).await?;
    drop(watch);
    match tried {
        Ok((made, writes, recent)) => {
            let (open_ms, waits) = making.let_go(begun).await?;
            Ok(Branched::Yes(Box::new(Made { open_ms, waits, ..made }), writes, recent))
        }
        Err(why) => {
            making.target.maker.drop_database(making.working, &making.cx.run).await?;
            Ok(Branched::No(Box::new(begun), why))
        }
    }
}

struct Branch<'b> {
    making: Making<'b>,
    begun: &'b Begun,
    state: &'b State,
    loads: Arc<Loads>,
}

/// Production now: what is to be read, what it was, everything but its rows.
struct Now {
    reading: Reading,
    before: Vec<RowSum>,
    rest: Rest,
}

impl Branch<'_> {
    async fn attempt(&self) -> Result<(Made, Vec<TableWrite>, u64), Doubt> {
        let (making, tx) = (&self.making, &self.begun.tx);
        let now = self.same_but_rows().await?;
        making.cx.say(making.name(), "copying the golden copy and reading what is recent");
        let (expected, sifted) = tokio::try_join!(making.create_from(self.begun, &self.state.name), self.sift(&now))?;
        let Some(sifted) = sifted else { return anew("too many rows are recent") };
        let recent = sifted.iter().map(|found| found.sum.rows).sum();
        let (sums, writes) = self.brought_up(&now, sifted).await?;
        // Sequences are of no snapshot: they must not be behind the rows.
        let mut rest = now.rest.clone();
        rest.sequences = fingerprint::sequences(tx).await.map_err(Doubt::Failed)?;
        stream::set_sequences(making.target, making.working, &rest).await?;
        settings::restore(&making.target.maker, making.working, &self.begun.facts).await?;
        let scope = Scope::all(Level::Content);
        let clone = self.as_it_is(&now, &sums, (&expected, !writes.is_empty())).await?;
        let watch = Stopwatch::start();
        let source = fingerprint::complete(&scope, now.reading, &sums, rest);
        making.cx.keep_fingerprint(making.name(), &making.target.source, "source", &source, watch.ms())?;
        let mut facts = self.begun.facts.clone();
        facts.left_out.clone_from(&self.state.left_out);
        let copied = Copied {
            identity: self.begun.identity.clone(),
            facts,
            source,
            clone,
            open_ms: 0,
            waits: Waits::default(),
            kept: None,
            expected,
            views: self.state.views.clone(),
        };
        Ok((making.compared(copied)?, writes, recent))
    }

    /// Production must be what it was in everything but rows and the places of sequences.
    async fn same_but_rows(&self) -> Result<Now, Doubt> {
        let (tx, state) = (&self.begun.tx, self.state);
        if let Some(why) = state.horizon.lost(tx).await.map_err(Doubt::Failed)? {
            return anew(why);
        }
        if self.begun.facts.left_out != state.asked {
            return anew("something else is left out");
        }
        let counted: String =
            tx.query_one("SELECT pg_catalog.current_setting('track_counts')", &[]).await.map_err(Doubt::Failed)?.get(0);
        if counted != "on" {
            return anew("`track_counts` is off in production");
        }
        let scope = Scope::all(Level::Content);
        let reading = fingerprint::reading(tx, &scope).await.map_err(Doubt::Failed)?;
        let rest = fingerprint::rest(tx, &scope).await.map_err(Doubt::Failed)?;
        let known = |leaf: &Leaf| {
            let print = state.print.tables.iter().find(|table| table.oid == leaf.oid)?;
            RowSum::of_hex(print.sum.as_deref()?, print.rows, print.bytes)
        };
        let Some(before) = reading.tables.iter().map(|(leaf, _)| known(leaf)).collect::<Option<Vec<_>>>() else {
            return anew("it has other tables");
        };
        let mut as_before = fingerprint::complete(&scope, reading.clone(), &before, rest.clone());
        as_before.sequences.clone_from(&state.print.sequences);
        let found = fingerprint::differences(&state.print, &as_before, &Compare::Exact).differences;
        match found.first() {
            Some(first) => anew(format!("production is another one: {}: {}", first.what, first.detail)),
            None => Ok(Now { reading, before, rest }),
        }
    }

    fn crew(&self, purpose: &str) -> Result<Crew, Failure> {
        Ok(Crew {
            reader: self.making.production()?.reader.clone(),
            snapshot: Some(self.begun.snapshot.clone()),
            purpose: purpose.to_owned(),
            jobs: self.making.jobs(),
            split: Split::Evenly,
            loads: Arc::clone(&self.loads),
        })
    }

    async fn sift(&self, now: &Now) -> Result<Option<Vec<Sifted>>, Failure> {
        let sources = now.reading.tables.iter().zip(&now.reading.sources);
        let sources = sources.map(|((leaf, _), source)| (leaf.oid, source.clone())).collect();
        let most = (self.state.print.rows() / MUCH).max(FEW);
        let sieve = Sieve { condition: self.state.horizon.recent(), most, folder: self.making.cx.dir.clone() };
        let (found, records) = self.crew("recent rows")?.sift(sources, sieve).await?;
        self.keep_records(records)?;
        Ok(found)
    }

    fn keep_records(&self, records: Vec<crate::event::TxRecord>) -> Result<(), Failure> {
        records.into_iter().try_for_each(|record| self.making.cx.record(Event::Transaction { record }))
    }

    /// Rows of tables that moved; answers production's sums, and what was written.
    async fn brought_up(&self, now: &Now, sifted: Vec<Sifted>) -> Result<(Vec<RowSum>, Vec<TableWrite>), Doubt> {
        let mut sums = now.before.clone();
        let (mut moved, mut views, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (at, found) in sifted.into_iter().enumerate() {
            if found.sum.rows == 0 && found.rows == now.before[at].rows {
                continue;
            }
            if now.reading.tables[at].1 == TableKind::MaterializedView {
                views.push(at);
            } else {
                moved.push((at, found));
                places.push(at);
            }
        }
        // A clone fills its views by itself; production's are only read.
        let sources: Vec<Source> = views.iter().map(|at| now.reading.sources[*at].clone()).collect();
        let read = self.crew("materialised views")?.hash(sources).await?;
        self.keep_records(read.records)?;
        views.iter().zip(read.sums).for_each(|(at, sum)| sums[*at] = sum);
        if moved.is_empty() {
            return Ok((sums, Vec::new()));
        }
        let changed = self.apply(now, moved).await?;
        let mut writes = Vec::new();
        for (at, changed) in places.into_iter().zip(changed) {
            sums[at] = changed.sum;
            writes.push(changed.write);
        }
        self.fill_views().await?;
        Ok((sums, writes))
    }

    async fn apply(&self, now: &Now, moved: Vec<(usize, Sifted)>) -> Result<Vec<Changed>, Doubt> {
        let tx = &self.begun.tx;
        let oids: Vec<i64> = moved.iter().map(|(at, _)| now.reading.tables[*at].0.oid).collect();
        let rows = tx
            .query(include_str!("../../../../sql/engine/source/refreshable.sql"), &[&oids])
            .await
            .map_err(Doubt::Failed)?;
        let routed =
            tx.query(include_str!("../../../../sql/engine/source/routed.sql"), &[]).await.map_err(Doubt::Failed)?;
        let routed: Vec<i64> = routed.iter().map(|row| row.get(0)).collect();
        let mut tables = Vec::new();
        for (at, found) in moved {
            let (leaf, source) = (&now.reading.tables[at].0, &now.reading.sources[at]);
            let Some(row) = rows.iter().find(|row| row.get::<_, i64>(0) == leaf.oid) else {
                return anew(format!("{} is gone", leaf.name));
            };
            if routed.contains(&leaf.oid) {
                return anew(format!("rows of {} may belong into another partition of a clone", leaf.name));
            }
            if leaf.columns.iter().any(|column| column.form == Form::Text) {
                return anew(format!("{} changed, and has a column that travels as text", leaf.name));
            }
            if row.get(3) {
                return anew(format!("{} changed, and has a rule", leaf.name));
            }
            let columns = leaf.columns.iter().filter(|column| column.form == Form::Binary);
            let table = Table {
                oid: leaf.oid,
                source: source.clone(),
                columns: columns.map(|column| column.quoted.clone()).collect(),
                key: row.get(1),
                fixed: row.get(2),
                triggers: row.get(4),
                before: now.before[at].clone(),
                found,
            };
            if table.key.is_empty() && row.get(5) {
                return anew(format!("{} changed, is referred to, and has no key to go by", leaf.name));
            }
            tables.push(table);
        }
        let references = order::references(tx, &oids).await.map_err(Doubt::Failed)?;
        let apply = Apply {
            making: &self.making,
            crew: self.crew("rows of changed tables")?,
            path: settings::path(&self.begun.facts)?,
            references,
        };
        let (changed, records) = apply.all(tables).await?;
        self.keep_records(records)?;
        Ok(changed)
    }

    async fn fill_views(&self) -> Result<(), Failure> {
        if self.state.views.is_empty() {
            return Ok(());
        }
        let mut session =
            indexes::session(self.making.target, self.making.working, "filling materialised views").await?;
        session.run(&format!("SET search_path = {}", settings::path(&self.begun.facts)?)).await?;
        for view in &self.state.views {
            session
                .run(&format!("REFRESH MATERIALIZED VIEW {view}"))
                .await
                .map_err(|f| f.fact(format!("view {view}")))?;
        }
        Ok(())
    }

    /// The branch: objects and sequences as they are read there, rows as they were proved while they were written.
    async fn as_it_is(
        &self,
        now: &Now,
        sums: &[RowSum],
        (expected, filled): (&Expected, bool),
    ) -> Result<Fingerprint, Failure> {
        let scope = Scope::all(Level::Content);
        let doors = self.making.target.doors(expected)?;
        let tx = doors.reader.begin("verifying the clone", Isolation::Snapshot).await?;
        let rest = fingerprint::rest(&tx, &scope).await?;
        tx.finish().await?;
        close(&doors);
        let mut print = fingerprint::complete(&scope, now.reading.clone(), sums, rest);
        for table in print.tables.iter_mut().filter(|table| filled && table.kind == TableKind::MaterializedView) {
            table.sum = Some("computed anew".to_owned());
        }
        Ok(print)
    }
}
