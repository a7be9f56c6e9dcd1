//! Packets that earlier runs sealed, and that the new plan would not seal: they are named, with what the journals know of
//! their gates, so that nobody rolls out what was approved for another plan.

use super::Finding;
use super::reach::reaching;
use crate::compile::Workflow;
use crate::digest::short;
use serde::Serialize;
use std::collections::BTreeMap;

/// What the plan itself is called among its files, whatever its name.
const PLAN: &str = "plan";

/// A recorded packet that is none of the new plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outdated {
    /// The stage that sealed it.
    pub stage: String,
    /// The whole id.
    pub id: String,
    /// The run that sealed it.
    pub run: String,
    /// What it would apply is what the new plan would seal; only texts that it carries beside it are others.
    pub applies_the_same: bool,
    /// It was sealed as GO.
    pub technical_go: bool,
    /// How often the journals say that it was applied.
    pub applied: usize,
    /// What its gates were asked last on the way to its target, and what they read; empty where no journal knows.
    pub gates: Vec<String>,
}

/// A packet as a run recorded it.
#[derive(Clone, Debug, Default)]
pub struct PastPacket {
    /// The stage that sealed it.
    pub stage: String,
    /// Its id.
    pub id: String,
    /// It was sealed as GO.
    pub technical_go: bool,
}

/// Packets that a run opened: what became of them, by id.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// How often it was applied.
    pub applied: usize,
    /// Each gate as it was asked last, newest run first.
    pub gates: Vec<String>,
}

/// What the two plans would seal.
#[derive(Clone, Debug, Default)]
pub(super) struct Sealing {
    stages: Vec<Sealer>,
    files: [BTreeMap<String, String>; 2],
}

/// A stage of kind `packet` of the old plan.
#[derive(Clone, Debug)]
struct Sealer {
    stage: String,
    /// Findings that reach what it seals; of a stage that is gone, that it is.
    reached: usize,
    /// The stages it carried, with the digest of each.
    carried: BTreeMap<String, String>,
}

impl Sealing {
    pub(super) fn of(old: Option<&Workflow>, new: Option<&Workflow>, findings: &[Finding]) -> Sealing {
        let Some(old) = old else { return Sealing::default() };
        let packets = old.plan.stages.iter().filter(|stage| stage.kind.value == "packet");
        let one = |stage: &crate::plan::Stage| {
            let name = &stage.name.value;
            let now = new.and_then(|new| new.plan.stage(name)).filter(|(_, now)| now.kind.value == "packet");
            let reached = now.map_or(1, |(_, now)| findings.iter().filter(|finding| reaching(now, finding)).count());
            let carries = stage.of();
            let digests = old.briefs.iter().filter(|brief| carries.contains(&brief.name));
            let carried = digests.map(|brief| (brief.name.clone(), brief.digest.clone())).collect();
            Sealer { stage: name.clone(), reached, carried }
        };
        let files = |side: Option<&Workflow>| side.map(|side| files(&side.inputs)).unwrap_or_default();
        Sealing { stages: packets.map(one).collect(), files: [files(Some(old)), files(new)] }
    }

    /// Would any packet be another one now?
    pub(super) fn differs(&self) -> bool {
        !self.stages.is_empty() && self.files[0] != self.files[1]
    }

    /// Of each stage the newest packet that was the old plan's and is not the new one's; `runs` newest first.
    pub(super) fn outdated(&self, runs: &[super::PastRun], opened: &BTreeMap<String, Opened>) -> Vec<Outdated> {
        if !self.differs() {
            return Vec::new();
        }
        self.stages.iter().filter_map(|sealer| self.newest(sealer, runs, opened)).collect()
    }

    fn newest(&self, sealer: &Sealer, runs: &[super::PastRun], opened: &BTreeMap<String, Opened>) -> Option<Outdated> {
        for run in runs {
            let Some(packet) = run.packets.iter().rfind(|packet| packet.stage == sealer.stage) else { continue };
            let has = files(&run.inputs);
            if has == self.files[1] {
                // The new plan was run already: this is its packet.
                return None;
            }
            let same = sealer.carried.iter().all(|(stage, digest)| run.stages.get(stage) == Some(digest));
            if has == self.files[0] || same {
                let known = opened.get(&packet.id).cloned().unwrap_or_default();
                return Some(Outdated {
                    stage: sealer.stage.clone(),
                    id: packet.id.clone(),
                    run: run.id.clone(),
                    applies_the_same: sealer.reached == 0,
                    technical_go: packet.technical_go,
                    applied: known.applied,
                    gates: known.gates,
                });
            }
        }
        None
    }
}

impl Outdated {
    /// One line of a review.
    pub(super) fn line(&self) -> String {
        let (id, run, stage) = (short(&self.id), &self.run, &self.stage);
        let mut text = if self.applies_the_same {
            format!(
                "packet `{id}` of run `{run}` (`{stage}`) carries the old text; it would apply the same, and one that is sealed \
                 now has another id"
            )
        } else {
            format!(
                "packet `{id}` of run `{run}` (`{stage}`) does not match any more: what it seals is not this plan's"
            )
        };
        if !self.technical_go {
            text.push_str("; it was sealed NO-GO");
        }
        match (self.applied, self.gates.is_empty()) {
            (0, true) => text.push_str("; no journal here knows of an approval of it"),
            (0, false) => text.push_str(&format!("; its gates were asked last: {}", self.gates.join(", "))),
            (1, _) => text.push_str("; it was applied"),
            (many, _) => text.push_str(&format!("; it was applied {many} times")),
        }
        text
    }
}

/// Digests of plan and templates by their names; values of variables are another matter.
fn files(inputs: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = inputs.iter().filter(|(name, _)| !name.starts_with("var."));
    own.map(|(name, digest)| {
        (if name.starts_with("templates/") { name.clone() } else { PLAN.to_owned() }, digest.clone())
    })
    .collect()
}

/// The target a packet is for, or a rollout is on.
pub(super) fn asks(stage: &crate::plan::Stage) -> Option<String> {
    match stage.kind.value.as_str() {
        "packet" => stage.leaf("for").map(|target| target.line()),
        _ => stage.on.as_ref().map(|on| on.value.clone()),
    }
}
