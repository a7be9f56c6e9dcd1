//! `clone`: makes its target from what it is a clone of, by `pg_dump | psql` in one exported snapshot.
//!
//! Made under a name only this run can have given, closed and shut to PUBLIC; verified against the fingerprint
//! taken in the same snapshot; only then renamed. A half clone never carries the clone's name.

mod preflight;
mod restore;
mod toc;

use super::fingerprint::{open_words, size_words};
use super::source_facts::SourceFacts;
use super::{Cx, Done, Head, Kind, Parse, Recovery, Running, Stage, readings};
use crate::clock::{self, Stopwatch};
use crate::diag::Diagnostic;
use crate::event::{Event, Exit, Failure, Identity, Marker};
use crate::fingerprint::{self, Compare, Comparison, Fingerprint, Level, Scope};
use crate::name::quote::{ident, literal};
use crate::plan::keys::Keys;
use crate::target::{CloneTarget, Expected, Found, Isolation, NewDatabase, identify};

/// The kind.
pub static KIND: Kind =
    Kind { name: "clone", keys: &["method", "exclude", "jobs", "acknowledge"], recovery: Recovery::Repeatable, parse };

#[derive(Debug)]
struct CloneStage {
    head: Head,
    on: String,
    acknowledged: Vec<String>,
    jobs: u32,
}

fn parse(head: Head, mut keys: Keys, cx: &mut Parse<'_>) -> Option<Box<dyn Stage>> {
    let target = cx.needs_clone(&head)?;
    if let Some(method) = keys.text("method", cx.out).filter(|m| m.value != "dump") {
        let (code, what) = match method.value.as_str() {
            "stream" | "template" => ("not-yet", "is not available yet"),
            _ => ("clone-method", "is no method"),
        };
        cx.out.push(
            Diagnostic::new(code, format!("`{}` {what}", method.value), method.place)
                .label("here")
                .help("write `method = \"dump\"`, or leave it out"),
        );
    }
    cx.not_yet(&mut keys, "exclude", "the whole database is cloned, so that its fingerprint can be compared");
    let jobs = keys.int("jobs", cx.out).map_or(2, |jobs| {
        if let Ok(n @ 1..=64) = u32::try_from(jobs.value) {
            return n;
        }
        cx.out.push(
            Diagnostic::new("out-of-range", format!("`jobs` is {}", jobs.value), jobs.place)
                .label("out of range")
                .help("write a number from 1 to 64"),
        );
        2
    });
    let acknowledged = keys.texts("acknowledge", cx.out).unwrap_or_default().into_iter().map(|s| s.value).collect();
    keys.finish(&cx.known(&KIND), cx.out);
    Some(Box::new(CloneStage { head, on: target.name.value, acknowledged, jobs }))
}

impl Stage for CloneStage {
    fn head(&self) -> &Head {
        &self.head
    }

    fn writes_target(&self) -> bool {
        true
    }

    fn run<'r>(&'r self, cx: &'r Cx) -> Running<'r> {
        Box::pin(self.go(cx))
    }
}

/// What the snapshot gave.
struct Source {
    identity: Identity,
    facts: SourceFacts,
    print: Fingerprint,
    open_ms: u64,
}

impl CloneStage {
    async fn go(&self, cx: &Cx) -> Result<Done, Failure> {
        readings::guards_outside(cx, &self.head).await?;
        let target = cx.targets.clone_target(&self.on)?;
        self.refuse_existing(cx, target).await?;
        let working = working_name(&cx.run);
        // An earlier process of this run may have left a half clone: its name says that it is ours.
        target.maker.drop_database(&working, &cx.run).await?;
        match self.make(cx, target, &working).await {
            Ok(done) => Ok(done),
            Err(failure) => {
                let left = match self.drop_half(cx, target, &working).await {
                    Ok(()) => "the half-made clone was dropped".to_owned(),
                    Err(also) => format!("the half-made clone `{working}` could not be dropped: {}", also.what),
                };
                let mut changed =
                    failure.changed.clone().unwrap_or_else(|| format!("{left}; production was only read"));
                if let Some(run) = cx.with_state(|state| state.stage(&self.head.name).dropped) {
                    changed.push_str(&format!("; the clone of run {run}, which was in its place, is gone"));
                }
                Err(failure.changed(changed))
            }
        }
    }

    async fn refuse_existing(&self, cx: &Cx, target: &CloneTarget) -> Result<(), Failure> {
        let Some(found) = target.maker.find(&target.database).await? else { return Ok(()) };
        if Self::may_drop(cx, &found) {
            return Ok(());
        }
        let name = &target.database;
        let mut failure =
            Failure::new(Exit::WrongDatabase, format!("a database `{name}` exists and is not this run's clone"))
                .changed("nothing was changed");
        match &found.marker {
            Some(marker) => {
                let expires = marker.expires.as_deref().map_or(String::new(), |at| format!(", expires {at}"));
                failure = failure
                    .fact(format!(
                        "made by   engine run {} of {}, {}{expires}",
                        marker.run, marker.plan, marker.created
                    ))
                    .next("drop it", format!("engine drop {}", marker.run))
                    .next("replace it", "the same command with --replace");
                if !marker.finished {
                    failure = failure.next(
                        "use it",
                        format!("engine resume {}   (it is not finished, so it is not replaced)", marker.run),
                    );
                }
            }
            None => {
                failure = failure
                    .fact(
                        "made by   somebody else: it carries no marker of this engine; it will never be dropped by it",
                    )
                    .next("or", format!("give the clone another name, as in --var clone_database={name}_2"));
            }
        }
        Err(failure)
    }

    /// Drops what `refuse_existing` let pass, once nothing else can keep the new clone from being made.
    async fn drop_existing(&self, cx: &Cx, target: &CloneTarget) -> Result<(), Failure> {
        let Some(found) = target.maker.find(&target.database).await?.filter(|found| Self::may_drop(cx, found)) else {
            return Ok(());
        };
        let run = found.marker.map_or_else(String::new, |m| m.run);
        cx.say(&self.head.name, &format!("dropping the clone of run {run}"));
        target.maker.drop_database(&target.database, &run).await?;
        cx.record(Event::CloneDropped { stage: self.head.name.clone(), database: target.database.clone(), run })
    }

    /// This run's own half-journaled clone, or with `--replace` a finished, unused clone of the same plan.
    fn may_drop(cx: &Cx, found: &Found) -> bool {
        let Some(marker) = &found.marker else { return false };
        marker.run == cx.run || (cx.replace && marker.finished && marker.plan == cx.plan && found.sessions == 0)
    }

    async fn make(&self, cx: &Cx, target: &CloneTarget, working: &str) -> Result<Done, Failure> {
        let name = self.head.name.as_str();
        let source = self.copy(cx, target, working).await?;
        cx.say(name, "comparing with production");
        let maker = &target.maker;
        let oid = maker.find(working).await?.map_or(0, |f| f.oid);
        let identity = maker.identity().await?;
        let expected = Expected {
            run: cx.run.clone(),
            database: working.to_owned(),
            oid,
            system_identifier: identity.system_identifier,
            not: (source.identity.system_identifier.clone(), source.identity.oid),
        };
        let doors = target.doors(&expected)?;
        let watch = Stopwatch::start();
        let tx = doors.reader.begin("verifying the clone", Isolation::Snapshot).await?;
        let print = fingerprint::take(&tx, &Scope::all(Level::Content)).await?;
        tx.finish().await?;
        doors.reader.door().close();
        doors.writer.door().close();
        let compare = Compare::Clone {
            owner_map: source.facts.owners.iter().map(|o| (o.clone(), target.owner_role.clone())).collect(),
            left_out: source.facts.left_out.clone(),
        };
        let Comparison { differences, masks } = fingerprint::differences(&source.print, &print, &compare);
        let lines: Vec<String> = differences.iter().map(|d| format!("{}: {}", d.what, d.detail)).collect();
        cx.record(Event::Compared {
            stage: name.to_owned(),
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
        cx.say(name, &format!("equal, seen in {}", clock::show_ms(watch.ms())));
        self.finish(cx, target, &source, expected).await
    }

    /// Whatever name the half-made clone bears by now.
    async fn drop_half(&self, cx: &Cx, target: &CloneTarget, working: &str) -> Result<(), Failure> {
        target.maker.drop_database(working, &cx.run).await?;
        let renamed = target.maker.find(&target.database).await?;
        if renamed.and_then(|f| f.marker).is_some_and(|m| m.run == cx.run) {
            target.maker.drop_database(&target.database, &cx.run).await?;
        }
        Ok(())
    }

    /// The verified clone gets its name, and its doors open.
    async fn finish(
        &self,
        cx: &Cx,
        target: &CloneTarget,
        source: &Source,
        expected: Expected,
    ) -> Result<Done, Failure> {
        target.maker.rename(&expected.database, &target.database).await?;
        let expected = Expected { database: target.database.clone(), ..expected };
        let expires = expiry(target);
        let rows: u64 = source.print.tables.iter().map(|t| t.rows).sum();
        let bytes: u64 = source.print.tables.iter().map(|t| t.bytes).sum();
        let tables = source.print.tables.len() as u64;
        cx.record(Event::CloneMade {
            stage: self.head.name.clone(),
            target: self.on.clone(),
            database: target.database.clone(),
            oid: expected.oid,
            source: source.identity.clone(),
            expires: expires.clone(),
            tables,
            rows,
            bytes,
            left_out: source.facts.left_out.clone(),
            owner: target.owner_role.clone(),
            source_owners: source.facts.owners.clone(),
            snapshot_ms: source.open_ms,
        })?;
        target.maker.mark(&target.database, &marker(cx, &source.identity, expires)).await?;
        target.came_alive(&expected)?;
        let disarmed = source.facts.left_out.len();
        Ok(Done {
            summary: format!(
                "{} · {disarmed} disarmed · PUBLIC shut out · {}",
                size_words(bytes, tables),
                open_words(source.open_ms)
            ),
        })
    }

    /// Everything that needs production's snapshot.
    async fn copy(&self, cx: &Cx, target: &CloneTarget, working: &str) -> Result<Source, Failure> {
        let name = self.head.name.as_str();
        let production = cx.targets.plain(&target.source)?;
        let watch = Stopwatch::start();
        let tx = production.reader.begin("snapshot of the clone", Isolation::Snapshot).await?;
        let snapshot = tx.export_snapshot().await?;
        let identity = identify(&tx).await?;
        let asked = preflight::Asked {
            cx,
            stage: name,
            target,
            source: &tx,
            identity: &identity,
            acknowledged: &self.acknowledged,
            // `pg_dump` there; here `pg_restore` with its jobs, and the maker's own.
            reading: 1,
            writing: self.jobs + 2,
        };
        let facts = preflight::demand(&asked).await?;
        fingerprint::hold_still(&tx).await?;
        cx.say(name, "fingerprint of production at the snapshot");
        let print_watch = Stopwatch::start();
        let print = fingerprint::take(&tx, &Scope::all(Level::Content)).await?;
        cx.keep_fingerprint(name, &target.source, "source", &print, print_watch.ms())?;

        self.drop_existing(cx, target).await?;
        cx.record(Event::CloneBegun { stage: name.to_owned(), target: self.on.clone(), database: working.to_owned() })?;
        let new = NewDatabase {
            name: working.to_owned(),
            template: "template0".to_owned(),
            locale: Some(facts.locale.clone()),
            stage_role: target.stage_role.clone(),
            owner_role: target.owner_role.clone(),
            marker: marker(cx, &identity, expiry(target)),
        };
        target.maker.create(&new).await?;
        let owner = quoted(&target.owner_role)?;
        target.maker.inside(working, &[format!("ALTER SCHEMA public OWNER TO {owner}")]).await?;
        let restore = restore::Restore {
            cx,
            stage: name,
            source: production.reader.door(),
            source_name: &target.source,
            into: &target.maker.door().to_database(working)?,
            owner_role: &target.owner_role,
            facts: &facts,
            jobs: self.jobs,
            server_major: u32::try_from(identity.version_num / 10_000).unwrap_or(0),
        };
        let toc = restore.schema(&snapshot).await?;
        restore.pre_data(&toc).await?;
        restore.data(&snapshot).await?;
        // The snapshot holds back vacuum on production: it is let go before indexes are built.
        cx.finish(tx).await?;
        let open_ms = watch.ms();
        restore.post_data(&toc).await?;
        let printed = restore.default_privileges(&toc).await?;
        let (statements, mut left_out) = toc::default_privileges(&printed, &facts.owners, &target.owner_role);
        target.maker.inside(working, &statements).await?;
        left_out.extend(toc.left_out.iter().cloned());
        left_out.extend(self.database_settings(target, working, &facts).await?);
        restore.analyze().await?;
        let mut facts = facts;
        facts.left_out.extend(left_out);
        Ok(Source { identity, facts, print, open_ms })
    }

    /// `ALTER DATABASE SET`, each alone: what needs a superuser is left out and listed.
    async fn database_settings(
        &self,
        target: &CloneTarget,
        working: &str,
        facts: &SourceFacts,
    ) -> Result<Vec<String>, Failure> {
        let mut left_out = Vec::new();
        for (name, value) in &facts.settings {
            let text = setting_text(name, value)?;
            let statement = format!("ALTER DATABASE {} SET {} TO {text}", quoted(working)?, quoted(name)?);
            match target.maker.inside(working, &[statement]).await {
                Ok(()) => {}
                Err(refused) if refused.sqlstate.as_deref() == Some("42501") => {
                    left_out.push(format!("setting {name}"));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(left_out)
    }
}

/// A setting's value as SQL. Lists of names are quoted item by item: the catalog holds them as one text.
fn setting_text(name: &str, value: &str) -> Result<String, Failure> {
    let failed = |e| Failure::new(Exit::Io, format!("setting `{name}`: {e}"));
    let lists = ["search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"];
    if !lists.contains(&name) {
        return literal(value).map_err(failed);
    }
    let item = |item: &str| literal(item.trim().trim_matches('"')).map_err(failed);
    Ok(value.split(',').map(item).collect::<Result<Vec<_>, _>>()?.join(", "))
}

/// A name that only this run can have given.
pub(super) fn working_name(run: &str) -> String {
    format!("engine_{run}")
}

fn expiry(target: &CloneTarget) -> Option<String> {
    target.expires.and_then(|span| clock::plus(&clock::now(), span).ok())
}

fn marker(cx: &Cx, source: &Identity, expires: Option<String>) -> Marker {
    Marker {
        engine: 1,
        run: cx.run.clone(),
        plan: cx.plan.clone(),
        role: "clone".to_owned(),
        source: (source.system_identifier.clone(), source.oid, source.database.clone()),
        created: clock::now(),
        expires,
        finished: false,
        head: Some(cx.journal.head()),
    }
}

fn quoted(name: &str) -> Result<String, Failure> {
    ident(name).map_err(|e| Failure::new(Exit::Io, format!("`{name}` cannot be quoted: {e}")))
}
