//! Does one predicate let more through than another? Answered only where it can be decided: alternatives of conditions
//! that all must hold, each a name, or a sum of names, compared with constants. What is anything else is a condition of its
//! own, equal to nothing but itself. Nothing is said of the three values of SQL but this: a predicate passes when it is true.

use super::grammar::LEAD;
use super::parse::{is_trivia, tokens, with_tree};
use super::respell::{plain_words, words_of};
use squawk_syntax::{SyntaxKind, SyntaxNode};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// How a new predicate stands to the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The same words; only blanks and the case of words differ.
    Respelled,
    /// Other words that are true for the same readings.
    Equal,
    /// True wherever the old one is, and elsewhere too.
    Loosened,
    /// True for fewer readings than the old one, and for no other.
    Tightened,
    /// None of these, or not decidable.
    Undecided,
}

/// Weighs the text of a new predicate against that of an old one; both are within the grammar.
pub fn weigh(old: &str, new: &str) -> Weight {
    if plain_words(old) == plain_words(new) {
        return Weight::Respelled;
    }
    let (Some(old), Some(new)) = (alternatives(old), alternatives(new)) else { return Weight::Undecided };
    if old.iter().chain(&new).any(|all| contradicts(all)) {
        return Weight::Undecided;
    }
    let covers = |wide: &[Vec<Condition>], narrow: &[Vec<Condition>]| {
        narrow.iter().all(|narrow| wide.iter().any(|wide| wide.iter().all(|one| follows(narrow, one))))
    };
    // What is read and has no reading stops the stage, wherever it stands, and so does a comparison that fails: who leaves one
    // out lets more start.
    let (before, after) = (read(&old), read(&new));
    match (covers(&new, &old), covers(&old, &new)) {
        (_, true) if !before.is_subset(&after) => Weight::Undecided,
        (true, true) if before != after => Weight::Tightened,
        (true, true) => Weight::Equal,
        (true, false) => Weight::Loosened,
        (false, true) => Weight::Tightened,
        (false, false) => Weight::Undecided,
    }
}

/// What is compared with constants, and with which kind of them; and conditions of another form. A constant that is none of
/// the reading's type is an error wherever it stands: a number beside a text, a string that is no value of that type.
fn read(alternatives: &[Vec<Condition>]) -> BTreeSet<(&str, &str)> {
    let mut all = BTreeSet::new();
    for one in alternatives.iter().flatten() {
        match one {
            Condition::Whole(words) => _ = all.insert((words.as_str(), "")),
            Condition::Test(left, Test::Least(..) | Test::Most(..)) => _ = all.insert((left.as_str(), NUMBER)),
            Condition::Test(left, Test::Not(constant)) => _ = all.insert((left.as_str(), kind(constant))),
            Condition::Test(left, Test::Among(list)) => all.extend(list.iter().map(|one| (left.as_str(), kind(one)))),
        }
    }
    all
}

const NUMBER: &str = "number";

/// All numbers are of one kind, and so are TRUE and FALSE. Of strings each may be a value of the reading's type or none.
fn kind(constant: &Constant) -> &str {
    match constant {
        Constant::Number(_) => NUMBER,
        Constant::Word(word) if word.starts_with(['t', 'f', 'T', 'F']) => "boolean",
        Constant::Word(string) => string,
    }
}

/// Would the predicate pass with these readings, each the text of a value? `None`: that cannot be told here.
pub fn passes(text: &str, reading: impl Fn(&str) -> Option<String>) -> Option<bool> {
    let holds = |one: &Condition| match one {
        Condition::Test(left, test) => match reading(left)?.as_str() {
            // Compared with anything it is not true.
            "NULL" => Some(false),
            value => numeric(value).map(|number| passes_as_number(&number, test)).unwrap_or_default(),
        },
        Condition::Whole(_) => None,
    };
    let all = |conditions: &Vec<Condition>| {
        let held: Vec<Option<bool>> = conditions.iter().map(holds).collect();
        if held.contains(&Some(false)) {
            Some(false)
        } else {
            held.into_iter().collect::<Option<Vec<bool>>>().map(|_| true)
        }
    };
    let held: Vec<Option<bool>> = alternatives(text)?.iter().map(all).collect();
    if held.contains(&Some(true)) { Some(true) } else { held.into_iter().collect::<Option<Vec<bool>>>().map(|_| false) }
}

fn numeric(text: &str) -> Option<Number> {
    match text.strip_prefix('-') {
        Some(digits) => Number::parse(digits, true),
        None => Number::parse(text, false),
    }
}

/// `None` where the test is about words.
fn passes_as_number(number: &Number, test: &Test) -> Option<bool> {
    let word = |one: &Constant| matches!(one, Constant::Word(_));
    match test {
        Test::Among(list) if list.iter().any(word) => None,
        Test::Not(one) if word(one) => None,
        _ => Some(passes_for_certain(&Constant::Number(number.clone()), test)),
    }
}

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// What is compared with constants, and how.
    Test(String, Test),
    /// Anything else, by its words.
    Whole(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    /// At least this; more than it when it does not count itself.
    Least(Number, bool),
    /// At most this, or less.
    Most(Number, bool),
    /// One of these.
    Among(Vec<Constant>),
    /// Not this one.
    Not(Constant),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Constant {
    Number(Number),
    /// A string in its quotes, TRUE or FALSE: what it is equal to depends on a type that is not known here.
    Word(String),
}

/// An exact decimal: never through a float.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Number {
    negative: bool,
    /// Without leading zeros.
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

impl Number {
    /// Plain digits with at most one point; the forms that only some versions read are left alone.
    fn parse(text: &str, minus: bool) -> Option<Number> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0').to_owned(), fraction.trim_end_matches('0').to_owned());
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Number { negative: minus && !zero, whole, fraction })
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |a: &Number, b: &Number| {
            (a.whole.len().cmp(&b.whole.len())).then(a.whole.cmp(&b.whole)).then(a.fraction.cmp(&b.fraction))
        };
        match (self.negative, other.negative) {
            (false, false) => size(self, other),
            (true, true) => size(other, self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Must `wanted` hold where all of these do?
fn follows(all: &[Condition], wanted: &Condition) -> bool {
    if all.contains(wanted) {
        return true;
    }
    let Condition::Test(left, wanted) = wanted else { return false };
    let tests: Vec<&Test> = tests_of(all, left).collect();
    match survivors(&tests) {
        Some(left_over) => left_over.iter().all(|constant| passes_for_certain(constant, wanted)),
        None => match wanted {
            Test::Least(at, itself) => tests.iter().any(|test| above(test, at, *itself)),
            Test::Most(at, itself) => tests.iter().any(|test| below(test, at, *itself)),
            Test::Not(Constant::Number(at)) => {
                tests.iter().any(|test| above(test, at, false) || below(test, at, false))
            }
            Test::Not(Constant::Word(_)) | Test::Among(_) => false,
        },
    }
}

fn tests_of<'c>(all: &'c [Condition], left: &str) -> impl Iterator<Item = &'c Test> {
    all.iter().filter_map(move |one| match one {
        Condition::Test(own, test) if own == left => Some(test),
        _ => None,
    })
}

/// Does this keep everything at or above `at` (above it, when `at` does not count)?
fn above(test: &Test, at: &Number, itself: bool) -> bool {
    matches!(test, Test::Least(from, counts) if from > at || from == at && (itself || !counts))
}

fn below(test: &Test, at: &Number, itself: bool) -> bool {
    matches!(test, Test::Most(to, counts) if to < at || to == at && (itself || !counts))
}

/// The constants that are left when one test is a list; `None`: there is no list.
fn survivors<'t>(tests: &[&'t Test]) -> Option<Vec<&'t Constant>> {
    let list = tests.iter().find_map(|test| if let Test::Among(list) = test { Some(list) } else { None })?;
    // A word that seems to fail another test stays: whether it does depends on its type.
    let kept = |one: &&Constant| matches!(one, Constant::Word(_)) || tests.iter().all(|test| may_pass(one, test));
    Some(list.iter().filter(kept).collect())
}

/// Does the constant pass for certain?
fn passes_for_certain(constant: &Constant, test: &Test) -> bool {
    match (constant, test) {
        (_, Test::Among(list)) => list.contains(constant),
        (Constant::Number(number), Test::Least(at, itself)) => number > at || *itself && number == at,
        (Constant::Number(number), Test::Most(at, itself)) => number < at || *itself && number == at,
        (Constant::Number(number), Test::Not(Constant::Number(other))) => number != other,
        _ => false,
    }
}

/// Is it not certain that the number fails?
fn may_pass(number: &Constant, test: &Test) -> bool {
    let word = |one: &Constant| matches!(one, Constant::Word(_));
    match test {
        Test::Among(list) => list.iter().any(|one| one == number || word(one)),
        Test::Not(other) if word(other) => true,
        _ => passes_for_certain(number, test),
    }
}

/// Can all of these never hold together? Then nothing that follows from them says anything.
fn contradicts(all: &[Condition]) -> bool {
    all.iter().any(|one| {
        let Condition::Test(left, test) = one else { return false };
        let tests: Vec<&Test> = tests_of(all, left).collect();
        let crossed = match test {
            Test::Least(from, counts) => tests.iter().any(|other| match other {
                Test::Most(to, also) => to < from || to == from && !(*counts && *also),
                _ => false,
            }),
            _ => false,
        };
        crossed || survivors(&tests).is_some_and(|left| left.is_empty())
    })
}

/// The alternatives of a predicate, each a list of what must hold together.
fn alternatives(text: &str) -> Option<Vec<Vec<Condition>>> {
    let read = |root: &SyntaxNode| {
        let expression = root.descendants().find(|node| node.kind() == SyntaxKind::TARGET)?.first_child()?;
        if expression.descendants().any(|node| swallows(&node)) {
            return None;
        }
        let mut found = Vec::new();
        members(&expression, "or", &mut |alternative| {
            let mut all = Vec::new();
            members(alternative, "and", &mut |one| all.extend(conditions(one)));
            pin(&mut all);
            found.push(all);
        });
        Some(found)
    };
    with_tree(&format!("{LEAD}{text}"), |root, _| read(root)).ok().flatten()
}

/// What is at least and at most the same number is that number: `a BETWEEN 0 AND 0` says `a = 0`.
fn pin(all: &mut Vec<Condition>) {
    let pinned = all.iter().find_map(|one| match one {
        Condition::Test(left, Test::Least(from, true)) => {
            let most = Condition::Test(left.clone(), Test::Most(from.clone(), true));
            all.contains(&most).then(|| (one.clone(), most, left.clone(), from.clone()))
        }
        _ => None,
    });
    if let Some((least, most, left, number)) = pinned {
        all.retain(|one| *one != least && *one != most);
        all.push(Condition::Test(left, Test::Among(vec![Constant::Number(number)])));
        pin(all);
    }
}

/// The parser takes the `OR` behind `a BETWEEN 1 AND 2 OR ...` for a part of the upper end, which PostgreSQL does not.
fn swallows(node: &SyntaxNode) -> bool {
    use SyntaxKind::{BETWEEN_EXPR, FIELD_EXPR, LITERAL, NAME_REF, PAREN_EXPR, PREFIX_EXPR};
    let end = node.last_child().map(|end| end.kind());
    let plain = [FIELD_EXPR, LITERAL, NAME_REF, PAREN_EXPR, PREFIX_EXPR];
    node.kind() == BETWEEN_EXPR && !end.is_some_and(|kind| plain.contains(&kind))
}

/// Hands out what stands between the words `AND` (or `OR`) at the top, through parentheses.
fn members(node: &SyntaxNode, word: &str, each: &mut impl FnMut(&SyntaxNode)) {
    let node = bare(node);
    match parts(&node) {
        Some((left, between, right)) if between == word => {
            members(&left, word, each);
            members(&right, word, each);
        }
        _ => each(&node),
    }
}

/// Without the parentheses around it.
fn bare(node: &SyntaxNode) -> SyntaxNode {
    let mut node = node.clone();
    while node.kind() == SyntaxKind::PAREN_EXPR {
        match node.first_child() {
            Some(inner) => node = inner,
            None => break,
        }
    }
    node
}

/// Left, sign and right of a binary expression.
fn parts(node: &SyntaxNode) -> Option<(SyntaxNode, String, SyntaxNode)> {
    let children: Vec<SyntaxNode> = node.children().collect();
    let (left, middle, right) = match children.as_slice() {
        _ if node.kind() != SyntaxKind::BIN_EXPR => return None,
        [left, right] => (left, None, right),
        [left, middle, right] => (left, Some(middle), right),
        _ => return None,
    };
    let own = tokens(node).filter(|t| t.parent().as_ref() == Some(node) && !is_trivia(t.kind()));
    let sign = own.map(|t| t.text().to_lowercase()).chain(middle.map(words_of)).collect::<Vec<_>>().join(" ");
    Some((left.clone(), sign, right.clone()))
}

/// What a member says; one that is not understood says itself.
fn conditions(node: &SyntaxNode) -> Vec<Condition> {
    let understood = match node.kind() {
        SyntaxKind::BETWEEN_EXPR => between(node),
        SyntaxKind::BIN_EXPR => compared(node),
        _ => None,
    };
    understood.unwrap_or_else(|| vec![Condition::Whole(words_of(node))])
}

fn between(node: &SyntaxNode) -> Option<Vec<Condition>> {
    let children: Vec<SyntaxNode> = node.children().collect();
    let [left, from, to] = children.as_slice() else { return None };
    let negated = tokens(node).any(|t| t.parent().as_ref() == Some(node) && t.kind() == SyntaxKind::NOT_KW);
    let (left, from, to) = (reading(left).filter(|_| !negated)?, number(from)?, number(to)?);
    let tests = [Test::Least(from, true), Test::Most(to, true)];
    Some(tests.map(|test| Condition::Test(left.clone(), test)).to_vec())
}

fn compared(node: &SyntaxNode) -> Option<Vec<Condition>> {
    let (left, sign, right) = parts(node)?;
    if sign == "in" || sign == "not in" {
        let list = constants(&right)?;
        let left = reading(&left)?;
        let tests = if sign == "in" { vec![Test::Among(list)] } else { list.into_iter().map(Test::Not).collect() };
        return Some(tests.into_iter().map(|test| Condition::Test(left.clone(), test)).collect());
    }
    if let (Some(left), Some(constant)) = (reading(&left), constant(&right)) {
        return Some(vec![Condition::Test(left, test(&sign, constant)?)]);
    }
    let turned = match sign.as_str() {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        same => same,
    };
    Some(vec![Condition::Test(reading(&right)?, test(turned, constant(&left)?)?)])
}

fn test(sign: &str, constant: Constant) -> Option<Test> {
    match (sign, constant) {
        ("=", constant) => Some(Test::Among(vec![constant])),
        ("<>" | "!=", constant) => Some(Test::Not(constant)),
        (">=", Constant::Number(at)) => Some(Test::Least(at, true)),
        (">", Constant::Number(at)) => Some(Test::Least(at, false)),
        ("<=", Constant::Number(at)) => Some(Test::Most(at, true)),
        ("<", Constant::Number(at)) => Some(Test::Most(at, false)),
        _ => None,
    }
}

/// The words of a name, or of a sum of names: what PostgreSQL compares exactly. A cast, a function or a power can turn a
/// number into a float, whose comparisons round.
fn reading(node: &SyntaxNode) -> Option<String> {
    use SyntaxKind::{BIN_EXPR, FIELD_EXPR, LITERAL, NAME_REF, PAREN_EXPR};
    let node = bare(node);
    let named = node.descendants().any(|inner| inner.kind() == NAME_REF);
    let exact = node.descendants().all(|inner| match inner.kind() {
        NAME_REF | FIELD_EXPR | PAREN_EXPR => true,
        LITERAL => number(&inner).is_some(),
        BIN_EXPR => parts(&inner).is_some_and(|(_, sign, _)| ["+", "-", "*"].contains(&sign.as_str())),
        _ => false,
    });
    (named && exact).then(|| words_of(&node))
}

fn constants(list: &SyntaxNode) -> Option<Vec<Constant>> {
    match list.kind() {
        SyntaxKind::TUPLE_EXPR => list.children().map(|one| constant(&one)).collect(),
        SyntaxKind::PAREN_EXPR => Some(vec![constant(list)?]),
        _ => None,
    }
}

fn constant(node: &SyntaxNode) -> Option<Constant> {
    let node = bare(node);
    if let Some(number) = number(&node) {
        return Some(Constant::Number(number));
    }
    let word = tokens(&node).find(|token| !is_trivia(token.kind()))?;
    let known = matches!(word.kind(), SyntaxKind::STRING | SyntaxKind::TRUE_KW | SyntaxKind::FALSE_KW);
    (node.kind() == SyntaxKind::LITERAL && known).then(|| Constant::Word(words_of(&node)))
}

/// `3`, `-3`, `0.25`.
fn number(node: &SyntaxNode) -> Option<Number> {
    use SyntaxKind::{INT_NUMBER, LITERAL, MINUS, NUMERIC_NUMBER, PREFIX_EXPR};
    let node = bare(node);
    let words: Vec<_> = tokens(&node).filter(|token| !is_trivia(token.kind())).collect();
    let (minus, digits) = match (node.kind(), words.as_slice()) {
        (LITERAL, [digits]) => (false, digits),
        (PREFIX_EXPR, [sign, digits]) if sign.kind() == MINUS => (true, digits),
        _ => return None,
    };
    matches!(digits.kind(), INT_NUMBER | NUMERIC_NUMBER).then(|| Number::parse(digits.text(), minus))?
}

#[cfg(test)]
#[path = "weaker_tests.rs"]
mod tests;
