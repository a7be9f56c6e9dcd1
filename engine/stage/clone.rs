//! `clone`: makes its target from what it is a clone of, in one exported snapshot: by COPY streams that are hashed on
//! the way (`stream`), or by `pg_dump | psql` (`dump`).
//!
//! Made under a name only this run can have given, closed and shut to PUBLIC; verified against the fingerprint
//! taken in the same snapshot; only then renamed. A half clone never carries the clone's name.

mod child;
mod cleared;
mod doors;
mod golden;
mod halfway;
mod indexes;
mod last_steps;
mod making;
mod preflight;
mod restore;
mod settings;
mod slack;
mod stream;
mod toc;
mod watch;

use super::fingerprint::{open_words, size_words};
use super::{Cx, Done, Head, Kind, Parse, Recovery, Running, Stage, jobs, readings};
use crate::clock;
use crate::diag::Diagnostic;
use crate::event::{Event, Exit, Failure, Identity, Marker};
use crate::name::quote::ident;
use crate::plan::ReaderPolicy;
use crate::plan::keys::Keys;
use crate::target::{CloneTarget, Expected, Found, GOLDEN};
use halfway::{Half, Left};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The kind.
pub static KIND: Kind = Kind {
    name: "clone",
    keys: &["method", "exclude", "jobs", "acknowledge", "max_lock_wait"],
    recovery: Recovery::Repeatable,
    parse,
};

#[derive(Debug)]
struct CloneStage {
    head: Head,
    on: String,
    method: Method,
    acknowledged: Vec<String>,
    jobs: usize,
    max_lock_wait: Option<Duration>,
    /// What a source's reader with powers means.
    reader: ReaderPolicy,
    /// The target it is a clone of.
    source: String,
    /// What an earlier process left was changed, or dropped, by this one.
    touched: AtomicBool,
}

/// How rows get into a clone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Stream,
    Dump,
}

fn parse(head: Head, mut keys: Keys, cx: &mut Parse<'_>) -> Option<Box<dyn Stage>> {
    let target = cx.needs_clone(&head)?;
    let method = method(&mut keys, cx);
    cx.not_yet(&mut keys, "exclude", "the whole database is cloned, so that its fingerprint can be compared");
    let jobs = jobs::of(&mut keys, cx);
    let max_lock_wait = keys.duration("max_lock_wait", cx.out).map(|wait| wait.value);
    let acknowledged = keys.texts("acknowledge", cx.out).unwrap_or_default().into_iter().map(|s| s.value).collect();
    keys.finish(&cx.known(&KIND), cx.out);
    let source = target.clone_of.as_ref().map(|source| source.value.clone()).unwrap_or_default();
    let reader = cx.plan.target(&source).map_or(ReaderPolicy::Confined, |source| source.reader);
    let on = target.name.value;
    Some(Box::new(CloneStage {
        head,
        on,
        method,
        acknowledged,
        jobs,
        max_lock_wait,
        reader,
        source,
        touched: AtomicBool::new(false),
    }))
}

fn method(keys: &mut Keys, cx: &mut Parse<'_>) -> Method {
    let Some(method) = keys.text("method", cx.out) else { return Method::Stream };
    match method.value.as_str() {
        "stream" => return Method::Stream,
        "dump" => return Method::Dump,
        _ => {}
    }
    let (code, what) = match method.value.as_str() {
        "template" => ("not-yet", "is not available yet"),
        _ => ("clone-method", "is no method"),
    };
    cx.out.push(
        Diagnostic::new(code, format!("`{}` {what}", method.value), method.place)
            .label("here")
            .help("write `method = \"stream\"` or `method = \"dump\"`, or leave it out"),
    );
    Method::Stream
}

impl Stage for CloneStage {
    fn head(&self) -> &Head {
        &self.head
    }

    fn sees_whole(&self) -> Option<(&str, &'static str)> {
        Some((self.source.as_str(), "source"))
    }

    fn writes_target(&self) -> bool {
        true
    }

    fn run<'r>(&'r self, cx: &'r Cx) -> Running<'r> {
        Box::pin(self.go(cx))
    }
}

impl CloneStage {
    async fn go(&self, cx: &Cx) -> Result<Done, Failure> {
        readings::guards_outside(cx, &self.head).await?;
        let target = cx.targets.clone_target(&self.on)?;
        self.refuse_existing(cx, target).await?;
        let working = working_name(&cx.run);
        // An earlier process of this run may have left a half clone: its name says that it is ours.
        target.maker.drop_database(&golden::working_name(&cx.run), &cx.run).await?;
        let half = match halfway::look(cx, self, target).await? {
            Left::Nothing => None,
            Left::Useless(why) => {
                halfway::anew(cx, self, target, &why).await?;
                None
            }
            Left::Half(half) => Some(half),
        };
        let went_on = half.is_some();
        self.touched.store(false, Ordering::SeqCst);
        let mut made = self.make(cx, target, (&working, half)).await;
        if let Err(failure) = &made
            && went_on
            && self.touched.load(Ordering::SeqCst)
            && failure.exit == Exit::StageFailed
        {
            // Perhaps because of what was kept: somebody may have been in it. What is made anew owes it nothing.
            halfway::anew(cx, self, target, &format!("what was kept did not become a clone: {}", failure.what)).await?;
            made = self.make(cx, target, (&working, None)).await;
        }
        let untouched = went_on && !self.touched.load(Ordering::SeqCst);
        match made {
            Ok(done) => Ok(done),
            Err(failure) => Err(self.left_behind(cx, target, failure, (went_on, untouched)).await),
        }
    }

    /// Drops the half clone of a failure and says so; or keeps it for a resume, when that has something to gain.
    /// One that an earlier process left, and of which nothing was touched yet, is kept whatever failed.
    async fn left_behind(
        &self,
        cx: &Cx,
        target: &CloneTarget,
        mut failure: Failure,
        (went_on, untouched): (bool, bool),
    ) -> Failure {
        let working = working_name(&cx.run);
        let mut kept = None;
        if untouched || failure.exit == Exit::Temporary {
            kept = halfway::worth_resuming(cx, self, went_on);
        }
        // One that has the clone's name by then is no half one, and is not gone on with.
        if kept.is_some() && matches!(target.maker.find(&working).await, Ok(None)) {
            kept = None;
        }
        let left = match kept {
            Some(kept) => {
                failure = failure.next("give up", format!("engine drop {}", cx.run));
                format!("the half-made clone `{working}` is kept for engine resume, with {kept}")
            }
            None => match self.drop_half(cx, target, &working).await {
                Ok(()) => "the half-made clone was dropped".to_owned(),
                Err(also) => {
                    failure.facts.extend(also.facts);
                    failure.next.extend(also.next);
                    failure = failure.next("then", format!("engine drop {}", cx.run));
                    format!("the half-made clone `{working}` could not be dropped: {}", also.what)
                }
            },
        };
        let before = failure.changed.take().filter(|_| !went_on);
        let mut changed = before.unwrap_or_else(|| format!("{left}; production was only read"));
        if let Some(run) = cx.with_state(|state| state.stage(&self.head.name).dropped) {
            changed.push_str(&format!("; the clone of run {run}, which was in its place, is gone"));
        }
        failure.changed(changed)
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
        // A run that is taken up again found it by its journal, and is in it itself; the maker may not end that.
        target.close_doors();
        target.maker.drop_database(&target.database, &run).await?;
        cx.record(Event::CloneDropped { stage: self.head.name.clone(), database: target.database.clone(), run })
    }

    /// This run's own half-journaled clone, or with `--replace` a finished, unused clone of the same plan.
    fn may_drop(cx: &Cx, found: &Found) -> bool {
        let Some(marker) = &found.marker else { return false };
        marker.role != GOLDEN
            && (marker.run == cx.run
                || (cx.replace && marker.finished && marker.plan == cx.plan && found.sessions == 0))
    }

    async fn make(
        &self,
        cx: &Cx,
        target: &CloneTarget,
        (working, half): (&str, Option<Box<Half>>),
    ) -> Result<Done, Failure> {
        let making = making::Making { cx, stage: self, target, working };
        let made = match &target.golden {
            None => making.make(half).await?,
            Some(name) => Box::pin(golden::make(making, name, half)).await?,
        };
        self.finish(cx, target, made).await
    }

    /// Whatever name the half-made clone bears by now.
    async fn drop_half(&self, cx: &Cx, target: &CloneTarget, working: &str) -> Result<(), Failure> {
        target.maker.drop_database(&golden::working_name(&cx.run), &cx.run).await?;
        target.maker.drop_database(working, &cx.run).await?;
        let renamed = target.maker.find(&target.database).await?;
        if renamed.and_then(|f| f.marker).is_some_and(|m| m.run == cx.run) {
            target.close_doors();
            target.maker.drop_database(&target.database, &cx.run).await?;
        }
        Ok(())
    }

    /// The verified clone gets its name, and its doors open.
    async fn finish(&self, cx: &Cx, target: &CloneTarget, made: making::Made) -> Result<Done, Failure> {
        cx.alone_forward()?;
        let making::Made { identity, facts, print, open_ms, waits, kept, expected, how, .. } = made;
        target.maker.rename(&expected.database, &target.database).await?;
        let expected = Expected { database: target.database.clone(), ..expected };
        let shut = doors::tried(cx, self, target, (&identity, &expected)).await?;
        let expires = expiry(target);
        let (rows, bytes, tables) = (print.rows(), print.bytes(), print.tables.len() as u64);
        cx.record(Event::CloneMade {
            stage: self.head.name.clone(),
            target: self.on.clone(),
            database: target.database.clone(),
            oid: expected.oid,
            source: identity.clone(),
            expires: expires.clone(),
            tables,
            rows,
            bytes,
            left_out: facts.left_out.clone(),
            owner: target.owner_role.clone(),
            source_owners: facts.owners.clone(),
            snapshot_ms: open_ms,
        })?;
        target.maker.mark(&target.database, expected.oid, &marker(cx, &identity, expires)).await?;
        target.came_alive(&expected)?;
        let disarmed = facts.left_out.len();
        Ok(Done {
            summary: format!(
                "{}{} · {disarmed} disarmed · PUBLIC shut out{} · {}{}{how}",
                size_words(bytes, tables),
                kept.map_or(String::new(), |kept| format!(" · {}", kept.words())),
                shut.map_or(String::new(), |shut| format!(", {shut}")),
                open_words(open_ms),
                waits.words()
            ),
        })
    }
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
        oid: None,
        state: None,
    }
}

fn quoted(name: &str) -> Result<String, Failure> {
    ident(name).map_err(|e| Failure::new(Exit::Io, format!("`{name}` cannot be quoted: {e}")))
}
