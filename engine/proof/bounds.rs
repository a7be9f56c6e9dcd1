//! The write bound: `writes` and `alters` over everything the transaction really did, by whatever path.

use super::measure::{self, Delta};
use super::{Bound, Work};
use crate::event::{Exit, Failure, TableWrite};
use crate::target::{Says, Tx};
use std::collections::BTreeMap;

/// A work's bounds with names resolved in the database it runs on.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// `schema.table` to the bound; `None` is any.
    tables: BTreeMap<String, Bound>,
    alters: Vec<String>,
    never: Vec<String>,
}

/// One thing that was changed and not declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The table whose rows were changed, if that is what was.
    pub table: Option<String>,
    /// What is wrong, with counts.
    pub text: String,
}

impl Breach {
    fn of(text: String) -> Breach {
        Breach { table: None, text }
    }
}

/// Catalogs of the whole server; `pg_shdepend` moves with every object that has an owner.
const SHARED: [&str; 10] = [
    "pg_auth_members",
    "pg_authid",
    "pg_database",
    "pg_db_role_setting",
    "pg_parameter_acl",
    "pg_replication_origin",
    "pg_shdescription",
    "pg_shseclabel",
    "pg_subscription",
    "pg_tablespace",
];

const RESOLVE: &str = include_str!("../../sql/engine/measure/resolve.sql");

const PARTITIONS: &str = include_str!("../../sql/engine/measure/partitions.sql");

/// Finds every declared table once, in the session's search path.
///
/// # Errors
/// A table in `writes` does not exist and `alters` does not name it either (exit 40).
pub async fn resolve(tx: &Tx, work: &Work) -> Result<Resolved, Failure> {
    let mut resolved = Resolved::default();
    for bound in &work.writes {
        match find(tx, &bound.table).await? {
            Some(name) => drop(resolved.tables.insert(name, bound.clone())),
            None if work.alters.contains(&bound.table) => {
                resolved.tables.insert(default_schema(&bound.table), bound.clone());
            }
            None => {
                return Err(Failure::new(
                    Exit::StageFailed,
                    format!("stage `{}` declares `writes.{}`, and there is no such table", work.stage, bound.table),
                )
                .fact(bound.place.clone()));
            }
        }
    }
    for name in &work.alters {
        resolved.alters.push(find(tx, name).await?.unwrap_or_else(|| default_schema(name)));
    }
    resolved.never = never(tx, &work.never).await?;
    Ok(resolved)
}

/// Tables that are never touched, with the partitions of those that have any: triggers and columns are theirs.
///
/// # Errors
/// The server's.
pub async fn never(tx: &Tx, named: &[String]) -> Result<Vec<String>, Failure> {
    let mut never = Vec::new();
    for name in named {
        let name = find(tx, name).await?.unwrap_or_else(|| default_schema(name));
        never.extend(partitions(tx, &name).await?);
        never.push(name);
    }
    Ok(never)
}

/// All below a partitioned table, as `schema.table`; none of any other.
///
/// # Errors
/// The server's.
pub async fn partitions(tx: &Tx, table: &str) -> Result<Vec<String>, Failure> {
    // A function's signature is no relation's name.
    if table.contains('(') {
        return Ok(Vec::new());
    }
    Ok(tx.ask(PARTITIONS, &[&table]).await?.iter().map(|row| row.get(0)).collect())
}

/// The resolved name of a declared table, if it has one.
///
/// # Errors
/// The server's.
pub async fn find(tx: &Tx, name: &str) -> Result<Option<String>, Failure> {
    // A function's signature or a quoted word that is no relation name answers NULL or an error of form.
    if name.contains('(') {
        return Ok(None);
    }
    Ok(tx.ask_as(Says::Plan, RESOLVE, &[&name]).await?.first().map(|row| row.get(0)))
}

/// A name as written, in `public` when it has no schema: for what does not exist yet.
pub fn default_schema(name: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("public.{name}") }
}

impl Resolved {
    /// The bounds of a sealed packet, whose names were resolved when it was sealed.
    pub fn sealed(tables: BTreeMap<String, Bound>, alters: Vec<String>, never: Vec<String>) -> Resolved {
        Resolved { tables, alters, never }
    }

    /// `schema.table` of everything declared: in `writes`, and in `alters`, whose rows a change of definition may lose.
    pub fn tables(&self) -> Vec<String> {
        self.tables.keys().chain(&self.alters).cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    /// `schema.table` of all that the target says is never written.
    pub fn never(&self) -> &[String] {
        &self.never
    }

    /// Row changes by table, declared ones first with their bounds.
    pub fn writes(&self, delta: &Delta) -> Vec<TableWrite> {
        let row = |table: &str, bound: Option<&Bound>| {
            let [inserted, updated, deleted] = delta.rows.get(table).copied().unwrap_or_default();
            let bound = bound.map(|b| b.most.map_or("all".to_owned(), |n| n.to_string()));
            TableWrite { table: table.to_owned(), inserted, updated, deleted, bound }
        };
        let declared = self.tables.iter().map(|(table, bound)| row(table, Some(bound)));
        let others = delta.rows.keys().filter(|t| !self.tables.contains_key(*t)).map(|table| row(table, None));
        declared.chain(others).collect()
    }

    /// Row changes by the name the plan uses, for `wrote.TABLE`.
    pub fn wrote(&self, delta: &Delta) -> BTreeMap<String, u64> {
        self.tables
            .iter()
            .map(|(table, bound)| (bound.table.clone(), delta.rows.get(table).map_or(0, |c| c.iter().sum())))
            .collect()
    }

    /// Demands that a delta stays within the bounds.
    ///
    /// # Errors
    /// Every breach, with counts (exit 42).
    pub fn hold(&self, stage: &str, delta: &Delta) -> Result<(), Failure> {
        let breaches = self.breaches(delta);
        if breaches.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::new(Exit::BoundExceeded, format!("stage `{stage}` changed more than it declared"));
        failure.facts = breaches.into_iter().map(|breach| breach.text).collect();
        Err(failure)
    }

    /// Everything that was changed and not declared, or more than declared.
    pub fn breaches(&self, delta: &Delta) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for write in self.writes(delta) {
            let bound = self.tables.get(&write.table);
            let most = bound.map_or(Some(0), |b| b.most);
            if most.is_some_and(|most| write.total() > most) {
                let place = bound.map_or("not declared".to_owned(), |b| b.place.clone());
                let text = format!("{}  {} of {}  {place}", write.table, write.total(), most.unwrap_or(0));
                breaches.push(Breach { table: Some(write.table), text });
            }
        }
        for (table, what) in &delta.files {
            let any = self.tables.get(table).is_some_and(|b| b.most.is_none());
            let altered = self.alters.iter().any(|a| a == table);
            let declared = altered || (any && *what == measure::REWRITTEN);
            if !declared {
                breaches.push(Breach::of(format!("{table}  was {what}, not declared in `writes` or `alters`")));
            }
        }
        let outlives = |name: &String| format!("temporary {name}  outlives the transaction: ON COMMIT DROP is missing");
        breaches.extend(delta.outlives.iter().map(outlives).map(Breach::of));
        breaches.extend(self.definition_breaches(delta).into_iter().map(Breach::of));
        breaches.extend(self.never_breaches(delta).into_iter().map(Breach::of));
        breaches
    }

    /// What the target says is never touched: no row, no file, no definition, whatever else is declared.
    fn never_breaches(&self, delta: &Delta) -> Vec<String> {
        let mut touched: Vec<(&str, &str)> = delta.rows.keys().map(|t| (t.as_str(), "rows")).collect();
        touched.extend(delta.files.iter().map(|(t, what)| (t.as_str(), *what)));
        touched.extend(delta.objects.iter().filter_map(|(_, parent)| Some((parent.as_deref()?, "definition"))));
        // What is its own is told by its name: `table public.t`, `owner of table public.t`.
        let own = |identity: &str| self.never.iter().find(|n| identity.ends_with(&format!(" {n}")));
        touched.extend(delta.objects.iter().filter_map(|(identity, _)| Some((own(identity)?.as_str(), "definition"))));
        let mut breaches: Vec<String> = touched
            .into_iter()
            .filter(|(table, _)| self.never.iter().any(|n| n == table))
            .map(|(table, what)| format!("{table}  {what}, and the target says never"))
            .collect();
        breaches.sort();
        breaches.dedup();
        breaches
    }

    /// TRUNCATE writes new file nodes into pg_class; that is no change of a definition.
    fn only_declared_rewrites(&self, delta: &Delta) -> bool {
        let rewritten = |(table, what): (&String, &&str)| {
            *what == measure::REWRITTEN && self.tables.get(table).is_some_and(|b| b.most.is_none())
        };
        !delta.files.is_empty() && delta.files.iter().all(rewritten) && delta.catalogs.keys().all(|c| c == "pg_class")
    }

    fn definition_breaches(&self, delta: &Delta) -> Vec<String> {
        let large: Vec<String> = delta
            .catalogs
            .iter()
            .filter(|(name, _)| name.starts_with("pg_largeobject"))
            .map(|(name, rows)| format!("large objects were written: {name} {rows}, nothing can declare that"))
            .collect();
        if !large.is_empty() {
            return large;
        }
        // A role may set its own password and settings, whatever else it may not; they outlive the clone.
        let shared: Vec<String> = delta
            .catalogs
            .iter()
            .filter(|(name, _)| SHARED.contains(&name.as_str()))
            .map(|(name, rows)| {
                format!("the server beyond this database was changed: {name} {rows}, nothing can declare that")
            })
            .collect();
        if !shared.is_empty() {
            return shared;
        }
        if self.only_declared_rewrites(delta) {
            return Vec::new();
        }
        if self.alters.is_empty() {
            if !delta.objects.is_empty() {
                let told = |(identity, _): &(String, _)| format!("{identity}  changed, and `alters` is empty");
                return delta.objects.iter().map(told).collect();
            }
            let moved: Vec<String> = delta.catalogs.iter().map(|(name, rows)| format!("{name} {rows}")).collect();
            let breach = format!("definitions changed and `alters` is empty: row changes in {}", moved.join(", "));
            return if moved.is_empty() { Vec::new() } else { vec![breach] };
        }
        let covered = |identity: &str, parent: Option<&str>| {
            self.alters.iter().any(|a| parent == Some(a) || identity == a || identity.ends_with(&format!(" {a}")))
        };
        delta
            .objects
            .iter()
            .filter(|(identity, parent)| !covered(identity, parent.as_deref()))
            .map(|(identity, _)| format!("{identity}  changed, not declared in `alters`"))
            .collect()
    }

    /// Definitions that changed as declared.
    pub fn altered(delta: &Delta) -> Vec<String> {
        delta.objects.iter().map(|(identity, _)| identity.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(most: Option<u64>) -> Resolved {
        let bound = Bound { table: "t".into(), most, place: "p:1".into() };
        Resolved { tables: [("public.t".to_owned(), bound)].into(), ..Resolved::default() }
    }

    fn wrote(table: &str, rows: u64) -> Delta {
        Delta { rows: [(table.to_owned(), [rows, 0, 0])].into(), ..Delta::default() }
    }

    #[test]
    fn a_bound_is_the_most_and_no_bound_is_none() {
        assert!(resolved(Some(3)).hold("s", &wrote("public.t", 3)).is_ok());
        let over = resolved(Some(3)).hold("s", &wrote("public.t", 4)).expect_err("over");
        assert_eq!(over.exit, Exit::BoundExceeded);
        assert!(over.facts[0].contains("4 of 3"), "{:?}", over.facts);
        let undeclared = resolved(Some(3)).hold("s", &wrote("public.u", 1)).expect_err("undeclared");
        assert!(undeclared.facts[0].contains("not declared"));
    }

    #[test]
    fn a_rewrite_needs_all_and_ddl_needs_alters() {
        let rewritten = Delta { files: [("public.t".to_owned(), "truncated or rewritten")].into(), ..Delta::default() };
        assert!(resolved(Some(9)).hold("s", &rewritten).is_err());
        assert!(resolved(None).hold("s", &rewritten).is_ok());
        let ddl = Delta { catalogs: [("pg_class".to_owned(), 1)].into(), ..Delta::default() };
        assert!(resolved(None).hold("s", &ddl).is_err());
    }

    #[test]
    fn never_wins_over_a_bound() {
        let mut r = resolved(Some(9));
        r.never.push("public.t".into());
        assert!(r.hold("s", &wrote("public.t", 1)).is_err());
    }

    #[test]
    fn never_is_told_by_the_name_of_what_is_the_tables_own() {
        let object = |identity: &str| Delta { objects: vec![(identity.to_owned(), None)], ..Delta::default() };
        let [t, other] = ["public.t", "public.not_t"].map(str::to_owned);
        let r = Resolved { alters: vec![t.clone(), other], never: vec![t], ..Resolved::default() };
        for identity in ["table public.t", "owner of table public.t"] {
            let touched = r.hold("s", &object(identity)).expect_err(identity);
            assert_eq!(touched.facts, ["public.t  definition, and the target says never"]);
        }
        assert!(r.hold("s", &object("table public.not_t")).is_ok());
    }
}
