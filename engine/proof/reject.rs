//! Rejects: what the database itself must refuse, and the same statement with permitted values, which must pass.
//!
//! Every case runs in a savepoint of the stage's transaction and is rolled back. "0 rows" is no refusal.

use super::{Script, forward, measure};
use crate::event::evidence::case_held;
use crate::event::{Exit, Failure, RejectResult};
use crate::sql::Kind;
use crate::target::WriteTx;

/// `[stage.x.reject.NAME]`, rendered.
#[derive(Clone, Debug)]
pub struct Reject {
    /// Name.
    pub name: String,
    /// Set-up, in the same savepoint.
    pub given: Option<Script>,
    /// The permitted twin, unless there is none.
    pub permit: Option<Script>,
    /// What must be refused.
    pub refuse: Vec<Refusal>,
}

/// One case that must be refused, and how.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Name.
    pub name: String,
    /// Its statements.
    pub script: Script,
    /// SQLSTATE.
    pub error: String,
    /// Constraint; a partition's leaf counts as its root's.
    pub constraint: Option<String>,
}

/// What cases promise beside their SQL.
pub fn promise(rejects: &[Reject]) -> String {
    let cases = rejects.iter().flat_map(|reject| reject.refuse.iter().map(move |case| (reject, case)));
    cases.map(|(reject, c)| format!(" {} {} {} {:?};", reject.name, c.name, c.error, c.constraint)).collect()
}

const CONSTRAINT_ROOT: &str = include_str!("../../sql/engine/measure/constraint_root.sql");

/// Runs all cases; answers every result.
///
/// # Errors
/// The connection was lost, or the set-up itself failed (exit 40).
pub async fn run(tx: &WriteTx, rejects: &[Reject]) -> Result<Vec<RejectResult>, Failure> {
    let mut results = Vec::new();
    for reject in rejects {
        if let Some(permit) = &reject.permit {
            results.push(permitted(tx, reject, permit).await?);
        }
        for refusal in &reject.refuse {
            results.push(refused(tx, reject, refusal).await?);
        }
    }
    Ok(results)
}

/// A failure naming every case that did not hold (exit 43); `None` when all hold.
pub fn failure(stage: &str, results: &[RejectResult]) -> Option<Failure> {
    let broken: Vec<&RejectResult> = results.iter().filter(|r| !r.held).collect();
    let first = broken.first()?;
    let mut failure = Failure::new(
        Exit::NotRefused,
        format!("reject `{}` of stage `{stage}`: case `{}` did not hold", first.reject, first.case),
    );
    failure.facts =
        broken.iter().map(|r| format!("{}.{}  expected {}, found {}", r.reject, r.case, r.expected, r.found)).collect();
    Some(failure)
}

/// Row changes of the script by whatever path, or how it failed. None if it writes, and its own statements changed no row:
/// what a trigger wrote elsewhere while it swallowed the row is no permission.
async fn attempt(tx: &WriteTx, given: Option<&Script>, script: &Script) -> Result<Result<i64, Failure>, Failure> {
    tx.control("SAVEPOINT engine_reject").await?;
    forward::as_begun(tx).await?;
    let tried = async {
        if let Some(given) = given
            && let Err(mut failure) = forward::send(tx, given).await
        {
            failure.what = format!("the set-up of a reject failed: {}", failure.what);
            return Err(failure);
        }
        let before = measure::rows_changed(tx).await?;
        let sent = match forward::send(tx, script).await {
            Ok(sent) => forward::force_constraints(tx).await.map(|()| sent),
            Err(failure) => Err(failure),
        };
        let sent = match sent {
            Ok(sent) => {
                let own = script.statements.iter().zip(&sent).filter(|(s, _)| s.kind == Kind::Write);
                let swallowed = own.clone().count() > 0 && own.map(|(_, sent)| sent.rows).sum::<u64>() == 0;
                Ok(if swallowed { 0 } else { measure::rows_changed(tx).await? - before })
            }
            Err(failure) => Err(failure),
        };
        Ok(sent)
    }
    .await;
    tx.control("ROLLBACK TO SAVEPOINT engine_reject; RELEASE SAVEPOINT engine_reject").await?;
    tried
}

async fn permitted(tx: &WriteTx, reject: &Reject, script: &Script) -> Result<RejectResult, Failure> {
    let case = RejectResult {
        reject: reject.name.clone(),
        case: "permit".into(),
        sha256: script.sha256.clone(),
        wanted: None,
        refused: None,
        root: None,
        rows: 0,
        expected: "success and a row change".into(),
        found: String::new(),
        held: false,
    };
    Ok(match attempt(tx, reject.given.as_ref(), script).await? {
        Ok(0) => RejectResult { found: "success, but no row was changed".to_owned(), ..case },
        Ok(rows) => decided(RejectResult { rows, found: format!("success, {rows} row changes"), ..case }),
        Err(failure) if is_in_the_way(&failure, None) => return Err(cut_short(&case, failure)),
        Err(failure) => decided(RejectResult { refused: Some(refusal_of(&failure)), found: shown(&failure), ..case }),
    })
}

async fn refused(tx: &WriteTx, reject: &Reject, refusal: &Refusal) -> Result<RejectResult, Failure> {
    let wanted = crate::event::Refusal { error: refusal.error.clone(), constraint: refusal.constraint.clone() };
    let case = RejectResult {
        reject: reject.name.clone(),
        case: refusal.name.clone(),
        sha256: refusal.script.sha256.clone(),
        expected: named(&wanted),
        wanted: Some(wanted),
        refused: None,
        root: None,
        rows: 0,
        found: String::new(),
        held: false,
    };
    Ok(decided(match attempt(tx, reject.given.as_ref(), &refusal.script).await? {
        Ok(rows) => RejectResult { rows, found: format!("success, {rows} row changes"), ..case },
        Err(failure) if failure.sqlstate.is_none() => return Err(failure),
        Err(failure) if is_in_the_way(&failure, Some(&refusal.error)) => return Err(cut_short(&case, failure)),
        Err(failure) => {
            let root = constraint_root(tx, &failure).await?;
            let found = match &root {
                Some(root) => format!("{} (of {root})", shown(&failure)),
                None => shown(&failure),
            };
            RejectResult { refused: Some(refusal_of(&failure)), root, found, ..case }
        }
    }))
}

/// Somebody's lock, a time that ran out, a server that has no room or goes down: no answer of the database to the case,
/// unless it is the very one that is wanted.
fn is_in_the_way(failure: &Failure, wanted: Option<&str>) -> bool {
    let code = failure.sqlstate.as_deref().unwrap_or_default();
    let passing = failure.exit == Exit::Temporary
        || code == "57014"
        || ["08", "53", "57P"].iter().any(|class| code.starts_with(class));
    passing && wanted != Some(code)
}

fn cut_short(case: &RejectResult, failure: Failure) -> Failure {
    let what = format!("case `{}` of reject `{}` could not be tried: {}", case.case, case.reject, failure.what);
    Failure { what, ..failure }
}

/// What follows from what was seen is said in one place, for `verify` too.
fn decided(case: RejectResult) -> RejectResult {
    RejectResult { held: case_held(&case), ..case }
}

fn refusal_of(failure: &Failure) -> crate::event::Refusal {
    let error = failure.sqlstate.clone().unwrap_or_default();
    crate::event::Refusal { error, constraint: failure.constraint.clone() }
}

fn named(wanted: &crate::event::Refusal) -> String {
    match &wanted.constraint {
        Some(constraint) => format!("{} {constraint}", wanted.error),
        None => wanted.error.clone(),
    }
}

/// The partition root's name of the constraint that refused, when it is another one.
async fn constraint_root(tx: &WriteTx, failure: &Failure) -> Result<Option<String>, Failure> {
    let (Some(constraint), Some(table)) = (&failure.constraint, &failure.table) else { return Ok(None) };
    let rows = tx.query(CONSTRAINT_ROOT, &[constraint, table]).await?;
    Ok(rows.first().map(|row| row.get::<_, String>(0)).filter(|root| root != constraint))
}

fn shown(failure: &Failure) -> String {
    let code = failure.sqlstate.as_deref().unwrap_or("no SQLSTATE");
    match (&failure.constraint, &failure.table) {
        (Some(constraint), Some(table)) => format!("{code} {constraint} on {table}"),
        (Some(constraint), None) => format!("{code} {constraint}"),
        (None, _) => format!("{code} {}", failure.what),
    }
}
