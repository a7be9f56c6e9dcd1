//! What an author's and a reviewer's tools do with plan files alone: their layout, and problems in the forms of CI systems.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn engine(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).env("NO_COLOR", "1");
    command.output().expect("the engine")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the engine prints UTF-8")
}

fn said(output: &Output) -> String {
    out(output) + &String::from_utf8(output.stderr.clone()).expect("the engine prints UTF-8")
}

#[test]
fn shipped_plans_are_laid_out() {
    let plans: Vec<String> = std::fs::read_dir("plans")
        .expect("plans")
        .map(|entry| entry.expect("an entry").path().display().to_string())
        .filter(|path| path.ends_with(".toml"))
        .collect();
    assert!(plans.len() >= 4, "{plans:?}");
    let words: Vec<&str> = ["fmt", "--check"].into_iter().chain(plans.iter().map(String::as_str)).collect();
    let output = engine(Path::new("."), &words);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn a_plan_is_laid_out_in_its_place_with_its_rights() {
    let home = tempfile::tempdir().expect("a folder");
    let (crooked, broken, link) = (home.path().join("a.toml"), home.path().join("b.toml"), home.path().join("l.toml"));
    std::fs::write(&crooked, "engine=1 # first\n").expect("writes");
    std::fs::set_permissions(&crooked, std::fs::Permissions::from_mode(0o640)).expect("its rights");
    std::os::unix::fs::symlink("a.toml", &link).expect("a link");
    std::fs::write(&broken, "engine = = 1\n").expect("writes");

    let output = engine(home.path(), &["fmt", "--check", "a.toml"]);
    assert_eq!(output.status.code(), Some(11), "{}", said(&output));
    assert!(said(&output).contains("engine fmt a.toml"), "{}", said(&output));
    assert_eq!(std::fs::read_to_string(&crooked).expect("reads"), "engine=1 # first\n");

    // The broken one does not keep the other from being done.
    let output = engine(home.path(), &["fmt", "b.toml", "l.toml"]);
    assert_eq!(output.status.code(), Some(10), "{}", said(&output));
    assert!(said(&output).contains("b.toml") && said(&output).contains("was not changed"), "{}", said(&output));
    assert_eq!(std::fs::read_to_string(&crooked).expect("reads"), "engine = 1 # first\n");
    assert_eq!(std::fs::metadata(&crooked).expect("is there").permissions().mode() & 0o777, 0o640);
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_to_string(&broken).expect("reads"), "engine = = 1\n");
    assert_eq!(engine(home.path(), &["fmt", "--check", "a.toml"]).status.code(), Some(0));
    assert_eq!(engine(home.path(), &["fmt", "none.toml"]).status.code(), Some(1));
}

#[test]
fn problems_are_annotations_where_github_reads_them() {
    let plan = "tests/bad_plans/key-below-a-reject.toml";
    let output = engine(Path::new("."), &["check", "--format", "github", plan]);
    assert_eq!(output.status.code(), Some(10), "{}", said(&output));
    let text = out(&output);
    let first = text.lines().next().expect("a line");
    assert!(
        first.starts_with(&format!("::error file={plan},line=38,endLine=38,col=1,endColumn=8,title=misplaced-key::")),
        "{text}"
    );
    assert!(first.contains("%0Ahelp: move `timeout` up"), "{text}");
}

#[test]
fn problems_of_all_plans_are_one_sarif_log() {
    let home = tempfile::tempdir().expect("a folder");
    for folder in ["plans", "sql/x"] {
        std::fs::create_dir_all(home.path().join(folder)).expect("a folder");
    }
    let plan = "engine = 1\n[target.p]\nurl = \"env:P\"\naccess = \"read\"\n[stage.a]\nkind = \"fingerprint\"\non = \"p\"\nneeds = []\nno_guard = \"none\"\n";
    std::fs::write(home.path().join("plans/x.toml"), plan).expect("writes");
    std::fs::write(home.path().join("plans/y.toml"), plan.replace("on = \"p\"", "on = \"q\"")).expect("writes");
    std::fs::write(home.path().join("sql/x/old.sql"), "SELECT 1;\n").expect("writes");
    let output = engine(home.path(), &["check", "--format", "sarif", "plans/x.toml", "plans/y.toml"]);
    // The larger of 10 and 11.
    assert_eq!(output.status.code(), Some(11), "{}", said(&output));
    let log: serde_json::Value = serde_json::from_slice(&output.stdout).expect("nothing but the log is on stdout");
    let results = log["runs"][0]["results"].as_array().expect("results");
    let found: Vec<(&str, &str)> = results
        .iter()
        .map(|r| {
            let uri = &r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
            (r["ruleId"].as_str().expect("a rule"), uri.as_str().expect("a path"))
        })
        .collect();
    assert!(found.contains(&("lock-stale", "plans/x.toml")), "{found:?}");
    assert!(found.iter().any(|(rule, path)| *rule != "lock-stale" && *path == "plans/y.toml"), "{found:?}");

    let output = engine(home.path(), &["check", "--format", "github", "plans/x.toml"]);
    assert_eq!(output.status.code(), Some(11), "{}", said(&output));
    assert!(out(&output).starts_with("::error file=plans/x.toml,line=1,"), "{}", out(&output));
    let output = engine(home.path(), &["check", "--json", "plans/y.toml"]);
    let line: serde_json::Value = serde_json::from_str(out(&output).lines().next().expect("a line")).expect("JSON");
    assert_eq!((output.status.code(), line["type"].as_str()), (Some(10), Some("problem")));
}
