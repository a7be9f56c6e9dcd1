//! The crash matrix: the engine vanishes at every place where it could, is resumed, and must come to what a run that
//! nobody stopped comes to, each stage committed exactly once. With a shared journal it is resumed on another machine.
//!
//! Whoever takes it up is to vanish too, at another of those places if it gets there; and is resumed in its turn.
//!
//! A run that only writes down the places it passes says which there are. `make test` tries a share of them that a
//! seed picks (`ENGINE_SEED`, printed); `make crash-matrix` tries all, of the main job too. `CRASH_MATRIX=PART` tries those
//! whose name has that part.

mod support;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Bench, End, MAIN_JOB, MINI, MINI_ROLLOUT, end, server, to_the_packet, to_the_rehearsal};

/// What is crashed: how a bench is made, and the command that runs it.
struct Subject {
    name: &'static str,
    bench: fn(&str) -> Bench,
    command: fn(&Bench) -> Vec<String>,
    /// Share of its places that `make test` tries, in per mille; from 10 on, half of those of `RARE` are tried beside.
    share: u64,
    /// Is its clone looked at, or was it made by a run before?
    clone: bool,
}

/// A handful of rows and a sequence.
fn small(name: &str) -> Bench {
    let bench = Bench::mini(name, "CREATE TABLE n (id int GENERATED ALWAYS AS IDENTITY, v text); CREATE SEQUENCE q");
    bench.psql(bench.production(), "GRANT SELECT ON n, n_id_seq, q TO engine_reader");
    bench
}

/// Every kind of stage but a rollout, with proofs, a sequence and a refusal.
fn mini(name: &str) -> Bench {
    planned(small(name), "INSERT INTO n (v) SELECT 'x' || k FROM generate_series(1, 3) AS k")
}

fn planned(bench: Bench, draws: &str) -> Bench {
    let a = bench.mini_stage(
        "a",
        "\"base\"",
        "writes.u = 2\nguard.empty = \"us = 0\"\nensure.two = \"us = 2\"\nprove = [\"idempotent\", \"reversible\"]",
        "INSERT INTO u VALUES (1, 'a') ON CONFLICT DO NOTHING;\nINSERT INTO u VALUES (2, 'b') ON CONFLICT DO NOTHING",
        Some("DELETE FROM u WHERE id IN (1, 2)"),
    );
    let b = bench.mini_stage("b", "\"a\"", "writes.n = 3", draws, Some("DELETE FROM n"));
    let look = "[stage.look]\nkind = \"check\"\non = \"clone\"\nneeds = [\"b\"]\nno_guard = \"reads\"\nensure.two = \"us = 2\"\n";
    let rest = to_the_packet("\"look\"", "\"a\", \"b\"", "oks = 77");
    bench.mini_plan(&format!("{a}{b}{look}{rest}"));
    bench
}

/// The same to its end, with the gate open: what is left is the rollout.
///
/// It draws from no sequence: on a clone what a rolled-back transaction drew is put back, on production it is a gap.
fn ratified(bench: Bench) -> Bench {
    let bench =
        planned(bench, "INSERT INTO n (id, v) OVERRIDING SYSTEM VALUE SELECT k, 'x' FROM generate_series(1, 3) AS k");
    bench.mini_apply(&[]).expect(0);
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    bench
}

/// What is not one transaction: batches that draw from a sequence, and indexes built concurrently; both rehearsed.
fn parts(name: &str) -> Bench {
    let tables = "CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO b SELECT k FROM generate_series(1, 7) AS k; \
                  CREATE TABLE n (id int GENERATED ALWAYS AS IDENTITY, v int)";
    let bench = Bench::mini(name, tables);
    bench.psql(bench.production(), "GRANT SELECT ON b, n, n_id_seq TO engine_reader");
    let probes = "[probe.unfilled]\non = \"clone\"\nsql = \"SELECT count(*) FROM public.b WHERE v IS NULL\"\n\
                  [probe.indexes]\non = \"clone\"\nsql = \"SELECT count(*) FROM pg_index WHERE indrelid = 'public.b'::regclass\"\n";
    let fill = bench.mini_stage(
        "fill",
        "\"base\"",
        "batch = { until = \"unfilled = 0\", rows = 4, most = 3 }\nwrites.b = 7\nwrites.n = 3\nguard.empty = \"unfilled = 7\"",
        "UPDATE b SET v = 'x' WHERE id IN (SELECT id FROM b WHERE v IS NULL ORDER BY id LIMIT 3);\n\
         INSERT INTO n (v) SELECT count(*) FROM b WHERE v IS NOT NULL",
        Some("UPDATE b SET v = NULL;\nDELETE FROM n"),
    );
    let build = bench.mini_stage(
        "build",
        "\"fill\"",
        "transaction = false\nalters = [\"b\"]\ndone_when = \"indexes = 3\"\nguard.none = \"indexes = 1\"",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS b_v ON b (v);\nCREATE INDEX CONCURRENTLY IF NOT EXISTS b_w ON b (v, id)",
        Some("DROP INDEX CONCURRENTLY IF EXISTS b_w;\nDROP INDEX CONCURRENTLY IF EXISTS b_v"),
    );
    bench.mini_plan(&format!("{probes}{fill}{build}{}", to_the_rehearsal("\"build\"", "")));
    bench
}

/// Its runs are kept in a database.
fn shared(mut bench: Bench) -> Bench {
    bench.keep_runs_on(server());
    bench
}

fn apply(_: &Bench) -> Vec<String> {
    vec!["apply".into(), MINI.into()]
}

fn roll_out(_: &Bench) -> Vec<String> {
    vec!["apply".into(), MINI_ROLLOUT.into()]
}

fn main_job(bench: &Bench) -> Vec<String> {
    vec!["apply".into(), MAIN_JOB.into(), "--var".into(), bench.clone_var()]
}

const PLAN: Subject = Subject { name: "mini", bench: mini, command: apply, share: 40, clone: true };
const ROLLOUT: Subject =
    Subject { name: "rollout", bench: |name| ratified(small(name)), command: roll_out, share: 100, clone: false };
const PARTS: Subject = Subject { name: "parts", bench: parts, command: apply, share: 30, clone: true };
const WHOLE: Subject = Subject { name: "main", bench: Bench::new, command: main_job, share: 4, clone: true };

/// Killed on one machine, resumed on another.
const TEAM: Subject = Subject { name: "team", bench: |name| shared(mini(name)), share: 25, ..PLAN };
const TEAM_ROLLOUT: Subject =
    Subject { name: "team_rollout", bench: |name| ratified(shared(small(name))), share: 50, ..ROLLOUT };
const TEAM_PARTS: Subject = Subject { name: "team_parts", bench: |name| shared(parts(name)), share: 5, ..PARTS };
const TEAM_WHOLE: Subject = Subject { name: "team_main", bench: |name| shared(Bench::new(name)), share: 2, ..WHOLE };

/// The places a run passes, in order, and what it comes to.
fn passed(subject: &Subject) -> (Vec<String>, End) {
    let bench = (subject.bench)(&format!("ref_{}", subject.name));
    let log = bench.home().join("places");
    let command = (subject.command)(&bench);
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let status =
        bench.command(&words).env("ENGINE_CRASH_LOG", &log).stderr(Stdio::null()).status().expect("the engine");
    assert_eq!(status.code(), Some(0), "{}", subject.name);
    let places = std::fs::read_to_string(log).expect("places").lines().map(str::to_owned).collect();
    let ended = end(&bench, subject.clone);
    (places, ended)
}

/// Crashes there, and when it is taken up at `then` if it gets there; resumes until it is done, and says what is not as it
/// must be, or whether it vanished twice.
fn crashed(subject: &Subject, (at, then): (&str, &str), number: usize, whole: &End) -> Result<bool, String> {
    let bench = (subject.bench)(&format!("{}_{number}", subject.name));
    let before = bench.runs().len();
    let command = (subject.command)(&bench);
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = bench.command(&words).env("ENGINE_CRASH_AT", at).output().expect("the engine");
    if output.status.code() == Some(0) && MAY_BE_MISSED.iter().any(|start| at.starts_with(start)) {
        // In this run there were not so many: then it must be a run that nobody stopped.
        println!("{}: not reached, {at}", subject.name);
        let wrong = end(&bench, subject.clone).wrong(&bench, whole);
        return if wrong.is_empty() { Ok(false) } else { Err(wrong.join("\n")) };
    }
    if output.status.signal() != Some(9) {
        return Err(format!("it did not crash: {:?}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    // What the one that was killed left in its folder is of no use to anybody else.
    let mut bench = if bench.is_shared() { bench.another_machine() } else { bench };
    // Before its first line is whole there is no run to resume.
    let again = |bench: &Bench| if bench.runs().len() == before { words.clone() } else { vec!["resume"] };
    let output = bench.command(&again(&bench)).env("ENGINE_CRASH_AT", then).output().expect("the engine");
    let twice = output.status.signal() == Some(9);
    if twice {
        bench = if bench.is_shared() { bench.another_machine() } else { bench };
    } else if output.status.code() != Some(0) {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("taken up, it ended with {}\n{said}", output.status));
    }
    let again = again(&bench);
    let resumed = if output.status.code() == Some(0) { None } else { Some(bench.engine(&again)) };
    if let Some(resumed) = resumed.filter(|resumed| resumed.code != 0) {
        return Err(format!("{again:?} after {then} ended with {}\n{}", resumed.code, resumed.all()));
    }
    let wrong = end(&bench, subject.clone).wrong(&bench, whole);
    if subject.clone {
        bench.engine(&["drop", &bench.run_id()]);
    }
    if wrong.is_empty() {
        bench.clear();
        return Ok(twice);
    }
    Err(wrong.join("\n"))
}

/// How often such a place is passed hangs on how the rows of a copy come along: seldom one time more than here.
const MAY_BE_MISSED: [&str; 1] = ["copy/piece#"];

/// Where databases are made and dropped, transactions end and packets appear; and where a bug was found.
const RARE: [&str; 9] = [
    "alone/",
    "batch/",
    "commit/",
    "create/",
    "rename/",
    "drop/",
    "packet/",
    "rehearse/",
    "journal/production_checked/impact/before",
];

/// Places to try: all of them, or half of those of `RARE` and a share of the rest.
fn picked(places: &[String], share: u64, all: bool, mut seed: u64) -> Vec<String> {
    let mut keep = |place: &String| {
        let chance = roll(&mut seed) % 1_000;
        let rare = share >= 10 && RARE.iter().any(|start| place.starts_with(start));
        all || chance < if rare { 500 } else { share }
    };
    let kept: Vec<String> = places.iter().filter(|place| keep(place)).cloned().collect();
    // Of a small share there may be none.
    if kept.is_empty() { vec![second(places, seed, 0).to_owned()] } else { kept }
}

/// splitmix64.
fn roll(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Where whoever takes it up is to vanish: anywhere.
fn second(places: &[String], seed: u64, number: usize) -> &str {
    let mut seed = seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
    &places[usize::try_from(roll(&mut seed)).unwrap_or(usize::MAX) % places.len()]
}

fn seed() -> u64 {
    std::env::var("ENGINE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        since.as_secs() / 86_400
    })
}

/// Tries the places of a subject, a few at a time.
fn matrix(subject: &Subject) {
    let (places, whole) = passed(subject);
    let wanted = std::env::var("CRASH_MATRIX").ok();
    let seed = seed();
    let mut picked = picked(&places, subject.share, wanted.is_some(), seed);
    if let Some(part) = wanted.filter(|wanted| wanted != "all") {
        picked.retain(|place| place.contains(&part));
    }
    let kinds: BTreeSet<&str> = places.iter().filter_map(|place| place.split('#').next()).collect();
    println!(
        "{}: {} places of {} names, {} tried, ENGINE_SEED={seed}",
        subject.name,
        places.len(),
        kinds.len(),
        picked.len()
    );
    let (next, twice, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((number, at)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    picked.get(number).map(|at| (number, at))
                } {
                    if number > 0 && number.is_multiple_of(100) {
                        println!("{}: {number} of {}", subject.name, picked.len());
                    }
                    let then = second(&places, seed, number);
                    match crashed(subject, (at, then), number, &whole) {
                        Ok(vanished) => drop(twice.fetch_add(usize::from(vanished), Ordering::Relaxed)),
                        Err(why) => {
                            println!("{}: wrong at {at}, {then}", subject.name);
                            wrong.lock().expect("a list").push(format!("{at}, {then}: {why}"));
                        }
                    }
                }
            });
        }
    });
    let (twice, wrong) = (twice.into_inner(), wrong.into_inner().expect("a list"));
    println!("{}: {twice} vanished twice", subject.name);
    // Of so many some get to their second place.
    assert!(picked.len() < 30 || twice > 0, "nobody vanished twice");
    assert!(
        wrong.is_empty(),
        "{} of {} places (ENGINE_SEED={seed}):\n{}",
        wrong.len(),
        picked.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn a_plan_of_every_kind_survives() {
    matrix(&PLAN);
}

#[test]
fn a_rollout_survives() {
    matrix(&ROLLOUT);
}

#[test]
fn batches_and_what_is_in_no_transaction_survive() {
    matrix(&PARTS);
}

/// Some two hundred lines, each four ways; all of them with `make crash-matrix`.
#[test]
fn the_main_job_survives() {
    matrix(&WHOLE);
}

#[test]
fn a_plan_with_a_shared_journal_survives() {
    matrix(&TEAM);
}

#[test]
fn a_rollout_with_a_shared_journal_survives() {
    matrix(&TEAM_ROLLOUT);
}

#[test]
fn batches_with_a_shared_journal_survive() {
    matrix(&TEAM_PARTS);
}

#[test]
fn the_main_job_with_a_shared_journal_survives() {
    matrix(&TEAM_WHOLE);
}
