//! `show RUN [STAGE]`: a run's overview, or everything about one of its stages.

use super::print;
use crate::event::{Event, Exit, Failure};
use crate::journal::Home;
use crate::name;
use crate::report::dossier;

/// Shows a run or a stage.
///
/// # Errors
/// There is no such run or stage.
pub fn run(home: &Home, word: &str, stage: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let (id, place) = home.find(word)?;
    let history = place.read()?;
    if json {
        for line in history.lines.iter().filter(|l| stage.is_none() || l.event.stage() == stage) {
            print(&format!("{}\n", serde_json::to_string(line).expect("invariant: an event is JSON")));
        }
        return Ok(Exit::Ok);
    }
    let events: Vec<Event> = history.events().cloned().collect();
    let stages = dossier::stages(&events);
    let Some(wanted) = stage else {
        let documents = dossier::documents(&history.lines);
        print(documents.first().map_or("", |(_, text)| text));
        return Ok(Exit::Ok);
    };
    if let Some(brief) = stages.iter().find(|s| s.name == wanted) {
        print(&dossier::stage_page(&history.lines, brief));
        Ok(Exit::Ok)
    } else {
        let near = name::nearest(wanted, stages.iter().map(|s| s.name.as_str()));
        let failure = Failure::new(Exit::Usage, format!("run {id} has no stage `{wanted}`"));
        Err(match near {
            Some(near) => failure.next("did you mean", format!("engine show {id} {near}")),
            None => failure.fact(stages.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")),
        })
    }
}
