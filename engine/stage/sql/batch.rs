//! `batch`: the template again and again, each time a transaction of its own under the commit protocol, until a predicate
//! holds. Each batch is committed exactly once; a resume asks what became of the last one and goes on with the next.
//!
//! Guards and `done_when` are asked before the first batch: they say what was there before the stage, and half way that
//! is no longer so. Ensures and rejects speak of all of it, so they are asked when no more batches are needed.

use super::{Attempt, SqlStage, by_name, found_file, sequences_file};
use crate::crash;
use crate::diag::Diagnostic;
use crate::event::{BATCH, Event, Exit, Failure, Moment, Reading, Role, Status, TableWrite};
use crate::guard::{self, Check, Values};
use crate::plan::keys::Keys;
use crate::plan::{NamedText, Spot};
use crate::proof::{self, Batch, bounds, forward, measure};
use crate::stage::commit::Way;
use crate::stage::{Cx, Parse, Scope, commit, readings, sequences};
use crate::target::{Live, RETRYABLE, WriteTx};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Parses the key; the predicate as a batch knows it, and as it is judged.
pub(super) fn parse(cx: &mut Parse<'_>, keys: &mut Keys) -> Option<(Batch, Check)> {
    let place = keys.key_place("batch")?;
    let mut inner = keys.table("batch", cx.out)?;
    let until = inner.text("until", cx.out);
    let rows = inner.int("rows", cx.out);
    let most = inner.int("most", cx.out);
    let pause = inner.duration("pause", cx.out).map_or(Duration::ZERO, |pause| pause.value);
    inner.finish(&["until", "rows", "most", "pause"], cx.out);
    for (key, missing, help) in [
        ("until", until.is_none(), "write `until = \"unfilled = 0\"`: true when no more batches are needed"),
        ("rows", rows.is_none(), "write `rows = 5000`, the most row changes of one batch"),
        ("most", most.is_none(), "write `most = 2000`, the most batches"),
    ] {
        if missing {
            let message = format!("`batch` has no `{key}`");
            cx.out.push(Diagnostic::new("batch-key", message, place.clone()).label("here").help(help));
        }
    }
    let (until, rows, most) = (until?, rows?, most?);
    let positive = |spot: &Spot<i64>| u64::try_from(spot.value).ok().filter(|n| *n > 0);
    for spot in [&rows, &most] {
        if positive(spot).is_none() {
            let message = format!("{} is no number of rows or batches", spot.value);
            cx.out
                .push(Diagnostic::new("batch-key", message, spot.place.clone()).label("here").help("write 1 or more"));
        }
    }
    let shown = place.shown();
    let name = Spot { value: "until".to_owned(), place };
    let check = cx.check(&NamedText { name, text: until }, Scope::Guard)?;
    let most = u32::try_from(positive(&most)?).unwrap_or(u32::MAX);
    let batch = Batch { until: check.predicate.clone(), place: shown, rows: positive(&rows)?, most, pause };
    Some((batch, check))
}

/// What a turn of the loop came to.
enum Turn {
    /// A batch is committed.
    More,
    /// `until` holds; nothing was sent.
    Enough(Attempt),
}

impl SqlStage {
    /// All batches that are still needed.
    pub(super) async fn in_batches(&self, cx: &Cx, live: &Live, batch: &Batch) -> Result<Attempt, Failure> {
        let name = self.head.name.as_str();
        let known = cx.with_state(|state| state.stage(name));
        if known.status == Status::Committed {
            return self.remembered(cx, live).await;
        }
        // A batch whose outcome is in the journal has no backend any more.
        let way = Way::Batch(known.batches + 1);
        if known.backend.is_none() || commit::recover_on(way, cx, name, &live.writer, &known).await? {
            self.left_by_the_last(cx, live).await?;
            sequences::forget(cx, &found_file(name))?;
        } else {
            self.undo_sequences(cx).await?;
        }
        let (mut attempt, mut retries) = (known.attempts, 0);
        loop {
            attempt += 1;
            match self.turn(cx, live, batch, attempt).await {
                Ok(Turn::Enough(attempt)) => return Ok(attempt),
                Ok(Turn::More) => {
                    retries = 0;
                    self.told(cx);
                    tokio::time::sleep(batch.pause).await;
                }
                Err(failure) if self.not_known(cx, &failure) => return Err(failure),
                // Its batch is committed, and something failed behind it: what it drew is its own.
                Err(failure) if cx.with_state(|state| state.stage(name).backend.is_none()) => {
                    return Err(self.kept(cx, failure));
                }
                Err(failure) => {
                    if let Err(also) = self.undo_sequences(cx).await {
                        // No further attempt: it would take where they stand now for where they stood.
                        let failure = failure.fact(format!("its sequences are put back by a resume: {}", also.what));
                        return Err(self.kept(cx, failure));
                    }
                    retries += 1;
                    let again = failure.sqlstate.as_deref().is_some_and(|code| RETRYABLE.contains(&code));
                    if !again || retries > self.head.retry {
                        return Err(self.kept(cx, failure));
                    }
                    cx.say(name, &format!("a batch ended with {}; trying it again", failure.what));
                }
            }
        }
    }

    /// Sequences stand where the last batch that is committed left them. A server that crashed takes them further: what it
    /// gave out ahead is lost.
    async fn left_by_the_last(&self, cx: &Cx, live: &Live) -> Result<(), Failure> {
        let known = cx.with_state(|state| state.stage(&self.head.name));
        if known.batches == 0 {
            return Ok(());
        }
        let left = sequences::kept(cx, &sequences_file(&self.head.name), &known.sequences)?;
        let moves = self.own(cx, sequences::moved_since(&live.reader, &left).await?);
        sequences::put_back(cx, &self.on, &moves).await
    }

    fn told(&self, cx: &Cx) {
        let (batches, wrote) = self.so_far(cx);
        cx.say(&self.head.name, &format!("{batches} batches, {wrote} rows"));
    }

    fn so_far(&self, cx: &Cx) -> (u32, u64) {
        cx.with_state(|state| {
            let stage = state.stage(&self.head.name);
            (stage.batches, stage.writes.iter().map(TableWrite::total).sum())
        })
    }

    /// What stays of a stage that failed in the middle.
    fn kept(&self, cx: &Cx, failure: Failure) -> Failure {
        let name = &self.head.name;
        let (batches, wrote) = self.so_far(cx);
        if batches == 0 {
            return failure.changed(format!("rolled back: the clone is as before `{name}`; production was only read"));
        }
        let stay = if batches == 1 { "1 batch of" } else { &format!("{batches} batches of") };
        let are = if batches == 1 { "is committed and stays" } else { "are committed and stay" };
        failure.changed(format!(
            "{stay} `{name}` ({wrote} row changes) {are}; the last one was rolled back; production was only read"
        ))
    }

    async fn turn(&self, cx: &Cx, live: &Live, batch: &Batch, attempt: u32) -> Result<Turn, Failure> {
        let name = self.head.name.as_str();
        // Behind the first one only `until` is asked.
        let first = self.so_far(cx).0 == 0;
        let foreign = if first { self.foreign(cx).await? } else { self.foreign_of_until(cx).await? };
        let tx = live.writer.session(&format!("stage `{name}`")).await?;
        cx.record(Event::AttemptStarted {
            stage: name.to_owned(),
            attempt,
            backend_pid: tx.backend_pid,
            backend_start: tx.backend_start.clone(),
        })?;
        match self.within_batch(cx, &tx, foreign, batch).await {
            Ok(None) => {
                let way = Way::Batch(self.so_far(cx).0 + 1);
                commit::commit_on(way, cx, name, &live.writer, tx).await?;
                // What it drew from sequences is its own from here on.
                sequences::forget(cx, &found_file(name))?;
                crash::point(|| "batch/committed".to_owned());
                Ok(Turn::More)
            }
            Ok(Some(enough)) => {
                tx.rollback().await;
                if !enough.already {
                    cx.record(Event::StageCommitted { stage: name.to_owned(), xid: None, open_ms: None })?;
                }
                Ok(Turn::Enough(enough))
            }
            Err(failure) => {
                tx.rollback().await;
                Err(failure)
            }
        }
    }

    /// Everything between BEGIN and COMMIT of one batch; or, when `until` holds, what is asked at the end of the stage.
    async fn within_batch(
        &self,
        cx: &Cx,
        tx: &WriteTx,
        foreign: BTreeMap<String, Reading>,
        batch: &Batch,
    ) -> Result<Option<Attempt>, Failure> {
        let name = self.head.name.as_str();
        tx.begin(self.head.timeout, self.head.lock_timeout).await?;
        commit::stage_lock(tx, &self.on, self.parallel, name).await?;
        forward::settle(tx, &cx.settings()).await?;
        let known = cx.with_state(|state| state.stage(name));
        let first = known.batches == 0;
        let now = if first {
            self.readings(cx, tx, &foreign, Moment::Before).await?
        } else {
            self.readings_of_until(cx, tx, &foreign).await?
        };
        let before = if first { now.clone() } else { by_name(&known.before) };
        let mut values = Values { now, before, ..readings::values(cx) };
        if first && self.begin(cx, tx, &values).await? {
            let words = vec!["already done, nothing was sent".to_owned()];
            return Ok(Some(Attempt { words, already: true, ..Attempt::default() }));
        }
        if self.enough(cx, tx, &values).await? {
            let foreign = self.foreign(cx).await?;
            return self.end(cx, tx, &foreign, values).await.map(Some);
        }
        if known.batches >= batch.most {
            return Err(Failure::new(
                Exit::StageFailed,
                format!("stage `{name}` is not done after {} batches", batch.most),
            )
            .fact(format!("`until` is still false: {}", batch.until.text.trim()))
            .fact(batch.place.clone())
            .next("then", format!("raise `most` and run: engine resume {} --accept-changes", cx.run)));
        }
        let resolved = bounds::resolve(tx, &self.work).await?;
        let start = measure::before(tx, !self.work.alters.is_empty()).await?;
        sequences::keep(cx, &found_file(name), &sequences::places(tx).await?)?;
        let mut ran = forward::run(tx, &self.work.forward, &start, None).await?;
        let statements = ran.statements.clone();
        cx.record(Event::Statements { stage: name.to_owned(), purpose: BATCH.into(), statements })?;
        cx.record(ran.measured(name, BATCH, resolved.writes(&ran.delta)))?;
        batch.hold(name, &ran.delta)?;
        // `writes` bounds all batches together.
        values.wrote.clear();
        let before = known.writes.iter().map(|wrote| (&wrote.table, [wrote.inserted, wrote.updated, wrote.deleted]));
        proof::batch::add(&mut ran.delta.rows, before);
        proof::hold(tx, &resolved, name, &ran).await?;
        sequences::keep(cx, &sequences_file(name), &sequences::places(tx).await?)?;
        Ok(None)
    }

    /// Before the first batch: true when it is done already.
    async fn begin(&self, cx: &Cx, tx: &WriteTx, values: &Values) -> Result<bool, Failure> {
        let name = self.head.name.as_str();
        let owner = format!("stage `{name}`");
        if let Some(done_when) = &self.done_when {
            let judged = guard::judge(tx, std::slice::from_ref(done_when), values).await?;
            let done = guard::decided(Role::DoneWhen, &owner, &judged);
            cx.record(Event::Judged { stage: name.to_owned(), role: Role::DoneWhen, judgements: judged })?;
            if done? {
                return Ok(true);
            }
        }
        readings::demand(cx, tx, (name, &owner, Role::Guard), &self.head.guards, values).await?;
        Ok(false)
    }

    async fn enough(&self, cx: &Cx, tx: &WriteTx, values: &Values) -> Result<bool, Failure> {
        let stage = self.head.name.clone();
        let judgements = guard::judge(tx, self.until.as_slice(), values).await?;
        let enough = guard::decided(Role::Until, &format!("stage `{stage}`"), &judgements);
        cx.record(Event::Judged { stage, role: Role::Until, judgements })?;
        enough
    }

    /// No more batches: what is asked of all of them.
    async fn end(
        &self,
        cx: &Cx,
        tx: &WriteTx,
        foreign: &BTreeMap<String, Reading>,
        mut values: Values,
    ) -> Result<Attempt, Failure> {
        let name = self.head.name.as_str();
        let known = cx.with_state(|state| state.stage(name));
        if known.batches == 0 {
            sequences::keep(cx, &sequences_file(name), &sequences::places(tx).await?)?;
        }
        values.now = self.readings(cx, tx, foreign, Moment::After).await?;
        let rows = |w: &TableWrite| (w.table.clone(), [w.inserted, w.updated, w.deleted]);
        let delta = measure::Delta { rows: known.writes.iter().map(rows).collect(), ..measure::Delta::default() };
        let resolved = bounds::resolve(tx, &self.work).await?;
        values.wrote = resolved.wrote(&delta);
        let owner = format!("stage `{name}`");
        readings::demand(cx, tx, (name, &owner, Role::Ensure), &self.ensures, &values).await?;
        let wrote = resolved.writes(&delta);
        let mut words = self.words((&values.before, &values.now), (&wrote, Some(known.batches)), 0);
        // A reject that fails, or a kill in it, must find its way back.
        sequences::keep(cx, &found_file(name), &sequences::places(tx).await?)?;
        let reject_moves = self.reject(cx, tx, &mut words).await?;
        Ok(Attempt { words, already: false, template_moves: known.sequences, reject_moves })
    }

    async fn foreign_of_until(&self, cx: &Cx) -> Result<BTreeMap<String, Reading>, Failure> {
        let (names, _) = readings::wanted(&self.until);
        let others = names.into_iter().filter(|n| cx.probes.get(n).is_some_and(|q| q.target != self.on)).collect();
        readings::read_probes(cx, &others, None).await
    }

    /// Only what `until` names, and not in the journal: the judgement has the values.
    async fn readings_of_until(
        &self,
        cx: &Cx,
        tx: &WriteTx,
        foreign: &BTreeMap<String, Reading>,
    ) -> Result<BTreeMap<String, Reading>, Failure> {
        let (names, _) = readings::wanted(&self.until);
        let own: BTreeSet<String> =
            names.into_iter().filter(|n| cx.probes.get(n).is_some_and(|q| q.target == self.on)).collect();
        let mut found = readings::read_probes(cx, &own, Some((&self.on, tx))).await?;
        found.extend(foreign.iter().map(|(k, v)| (k.clone(), v.clone())));
        Ok(found)
    }
}
