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

#[test]
fn what_a_reviewer_must_not_miss() {
    // A plan that does not compile is no matter of judgement, whatever else was loosened.
    let home = repository("sed -i 's/ospa >= 1/ospa >= 0/' plans/clone_a_to_g.toml && echo garbage >>plans/hello.toml");
    let diff = |home: &Path, words: &str| {
        let output = sh(home, &format!("engine diff {words}"), &[]);
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said.into_owned())
    };
    let (code, said) = diff(home.path(), "main plans");
    assert!(code == Some(10) && said.contains("ospa >= 0"), "{code:?}: {said}");
    // The value of a variable is for the plans that declare it; one that none declares is a mistake.
    let home = repository("sed -i 's/^doc = .*/doc = \"other words\"/' plans/clone_a_to_g.toml");
    let (code, said) = diff(home.path(), "--var ruleset=RS-2 main plans");
    assert!(code == Some(20) || code == Some(0) || code == Some(11), "{code:?}: {said}");
    assert!(!said.contains("does not compile"), "{said}");
    let (code, said) = diff(home.path(), "--var nosuch=1 main plans");
    assert!(code == Some(2) && said.contains("nosuch"), "{code:?}: {said}");
    // A revision's path that is not there is no new plan.
    let (code, said) = diff(home.path(), "main:plans/nosuch.toml plans/hello.toml");
    assert!(code == Some(2) && said.contains("git ls-tree"), "{code:?}: {said}");
    let inside = home.path().join("plans");
    let (code, said) = diff(&inside, "main:plans/hello.toml hello.toml");
    assert_eq!(code, Some(0), "{said}");
    assert!(fine(&inside, "engine check ./hello.toml").contains("lock fresh"));
    // The lock is gone.
    let home = repository("rm -r sql/clone_a_to_g && touch x");
    let (code, said) = diff(home.path(), "main plans/clone_a_to_g.toml");
    assert!(code == Some(11) && said.contains("lock removed"), "{code:?}: {said}");
    // Characters that turn the order of what is read.
    let trojan = "printf -- '-- \\xe2\\x80\\xae harmless\\n' >>templates/clone_a_to_g/a_seed.sql && touch x";
    let home = repository(trojan);
    for form in ["text", "markdown"] {
        let (_, said) = diff(home.path(), &format!("--format {form} main plans/clone_a_to_g.toml"));
        assert!(said.contains("<U+202E>") && !said.contains('\u{202e}'), "{said}");
    }
    // Nobody can read what could not be written.
    let output = sh(home.path(), "engine check plans/hello.toml >/dev/full", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The hosts of pull requests refuse comments beyond a length.
#[test]
fn a_comment_fits_however_much_changed() {
    let many = "for i in $(seq 2000); do printf 'ensure.e%s = \"anchors = 30 AND gap >= %s\"\\n' $i $i; done >more && \
                sed -i '/^ensure.all_anchored/r more' plans/clone_a_to_g.toml";
    let home = repository(many);
    let comment = fine(home.path(), "engine diff --format markdown main plans/clone_a_to_g.toml || [ $? -ge 11 ]");
    assert!(comment.len() < 65_000 && comment.contains("more findings"), "{} bytes", comment.len());
}
