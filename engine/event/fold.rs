//! Folding: the only meaning of history. Nothing stores "running"; a run is running if its lock is held.

use super::{Blocker, CopiedTable, Event, Exit, Failure, Moment, Reading, SequenceMove, TableWrite, Wanted};
use std::collections::{BTreeMap, BTreeSet};

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
    /// It was committed, and its rollback after it: it waits to be run again.
    Undone,
}

/// A transaction whose COMMIT was about to be sent: xid, system identifier, timeline, database oid.
pub type Intent = (String, String, i32, i64);

/// A rollback of a stage that was begun, and that nobody knows the end of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// Tries begun.
    pub attempts: u32,
    /// Backend of the last one: pid and start.
    pub backend: Option<(i32, String)>,
    /// An intent without an outcome.
    pub intent: Option<Intent>,
    /// The server said that it is committed.
    pub committed: bool,
    /// Row changes of the rollback.
    pub writes: Vec<TableWrite>,
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
    /// Place of its last COMMIT among all events.
    pub committed_at: u64,
    /// Backend of the last attempt: pid and start.
    pub backend: Option<(i32, String)>,
    /// An intent without an outcome.
    pub intent: Option<Intent>,
    /// A transaction of it is committed, and was not undone.
    pub committed: bool,
    /// That transaction; `None`: it wrote nothing transactional. Of batches, the last one.
    pub xid: Option<String>,
    /// The intent of that transaction.
    pub held: Option<Intent>,
    /// Who held up a statement of its last attempt, and what for.
    pub stalled: Option<(Option<Wanted>, Vec<Blocker>)>,
    /// Its rollback, while it is under way.
    pub undo: Option<Undo>,
    /// It is committed, and why what must follow could not be done when that was last tried.
    pub unproved: Option<Failure>,
    /// Why its rollback could not be done: it stays as it is.
    pub stuck: Option<Failure>,
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
    /// Stages in the order in which they were first committed or done.
    pub order: Vec<String>,
    /// Those of `order`.
    ordered: BTreeSet<String>,
    /// A stage has been undone: the clone is not what it was made as, in tables that no stage has written.
    pub went_back: bool,
    /// A rollback was begun and has not ended: back to this stage, or all of it.
    pub rolling_back: Option<Option<String>>,
    /// How it ended, if it did.
    pub ended: Option<Event>,
    /// Digest of each input, as the run began or as a change was accepted since.
    pub inputs: BTreeMap<String, String>,
    /// Digest of each stage, likewise.
    pub digests: BTreeMap<String, String>,
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
                // Who makes no attempts is at work from its start on.
                Event::StageStarted { .. } if stage.attempts == 0 => stage.attempt_at = self.events,
                Event::StageCommitted { .. } | Event::BatchCommitted { .. } => stage.committed_at = self.events,
                _ => {}
            }
        }
        match event {
            Event::RunStarted { run, inputs, stages, .. } => {
                self.run.clone_from(run);
                self.inputs.clone_from(inputs);
                self.digests = stages.iter().map(|stage| (stage.name.clone(), stage.digest.clone())).collect();
                self.started = Some(event.clone());
            }
            Event::RunResumed { inputs, stages, .. } => {
                (self.ended, self.rolling_back) = (None, None);
                if !inputs.is_empty() {
                    self.inputs.clone_from(inputs);
                    self.digests.clone_from(stages);
                }
            }
            Event::RunEnded { .. } => (self.ended, self.rolling_back) = (Some(event.clone()), None),
            Event::RollbackBegun { to, .. } => self.rolling_back = Some(to.clone()),
            Event::StageCommitted { stage, .. }
            | Event::BatchCommitted { stage, .. }
            | Event::StageDone { stage, .. }
                if !self.ordered.contains(stage) =>
            {
                self.order.push(stage.clone());
                self.ordered.insert(stage.clone());
            }
            Event::Undone { stage, again, .. } => self.undone(stage, again),
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

impl RunState {
    /// What depends on an undone stage rests on nothing any more.
    fn undone(&mut self, stage: &str, again: &[String]) {
        self.went_back = true;
        // What is committed stands until it is undone itself, whatever is said to depend on what.
        let again: Vec<&String> = again.iter().filter(|name| !self.stage(name).committed).collect();
        self.order.retain(|name| name != stage && !again.contains(&name));
        self.ordered = self.order.iter().cloned().collect();
        for name in again {
            self.seen_after_rollout.remove(name);
            let known = self.stages.entry(name.clone()).or_default();
            // Undone itself before: it says so still.
            if known.status != Status::Undone {
                *known = StageState { attempts: known.attempts, ..StageState::default() };
            }
        }
    }
}

/// What still counts: without what stages did before they, or what they depend on, were undone. That they were stays.
pub fn standing(events: &[Event]) -> Vec<Event> {
    let mut gone: BTreeSet<&str> = BTreeSet::new();
    let mut standing: Vec<&Event> = Vec::with_capacity(events.len());
    for event in events.iter().rev() {
        let fact = matches!(event, Event::Undone { .. });
        if fact || !event.stage().is_some_and(|stage| gone.contains(stage)) {
            standing.push(event);
        }
        if let Event::Undone { stage, again, .. } = event {
            gone.insert(stage);
            gone.extend(again.iter().map(String::as_str));
        }
    }
    standing.into_iter().rev().cloned().collect()
}

impl StageState {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::StageStarted { .. } => {
                self.unproved = None;
                if !matches!(self.status, Status::Committed | Status::Done) {
                    self.status = Status::Started;
                }
            }
            Event::AttemptStarted { attempt, backend_pid, backend_start, .. } => {
                self.attempts = *attempt;
                (self.stalled, self.stuck) = (None, None);
                self.backend = Some((*backend_pid, backend_start.clone()));
                self.nothing_open();
            }
            Event::CommitAborted { xid, .. } => match &mut self.undo {
                Some(Undo { intent, .. }) if intent.as_ref().is_some_and(|(of, ..)| of == xid) => *intent = None,
                _ => self.nothing_open(),
            },
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
            Event::BatchCommitted { batch, xid, .. } => {
                self.batches = *batch;
                // Its outcome is known: nothing is left to ask for.
                self.held = self.intent.take();
                self.backend = None;
                self.committed = true;
                self.xid.clone_from(xid);
                let batch = self.open_batch.take().unwrap_or_default();
                self.did_more(batch);
            }
            Event::Stalled { wanted, blockers, .. } => self.stalled = Some((wanted.clone(), blockers.clone())),
            Event::CommitIntended { xid, system_identifier, timeline, database_oid, .. } => {
                self.intent = Some((xid.clone(), system_identifier.clone(), *timeline, *database_oid));
            }
            Event::StageCommitted { xid, .. } => {
                // Of batches, the last one.
                self.held = self.intent.take().or(self.held.take());
                (self.committed, self.stuck) = (true, None);
                self.xid = xid.clone().or(self.xid.take());
                self.status = Status::Committed;
            }
            Event::UndoStarted { .. }
            | Event::UndoIntended { .. }
            | Event::UndoCommitted { .. }
            | Event::Undone { .. }
            | Event::UndoFailed { .. } => self.back(event),
            Event::Measured { purpose, writes, .. } if purpose == "rollback" => {
                if let Some(undo) = &mut self.undo {
                    undo.writes.clone_from(writes);
                }
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
            // Committed and not proved, or what follows could not be read, stays committed: resume repeats that, never the stage.
            Event::StageBlocked { failure, .. } | Event::StageFailed { failure, .. }
                if self.status == Status::Committed =>
            {
                self.unproved = Some(failure.clone());
            }
            Event::StageBlocked { failure, .. } => self.failed(Status::Blocked(failure.clone())),
            Event::StageFailed { failure, .. } => self.failed(Status::Failed(failure.clone())),
            _ => {}
        }
    }

    fn failed(&mut self, status: Status) {
        self.status = status;
        if self.intent.is_none() {
            self.nothing_open();
        }
    }

    /// No transaction of it is open: what the last one did is not there, if it is not committed.
    pub fn nothing_open(&mut self) {
        self.intent = None;
        self.open_batch = None;
        if !self.committed {
            self.sequences.clear();
        }
    }

    /// On the way back.
    fn back(&mut self, event: &Event) {
        match event {
            Event::UndoStarted { attempt, backend_pid, backend_start, .. } => {
                (self.stuck, self.stalled) = (None, None);
                let backend = Some((*backend_pid, backend_start.clone()));
                self.undo = Some(Undo { attempts: *attempt, backend, ..Undo::default() });
            }
            Event::UndoIntended { xid, system_identifier, timeline, database_oid, .. } => {
                let intent = (xid.clone(), system_identifier.clone(), *timeline, *database_oid);
                self.undo.get_or_insert_default().intent = Some(intent);
            }
            Event::UndoCommitted { .. } => {
                let undo = self.undo.get_or_insert_default();
                (undo.intent, undo.committed) = (None, true);
            }
            Event::Undone { summary, .. } => {
                let (attempts, summary) = (self.attempts, summary.clone());
                *self = StageState { status: Status::Undone, attempts, summary, ..StageState::default() };
            }
            Event::UndoFailed { failure, settled, .. } => {
                // A COMMIT that may have been sent is asked for again before anything else is, however this one ended.
                self.undo = self.undo.take().filter(|undo| !settled && (undo.committed || undo.intent.is_some()));
                // What is temporary needs nobody.
                let passing = matches!(failure.exit, Exit::Temporary | Exit::Held);
                self.stuck = (!passing).then(|| failure.clone());
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

    /// Has it drawn from that sequence after a place among all events? What may be open is taken for so.
    pub fn drew_after(&self, place: u64, sequence: &str) -> bool {
        let of = |moved: &SequenceMove| moved.sequence == sequence;
        let open = self.open_batch.iter().flat_map(|did| &did.sequences).any(of);
        open || self.sequences.iter().any(of) && (!self.committed || self.committed_at > place)
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
#[path = "fold_tests.rs"]
mod tests;
