//! `rehearse`: on a copy of the clone, every writing stage since the baseline is rolled back, compared, applied
//! again and compared. Every step is committed there; the copy is dropped whatever happens.
//!
//! `steps` are one transaction each, `forth` is what is not, `race` runs a worker in two sessions at once, `traffic` asks whether what others
//! write between forward and rollback survives it.

mod forth;
mod race;
mod steps;
mod traffic;

use super::fingerprint::taken;
use super::{Built, Cx, Done, Head, Kind, Parse, Recovery, Running, Stage, jobs, readings, stall};
use crate::clock::Stopwatch;
use crate::diag::Diagnostic;
use crate::event::{Event, Exit, Failure, Marker};
use crate::fingerprint::{Level, Scope};
use crate::plan::keys::Keys;
use crate::proof::{Script, Work};
use crate::target::{CloneTarget, Doors, Expected, Live, NewDatabase};
use std::collections::BTreeMap;
use std::sync::Arc;
use steps::Steps;
pub(super) use steps::compare;

/// The kind.
pub static KIND: Kind =
    Kind { name: "rehearse", keys: &["baseline", "traffic"], recovery: Recovery::Repeatable, parse };

#[derive(Debug)]
struct RehearseStage {
    head: Head,
    on: String,
    baseline: String,
    /// Writing stages since the baseline, in the order they ran.
    works: Vec<Arc<Work>>,
    /// What others write meanwhile.
    traffic: Option<Script>,
}

fn parse(head: Head, mut keys: Keys, cx: &mut Parse<'_>) -> Option<Box<dyn Stage>> {
    let target = cx.needs_clone(&head)?;
    let on = target.name.value;
    let baseline = keys.text("baseline", cx.out);
    let traffic = keys.text("traffic", cx.out);
    let traffic = traffic.and_then(|path| cx.script(&path, &format!("{}.traffic.sql", head.name), &BTreeMap::new()));
    keys.finish(&cx.known(&KIND), cx.out);
    let Some(baseline) = baseline else {
        let place = cx.plan_stage().name.place.clone();
        cx.out.push(
            Diagnostic::new("rehearse-without-baseline", format!("stage `{}` names no `baseline`", head.name), place)
                .label("back to what?")
                .help("write `baseline = \"STAGE\"`, a `fingerprint` stage of the clone"),
        );
        return None;
    };
    let (_, known): (_, Built) = cx.upstream_stages(std::slice::from_ref(&baseline)).pop()?;
    if known.head.kind != "fingerprint" || known.head.on.as_deref() != Some(on.as_str()) {
        cx.out.push(
            Diagnostic::new(
                "rehearse-baseline",
                format!("`{}` is no fingerprint of `{on}`", baseline.value),
                baseline.place,
            )
            .label("cannot be gone back to")
            .help("name a stage of kind `fingerprint` on the same clone"),
        );
        return None;
    }
    unordered(cx, &head, &on);
    let works = since(cx, &baseline.value, &on);
    for work in works.iter().filter(|w| w.rollback.is_none() && !w.changes_nothing()) {
        let place = cx.plan_stage().name.place.clone();
        cx.out.push(
            Diagnostic::new(
                "rehearse-over-no-rollback",
                format!("`{}` has no rollback, so `{}` will be NO-GO", work.stage, head.name),
                place,
            )
            .label("must go back over it")
            .warning(),
        );
    }
    Some(Box::new(RehearseStage { head, on, baseline: baseline.value, works, traffic }))
}

/// A writing stage that may run before or after the rehearsal makes its comparison a matter of chance.
fn unordered(cx: &mut Parse<'_>, head: &Head, on: &str) {
    let graph = &cx.plan.graph;
    let beside: Vec<usize> = (0..cx.plan.stages.len())
        .filter(|other| *other != cx.stage && !graph.upstream(cx.stage, *other) && !graph.upstream(*other, cx.stage))
        .filter(|other| {
            let stage = &cx.plan.stages[*other];
            stage.kind.value == "sql" && stage.on.as_ref().is_some_and(|target| target.value == on)
        })
        .collect();
    for other in beside {
        let name = &cx.plan.stages[other].name;
        cx.out.push(
            Diagnostic::new(
                "rehearse-unordered",
                format!("`{}` writes `{on}` before or after `{}`, in no order", name.value, head.name),
                name.place.clone(),
            )
            .label("rehearsed or not, by chance")
            .help(format!("add \"{}\" to the `needs` of `{}`", name.value, head.name)),
        );
    }
}

/// Writing stages of the clone between the baseline and here, in schedule order.
fn since(cx: &Parse<'_>, baseline: &str, on: &str) -> Vec<Arc<Work>> {
    let Some((base, _)) = cx.plan.stage(baseline) else { return Vec::new() };
    cx.plan
        .graph
        .all_upstream(cx.stage)
        .into_iter()
        .filter(|index| cx.plan.graph.upstream(*index, base))
        .filter_map(|index| cx.built.get(&cx.plan.stages[index].name.value))
        .filter(|built| built.head.on.as_deref() == Some(on))
        .filter_map(|built| built.work.clone())
        .collect()
}

impl Stage for RehearseStage {
    fn head(&self) -> &Head {
        &self.head
    }

    fn writes_target(&self) -> bool {
        true
    }

    fn alone_on_target(&self) -> bool {
        true
    }

    fn demands(&self) -> Vec<String> {
        vec!["rehearsal".to_owned()]
    }

    fn promise(&self) -> String {
        format!("back to {}", self.baseline)
    }

    fn run<'r>(&'r self, cx: &'r Cx) -> Running<'r> {
        Box::pin(self.go(cx))
    }
}

impl RehearseStage {
    async fn go(&self, cx: &Cx) -> Result<Done, Failure> {
        readings::guards_outside(cx, &self.head).await?;
        let no_way_back = |w: &&Arc<Work>| w.rollback.is_none() && !w.changes_nothing();
        let missing: Vec<&str> = self.works.iter().filter(no_way_back).map(|w| w.stage.as_str()).collect();
        if !missing.is_empty() {
            return Err(Failure::new(Exit::ProofFailed, "the rollback cannot be rehearsed: a stage has none")
                .fact(missing.join(", "))
                .changed("no copy was made"));
        }
        let target = cx.targets.clone_target(&self.on)?;
        let name = self.head.name.as_str();
        let live = target.live()?;
        let watch = Stopwatch::start();
        let purpose = "the clone before the rehearsal";
        let now = taken(cx, &live.reader, purpose, &self.scope(), jobs::available()).await?;
        cx.keep_fingerprint(name, &self.on, "clone", &now, watch.ms())?;
        let copy = format!("engine_{}_copy", cx.run);
        target.maker.drop_database(&copy, &cx.run).await?;
        cx.say(name, "copying the clone");
        let expected = self.copy(cx, target, &live, &copy).await?;
        let doors = target.doors(&expected)?;
        let steps = Steps { cx, stage: self, target, copy: &doors };
        let outcome = stall::over(cx, name, &doors.writer, Box::pin(steps.all(&now))).await;
        doors.reader.door().close();
        doors.writer.close();
        let dropped = target.maker.drop_database(&copy, &cx.run).await;
        let (back_ms, forward_ms) =
            outcome.map_err(|f| f.changed("the copy was dropped; the clone is as before; production was only read"))?;
        dropped?;
        self.keep(cx, back_ms, forward_ms, true)?;
        let summary = format!(
            "{} stages back to the baseline, forward to the same content{} · back {} · forward {}",
            self.works.len(),
            if self.traffic.is_some() { ", the traffic survives" } else { "" },
            crate::clock::show_ms(back_ms),
            crate::clock::show_ms(forward_ms)
        );
        Ok(Done { summary })
    }

    fn scope(&self) -> Scope {
        let ignore = self.works.iter().flat_map(|w| w.ignore.iter().cloned()).collect();
        Scope { level: Level::Content, include: Vec::new(), exclude: Vec::new(), ignore }
    }

    fn keep(&self, cx: &Cx, back_ms: u64, forward_ms: u64, passed: bool) -> Result<(), Failure> {
        let stages: Vec<String> = self.works.iter().map(|w| w.stage.clone()).collect();
        cx.record(Event::Rehearsed {
            stage: self.head.name.clone(),
            back: stages.iter().rev().cloned().collect(),
            forward: stages,
            back_ms,
            forward_ms,
            passed,
        })
    }

    /// A TEMPLATE copy: the clone is free of sessions meanwhile, and opened again whatever happens.
    async fn copy(&self, cx: &Cx, target: &CloneTarget, live: &Live, copy: &str) -> Result<Expected, Failure> {
        let maker = &target.maker;
        let marker = maker.find(&target.database).await?.and_then(|f| f.marker);
        target.close_doors();
        let made = async {
            maker.shut(&target.database).await?;
            let new = NewDatabase {
                name: copy.to_owned(),
                template: target.database.clone(),
                locale: None,
                stage_role: target.stage_role.clone(),
                owner_role: target.owner_role.clone(),
                marker: Marker {
                    role: "copy".to_owned(),
                    run: cx.run.clone(),
                    ..marker.ok_or_else(|| Failure::new(Exit::WrongDatabase, "the clone lost its marker"))?
                },
                doors: Doors::Open,
            };
            maker.create(&new).await
        }
        .await;
        maker.open(&target.database).await?;
        target.came_alive(&live.expected)?;
        Ok(Expected { database: copy.to_owned(), oid: made?, ..live.expected.clone() })
    }
}
