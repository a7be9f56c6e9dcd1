//! Definitions are printed relative to `search_path`, so it is pinned while they are read, and put back.

use crate::event::Failure;
use crate::target::Tx;

/// Temporary relations come first unless named: so they are named, last.
const PINNED: &str = "pg_catalog, pg_temp";

/// A pinned path, to be put back.
pub(super) struct Pinned {
    before: String,
}

impl Pinned {
    /// Pins the path until the transaction ends or `restore`.
    pub(super) async fn pin(tx: &Tx) -> Result<Pinned, Failure> {
        let before = tx.ask_one("SELECT pg_catalog.current_setting('search_path')", &[]).await?.get(0);
        set(tx, PINNED).await?;
        Ok(Pinned { before })
    }

    /// Puts the path back and passes `outcome` on. After a server's error the transaction is aborted, and its
    /// rollback puts the path back; that this fails then is no news.
    pub(super) async fn restore<T>(self, tx: &Tx, outcome: Result<T, Failure>) -> Result<T, Failure> {
        let restored = set(tx, &self.before).await;
        let value = outcome?;
        restored?;
        Ok(value)
    }
}

async fn set(tx: &Tx, path: &str) -> Result<(), Failure> {
    tx.ask_one("SELECT pg_catalog.set_config('search_path', $1, true)", &[&path]).await?;
    Ok(())
}
