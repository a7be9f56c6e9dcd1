//! Method `stream`: binary COPY out of one snapshot and into the clone, several sessions on each side, every row hashed
//! on the way. Indexes of a big table are built as soon as its rows are in; the rows are read again and compared while
//! the rest is built.

use super::cleared;
use super::halfway::{self, Half, Kept, KeptWords, Seen};
use super::indexes::{self, ForeignKeys, Indexes};
use super::last_steps::LastSteps;
use super::making::{Begun, Copied, Making, close};
use super::restore::{Restore, Toc};
use super::slack::Slack;
use super::watch::{Waits, Watch};
use super::{settings, toc};
use crate::clock::Stopwatch;
use crate::copy::{Crew, Into, Loads, Source, Split};
use crate::digest::RowSum;
use crate::event::{CopiedTable, Event, Failure};
use crate::fingerprint::{self, Fingerprint, Form, Leaf, Level, Reading, Rest, Scope, TableKind};
use crate::name::quote::literal;
use crate::target::{CloneTarget, Expected, Isolation, Live, Tx};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, oneshot};

/// What is known of the source before anything is made.
struct Known {
    reading: Reading,
    /// Leaves that are loaded through another table, by oid.
    routed: BTreeMap<i64, String>,
    indexes: Indexes,
    keys: ForeignKeys,
    /// Sums of tables that are there already, by oid.
    kept: BTreeMap<i64, RowSum>,
}

/// Clones by `stream`.
pub(super) async fn run(making: Making<'_>, begun: Begun, half: Option<Box<Half>>) -> Result<Copied, Failure> {
    let mut known = Known::of(&begun.tx).await?;
    let kept = going_on(&making, &begun, half).await?;
    let words = kept.as_ref().map(|kept| known.keep(&making, kept)).transpose()?;
    let expected = match &kept {
        Some(kept) => kept.expected.clone(),
        None => making.create(&begun).await?,
    };
    let into = making.target.maker.door().to_database(making.working)?;
    let facts = begun.facts.clone();
    let identity = begun.identity.clone();
    let restore = making.restore(&into, &facts, &identity)?;
    let schema = schema(&making, &begun, &restore, (&expected, kept));
    let toc = making.watch(&begun, "copying the schema", &Arc::default(), 0).over(Box::pin(schema)).await?;
    let slack = Slack::of(&making, &begun.tx, &known.reading).await?;
    slack.make(&making).await?;
    let work = Work { making, known: &known, restore, toc: &toc, expected: &expected };
    let ((built, build), (read, verify)) = (oneshot::channel(), oneshot::channel());
    let (tables, arrived) = mpsc::unbounded_channel();
    let told = Told { tables, all: vec![built, read] };
    let (moved, left_out, verified) =
        tokio::try_join!(work.rows(begun, told), work.build(arrived, build), work.verify(verify))?;
    slack.forget(&making).await?;
    let clone = work.whole(&verified).await?;
    let mut facts = facts.clone();
    facts.left_out.extend(left_out);
    let (source, open_ms, waits) = (moved.print, moved.open_ms, moved.waits);
    let views = toc.views(&source);
    Ok(Copied { identity, facts, source, clone, open_ms, waits, kept: words, expected, views })
}

/// What of a half clone is gone on with; else it is dropped.
async fn going_on(making: &Making<'_>, begun: &Begun, half: Option<Box<Half>>) -> Result<Option<Kept>, Failure> {
    let Some(half) = half else { return Ok(None) };
    let weighing = halfway::weigh(*half, begun);
    match making.watch(begun, "looking what of the half clone can be kept", &Arc::default(), 0).over(weighing).await? {
        Ok(kept) => Ok(Some(kept)),
        Err(why) => halfway::anew(making.cx, making.stage, making.target, &why).await.map(|()| None),
    }
}

/// The schema up to the rows, and the word that they come now.
async fn schema(
    making: &Making<'_>,
    begun: &Begun,
    restore: &Restore<'_>,
    (expected, kept): (&Expected, Option<Kept>),
) -> Result<Toc, Failure> {
    // The snapshot's session has nothing else to do while `pg_dump` works.
    let seen = async {
        match &kept {
            Some(_) => Ok(None),
            None => Seen::of(&begun.tx).await.map(Some),
        }
    };
    let clone = halfway::clone_mark(making.target, expected);
    let (toc, seen, clone) = tokio::try_join!(restore.schema(&begun.snapshot), seen, clone)?;
    let (seen, tables) = match (seen, kept) {
        (_, Some(kept)) => {
            making.stage.touched.store(true, Ordering::SeqCst);
            cleared::clear(making, begun, (restore, &toc), &kept).await?;
            (kept.seen, kept.tables.into_values().collect())
        }
        (seen, None) => {
            restore.pre_data(&toc).await?;
            (seen.expect("invariant: without a half clone production was looked at"), Vec::new())
        }
    };
    halfway::begin_rows(making, seen, (clone, expected), tables)?;
    Ok(toc)
}

struct Work<'w> {
    making: Making<'w>,
    known: &'w Known,
    restore: Restore<'w>,
    toc: &'w Toc,
    expected: &'w Expected,
}

/// The rows are in.
struct Moved {
    print: Fingerprint,
    open_ms: u64,
    waits: Waits,
}

/// Who is told that rows are in: of a table, by its oid in production; of all.
struct Told {
    tables: mpsc::UnboundedSender<i64>,
    all: Vec<oneshot::Sender<()>>,
}

/// Waits until all rows are in. If they do not come, their failure is the one to tell, so this waits for ever.
async fn all_in(told: oneshot::Receiver<()>) {
    if told.await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Known {
    async fn of(tx: &Tx) -> Result<Known, Failure> {
        // Definitions are printed relative to the path: from here on this transaction needs names in full.
        tx.query("SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)", &[]).await?;
        let reading = fingerprint::reading(tx, &Scope::all(Level::Content)).await?;
        let routed = tx.query(include_str!("../../../sql/engine/source/routed.sql"), &[]).await?;
        let sizes = reading.tables.iter().zip(&reading.sources).map(|((leaf, _), source)| (leaf.oid, source.bytes));
        let indexes = Indexes::of(tx, sizes).await?;
        let keys = ForeignKeys::of(tx).await?;
        let routed = routed.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(Known { reading, routed, indexes, keys, kept: BTreeMap::new() })
    }

    /// Takes tables that are there already out of what is read.
    fn keep(&mut self, making: &Making<'_>, kept: &Kept) -> Result<KeptWords, Failure> {
        let sizes = self.reading.tables.iter().zip(&self.reading.sources);
        let words = kept.tell(making, sizes.map(|((leaf, _), source)| (leaf, source.bytes)))?;
        for ((leaf, _), source) in self.reading.tables.iter().zip(&mut self.reading.sources) {
            if let Some(sum) = kept.sum(leaf.oid) {
                source.empty = true;
                self.kept.insert(leaf.oid, sum);
            }
        }
        Ok(words)
    }

    /// What the journal says of a table that is in, if it is worth a line. Rows of one that is loaded through another
    /// table may lie anywhere below that.
    fn line(&self, source: usize, sum: &RowSum) -> Option<CopiedTable> {
        let ((leaf, kind), size) = (&self.reading.tables[source], self.reading.sources[source].bytes);
        let whole = *kind != TableKind::MaterializedView && !self.routed.contains_key(&leaf.oid);
        (whole && halfway::is_worth_keeping(size.max(sum.bytes))).then(|| CopiedTable {
            name: leaf.name.clone(),
            oid: leaf.oid,
            rows: sum.rows,
            bytes: sum.bytes,
            sum: sum.hex(),
        })
    }

    /// Where each source goes; what a clone computes itself goes nowhere.
    fn places(&self) -> Vec<(Source, Option<Into>)> {
        let place = |((leaf, kind), source): (&(Leaf, TableKind), &Source)| {
            let goes = *kind != TableKind::MaterializedView;
            (source.clone(), goes.then(|| self.place(leaf)))
        };
        self.reading.tables.iter().zip(&self.reading.sources).map(place).collect()
    }

    fn place(&self, leaf: &Leaf) -> Into {
        let columns = leaf.columns.iter().filter(|column| column.form != Form::Generated);
        let columns: Vec<String> = columns.map(|column| column.quoted.clone()).collect();
        let text = leaf.columns.iter().any(|column| column.form == Form::Text);
        let text = text.then(|| format!("SELECT {} FROM ONLY {}", columns.join(", "), leaf.name));
        let routed = self.routed.get(&leaf.oid);
        Into { table: routed.unwrap_or(&leaf.name).clone(), columns, text, alone: routed.is_none() }
    }
}

impl Work<'_> {
    /// Everything that needs production's snapshot, and the sequences.
    async fn rows(&self, begun: Begun, told: Told) -> Result<Moved, Failure> {
        let making = &self.making;
        let sources = self.known.reading.sources.iter().filter(|source| !source.empty);
        let (expected, loads) = (sources.map(|source| source.bytes).sum(), Arc::default());
        let watch = making.watch(&begun, "copying the rows", &loads, expected);
        let (print, rest) = watch.over(self.copy(&begun, &loads, told)).await?;
        drop(watch);
        // The snapshot holds back vacuum on production: it does not wait until the rest is built.
        let (open_ms, waits) = making.let_go(begun).await?;
        set_sequences(making.target, making.working, &rest).await?;
        Ok(Moved { print, open_ms, waits })
    }

    async fn copy(&self, begun: &Begun, loads: &Arc<Loads>, told: Told) -> Result<(Fingerprint, Rest), Failure> {
        let (making, target, scope) = (&self.making, self.making.target, Scope::all(Level::Content));
        let watch = Stopwatch::start();
        let crew = Crew {
            reader: making.production()?.reader.clone(),
            snapshot: Some(begun.snapshot.clone()),
            purpose: "rows of the clone".to_owned(),
            jobs: making.jobs(),
            split: Split::Rarely,
            loads: Arc::clone(loads),
        };
        let places = self.known.places();
        let workers = crate::copy::workers(&self.known.reading.sources, making.jobs(), Split::Rarely);
        let mut loaders = Vec::with_capacity(workers);
        for _ in 0..workers {
            let mut loader = target.maker.loader(making.working, &target.owner_role, "loading rows").await?;
            // Checks and domains may call functions that look for names on the database's path.
            loader.run(&format!("SET search_path = {}", settings::path(self.restore.facts)?)).await?;
            loaders.push(loader);
        }
        let Told { tables, all } = told;
        for oid in self.known.kept.keys() {
            let _ = tables.send(*oid);
        }
        let (done, arrived) = mpsc::unbounded_channel();
        let (mut moved, ()) = tokio::try_join!(crew.transfer(places, loaders, done), self.arriving(arrived, tables))?;
        for told in all {
            // Nobody listens once building has failed.
            let _ = told.send(());
        }
        for ((leaf, _), sum) in self.known.reading.tables.iter().zip(&mut moved.sums) {
            if let Some(kept) = self.known.kept.get(&leaf.oid) {
                *sum = kept.clone();
            }
        }
        // After the rows: sequences are not of the snapshot, and must not be behind it.
        let rest = fingerprint::rest(&begun.tx, &scope).await?;
        if rest.has_large_objects() {
            making.cx.say(making.name(), "copying large objects");
            self.restore.large_objects(&begun.snapshot).await?;
        }
        for record in moved.records {
            making.cx.record(Event::Transaction { record })?;
        }
        let print = fingerprint::complete(&scope, self.known.reading.clone(), &moved.sums, rest.clone());
        making.cx.keep_fingerprint(making.name(), &target.source, "source", &print, watch.ms())?;
        Ok((print, rest))
    }

    /// Passes on which tables are in, and journals those that are worth keeping, as many a line as have come.
    async fn arriving(
        &self,
        mut arrived: mpsc::UnboundedReceiver<(usize, RowSum)>,
        tables: mpsc::UnboundedSender<i64>,
    ) -> Result<(), Failure> {
        let mut batch = Vec::new();
        while arrived.recv_many(&mut batch, 64).await > 0 {
            for (source, _) in &batch {
                // Nobody listens once building has failed.
                let _ = tables.send(self.known.reading.tables[*source].0.oid);
            }
            let lines = batch.drain(..).filter_map(|(source, sum)| self.known.line(source, &sum));
            let tables: Vec<CopiedTable> = lines.collect();
            if !tables.is_empty() {
                self.making.cx.record(Event::TablesCopied { stage: self.making.name().to_owned(), tables })?;
            }
        }
        Ok(())
    }

    /// Reads the clone's rows. Nobody writes there: each chunk is a transaction of its own and no index waits for it.
    async fn verify(&self, told: oneshot::Receiver<()>) -> Result<BTreeMap<String, RowSum>, Failure> {
        all_in(told).await;
        let doors = self.making.target.doors(self.expected)?;
        let tx = doors.reader.begin("verifying the clone", Isolation::Snapshot).await?;
        let reading = fingerprint::reading(&tx, &Scope::all(Level::Content)).await?;
        tx.finish().await?;
        let sums = self.sums(&doors, reading.sources).await?;
        close(&doors);
        Ok(sums)
    }

    async fn sums(&self, doors: &Live, sources: Vec<Source>) -> Result<BTreeMap<String, RowSum>, Failure> {
        let crew = self.making.crew(doors, None);
        let watch = Watch {
            cx: self.making.cx,
            stage: self.making.name(),
            doing: "comparing with production",
            loads: Arc::clone(&crew.loads),
            expected: sources.iter().map(|source| source.bytes).sum(),
            holder: None,
            building: Some((&self.making.target.maker, self.making.working)),
        };
        let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
        let moved = watch.over(crew.hash(sources)).await?;
        Ok(names.into_iter().zip(moved.sums).collect())
    }

    /// The whole clone once it is built: what was read while it was being built, and what came after.
    async fn whole(&self, verified: &BTreeMap<String, RowSum>) -> Result<Fingerprint, Failure> {
        let scope = Scope::all(Level::Content);
        let doors = self.making.target.doors(self.expected)?;
        let tx = doors.reader.begin("verifying the clone", Isolation::Snapshot).await?;
        let reading = fingerprint::reading(&tx, &scope).await?;
        let late = reading.sources.iter().filter(|source| !verified.contains_key(&source.name)).cloned().collect();
        let late = self.sums(&doors, late).await?;
        let rest = fingerprint::rest(&tx, &scope).await?;
        tx.finish().await?;
        close(&doors);
        let sum = |source: &Source| verified.get(&source.name).or_else(|| late.get(&source.name)).cloned();
        let sums: Vec<RowSum> = reading.sources.iter().map(|source| sum(source).unwrap_or_default()).collect();
        Ok(fingerprint::complete(&scope, reading, &sums, rest))
    }

    /// Indexes as tables arrive; the rest once all rows are in. Answers what could not be restored.
    async fn build(
        &self,
        arrived: mpsc::UnboundedReceiver<i64>,
        told: oneshot::Receiver<()>,
    ) -> Result<Vec<String>, Failure> {
        let making = &self.making;
        let mut sessions = Vec::new();
        if !self.known.indexes.is_empty() {
            for _ in 0..making.jobs().div_ceil(2) {
                sessions.push(indexes::session(making.target, making.working, "building indexes").await?);
            }
        }
        self.known.indexes.build(sessions, arrived).await?;
        all_in(told).await;
        let late = |text: &str| text.starts_with("FK CONSTRAINT ") || text.starts_with("MATERIALIZED VIEW DATA ");
        let comment = |text: &str| text.starts_with("COMMENT ");
        let kept = &self.toc.kept;
        let first = toc::without(kept, |oid, text| late(text) || comment(text) || self.known.indexes.has(oid));
        self.restore.post_data(self.toc, &first).await?;
        self.known.keys.add(making.target, making.working).await?;
        let comments = toc::without(kept, |_, text| !comment(text));
        self.restore.post_data(self.toc, &comments).await?;
        let left_out = making.settled(&self.restore, self.toc, self.restore.facts).await?;
        self.last_steps().await?;
        Ok(left_out)
    }

    /// Keys validated, views filled, tables analysed.
    async fn last_steps(&self) -> Result<(), Failure> {
        let making = &self.making;
        making.cx.say(making.name(), "validating foreign keys, filling views, analysing");
        let names: BTreeMap<i64, &str> =
            self.known.reading.tables.iter().map(|(leaf, _)| (leaf.oid, leaf.name.as_str())).collect();
        let views = toc::views_with_data(&self.toc.kept);
        let views: Vec<&str> = views.iter().filter_map(|oid| names.get(oid).copied()).collect();
        let path = settings::path(self.restore.facts)?;
        let (target, working, jobs) = (making.target, making.working, making.jobs());
        LastSteps { target, working, jobs, path }.run(self.known.keys.validations(), &views).await
    }
}

/// Puts the clone's sequences where production's were when they were read.
pub(super) async fn set_sequences(target: &CloneTarget, working: &str, rest: &Rest) -> Result<(), Failure> {
    let mut session = indexes::session(target, working, "sequences").await?;
    for batch in rest.sequences.chunks(200) {
        let set = |s: &fingerprint::SequenceState| {
            let name = literal(&s.name).unwrap_or_default();
            format!("SELECT pg_catalog.setval({name}::pg_catalog.regclass, {}, {})", s.last_value, s.is_called)
        };
        session.run(&batch.iter().map(set).collect::<Vec<_>>().join("; ")).await?;
    }
    Ok(())
}
