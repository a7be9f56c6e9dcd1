//! What a stage may use while it runs: the journal, the targets, readings so far. Nothing to print with.

use super::fingerprint::Looks;
use crate::event::{Event, Exit, Failure, Line, RunState};
use crate::fingerprint::Fingerprint;
use crate::journal::Journal;
use crate::probe::Query;
use crate::proof::RunSettings;
use crate::target::{RunLock, Sensitive, Targets, Tx, TxRecord};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Fields of an event by which history is folded: names of the plan and what machines made. A value that stands in a name
/// of the plan is refused when the run begins.
const STRUCTURE: [&str; 16] = [
    "database",
    "digest",
    "file",
    "file_sha256",
    "id",
    "label",
    "lock",
    "path",
    "probe",
    "proof",
    "purpose",
    "run",
    "sha256",
    "stage",
    "target",
    "type",
];

/// What a stage came to when all went well.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// One line: the readings its ensures name, what it wrote, what was proved.
    pub summary: String,
}

/// A listener to durable lines.
pub type Sink = Arc<dyn Fn(&Line) + Send + Sync>;
/// Told what a stage is doing right now: stage, text. What follows a line break in it is for a terminal only.
pub type Progress = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// The context of a run.
pub struct Cx {
    /// Run id.
    pub run: String,
    /// The plan's name.
    pub plan: String,
    /// Its one instant, RFC 3339.
    pub as_of: String,
    /// The run's folder.
    pub dir: PathBuf,
    /// Its journal.
    pub journal: Arc<Journal>,
    /// Its targets.
    pub targets: Arc<Targets>,
    /// Probes, rendered.
    pub probes: BTreeMap<String, Query>,
    /// Variables: type and text.
    pub vars: BTreeMap<String, (String, String)>,
    /// Values of sensitive variables.
    pub sensitive: Sensitive,
    /// Probes that later stages read as `STAGE.probe`, by stage.
    pub end_reads: BTreeMap<String, Vec<String>>,
    /// Files a packet carries: name below `plan/`, and bytes.
    pub inputs: BTreeMap<String, Vec<u8>>,
    /// A finished, unused clone of this plan that is in the way may be dropped.
    pub replace: bool,
    /// Listens to durable lines.
    pub sink: Sink,
    /// Told what is being done.
    pub progress: Progress,
    /// The target of each stage that has one.
    pub homes: BTreeMap<String, String>,
    /// What keeps other runs away.
    pub locks: Vec<RunLock>,
    /// Last looks at watched targets.
    pub looks: Looks,
    /// History folded so far.
    pub state: Mutex<RunState>,
}

impl Cx {
    /// Makes an event durable, folds it and shows it.
    ///
    /// # Errors
    /// The journal cannot be written: the run must stop.
    pub fn record(&self, event: Event) -> Result<(), Failure> {
        // What is folded is what happened, and what is kept has nothing sensitive in it.
        let happened = (!self.sensitive.is_empty()).then(|| event.clone());
        let line = self.journal.append(self.hidden(event))?;
        self.with_state(|state| state.apply(happened.as_ref().unwrap_or(&line.event)));
        (self.sink)(&line);
        Ok(())
    }

    /// Looks into the folded history.
    pub fn with_state<T>(&self, look: impl FnOnce(&mut RunState) -> T) -> T {
        look(&mut self.state.lock().expect("invariant: no holder of the run state panics"))
    }

    /// Demands that nobody else can have begun to work on the run's clones, and that their server is the one that it was: asked
    /// before anything is sent, and before each COMMIT.
    ///
    /// # Errors
    /// A session that holds one of its locks has ended (75).
    pub fn alone(&self) -> Result<(), Failure> {
        self.locks.iter().try_for_each(RunLock::still)
    }

    /// The same on the way forward, with what to type.
    ///
    /// # Errors
    /// As `alone`.
    pub fn alone_forward(&self) -> Result<(), Failure> {
        self.alone().map_err(|failure| {
            let again = format!("engine resume {}   takes its locks again, and asks for what is committed", self.run);
            failure.next("then", again)
        })
    }

    /// Run id and instant, as transactions are told.
    pub fn settings(&self) -> RunSettings {
        RunSettings {
            run: self.run.clone(),
            at_work: self.run.clone(),
            as_of: self.as_of.clone(),
            sensitive: self.sensitive.clone(),
        }
    }

    /// An event without the values of sensitive variables: what a server says of a statement can repeat them.
    fn hidden(&self, mut event: Event) -> Event {
        if self.sensitive.is_empty() {
            return event;
        }
        if let Event::StageFailed { failure, .. }
        | Event::StageBlocked { failure, .. }
        | Event::LookFailed { failure, .. }
        | Event::UndoFailed { failure, .. } = &mut event
        {
            // Its DETAIL is in no journal, but on a screen.
            *failure = self.hide_failure(failure.clone());
        }
        let mut value = serde_json::to_value(&event).expect("invariant: an event is JSON");
        if !self.hide_within(&mut value) {
            return event;
        }
        // A value that is a word of the format itself, such as `stage_failed`, is no secret.
        serde_json::from_value(value).unwrap_or(event)
    }

    /// A failure for a screen: without values of sensitive variables.
    #[must_use]
    pub fn hide_failure(&self, failure: Failure) -> Failure {
        if self.sensitive.is_empty() {
            return failure;
        }
        let hide = |text: String| self.sensitive.hide(&text).unwrap_or(text);
        Failure {
            what: hide(failure.what),
            facts: failure.facts.into_iter().map(hide).collect(),
            changed: failure.changed.map(hide),
            next: failure.next.into_iter().map(|(word, text)| (word, hide(text))).collect(),
            // DETAIL holds whole rows.
            detail: None,
            ..failure
        }
    }

    fn hide_within(&self, value: &mut serde_json::Value) -> bool {
        match value {
            serde_json::Value::String(text) => match self.sensitive.hide(text) {
                Some(hidden) => {
                    *text = hidden;
                    true
                }
                None => false,
            },
            serde_json::Value::Array(items) => {
                let mut any = false;
                for item in items {
                    any |= self.hide_within(item);
                }
                any
            }
            serde_json::Value::Object(keys) => {
                let mut any = false;
                for (_, item) in keys.iter_mut().filter(|(key, _)| !STRUCTURE.contains(&key.as_str())) {
                    any |= self.hide_within(item);
                }
                any
            }
            _ => false,
        }
    }

    /// Says what is being done, for the one moving line of a terminal.
    pub fn say(&self, stage: &str, text: &str) {
        (self.progress)(stage, self.sensitive.hide(text).as_deref().unwrap_or(text));
    }

    /// Ends a read-only transaction; on a target that is no clone its record goes into the journal.
    ///
    /// # Errors
    /// It was not what it had to be (exit 45), or the journal cannot be written.
    pub async fn finish(&self, tx: Tx) -> Result<TxRecord, Failure> {
        let target = tx.target().to_owned();
        let record = tx.finish().await?;
        if !self.targets.is_clone(&target) && self.targets.plain.contains_key(&target) {
            self.record(Event::Transaction { record: record.clone() })?;
        }
        Ok(record)
    }

    /// Stores a fingerprint in the run's folder and says so in the journal.
    ///
    /// # Errors
    /// The disk did not take it.
    pub fn keep_fingerprint(
        &self,
        stage: &str,
        target: &str,
        label: &str,
        print: &Fingerprint,
        ms: u64,
    ) -> Result<(), Failure> {
        let file = format!("fingerprints/{stage}.{label}.json");
        let bytes = serde_json::to_vec_pretty(print).expect("invariant: a fingerprint is JSON");
        self.journal.place().keep(&file, &bytes)?;
        self.record(Event::FingerprintTaken {
            stage: stage.to_owned(),
            target: target.to_owned(),
            label: label.to_owned(),
            level: format!("{:?}", print.level).to_lowercase(),
            digest: print.digest.clone(),
            file,
            file_sha256: crate::digest::hex(&bytes),
            tables: print.tables.len() as u64,
            rows: print.rows(),
            bytes: print.bytes(),
            excluded: print.excluded.clone(),
            ms,
        })
    }

    /// A fingerprint that an earlier stage of this run stored.
    ///
    /// # Errors
    /// It is not there, or its bytes are not those of the journal (exit 62).
    pub fn stored_fingerprint(&self, stage: &str, label: &str) -> Result<Fingerprint, Failure> {
        let known = self.with_state(|state| {
            state
                .stage(stage)
                .fingerprints
                .iter()
                .rev()
                .find(|(l, _, _)| l == label)
                .map(|(_, f, s)| (f.clone(), s.clone()))
        });
        let (file, sha256) = known.ok_or_else(|| {
            Failure::new(Exit::StageFailed, format!("stage `{stage}` took no fingerprint `{label}` in this run"))
        })?;
        let path = self.dir.join(&file);
        let bytes = std::fs::read(&path)
            .map_err(|e| Failure::new(Exit::Io, format!("{} cannot be read: {e}", path.display())))?;
        if crate::digest::hex(&bytes) != sha256 {
            return Err(Failure::new(Exit::InputsChanged, format!("{} is not what the journal says", path.display())));
        }
        serde_json::from_slice(&bytes)
            .map_err(|e| Failure::new(Exit::Io, format!("{} is no fingerprint: {e}", path.display())))
    }
}
