//! A session that the driver opens and gives away: start-up, TLS and authentication are the driver's, the stream
//! behind them becomes ours.

use super::super::connect::{Door, lets_in_within};
use super::super::fault;
use crate::event::{Exit, Failure};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::Host;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Bytes both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {
    /// Of TLS, for SCRAM.
    fn binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl Duplex for Socket {}

/// In the place of a stream that was taken away.
impl Duplex for tokio::io::Empty {}

/// A plain stream. A type with a name: the driver asks for one that implements its traits for any lifetime.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A stream of the driver's as one of ours.
struct Secured<S>(S);

impl<S: TlsStream + Send + Unpin> Duplex for Secured<S> {
    fn binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Secured<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// What the driver holds; we hold the other handle and take the stream out when it has done its part.
#[derive(Clone)]
struct Tap(Arc<Mutex<Option<Box<dyn Duplex>>>>);

impl Tap {
    fn over(stream: Box<dyn Duplex>) -> Tap {
        Tap(Arc::new(Mutex::new(Some(stream))))
    }

    fn with<T>(&self, taken: T, then: impl FnOnce(Pin<&mut dyn Duplex>) -> T) -> T {
        let mut held = self.0.lock().expect("invariant: no holder of a tap panics");
        held.as_mut().map_or(taken, |stream| then(Pin::new(stream.as_mut())))
    }

    fn take(&self) -> Option<Box<dyn Duplex>> {
        self.0.lock().expect("invariant: no holder of a tap panics").take()
    }
}

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(Poll::Pending, |stream| stream.poll_read(cx, into))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(Poll::Pending, |stream| stream.poll_write(cx, bytes))
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(Poll::Ready(Ok(())), |stream| stream.poll_flush(cx))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(Poll::Ready(Ok(())), |stream| stream.poll_shutdown(cx))
    }
}

impl TlsStream for Tap {
    fn channel_binding(&self) -> ChannelBinding {
        self.with(ChannelBinding::none(), |stream| stream.binding())
    }
}

pub(super) type Handshake = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// Wraps what the TLS handshake yields.
struct Tapping {
    inner: Handshake,
    out: Arc<Mutex<Option<Tap>>>,
}

impl TlsConnect<Socket> for Tapping {
    type Stream = Tap;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Tap>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        let (handshake, out) = (self.inner.connect(stream), self.out);
        Box::pin(async move {
            let tap = Tap::over(Box::new(Secured(handshake.await?)));
            *out.lock().expect("invariant: no holder of a tap panics") = Some(tap.clone());
            Ok(tap)
        })
    }
}

/// Opens a session as `door` does and answers its stream, ready for a query, and what cancels one.
pub(super) async fn open(door: &Door) -> Result<(Box<dyn Duplex>, CancelToken), Failure> {
    let limit = lets_in_within(door.config());
    tokio::time::timeout(limit, opened(door)).await.unwrap_or_else(|_| {
        let what = format!("cannot reach `{}`: it does not answer, {}", door.target, door.place);
        Err(Failure::new(Exit::Temporary, what))
    })
}

async fn opened(door: &Door) -> Result<(Box<dyn Duplex>, CancelToken), Failure> {
    let config = door.config();
    let socket = socket(config)
        .await
        .map_err(|e| Failure::new(Exit::Temporary, format!("cannot reach `{}`: {e}, {}", door.target, door.place)))?;
    let (tap, token) = match door.tls().connector().cloned() {
        None => {
            let tap = Tap::over(Box::new(socket));
            let session = config.connect_raw(tap.clone(), NoTls).await;
            let (driver, _connection) = session.map_err(|e| fault::connecting(door, &e))?;
            (Some(tap), driver.cancel_token())
        }
        Some(tls) => secured(door, socket, tls).await?,
    };
    let stream = tap.and_then(|tap| tap.take()).ok_or_else(|| {
        Failure::new(Exit::Io, format!("a bug of the engine: the session with `{}` has no stream", door.target))
    })?;
    Ok((stream, token))
}

async fn secured(door: &Door, socket: Socket, tls: MakeRustlsConnect) -> Result<(Option<Tap>, CancelToken), Failure> {
    let config = door.config();
    let inner = handshake(door.host(), tls)
        .map_err(|e| Failure::new(Exit::Io, format!("cannot reach `{}`: {e}, {}", door.target, door.place)))?;
    let out = Arc::new(Mutex::new(None));
    let tapping = Tapping { inner, out: Arc::clone(&out) };
    let session = config.connect_raw(socket, tapping).await;
    let (driver, _connection) = session.map_err(|e| fault::connecting(door, &e))?;
    Ok((out.lock().expect("invariant: no holder of a tap panics").take(), driver.cancel_token()))
}

/// The TLS handshake with a host.
pub(super) fn handshake(
    host: &str,
    mut tls: MakeRustlsConnect,
) -> Result<Handshake, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Error> {
    MakeTlsConnect::<Socket>::make_tls_connect(&mut tls, host)
}

pub(super) async fn socket(config: &Config) -> io::Result<Socket> {
    let within = config.get_connect_timeout().copied().unwrap_or(std::time::Duration::from_secs(10));
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let connecting = async {
        let tcp = match (config.get_hostaddrs().first(), config.get_hosts().first()) {
            (Some(address), _) => TcpStream::connect((*address, port)).await?,
            (None, Some(Host::Tcp(host))) => TcpStream::connect((host.as_str(), port)).await?,
            (None, Some(Host::Unix(folder))) => {
                let stream = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?;
                return Ok(Socket::Unix(stream));
            }
            (None, None) => return Err(io::Error::other("no host")),
        };
        tcp.set_nodelay(true)?;
        rustix::net::sockopt::set_socket_keepalive(&tcp, true)?;
        rustix::net::sockopt::set_tcp_keepidle(&tcp, std::time::Duration::from_secs(30))?;
        Ok(Socket::Tcp(tcp))
    };
    tokio::time::timeout(within, connecting).await.map_err(|_| io::Error::other("connection timed out"))?
}
