//! Does PostgreSQL agree with what `diff` says of a changed predicate? Random pairs are weighed, and both sides evaluated by a
//! real server for every sample: loosened means true wherever the old one is, tightened the other way round, equal both.
//!
//! The seed is printed; `ENGINE_SEED=N` repeats one.

mod support;

use engine::sql::{Weight, weigh};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A small generator (splitmix64): the same seed gives the same pairs.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).expect("31 bits") % sides
    }

    fn pick<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.roll(words.len())]
    }
}

/// Numbers near each other, so that ends of ranges meet; some that a float would round to one.
const NUMBERS: [&str; 9] = ["-2", "-1", "0", "0.5", "1", "1.0", "2", "3", "2.000000000000000000001"];
const TEXTS: [&str; 3] = ["'x'", "'y'", "'X'"];

/// What is not decided, and must not confuse what stands beside it.
const OTHERS: [&str; 16] = [
    "a IS NULL",
    "a IS NOT NULL",
    "NOT f",
    "f IS TRUE",
    "a = 1 IS TRUE",
    "NOT a = 1 IS TRUE",
    "a IS NOT DISTINCT FROM 1",
    "t LIKE 'x%'",
    "t NOT LIKE 'x%'",
    "t ~ 'x'",
    "t || 'a' = 'xa'",
    "CASE WHEN a > 1 THEN f ELSE true END",
    "coalesce(a, 0) = 0",
    "- a >= 1",
    "a NOT BETWEEN 0 AND 1",
    "a BETWEEN b AND 2",
];

/// One condition, in any of the forms that plans use.
fn condition(dice: &mut Dice) -> String {
    let (left, number) = (dice.pick(&["a", "b", "a", "b", "a + b", "b - a"]), dice.pick(&NUMBERS));
    match dice.roll(24) {
        0..8 => format!("{left} {} {number}", dice.pick(&["=", "<>", "!=", "<", "<=", ">", ">="])),
        8..10 => format!("{number} {} {left}", dice.pick(&["=", "<", "<=", ">", ">="])),
        10 => format!("{left} BETWEEN {number} AND {}", dice.pick(&NUMBERS)),
        11 => format!("{left} IN ({number}, {})", dice.pick(&NUMBERS)),
        12 => format!("{left} NOT IN ({number}, {})", dice.pick(&NUMBERS)),
        13 => format!("t {} {}", dice.pick(&["=", "<>", ">="]), dice.pick(&TEXTS)),
        14 => format!("t IN ({}, {})", dice.pick(&TEXTS), dice.pick(&TEXTS)),
        15 | 20..24 => dice.pick(&OTHERS).to_owned(),
        16 => format!("NOT a >= {number}"),
        17 => format!("abs(a) >= {number}"),
        18 => format!("f {} {}", dice.pick(&["=", "<>"]), dice.pick(&["true", "false"])),
        _ => format!("a::float8 > {number}"),
    }
}

fn predicate(dice: &mut Dice) -> Vec<String> {
    let many = 1 + dice.roll(3);
    (0..many).map(|_| condition(dice)).collect()
}

/// Another predicate that has much in common with this one: what a pull request does.
fn edited(old: &[String], dice: &mut Dice) -> Vec<String> {
    let mut new = old.to_vec();
    for _ in 0..=dice.roll(2) {
        let at = dice.roll(new.len());
        match dice.roll(5) {
            0 if new.len() > 1 => _ = new.remove(at),
            1 => new.push(condition(dice)),
            2 => new.rotate_left(at),
            _ => {
                // Move one constant under the same comparison.
                let from = dice.pick(&NUMBERS);
                let to = dice.pick(&NUMBERS);
                let ending = format!(" {from}");
                if let Some(head) = new[at].strip_suffix(&ending) {
                    new[at] = format!("{head} {to}");
                } else {
                    new[at] = condition(dice);
                }
            }
        }
    }
    new
}

fn joined(conditions: &[String], dice: &mut Dice) -> String {
    let mut text = String::new();
    for (at, one) in conditions.iter().enumerate() {
        if at > 0 {
            text.push_str(if dice.roll(4) == 0 { " OR " } else { " AND " });
        }
        if dice.roll(6) == 0 { write!(text, "({one})").expect("a string") } else { text.push_str(one) }
    }
    text
}

/// Every reading that can tell two of the constants apart, beside NULL and what is greater than every number.
const SAMPLES: &str = "
    SELECT a, b, t, f
    FROM unnest('{-3,-2,-1.5,-1,-0.5,0,0.25,0.5,0.75,1,1.5,2,2.0000000000000000000005,2.000000000000000000001,2.5,3,4,NaN,NULL}'::numeric[]) AS a,
         unnest('{-3,-2,-1,0,0.5,0.75,1,2,2.000000000000000000001,3,4,NULL}'::numeric[]) AS b,
         unnest('{x,y,X,z,NULL}'::text[]) AS t,
         unnest('{true,false,NULL}'::boolean[]) AS f";

fn seed() -> u64 {
    let given = std::env::var("ENGINE_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        u64::from(std::process::id()) << 20
            | u64::from(std::time::UNIX_EPOCH.elapsed().expect("a clock").subsec_micros())
    })
}

#[test]
fn postgresql_agrees_with_every_decision() {
    const PAIRS: usize = 3_000;
    let seed = seed();
    println!("ENGINE_SEED={seed}");
    let mut dice = Dice(seed);
    let mut pairs = Vec::new();
    for _ in 0..PAIRS {
        let old = predicate(&mut dice);
        let new = edited(&old, &mut dice);
        // The same words between the conditions of both, as far as they go.
        let spelling = dice.0;
        let old_text = joined(&old, &mut Dice(spelling));
        pairs.push((old_text, joined(&new, &mut Dice(spelling))));
    }
    let server = support::server();
    server.psql("postgres", "DROP DATABASE IF EXISTS guards").unwrap_or_else(|failure| support::fail(&failure));
    server.psql("postgres", "CREATE DATABASE guards").unwrap_or_else(|failure| support::fail(&failure));
    server
        .psql("guards", &format!("CREATE TABLE sample AS {SAMPLES}"))
        .unwrap_or_else(|failure| support::fail(&failure));
    let mut decided: BTreeMap<String, usize> = BTreeMap::new();
    for some in pairs.chunks(100) {
        let questions: Vec<String> = some
            .iter()
            .enumerate()
            .map(|(number, (old, new))| {
                format!(
                    "SELECT {number}, count(*) FILTER (WHERE o AND n IS NOT TRUE), count(*) FILTER (WHERE n AND o IS NOT TRUE)
                     FROM (SELECT ({old}) AS o, ({new}) AS n FROM sample) AS both_sides"
                )
            })
            .collect();
        let answers = server
            .psql("guards", &format!("{} ORDER BY 1", questions.join(" UNION ALL ")))
            .unwrap_or_else(|failure| support::fail(&failure));
        let answers: Vec<Vec<u64>> =
            answers.lines().map(|line| line.split('|').map(|n| n.trim().parse().expect("a count")).collect()).collect();
        assert_eq!(answers.len(), some.len());
        for ((old, new), answer) in some.iter().zip(&answers) {
            let (lost, won) = (answer[1], answer[2]);
            let weight = weigh(old, new);
            *decided.entry(format!("{weight:?}")).or_default() += 1;
            let agrees = match weight {
                Weight::Respelled | Weight::Equal => lost == 0 && won == 0,
                Weight::Loosened => lost == 0,
                Weight::Tightened => won == 0,
                Weight::Undecided => true,
            };
            assert!(agrees, "seed {seed}: {weight:?}, but {lost} readings are lost and {won} won\n  {old}\n  {new}");
        }
    }
    println!("{decided:?}");
    for weight in ["Equal", "Loosened", "Tightened", "Undecided"] {
        assert!(
            decided.get(weight).is_some_and(|count| *count > PAIRS / 100),
            "seed {seed}: too few are {weight}: {decided:?}"
        );
    }
}

/// Where only names are compared with numbers, "loosened" is strict: some reading passes now that did not before.
#[test]
fn loosened_and_tightened_are_strict() {
    let seed = seed();
    println!("ENGINE_SEED={seed}");
    let mut dice = Dice(seed);
    let server = support::server();
    server.psql("postgres", "DROP DATABASE IF EXISTS strict_guards").unwrap_or_else(|failure| support::fail(&failure));
    server.psql("postgres", "CREATE DATABASE strict_guards").unwrap_or_else(|failure| support::fail(&failure));
    server
        .psql("strict_guards", &format!("CREATE TABLE sample AS {SAMPLES}"))
        .unwrap_or_else(|failure| support::fail(&failure));
    let signs = ["=", "<>", "<", "<=", ">", ">="];
    let mut found = 0;
    while found < 300 {
        let both: Vec<String> =
            ["a", "b"].iter().map(|name| format!("{name} {} {}", dice.pick(&signs), dice.pick(&NUMBERS))).collect();
        let old = both.join(" AND ");
        let new = if dice.roll(3) == 0 {
            both[0].clone()
        } else {
            format!("a {} {} AND {}", dice.pick(&signs), dice.pick(&NUMBERS), both[1])
        };
        let weight = weigh(&old, &new);
        if !matches!(weight, Weight::Loosened | Weight::Tightened) {
            continue;
        }
        found += 1;
        let (wide, narrow) = if weight == Weight::Loosened { (&new, &old) } else { (&old, &new) };
        let question = format!("SELECT count(*) FROM sample WHERE ({wide}) AND ({narrow}) IS NOT TRUE");
        let answer = server.psql("strict_guards", &question).unwrap_or_else(|failure| support::fail(&failure));
        assert_ne!(answer.trim(), "0", "seed {seed}: {weight:?}, and no reading tells\n  {old}\n  {new}");
    }
}
