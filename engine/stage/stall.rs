//! While a stage is at work on its target: who holds up its statement, asked by a second session, and said.
//!
//! Nothing is asked while statements are answered in time. What others run is shown on the operator's own terminal and
//! written nowhere.

use super::Cx;
use crate::clock::{Stopwatch, show_ms};
use crate::event::{Event, Failure, SYNC_REP, behind};
use crate::target::{InFlight, Lookout, Readers, Stall, Watched, Writer};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

/// A statement that takes no longer is nobody's business. Less where locks are waited for less: who held one has to be
/// asked before it is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// From then on it looks so often.
const EVERY: Duration = Duration::from_secs(1);
/// How often it is seen whether a statement is in flight: here, nothing is sent.
const TICK: Duration = Duration::from_millis(50);
/// Without an answer of the second session it is asked anew, by another one.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// SQLSTATEs of a wait that was given up: of a lock, of a statement.
const GIVEN_UP: [&str; 2] = ["55P03", "57014"];

/// Does `work`, whose statements go through `writer`, and says who holds one up: meanwhile, and in its failure.
///
/// # Errors
/// Those of the work; or the journal cannot be written.
pub async fn over<T>(
    cx: &Cx,
    stage: &str,
    writer: &Writer,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    watched(Watch { cx, stage, of: Readers::only(writer.watched()), last: Mutex::default() }, work).await
}

/// The same for all that a stage reads, of whichever target.
///
/// # Errors
/// As `over`.
pub async fn over_readers<T>(
    cx: &Cx,
    stage: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let readers = Readers::default();
    let watch = Watch { cx, stage, of: readers.clone(), last: Mutex::default() };
    watched(watch, readers.of(work)).await
}

async fn watched<T>(watch: Watch<'_>, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut work = std::pin::pin!(work);
    let ended = tokio::select! {
        biased;
        ended = &mut work => ended,
        Err(failure) = watch.looking() => Err(failure),
    };
    ended.map_err(|failure| watch.named(failure))
}

struct Watch<'w> {
    cx: &'w Cx,
    stage: &'w str,
    /// Whose statements.
    of: Readers,
    /// What the last look saw, if somebody held it up; or why it could not look.
    last: Mutex<Last>,
}

impl Watch<'_> {
    /// What has been in flight longest, and whose it is.
    fn longest(&self) -> Option<(Watched, InFlight)> {
        let all = self.of.all().into_iter();
        let flying = all.filter_map(|watched| watched.in_flight().map(|flying| (watched, flying)));
        flying.max_by_key(|(_, flying)| flying.ms)
    }
}

#[derive(Default)]
struct Last {
    stall: Option<Stall>,
    blind: Option<String>,
}

impl Watch<'_> {
    async fn looking(&self) -> Result<(), Failure> {
        let (mut lookout, mut told) = (None, BTreeSet::new());
        let mut looked: Option<Stopwatch> = None;
        loop {
            tokio::time::sleep(TICK).await;
            let waits = self.longest().filter(|(_, flying)| u128::from(flying.ms) >= patience(flying));
            let Some((watched, flying)) = waits else {
                // Nothing of ours stays in a database without need: one that is to be copied must be free of sessions.
                lookout = None;
                continue;
            };
            if lookout.as_ref().is_some_and(|(of, _): &(Watched, Lookout)| !of.is(&watched)) {
                lookout = None;
            }
            if looked.is_some_and(|at| u128::from(at.ms().min(flying.ms)) < EVERY.as_millis().min(patience(&flying))) {
                continue;
            }
            let seen = tokio::time::timeout(ANSWERS_WITHIN, look(&mut lookout, &watched, flying.pid)).await;
            looked = Some(Stopwatch::start());
            let seen = seen.unwrap_or_else(|_| Err("there was no answer".to_owned()));
            if seen.is_err() {
                lookout = None;
            }
            self.keep(seen, flying, &mut told)?;
        }
    }

    fn keep(&self, seen: Result<Stall, String>, flying: InFlight, told: &mut BTreeSet<i32>) -> Result<(), Failure> {
        let seen = match seen {
            Ok(stall) => stall,
            Err(why) => {
                self.with(|last| last.blind = Some(why));
                return Ok(());
            }
        };
        let standby = seen.wanted.as_ref().is_some_and(|wanted| wanted.lock == SYNC_REP);
        let held_up = standby || !seen.behind.is_empty();
        let was = self.with(|last| std::mem::replace(last, Last { stall: held_up.then(|| seen.clone()), blind: None }));
        if !held_up {
            if was.stall.is_some() {
                self.cx.say(self.stage, "at work again");
            }
            return Ok(());
        }
        let blockers: Vec<_> = seen.behind.iter().map(|holding| holding.blocker.clone()).collect();
        // No backend has that number.
        let standby = standby.then_some(-1);
        let new = blockers.iter().map(|blocker| blocker.pid).chain(standby).filter(|pid| told.insert(*pid)).count();
        if new > 0 {
            self.cx.record(Event::Stalled {
                stage: self.stage.to_owned(),
                wanted: seen.wanted.clone(),
                blockers: blockers.clone(),
            })?;
        }
        let ms = seen.wanted.as_ref().map_or(0, |wanted| wanted.ms);
        let ms = if ms == 0 { flying.ms } else { ms };
        let lines = [vec![format!("has waited {}", show_ms(ms))], behind(seen.wanted.as_ref(), &blockers)].concat();
        // What follows a line break is for a terminal only.
        self.cx.say(self.stage, &format!("{}\n{}", lines.join(", "), queries(&seen).join(", ")));
        Ok(())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Last) -> T) -> T {
        look(&mut self.last.lock().expect("invariant: nobody panics while noting who holds it up"))
    }

    /// The failure of a wait that was given up, with who held it up.
    fn named(&self, failure: Failure) -> Failure {
        // A proof that ended so tells it among what it saw.
        let seen = |code: &&str| failure.facts.iter().any(|fact| fact.contains(&format!("SQLSTATE {code}")));
        let given_up =
            failure.sqlstate.as_deref().is_some_and(|code| GIVEN_UP.contains(&code)) || GIVEN_UP.iter().any(seen);
        let unread = failure.facts.iter().any(|fact| fact.contains(" is unknown: cannot be read: "));
        if !given_up && !unread {
            return failure;
        }
        let Last { stall, blind } = self.with(std::mem::take);
        let Some(stall) = stall else {
            return match blind {
                Some(why) => failure.fact(format!("who held it up could not be asked: {why}")),
                None => failure,
            };
        };
        let blockers: Vec<_> = stall.behind.iter().map(|holding| holding.blocker.clone()).collect();
        let mut failure = behind(stall.wanted.as_ref(), &blockers).into_iter().fold(failure, Failure::fact);
        if let Some(hidden) = stall.behind.iter().find(|holding| !holding.shown && holding.blocker.pid != 0) {
            failure = failure.fact(format!(
                "of pid {}: its query is not shown to this role; GRANT pg_read_all_stats TO {}, by a superuser, shows it",
                hidden.blocker.pid, stall.role
            ));
        }
        let mut detail: Vec<String> = failure.detail.take().into_iter().collect();
        detail.extend(queries(&stall));
        failure.detail = (!detail.is_empty()).then(|| detail.join("\n  detail: "));
        failure
    }
}

/// So long a statement may be in flight.
fn patience(flying: &InFlight) -> u128 {
    match flying.lock_timeout {
        Duration::ZERO => PATIENCE,
        bound => PATIENCE.min(bound / 2),
    }
    .as_millis()
}

async fn look(lookout: &mut Option<(Watched, Lookout)>, watched: &Watched, pid: i32) -> Result<Stall, String> {
    let said = |failure: Failure| failure.what;
    let (_, lookout) = match lookout {
        Some(lookout) => lookout,
        none => none.insert((watched.clone(), watched.lookout().await.map_err(said)?)),
    };
    lookout.look(pid).await.map_err(said)
}

/// What the holders run, for the operator's own terminal.
fn queries(stall: &Stall) -> Vec<String> {
    let line = |holding: &crate::target::Holding| {
        let pid = holding.blocker.pid;
        match &holding.query {
            Some(query) if holding.blocker.state.as_deref() == Some("active") => {
                Some(format!("pid {pid} runs: {query}"))
            }
            Some(query) => Some(format!("pid {pid} ran last: {query}")),
            None if pid != 0 && !holding.shown => Some(format!(
                "pid {pid}: its query is not shown to this role (GRANT pg_read_all_stats TO {})",
                stall.role
            )),
            None => None,
        }
    };
    stall.behind.iter().filter_map(line).collect()
}
