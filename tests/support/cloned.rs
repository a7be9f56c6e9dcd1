//! A production put together in a test, a plan that only clones it, and witnesses that compare both without
//! anything of the engine: every row through psql, every object as `pg_dump -s` prints it.

use super::witness::dump;
use super::{Bench, Outcome};
use std::collections::BTreeMap;

/// The methods of cloning that every test of clones goes through.
pub const METHODS: &[&str] = &["stream", "dump"];

/// The plan that [`Bench::clone_plan`] writes.
pub const PLAN: &str = "plans/only_clone.toml";

/// Lines of a dump that belong to the place they stand at and not to an object: what a session is set to where objects
/// of another sort begin, the random word since 2025, and the schema that is always there.
const PASSING: [&str; 6] = [
    "SET default_tablespace",
    "SET default_table_access_method",
    "\\restrict ",
    "\\unrestrict ",
    "-- *not* creating schema",
    "-- PostgreSQL database dump complete",
];

const ROWS: &str = include_str!("rows.sql");

impl Bench {
    /// Writes a plan that makes a clone and does nothing else; `more` are further keys of the clone stage.
    pub fn clone_plan(&self, method: &str, more: &str) {
        let database = self.clone_name();
        let plan = format!(
            r#"engine = 1
[plan]
name = "only_clone"
[target.production]
url = "env:SHOP_PRODUCTION_URL"
access = "read"
[target.clone]
clone_of = "production"
database = "{database}"
url = "env:SHOP_CLONE_URL"
maker_url = "env:SHOP_CLONE_MAKER_URL"
[defaults]
timeout = "2m"
[stage.clone]
kind = "clone"
on = "clone"
needs = []
method = "{method}"
no_guard = "none"
{more}
"#
        );
        self.write(PLAN, &plan);
    }

    /// Makes the clone.
    pub fn make_clone(&self, method: &str, more: &str) -> Outcome {
        self.clone_plan(method, more);
        self.engine(&["apply", PLAN])
    }

    /// Demands that nothing is left of clones: neither the name nor a half one under the name of a run.
    #[track_caller]
    pub fn nothing_left(&self) {
        let runs: Vec<String> = self.runs().iter().map(|run| format!("'engine_{run}%'")).collect();
        let half = if runs.is_empty() { "'no run'".to_owned() } else { runs.join(",") };
        let sql = format!(
            "SELECT datname FROM pg_database WHERE datname LIKE ANY (ARRAY[{half}]) OR datname = '{}'",
            self.clone_name()
        );
        assert_eq!(self.psql("postgres", &sql), "", "databases are left");
    }

    /// What the clone and production differ in, a line each: rows and objects, as independent witnesses see them.
    #[track_caller]
    pub fn unlike(&self) -> Vec<String> {
        unlike(self, self.production(), self.clone_name())
    }
}

/// What two databases of a bench differ in.
#[track_caller]
pub fn unlike(bench: &Bench, source: &str, clone: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (here, there) = (rows_of(bench, source), rows_of(bench, clone));
    let (here, there): (Vec<&str>, Vec<&str>) = (here.lines().collect(), there.lines().collect());
    found.extend(here.iter().filter(|line| !there.contains(line)).map(|line| format!("rows of production: {line}")));
    found.extend(there.iter().filter(|line| !here.contains(line)).map(|line| format!("rows of the clone: {line}")));
    let (here, there) = (objects_of(bench, source), objects_of(bench, clone));
    for (name, text) in &here {
        match there.get(name) {
            None => found.push(format!("not in the clone: {name}")),
            Some(other) if other != text => found.push(format!("{name}:\n- {text}\n+ {other}")),
            Some(_) => {}
        }
    }
    found
        .extend(there.keys().filter(|name| !here.contains_key(*name)).map(|name| format!("only in the clone: {name}")));
    found
}

/// All rows of a database, a line a relation.
#[track_caller]
pub fn rows_of(bench: &Bench, database: &str) -> String {
    bench.psql(database, ROWS)
}

/// All objects of a database by `schema / name / type`, as `pg_dump -s` prints them without their owners.
#[track_caller]
pub fn objects_of(bench: &Bench, database: &str) -> BTreeMap<String, String> {
    let text = dump(&bench.url("postgres", database), &["-s", "--no-owner", "-E", "UTF8"]);
    let mut objects: BTreeMap<String, String> = BTreeMap::new();
    let mut name = "settings".to_owned();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix("-- Name: ") {
            name = named(header);
        } else if !PASSING.iter().any(|start| line.starts_with(start)) && !line.is_empty() && line != "--" {
            // Whoever owns all of it: the one mapping that a clone is made with.
            let line = unnumbered(&line.replace("shop_owner", "engine_owner"));
            // What an owner holds on its own objects is not cloned: it can always give it to itself.
            let own = [" FROM engine_owner;", " TO engine_owner;"].iter().any(|end| line.ends_with(end));
            if own && (line.starts_with("REVOKE ") || line.starts_with("GRANT ")) {
                continue;
            }
            let object = objects.entry(name.clone()).or_default();
            object.push_str(&line);
            object.push('\n');
        }
    }
    objects
}

/// Without the names that PostgreSQL 18 makes up for NOT NULL constraints of partitioned tables and that `pg_restore`
/// makes up anew: `id integer CONSTRAINT p_id_not_null1 NOT NULL`.
fn unnumbered(line: &str) -> String {
    let made_up = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with("_not_null");
    match line.split_once(" CONSTRAINT ").map(|(before, rest)| (before, rest.split_once(" NOT NULL"))) {
        Some((before, Some((name, after)))) if made_up(name) => format!("{before} NOT NULL{after}"),
        _ => line.to_owned(),
    }
}

/// `s / t / TABLE` of `t; Type: TABLE; Schema: s; Owner: -`.
fn named(header: &str) -> String {
    let cut = |text: &str, at: &str| text.rfind(at).map(|n| (text[..n].to_owned(), text[n + at.len()..].to_owned()));
    let (rest, _) = cut(header, "; Owner: ").unwrap_or((header.to_owned(), String::new()));
    let (rest, schema) = cut(&rest, "; Schema: ").unwrap_or((rest, String::new()));
    let (name, kind) = cut(&rest, "; Type: ").unwrap_or((rest, String::new()));
    format!("{schema} / {name} / {kind}").replace("shop_owner", "engine_owner")
}
