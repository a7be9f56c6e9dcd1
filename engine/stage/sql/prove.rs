//! The demanded proofs of a committed stage: repeated until each has passed, never the stage itself.

use super::{SqlStage, by_name, state_file, stored};
use crate::clock::Stopwatch;
use crate::event::{Event, Exit, Failure, Reading, SequenceMove};
use crate::proof::{idempotent, reversible};
use crate::stage::{Cx, sequences};
use crate::target::Live;

impl SqlStage {
    /// The demanded proofs that history does not hold yet.
    pub(super) async fn prove(&self, cx: &Cx, live: &Live, moves: &[SequenceMove]) -> Result<Vec<String>, Failure> {
        let name = self.head.name.as_str();
        let already = cx.with_state(|state| state.stage(name).proved);
        let mut words: Vec<String> = already.clone();
        let missing = |proof: &str| !already.iter().any(|p| p == proof);
        if self.idempotent && missing("idempotent") {
            cx.say(name, "proving that a second run changes nothing");
            let watch = Stopwatch::start();
            let verdict = idempotent::prove(&live.writer, &live.reader, &self.work, &cx.settings()).await?;
            sequences::put_back(cx, &self.on, &verdict.sequences).await?;
            self.keep_proof(cx, "idempotent", verdict.passed, verdict.grade, verdict.observations, watch.ms())?;
            words.push("idempotent".to_owned());
        }
        if self.reversible && missing("reversible") {
            cx.say(name, "going back and forth");
            let watch = Stopwatch::start();
            let a: reversible::State = stored(cx, &state_file(name))?;
            let verdict = reversible::prove(&live.writer, &self.work, &cx.settings(), &a, moves).await?;
            sequences::put_back(cx, &self.on, &verdict.sequences).await?;
            let grade = if verdict.passed { "content" } else { "failed" };
            self.keep_proof(cx, "reversible", verdict.passed, grade, verdict.observations, watch.ms())?;
            words.push("reversible".to_owned());
        }
        if !self.monotonic.is_empty() && missing("monotonic") {
            self.monotony(cx)?;
        }
        Ok(if words.is_empty() { words } else { vec![words.join(", ")] })
    }

    fn keep_proof(
        &self,
        cx: &Cx,
        proof: &str,
        passed: bool,
        grade: &str,
        observations: Vec<String>,
        ms: u64,
    ) -> Result<(), Failure> {
        let stage = self.head.name.clone();
        let mut failure = Failure::new(Exit::ProofFailed, format!("stage `{stage}` is not {proof}"))
            .changed("the stage stays committed on the clone and counts as not proved; production was only read")
            .next("look", format!("engine show {} {stage}", cx.run))
            .next(
                "then",
                format!("correct the template and start a new run, or engine resume {} to prove it again", cx.run),
            );
        failure.facts.clone_from(&observations);
        cx.record(Event::Proved { stage, proof: proof.to_owned(), passed, grade: grade.to_owned(), observations, ms })?;
        if passed { Ok(()) } else { Err(failure) }
    }

    /// Readings that must never fall: over the stage itself; the rehearsal looks again.
    fn monotony(&self, cx: &Cx) -> Result<(), Failure> {
        let state = cx.with_state(|state| state.stage(&self.head.name));
        let (before, after) = (by_name(&state.before), by_name(&state.after));
        let mut seen = Vec::new();
        let mut passed = true;
        for probe in &self.monotonic {
            let number = |r: Option<&Reading>| r.and_then(|r| r.value.as_ref()?.parse::<f64>().ok());
            let (old, new) = (number(before.get(probe)), number(after.get(probe)));
            let held = matches!((old, new), (Some(old), Some(new)) if new >= old);
            passed &= held;
            let show = |r: Option<&Reading>| r.map_or("not read".to_owned(), Reading::shown);
            seen.push(format!("{probe} {} then {}", show(before.get(probe)), show(after.get(probe))));
        }
        self.keep_proof(cx, "monotonic", passed, if passed { "commit" } else { "failed" }, seen, 0)
    }
}
