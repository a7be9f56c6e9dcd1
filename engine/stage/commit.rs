//! The commit protocol: exactly once, or the run says that it does not know and stops.
//!
//! The xid is made durable before it is journaled: one that lives only in unflushed WAL is given to another
//! transaction after a crash, and its status would then be a stranger's.

use super::Cx;
use crate::crash;
use crate::event::{Event, Exit, Failure, Identity, Intent, StageState};
use crate::target::{CommitOutcome, WriteTx, Writer, identify};
use std::time::Duration;

/// Key of the lock that whoever writes a database holds; `apply.sql` of a packet takes the same.
pub const LOCK_KEY: &str = "engine: a stage or a packet is at work here";

/// Which of a stage's transactions: its own, or that of its rollback. Both are committed by the same protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The stage.
    Forward,
    /// Its rollback.
    Back,
}

impl Way {
    /// For people.
    fn of(self, stage: &str) -> String {
        match self {
            Way::Forward => format!("stage `{stage}`"),
            Way::Back => format!("the rollback of `{stage}`"),
        }
    }

    /// How crash points are called.
    fn place(self) -> &'static str {
        match self {
            Way::Forward => "commit",
            Way::Back => "undo",
        }
    }

    fn intended(self, stage: String, xid: String, at: Identity) -> Event {
        let (system_identifier, timeline, database_oid) = (at.system_identifier, at.timeline, at.oid);
        match self {
            Way::Forward => Event::CommitIntended { stage, xid, system_identifier, timeline, database_oid },
            Way::Back => Event::UndoIntended { stage, xid, system_identifier, timeline, database_oid },
        }
    }

    fn committed(self, stage: String, xid: Option<String>, open_ms: Option<u64>) -> Event {
        match self {
            Way::Forward => Event::StageCommitted { stage, xid, open_ms },
            Way::Back => Event::UndoCommitted { stage, xid, open_ms },
        }
    }

    /// What the last attempt left: its intent, its backend.
    fn left(self, state: &StageState) -> (Option<&Intent>, Option<&(i32, String)>) {
        match self {
            Way::Forward => (state.intent.as_ref(), state.backend.as_ref()),
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

/// Makes the xid durable, journals the intent, commits once and asks what became of it.
///
/// # Errors
/// Rolled back by the server (75, or 40 with its reason), or the outcome is not known (50).
pub async fn commit(cx: &Cx, stage: &str, writer: &Writer, tx: WriteTx) -> Result<(), Failure> {
    commit_on(Way::Forward, cx, stage, writer, tx).await
}

/// The same for either way.
///
/// # Errors
/// As `commit`.
pub async fn commit_on(way: Way, cx: &Cx, stage: &str, writer: &Writer, tx: WriteTx) -> Result<(), Failure> {
    tx.control("SET LOCAL synchronous_commit = on").await?;
    let xid = tx.xid().await?;
    if let Some(xid) = &xid {
        let identity = identify(&tx).await?;
        crash::point(|| format!("{}/{stage}/xid", way.place()));
        writer.flush_wal().await?;
        crash::point(|| format!("{}/{stage}/flushed", way.place()));
        cx.record(way.intended(stage.to_owned(), xid.clone(), identity))?;
    }
    let open = tx.open_since();
    let what = way.of(stage);
    match tx.commit(xid.as_deref()).await {
        CommitOutcome::Committed => {}
        CommitOutcome::Aborted => {
            return Err(Failure::new(Exit::Temporary, format!("COMMIT of {what} was answered by a rollback"))
                .changed(format!("nothing of {what} was committed")));
        }
        CommitOutcome::Unknown(why) => {
            let xid = xid.as_deref().unwrap_or_default();
            cx.say(stage, &format!("COMMIT was sent, its answer never came ({why}); asking the server"));
            let known = cx.with_state(|state| state.stage(stage));
            let committed = match recover_on(way, cx, stage, writer, &known).await {
                Ok(committed) => committed,
                Err(failure) if failure.exit == Exit::Stuck => return Err(failure),
                Err(failure) => {
                    let verb = if way == Way::Forward { "resume" } else { "rollback" };
                    return Err(stuck(&what, xid, &failure.what)
                        .next("ask again", format!("engine {verb} {}   asks the server what became of it", cx.run)));
                }
            };
            if committed {
                return Ok(());
            }
            return Err(Failure::new(Exit::Temporary, format!("the connection broke at COMMIT of {what}"))
                .fact(format!("the server says that transaction {xid} was rolled back"))
                .changed(format!("nothing of {what} was committed")));
        }
    }
    cx.record(way.committed(stage.to_owned(), xid, Some(open.ms())))
}

/// What became of a stage's last attempt? True: it is committed.
///
/// # Errors
/// Another server (50), another database (63), or an answer nobody can rely on (50).
pub async fn recover(cx: &Cx, stage: &str, writer: &Writer, state: &StageState) -> Result<bool, Failure> {
    recover_on(Way::Forward, cx, stage, writer, state).await
}

/// The same for either way.
///
/// # Errors
/// As `recover`.
pub async fn recover_on(way: Way, cx: &Cx, stage: &str, writer: &Writer, state: &StageState) -> Result<bool, Failure> {
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
        return Err(stuck(&what, xid, "this is another server, or one that was restored or failed over since"));
    }
    if identity.oid != *oid {
        return Err(Failure::new(Exit::WrongDatabase, format!("{what} was committed to another database"))
            .fact(format!("its oid was {oid}, this one has {}", identity.oid)));
    }
    let committed = ask(&what, writer, xid).await?;
    if committed {
        cx.record(way.committed(stage.to_owned(), Some(xid.clone()), None))?;
    }
    Ok(committed)
}

async fn ask(what: &str, writer: &Writer, xid: &str) -> Result<bool, Failure> {
    // A backend that lost its client ends within client_connection_check_interval; a minute is generous.
    for _ in 0..120 {
        match writer.xact_status(xid).await?.as_deref() {
            Some("committed") => return Ok(true),
            // In the future: it never became durable, and no stranger has its number yet.
            Some("aborted" | "future") => return Ok(false),
            Some("in progress") => tokio::time::sleep(Duration::from_millis(500)).await,
            Some(other) => return Err(stuck(what, xid, &format!("the server says `{other}`"))),
            None => return Err(stuck(what, xid, "the server no longer knows that transaction")),
        }
    }
    Err(stuck(what, xid, "it has been in progress for a minute and nobody ends it"))
}

async fn wait_for_backend(what: &str, writer: &Writer, pid: i32, started: &str) -> Result<(), Failure> {
    for _ in 0..120 {
        if !writer.backend_alive(pid, started).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(Failure::new(Exit::Held, format!("the backend of the last attempt of {what} is still at work"))
        .fact(format!("backend {pid}, started {started}"))
        .next("end it", format!("psql -c 'SELECT pg_terminate_backend({pid})'")))
}

fn stuck(what: &str, xid: &str, why: &str) -> Failure {
    Failure::new(Exit::Stuck, format!("whether {what} was committed is not known: {why}"))
        .fact(format!("transaction {xid}"))
        .changed("it is either wholly there or not at all; nothing more was sent")
        .next("look", "compare the tables the stage writes with its bound, by hand")
}
