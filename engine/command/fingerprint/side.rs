//! One side: a database in one snapshot, watched and read-only, and the fingerprint that is taken of it.

use super::place::Place;
use crate::clock::Stopwatch;
use crate::copy::{Crew, Loads, Split};
use crate::event::{Exit, Failure};
use crate::fingerprint::{self, Fingerprint, Leaf, Level, Scope};
use crate::target::{Isolation, Reader, Tx, identify, powers, told};
use std::sync::Arc;

const MOVED: &str = include_str!("../../../sql/engine/fingerprint/moved.sql");

/// A database whose snapshot is held.
#[derive(Debug)]
pub(super) struct Side {
    /// `URL` or `--against`.
    pub(super) word: &'static str,
    /// Host and port.
    pub(super) address: String,
    /// What its role could do elsewhere than in this transaction; empty: it only reads.
    pub(super) powers: Vec<String>,
    /// Its relations with rows.
    pub(super) leaves: Vec<Leaf>,
    /// The transaction.
    pub(super) tx: Tx,
    /// More sessions on its snapshot.
    reader: Reader,
}

/// A fingerprint and how long it took.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) print: Fingerprint,
    pub(super) ms: u64,
}

impl Side {
    /// Begins the transaction that everything is read in.
    pub(super) async fn open(place: &Place) -> Result<Side, Failure> {
        let opened = async {
            let tx = place.reader.begin("fingerprint", Isolation::Snapshot).await?;
            let role = identify(&tx).await?.session_user;
            let (powers, leaves) = (told(&powers(&tx, &role).await?).0, fingerprint::leaves(&tx).await?);
            let (word, address) = (place.word, place.reader.door().address());
            Ok(Side { word, address, powers, leaves, tx, reader: place.reader.clone() })
        };
        opened.await.map_err(of_a_command)
    }

    /// Takes the fingerprint, its tables read by so many sessions on the one snapshot.
    pub(super) async fn take(&self, scope: &Scope, jobs: usize) -> Result<Taken, Failure> {
        let watch = Stopwatch::start();
        let taken = async {
            if scope.level != Level::Content {
                return fingerprint::take(&self.tx, &self.scope(scope)).await;
            }
            let crew = Crew {
                reader: self.reader.clone(),
                snapshot: Some(self.tx.export_snapshot().await?),
                purpose: "fingerprint".to_owned(),
                jobs,
                split: Split::Evenly,
                loads: Arc::new(Loads::default()),
            };
            let (print, _) = fingerprint::take_by(&self.tx, &crew, &self.scope(scope), &[]).await?;
            Ok(print)
        };
        let print = taken.await.map_err(|failure| explained(of_a_command(failure)))?;
        self.demand_whole(&print).await?;
        Ok(Taken { print, ms: watch.ms() })
    }

    /// The scope without tables that only the other side has: that they are missing here is a difference to be told.
    fn scope(&self, asked: &Scope) -> Scope {
        let there = |names: &[String]| -> Vec<String> {
            names.iter().filter(|name| self.leaves.iter().any(|leaf| leaf.answers.contains(name))).cloned().collect()
        };
        let mut scope = Scope { include: there(&asked.include), exclude: there(&asked.exclude), ..asked.clone() };
        if scope.include.is_empty() && !asked.include.is_empty() {
            scope.exclude = self.leaves.iter().map(|leaf| leaf.name.clone()).collect();
        }
        scope
    }

    /// A TRUNCATE or a rewrite after the snapshot reads as 0 rows, without any error. What is whole afterwards was whole
    /// when it was read.
    pub(super) async fn demand_whole(&self, print: &Fingerprint) -> Result<(), Failure> {
        if print.level == Level::Schema {
            return Ok(());
        }
        let moved: Vec<String> =
            self.tx.query(MOVED, &[]).await.map_err(of_a_command)?.iter().map(|row| row.get(0)).collect();
        let read: Vec<String> = moved.into_iter().filter(|name| print.tables.iter().any(|t| t.name == *name)).collect();
        if read.is_empty() {
            return Ok(());
        }
        let what = format!("`{}`: tables were truncated or rewritten while they were read", self.word);
        let mut failure = Failure::new(Exit::Temporary, what)
            .changed("nothing was changed; it was only read")
            .next("then", "the same command again");
        failure.facts = read;
        Err(failure)
    }

    /// Ends the transaction: watched to its end, it wrote nothing.
    pub(super) async fn finish(self) -> Result<(), Failure> {
        self.tx.finish().await.map(drop).map_err(of_a_command)
    }
}

/// No stage failed here: what a server refuses is I/O, and what passes by itself is temporary.
pub(in super::super) fn of_a_command(mut failure: Failure) -> Failure {
    if failure.exit == Exit::StageFailed {
        let passes = matches!(failure.sqlstate.as_deref(), Some("55P03" | "57014" | "40001" | "40P01"));
        failure.exit = if passes { Exit::Temporary } else { Exit::Io };
    }
    // `doctor` examines a plan's targets, and there is no plan here.
    failure.next.retain(|(_, command)| !command.starts_with("engine doctor"));
    if failure.changed.is_none() {
        failure.changed = Some("nothing was changed; it was only read".into());
    }
    failure
}

/// What to type when a table may not be read.
fn explained(failure: Failure) -> Failure {
    let policy = failure.next.iter().any(|(_, command)| command.contains("BYPASSRLS"));
    if failure.sqlstate.as_deref() != Some("42501") || policy {
        return failure;
    }
    failure
        .next("then", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO ROLE, by their owner; ON ALL SEQUENCES as well")
        .next("or", "--exclude schema.table   for each table that is not to be read, or --level schema")
}
