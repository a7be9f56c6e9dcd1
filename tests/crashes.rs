//! The crash matrix: the engine vanishes at every place where it could, is resumed, and must come to what a run that
//! nobody stopped comes to, each stage committed exactly once. With a shared journal it is resumed on another machine.
//!
//! A run that only writes down the places it passes says which there are. `make test` tries a share of them that a
//! seed picks (`ENGINE_SEED`, printed); `make crash-matrix` tries all, of the main job too. `CRASH_MATRIX=PART` tries those
//! whose name has that part.

mod support;

use engine::event::{Event, RunState};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Bench, MAIN_JOB, MINI, MINI_ROLLOUT, files, server, to_the_packet};

/// What a run came to, in a form to compare.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// Every row and definition of the clone and of production.
    clone: String,
    production: String,
    /// What folding says of each stage.
    stages: Vec<String>,
    /// Names of the dossier's files, and its verdict without what has times in it.
    dossier: Vec<String>,
    criteria: Vec<String>,
}

/// What is crashed: how a bench is made, and the command that runs it.
struct Subject {
    name: &'static str,
    bench: fn(&str) -> Bench,
    command: fn(&Bench) -> Vec<String>,
    /// Share of its places that `make test` tries, in per mille; from 10 on, those of `RARE` are always tried.
    share: u64,
    /// Is its clone looked at, or was it made by a run before?
    clone: bool,
}

/// Every kind of stage but a rollout, on a handful of rows, with proofs, a sequence and a refusal.
fn mini(name: &str) -> Bench {
    planned(name, "INSERT INTO n (v) SELECT 'x' || k FROM generate_series(1, 3) AS k")
}

fn planned(name: &str, draws: &str) -> Bench {
    let bench = Bench::mini(name, "CREATE TABLE n (id int GENERATED ALWAYS AS IDENTITY, v text); CREATE SEQUENCE q");
    bench.psql(bench.production(), "GRANT SELECT ON n, n_id_seq, q TO engine_reader");
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
fn ratified(name: &str) -> Bench {
    let bench =
        planned(name, "INSERT INTO n (id, v) OVERRIDING SYSTEM VALUE SELECT k, 'x' FROM generate_series(1, 3) AS k");
    bench.mini_apply(&[]).expect(0);
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    bench
}

/// The first with a shared journal.
fn team(name: &str) -> Bench {
    let mut bench = mini(name);
    bench.keep_runs_on(server());
    bench
}

const SUBJECTS: [Subject; 4] = [
    Subject { name: "mini", bench: mini, command: |_| vec!["apply".into(), MINI.into()], share: 40, clone: true },
    Subject {
        name: "rollout",
        bench: ratified,
        command: |_| vec!["apply".into(), MINI_ROLLOUT.into()],
        share: 100,
        clone: false,
    },
    Subject {
        name: "main",
        bench: Bench::new,
        command: |bench| vec!["apply".into(), MAIN_JOB.into(), "--var".into(), bench.clone_var()],
        share: 4,
        clone: true,
    },
    Subject { name: "team", bench: team, command: |_| vec!["apply".into(), MINI.into()], share: 25, clone: true },
];

fn end(bench: &Bench, subject: &Subject) -> End {
    let journal = bench.journal();
    let state = RunState::of(&journal.events);
    let stage = |(name, of): (&String, &engine::event::StageState)| {
        let (wrote, proved): (Vec<String>, BTreeSet<&String>) =
            (of.writes.iter().map(|w| format!("{} {}", w.table, w.total())).collect(), of.proved.iter().collect());
        format!("{name} {:?} wrote {wrote:?} proved {proved:?}", of.status)
    };
    let folder = bench.home().join(bench.of_run("dossier"));
    let dossier: Vec<String> =
        files(&folder).iter().map(|file| file.strip_prefix(&folder).expect("below it").display().to_string()).collect();
    let verdict = dossier.iter().find(|file| file.ends_with("go-no-go.md"));
    let criteria = verdict.map_or(Vec::new(), |file| {
        let page = bench.read(&bench.of_run(&format!("dossier/{file}")));
        let rows = page.lines().filter(|line| line.starts_with("| "));
        rows.map(|row| row.split(" | ").take(2).collect::<Vec<_>>().join(" | ")).collect()
    });
    let same = |text: String| text.replace(bench.clone_name(), "CLONE").replace(bench.production(), "PRODUCTION");
    End {
        clone: if subject.clone { same(bench.all_of(bench.clone_name())) } else { String::new() },
        production: same(bench.all_of(bench.production())),
        stages: state.stages.iter().map(stage).collect(),
        dossier,
        criteria,
    }
}

/// Tables of the main job whose rows say which run wrote them, and when: of these only the number of rows is compared.
const SIGNED: [&str; 5] =
    ["gov_events_opened", "gov_issues", "gov_ownership_anchors", "gov_scan_runs", "gov_worker_cursors"];

fn unsigned(mut end: End) -> End {
    let signed = |line: &str| SIGNED.iter().any(|table| line.starts_with(&format!("{table}|")));
    let lines = end
        .clone
        .lines()
        .map(|line| if signed(line) { line.rsplit_once('|').map_or(line, |(to, _)| to) } else { line });
    end.clone = lines.collect::<Vec<_>>().join("\n");
    end
}

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
    let ended = unsigned(end(&bench, subject));
    (places, ended)
}

/// Crashes there, resumes until it is done, and says what is not as it must be.
fn crashed(subject: &Subject, at: &str, number: usize, whole: &End) -> Result<(), String> {
    let bench = (subject.bench)(&format!("{}_{number}", subject.name));
    let before = bench.runs().len();
    let command = (subject.command)(&bench);
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = bench.command(&words).env("ENGINE_CRASH_AT", at).output().expect("the engine");
    if output.status.signal() != Some(9) {
        return Err(format!("it did not crash: {:?}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    // What the one that was killed left in its folder is of no use to anybody else.
    let bench = if bench.is_shared() { bench.another_machine() } else { bench };
    // Before its first line is whole there is no run to resume.
    let again = if bench.runs().len() == before { words.clone() } else { vec!["resume"] };
    let resumed = bench.engine(&again);
    if resumed.code != 0 {
        return Err(format!("{again:?} ended with {}\n{}", resumed.code, resumed.all()));
    }
    let ended = unsigned(end(&bench, subject));
    let mut wrong = Vec::new();
    for (what, is, was) in [("clone", &ended.clone, &whole.clone), ("production", &ended.production, &whole.production)]
    {
        if is != was {
            wrong.push(format!("{what} differs:\n{}", difference(was, is)));
        }
    }
    for (what, is, was) in [
        ("stages", &ended.stages, &whole.stages),
        ("dossier", &ended.dossier, &whole.dossier),
        ("criteria", &ended.criteria, &whole.criteria),
    ] {
        if is != was {
            wrong.push(format!("{what} differ:\n{}", difference(&was.join("\n"), &is.join("\n"))));
        }
    }
    let mut commits: BTreeMap<String, usize> = BTreeMap::new();
    for event in bench.journal().events {
        if let Event::StageCommitted { stage, .. } = event {
            *commits.entry(stage).or_default() += 1;
        }
    }
    wrong.extend(
        commits.into_iter().filter(|(_, times)| *times != 1).map(|(stage, n)| format!("{stage}: committed {n} times")),
    );
    let run = bench.run_id();
    let left =
        format!("SELECT coalesce(string_agg(datname, ','), '') FROM pg_database WHERE datname LIKE 'engine\\_{run}%'");
    let left = bench.psql("postgres", &left);
    if !left.is_empty() {
        wrong.push(format!("left behind: {left}"));
    }
    let verified = bench.engine(&["verify", &run]);
    if verified.code != 0 {
        wrong.push(format!("verify: {}", verified.all()));
    }
    if subject.clone {
        bench.engine(&["drop", &run]);
    }
    if bench.is_shared() {
        bench.drop_journal();
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn difference(was: &str, is: &str) -> String {
    let gone = was.lines().filter(|line| !is.lines().any(|other| other == *line)).map(|line| format!("- {line}"));
    let new = is.lines().filter(|line| !was.lines().any(|other| other == *line)).map(|line| format!("+ {line}"));
    gone.chain(new).take(20).collect::<Vec<_>>().join("\n")
}

/// Where databases are made and dropped, transactions end and packets appear; and where a bug was found.
const RARE: [&str; 7] =
    ["commit/", "create/", "rename/", "drop/", "packet/", "rehearse/", "journal/production_checked/impact/before"];

/// Places to try: all of them, or those of `RARE` and a share of the rest.
fn picked(places: &[String], share: u64, all: bool, mut seed: u64) -> Vec<String> {
    let mut keep = |place: &String| {
        // splitmix64
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let chance = (mixed ^ (mixed >> 31)) % 1_000;
        all || chance < share || (share >= 10 && RARE.iter().any(|start| place.starts_with(start)))
    };
    places.iter().filter(|place| keep(place)).cloned().collect()
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
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((number, at)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    picked.get(number).map(|at| (number, at))
                } {
                    if let Err(why) = crashed(subject, at, number, &whole) {
                        wrong.lock().expect("a list").push(format!("{at}: {why}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("a list");
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
    matrix(&SUBJECTS[0]);
}

#[test]
fn a_rollout_survives() {
    matrix(&SUBJECTS[1]);
}

/// Killed on one machine, resumed on another.
#[test]
fn a_plan_with_a_shared_journal_survives() {
    matrix(&SUBJECTS[3]);
}

/// Some two hundred lines, each four ways; all of them with `make crash-matrix`.
#[test]
fn the_main_job_survives() {
    matrix(&SUBJECTS[2]);
}
