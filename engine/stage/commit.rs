//! The commit protocol: exactly once, or the run says that it does not know and stops.
//!
//! The xid is made durable before it is journaled: one that lives only in unflushed WAL is given to another
//! transaction after a crash, and its status would then be a stranger's.

use super::Cx;
use crate::crash;
use crate::event::{Event, Exit, Failure, Identity, Intent, StageState};
use crate::target::{Alone, CommitOutcome, Says, WriteTx, Writer, identify, of_run};
use futures_util::future::try_join;
use std::time::Duration;

/// Key of the lock that whoever writes a database holds; `apply.sql` of a packet takes the same.
pub const LOCK_KEY: &str = "engine: a stage or a packet is at work here";

/// Which of a stage's transactions: its own, one of its batches, or that of its rollback. All are committed by the same
/// protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The stage.
    Forward,
    /// One batch of it, from 1.
    Batch(u32),
    /// Its rollback.
    Back,
}

impl Way {
    /// For people.
    fn of(self, stage: &str) -> String {
        match self {
            Way::Forward => format!("stage `{stage}`"),
            Way::Batch(batch) => format!("batch {batch} of stage `{stage}`"),
            Way::Back => format!("the rollback of `{stage}`"),
        }
    }

    /// How crash points are called.
    fn place(self) -> &'static str {
        match self {
            Way::Forward | Way::Batch(_) => "commit",
            Way::Back => "undo",
        }
    }

    fn intended(self, stage: String, xid: String, at: Identity) -> Event {
        let (system_identifier, timeline, database_oid) = (at.system_identifier, at.timeline, at.oid);
        match self {
            Way::Forward | Way::Batch(_) => {
                Event::CommitIntended { stage, xid, system_identifier, timeline, database_oid }
            }
            Way::Back => Event::UndoIntended { stage, xid, system_identifier, timeline, database_oid },
        }
    }

    fn committed(self, stage: String, xid: Option<String>, open_ms: Option<u64>) -> Event {
        match self {
            Way::Forward => Event::StageCommitted { stage, xid, open_ms },
            Way::Batch(batch) => Event::BatchCommitted { stage, batch, xid, open_ms },
            Way::Back => Event::UndoCommitted { stage, xid, open_ms },
        }
    }

    /// What the last attempt left: its intent, its backend.
    fn left(self, state: &StageState) -> (Option<&Intent>, Option<&(i32, String)>) {
        match self {
            Way::Forward | Way::Batch(_) => (state.intent.as_ref(), state.backend.as_ref()),
            Way::Back => {
                let undo = state.undo.as_ref();
                (undo.and_then(|undo| undo.intent.as_ref()), undo.and_then(|undo| undo.backend.as_ref()))
            }
        }
    }
}

/// Nobody else may run this stage meanwhile and, unless the target allows it, none at all on this database.
///
/// # Errors
/// Somebody does (exit 60), or the server's.
pub async fn stage_lock(tx: &WriteTx, target: &str, parallel: bool, stage: &str) -> Result<(), Failure> {
    let sql = if parallel {
        "SELECT pg_catalog.pg_try_advisory_xact_lock_shared(pg_catalog.hashtextextended($1, 0)) \
         AND pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended($2, 0))"
    } else {
        "SELECT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended($1, 0)) \
         AND pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended($2, 0))"
    };
    let of_stage = format!("engine stage {stage}");
    if tx.ask_one(sql, &[&LOCK_KEY, &of_stage]).await?.get(0) {
        return Ok(());
    }
    Err(locked(target, tx.others_with(&[LOCK_KEY, &of_stage]).await?))
}

/// The same on a session outside of any transaction, for as long as it lives.
///
/// # Errors
/// As `stage_lock`.
pub async fn stage_lock_alone(alone: &Alone, target: &str, parallel: bool, stage: &str) -> Result<(), Failure> {
    let of_stage = format!("engine stage {stage}");
    if alone.lock(&[(LOCK_KEY, parallel), (&of_stage, false)]).await? {
        return Ok(());
    }
    Err(locked(target, alone.others_with(&[LOCK_KEY, &of_stage]).await?))
}

/// `others`: who was seen to hold it. They may have ended since.
fn locked(target: &str, others: Vec<String>) -> Failure {
    let failure = Failure::new(Exit::Held, format!("another session runs a stage on `{target}`"));
    let held = |failure: Failure, other| failure.fact(format!("held by {other}"));
    others
        .into_iter()
        .fold(failure, held)
        .next("wait", "until the other session has ended, then the same command again")
        .changed("nothing was changed")
}

/// Makes the xid durable, journals the intent, commits once and asks what became of it.
///
/// # Errors
/// Rolled back by the server (75, or 40 with its reason), or the outcome is not known (50).
pub async fn commit(cx: &Cx, stage: &str, writer: &Writer, tx: WriteTx) -> Result<(), Failure> {
    commit_on(Way::Forward, cx, stage, writer, tx).await
}

/// The same for any of a stage's transactions.
///
/// # Errors
/// As `commit`.
pub async fn commit_on(way: Way, cx: &Cx, stage: &str, writer: &Writer, tx: WriteTx) -> Result<(), Failure> {
    let what = way.of(stage);
    let nothing = match way {
        Way::Forward => format!("nothing of `{stage}` was committed"),
        Way::Batch(_) | Way::Back => format!("nothing of {what} was committed"),
    };
    let xid = intend(way, cx, stage, writer, &tx).await.map_err(|failure| {
        let changed = nothing.clone();
        if failure.changed.is_none() { failure.changed(changed) } else { failure }
    })?;
    let open = tx.open_since();
    match tx.commit(xid.as_deref()).await {
        CommitOutcome::Committed => {}
        CommitOutcome::Aborted(why) => {
            aborted(cx, stage, xid)?;
            let what = format!("COMMIT of {what} was answered by a rollback");
            let failure = why.unwrap_or_else(|| Failure::new(Exit::Temporary, what));
            return Err(failure.changed(nothing));
        }
        CommitOutcome::Unknown(why) => {
            let xid = xid.as_deref().unwrap_or_default();
            cx.say(stage, &format!("COMMIT was sent, its answer never came ({}); asking the server", why.what));
            return if asked(way, cx, stage, writer, xid).await? {
                Ok(())
            } else {
                Err(why.fact(format!("the server says that transaction {xid} was rolled back")).changed(nothing))
            };
        }
    }
    cx.record(way.committed(stage.to_owned(), xid, Some(open.ms())))
}

/// Makes the transaction's id durable in the server and in the journal, if it has one.
async fn intend(way: Way, cx: &Cx, stage: &str, writer: &Writer, tx: &WriteTx) -> Result<Option<String>, Failure> {
    if way == Way::Back { cx.alone() } else { cx.alone_forward() }?;
    tx.look_up(Says::Engine).await?;
    let (xid, identity) = try_join(tx.xid(), identify(tx)).await?;
    if let Some(xid) = &xid {
        crash::point(|| format!("{}/{stage}/xid", way.place()));
        writer.flush_wal().await?;
        crash::point(|| format!("{}/{stage}/flushed", way.place()));
        cx.record(way.intended(stage.to_owned(), xid.clone(), identity))?;
    }
    Ok(xid)
}

/// How often a server that cannot be asked is tried again, twice a second.
const ASKED_AGAIN: u32 = 6;

/// What became of a COMMIT without an answer, from a session of its own. True: it is committed.
async fn asked(way: Way, cx: &Cx, stage: &str, writer: &Writer, xid: &str) -> Result<bool, Failure> {
    let known = cx.with_state(|state| state.stage(stage));
    let mut round = 0;
    let outcome = loop {
        // What cut the one connection may have cut those in the pool as well.
        match recover_on(way, cx, stage, writer, &known).await {
            Err(failure) if waits_for_standby(&failure) => return Err(failure),
            Err(failure) if failure.exit == Exit::Temporary && round < ASKED_AGAIN => {
                round += 1;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            outcome => break outcome,
        }
    };
    outcome.map_err(|failure| {
        if failure.exit == Exit::Stuck {
            return failure;
        }
        let verb = if way == Way::Back { "rollback" } else { "resume" };
        let again = format!("engine {verb} {}   asks the server what became of it", cx.run);
        // Nobody has to look as long as the server has not been asked.
        let stuck = failure.facts.into_iter().fold(stuck(&way.of(stage), xid, &failure.what), Failure::fact);
        Failure { next: vec![("then".to_owned(), again)], ..stuck }
    })
}

/// What became of a stage's last attempt? True: it is committed.
///
/// # Errors
/// Another server (50), another database (63), or an answer nobody can rely on (50).
pub async fn recover(cx: &Cx, stage: &str, writer: &Writer, state: &StageState) -> Result<bool, Failure> {
    recover_on(Way::Forward, cx, stage, writer, state).await
}

/// The same for any of a stage's transactions.
///
/// # Errors
/// As `recover`.
pub async fn recover_on(way: Way, cx: &Cx, stage: &str, writer: &Writer, state: &StageState) -> Result<bool, Failure> {
    let committed = outcome(way, stage, writer, state).await?;
    let xid = way.left(state).0.map(|(xid, ..)| xid.clone());
    if committed {
        cx.record(way.committed(stage.to_owned(), xid, None))?;
    } else {
        aborted(cx, stage, xid)?;
    }
    Ok(committed)
}

/// What a server has said once is not asked again: it may fail over, or forget.
fn aborted(cx: &Cx, stage: &str, xid: Option<String>) -> Result<(), Failure> {
    xid.map_or(Ok(()), |xid| cx.record(Event::CommitAborted { stage: stage.to_owned(), xid }))
}

/// What became of a stage's last attempt, before anybody takes the run up? True: it is committed.
///
/// # Errors
/// As `recover`.
pub async fn is_committed(stage: &str, writer: &Writer, state: &StageState) -> Result<bool, Failure> {
    outcome(Way::Forward, stage, writer, state).await
}

async fn outcome(way: Way, stage: &str, writer: &Writer, state: &StageState) -> Result<bool, Failure> {
    let what = way.of(stage);
    let (intent, backend) = way.left(state);
    let Some((xid, system_identifier, timeline, oid)) = intent else {
        // No intent: it cannot have committed, but its backend may still be at it.
        if let Some((pid, started)) = backend {
            wait_for_backend(&what, writer, *pid, started).await?;
        }
        return Ok(false);
    };
    let identity = writer.identity().await?;
    if identity.system_identifier != *system_identifier || identity.timeline != *timeline {
        return Err(stuck(&what, xid, "this is another server, or one that was restored or failed over since")
            .next("or", "where it was a clone, start anew: engine drop RUN, engine apply PLAN"));
    }
    if identity.oid != *oid {
        return Err(Failure::new(Exit::WrongDatabase, format!("{what} was committed to another database"))
            .fact(format!("its oid was {oid}, this one has {}", identity.oid)));
    }
    ask(&what, writer, backend, xid).await
}

/// Demands that what the journal calls committed is so: a server that was restored from a backup, or failed over to one
/// that lagged, does not have it. One too old to be known is fine. On another timeline its number may be somebody else's by
/// now. If others have taken it since on the same one, nobody can tell.
///
/// # Errors
/// The server says otherwise (exit 50), or cannot be asked.
pub async fn still_committed(stage: &str, writer: &Writer, state: &StageState) -> Result<(), Failure> {
    let Some((xid, system_identifier, timeline, _)) = &state.held else { return Ok(()) };
    let now = writer.identity().await?;
    let said = if now.system_identifier != *system_identifier {
        Some("another server".to_owned())
    } else if now.timeline != *timeline {
        return Err(another_timeline(stage, xid, (*timeline, now.timeline)));
    } else {
        writer.xact_status(xid).await?
    };
    match said.as_deref() {
        Some("committed") | None => Ok(()),
        Some(said) => {
            Err(Failure::new(Exit::Stuck, format!("stage `{stage}` was committed, and its server has lost it"))
                .fact(format!("transaction {xid}, of which it says: {said}"))
                .fact("it was restored from a backup, or it took over for one that it had not followed to the end")
                .changed("nothing was changed")
                .next("look", "compare the tables the stage writes with its bound, by hand")
                .next("or", "where it was a clone, start anew: engine drop RUN, engine apply PLAN"))
        }
    }
}

fn another_timeline(stage: &str, xid: &str, (then, now): (i32, i32)) -> Failure {
    let what = format!("stage `{stage}` was committed, and whether its server still has it is not known");
    Failure::new(Exit::Stuck, what)
        .fact(format!("transaction {xid} of timeline {then}; the server is on timeline {now} now"))
        .fact(
            "it was restored from a backup, or it took over for another one: that number may be another transaction's",
        )
        .changed("nothing was changed")
        .next("look", "compare the tables the stage writes with its bound, by hand")
        .next("or", "where it was a clone, start anew: engine drop RUN, engine apply PLAN")
}

async fn ask(what: &str, writer: &Writer, backend: Option<&(i32, String)>, xid: &str) -> Result<bool, Failure> {
    for round in 0..ROUNDS {
        match writer.xact_status(xid).await?.as_deref() {
            Some("committed") => return Ok(true),
            // In the future: it never became durable, and no stranger has its number yet.
            Some("aborted" | "future") => return Ok(false),
            Some("in progress") => {
                if round >= PATIENCE
                    && let Some((pid, started)) = backend
                    && writer.waits_for_standby(*pid, started).await?
                {
                    return Err(standby(what, xid, *pid));
                }
                wait(writer, backend, round).await;
            }
            Some(other) => return Err(stuck(what, xid, &format!("the server says `{other}`"))),
            None => {
                return Err(stuck(what, xid, "the server has forgotten how that transaction ended")
                    .fact("it is older than all that its pg_xact keeps: VACUUM has frozen what it wrote, if it wrote anything")
                    .next("or", "where it was a clone, start anew: engine drop RUN, engine apply PLAN"));
            }
        }
    }
    Err(stuck(what, xid, "it has been in progress for a minute and nobody ends it")
        .next("then", "the same command again, which asks anew"))
}

const WAITS_FOR_STANDBY: &str = "waits for a synchronous standby";

/// Is its transaction committed on its server, and waits there? Then it is open as long as it does.
pub fn waits_for_standby(failure: &Failure) -> bool {
    failure.exit == Exit::Temporary && failure.what.ends_with(WAITS_FOR_STANDBY)
}

/// To end its backend would end the waiting, not the commit: then nobody would learn that the standby has it not.
fn standby(what: &str, xid: &str, pid: i32) -> Failure {
    Failure::new(Exit::Temporary, format!("COMMIT of {what} {WAITS_FOR_STANDBY}"))
        .fact(format!(
            "transaction {xid} of backend {pid}: committed on its server, and not yet where it is to be as well"
        ))
        .changed("it was left to wait; nothing more was sent")
        .next("then", "the same command again, when the standby is there")
}

async fn wait_for_backend(what: &str, writer: &Writer, pid: i32, started: &str) -> Result<(), Failure> {
    for round in 0..ROUNDS {
        if !writer.backend_alive(pid, started).await? {
            return Ok(());
        }
        wait(writer, Some(&(pid, started.to_owned())), round).await;
    }
    Err(Failure::new(Exit::Held, format!("the backend of the last attempt of {what} is still at work"))
        .fact(format!("backend {pid}, started {started}"))
        .next("end it", format!("psql -c 'SELECT pg_terminate_backend({pid})'")))
}

/// After an attempt that did not commit: waits until its backend has let go. Where the connection was lost it may still be at
/// it, and draw from sequences.
///
/// # Errors
/// It is still at work (60), or nobody can be asked.
pub async fn let_go(way: Way, cx: &Cx, stage: &str, writer: &Writer) -> Result<(), Failure> {
    let known = cx.with_state(|state| state.stage(stage));
    let Some((pid, started)) = way.left(&known).1 else { return Ok(()) };
    for round in 0..ROUNDS {
        if !writer.backend_at_work(*pid, started).await? {
            return Ok(());
        }
        wait(writer, Some(&(*pid, started.clone())), round).await;
    }
    Err(Failure::new(Exit::Held, format!("the backend of the last attempt of {} is still at work", way.of(stage)))
        .fact(format!("backend {pid}, started {started}")))
}

/// Before a run that is taken up goes on: waits for the transactions of proofs that a process of it that is gone has left open,
/// which no journal knows of. They draw from sequences and hold locks.
///
/// # Errors
/// The server's. Who is there for longer is met as anybody else.
pub async fn nobody_left(run: &str, writer: &Writer) -> Result<(), Failure> {
    for round in 0..2 * PATIENCE {
        let left = writer.holders_of(&of_run(run)).await?;
        if left.is_empty() {
            return Ok(());
        }
        for (pid, started) in left.iter().filter(|_| round == PATIENCE) {
            let _ = writer.end_backend(*pid, started).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// How often a server is asked, twice a second.
const ROUNDS: u32 = 120;

/// A backend that sees that its client is gone ends within `client_connection_check_interval`. One that is idle in its
/// transaction does not look, and behind half a connection it would stay for hours: after five seconds it is ended.
/// Whatever it was about, it is asked about afterwards.
const PATIENCE: u32 = 10;

async fn wait(writer: &Writer, backend: Option<&(i32, String)>, round: u32) {
    if let Some((pid, started)) = backend.filter(|_| round == PATIENCE) {
        // Not ours to end, or gone by now: the next answers tell.
        let _ = writer.end_backend(*pid, started).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
}

fn stuck(what: &str, xid: &str, why: &str) -> Failure {
    Failure::new(Exit::Stuck, format!("whether {what} was committed is not known: {why}"))
        .fact(format!("transaction {xid}"))
        .changed("it is either wholly there or not at all; nothing more was sent")
        .next("look", "compare the tables the stage writes with its bound, by hand")
}
