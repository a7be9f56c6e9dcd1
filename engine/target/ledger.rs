//! One session on a thread of its own, asked by code that waits without `async`: the shared journal's.
//!
//! It is never pooled, reset or opened again: what it holds (a lock) and what it writes end together, with it.

use super::identity::identify_session;
use super::{Door, Row, ToSql, fault};
use crate::event::{Exit, Failure, Identity};
use deadpool_postgres::{ClientWrapper, Object};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A value that goes with a statement.
pub type Value = Box<dyn ToSql + Sync + Send>;

/// Who does not answer in that time is taken for gone, whatever the network says.
const PATIENCE: Duration = Duration::from_mins(5);

/// The same of its session.
const OPENED_WITHIN: Duration = Duration::from_mins(1);

/// The same where a run waits for its line, with its locks held: nothing of it is long.
const LINE_PATIENCE: Duration = Duration::from_secs(30);

/// Since when an answer is waited for.
static ASKED: Mutex<Option<Instant>> = Mutex::new(None);

/// For how long the shared journal has not answered what it is asked; `None`: nothing is asked.
pub fn unanswered_for() -> Option<Duration> {
    ASKED.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
}

enum Work {
    Ask(&'static str, Vec<Value>),
    Script(String),
}

struct Request {
    work: Work,
    /// Set when it is sent: those before it may be long.
    sent: Arc<OnceLock<Instant>>,
    answer: SyncSender<Result<Vec<Row>, Failure>>,
}

/// What becomes of a statement that was sent.
pub struct Answer {
    sent: Arc<OnceLock<Instant>>,
    receiver: Receiver<Result<Vec<Row>, Failure>>,
    silent: Arc<Silent>,
}

/// Set when an answer did not come in time: the session is closed then, and with it goes what it holds. Whoever asks
/// it for more is told at once, and does not wait as long again.
#[derive(Default)]
struct Silent {
    is: AtomicBool,
    told: Notify,
}

/// The session.
pub struct Ledger {
    requests: UnboundedSender<Request>,
    silent: Arc<Silent>,
    /// Which database it is in, as whom.
    pub identity: Identity,
    /// `host:port/database`, for people.
    pub place: String,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({})", self.place)
    }
}

impl Ledger {
    /// Opens the session.
    ///
    /// # Errors
    /// It cannot be had: the door's reasons.
    pub fn open(door: Door) -> Result<Ledger, Failure> {
        let (requests, waiting) = unbounded_channel();
        let (opened, ready) = sync_channel(1);
        let place = format!("{}/{}", door.address(), door.database());
        let silent = Arc::new(Silent::default());
        let of_thread = Arc::clone(&silent);
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || serve(&door, waiting, &opened, &of_thread))
            .map_err(|e| Failure::new(Exit::Io, format!("no thread could be started: {e}")))?;
        let identity = ready.recv_timeout(OPENED_WITHIN).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                Failure::new(Exit::Temporary, format!("cannot reach the journal: {place} does not answer"))
            }
            RecvTimeoutError::Disconnected => gone(),
        })??;
        Ok(Ledger { requests, silent, identity, place })
    }

    /// Runs one statement, committed when it is answered; its rows.
    ///
    /// # Errors
    /// The server's, or that the session is lost: then nobody knows whether it was committed.
    pub fn ask(&self, sql: &'static str, values: Vec<Value>) -> Result<Vec<Row>, Failure> {
        self.post(sql, values).wait()
    }

    /// Sends one statement and does not wait for it.
    pub fn post(&self, sql: &'static str, values: Vec<Value>) -> Answer {
        self.send(Work::Ask(sql, values))
    }

    /// Runs several statements without values.
    ///
    /// # Errors
    /// As `ask`.
    pub fn script(&self, sql: &str) -> Result<(), Failure> {
        self.send(Work::Script(sql.to_owned())).wait().map(|_| ())
    }

    fn send(&self, work: Work) -> Answer {
        let (answer, waiting) = sync_channel(1);
        let sent = Arc::new(OnceLock::new());
        // A thread that ended drops the request, and with it the answer: that is what `wait` sees.
        if !self.silent.is.load(Ordering::SeqCst) {
            let _ = self.requests.send(Request { work, sent: Arc::clone(&sent), answer });
        }
        Answer { sent, receiver: waiting, silent: Arc::clone(&self.silent) }
    }
}

impl Answer {
    /// Waits for it.
    ///
    /// # Errors
    /// As `Ledger::ask`.
    pub fn wait(self) -> Result<Vec<Row>, Failure> {
        self.within(PATIENCE)
    }

    /// Waits for that of a line, which is short.
    ///
    /// # Errors
    /// As `Ledger::ask`.
    pub fn wait_for_line(self) -> Result<Vec<Row>, Failure> {
        self.within(LINE_PATIENCE)
    }

    /// From when it was sent: a line that stands behind a file which is on its way is not the one that takes long. Whoever
    /// asked for the file watches over it.
    fn within(self, patience: Duration) -> Result<Vec<Row>, Failure> {
        let mut left = patience;
        loop {
            match self.receiver.recv_timeout(left) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
                Err(RecvTimeoutError::Timeout) if self.silent.is.load(Ordering::SeqCst) => return Err(gone()),
                Err(RecvTimeoutError::Timeout) => {
                    left = self.sent.get().map_or(patience, |sent| patience.saturating_sub(sent.elapsed()));
                    if left.is_zero() {
                        break;
                    }
                }
            }
        }
        self.silent.is.store(true, Ordering::SeqCst);
        self.silent.told.notify_one();
        Err(Failure::new(Exit::Temporary, format!("the server did not answer within {patience:?}")))
    }
}

fn gone() -> Failure {
    Failure::new(Exit::Temporary, "the connection was lost")
}

fn serve(
    door: &Door,
    mut requests: UnboundedReceiver<Request>,
    opened: &SyncSender<Result<Identity, Failure>>,
    silent: &Silent,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            let _ = opened.send(Err(Failure::new(Exit::Io, format!("no runtime could be started: {e}"))));
            return;
        }
    };
    runtime.block_on(async {
        let session = match begin(door).await {
            Ok((session, identity)) => {
                let _ = opened.send(Ok(identity));
                session
            }
            Err(failure) => {
                let _ = opened.send(Err(failure));
                return;
            }
        };
        let asked = |since| *ASKED.lock().unwrap_or_else(PoisonError::into_inner) = since;
        while let Some(Request { work, sent, answer }) = requests.recv().await {
            let _ = sent.set(Instant::now());
            asked(Some(Instant::now()));
            let said = tokio::select! {
                said = done(&session, work) => said,
                () = silent.told.notified() => break,
            };
            asked(None);
            // Who asked may have gone.
            let _ = answer.send(said);
        }
        asked(None);
    });
}

async fn begin(door: &Door) -> Result<(ClientWrapper, Identity), Failure> {
    // A signal ends what is at work on servers; the journal is told of it, and goes last.
    let session = door.only_holding()?.session().await?;
    let identity = identify_session(&session).await?;
    // Its answers are small: one that is not taken within half a minute is for a machine that is gone.
    // And the durability of a line is not left to options of the connection, which a pooler may drop.
    let set = session.batch_execute("SET tcp_user_timeout = 30000; SET synchronous_commit = on").await;
    set.map_err(|e| fault::statement("setting up the session", &e))?;
    Ok((Object::take(session), identity))
}

async fn done(session: &ClientWrapper, work: Work) -> Result<Vec<Row>, Failure> {
    let failed = |e: tokio_postgres::Error| {
        let failure = fault::statement("", &e);
        Failure { what: failure.what.trim_start_matches(": ").to_owned(), ..failure }
    };
    match work {
        Work::Script(sql) => session.batch_execute(&sql).await.map(|()| Vec::new()).map_err(failed),
        Work::Ask(sql, values) => {
            let statement = session.prepare_cached(sql).await.map_err(failed)?;
            let values: Vec<&(dyn ToSql + Sync)> =
                values.iter().map(|value| -> &(dyn ToSql + Sync) { &**value }).collect();
            session.query(&statement, &values).await.map_err(failed)
        }
    }
}
