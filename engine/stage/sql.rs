//! `sql`: renders a template and runs it on a clone in one transaction, with bounds, ensures, rejects and proofs.

mod alone;
mod batch;
pub(super) mod half_done;
mod keys;
mod known;
mod prove;

use super::check::refused_words;
use super::commit::Way;
use super::{Cx, Done, Head, Kind, Recovery, Running, Stage, commit, readings, sequences, stall};
use crate::event::{Event, Exit, Failure, Moment, Reading, Role, SequenceMove, Status, TableWrite};
use crate::guard::{Check, Values};
use crate::proof::{Work, bounds, forward, measure, reject, reversible};
use crate::target::{Live, RETRYABLE, WriteTx};
use futures_util::future::try_join;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The kind.
pub static KIND: Kind = Kind {
    name: "sql",
    keys: &[
        "file",
        "rollback",
        "no_rollback",
        "writes",
        "alters",
        "ensure",
        "reject",
        "prove",
        "monotonic",
        "batch",
        "transaction",
        "done_when",
        "ignore",
        "allow",
    ],
    recovery: Recovery::Atomic,
    parse: keys::parse,
};

#[derive(Debug)]
struct SqlStage {
    head: Head,
    work: Arc<Work>,
    ensures: Vec<Check>,
    done_when: Option<Check>,
    /// No more batches are needed.
    until: Option<Check>,
    /// `done_when` and `until`.
    others: Vec<Check>,
    rejects: Vec<reject::Reject>,
    idempotent: bool,
    reversible: bool,
    monotonic: Vec<String>,
    /// Independent writers may be at work on the target.
    parallel: bool,
    on: String,
}

impl Stage for SqlStage {
    fn head(&self) -> &Head {
        &self.head
    }

    fn work(&self) -> Option<Arc<Work>> {
        Some(Arc::clone(&self.work))
    }

    fn ensures(&self) -> &[Check] {
        &self.ensures
    }

    fn other_checks(&self) -> &[Check] {
        &self.others
    }

    fn demands(&self) -> Vec<String> {
        let mut demands: Vec<String> = Vec::new();
        demands.extend(self.idempotent.then(|| "idempotent".to_owned()));
        demands.extend(self.reversible.then(|| "reversible".to_owned()));
        demands.extend((!self.rejects.is_empty()).then(|| "reject".to_owned()));
        demands.extend((!self.monotonic.is_empty()).then(|| "monotonic".to_owned()));
        demands
    }

    fn promise(&self) -> String {
        reject::promise(&self.rejects)
    }

    fn promised_probes(&self) -> &[String] {
        &self.monotonic
    }

    fn writes_target(&self) -> bool {
        true
    }

    fn run<'r>(&'r self, cx: &'r Cx) -> Running<'r> {
        Box::pin(self.go(cx))
    }
}

/// What one committed attempt leaves for the proofs and the closing line.
#[derive(Default)]
struct Attempt {
    words: Vec<String>,
    /// `done_when` was true.
    already: bool,
    /// Sequences the template moved.
    template_moves: Vec<SequenceMove>,
    /// Sequences the rejects moved on top; put back after COMMIT.
    reject_moves: Vec<SequenceMove>,
}

impl SqlStage {
    async fn go(&self, cx: &Cx) -> Result<Done, Failure> {
        let live = cx.targets.clone_target(&self.on)?.live()?.apart();
        stall::over(cx, &self.head.name, &live.writer, Box::pin(self.work_on(cx, &live))).await
    }

    async fn work_on(&self, cx: &Cx, live: &Live) -> Result<Done, Failure> {
        let name = self.head.name.as_str();
        let attempt = match &self.work.batch {
            Some(batch) => self.in_batches(cx, live, batch).await?,
            None => self.in_one(cx, live).await?,
        };
        if !self.parallel {
            sequences::put_back(cx, &self.on, &attempt.reject_moves).await?;
        }
        if self.work.batch.is_some() {
            // Where they were found says nothing of the stage as a whole.
            sequences::forget(cx, &found_file(name))?;
        }
        let mut words = attempt.words;
        if attempt.already {
            // Nothing was sent, so nothing can be repeated: its proofs are NOT RUN, and the verdict says so.
            readings::at_end(cx, &self.head, &BTreeMap::new()).await?;
            return Ok(Done { summary: words.join(" · ") });
        }
        words.extend(self.prove(cx, live, &attempt.template_moves).await?);
        let known = cx.with_state(|state| state.stage(name).after);
        readings::at_end(cx, &self.head, &by_name(&known)).await?;
        Ok(Done { summary: words.join(" · ") })
    }

    /// The one transaction: that which history says committed, or a new one.
    async fn in_one(&self, cx: &Cx, live: &Live) -> Result<Attempt, Failure> {
        let name = self.head.name.as_str();
        let known = cx.with_state(|state| state.stage(name));
        let committed = match known.status {
            Status::Committed => true,
            _ if known.committed => true,
            _ if known.attempts > 0 => commit::recover(cx, name, &live.writer, &known).await?,
            _ => false,
        };
        if committed {
            return self.remembered(cx, live).await;
        }
        // A process that died within an attempt could not put its sequences back.
        self.undo_sequences(cx).await?;
        self.attempts(cx, live, known.attempts).await
    }

    /// The attempt that history says committed.
    ///
    /// What rejects or a proof of the process that died moved is put back to where the template left it.
    async fn remembered(&self, cx: &Cx, live: &Live) -> Result<Attempt, Failure> {
        let state = cx.with_state(|state| state.stage(&self.head.name));
        let readings = (&by_name(&state.before), &by_name(&state.after));
        let batches = self.work.batch.is_some().then_some(state.batches);
        let mut words = self.words(readings, (&state.writes, batches), state.altered.len());
        words.push("committed before".to_owned());
        let left = sequences::kept(cx, &sequences_file(&self.head.name), &state.sequences)?;
        let reject_moves = self.own(cx, sequences::moved_since(&live.reader, &left).await?);
        Ok(Attempt { words, already: false, template_moves: state.sequences, reject_moves })
    }

    /// What a committed attempt did, for its closing line.
    fn words(
        &self,
        (before, after): (&BTreeMap<String, Reading>, &BTreeMap<String, Reading>),
        (writes, batches): (&[TableWrite], Option<u32>),
        altered: usize,
    ) -> Vec<String> {
        let mut words = readings::shown(&self.ensures, before, after);
        let plural = if batches == Some(1) { "" } else { "es" };
        let within = batches.map_or(String::new(), |batches| format!(" in {batches} batch{plural}"));
        words.push(format!("{}{within}", wrote_words(writes)));
        words.extend(altered_words(altered));
        words
    }

    async fn attempts(&self, cx: &Cx, live: &Live, before: u32) -> Result<Attempt, Failure> {
        let mut attempt = before;
        loop {
            attempt += 1;
            let outcome = match self.attempt(cx, live, attempt).await {
                Err(failure) if !self.not_known(cx, &failure) => Err(match self.undo_sequences(cx).await {
                    Ok(()) => failure,
                    // The clone went away under the stage, or is another one by now.
                    Err(gone) if gone.exit == Exit::WrongDatabase => gone.fact(failure.what),
                    // No further attempt: it would take where they stand now for where they stood.
                    Err(also) => {
                        return Err(failure.fact(format!("its sequences are put back by a resume: {}", also.what)));
                    }
                }),
                outcome => outcome,
            };
            match outcome {
                Err(failure)
                    if attempt - before <= self.head.retry
                        && failure.sqlstate.as_deref().is_some_and(|code| RETRYABLE.contains(&code)) =>
                {
                    cx.say(&self.head.name, &format!("attempt {attempt} ended with {}; trying again", failure.what));
                }
                outcome => return outcome,
            }
        }
    }

    /// Nobody knows whether it is committed, or it is and the journal could not be told: its sequences stay as they are, and
    /// the resume that finds out puts them back.
    fn not_known(&self, cx: &Cx, failure: &Failure) -> bool {
        let intended = || cx.with_state(|state| state.stage(&self.head.name).intent.is_some());
        failure.exit == Exit::Stuck || commit::waits_for_standby(failure) || failure.exit == Exit::Io && intended()
    }

    /// Other writers at work on the target move sequences of their own, which must not be taken for ours.
    async fn undo_sequences(&self, cx: &Cx) -> Result<(), Failure> {
        if self.parallel || !cx.dir.join(found_file(&self.head.name)).exists() {
            return Ok(());
        }
        let live = cx.targets.clone_target(&self.on)?.live()?;
        let way = if self.work.batch.is_some() { Way::Batch(0) } else { Way::Forward };
        commit::let_go(way, cx, &self.head.name, &live.writer).await?;
        sequences::undo(cx, &self.on, &found_file(&self.head.name), |moves| self.own(cx, moves)).await
    }

    /// Moves since this stage's last attempt that can be its own: those of sequences that no other stage has drawn from
    /// meanwhile. One that was done before the attempt began draws no more.
    fn own(&self, cx: &Cx, moves: Vec<SequenceMove>) -> Vec<SequenceMove> {
        if self.parallel {
            return Vec::new();
        }
        sequences::own(cx, &self.head.name, moves)
    }

    async fn attempt(&self, cx: &Cx, live: &Live, number: u32) -> Result<Attempt, Failure> {
        let foreign = self.foreign(cx).await?;
        let tx = live.writer.session(&format!("stage `{}`", self.head.name)).await?;
        cx.record(Event::AttemptStarted {
            stage: self.head.name.clone(),
            attempt: number,
            backend_pid: tx.backend_pid,
            backend_start: tx.backend_start.clone(),
        })?;
        match self.within(cx, &tx, foreign).await {
            Ok(Some(attempt)) => {
                commit::commit(cx, &self.head.name, &live.writer, tx).await?;
                Ok(attempt)
            }
            Ok(None) => {
                tx.rollback().await;
                let words = vec!["already done, nothing was sent".to_owned()];
                Ok(Attempt { words, already: true, ..Attempt::default() })
            }
            Err(failure) => {
                tx.rollback().await;
                Err(failure.changed(format!(
                    "rolled back: the clone is as before `{}`; production was only read",
                    self.head.name
                )))
            }
        }
    }

    /// Readings of other targets, just before the transaction.
    async fn foreign(&self, cx: &Cx) -> Result<BTreeMap<String, Reading>, Failure> {
        let (now, before) = readings::wanted(self.checks());
        let others: BTreeSet<String> = now
            .union(&before)
            .filter(|name| cx.probes.get(*name).is_some_and(|q| q.target != self.on))
            .cloned()
            .collect();
        readings::read_probes(cx, &others, None).await
    }

    fn checks(&self) -> impl Iterator<Item = &Check> {
        self.head.guards.iter().chain(&self.ensures).chain(&self.others)
    }

    /// Everything between BEGIN and COMMIT. `None`: `done_when` is true.
    async fn within(
        &self,
        cx: &Cx,
        tx: &WriteTx,
        foreign: BTreeMap<String, Reading>,
    ) -> Result<Option<Attempt>, Failure> {
        let name = self.head.name.as_str();
        let owner = format!("stage `{name}`");
        tx.begin(self.head.timeout, self.head.lock_timeout).await?;
        let settings = cx.settings();
        try_join(commit::stage_lock(tx, &self.on, self.parallel, name), forward::settle(tx, &settings)).await?;

        let before = self.readings(cx, tx, &foreign, Moment::Before).await?;
        let mut values = Values { now: before.clone(), before: before.clone(), ..readings::values(cx) };
        if let Some(done_when) = &self.done_when {
            let judged = crate::guard::judge(tx, std::slice::from_ref(done_when), &values).await?;
            let done = crate::guard::decided(Role::DoneWhen, &owner, &judged);
            cx.record(Event::Judged { stage: name.to_owned(), role: Role::DoneWhen, judgements: judged })?;
            if done? {
                return Ok(None);
            }
        }
        readings::demand(cx, tx, (name, &owner, Role::Guard), &self.head.guards, &values).await?;

        let with_objects = !self.work.alters.is_empty();
        let (start, opening) = if self.reversible {
            // Its state is read in between, and that takes locks.
            (measure::before(tx, with_objects).await?, None)
        } else {
            let (start, opening) = forward::start(tx, with_objects).await?;
            (start, Some(opening))
        };
        let resolved = bounds::resolve(tx, &self.work).await?;
        if self.reversible {
            let known = known::prints(cx, tx, self, &resolved.tables()).await?;
            let a = reversible::state(tx, &self.work, &resolved.tables(), known).await?;
            let bytes = serde_json::to_vec(&a).expect("invariant: a state is JSON");
            cx.journal.place().keep(&state_file(name), &bytes)?;
        }
        sequences::keep(cx, &found_file(name), &sequences::stand(start.sequences.as_deref().unwrap_or_default()))?;
        cx.say(name, "running its SQL");
        let ran = forward::run(tx, &self.work.forward, &start, opening).await?;
        let writes = resolved.writes(&ran.delta);
        let statements = ran.statements.clone();
        cx.record(Event::Statements { stage: name.to_owned(), purpose: "forward".into(), statements })?;
        cx.record(ran.measured(name, "forward", writes.clone()))?;
        crate::proof::hold(tx, &resolved, name, &ran).await?;
        let delta = ran.delta;
        sequences::keep(cx, &sequences_file(name), &sequences::stand(&delta.stand))?;

        // Readings of other targets anew, too: an ensure speaks of now.
        let foreign = self.foreign(cx).await?;
        values.now = self.readings(cx, tx, &foreign, Moment::After).await?;
        values.wrote = resolved.wrote(&delta);
        readings::demand(cx, tx, (name, &owner, Role::Ensure), &self.ensures, &values).await?;
        let mut words = self.words((&before, &values.now), (&writes, None), delta.objects.len());
        let reject_moves = self.reject(cx, tx, &mut words).await?;
        Ok(Some(Attempt { words, already: false, template_moves: delta.sequences, reject_moves }))
    }

    async fn readings(
        &self,
        cx: &Cx,
        tx: &WriteTx,
        foreign: &BTreeMap<String, Reading>,
        moment: Moment,
    ) -> Result<BTreeMap<String, Reading>, Failure> {
        let (now, before) = match moment {
            Moment::Before => readings::wanted(self.checks()),
            _ => readings::wanted(&self.ensures),
        };
        let mut names: BTreeSet<String> = now.union(&before).cloned().collect();
        names.extend(cx.end_reads.get(&self.head.name).into_iter().flatten().cloned());
        names.extend(self.monotonic.iter().cloned());
        let own: BTreeSet<String> =
            names.iter().filter(|n| cx.probes.get(*n).is_some_and(|q| q.target == self.on)).cloned().collect();
        let mut readings = readings::read_probes(cx, &own, Some((&self.on, tx))).await?;
        readings.extend(foreign.iter().map(|(k, v)| (k.clone(), v.clone())));
        readings::keep(cx, &self.head.name, moment, &readings)?;
        Ok(readings)
    }

    /// Runs the rejects in the open transaction; answers the sequences they moved.
    async fn reject(&self, cx: &Cx, tx: &WriteTx, words: &mut Vec<String>) -> Result<Vec<SequenceMove>, Failure> {
        if self.rejects.is_empty() {
            return Ok(Vec::new());
        }
        let before = crate::fingerprint::sequences(tx).await?;
        let results = reject::run(tx, &self.rejects).await?;
        let moves = measure::moved(&before, &crate::fingerprint::sequences(tx).await?);
        let broken = reject::failure(&self.head.name, &results);
        words.insert(0, refused_words(&results));
        cx.record(Event::Rejects { stage: self.head.name.clone(), results })?;
        broken.map_or(Ok(moves), Err)
    }
}

/// What the stage itself wrote aside before its COMMIT.
pub(super) fn stored<T: serde::de::DeserializeOwned>(cx: &Cx, file: &str) -> Result<T, Failure> {
    let path = cx.dir.join(file);
    let lost = |e: String| Failure::new(Exit::Io, format!("{}, written before COMMIT, is lost: {e}", path.display()));
    let bytes = std::fs::read(&path).map_err(|e| lost(e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|e| lost(e.to_string()))
}

/// Sequences as an attempt found them; gone once they are back.
pub(super) fn found_file(stage: &str) -> String {
    format!("fingerprints/{stage}.found.json")
}

/// Sequences as the template left them.
fn sequences_file(stage: &str) -> String {
    format!("fingerprints/{stage}.sequences.json")
}

fn state_file(stage: &str) -> String {
    format!("fingerprints/{stage}.before.json")
}

fn by_name(readings: &[Reading]) -> BTreeMap<String, Reading> {
    readings.iter().map(|r| (r.probe.clone(), r.clone())).collect()
}

/// `altered 2 objects`, if it did.
fn altered_words(altered: usize) -> Option<String> {
    (altered > 0).then(|| format!("altered {altered} object{}", if altered == 1 { "" } else { "s" }))
}

/// `wrote 30 of 30`.
pub(super) fn wrote_words(writes: &[TableWrite]) -> String {
    let total: u64 = writes.iter().map(TableWrite::total).sum();
    let bounds: Option<u64> = writes.iter().map(|w| w.bound.as_ref()?.parse::<u64>().ok()).sum();
    match (total, bounds) {
        (0, Some(0)) => "wrote nothing".to_owned(),
        (_, Some(most)) => format!("wrote {total} of {most}"),
        (_, None) => format!("wrote {total}"),
    }
}
