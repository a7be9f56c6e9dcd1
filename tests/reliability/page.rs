//! docs/reliability.md: its tables are what the cases say.

use crate::case::{Case, Left, Then};
use crate::support::assert_same;
use crate::{aged, journals, rollouts, stages, ways};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reliability.md");

/// Tables by the marks they stand between.
fn tables() -> Vec<(&'static str, String)> {
    all().into_iter().map(|(name, cases)| (name, table(cases))).collect()
}

fn all() -> [(&'static str, &'static [Case]); 6] {
    [
        ("stages", &stages::CASES),
        ("aged", &aged::CASES),
        ("batches", &ways::BATCHES),
        ("rollbacks", &ways::BACK),
        ("rollouts", &rollouts::CASES),
        ("journals", &journals::CASES),
    ]
}

fn table(cases: &[Case]) -> String {
    let mut text = String::from(
        "| fault | what the test does | exit | what of it is there then | what follows | attempts |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for case in cases {
        let exit = if case.exit == 137 { "killed".to_owned() } else { case.exit.to_string() };
        let left = match case.left {
            Left::Nothing => "nothing",
            Left::Whole => "all of it",
            Left::Gone => "the database is gone",
        };
        let then: Vec<String> = case.then.iter().map(|then| step(then, case.left)).collect();
        let then = if then.is_empty() { "nothing: the run went on by itself".to_owned() } else { then.join("; ") };
        text.push_str(&format!("| {} | {} | {exit} | {left} | {then} | {} |\n", case.fault, case.how, case.attempts));
    }
    text
}

/// What is there already is asked about, and found committed.
fn step(then: &Then, left: Left) -> String {
    let first = if then.first.is_empty() { String::new() } else { format!("{}, ", then.first) };
    let how = match (then.word, then.exit, left) {
        ("resume" | "rollback", 0, Left::Whole) => ", found committed and not run again",
        ("resume" | "rollback", 0, _) => ", run again",
        _ => "",
    };
    format!("{first}`engine {}`: {}{how}", then.word, then.exit)
}

/// The page with every table as the cases say it.
fn told(page: &str) -> String {
    tables().into_iter().fold(page.to_owned(), |page, (name, table)| {
        let (open, close) = (format!("<!-- cases: {name} -->\n"), "<!-- end -->");
        let (before, rest) = page.split_once(&open).unwrap_or_else(|| panic!("{FILE} has no place for {name}"));
        let (_, after) = rest.split_once(close).unwrap_or_else(|| panic!("{FILE}: {name} does not end"));
        format!("{before}{open}\n{table}\n{close}{after}")
    })
}

#[test]
fn the_page_says_what_the_cases_say() {
    let page = std::fs::read_to_string(FILE).expect("docs/reliability.md");
    let told = told(&page);
    if std::env::var("INSTA_UPDATE").as_deref() == Ok("always") {
        return std::fs::write(FILE, told).expect("docs/reliability.md");
    }
    assert_same(
        &page,
        &told,
        "docs/reliability.md (+) is not what the cases say (-); INSTA_UPDATE=always writes it anew",
    );
}

#[test]
fn no_two_cases_are_one() {
    for (_, cases) in all() {
        let faults: Vec<&str> = cases.iter().map(|case| case.fault).collect();
        let different: std::collections::BTreeSet<&&str> = faults.iter().collect();
        assert_eq!(different.len(), faults.len(), "{faults:?}");
    }
}
