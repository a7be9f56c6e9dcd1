//! Predicates that pass, those that must not, and where the caret stands.

use super::*;
use crate::diag::Source;

fn parse(text: &str) -> Result<Predicate, Diagnostics> {
    let source = Source::new("p.toml", format!("guard.x = \"{text}\"\n"));
    Predicate::parse(text, &Place::new(&source, 11..11 + text.len()))
}

fn names(text: &str) -> Vec<String> {
    let predicate = parse(text).unwrap_or_else(|d| panic!("{text}\n{}", d.draw(false)));
    predicate.names().map(ToString::to_string).collect()
}

/// Code, the bytes under the caret.
fn refused(text: &str) -> (&'static str, String) {
    let found = parse(text).err().unwrap_or_else(|| panic!("passes: {text}"));
    let first = &found.0[0];
    let place = first.place.as_ref().expect("a place");
    (first.code, place.source.text[place.span.clone()].to_owned())
}

#[test]
fn what_the_trial_plans_say_passes() {
    for text in [
        "seams = 35 AND containment = 35 AND scopes = 6",
        "before.gap = 210 AND gap = 0",
        "anchors = 30 AND wrote.gov_ownership_anchors = 30",
        "unfilled = 0 AND wrote.\"shop.orders\" = before.unfilled",
        "NOT index_valid",
        "index_valid",
        "coverage = 100.00",
        "unequal = 0 AND amount_total = baseline.amount_total",
        "production_gap = seams * scopes",
    ] {
        assert!(!names(text).is_empty(), "{text}");
    }
    assert_eq!(
        names("wrote.\"shop.orders\" = d_boundary.x + var.n"),
        ["wrote.\"shop.orders\"", "d_boundary.x", "var.n"]
    );
}

#[test]
fn the_grammar_is_wide_enough() {
    for text in [
        "gap IS NOT NULL AND ok IS TRUE AND ok IS NOT FALSE AND ok IS UNKNOWN AND ok IS NOT UNKNOWN",
        "a IS DISTINCT FROM b OR a IS NOT DISTINCT FROM 1",
        "a IN (1, 2, 3) AND a NOT IN (4) AND b IN ('x', 'it''s')",
        "a BETWEEN 1 AND 2 AND a NOT BETWEEN -1 AND +2",
        "name LIKE 'a%' AND name NOT LIKE '%b' AND name ILIKE 'c'",
        "CASE WHEN a > 1 THEN b = 2 ELSE false END",
        "CASE a WHEN 1 THEN true END",
        "coalesce(a, 0) + NULLIF(b, 1) < greatest(a, least(b, 3))",
        "a::bigint = CAST(b AS numeric(10, 2)) AND c::double precision > 1.5e3 AND t > timestamptz '2026-01-01'",
        "age < interval '1 day' AND d = date '2026-01-01'",
        "abs(a - b) <= 1 AND round(x, 2) = 1.00 AND lower(t) = 'a' AND length(t) % 2 = 0 AND mod(a, 2) = 1",
        "((a != 1)) AND a <> 2 AND a ^ 2 >= 4 AND j ->> 'k' = 'v' AND j @> '{\"a\": 1}' AND t || 'x' = 'yx'",
        "a ISNULL OR a NOTNULL",
        "rows > 0 AND count = 1 AND value = 2 AND name = 'x'",
        "\n  a = 1\n  OR b = 2\n",
    ] {
        let source = Source::new("p", text);
        let got = Predicate::parse(text, &Place::new(&source, 0..text.len()));
        assert!(got.is_ok(), "{text}\n{}", got.err().unwrap_or_default().draw(false));
    }
}

/// The table of the review's finding 10, and its kin.
#[test]
fn nothing_sneaks_through() {
    for (text, code, under) in [
        ("user = 'reviewer'", "predicate-name", "user"),
        ("current_user = 'x' AND gap = 1", "predicate-name", "current_user"),
        ("session_user = 'x'", "predicate-name", "session_user"),
        ("system_user = 'x'", "predicate-name", "system_user"),
        ("current_date > d", "predicate-name", "current_date"),
        ("d < localtime", "predicate-name", "localtime"),
        ("current_role = 'x'", "predicate-name", "current_role"),
        ("count(*) >= 1", "predicate-function", "count"),
        ("row_number() over () = 1", "predicate-grammar", "row_number() over ()"),
        ("sum(gap) filter (where true) > 0", "predicate-grammar", "sum(gap) filter (where true)"),
        ("EXISTS (SELECT 1 FROM t WHERE id = gap)", "predicate-grammar", "EXISTS (SELECT 1 FROM t WHERE id = gap)"),
        ("gap = (SELECT 1)", "predicate-grammar", "SELECT 1"),
        ("gap IN (SELECT 1)", "predicate-grammar", "SELECT 1"),
        ("gap = ANY (ARRAY[1])", "predicate-grammar", "ANY (ARRAY[1])"),
        ("gap = ARRAY(SELECT 1)", "predicate-grammar", "ARRAY(SELECT 1)"),
        ("now.count = 1", "predicate-name", "now.count"),
        ("now() > t", "predicate-function", "now"),
        ("random() < 0.5 OR gap = 0", "predicate-function", "random"),
        ("pg_catalog.abs(gap) = 0", "predicate-function", "pg_catalog.abs"),
        ("true) OR (true", "predicate-grammar", ")"),
        ("gap = 1) OR (true", "predicate-grammar", ")"),
        ("gap = 210) FROM (SELECT 1) AS x --", "predicate-grammar", ")"),
        ("gap = 210 -- x", "predicate-grammar", "-- x"),
        ("gap = 210 /* x */ AND gap = 1", "predicate-grammar", "/* x */"),
        ("gap = 210; SELECT 1", "predicate-grammar", ";"),
        ("gap = 210;", "predicate-grammar", ";"),
        ("gap = $1", "predicate-grammar", "$1"),
        ("gap = 1, true", "predicate-grammar", "true"),
        ("gap AS x", "predicate-grammar", "AS x"),
        ("gap x", "predicate-grammar", "x"),
        ("gap FROM t", "predicate-grammar", "FROM t"),
        ("gap = 1 WHERE true", "predicate-grammar", "WHERE true"),
        ("gap = 1 UNION SELECT true", "predicate-grammar", "gap = 1 UNION SELECT true"),
        ("DISTINCT gap", "predicate-grammar", "DISTINCT"),
        ("*", "predicate-grammar", "*"),
        ("before.*", "predicate-grammar", "before.*"),
        ("before = 1", "predicate-name", "before"),
        ("a.b.c = 1", "predicate-grammar", "a.b.c"),
        ("(gap).x = 1", "predicate-grammar", "(gap).x"),
        ("wrote.shop.orders = 1", "predicate-name", "wrote.shop.orders"),
        ("wrote.Orders = 1", "predicate-name", "Orders"),
        ("Gap = 1", "predicate-name", "Gap"),
        ("\"gap\" = 1", "predicate-name", "\"gap\""),
        ("before.\"gap\" = 1", "predicate-name", "\"gap\""),
        ("gap == 1", "predicate-grammar", "=="),
        ("gap = 1 && ok", "predicate-grammar", "&&"),
        ("gap OPERATOR(pg_catalog.=) 1", "predicate-grammar", "OPERATOR(pg_catalog.=)"),
        ("'t'::regclass = gap", "predicate-grammar", "regclass"),
        ("gap::int[] = 1", "predicate-grammar", "int[]"),
        ("gap::public.x = 1", "predicate-grammar", "public.x"),
        ("t < 'now'::timestamptz", "predicate-grammar", "'now'"),
        ("gap = E'a'", "predicate-grammar", "E'a'"),
        ("gap = $$a$$", "predicate-grammar", "$$a$$"),
        ("gap = U&'a'", "predicate-grammar", "U&'a'"),
        ("(gap, 1) = (1, 2)", "predicate-grammar", "(gap, 1)"),
        ("row(gap) = row(1)", "predicate-grammar", "row(gap)"),
        ("coalesce(VARIADIC a) = 1", "predicate-grammar", "VARIADIC a"),
        ("abs(DISTINCT gap) = 1", "predicate-grammar", "DISTINCT"),
        ("gap[1] = 1", "predicate-grammar", "gap[1]"),
        ("t COLLATE \"C\" = 'x'", "predicate-grammar", "t COLLATE \"C\""),
        ("extract(day from t) = 1", "predicate-function", "extract(day from t)"),
        ("true", "constant-predicate", "true"),
        ("false", "constant-predicate", "false"),
        ("null", "constant-predicate", "null"),
        ("1 = 1", "constant-predicate", "1 = 1"),
        ("('yes'::text)::bool", "constant-predicate", "('yes'::text)::bool"),
        ("gap =", "predicate-syntax", ""),
        ("(gap = 1", "predicate-syntax", ""),
    ] {
        let (got, at) = refused(text);
        let found = parse(text).err().unwrap_or_default();
        assert_eq!(got, code, "{text}\n{}", found.draw(false));
        assert!(at == under || (under.is_empty()), "{text}: caret under `{at}`, not `{under}`\n{}", found.draw(false));
    }
    assert_eq!(refused("").0, "predicate-syntax");
    assert_eq!(refused(&"(".repeat(9_000)).0, "predicate-syntax");
    assert_eq!(refused(&"x ".repeat(20_000)).0, "predicate-syntax");
}

#[test]
fn hints_say_what_to_write() {
    for (text, hint) in [
        ("gap == 1", "write `=`"),
        ("Gap = 1", "write `gap`"),
        ("wrote.shop.orders = 1", "write `wrote.\"shop.orders\"`"),
        ("cail(gap) = 1", "did you mean `ceil`?"),
    ] {
        let found = parse(text).err().unwrap_or_default();
        assert_eq!(found.0[0].help.as_deref(), Some(hint), "{text}");
    }
}

#[test]
fn uses_are_replaced_and_located() {
    let text = "before.gap = 210 AND gap = 0 AND wrote.\"a b\" > 'gap'";
    let predicate = parse(text).expect("parses");
    let sql = predicate.sql(|name| format!("<{name}>"));
    assert_eq!(sql, "(<before.gap>) = 210 AND (<gap>) = 0 AND (<wrote.\"a b\">) > 'gap'");
    for each in &predicate.uses {
        let place = predicate.place_of(each);
        assert_eq!(place.source.text[place.span], predicate.text[each.span.clone()]);
    }
}
