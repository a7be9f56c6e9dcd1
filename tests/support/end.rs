//! What a run came to, in a form to compare with what another came to: rows, definitions, fold, dossier.

use super::{Bench, files};
use engine::event::{Event, RunState};
use std::collections::{BTreeMap, BTreeSet};

/// What a run came to, in a form to compare.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    /// Every row and definition of the clone and of production.
    clone: String,
    production: String,
    /// Rows of the clone that say which run wrote them, and when: without these words.
    signed: String,
    /// What folding says of each stage.
    stages: Vec<String>,
    /// Names of the dossier's files, and its verdict without what has times in it.
    dossier: Vec<String>,
    criteria: Vec<String>,
    /// What its pages say, each line once with its file, without times and without what the server numbers.
    pages: BTreeSet<String>,
}

/// What the newest run came to; `clone`: its clone is looked at, too.
pub fn end(bench: &Bench, clone: bool) -> End {
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
    let end = End {
        clone: if clone { same(bench.all_of(bench.clone_name())) } else { String::new() },
        signed: if clone { signed(bench) } else { String::new() },
        production: same(bench.all_of(bench.production())),
        stages: state.stages.iter().map(stage).collect(),
        pages: dossier.iter().flat_map(|file| page(bench, file)).collect(),
        dossier,
        criteria,
    };
    unsigned(end)
}

/// Tables of the main job whose rows say which run wrote them, and when.
const SIGNED: [&str; 5] =
    ["gov_events_opened", "gov_issues", "gov_ownership_anchors", "gov_scan_runs", "gov_worker_cursors"];

/// Their rows on the clone, with other words for the run and for times.
fn signed(bench: &Bench) -> String {
    let there = SIGNED.map(|table| format!("to_regclass('public.{table}') IS NOT NULL")).join(" AND ");
    if bench.psql(bench.clone_name(), &format!("SELECT {there}")) != "t" {
        return String::new();
    }
    let time = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:[0-9.]+(\+00(:00)?)?";
    let run = bench.run_id();
    let rows = SIGNED.map(|table| {
        format!(
            "SELECT '{table} ' || regexp_replace(replace(to_jsonb(t)::text, '{run}', 'RUN'), '{time}', 'TIME', 'g') AS line
             FROM public.{table} AS t"
        )
    });
    let rows = format!("SELECT line FROM ({}) AS r ORDER BY line", rows.join(" UNION ALL "));
    let text = bench.psql(bench.clone_name(), &rows);
    assert!(SIGNED.iter().all(|table| text.contains(table)) && text.contains("RUN"), "{text}");
    text
}

fn unsigned(mut end: End) -> End {
    let signed = |line: &str| SIGNED.iter().any(|table| line.starts_with(&format!("{table}|")));
    let lines = end
        .clone
        .lines()
        .map(|line| if signed(line) { line.rsplit_once('|').map_or(line, |(to, _)| to) } else { line });
    end.clone = lines.collect::<Vec<_>>().join("\n");
    end
}

/// The lines of a page of the dossier that say the same of every run of the plan.
fn page(bench: &Bench, file: &str) -> Vec<String> {
    let run = bench.run_id();
    let text = bench.read(&bench.of_run(&format!("dossier/{file}")));
    let text = text.replace(bench.clone_name(), "CLONE").replace(bench.production(), "PRODUCTION").replace(&run, "RUN");
    // Statements outside of a transaction stand before the journal has them.
    let title = text.lines().next().unwrap_or_default();
    let alone = title.contains("outside of a transaction") || title.contains("done by an earlier attempt");
    let by_itself = |line: &str| line.starts_with("| ") || line.starts_with("## Statements");
    let lines =
        text.lines().filter(|line| !(BY_LUCK.iter().any(|luck| line.contains(luck)) || alone && by_itself(line)));
    lines.map(|line| format!("{file}: {}", alike(line))).collect()
}

/// Whether a watermark proves a table, or its content must be read, hangs on what other tests have open on the server just
/// then; that production is unchanged is a criterion, and those are compared.
const BY_LUCK: [&str; 4] = [
    "watermark",
    "content was read",
    "## Production: unchanged (by content)",
    "fingerprints before and after are equal",
];

/// What a line says of an attempt only if the process that made it lived to see its end; and what is said of one that did not.
const OF_THE_LIVING: [&str; 8] = [
    "refused, permitted · ",
    " It was open for LONG.",
    ", held for LONG",
    ", from LONG on until its end",
    "statements outside of a transaction · ",
    "done by an earlier attempt, says `done_when` · ",
    "committed before · ",
    " · committed before",
];

/// A line with a word in place of each time, digest and number of the server's.
fn alike(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let numbered = words.last().is_some_and(|before| NUMBERED.iter().any(|of| before.ends_with(of)));
        let to = if numbered && core.parse::<u64>().is_ok() {
            "N"
        } else if core.len() > 18 && core.starts_with("20") && core.ends_with('Z') {
            "TIME"
        } else if core.strip_suffix('s').is_some_and(|number| number.parse::<f64>().is_ok()) {
            "LONG"
        } else if core.contains("packets/packet-") {
            "PACKET"
        } else if core.len() >= 12 && core.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            "DIGEST"
        } else {
            core
        };
        if ["ms", "statements", "transactions", "connections", "refused", "permitted"].contains(&core) {
            // How long, and how often: whoever took it up asked again.
            words.pop();
        }
        words.push(if core.is_empty() { word.to_owned() } else { word.replacen(core, to, 1) });
    }
    OF_THE_LIVING.iter().fold(words.join(" "), |line, said| line.replace(said, ""))
}

/// What the server's own numbers stand behind.
const NUMBERED: [&str; 4] = ["transaction", "oid", "backend", "meanwhile:"];

impl End {
    /// What is not as in `whole`, the end of a run that nobody stopped; or committed twice, left behind, not verified.
    pub fn wrong(&self, bench: &Bench, whole: &End) -> Vec<String> {
        let mut wrong = Vec::new();
        for (what, is, was) in [
            ("clone", &self.clone, &whole.clone),
            ("production", &self.production, &whole.production),
            ("what is signed", &self.signed, &whole.signed),
        ] {
            if is != was {
                wrong.push(format!("{what} differs:\n{}", difference(was, is)));
            }
        }
        for (what, is, was) in [
            ("stages", &self.stages, &whole.stages),
            ("dossier", &self.dossier, &whole.dossier),
            ("criteria", &self.criteria, &whole.criteria),
        ] {
            if is != was {
                wrong.push(format!("{what} differ:\n{}", difference(&was.join("\n"), &is.join("\n"))));
            }
        }
        // Who was killed has more to tell: attempts, and who took it up.
        let untold: Vec<&str> = whole.pages.difference(&self.pages).map(String::as_str).collect();
        if !untold.is_empty() {
            wrong.push(format!("not told in the dossier:\n{}", untold.join("\n")));
        }
        let mut commits: BTreeMap<String, usize> = BTreeMap::new();
        for event in bench.journal().events {
            match event {
                Event::StageCommitted { stage, .. } => *commits.entry(stage).or_default() += 1,
                Event::BatchCommitted { stage, batch, .. } => {
                    *commits.entry(format!("batch {batch} of {stage}")).or_default() += 1;
                }
                _ => {}
            }
        }
        let twice = commits.into_iter().filter(|(_, times)| *times != 1);
        wrong.extend(twice.map(|(stage, n)| format!("{stage}: committed {n} times")));
        let run = bench.run_id();
        let left = format!(
            "SELECT coalesce(string_agg(datname, ','), '') FROM pg_database WHERE datname LIKE 'engine\\_{run}%'"
        );
        let left = bench.psql("postgres", &left);
        if !left.is_empty() {
            wrong.push(format!("left behind: {left}"));
        }
        let verified = bench.engine(&["verify", &run]);
        if verified.code != 0 {
            wrong.push(format!("verify: {}", verified.all()));
        }
        wrong
    }
}

fn difference(was: &str, is: &str) -> String {
    let gone = was.lines().filter(|line| !is.lines().any(|other| other == *line)).map(|line| format!("- {line}"));
    let new = is.lines().filter(|line| !was.lines().any(|other| other == *line)).map(|line| format!("+ {line}"));
    gone.chain(new).take(20).collect::<Vec<_>>().join("\n")
}
