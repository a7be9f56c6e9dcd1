//! Journals of earlier runs of the plans that changed: what their guards, ensures and gates came to, and which packets they
//! sealed.

use crate::command::home;
use crate::event::{Event, Failure, Judgement, Role, RunState, Truth, standing};
use crate::journal::{History, Home};
use crate::review::{self, Asked, Opened, PastPacket, PastRun, Review};
use std::collections::BTreeMap;

/// The newest runs of a plan that are looked at.
const RUNS: usize = 12;

/// The newest runs of any plan that are opened for that.
const OPENED: usize = 200;

/// Says of each changed guard what it did in the last runs, and would do now. A review needs no runs, so that journals that
/// cannot be read are a remark and no failure.
pub(super) fn look_back(journal: Option<&str>, reviews: &mut [Review]) {
    if !reviews.iter().any(review::wants_runs) {
        return;
    }
    let home = home(journal);
    for review in reviews.iter_mut().filter(|review| review::wants_runs(review)) {
        match home.as_ref().map_err(Clone::clone).and_then(|home| look(home, &review.plan)) {
            Ok(past) => {
                review::look_back(review, &past.runs, &past.opened);
                review.remarks.extend(match past.unread {
                    0 => None,
                    1 => Some("1 journal of an earlier run cannot be read".to_owned()),
                    many => Some(format!("{many} journals of earlier runs cannot be read")),
                });
            }
            Err(failure) => review.remarks.push(format!("earlier runs were not looked at: {}", failure.what)),
        }
    }
}

/// What the journals say.
#[derive(Default)]
struct Past {
    /// The last runs of the plan, newest first.
    runs: Vec<PastRun>,
    /// Packets that runs of any plan opened, by id.
    opened: BTreeMap<String, Opened>,
    /// Journals that could not be read on the way.
    unread: usize,
}

fn look(home: &Home, plan: &str) -> Result<Past, Failure> {
    let mut past = Past::default();
    for (id, _) in home.runs()?.into_iter().rev().take(OPENED) {
        match home.place(&id).read() {
            Ok(history) => {
                opened(&history, &mut past.opened);
                past.runs.extend(is_of(&history, plan).then(|| run(id, &history)));
            }
            Err(_) => past.unread += 1,
        }
        if past.runs.len() == RUNS {
            break;
        }
    }
    Ok(past)
}

fn is_of(history: &History, wanted: &str) -> bool {
    matches!(history.events().next(), Some(Event::RunStarted { plan, .. }) if plan == wanted)
}

fn run(id: String, history: &History) -> PastRun {
    let state = RunState::of(history.events());
    let mut run = PastRun { id, inputs: state.inputs, stages: state.digests, ..PastRun::default() };
    let events: Vec<Event> = history.events().cloned().collect();
    for event in &events {
        let Event::Judged { stage, role, judgements } = event else { continue };
        run.asked.extend(judgements.iter().map(|judgement| Asked {
            stage: stage.clone(),
            role: *role,
            name: judgement.name.clone(),
            truth: judgement.truth,
            operands: judgement.operands.clone(),
        }));
    }
    // A packet of a stage that was undone is none any more.
    for event in standing(&events) {
        if let Event::PacketSealed { stage, id, technical_go, .. } = event {
            run.packets.push(PastPacket { stage, id, technical_go });
        }
    }
    run
}

/// What a run did with packets: which it opened, what their gates said then, whether it applied them. Newer runs come first.
fn opened(history: &History, known: &mut BTreeMap<String, Opened>) {
    let mut at_work: BTreeMap<&str, &str> = BTreeMap::new();
    let mut gates: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for event in history.events() {
        match event {
            Event::PacketOpened { stage, id } => drop(at_work.insert(stage, id)),
            Event::RolledOut { packet, .. } => known.entry(packet.clone()).or_default().applied += 1,
            Event::Judged { stage, role: Role::Gate, judgements } => {
                let Some(id) = at_work.get(stage.as_str()) else { continue };
                gates.extend(judgements.iter().map(|judgement| ((*id, judgement.name.as_str()), asked(judgement))));
            }
            _ => {}
        }
    }
    let mut newest: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((id, _), said) in gates {
        newest.entry(id).or_default().push(said);
    }
    for (id, said) in newest {
        let entry = known.entry(id.to_owned()).or_default();
        if entry.gates.is_empty() {
            entry.gates = said;
        }
    }
}

/// `approved open (approvals 2)`.
fn asked(judgement: &Judgement) -> String {
    let values: Vec<String> = judgement.operands.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let state = if judgement.truth == Truth::True { "open" } else { "closed" };
    format!("{} {state} ({})", judgement.name, values.join(" and "))
}
