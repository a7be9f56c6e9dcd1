//! `engine plan`: what would run, its locks and estimates, read-only; and a preview that is kept and then applied.

mod support;

use engine::digest;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use support::{Bench, MINI, assert_same};

const FILL: &str = "INSERT INTO u SELECT id, v FROM t WHERE id > 2;
UPDATE t AS x SET v = u.v FROM u WHERE u.id = x.id;
SELECT count(*) FROM gov.approvals";

/// Two stages in a row, one beside them.
fn plan(bench: &Bench, guard: &str) {
    let make = "CREATE TABLE public.made (id int);\nDO $$ BEGIN END $$";
    let keys = "alters = [\"made\"]\nguard.open = \"oks = 0\"";
    let first = bench.mini_stage("make", "\"base\"", keys, make, Some("DROP TABLE public.made"));
    let keys = format!("writes.made = 1\nwrites.u = 5\nwrites.t = \"all\"\n{guard}");
    let fill = format!("{FILL};\nINSERT INTO public.made SELECT id FROM public.made");
    let second = bench.mini_stage("fill", "\"make\"", &keys, &fill, None);
    let beside = bench.mini_stage("beside", "\"base\"", "", "SELECT id FROM t FOR UPDATE", None);
    bench.mini_plan(&format!("{first}{second}{beside}"));
}

fn preview(bench: &Bench, code: i32) -> Value {
    let said = bench.engine(&["plan", MINI, "--json"]).expect(code);
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}", said.stdout))
}

fn stage<'v>(preview: &'v Value, name: &str) -> &'v Value {
    let stages = preview["stages"].as_array().expect("stages");
    stages.iter().find(|stage| stage["name"] == name).unwrap_or_else(|| panic!("no stage {name}"))
}

/// Checks whose rejects draw from sequences take turns as stages that write do, unless their writers are independent.
#[test]
fn checks_with_rejects_take_turns_where_writers_do() {
    for (keys, wanted) in [("", vec![]), ("parallel = true", vec![Value::from("two")])] {
        let bench = Bench::mini(if keys.is_empty() { "turns" } else { "no_turns" }, "");
        bench.write("templates/mini/rej.sql", "INSERT INTO u (id, v) VALUES (7, 'x');\n");
        let check = |name: &str| {
            format!(
                "[stage.{name}]\nkind = \"check\"\non = \"clone\"\nneeds = [\"base\"]\nno_guard = \"none\"\n\
                 [stage.{name}.reject.twice]\nfile = \"mini/rej.sql\"\nno_permit = \"none\"\nrefuse.twice = {{ error = \"23505\" }}\n"
            )
        };
        bench.mini_plan_with("", keys, &format!("{}{}", check("one"), check("two")));
        let preview = preview(&bench, 0);
        assert_eq!(stage(&preview, "one")["beside"]["first"], Value::from(wanted), "{preview:#}");
    }
}

#[test]
fn a_preview_says_what_would_run_and_changes_nothing() {
    let bench = Bench::mini("preview", "INSERT INTO u SELECT n, 'w' FROM generate_series(100, 200) AS n; ANALYZE u");
    plan(&bench, "guard.full = \"oks >= 1\"");
    let before = bench.all_of(bench.production());
    let preview = preview(&bench, 30);
    assert_same(&bench.all_of(bench.production()), &before, "production");
    assert!(!bench.exists(bench.clone_name()) && !bench.home().join(".engine").exists());

    assert_eq!((&preview["v"], &preview["type"]), (&Value::from(1), &Value::from("preview")));
    let names: Vec<&str> =
        preview["stages"].as_array().expect("stages").iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(names, ["pre", "clone", "base", "make", "fill", "beside"]);
    assert_eq!(preview["readings"]["oks"]["value"], "0");
    assert!(preview["readings"].get("ts").is_none(), "a clone is not there yet");
    assert_eq!(preview["gates"]["production"][0]["state"], "block");

    let (make, fill) = (stage(&preview, "make"), stage(&preview, "fill"));
    assert_eq!((&make["wave"], &fill["wave"]), (&Value::from(4), &Value::from(5)));
    assert_eq!(
        (&make["guards"][0]["state"], &fill["guards"][0]["state"]),
        (&Value::from("pass"), &Value::from("block"))
    );
    assert_eq!(make["statements"][1]["locks_not_known"][0], "what it does is not in its text");
    assert_eq!(
        fill["writes"],
        serde_json::from_str::<Value>(
            r#"[{"table":"made","most":1},{"table":"u","most":5},{"table":"t","most":null}]"#
        )
        .expect("JSON")
    );

    let statements = fill["statements"].as_array().expect("statements");
    let heads: Vec<String> =
        statements.iter().map(|s| format!("{}:{}", s["verb"].as_str().expect("a verb"), s["line"])).collect();
    assert_eq!(heads, ["INSERT:1", "UPDATE:2", "SELECT:3", "INSERT:4"]);
    assert_eq!(statements[1]["locks"].to_string(), r#"{"t":"ROW EXCLUSIVE","u":"ACCESS SHARE"}"#);
    // What the planner says to somebody else.
    let queries = [
        "SELECT id, v FROM t WHERE id > 2",
        "SELECT 1 FROM t AS x, u WHERE u.id = x.id",
        "SELECT count(*) FROM gov.approvals",
    ];
    for (statement, query) in statements.iter().zip(queries) {
        let planned =
            bench.psql(bench.production(), &format!("SET search_path = public, gov; EXPLAIN (FORMAT JSON) {query}"));
        let planned: Value = serde_json::from_str(&planned).expect("JSON");
        let estimate = &statement["estimate"];
        assert_eq!(estimate["rows"].as_f64(), planned[0]["Plan"]["Plan Rows"].as_f64(), "{query}: {estimate}");
        assert_eq!(estimate["cost"].as_f64(), planned[0]["Plan"]["Total Cost"].as_f64(), "{query}: {estimate}");
        assert_eq!(estimate["reading_half"].as_bool(), Some(!query.contains("approvals")));
    }
    let none = |statement: &Value| statement["estimate"]["none"].as_str().unwrap_or_default().to_owned();
    assert!(none(&statements[3]).starts_with("not there before the run: "), "{}", statements[3]);
    let locked = &stage(&preview, "beside")["statements"][0];
    assert!(none(locked).starts_with("the role that reads may not: "), "{locked}");
    assert_eq!(locked["locks"].to_string(), r#"{"t":"ROW SHARE"}"#);
}

#[test]
fn a_preview_says_who_touches_production() {
    let bench = Bench::mini("touches", "");
    plan(&bench, "guard.full = \"ts >= 1\"");
    let preview = preview(&bench, 0);
    let touches = |name: &str| stage(&preview, name)["touches"].to_string();
    assert_eq!(touches("pre"), r#"{"reads":["production"],"writes":null,"writes_clone":false}"#);
    assert_eq!(touches("clone"), r#"{"reads":["production"],"writes":"clone","writes_clone":true}"#);
    assert_eq!(touches("make"), r#"{"reads":["production"],"writes":"clone","writes_clone":true}"#);
    assert_eq!(touches("fill"), r#"{"reads":[],"writes":"clone","writes_clone":true}"#);
    assert_eq!(stage(&preview, "fill")["guards"][0]["state"], "not yet");
    let said = bench.engine(&["plan", MINI]).expect(0);
    said.says(&[
        "never touches production",
        "access = \"read\": READ ONLY transactions",
        "read by 3 of 6 stages, written by none",
        "lock    ROW EXCLUSIVE on u",
        "lock    not known: what it does is not in its text",
        "not yet       full: ts >= 1",
        "at most 5 row changes",
        "alters  made",
    ]);
}

fn nothing_was_made(bench: &Bench) {
    assert!(!bench.exists(bench.clone_name()) && !bench.home().join(".engine").exists());
}

#[test]
fn a_kept_preview_runs_exactly_or_says_what_moved() {
    let mut bench = Bench::mini("kept", "");
    plan(&bench, "");
    let elsewhere = Bench::mini("kept_other", "");
    bench.engine(&["plan", MINI, "-o", "kept", "--pin", "oks"]).expect(0).says(&["engine apply kept"]);
    let mode = std::fs::metadata(bench.home().join("kept")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let moved = |bench: &Bench, said: &[&str]| {
        bench.engine(&["apply", "kept"]).expect(62).says(&["nothing was changed; no run was started"]).says(said);
        nothing_was_made(bench);
    };
    let template = "templates/mini/fill.sql";
    let (plan, sql) = (bench.read(MINI), bench.read(template));
    bench.write(template, &sql.replace("id > 2", "id > 3"));
    moved(&bench, &["template templates/mini/fill.sql: was changed", "rendered fill.sql: it differs"]);
    bench.write(template, &sql);
    bench.write(MINI, &format!("# said later\n{plan}"));
    moved(&bench, &["plan plans/mini.toml: was changed"]);
    bench.write(MINI, &plan.replace("[defaults]", "[var.more]\ntype = \"int\"\ndefault = 3\n[defaults]"));
    moved(&bench, &["plan plans/mini.toml: was changed", "variable `more`: is new"]);
    bench.write(MINI, "engine = 1\n[stage");
    moved(&bench, &["plan plans/mini.toml: it was valid, and is not"]);
    bench.write(MINI, &plan);
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    moved(&bench, &["reading `oks`: 0 → 1"]);
    bench.psql(bench.production(), "DELETE FROM ok");
    let here = bench.url("engine_reader", bench.production());
    bench.set("SHOP_PRODUCTION_URL", &elsewhere.url("engine_reader", elsewhere.production()));
    moved(&bench, &["target `production`: name of the database", "target `production`: oid of the database"]);
    bench.set("SHOP_PRODUCTION_URL", &here);

    bench.engine(&["apply", "kept", "--var", "x=1"]).expect(2).says(&["brings its variables"]);
    nothing_was_made(&bench);
    bench.engine(&["apply", "kept"]).expect(0);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT count(*) FROM u"), "3");
}

#[test]
fn what_is_not_pinned_may_move_and_what_is_damaged_does_not_run() {
    let bench = Bench::mini("damaged", "");
    bench.mini_plan("");
    bench.engine(&["plan", MINI, "-o", "kept"]).expect(0);
    bench.engine(&["plan", MINI, "-o", "all", "--pin-all"]).expect(0);
    bench.engine(&["plan", MINI, "-o", "no", "--pin", "okz"]).expect(2).says(&["no such probe", "--pin oks"]);
    bench.engine(&["plan", MINI, "-o", "no", "--pin", "ts"]).expect(2).says(&["reads the clone `clone`"]);
    bench.engine(&["plan", MINI, "--pin", "oks"]).expect(2);
    assert!(!bench.home().join("no").exists());

    let kept = bench.read("kept");
    bench.write("changed", &kept.replacen("\"mini\"", "\"maxi\"", 1));
    bench.engine(&["apply", "changed"]).expect(62).says(&["changed after it was kept", "no run was started"]);
    bench.write("short", &kept[..kept.len() - 40]);
    bench.engine(&["apply", "short"]).expect(1).says(&["has lost its end"]);
    bench.write("foreign", "{\"a\": 1}\n");
    bench.engine(&["apply", "foreign"]).expect(1).says(&["is JSON, and no preview"]);
    nothing_was_made(&bench);

    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    bench.engine(&["apply", "all"]).expect(62).says(&["reading `oks`: 0 → 1"]);
    nothing_was_made(&bench);
    bench.engine(&["apply", "kept"]).expect(0);
}

/// Whoever takes its run up, or disposes of it, means the clone that is named by the day of the preview.
#[test]
fn a_run_of_a_kept_preview_is_of_its_day() {
    const DAY: &str = "20200229";
    let bench = Bench::mini("day", "");
    bench.mini_plan("");
    let of = |day: &str| format!("{}_{day}", bench.clone_name());
    bench.edit(MINI, &format!("\"{}\"", bench.clone_name()), &format!("\"{}\"", of("{{ run.date }}")));
    bench.engine(&["plan", MINI, "-o", "kept"]).expect(0);
    // As if it had been kept long ago.
    let kept = bench.read("kept");
    let (_, body) = kept.split_once("\",\"preview\":").expect("a preview");
    let body = body.strip_suffix("}\n").expect("its end");
    let today = &body.split_once("\"date\":\"").expect("a day").1[..DAY.len()];
    let older = body.replace(today, DAY);
    let head = format!("{{\"v\":1,\"type\":\"saved preview\",\"sha256\":\"{}\"", digest::hex(older.as_bytes()));
    bench.write("kept", &format!("{head},\"preview\":{older}}}\n"));
    bench.killed(&["apply", "kept"], "journal/clone_made/clone/synced#1");
    bench.engine(&["resume"]).expect(0);
    assert!(bench.exists(&of(DAY)) && !bench.exists(&of(today)));
    bench.engine(&["drop", "latest"]).expect(0);
    assert!(!bench.exists(&of(DAY)));
    bench.nothing_left();
}
