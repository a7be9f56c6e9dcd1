//! Which database is this? Read on the very connection that is about to be used.

use super::{Tx, prepared};
use crate::event::{Exit, Failure, Identity, Marker};
use deadpool_postgres::Object;
use serde::{Deserialize, Serialize};

/// The comment is read from its table: `shobj_description` plans a query of its own each time. The timeline is that of the WAL
/// that is written now: the control file has that of the last checkpoint, which a server that was just promoted may have
/// made on the old one. A standby writes none.
pub(super) const IDENTITY: &str = "SELECT s.system_identifier::pg_catalog.text, \
    CASE WHEN pg_catalog.pg_is_in_recovery() THEN c.timeline_id ELSE pg_catalog.concat('x', \
    pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8))::pg_catalog.bit(32)::pg_catalog.int4 END, \
    pg_catalog.current_database()::pg_catalog.text, d.oid::pg_catalog.int8, pg_catalog.current_setting('server_version'), \
    pg_catalog.current_setting('server_version_num')::pg_catalog.int4, pg_catalog.pg_postmaster_start_time()::pg_catalog.text, \
    session_user::pg_catalog.text, current_user::pg_catalog.text, pg_catalog.pg_is_in_recovery(), \
    (SELECT t.description FROM pg_catalog.pg_shdescription AS t WHERE t.objoid OPERATOR(pg_catalog.=) d.oid \
     AND t.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_database'::pg_catalog.regclass::pg_catalog.oid) \
    FROM pg_catalog.pg_database AS d, pg_catalog.pg_control_system() AS s, pg_catalog.pg_control_checkpoint() AS c \
    WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()";

/// Reads who and where we are within a transaction.
///
/// # Errors
/// The server's.
pub async fn identify(tx: &Tx) -> Result<Identity, Failure> {
    Ok(identity_of(&tx.ask_one(IDENTITY, &[]).await?))
}

/// Of this very session. Not part of an identity everywhere: it looks at all sessions, and the same database may be
/// reached in two ways.
const SECURED: &str = "SELECT pg_catalog.concat_ws(' ', s.version, s.cipher) FROM pg_catalog.pg_stat_ssl AS s \
    WHERE s.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND s.ssl";

/// TLS version and cipher as the server says them; `None`: no TLS is spoken.
///
/// # Errors
/// The server's.
pub async fn secured(tx: &Tx) -> Result<Option<String>, Failure> {
    Ok(tx.query(SECURED, &[]).await?.first().map(|row| row.get(0)))
}

pub(super) async fn secured_session(session: &Object) -> Result<Option<String>, Failure> {
    let row = session.query_opt(SECURED, &[]).await.map_err(|e| super::fault::statement("who is there", &e))?;
    Ok(row.map(|row| row.get(0)))
}

pub(super) async fn identify_session(session: &Object) -> Result<Identity, Failure> {
    // Whoever had the session before may have prepared an answer.
    Ok(identity_of(&prepared::once(session, "who is there", IDENTITY, &[]).await?))
}

/// Demands that a session leads to what the run was bound to.
pub(super) async fn demand_bound(session: &Object, bound: &Identity, target: &str) -> Result<(), Failure> {
    let found = identify_session(session).await?;
    if found.same_database(bound) && found.in_recovery == bound.in_recovery {
        return Ok(());
    }
    let shown = |identity: &Identity| {
        let (database, oid, server) = (&identity.database, identity.oid, &identity.system_identifier);
        let standby = if identity.in_recovery { ", a standby" } else { "" };
        format!("{database} (oid {oid}) of the server {server}{standby}, up since {}", identity.started)
    };
    Err(Failure::new(Exit::WrongDatabase, format!("`{target}` leads to one database now and to another then"))
        .fact(format!("bound  {}", shown(bound)))
        .fact(format!("found  {}", shown(&found)))
        .changed("nothing was sent to it")
        .next("give", format!("`{target}` an address that leads to one server: no balancer, no list of hosts")))
}

async fn identify_kept(session: &Object) -> Result<Identity, Failure> {
    let rows = prepared::query(session, IDENTITY, &[]).await;
    let rows = rows.map_err(|e| super::fault::statement("who is there", &e))?;
    rows.first().map(identity_of).ok_or_else(|| Failure::new(Exit::Temporary, "a session did not say who is there"))
}

fn identity_of(row: &super::Row) -> Identity {
    Identity {
        system_identifier: row.get(0),
        timeline: row.get(1),
        database: row.get(2),
        oid: row.get(3),
        version: row.get(4),
        version_num: row.get(5),
        started: row.get(6),
        session_user: row.get(7),
        current_user: row.get(8),
        in_recovery: row.get(9),
        marker: row.get::<_, Option<String>>(10).as_deref().and_then(Marker::parse),
        tls: None,
    }
}

/// The same, from values as text.
pub(super) fn of_text(rows: &[Vec<Option<String>>]) -> Result<Identity, Failure> {
    let Some([system, timeline, database, oid, version, number, started, session, current, recovery, comment]) =
        rows.first().map(Vec::as_slice)
    else {
        return Err(Failure::new(Exit::Temporary, "a session did not say who is there"));
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Ok(Identity {
        system_identifier: text(system),
        timeline: text(timeline).parse().unwrap_or(0),
        database: text(database),
        oid: text(oid).parse().unwrap_or(0),
        version: text(version),
        version_num: text(number).parse().unwrap_or(0),
        started: text(started),
        session_user: text(session),
        current_user: text(current),
        in_recovery: text(recovery) == "t",
        marker: comment.as_deref().and_then(Marker::parse),
        tls: None,
    })
}

/// What a clone's session must prove before it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Run that made the clone.
    pub run: String,
    /// Its name.
    pub database: String,
    /// Its oid.
    pub oid: i64,
    /// The server it lives in.
    pub system_identifier: String,
    /// What it must not be: system identifier and oid of production.
    pub not: (String, i64),
}

impl Expected {
    /// `engines_own`: nobody else ever prepared anything in that session.
    pub(super) async fn prove(&self, session: &Object, target: &str, engines_own: bool) -> Result<(), Failure> {
        let found = if engines_own { identify_kept(session).await? } else { identify_session(session).await? };
        self.demand(&found, target)
    }

    /// Demands that what was found is what was meant.
    pub(super) fn demand(&self, found: &Identity, target: &str) -> Result<(), Failure> {
        let production = found.system_identifier == self.not.0 && found.oid == self.not.1;
        let marked = found.marker.as_ref().is_some_and(|m| m.run == self.run);
        let same = found.database == self.database
            && found.oid == self.oid
            && found.system_identifier == self.system_identifier;
        if same && marked && !production {
            return Ok(());
        }
        let by = found
            .marker
            .as_ref()
            .map_or("no marker of this engine".to_owned(), |m| format!("a marker of run {}", m.run));
        Err(Failure::new(Exit::WrongDatabase, format!("`{target}` is not the clone of this run"))
            .fact(format!("meant   {} (oid {}) of run {}", self.database, self.oid, self.run))
            .fact(format!("found   {} (oid {}) with {by}", found.database, found.oid))
            .fact(if production { "it is production" } else { "it is not production" })
            .changed("nothing was sent to it")
            .next("then", format!("give `{}` back to its clone and run: engine resume {}", self.database, self.run))
            .next("or", "start anew: engine apply PLAN"))
    }
}
