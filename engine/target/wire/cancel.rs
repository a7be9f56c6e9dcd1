//! Cancelling what a session is doing, from beside it, by the cancel protocol.

use super::super::connect::Door;
use super::super::tls::Tls;
use super::tap;
use tokio_postgres::{CancelToken, Config, NoTls};

/// Cancels the statement that one session runs.
#[derive(Clone)]
pub struct Canceller {
    config: Config,
    tls: Tls,
    token: CancelToken,
}

impl std::fmt::Debug for Canceller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Canceller")
    }
}

impl Canceller {
    pub(in super::super) fn new(door: &Door, token: CancelToken) -> Canceller {
        Canceller::of(door.config().clone(), door.tls().clone(), token)
    }

    pub(in super::super) fn of(config: Config, tls: Tls, token: CancelToken) -> Canceller {
        Canceller { config, tls, token }
    }

    /// Sends the request over a connection of its own. Whether it was heard nobody can say: the caller closes the
    /// session after a while in any case, so that it cannot be reached is no failure.
    pub async fn cancel(&self) {
        let Ok(socket) = tap::socket(&self.config).await else { return };
        let _ = match self.tls.connector().cloned() {
            None => self.token.cancel_query_raw(socket, NoTls).await,
            Some(tls) => match tap::handshake(super::super::connect::host(&self.config), tls) {
                Ok(tls) => self.token.cancel_query_raw(socket, tls).await,
                Err(_) => return,
            },
        };
    }
}
