//! A review as a comment on a pull request: a verdict, one table, the diffs of SQL, and what did not change.

use super::text::{layout_words, scope, sides, unchanged, verdict};
use super::{Finding, Review, Risk, no_difference, parted, printable, visible};

/// The whole review. Every value stands in code, so that nothing a plan says can become markup.
pub fn markdown(review: &Review) -> String {
    let (words, risk) = verdict(review);
    let mark = if risk == Risk::Raised { "⚠" } else { "✔" };
    let mut out = format!("### {mark} {words} · {}{}\n", code(&sides(review)), scope(review));
    if !review.findings.is_empty() {
        out.push_str("\n| | stage | what | before | after | where |\n| --- | --- | --- | --- | --- | --- |\n");
        out.extend(review.findings.iter().map(row));
    }
    for finding in review.findings.iter().filter(|finding| !finding.notes.is_empty()) {
        out.push_str(&format!("\n{}:\n\n", code(&finding.address)));
        out.extend(finding.notes.iter().map(|note| format!("- {}\n", prose(note))));
    }
    for (finding, diff) in review.findings.iter().filter_map(|finding| Some((finding, finding.diff.as_ref()?))) {
        let diff = printable(diff, &['\n', '\t']);
        let fence = fence(&diff);
        out.push_str(&format!("\n{}:\n\n{fence}diff\n{}\n{fence}\n", code(&finding.address), diff.trim_end()));
    }
    let same = unchanged(review);
    if !same.is_empty() && !review.findings.is_empty() {
        out.push_str(&format!("\n**Unchanged**: {}.\n", prose(&same)));
    }
    if !review.layout.is_empty() && !review.findings.is_empty() {
        out.push_str(&format!("\n**Text**: {}.\n", layout_words(&review.layout)));
    }
    for remark in &review.remarks {
        out.push_str(&format!("\n**Note**: {}.\n", prose(remark)));
    }
    out
}

/// Longest comment, in bytes: the hosts of pull requests refuse longer ones (GitHub 65 536 characters).
const LONGEST: usize = 60_000;

/// One comment over several plans: those that do not compile, those that changed, and in one line those that did not.
pub fn comment(failed: Vec<String>, reviews: &[Review]) -> String {
    let (same, others) = parted(reviews);
    let mut parts = failed;
    parts.extend(others.iter().map(|review| markdown(review)));
    let last = no_difference(&same, code);
    parts.extend((!last.is_empty()).then_some(last));
    let whole = parts.join("\n");
    if whole.len() <= LONGEST {
        return whole;
    }
    // The riskiest findings come first, so fewer of each say the most.
    let mut most = others.iter().map(|review| review.findings.len()).max().unwrap_or(0);
    while most > 1 {
        most /= 2;
        let some: Vec<String> = others.iter().map(|review| shortened(review, most)).collect();
        let text = some.join("\n");
        if text.len() <= LONGEST {
            return text;
        }
    }
    "### ✘ too much for a comment\n\nThe whole: `engine diff`.\n".to_owned()
}

fn shortened(review: &Review, most: usize) -> String {
    let left = review.findings.len().saturating_sub(most);
    let mut some = review.clone();
    some.findings.truncate(most);
    let (words, _) = verdict(review);
    let note = if left > 0 {
        format!("\n**{left} more findings** of {}: `engine diff`.\n", prose(&words))
    } else {
        String::new()
    };
    markdown(&some) + &note
}

/// What a comment says of a plan that does not compile on one side.
pub fn refused(side: &str, shown: &str, problems: &str) -> String {
    let fence = fence(problems);
    format!(
        "### ✘ the {side} side does not compile · {}\n\n{fence}text\n{}\n{fence}\n",
        code(shown),
        problems.trim_end()
    )
}

fn row(finding: &Finding) -> String {
    let mark = if finding.risk == Risk::Raised { "⚠ " } else { "" };
    let stage = finding.stage.as_deref().map(code).unwrap_or_default();
    let within = finding.stage.as_ref().and_then(|stage| finding.address.strip_prefix(&format!("stage.{stage}.")));
    let what = match within {
        Some(rest) => code(rest),
        None if finding.stage.is_some() => finding.what.to_owned(),
        None => code(&finding.address),
    };
    let value = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), cell);
    let place = finding.new_place.as_deref().or(finding.old_place.as_deref()).map(code).unwrap_or_default();
    format!(
        "| {mark}{} | {stage} | {what} | {} | {} | {place} |\n",
        finding.class.word(),
        value(&finding.old),
        value(&finding.new)
    )
}

/// A value in a cell; a long one is cut, and the text form has the whole.
fn cell(value: &str) -> String {
    const LONGEST: usize = 160;
    if value.chars().count() <= LONGEST {
        return code(value);
    }
    let cut: String = value.chars().take(LONGEST).collect();
    format!("{} and {} more characters", code(&cut), value.chars().count() - LONGEST)
}

/// Code that cannot end early: a bar would end the cell, a run of backticks the code.
fn code(text: &str) -> String {
    let text = printable(&text.replace(['\n', '\r', '\t'], " "), &[]);
    if text.trim().is_empty() {
        return String::new();
    }
    let text = text.replace('|', "\\|");
    match longest_run(&text) {
        0 => format!("`{text}`"),
        run => {
            let ticks = "`".repeat(run + 1);
            format!("{ticks} {text} {ticks}")
        }
    }
}

/// Words of ours: what stands in backticks stays, everything else is text and no markup.
fn prose(text: &str) -> String {
    let mut within = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        within ^= c == '`';
        match c {
            c if let Some(shown) = visible(c) => out.push_str(&shown),
            '\\' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '!' | '|' | '~' | '&' if !within => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// A fence longer than any run of backticks in the text.
fn fence(text: &str) -> String {
    "`".repeat(longest_run(text).max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::{cell, code, fence, prose};

    #[test]
    fn nothing_that_a_plan_says_becomes_markup() {
        assert_eq!(code("a | b"), "`a \\| b`");
        assert_eq!(code("a `b` ``c"), "``` a `b` ``c ```");
        assert_eq!(code("a\nb"), "`a b`");
        assert_eq!(prose("`a_b` is <b>bold</b> [x](y)"), "`a_b` is \\<b\\>bold\\</b\\> \\[x\\](y)");
        assert_eq!(prose("orders >= 0"), "orders \\>= 0");
        assert_eq!(fence("```` is long"), "`````");
        assert!(cell(&"x".repeat(200)).ends_with("` and 40 more characters"));
    }
}
