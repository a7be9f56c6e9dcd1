//! Before anything is created: all that would make the clone fail, or be something else than it seems, in one report.
//!
//! Both servers are only read. A problem is a `Failure` with what to type; one stands for itself, several become one.
//! Warnings and notes go into the journal with them, as the proof `preflight` of the stage.

mod capacity;
mod likeness;

use super::super::Cx;
use super::super::source_facts::SourceFacts;
use crate::clock::Stopwatch;
use crate::event::{Event, Exit, Failure, Identity};
use crate::programs::Programs;
use crate::target::{CloneTarget, Isolation, Reader, Tx};

/// What is about to be cloned.
pub(super) struct Asked<'a> {
    pub(super) cx: &'a Cx,
    /// The stage.
    pub(super) stage: &'a str,
    /// The clone.
    pub(super) target: &'a CloneTarget,
    /// Production's snapshot.
    pub(super) source: &'a Tx,
    /// Production.
    pub(super) identity: &'a Identity,
    /// What the plan does without.
    pub(super) acknowledged: &'a [String],
    /// Sessions that production is still asked for, beside the snapshot's own.
    pub(super) reading: u32,
    /// Sessions that the clone's server is asked for at a time.
    pub(super) writing: u32,
}

/// What was found.
#[derive(Debug, Default)]
struct Report {
    problems: Vec<Failure>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

const STANDING: &str = include_str!("../../../sql/engine/source/standing.sql");
const SUPERUSER_ONLY: &str = include_str!("../../../sql/engine/source/superuser_only.sql");
const PECULIAR: &str = include_str!("../../../sql/engine/source/peculiar.sql");

/// How the source stands.
struct Standing {
    /// Tables, indexes, sequences: locks that reading takes.
    relations: i64,
    bytes: i64,
    standby: bool,
    feedback: bool,
    delay: String,
    prepared: i64,
    /// Age of the oldest snapshot that others hold.
    held_back: Option<i64>,
    /// From 17 on: when a transaction of the reader is ended.
    transaction_timeout: Option<String>,
    /// Version of the collation as recorded, and as its server has it.
    collation: (Option<String>, Option<String>),
}

impl Standing {
    async fn read(tx: &Tx) -> Result<Standing, Failure> {
        let row = tx.query_one(STANDING, &[]).await?;
        Ok(Standing {
            relations: row.get(0),
            bytes: row.get(1),
            standby: row.get(2),
            feedback: row.get(3),
            delay: row.get(4),
            prepared: row.get(5),
            held_back: row.get(6),
            collation: (row.get(7), row.get(8)),
            transaction_timeout: row.get(9),
        })
    }
}

/// Lines of one problem that are shown among others.
const SHOWN: usize = 12;

impl Report {
    fn problem(&mut self, what: impl Into<String>, facts: Vec<String>, next: &[(&str, String)]) {
        let mut failure = Failure::new(Exit::StageFailed, what);
        failure.facts = facts;
        failure.next = next.iter().map(|(word, command)| ((*word).to_owned(), command.clone())).collect();
        self.problems.push(failure);
    }

    fn warn(&mut self, what: impl Into<String>) {
        self.warnings.push(what.into());
    }

    fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// Lines for the journal.
    fn observations(&self) -> Vec<String> {
        let problems = self.problems.iter().map(|problem| format!("problem: {}", problem.what));
        let warnings = self.warnings.iter().map(|text| format!("warning: {text}"));
        problems.chain(warnings).chain(self.notes.iter().cloned()).collect()
    }

    /// One failure of all problems; `None` when there are none.
    fn failure(mut self, source: &str) -> Option<Failure> {
        let changed = "nothing was created; production was only read";
        if self.problems.len() < 2 {
            return self.problems.pop().map(|problem| problem.changed(changed));
        }
        let exit = self.problems.iter().fold(Exit::Ok, |exit, problem| exit.worse(problem.exit));
        let what = format!("{} things keep `{source}` from being cloned", self.problems.len());
        let mut failure = Failure::new(exit, what).changed(changed).next("see", "engine doctor PLAN");
        for (number, problem) in self.problems.into_iter().enumerate() {
            failure = failure.fact(format!("{}. {}", number + 1, problem.what));
            let more = problem.facts.len().saturating_sub(SHOWN);
            failure.facts.extend(problem.facts.into_iter().take(SHOWN).map(|fact| format!("     {fact}")));
            if more > 0 {
                failure = failure.fact(format!("     and {more} more"));
            }
            let next = problem.next.into_iter().filter(|(_, command)| !command.starts_with("engine doctor"));
            failure.facts.extend(next.map(|(word, command)| format!("     {word}: {command}")));
        }
        Some(failure)
    }
}

/// Finds all of it, and answers what the clone must know of its source.
///
/// # Errors
/// What keeps the clone from being made (exit 40 mostly; 1 for a missing `pg_dump`): nothing was created.
pub(super) async fn demand(asked: &Asked<'_>) -> Result<SourceFacts, Failure> {
    asked.cx.say(asked.stage, "preflight");
    let watch = Stopwatch::start();
    let mut report = Report::default();
    let facts = SourceFacts::read(asked.source, asked.acknowledged, &mut report.problems).await?;
    // The maker's door leads to the maintenance database of the clone's server.
    let target = Reader::new(asked.target.maker.door().clone()).begin("preflight", Isolation::Snapshot).await?;
    programs(asked, &mut report);
    peculiar(asked, &target, &mut report).await?;
    let standing = Standing::read(asked.source).await?;
    likeness::check(asked, &facts, &standing, &target, &mut report).await?;
    capacity::check(asked, &standing, &target, &mut report).await?;
    target.finish().await?;
    let grade = match (report.problems.len(), report.warnings.len()) {
        (0, 0) => "nothing in the way".to_owned(),
        (problems, warnings) => format!("{problems} problems, {warnings} warnings"),
    };
    asked.cx.record(Event::Proved {
        stage: asked.stage.to_owned(),
        proof: "preflight".to_owned(),
        passed: report.problems.is_empty(),
        grade,
        observations: report.observations(),
        evidence: Vec::new(),
        ms: watch.ms(),
    })?;
    match report.failure(&asked.target.source) {
        Some(failure) => Err(failure),
        None => Ok(facts),
    }
}

/// `pg_dump` must know production's version; older than the clone's server it may print what that takes otherwise.
fn programs(asked: &Asked<'_>, report: &mut Report) {
    let major = major(asked.identity);
    match Programs::client_for(major) {
        Err(missing) => {
            let mut failure = Failure::new(Exit::Io, missing.to_string())
                .next("then", format!("apt-get install postgresql-client-{major}"))
                .next("or", "export ENGINE_PG_BIN=FOLDER   where pg_dump, pg_restore and psql are");
            failure.facts.push(format!("`{}` is PostgreSQL {}", asked.target.source, asked.identity.version));
            report.problems.push(failure);
        }
        Ok(programs) => {
            report.note(format!("pg_dump {} in {}", programs.major(), programs.folder().display()));
            let source = asked.cx.targets.plain(&asked.target.source).map(|plain| plain.reader.door());
            let source = source.and_then(|door| door.child_environment(programs.major()));
            let target = asked.target.maker.door().child_environment(programs.major());
            // Both say the same, of the same programs.
            report.problems.extend(source.and(target).err());
        }
    }
}

fn major(identity: &Identity) -> u32 {
    u32::try_from(identity.version_num / 10_000).unwrap_or(0)
}

/// Objects that need a superuser, tables whose policies bind their owner, tables outside of the heap.
async fn peculiar(asked: &Asked<'_>, target: &Tx, report: &mut Report) -> Result<(), Failure> {
    let owner = &asked.target.owner_role;
    let powers = likeness::Roles::read(target, std::slice::from_ref(owner), asked).await?;
    let (superuser, passes) = powers.powers_of(owner);
    let found: Vec<String> = asked.source.query(SUPERUSER_ONLY, &[]).await?.iter().map(|row| row.get(0)).collect();
    if !superuser && !found.is_empty() {
        let what = format!(
            "`{}` holds what only a superuser can create, and clones are restored as {owner}",
            asked.target.source
        );
        report.problem(
            what,
            found,
            &[("then", "make an extension of it that the clone's server has, or drop it".to_owned())],
        );
    }
    let mut forced = Vec::new();
    for row in asked.source.query(PECULIAR, &[]).await? {
        let (why, name, method): (String, String, Option<String>) = (row.get(0), row.get(1), row.get(2));
        if why == "forced" {
            forced.push(name);
        } else {
            let method = method.unwrap_or_default();
            report.warn(format!("{name} is kept by access method {method}: its rows are cloned and not fingerprinted"));
        }
    }
    if !passes && !forced.is_empty() {
        let what = format!("row level security is forced upon the owner of tables, and {owner} does not pass by it");
        let fix = format!("ALTER ROLE {owner} BYPASSRLS, by a superuser of the clone's server");
        report.problem(what, forced, &[("then", fix)]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(what: &str, exit: Exit) -> Failure {
        Failure::new(exit, what).fact("a fact").next("then", "type this").next("see", "engine doctor PLAN")
    }

    #[test]
    fn one_problem_stands_for_itself() {
        let report = Report { problems: vec![problem("one", Exit::Io)], ..Report::default() };
        let failure = report.failure("production").expect("a failure");
        assert_eq!((failure.what.as_str(), failure.exit), ("one", Exit::Io));
        assert_eq!(failure.next.len(), 2);
        assert!(Report::default().failure("production").is_none());
    }

    #[test]
    fn several_become_one_with_what_to_type_for_each() {
        let report =
            Report { problems: vec![problem("one", Exit::StageFailed), problem("two", Exit::Io)], ..Report::default() };
        let failure = report.failure("production").expect("a failure");
        assert_eq!(failure.what, "2 things keep `production` from being cloned");
        assert_eq!(failure.exit, Exit::StageFailed);
        let lines = ["1. one", "     a fact", "     then: type this", "2. two", "     a fact", "     then: type this"];
        assert_eq!(failure.facts, lines);
        assert_eq!(failure.next, [("see".to_owned(), "engine doctor PLAN".to_owned())]);
    }
}
