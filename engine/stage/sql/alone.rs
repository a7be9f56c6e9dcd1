//! `transaction = false`: statements that cannot run inside a transaction. Each stands once it is answered.
//!
//! So this is not exactly once, and says so: whether all of it is there is what `done_when` answers. A resume waits until
//! the backend of the process that died has ended, clears away what was left half done, and then asks. The clearing
//! comes first: an author who only asks whether an index is there would take an invalid one for it.

use super::by_name;
use super::half_done::{self, Towards};
use crate::crash;
use crate::event::{Event, Failure, Judgement, Moment, Reading, Role, Status};
use crate::guard::{self, Check, Values};
use crate::proof::{Work, forward};
use crate::stage::{Cx, Done, Head, Running, Stage, commit, readings, stall};
use crate::target::{Alone, Isolation, Live, RETRYABLE};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A stage outside of any transaction.
#[derive(Debug)]
pub(super) struct AloneStage {
    pub(super) head: Head,
    pub(super) work: Arc<Work>,
    pub(super) ensures: Vec<Check>,
    pub(super) done_when: Check,
    /// Independent writers may be at work on the target.
    pub(super) parallel: bool,
    pub(super) on: String,
}

impl Stage for AloneStage {
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
        std::slice::from_ref(&self.done_when)
    }

    fn writes_target(&self) -> bool {
        true
    }

    fn run<'r>(&'r self, cx: &'r Cx) -> Running<'r> {
        Box::pin(self.go(cx))
    }
}

impl AloneStage {
    async fn go(&self, cx: &Cx) -> Result<Done, Failure> {
        let live = cx.targets.clone_target(&self.on)?.live()?.apart();
        stall::over(cx, &self.head.name, &live.writer, Box::pin(self.work_on(cx, &live))).await
    }

    async fn work_on(&self, cx: &Cx, live: &Live) -> Result<Done, Failure> {
        let name = self.head.name.as_str();
        let known = cx.with_state(|state| state.stage(name));
        if known.status == Status::Committed {
            return self.done(cx, live, "committed before".to_owned()).await;
        }
        if known.attempts > 0 {
            // It has no intent, unless it was another stage then: this waits for its backend to be gone.
            if commit::recover(cx, name, &live.writer, &known).await? {
                return self.done(cx, live, "committed before".to_owned()).await;
            }
        }
        let begun = half_done::found(cx, name)?.is_some();
        if begun {
            half_done::clear_away(cx, live, &self.work, Towards::Forward).await?;
        }
        match (self.is_done(cx, live).await?, begun) {
            (true, false) => {
                // Nothing was sent, so nothing is proved: the verdict says NOT RUN where something had to be.
                readings::at_end(cx, &self.head, &BTreeMap::new()).await?;
                return Ok(Done { summary: "already done, nothing was sent".to_owned() });
            }
            (true, true) => {
                return self.finish(cx, live, "done by an earlier attempt, says `done_when`".to_owned()).await;
            }
            // What stands already may be just what a guard forbids: they are asked before anything is sent.
            (false, true) => {}
            (false, false) => drop(readings::guards_outside(cx, &self.head).await?),
        }
        let sent = self.attempts(cx, live, known.attempts).await?;
        self.finish(cx, live, sent).await
    }

    async fn attempts(&self, cx: &Cx, live: &Live, before: u32) -> Result<String, Failure> {
        let mut attempt = before;
        loop {
            attempt += 1;
            let failure = match self.attempt(cx, live, attempt).await {
                Ok(sent) => return Ok(sent),
                Err(failure) => failure,
            };
            // Its session is closed, and its locks go with its backend.
            let known = cx.with_state(|state| state.stage(&self.head.name));
            let cleared = match commit::recover(cx, &self.head.name, &live.writer, &known).await {
                Ok(_) => half_done::clear_away(cx, live, &self.work, Towards::Forward).await,
                Err(failure) => Err(failure),
            };
            let (failure, clear) = match cleared {
                Ok(cleared) => (cleared.facts().into_iter().fold(failure, Failure::fact), true),
                Err(also) => {
                    (failure.fact(format!("what it left half done is cleared away by a resume: {}", also.what)), false)
                }
            };
            let retryable = failure.sqlstate.as_deref().is_some_and(|code| RETRYABLE.contains(&code));
            if !retryable || !clear || attempt - before > self.head.retry {
                return Err(failure.changed(format!(
                    "`{}` is in no transaction: statements before the one that failed stand; production was only read",
                    self.head.name
                )));
            }
            cx.say(&self.head.name, &format!("attempt {attempt} ended with {}; trying again", failure.what));
            // Clearing away may have been what was left to do.
            if self.is_done(cx, live).await? {
                return Ok("done by an earlier attempt, says `done_when`".to_owned());
            }
        }
    }

    async fn is_done(&self, cx: &Cx, live: &Live) -> Result<bool, Failure> {
        let done = self.ask(cx, live, Role::DoneWhen, std::slice::from_ref(&self.done_when), None).await?;
        guard::decided(Role::DoneWhen, &format!("stage `{}`", self.head.name), &done)
    }

    /// Sends the statements one by one.
    async fn attempt(&self, cx: &Cx, live: &Live, number: u32) -> Result<String, Failure> {
        let name = self.head.name.as_str();
        cx.alone_forward()?;
        let purpose = format!("stage `{name}`");
        let alone = Alone::open(&live.writer, &purpose, self.head.timeout, self.head.lock_timeout).await?;
        cx.record(Event::AttemptStarted {
            stage: name.to_owned(),
            attempt: number,
            backend_pid: alone.backend_pid,
            backend_start: alone.backend_start.clone(),
        })?;
        commit::stage_lock_alone(&alone, &self.on, self.parallel, name).await?;
        if half_done::found(cx, name)?.is_none() {
            self.keep_found(cx, live).await?;
        }
        cx.say(name, "running its SQL, outside of a transaction");
        crash::point(|| "alone/begin".to_owned());
        let statements = forward::send_alone(&alone, &self.work.forward, || cx.alone_forward()).await?;
        crash::point(|| "alone/sent".to_owned());
        let count = statements.len();
        cx.record(Event::Statements { stage: name.to_owned(), purpose: "forward".into(), statements })?;
        Ok(format!("{count} statement{} outside of a transaction", if count == 1 { "" } else { "s" }))
    }

    /// All is there: no more than was declared, and `done_when` and the ensures say so.
    async fn finish(&self, cx: &Cx, live: &Live, how: String) -> Result<Done, Failure> {
        let stands = "what its statements did stands: they were in no transaction; production was only read";
        let name = self.head.name.as_str();
        let altered =
            half_done::within_bounds(cx, live, &self.work).await.map_err(|failure| failure.changed(stands))?;
        let before = by_name(&cx.with_state(|state| state.stage(name).before));
        let done = self.ask(cx, live, Role::DoneWhen, std::slice::from_ref(&self.done_when), None).await?;
        if let Some(mut failure) = guard::refusal(Role::Ensure, &format!("stage `{name}`"), &done) {
            failure.what = format!("`done_when` of stage `{name}` is not true after its statements ran");
            return Err(failure.changed(stands));
        }
        let now = self.read(cx, &self.ensures).await?;
        readings::keep(cx, name, Moment::After, &now)?;
        let values = Some((before.clone(), now.clone()));
        let ensured = self.ask(cx, live, Role::Ensure, &self.ensures, values).await?;
        if let Some(failure) = guard::refusal(Role::Ensure, &format!("stage `{name}`"), &ensured) {
            return Err(failure.changed(stands));
        }
        cx.alone_forward().map_err(|failure| failure.changed(stands))?;
        cx.record(Event::Measured {
            stage: name.to_owned(),
            purpose: "forward".to_owned(),
            writes: Vec::new(),
            altered: altered.clone(),
            sequences: Vec::new(),
            locks: Vec::new(),
            held: Vec::new(),
            files: BTreeMap::new(),
            wal_bytes: 0,
        })?;
        cx.record(Event::StageCommitted { stage: name.to_owned(), xid: None, open_ms: None })?;
        self.done(cx, live, how).await.map_err(|failure| failure.changed(stands))
    }

    /// History says that it is committed: what `how` it came to and all else that there is to say of it.
    async fn done(&self, cx: &Cx, live: &Live, how: String) -> Result<Done, Failure> {
        let known = cx.with_state(|state| state.stage(&self.head.name));
        let mut words = readings::shown(&self.ensures, &by_name(&known.before), &by_name(&known.after));
        words.push(how);
        words.extend(half_done::left_over(cx, live, &self.work).await?);
        words.extend(super::altered_words(known.altered.len()));
        half_done::forget(cx, &self.head.name)?;
        readings::at_end(cx, &self.head, &by_name(&known.after)).await?;
        Ok(Done { summary: words.join(" · ") })
    }

    /// Readings that these predicates name, as they are now.
    async fn read(&self, cx: &Cx, checks: &[Check]) -> Result<BTreeMap<String, Reading>, Failure> {
        let (now, before) = readings::wanted(checks);
        let names: BTreeSet<String> = now.union(&before).cloned().collect();
        readings::read_probes(cx, &names, None).await
    }

    /// Judges predicates over readings taken now, or over those that are given: before the stage, and after.
    async fn ask(
        &self,
        cx: &Cx,
        live: &Live,
        role: Role,
        checks: &[Check],
        given: Option<(BTreeMap<String, Reading>, BTreeMap<String, Reading>)>,
    ) -> Result<Vec<Judgement>, Failure> {
        if checks.is_empty() {
            return Ok(Vec::new());
        }
        let (before, now) = match given {
            Some(given) => given,
            None => (BTreeMap::new(), self.read(cx, checks).await?),
        };
        let values = Values { now, before, ..readings::values(cx) };
        let tx = live.reader.begin("judging predicates", Isolation::Fresh).await?;
        let judgements = guard::judge(&tx, checks, &values).await;
        tx.finish().await?;
        let judgements = judgements?;
        let stage = self.head.name.clone();
        cx.record(Event::Judged { stage, role, judgements: judgements.clone() })?;
        Ok(judgements)
    }

    /// Before anything is sent: what was there, so that what comes on top can be told from it. Readings too.
    async fn keep_found(&self, cx: &Cx, live: &Live) -> Result<(), Failure> {
        let now = self.read(cx, &self.ensures).await?;
        readings::keep(cx, &self.head.name, Moment::Before, &now)?;
        half_done::keep(cx, live, &self.head.name).await
    }
}
