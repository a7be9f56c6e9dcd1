//! What is decided of two predicates, and what is not. Whether PostgreSQL agrees is asked in `tests/diff_guards.rs`.

use super::{Number, Weight, passes, weigh};

#[test]
fn what_can_be_decided() {
    use Weight::{Equal, Loosened, Respelled, Tightened, Undecided};
    let pairs = [
        ("gap = 210", "gap=210", Respelled),
        ("gap = 1 AND b = 2", "gap = 1 and b = 2", Respelled),
        ("gap = 210", "gap >= 1", Loosened),
        ("ospa >= 1", "ospa >= 0", Loosened),
        ("ospa >= 0", "ospa >= 1", Tightened),
        ("gap > 1", "gap >= 1", Loosened),
        ("gap >= 1", "gap > 1", Tightened),
        ("gap < 1", "gap < 1.5", Loosened),
        ("1 <= gap", "gap >= 0", Loosened),
        ("a = 1 AND b = 2", "a = 1", Loosened),
        ("a = 1", "a = 1 AND b IS NULL", Tightened),
        ("a = 1 AND b = 2", "b = 2 AND a = 1", Equal),
        ("a = 1 AND b = 2", "(a = 1) AND (2 = b)", Equal),
        ("a = 1", "a = 1 OR b = 2", Loosened),
        ("a = 1 OR a = 2 OR b = 2", "a = 2 OR b = 2", Tightened),
        // A reading of `a` is not needed any more: without one the stage did not start.
        ("a = 1 OR b = 2", "b = 2", Undecided),
        ("a = 1 OR (a = 1 AND b = 7)", "a = 1", Undecided),
        ("1 / c = 2 OR a = 1", "a = 1", Undecided),
        ("a IN (1, 2)", "a IN (1, 2, 3)", Loosened),
        // Where `y` is no value of its type, `a` could not be compared at all.
        ("a IN ('x', 'y')", "a = 'x'", Undecided),
        ("a = 'x'", "a IN ('x', 'y')", Loosened),
        ("a IN ('x', 'y')", "a IN ('y', 'x')", Equal),
        ("a IN ('x', 'y')", "a IN ('x', 'y') AND b = 1", Tightened),
        ("gap IN (1, 'abc')", "gap IN (1)", Undecided),
        ("gap = 'abc' OR gap >= 1", "gap >= 1", Undecided),
        ("name = 'a' OR name = 5", "name = 'a'", Undecided),
        ("name = 'a' OR name <> 5 AND name = 'a'", "name = 'a'", Undecided),
        ("name = 'a'", "name = 'a' OR name = 'a' AND name <> 5", Tightened),
        ("f IN (true, false)", "f = true", Tightened),
        ("f = true OR f = 1", "f = true", Undecided),
        ("gap IN (1, 2)", "gap = 1", Tightened),
        ("gap NOT IN (1, 2)", "gap NOT IN (1, 2, 'abc')", Tightened),
        ("a BETWEEN 1 AND 5", "a BETWEEN 1 AND 6", Loosened),
        ("a BETWEEN 1 AND 5", "a >= 1 AND a <= 5", Equal),
        ("a = 0", "a BETWEEN 0 AND 0", Equal),
        ("a BETWEEN -2 AND -2.0", "a = -2", Equal),
        ("b = 1 AND a <= 5 AND 5 <= a", "a IN (5) AND b BETWEEN 1 AND 1", Equal),
        ("a = 0", "a BETWEEN 0 AND 1", Loosened),
        ("a BETWEEN 0 AND 0", "a > 0 AND a <= 0", Undecided),
        ("a = 1", "a >= 1 AND a <= 1 AND a = 2", Undecided),
        ("a <> 3 AND b = 1", "b = 1", Loosened),
        ("a > 3", "a <> 3", Loosened),
        ("a = -1", "a >= -2", Loosened),
        ("before.gap - gap >= 2", "before.gap - gap >= 1", Loosened),
        ("a = 1", "a = 2", Undecided),
        ("a >= 1", "b >= 1", Undecided),
        ("a >= 1", "a <= 1", Undecided),
        ("a >= 1 AND b <= 1", "a >= 0 AND b <= 0", Undecided),
        ("a = 1 AND a = 2", "a = 1", Undecided),
        ("a >= 2 AND a <= 1", "a >= 1", Undecided),
        ("a::float8 >= 1", "a::float8 >= 0", Undecided),
        ("abs(a) >= 1", "abs(a) >= 0", Undecided),
        ("a ^ 2 >= 1", "a ^ 2 >= 0", Undecided),
        ("NOT a >= 1", "NOT a >= 0", Undecided),
        ("a >= 'x'", "a >= 'w'", Undecided),
        ("a <> 'x'", "a = 'y'", Undecided),
        ("a = '1'", "a <> '01'", Undecided),
        ("a NOT BETWEEN 1 AND 2", "a NOT BETWEEN 1 AND 3", Undecided),
        ("a = 1 OR b = 2 AND c = 3", "a = 1 OR b = 2", Loosened),
        ("a BETWEEN 1 AND 2 OR b = 3", "a BETWEEN 1 AND 2 OR b = 3 AND c = 4", Undecided),
        ("(a BETWEEN 1 AND 2) OR b = 3", "(a BETWEEN 1 AND 2) OR b = 3 AND c = 4", Tightened),
    ];
    for (old, new, wanted) in pairs {
        assert_eq!(weigh(old, new), wanted, "{old} | {new}");
    }
}

#[test]
fn numbers_are_exact() {
    let order = [
        "-10",
        "-9.5",
        "-9.05",
        "-0.1",
        "0",
        "0.1",
        "0.10000000000000000001",
        "9",
        "9.9",
        "10",
        "99999999999999999999.1",
    ];
    let parse = |text: &str| match text.strip_prefix('-') {
        Some(rest) => Number::parse(rest, true),
        None => Number::parse(text, false),
    };
    for pair in order.windows(2) {
        assert!(parse(pair[0]) < parse(pair[1]), "{pair:?}");
    }
    assert_eq!(parse("-0.0"), parse("00"));
    assert_eq!(parse("1.50"), parse("01.5"));
    assert_eq!(parse("1e3"), None);
}

#[test]
fn what_passes_with_known_readings() {
    let known = |name: &str| match name {
        "gap" => Some("42".to_owned()),
        "before.gap" => Some("-1.50".to_owned()),
        "nothing" => Some("NULL".to_owned()),
        "word" => Some("x".to_owned()),
        _ => None,
    };
    let cases = [
        ("gap >= 1", Some(true)),
        ("gap = 210", Some(false)),
        ("gap IN (1, 42.0)", Some(true)),
        ("gap >= 1 AND before.gap <= -1.5", Some(true)),
        ("gap >= 1 AND before.gap < -1.5", Some(false)),
        ("nothing = 1", Some(false)),
        ("nothing = 1 OR gap = 42", Some(true)),
        ("unread = 1", None),
        ("unread = 1 AND gap = 1", Some(false)),
        ("unread = 1 OR gap = 42", Some(true)),
        ("unread = 1 OR gap = 1", None),
        ("word = 'x'", None),
        ("gap = '42'", None),
        ("abs(gap) = 42", None),
        ("gap IS NULL", None),
    ];
    for (text, wanted) in cases {
        assert_eq!(passes(text, known), wanted, "{text}");
    }
}
