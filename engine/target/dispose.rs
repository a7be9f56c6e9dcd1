//! Dropping a database of ours, and not for ever.
//!
//! DROP DATABASE waits until every process of its server has let go of the database's files: one that does not answer
//! (stopped, in a disk that hangs), in whatever database, keeps it waiting without end.

use super::connect::give_back;
use super::fault;
use super::maker::{Maker, quoted};
use super::wire::Canceller;
use crate::event::{Exit, Failure};
use deadpool_postgres::Object;
use std::time::Duration;

/// How often it is looked what the DROP waits for.
const EVERY: Duration = Duration::from_secs(1);
/// So long somebody may not answer. A process that works answers within milliseconds; a checkpoint, which may take
/// minutes, is another wait.
const ANSWERS_WITHIN: u32 = 10;
/// A cancelled DROP ends at once; its connection is closed in any case.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5);

impl Maker {
    /// Drops a database that carries the marker of `run`, or whose name only that run can have given.
    ///
    /// # Errors
    /// It carries another marker or none (63), a process of the server does not answer (75), or the server's.
    pub async fn drop_database(&self, name: &str, run: &str) -> Result<bool, Failure> {
        let Some(found) = self.find(name).await? else { return Ok(false) };
        let ours = found.marker.as_ref().is_some_and(|m| m.run == run) || name.starts_with(&format!("engine_{run}"));
        if !ours {
            let by = found.marker.map_or("it carries no marker of this engine".to_owned(), |m| {
                format!("its marker names run {}", m.run)
            });
            return Err(Failure::new(Exit::WrongDatabase, format!("database `{name}` is not dropped: {by}"))
                .changed("nothing was changed"));
        }
        // What an interrupted DROP left can be dropped and nothing else; nobody is connected to it.
        if !self.is_wreck(name).await? {
            self.shut(name).await?;
        }
        self.destroy(name).await?;
        Ok(true)
    }

    async fn is_wreck(&self, name: &str) -> Result<bool, Failure> {
        let sql = "SELECT d.datconnlimit = -2 FROM pg_catalog.pg_database AS d WHERE d.datname = $1";
        Ok(self.query(sql, &[&name]).await?.first().is_some_and(|row| row.get(0)))
    }

    async fn destroy(&self, name: &str) -> Result<(), Failure> {
        let sql = format!("DROP DATABASE {}", quoted(name)?);
        let session = self.door().session().await?;
        let pid = session.query_one("SELECT pg_catalog.pg_backend_pid()", &[]).await;
        let pid: i32 = pid.map_err(|e| fault::statement("asking the maker's server", &e))?.get(0);
        let dropped = self.dropping(&session, (name, &sql), pid).await;
        match &dropped {
            Ok(()) => give_back(session).await,
            Err(_) => drop(Object::take(session)),
        }
        dropped
    }

    async fn dropping(&self, session: &Object, (name, sql): (&str, &str), pid: i32) -> Result<(), Failure> {
        let dropping = async { session.batch_execute(sql).await.map_err(|e| fault::statement("DROP DATABASE", &e)) };
        let mut dropping = std::pin::pin!(dropping);
        let stuck = tokio::select! {
            done = &mut dropping => return done,
            stuck = self.nobody_answers(name, pid) => stuck,
        };
        let canceller = Canceller::new(self.door(), session.cancel_token());
        let ended = async { tokio::join!(canceller.cancel(), &mut dropping).1 };
        match tokio::time::timeout(CANCELLED_WITHIN, ended).await {
            // It got through after all.
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(stuck),
        }
    }

    /// Ends when the DROP of that backend has waited for too long for an answer of all processes.
    async fn nobody_answers(&self, name: &str, pid: i32) -> Failure {
        let sql = "SELECT a.wait_event = 'ProcSignalBarrier' FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = $1";
        let mut seen = 0;
        while seen < ANSWERS_WITHIN {
            tokio::time::sleep(EVERY).await;
            match self.query(sql, &[&pid]).await {
                Ok(rows) if rows.first().and_then(|row| row.get(0)) == Some(true) => seen += 1,
                Ok(_) => seen = 0,
                Err(failure) => return failure,
            }
        }
        let what = format!("`{name}` cannot be dropped now: a process of its server does not answer");
        Failure::new(Exit::Temporary, what)
            .fact(format!("DROP DATABASE waits for every process there, and has for {ANSWERS_WITHIN} s"))
            .next("look", "the server's log, which names it: `still waiting for backend with PID ...`")
    }
}
