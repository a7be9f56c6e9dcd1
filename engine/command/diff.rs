//! `diff OLD NEW`: what a change of plans means, riskiest first. Files, folders, or revisions that `git` knows.
//!
//! `sides` finds what the two words name, `git` takes files out of a revision or the index, `listing` says which, `past` reads the journals of earlier runs; what a
//! difference means is in `review`.

mod git;
mod listing;
mod past;
mod sides;

use super::folder::{tell_below, variables};
use super::{PlanArgs, given, print, tell};
use crate::compile::{self, Ahead, Given, Workflow};
use crate::diag::Diagnostics;
use crate::diag::visible::printable;
use crate::event::{Exit, Failure};
use crate::review::{self, Paint, Review, Side};
use sides::{Pair, Tree};
use std::collections::BTreeSet;
use std::io::IsTerminal;

/// What the review is drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For a terminal.
    Text,
    /// For a comment on a pull request.
    Markdown,
    /// One document, see `docs/diff.schema.json`.
    Json,
}

/// The command line.
#[derive(Clone, Debug)]
pub struct Args {
    /// A file, a folder, `REVISION`, `REVISION:PATH` or `A..B`.
    pub old: String,
    /// A file, a folder or `REVISION:PATH`; beside a revision or `A..B` the path in it. `None`: `old` is a path, and what is
    /// staged of it is compared with `HEAD`.
    pub new: Option<String>,
    /// Values of variables, for whichever side declares them.
    pub vars: PlanArgs,
    /// What to draw.
    pub form: Form,
    /// `--journal`, where earlier runs are kept.
    pub journal: Option<String>,
}

/// A plan that does not compile.
struct Invalid {
    side: &'static str,
    shown: String,
    problems: Diagnostics,
    prefix: (String, String),
}

/// One plan on both sides.
pub(super) struct Compared {
    /// The old one; `None`: there was none.
    pub(super) before: Option<Workflow>,
    /// The new one; `None`: there is none any more.
    pub(super) after: Option<Workflow>,
    /// What became of it.
    pub(super) review: Review,
    /// The code that `diff` ends with.
    exit: Exit,
}

/// Compares one plan with what it was, for who draws both. Problems of either are drawn, and make exit 10.
///
/// # Errors
/// As `run`.
pub(super) fn against(old: &str, new: &PlanArgs) -> Result<Result<Compared, Exit>, Failure> {
    let shown = new.plan.display().to_string();
    let (before, after) = sides::resolve(old, &shown)?;
    let mut given = given(new)?;
    given.date.get_or_insert_with(crate::clock::today);
    let pairs = sides::pairs(&before, &after)?;
    let [pair] = pairs.as_slice() else {
        return Err(Failure::new(Exit::Usage, format!("{old} and {shown} hold {} plans", pairs.len()))
            .next("name", "one plan on either side")
            .changed("nothing was changed"));
    };
    match one(pair, (&before, &after), &given, true)? {
        Ok(compared) => Ok(Ok(compared)),
        Err(invalid) => {
            show(Form::Text, &[], &invalid, Exit::PlanInvalid);
            Ok(Err(Exit::PlanInvalid))
        }
    }
}

/// Compares plans.
///
/// # Errors
/// A side that is not there, or cannot be read out of its revision.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let (old, new) = match &args.new {
        Some(new) => sides::resolve(&args.old, new)?,
        None => sides::staged(&args.old)?,
    };
    let pairs = sides::pairs(&old, &new)?;
    tell_below(&sides::below(&old, &new));
    let mut given = given(&args.vars)?;
    // Both sides mean the same day, also at midnight.
    given.date.get_or_insert_with(crate::clock::today);
    given.vars = declared_somewhere(&pairs, &given)?;
    let (mut reviews, mut invalid, mut exit) = (Vec::new(), Vec::new(), Exit::Ok);
    for pair in &pairs {
        match one(pair, (&old, &new), &given, pairs.len() == 1)? {
            Ok(compared) => {
                exit = exit.worse(compared.exit);
                reviews.push(compared.review);
            }
            Err(problems) => {
                exit = exit.worse(Exit::PlanInvalid);
                invalid.extend(problems);
            }
        }
    }
    if !invalid.is_empty() {
        // Nobody knows what such a plan means: that is not for people to judge as 20 and 21 are.
        exit = Exit::PlanInvalid;
    }
    past::look_back(args.journal.as_deref(), &mut reviews);
    show(args.form, &reviews, &invalid, exit);
    Ok(exit)
}

/// One plan on both sides: its review and exit code, or all that is wrong with it.
fn one(
    pair: &Pair,
    (old, new): (&Tree, &Tree),
    given: &Given,
    alone: bool,
) -> Result<Result<Compared, Vec<Invalid>>, Failure> {
    let declared = [&pair.old, &pair.new].map(|path| path.as_deref().map(|path| variables(path, given)));
    let known = std::sync::Arc::default();
    let own = |at: usize, ahead| {
        let (vars, date) = (only(given, &declared, at, alone), given.date.clone());
        // Beside each other, and most of what one says the other says too.
        let filed = given.filed.clone();
        Given { vars, filed, date, known: std::sync::Arc::clone(&known), ahead }
    };
    let compile = |path: &Option<std::path::PathBuf>, given: Given| {
        path.as_ref().map(|path| compile::workflow(path, &given)).transpose()
    };
    let (given_old, given_new) = (own(0, Ahead::FromFirst), own(1, Ahead::FromLast));
    let (before, after) = std::thread::scope(|scope| {
        let work = || compile(&pair.old, given_old);
        let beside = std::thread::Builder::new().stack_size(8 << 20).spawn_scoped(scope, work);
        let after = compile(&pair.new, given_new);
        let before = beside.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        (before, after)
    });
    let before = before.map_err(|e| Failure::new(Exit::Io, format!("no thread could be started: {e}")))?;
    let failed = |side, tree: &Tree, path: &Option<std::path::PathBuf>, problems: Diagnostics| Invalid {
        side,
        shown: path.as_ref().map(|path| tree.shown(path)).unwrap_or_default(),
        problems,
        prefix: tree.prefix(),
    };
    let (before, after) = match (before, after) {
        (Ok(before), Ok(after)) => (before, after),
        (before, after) => {
            let old = before.err().map(|problems| failed("old", old, &pair.old, problems));
            let new = after.err().map(|problems| failed("new", new, &pair.new, problems));
            return Ok(Err(old.into_iter().chain(new).collect()));
        }
    };
    let shown = [(old, &pair.old), (new, &pair.new)]
        .map(|(tree, path)| path.as_ref().map(|p| tree.shown(p)).unwrap_or_default());
    let prefixes = [old.prefix(), new.prefix()];
    let side = |at: usize, workflow| Side {
        shown: shown[at].as_str(),
        prefix: (prefixes[at].0.as_str(), prefixes[at].1.as_str()),
        workflow,
    };
    let mut review = review::compare(side(0, before.as_ref()), side(1, after.as_ref()));
    let mut exit = review.exit();
    if let Some(what) = after.as_ref().map(|after| lock_trouble(before.as_ref(), after)).transpose()?.flatten() {
        // As it is typed in the working tree, whatever revision this was read from.
        let path = shown[1].rsplit_once(':').map_or(shown[1].as_str(), |(_, path)| path);
        review.remarks.insert(0, format!("{what}; type `engine render {}`", word(path)));
        exit = exit.worse(Exit::LockStale);
    }
    Ok(Ok(Compared { before, after, review, exit }))
}

/// What is wrong with the new side's lock, if anything is.
fn lock_trouble(before: Option<&Workflow>, after: &Workflow) -> Result<Option<&'static str>, Failure> {
    let had = before.is_some_and(|before| before.lock_dir.is_dir());
    Ok(match after.lock_dir.is_dir() {
        true if is_stale(after)? => Some("lock stale: what people read there is not this"),
        false if had => Some("lock removed: nobody can read what would run"),
        _ => None,
    })
}

/// A word of a command line, quoted where a shell would part it.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-~+@%:=,".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The values that some plan of some side declares. One that none declares is a mistake of who typed it.
fn declared_somewhere(pairs: &[Pair], given: &Given) -> Result<Vec<(String, String)>, Failure> {
    let plans = pairs.iter().flat_map(|pair| [&pair.old, &pair.new]).flatten();
    let known: BTreeSet<String> = plans.flat_map(|path| variables(path, given)).collect();
    match given.vars.iter().find(|(name, _)| !known.contains(name)) {
        Some((name, _)) if pairs.len() > 1 => {
            Err(Failure::new(Exit::Usage, format!("{}: no plan on either side declares it", given.said(name)))
                .changed("nothing was changed"))
        }
        _ => Ok(given.vars.clone()),
    }
}

/// A lock that is there and is not what would run.
fn is_stale(workflow: &Workflow) -> Result<bool, Failure> {
    Ok(workflow.lock_dir.is_dir() && !compile::stale(&workflow.lock_dir, &workflow.lock)?.is_empty())
}

/// The values for one side: those of variables that it declares; of one pair also those that neither does, so that this is said.
fn only(given: &Given, declared: &[Option<Vec<String>>; 2], at: usize, alone: bool) -> Vec<(String, String)> {
    let has = |at: usize, name: &String| declared[at].as_ref().is_some_and(|names| names.contains(name));
    let wanted = given.vars.iter().filter(|(name, _)| has(at, name) || alone && !has(1 - at, name));
    wanted.cloned().collect()
}

fn show(form: Form, reviews: &[Review], invalid: &[Invalid], exit: Exit) {
    for one in invalid {
        let drawn = one.problems.draw(std::io::stderr().is_terminal());
        let shown = printable(&one.shown, &[]);
        tell(&format!("the {} side does not compile: {shown}\n\n{}", one.side, renamed(&drawn, &one.prefix)));
    }
    match form {
        Form::Json => {
            let lines = invalid.iter().flat_map(|one| {
                one.problems.json_lines().into_iter().map(move |line| (one.side, renamed(&line, &one.prefix)))
            });
            print(&format!("{}\n", review::json(reviews, lines, exit)));
        }
        Form::Markdown => {
            let failed = invalid.iter().map(|one| {
                let problems = renamed(&one.problems.draw(false), &one.prefix);
                review::refused(one.side, &one.shown, &problems)
            });
            print(&review::comment(&failed.collect::<Vec<_>>(), reviews));
        }
        Form::Text => {
            let paint = if std::io::stdout().is_terminal() { Paint::Colour } else { Paint::Plain };
            let (same, others) = review::parted(reviews);
            let texts: Vec<String> = others.iter().map(|one| review::text(one, paint)).collect();
            let last = if texts.is_empty() || same.is_empty() { "" } else { "\n" };
            print(&format!("{}{last}{}", texts.join("\n"), review::no_difference(&same, str::to_owned)));
        }
    }
}

/// Paths as people know them, not where the files of a revision were put.
fn renamed(text: &str, (from, to): &(String, String)) -> String {
    if from.is_empty() { text.to_owned() } else { text.replace(from.as_str(), to) }
}
