//! One file a verb: parse, call, show. Everything a verb prints goes through here or `ui`.
//!
//! A verb answers an `Exit`; a `Failure` becomes its screen and its exit code in one place, `ended`.

pub mod apply;
pub mod check;
pub mod diff;
pub mod doctor;
pub mod drop;
pub mod fingerprint;
pub mod fmt;
mod folder;
pub mod gc;
pub mod graph;
pub mod plan;
pub mod render;
pub mod resume;
pub mod rollback;
pub mod runs;
pub mod sandbox;
pub mod show;
pub mod status;
pub mod verify;
pub mod watermark;

use crate::compile::{self, Given, Workflow};
use crate::diag::Diagnostics;
use crate::event::{Event, Exit, Failure};
use crate::journal::{History, Home, Place};
use crate::run::{self, Cut};
use crate::ui;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;

/// A plan and values for its variables, as the command line names them.
#[derive(Clone, Debug)]
pub struct PlanArgs {
    /// The plan file.
    pub plan: std::path::PathBuf,
    /// `--var NAME=VALUE`.
    pub vars: Vec<(String, String)>,
    /// `--vars-file`.
    pub vars_file: Option<std::path::PathBuf>,
    /// What `run.date` means; a run that is taken up again keeps its own.
    pub date: Option<String>,
}

/// A plan as the run that its journal began used it.
pub(crate) fn as_begun(
    plan_path: &str,
    vars: &std::collections::BTreeMap<String, String>,
    as_of: &str,
    date: Option<&str>,
) -> PlanArgs {
    PlanArgs {
        plan: plan_path.into(),
        vars: vars.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        vars_file: None,
        date: Some(date.map_or_else(|| as_of.get(..10).unwrap_or("").replace('-', ""), str::to_owned)),
    }
}

/// Where runs are kept: in the database of `--journal` or else of the variable `ENGINE_JOURNAL`, or in this folder.
///
/// # Errors
/// What it names is no database (2), cannot be reached (1, 75), or holds something else (62, 63).
pub(crate) fn home(flag: Option<&str>) -> Result<Home, Failure> {
    const VARIABLE: &str = "ENGINE_JOURNAL";
    let (word, text) = match (flag, std::env::var(VARIABLE)) {
        (Some(text), _) => ("--journal", text.to_owned()),
        (None, Ok(text)) if !text.trim().is_empty() => (VARIABLE, text.trim().to_owned()),
        (None, _) => return here().map(|()| Home::Folder),
    };
    let (url, literal) = fingerprint::address(word, &text)?;
    let (home, password) = Home::shared(word, &url)?;
    if literal && password && flag.is_some() {
        tell(&fingerprint::exposed(word));
    }
    Ok(home)
}

/// Demands that there is a working directory: somebody may have removed it.
pub(crate) fn here() -> Result<(), Failure> {
    std::env::current_dir().map(drop).map_err(|e| {
        Failure::new(Exit::Io, format!("the working directory is gone: {e}"))
            .changed("nothing was changed")
            .next("then", "cd to the one that has the plan and its runs, and the same command again")
    })
}

/// A run that is to be taken up, with the plan it began with.
pub(crate) struct Begun {
    pub(crate) id: String,
    pub(crate) place: Place,
    pub(crate) history: History,
    pub(crate) plan_path: String,
    pub(crate) workflow: Workflow,
}

/// Of a run without an end, where its journal's server is a standby.
pub(crate) const UNSEEN: &str = "not ended; who works on it is not seen here: the journal's server is a standby";

/// Where a run's folder keeps the plan that it began with.
pub(crate) fn kept_plan(folder: &Path, plan_path: &str) -> std::path::PathBuf {
    folder.join("plan").join(Path::new(plan_path).file_name().unwrap_or_default())
}

/// Finds a run and compiles its plan as it began; problems of the plan are drawn and make exit 10.
///
/// # Errors
/// It is not there, or its journal does not say how it began.
pub(crate) fn begun(home: &Home, word: &str, json: bool) -> Result<Result<Begun, Exit>, Failure> {
    let (id, place) = home.find(word)?;
    let history = place.read()?;
    let Some(Event::RunStarted { plan_path, vars, as_of, date, .. }) = history.events().next().cloned() else {
        return Err(Failure::new(Exit::InputsChanged, format!("the journal of run {id} is empty"))
            .changed("nothing was changed"));
    };
    if std::fs::symlink_metadata(&plan_path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
        let what = format!("the plan {plan_path}, which run {id} began with, is not there");
        // On a machine that has nothing of the run, what is named has to be there.
        place.bring_plan()?;
        return Err(Failure::new(Exit::InputsChanged, what)
            .fact(format!("as it was then it is kept in {}", kept_plan(place.dir(), &plan_path).display()))
            .changed("nothing was changed")
            .next("then", "put it back to where it was, and the same command again")
            .next("or", format!("engine drop {id}   disposes of what the run made, without its plan")));
    }
    let workflow = compiled(&as_begun(&plan_path, &vars, &as_of, date.as_deref()), json)?;
    Ok(workflow.map(|workflow| Begun { id, place, history, plan_path, workflow }))
}

/// The exit of a verb that has come to its end: not fine, if what it printed is not there.
pub(crate) fn written(exit: Exit) -> Exit {
    if exit == Exit::Ok && ui::is_unwritten() { Exit::Io } else { exit }
}

/// Prints to stdout; a reader that went away is no error of ours.
pub(crate) fn print(text: &str) {
    ui::print(text, "");
}

/// Prints to stderr.
pub(crate) fn tell(text: &str) {
    let _ = write!(std::io::stderr().lock(), "{text}");
}

/// Turns the end of a verb into its exit code, its failure into its screen.
pub fn ended(result: Result<Exit, Failure>, json: bool) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            if json {
                let line = serde_json::json!({ "v": 1, "type": "failure", "failure": failure });
                print(&format!("{line}\n"));
            }
            tell(&format!("{}\n", ui::draw(&failure)));
            failure.exit
        }
    }
}

/// Until a run is at work a signal ends the command with a word: servers may take their time to answer. The same when a run
/// comes to no end after it; `again` is what to type then, of a run's id.
pub(crate) fn may_be_stopped(
    json: bool,
    again: impl FnOnce(&str) -> Vec<(&'static str, String)> + Send + 'static,
) -> Result<(), Failure> {
    run::until_at_work(move |exit, cut| {
        let signal = exit.signal();
        let failure = match cut {
            Cut::BeforeWork => Failure::new(exit, format!("stopped by {signal} before any stage was at work"))
                .changed("nothing was changed")
                .next("then", "the same command again"),
            Cut::Unended { run, why } => {
                let failure = Failure::new(exit, format!("stopped by {signal}, and {why}")).changed(
                    "what was committed stays so, and what was open is rolled back by its server; the journal's last line \
                     may be missing",
                );
                again(&run).into_iter().fold(failure, |failure, (word, command)| failure.next(word, command))
            }
        };
        ended(Err(failure), json);
    })
}

/// What to type after a run that went forward.
pub(crate) fn go_on(run: &str) -> Vec<(&'static str, String)> {
    vec![("then", format!("engine resume {run}"))]
}

/// Compiles a plan; problems are drawn and make exit 10.
pub(crate) fn compiled(args: &PlanArgs, json: bool) -> Result<Result<Workflow, Exit>, Failure> {
    let given = given(args)?;
    match compile::workflow(&args.plan, &given) {
        Ok(workflow) => {
            draw(&workflow.warnings, json);
            Ok(Ok(workflow))
        }
        Err(problems) => {
            draw(&problems, json);
            Ok(Err(Exit::PlanInvalid))
        }
    }
}

/// Draws diagnostics where people read, and as lines where machines do.
pub(crate) fn draw(problems: &Diagnostics, json: bool) {
    if json {
        for line in problems.json_lines() {
            print(&format!("{line}\n"));
        }
    }
    tell(&problems.draw(std::io::stderr().is_terminal()));
}

/// `--vars-file` first, then `--var`: the later one counts.
fn given(args: &PlanArgs) -> Result<Given, Failure> {
    let mut given: Vec<(String, String)> = Vec::new();
    if let Some(path) = &args.vars_file {
        given.extend(vars_file(path)?);
    }
    let file = args.vars_file.as_ref().map(|path| format!("--vars-file {}", path.display())).unwrap_or_default();
    let mut filed: BTreeMap<String, String> = given.iter().map(|(name, _)| (name.clone(), file.clone())).collect();
    for (name, value) in &args.vars {
        given.retain(|(known, _)| known != name);
        filed.remove(name);
        given.push((name.clone(), value.clone()));
    }
    Ok(Given { vars: given, filed, date: args.date.clone(), ..Given::default() })
}

/// A TOML table of names and plain values.
fn vars_file(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let refuse = |why: String| {
        Failure::new(Exit::Usage, format!("--vars-file {}: {why}", path.display())).changed("nothing was changed")
    };
    let text = std::fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| refuse(e.message().to_owned()))?;
    table
        .into_iter()
        .map(|(name, value)| match value {
            toml::Value::String(text) => Ok((name, text)),
            toml::Value::Integer(int) => Ok((name, int.to_string())),
            toml::Value::Boolean(flag) => Ok((name, flag.to_string())),
            other => Err(refuse(format!(
                "`{name}` is {}, and a variable is a text, an integer or a boolean",
                other.type_str()
            ))),
        })
        .collect()
}
