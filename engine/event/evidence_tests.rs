//! What follows from which observations, part by part left out.

use super::*;

fn wrote(table: &str, rows: u64) -> TableWrite {
    TableWrite { table: table.into(), inserted: rows, updated: 0, deleted: 0, bound: None }
}

fn ran(what: &str, rows: u64) -> Observation {
    Observation::Ran(Repetition { what: what.into(), wrote: vec![wrote("t", rows)], ..Repetition::default() })
}

fn compared(when: &str, found: u64) -> Observation {
    let rows = |rows| Some(Rows { rows, sum: None });
    Observation::Compared { table: "t".into(), root: None, when: when.into(), wanted: rows(1), found: rows(found) }
}

fn passed(proof: &str, seen: &[Observation]) -> bool {
    verdict(proof, seen).expect("a proof").passed
}

#[test]
fn a_second_run_is_strict_or_compared() {
    let grade = |seen: &[Observation]| verdict("idempotent", seen).expect("a proof").grade;
    assert_eq!(grade(&[ran(FIRST, 1), ran(SECOND, 0)]), "strict");
    assert_eq!(grade(&[ran(FIRST, 0), ran(SECOND, 0)]), "failed", "nothing, twice");
    assert_eq!(grade(&[ran(FIRST, 1), ran(SECOND, 1), compared(AFTER_SECOND, 1)]), "convergent");
    assert_eq!(grade(&[ran(FIRST, 1), ran(SECOND, 1), compared(AFTER_SECOND, 2)]), "failed");
    assert_eq!(grade(&[ran(FIRST, 1), ran(SECOND, 1)]), "failed", "what was touched and not compared is no proof");
    assert_eq!(grade(&[]), "failed");
    let broke = Observation::Broke { what: SECOND.into(), code: String::new(), why: vec!["no".into()] };
    assert_eq!(grade(&[ran(FIRST, 1), ran(SECOND, 0), broke]), "failed");
}

#[test]
fn back_and_forth_needs_every_part() {
    let whole = [ran(FIRST, 1), ran(BACK, 1), ran(AGAIN, 1), compared(AFTER_BACK, 1), compared(AFTER_AGAIN, 1)];
    assert!(passed("reversible", &whole));
    for left_out in 0..whole.len() {
        let mut part = whole.to_vec();
        part.remove(left_out);
        assert!(!passed("reversible", &part), "without {left_out}");
    }
    let mut more = whole.to_vec();
    more[2] = ran(AGAIN, 2);
    assert!(!passed("reversible", &more), "the second forward run wrote something else");
    let defined = |physical| Observation::Defined {
        object: "t".into(),
        when: AFTER_BACK.into(),
        detail: String::new(),
        physical,
    };
    assert_eq!(verdict("reversible", &[&whole[..], &[defined(true)]].concat()).map(|v| v.grade), Some("logical"));
    assert!(!passed("reversible", &[&whole[..], &[defined(false)]].concat()));
}

#[test]
fn decimals_are_compared_exactly() {
    for (a, b) in [
        ("1.5", "1.50"),
        ("-1.5", "-1.25"),
        ("-0.5", "0.25"),
        ("9.99", "10"),
        ("100000000000000000.25", "100000000000000000.5"),
    ] {
        assert!(not_less(a, b), "{a} {b}");
        assert!(a.trim_end_matches('0') == b.trim_end_matches('0') || !not_less(b, a), "{b} {a}");
    }
    assert!(!not_less("1", "x") && !not_less("", "1") && !not_less("1e3", "2e3"));
}

#[test]
fn what_is_an_accident() {
    assert!(["42704", "42P01", "57014", "55P03", "40001", "08006", "53300"].iter().all(|code| is_accident(code)));
    assert!(["23503", "23514", "22P02", "P0001", "23000"].iter().all(|code| !is_accident(code)));
}

#[test]
fn a_reading_must_never_fall_nor_be_unknown() {
    let read = |value: Option<&str>| Observation::Read {
        probe: "p".into(),
        when: String::new(),
        value: value.map(str::to_owned),
    };
    assert!(passed("monotonic", &[read(Some("9")), read(Some("10")), read(Some("10"))]));
    assert!(!passed("monotonic", &[read(Some("9")), read(Some("10")), read(Some("9.5"))]));
    assert!(!passed("monotonic", &[read(Some("9")), read(None)]));
    assert!(!passed("monotonic", &[read(Some("9"))]), "one reading shows nothing");
}
