//! A review as JSON; `docs/diff.schema.json` says what stands in it.

use super::Review;
use crate::event::Exit;
use serde::Serialize;

/// All plans that were compared.
#[derive(Serialize)]
struct Document<'r> {
    v: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    exit: u8,
    plans: Vec<Plan<'r>>,
    /// What is wrong with a plan that does not compile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Problem {
    side: &'static str,
    problem: serde_json::Value,
}

#[derive(Serialize)]
struct Plan<'r> {
    verdict: &'static str,
    #[serde(flatten)]
    review: &'r Review,
}

/// One document over all reviews and problems (a side and a diagnostic as JSON), with the exit code of the command.
pub fn json(reviews: &[Review], problems: impl Iterator<Item = (&'static str, String)>, exit: Exit) -> String {
    let plans = reviews.iter().map(|review| Plan { verdict: verdict(review), review }).collect();
    let problem = |(side, line): (&'static str, String)| {
        let problem = serde_json::from_str(&line).unwrap_or(serde_json::Value::String(line));
        Problem { side, problem }
    };
    let document = Document { v: 1, kind: "diff", exit: exit.code(), plans, problems: problems.map(problem).collect() };
    serde_json::to_string_pretty(&document).expect("invariant: a review is strings and numbers")
}

fn verdict(review: &Review) -> &'static str {
    match review.exit() {
        Exit::RiskRaised => "risk-raised",
        Exit::Differs => "differs",
        _ if review.layout.is_empty() => "no-difference",
        _ => "formatting-only",
    }
}
