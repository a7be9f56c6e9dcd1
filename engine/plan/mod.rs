//! The plan: what the TOML file says, checked as far as one can without knowing the stage kinds.
//!
//! `load` reads a file in two passes: `toml`'s tables with spans first, then our own typed walk over
//! them (`keys`), which collects every problem instead of stopping at the first. The envelope that all
//! stages share is parsed here; what belongs to a kind stays in `Stage::body` with its spans, and
//! `compile` hands it to the registry. `graph` holds the DAG. Nothing here renders or connects.
//!
//! Start in `load`; `rules` holds what is checked, one file a table of the plan.

pub mod format;
pub mod graph;
pub mod keys;
mod load;
#[cfg(test)]
mod load_tests;
mod rules;
mod secret;
mod stray;
mod tree;
mod value;

pub use load::{SHOWN, cap, load, parse};

use crate::diag::{Place, Source};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot<T> {
    /// The value.
    pub value: T,
    /// Its bytes in the plan. For a one-line string the span is the text inside the quotes.
    pub place: Place,
}

impl Spot<String> {
    /// The place of the text's bytes `inner`; the whole value when it holds escapes and cannot be mapped.
    pub fn within(&self, inner: std::ops::Range<usize>) -> Place {
        if self.place.span.len() == self.value.len() { self.place.within(inner) } else { self.place.clone() }
    }
}

/// A plan file, typed; names resolved, DAG acyclic.
#[derive(Debug)]
pub struct Plan {
    /// The file's text.
    pub source: Arc<Source>,
    /// `[plan] name`, by default the file's stem.
    pub name: String,
    /// `[plan] doc`.
    pub doc: Option<String>,
    /// `[plan] search_path`, without `pg_temp`, which is always added last. Default `public`.
    pub search_path: String,
    /// `[var.NAME]`, in file order.
    pub vars: Vec<Var>,
    /// `[target.NAME]`, in file order.
    pub targets: Vec<Target>,
    /// `[probe.NAME]`, in file order.
    pub probes: Vec<Probe>,
    /// `[defaults]`, or what holds without them.
    pub defaults: Defaults,
    /// `[stage.NAME]`, in file order.
    pub stages: Vec<Stage>,
    /// The DAG over `stages` (indices into it).
    pub graph: graph::Graph,
    /// Names to indices, built by `load`.
    index: Index,
}

/// Where the tables of each kind stand in their lists, by name.
#[derive(Debug, Default)]
struct Index {
    vars: HashMap<String, usize>,
    targets: HashMap<String, usize>,
    probes: HashMap<String, usize>,
    stages: HashMap<String, usize>,
}

impl Plan {
    /// A stage and its index.
    pub fn stage(&self, name: &str) -> Option<(usize, &Stage)> {
        let at = *self.index.stages.get(name)?;
        Some((at, self.stages.get(at)?))
    }

    /// A target.
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.get(*self.index.targets.get(name)?)
    }

    /// A probe.
    pub fn probe(&self, name: &str) -> Option<&Probe> {
        self.probes.get(*self.index.probes.get(name)?)
    }

    /// A variable.
    pub fn var(&self, name: &str) -> Option<&Var> {
        self.vars.get(*self.index.vars.get(name)?)
    }

    /// Indexes of the stages that a packet carries, in the order in which it runs them: by needs, else that of the file.
    pub fn carried(&self, packet: &Stage) -> Vec<usize> {
        let of: HashSet<String> = packet.of().into_iter().collect();
        self.graph.order().iter().filter(|at| of.contains(&self.stages[**at].name.value)).copied().collect()
    }
}

/// A typed variable.
#[derive(Clone, Debug)]
pub struct Var {
    /// Name.
    pub name: Spot<String>,
    /// What it may hold.
    pub kind: VarKind,
    /// Value when none is given; already checked against `kind` and bounds.
    pub default: Option<Spot<Value>>,
    /// What it means.
    pub doc: Option<String>,
    /// `min` and `max` of an `int`.
    pub bounds: (Option<i64>, Option<i64>),
    /// Its value is where the text says, and is never rendered, journaled or sealed.
    pub sensitive: bool,
}

/// The type of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VarKind {
    /// A 64 bit integer.
    Int,
    /// Any text without NUL.
    Text,
    /// `true` or `false`.
    Bool,
    /// An SQL identifier: not empty, at most 63 bytes, no NUL.
    Ident,
    /// RFC 3339 timestamp.
    Timestamp,
    /// A duration such as `10m`.
    Duration,
    /// A packet: its id (or a unique prefix) or its folder.
    Packet,
    /// One of these texts.
    Enum(Vec<String>),
}

/// The value of a variable, or of a `permit`/`with` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Integer.
    Int(i64),
    /// Boolean.
    Bool(bool),
    /// Everything else, as text.
    Text(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Int(i) => write!(f, "{i}"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Text(t) => f.write_str(t),
        }
    }
}

/// Where a connection string comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlRef {
    /// `env:NAME`.
    Env(String),
    /// `file:PATH`, which must have mode 0600.
    File(String),
}

impl UrlRef {
    /// `env:NAME` or `file:PATH`; `None`: neither, or it names nothing.
    pub fn parse(text: &str) -> Option<UrlRef> {
        match text.split_once(':') {
            Some(("env", variable)) if is_variable(variable) => Some(UrlRef::Env(variable.to_owned())),
            Some(("file", path)) if !path.trim().is_empty() && !path.contains('\0') => {
                Some(UrlRef::File(path.to_owned()))
            }
            _ => None,
        }
    }
}

/// Can an environment variable be called so?
fn is_variable(word: &str) -> bool {
    let head = word.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    head && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What a target may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read-only sessions only.
    Read,
    /// May be written (a clone by its stages, anything else by a rollout).
    Write,
}

/// What a change of a read target by others means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Reported, with the tables; the run goes on.
    Attributed,
    /// Fails the run (exit 46).
    Strict,
}

/// What residual powers of the reader role mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderPolicy {
    /// A role that could write is refused.
    Confined,
    /// It is said, and the run goes on.
    Attested,
}

/// How a target is reached where TLS is possible: anywhere but over a local socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Encrypted, the certificate and the name in it checked; also on this machine.
    VerifyFull,
    /// Encrypted, with whom nobody checks.
    Unverified,
    /// As plain text, over a network too.
    Plain,
}

impl Tls {
    /// As a plan writes it.
    pub fn text(self) -> &'static str {
        match self {
            Tls::VerifyFull => "verify-full",
            Tls::Unverified => "unverified",
            Tls::Plain => "plain",
        }
    }
}

/// A named database.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name.
    pub name: Spot<String>,
    /// Who reads it or, for a clone, who runs the stages.
    pub url: Spot<UrlRef>,
    /// For a clone: who creates, loads, copies and drops it.
    pub maker_url: Option<Spot<UrlRef>>,
    /// `None`: verified over a network, without TLS on this machine.
    pub tls: Option<Tls>,
    /// Read or write; a clone is always `Write`.
    pub access: Access,
    /// The target it is a clone of.
    pub clone_of: Option<Spot<String>>,
    /// The clone's database name, a template over variables and `run.date`.
    pub database: Option<Spot<String>>,
    /// How long the clone may live.
    pub expires: Option<Duration>,
    /// The database that keeps a copy of the clone as it was made, for later runs to branch from.
    pub golden: Option<Spot<String>>,
    /// What must hold before anything is written there.
    pub gates: Vec<NamedText>,
    /// Tables no stage may write or alter, here and on every clone.
    pub never: Vec<Spot<String>>,
    /// See `Policy`.
    pub policy: Policy,
    /// See `ReaderPolicy`.
    pub reader: ReaderPolicy,
    /// Independent writing stages may run at the same time.
    pub parallel: bool,
    /// It is looked at after every stage: has anybody changed it?
    pub watch: bool,
}

/// `guard.NAME = "..."`, `ensure.NAME = "..."`, `gate.NAME = "..."`.
#[derive(Clone, Debug)]
pub struct NamedText {
    /// Name.
    pub name: Spot<String>,
    /// The predicate's text.
    pub text: Spot<String>,
}

/// A named read-only query for one value.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Name.
    pub name: Spot<String>,
    /// Target it reads.
    pub on: Spot<String>,
    /// What it means.
    pub doc: Option<String>,
    /// The query, a template.
    pub sql: Spot<String>,
}

/// What a stage gets that says nothing itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Bound of a whole stage.
    pub timeout: Duration,
    /// Longest wait for a lock.
    pub lock_timeout: Duration,
    /// Further tries.
    pub retry: u32,
}

/// One stage: the envelope all kinds share, and the rest.
#[derive(Debug)]
pub struct Stage {
    /// Name.
    pub name: Spot<String>,
    /// Kind; `sql` when not written.
    pub kind: Spot<String>,
    /// One line for people.
    pub doc: Option<String>,
    /// Target; kinds say whether they want one.
    pub on: Option<Spot<String>>,
    /// Stages that must succeed first.
    pub needs: Vec<Spot<String>>,
    /// Guards; empty only with `no_guard`.
    pub guards: Vec<NamedText>,
    /// Why there is nothing to check.
    pub no_guard: Option<Spot<String>>,
    /// Bound of the whole stage. Default from `[defaults]`, else 10 minutes.
    pub timeout: Duration,
    /// Longest wait for a lock. Default from `[defaults]`, else 2 seconds.
    pub lock_timeout: Duration,
    /// Further tries after 40001, 40P01 or 55P03. Default 0.
    pub retry: u32,
    /// The keys of its kind, not yet looked at.
    pub body: keys::Keys,
}

impl Stage {
    /// What a key of its kind says.
    pub fn leaf(&self, key: &str) -> Option<keys::LeafValue> {
        self.body.leaves().into_iter().find(|leaf| leaf.path == [key]).map(|leaf| leaf.value)
    }

    /// Of a packet: names of the stages that it carries, as they are listed.
    pub fn of(&self) -> Vec<String> {
        match self.leaf("of") {
            Some(keys::LeafValue::List(stages)) => stages,
            _ => Vec::new(),
        }
    }
}
