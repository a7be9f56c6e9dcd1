//! Driver errors as failures: SQLSTATE kept, DETAIL kept apart, temporary told from final.

use super::connect::Door;
use super::distrust;
use crate::event::{Exit, Failure};
use tokio_postgres::error::{DbError, ErrorPosition, Severity};

/// SQLSTATEs after which the same whole transaction may be tried again. They are temporary, as is a server that goes away.
pub const RETRYABLE: [&str; 3] = ["40001", "40P01", "55P03"];

/// What a statement's error means.
pub fn statement(what: &str, error: &tokio_postgres::Error) -> Failure {
    match error.as_db_error() {
        Some(db) => {
            let mut failure = server(what, db.into());
            // The session is over, whoever ended it: the server, an administrator, or a pooler that lost the server.
            if matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic)) {
                failure.exit = Exit::Temporary;
            }
            failure
        }
        None if error.is_closed() || chain(error).contains("communicating") => {
            Failure::new(Exit::Temporary, format!("{what}: {}", chain(error))).fact("the connection was lost")
        }
        // The driver itself refused: `$1` in a statement, a value it cannot convert.
        None => {
            let mut failure = Failure::new(Exit::StageFailed, format!("{what}: {}", chain(error)));
            failure.sqlstate = Some("08P01".to_owned());
            failure
        }
    }
}

/// What an error while connecting means. The door's place names host and variable, never a secret.
pub(super) fn connecting(door: &Door, error: &tokio_postgres::Error) -> Failure {
    let (target, place) = (&door.target, &door.place);
    let Some(db) = error.as_db_error() else {
        if let Some(failure) = distrust::failure(door, error) {
            return failure;
        }
        let text = chain(error);
        let exit = if text.contains("password missing") { Exit::Io } else { Exit::Temporary };
        return Failure::new(exit, format!("cannot reach `{target}`: {text}, {place}"));
    };
    if let (Some(expected), "3D000") = (&door.expected, db.code().code()) {
        let what = format!("the clone `{}` of run {} is gone: {}", expected.database, expected.run, db.message());
        return Failure::new(Exit::WrongDatabase, what).next("start anew", "engine apply PLAN");
    }
    let exit = match db.code().code() {
        // Wrong user, wrong password, no such database, not allowed to connect: trying again only locks accounts.
        code if code.starts_with("28") || code.starts_with("3D") || code == "42501" => Exit::Io,
        _ => Exit::Temporary,
    };
    let mut failure = Failure::new(exit, format!("cannot reach `{target}`: {}, {place}", db.message()));
    failure.sqlstate = Some(db.code().code().to_owned());
    failure
}

/// What a server said, whoever heard it.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) detail: Option<String>,
    pub(super) hint: Option<String>,
    pub(super) schema: Option<String>,
    pub(super) table: Option<String>,
    pub(super) constraint: Option<String>,
    /// Characters before the place in the statement.
    pub(super) position: Option<usize>,
}

impl From<&DbError> for Said {
    fn from(db: &DbError) -> Said {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Said {
            code: db.code().code().to_owned(),
            message: db.message().to_owned(),
            detail: owned(db.detail()),
            hint: owned(db.hint()),
            schema: owned(db.schema()),
            table: owned(db.table()),
            constraint: owned(db.constraint()),
            position: match db.position() {
                Some(ErrorPosition::Original(position)) => Some(*position as usize - 1),
                _ => None,
            },
        }
    }
}

/// A server's error as a failure.
pub(super) fn server(what: &str, said: Said) -> Failure {
    let Said { code, message, detail, hint, schema, table, constraint, position } = said;
    let exit = match code.as_str() {
        "57P01" | "57P02" | "57P03" | "53300" => Exit::Temporary,
        code if RETRYABLE.contains(&code) => Exit::Temporary,
        _ => Exit::StageFailed,
    };
    let mut failure = Failure::new(exit, format!("{what}: {message}"));
    failure.constraint = constraint;
    failure.table = table.map(|table| match schema {
        Some(schema) => format!("{schema}.{table}"),
        None => table,
    });
    failure.detail = detail;
    failure.position = position;
    failure.facts.push(format!("SQLSTATE {code}"));
    if code == "42501" && message.contains("row-level security") {
        // Half a table would be worse than none: the session says row_security = off.
        failure = failure
            .next("then", "ALTER ROLE engine_reader BYPASSRLS, by a superuser, for the role that reads")
            .next("see", "engine doctor PLAN");
    }
    if let Some(hint) = hint {
        failure.facts.push(format!("hint: {hint}"));
    }
    failure.sqlstate = Some(code);
    failure
}

/// The error and its causes, without a secret: the driver never puts one there.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
