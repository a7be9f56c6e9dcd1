//! A review for a terminal: the verdict, then one line a finding, then what did not change. Understandable without colour.

use super::{Finding, Layout, Review, Risk};

/// With colours or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// For a terminal.
    Colour,
    /// For a file.
    Plain,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self == Paint::Colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn risk(self, risk: Risk, text: &str) -> String {
        match risk {
            Risk::Raised => self.with("1;31", text),
            Risk::Differs => self.with("33", text),
            Risk::None => self.with("2", text),
        }
    }
}

/// The whole review.
pub fn text(review: &Review, paint: Paint) -> String {
    let review = &review.seen();
    let mut out = format!("{}\n", verdict_line(review, paint));
    for remark in &review.remarks {
        out.push_str(&format!("  note: {remark}\n"));
    }
    if !review.findings.is_empty() {
        out.push('\n');
    }
    let width = review.findings.iter().map(|finding| finding.address.len()).max().unwrap_or(0).min(44);
    for finding in &review.findings {
        out.push_str(&line(finding, width, paint));
    }
    let same = unchanged(review);
    if !review.findings.is_empty() && !same.is_empty() {
        out.push_str(&format!("\nunchanged: {same}\n"));
    }
    if !review.findings.is_empty() && !review.layout.is_empty() {
        out.push_str(&format!("text: {}\n", layout_words(&review.layout)));
    }
    out
}

/// What a reviewer reads first.
fn verdict_line(review: &Review, paint: Paint) -> String {
    let (words, risk) = verdict(review);
    format!("{} · {}{}", paint.risk(risk, &words), sides(review), scope(review))
}

/// The verdict, and how it is painted.
pub(super) fn verdict(review: &Review) -> (String, Risk) {
    match review.findings.first().map(|finding| finding.risk) {
        Some(Risk::Raised) => {
            let (raised, all) = (review.of(Risk::Raised), review.findings.len());
            let some = if raised < all { format!("{raised} of ") } else { String::new() };
            (format!("risk raised: {some}{}", count(all, "finding")), Risk::Raised)
        }
        Some(risk) => (format!("differs, no risk raised: {}", count(review.findings.len(), "finding")), risk),
        None if review.layout.is_empty() => ("no difference".to_owned(), Risk::None),
        None => (format!("no change in meaning, formatting only: {}", layout_words(&review.layout)), Risk::None),
    }
}

/// `plans/x.toml`, with its revisions where it has some, or both names where they differ.
pub(super) fn sides(review: &Review) -> String {
    let (old, new) = match (&review.old, &review.new) {
        (Some(old), Some(new)) => (old, new),
        (None, Some(new)) => return format!("{new}, a new plan"),
        (Some(old), None) => return format!("{old}, which is gone"),
        (None, None) => return review.plan.clone(),
    };
    match (old.split_once(':'), new.split_once(':')) {
        _ if old == new => new.clone(),
        (Some((before, path)), Some((after, same))) if path == same => format!("{path}, {before} -> {after}"),
        (Some((before, path)), None) if path == new => format!("{path}, since {before}"),
        _ => format!("{old} -> {new}"),
    }
}

/// ` · 1 of 11 stages`.
pub(super) fn scope(review: &Review) -> String {
    let touched = review.touched().len();
    if touched == 0 {
        return String::new();
    }
    let stages = review.stages.max(touched);
    format!(" · {touched} of {}", count(stages, "stage"))
}

fn line(finding: &Finding, width: usize, paint: Paint) -> String {
    let mark = if finding.risk == Risk::Raised { "!" } else { " " };
    let class = paint.risk(finding.risk, &format!("{mark} {:<9}", finding.class.word()));
    let place = finding.new_place.as_ref().or(finding.old_place.as_ref());
    let place = place.map(|place| format!("   {place}")).unwrap_or_default();
    let values = values(finding);
    let mut out = format!("{class}  {:<width$}  {values}{}\n", finding.address, paint.with("2", &place));
    for note in &finding.notes {
        out.push_str(&format!("               {note}\n"));
    }
    for line in finding.diff.iter().flat_map(|diff| diff.lines()) {
        let line = match line.as_bytes().first() {
            Some(b'-') => paint.with("31", line),
            Some(b'+') => paint.with("32", line),
            _ => line.to_owned(),
        };
        out.push_str(&format!("    {line}\n"));
    }
    out
}

/// Both values, on one line. What is there or not has no value but that.
fn values(finding: &Finding) -> String {
    match (&finding.old, &finding.new) {
        (Some(old), Some(new)) => format!("{old} -> {new}"),
        (Some(old), None) if old == "there" => "was there".to_owned(),
        (Some(old), None) => format!("was {old}"),
        (None, Some(new)) if new == "there" => "is there now".to_owned(),
        (None, Some(new)) => new.clone(),
        (None, None) => String::new(),
    }
}

/// `11 renderings, 4 gates`.
pub(super) fn unchanged(review: &Review) -> String {
    let words: Vec<String> = review.unchanged.iter().map(|same| format!("{} {}", same.count, same.what)).collect();
    words.join(", ")
}

/// `318 lines moved or spelled anew, 3 comments changed`.
pub(super) fn layout_words(layout: &Layout) -> String {
    let mut words = Vec::new();
    let mut say = |number: usize, one: &str, many: &str| {
        words.extend((number > 0).then(|| format!("{number} {}", if number == 1 { one } else { many })));
    };
    say(layout.moved, "line moved", "lines moved");
    say(layout.gone.max(layout.come), "line spelled anew", "lines spelled anew");
    say(layout.comments, "comment changed", "comments changed");
    say(layout.renamed, "template renamed", "templates renamed");
    if words.is_empty() { "blanks and blank lines".to_owned() } else { words.join(", ") }
}

pub(super) fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
