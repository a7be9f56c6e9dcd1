//! docs/reliability.md: its tables are what the cases say.

use crate::case::{Case, Left, Then};
use crate::support::assert_same;
use crate::{rollouts, stages};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reliability.md");

/// Tables by the marks they stand between.
fn tables() -> [(&'static str, String); 2] {
    [("stages", table(&stages::CASES)), ("rollouts", table(&rollouts::CASES))]
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
        let then: Vec<String> = case.then.iter().map(|then| step(then, case.attempts)).collect();
        let then = if then.is_empty() { "nothing: the run went on by itself".to_owned() } else { then.join("; ") };
        text.push_str(&format!("| {} | {} | {exit} | {left} | {then} | {} |\n", case.fault, case.how, case.attempts));
    }
    text
}

/// One attempt in all and a resume that ends well: it was asked about, and found committed.
fn step(then: &Then, attempts: usize) -> String {
    let first = if then.first.is_empty() { String::new() } else { format!("{}, ", then.first) };
    let how = match (then.word, then.exit, attempts) {
        ("resume", 0, 1) => ", found committed and not run again",
        ("resume", 0, _) => ", run again",
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
    let names: Vec<&str> = stages::CASES.iter().map(|case| case.fault).collect();
    let more: Vec<&str> = rollouts::CASES.iter().map(|case| case.fault).collect();
    for faults in [names, more] {
        let different: std::collections::BTreeSet<&&str> = faults.iter().collect();
        assert_eq!(different.len(), faults.len(), "{faults:?}");
    }
}
