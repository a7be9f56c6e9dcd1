//! `watch = true`: after each stage it is looked at whether anybody changed the target since the last look.

use super::take::taken_since;
use crate::clock::Stopwatch;
use crate::event::{Event, Exit, Failure, Unchanged};
use crate::fingerprint::{self, Compare, Comparison, Fingerprint, Level, Scope};
use crate::plan::{Plan, Policy, Target};
use crate::stage::{Cx, Stage, jobs};
use std::collections::BTreeMap;
use tokio::sync::Mutex;

/// The last look at each watched target: after which stage, and what was there.
pub type Looks = Mutex<BTreeMap<String, (String, Fingerprint)>>;

/// Looks at every watched target, now that `ended` has ended well. Looks follow each other.
///
/// # Errors
/// It was changed by others and its policy is `strict` (46); it cannot be read; the journal cannot be written.
pub async fn look(cx: &Cx, plan: &Plan, stages: &[Box<dyn Stage>], ended: &dyn Stage) -> Result<(), Failure> {
    for target in plan.targets.iter().filter(|target| target.watch) {
        let name = target.name.value.as_str();
        let stage = ended.head().name.as_str();
        let mut looks = cx.looks.lock().await;
        // Its own reading is the look, when it has just read all of it.
        let own = ended.sees_whole().is_some_and(|(of, label)| of == name && label == "own");
        let last = match looks.get(name) {
            Some(last) => Some(last.clone()),
            None => base(cx, plan, stages, (name, stage))?,
        };
        let (now, failure) = match (last, own) {
            (Some(last), true) => judged(cx, target, ended, &last, Look::own(cx, stage)?)?,
            (Some(last), false) => {
                let read = Look::anew(cx, (name, stage), &last.1).await?;
                judged(cx, target, ended, &last, read)?
            }
            // Nothing was read before: what this stage has seen is what later looks are compared with.
            (None, _) => match ended.sees_whole().filter(|(of, _)| *of == name) {
                Some((_, label)) => (cx.stored_fingerprint(stage, label)?, None),
                None => continue,
            },
        };
        looks.insert(name.to_owned(), (stage.to_owned(), now));
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
    Ok(())
}

/// The newest whole reading of a target by a stage before this one: what a first look is compared with.
fn base(
    cx: &Cx,
    plan: &Plan,
    stages: &[Box<dyn Stage>],
    (name, ended): (&str, &str),
) -> Result<Option<(String, Fingerprint)>, Failure> {
    for index in plan.graph.order().iter().rev() {
        let stage = stages[*index].as_ref();
        let Some((_, label)) = stage.sees_whole().filter(|(of, _)| *of == name) else { continue };
        let known = &stage.head().name;
        if known != ended && cx.with_state(|state| state.is_done(known)) {
            return Ok(Some((known.clone(), cx.stored_fingerprint(known, label)?)));
        }
    }
    Ok(None)
}

/// A target as it is now, and how one knows.
struct Look {
    print: Fingerprint,
    by_watermark: u64,
    read: Vec<String>,
    ms: u64,
}

impl Look {
    /// What the stage that ended has stored.
    fn own(cx: &Cx, stage: &str) -> Result<Look, Failure> {
        let read = vec!["all of it, by the stage itself".to_owned()];
        Ok(Look { print: cx.stored_fingerprint(stage, "own")?, by_watermark: 0, read, ms: 0 })
    }

    async fn anew(cx: &Cx, (name, ended): (&str, &str), then: &Fingerprint) -> Result<Look, Failure> {
        let watch = Stopwatch::start();
        let reader = cx.targets.reader(name)?;
        let scope = Scope::all(Level::Content);
        let purpose = format!("look after `{ended}`");
        let (print, looked) = taken_since(cx, &reader, &purpose, &scope, jobs::available(), Some(then)).await?;
        Ok(Look { print, by_watermark: looked.by_watermark, read: looked.read, ms: watch.ms() })
    }
}

/// Compares, and says so in the journal; the failure is that of a strict policy.
fn judged(
    cx: &Cx,
    target: &Target,
    ended: &dyn Stage,
    (since, then): &(String, Fingerprint),
    now: Look,
) -> Result<(Fingerprint, Option<Failure>), Failure> {
    let (name, stage) = (target.name.value.as_str(), ended.head().name.as_str());
    let Comparison { differences, .. } = fingerprint::differences(then, &now.print, &Compare::Exact);
    let tables: Vec<String> = differences.iter().map(|d| format!("{}: {}", d.what, d.detail)).collect();
    // Of ours writes a rollout there, and nothing else.
    let ours = ended.writes_target() && ended.head().on.as_deref() == Some(name);
    let verdict = match (tables.is_empty(), ours) {
        (true, _) if now.read.is_empty() && now.by_watermark > 0 => Unchanged::ByWatermark,
        (true, _) => Unchanged::ByContent,
        (false, true) => Unchanged::ChangedByUs,
        (false, false) => Unchanged::ChangedByOthers,
    };
    cx.record(Event::Watched {
        stage: stage.to_owned(),
        target: name.to_owned(),
        since: since.clone(),
        verdict,
        tables: tables.clone(),
        by_watermark: now.by_watermark,
        read: now.read,
        ms: now.ms,
    })?;
    let strict = verdict == Unchanged::ChangedByOthers && target.policy == Policy::Strict;
    let failure = strict.then(|| {
        let what = format!("`{name}` was changed by others between `{since}` and the end of `{stage}`");
        let mut failure = Failure::new(Exit::ChangedByOthers, what)
            .changed(format!("stage `{stage}` is done and stays so; none of our transactions on `{name}` wrote"))
            .next("then", "a new run, once nobody writes there: engine apply PLAN")
            .next(
                "or",
                format!("say in [target.{name}]: policy = \"attributed\", and let the evidence name the changes"),
            );
        failure.facts = tables;
        failure
    });
    Ok((now.print, failure))
}
