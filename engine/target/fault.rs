//! Driver errors as failures: SQLSTATE kept, DETAIL kept apart, temporary told from final.

use crate::event::{Exit, Failure};
use tokio_postgres::error::{DbError, ErrorPosition};

/// SQLSTATEs after which the same whole transaction may be tried again.
pub const RETRYABLE: [&str; 3] = ["40001", "40P01", "55P03"];

/// What a statement's error means.
pub fn statement(what: &str, error: &tokio_postgres::Error) -> Failure {
    match error.as_db_error() {
        Some(db) => server(what, db),
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

/// What an error while connecting means. `place` names host and variable, never a secret.
pub fn connecting(target: &str, place: &str, error: &tokio_postgres::Error) -> Failure {
    let Some(db) = error.as_db_error() else {
        let text = chain(error);
        let exit = if text.contains("tls") || text.contains("certificate") || text.contains("password missing") {
            Exit::Io
        } else {
            Exit::Temporary
        };
        return Failure::new(exit, format!("cannot reach `{target}`: {text}, {place}"));
    };
    let exit = match db.code().code() {
        // Wrong user, wrong password, no such database, not allowed to connect: trying again only locks accounts.
        code if code.starts_with("28") || code.starts_with("3D") || code == "42501" => Exit::Io,
        _ => Exit::Temporary,
    };
    let mut failure = Failure::new(exit, format!("cannot reach `{target}`: {}, {place}", db.message()));
    failure.sqlstate = Some(db.code().code().to_owned());
    failure
}

fn server(what: &str, db: &DbError) -> Failure {
    let code = db.code().code();
    let exit = match code {
        "57P01" | "57P02" | "57P03" | "53300" => Exit::Temporary,
        _ => Exit::StageFailed,
    };
    let mut failure = Failure::new(exit, format!("{what}: {}", db.message()));
    failure.sqlstate = Some(code.to_owned());
    failure.constraint = db.constraint().map(str::to_owned);
    failure.table = db.table().map(|table| match db.schema() {
        Some(schema) => format!("{schema}.{table}"),
        None => table.to_owned(),
    });
    failure.detail = db.detail().map(str::to_owned);
    failure.position = match db.position() {
        Some(ErrorPosition::Original(position)) => Some(*position as usize - 1),
        _ => None,
    };
    failure.facts.push(format!("SQLSTATE {code}"));
    if code == "42501" && db.message().contains("row-level security") {
        // Half a table would be worse than none: the session says row_security = off.
        failure = failure
            .next("then", "ALTER ROLE engine_reader BYPASSRLS, by a superuser, for the role that reads")
            .next("see", "engine doctor PLAN");
    }
    if let Some(hint) = db.hint() {
        failure.facts.push(format!("hint: {hint}"));
    }
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
