//! Folding: the only meaning of history. Nothing stores "running"; a run is running if its lock is held.

use super::{CopiedTable, Event, Failure, Moment, Reading, SequenceMove, TableWrite};
use std::collections::BTreeMap;

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
    /// Place of the last attempt's beginning among all events.
    pub attempt_at: u64,
    /// Place of its end among all events, if it is done.
    pub done_at: Option<u64>,
    /// Backend of the last attempt: pid and start.
    pub backend: Option<(i32, String)>,
    /// An intent without an outcome: xid, system identifier, timeline, database oid.
    pub intent: Option<(String, String, i32, i64)>,
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
    /// Events so far.
    pub events: u64,
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
        self.events += 1;
        if let Some(stage) = event.stage() {
            let stage = self.stages.entry(stage.to_owned()).or_default();
            stage.apply(event);
            match event {
                Event::AttemptStarted { .. } => stage.attempt_at = self.events,
                Event::StageDone { .. } => stage.done_at = Some(self.events),
                _ => {}
            }
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
            }
            Event::Readings { moment: Moment::Before, values, .. } => self.before.clone_from(values),
            Event::Readings { moment: Moment::After, values, .. } => self.after.clone_from(values),
            Event::Measured { purpose, writes, sequences, held, files, altered, .. } if purpose == "forward" => {
                self.writes.clone_from(writes);
                self.files.clone_from(files);
                self.altered.clone_from(altered);
                self.touched = held.iter().map(|lock| lock.table.clone()).collect();
                self.sequences.clone_from(sequences);
            }
            Event::CommitIntended { xid, system_identifier, timeline, database_oid, .. } => {
                self.intent = Some((xid.clone(), system_identifier.clone(), *timeline, *database_oid));
            }
            Event::StageCommitted { .. } => {
                self.intent = None;
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
