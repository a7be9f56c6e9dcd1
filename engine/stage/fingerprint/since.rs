//! The same target, then and now. For production: what became of it, and how one knows.

use super::FingerprintStage;
use super::take::Looked;
use crate::event::{Event, Exit, Failure, Unchanged};
use crate::fingerprint::{self, Compare, Comparison, Fingerprint, Level, Scope};
use crate::plan::Policy;
use crate::stage::Cx;

impl FingerprintStage {
    /// The same database, then and now: exact, no mask.
    pub(super) fn against_earlier(
        &self,
        cx: &Cx,
        stage: &str,
        (then, now): (&Fingerprint, &Fingerprint),
        looked: &Looked,
    ) -> Result<String, Failure> {
        let Comparison { differences, masks } = fingerprint::differences(then, now, &Compare::Exact);
        let lines: Vec<String> = differences.iter().map(|d| format!("{}: {}", d.what, d.detail)).collect();
        cx.record(Event::Compared {
            stage: self.head.name.clone(),
            label: format!("now and at `{stage}`"),
            equal: lines.is_empty(),
            differences: lines.clone(),
            masks,
        })?;
        if cx.targets.is_clone(&self.on) {
            return if lines.is_empty() { Ok(format!("equal to `{stage}`")) } else { Err(self.unequal(stage, lines)) };
        }
        let transactions = cx.with_state(|state| state.transactions.get(&self.on).copied().unwrap_or(0));
        let whole = self.scope == Scope::all(Level::Content) && then.level == Level::Content;
        // A rollout before the earlier fingerprint is in both.
        let ours =
            cx.with_state(|state| state.rolled_out.contains(&self.on) && !state.seen_after_rollout.contains(stage));
        // Each of our reading transactions was watched: one that wrote would have ended the run with exit 45.
        let verdict = match (lines.is_empty(), ours) {
            (_, _) if then.level != now.level => Unchanged::Unknown,
            (true, _) if !whole => Unchanged::Unknown,
            (true, _) if looked.by_watermark > 0 && looked.read.is_empty() => Unchanged::ByWatermark,
            (true, _) => Unchanged::ByContent,
            (false, true) => Unchanged::ChangedByUs,
            (false, false) => Unchanged::ChangedByOthers,
        };
        cx.record(Event::ProductionChecked {
            stage: self.head.name.clone(),
            target: self.on.clone(),
            verdict,
            tables: lines.clone(),
            transactions,
            by_watermark: looked.by_watermark,
            read: looked.read.clone(),
        })?;
        if verdict == Unchanged::ChangedByOthers && self.policy == Policy::Strict {
            let mut failure =
                Failure::new(Exit::ChangedByOthers, format!("`{}` was changed by others since `{stage}`", self.on))
                    .changed(format!("our {transactions} transactions on `{}` wrote nothing", self.on));
            failure.facts = lines;
            return Err(failure);
        }
        Ok(match verdict {
            Unchanged::ChangedByUs => {
                format!("changed since `{stage}` by this run's rollout: {} differences", lines.len())
            }
            Unchanged::Unknown => format!("no difference seen since `{stage}`, and not all of it was looked at"),
            Unchanged::ChangedByOthers => {
                format!(
                    "changed by others since `{stage}`: {} differences · our {transactions} transactions wrote nothing",
                    lines.len()
                )
            }
            _ => {
                let how = how(looked, now.tables.len() as u64);
                format!("unchanged since `{stage}`, {how} · our {transactions} transactions wrote nothing")
            }
        })
    }
}

/// `24 tables by watermark, 1 by content`.
fn how(looked: &Looked, tables: u64) -> String {
    let read = tables.saturating_sub(looked.by_watermark);
    match (looked.by_watermark, read) {
        (0, _) => format!("{tables} tables by content"),
        (_, 0) => format!("{tables} tables by watermark"),
        (known, read) => format!("{known} tables by watermark, {read} by content"),
    }
}
