//! `rollback RUN`: undoes a run's committed stages on its clone, last one first; never on a target that is no clone.

use super::Begun;
use super::apply::{say_left, say_notes};
use crate::event::{Event, Exit, Failure, RunState, Status, planned};
use crate::run::{self, Options, Resumption};
use crate::ui::{Screen, Style};

/// How a run is rolled back.
#[derive(Clone, Debug)]
pub struct Args {
    /// The run.
    pub run: String,
    /// Back to this stage, and not over it.
    pub to: Option<String>,
    /// Stages that are not committed may differ.
    pub how: Resumption,
    /// Events on stdout.
    pub json: bool,
    /// `--journal`.
    pub journal: Option<String>,
}

/// Rolls a run back.
///
/// # Errors
/// It is not there, its inputs moved, another process works on it, a rollout lies on the way; or a stage could not be
/// undone.
pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let to = args.to.as_ref().map_or_else(String::new, |to| format!(" --to {to}"));
    let repeat = move |run: &str| format!("engine rollback {run}{to}");
    let both = repeat.clone();
    super::may_be_stopped(args.json, move |run| vec![("then", both(run)), ("or", format!("engine resume {run}"))])?;
    let home = super::home(args.journal.as_deref())?;
    home.demand_meant(&args.run)?;
    let Begun { id, place, history, workflow, .. } = match super::begun(&home, &args.run, args.json)? {
        Ok(begun) => begun,
        Err(exit) => return Ok(exit),
    };
    let screen = Screen::new(Style::detect(args.json));
    screen.say(&format!("{} · run {id} · back on its clone", workflow.plan.name));
    screen.know(&id, &workflow.plan.name, &workflow.briefs);
    let (sink, progress) = (screen.sink(), screen.progress());
    let options = Options { jobs: 1, until: None, replace: false, home: home.clone(), sink, progress };
    let (ended, failure) =
        Box::pin(run::rollback(workflow, place, history, args.to.as_deref(), args.how, &options)).await?;
    let (exit, repeat) = (ended.exit, repeat(&id));
    say_notes(&screen, &ended.notes);
    if let Some(failure) = failure {
        screen.failure(&if failure.next.iter().all(|(word, _)| word == "make room") {
            failure.next("then", repeat)
        } else {
            failure
        });
    } else if exit == Exit::Ok {
        let events: Vec<Event> = ended.history.events().cloned().collect();
        let state = RunState::of(&events);
        let undone = state.stages.values().any(|stage| stage.status == Status::Undone);
        let waits = || planned(&events).iter().any(|stage| !state.is_done(&stage.name));
        if undone {
            screen.say(&format!("  next   engine resume {id}   runs what was undone again"));
        } else if waits() {
            screen.say(&format!("  next   engine resume {id}   goes forward"));
        }
    } else {
        say_left(&screen, &ended.history);
        screen.say(&format!("  next   {repeat}   goes on back"));
        screen.say(&format!("  or     engine resume {id}   goes forward again"));
    }
    Ok(exit)
}
