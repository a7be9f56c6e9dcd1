//! The files of docs/ci do what they say: their commands run in a real repository, on a branch that changes a plan.

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The shell texts of a CI file: what stands below `run: |` or `- |`, by indentation, and `run: COMMAND`.
fn scripts(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("reads");
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed == "run: |" || trimmed == "- |" {
            let outer = line.len() - trimmed.len();
            let mut script = String::new();
            while let Some(next) = lines.next_if(|next| next.len() - next.trim_start().len() > outer) {
                script.push_str(next.trim_start());
                script.push('\n');
            }
            found.push(script);
        }
    }
    found
}

fn sh(folder: &Path, script: &str, more: &[(&str, &str)]) -> Output {
    let engine = Path::new(env!("CARGO_BIN_EXE_engine")).parent().expect("a folder").display().to_string();
    let path = format!("{engine}:{}", std::env::var("PATH").expect("a path"));
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(folder).stdin(Stdio::null()).env("PATH", path);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null").env("NO_COLOR", "1");
    command.envs(more.iter().copied()).output().expect("bash")
}

fn fine(folder: &Path, script: &str) -> String {
    let output = sh(folder, script, &[]);
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A repository whose `origin/main` has the shipped plans, on a branch where `change` was made and committed.
fn repository(change: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    for folder in
        ["plans", "templates", "sql/clone_a_to_g", "sql/hello", "sql/production_rollout", "sql/shop_widen_amount"]
    {
        for file in support::files(Path::new(folder)) {
            let copy = home.path().join(&file);
            std::fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
            std::fs::copy(&file, copy).expect("copies");
        }
    }
    std::fs::copy(".gitattributes", home.path().join(".gitattributes")).expect("copies");
    let commit = "git add -A && git -c user.name=a -c user.email=a@example.org commit -qm x";
    fine(home.path(), &format!("git init -q -b main && {commit} && git update-ref refs/remotes/origin/main HEAD"));
    fine(home.path(), &format!("git switch -q -c change && {change} && {commit}"));
    home
}

const LOOSER: &str = "sed -i 's/ospa >= 1/ospa >= 0/' plans/clone_a_to_g.toml && engine render plans/clone_a_to_g.toml";
const BASE: [(&str, &str); 2] = [("GITHUB_BASE_REF", "main"), ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main")];

/// Runs the scripts of a file that are the engine's; answers how each ended, and all that was said.
fn run(file: &str, home: &Path) -> (Vec<Option<i32>>, String) {
    let scripts: Vec<String> = scripts(file).into_iter().filter(|script| script.contains("engine ")).collect();
    assert_eq!(scripts.len(), 2, "{file}");
    let ran: Vec<Output> = scripts.iter().map(|script| sh(home, script, &BASE)).collect();
    let said = ran.iter().map(|o| String::from_utf8_lossy(&o.stdout) + String::from_utf8_lossy(&o.stderr)).collect();
    (ran.iter().map(|output| output.status.code()).collect(), said)
}

#[test]
fn a_looser_gate_is_the_first_line_of_the_comment() {
    for file in ["docs/ci/github.yml", "docs/ci/gitlab.yml"] {
        let home = repository(LOOSER);
        let (codes, said) = run(file, home.path());
        assert_eq!(codes, [Some(0), Some(0)], "{file}: {said}");
        let comment = std::fs::read_to_string(home.path().join("diff.md")).expect("the comment");
        let first = comment.lines().find(|line| line.contains("ospa")).expect("the gate");
        assert!(first.contains("loosened") && first.contains("ospa >= 0"), "{file}: {comment}");
    }
}

#[test]
fn what_is_wrong_fails_the_job() {
    for file in ["docs/ci/github.yml", "docs/ci/gitlab.yml"] {
        // The lock was not rendered again.
        let home = repository("sed -i 's/ospa >= 1/ospa >= 0/' plans/clone_a_to_g.toml");
        let (codes, said) = run(file, home.path());
        assert_eq!(codes, [Some(11), Some(0)], "{file}: {said}");
        // It is not laid out.
        let home = repository("sed -i 's/^engine = 1/engine   = 1/' plans/hello.toml");
        assert_eq!(run(file, home.path()).0, [Some(11), Some(0)], "{file}");
        // It does not compile.
        let home = repository("sed -i 's/^engine = 1/engine = 9/' plans/hello.toml");
        let (codes, said) = run(file, home.path());
        assert_eq!(codes, [Some(10), Some(10)], "{file}: {said}");
        assert!(said.contains("hello.toml"), "{file}: {said}");
        let annotated = said.contains("::error file=plans/hello.toml,line=");
        assert_eq!(annotated, file.contains("github"), "{file}: {said}");
    }
}

/// `git diff` with the driver of `.gitattributes` and the two lines of docs/reviewing.md.
#[test]
fn git_shows_the_stage_and_leaves_the_layout_out() {
    let docs = std::fs::read_to_string("docs/reviewing.md").expect("reads");
    let configure: Vec<&str> = docs.lines().filter(|line| line.starts_with("git config diff.plan.")).collect();
    assert_eq!(configure.len(), 2);
    let home = repository(
        "sed -i 's/^on = \"clone\"/on    =   \"clone\"/; s/^guard.gap_open = .*/guard.gap_open = \"gap >= 1\"/' plans/clone_a_to_g.toml",
    );
    fine(home.path(), &configure.join(" && "));
    let shown = fine(home.path(), "git diff origin/main HEAD -- plans");
    assert!(shown.contains("@@ [stage.a_seed]") && shown.contains("+guard.gap_open = \"gap >= 1\""), "{shown}");
    assert!(!shown.contains("on    ="), "{shown}");
    assert_eq!(shown.lines().filter(|line| line.starts_with('+')).count(), 2, "{shown}");
}
