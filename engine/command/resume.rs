//! `resume [RUN]`: continues a run from its journal, with the plan and variables it began with.

use super::Begun;
use crate::event::{Exit, Failure};
use crate::run::{self, Options, Resumption};
use crate::ui::{Screen, Style};

/// How a run is taken up again.
#[derive(Clone, Debug)]
pub struct Args {
    /// The run.
    pub run: String,
    /// Later stages may differ.
    pub how: Resumption,
    /// Stop before anything that depends on this stage.
    pub until: Option<String>,
    /// Most stages at a time.
    pub jobs: usize,
    /// Events on stdout.
    pub json: bool,
    /// `--journal`.
    pub journal: Option<String>,
}

/// Resumes a run.
///
/// # Errors
/// It is not there, its inputs moved, another process works on it.
pub async fn run(args: &Args) -> Result<Exit, Failure> {
    super::may_be_stopped(args.json, super::go_on)?;
    let home = super::home(args.journal.as_deref())?;
    let Begun { id, place, history, plan_path, workflow } = match super::begun(&home, &args.run, args.json)? {
        Ok(begun) => begun,
        Err(exit) => return Ok(exit),
    };
    super::apply::known(&workflow, args.until.as_deref())?;
    let screen = Screen::new(Style::detect(args.json));
    screen.say(&format!("{} · run {id} · {} events in its journal, whole", workflow.plan.name, history.lines.len()));
    screen.know(&id, &workflow.plan.name, &workflow.briefs);
    let (sink, progress) = (screen.sink(), screen.progress());
    let options =
        Options { jobs: args.jobs, until: args.until.clone(), replace: false, home: home.clone(), sink, progress };
    let ended = run::resume(workflow, place, history, args.how, &options).await?;
    super::apply::close(&screen, &id, &plan_path, &ended);
    Ok(ended.exit)
}
