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
        .filter(|path| Path::new(path).extension().is_some_and(|ending| ending == "toml"))
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
    // Nor does one that cannot be read.
    std::fs::write(&crooked, "engine=1\n").expect("writes");
    let output = engine(home.path(), &["fmt", "none.toml", ".", "a.toml"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("none.toml cannot be read") && said(&output).contains("name plan files"),
        "{}",
        said(&output)
    );
    assert_eq!(std::fs::read_to_string(&crooked).expect("reads"), "engine = 1\n");
}

/// Stages in the opposite order of the file, each with the tables that belong to it.
fn backwards(plan: &str) -> String {
    let mut head = String::new();
    let mut stages: Vec<(String, String)> = Vec::new();
    for line in plan.split_inclusive('\n') {
        let table = line.strip_prefix("[stage.").and_then(|rest| rest.split(['.', ']']).next());
        match table {
            Some(name) if stages.last().is_none_or(|(last, _)| last != name) => {
                stages.push((name.to_owned(), line.to_owned()));
            }
            Some(_) => stages.last_mut().expect("a stage").1.push_str(line),
            None => stages.last_mut().map_or(&mut head, |(_, text)| text).push_str(line),
        }
    }
    assert!(stages.len() > 8, "{} stages", stages.len());
    stages.into_iter().rev().fold(head + "\n", |text, (_, stage)| text + &stage + "\n")
}

/// A folder with the main job, rendered under a locale, in a time zone, from a plan as `order` makes it.
fn rendered(locale: &str, zone: &str, order: fn(&str) -> String) -> Vec<(String, String)> {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(home.path().join("plans")).expect("a folder");
    for file in support::files(Path::new("templates")) {
        let copy = home.path().join(&file);
        std::fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
        std::fs::copy(&file, copy).expect("copies");
    }
    let plan = std::fs::read_to_string("plans/clone_a_to_g.toml").expect("reads");
    std::fs::write(home.path().join("plans/clone_a_to_g.toml"), order(&plan)).expect("writes");
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command.args(["render", "plans/clone_a_to_g.toml"]).current_dir(home.path()).stdin(Stdio::null());
    let output = command.env("LC_ALL", locale).env("LANG", locale).env("TZ", zone).output().expect("the engine");
    assert!(output.status.success(), "{}", said(&output));
    let mut files: Vec<(String, String)> = std::fs::read_dir(home.path().join("sql/clone_a_to_g"))
        .expect("the lock")
        .map(|entry| {
            let entry = entry.expect("an entry");
            (entry.file_name().to_string_lossy().into_owned(), std::fs::read_to_string(entry.path()).expect("reads"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_lock_is_the_same_bytes_everywhere() {
    let here = rendered("C", "UTC", str::to_owned);
    assert!(here.len() > 10 && here.iter().any(|(name, _)| name == "predicates.sql"));
    assert_eq!(here, rendered("C", "UTC", str::to_owned), "twice");
    assert_eq!(here, rendered("tr_TR.UTF-8", "Pacific/Kiritimati", str::to_owned), "elsewhere");
    assert_eq!(here, rendered("de_DE.UTF-8", "America/St_Johns", backwards), "stages in another order");
}

/// Four stages, two of them named like words of Mermaid and DOT.
fn drawn(second: &str) -> String {
    let stage = |name: &str, needs: &str| {
        format!("[stage.{name}]\nkind = \"fingerprint\"\non = \"p\"\nneeds = [{needs}]\nno_guard = \"none\"\n")
    };
    let head = "engine = 1\n[plan]\nname = \"x\"\n[target.p]\nurl = \"env:P\"\naccess = \"read\"\n";
    let last = if second == "subgraph" { "\"graph\", \"subgraph\"" } else { "\"graph\"" };
    format!("{head}{}{}{}{}", stage("graph", ""), stage(second, "\"graph\""), stage("node", last), stage("alone", ""))
}

#[test]
fn a_graph_is_drawn_in_every_form() {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::write(home.path().join("old.toml"), drawn("subgraph")).expect("writes");
    let draw = |words: &[&str]| {
        let output = engine(home.path(), &[&["graph", "old.toml"], words].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        out(&output)
    };
    assert_eq!(
        draw(&[]),
        "  1 graph     fingerprint on p\n  2 subgraph  fingerprint on p  after graph\n  \
         3 node      fingerprint on p  after graph, subgraph\n  4 alone     fingerprint on p\n"
    );
    let mermaid = draw(&["--format", "mermaid"]);
    assert!(
        mermaid.starts_with("graph TD\n") && mermaid.contains("    s_subgraph[\"subgraph<br/>fingerprint on p\"]\n"),
        "{mermaid}"
    );
    assert!(mermaid.contains("    s_graph --> s_subgraph\n") && !mermaid.contains("classDef"), "{mermaid}");
    let dot = draw(&["--format", "dot"]);
    assert!(dot.contains("    \"graph\" -> \"subgraph\";\n") && !dot.contains("fillcolor"), "{dot}");
    let svg = draw(&["--format", "svg"]);
    assert_eq!(svg, draw(&["--format", "svg"]));
    assert!(svg.contains("<title>x</title>") && svg.trim_end().ends_with("</svg>"), "{svg}");
    for name in ["alone", "graph", "subgraph", "node"] {
        assert!(svg.contains(&format!(">{name}</tspan>")), "{name}: {svg}");
    }
    // Three needs, three lines with a head.
    assert_eq!(svg.matches("marker-end").count(), 3, "{svg}");
}

#[test]
fn a_graph_shows_what_became_of_each_stage() {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::write(home.path().join("old.toml"), drawn("subgraph")).expect("writes");
    let new = drawn("later").replacen("no_guard = \"none\"", "no_guard = \"none\"\nretry = 2", 1);
    // Another stage, not the same one under another name.
    let other = new.replacen("[stage.later]\n", "[stage.later]\nlevel = \"counts\"\n", 1);
    assert_ne!(other, new);
    std::fs::write(home.path().join("new.toml"), other).expect("writes");
    let draw = |words: &[&str]| {
        let output = engine(home.path(), &[&["graph", "new.toml", "--diff", "old.toml"], words].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        out(&output)
    };
    let text = draw(&[]);
    let line =
        |name: &str| text.lines().find(|line| line.contains(&format!(" {name} "))).unwrap_or_else(|| panic!("{text}"));
    assert!(
        line("graph").starts_with('~') && line("later").starts_with('+') && line("subgraph").starts_with('-'),
        "{text}"
    );
    assert!(line("alone").starts_with(' ') && line("node").contains("graph, -subgraph"), "{text}");
    let mermaid = draw(&["--format", "mermaid"]);
    for part in
        [":::changed", ":::added", ":::removed", "s_subgraph -.-> s_node", "s_graph ==> s_later", "classDef removed"]
    {
        assert!(mermaid.contains(part), "{part}: {mermaid}");
    }
    let dot = draw(&["--format", "dot"]);
    assert!(dot.contains("\"subgraph\" -> \"node\" [color=\"#868e96\", style=dashed]"), "{dot}");
    let svg = draw(&["--format", "svg"]);
    assert!(
        svg.contains("#d0ebff") && svg.contains("stroke-dasharray") && svg.contains(">- subgraph</tspan>"),
        "{svg}"
    );
    std::fs::write(home.path().join("new.toml"), new).expect("writes");
    let renamed = draw(&[]);
    for (mark, name) in [('~', "graph"), ('~', "later"), ('!', "node"), (' ', "alone")] {
        let line = renamed.lines().find(|line| line.split_whitespace().any(|word| word == name)).expect("a stage");
        assert!(line.starts_with(mark), "{name}: {renamed}");
    }
    assert!(!renamed.contains("subgraph"), "{renamed}");
    let output = engine(home.path(), &["graph", "new.toml", "--diff", "gone.toml"]);
    assert_ne!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("gone.toml"), "{}", said(&output));
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

const FINGERPRINT: &str = "engine = 1\n[target.p]\nurl = \"env:P\"\naccess = \"read\"\n[stage.a]\nkind = \"fingerprint\"\non = \"p\"\nneeds = []\nno_guard = \"none\"\n";

/// A repository below another folder: a good plan, a bad one, and a lock of the good one that is not fresh.
fn checked() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    for folder in [".git", "db/plans", "db/sql/x", "elsewhere"] {
        std::fs::create_dir_all(home.path().join(folder)).expect("a folder");
    }
    std::fs::write(home.path().join("db/plans/x.toml"), FINGERPRINT).expect("writes");
    std::fs::write(home.path().join("db/plans/y.toml"), FINGERPRINT.replace("\"p\"", "\"q\"")).expect("writes");
    std::fs::write(home.path().join("db/sql/x/old.sql"), "SELECT 1;\n").expect("writes");
    home
}

/// Rules and paths of a SARIF log.
fn sarif(output: &Output) -> Vec<(String, String)> {
    let log: serde_json::Value = serde_json::from_slice(&output.stdout).expect("nothing but the log is on stdout");
    let results = log["runs"][0]["results"].as_array().expect("results").clone();
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let one = |r: &serde_json::Value| {
        (word(&r["ruleId"]), word(&r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]))
    };
    results.iter().map(one).collect()
}

#[test]
fn paths_are_those_of_the_repository_wherever_the_command_is_typed() {
    let home = checked();
    let absolute = home.path().join("db/plans/x.toml").display().to_string();
    for (folder, plan) in
        [("db", "plans/x.toml"), ("", "db/plans/x.toml"), ("elsewhere", "../db/plans/x.toml"), ("", &absolute)]
    {
        let folder = home.path().join(folder);
        let output = engine(&folder, &["check", "--format", "sarif", plan]);
        assert_eq!(sarif(&output), [("lock-stale".to_owned(), "db/plans/x.toml".to_owned())], "{}", said(&output));
        let output = engine(&folder, &["check", "--format", "github", plan]);
        assert!(out(&output).starts_with("::error file=db/plans/x.toml,line=1,"), "{}", out(&output));
    }
    // Without a repository: from the working directory.
    std::fs::remove_dir(home.path().join(".git")).expect("removes");
    let output = engine(&home.path().join("db"), &["check", "--format", "sarif", &absolute]);
    assert_eq!(sarif(&output)[0].1, "plans/x.toml");
}

#[test]
fn a_report_is_whole_where_something_cannot_be_read() {
    let home = checked();
    let bad = "db/plans/y.toml";
    let words = ["check", "--format", "sarif", "--vars-file", "db/none.toml", "db/plans/x.toml"];
    let output = engine(home.path(), &words);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert_eq!(sarif(&output), [("input-unreadable".to_owned(), "db/none.toml".to_owned())]);
    let github = words.map(|word| if word == "sarif" { "github" } else { word });
    let output = engine(home.path(), &github);
    assert!(out(&output).starts_with("::error file=db/none.toml,line=1,"), "{}", out(&output));
    // A lock's file that is a folder cannot be read; what is wrong with the plan after it is told all the same.
    std::fs::create_dir(home.path().join("db/sql/x/predicates.sql")).expect("a folder");
    let output = engine(home.path(), &["check", "--format", "sarif", "db/plans/x.toml", bad]);
    let found = sarif(&output);
    assert_eq!(found[0], ("lock-unreadable".to_owned(), "db/plans/x.toml".to_owned()), "{}", said(&output));
    assert!(found.len() > 1 && found[1..].iter().all(|(_, path)| path == bad), "{found:?}");
    assert_ne!(output.status.code(), Some(0));
}

#[test]
fn a_folder_is_all_plans_in_it() {
    let home = checked();
    let output = engine(home.path(), &["check", "db/plans"]);
    assert_eq!(output.status.code(), Some(11), "{}", said(&output));
    assert!(
        out(&output).contains("db/plans/x.toml: ok") && said(&output).contains("db/plans/y.toml:"),
        "{}",
        said(&output)
    );
    // As `diff` takes it: the folder above `plans/`.
    assert_eq!(engine(home.path(), &["check", "db"]).status.code(), Some(11));
    let output = engine(home.path(), &["render", "db"]);
    assert_eq!(output.status.code(), Some(10), "{}", said(&output));
    assert!(home.path().join("db/sql/x/SHA256SUMS").is_file() && !home.path().join("db/sql/y").exists());
    let output = engine(home.path(), &["graph", "db"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("`db` is a folder with 2 plans")
            && said(&output).contains("engine graph db/plans/x.toml"),
        "{}",
        said(&output)
    );
    let output = engine(home.path(), &["check", "elsewhere"]);
    assert!(output.status.code() == Some(2) && said(&output).contains("no plan in `elsewhere`"), "{}", said(&output));
}
