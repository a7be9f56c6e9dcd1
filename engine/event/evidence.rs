//! What a proof saw, as data, and what follows from it: the proof and `engine verify` ask the same functions.
//!
//! Start at [`Observation`]; [`verdict`] is the only place where a proof is passed or failed.

use super::{Event, RejectResult, SequenceMove, TableWrite};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The rows of a table, as one session read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Rows.
    pub rows: u64,
    /// Sum of their hashes, 64 hex digits.
    pub sum: Option<String>,
}

/// One repetition of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repetition {
    /// `second run`, `rollback`, `forward again`, and `first run` for the stage itself.
    pub what: String,
    /// SHA-256 of the SQL that was sent.
    pub sha256: String,
    /// `engine.as_of` as it was told; empty for the first run.
    pub as_of: String,
    /// Settings that were another than in the first run, and tables whose rows were moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under: Vec<String>,
    /// Row changes by table.
    pub wrote: Vec<TableWrite>,
    /// Tables that were truncated or rewritten, that appeared or vanished: name and which.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Row changes in the system catalogs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub catalogs: BTreeMap<String, u64>,
    /// Definitions that are others afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub definitions: Vec<String>,
}

impl Repetition {
    /// Tables it touched, in any way.
    pub fn touched(&self) -> BTreeSet<&str> {
        let wrote = self.wrote.iter().filter(|w| w.total() > 0).map(|w| w.table.as_str());
        wrote.chain(self.files.keys().map(String::as_str)).collect()
    }

    /// Row changes of all tables.
    pub fn rows(&self) -> u64 {
        self.wrote.iter().map(TableWrite::total).sum()
    }

    fn is_nothing(&self) -> bool {
        self.touched().is_empty() && self.catalogs.is_empty() && self.definitions.is_empty()
    }

    fn counts(&self) -> BTreeMap<&str, (u64, u64, u64)> {
        let rows = self.wrote.iter().filter(|w| w.total() > 0);
        rows.map(|w| (w.table.as_str(), (w.inserted, w.updated, w.deleted))).collect()
    }
}

/// One thing a proof saw. Enough for a sceptic to see it again: with which SQL, when, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "saw", rename_all = "snake_case")]
pub enum Observation {
    /// SQL was sent again, and this is what it did.
    Ran(Repetition),
    /// It did not come to its end.
    Broke {
        /// Which repetition.
        what: String,
        /// SQLSTATE, or nothing.
        #[serde(default)]
        code: String,
        /// The error, and what is known of it.
        why: Vec<String>,
    },
    /// The rows of a table at two moments.
    Compared {
        /// `schema.table`.
        table: String,
        /// The partitioned table it is a leaf of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        root: Option<String>,
        /// `after the rollback`.
        when: String,
        /// What was expected, `None` when it was not there.
        wanted: Option<Rows>,
        /// What was found.
        found: Option<Rows>,
    },
    /// Rows of a big table that a run changed, as they were and as they became; the table itself was not read.
    Followed {
        /// `schema.table`.
        table: String,
        /// `after the second run`, or by which run.
        when: String,
        /// As they were.
        removed: Rows,
        /// As they became.
        added: Rows,
    },
    /// A definition that is not what it was.
    Defined {
        /// Identity of the object.
        object: String,
        /// `after the rollback`.
        when: String,
        /// What changed, shortened.
        detail: String,
        /// Only the order of columns and the like.
        physical: bool,
    },
    /// A column that the plan leaves out of every comparison.
    Ignored {
        /// `schema.table.column`.
        column: String,
    },
    /// A sequence that the repetition moved; it was put back.
    Moved(SequenceMove),
    /// Something the proof would have looked at, and why it did not: nothing rests on it.
    NotSeen {
        /// What, and why.
        why: Vec<String>,
    },
    /// A probe's reading.
    Read {
        /// Probe.
        probe: String,
        /// `before the stage`.
        when: String,
        /// Text of the value; `None` is NULL or unknown.
        value: Option<String>,
    },
}

/// What follows from observations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It holds.
    pub passed: bool,
    /// `strict`, `convergent`, `content`, `logical`, `readings`, or `failed`.
    pub grade: &'static str,
}

const FAILED: Verdict = Verdict { passed: false, grade: "failed" };

/// What these observations come to, for a proof that is decided by them; `None` for another.
pub fn verdict(proof: &str, seen: &[Observation]) -> Option<Verdict> {
    let verdict = match proof {
        "idempotent" => idempotent(seen),
        "reversible" => reversible(seen),
        "monotonic" => monotonic(seen),
        _ => return None,
    };
    Some(if seen.iter().any(|o| matches!(o, Observation::Broke { .. })) { FAILED } else { verdict })
}

/// What an event says that does not follow from what it holds; `None` when it does, or when it decides nothing.
pub fn contradiction(event: &Event) -> Option<String> {
    match event {
        Event::Proved { stage, proof, passed, grade, observations, evidence, .. } => {
            // `monotonic, of e_worker` is the rehearsal's.
            let said = verdict(proof.split(',').next().unwrap_or(proof), evidence)?;
            let words: Vec<String> = evidence.iter().flat_map(Observation::words).collect();
            let what = format!("proof {proof} of `{stage}`");
            if (said.passed, said.grade) != (*passed, grade.as_str()) {
                return Some(format!(
                    "{what} says {}, its observations say {}",
                    shown(*passed, grade),
                    shown(said.passed, said.grade)
                ));
            }
            (words != *observations).then(|| format!("{what}: its words are not those of its observations"))
        }
        Event::Rejects { stage, results } => {
            let wrong = results.iter().find(|case| case_held(case) != case.held)?;
            let word = if wrong.held { "held" } else { "not held" };
            Some(format!(
                "reject {}.{} of `{stage}` says {word}, what was seen says otherwise",
                wrong.reject, wrong.case
            ))
        }
        Event::Compared { stage, label, equal, differences, .. } => (*equal != differences.is_empty())
            .then(|| format!("`{stage}`: {label}: equal is {equal}, with {} differences", differences.len())),
        _ => None,
    }
}

fn shown(passed: bool, grade: &str) -> String {
    format!("{} ({grade})", if passed { "PASS" } else { "FAIL" })
}

fn run<'o>(seen: &'o [Observation], wanted: &str) -> Option<&'o Repetition> {
    seen.iter().find_map(|o| match o {
        Observation::Ran(run) if run.what == wanted => Some(run),
        _ => None,
    })
}

/// Every touched table was compared at that moment, and is equal.
fn all_equal(seen: &[Observation], touched: &BTreeSet<&str>, moment: &str) -> bool {
    let compared: Vec<_> = seen
        .iter()
        .filter_map(|o| match o {
            Observation::Compared { table, root, when, wanted, found } if when == moment => {
                Some((table.as_str(), root.as_deref(), wanted == found))
            }
            Observation::Followed { table, when, removed, added } if when == moment => {
                Some((table.as_str(), None, removed == added))
            }
            _ => None,
        })
        .collect();
    let looked_at = |name: &&str| compared.iter().any(|(table, root, _)| table == name || *root == Some(name));
    touched.iter().all(looked_at) && compared.iter().all(|(_, _, equal)| *equal)
}

fn idempotent(seen: &[Observation]) -> Verdict {
    let (Some(first), Some(second)) = (run(seen, FIRST), run(seen, SECOND)) else { return FAILED };
    // A run that did nothing shows nothing by doing nothing again.
    if first.is_nothing() {
        return FAILED;
    }
    if second.is_nothing() {
        return Verdict { passed: true, grade: "strict" };
    }
    if second.definitions.is_empty() && all_equal(seen, &second.touched(), AFTER_SECOND) {
        return Verdict { passed: true, grade: "convergent" };
    }
    FAILED
}

fn reversible(seen: &[Observation]) -> Verdict {
    let (Some(first), Some(back), Some(again)) = (run(seen, FIRST), run(seen, BACK), run(seen, AGAIN)) else {
        return FAILED;
    };
    // Nothing compared with nothing is no proof, nor is another forward run than the first.
    // A TRUNCATE forgets the counters of its table, so those say nothing.
    let rewritten = |table: &str| [first, again].iter().any(|run| run.files.contains_key(table));
    let counts = |run: &'_ Repetition| -> BTreeMap<String, (u64, u64, u64)> {
        let counted = run.counts().into_iter().filter(|(table, _)| !rewritten(table));
        counted.map(|(table, rows)| (table.to_owned(), rows)).collect()
    };
    let nothing = again.is_nothing() && !moved_between(seen);
    if nothing || counts(first) != counts(again) {
        return FAILED;
    }
    let all: BTreeSet<&str> = [first, back, again].iter().flat_map(|run| run.touched()).collect();
    // A table that only exists in between has no content before; its definition is compared.
    let standing =
        |run: &Repetition, name: &str| !run.files.get(name).is_some_and(|what| what == "appeared" || what == "dropped");
    let touched: BTreeSet<&str> =
        all.into_iter().filter(|name| [first, back, again].iter().all(|run| standing(run, name))).collect();
    let definitions: Vec<bool> = seen
        .iter()
        .filter_map(|o| match o {
            Observation::Defined { physical, .. } => Some(*physical),
            _ => None,
        })
        .collect();
    let equal = all_equal(seen, &touched, AFTER_BACK) && all_equal(seen, &touched, AFTER_AGAIN);
    match (equal && definitions.iter().all(|physical| *physical), definitions.is_empty()) {
        (false, _) => FAILED,
        (true, true) => Verdict { passed: true, grade: "content" },
        (true, false) => Verdict { passed: true, grade: "logical" },
    }
}

/// Some table held other content after the second forward run than after the rollback.
fn moved_between(seen: &[Observation]) -> bool {
    let found = |moment: &str| -> BTreeMap<&str, &Option<Rows>> {
        let at = seen.iter().filter_map(|o| match o {
            Observation::Compared { table, when, found, .. } if when == moment => Some((table.as_str(), found)),
            _ => None,
        });
        at.collect()
    };
    found(AFTER_BACK) != found(AFTER_AGAIN)
}

fn monotonic(seen: &[Observation]) -> Verdict {
    let mut by_probe: BTreeMap<&str, Vec<Option<&str>>> = BTreeMap::new();
    for observation in seen {
        if let Observation::Read { probe, value, .. } = observation {
            by_probe.entry(probe).or_default().push(value.as_deref());
        }
    }
    let rises = |readings: &Vec<Option<&str>>| {
        readings.len() > 1 && readings.windows(2).all(|w| matches!((w[0], w[1]), (Some(a), Some(b)) if not_less(a, b)))
    };
    let passed = !by_probe.is_empty() && by_probe.values().all(rises);
    if passed { Verdict { passed, grade: "readings" } } else { FAILED }
}

/// Both are numbers and `b` is not less than `a`; whole numbers are compared exactly.
fn not_less(a: &str, b: &str) -> bool {
    match (a.parse::<i128>(), b.parse::<i128>()) {
        (Ok(a), Ok(b)) => b >= a,
        _ => matches!((decimal(a), decimal(b)), (Some(a), Some(b)) if b >= a),
    }
}

/// A decimal number as something that compares exactly: units, and the fraction to 38 digits, both with its sign.
fn decimal(text: &str) -> Option<(i128, i128)> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (units, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if units.is_empty() || fraction.len() > 38 || !all_digits(units) || !all_digits(fraction) {
        return None;
    }
    let fraction: i128 = format!("{fraction:0<38}").parse().ok()?;
    Some((sign * units.parse::<i128>().ok()?, sign * fraction))
}

/// Does this SQLSTATE mean a typo, a missing right, a time-out, a lock, a connection, a lack of resources or our own
/// read-only refusal? Such a thing is never a refusal.
pub fn is_accident(code: &str) -> bool {
    const CLASSES: [&str; 12] = ["08", "0A", "25", "3D", "3F", "40", "42", "53", "54", "57", "58", "XX"];
    code == "55P03" || CLASSES.iter().any(|class| code.starts_with(class))
}

/// Did a case of a reject come out as it had to?
pub fn case_held(case: &RejectResult) -> bool {
    match (&case.wanted, &case.refused) {
        (None, None) => case.rows > 0,
        (None, Some(_)) | (Some(_), None) => false,
        (Some(wanted), Some(refused)) => {
            let constraint = wanted.constraint.as_ref();
            let named =
                constraint.is_none() || constraint == refused.constraint.as_ref() || constraint == case.root.as_ref();
            refused.error == wanted.error && named && !is_accident(&refused.error)
        }
    }
}

/// The stage itself.
pub const FIRST: &str = "first run";
/// The repetition of `idempotent`.
pub const SECOND: &str = "second run";
/// The rollback.
pub const BACK: &str = "rollback";
/// The forward run after the rollback.
pub const AGAIN: &str = "forward again";
/// When content is compared.
pub const AFTER_SECOND: &str = "after the second run";
/// When content is compared.
pub const AFTER_BACK: &str = "after the rollback";
/// When content is compared.
pub const AFTER_AGAIN: &str = "after the second forward run";

impl Observation {
    /// For people, one line each.
    pub fn words(&self) -> Vec<String> {
        match self {
            Observation::Ran(run) => ran(run),
            Observation::Broke { what, why, .. } => {
                let mut lines = why.clone();
                if let Some(first) = lines.first_mut() {
                    *first = format!("the {what} failed: {first}");
                }
                lines
            }
            Observation::Compared { table, when, wanted, found, .. } => vec![match (wanted, found) {
                (Some(a), Some(b)) if a == b => format!("content of {table} is equal {when}: {} rows", a.rows),
                (Some(a), Some(b)) if a.rows != b.rows => {
                    format!("content of {table} differs {when}: rows {} -> {}", a.rows, b.rows)
                }
                (Some(a), Some(_)) => format!("content of {table} differs {when}: {} rows, another sum", a.rows),
                (Some(_), None) => format!("content of {table} differs {when}: it is gone"),
                (None, Some(b)) => format!("content of {table} differs {when}: it is new, {} rows", b.rows),
                (None, None) => format!("{table} is not there {when}"),
            }],
            Observation::Followed { table, when, removed, added } => {
                let same = if removed == added { "the same content" } else { "other content" };
                let (n, m) = (removed.rows, added.rows);
                vec![format!("{table}, followed row by row {when}: {n} rows taken away, {m} added, {same}")]
            }
            Observation::Defined { object, when, detail, physical } => {
                let only = if *physical { " (physical order only, logically equal)" } else { "" };
                vec![format!("{object} differs {when}: {detail}{only}")]
            }
            Observation::Ignored { column } => vec![format!("not compared: {column}")],
            Observation::Moved(moved) => vec![format!(
                "sequence {} was moved from {} to {}, and put back",
                moved.sequence, moved.before.0, moved.after.0
            )],
            Observation::NotSeen { why } => why.clone(),
            Observation::Read { probe, when, value } => {
                vec![format!("{probe} {} {when}", value.as_deref().unwrap_or("not a number"))]
            }
        }
    }
}

fn ran(run: &Repetition) -> Vec<String> {
    let mut lines = Vec::new();
    if run.is_nothing() {
        let at = if run.as_of.is_empty() { String::new() } else { format!(" at {}", run.as_of) };
        lines.push(format!("{}{at} touched no row and no definition", run.what));
    }
    let rows = run.wrote.iter().filter(|w| w.total() > 0);
    lines.extend(rows.map(|w| {
        format!(
            "{} touched {}: {} inserted, {} updated, {} deleted",
            run.what, w.table, w.inserted, w.updated, w.deleted
        )
    }));
    lines.extend(run.files.iter().map(|(table, what)| format!("{}: {table} {what}", run.what)));
    if !run.definitions.is_empty() {
        lines.push(format!("{} changed definitions: {}", run.what, run.definitions.join(", ")));
    }
    lines.extend(run.under.iter().map(|what| format!("{} with {what}", run.what)));
    lines
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
