//! From nothing to a verified clone under its working name.

use super::super::fingerprint::taken;
use super::super::source_facts::SourceFacts;
use super::halfway::{Half, KeptWords};
use super::settings;
use super::watch::{Holder, Waits, Watch};
use super::{CloneStage, Method, expiry, marker, preflight, quoted, restore, stream, toc};
use crate::clock::{self, Stopwatch};
use crate::copy::{Crew, Loads, Split};
use crate::event::{Event, Exit, Failure, Identity};
use crate::fingerprint::{self, Compare, Comparison, Fingerprint, Held, Level, Scope};
use crate::stage::Cx;
use crate::target::{CloneTarget, Doors, Expected, Isolation, Live, NewDatabase, Plain, Tx, identify};
use std::sync::{Arc, Mutex};

/// The making of one clone.
#[derive(Clone, Copy)]
pub(super) struct Making<'r> {
    /// The run.
    pub cx: &'r Cx,
    /// The stage.
    pub stage: &'r CloneStage,
    /// What is made.
    pub target: &'r CloneTarget,
    /// Its name until it is verified.
    pub working: &'r str,
}

/// Production's snapshot, held.
pub(super) struct Begun {
    pub tx: Tx,
    /// Its backend.
    pub pid: i32,
    /// Looks who waits for it.
    pub looker: Tx,
    pub waits: Mutex<Waits>,
    pub snapshot: String,
    pub identity: Identity,
    pub facts: SourceFacts,
    pub watch: Stopwatch,
}

/// A clone that is equal to its source.
pub(super) struct Made {
    pub identity: Identity,
    pub facts: SourceFacts,
    pub print: Fingerprint,
    pub open_ms: u64,
    pub waits: Waits,
    /// Of a half clone, if there was one.
    pub kept: Option<KeptWords>,
    pub expected: Expected,
    /// Materialised views that hold data, in the order in which they can be filled.
    pub views: Vec<String>,
    /// For the summary: what a golden copy was good for.
    pub how: String,
}

/// What a method leaves to be compared.
pub(super) struct Copied {
    pub identity: Identity,
    pub facts: SourceFacts,
    /// Of the source at the snapshot.
    pub source: Fingerprint,
    /// Of the clone.
    pub clone: Fingerprint,
    pub open_ms: u64,
    pub waits: Waits,
    /// Of a half clone, if there was one.
    pub kept: Option<KeptWords>,
    pub expected: Expected,
    pub views: Vec<String>,
}

impl<'r> Making<'r> {
    pub(super) async fn make(self, half: Option<Box<Half>>) -> Result<Made, Failure> {
        let begun = self.begin().await?;
        self.cold(begun, half).await
    }

    /// All of it read from production, but what is kept of a half clone.
    pub(super) async fn cold(self, begun: Begun, half: Option<Box<Half>>) -> Result<Made, Failure> {
        let copied = match self.stage.method {
            Method::Dump => Box::pin(self.dump(begun)).await?,
            Method::Stream => Box::pin(stream::run(self, begun, half)).await?,
        };
        self.compared(copied)
    }

    pub(super) fn name(&self) -> &'r str {
        self.stage.head.name.as_str()
    }

    pub(super) fn production(&self) -> Result<&'r Plain, Failure> {
        self.cx.targets.plain(&self.target.source)
    }

    pub(super) fn jobs(&self) -> usize {
        self.stage.jobs
    }

    /// Opens the snapshot, refuses what cannot be cloned, and holds every table still.
    pub(super) async fn begin(&self) -> Result<Begun, Failure> {
        let watch = Stopwatch::start();
        let tx = self.production()?.reader.begin("snapshot of the clone", Isolation::Snapshot).await?;
        let patience = self.stage.head.lock_timeout.as_millis().to_string();
        tx.query("SELECT pg_catalog.set_config('lock_timeout', $1, true)", &[&patience]).await?;
        let snapshot = tx.export_snapshot().await?;
        let identity = identify(&tx).await?;
        let (jobs, stream) = (self.stage.jobs, self.stage.method == Method::Stream);
        let asked = preflight::Asked {
            cx: self.cx,
            stage: self.name(),
            target: self.target,
            source: &tx,
            identity: &identity,
            acknowledged: &self.stage.acknowledged,
            // Readers, `pg_dump` and who looks around there; here loaders or readers, builders, `pg_restore` and the maker's own.
            reading: u32::try_from(if stream { jobs + 2 } else { 2 }).unwrap_or(u32::MAX),
            writing: u32::try_from(if stream { 2 * jobs + 3 } else { jobs + 2 }).unwrap_or(u32::MAX),
        };
        let facts = preflight::demand(&asked).await?;
        let Held { tables, lock_ms } = fingerprint::hold_still(&tx).await?;
        let pid = tx.query_one("SELECT pg_catalog.pg_backend_pid()", &[]).await?.get(0);
        let looker = self.production()?.reader.begin("who waits for the clone", Isolation::Fresh).await?;
        let waits = Mutex::new(Waits { tables, lock_ms, ..Waits::default() });
        Ok(Begun { tx, pid, looker, waits, snapshot, identity, facts, watch })
    }

    /// Looks around while something is done with production's tables held.
    pub(super) fn watch<'w>(
        &self,
        begun: &'w Begun,
        doing: &'static str,
        loads: &Arc<Loads>,
        expected: u64,
    ) -> Watch<'w>
    where
        'r: 'w,
    {
        let Begun { tx, pid, looker, waits, .. } = begun;
        let holder = Holder { tx, pid: *pid, looker, bound: self.stage.max_lock_wait, waits };
        let (cx, stage, loads) = (self.cx, self.name(), Arc::clone(loads));
        Watch { cx, stage, doing, loads, expected, holder: Some(holder), building: None }
    }

    /// Lets production go: the snapshot holds back vacuum there. Answers how long it was open, and who waited.
    pub(super) async fn let_go(&self, begun: Begun) -> Result<(u64, Waits), Failure> {
        self.cx.finish(begun.tx).await?;
        let open_ms = begun.watch.ms();
        self.cx.finish(begun.looker).await?;
        let waits = begun.waits.into_inner().expect("invariant: nobody panics while noting a wait");
        self.cx.record(Event::SourceHeld {
            stage: self.name().to_owned(),
            target: self.target.source.clone(),
            tables: waits.tables,
            lock_ms: waits.lock_ms,
            own: waits.own.clone(),
            others: waits.others.clone(),
            held_ms: open_ms,
        })?;
        Ok((open_ms, waits))
    }

    /// Makes the empty database; what `refuse_existing` let pass is dropped now.
    pub(super) async fn create(&self, begun: &Begun) -> Result<Expected, Failure> {
        let expected = self.create_from(begun, "template0").await?;
        let owner = quoted(&self.target.owner_role)?;
        self.target.maker.inside(self.working, &[format!("ALTER SCHEMA public OWNER TO {owner}")]).await?;
        Ok(expected)
    }

    /// The same as a copy of `template`.
    pub(super) async fn create_from(&self, begun: &Begun, template: &str) -> Result<Expected, Failure> {
        let (cx, target) = (self.cx, self.target);
        self.stage.drop_existing(cx, target).await?;
        let (stage, on) = (self.name().to_owned(), self.stage.on.clone());
        cx.record(Event::CloneBegun { stage, target: on, database: self.working.to_owned() })?;
        let new = NewDatabase {
            name: self.working.to_owned(),
            template: template.to_owned(),
            locale: (template == "template0").then(|| begun.facts.locale.clone()),
            stage_role: target.stage_role.clone(),
            owner_role: target.owner_role.clone(),
            marker: marker(cx, &begun.identity, expiry(target)),
            doors: Doors::Open,
        };
        let oid = target.maker.create(&new).await?;
        Ok(Expected {
            run: cx.run.clone(),
            database: self.working.to_owned(),
            oid,
            system_identifier: target.maker.identity().await?.system_identifier,
            not: (begun.identity.system_identifier.clone(), begun.identity.oid),
        })
    }

    pub(super) fn restore<'s>(
        &'s self,
        into: &'s crate::target::Door,
        facts: &'s SourceFacts,
        source: &Identity,
    ) -> Result<restore::Restore<'s>, Failure> {
        Ok(restore::Restore {
            cx: self.cx,
            stage: self.name(),
            source: self.production()?.reader.door(),
            source_name: &self.target.source,
            into,
            owner_role: &self.target.owner_role,
            facts,
            jobs: self.stage.jobs,
            lock_timeout: self.stage.head.lock_timeout,
            server_major: u32::try_from(source.version_num / 10_000).unwrap_or(0),
        })
    }

    /// `pg_dump | psql`: production is read twice, once for its fingerprint.
    async fn dump(&self, begun: Begun) -> Result<Copied, Failure> {
        let (cx, name) = (self.cx, self.name());
        cx.say(name, "fingerprint of production at the snapshot");
        let watch = Stopwatch::start();
        let crew = Crew {
            reader: self.production()?.reader.clone(),
            snapshot: Some(begun.snapshot.clone()),
            purpose: "fingerprint of production".to_owned(),
            jobs: self.stage.jobs,
            split: Split::Evenly,
            loads: Arc::default(),
        };
        let scope = Scope::all(Level::Content);
        let reading = fingerprint::reading(&begun.tx, &scope).await?;
        let expected_bytes = reading.sources.iter().map(|source| source.bytes).sum();
        let hashing = self.watch(&begun, "fingerprint of production at the snapshot", &crew.loads, expected_bytes);
        let moved = hashing.over(crew.hash(reading.sources.clone())).await?;
        for record in moved.records {
            cx.record(Event::Transaction { record })?;
        }
        let print_ms = watch.ms();
        let expected = self.create(&begun).await?;
        let into = self.target.maker.door().to_database(self.working)?;
        let (facts, identity) = (begun.facts.clone(), begun.identity.clone());
        let restore = self.restore(&into, &facts, &identity)?;
        let copying = async {
            let toc = restore.schema(&begun.snapshot).await?;
            restore.pre_data(&toc).await?;
            restore.data(&begun.snapshot).await?;
            // Sequences belong to no snapshot: read after the rows, and set to what was read.
            Ok((toc, fingerprint::rest(&begun.tx, &scope).await?))
        };
        let (toc, rest) = self.watch(&begun, "copying with pg_dump", &crew.loads, 0).over(copying).await?;
        stream::set_sequences(self.target, self.working, &rest).await?;
        let source = fingerprint::complete(&scope, reading, &moved.sums, rest);
        cx.keep_fingerprint(name, &self.target.source, "source", &source, print_ms)?;
        let (open_ms, waits) = self.let_go(begun).await?;
        cx.say(name, "building indexes and constraints");
        restore.post_data(&toc, &toc.kept).await?;
        let left_out = self.settled(&restore, &toc, &facts).await?;
        restore.analyze().await?;
        let mut facts = facts.clone();
        facts.left_out.extend(left_out);
        let clone = self.verified(&expected).await?;
        let views = toc.views(&source);
        Ok(Copied { identity, facts, source, clone, open_ms, waits, kept: None, expected, views })
    }

    /// What a dump leaves out. Answers what could not be restored.
    pub(super) async fn settled(
        &self,
        restore: &restore::Restore<'_>,
        toc: &restore::Toc,
        facts: &SourceFacts,
    ) -> Result<Vec<String>, Failure> {
        let printed = restore.default_privileges(toc).await?;
        let (statements, mut left_out) = toc::default_privileges(&printed, &facts.owners, &self.target.owner_role);
        self.target.maker.inside(self.working, &statements).await?;
        left_out.extend(toc.left_out.iter().cloned());
        left_out.extend(settings::restore(&self.target.maker, self.working, facts).await?);
        Ok(left_out)
    }

    /// The clone as it is, read by the role that will work in it.
    async fn verified(&self, expected: &Expected) -> Result<Fingerprint, Failure> {
        self.cx.say(self.name(), "comparing with production");
        let doors = self.target.doors(expected)?;
        let scope = Scope::all(Level::Content);
        let print = taken(self.cx, &doors.reader, "verifying the clone", &scope, self.stage.jobs).await?;
        close(&doors);
        Ok(print)
    }

    pub(super) fn crew(&self, doors: &Live, snapshot: Option<String>) -> Crew {
        Crew {
            reader: doors.reader.clone(),
            snapshot,
            purpose: "verifying the clone".to_owned(),
            jobs: self.jobs(),
            split: Split::Rarely,
            loads: Arc::default(),
        }
    }

    /// Equal to production at the snapshot, or not a clone.
    pub(super) fn compared(&self, copied: Copied) -> Result<Made, Failure> {
        let Copied { identity, facts, source, clone, open_ms, waits, kept, expected, views } = copied;
        let compare = Compare::Clone {
            owner_map: facts.owners.iter().map(|o| (o.clone(), self.target.owner_role.clone())).collect(),
            left_out: facts.left_out.clone(),
        };
        let Comparison { differences, masks } = fingerprint::differences(&source, &clone, &compare);
        let (physical, logical): (Vec<_>, Vec<_>) = differences.into_iter().partition(|d| d.physical);
        let lines: Vec<String> = logical.iter().map(|d| format!("{}: {}", d.what, d.detail)).collect();
        // A dump cannot say in which order columns lie that a parent got late; no statement can tell either.
        let physical = physical.iter().map(|d| format!("physical only: {}: {}", d.what, d.detail));
        let masks = masks.into_iter().chain(physical).collect();
        self.cx.record(Event::Compared {
            stage: self.name().to_owned(),
            label: "clone and production at the snapshot".into(),
            equal: lines.is_empty(),
            differences: lines.clone(),
            masks,
        })?;
        if !lines.is_empty() {
            let mut failure = Failure::new(Exit::StageFailed, "the clone is not equal to production at the snapshot");
            failure.facts = lines.into_iter().take(20).collect();
            return Err(failure);
        }
        self.cx.say(self.name(), &format!("equal at {}", clock::now()));
        Ok(Made { identity, facts, print: source, open_ms, waits, kept, expected, views, how: String::new() })
    }
}

/// Ends the sessions of doors that are not needed any more.
pub(super) fn close(doors: &Live) {
    doors.reader.door().close();
    doors.writer.close();
}
