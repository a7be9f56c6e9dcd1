//! Ways back and forth that are not one transaction: batches, and statements outside of any.

use super::steps::{Rows, Steps};
use crate::event::{Event, Exit, Failure, Truth};
use crate::guard::{self, Check, Values};
use crate::probe::{self, Query};
use crate::proof::{self, Batch, Script, Work, forward};
use crate::stage::readings;
use crate::target::{Alone, Isolation};
use std::collections::BTreeSet;

impl Steps<'_> {
    /// One batch after the other on the copy, until there are enough there.
    pub(super) async fn batches(&self, work: &Work, batch: &Batch) -> Result<(), Failure> {
        let mut wrote = Rows::new();
        for _ in 0..batch.most {
            if self.enough(work, batch).await? {
                return Ok(());
            }
            let rows = self.committed(work, &work.forward, "forward again", Some((batch, &wrote))).await?;
            proof::batch::add(&mut wrote, rows.iter().map(|(table, rows)| (table, *rows)));
        }
        if self.enough(work, batch).await? {
            return Ok(());
        }
        let what = format!("`{}` is not done after {} batches in the rehearsal", work.stage, batch.most);
        Err(Failure::new(Exit::ProofFailed, what)
            .fact(format!("`until` is still false: {}", batch.until.text.trim()))
            .fact(batch.place.clone()))
    }

    async fn enough(&self, work: &Work, batch: &Batch) -> Result<bool, Failure> {
        let check = Check { name: "until".to_owned(), predicate: batch.until.clone(), place: batch.place.clone() };
        let (names, _) = readings::wanted([&check]);
        let own = |query: &&Query| query.target == self.stage.on;
        let queries: Vec<&Query> = names.iter().filter_map(|name| self.cx.probes.get(name)).filter(own).collect();
        let others: BTreeSet<String> =
            names.iter().filter(|name| !queries.iter().any(|query| query.name == **name)).cloned().collect();
        let mut now = readings::read_probes(self.cx, &others, None).await?;
        let tx = self.copy.reader.begin("are there enough batches", Isolation::Snapshot).await?;
        now.extend(probe::read(&tx, &queries).await?.into_iter().map(|r| (r.probe.clone(), r)));
        let values = Values { now, ..readings::values(self.cx) };
        let judged = guard::judge(&tx, &[check], &values).await?;
        tx.finish().await?;
        match judged.first().map(|j| (j.truth, j.problem.clone())) {
            Some((Truth::True, _)) => Ok(true),
            Some((Truth::False, _)) => Ok(false),
            other => Err(Failure::new(Exit::ProofFailed, format!("`until` of `{}` cannot be evaluated", work.stage))
                .fact(other.and_then(|(_, problem)| problem).unwrap_or_default())),
        }
    }

    /// Statements outside of a transaction; the comparison at the end says what they did.
    pub(super) async fn alone(&self, work: &Work, script: &Script, purpose: &str) -> Result<(), Failure> {
        let label = format!("{purpose} of `{}` on the copy", work.stage);
        let alone = Alone::open(&self.copy.writer, &label, work.timeout, work.lock_timeout).await?;
        let statements = forward::send_alone(&alone, script, || self.cx.alone()).await.map_err(|mut failure| {
            failure.what = format!("{purpose} of `{}` in the rehearsal: {}", work.stage, failure.what);
            if failure.exit == Exit::StageFailed {
                failure.exit = Exit::ProofFailed;
            }
            failure
        })?;
        let (stage, purpose) = (self.stage.head.name.clone(), format!("rehearsal: {purpose} of {}", work.stage));
        self.cx.record(Event::Statements { stage, purpose, statements })
    }
}
