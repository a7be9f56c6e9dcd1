//! Dropping a database of ours, and not for ever.
//!
//! DROP DATABASE waits until every process of its server has let go of the database's files: one that does not answer
//! (stopped, in a disk that hangs), in whatever database, keeps it waiting without end.

use super::connect::give_back;
use super::fault;
use super::maker::{Maker, quoted};
use super::wire::Canceller;
use crate::crash;
use crate::event::{Exit, Failure, Marker};
use deadpool_postgres::Object;
use std::time::Duration;

/// How often it is looked what the DROP waits for.
const EVERY: Duration = Duration::from_secs(1);
/// So long somebody may not answer. A process that works answers within milliseconds; a checkpoint, which may take
/// minutes, is another wait.
const ANSWERS_WITHIN: u32 = 10;
/// So often a DROP is sent while somebody is in the database.
const TRIES: u32 = 4;
/// A cancelled DROP ends at once; its connection is closed in any case.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5);

/// A database that may be ours: marked, or called as a run calls what it makes.
#[derive(Clone, Debug)]
pub struct Ours {
    /// Its name.
    pub name: String,
    /// Its oid.
    pub oid: i64,
    /// Our marker, if it carries one.
    pub marker: Option<Marker>,
    /// Sessions of somebody that are connected to it.
    pub sessions: i64,
    /// The maker may drop it: it is a member of its owner, and it is no template.
    pub may_drop: bool,
    /// The server's time, RFC 3339.
    pub server_time: String,
}

impl Maker {
    /// All databases of this server that may be ours, by name.
    ///
    /// # Errors
    /// The server's.
    pub async fn ours(&self) -> Result<Vec<Ours>, Failure> {
        let rows = self.query(include_str!("../../sql/engine/target/ours.sql"), &[]).await?;
        let ours = |row: &super::Row| Ours {
            name: row.get(0),
            oid: row.get(1),
            marker: row.get::<_, Option<String>>(2).as_deref().and_then(Marker::parse),
            sessions: row.get(3),
            may_drop: row.get(4),
            server_time: row.get(5),
        };
        Ok(rows.iter().map(ours).collect())
    }

    /// Drops a database that carries the marker of `run`; or that was killed before it could be marked: it has a name
    /// that only that run can have given, and has never let anybody in.
    ///
    /// # Errors
    /// It carries another marker or none (63), a process of the server does not answer (75), or the server's.
    pub async fn drop_database(&self, name: &str, run: &str) -> Result<bool, Failure> {
        let Some(found) = self.find(name).await? else { return Ok(false) };
        let marked = found.marker.as_ref().is_some_and(|m| m.run == run && m.is_of(found.oid));
        let working = ["", "_copy", "_golden"].iter().any(|end| name == format!("engine_{run}{end}"));
        let begun = found.marker.is_none() && found.shut && working;
        if !marked && !begun {
            let by = match found.marker {
                None => "it carries no marker of this engine".to_owned(),
                Some(m) if !m.is_of(found.oid) => "its marker was written for another database, and copied".to_owned(),
                Some(m) => format!("its marker names run {}", m.run),
            };
            return Err(Failure::new(Exit::WrongDatabase, format!("database `{name}` is not dropped: {by}"))
                .changed("nothing was changed"));
        }
        // What an interrupted DROP left can be dropped and nothing else; nobody is connected to it.
        if !self.is_wreck(name).await? {
            self.shut(name).await?;
        }
        crash::point(|| "drop/shut".to_owned());
        self.destroy_patiently(name).await?;
        crash::point(|| "drop/dropped".to_owned());
        Ok(true)
    }

    /// Drops a marked database unless somebody is in it: it is shut first, so that nobody comes in meanwhile, and opened
    /// again when it is in use or cannot be dropped. Was it dropped? Not, too, when its marker is another one by now.
    ///
    /// # Errors
    /// As `drop_database`; it is open again if it was.
    pub async fn drop_unused(&self, name: &str, marker: &Marker) -> Result<bool, Failure> {
        let Some(found) = self.find(name).await? else { return Ok(false) };
        if self.is_wreck(name).await? {
            return self.drop_database(name, &marker.run).await;
        }
        self.execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", quoted(name)?)).await?;
        let dropped = self.drop_if_still(name, marker).await;
        if !found.shut && !matches!(dropped, Ok(true)) {
            self.open(name).await?;
        }
        dropped
    }

    async fn drop_if_still(&self, name: &str, marker: &Marker) -> Result<bool, Failure> {
        let now = self.find(name).await?;
        if now.is_some_and(|now| now.sessions == 0 && now.marker.as_ref() == Some(marker)) {
            return self.drop_database(name, &marker.run).await;
        }
        Ok(false)
    }

    async fn is_wreck(&self, name: &str) -> Result<bool, Failure> {
        let sql = "SELECT d.datconnlimit = -2 FROM pg_catalog.pg_database AS d WHERE d.datname = $1";
        Ok(self.query(sql, &[&name]).await?.first().is_some_and(|row| row.get(0)))
    }

    /// Sessions that we may not end, such as those of a process that was killed, are waited for; each DROP waits 5 s itself.
    async fn destroy_patiently(&self, name: &str) -> Result<(), Failure> {
        let mut tries = 1;
        loop {
            match self.destroy(name).await {
                Err(failure) if failure.sqlstate.as_deref() == Some("55006") && tries < TRIES => tries += 1,
                Err(mut failure) if failure.sqlstate.as_deref() == Some("55006") => {
                    failure.exit = Exit::Temporary;
                    return Err(failure
                        .fact(format!("tried {tries} times"))
                        .changed(format!(
                            "`{name}` was not dropped; it lets nobody in until it is dropped or used again"
                        ))
                        .next("then", "the same command again, once nobody is connected to it")
                        .next("look", format!("psql -c \"SELECT * FROM pg_stat_activity WHERE datname = '{name}'\"")));
                }
                done => return done,
            }
        }
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
