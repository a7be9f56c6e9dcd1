//! What is at work on a server for this process: sessions and children. When a signal ends the run, what they do is
//! cancelled by the cancel protocol and waited for, so that nothing of ours is left there when the process is gone.

use super::wire::Canceller;
use deadpool_postgres::Pool;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio_postgres::{Connection, Socket};

/// The next request, for those that missed the one before: a cancel finds a session between two statements.
const AGAIN: Duration = Duration::from_millis(100);

/// A server that does not answer a request for that long is not waited for in this round.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

static BOOK: Mutex<Book> = Mutex::new(Book::new());

struct Book {
    next: u64,
    there: BTreeMap<u64, Option<Canceller>>,
    /// Sessions that were closed since the end began, perhaps in the middle of a statement.
    closed: Vec<Canceller>,
    pools: Vec<deadpool_postgres::WeakPool>,
    ending: bool,
}

impl Book {
    const fn new() -> Book {
        Book { next: 0, there: BTreeMap::new(), closed: Vec::new(), pools: Vec::new(), ending: false }
    }
}

fn book<T>(with: impl FnOnce(&mut Book) -> T) -> T {
    with(&mut BOOK.lock().expect("invariant: no holder of the book panics"))
}

/// Somebody is at work for us, until this is dropped.
#[derive(Debug)]
pub struct AtWork(u64);

impl AtWork {
    /// A session, and what cancels what it does.
    pub(super) fn session(canceller: Canceller) -> AtWork {
        AtWork::enter(Some(canceller))
    }

    /// A child that ends by itself when it is told to.
    pub fn child() -> AtWork {
        AtWork::enter(None)
    }

    fn enter(canceller: Option<Canceller>) -> AtWork {
        book(|book| {
            book.next += 1;
            book.there.insert(book.next, canceller);
            AtWork(book.next)
        })
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        book(|book| {
            let gone = book.there.remove(&self.0).flatten();
            if book.ending {
                book.closed.extend(gone);
            }
        });
    }
}

/// Remembers a pool: sessions that wait there for work are closed at the end.
pub(super) fn remember(pool: &Pool) {
    book(|book| {
        book.pools.retain(|known| known.upgrade().is_some());
        book.pools.push(pool.weak());
    });
}

/// Moves a session's messages. Whoever lets go of the session ends this at once; at the end of a run it goes on until
/// the server has answered and the session was closed in good order.
pub(super) fn attend<T>(connection: Connection<Socket, T>, entry: AtWork) -> tokio::task::JoinHandle<()>
where
    T: tokio_postgres::tls::TlsStream + Send + Unpin + 'static,
{
    let moving = tokio::spawn(async move {
        // A connection that broke tells so to whoever waits for an answer.
        let _ = connection.await;
        drop(entry);
    });
    let leave = Leave(moving.abort_handle());
    tokio::spawn(async move {
        let _ = moving.await;
        drop(leave);
    })
}

struct Leave(tokio::task::AbortHandle);

impl Drop for Leave {
    fn drop(&mut self) {
        if !ending() {
            self.0.abort();
        }
    }
}

/// The end begins: from here on sessions that are let go of end in good order. Call it before what uses them is dropped.
pub fn end_begins() {
    book(|book| book.ending = true);
}

/// Has the end begun?
pub(super) fn ending() -> bool {
    book(|book| book.ending)
}

/// Cancels what is being done, again and again, until nothing is or `patience` is over. Answers how many sessions and
/// children are left.
pub async fn cancel_all(patience: Duration) -> usize {
    let since = Instant::now();
    loop {
        let (now, pools) = book(|book| {
            let mut now: Vec<Canceller> = book.there.values().flatten().cloned().collect();
            now.append(&mut book.closed);
            (now, book.pools.iter().filter_map(deadpool_postgres::WeakPool::upgrade).collect::<Vec<_>>())
        });
        for pool in pools {
            pool.retain(|_, _| false);
        }
        // Those that wait for nothing are closed by now, and hear nothing.
        let all = futures_util::future::join_all(now.iter().map(Canceller::cancel));
        let _ = tokio::time::timeout(ANSWERS_WITHIN, all).await;
        let left = book(|book| book.there.len());
        if left == 0 || since.elapsed() >= patience {
            return left;
        }
        let soon = Instant::now();
        while soon.elapsed() < AGAIN && book(|book| !book.there.is_empty()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
