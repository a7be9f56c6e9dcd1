//! Room on the pages of a clone that is going to be a golden copy: a row that is brought up to date in a branch can then
//! stay on its page, no index need know, and half as much is written.

use super::indexes;
use super::making::Making;
use crate::event::Failure;
use crate::fingerprint::{Reading, TableKind};
use crate::target::Tx;

/// Smaller tables are brought up to date in no time.
const BIG: u64 = 8 << 20;

/// Tables that are loaded with room, by name.
#[derive(Debug, Default)]
pub(super) struct Slack(Vec<String>);

impl Slack {
    /// Big tables that say nothing of it themselves; none where nothing will be branched.
    pub(super) async fn of(making: &Making<'_>, tx: &Tx, reading: &Reading) -> Result<Slack, Failure> {
        if making.target.golden.is_none() {
            return Ok(Slack::default());
        }
        let silent = tx.query(include_str!("../../../sql/engine/source/unfilled.sql"), &[]).await?;
        let silent: Vec<i64> = silent.iter().map(|row| row.get(0)).collect();
        let big = reading.tables.iter().zip(&reading.sources).filter(|((leaf, kind), source)| {
            *kind == TableKind::Table && source.bytes >= BIG && silent.contains(&leaf.oid)
        });
        Ok(Slack(big.map(|((leaf, _), _)| leaf.name.clone()).collect()))
    }

    /// Before the rows.
    pub(super) async fn make(&self, making: &Making<'_>) -> Result<(), Failure> {
        self.each(making, "SET (fillfactor = 90)").await
    }

    /// The rows are in: from now on the tables are what production's are.
    pub(super) async fn forget(&self, making: &Making<'_>) -> Result<(), Failure> {
        self.each(making, "RESET (fillfactor)").await
    }

    async fn each(&self, making: &Making<'_>, what: &str) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut session = indexes::session(making.target, making.working, "room on pages").await?;
        for table in &self.0 {
            session.run(&format!("ALTER TABLE ONLY {table} {what}")).await?;
        }
        Ok(())
    }
}
