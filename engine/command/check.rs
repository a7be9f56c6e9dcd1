//! `check PLAN...`: everything that can be known without a database, all problems in one go.

use super::{PlanArgs, given, print, tell};
use crate::compile::{self, Workflow};
use crate::diag::{Diagnostic, Diagnostics, Place, ci};
use crate::event::{Exit, Failure};
use std::io::IsTerminal;

/// How problems are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Drawn, on stderr.
    Text,
    /// JSON lines on stdout, and drawn.
    Json,
    /// Annotations of GitHub Actions on stdout.
    Github,
    /// One SARIF log on stdout, and drawn.
    Sarif,
}

/// Checks plans.
///
/// # Errors
/// A variables file that cannot be read.
pub fn run(plans: &[PlanArgs], form: Form) -> Result<Exit, Failure> {
    let mut exit = Exit::Ok;
    let mut all = Diagnostics::default();
    for args in plans {
        let given = given(args)?;
        match compile::workflow(&args.plan, &given) {
            Err(problems) => {
                show(&problems, form);
                all.0.extend(problems.0);
                exit = exit.worse(Exit::PlanInvalid);
            }
            Ok(mut workflow) => {
                let found = compile::lint_warnings(&workflow, &compile::lints(&workflow));
                workflow.warnings.0.extend(found.0);
                workflow.warnings.sort();
                show(&workflow.warnings, form);
                let stale = if workflow.lock_dir.is_dir() {
                    compile::stale(&workflow.lock_dir, &workflow.lock)?
                } else {
                    Vec::new()
                };
                if !stale.is_empty() {
                    exit = exit.worse(Exit::LockStale);
                }
                let lock = Diagnostics(stale_lock(args, &workflow, &stale).into_iter().collect());
                if form == Form::Github {
                    show(&lock, form);
                }
                all.0.extend(workflow.warnings.0.iter().cloned().chain(lock.0));
                told(args, &workflow, &stale, form);
            }
        }
    }
    if form == Form::Sarif {
        print(&format!("{:#}\n", ci::sarif(&all.0)));
    }
    Ok(exit)
}

fn show(problems: &Diagnostics, form: Form) {
    match form {
        Form::Text | Form::Json => super::draw(problems, form == Form::Json),
        Form::Sarif => tell(&problems.draw(std::io::stderr().is_terminal())),
        Form::Github => {
            for problem in &problems.0 {
                print(&format!("{}\n", ci::github(problem)));
            }
        }
    }
}

/// The lock as a problem with a place in the pull request: that of the plan.
fn stale_lock(args: &PlanArgs, workflow: &Workflow, stale: &[String]) -> Option<Diagnostic> {
    (!stale.is_empty()).then(|| {
        let what = format!("the lock {} is not what would run", workflow.lock_dir.display());
        let label = stale.join("\n");
        let help = format!("engine render {}, and have the difference reviewed", args.plan.display());
        // The first line of the plan: no single place made it stale.
        let source = &workflow.plan.source;
        let place = Place::new(source, 0..source.text.find('\n').unwrap_or(source.text.len()));
        Diagnostic::new("lock-stale", what, place).label(label).help(help)
    })
}

/// What a plan that is valid has.
fn told(args: &PlanArgs, workflow: &Workflow, stale: &[String], form: Form) {
    let plan = args.plan.display();
    if form == Form::Json {
        let line = serde_json::json!({ "v": 1, "type": "checked", "plan": args.plan, "stale": stale });
        return print(&format!("{line}\n"));
    }
    let lock = match (workflow.lock_dir.is_dir(), stale.len()) {
        (false, _) => "no lock yet: engine render".to_owned(),
        (true, 0) => "lock fresh".to_owned(),
        (true, n) => format!("lock STALE in {n} files: engine render {plan}"),
    };
    let (stages, probes) = (workflow.plan.stages.len(), workflow.plan.probes.len());
    let line = format!("{plan}: ok, {}, {}, {lock}\n", count(stages, "stage"), count(probes, "probe"));
    // A log must be the only thing on stdout.
    if form == Form::Sarif { tell(&line) } else { print(&line) }
}

fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
