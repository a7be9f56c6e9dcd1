//! SIGINT, SIGTERM and SIGHUP: nothing more is started, what is at work is cancelled and waited for, and what is left is said.
//!
//! A thread of its own hears them, whatever a run waits for. The first is the run's affair, which looks at `came`; a run that
//! comes to no end after it is left, and so is any at the second: the journal says enough to resume.

use crate::event::{Event, Exit, Failure, RunState, Status};
use crate::stage::{Cx, Stage};
use crate::target;
use std::sync::mpsc::SyncSender;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A `sql` stage outside of any transaction.
const ALONE: &str = "outside of a transaction";

/// How long servers are waited for, until what they do for us is left to them.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the journal is waited for after a signal: without it there is no end in good order.
const JOURNAL_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// How long a run may take to its end in good order: the servers' time, and as much again for all that is written down.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// The first signal, once a run is at work.
static FIRST: LazyLock<watch::Sender<Option<Exit>>> = LazyLock::new(|| watch::channel(None).0);

static HEARING: Mutex<Hearing> = Mutex::new(Hearing::Nobody);

type Told = Box<dyn FnOnce(Exit, Cut) + Send>;

/// What a signal finds.
enum Hearing {
    /// Nobody listens.
    Nobody,
    /// No run is at work yet.
    Early(Told),
    /// A run is.
    AtWork(Told, String),
    /// The process ends.
    Leaving,
}

/// How a process is left at a signal when no run does it in good order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// No stage was at work yet.
    BeforeWork,
    /// The run of that id came to no end.
    Unended {
        /// Its id.
        run: String,
        /// Why, in words that go on a sentence.
        why: String,
    },
}

fn hearing<T>(with: impl FnOnce(&mut Hearing) -> T) -> T {
    with(&mut HEARING.lock().unwrap_or_else(PoisonError::into_inner))
}

/// From here on a signal ends the process, and `told` is called before: at once until a run is `at_work`, and then when the
/// run does not end by itself. Servers may take their time to answer by then.
///
/// # Errors
/// Signals cannot be listened to (exit 1).
pub fn until_at_work(told: impl FnOnce(Exit, Cut) + Send + 'static) -> Result<(), Failure> {
    let lost = |e: &dyn std::fmt::Display| Failure::new(Exit::Io, format!("signals cannot be listened to: {e}"));
    hearing(|now| *now = Hearing::Early(Box::new(told)));
    let (ready, listens) = std::sync::mpsc::sync_channel(1);
    let hears = std::thread::Builder::new().name("signals".to_owned()).spawn(move || hear(&ready));
    hears.map_err(|e| lost(&e))?;
    listens.recv().map_err(|e| lost(&e))?.map_err(|e| lost(&e))
}

/// From now on the first signal is for the run of that id: it awaits `came`.
pub async fn at_work(run: &str) {
    let leaving = hearing(|now| {
        let before = std::mem::replace(now, Hearing::Leaving);
        let leaving = matches!(before, Hearing::Leaving);
        *now = match before {
            Hearing::Early(told) => Hearing::AtWork(told, run.to_owned()),
            other => other,
        };
        leaving
    });
    if leaving {
        // Somebody is just told that nothing was at work.
        std::future::pending::<()>().await;
    }
}

/// The run came to its end in good order: nobody says anything else of it.
pub fn all_is_said() {
    hearing(|now| *now = Hearing::Leaving);
}

/// Waits for the first signal; at once if it came.
pub async fn came() -> Exit {
    let mut first = FIRST.subscribe();
    loop {
        if let Some(exit) = *first.borrow_and_update() {
            return exit;
        }
        // Who sends is there as long as the process.
        let _ = first.changed().await;
    }
}

/// The first signal, if it came.
pub fn first() -> Option<Exit> {
    *FIRST.borrow()
}

/// The thread that hears: what it does depends on nothing else.
fn hear(ready: &SyncSender<std::io::Result<()>>) {
    use tokio::signal::unix::{SignalKind, signal};
    let listening = || -> std::io::Result<_> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let within = runtime.enter();
        let hup = if ignored_from_the_start(HUP) { None } else { Some(signal(SignalKind::hangup())?) };
        let all = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, hup);
        drop(within);
        Ok((runtime, all))
    };
    let (runtime, (mut int, mut term, mut hup)) = match listening() {
        Ok(listening) => listening,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let _ = ready.send(Ok(()));
    let mut next = || {
        let hung_up = async {
            match &mut hup {
                Some(hup) => drop(hup.recv().await),
                None => std::future::pending().await,
            }
        };
        runtime.block_on(async {
            tokio::select! {
                _ = int.recv() => Exit::Interrupted,
                _ = term.recv() => Exit::Terminated,
                () = hung_up => Exit::HungUp,
            }
        })
    };
    let first = next();
    // What is said may be waited for as well: by a terminal that was stopped.
    std::thread::spawn(move || heard(first));
    // A terminal that goes away says so more than once, its shell and the kernel: nobody is impatient then.
    loop {
        let again = next();
        if again != Exit::HungUp {
            leave(again);
        }
    }
}

/// Its number, on every system.
const HUP: u32 = 1;

/// Whoever started us did not want us to hear that signal, such as `nohup`. Where nobody tells, it is left as it is.
fn ignored_from_the_start(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask & (1 << (signal - 1)) != 0)
}

fn heard(exit: Exit) {
    let early = hearing(|now| match std::mem::replace(now, Hearing::Leaving) {
        Hearing::Early(told) => Some(told),
        other => {
            *now = other;
            None
        }
    });
    if let Some(told) = early {
        told(exit, Cut::BeforeWork);
        leave(exit);
    }
    FIRST.send_replace(Some(exit));
    let why = unended();
    if let Hearing::AtWork(told, run) = hearing(|now| std::mem::replace(now, Hearing::Leaving)) {
        told(exit, Cut::Unended { run, why });
    }
    leave(exit);
}

/// Waits for longer than a run needs to end in good order; why it does not.
fn unended() -> String {
    let since = Instant::now();
    while since.elapsed() < ENDS_WITHIN {
        if target::unanswered_for().is_some_and(|silent| silent.min(since.elapsed()) >= JOURNAL_ANSWERS_WITHIN) {
            return "the journal does not answer".to_owned();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    format!("the run did not come to its end within {} s", ENDS_WITHIN.as_secs())
}

fn leave(exit: Exit) -> ! {
    std::process::exit(i32::from(exit.code()))
}

/// Drives `work` to its end; or, at a signal, drops it, cancels on its servers what it did there, and waits. Answers the signal
/// and how many sessions and programs did not answer.
pub async fn unless_it_comes<T>(work: impl Future<Output = T>) -> Result<T, (Exit, usize)> {
    let mut work = Box::pin(work);
    tokio::select! {
        biased;
        exit = came() => {
            // What uses a session is dropped when it is known that it is cancelled, else it would only be left.
            target::end_begins();
            drop(work);
            Err((exit, target::cancel_all(PATIENCE).await))
        }
        ended = &mut work => Ok(ended),
    }
}

/// Drops what is at work, cancels it on its servers and waits. Answers how many sessions and programs did not answer.
pub async fn stop<T: 'static>(running: &mut tokio::task::JoinSet<T>) -> usize {
    // First nobody sends anything more, then what was sent is cancelled: the other way round a stage would go on after
    // a statement that failed, and write down what it made of that.
    target::end_begins();
    running.shutdown().await;
    target::cancel_all(PATIENCE).await
}

/// Writes down that a signal came, and what is left.
///
/// # Errors
/// The journal cannot be written.
pub fn interrupted(cx: &Cx, exit: Exit, left: Vec<String>) -> Result<(), Failure> {
    cx.record(Event::Interrupted { signal: exit.signal().to_owned(), left })
}

/// What a stage is at, for `left`: its kind, or that it is in no transaction.
pub fn work_of(stage: &dyn Stage) -> &'static str {
    if stage.work().is_some_and(|work| work.alone) { ALONE } else { stage.head().kind }
}

/// What became of the stages that were at work: a line each.
pub fn left(state: &RunState, at_work: &[(&str, &str)], silent: usize) -> Vec<String> {
    let lines = at_work.iter().map(|(stage, kind)| of_stage(state, stage, kind));
    lines.chain(of_silent(silent)).collect()
}

/// The same of rollbacks under way: stages, and whether each is outside of a transaction.
pub fn left_back(state: &RunState, under_way: &[(&str, bool)], silent: usize) -> Vec<String> {
    let lines = under_way.iter().map(|(stage, alone)| of_rollback(state, stage, *alone));
    lines.chain(of_silent(silent)).collect()
}

fn of_rollback(state: &RunState, stage: &str, alone: bool) -> String {
    let undo = state.stage(stage).undo;
    if undo.as_ref().is_some_and(|undo| undo.committed) {
        return format!("`{stage}`: its rollback is committed and stays so; what goes with it is done next");
    }
    if undo.as_ref().is_some_and(|undo| undo.intent.is_some()) {
        return format!(
            "`{stage}`: the COMMIT of its rollback was sent or about to be; the server is asked what became of it"
        );
    }
    match undo {
        Some(_) if alone => format!(
            "`{stage}`: its rollback is in no transaction: what its statements did stands, and all are sent again"
        ),
        Some(_) => format!("`{stage}` stands as it was: its rollback was rolled back"),
        None => format!("`{stage}` stands as it was: nothing of its rollback was sent"),
    }
}

fn of_silent(silent: usize) -> Option<String> {
    let seconds = PATIENCE.as_secs();
    (silent > 0).then(|| {
        format!(
            "{silent} of our sessions or programs did not answer within {seconds} s: their server ends them when it \
             notices that we are gone"
        )
    })
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
        "sql" if known.batches == 1 => {
            format!("`{stage}`: its last batch was rolled back; 1 before it is committed and stays")
        }
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

    #[test]
    fn what_is_left_of_a_rollback_is_said_by_what_the_journal_knows() {
        let stage = || "a".to_owned();
        let mut state = RunState::default();
        let said = |state: &RunState, alone: bool| left_back(state, &[("a", alone)], 0).concat();
        assert_eq!(said(&state, false), "`a` stands as it was: nothing of its rollback was sent");
        let (attempt, backend_pid, backend_start) = (1, 7, String::new());
        state.apply(&Event::UndoStarted { stage: stage(), attempt, backend_pid, backend_start });
        assert_eq!(said(&state, false), "`a` stands as it was: its rollback was rolled back");
        assert!(said(&state, true).contains("what its statements did stands"));
        let (xid, system_identifier) = ("7".to_owned(), "1".to_owned());
        state.apply(&Event::UndoIntended { stage: stage(), xid, system_identifier, timeline: 1, database_oid: 1 });
        assert!(said(&state, false).contains("what became of it"));
        state.apply(&Event::UndoCommitted { stage: stage(), xid: None, open_ms: None });
        assert!(said(&state, false).contains("committed and stays so"));
        assert!(left_back(&state, &[], 1)[0].starts_with("1 of our sessions"));
    }
}
