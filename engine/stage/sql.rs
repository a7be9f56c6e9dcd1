//! `sql`: renders a template and runs it on a clone in one transaction, with bounds, ensures, rejects and proofs.

use super::check::refused_words;
use super::{Cx, Done, Head, Kind, Parse, Recovery, Running, Stage, commit, readings};
use crate::clock::Stopwatch;
use crate::diag::Diagnostic;
use crate::event::{Event, Exit, Failure, Moment, Reading, Role, SequenceMove, Status};
use crate::guard::{Check, Values};
use crate::journal::store;
use crate::plan::keys::Keys;
use crate::proof::{Work, bounds, forward, idempotent, measure, reject, reversible};
use crate::target::{Live, RETRYABLE, WriteTx};
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
    ],
    recovery: Recovery::Atomic,
    parse,
};

#[derive(Debug)]
struct SqlStage {
    head: Head,
    work: Arc<Work>,
    ensures: Vec<Check>,
    done_when: Option<Check>,
    rejects: Vec<reject::Reject>,
    idempotent: bool,
    reversible: bool,
    monotonic: Vec<String>,
    on: String,
}

fn parse(head: Head, mut keys: Keys, cx: &mut Parse<'_>) -> Option<Box<dyn Stage>> {
    let target = cx.needs_clone(&head)?;
    cx.not_yet(&mut keys, "batch", "write one transaction bounded by `writes`, or several stages");
    cx.not_yet(&mut keys, "transaction", "statements that cannot run in a transaction have their own issue");
    let place = cx.plan_stage().name.place.clone();
    let file = keys.text("file", cx.out);
    let rollback = keys.text("rollback", cx.out);
    let no_rollback = keys.text("no_rollback", cx.out);
    if file.is_none() {
        cx.out.push(
            Diagnostic::new("stage-without-file", format!("stage `{}` has no `file`", head.name), place.clone())
                .label("no SQL")
                .help("write `file = \"PLAN/STAGE.sql\"`, a path under templates/"),
        );
    }
    if rollback.is_some() == no_rollback.is_some() {
        cx.out.push(
            Diagnostic::new(
                "stage-without-rollback",
                format!("stage `{}` needs either `rollback` or `no_rollback`", head.name),
                place.clone(),
            )
            .label("how is it taken back?")
            .help("write `rollback = \"PLAN/STAGE.rollback.sql\"`, or say in `no_rollback` why there is none"),
        );
    }
    let none = BTreeMap::new();
    let forward = file.and_then(|path| cx.script(&path, &format!("{}.sql", head.name), &none));
    let has_rollback = rollback.is_some();
    let rollback = rollback.and_then(|path| cx.script(&path, &format!("{}.rollback.sql", head.name), &none));
    let writes = cx.writes(&mut keys);
    let alters = keys.texts("alters", cx.out).unwrap_or_default();
    for (named, spot) in writes.iter().map(|b| (&b.table, &place)).chain(alters.iter().map(|a| (&a.value, &a.place))) {
        never(cx, &target, named, spot);
    }
    let ensures = cx.ensures(&mut keys, &writes);
    let done_when = cx.done_when(&mut keys);
    let rejects = cx.rejects(&mut keys, &target.name.value);
    let (idempotent, reversible) = proofs(cx, &mut keys, has_rollback);
    let monotonic = monotonic(cx, &mut keys);
    let ignore = ignore(cx, &mut keys);
    keys.finish(&cx.known(&KIND), cx.out);
    let source_never = target.clone_of.as_ref().and_then(|source| cx.plan.target(&source.value));
    let never =
        target.never.iter().chain(source_never.into_iter().flat_map(|t| &t.never)).map(|n| n.value.clone()).collect();
    let work = Work {
        stage: head.name.clone(),
        forward: forward?,
        rollback,
        writes,
        alters: alters.into_iter().map(|a| a.value).collect(),
        ignore,
        never,
        timeout: head.timeout,
        lock_timeout: head.lock_timeout,
    };
    let on = target.name.value.clone();
    let work = Arc::new(work);
    Some(Box::new(SqlStage { head, work, ensures, done_when, rejects, idempotent, reversible, monotonic, on }))
}

fn never(cx: &mut Parse<'_>, target: &crate::plan::Target, table: &str, place: &crate::diag::Place) {
    let source = target.clone_of.as_ref().and_then(|source| cx.plan.target(&source.value));
    let bare = |name: &str| name.strip_prefix("public.").unwrap_or(name).to_owned();
    let hit =
        target.never.iter().chain(source.into_iter().flat_map(|t| &t.never)).find(|n| bare(&n.value) == bare(table));
    if let Some(hit) = hit {
        cx.out.push(
            Diagnostic::new(
                "never-written",
                format!("`{table}` is never written, and this stage declares it"),
                place.clone(),
            )
            .label("declared here")
            .related(hit.place.clone(), "never, says the target")
            .help("remove the table from `writes` or `alters`; removing it from `never` is the highest risk there is"),
        );
    }
}

fn proofs(cx: &mut Parse<'_>, keys: &mut Keys, has_rollback: bool) -> (bool, bool) {
    let (mut idempotent, mut reversible) = (false, false);
    for proof in keys.texts("prove", cx.out).unwrap_or_default() {
        match proof.value.as_str() {
            "idempotent" => idempotent = true,
            "reversible" if has_rollback => reversible = true,
            "reversible" => cx.out.push(
                Diagnostic::new("proof-without-rollback", "`reversible` needs a `rollback`", proof.place)
                    .label("nothing to go back with")
                    .help("add `rollback`, or remove the proof"),
            ),
            other => cx.out.push(
                Diagnostic::new("unknown-proof", format!("there is no proof `{other}`"), proof.place)
                    .label("not a proof")
                    .help("proofs are `idempotent` and `reversible`"),
            ),
        }
    }
    (idempotent, reversible)
}

fn monotonic(cx: &mut Parse<'_>, keys: &mut Keys) -> Vec<String> {
    let mut names = Vec::new();
    for name in keys.texts("monotonic", cx.out).unwrap_or_default() {
        if cx.plan.probe(&name.value).is_some() {
            names.push(name.value);
        } else {
            cx.out.push(
                Diagnostic::new("unknown-name", format!("there is no probe `{}`", name.value), name.place)
                    .label("not a probe")
                    .help("`monotonic` lists probes whose reading never falls"),
            );
        }
    }
    names
}

fn ignore(cx: &mut Parse<'_>, keys: &mut Keys) -> Vec<(String, String)> {
    let mut columns = Vec::new();
    for entry in keys.texts("ignore", cx.out).unwrap_or_default() {
        match entry.value.rsplit_once('.') {
            Some((table, column)) if !table.is_empty() && !column.is_empty() => {
                let table = if table.contains('.') { table.to_owned() } else { format!("public.{table}") };
                columns.push((table, column.to_owned()));
            }
            _ => cx.out.push(
                Diagnostic::new("ignore-form", format!("`{}` is no column", entry.value), entry.place)
                    .label("here")
                    .help("write \"table.column\" or \"schema.table.column\""),
            ),
        }
    }
    columns
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
        self.done_when.as_slice()
    }

    fn demands(&self) -> Vec<String> {
        let mut demands: Vec<String> = Vec::new();
        demands.extend(self.idempotent.then(|| "idempotent".to_owned()));
        demands.extend(self.reversible.then(|| "reversible".to_owned()));
        demands.extend((!self.rejects.is_empty()).then(|| "reject".to_owned()));
        demands.extend((!self.monotonic.is_empty()).then(|| "monotonic".to_owned()));
        demands
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
    /// Sequences the template moved.
    template_moves: Vec<SequenceMove>,
    /// Sequences the rejects moved on top; put back after COMMIT.
    reject_moves: Vec<SequenceMove>,
}

impl SqlStage {
    async fn go(&self, cx: &Cx) -> Result<Done, Failure> {
        let live = cx.targets.clone_target(&self.on)?.live()?;
        let name = self.head.name.as_str();
        let known = cx.with_state(|state| state.stage(name));
        let committed = match known.status {
            Status::Committed => true,
            _ if known.attempts > 0 => commit::recover(cx, name, &live.writer, &known).await?,
            _ => false,
        };
        let attempt = if committed { self.remembered(cx) } else { self.attempts(cx, &live, known.attempts).await? };
        self.put_back(cx, &attempt.reject_moves).await?;
        let mut words = attempt.words;
        words.extend(self.prove(cx, &live, &attempt.template_moves).await?);
        let known = cx.with_state(|state| state.stage(name).after);
        readings::at_end(cx, &self.head, &by_name(&known)).await?;
        Ok(Done { summary: words.join(" · ") })
    }

    /// The attempt that history says committed.
    fn remembered(&self, cx: &Cx) -> Attempt {
        let state = cx.with_state(|state| state.stage(&self.head.name));
        let wrote: u64 = state.writes.iter().map(crate::event::TableWrite::total).sum();
        let mut words = readings::shown(&self.ensures, &by_name(&state.before), &by_name(&state.after));
        words.push(format!("wrote {wrote}, committed before"));
        Attempt { words, template_moves: state.sequences, reject_moves: Vec::new() }
    }

    async fn attempts(&self, cx: &Cx, live: &Live, before: u32) -> Result<Attempt, Failure> {
        let mut attempt = before;
        loop {
            attempt += 1;
            match self.attempt(cx, live, attempt).await {
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
                cx.record(Event::StageCommitted { stage: self.head.name.clone(), xid: None })?;
                Ok(Attempt { words: vec!["already done, nothing was sent".to_owned()], ..Attempt::default() })
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
        self.head.guards.iter().chain(&self.ensures).chain(&self.done_when)
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
        commit::stage_lock(tx, &self.on).await?;
        forward::settle(tx, &cx.settings()).await?;

        let before = self.readings(cx, tx, &foreign, Moment::Before).await?;
        let mut values = Values { now: before.clone(), before: before.clone(), ..readings::values(cx) };
        if let Some(done_when) = &self.done_when {
            let judged = crate::guard::judge(tx, std::slice::from_ref(done_when), &values).await?;
            let done = judged.iter().all(|j| j.truth == crate::event::Truth::True);
            cx.record(Event::Judged { stage: name.to_owned(), role: Role::DoneWhen, judgements: judged })?;
            if done {
                return Ok(None);
            }
        }
        readings::demand(cx, tx, (name, &owner, Role::Guard), &self.head.guards, &values).await?;

        let resolved = bounds::resolve(tx, &self.work).await?;
        let start = measure::before(tx, !self.work.alters.is_empty()).await?;
        if self.reversible {
            let a = reversible::state(tx, &self.work, &resolved.tables()).await?;
            let bytes = serde_json::to_vec(&a).expect("invariant: a state is JSON");
            store::write(&cx.dir.join(state_file(name)), &bytes)?;
        }
        cx.say(name, "running its SQL");
        let statements = forward::send(tx, &self.work.forward).await?;
        cx.record(Event::Statements { stage: name.to_owned(), purpose: "forward".into(), statements })?;
        forward::force_constraints(tx).await?;
        let delta = measure::delta(tx, &start).await?;
        let writes = resolved.writes(&delta);
        cx.record(Event::Measured {
            stage: name.to_owned(),
            purpose: "forward".into(),
            writes: writes.clone(),
            altered: bounds::Resolved::altered(&delta),
            sequences: delta.sequences.clone(),
            locks: measure::locks(tx).await?,
        })?;
        resolved.hold(name, &delta)?;

        values.now = self.readings(cx, tx, &foreign, Moment::After).await?;
        values.wrote = resolved.wrote(&delta);
        readings::demand(cx, tx, (name, &owner, Role::Ensure), &self.ensures, &values).await?;
        let mut words = readings::shown(&self.ensures, &before, &values.now);
        words.push(wrote_words(&writes));
        if !delta.objects.is_empty() {
            words.push(format!("altered {} objects", delta.objects.len()));
        }
        let reject_moves = self.reject(cx, tx, &mut words).await?;
        Ok(Some(Attempt { words, template_moves: delta.sequences, reject_moves }))
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

    async fn put_back(&self, cx: &Cx, moves: &[SequenceMove]) -> Result<(), Failure> {
        let target = cx.targets.clone_target(&self.on)?;
        target.maker.inside(&target.live()?.expected.database, &measure::put_back(moves)?).await
    }

    /// The demanded proofs that history does not hold yet.
    async fn prove(&self, cx: &Cx, live: &Live, moves: &[SequenceMove]) -> Result<Vec<String>, Failure> {
        let name = self.head.name.as_str();
        let already = cx.with_state(|state| state.stage(name).proved);
        let mut words: Vec<String> = already.clone();
        let missing = |proof: &str| !already.iter().any(|p| p == proof);
        if self.idempotent && missing("idempotent") {
            cx.say(name, "proving that a second run changes nothing");
            let watch = Stopwatch::start();
            let verdict = idempotent::prove(&live.writer, &live.reader, &self.work, &cx.settings()).await?;
            self.put_back(cx, &verdict.sequences).await?;
            self.keep_proof(cx, "idempotent", verdict.passed, verdict.grade, verdict.observations, watch.ms())?;
            words.push("idempotent".to_owned());
        }
        if self.reversible && missing("reversible") {
            cx.say(name, "going back and forth");
            let watch = Stopwatch::start();
            let a = self.stored_state(cx)?;
            let verdict = reversible::prove(&live.writer, &self.work, &cx.settings(), &a, moves).await?;
            self.put_back(cx, &verdict.sequences).await?;
            let grade = if verdict.passed { "content" } else { "failed" };
            self.keep_proof(cx, "reversible", verdict.passed, grade, verdict.observations, watch.ms())?;
            words.push("reversible".to_owned());
        }
        if !self.monotonic.is_empty() && missing("monotonic") {
            self.monotony(cx)?;
        }
        Ok(if words.is_empty() { words } else { vec![words.join(", ")] })
    }

    fn keep_proof(
        &self,
        cx: &Cx,
        proof: &str,
        passed: bool,
        grade: &str,
        observations: Vec<String>,
        ms: u64,
    ) -> Result<(), Failure> {
        let stage = self.head.name.clone();
        let mut failure = Failure::new(Exit::ProofFailed, format!("stage `{stage}` is not {proof}"))
            .changed("the stage stays committed on the clone and counts as not proved; production was only read")
            .next("look", format!("engine show {} {stage}", cx.run))
            .next(
                "then",
                format!("correct the template and start a new run, or engine resume {} to prove it again", cx.run),
            );
        failure.facts.clone_from(&observations);
        cx.record(Event::Proved { stage, proof: proof.to_owned(), passed, grade: grade.to_owned(), observations, ms })?;
        if passed { Ok(()) } else { Err(failure) }
    }

    /// Readings that must never fall: over the stage itself; the rehearsal looks again.
    fn monotony(&self, cx: &Cx) -> Result<(), Failure> {
        let state = cx.with_state(|state| state.stage(&self.head.name));
        let (before, after) = (by_name(&state.before), by_name(&state.after));
        let mut seen = Vec::new();
        let mut passed = true;
        for probe in &self.monotonic {
            let number = |r: Option<&Reading>| r.and_then(|r| r.value.as_ref()?.parse::<f64>().ok());
            let (old, new) = (number(before.get(probe)), number(after.get(probe)));
            let held = matches!((old, new), (Some(old), Some(new)) if new >= old);
            passed &= held;
            let show = |r: Option<&Reading>| r.map_or("not read".to_owned(), Reading::shown);
            seen.push(format!("{probe} {} then {}", show(before.get(probe)), show(after.get(probe))));
        }
        self.keep_proof(cx, "monotonic", passed, if passed { "commit" } else { "failed" }, seen, 0)
    }

    fn stored_state(&self, cx: &Cx) -> Result<reversible::State, Failure> {
        let path = cx.dir.join(state_file(&self.head.name));
        let lost =
            |e: String| Failure::new(Exit::Io, format!("{}, the state before the stage, is lost: {e}", path.display()));
        let bytes = std::fs::read(&path).map_err(|e| lost(e.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|e| lost(e.to_string()))
    }
}

fn state_file(stage: &str) -> String {
    format!("fingerprints/{stage}.before.json")
}

fn by_name(readings: &[Reading]) -> BTreeMap<String, Reading> {
    readings.iter().map(|r| (r.probe.clone(), r.clone())).collect()
}

/// `wrote 30 of 30`.
pub(super) fn wrote_words(writes: &[crate::event::TableWrite]) -> String {
    let total: u64 = writes.iter().map(crate::event::TableWrite::total).sum();
    let bounds: Option<u64> = writes.iter().map(|w| w.bound.as_ref()?.parse::<u64>().ok()).sum();
    match (total, bounds) {
        (0, Some(0)) => "wrote nothing".to_owned(),
        (_, Some(most)) => format!("wrote {total} of {most}"),
        (_, None) => format!("wrote {total}"),
    }
}
