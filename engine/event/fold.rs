//! Folding: the only meaning of history. Nothing stores "running"; a run is running if its lock is held.

use super::{CopiedTable, Event, Failure, Moment, Reading, SequenceMove, TableWrite};
use std::collections::BTreeMap;

/// Purpose of what is measured of one batch.
pub const BATCH: &str = "batch";

/// Where a stage stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing is known of it.
    #[default]
    Waiting,
    /// Begun, no outcome in the journal.
    Started,
    /// Committed, and its proofs are not all there.
    Committed,
    /// Done.
    Done,
    /// A guard or gate said no.
    Blocked(Failure),
    /// It failed.
    Failed(Failure),
}

/// A half clone whose rows were begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HalfMade {
    /// Oid of its database.
    pub oid: i64,
    /// What it is of, in the run's folder, and its digest.
    pub file: String,
    /// SHA-256.
    pub file_sha256: String,
    /// Tables that are wholly in, by their oid in production.
    pub finished: BTreeMap<i64, CopiedTable>,
}

/// What is known of one stage.
#[derive(Clone, Debug, Default)]
pub struct StageState {
    /// Where it stands.
    pub status: Status,
    /// Attempts begun.
    pub attempts: u32,
    /// Backend of the last attempt: pid and start.
    pub backend: Option<(i32, String)>,
    /// An intent without an outcome: xid, system identifier, timeline, database oid.
    pub intent: Option<(String, String, i32, i64)>,
    /// The same of the attempt that was committed.
    pub committed: Option<(String, String, i32, i64)>,
    /// Readings before it.
    pub before: Vec<Reading>,
    /// Readings when it ended.
    pub after: Vec<Reading>,
    /// Row changes it committed.
    pub writes: Vec<TableWrite>,
    /// Sequences it moved.
    pub sequences: Vec<SequenceMove>,
    /// Tables it read or wrote.
    pub touched: Vec<String>,
    /// Tables it truncated or rewrote, that appeared or vanished.
    pub files: BTreeMap<String, String>,
    /// Definitions it changed.
    pub altered: Vec<String>,
    /// Batches that are committed; what they did in sum stands in `writes` and the rest.
    pub batches: u32,
    /// What the batch that is open did.
    open_batch: Option<Did>,
    /// Proofs that passed.
    pub proved: Vec<String>,
    /// Its closing line.
    pub summary: String,
    /// Fingerprints taken in it: label, file, digest of the file.
    pub fingerprints: Vec<(String, String, String)>,
    /// Run whose clone it dropped, to make its own in its place.
    pub dropped: Option<String>,
    /// The half clone it was making.
    pub half: Option<HalfMade>,
    /// Packet it rolls out.
    pub opened: Option<String>,
    /// Packet it sealed: id and path.
    pub packet: Option<(String, String)>,
}

/// What one measured transaction did.
#[derive(Clone, Debug, Default)]
struct Did {
    writes: Vec<TableWrite>,
    sequences: Vec<SequenceMove>,
    touched: Vec<String>,
    files: BTreeMap<String, String>,
    altered: Vec<String>,
}

/// What folding a journal says of its run.
#[derive(Clone, Debug, Default)]
pub struct RunState {
    /// Run id.
    pub run: String,
    /// Stages by name.
    pub stages: BTreeMap<String, StageState>,
    /// The clone that was made: target, the event.
    pub clones: BTreeMap<String, Event>,
    /// Databases begun and not finished: target, name.
    pub half_made: BTreeMap<String, String>,
    /// The look after a stage that ended the run, and has not been made up for.
    pub look_failed: Option<(String, Failure)>,
    /// Stages whose own fingerprint of a target was taken after this run had rolled out to it.
    pub seen_after_rollout: std::collections::BTreeSet<String>,
    /// Targets this run has rolled out to.
    pub rolled_out: std::collections::BTreeSet<String>,
    /// Watched transactions so far, by target.
    pub transactions: BTreeMap<String, u64>,
    /// How it ended, if it did.
    pub ended: Option<Event>,
    /// The first line.
    pub started: Option<Event>,
}

impl RunState {
    /// Folds events in order.
    pub fn of<'e>(events: impl IntoIterator<Item = &'e Event>) -> RunState {
        let mut state = RunState::default();
        for event in events {
            state.apply(event);
        }
        state
    }

    /// One stage's state; waiting when nothing is known.
    pub fn stage(&self, name: &str) -> StageState {
        self.stages.get(name).cloned().unwrap_or_default()
    }

    /// Is this stage done?
    pub fn is_done(&self, name: &str) -> bool {
        self.stages.get(name).is_some_and(|s| s.status == Status::Done)
    }

    /// Adds one event.
    pub fn apply(&mut self, event: &Event) {
        if let Some(stage) = event.stage() {
            self.stages.entry(stage.to_owned()).or_default().apply(event);
        }
        match event {
            Event::RunStarted { run, .. } => {
                self.run.clone_from(run);
                self.started = Some(event.clone());
            }
            Event::RunResumed { .. } => self.ended = None,
            Event::RunEnded { .. } => self.ended = Some(event.clone()),
            Event::CloneBegun { target, database, .. } => {
                self.half_made.insert(target.clone(), database.clone());
            }
            Event::CloneMade { target, .. } => {
                self.half_made.remove(target);
                self.clones.insert(target.clone(), event.clone());
            }
            Event::RolledOut { target, already: false, .. } => drop(self.rolled_out.insert(target.clone())),
            Event::LookFailed { stage, failure } => self.look_failed = Some((stage.clone(), failure.clone())),
            // The one that ends the run under a strict policy comes after the look that it is about.
            Event::Watched { stage, .. } if self.look_failed.as_ref().is_some_and(|(of, _)| of == stage) => {
                self.look_failed = None;
            }
            Event::FingerprintTaken { stage, target, label, .. }
                if label == "own" && self.rolled_out.contains(target) =>
            {
                self.seen_after_rollout.insert(stage.clone());
            }
            Event::Transaction { record } => *self.transactions.entry(record.target.clone()).or_default() += 1,
            _ => {}
        }
    }
}

impl StageState {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::StageStarted { .. }
                if !matches!(self.status, Status::Committed | Status::Done) => {
                    self.status = Status::Started;
                }
            Event::AttemptStarted { attempt, backend_pid, backend_start, .. } => {
                self.attempts = *attempt;
                self.backend = Some((*backend_pid, backend_start.clone()));
                self.intent = None;
                self.open_batch = None;
            }
            Event::Readings { moment: Moment::Before, values, .. } => self.before.clone_from(values),
            Event::Readings { moment: Moment::After, values, .. } => self.after.clone_from(values),
            Event::Measured { purpose, writes, sequences, held, files, altered, .. }
                if purpose == "forward" || purpose == BATCH =>
            {
                let did = Did {
                    writes: writes.clone(),
                    sequences: sequences.clone(),
                    touched: held.iter().map(|lock| lock.table.clone()).collect(),
                    files: files.clone(),
                    altered: altered.clone(),
                };
                if purpose == BATCH { self.open_batch = Some(did) } else { self.did(did) }
            }
            Event::BatchCommitted { batch, .. } => {
                self.batches = *batch;
                // Its outcome is known: nothing is left to ask for.
                self.committed = self.intent.take();
                self.backend = None;
                let batch = self.open_batch.take().unwrap_or_default();
                self.did_more(batch);
            }
            Event::CommitIntended { xid, system_identifier, timeline, database_oid, .. } => {
                self.intent = Some((xid.clone(), system_identifier.clone(), *timeline, *database_oid));
            }
            Event::StageCommitted { .. } => {
                // Of batches, the last one.
                self.committed = self.intent.take().or(self.committed.take());
                self.status = Status::Committed;
            }
            Event::Proved { proof, passed: true, .. } => self.proved.push(proof.clone()),
            Event::FingerprintTaken { label, file, file_sha256, .. } => {
                self.fingerprints.push((label.clone(), file.clone(), file_sha256.clone()));
            }
            Event::CloneBegun { .. } => self.half = None,
            Event::CloneRowsBegun { oid, file, file_sha256, kept, .. } => {
                let finished = kept.iter().map(|table| (table.oid, table.clone())).collect();
                let (file, file_sha256) = (file.clone(), file_sha256.clone());
                self.half = Some(HalfMade { oid: *oid, file, file_sha256, finished });
            }
            Event::TablesCopied { tables, .. } => {
                if let Some(half) = &mut self.half {
                    half.finished.extend(tables.iter().map(|table| (table.oid, table.clone())));
                }
            }
            Event::CloneDropped { run, .. } => self.dropped = Some(run.clone()),
            Event::PacketOpened { id, .. } => self.opened = Some(id.clone()),
            Event::PacketSealed { id, path, .. } => self.packet = Some((id.clone(), path.clone())),
            Event::StageDone { summary, .. } => {
                self.summary.clone_from(summary);
                self.status = Status::Done;
            }
            Event::StageBlocked { failure, .. } => self.status = Status::Blocked(failure.clone()),
            Event::StageFailed { failure, .. }
                // Committed and not proved stays committed: resume repeats the proof, never the stage.
                if self.status != Status::Committed => {
                    self.status = Status::Failed(failure.clone());
                }
            _ => {}
        }
    }
}

impl StageState {
    fn did(&mut self, did: Did) {
        self.writes = did.writes;
        self.files = did.files;
        self.altered = did.altered;
        self.touched = did.touched;
        self.sequences = did.sequences;
    }

    /// One batch on top of those before it.
    fn did_more(&mut self, did: Did) {
        for wrote in did.writes {
            match self.writes.iter_mut().find(|known| known.table == wrote.table) {
                Some(known) => {
                    known.inserted += wrote.inserted;
                    known.updated += wrote.updated;
                    known.deleted += wrote.deleted;
                }
                None => self.writes.push(wrote),
            }
        }
        for moved in did.sequences {
            match self.sequences.iter_mut().find(|known| known.sequence == moved.sequence) {
                Some(known) => known.after = moved.after,
                None => self.sequences.push(moved),
            }
        }
        self.files.extend(did.files);
        self.altered.extend(did.altered.into_iter().filter(|new| !self.altered.contains(new)).collect::<Vec<_>>());
        self.touched.extend(did.touched.into_iter().filter(|new| !self.touched.contains(new)).collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_proof_leaves_the_stage_committed() {
        let stage = "a".to_owned();
        let failure = Failure::new(super::super::Exit::ProofFailed, "not idempotent");
        let state = RunState::of(&[
            Event::StageStarted { stage: stage.clone() },
            Event::StageCommitted { stage: stage.clone(), xid: Some("7".into()), open_ms: None },
            Event::StageFailed { stage, failure, ms: 1 },
        ]);
        assert_eq!(state.stage("a").status, Status::Committed);
        assert!(!state.is_done("a"));
    }

    #[test]
    fn an_attempt_forgets_the_intent_before_it() {
        let stage = || "a".to_owned();
        let attempt =
            |n| Event::AttemptStarted { stage: stage(), attempt: n, backend_pid: 1, backend_start: String::new() };
        let intent = Event::CommitIntended {
            stage: stage(),
            xid: "9".into(),
            system_identifier: "s".into(),
            timeline: 1,
            database_oid: 5,
        };
        let events = [attempt(1), intent, attempt(2)];
        assert!(RunState::of(&events[..2]).stage("a").intent.is_some());
        assert!(RunState::of(&events).stage("a").intent.is_none());
    }
}
