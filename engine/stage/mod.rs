//! The stage kinds, one file each. A stage cannot print, spawn, or see another stage.
//!
//! `KINDS` is the registry: a new kind is one file and one line here. A kind parses its own keys (with spans,
//! see `parse`), and answers a `Stage` that can be run within a `Cx`.

mod allow;
mod check;
mod clone;
mod commit;
mod context;
mod fingerprint;
mod jobs;
mod lacks;
pub mod packet;
mod parse;
mod readings;
mod rehearse;
mod rollout;
mod sequences;
mod source_facts;
mod sql;
mod stall;
pub mod undo;

pub use allow::Allow;
pub use commit::{is_committed, still_committed};
pub use context::{Cx, Done, Progress, Sink};
pub use fingerprint::{Looks, look};
pub use lacks::Lacks;
pub use parse::{Built, Parse, Scope, built};
pub use readings::{gates, read_probes};
pub use stall::over_readers;

use crate::event::Failure;
use crate::guard::Check;
use crate::plan::keys::Keys;
use crate::proof::Work;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How an interrupted attempt of a kind is recovered. There is no default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// One transaction with a durable intent: its outcome is asked for.
    Atomic,
    /// Reads or makes things aside: simply run again.
    Repeatable,
}

/// A kind of stage.
pub struct Kind {
    /// Its name in a plan.
    pub name: &'static str,
    /// The keys it knows, beside the envelope's.
    pub keys: &'static [&'static str],
    /// How an interrupted attempt is recovered.
    pub recovery: Recovery,
    /// Parses its keys.
    pub parse: fn(Head, Keys, &mut Parse<'_>) -> Option<Box<dyn Stage>>,
}

/// All kinds.
pub static KINDS: [&Kind; 7] =
    [&sql::KIND, &check::KIND, &clone::KIND, &fingerprint::KIND, &rehearse::KIND, &packet::KIND, &rollout::KIND];

/// What all kinds share, compiled.
#[derive(Clone, Debug)]
pub struct Head {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: &'static str,
    /// Target.
    pub on: Option<String>,
    /// Guards.
    pub guards: Vec<Check>,
    /// Bound of the whole stage.
    pub timeout: Duration,
    /// Longest wait for a lock.
    pub lock_timeout: Duration,
    /// Further tries after a serialization failure, deadlock or lock time-out.
    pub retry: u32,
    /// Findings of the linter that were looked at.
    pub allow: Vec<Allow>,
}

/// A future that a stage's run is.
pub type Running<'r> = Pin<Box<dyn Future<Output = Result<Done, Failure>> + Send + 'r>>;

/// A compiled stage.
pub trait Stage: Send + Sync + Debug {
    /// What all kinds share.
    fn head(&self) -> &Head;
    /// Runs it to its end: guards, effects, proofs. Every fact goes through `cx.record`.
    fn run<'r>(&'r self, cx: &'r Cx) -> Running<'r>;
    /// Its writing unit, if it has one.
    fn work(&self) -> Option<Arc<Work>> {
        None
    }
    /// Its ensures.
    fn ensures(&self) -> &[Check] {
        &[]
    }
    /// Predicates beside guards and ensures (`done_when`).
    fn other_checks(&self) -> &[Check] {
        &[]
    }
    /// Proofs it demands.
    fn demands(&self) -> Vec<String> {
        Vec::new()
    }
    /// What else it promises, in words that are the same as long as the promise is: beside its SQL, its checks and its bounds.
    fn promise(&self) -> String {
        String::new()
    }
    /// Probes that it reads beside those of its checks: what they ask is a part of its promise.
    fn promised_probes(&self) -> &[String] {
        &[]
    }
    /// The target that is no clone whose whole content it reads, and under which label it keeps that fingerprint.
    fn sees_whole(&self) -> Option<(&str, &'static str)> {
        None
    }
    /// Must nobody else have a session on its target meanwhile?
    fn alone_on_target(&self) -> bool {
        false
    }
    /// Does it write its target, so that no other writer may run beside it?
    fn writes_target(&self) -> bool {
        false
    }
}
