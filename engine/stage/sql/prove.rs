//! The demanded proofs of a committed stage: repeated until each has passed, never the stage itself.

use super::{SqlStage, by_name, state_file, stored};
use crate::clock::Stopwatch;
use crate::event::evidence::{self, Observation, Repetition};
use crate::event::{Event, Exit, Failure, Reading, SequenceMove, StageState};
use crate::probe::Query;
use crate::proof::idempotent::{self, Again};
use crate::proof::reversible::{self, First};
use crate::stage::{Cx, sequences};
use crate::target::Live;
use std::collections::BTreeMap;

/// The SQLSTATE that a repetition ended with.
fn broke(seen: &[Observation]) -> Option<String> {
    seen.iter().find_map(|o| match o {
        Observation::Broke { code, .. } => Some(code.clone()),
        _ => None,
    })
}

impl SqlStage {
    /// The demanded proofs that history does not hold yet.
    pub(super) async fn prove(&self, cx: &Cx, live: &Live, moves: &[SequenceMove]) -> Result<Vec<String>, Failure> {
        let name = self.head.name.as_str();
        let state = cx.with_state(|state| state.stage(name));
        let mut words: Vec<String> = state.proved.clone();
        let missing = |proof: &str| !state.proved.iter().any(|p| p == proof);
        let rising = !self.monotonic.is_empty() && missing("monotonic");
        if (self.idempotent && missing("idempotent")) || rising {
            let watch = Stopwatch::start();
            let second = self.second_run(cx, live, &state).await?;
            if self.idempotent && missing("idempotent") {
                self.keep_proof(cx, "idempotent", second.seen.observations.clone(), watch.ms())?;
                words.push("idempotent".to_owned());
            }
            if rising {
                let seen = self.readings_so_far(&state, &second);
                self.keep_proof(cx, "monotonic", seen, watch.ms())?;
                words.push("monotonic".to_owned());
            }
        }
        if self.reversible && missing("reversible") {
            cx.say(name, "going back and forth");
            let watch = Stopwatch::start();
            let before: reversible::State = stored(cx, &state_file(name))?;
            let run = self.first_run(&state);
            let first = First { before: &before, run: &run, moves, follow: true };
            let mut seen = reversible::prove(&live.writer, &self.work, &cx.settings(), first).await?;
            sequences::put_back(cx, &self.on, &seen.sequences).await?;
            if broke(&seen.observations).is_some() {
                // Not by a trigger of ours, if by anything.
                let first = First { follow: false, ..first };
                seen = reversible::prove(&live.writer, &self.work, &cx.settings(), first).await?;
                sequences::put_back(cx, &self.on, &seen.sequences).await?;
            }
            self.keep_proof(cx, "reversible", seen.observations, watch.ms())?;
            words.push("reversible".to_owned());
        }
        Ok(if words.is_empty() { words } else { vec![words.join(", ")] })
    }

    async fn second_run(&self, cx: &Cx, live: &Live, state: &StageState) -> Result<idempotent::Second, Failure> {
        cx.say(&self.head.name, "running it a second time, which is rolled back");
        let probes: Vec<&Query> = self.monotonic.iter().filter_map(|name| cx.probes.get(name)).collect();
        let first = self.first_run(state);
        let again = Again { first: &first, touched: &state.touched, probes: &probes, follow: true, plainly: None };
        let mut second = idempotent::prove(&live.writer, &live.reader, &self.work, &cx.settings(), again).await?;
        sequences::put_back(cx, &self.on, &second.seen.sequences).await?;
        if let Some(code) = broke(&second.seen.observations) {
            // Rows that this very transaction wrote have their foreign keys checked again, and other plans take longer:
            // that says nothing about the stage.
            let ours = ["23503", "55006", "57014"].contains(&code.as_str());
            let why = format!("it ended with {code}");
            let again = Again { follow: false, plainly: ours.then_some(why.as_str()), ..again };
            second = idempotent::prove(&live.writer, &live.reader, &self.work, &cx.settings(), again).await?;
            sequences::put_back(cx, &self.on, &second.seen.sequences).await?;
        }
        Ok(second)
    }

    /// The stage itself, as the journal knows it.
    fn first_run(&self, state: &StageState) -> Repetition {
        Repetition {
            what: evidence::FIRST.to_owned(),
            sha256: self.work.forward.sha256.clone(),
            as_of: String::new(),
            under: Vec::new(),
            wrote: state.writes.clone(),
            files: state.files.clone(),
            catalogs: BTreeMap::new(),
            definitions: state.altered.clone(),
        }
    }

    /// Readings that must never fall: over the stage itself and its second run; the rehearsal looks again.
    fn readings_so_far(&self, state: &StageState, second: &idempotent::Second) -> Vec<Observation> {
        let moments = [
            ("before the stage", by_name(&state.before)),
            ("after it", by_name(&state.after)),
            ("after a second run", by_name(&second.readings)),
        ];
        let mut seen = Vec::new();
        for probe in &self.monotonic {
            for (when, readings) in &moments {
                // A stage that cannot run twice is none the worse for it here; `idempotent` is what it fails.
                if *when == "after a second run" && second.readings.is_empty() {
                    continue;
                }
                let value = readings.get(probe).and_then(|reading: &Reading| reading.value.clone());
                seen.push(Observation::Read { probe: probe.clone(), when: (*when).to_owned(), value });
            }
        }
        if second.readings.is_empty() {
            let broke = second.seen.observations.iter().filter(|o| matches!(o, Observation::Broke { .. }));
            seen.push(Observation::NotSeen { why: broke.flat_map(Observation::words).collect() });
        }
        seen
    }

    /// Records what a proof saw and what follows from it.
    fn keep_proof(&self, cx: &Cx, proof: &str, evidence: Vec<Observation>, ms: u64) -> Result<(), Failure> {
        let stage = self.head.name.clone();
        let verdict = evidence::verdict(proof, &evidence).expect("invariant: only proofs by repetition come here");
        let observations: Vec<String> = evidence.iter().flat_map(Observation::words).collect();
        let mut failure = Failure::new(Exit::ProofFailed, format!("stage `{stage}` is not {proof}"))
            .changed("the stage stays committed on the clone and counts as not proved; production was only read")
            .next("look", format!("engine show {} {stage}", cx.run))
            .next(
                "then",
                format!("correct the template and start a new run, or engine resume {} to prove it again", cx.run),
            );
        failure.facts.clone_from(&observations);
        let (proof, grade) = (proof.to_owned(), verdict.grade.to_owned());
        let passed = verdict.passed;
        cx.record(Event::Proved { stage, proof, passed, grade, observations, evidence, ms })?;
        if passed { Ok(()) } else { Err(failure) }
    }
}
