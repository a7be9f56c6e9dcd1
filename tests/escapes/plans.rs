//! Whole plans and templates that try to write production or to get out of the clone, as shipped: `engine check` refuses
//! them with a place, or `engine apply` runs to an end; either way production is what it was. The cases stand in `cases/`.

use crate::support::{Bench, MINI, assert_same, server, to_the_packet};
use serde::Deserialize;

/// A file of `cases/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    /// Where each text stands, unless it says so itself.
    place: String,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What is tried.
    text: String,
    /// `template`, `rollback`, `given`, `reject`, `traffic`, `probe`, `clone_probe`, `guard`, `gate`, `ensure`, `done_when`, `plan`.
    place: Option<String>,
    /// Keys of the stage beside its own.
    #[serde(default)]
    keys: String,
    /// What production lends.
    #[serde(default)]
    tables: String,
    /// A value of the variable `v`.
    var: Option<String>,
    exit: i32,
    /// How it ends from PostgreSQL 16 on, where that is another end.
    since_16: Option<i32>,
    /// How it ends when a superuser reads production.
    attested: Option<i32>,
    #[serde(default)]
    says: Vec<String>,
}

const ALL: &[(&str, &str)] = &[
    ("templates", include_str!("cases/templates.toml")),
    ("tricks", include_str!("cases/tricks.toml")),
    ("variables", include_str!("cases/variables.toml")),
    ("readings", include_str!("cases/readings.toml")),
    ("others", include_str!("cases/others.toml")),
];

fn cases(name: &str) -> Cases {
    let text = ALL.iter().find(|(known, _)| *known == name).expect("a file of cases").1;
    toml::from_str(text).unwrap_or_else(|error| panic!("cases/{name}.toml: {error}"))
}

/// Writes the plan with the case's text where it belongs.
fn lay_out(bench: &Bench, place: &str, case: &Case, reader: Reader) {
    let text = case.text.as_str();
    let quoted = format!("'''{text}'''");
    let or = |wanted: &str, other: &str| if place == wanted { text.to_owned() } else { other.to_owned() };
    let keys = match place {
        "ensure" => format!("ensure.e = {quoted}\n{}", case.keys),
        "guard" => format!("guard.g = {quoted}\n{}", case.keys),
        "done_when" => format!("done_when = {quoted}\n{}", case.keys),
        _ => case.keys.clone(),
    };
    let back = or("rollback", "DELETE FROM u");
    let mut stage = bench.mini_stage("s", "\"base\"", &format!("writes.u = 1\n{keys}"), "SELECT 1", Some(&back));
    bench.write("templates/mini/s.sql", &or("template", "INSERT INTO u VALUES (1, 'a');\n"));
    if ["given", "reject"].contains(&place) {
        bench.write("templates/mini/given.sql", &or("given", "INSERT INTO u VALUES (7, 'g');\n"));
        bench.write("templates/mini/reject.sql", &or("reject", "INSERT INTO t VALUES ({{ id }}, 'r');\n"));
        stage.push_str(
            "[stage.s.reject.r]\ngiven = \"mini/given.sql\"\nfile = \"mini/reject.sql\"\npermit = { id = 99 }\n\
             refuse.taken = { with.id = 1, error = \"23505\", constraint = \"t_pkey\" }\n",
        );
    }
    let mut end = to_the_packet("\"s\"", "\"s\"", "us = 1");
    if place == "traffic" {
        bench.write("templates/mini/traffic.sql", text);
        end = end.replacen("baseline = \"base\"\n", "baseline = \"base\"\ntraffic = \"mini/traffic.sql\"\n", 1);
    }
    let probe = match place {
        "probe" => format!(
            "[probe.p]\non = \"production\"\nsql = {quoted}\n[stage.look]\nkind = \"check\"\non = \"production\"\nneeds = [\"pre\"]\nguard.g = \"p >= 0\"\n"
        ),
        "clone_probe" => format!(
            "[probe.p]\non = \"clone\"\nsql = {quoted}\n[stage.look]\nkind = \"check\"\non = \"clone\"\nneeds = [\"base\"]\nguard.g = \"p >= 0\"\n"
        ),
        _ => String::new(),
    };
    let var = case.var.as_ref().map_or(String::new(), |_| "[var.v]\ntype = \"text\"\n".to_owned());
    let more = if place == "plan" { text } else { "" };
    let gate = if place == "gate" { format!("gate.more = {quoted}") } else { String::new() };
    let reader = if reader == Reader::Superuser { "reader = \"attested\"" } else { "" };
    bench.mini_plan_with(&format!("{reader}\n{gate}"), "", &format!("{var}{probe}{stage}{end}{more}"));
}

/// All of the server that is not the clone.
const SERVER: &str = "SELECT md5(string_agg(a::text, ',' ORDER BY oid)) FROM pg_authid AS a WHERE rolname !~ '^gate_';
    SELECT count(*) FROM pg_prepared_xacts; SELECT count(*) FROM pg_replication_slots;
    SELECT string_agg(s::text, ',' ORDER BY setrole) FROM pg_db_role_setting AS s WHERE setdatabase = 0";

/// Who reads production.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// `engine_reader`, who may nothing else.
    Confined,
    /// A superuser, and the plan says `attested`.
    Superuser,
}

fn run(name: &str, reader: Reader) {
    let cases = cases(name);
    let checked = Bench::mini(&format!("plans_{name}"), "");
    let production = checked.production().to_owned();
    let before = super::state(server(), &production);
    for (at, case) in cases.case.iter().enumerate() {
        let place = case.place.as_deref().unwrap_or(&cases.place);
        let says: Vec<&str> = case.says.iter().map(String::as_str).collect();
        let var = case.var.as_ref().map(|value| format!("v={value}"));
        let more: Vec<&str> = var.iter().flat_map(|var| ["--var", var.as_str()]).collect();
        lay_out(&checked, place, case, reader);
        let outcome = checked.engine(&[&["check", MINI], more.as_slice()].concat());
        if outcome.code != 0 {
            assert_eq!(outcome.code, case.exit, "{name} {at}: {}\n{}", case.text, outcome.all());
            let shown = outcome.all();
            assert!(
                ["plans/mini.toml:", "templates/mini/", "sql/mini/"]
                    .iter()
                    .any(|file| shown.contains(&format!("--> {file}"))),
                "no place in\n{shown}"
            );
            outcome.says(&says);
            assert_same(&super::state(server(), &production), &before, &case.text);
            continue;
        }
        assert_ne!(case.exit, 10, "{name} {at}: `check` takes {}", case.text);
        let mut bench = Bench::mini(&format!("run_{name}_{at}"), &case.tables);
        if reader == Reader::Superuser {
            bench.set("SHOP_PRODUCTION_URL", &bench.url("postgres", bench.production()));
        }
        lay_out(&bench, place, case, reader);
        let (before, around) = (bench.all_of(bench.production()), bench.psql("postgres", SERVER));
        let outcome = bench.mini_apply(&more);
        let since_16 = case.since_16.filter(|_| server().major() >= 16);
        let attested = case.attested.filter(|_| reader == Reader::Superuser);
        let exit = attested.or(since_16).unwrap_or(case.exit);
        assert_eq!(outcome.code, exit, "{name} {at}: {}\n{}", case.text, outcome.all());
        if attested.is_none() {
            outcome.says(&says);
        }
        assert_same(&bench.all_of(bench.production()), &before, &case.text);
        assert_same(&bench.psql("postgres", SERVER), &around, &case.text);
    }
}

#[test]
fn templates_stay_in_the_clone() {
    run("templates", Reader::Confined);
}

#[test]
fn tricks_with_characters_trick_nobody() {
    run("tricks", Reader::Confined);
}

#[test]
fn variables_and_the_template_language_carry_no_sql() {
    run("variables", Reader::Confined);
}

#[test]
fn probes_and_predicates_only_read() {
    run("readings", Reader::Confined);
}

#[test]
fn probes_of_a_superuser_only_read() {
    run("readings", Reader::Superuser);
}

#[test]
fn rollbacks_rejects_traffic_and_the_rest_stay_in_the_clone() {
    run("others", Reader::Confined);
}

#[test]
fn the_corpus_is_large() {
    let plans: usize = ALL.iter().map(|(name, _)| cases(name).case.len()).sum();
    let statements = super::corpus::ESCAPES.len();
    println!(
        "{plans} plans and templates, {statements} statement lists of a reader, {} more of a stage",
        super::from_a_clone::COUNT
    );
    assert!(plans >= 60 && statements >= 60, "{plans}, {statements}");
}
