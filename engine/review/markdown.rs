//! A review as a comment on a pull request: a verdict, one table, the diffs of SQL, and what did not change.

use super::text::{count, layout_words, scope, sides, unchanged, verdict};
use super::{Class, Finding, Review, Risk, printable};

/// How much of a review is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// The diffs of SQL that says the same in other words.
    pub reworded: bool,
    /// Lines of each diff of SQL.
    pub lines: usize,
    /// Findings that raise no risk.
    pub calm: usize,
    /// Findings, riskiest first.
    pub rows: usize,
    /// What follows from findings.
    pub notes: Part,
    /// Characters of a value.
    pub value: usize,
    /// What stands beside the findings.
    pub remarks: usize,
}

/// Of which findings something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    All,
    OfRisks,
    None,
}

impl Cut {
    /// All of it. A long value is cut all the same, and the text form has the whole.
    pub(super) const NOTHING: Cut = Cut {
        reworded: true,
        lines: usize::MAX,
        calm: usize::MAX,
        rows: usize::MAX,
        notes: Part::All,
        value: 160,
        remarks: usize::MAX,
    };
}

/// The whole review. Every value stands in code, so that nothing a plan says can become markup.
pub fn markdown(review: &Review) -> String {
    within(review, &Cut::NOTHING)
}

/// The verdict, counted over the whole review, and what it is about.
pub(super) fn heading(review: &Review) -> String {
    let review = &review.seen();
    let (words, risk) = verdict(review);
    let mark = if risk == Risk::Raised { "⚠" } else { "✔" };
    format!("### {mark} {words} · {}{}\n", code(&sides(review)), scope(review))
}

/// As much of a review as the cut leaves; what is left out is counted.
pub(super) fn within(review: &Review, cut: &Cut) -> String {
    let review = &review.seen();
    let mut out = heading(review);
    // Riskiest first, so the calm ones are the last.
    let most = review.of(Risk::Raised).saturating_add(cut.calm);
    let mut shown: Vec<&Finding> = review.findings.iter().take(most.min(cut.rows)).collect();
    // Never a verdict without what it is about.
    shown.extend(review.findings.first().filter(|_| shown.is_empty()));
    if !shown.is_empty() {
        out.push_str("\n| | stage | what | before | after | where |\n| --- | --- | --- | --- | --- | --- |\n");
        out.extend(shown.iter().map(|finding| row(finding, cut.value)));
    }
    if shown.len() < review.findings.len() {
        let left = &review.findings[shown.len()..];
        let raised = left.iter().filter(|finding| finding.risk == Risk::Raised).count();
        let risk = if raised > 0 { format!("the risk raised by {raised}") } else { "no risk raised".to_owned() };
        out.push_str(&format!("\n**{}**, {risk}: `engine diff`.\n", count(left.len(), "more finding")));
    }
    let told = |finding: &&&Finding| {
        let wanted = match cut.notes {
            Part::All => true,
            Part::OfRisks => finding.risk == Risk::Raised,
            Part::None => false,
        };
        wanted && !finding.notes.is_empty()
    };
    for finding in shown.iter().filter(told) {
        out.push_str(&format!("\n{}:\n\n", code(&finding.address)));
        out.extend(finding.notes.iter().map(|note| format!("- {}\n", prose(note))));
    }
    out.push_str(&diffs(&shown, cut));
    let (same, brief) = (unchanged(review), cut.notes == Part::None || review.findings.is_empty());
    if !same.is_empty() && !brief {
        out.push_str(&format!("\n**Unchanged**: {}.\n", prose(&same)));
    }
    if !review.layout.is_empty() && !brief {
        out.push_str(&format!("\n**Text**: {}.\n", layout_words(&review.layout)));
    }
    for remark in review.remarks.iter().take(cut.remarks) {
        out.push_str(&format!("\n**Note**: {}.\n", prose(remark)));
    }
    let left = review.remarks.len().saturating_sub(cut.remarks);
    if left > 0 {
        out.push_str(&format!("\n**{}**: `engine diff`.\n", count(left, "more note")));
    }
    out
}

/// The diffs of SQL, and how much of them is not shown.
fn diffs(findings: &[&Finding], cut: &Cut) -> String {
    let (mut out, mut whole, mut hidden) = (String::new(), 0, 0);
    for (finding, diff) in findings.iter().filter_map(|finding| Some((finding, finding.diff.as_ref()?))) {
        let most = if finding.class == Class::Reworded && !cut.reworded { 0 } else { cut.lines };
        let (diff, left) = some_lines(diff, most);
        hidden += left;
        if most == 0 {
            whole += 1;
            continue;
        }
        let fence = fence(&diff);
        out.push_str(&format!("\n{}:\n\n{fence}diff\n{}\n{fence}\n", code(&finding.address), diff.trim_end()));
        if left > 0 {
            out.push_str(&format!("\n{}: `engine diff`.\n", count(left, "more line")));
        }
    }
    if whole > 0 {
        out.push_str(&format!(
            "\n**{} of SQL** left out, {}: `engine diff`.\n",
            count(whole, "diff"),
            count(hidden, "line")
        ));
    }
    out
}

/// At most so many lines of a diff, none of them endless, and how many are left. Lines that hold nothing but a comment go first:
/// a statement must not drown in them.
fn some_lines(diff: &str, most: usize) -> (String, usize) {
    const WIDE: usize = 200;
    let all = diff.lines().count();
    if most == usize::MAX {
        return (diff.to_owned(), 0);
    }
    let says = |line: &&str| {
        let text = line.get(1..).unwrap_or_default().trim();
        !text.is_empty() && !text.starts_with("--")
    };
    let kept: Vec<&str> =
        if all > most { diff.lines().filter(says).take(most).collect() } else { diff.lines().collect() };
    let short = |line: &str| match line.char_indices().nth(WIDE) {
        Some((at, _)) => format!("{} ...\n", &line[..at]),
        None => format!("{line}\n"),
    };
    (kept.iter().map(|line| short(line)).collect(), all - kept.len())
}

fn row(finding: &Finding, most: usize) -> String {
    let mark = if finding.risk == Risk::Raised { "⚠ " } else { "" };
    let stage = finding.stage.as_deref().map(code).unwrap_or_default();
    let within = finding.stage.as_ref().and_then(|stage| finding.address.strip_prefix(&format!("stage.{stage}.")));
    let what = match within {
        Some(rest) => code(rest),
        None if finding.stage.is_some() => finding.what.to_owned(),
        None => code(&finding.address),
    };
    let (old, new) = (finding.old.as_deref(), finding.new.as_deref());
    let value =
        |value: Option<&str>, other: Option<&str>| value.map_or_else(|| "-".to_owned(), |v| cell(v, other, most));
    let place = finding.new_place.as_deref().or(finding.old_place.as_deref()).map(code).unwrap_or_default();
    format!(
        "| {mark}{} | {stage} | {what} | {} | {} | {place} |\n",
        finding.class.word(),
        value(old, new),
        value(new, old)
    )
}

/// A value in a cell. Of a long one what stands around its first difference from the other; the text form has the whole.
fn cell(value: &str, other: Option<&str>, most: usize) -> String {
    let length = value.chars().count();
    if length <= most {
        return code(value);
    }
    let same = other.map_or(0, |other| value.chars().zip(other.chars()).take_while(|(a, b)| a == b).count());
    // A quarter of it is what both say.
    let from = if same < most * 3 / 4 { 0 } else { (same - most / 4).min(length - most) };
    let cut = code(&value.chars().skip(from).take(most).collect::<String>());
    let (before, after) = (from, length - from - most);
    match (before, after) {
        (0, after) => format!("{cut} and {after} more characters"),
        (before, 0) => format!("{before} characters, then {cut}"),
        (before, after) => format!("{before} characters, then {cut} and {after} more"),
    }
}

/// Code that cannot end early: a bar would end the cell, a run of backticks the code.
pub(super) fn code(text: &str) -> String {
    let text = printable(text, &[]);
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
pub(super) fn fence(text: &str) -> String {
    "`".repeat(longest_run(text).max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::{cell, code, fence, prose, some_lines};

    #[test]
    fn nothing_that_a_plan_says_becomes_markup() {
        assert_eq!(code("a | b"), "`a \\| b`");
        assert_eq!(code("a `b` ``c"), "``` a `b` ``c ```");
        assert_eq!(code("a\nb\u{ad}"), "`a<U+000A>b<U+00AD>`");
        assert_eq!(prose("`a_b` is <b>bold</b> [x](y)"), "`a_b` is \\<b\\>bold\\</b\\> \\[x\\](y)");
        assert_eq!(prose("orders >= 0"), "orders \\>= 0");
        assert_eq!(fence("```` is long"), "`````");
    }

    #[test]
    fn a_long_value_is_cut_around_what_is_another() {
        let long = |at: usize, word: &str| format!("{}{word}{}", "x".repeat(at), "y".repeat(300));
        assert!(cell(&"x".repeat(200), None, 160).ends_with("` and 40 more characters"));
        for at in [0, 100, 119, 120, 130, 159, 160, 161, 1_000] {
            let (old, new) = (long(at, "OLD"), long(at, "NEW"));
            let (before, after) = (cell(&old, Some(&new), 160), cell(&new, Some(&old), 160));
            assert!(before.contains("OLD") && after.contains("NEW"), "{at}: {before} {after}");
            assert!(before.chars().count() < 220, "{before}");
        }
        // One begins with the whole other.
        let (short, long) = ("x".repeat(500), "x".repeat(500) + " AND z");
        assert!(cell(&long, Some(&short), 160).contains(" AND z`"), "{}", cell(&long, Some(&short), 160));
        assert!(cell(&short, Some(&long), 160).starts_with("340 characters, then `x"));
    }

    #[test]
    fn a_statement_does_not_drown_in_comments() {
        let diff = format!("@@ -1 +1,1000 @@\n{}+DELETE FROM orders;\n", "+-- why\n".repeat(999));
        let (some, left) = some_lines(&diff, 8);
        assert_eq!((some.as_str(), left), ("@@ -1 +1,1000 @@\n+DELETE FROM orders;\n", 999));
        assert_eq!(some_lines(&diff, usize::MAX), (diff, 0));
        assert_eq!(some_lines(&format!("+{}\n", "é".repeat(500)), 8).0.chars().count(), 205);
    }
}
