//! `status`: the newest run, and what it is doing if some process works on it.

use super::print;
use crate::event::{Event, Exit, Failure, RunState, Status, planned, process};
use crate::journal::Home;
use crate::report::dossier;

/// Shows the state of a run.
///
/// # Errors
/// There is none.
pub fn run(home: &Home, word: &str) -> Result<Exit, Failure> {
    let (id, place) = home.find(word)?;
    let mut history = place.read()?;
    let holder = place.holder()?;
    if holder.is_none() && !history.events().any(|event| matches!(event, Event::RunEnded { .. })) {
        // It may have ended between the two questions.
        history = place.read()?;
    }
    let events: Vec<Event> = history.events().cloned().collect();
    let state = RunState::of(&events);
    let (planned, stages) = (planned(&events).len(), dossier::stages(&events));
    let done = stages[..planned].iter().filter(|s| state.is_done(&s.name)).count();
    let plan = match &state.started {
        Some(Event::RunStarted { plan, .. }) => plan.clone(),
        _ => "?".into(),
    };
    let (pid, host) = process(&events).unwrap_or((0, "?"));
    let word = match (&state.ended, holder.map(|holder| holder.named)) {
        (_, Some(Some(named))) => format!("running: {named}"),
        (_, Some(None)) => format!("running on {host} (pid {pid})"),
        (Some(Event::RunEnded { verdict, .. }), _) => verdict.clone(),
        _ if home.is_standby() => super::UNSEEN.to_owned(),
        _ => {
            let next = match &state.rolling_back {
                None => format!("engine resume {id}"),
                Some(None) => format!("engine rollback {id}, or engine resume {id}"),
                Some(Some(to)) => format!("engine rollback {id} --to {to}, or engine resume {id}"),
            };
            format!("ended without a farewell (pid {pid} on {host}); next: {next}")
        }
    };
    print(&format!("{id} {plan} · {word} · {done} of {planned} done\n"));
    for (index, stage) in stages.iter().enumerate() {
        let known = state.stage(&stage.name);
        if known.status != Status::Waiting {
            let said = dossier::said(&known);
            let removed = if index < planned { "" } else { dossier::REMOVED };
            let word = format!("{}{removed}", dossier::status_word(&known.status));
            print(&format!("{:>4} {:<20} {word:<22} {said}\n", index + 1, stage.name));
        }
    }
    Ok(Exit::Ok)
}
