//! A case: data, and how it is played. What docs/reliability.md says of a case is made of the same data.

use crate::bed::{Bed, Subject, World};
use crate::support::{Does, Spot, assert_same};
use engine::event::Event;

/// A fault, what the engine makes of it, and what becomes of the run.
pub struct Case {
    /// The fault.
    pub fault: &'static str,
    /// How the test brings it about.
    pub how: &'static str,
    /// Keys of the stage.
    pub keys: &'static str,
    /// Does the stage write so much that a disk can become full?
    pub big: bool,
    /// What is done.
    pub act: Act,
    /// Exit code of the engine; 137: it was killed.
    pub exit: i32,
    /// What it must say.
    pub says: &'static [&'static str],
    /// What of the stage is in the database then.
    pub left: Left,
    /// What follows.
    pub then: &'static [Then],
    /// How often the stage was begun in all.
    pub attempts: usize,
}

/// What is done while the engine is at work.
pub enum Act {
    /// The proxy does it to the stage's own connection.
    Proxy(Spot, Does),
    /// Every byte goes alone, in both directions.
    Slow,
    /// It is done while that message is on its way, and then the message goes on.
    Held(Spot, fn(&mut Bed)),
    /// Others take every connection of the server while that message is on its way.
    Crowded(Spot),
    /// The engine vanishes at a crash point.
    Vanish(&'static str),
}

/// What of the stage is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    Whole,
    /// The database is not there.
    Gone,
}

/// One more step after the fault.
pub struct Then {
    /// What is repaired first, for people.
    pub first: &'static str,
    /// The same for the machine.
    pub repair: fn(&mut Bed),
    /// `resume`, `rollback`, `apply`, or `drop`.
    pub word: &'static str,
    pub exit: i32,
    pub says: &'static [&'static str],
}

/// Nothing has to be repaired, and it goes on.
pub const RESUME: Then = Then { first: "", repair: |_| (), word: "resume", exit: 0, says: &[] };

/// A case with nothing in it.
pub const PLAIN: Case = Case {
    fault: "",
    how: "",
    keys: "",
    big: false,
    act: Act::Slow,
    exit: 0,
    says: &[],
    left: Left::Nothing,
    then: &[RESUME],
    attempts: 2,
};

/// Plays a case to its end, and demands all that it says.
pub fn play(world: &mut World, case: &Case, number: usize) {
    let whole = world.whole(case.big);
    let mut bed = world.bed(case, number);
    eprintln!("{number}: {}", case.fault);
    let since = std::time::Instant::now();
    let outcome = bed.suffer(&case.act);
    let mut told = format!("{}\n{}", case.fault, outcome.all());
    assert_eq!(outcome.code, case.exit, "{told}");
    says(case.says, &outcome.all(), &told);
    let mut left = None;
    for then in case.then {
        left = left.or_else(|| bed.up.then(|| bed.left()));
        (then.repair)(&mut bed);
        left = left.or_else(|| Some(bed.left()));
        let words = match then.word {
            "apply" => bed.command(),
            "drop" | "rollback" => vec![then.word.to_owned(), bed.bench.run_id()],
            _ => vec!["resume".to_owned()],
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let outcome = bed.bench.engine(&words);
        told.push_str(&format!("--- {words:?}\n{}", outcome.all()));
        assert_eq!(outcome.code, then.exit, "{told}");
        says(then.says, &outcome.all(), &told);
    }
    assert_eq!(left.unwrap_or_else(|| bed.left()), case.left, "{told}");
    bed.others.clear();
    ended_well(&bed, case, &whole, &told);
    eprintln!("{number}: {:.1} s", since.elapsed().as_secs_f64());
    if std::env::var_os("ENGINE_CASE").is_some() {
        eprintln!("{told}");
    }
    bed.over();
}

fn says(texts: &[&str], all: &str, told: &str) {
    for text in texts {
        assert!(all.contains(text), "`{text}` is not said\n{told}");
    }
}

/// The database is what a run that nobody disturbed leaves, the stage was committed once, and the journal is whole.
fn ended_well(bed: &Bed, case: &Case, whole: &str, told: &str) {
    assert_eq!(bed.left(), Left::Whole, "{told}");
    assert_same(&bed.all(), whole, told);
    let (journal, stage) = (bed.bench.journal(), bed.stage());
    let of_it = |of: &str| of == stage;
    let committed = journal.count(|event| match event {
        Event::StageCommitted { stage, .. } => bed.subject != Subject::Back && of_it(stage),
        Event::UndoCommitted { stage, .. } => of_it(stage),
        _ => false,
    });
    let batches = journal.events.iter().filter_map(|event| match event {
        Event::BatchCommitted { batch, .. } => Some(*batch),
        _ => None,
    });
    let (batches, wanted) = (batches.collect::<Vec<u32>>(), if bed.subject == Subject::Batch { 3 } else { 0 });
    assert_eq!(batches, (1..=wanted).collect::<Vec<u32>>(), "{told}");
    assert_eq!(committed, 1, "{told}");
    let attempts = journal.count(|event| match event {
        Event::AttemptStarted { stage, .. } => bed.subject != Subject::Back && of_it(stage),
        Event::UndoStarted { stage, .. } => of_it(stage),
        _ => false,
    });
    assert_eq!(attempts, case.attempts, "attempts\n{told}");
    bed.bench.engine(&["verify", &journal.run]).expect(0);
    if bed.subject != Subject::Rollout {
        bed.bench.engine(&["drop", &journal.run]).expect(0);
    }
}
