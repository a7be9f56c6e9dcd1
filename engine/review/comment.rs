//! One comment over several plans, as long as a host takes it. What is too long is cut in steps, the least important first:
//! diffs of SQL, then what raises no risk, then values. Headings count what there is, not what is left.

use super::markdown::{Cut, Part, code, fence, heading, within};
use super::text::count;
use super::{Review, Risk, no_difference, parted, printable};

/// Longest comment, in bytes: the hosts of pull requests refuse longer ones (GitHub 65 536 characters).
const LONGEST: usize = 60_000;

/// A plan that does not compile on one side.
#[derive(Clone, Debug)]
pub struct Refused {
    heading: String,
    problems: String,
}

/// What a comment says of a plan that does not compile on one side.
pub fn refused(side: &str, shown: &str, problems: &str) -> Refused {
    let heading = format!("### ✘ the {side} side does not compile · {}\n", code(shown));
    Refused { heading, problems: printable(problems, &['\n', '\t']) }
}

/// How much a comment shows, step by step: how many bytes of problems, and what of a review.
fn steps() -> impl Iterator<Item = (usize, Cut)> {
    let sql = |reworded, lines| Cut { reworded, lines, ..Cut::NOTHING };
    let fewer = |calm, notes| Cut { calm, notes, ..sql(false, 0) };
    let shorter = Cut { value: 60, remarks: 5, ..fewer(0, Part::None) };
    let first = [
        (usize::MAX, Cut::NOTHING),
        (usize::MAX, sql(false, usize::MAX)),
        (8_000, sql(false, 30)),
        (4_000, sql(false, 8)),
        (2_000, sql(false, 0)),
        (1_000, fewer(200, Part::All)),
        (1_000, fewer(50, Part::OfRisks)),
        (1_000, fewer(0, Part::OfRisks)),
        (400, shorter),
    ];
    let rows = [256, 128, 64, 32, 16, 8, 4, 2, 1];
    first.into_iter().chain(rows.map(|rows| (0, Cut { rows, remarks: 1, ..shorter })))
}

/// One comment over several plans: those that do not compile, those that changed, and in one line those that did not.
pub fn comment(failed: &[Refused], reviews: &[Review]) -> String {
    let (same, others) = parted(reviews);
    let last = |most: usize| {
        let line = no_difference(&same[..same.len().min(most)], code);
        let more = same.len().saturating_sub(most);
        if more == 0 { line } else { format!("{}, and {more} more\n", line.trim_end()) }
    };
    for (bytes, cut) in steps() {
        let mut parts: Vec<String> = failed.iter().map(|one| one.drawn(bytes)).collect();
        parts.extend(others.iter().map(|review| within(review, &cut)));
        let last = last(if bytes > 0 { usize::MAX } else { 100 });
        parts.extend((!last.is_empty()).then_some(last));
        let text = parts.join("\n");
        if text.len() <= LONGEST {
            return text;
        }
    }
    headings(failed, others, &last(20))
}

impl Refused {
    fn drawn(&self, most: usize) -> String {
        if most == 0 {
            return format!("{}\nThe problems: `engine diff`.\n", self.heading);
        }
        let end = (0..=most.min(self.problems.len())).rev().find(|at| self.problems.is_char_boundary(*at)).unwrap_or(0);
        let problems = self.problems[..end].trim_end();
        let cut = if end < self.problems.len() { "\nThe rest: `engine diff`.\n" } else { "" };
        let fence = fence(problems);
        format!("{}\n{fence}text\n{problems}\n{fence}\n{cut}", self.heading)
    }
}

/// So many plans that not even a row of each has room: their headings with the riskiest finding, the riskiest plan first, and how
/// many are left.
fn headings(failed: &[Refused], mut others: Vec<&Review>, last: &str) -> String {
    others.sort_by_key(|review| review.findings.first().map_or(Risk::None, |finding| finding.risk));
    let raised = |review: &&Review| review.of(Risk::Raised) > 0;
    let lines: Vec<(String, bool)> = (failed.iter().map(|one| (one.heading.clone(), false)))
        .chain(others.iter().map(|review| (heading(review) + &riskiest(review), raised(review))))
        .collect();
    let mut text = String::new();
    // Room for the lines that close it.
    let most = LONGEST - last.len().min(LONGEST / 2) - 500;
    let fits = |text: &String, line: &String| text.len() + line.len() < most;
    let mut shown = 0;
    for (line, _) in &lines {
        if !fits(&text, line) {
            break;
        }
        text.push_str(line);
        text.push('\n');
        shown += 1;
    }
    let (left, risky) = (&lines[shown..], lines[shown..].iter().filter(|(_, raised)| *raised).count());
    if !left.is_empty() {
        let plans = count(left.len(), "more plan");
        text.push_str(&format!("**{plans}**, the risk raised in {risky}: `engine diff`.\n\n"));
    }
    text + last
}

/// The first finding in a few words.
fn riskiest(review: &Review) -> String {
    let first = review.findings.first();
    first.map(|first| format!("{} {}\n", first.class.word(), code(&first.address))).unwrap_or_default()
}

#[cfg(test)]
#[path = "comment_tests.rs"]
mod tests;
