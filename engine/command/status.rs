//! `status`: the newest run, and what it is doing if some process works on it.

use super::print;
use crate::event::{Event, Exit, Failure, RunState, Status};
use crate::journal::Home;
use crate::report::dossier;

/// Shows the state of a run.
///
/// # Errors
/// There is none.
pub fn run(home: &Home, word: &str) -> Result<Exit, Failure> {
    let (id, place) = home.find(word)?;
    let history = place.read()?;
    let events: Vec<Event> = history.events().cloned().collect();
    let state = RunState::of(&events);
    let stages = dossier::stages(&events);
    let done = stages.iter().filter(|s| state.is_done(&s.name)).count();
    let (plan, host, pid) = match &state.started {
        Some(Event::RunStarted { plan, host, pid, .. }) => (plan.clone(), host.clone(), *pid),
        _ => ("?".into(), "?".into(), 0),
    };
    let word = match (&state.ended, place.holder()?.map(|holder| holder.named)) {
        (_, Some(Some(named))) => format!("running: {named}"),
        (_, Some(None)) => format!("running on {host} (pid {pid})"),
        (Some(Event::RunEnded { verdict, .. }), _) => verdict.clone(),
        _ => {
            let next = match &state.rolling_back {
                None => format!("engine resume {id}"),
                Some(None) => format!("engine rollback {id}, or engine resume {id}"),
                Some(Some(to)) => format!("engine rollback {id} --to {to}, or engine resume {id}"),
            };
            format!("ended without a farewell (pid {pid} on {host}); next: {next}")
        }
    };
    print(&format!("{id} {plan} · {word} · {done} of {} done\n", stages.len()));
    for (index, stage) in stages.iter().enumerate() {
        let known = state.stage(&stage.name);
        if known.status != Status::Waiting {
            let said = dossier::said(&known);
            print(&format!("{:>4} {:<20} {:<22} {said}\n", index + 1, stage.name, dossier::status_word(&known.status)));
        }
    }
    Ok(Exit::Ok)
}
