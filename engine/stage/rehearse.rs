//! `rehearse`: on a copy of the clone, every writing stage since the baseline is rolled back, compared, applied
//! again and compared. Every step is committed there; the copy is dropped whatever happens.

use super::fingerprint::taken;
use super::{Built, Cx, Done, Head, Kind, Parse, Recovery, Running, Stage, jobs, readings};
use crate::clock::Stopwatch;
use crate::diag::Diagnostic;
use crate::event::{Event, Exit, Failure, Marker};
use crate::fingerprint::{self, Compare, Comparison, Fingerprint, Level, Scope};
use crate::plan::keys::Keys;
use crate::proof::{Script, Work, bounds, forward, measure};
use crate::target::{CloneTarget, CommitOutcome, Doors, Expected, Live, NewDatabase};
use std::sync::Arc;

/// The kind.
pub static KIND: Kind = Kind { name: "rehearse", keys: &["baseline"], recovery: Recovery::Repeatable, parse };

#[derive(Debug)]
struct RehearseStage {
    head: Head,
    on: String,
    baseline: String,
    /// Writing stages since the baseline, in the order they ran.
    works: Vec<Arc<Work>>,
}

fn parse(head: Head, mut keys: Keys, cx: &mut Parse<'_>) -> Option<Box<dyn Stage>> {
    let target = cx.needs_clone(&head)?;
    let on = target.name.value;
    let baseline = keys.text("baseline", cx.out);
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
    for work in works.iter().filter(|w| w.rollback.is_none()) {
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
    Some(Box::new(RehearseStage { head, on, baseline: baseline.value, works }))
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

    fn run<'r>(&'r self, cx: &'r Cx) -> Running<'r> {
        Box::pin(self.go(cx))
    }
}

impl RehearseStage {
    async fn go(&self, cx: &Cx) -> Result<Done, Failure> {
        readings::guards_outside(cx, &self.head).await?;
        let missing: Vec<&str> = self.works.iter().filter(|w| w.rollback.is_none()).map(|w| w.stage.as_str()).collect();
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
        let outcome = self.rehearse(cx, target, &doors, &now).await;
        doors.reader.door().close();
        doors.writer.door().close();
        let dropped = target.maker.drop_database(&copy, &cx.run).await;
        let (back_ms, forward_ms) =
            outcome.map_err(|f| f.changed("the copy was dropped; the clone is as before; production was only read"))?;
        dropped?;
        self.keep(cx, back_ms, forward_ms, true)?;
        let summary = format!(
            "{} stages back to the baseline, forward to the same content · back {} · forward {}",
            self.works.len(),
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

    async fn rehearse(
        &self,
        cx: &Cx,
        target: &CloneTarget,
        copy: &Live,
        clone: &Fingerprint,
    ) -> Result<(u64, u64), Failure> {
        let name = self.head.name.as_str();
        let baseline = cx.stored_fingerprint(&self.baseline, "own")?;
        let watch = Stopwatch::start();
        for work in self.works.iter().rev() {
            cx.say(name, &format!("back over {}", work.stage));
            let rollback = work.rollback.as_ref().expect("invariant: a missing rollback was refused above");
            self.step(cx, copy, work, rollback, "rollback").await?;
            let moves = cx.with_state(|state| state.stage(&work.stage).sequences);
            target.maker.inside(&copy.expected.database, &measure::put_back(&moves)?).await?;
        }
        let back_ms = watch.ms();
        self.compare(cx, copy, &baseline, "the copy rolled back, and the baseline").await?;
        let watch = Stopwatch::start();
        for work in &self.works {
            cx.say(name, &format!("forward over {}", work.stage));
            self.step(cx, copy, work, &work.forward, "forward again").await?;
        }
        let forward_ms = watch.ms();
        self.compare(cx, copy, clone, "the copy forward again, and the clone").await?;
        Ok((back_ms, forward_ms))
    }

    /// One script in one committed transaction, held to its stage's bounds.
    async fn step(&self, cx: &Cx, copy: &Live, work: &Work, script: &Script, purpose: &str) -> Result<(), Failure> {
        let tx = copy.writer.session(&format!("{purpose} of `{}` on the copy", work.stage)).await?;
        tx.begin(work.timeout, work.lock_timeout).await?;
        let done = async {
            forward::settle(&tx, &cx.settings()).await?;
            let resolved = bounds::resolve(&tx, work).await?;
            let before = measure::before(&tx, !work.alters.is_empty()).await?;
            let statements = forward::send(&tx, script).await?;
            forward::force_constraints(&tx).await?;
            let delta = measure::delta(&tx, &before).await?;
            resolved.hold(&work.stage, &delta)?;
            let purpose = format!("rehearsal: {purpose} of {}", work.stage);
            cx.record(Event::Statements { stage: self.head.name.clone(), purpose, statements })?;
            tx.xid().await
        }
        .await;
        let xid = match done {
            Ok(xid) => xid,
            Err(mut failure) => {
                tx.rollback().await;
                failure.what = format!("{purpose} of `{}` in the rehearsal: {}", work.stage, failure.what);
                if failure.exit == Exit::StageFailed {
                    failure.exit = Exit::ProofFailed;
                }
                return Err(failure);
            }
        };
        match tx.commit(xid.as_deref()).await {
            CommitOutcome::Committed => Ok(()),
            other => Err(Failure::new(Exit::ProofFailed, format!("COMMIT of `{}` on the copy: {other:?}", work.stage))),
        }
    }

    async fn compare(&self, cx: &Cx, copy: &Live, wanted: &Fingerprint, label: &str) -> Result<(), Failure> {
        cx.say(&self.head.name, "comparing");
        let purpose = "fingerprint of the copy";
        let found = taken(cx, &copy.reader, purpose, &self.scope(), jobs::available()).await?;
        let Comparison { differences, masks } = fingerprint::differences(wanted, &found, &Compare::TemplateCopy);
        let (physical, logical): (Vec<_>, Vec<_>) = differences.into_iter().partition(|d| d.physical);
        let lines: Vec<String> = logical.iter().map(|d| format!("{}: {}", d.what, d.detail)).collect();
        let masks = masks
            .into_iter()
            .chain(physical.iter().map(|d| format!("physical only: {}: {}", d.what, d.detail)))
            .collect();
        cx.record(Event::Compared {
            stage: self.head.name.clone(),
            label: label.to_owned(),
            equal: lines.is_empty(),
            differences: lines.clone(),
            masks,
        })?;
        if lines.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::new(Exit::ProofFailed, format!("not equal: {label}"));
        failure.facts = lines.into_iter().take(20).collect();
        Err(failure)
    }
}
