//! Liars: stages that a naive checker would pass. Each must fail for its own reason, and its honest twin, which differs
//! by little, must pass. One file a pair in `cases/`; `doc` says what the lie is.

#[path = "../support/mod.rs"]
mod support;

mod cases;
mod together;

use serde::Deserialize;
use support::{Bench, to_the_rehearsal};

/// One pair.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    /// What the lie is.
    doc: String,
    /// What production has beside the two tables `t` (five rows) and `u` (none), run by their owner.
    #[serde(default)]
    tables: String,
    /// Keys of the stage, for both.
    #[serde(default)]
    keys: String,
    /// More tables of the plan, for both: `[stage.s.reject.x]`, probes.
    #[serde(default)]
    plan: String,
    /// Further templates, by name below `templates/mini/`.
    #[serde(default)]
    templates: std::collections::BTreeMap<String, String>,
    /// Keys of a `rehearse` stage that follows; none: there is no such stage.
    rehearse: Option<String>,
    lie: Told,
    honest: Told,
}

/// One of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    #[serde(default)]
    tables: String,
    sql: String,
    rollback: Option<String>,
    #[serde(default)]
    keys: String,
    #[serde(default)]
    plan: String,
    #[serde(default)]
    templates: std::collections::BTreeMap<String, String>,
    /// How the run ends.
    #[serde(default)]
    exit: i32,
    /// What it says, or, for the honest one, what its stage's page says.
    #[serde(default)]
    says: Vec<String>,
}

fn pair(name: &str) -> Pair {
    let path = format!("{}/tests/liars/cases/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    toml::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn tell(name: &str, honest: bool) {
    let pair = pair(name);
    let told = if honest { &pair.honest } else { &pair.lie };
    let bench = Bench::mini(
        &format!("{name}_{}", if honest { "honest" } else { "lie" }),
        &format!("{};{}", pair.tables, told.tables),
    );
    for (file, text) in pair.templates.iter().chain(&told.templates) {
        bench.write(&format!("templates/mini/{file}"), text);
    }
    let keys = format!("{}\n{}", pair.keys, told.keys);
    let sql = told.sql.trim().trim_end_matches(';');
    let rollback = told.rollback.as_deref().map(|text| text.trim().trim_end_matches(';'));
    let mut stages = bench.mini_stage("s", "\"base\"", &keys, sql, rollback);
    stages.push_str(&format!("{}\n{}\n", pair.plan, told.plan));
    if let Some(more) = &pair.rehearse {
        stages.push_str(&to_the_rehearsal("\"s\"", more));
    }
    bench.mini_plan(&stages);
    let outcome = bench.mini_apply(&[]);
    let says: Vec<&str> = told.says.iter().map(String::as_str).collect();
    if honest {
        assert_eq!(told.exit, 0, "an honest one passes");
        outcome.expect(0);
        let page = bench.engine(&["show", "latest", "s"]).stdout;
        assert!(says.iter().all(|words| page.contains(words)), "{says:?} are not in\n{page}");
    } else {
        assert!(!says.is_empty(), "{}: a lie is told for a reason", pair.doc);
        outcome.expect(told.exit).says(&says);
    }
    if !bench.runs().is_empty() {
        bench.engine(&["verify", "latest"]).expect(0);
    }
}
