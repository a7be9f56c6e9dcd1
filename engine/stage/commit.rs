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
    tx.control("SET LOCAL synchronous_commit = on").await?;
    let xid = tx.xid().await?;
    if let Some(xid) = &xid {
        let identity = identify(&tx).await?;
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
    let open = tx.open_since();
    match tx.commit(xid.as_deref()).await {
        CommitOutcome::Committed => {}
        CommitOutcome::Aborted => {
            return Err(Failure::new(Exit::Temporary, format!("COMMIT of stage `{stage}` was answered by a rollback"))
                .changed(format!("nothing of `{stage}` was committed")));
        }
        CommitOutcome::Unknown(why) => {
            let xid = xid.as_deref().unwrap_or_default();
            cx.say(stage, &format!("COMMIT was sent, its answer never came ({why}); asking the server"));
            let known = cx.with_state(|state| state.stage(stage));
            let committed = match recover_unit(cx, (stage, unit), writer, &known).await {
                Ok(committed) => committed,
                Err(failure) if failure.exit == Exit::Stuck => return Err(failure),
                Err(failure) => {
                    return Err(stuck(stage, xid, &failure.what)
                        .next("ask again", format!("engine resume {}   asks the server what became of it", cx.run)));
                }
            };
            if committed {
                return Ok(());
            }
            return Err(Failure::new(Exit::Temporary, format!("the connection broke at COMMIT of stage `{stage}`"))
                .fact(format!("the server says that transaction {xid} was rolled back"))
                .changed(format!("nothing of `{stage}` was committed")));
        }
    }
    cx.record(unit.committed(stage, xid, Some(open.ms())))
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
    let committed = ask(stage, writer, xid).await?;
    if committed {
        cx.record(unit.committed(stage, Some(xid.clone()), None))?;
    }
    Ok(committed)
}

async fn ask(stage: &str, writer: &Writer, xid: &str) -> Result<bool, Failure> {
    // A backend that lost its client ends within client_connection_check_interval; a minute is generous.
    for _ in 0..120 {
        match writer.xact_status(xid).await?.as_deref() {
            Some("committed") => return Ok(true),
            // In the future: it never became durable, and no stranger has its number yet.
            Some("aborted" | "future") => return Ok(false),
            Some("in progress") => tokio::time::sleep(Duration::from_millis(500)).await,
            Some(other) => return Err(stuck(stage, xid, &format!("the server says `{other}`"))),
            None => return Err(stuck(stage, xid, "the server no longer knows that transaction")),
        }
    }
    Err(stuck(stage, xid, "it has been in progress for a minute and nobody ends it"))
}

async fn wait_for_backend(stage: &str, writer: &Writer, pid: i32, started: &str) -> Result<(), Failure> {
    for _ in 0..120 {
        if !writer.backend_alive(pid, started).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(Failure::new(Exit::Held, format!("the backend of the last attempt of `{stage}` is still at work"))
        .fact(format!("backend {pid}, started {started}"))
        .next("end it", format!("psql -c 'SELECT pg_terminate_backend({pid})'")))
}

fn stuck(stage: &str, xid: &str, why: &str) -> Failure {
    Failure::new(Exit::Stuck, format!("whether stage `{stage}` was committed is not known: {why}"))
        .fact(format!("transaction {xid}"))
        .changed("it is either wholly there or not at all; nothing more was sent")
        .next("look", "compare the tables the stage writes with its bound, by hand")
}
