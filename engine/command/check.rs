//! `check PLAN...`: everything that can be known without a database, all problems in one go. A folder is all plans in it.

mod place;

use super::{PlanArgs, folder, print, tell};
use crate::compile::{self, Given, Workflow};
use crate::diag::visible::printable;
use crate::diag::{Diagnostic, Diagnostics, Place, Source, ci};
use crate::event::{Exit, Failure};
use crate::ui;
use std::io::IsTerminal;
use std::path::Path;

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

/// Problems as they are told, and those a log collects.
struct Report {
    form: Form,
    all: Vec<Diagnostic>,
}

/// Checks plans.
///
/// # Errors
/// Something cannot be read that is no plan: a variables file, a lock. In the forms that CI systems read that is a problem
/// of the report, and the other plans are checked.
pub fn run(plans: &[PlanArgs], form: Form) -> Result<Exit, Failure> {
    let mut exit = Exit::Ok;
    let mut report = Report { form, all: Vec::new() };
    for args in plans {
        match folder::spread(args) {
            Ok(plans) => {
                for (args, given) in &plans {
                    let checked = one(args, given, &mut report);
                    exit =
                        exit.worse(checked.or_else(|failure| report.failed(&args.plan, "lock-unreadable", failure))?);
                }
            }
            Err(failure) => {
                let at = args.vars_file.as_ref().unwrap_or(&args.plan);
                exit = exit.worse(report.failed(at, "input-unreadable", failure)?);
            }
        }
    }
    if form == Form::Sarif {
        print(&format!("{:#}\n", ci::sarif(&report.all)));
    }
    Ok(exit)
}

/// One plan.
fn one(args: &PlanArgs, given: &Given, report: &mut Report) -> Result<Exit, Failure> {
    let mut workflow = match compile::workflow(&args.plan, given) {
        Ok(workflow) => workflow,
        Err(problems) => {
            report.draw(&problems);
            report.hand_over(&args.plan, &problems);
            return Ok(Exit::PlanInvalid);
        }
    };
    let found = compile::lint_warnings(&workflow, &compile::lints(&workflow));
    workflow.warnings.0.extend(found.0);
    workflow.warnings.sort();
    let found = Diagnostics(workflow.warnings.0.iter().map(|one| place::there(one, &workflow)).collect());
    report.draw(&workflow.warnings);
    report.hand_over(&args.plan, &found);
    let has = workflow.lock_dir.is_dir();
    let stale = if has { compile::stale(&workflow.lock_dir, &workflow.lock)? } else { Vec::new() };
    if let Some(problem) = stale_lock(args, &workflow, &stale) {
        report.collect(&args.plan, &problem);
    }
    told(args, &workflow, &stale, report.form);
    Ok(if stale.is_empty() { Exit::Ok } else { Exit::LockStale })
}

impl Report {
    /// Problems of a plan for people; warnings too.
    fn draw(&self, problems: &Diagnostics) {
        if self.form != Form::Github {
            tell(&problems.draw(std::io::stderr().is_terminal()));
        }
    }

    /// The same for machines, which look for their places.
    fn hand_over(&mut self, plan: &Path, problems: &Diagnostics) {
        if self.form == Form::Json {
            problems.json_lines().iter().for_each(|line| print(&format!("{line}\n")));
        }
        problems.0.iter().for_each(|problem| self.collect(plan, problem));
    }

    /// A problem for machines, with its places as the repository knows them.
    fn collect(&mut self, plan: &Path, problem: &Diagnostic) {
        match self.form {
            Form::Text | Form::Json => {}
            Form::Github => print(&format!("{}\n", ci::github(&place::rooted(problem, plan)))),
            Form::Sarif => self.all.push(place::rooted(problem, plan)),
        }
    }

    /// Something that cannot be read. What CI systems read must be whole all the same, so there it is one problem more.
    fn failed(&mut self, at: &Path, code: &'static str, failure: Failure) -> Result<Exit, Failure> {
        if matches!(self.form, Form::Text | Form::Json) {
            return Err(failure);
        }
        tell(&format!("{}\n", ui::draw(&failure)));
        let place = Place::new(&Source::new(at.display().to_string(), ""), 0..0);
        let help = failure.next.iter().map(|(what, how)| format!("{what}: {how}")).collect::<Vec<_>>().join("\n");
        let problem = Diagnostic::new(code, failure.what, place);
        self.collect(at, &if help.is_empty() { problem } else { problem.help(help) });
        Ok(failure.exit)
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
    let line = format!("{plan}: ok, {}, {}, {lock}", count(stages, "stage"), count(probes, "probe"));
    let line = printable(&line, &[]) + "\n";
    // A log must be the only thing on stdout.
    if form == Form::Sarif { tell(&line) } else { print(&line) }
}

fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
