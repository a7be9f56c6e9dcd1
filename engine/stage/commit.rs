//! The commit protocol: exactly once, or the run says that it does not know and stops.
//!
//! The xid is made durable before it is journaled: one that lives only in unflushed WAL is given to another
//! transaction after a crash, and its status would then be a stranger's.

use super::Cx;
use crate::crash;
use crate::event::{Event, Exit, Failure, StageState};
use crate::target::{CommitOutcome, WriteTx, Writer, identify};
use std::time::Duration;

/// Key of the lock that whoever writes a database holds; `apply.sql` of a packet takes the same.
pub const LOCK_KEY: &str = "engine: a stage or a packet is at work here";

/// Nobody else may run this stage meanwhile and, unless the target allows it, none at all on this database.
///
/// # Errors
/// Somebody does (exit 60), or the server's.
pub async fn stage_lock(tx: &WriteTx, target: &str, parallel: bool, stage: &str) -> Result<(), Failure> {
    let of_database = if parallel { "pg_try_advisory_xact_lock_shared" } else { "pg_try_advisory_xact_lock" };
    let sql = format!(
        "SELECT pg_catalog.{of_database}(pg_catalog.hashtextextended($1, 0)) \
         AND pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended($2, 0))"
    );
    let of_stage = format!("engine stage {stage}");
    if tx.query_one(&sql, &[&LOCK_KEY, &of_stage]).await?.get(0) {
        return Ok(());
    }
    Err(Failure::new(Exit::Held, format!("another session runs a stage on `{target}`"))
        .next("wait", "until the other session has ended, then the same command again")
        .changed("nothing was changed"))
}

/// What a transaction is of its stage: the event that says it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// All of it.
    Stage,
    /// One batch of it, from 1.
    Batch(u32),
}

impl Unit {
    fn committed(self, stage: &str, xid: Option<String>, open_ms: Option<u64>) -> Event {
        let stage = stage.to_owned();
        match self {
            Unit::Stage => Event::StageCommitted { stage, xid, open_ms },
            Unit::Batch(batch) => Event::BatchCommitted { stage, batch, xid, open_ms },
        }
    }
}

/// Makes the xid durable, journals the intent, commits once and asks what became of it.
///
/// # Errors
/// Rolled back by the server (75, or 40 with its reason), or the outcome is not known (50).
pub async fn commit(cx: &Cx, stage: &str, writer: &Writer, tx: WriteTx) -> Result<(), Failure> {
    commit_unit(cx, (stage, Unit::Stage), writer, tx).await
}

/// The same for a part of a stage.
///
/// # Errors
/// As `commit`.
pub async fn commit_unit(cx: &Cx, (stage, unit): (&str, Unit), writer: &Writer, tx: WriteTx) -> Result<(), Failure> {
    let xid = intend(cx, stage, writer, &tx).await.map_err(|failure| {
        let changed = format!("nothing of `{stage}` was committed");
        if failure.changed.is_none() { failure.changed(changed) } else { failure }
    })?;
    let open = tx.open_since();
    match tx.commit(xid.as_deref()).await {
        CommitOutcome::Committed => {}
        CommitOutcome::Aborted(why) => {
            let what = format!("COMMIT of stage `{stage}` was answered by a rollback");
            let failure = why.unwrap_or_else(|| Failure::new(Exit::Temporary, what));
            return Err(failure.changed(format!("nothing of `{stage}` was committed")));
        }
        CommitOutcome::Unknown(why) => {
            let xid = xid.as_deref().unwrap_or_default();
            cx.say(stage, &format!("COMMIT was sent, its answer never came ({}); asking the server", why.what));
            return if asked(cx, (stage, unit), writer, xid).await? {
                Ok(())
            } else {
                Err(why
                    .fact(format!("the server says that transaction {xid} was rolled back"))
                    .changed(format!("nothing of `{stage}` was committed")))
            };
        }
    }
    cx.record(unit.committed(stage, xid, Some(open.ms())))
}

/// Makes the transaction's id durable in the server and in the journal, if it has one.
async fn intend(cx: &Cx, stage: &str, writer: &Writer, tx: &WriteTx) -> Result<Option<String>, Failure> {
    tx.control("SET LOCAL synchronous_commit = on").await?;
    let xid = tx.xid().await?;
    if let Some(xid) = &xid {
        let identity = identify(tx).await?;
        crash::point(|| format!("commit/{stage}/xid"));
        writer.flush_wal().await?;
        crash::point(|| format!("commit/{stage}/flushed"));
        cx.record(Event::CommitIntended {
            stage: stage.to_owned(),
            xid: xid.clone(),
            system_identifier: identity.system_identifier,
            timeline: identity.timeline,
            database_oid: identity.oid,
        })?;
    }
    Ok(xid)
}

/// What became of a COMMIT without an answer, from a session of its own. True: it is committed.
async fn asked(cx: &Cx, (stage, unit): (&str, Unit), writer: &Writer, xid: &str) -> Result<bool, Failure> {
    let known = cx.with_state(|state| state.stage(stage));
    recover_unit(cx, (stage, unit), writer, &known).await.map_err(|failure| {
        if matches!(failure.exit, Exit::Stuck | Exit::WrongDatabase) {
            return failure;
        }
        let again = format!("engine resume {}   asks the server what became of it", cx.run);
        // Nobody has to look as long as the server has not been asked.
        Failure { next: vec![("then".to_owned(), again)], ..stuck(stage, xid, &failure.what) }
    })
}

/// What became of a stage's last attempt? True: it is committed.
///
/// # Errors
/// Another server (50), another database (63), or an answer nobody can rely on (50).
pub async fn recover(cx: &Cx, stage: &str, writer: &Writer, state: &StageState) -> Result<bool, Failure> {
    recover_unit(cx, (stage, Unit::Stage), writer, state).await
}

/// The same for a part of a stage.
///
/// # Errors
/// As `recover`.
pub async fn recover_unit(
    cx: &Cx,
    (stage, unit): (&str, Unit),
    writer: &Writer,
    state: &StageState,
) -> Result<bool, Failure> {
    let Some((xid, system_identifier, timeline, oid)) = &state.intent else {
        // No intent: it cannot have committed, but its backend may still be at it.
        if let Some((pid, started)) = &state.backend {
            wait_for_backend(stage, writer, *pid, started).await?;
        }
        return Ok(false);
    };
    let identity = writer.identity().await?;
    if identity.system_identifier != *system_identifier || identity.timeline != *timeline {
        return Err(stuck(stage, xid, "this is another server, or one that was restored or failed over since"));
    }
    if identity.oid != *oid {
        return Err(Failure::new(Exit::WrongDatabase, format!("stage `{stage}` was committed to another database"))
            .fact(format!("its oid was {oid}, this one has {}", identity.oid)));
    }
    let committed = ask(stage, writer, state, xid).await?;
    if committed {
        cx.record(unit.committed(stage, Some(xid.clone()), None))?;
    }
    Ok(committed)
}

/// Demands that what the journal calls committed is so: a server that was restored from a backup, or failed over to one
/// that lagged, does not have it. One too old to be known is fine. If others have taken its number since, nobody can tell.
///
/// # Errors
/// The server says otherwise (exit 50), or cannot be asked.
pub async fn still_committed(stage: &str, writer: &Writer, state: &StageState) -> Result<(), Failure> {
    let Some((xid, system_identifier, ..)) = &state.committed else { return Ok(()) };
    let said = if writer.identity().await?.system_identifier == *system_identifier {
        writer.xact_status(xid).await?
    } else {
        Some("another server".to_owned())
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

async fn ask(stage: &str, writer: &Writer, state: &StageState, xid: &str) -> Result<bool, Failure> {
    for round in 0..ROUNDS {
        match writer.xact_status(xid).await?.as_deref() {
            Some("committed") => return Ok(true),
            // In the future: it never became durable, and no stranger has its number yet.
            Some("aborted" | "future") => return Ok(false),
            Some("in progress") => wait(writer, state.backend.as_ref(), round).await,
            Some(other) => return Err(stuck(stage, xid, &format!("the server says `{other}`"))),
            None => return Err(stuck(stage, xid, "the server no longer knows that transaction")),
        }
    }
    Err(stuck(stage, xid, "it has been in progress for a minute and nobody ends it"))
}

async fn wait_for_backend(stage: &str, writer: &Writer, pid: i32, started: &str) -> Result<(), Failure> {
    for round in 0..ROUNDS {
        if !writer.backend_alive(pid, started).await? {
            return Ok(());
        }
        wait(writer, Some(&(pid, started.to_owned())), round).await;
    }
    Err(Failure::new(Exit::Held, format!("the backend of the last attempt of `{stage}` is still at work"))
        .fact(format!("backend {pid}, started {started}"))
        .next("end it", format!("psql -c 'SELECT pg_terminate_backend({pid})'")))
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

fn stuck(stage: &str, xid: &str, why: &str) -> Failure {
    Failure::new(Exit::Stuck, format!("whether stage `{stage}` was committed is not known: {why}"))
        .fact(format!("transaction {xid}"))
        .changed("it is either wholly there or not at all; nothing more was sent")
        .next("look", "compare the tables the stage writes with its bound, by hand")
}
