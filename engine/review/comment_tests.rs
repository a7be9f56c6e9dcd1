//! What a comment loses when it is too long, and what it never loses.

use super::*;
use crate::review::sealed::Sealing;
use crate::review::section::Section;
use crate::review::{Class, Finding, Layout};

fn finding(risk: Risk, class: Class, address: &str, diff: Option<String>) -> Finding {
    Finding {
        risk,
        class,
        what: "guard",
        address: address.to_owned(),
        stage: None,
        old: Some("approved >= 1".to_owned()),
        new: Some("approved >= 0".to_owned()),
        old_place: None,
        new_place: Some("plans/x.toml:7".to_owned()),
        notes: vec!["what follows".to_owned()],
        diff,
        section: Section::Guard,
        rank: Section::Guard,
    }
}

fn review(plan: &str, findings: Vec<Finding>) -> Review {
    Review {
        plan: plan.to_owned(),
        old: Some(format!("plans/{plan}.toml")),
        new: Some(format!("plans/{plan}.toml")),
        stages: 3,
        findings,
        unchanged: Vec::new(),
        layout: Layout::default(),
        remarks: Vec::new(),
        packets: Vec::new(),
        sealing: Sealing::default(),
        asks: Vec::new(),
    }
}

fn lines(text: &str) -> String {
    format!("+{text}\n").repeat(1_000)
}

const COMMENT: &str = "-- 000000000000000000000000000000000000000000000000000000000000";

#[test]
fn a_long_sql_comment_hides_no_risk() {
    let gate = || finding(Risk::Raised, Class::Loosened, "target.production.gate.ratified", None);
    let words = || finding(Risk::None, Class::Reworded, "stage.seed.sql", Some(lines(COMMENT)));
    // In another plan, and in the same one.
    let two = comment(&[], &[review("a", vec![words()]), review("b", vec![gate()])]);
    let one = comment(&[], &[review("a", vec![gate(), words()])]);
    for text in [&two, &one] {
        assert!(text.len() < 3_000, "{text}");
        assert!(text.contains("| ⚠ loosened |  | `target.production.gate.ratified` | `approved >= 1` |"), "{text}");
        assert!(text.contains("| reworded |  | `stage.seed.sql` |") && text.contains("1000 lines"), "{text}");
    }
    assert!(two.contains("### ⚠ risk raised: 1 finding · `plans/b.toml`"), "{two}");
    assert!(one.contains("### ⚠ risk raised: 1 of 2 findings · `plans/a.toml`"), "{one}");
}

#[test]
fn a_diff_is_cut_to_its_statements() {
    let diff = format!("{}+DELETE FROM orders;\n", lines(COMMENT));
    let text = comment(&[], &[review("a", vec![finding(Risk::Raised, Class::Changed, "stage.seed.sql", Some(diff))])]);
    assert!(text.len() < 3_000 && text.contains("\n+DELETE FROM orders;\n"), "{text}");
    assert!(text.contains("1000 more lines: `engine diff`."), "{text}");
}

#[test]
fn every_row_that_raises_the_risk_stays_and_headings_count_all() {
    let long = "x".repeat(300);
    let row = |at: usize, risk| {
        let mut one = finding(risk, Class::Changed, &format!("probe.p{at}.sql"), Some(lines("SELECT 1")));
        (one.old, one.new) = (Some(format!("{long}a")), Some(format!("{long}b")));
        one
    };
    let mut findings: Vec<Finding> = (0..150).map(|at| row(at, Risk::Raised)).collect();
    findings.extend((150..300).map(|at| row(at, Risk::Differs)));
    let text = comment(&[], &[review("a", findings)]);
    assert!(text.len() <= LONGEST && text.contains("### ⚠ risk raised: 150 of 300 findings"), "{}", text.len());
    assert_eq!(text.matches("| ⚠ changed |").count(), 150);
    assert!(text.contains("**150 more findings**, no risk raised"), "{text}");
    assert!(text.contains("xa` |") && text.contains("xb` |"), "{text}");
}

#[test]
fn what_does_not_compile_and_what_is_the_same_stay() {
    let failed = [refused("new", "plans/broken.toml", &"error[unknown-key]: what\n".repeat(10_000))];
    let big = || review("big", vec![finding(Risk::Raised, Class::Changed, "stage.a.sql", Some(lines(COMMENT)))]);
    let text = comment(&failed, &[big(), review("same", Vec::new())]);
    assert!(text.len() <= LONGEST && text.starts_with("### ✘ the new side does not compile · `plans/broken.toml`\n"));
    assert!(text.contains("error[unknown-key]: what") && text.contains("The rest: `engine diff`."), "{text}");
    assert!(text.contains("| ⚠ changed |") && text.ends_with("no difference: `same`\n"), "{text}");
}

#[test]
fn so_many_plans_are_counted_the_riskiest_first() {
    let plan = |at: usize| {
        let risk = if at == 2_999 { Risk::Raised } else { Risk::Differs };
        review(&format!("p{at}"), vec![finding(risk, Class::Changed, "probe.p.sql", None)])
    };
    let all: Vec<Review> = (0..3_000).map(plan).chain([review("same", Vec::new())]).collect();
    let failed = [refused("new", "plans/broken.toml", "error")];
    let text = comment(&failed, &all);
    assert!(text.len() <= LONGEST && text.starts_with("### ✘ the new side does not compile"), "{}", text.len());
    let second = text.match_indices("### ").nth(1).map(|(at, _)| &text[at..]).expect("a heading");
    assert!(
        second.starts_with("### ⚠ risk raised: 1 finding · `plans/p2999.toml`\nchanged `probe.p.sql`\n"),
        "{second}"
    );
    let shown = text.matches("### ").count() - 1;
    assert!(
        shown > 500 && text.contains(&format!("**{} more plans**, the risk raised in 0", 3_000 - shown)),
        "{shown}"
    );
    assert!(text.ends_with("no difference: `same`\n"));
}

#[test]
fn of_what_raises_no_risk_some_stays() {
    let row = |at: usize| finding(Risk::Differs, Class::Added, &format!("stage.a.ensure.e{at}"), None);
    let text = comment(&[], &[review("a", (0..2_000).map(row).collect())]);
    assert!(text.len() <= LONGEST && text.matches("| added |").count() == 200, "{}", text.len());
    assert!(
        text.contains("no risk raised: 2000 findings") && text.contains("**1800 more findings**, no risk"),
        "{text}"
    );
}
