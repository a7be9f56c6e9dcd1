//! `check`: reads only. Guards, ensures and rejects on any target.

use super::commit::Way;
use super::sequences::Places;
use super::sql::found_file;
use super::{Cx, Done, Head, Kind, Parse, Recovery, Running, Stage, commit, readings, sequences, stall, undo};
use crate::event::{Event, Failure, Moment, RejectResult, Role};
use crate::guard::{Check, Values};
use crate::plan::keys::Keys;
use crate::proof::{forward, reject};
use crate::target::{Isolation, Live, WriteTx, Writer};
use futures_util::future::try_join;

/// The kind.
pub static KIND: Kind = Kind { name: "check", keys: &["ensure", "reject"], recovery: Recovery::Repeatable, parse };

#[derive(Debug)]
struct CheckStage {
    head: Head,
    /// Independent writers may be at work on the target.
    parallel: bool,
    ensures: Vec<Check>,
    rejects: Vec<reject::Reject>,
}

fn parse(head: Head, mut keys: Keys, cx: &mut Parse<'_>) -> Option<Box<dyn Stage>> {
    let on = cx.needs_target(&head)?;
    let ensures = cx.ensures(&mut keys, &[]);
    let rejects = cx.rejects(&mut keys, &on);
    let body = &cx.plan_stage().body;
    if cx.plan_stage().guards.is_empty() && !body.has("ensure") && !body.has("reject") {
        let place = cx.plan_stage().name.place.clone();
        cx.out.push(
            crate::diag::Diagnostic::new("missing-key", format!("stage `{}` checks nothing", head.name), place)
                .label("no guard, no `ensure`, no `reject`")
                .help("write `ensure.NAME = \"...\"`"),
        );
    }
    keys.finish(&cx.known(&KIND), cx.out);
    let parallel = cx.plan.target(&on).is_some_and(|target| target.parallel);
    Some(Box::new(CheckStage { head, parallel, ensures, rejects }))
}

impl Stage for CheckStage {
    fn head(&self) -> &Head {
        &self.head
    }

    fn ensures(&self) -> &[Check] {
        &self.ensures
    }

    fn promise(&self) -> String {
        reject::promise(&self.rejects)
    }

    /// Its rejects are rolled back, but for what they draw from sequences: nobody else may draw meanwhile.
    fn writes_target(&self) -> bool {
        !self.rejects.is_empty()
    }

    fn run<'r>(&'r self, cx: &'r Cx) -> Running<'r> {
        Box::pin(self.check(cx))
    }
}

impl CheckStage {
    async fn check(&self, cx: &Cx) -> Result<Done, Failure> {
        let on = self.head.on.as_deref().unwrap_or_default();
        let (mut names, before_names) = readings::wanted(self.head.guards.iter().chain(&self.ensures));
        names.extend(before_names);
        let tx = cx.targets.reader(on)?.begin(&format!("check `{}`", self.head.name), Isolation::Snapshot).await?;
        let now = readings::read_probes(cx, &names, Some((on, &tx))).await?;
        readings::keep(cx, &self.head.name, Moment::Before, &now)?;
        let values = Values { now: now.clone(), before: now.clone(), ..readings::values(cx) };
        let owner = format!("stage `{}`", self.head.name);
        let name = self.head.name.as_str();
        let judged = match readings::demand(cx, &tx, (name, &owner, Role::Guard), &self.head.guards, &values).await {
            Ok(()) => readings::demand(cx, &tx, (name, &owner, Role::Ensure), &self.ensures, &values).await,
            refused => refused,
        };
        cx.finish(tx).await?;
        judged?;
        readings::keep(cx, &self.head.name, Moment::After, &now)?;
        let mut words = readings::shown(&self.ensures, &now, &now);
        if !self.rejects.is_empty() {
            words.push(self.reject(cx, on).await?);
        }
        readings::at_end(cx, &self.head, &now).await?;
        words.push("wrote nothing".to_owned());
        Ok(Done { summary: words.join(" · ") })
    }

    async fn reject(&self, cx: &Cx, on: &str) -> Result<String, Failure> {
        let live = cx.targets.clone_target(on)?.live()?;
        let writer = live.writer.apart();
        stall::over(cx, &self.head.name, &writer, Box::pin(self.rejects_on(cx, on, (&live, &writer)))).await
    }

    async fn rejects_on(&self, cx: &Cx, on: &str, (live, writer): (&Live, &Writer)) -> Result<String, Failure> {
        let (name, file) = (&self.head.name, found_file(&self.head.name));
        let known = cx.with_state(|state| state.stage(name));
        // What an attempt before left is not where this one begins.
        undo::settle(cx, self).await?;
        let tx = writer.session("rejects of a check").await?;
        cx.record(Event::AttemptStarted {
            stage: name.clone(),
            attempt: known.attempts + 1,
            backend_pid: tx.backend_pid,
            backend_start: tx.backend_start.clone(),
        })?;
        let sent = self.sent(cx, on, &tx).await;
        // Whoever comes next must not meet it.
        let answered = tx.rollback().await;
        let (found, results) = sent?;
        if !answered && !self.parallel {
            commit::let_go(Way::Forward, cx, name, writer).await?;
        }
        sequences::put_back(cx, on, &sequences::moved_since(&live.reader, &found).await?).await?;
        sequences::forget(cx, &file)?;
        let results = results?;
        let broken = reject::failure(name, &results);
        let words = refused_words(&results);
        cx.record(Event::Rejects { stage: name.clone(), results })?;
        broken.map_or(Ok(words), Err)
    }

    /// From BEGIN to the last reject: where sequences were before, and what came of the rejects.
    async fn sent(&self, cx: &Cx, on: &str, tx: &WriteTx) -> Result<(Places, Rejected), Failure> {
        let name = &self.head.name;
        tx.begin(self.head.timeout, self.head.lock_timeout).await?;
        let settings = cx.settings();
        try_join(commit::stage_lock(tx, on, self.parallel, name), forward::settle(tx, &settings)).await?;
        // Where independent writers are at work, a value given out twice is worse than a gap.
        let found = if self.parallel { Places::new() } else { sequences::places(tx).await? };
        sequences::keep(cx, &found_file(name), &found)?;
        Ok((found, reject::run(tx, &self.rejects).await))
    }
}

/// What came of rejects, or why they could not be sent.
type Rejected = Result<Vec<RejectResult>, Failure>;

/// `7 refused, 2 permitted`.
pub(super) fn refused_words(results: &[RejectResult]) -> String {
    let permitted = results.iter().filter(|r| r.case == "permit").count();
    format!("{} refused, {permitted} permitted", results.len() - permitted)
}
