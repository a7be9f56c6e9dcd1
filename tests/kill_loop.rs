//! The kill loop: the main job, killed at instants that nobody chose, also while it is taken up again, until it is done;
//! then all it came to is compared with a run that nobody stopped.
//!
//! `make test` does a few runs; `make kill-loop` does two hundred. `ENGINE_SEED` decides when is killed, and is printed;
//! what a machine is doing at that instant no seed decides.

mod support;

use engine::event::{Event, RunState, Status};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{Bench, End, MAIN_JOB, end};

/// Most kills of one run; then it is left alone.
const MOST: u64 = 6;

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below.max(1)
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// A run that nobody stops: what it comes to, and how long it takes.
fn whole() -> (End, Duration) {
    let bench = Bench::new("whole");
    let since = Instant::now();
    bench.apply(&[]).expect(0);
    let took = since.elapsed();
    (end(&bench, true), took)
}

/// The stage that was at work when the engine was killed, and how far it was.
fn place(bench: &Bench) -> String {
    if bench.runs().is_empty() {
        return "before the run".to_owned();
    }
    let state = RunState::of(&bench.journal().events);
    let at_work = state.stages.iter().find(|(_, of)| matches!(of.status, Status::Started | Status::Committed));
    match at_work {
        Some((name, of)) if of.status == Status::Committed => format!("{name}, committed"),
        Some((name, of)) if of.intent.is_some() => format!("{name}, at its COMMIT"),
        Some((name, _)) => name.clone(),
        None if state.ended.is_some() => "after the end".to_owned(),
        None => "between stages".to_owned(),
    }
}

/// One run: killed a few times, then left alone. Answers where it was killed.
fn run(number: u64, seed: u64, took: Duration, whole: &End) -> (Vec<String>, Vec<String>) {
    let mut dice = Dice(seed.wrapping_mul(1_000_003).wrapping_add(number));
    let bench = Bench::new(&format!("kill{number}"));
    let (kills, mut places) = (1 + dice.roll(MOST), Vec::new());
    let command = |bench: &Bench| {
        if bench.runs().is_empty() {
            vec!["apply".to_owned(), MAIN_JOB.to_owned(), "--var".to_owned(), bench.clone_var()]
        } else {
            vec!["resume".to_owned()]
        }
    };
    for _ in 0..kills {
        let words = command(&bench);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut engine = bench.start(&words);
        let at = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        std::thread::sleep(Duration::from_micros(dice.roll(at)));
        if engine.over() {
            break;
        }
        if engine.kill().signal() == Some(9) {
            places.push(place(&bench));
        }
    }
    let words = command(&bench);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = bench.engine(&words);
    if ended.code != 0 {
        return (places, vec![format!("{words:?} ended with {}\n{}", ended.code, ended.all())]);
    }
    let mut wrong = end(&bench, true).wrong(&bench, whole);
    if bench.runs().len() != 1 {
        wrong.push(format!("{} runs", bench.runs().len()));
    }
    let resumed = bench.journal().count(|event| matches!(event, Event::RunResumed { .. }));
    if places.iter().any(|place| place != "before the run") && resumed == 0 {
        wrong.push("it was never resumed".to_owned());
    }
    bench.engine(&["drop", &bench.run_id()]);
    bench.psql("postgres", &format!("DROP DATABASE {}", bench.production()));
    (places, wrong)
}

#[test]
fn a_run_that_is_killed_again_and_again_comes_to_the_same_end() {
    let runs = number("KILL_RUNS").unwrap_or(4);
    let seed = number("ENGINE_SEED").unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        since.as_secs()
    });
    println!("{runs} runs, ENGINE_SEED={seed}");
    let (whole, took) = whole();
    let next = AtomicU64::new(0);
    let (places, wrong) = (Mutex::new(BTreeMap::<String, u64>::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs {
                        return;
                    }
                    let (killed, problems) = run(number, seed, took, &whole);
                    println!("run {number}: killed at {killed:?}");
                    for place in killed {
                        *places.lock().expect("a map").entry(place).or_default() += 1;
                    }
                    if !problems.is_empty() {
                        let problem = format!("run {number} (ENGINE_SEED={seed}): {}", problems.join("\n"));
                        println!("WRONG {problem}");
                        wrong.lock().expect("a list").push(problem);
                    }
                }
            });
        }
    });
    let (places, wrong) = (places.into_inner().expect("a map"), wrong.into_inner().expect("a list"));
    println!("{runs} runs, {} kills, {} wrong", places.values().sum::<u64>(), wrong.len());
    for (place, times) in &places {
        println!("{times:>5}  {place}");
    }
    assert!(wrong.is_empty(), "{} of {runs} runs (ENGINE_SEED={seed}):\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(!places.is_empty(), "nothing was killed: ENGINE_SEED={seed}");
}
