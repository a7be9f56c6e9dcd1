//! Pairs of plans that differ in one thing, and what `diff` says of them, there and back.
//!
//! `tests/diff_pairs/base` is the old side of every pair; a `.pair` file holds the edits that make the new side, and on its
//! first lines what it shows, and the exit code and first finding in each direction. What is drawn stands in
//! `tests/snapshots/diff_pairs`. After a change on purpose: `INSTA_UPDATE=always cargo test --test diff_pairs`, and read the
//! difference as a reviewer would.

mod support;

#[path = "diff_pairs/schema.rs"]
mod schema;

use engine::compile::{self, Given, Workflow};
use engine::review::{self, Paint, Review, Risk, Side};
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use support::copy;

const PLAN: &str = "plans/base.toml";

/// One `.pair` file.
struct Pair {
    name: String,
    /// Exit code, and class and address of the first finding.
    there: String,
    back: String,
    edits: Vec<Edit>,
}

enum Edit {
    Replace { file: String, old: String, new: String },
    Rename { from: String, to: String },
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diff_pairs")
}

fn pairs() -> Vec<Pair> {
    let entries = fs::read_dir(folder()).expect("tests/diff_pairs").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "pair")).collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Pair {
    let text = fs::read_to_string(file).expect("a pair");
    let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
    let head = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{name} does not say `{key}`")).to_owned()
    };
    assert!(!head("shows").is_empty());
    let edits = text.split("\n\n").skip(1).map(|block| edit(&name, block)).collect();
    Pair { there: head("there"), back: head("back"), edits, name }
}

fn edit(name: &str, block: &str) -> Edit {
    let first = block.lines().next().unwrap_or_default();
    if let Some((from, to)) = first.strip_prefix("rename ").and_then(|rest| rest.split_once(' ')) {
        return Edit::Rename { from: from.to_owned(), to: to.to_owned() };
    }
    let file = first.strip_prefix("in ").unwrap_or_else(|| panic!("{name}: `{first}`")).to_owned();
    let side = |mark: char| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(mark));
        lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    };
    Edit::Replace { file, old: side('-'), new: side('+') }
}

/// A copy of the base, edited.
fn side(edits: &[Edit]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    copy(&folder().join("base"), dir.path());
    for edit in edits {
        match edit {
            Edit::Rename { from, to } => fs::rename(dir.path().join(from), dir.path().join(to)).expect("a template"),
            Edit::Replace { file, old, new } => {
                let path = dir.path().join(file);
                let text = fs::read_to_string(&path).expect("a file of the base");
                assert_eq!(text.matches(old.as_str()).count(), 1, "{file} holds this other than once: {old}");
                fs::write(&path, text.replacen(old.as_str(), new, 1)).expect("a copy");
            }
        }
    }
    dir
}

fn compiled(dir: &Path) -> Workflow {
    let given = Given { date: Some("20260101".to_owned()), ..Given::default() };
    compile::workflow(&dir.join(PLAN), &given).unwrap_or_else(|found| panic!("{}", found.draw(false)))
}

fn compared(old: (&Path, &Workflow), new: (&Path, &Workflow)) -> Review {
    let (before, after) = (format!("{}/", old.0.display()), format!("{}/", new.0.display()));
    let side = |shown, prefix, workflow| Side { shown, prefix: (prefix, ""), workflow: Some(workflow) };
    review::compare(side("old", &before, old.1), side("new", &after, new.1))
}

/// `21 loosened stage.seed.guard.gap_open`, or `0`.
fn told(review: &Review) -> String {
    let first = review.findings.first().map(|first| format!(" {} {}", first.class.word(), first.address));
    format!("{}{}", review.exit().code(), first.unwrap_or_default())
}

fn shown(pair: &Pair) {
    let (old, new) = (side(&[]), side(&pair.edits));
    let (before, after) = (compiled(old.path()), compiled(new.path()));
    let (left, right) = ((old.path(), &before), (new.path(), &after));
    let (there, back) = (compared(left, right), compared(right, left));
    let drawn =
        format!("{}\n==== and back\n\n{}", review::text(&there, Paint::Plain), review::text(&back, Paint::Plain));
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/diff_pairs"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!(pair.name.as_str(), drawn) });
    assert_eq!((told(&there), told(&back)), (pair.there.clone(), pair.back.clone()), "{}\n{drawn}", pair.name);
    for (review, sides) in [(&there, (&before, &after)), (&back, (&after, &before))] {
        laws(review, sides);
    }
    for one in [left, right] {
        let same = compared(one, one);
        assert!(same.is_empty() && same.exit().code() == 0 && same.remarks.is_empty(), "{:?}", same.findings);
    }
}

/// What holds of every review.
fn laws(review: &Review, (old, new): (&Workflow, &Workflow)) {
    assert!(old.genesis == new.genesis || !review.is_empty(), "the digests differ, and nothing is said");
    let promises = |workflow: &Workflow| {
        let digests = workflow.briefs.iter().map(|brief| (brief.name.clone(), brief.digest.clone()));
        digests.collect::<BTreeSet<_>>()
    };
    let spoken = !review.findings.is_empty() || review.layout.lines() > 0;
    assert!(promises(old) == promises(new) || spoken, "a stage's digest differs, and nothing is said");
    assert!(review.findings.is_sorted_by_key(|finding| finding.risk), "riskiest first");
    assert_eq!(review.exit().code() == 21, review.findings.iter().any(|f| f.risk == Risk::Raised));
    assert_eq!(review.exit().code() == 0, review.findings.is_empty());
    let json = review::json(std::slice::from_ref(review), std::iter::empty(), review.exit());
    schema::valid(&serde_json::from_str(&json).expect("JSON"));
    for row in review::markdown(review).lines().filter(|line| line.starts_with("| ") || line.starts_with("|  ")) {
        let bars = row.replace("\\|", "").matches('|').count();
        assert_eq!(bars, 7, "a row of the table has six cells: {row}");
    }
}

#[test]
fn each_pair_is_told_there_and_back() {
    let pairs = pairs();
    assert!(pairs.len() >= 50, "only {} pairs were found", pairs.len());
    let failed = |pair: &&Pair| catch_unwind(AssertUnwindSafe(|| shown(pair))).is_err();
    let failed: Vec<&str> = pairs.iter().filter(failed).map(|pair| pair.name.as_str()).collect();
    assert!(failed.is_empty(), "{} of {} failed: {}", failed.len(), pairs.len(), failed.join(", "));
}

#[test]
fn every_snapshot_has_its_pair() {
    let names: BTreeSet<String> = pairs().into_iter().map(|pair| pair.name).collect();
    let kept = fs::read_dir(folder().join("../snapshots/diff_pairs")).expect("snapshots");
    let kept =
        kept.map(|entry| entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned());
    let orphans: Vec<String> = kept.filter(|name| !names.contains(name)).collect();
    assert!(orphans.is_empty(), "snapshots without a pair: {orphans:?}");
}

/// Stages, rejects, cases and targets may be called like keys: nothing is hidden by it, in any pair.
#[test]
fn names_that_are_keys_hide_nothing() {
    let keys = |dir: &Path| {
        let plan = fs::read_to_string(dir.join(PLAN)).expect("the plan");
        let renames = [
            ("stage.seed", "stage.refuse"),
            ("\"seed\"", "\"refuse\""),
            ("reject.owner", "reject.rollback"),
            ("refuse.unknown", "refuse.traffic"),
            ("refuse.twice", "refuse.sql"),
            ("target.production", "target.refuse"),
            ("\"production\"", "\"refuse\""),
        ];
        let plan = renames.iter().fold(plan, |plan, (name, key)| plan.replace(name, key));
        fs::write(dir.join(PLAN), plan).expect("the plan");
    };
    for pair in pairs() {
        let plain = (side(&[]), side(&pair.edits));
        let said = compared((plain.0.path(), &compiled(plain.0.path())), (plain.1.path(), &compiled(plain.1.path())));
        keys(plain.0.path());
        keys(plain.1.path());
        let now = compared((plain.0.path(), &compiled(plain.0.path())), (plain.1.path(), &compiled(plain.1.path())));
        let count = |review: &Review| (review.exit().code(), review.findings.len());
        assert_eq!(count(&said), count(&now), "{}: {:#?}", pair.name, now.findings);
    }
}

/// What two stages that need each other not write, a packet runs in the order of the file: that is told when it changes.
#[test]
fn a_packet_in_another_order_is_told() {
    let stage = |name: &str| {
        format!(
            "[stage.{name}]\non = \"clone\"\nneeds = [\"look\"]\nno_guard = \"none\"\nfile = \"base/tidy.sql\"\n\
             no_rollback = \"nothing is lost\"\nwrites.{name} = 1\n"
        )
    };
    let both = |first: &str, second: &str| {
        let dir = side(&[]);
        let plan = fs::read_to_string(dir.path().join(PLAN)).expect("the plan");
        let plan = plan.replace("expires = \"7d\"", "expires = \"7d\"\nparallel = true");
        let plan = plan.replace("[stage.seal]", &format!("{}{}[stage.seal]", stage(first), stage(second)));
        let plan = plan.replace("of = [\"seed\"]", "of = [\"seed\", \"x\", \"y\"]");
        let plan = plan.replace("needs = [\"tidy\"]", "needs = [\"tidy\", \"x\", \"y\"]");
        fs::write(dir.path().join(PLAN), plan).expect("the plan");
        dir
    };
    let (old, new) = (both("x", "y"), both("y", "x"));
    let review = compared((old.path(), &compiled(old.path())), (new.path(), &compiled(new.path())));
    assert_eq!(told(&review), "21 changed stage.seal.of");
    let found = &review.findings[0];
    assert_eq!((found.old.as_deref(), found.new.as_deref()), (Some("seed, x, y"), Some("seed, y, x")));
    assert!(review.remarks.iter().any(|remark| remark.contains("approvals")), "{:?}", review.remarks);
    for place in [&found.old_place, &found.new_place] {
        assert!(place.as_ref().is_some_and(|place| place.starts_with("plans/base.toml:")), "{place:?}");
    }
    // The old side is told in the names of the old file.
    let plan = fs::read_to_string(new.path().join(PLAN)).expect("the plan");
    fs::write(new.path().join(PLAN), plan.replace("stage.x]", "stage.z]").replace("\"x\"", "\"z\"")).expect("the plan");
    let review = compared((old.path(), &compiled(old.path())), (new.path(), &compiled(new.path())));
    let found = review.findings.iter().find(|finding| finding.what == "order in the packet").expect("it is told");
    assert_eq!((found.old.as_deref(), found.new.as_deref()), (Some("seed, x, y"), Some("seed, y, z")));
}

/// Every pair of edits at once: whatever two plans are, what is said of them obeys the laws.
#[test]
fn two_changes_at_once_are_both_told() {
    let pairs: Vec<Pair> = pairs().into_iter().filter(|pair| pair.name != "riskiest-first").collect();
    let base = side(&[]);
    let before = compiled(base.path());
    let mut compared_pairs = 0;
    for (at, one) in pairs.iter().enumerate() {
        // A neighbour further on, another for each: all against all would be thousands of compilations.
        let other = &pairs[(at + 7) % pairs.len()];
        let both = catch_unwind(AssertUnwindSafe(|| {
            side(&[one, other].map(|pair| &pair.edits[..]).into_iter().flatten().map(again).collect::<Vec<_>>())
        }));
        let Ok(new) = both else { continue };
        let given = Given { date: Some("20260101".to_owned()), ..Given::default() };
        let Ok(after) = compile::workflow(&new.path().join(PLAN), &given) else { continue };
        let review = compared((base.path(), &before), (new.path(), &after));
        laws(&review, (&before, &after));
        for pair in [one, other] {
            let Some((_, first)) = pair.there.split_once(' ') else { continue };
            let told: Vec<String> =
                review.findings.iter().map(|f| format!("{} {}", f.class.word(), f.address)).collect();
            assert!(
                told.iter().any(|line| line == first),
                "{} + {}: {first} is not among {told:#?}",
                one.name,
                other.name
            );
        }
        compared_pairs += 1;
    }
    assert!(compared_pairs > 40, "only {compared_pairs} pairs of changes could be made");
}

fn again(edit: &Edit) -> Edit {
    match edit {
        Edit::Rename { from, to } => Edit::Rename { from: from.clone(), to: to.clone() },
        Edit::Replace { file, old, new } => Edit::Replace { file: file.clone(), old: old.clone(), new: new.clone() },
    }
}

/// Two hundred lines and more that moved or were renamed, and no other meaning.
#[test]
fn a_great_reformat_is_formatting_only() {
    let (old, new) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let head = "engine = 1\n[plan]\nname = \"base\"\n[target.p]\nurl = \"env:P\"\naccess = \"read\"\n[target.c]\nclone_of = \"p\"\ndatabase = \"c\"\nurl = \"env:C\"\nmaker_url = \"env:M\"\n[probe.gap]\non = \"c\"\nsql = \"SELECT 1\"\n[stage.clone]\nkind = \"clone\"\non = \"c\"\nneeds = []\nno_guard = \"first\"\n";
    let stage = |n: usize, moved: bool| {
        let before = if n == 0 { "clone".to_owned() } else { format!("s{}", n - 1) };
        let (folder, gap) = if moved { ("renamed", "gap=0") } else { ("base", "gap = 0") };
        let mut lines = [
            format!("needs = [\"{before}\"]"),
            "on = \"c\"".to_owned(),
            format!("guard.open = \"{gap}\""),
            format!("file = \"{folder}/s{n}.sql\""),
            format!("no_rollback = \"reason {n}\""),
            format!("writes.t{n} = {}", if moved { "1_000" } else { "1000" }),
        ];
        if moved {
            lines.reverse();
        }
        format!("\n[stage.s{n}]\n{}\n", lines.join("\n"))
    };
    for (dir, moved) in [(&old, false), (&new, true)] {
        let mut stages: Vec<String> = (0..40).map(|n| stage(n, moved)).collect();
        let templates = dir.path().join("templates").join(if moved { "renamed" } else { "base" });
        if moved {
            stages.reverse();
        }
        fs::create_dir_all(&templates).expect("a folder");
        fs::create_dir_all(dir.path().join("plans")).expect("a folder");
        (0..40).for_each(|n| {
            fs::write(templates.join(format!("s{n}.sql")), format!("DELETE FROM t{n};\n")).expect("a template");
        });
        fs::write(dir.path().join(PLAN), format!("{head}{}", stages.concat())).expect("a plan");
    }
    let (before, after) = (compiled(old.path()), compiled(new.path()));
    let review = compared((old.path(), &before), (new.path(), &after));
    let text = review::text(&review, Paint::Plain);
    assert!(review.findings.is_empty() && review.exit().code() == 0, "{text}");
    assert!(review.layout.lines() >= 200 && review.layout.renamed == 40, "{:?}", review.layout);
    assert!(text.starts_with("no change in meaning, formatting only: "), "{text}");
}

/// Whatever line of a shipped plan is taken out: the plan is refused, or the review has a finding.
#[test]
fn no_line_can_go_unseen() {
    // They say what holds without them.
    const SPARE: [&str; 3] = ["name = \"base\"", "timeout = \"10m\"", "lock_timeout = \"2s\""];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut looked_at = 0;
    for (plan, templates) in [
        (root.join("plans/clone_a_to_g.toml"), root.join("templates")),
        (root.join("plans/shop_widen_amount.toml"), root.join("templates")),
        (root.join("plans/production_rollout.toml"), root.join("templates")),
        (folder().join("base").join(PLAN), folder().join("base/templates")),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        copy(&templates, &dir.path().join("templates"));
        fs::create_dir_all(dir.path().join("plans")).expect("a folder");
        let text = fs::read_to_string(&plan).expect("a plan");
        fs::write(dir.path().join(PLAN), &text).expect("a plan");
        let before = compiled(dir.path());
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') || SPARE.contains(line) {
                continue;
            }
            let rest: Vec<&str> =
                lines.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, line)| *line).collect();
            fs::write(dir.path().join(PLAN), rest.join("\n")).expect("a plan");
            let given = Given { date: Some("20260101".to_owned()), ..Given::default() };
            let Ok(after) = compile::workflow(&dir.path().join(PLAN), &given) else { continue };
            let review = compared((dir.path(), &before), (dir.path(), &after));
            laws(&review, (&before, &after));
            assert!(!review.findings.is_empty(), "{}:{}: nothing is said without {line}", plan.display(), at + 1);
            looked_at += 1;
        }
    }
    assert!(looked_at > 100, "only {looked_at} plans with a line less compile");
}
