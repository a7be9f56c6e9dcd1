//! Something that listens where a server should be, and keeps every byte that it is sent: raw, and what of it is inside
//! of TLS.

use super::tcp::Issued;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The first message of whoever wants TLS.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A client that says nothing for so long says nothing any more.
const SILENCE: Duration = Duration::from_secs(10);

/// What it answers to the request for TLS.
#[derive(Clone)]
pub enum Answer {
    /// `S`, and a handshake with this certificate; then it asks for a password in the clear.
    Handshake(Arc<ServerConfig>),
    /// `S` and an answer to a password that nobody asked for, as a man in the middle would put before the handshake.
    Injected,
    /// `N`: no TLS here.
    No,
    /// `E`, an error of a server from before there was TLS.
    Error,
    /// Nothing: it hangs up.
    Close,
    /// What the server at this port answers.
    Forward(u16),
}

#[derive(Default)]
struct Seen {
    raw: Mutex<Vec<u8>>,
    inside: Mutex<Vec<u8>>,
    connections: AtomicUsize,
    over: AtomicUsize,
}

/// The listener; its threads end with the process.
pub struct Fake {
    /// Its port of 127.0.0.1.
    pub port: u16,
    answer: Arc<Mutex<Answer>>,
    seen: Arc<Seen>,
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answer {
    /// A handshake with this certificate.
    pub fn with(certificate: &Issued) -> Answer {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der.clone()], key);
        Answer::Handshake(Arc::new(config.expect("a certificate")))
    }
}

impl Fake {
    /// Listens.
    pub fn new(answer: Answer) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let (answer, seen) = (Arc::new(Mutex::new(answer)), Arc::new(Seen::default()));
        let fake = Fake { port, answer: Arc::clone(&answer), seen: Arc::clone(&seen) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, seen) = (held(&answer).clone(), Arc::clone(&seen));
                seen.connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    // That the other side goes away is what many tests are about.
                    let _ = serve(stream, &answer, &seen);
                    seen.over.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        fake
    }

    /// What it answers now.
    pub fn answer(&self) -> Answer {
        held(&self.answer).clone()
    }

    /// From now on it answers so, and has seen nothing yet.
    pub fn now(&self, answer: Answer) {
        *held(&self.answer) = answer;
        held(&self.seen.raw).clear();
        held(&self.seen.inside).clear();
        self.seen.connections.store(0, Ordering::SeqCst);
        self.seen.over.store(0, Ordering::SeqCst);
    }

    /// Waits until every connection is over: what came raw, and inside of TLS, and on how many connections.
    pub fn seen(&self) -> (Vec<u8>, Vec<u8>, usize) {
        let since = std::time::Instant::now();
        while self.seen.over.load(Ordering::SeqCst) < self.seen.connections.load(Ordering::SeqCst) {
            assert!(since.elapsed() < 2 * SILENCE, "a connection does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
        let (raw, inside) = (held(&self.seen.raw).clone(), held(&self.seen.inside).clone());
        (raw, inside, self.seen.connections.load(Ordering::SeqCst))
    }
}

/// A stream whose every read byte is kept.
struct Kept<'s> {
    stream: TcpStream,
    seen: &'s Seen,
}

impl Read for Kept<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(into)?;
        held(&self.seen.raw).extend_from_slice(&into[..count]);
        Ok(count)
    }
}

impl Write for Kept<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn serve(stream: TcpStream, answer: &Answer, seen: &Seen) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut kept = Kept { stream, seen };
    if let Answer::Forward(port) = answer {
        return forward(kept.stream, *port);
    }
    let mut first = [0; 8];
    kept.read_exact(&mut first)?;
    let outcome = if first == SSL_REQUEST { answered(&mut kept, answer, seen) } else { Ok(()) };
    if !matches!(answer, Answer::Close) {
        // All that is still said, whatever went wrong before.
        io::copy(&mut kept, &mut io::sink())?;
    }
    outcome
}

fn answered(kept: &mut Kept<'_>, answer: &Answer, seen: &Seen) -> io::Result<()> {
    match answer {
        Answer::Close | Answer::Forward(_) => Ok(()),
        Answer::No => kept.write_all(b"N"),
        Answer::Error => kept.write_all(b"E\0\0\0\x15SERROR\0Mno TLS!!\0\0"),
        // AuthenticationOk and ReadyForQuery.
        Answer::Injected => kept.write_all(b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"),
        Answer::Handshake(config) => {
            kept.write_all(b"S")?;
            let mut session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            let mut tls = rustls::Stream::new(&mut session, kept);
            let mut into = [0; 4096];
            let mut asked = false;
            loop {
                let count = tls.read(&mut into)?;
                if count == 0 {
                    return Ok(());
                }
                held(&seen.inside).extend_from_slice(&into[..count]);
                if asked {
                    // It has all that it wanted.
                    return kept.stream.shutdown(Shutdown::Both);
                }
                asked = true;
                // AuthenticationCleartextPassword.
                tls.write_all(b"R\0\0\0\x08\0\0\0\x03")?;
            }
        }
    }
}

fn forward(client: TcpStream, port: u16) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port))?;
    client.set_read_timeout(None)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let (mut from_server, mut to_client) = (server, client);
    let there = std::thread::spawn(move || {
        let copied = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
        copied
    });
    let back = io::copy(&mut from_server, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Both);
    let _ = there.join();
    back.map(drop)
}
