//! A proxy before a server's socket. It follows the messages of the client, and when a chosen one is on its way it does
//! something to the connection: cuts, stalls, resets, holds, or says what a pooler says. Before and after it only passes
//! on what it gets, if need be one byte at a time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How long a test waits for something that has to come.
const PATIENCE: Duration = Duration::from_mins(2);

/// A message of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// COMMIT.
    Commit,
    /// The COMMIT that comes after so many others.
    CommitAfter(u32),
    /// A statement with this text in it.
    Statement(&'static str),
    /// A value with this text in it, that goes with a statement: such as a line of the shared journal.
    Value(&'static str),
}

/// What is done when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Both connections are closed, and the server never gets it.
    CutBefore,
    /// The server gets it and answers; the answer is lost, and both connections are closed.
    CutAfter,
    /// As `CutAfter`, and every other connection is cut as well: nobody gets through who does not connect anew.
    CutAllAfter,
    /// As `CutBefore`; the client's connection is reset.
    ResetBefore,
    /// As `CutAfter`; the client's connection is reset.
    ResetAfter,
    /// The client's connection is closed; the server never gets the message and its connection stays open.
    Orphan,
    /// The client's connection is closed; the server gets the message, and its connection stays open.
    Abandon,
    /// The server gets it and answers; the answer is kept for as long as the client waits.
    Stall,
    /// The server never gets it, and nobody says so.
    StallBefore,
    /// The server gets it and answers; the client is told, as by a pooler, that the server's connection broke.
    Pooler,
    /// It is kept until `release`, and so is whatever the server says meanwhile; then all goes on its way.
    Hold,
}

/// FATAL 08P01, in the words of a pooler.
const POOLER: &[u8] = b"SFATAL\0VFATAL\0C08P01\0Mserver conn crashed?\0\0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    No,
    Held,
    Released,
}

#[derive(Debug)]
struct Shared {
    upstream: Mutex<PathBuf>,
    armed: Mutex<Option<(Spot, Does)>>,
    slow: AtomicBool,
    hold: Mutex<Hold>,
    turned: Condvar,
    /// Connections whose server's side stays open.
    orphans: Mutex<Vec<Arc<Link>>>,
    /// All that there ever were.
    links: Mutex<Vec<Weak<Link>>>,
}

/// The proxy; its threads end with the process.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// One before the server whose socket is in `folder`.
    pub fn before(folder: &Path) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let shared = Arc::new(Shared {
            upstream: Mutex::new(folder.to_path_buf()),
            armed: Mutex::new(None),
            slow: AtomicBool::new(false),
            hold: Mutex::new(Hold::No),
            turned: Condvar::new(),
            orphans: Mutex::new(Vec::new()),
            links: Mutex::new(Vec::new()),
        });
        let of_all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&of_all);
                // That a side goes away is what this is about.
                std::thread::spawn(move || drop(serve(client, &shared)));
            }
        });
        Proxy { port, shared }
    }

    /// The server was started again, with its socket in another folder.
    pub fn moved(&self, folder: &Path) {
        *held(&self.shared.upstream) = folder.to_path_buf();
    }

    /// The connection string of `role` on `database` through this proxy.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgresql://{role}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Does it to the next message of that sort, once.
    pub fn arm(&self, spot: Spot, does: Does) {
        *held(&self.shared.hold) = Hold::No;
        *held(&self.shared.armed) = Some((spot, does));
    }

    /// Has nothing been done yet of what it was armed for?
    pub fn armed(&self) -> bool {
        held(&self.shared.armed).is_some()
    }

    /// From now on every byte goes alone.
    pub fn byte_by_byte(&self) {
        self.shared.slow.store(true, Ordering::SeqCst);
    }

    /// Waits until a message is held.
    #[track_caller]
    pub fn wait(&self) {
        let wait = self.shared.turned.wait_timeout_while(held(&self.shared.hold), PATIENCE, |hold| *hold != Hold::Held);
        let (hold, _) = wait.unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*hold, Hold::Held, "what was to be held never came");
    }

    /// Lets it go on its way.
    pub fn release(&self) {
        *held(&self.shared.hold) = Hold::Released;
        self.shared.turned.notify_all();
    }
}

/// A client and what the server is for it.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: UnixStream,
    /// Answers of the server go nowhere from here on.
    swallow: AtomicBool,
    /// The client's connection ends by a reset, so nobody says goodbye.
    reset: AtomicBool,
    /// Its message is held, or was.
    holds: AtomicBool,
    answered: (Mutex<bool>, Condvar),
}

fn serve(client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let upstream = held(&shared.upstream).join(".s.PGSQL.5432");
    let server = UnixStream::connect(upstream)?;
    let link = Arc::new(Link {
        client,
        server,
        swallow: AtomicBool::new(false),
        reset: AtomicBool::new(false),
        holds: AtomicBool::new(false),
        answered: (Mutex::new(false), Condvar::new()),
    });
    held(&shared.links).push(Arc::downgrade(&link));
    let (of_answers, slow) = (Arc::clone(&link), Arc::clone(shared));
    std::thread::spawn(move || drop(answers(&of_answers, &slow)));
    let outcome = requests(&link, shared);
    if !held(&shared.orphans).iter().any(|orphan| Arc::ptr_eq(orphan, &link)) {
        // Both may be gone already.
        let _ = link.server.shutdown(Shutdown::Both);
    }
    outcome
}

/// From the client to the server, a message at a time.
fn requests(link: &Arc<Link>, shared: &Shared) -> io::Result<()> {
    let mut message = message(&link.client, 0)?;
    loop {
        match shared.wanted(&message) {
            None => shared.send(&link.server, &message)?,
            Some(does) => {
                // The values of a statement are no request by themselves: what follows up to Sync belongs to it.
                while message[0] == b'B' && !message.ends_with(b"S\0\0\0\x04") {
                    message.extend(self::message(&link.client, 1)?);
                }
                if !link.suffer(does, &message, shared)? {
                    return Ok(());
                }
            }
        }
        message = self::message(&link.client, 1)?;
    }
}

/// A whole message; the first of a connection has no type (`kind` 0), every other a byte for it.
fn message(mut client: &TcpStream, kind: usize) -> io::Result<Vec<u8>> {
    let mut message = vec![0; kind + 4];
    client.read_exact(&mut message)?;
    let length = u32::from_be_bytes(message[kind..].try_into().expect("four bytes"));
    message.resize(kind + length as usize, 0);
    client.read_exact(&mut message[kind + 4..])?;
    Ok(message)
}

/// From the server to the client.
fn answers(link: &Link, shared: &Shared) -> io::Result<()> {
    let mut bytes = [0; 16 << 10];
    let outcome = loop {
        let said = (&link.server).read(&mut bytes);
        if link.holds.load(Ordering::SeqCst) {
            shared.until_released();
        }
        match said {
            Ok(0) => break Ok(()),
            Err(error) => break Err(error),
            Ok(count) if link.swallow.load(Ordering::SeqCst) => {
                // ReadyForQuery: there is no more to this answer.
                if bytes[..count].windows(5).any(|seen| seen == b"Z\0\0\0\x05") {
                    *held(&link.answered.0) = true;
                    link.answered.1.notify_all();
                }
            }
            Ok(count) => {
                if let Err(error) = shared.send(&link.client, &bytes[..count]) {
                    break Err(error);
                }
            }
        }
    };
    if !link.reset.load(Ordering::SeqCst) {
        let _ = link.client.shutdown(Shutdown::Both);
    }
    outcome
}

impl Shared {
    /// Is this the message it is armed for? Then it is not armed any more.
    fn wanted(&self, message: &[u8]) -> Option<Does> {
        let mut armed = held(&self.armed);
        let (spot, does) = (*armed)?;
        let contains = |text: &str| message.windows(text.len()).any(|seen| seen == text.as_bytes());
        let commit = message.first() == Some(&b'Q') && message.get(5..) == Some(b"COMMIT\0");
        let here = match spot {
            Spot::CommitAfter(others @ 1..) => {
                if commit {
                    *armed = Some((Spot::CommitAfter(others - 1), does));
                }
                false
            }
            Spot::Commit | Spot::CommitAfter(0) => commit,
            Spot::Value(text) => message.first() == Some(&b'B') && contains(text),
            Spot::Statement(text) => matches!(message.first(), Some(b'Q' | b'P')) && contains(text),
        };
        here.then(|| {
            *armed = None;
            does
        })
    }

    fn until_released(&self) {
        let released = self.turned.wait_while(held(&self.hold), |hold| *hold == Hold::Held);
        drop(released.unwrap_or_else(PoisonError::into_inner));
    }

    fn send(&self, mut to: impl Write, bytes: &[u8]) -> io::Result<()> {
        if !self.slow.load(Ordering::SeqCst) {
            return to.write_all(bytes);
        }
        bytes.chunks(1).try_for_each(|byte| to.write_all(byte))
    }
}

impl Link {
    /// Does it; true: the connection goes on.
    fn suffer(self: &Arc<Self>, does: Does, message: &[u8], shared: &Shared) -> io::Result<bool> {
        match does {
            Does::Hold => {
                self.holds.store(true, Ordering::SeqCst);
                *held(&shared.hold) = Hold::Held;
                shared.turned.notify_all();
                shared.until_released();
                shared.send(&self.server, message)?;
                return Ok(true);
            }
            Does::StallBefore => return Ok(true),
            Does::CutBefore => {}
            Does::ResetBefore => self.to_be_reset()?,
            Does::Orphan => held(&shared.orphans).push(Arc::clone(self)),
            Does::Abandon => {
                held(&shared.orphans).push(Arc::clone(self));
                shared.send(&self.server, message)?;
                // A text that is only parsed so far begins with what follows it: Bind, Execute, Sync, of the unnamed.
                if message.first() == Some(&b'P') {
                    shared.send(&self.server, b"B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04")?;
                }
            }
            Does::CutAfter | Does::CutAllAfter | Does::ResetAfter | Does::Stall | Does::Pooler => {
                self.let_it_answer(message)?;
                match does {
                    Does::Stall => return Ok(true),
                    Does::ResetAfter => self.to_be_reset()?,
                    Does::CutAllAfter => {
                        for link in held(&shared.links).iter().filter_map(Weak::upgrade) {
                            // It may be gone already.
                            let _ = link.client.shutdown(Shutdown::Both);
                        }
                        return Ok(false);
                    }
                    Does::Pooler => {
                        let length = u32::try_from(POOLER.len() + 4).expect("a short text");
                        (&self.client).write_all(&[b"E", length.to_be_bytes().as_slice(), POOLER].concat())?;
                    }
                    _ => {}
                }
            }
        }
        if !self.reset.load(Ordering::SeqCst) {
            self.client.shutdown(Shutdown::Both)?;
        }
        Ok(false)
    }

    /// Sends it and waits until the server has answered; the answer is lost.
    fn let_it_answer(&self, message: &[u8]) -> io::Result<()> {
        self.swallow.store(true, Ordering::SeqCst);
        (&self.server).write_all(message)?;
        let (answered, told) = &self.answered;
        let wait = told.wait_timeout_while(held(answered), PATIENCE, |answered| !*answered);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// Without a goodbye: what is not read yet is thrown away, and the client is told by a reset.
    fn to_be_reset(&self) -> io::Result<()> {
        self.reset.store(true, Ordering::SeqCst);
        rustix::net::sockopt::set_socket_linger(&self.client, Some(Duration::ZERO)).map_err(io::Error::from)
    }
}
