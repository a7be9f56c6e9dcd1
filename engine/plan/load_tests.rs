//! What `load` finds: the corpus of bad plans, the plans people run, and files that are no plans.

use super::load::{SHOWN, load, parse};
use crate::diag::Diagnostics;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn plans(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    paths.sort();
    paths
}

fn codes(found: &Diagnostics) -> Vec<&'static str> {
    found.0.iter().map(|d| d.code).collect()
}

fn refused(text: &str) -> Diagnostics {
    parse("x.toml", text).expect_err("a bad plan")
}

#[test]
fn every_bad_plan_is_found() {
    let mut found_here = 0;
    for path in plans("tests/bad_plans") {
        let text = std::fs::read_to_string(&path).expect("a readable plan");
        let first = text.lines().next().unwrap_or_default();
        let code = first.strip_prefix("# code: ").expect("the first line names the code");
        // What only a later pass finds loads here; tests/bad_plans.rs sees to those.
        let Err(found) = load(&path) else { continue };
        found_here += 1;
        assert!(codes(&found).contains(&code), "{}: {}", path.display(), found.draw(false));
        for d in &found.0 {
            assert!(!d.label.is_empty() && d.help.is_some() && d.place.is_some(), "{}: {d:?}", path.display());
        }
        assert!(!found.draw(false).contains("hunter2") && !found.json_lines().concat().contains("hunter2"));
    }
    assert!(found_here >= 25, "{found_here} only");
}

#[test]
fn one_mistake_is_one_problem() {
    // Where the parser or an address to a stage that is gone makes a second one, that is right.
    for path in plans("tests/bad_plans") {
        if let Err(found) = load(&path) {
            assert!(found.0.len() <= 2, "{}: {}", path.display(), found.draw(false));
        }
    }
}

#[test]
fn the_plans_people_run_are_good() {
    for path in plans("plans") {
        let result = load(&path);
        assert!(result.is_ok(), "{}", result.expect_err("refused").draw(false));
    }
}

#[test]
fn a_plan_is_read_as_it_is_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/clone_a_to_g.toml");
    let (plan, warnings) = load(&path).expect("a good plan");
    assert!(warnings.0.is_empty());
    assert_eq!(plan.name, "clone_a_to_g");
    let (at, stage) = plan.stage("a_seed").expect("the stage");
    assert_eq!((stage.kind.value.as_str(), stage.needs[0].value.as_str()), ("sql", "baseline"));
    assert_eq!(stage.guards[0].text.place.span.len(), stage.guards[0].text.value.len());
    assert!(stage.body.has("file") && stage.body.has("writes") && !stage.body.has("doc"));
    let (clone, _) = plan.stage("clone").expect("the stage");
    assert!(plan.graph.upstream(at, clone) && plan.graph.dependents(at).len() == 1);
    assert!(plan.target("clone").is_some() && plan.probe("gap").is_some() && plan.var("scan").is_some());
    assert!(plan.target("a_seed").is_none());
}

#[test]
fn problems_stand_in_the_order_of_the_text() {
    let found =
        refused("engine = 1\n[stage.a]\nneeds = [\"b\"]\n[stage.b]\non = \"x\"\nneeds = []\nno_guard = \"r\"\n");
    assert_eq!(codes(&found), ["no-guard", "unknown-target"]);
}

#[test]
fn files_that_are_no_plans_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let code = |path: &Path| codes(&load(path).expect_err("no plan"))[0];
    assert_eq!(code(&folder.path().join("nothing.toml")), "plan-not-found");
    assert_eq!(code(folder.path()), "plan-unreadable");
    assert_eq!(code(Path::new("/dev/zero")), "plan-unreadable");
    assert_eq!(code(&write("bom.toml", b"\xef\xbb\xbfengine = 1\n")), "plan-bom");
    assert_eq!(code(&write("utf16.toml", b"\xff\xfee\0n\0")), "plan-not-utf8");
    assert_eq!(code(&write("big.toml", &vec![b'#'; (16 << 20) + 1])), "plan-too-large");
    assert_eq!(code(&write("empty.toml", b"")), "engine-version");
    assert_eq!(code(&write("nul.toml", b"\0\0\0")), "toml-syntax");
    let found = load(&write("garbage.toml", b"engine = 1\n\x80")).expect_err("no plan");
    assert!(found.0[0].message.contains("byte 11 (line 2) is 0x80"), "{}", found.0[0].message);
    assert!(!found.draw(false).is_empty());
}

#[test]
fn a_password_is_shown_in_no_way() {
    let plans = [
        "engine = 1\n[target.p]\nurl = \"postgres://u:hunter2@h/d\"\nacess = \"read\"\n",
        "engine = 1\ntarget.p = { url = \"host=h password=hunter2\", acess = \"read\" }\n",
        "engine = 1\n[target.p]\nurl = \"postgres://u:hunter2@h/d\n",
        "engine = 1\n[probe.x]\non = \"postgres://u:hunter2@h/d\"\nsql = \"SELECT 1\"\n",
        "engine = 1\n[target.p]\nurl = \"env:hunter2@h\"\naccess = \"read\"\n",
        "engine = 1\n[target.p]\nurl = \"h\\u0075nter2\"\naccess = \"read\"\n",
    ];
    for plan in plans {
        let found = refused(plan);
        let shown = format!("{}{}{found:?}", found.draw(false), found.json_lines().concat());
        assert!(!shown.contains("hunter2") && !shown.contains("nter2"), "{shown}");
    }
}

fn large(stages: usize) -> String {
    let mut text = "engine = 1\n[target.p]\nurl = \"env:U\"\naccess = \"read\"\n".to_owned();
    for i in 0..stages {
        let needs: Vec<String> = (i.saturating_sub(3)..i).map(|j| format!("\"s{j}\"")).collect();
        let needs = needs.join(", ");
        write!(text, "[stage.s{i}]\nkind = \"check\"\non = \"p\"\nneeds = [{needs}]\nguard.g = \"x = 1\"\n")
            .expect("a string");
    }
    text
}

#[test]
fn five_thousand_stages_take_no_time() {
    let start = Instant::now();
    let (plan, _) = parse("x.toml", large(5_000)).expect("a good plan");
    assert_eq!(plan.graph.order().len(), 5_000);
    let found = refused(&large(5_000).replace("\"p\"", "\"q\"").replace("needs = [\"s", "needs = [\"t"));
    assert_eq!(found.0.len(), SHOWN + 1);
    assert!(found.draw(false).contains("more problems, not shown"));
    assert!(refused(&large(5_000).replace("needs = []", "needs = [\"s4999\"]")).0[0].message.contains("s0 -> "));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn megabytes_take_no_time() {
    let start = Instant::now();
    let lines = |line: &str| line.repeat((2 << 20) / line.len());
    let numbered = |text: &str| (0..40_000).fold(String::new(), |all, i| all + &format!("k{i}{text}\n"));
    let texts = [
        format!("engine = 1\nplan.doc = \"{}\"\n", lines("a")),
        format!("engine = 1\n[stage.x]\n{}", numbered(" = \"postgres://\"")),
        format!("engine = 1\n[stage.x.guard]\n{}", numbered(" = 1")),
        lines("x = = 1\n"),
        lines("a = 1\n"),
        lines("["),
        format!("engine = 1\n{}", numbered(" 1")),
        format!("engine = 1\n[stage.\"{}\"]\nneeds = []\n", lines("Z")),
    ];
    for text in texts {
        let found = refused(&text);
        assert!(found.0.len() <= SHOWN + 1);
        let drawn = found.draw(false);
        assert!(drawn.len() < 500_000, "{} bytes drawn", drawn.len());
    }
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

#[test]
fn the_walker_says_where_a_key_belongs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_plans/key-below-a-reject.toml");
    let (plan, _) = load(&path).expect("good as far as a plan can know");
    let mut body = plan.stage("fill").expect("the stage").1.body.clone();
    let mut out = Diagnostics::default();
    assert_eq!(body.text("file", &mut out).expect("the file").value, "bad/fill.sql");
    assert_eq!(body.scalars("writes", &mut out)[0].1.value, super::Value::Int(1));
    for (name, mut reject) in body.tables("reject", &mut out) {
        assert_eq!((name.value.as_str(), reject.path()), ("twice", "stage.fill.reject.twice"));
        assert!(reject.text("file", &mut out).is_some());
        assert_eq!(reject.scalars("permit", &mut out).len(), 1);
        let refuse = &mut reject.tables("refuse", &mut out)[0].1;
        assert!(refuse.table("with", &mut out).is_some_and(|with| with.has("word")));
        reject.finish(&["file", "permit", "refuse"], &mut out);
    }
    body.finish(&["files", "rolback"], &mut out);
    assert_eq!(codes(&out), ["misplaced-key", "unknown-key"]);
    assert!(out.0[0].help.as_ref().is_some_and(|help| help.contains("above the header `[stage.fill.reject.twice]`")));
    assert_eq!(out.0[1].help.as_deref(), Some("did you mean `rolback`?"));
}
