//! What could this role do? Read from the catalog of the database it is about, and what would take it away.

use super::wire::Wire;
use super::{Row, Tx, fault};
use crate::event::{Exit, Failure};
use crate::name::quote::literal;
use deadpool_postgres::Object;
use std::collections::BTreeMap;

pub(super) const POWERS: &str = include_str!("../../sql/engine/powers.sql");

/// How far a power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// No right or transaction stops it: superuser, roles, replication, programs and files of the server.
    Above,
    /// It can change the database: write, own, create, advance.
    Writes,
    /// It can keep others from their work: lock, terminate, rebuild.
    Disturbs,
    /// Listed, and not refused: what PUBLIC may do in every database, doors that a function's body decides about.
    Listed,
}

impl Grade {
    /// All of them, worst first, with what `doctor` writes above each.
    pub const ALL: [(Grade, &'static str); 4] = [
        (Grade::Above, "above all rights"),
        (Grade::Writes, "could change it"),
        (Grade::Disturbs, "could disturb others"),
        (Grade::Listed, "listed, not refused"),
    ];
}

/// One thing a role could do to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Power {
    /// How far it goes.
    pub grade: Grade,
    /// In words, such as `may write public.orders (DELETE granted to PUBLIC)`.
    pub what: String,
    /// What takes it away; `None`: no statement, another role has to be used.
    pub remedy: Option<Remedy>,
}

impl Power {
    /// Grade, words, and three parts of a statement.
    pub(super) fn of(row: &Row) -> Power {
        Power { grade: grade(row.get(0)), what: row.get(1), remedy: Remedy::of(row, 2) }
    }
}

/// A statement in three parts: those with equal ends become one, with all their objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remedy {
    before: String,
    after: String,
    object: String,
}

impl Remedy {
    /// A whole statement.
    pub fn whole(statement: impl Into<String>) -> Remedy {
        Remedy { before: statement.into(), after: String::new(), object: String::new() }
    }

    /// Three texts from column `at` on. Empty ones make no statement.
    pub(super) fn of(row: &Row, at: usize) -> Option<Remedy> {
        let remedy = Remedy { before: row.get(at), object: row.get(at + 1), after: row.get(at + 2) };
        (!remedy.before.is_empty()).then_some(remedy)
    }
}

/// The statements of all remedies, each once, in the order in which they came.
pub fn statements<'r>(remedies: impl IntoIterator<Item = &'r Remedy>) -> Vec<String> {
    let mut order = Vec::new();
    let mut objects: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for remedy in remedies {
        let ends = (remedy.before.as_str(), remedy.after.as_str());
        let of = objects.entry(ends).or_insert_with(|| {
            order.push(ends);
            Vec::new()
        });
        if !remedy.object.is_empty() && !of.contains(&remedy.object.as_str()) {
            of.push(&remedy.object);
        }
    }
    order.into_iter().map(|ends| format!("{}{}{};", ends.0, objects[&ends].join(", "), ends.1)).collect()
}

/// What a role could do in a database, worst first.
///
/// # Errors
/// The server's.
pub async fn powers(tx: &Tx, role: &str) -> Result<Vec<Power>, Failure> {
    Ok(tx.query(POWERS, &[&role]).await?.iter().map(Power::of).collect())
}

fn grade(number: i32) -> Grade {
    match number {
        1 => Grade::Above,
        2 => Grade::Writes,
        3 => Grade::Disturbs,
        _ => Grade::Listed,
    }
}

/// The role that reads a target, asked about on each new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    /// The role.
    pub role: String,
    /// It may have no power at all; else its powers are only counted.
    pub strict: bool,
}

impl Confined {
    /// Asks on a connection of the pool, within its transaction. Answers how many such powers there are.
    pub(super) async fn demand(&self, session: &Object, target: &str) -> Result<u64, Failure> {
        let rows = session
            .query(POWERS, &[&self.role])
            .await
            .map_err(|e| fault::statement(&format!("reading the powers of `{}` on `{target}`", self.role), &e))?;
        self.judge(
            rows.iter().map(Power::of).filter(|power| power.grade != Grade::Listed).map(|power| power.what),
            target,
        )
    }

    /// The same on a session that streams.
    pub(super) async fn demand_of(&self, wire: &mut Wire, target: &str) -> Result<u64, Failure> {
        let role = literal(&self.role).map_err(|e| Failure::new(Exit::Io, format!("`{}`: {e}", self.role)))?;
        let rows = wire.ask(&POWERS.replace("$1", &role)).await?.0;
        let powers = rows.into_iter().filter_map(|row| {
            let mut row = row.into_iter().flatten();
            let number = row.next().and_then(|text| text.parse().ok()).unwrap_or(1);
            row.next().filter(|_| grade(number) != Grade::Listed)
        });
        self.judge(powers, target)
    }

    fn judge(&self, found: impl Iterator<Item = String>, target: &str) -> Result<u64, Failure> {
        let found: Vec<String> = found.collect();
        if found.is_empty() || !self.strict {
            return Ok(found.len() as u64);
        }
        let what = format!("the role `{}` that reads `{target}` can do more than when this run began", self.role);
        let mut failure = Failure::new(Exit::Io, what)
            .changed(format!("nothing was changed on `{target}`; this connection was closed"))
            .next("see", "engine doctor PLAN   prints the statements that take it away");
        failure.facts = found;
        Err(failure)
    }
}

/// Something that the role that reads may not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// `unreadable`, `unreachable`, `row level security` or `large object`.
    pub kind: String,
    /// Its name; for large objects, how many.
    pub name: String,
    /// What lets it.
    pub remedy: Option<Remedy>,
}

/// What the role of this transaction may not see of its database.
///
/// # Errors
/// The server's.
pub async fn unseen(tx: &Tx) -> Result<Vec<Unseen>, Failure> {
    const OBSTACLES: &str = include_str!("../../sql/engine/source/obstacles.sql");
    let rows = tx.query(OBSTACLES, &[]).await?;
    Ok(rows.iter().map(|row| Unseen { kind: row.get(0), name: row.get(1), remedy: Remedy::of(row, 2) }).collect())
}

/// Powers that a confined reader may not have, and those that are only listed: in words.
pub fn told(powers: &[Power]) -> (Vec<String>, Vec<String>) {
    let (listed, refused): (Vec<&Power>, Vec<&Power>) = powers.iter().partition(|power| power.grade == Grade::Listed);
    let words = |of: Vec<&Power>| of.into_iter().map(|power| power.what.clone()).collect();
    (words(refused), words(listed))
}
