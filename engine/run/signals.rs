//! SIGINT and SIGTERM: nothing more is started, what is at work is cancelled and waited for, and what is left is said.

use crate::event::{Exit, Failure, RunState, Status};
use crate::stage::Stage;
use crate::target;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Who listens until a run does.
static EARLY: Mutex<Option<AbortHandle>> = Mutex::new(None);

/// A `sql` stage outside of any transaction.
const ALONE: &str = "outside of a transaction";

/// How long servers are waited for, until what they do for us is left to them.
const PATIENCE: Duration = Duration::from_secs(10);

/// SIGINT and SIGTERM.
pub struct Signals {
    int: tokio::signal::unix::Signal,
    term: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on they do not end the process.
    ///
    /// # Errors
    /// They cannot be listened to (exit 1).
    pub fn new() -> Result<Signals, Failure> {
        let signals = Signals::listen()?;
        if let Some(early) = EARLY.lock().unwrap_or_else(PoisonError::into_inner).take() {
            early.abort();
        }
        Ok(signals)
    }

    fn listen() -> Result<Signals, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let lost = |e: std::io::Error| Failure::new(Exit::Io, format!("signals cannot be listened to: {e}"));
        Ok(Signals {
            int: signal(SignalKind::interrupt()).map_err(lost)?,
            term: signal(SignalKind::terminate()).map_err(lost)?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.int.recv() => Exit::Interrupted,
            _ = self.term.recv() => Exit::Terminated,
        }
    }

    /// From now on the next one leaves at once; the journal says enough to resume.
    pub fn leave_at_next(mut self) {
        tokio::spawn(async move {
            let exit = self.next().await;
            std::process::exit(i32::from(exit.code()));
        });
    }
}

/// Until a run listens itself, a signal ends the process, and `told` is called before: nothing is at work yet. Servers may
/// take their time to answer by then.
///
/// # Errors
/// Signals cannot be listened to (exit 1).
pub fn until_at_work(told: impl FnOnce(Exit) + Send + 'static) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let early = tokio::spawn(async move {
        let exit = signals.next().await;
        told(exit);
        std::process::exit(i32::from(exit.code()));
    });
    *EARLY.lock().unwrap_or_else(PoisonError::into_inner) = Some(early.abort_handle());
    Ok(())
}

/// Drops what is at work, cancels it on its servers and waits. Answers how many sessions and programs did not answer.
pub async fn stop<T: 'static>(running: &mut tokio::task::JoinSet<T>) -> usize {
    // First nobody sends anything more, then what was sent is cancelled: the other way round a stage would go on after
    // a statement that failed, and write down what it made of that.
    target::end_begins();
    running.shutdown().await;
    target::cancel_all(PATIENCE).await
}

/// The same when what was at work has been dropped already.
pub async fn stop_all() -> usize {
    target::end_begins();
    target::cancel_all(PATIENCE).await
}

/// What a stage is at, for `left`: its kind, or that it is in no transaction.
pub fn work_of(stage: &dyn Stage) -> &'static str {
    if stage.work().is_some_and(|work| work.alone) { ALONE } else { stage.head().kind }
}

/// What became of the stages that were at work: a line each.
pub fn left(state: &RunState, at_work: &[(&str, &str)], silent: usize) -> Vec<String> {
    let mut lines: Vec<String> = at_work.iter().map(|(stage, kind)| of_stage(state, stage, kind)).collect();
    if silent > 0 {
        let seconds = PATIENCE.as_secs();
        lines.push(format!(
            "{silent} of our sessions or programs did not answer within {seconds} s: their server ends them when it \
             notices that we are gone"
        ));
    }
    lines
}

fn of_stage(state: &RunState, stage: &str, kind: &str) -> String {
    let known = state.stage(stage);
    if known.status == Status::Committed {
        return format!("`{stage}` is committed and stays so; its proofs are made again");
    }
    if known.intent.is_some() {
        return format!("`{stage}`: its COMMIT was sent or about to be; the server is asked what became of it");
    }
    match kind {
        ALONE => format!(
            "`{stage}` is in no transaction: what its statements did stands, and what is half done is cleared away"
        ),
        "sql" if known.batches > 0 => {
            format!("`{stage}`: its last batch was rolled back; {} before it are committed and stay", known.batches)
        }
        "sql" | "rollout" => format!("`{stage}` was rolled back"),
        "clone" if known.half.is_some() => format!("`{stage}` left half a clone, which is gone on with"),
        "clone" => format!("`{stage}` is not made; it is begun anew, and what is half made is dropped"),
        "rehearse" => format!("`{stage}` is rehearsed anew; what is left of its copy is dropped"),
        _ => format!("`{stage}` only read; it is done again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn what_is_left_is_said_by_what_the_journal_knows() {
        let stage = || "a".to_owned();
        let mut state = RunState::default();
        let said = |state: &RunState, kind: &str| left(state, &[("a", kind)], 0).concat();
        assert_eq!(said(&state, "sql"), "`a` was rolled back");
        assert_eq!(said(&state, "check"), "`a` only read; it is done again");
        assert!(said(&state, ALONE).contains("stands"));
        let (xid, system_identifier) = ("7".to_owned(), "1".to_owned());
        state.apply(&Event::CommitIntended { stage: stage(), xid, system_identifier, timeline: 1, database_oid: 1 });
        assert!(said(&state, "sql").contains("what became of it"));
        state.apply(&Event::StageCommitted { stage: stage(), xid: None, open_ms: None });
        assert!(said(&state, "sql").contains("committed and stays so"));
        assert!(left(&state, &[], 2)[0].starts_with("2 of our sessions"));
    }
}
