//! The steps of a rehearsal: one script in one committed transaction each, and comparisons in between.

use super::super::fingerprint::taken;
use super::{RehearseStage, jobs};
use crate::clock::Stopwatch;
use crate::crash;
use crate::event::evidence::{self, Observation};
use crate::event::{Event, Exit, Failure, Reading};
use crate::fingerprint::{self, Compare, Comparison, Fingerprint};
use crate::probe::{self, Query};
use crate::proof::{self, Batch, Script, Work, bounds, forward, measure};
use crate::stage::Cx;
use crate::target::{CloneTarget, CommitOutcome, Isolation, Live, WriteTx};
use std::collections::BTreeMap;

/// Row changes by table: inserted, updated, deleted.
pub(super) type Rows = BTreeMap<String, [u64; 3]>;

/// A rehearsal on its copy.
#[derive(Clone, Copy)]
pub(super) struct Steps<'r> {
    pub(super) cx: &'r Cx,
    pub(super) stage: &'r RehearseStage,
    pub(super) target: &'r CloneTarget,
    pub(super) copy: &'r Live,
}

impl Steps<'_> {
    /// Back, forward, and, if others write meanwhile, back once more. Answers the milliseconds of the way back and of
    /// the way forward.
    pub(super) async fn all(&self, clone: &Fingerprint) -> Result<(u64, u64), Failure> {
        let baseline = self.cx.stored_fingerprint(&self.stage.baseline, "own")?;
        let watch = Stopwatch::start();
        self.back(true).await?;
        let back_ms = watch.ms();
        self.compare_now(&baseline, "the copy rolled back, and the baseline").await?;
        let undisturbed = match &self.stage.traffic {
            Some(traffic) => Some(self.traffic_alone(traffic).await?),
            None => None,
        };
        let watch = Stopwatch::start();
        for work in &self.stage.works {
            self.say(&format!("forward over {}", work.stage));
            Box::pin(self.forward(work)).await?;
        }
        let forward_ms = watch.ms();
        self.compare_now(clone, "the copy forward again, and the clone").await?;
        if let (Some(traffic), Some(undisturbed)) = (&self.stage.traffic, undisturbed) {
            self.traffic_and_back(traffic, &undisturbed).await?;
        }
        Ok((back_ms, forward_ms))
    }

    pub(super) fn say(&self, text: &str) {
        self.cx.say(&self.stage.head.name, text);
    }

    /// All rollbacks in reverse order. `sequences`: put back as well, as nobody else drew from them.
    pub(super) async fn back(&self, sequences: bool) -> Result<(), Failure> {
        for work in self.stage.works.iter().rev().filter(|work| !work.changes_nothing()) {
            self.say(&format!("back over {}", work.stage));
            let rollback = work.rollback.as_ref().expect("invariant: a missing rollback was refused before the copy");
            self.step(work, rollback, "rollback").await?;
            if sequences {
                let moves = self.cx.with_state(|state| state.stage(&work.stage).sequences);
                if let Some((sequence, detail)) = measure::set_back(&moves, &self.sequences().await?).pop() {
                    let what = format!("the rollback of `{}` sets a sequence back too far", work.stage);
                    return Err(Failure::new(Exit::ProofFailed, what).fact(format!("{sequence}: {detail}")));
                }
                self.put_back(&moves).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn put_back(&self, moves: &[crate::event::SequenceMove]) -> Result<(), Failure> {
        self.target.maker.inside(&self.copy.expected.database, &measure::put_back(moves)?).await
    }

    /// A stage's SQL again: by two sessions at once, if it is a worker that may be.
    async fn forward(&self, work: &Work) -> Result<(), Failure> {
        if let Some(batch) = &work.batch {
            return self.batches(work, batch).await;
        }
        if work.monotonic.is_empty() {
            return self.step(work, &work.forward, "forward again").await;
        }
        let mut seen = self.readings(work, "before the rehearsal's forward run").await?;
        if work.idempotent {
            seen.extend(Box::pin(self.race(work)).await?);
        } else {
            self.step(work, &work.forward, "forward again").await?;
            seen.extend(self.readings(work, "after it").await?);
        }
        self.keep_readings(work, seen)
    }

    /// Readings of the copy that must never fall.
    pub(super) async fn readings(&self, work: &Work, when: &str) -> Result<Vec<Observation>, Failure> {
        let tx = self.copy.reader.begin("readings of the copy", Isolation::Snapshot).await?;
        let queries: Vec<&Query> = work.monotonic.iter().filter_map(|name| self.cx.probes.get(name)).collect();
        let readings = probe::read(&tx, &queries).await?;
        tx.finish().await?;
        let read = |r: Reading| Observation::Read { probe: r.probe, when: when.to_owned(), value: r.value };
        Ok(readings.into_iter().map(read).collect())
    }

    fn keep_readings(&self, work: &Work, evidence: Vec<Observation>) -> Result<(), Failure> {
        let verdict = evidence::verdict("monotonic", &evidence).expect("invariant: this is such a proof");
        let observations: Vec<String> = evidence.iter().flat_map(Observation::words).collect();
        let mut failure = Failure::new(Exit::ProofFailed, format!("stage `{}` is not monotonic", work.stage));
        failure.facts.clone_from(&observations);
        self.cx.record(Event::Proved {
            stage: self.stage.head.name.clone(),
            proof: format!("monotonic, of {}", work.stage),
            passed: verdict.passed,
            grade: verdict.grade.to_owned(),
            observations,
            evidence,
            ms: 0,
        })?;
        if verdict.passed { Ok(()) } else { Err(failure) }
    }

    /// One script in one committed transaction, held to its stage's bounds.
    pub(super) async fn step(&self, work: &Work, script: &Script, purpose: &str) -> Result<(), Failure> {
        if work.alone {
            return self.alone(work, script, purpose).await;
        }
        self.committed(work, script, purpose, None).await.map(drop)
    }

    /// The same; a batch is held to its own bound as well, and to that of its stage together with those before it.
    /// Answers its row changes.
    pub(super) async fn committed(
        &self,
        work: &Work,
        script: &Script,
        purpose: &str,
        batch: Option<(&Batch, &Rows)>,
    ) -> Result<Rows, Failure> {
        let tx = self.copy.writer.session(&format!("{purpose} of `{}` on the copy", work.stage)).await?;
        let done = self.within(&tx, work, script, purpose, batch).await;
        let (done, rows) = match done {
            Ok(ran) => (Ok(()), ran.delta.rows),
            Err(failure) => (Err(failure), Rows::new()),
        };
        self.close(tx, work, purpose, done).await.map(|()| rows)
    }

    /// Everything of a step but its end.
    pub(super) async fn open(
        &self,
        tx: &WriteTx,
        work: &Work,
        script: &Script,
        purpose: &str,
    ) -> Result<forward::Ran, Failure> {
        self.within(tx, work, script, purpose, None).await
    }

    async fn within(
        &self,
        tx: &WriteTx,
        work: &Work,
        script: &Script,
        purpose: &str,
        batch: Option<(&Batch, &Rows)>,
    ) -> Result<forward::Ran, Failure> {
        tx.begin(work.timeout, work.lock_timeout).await?;
        forward::settle(tx, &self.cx.settings()).await?;
        let resolved = bounds::resolve(tx, work).await?;
        let before = measure::before(tx, !work.alters.is_empty()).await?;
        let mut ran = forward::run(tx, script, &before, None).await?;
        let own = ran.delta.rows.clone();
        if let Some((batch, earlier)) = batch {
            batch.hold(&work.stage, &ran.delta)?;
            proof::batch::add(&mut ran.delta.rows, earlier.iter().map(|(table, rows)| (table, *rows)));
        }
        proof::hold(tx, &resolved, &work.stage, &ran).await?;
        ran.delta.rows = own;
        let (stage, purpose) = (self.stage.head.name.clone(), format!("rehearsal: {purpose} of {}", work.stage));
        crash::point(|| "rehearse/ran".to_owned());
        self.cx.record(ran.measured(&stage, &purpose, resolved.writes(&ran.delta)))?;
        self.cx.record(Event::Statements { stage, purpose, statements: ran.statements.clone() })?;
        Ok(ran)
    }

    /// Commits a step that came to its end.
    pub(super) async fn close(
        &self,
        tx: WriteTx,
        work: &Work,
        purpose: &str,
        done: Result<(), Failure>,
    ) -> Result<(), Failure> {
        let done = match done {
            Ok(()) => tx.xid().await,
            Err(failure) => Err(failure),
        };
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
        let what = format!("COMMIT of {purpose} of `{}` in the rehearsal", work.stage);
        committed(&what, tx.commit(xid.as_deref()).await)
    }

    async fn compare_now(&self, wanted: &Fingerprint, label: &str) -> Result<(), Failure> {
        self.say("comparing");
        let purpose = "fingerprint of the copy";
        let found = taken(self.cx, &self.copy.reader, purpose, &self.stage.scope(), jobs::available()).await?;
        self.compare(wanted, &found, label)
    }

    pub(super) fn compare(&self, wanted: &Fingerprint, found: &Fingerprint, label: &str) -> Result<(), Failure> {
        compare(self.cx, &self.stage.head.name, (wanted, found), label)
    }
}

/// Demands that a COMMIT on the copy went through.
///
/// # Errors
/// The server refused it: what failed is the plan's. Or nobody knows (75).
pub(super) fn committed(what: &str, outcome: CommitOutcome) -> Result<(), Failure> {
    match outcome {
        CommitOutcome::Committed => Ok(()),
        CommitOutcome::Aborted(why) => Err(rolled_back(what, why)),
        // Elsewhere an error proves nothing. Here it need not: the copy is dropped and made anew by the next rehearsal.
        CommitOutcome::Unknown(why) if why.exit == Exit::StageFailed => Err(rolled_back(what, Some(why))),
        CommitOutcome::Unknown(why) => {
            Err(Failure { exit: Exit::Temporary, what: format!("{what} has no answer: {}", why.what), ..why })
        }
    }
}

/// A COMMIT that the server answered by a rollback: what failed was the plan's, unless the server says that it may pass.
fn rolled_back(what: &str, why: Option<Failure>) -> Failure {
    let what = format!("{what} was answered by a rollback");
    match why {
        None => Failure::new(Exit::ProofFailed, what),
        Some(why) => {
            let exit = if why.exit == Exit::StageFailed { Exit::ProofFailed } else { why.exit };
            Failure { exit, what: format!("{what}: {}", why.what), ..why }
        }
    }
}

/// Compares a clone, or a copy of one, with what it was. What is only physical (the order of columns) is told and counts
/// as equal.
///
/// # Errors
/// They differ (44), or the journal cannot be written.
pub(in crate::stage) fn compare(
    cx: &Cx,
    stage: &str,
    (wanted, found): (&Fingerprint, &Fingerprint),
    label: &str,
) -> Result<(), Failure> {
    let Comparison { differences, masks } = fingerprint::differences(wanted, found, &Compare::TemplateCopy);
    let (physical, logical): (Vec<_>, Vec<_>) = differences.into_iter().partition(|d| d.physical);
    let lines: Vec<String> = logical.iter().map(|d| format!("{}: {}", d.what, d.detail)).collect();
    let masks =
        masks.into_iter().chain(physical.iter().map(|d| format!("physical only: {}: {}", d.what, d.detail))).collect();
    cx.record(Event::Compared {
        stage: stage.to_owned(),
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
