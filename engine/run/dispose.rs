//! Disposing of databases: those of a run, golden copies, and clones that have had their time.

use super::bind::{Binding, bind, maker_settings};
use super::life::{hold_run, run_key};
use super::rebound;
use crate::clock;
use crate::compile::Workflow;
use crate::event::{Event, Exit, Failure, RunState};
use crate::journal::History;
use crate::name::process;
use crate::target::{Door, GOLDEN, Maker, Ours, RunLock, Url};

/// What dropping a run's databases came to.
#[derive(Clone, Debug, Default)]
pub struct Disposed {
    /// Dropped.
    pub dropped: Vec<String>,
    /// Called as this run calls its own, and without a marker: left alone.
    pub unmarked: Vec<String>,
}

/// Drops every database that a run made.
///
/// # Errors
/// The run is at work (60): one that lost its journal has lost only that lock. Or a database carries another marker (63).
pub async fn drop_clones(workflow: &Workflow, history: &History, state: &RunState) -> Result<Disposed, Failure> {
    let Binding { targets, .. } = bind(workflow).await?;
    rebound::same_servers(&targets, &state.run, history).await?;
    let _locks = hold_run(&targets, &state.run).await?;
    let mut disposed = Disposed::default();
    // By the journal, not by the plan: the target may have been renamed since.
    let mut names: Vec<(&str, String)> = Vec::new();
    let mut made: Vec<String> = Vec::new();
    for event in history.events() {
        if let Event::CloneMade { target, database, .. } = event {
            names.push((target, database.clone()));
            made.push(database.clone());
        }
    }
    for (target, clone) in &targets.clones {
        names.push((target, clone.database.clone()));
        for end in ["", "_copy", "_golden"] {
            let working = format!("engine_{}{end}", state.run);
            names.push((target, working.clone()));
            made.push(working);
        }
    }
    for (target, database) in names {
        let Some(clone) = targets.clones.get(target).or_else(|| targets.clones.values().next()) else { continue };
        let Some(found) = clone.maker.find(&database).await? else { continue };
        let ours = found.marker.as_ref().is_some_and(|marker| marker.run == state.run);
        if ours && clone.maker.drop_database(&database, &state.run).await? {
            disposed.dropped.push(database);
        } else if found.marker.is_none() && made.contains(&database) && !disposed.unmarked.contains(&database) {
            disposed.unmarked.push(database);
        }
    }
    Ok(disposed)
}

/// Drops the golden copies that a workflow names: each name, and whether there was one.
///
/// # Errors
/// A run uses it (60), or a database of that name is none (63).
pub async fn drop_golden(workflow: &Workflow) -> Result<Vec<(String, bool)>, Failure> {
    let Binding { targets, .. } = bind(workflow).await?;
    let mut dropped = Vec::new();
    for clone in targets.clones.values() {
        let Some(name) = &clone.golden else { continue };
        let _held = clone.maker.hold_golden(name, &process::of("drop")).await?;
        dropped.push((name.clone(), clone.maker.drop_golden(name).await?));
    }
    Ok(dropped)
}

/// What becomes of a database that may be ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Expired and unused: dropped, or it would be.
    Dropped,
    /// Left alone, and why.
    Kept(String),
    /// It was to be dropped and could not be.
    Failed(String),
}

/// A database that may be ours, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Old {
    /// The database.
    pub found: Ours,
    /// What becomes of it.
    pub fate: Fate,
}

/// Drops clones that have expired and that nobody uses, on every server where a workflow's clones are made, whichever
/// plan made them; with `only_look` nothing is dropped.
///
/// # Errors
/// A server cannot be reached, or its error. What was dropped before is gone, and in `all`.
pub async fn gc(workflow: &Workflow, only_look: bool, all: &mut Vec<Old>) -> Result<(), Failure> {
    let mut servers: Vec<String> = Vec::new();
    for target in workflow.plan.targets.iter().filter(|target| target.clone_of.is_some()) {
        let name = target.name.value.as_str();
        let maker = Maker::new(Door::new(name, &Url::of_maker(target)?, None, &maker_settings(workflow))?);
        let identity = maker.identity().await?;
        let server = format!("{} as {}", identity.system_identifier, identity.session_user);
        if servers.contains(&server) {
            continue;
        }
        servers.push(server);
        let mut ours = maker.ours().await?;
        // All of one run behind each other, under one lock.
        ours.sort_by_key(|found| found.marker.as_ref().map(|marker| marker.run.clone()));
        let (mut held, first) = (None, all.len());
        for found in ours {
            let fate = match reason_to_keep(&found) {
                Some(why) => Fate::Kept(why),
                None if only_look => Fate::Dropped,
                None => collected(&maker, &found, &identity.system_identifier, &mut held).await?,
            };
            all.push(Old { found, fate });
        }
        all[first..].sort_by(|a, b| a.found.name.cmp(&b.found.name));
    }
    Ok(())
}

/// Why it is not to be dropped; `None`: it is.
fn reason_to_keep(found: &Ours) -> Option<String> {
    let Some(marker) = &found.marker else { return Some("it carries no marker of this engine".to_owned()) };
    // A comment can be copied; without an oid in it there is no telling.
    if marker.oid != Some(found.oid) {
        return Some("its marker was written for another database".to_owned());
    }
    if marker.role == GOLDEN {
        return Some("a golden copy; engine drop --golden PLAN".to_owned());
    }
    let Some(expires) = &marker.expires else { return Some("it never expires".to_owned()) };
    // Both clocks must say so: one that is wrong drops nothing.
    let past = |now: &str| clock::seconds_between(expires, now).is_some_and(|seconds| seconds > 0.0);
    if !past(&clock::now()) || !past(&found.server_time) {
        return Some(format!("until {}", expires.get(..16).unwrap_or(expires).replace('T', " ")));
    }
    if found.sessions > 0 {
        return Some(match found.sessions {
            1 => "in use by 1 session".to_owned(),
            n => format!("in use by {n} sessions"),
        });
    }
    (!found.may_drop).then(|| "its owner is another role".to_owned())
}

/// Drops it unless a run holds it or somebody came in meanwhile. `held`: the run whose lock is held already; a session that is
/// closed keeps its lock until the server sees that, and the next database of the run would find it.
async fn collected(
    maker: &Maker,
    found: &Ours,
    server: &str,
    held: &mut Option<(String, RunLock)>,
) -> Result<Fate, Failure> {
    let Some(marker) = &found.marker else { return Ok(Fate::Kept("it carries no marker of this engine".to_owned())) };
    let at_work = || Ok(Fate::Kept("a run is at work on it".to_owned()));
    // The locks that runs take: on the name of their clone, and on all that they make under other names.
    let Some(_held) = unless_held(maker, &format!("{} of server {server}", found.name)).await? else {
        return at_work();
    };
    if held.as_ref().is_none_or(|(run, _)| *run != marker.run) {
        let Some(lock) = unless_held(maker, &run_key(&marker.run)).await? else { return at_work() };
        *held = Some((marker.run.clone(), lock));
    }
    Ok(match maker.drop_unused(&found.name, marker).await {
        Ok(true) => Fate::Dropped,
        Ok(false) => Fate::Kept("somebody came in meanwhile".to_owned()),
        Err(failure) => Fate::Failed(failure.what),
    })
}

/// That lock; `None`: somebody has it.
async fn unless_held(maker: &Maker, key: &str) -> Result<Option<RunLock>, Failure> {
    match maker.hold(key, &process::of("gc")).await {
        Ok(lock) => Ok(Some(lock)),
        Err(failure) if failure.exit == Exit::Held => Ok(None),
        Err(failure) => Err(failure),
    }
}
