//! The vocabulary of what happened: exit codes, failures, events, and what folding them means.
//!
//! `Event` is closed: every consumer matches all of it. Start there, then `fold`, the only meaning of history.
//! No I/O here; `journal` makes events durable, `report` shows them.

mod database;
pub mod evidence;
mod exit;
mod facts;
mod failure;
mod fold;
mod line;

pub use database::{Identity, Marker, TxRecord};
pub use exit::Exit;
pub use facts::{
    Blocker, CopiedTable, Executed, HeldLock, Judgement, LockWait, Moment, Reading, Refusal, RejectResult, Role,
    SYNC_REP, SequenceMove, StageBrief, TableWrite, Truth, Unchanged, Wanted, behind, planned, process, removed,
};
pub use failure::Failure;
pub use fold::{BATCH, HalfMade, Intent, RunState, StageState, Status, Undo, standing};
pub use line::Line;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that happened in a run. `stage` fields hold the stage's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(missing_docs)] // the field names are the documentation; docs/journal.md has the table
pub enum Event {
    /// First line of every journal.
    RunStarted {
        run: String,
        plan: String,
        plan_path: String,
        doc: Option<String>,
        engine_version: String,
        as_of: String,
        /// What `run.date` means; that of `as_of` where it is not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        date: Option<String>,
        genesis: String,
        vars: BTreeMap<String, String>,
        inputs: BTreeMap<String, String>,
        stages: Vec<StageBrief>,
        host: String,
        pid: u32,
    },
    /// The same run goes on in another process. `torn`: bytes of a half-written last line that were cut.
    RunResumed {
        host: String,
        pid: u32,
        torn: Option<u64>,
        accepted: Vec<String>,
        /// Where changes were accepted: digests of all inputs and stages, which hold from here on.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        inputs: BTreeMap<String, String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        stages: BTreeMap<String, String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        briefs: Vec<StageBrief>,
    },
    /// A database was reached and identified. For a clone: its name, and the maker in the maintenance database.
    TargetBound {
        target: String,
        place: String,
        clone: Option<String>,
        identity: Identity,
        powers: Vec<String>,
        /// Powers that are listed and not refused: what PUBLIC may do, functions that run as their owner.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        residual: Vec<String>,
        /// What the plan lets pass on the way there: a certificate that nobody checked, or plain text.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        waived: Vec<String>,
    },
    /// A door that must be shut was tried: `role`, which is there for another target, at this one. `stage` where a
    /// stage tried it.
    DoorTried {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<String>,
        role: String,
        target: String,
        database: String,
        place: String,
        open: bool,
        /// What the server said.
        said: String,
    },
    StageStarted {
        stage: String,
    },
    /// One try of a transactional stage, before its BEGIN.
    AttemptStarted {
        stage: String,
        attempt: u32,
        backend_pid: i32,
        backend_start: String,
    },
    /// Values of probes.
    Readings {
        stage: String,
        moment: Moment,
        values: Vec<Reading>,
    },
    /// Predicates and what they came to.
    Judged {
        stage: String,
        role: Role,
        judgements: Vec<Judgement>,
    },
    /// Statements that were sent and answered.
    Statements {
        stage: String,
        purpose: String,
        statements: Vec<Executed>,
    },
    /// What the transaction really changed, before COMMIT.
    Measured {
        stage: String,
        purpose: String,
        writes: Vec<TableWrite>,
        altered: Vec<String>,
        sequences: Vec<SequenceMove>,
        locks: Vec<String>,
        /// The strongest lock on each table, and since when.
        #[serde(default)]
        held: Vec<HeldLock>,
        /// Tables that were truncated or rewritten, that appeared or vanished: name and which.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        files: BTreeMap<String, String>,
        /// WAL that the server wrote meanwhile, others' included.
        #[serde(default)]
        wal_bytes: u64,
    },
    /// Statements the database had to refuse, and their permitted twins.
    Rejects {
        stage: String,
        results: Vec<RejectResult>,
    },
    /// Durable before COMMIT is sent.
    CommitIntended {
        stage: String,
        xid: String,
        system_identifier: String,
        timeline: i32,
        database_oid: i64,
    },
    /// The server says that the transaction was rolled back, or that it never heard of it.
    CommitAborted {
        stage: String,
        xid: String,
    },
    /// The server says so. `xid` is `None` when nothing transactional was written.
    StageCommitted {
        stage: String,
        xid: Option<String>,
        /// From the transaction's first statement to the answer of its COMMIT; not known after a resume.
        #[serde(default)]
        open_ms: Option<u64>,
    },
    /// One batch of a stage is committed; `batch` counts from 1.
    BatchCommitted {
        stage: String,
        batch: u32,
        xid: Option<String>,
        #[serde(default)]
        open_ms: Option<u64>,
    },
    /// What statements outside of a transaction had left half done is gone, but for what the stage's role may not drop.
    ClearedAway {
        stage: String,
        what: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<String>,
    },
    /// A demanded property, demonstrated or not.
    Proved {
        stage: String,
        proof: String,
        passed: bool,
        grade: String,
        observations: Vec<String>,
        /// The observations as data: `evidence::verdict` says what follows from them.
        #[serde(default)]
        evidence: Vec<evidence::Observation>,
        ms: u64,
    },
    /// A clone that was in the way was dropped: this run's own, or one that `--replace` allowed.
    CloneDropped {
        stage: String,
        database: String,
        run: String,
    },
    /// Between CREATE DATABASE and the rename, so that a resume can drop what is half made.
    CloneBegun {
        stage: String,
        target: String,
        database: String,
    },
    /// Rows come now, and what `file` says they are of; `kept` are there since an earlier process.
    CloneRowsBegun {
        stage: String,
        database: String,
        oid: i64,
        file: String,
        file_sha256: String,
        kept: Vec<CopiedTable>,
    },
    /// All rows of these tables are in the half clone. Small tables are not told.
    TablesCopied {
        stage: String,
        tables: Vec<CopiedTable>,
    },
    /// A half clone of this run was found. `again`: finished tables that are copied again, and why; `anew`: why nothing
    /// of it is kept. `bytes` counts what is still to come by the size of its files.
    CloneResumed {
        stage: String,
        database: String,
        kept: u64,
        tables: u64,
        kept_bytes: u64,
        bytes: u64,
        again: Vec<String>,
        anew: Option<String>,
    },
    CloneMade {
        stage: String,
        target: String,
        database: String,
        oid: i64,
        source: Identity,
        expires: Option<String>,
        tables: u64,
        rows: u64,
        bytes: u64,
        left_out: Vec<String>,
        owner: String,
        source_owners: Vec<String>,
        snapshot_ms: u64,
    },
    /// What the golden copy was good for: `branched`, `made`, `renewed`. `why`: it was not branched from. The rows that
    /// were brought up to date in the branch, and those that had to be looked at for that.
    Golden {
        stage: String,
        database: String,
        how: String,
        why: Option<String>,
        recent: u64,
        writes: Vec<TableWrite>,
        ms: u64,
    },
    /// A fingerprint was taken and stored under `file` in the run's folder.
    FingerprintTaken {
        stage: String,
        target: String,
        label: String,
        level: String,
        digest: String,
        file: String,
        file_sha256: String,
        tables: u64,
        rows: u64,
        bytes: u64,
        excluded: Vec<String>,
        ms: u64,
    },
    /// Production's tables are let go. `lock_ms`: what taking them took; `own`: the longest wait seen of what the engine
    /// opened there beside; `others`: the longest of somebody else, behind it.
    SourceHeld {
        stage: String,
        target: String,
        tables: u64,
        lock_ms: u64,
        own: Option<LockWait>,
        others: Option<LockWait>,
        held_ms: u64,
    },
    /// Two fingerprints were compared.
    Compared {
        stage: String,
        label: String,
        equal: bool,
        differences: Vec<String>,
        masks: Vec<String>,
    },
    /// What became of production since it was first read.
    ProductionChecked {
        stage: String,
        target: String,
        verdict: Unchanged,
        tables: Vec<String>,
        transactions: u64,
        /// Tables that were not read, since their watermark proves them unchanged.
        #[serde(default)]
        by_watermark: u64,
        /// Tables whose content was read, and why.
        #[serde(default)]
        read: Vec<String>,
    },
    /// A watched target, looked at when `stage` had ended, and compared with what it was when `since` had.
    Watched {
        stage: String,
        target: String,
        since: String,
        verdict: Unchanged,
        tables: Vec<String>,
        by_watermark: u64,
        read: Vec<String>,
        ms: u64,
    },
    /// The look after `stage`, which is done and stays so, ended the run.
    LookFailed {
        stage: String,
        failure: Failure,
    },
    /// A read-only transaction that ended as it should.
    Transaction {
        record: TxRecord,
    },
    /// A child such as pg_dump ran on a target in transactions of its own.
    Child {
        target: String,
        program: String,
        purpose: String,
        ms: u64,
    },
    /// A rehearsal's steps and results.
    Rehearsed {
        stage: String,
        back: Vec<String>,
        forward: Vec<String>,
        back_ms: u64,
        forward_ms: u64,
        passed: bool,
    },
    /// The packet a rollout goes on with, also after a resume.
    PacketOpened {
        stage: String,
        id: String,
    },
    PacketSealed {
        stage: String,
        id: String,
        path: String,
        technical_go: bool,
        reasons: Vec<String>,
    },
    /// A packet was applied to its target, or had been already.
    RolledOut {
        stage: String,
        target: String,
        packet: String,
        already: bool,
        held: Vec<String>,
        writes: Vec<TableWrite>,
    },
    /// One line for people: what the stage came to.
    StageDone {
        stage: String,
        summary: String,
        ms: u64,
    },
    StageBlocked {
        stage: String,
        failure: Failure,
        ms: u64,
    },
    StageFailed {
        stage: String,
        failure: Failure,
        ms: u64,
    },
    /// A statement waits, and behind whom: told once for each session that holds it up.
    Stalled {
        stage: String,
        wanted: Option<Wanted>,
        blockers: Vec<Blocker>,
    },
    /// A rollback of the run on its clones begins: of these stages, in this order. `to`: back to it, and not over it.
    RollbackBegun {
        to: Option<String>,
        stages: Vec<String>,
    },
    /// One try of a stage's rollback, before its BEGIN.
    UndoStarted {
        stage: String,
        attempt: u32,
        backend_pid: i32,
        backend_start: String,
    },
    /// Durable before the COMMIT of a rollback is sent.
    UndoIntended {
        stage: String,
        xid: String,
        system_identifier: String,
        timeline: i32,
        database_oid: i64,
    },
    /// The server says that the rollback is committed. `xid` is `None` when nothing transactional was written.
    UndoCommitted {
        stage: String,
        xid: Option<String>,
        open_ms: Option<u64>,
    },
    /// The stage is as if it had not run. It and `again`, which depend on it, wait to be run.
    Undone {
        stage: String,
        summary: String,
        again: Vec<String>,
        ms: u64,
    },
    /// Its rollback was not done: the stage stays as it is. `settled`: the server was asked, and nothing of an attempt
    /// that was killed is committed.
    UndoFailed {
        stage: String,
        failure: Failure,
        #[serde(default)]
        settled: bool,
        ms: u64,
    },
    /// A signal stopped the run; what became of what was at work, in words.
    Interrupted {
        signal: String,
        #[serde(default)]
        left: Vec<String>,
    },
    RunEnded {
        exit: Exit,
        verdict: String,
        reasons: Vec<String>,
        ms: u64,
    },
}

impl Event {
    /// The stage it is about.
    pub fn stage(&self) -> Option<&str> {
        match self {
            Event::RunStarted { .. }
            | Event::RunResumed { .. }
            | Event::TargetBound { .. }
            | Event::DoorTried { .. }
            | Event::Transaction { .. }
            | Event::Child { .. }
            | Event::RollbackBegun { .. }
            | Event::Interrupted { .. }
            | Event::RunEnded { .. } => None,
            Event::StageStarted { stage }
            | Event::AttemptStarted { stage, .. }
            | Event::Readings { stage, .. }
            | Event::Judged { stage, .. }
            | Event::Statements { stage, .. }
            | Event::Measured { stage, .. }
            | Event::Rejects { stage, .. }
            | Event::CommitIntended { stage, .. }
            | Event::CommitAborted { stage, .. }
            | Event::StageCommitted { stage, .. }
            | Event::BatchCommitted { stage, .. }
            | Event::ClearedAway { stage, .. }
            | Event::Proved { stage, .. }
            | Event::CloneDropped { stage, .. }
            | Event::CloneBegun { stage, .. }
            | Event::CloneRowsBegun { stage, .. }
            | Event::TablesCopied { stage, .. }
            | Event::CloneResumed { stage, .. }
            | Event::CloneMade { stage, .. }
            | Event::Golden { stage, .. }
            | Event::FingerprintTaken { stage, .. }
            | Event::SourceHeld { stage, .. }
            | Event::Compared { stage, .. }
            | Event::ProductionChecked { stage, .. }
            | Event::Watched { stage, .. }
            | Event::LookFailed { stage, .. }
            | Event::Rehearsed { stage, .. }
            | Event::PacketOpened { stage, .. }
            | Event::PacketSealed { stage, .. }
            | Event::RolledOut { stage, .. }
            | Event::Stalled { stage, .. }
            | Event::UndoStarted { stage, .. }
            | Event::UndoIntended { stage, .. }
            | Event::UndoCommitted { stage, .. }
            | Event::Undone { stage, .. }
            | Event::UndoFailed { stage, .. }
            | Event::StageDone { stage, .. }
            | Event::StageBlocked { stage, .. }
            | Event::StageFailed { stage, .. } => Some(stage),
        }
    }
}
