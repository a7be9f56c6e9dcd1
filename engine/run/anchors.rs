//! Heads of a run's journal that its databases keep in their markers.

use super::bind::maker_settings;
use super::signals;
use crate::compile::Workflow;
use crate::event::{Exit, Failure, RunState};
use crate::journal::{Anchor, History};
use crate::stage::Cx;
use crate::target::{CloneTarget, Door, Live, Maker, Marker, Targets, Url};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A server that does not answer `verify` for that long is not asked any more.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// How long markers may take at the end of a run, all together.
const ANCHORED_WITHIN: Duration = Duration::from_secs(10);

/// The same of a run that a signal ended: people wait for its last words.
const ANCHORED_AFTER_A_SIGNAL: Duration = Duration::from_secs(2);

/// What one database's marker says; or why it could not be asked.
pub type Answer = (String, Result<Option<Anchor>, Failure>);

/// Asks the databases of a run that are still there: its clones, and a half one. Connects as their maker.
pub async fn ask(workflow: &Workflow, state: &RunState) -> Vec<Answer> {
    let mut answers = Vec::new();
    for target in workflow.plan.targets.iter().filter(|target| target.clone_of.is_some()) {
        let Some(database) = workflow.databases.get(&target.name.value) else { continue };
        let found = async {
            let door = Door::new(&target.name.value, &Url::of_maker(target)?, None, &maker_settings(workflow))?;
            anchored(&Maker::new(door), database, &state.run).await
        };
        let found = tokio::time::timeout(ANSWERS_WITHIN, found).await;
        let silent = || Failure::new(Exit::Temporary, format!("no answer within {} s", ANSWERS_WITHIN.as_secs()));
        answers.push((database.clone(), found.unwrap_or_else(|_| Err(silent()))));
    }
    answers
}

/// Demands that the journal is the one that the databases of the run were told of.
///
/// # Errors
/// It is not (62), or the server's.
pub(super) async fn demand(targets: &Targets, run: &str, history: &History) -> Result<(), Failure> {
    for clone in targets.clones.values() {
        for database in [&clone.database, &format!("engine_{run}")] {
            if let Some(anchor) = anchored(&clone.maker, database, run).await? {
                history.demand(run, &anchor)?;
            }
        }
    }
    Ok(())
}

/// The head in the marker of that database, if it is this run's and no copy of its comment.
async fn anchored(maker: &Maker, database: &str, run: &str) -> Result<Option<Anchor>, Failure> {
    let Some(found) = maker.find(database).await? else { return Ok(None) };
    let ours = found.marker.filter(|marker| marker.run == run && marker.is_of(found.oid));
    let head = ours.and_then(|marker| marker.head);
    Ok(head.map(|(count, hash)| Anchor { by: format!("the marker of its clone `{database}`"), count, hash }))
}

/// Anchors the journal's head in the markers of the run's clones: a truncated journal shows. A clone that is gone keeps its
/// old anchor. Answers where it could not be done, and why: the journal is less anchored then, which fails nothing.
pub(super) async fn anchor(cx: &Cx, exit: Exit) -> Vec<String> {
    let before = signals::first();
    let limit = if before.is_some() { ANCHORED_AFTER_A_SIGNAL } else { ANCHORED_WITHIN };
    let until = Instant::now() + limit;
    let mut unanchored = Vec::new();
    for clone in cx.targets.clones.values() {
        let Ok(live) = clone.live() else { continue };
        let anchored = tokio::select! {
            biased;
            anchored = timeout_at(until, anchor_in(cx, clone, &live, exit)) => match anchored {
                Ok(Ok(())) => continue,
                Ok(Err(failure)) => failure.what,
                Err(_) => format!("no answer within {} s", limit.as_secs()),
            },
            _ = signals::came(), if before.is_none() => "a signal came first".to_owned(),
        };
        let database = &live.expected.database;
        unanchored.push(format!(
            "the head of the journal is not anchored in `{database}`: {anchored}; the next resume or rollback anchors it"
        ));
    }
    unanchored
}

/// A run that had ended well is at work again: from now on its clones are not to be replaced, even if it is killed.
///
/// # Errors
/// The server's, or that it does not answer (75).
pub(super) async fn at_work_again(cx: &Cx) -> Result<(), Failure> {
    let marked = async {
        for clone in cx.targets.clones.values() {
            let Ok(live) = clone.live() else { continue };
            if let Some(mut marker) = marker_in(clone, &live).await?.filter(|marker| marker.finished) {
                marker.finished = false;
                clone.maker.mark(&live.expected.database, live.expected.oid, &marker).await?;
            }
        }
        Ok(())
    };
    let silent =
        || Failure::new(Exit::Temporary, format!("the maker had no answer within {} s", ANCHORED_WITHIN.as_secs()));
    let marked = tokio::time::timeout(ANCHORED_WITHIN, marked).await.unwrap_or_else(|_| Err(silent()));
    marked.map_err(|failure| {
        let what = format!("the marker of the clone cannot say that run {} is at work again: {}", cx.run, failure.what);
        Failure { what, ..failure }.changed("nothing was changed").next("then", "the same command again")
    })
}

async fn anchor_in(cx: &Cx, clone: &CloneTarget, live: &Live, exit: Exit) -> Result<(), Failure> {
    let Some(mut marker) = marker_in(clone, live).await? else { return Ok(()) };
    marker.head = Some(cx.journal.head());
    marker.finished = exit == Exit::Ok || exit == Exit::NoGo;
    clone.maker.mark(&live.expected.database, live.expected.oid, &marker).await
}

async fn marker_in(clone: &CloneTarget, live: &Live) -> Result<Option<Marker>, Failure> {
    let Some(found) = clone.maker.find(&live.expected.database).await? else { return Ok(None) };
    // By name alone it could be another one by now, that a copied comment calls ours.
    let same = found.oid == live.expected.oid && found.marker.as_ref().is_some_and(|m| m.is_of(found.oid));
    Ok(found.marker.filter(|_| same))
}
