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
        let mut looks = cx.looks.lock().await;
        let own = ended.sees_whole().is_some_and(|(of, label)| of == name && label == "own");
        let last = match looks.remove(name).filter(|_| !own) {
            Some(last) => last,
            None => match base(cx, plan, stages, name)? {
                // What the stage that ended saw is the look; what was before, its own comparison says.
                Some(base) if base.0 == ended.head().name => {
                    looks.insert(name.to_owned(), base);
                    continue;
                }
                Some(base) => base,
                None => continue,
            },
        };
        let (now, failure) = compared(cx, target, &ended.head().name, &last).await?;
        looks.insert(name.to_owned(), (ended.head().name.clone(), now));
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
    Ok(())
}

/// The newest whole reading of a target by a stage that is done: what a first look is compared with.
fn base(cx: &Cx, plan: &Plan, stages: &[Box<dyn Stage>], name: &str) -> Result<Option<(String, Fingerprint)>, Failure> {
    for index in plan.graph.order().iter().rev() {
        let stage = stages[*index].as_ref();
        let Some((_, label)) = stage.sees_whole().filter(|(of, _)| *of == name) else { continue };
        let known = &stage.head().name;
        if cx.with_state(|state| state.stage(known).fingerprints.iter().any(|(of, ..)| of == label)) {
            return Ok(Some((known.clone(), cx.stored_fingerprint(known, label)?)));
        }
    }
    Ok(None)
}

async fn compared(
    cx: &Cx,
    target: &Target,
    ended: &str,
    (since, then): &(String, Fingerprint),
) -> Result<(Fingerprint, Option<Failure>), Failure> {
    let name = target.name.value.as_str();
    let watch = Stopwatch::start();
    let reader = cx.targets.reader(name)?;
    let scope = Scope::all(Level::Content);
    let purpose = format!("look after `{ended}`");
    let (now, looked) = taken_since(cx, &reader, &purpose, &scope, jobs::available(), Some(then)).await?;
    let Comparison { differences, .. } = fingerprint::differences(then, &now, &Compare::Exact);
    let tables: Vec<String> = differences.iter().map(|d| format!("{}: {}", d.what, d.detail)).collect();
    let ours = cx.with_state(|state| state.rolled_out.contains(name));
    let verdict = match (tables.is_empty(), ours) {
        (true, _) if looked.read.is_empty() && looked.by_watermark > 0 => Unchanged::ByWatermark,
        (true, _) => Unchanged::ByContent,
        (false, true) => Unchanged::ChangedByUs,
        (false, false) => Unchanged::ChangedByOthers,
    };
    cx.record(Event::Watched {
        stage: ended.to_owned(),
        target: name.to_owned(),
        since: since.clone(),
        verdict,
        tables: tables.clone(),
        by_watermark: looked.by_watermark,
        read: looked.read,
        ms: watch.ms(),
    })?;
    let strict = verdict == Unchanged::ChangedByOthers && target.policy == Policy::Strict;
    let failure = strict.then(|| {
        let what = format!("`{name}` was changed by others between `{since}` and the end of `{ended}`");
        let mut failure = Failure::new(Exit::ChangedByOthers, what)
            .changed(format!("stage `{ended}` is done and stays so; none of our transactions on `{name}` wrote"))
            .next("then", "a new run, once nobody writes there: engine apply PLAN")
            .next(
                "or",
                format!("say in [target.{name}]: policy = \"attributed\", and let the evidence name the changes"),
            );
        failure.facts = tables;
        failure
    });
    Ok((now, failure))
}
