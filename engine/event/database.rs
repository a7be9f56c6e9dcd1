//! Databases as events speak of them: identity, marker, the record of a transaction.

use serde::{Deserialize, Serialize};

/// A database as the server itself names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `pg_control_system().system_identifier`.
    pub system_identifier: String,
    /// Timeline of the last checkpoint.
    pub timeline: i32,
    /// Name.
    pub database: String,
    /// Oid of the database.
    pub oid: i64,
    /// `server_version`, as in `16.14`.
    pub version: String,
    /// `server_version_num`, as in `160014`.
    pub version_num: i32,
    /// `pg_postmaster_start_time()`.
    pub started: String,
    /// The role that logged in.
    pub session_user: String,
    /// The role that works.
    pub current_user: String,
    /// A standby.
    pub in_recovery: bool,
    /// The database's comment, when it is one of our markers.
    pub marker: Option<Marker>,
    /// Version and cipher as `pg_stat_ssl` has them, where a target was bound over TLS: `TLSv1.3 TLS_AES_256_GCM_SHA384`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
}

impl Identity {
    /// The same database of the same server?
    pub fn same_database(&self, other: &Identity) -> bool {
        self.system_identifier == other.system_identifier && self.oid == other.oid
    }
}

/// What `COMMENT ON DATABASE` of a clone says. Without it nothing is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Version of this format: 1.
    pub engine: u32,
    /// Run that made it.
    pub run: String,
    /// Plan that made it.
    pub plan: String,
    /// `clone`, `copy` or `golden`.
    pub role: String,
    /// System identifier, oid and name of the source.
    pub source: (String, i64, String),
    /// RFC 3339.
    pub created: String,
    /// RFC 3339; `None`: never.
    pub expires: Option<String>,
    /// The run that made it has ended.
    #[serde(default)]
    pub finished: bool,
    /// Head of the journal when the marker was written: number of lines and hash.
    #[serde(default)]
    pub head: Option<(u64, String)>,
    /// Oid of the database it was written for: a comment goes along with `pg_dump -C`, the oid does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oid: Option<i64>,
    /// Of a golden copy: SHA-256 of the file that says what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

impl Marker {
    /// Was it written for the database with this oid? Markers of before said none.
    pub fn is_of(&self, oid: i64) -> bool {
        self.oid.is_none_or(|known| known == oid)
    }

    /// Reads a database comment; `None` when it is not ours.
    pub fn parse(comment: &str) -> Option<Marker> {
        serde_json::from_str::<Marker>(comment).ok().filter(|marker| marker.engine == 1)
    }

    /// A database comment, less what of a marker moves whenever a run ends: where its journal stands, and that it ended.
    pub fn steady(comment: String) -> String {
        let Some(marker) = Marker::parse(&comment) else { return comment };
        Marker { head: None, finished: false, ..marker }.text()
    }

    /// The comment's text.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("invariant: a marker is JSON")
    }
}

/// What is known of a read-only transaction when it has ended: one journal line.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct TxRecord {
    /// Target it ran on.
    pub target: String,
    /// What it was for.
    pub purpose: String,
    /// Statements sent, without the watching ones.
    pub statements: u32,
    /// Milliseconds it was open.
    pub open_ms: u64,
    /// `transaction_read_only` was on at the end.
    pub read_only: bool,
    /// The transaction that ended is the one that was begun.
    pub same_transaction: bool,
    /// Its transaction id: `None` means that it wrote nothing.
    pub xid: Option<String>,
    /// On the first transaction of a connection: how many powers its role has that a confined reader may not have, as
    /// the catalog says on that connection. More than the target was bound with end the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub powers: Option<u64>,
}
