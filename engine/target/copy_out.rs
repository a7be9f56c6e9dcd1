//! COPY OUT as a stream of byte chunks.

use super::{Says, Tx, fault};
use crate::event::Failure;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

impl Tx {
    /// Runs `COPY ... TO STDOUT` and yields its data as it comes. The statement must be static or built from
    /// identifiers that were quoted; values have no place in it.
    ///
    /// # Errors
    /// The server's, at once or within the stream.
    pub async fn copy_out(
        &self,
        sql: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Failure>> + Send + use<>, Failure> {
        self.look_up(Says::Engine).await?;
        self.plan_speaks();
        let stream = self.session().copy_out(sql).await.map_err(|e| fault::statement("COPY out", &e))?;
        Ok(stream.map(|chunk| chunk.map_err(|e| fault::statement("COPY out", &e))))
    }
}
