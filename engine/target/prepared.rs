//! The engine's own statements stay prepared in a session: parsing and planning a question to the catalog takes the server
//! longer than answering it.
//!
//! What the plan says runs in the same session, and it may `DEALLOCATE` a statement and `PREPARE` another one of that name,
//! which would answer in its place. So whenever the engine gets the word back the server is asked, in a statement that
//! is not prepared, what is prepared there: as soon as that is not the engine's alone, nothing prepared there is used, and all are prepared anew.

use super::fault;
use crate::event::Failure;
use deadpool_postgres::Object;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row, SimpleQueryMessage};

/// What statements that stay prepared begin with: the driver prepares others for itself.
const KEPT: &str = "/* kept */";

/// Prepared by SQL, and kept.
const TURN: &str = "SELECT pg_catalog.count(*) FILTER (WHERE s.from_sql), \
                    pg_catalog.count(*) FILTER (WHERE NOT s.from_sql AND pg_catalog.starts_with(s.statement, '/* kept */')) \
                    FROM pg_catalog.pg_prepared_statement() AS s";

/// Sends what makes it the engine's turn. True: the session's prepared statements are the engine's alone, and all there.
pub(super) async fn turn(session: &Object, path: &str) -> Result<bool, Error> {
    let answers = session.simple_query(&format!("{path}; {TURN}")).await?;
    let counts = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some((number(row.get(0)), number(row.get(1)))),
        _ => None,
    });
    let Some((Some(others), Some(kept))) = counts else { return Ok(false) };
    let ours = others == 0 && kept == session.statement_cache.size();
    if !ours {
        // From the next turn on, if nobody else has prepared anything by then, they are kept anew.
        session.statement_cache.clear();
    }
    Ok(ours)
}

fn number(text: Option<&str>) -> Option<usize> {
    text.and_then(|text| text.parse().ok())
}

/// Asks what stays prepared in the session. Only for texts that are part of the program: each is kept until the session ends.
pub(super) async fn query(
    session: &Object,
    sql: &'static str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    let statement = session.prepare_cached(&format!("{KEPT} {sql}")).await?;
    session.query(&statement, params).await
}

/// Asks in one message, prepared for this once: where nobody can tell what is prepared in the session.
///
/// # Errors
/// The server's; or there is not exactly one row.
pub(super) async fn once(session: &Object, what: &str, sql: &str, params: &[&str]) -> Result<Row, Failure> {
    let typed: Vec<(&(dyn ToSql + Sync), Type)> =
        params.iter().map(|value| (value as &(dyn ToSql + Sync), Type::TEXT)).collect();
    session.query_typed_one(sql, &typed).await.map_err(|e| fault::statement(what, &e))
}
