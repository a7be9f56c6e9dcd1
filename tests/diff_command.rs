//! `engine diff` as people type it: on the shipped plans, through git, on folders, and where it has to say no.

mod support;

#[path = "diff_pairs/schema.rs"]
mod schema;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::copy;

const PLAN: &str = "plans/clone_a_to_g.toml";

/// The shipped plans in a git repository of their own, with one commit.
struct Repository(tempfile::TempDir);

/// How a command ended.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    /// Class and address of the first finding, of the text form.
    fn first(&self) -> String {
        let line =
            self.out.lines().find(|line| line.starts_with("! ") || line.starts_with("  ") && !line.contains("note:"));
        line.unwrap_or_default().trim_start_matches('!').split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }
}

impl Repository {
    fn new() -> Repository {
        let repository = Repository(tempfile::tempdir().expect("a folder"));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in ["plans", "templates", "sql/clone_a_to_g"] {
            copy(&root.join(folder), &repository.path(folder));
        }
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.commit();
        repository
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn git(&self, words: &[&str]) {
        let mut command = Command::new("git");
        let names = ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"];
        command.current_dir(self.0.path()).args(words).envs(names.map(|name| (name, "a@example.org")));
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        let ended = command.output().expect("git is needed for this test: install it");
        assert!(ended.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "change"]);
    }

    fn edit(&self, file: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(file)).expect("a file");
        assert!(text.contains(old), "{file} does not hold {old}");
        fs::write(self.path(file), text.replacen(old, new, 1)).expect("a file");
    }

    fn engine(&self, words: &[&str]) -> Ended {
        self.engine_with(words, &[])
    }

    fn engine_with(&self, words: &[&str], environment: &[(&str, &str)]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
        command.current_dir(self.0.path()).args(words).envs(environment.iter().copied());
        let ended = command.output().expect("the engine");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Ended { code: ended.status.code().expect("a code"), out: text(&ended.stdout), err: text(&ended.stderr) }
    }

    /// The last commit against the one before.
    fn diff(&self, more: &[&str]) -> Ended {
        self.engine(&[&["diff", "HEAD~1..HEAD", PLAN], more].concat())
    }
}

/// What a comment on the pull request of the last commit would say.
fn comment(repository: &Repository, name: &str, code: i32) {
    let markdown = repository.diff(&["--format", "markdown"]);
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/diff_comments"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!(name, markdown.out) });
    assert_eq!(markdown.code, code, "{}", markdown.err);
    let json = repository.diff(&["--json"]);
    let document: Value = serde_json::from_str(&json.out).expect("one document");
    schema::valid(&document);
    assert_eq!((json.code, &document["exit"]), (code, &Value::from(code)));
}

#[test]
fn an_opened_gate_comes_first() {
    let repository = Repository::new();
    repository.edit(PLAN, "gate.ratified = \"ospa >= 1\"", "gate.ratified = \"ospa >= 0\"");
    let ended = repository.engine(&["diff", "HEAD", PLAN]);
    assert_eq!((ended.code, ended.first().as_str()), (21, "loosened target.production.gate.ratified"), "{}", ended.out);
}

#[test]
fn a_deleted_line_of_writes_comes_first() {
    let repository = Repository::new();
    repository.edit(PLAN, "writes.gov_issues = 6\nwrites.gov_events = 6\n", "writes.gov_events = 6\n");
    let ended = repository.engine(&["diff", "HEAD", PLAN]);
    assert_eq!(
        (ended.code, ended.first().as_str()),
        (21, "removed stage.d_boundary.writes.gov_issues"),
        "{}",
        ended.out
    );
}

#[test]
fn a_stage_pointed_at_production_comes_first() {
    let repository = Repository::new();
    repository.edit(PLAN, "kind = \"check\"\non = \"clone\"", "kind = \"check\"\non = \"production\"");
    let ended = repository.engine(&["diff", "HEAD", PLAN]);
    assert_eq!((ended.code, ended.first().as_str()), (21, "changed stage.b_read.on"), "{}", ended.out);
    // One that writes cannot even be compiled so, and that is said of the side it is on.
    repository.edit(PLAN, "on = \"clone\"\nneeds = [\"baseline\"]", "on = \"production\"\nneeds = [\"baseline\"]");
    let ended = repository.engine(&["diff", "HEAD", PLAN]);
    assert_eq!((ended.code, ended.out.as_str()), (10, ""));
    assert!(ended.err.starts_with("the new side does not compile: plans/clone_a_to_g.toml\n"), "{}", ended.err);
    assert!(ended.err.contains("error[writes-outside-clone]"), "{}", ended.err);
}

#[test]
fn a_guard_loosened() {
    let repository = Repository::new();
    repository.edit(PLAN, "guard.gap_open = \"gap = 210\"", "guard.gap_open = \"gap >= 1\"");
    repository.engine(&["render", PLAN]);
    repository.commit();
    comment(&repository, "guard-loosened", 21);
}

#[test]
fn a_stage_added() {
    let repository = Repository::new();
    let stage = "[stage.c2_retire_tools]\ndoc = \"Retire the old tools\"\non = \"clone\"\nneeds = [\"c_write_half\"]\n\
                 guard.known = \"tools = 309\"\nfile = \"clone_a_to_g/c2_retire_tools.sql\"\nno_rollback = \"the flag is set back by hand\"\n\
                 writes.dot_tools = 18\nprove = [\"idempotent\"]\n\n[stage.d_boundary]";
    repository.edit(PLAN, "[stage.d_boundary]", stage);
    repository.edit(PLAN, "needs = [\"c_write_half\"]\nguard.scanned", "needs = [\"c2_retire_tools\"]\nguard.scanned");
    let sql = "UPDATE public.dot_tools SET enabled = false\nWHERE enabled AND seam_code LIKE 'SEAM-OPS-%';\n";
    fs::write(repository.path("templates/clone_a_to_g/c2_retire_tools.sql"), sql).expect("a template");
    repository.engine(&["render", PLAN]);
    repository.commit();
    comment(&repository, "stage-added", 21);
}

#[test]
fn a_template_changed() {
    let repository = Repository::new();
    repository.edit(
        "templates/clone_a_to_g/a_seed.sql",
        "WHERE g.is_active",
        "WHERE g.is_active OR g.group_code = 'OPS'",
    );
    repository.engine(&["render", PLAN]);
    repository.commit();
    comment(&repository, "template-changed", 21);
}

#[test]
fn a_pure_reformat() {
    let repository = Repository::new();
    let text = fs::read_to_string(repository.path(PLAN)).expect("the plan");
    let (head, stages) = text.split_once("[stage.preflight]").expect("stages");
    let mut stages: Vec<String> = format!("[stage.preflight]{stages}").split("\n\n").map(str::to_owned).collect();
    stages.reverse();
    let respelled = head.replace("10m", "600s").replace("# The first pipeline", "# The very first pipeline");
    fs::write(repository.path(PLAN), format!("{respelled}{}\n", stages.join("\n\n"))).expect("the plan");
    // The lock lists predicates in the order of the file.
    repository.engine(&["render", PLAN]);
    repository.commit();
    comment(&repository, "reformat", 0);
    assert!(repository.diff(&[]).out.starts_with("no change in meaning, formatting only: "));
}

#[test]
fn a_stale_lock_is_said_and_hides_nothing() {
    let repository = Repository::new();
    repository.edit("sql/clone_a_to_g/a_seed.sql", "INSERT", "insert");
    repository.commit();
    let ended = repository.diff(&[]);
    assert_eq!(ended.code, 11, "{}", ended.out);
    assert!(ended.out.contains("lock stale") && ended.out.contains("engine render"), "{}", ended.out);
    repository.edit(PLAN, "\"ospa >= 1\"", "\"ospa >= 0\"");
    repository.commit();
    let ended = repository.diff(&[]);
    assert_eq!((ended.code, ended.first().as_str()), (21, "loosened target.production.gate.ratified"), "{}", ended.out);
}

#[test]
fn revisions_are_named_in_every_usual_way() {
    let repository = Repository::new();
    repository.git(&["switch", "--quiet", "--create", "work"]);
    repository.edit(PLAN, "\"ospa >= 1\"", "\"ospa >= 0\"");
    repository.commit();
    repository.git(&["switch", "--quiet", "main"]);
    repository.edit(PLAN, "tools = 309", "tools = 310");
    repository.commit();
    let loosened = "loosened target.production.gate.ratified";
    let both = repository.engine(&["diff", "main..work", PLAN]);
    assert_eq!((both.code, both.first().as_str()), (21, loosened));
    assert!(both.out.contains("stage.preflight.guard.tools_as_known"), "{}", both.out);
    let parted = repository.engine(&["diff", "main...work", PLAN]);
    assert_eq!((parted.code, parted.first().as_str()), (21, loosened));
    assert!(!parted.out.contains("tools_as_known"), "three dots mean from where they parted: {}", parted.out);
    let blobs = repository.engine(&["diff", &format!("main~1:{PLAN}"), &format!("work:./{PLAN}")]);
    assert_eq!((blobs.code, blobs.first().as_str()), (21, loosened), "{}", blobs.err);
    // From a folder below, and with a path from the root.
    let whole = repository.path(PLAN).display().to_string();
    let ended = repository.engine(&["diff", "..work", &whole]);
    assert_eq!((ended.code, ended.first().as_str()), (21, loosened), "{}", ended.err);
    assert!(both.out.contains("work:plans/clone_a_to_g.toml:32"), "places name the revision: {}", both.out);
    assert!(!both.out.contains(std::env::temp_dir().to_str().expect("UTF-8")), "{}", both.out);
}

#[test]
fn folders_are_paired_by_name_and_a_plan_on_one_side_is_new_or_gone() {
    let repository = Repository::new();
    fs::remove_file(repository.path("plans/hello.toml")).expect("a plan");
    fs::copy(repository.path("plans/production_rollout.toml"), repository.path("plans/another.toml")).expect("a plan");
    repository.commit();
    let ended = repository.engine(&["diff", "HEAD~1..HEAD", "plans"]);
    assert_eq!(ended.code, 21, "{}", ended.err);
    assert!(
        ended.out.contains("HEAD:plans/another.toml, a new plan") && ended.out.contains("! added      stage.apply"),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("HEAD~1:plans/hello.toml, which is gone") && ended.out.contains("! removed    stage.look"),
        "{}",
        ended.out
    );
    let same = ended.out.lines().last().expect("a line");
    assert!(same.starts_with("no difference: clone_a_to_g, "), "{}", ended.out);
    let whole = repository.engine(&["diff", "HEAD~1..HEAD", "."]);
    assert_eq!((whole.code, whole.out.lines().count()), (21, ended.out.lines().count()), "{}", whole.out);
    let one = repository.engine(&["diff", "HEAD~1..HEAD", "plans/hello.toml"]);
    assert!(one.code == 21 && one.out.contains("which is gone"), "{}", one.out);
    let working_tree = repository.engine(&["diff", "HEAD~1", "plans/hello.toml"]);
    assert!(
        working_tree.code == 21 && working_tree.out.contains("HEAD~1:plans/hello.toml, which is gone"),
        "{}",
        working_tree.err
    );
    let json = repository.engine(&["diff", "--json", "HEAD~1..HEAD", "plans"]);
    schema::valid(&serde_json::from_str(&json.out).expect("one document"));
}

/// Who moves a plan to another file changes nothing of what it means; the name in it says that it is the same.
#[test]
fn a_plan_in_another_file_is_compared_with_itself() {
    let repository = Repository::new();
    repository.git(&["mv", PLAN, "plans/advance.toml"]);
    let moved = repository.engine(&["diff", "HEAD", "plans"]);
    assert_eq!((moved.code, moved.out.lines().count()), (0, 1), "{}{}", moved.out, moved.err);
    assert!(moved.out.contains("clone_a_to_g"), "{}", moved.out);
    repository.edit("plans/advance.toml", "gap = 210\"", "gap >= 1\"");
    let edited = repository.engine(&["diff", "HEAD", "plans"]);
    assert_eq!((edited.code, edited.first()), (21, "loosened stage.a_seed.guard.gap_open".into()), "{}", edited.out);
    assert!(edited.out.contains("HEAD:plans/clone_a_to_g.toml -> plans/advance.toml"), "{}", edited.out);
    assert!(!edited.out.contains("a new plan") && !edited.out.contains("which is gone"), "{}", edited.out);
    // Two that say so: nobody knows which.
    fs::copy(repository.path("plans/advance.toml"), repository.path("plans/also.toml")).expect("a plan");
    let two = repository.engine(&["diff", "HEAD", "plans"]);
    assert!(two.out.matches("a new plan").count() == 2 && two.out.contains("which is gone"), "{}", two.out);
}

/// Nothing in a folder that is called like a plan is passed over in silence.
#[test]
fn what_is_no_plan_in_a_folder_and_what_lies_below_it_is_said() {
    let repository = Repository::new();
    fs::create_dir(repository.path("plans/sub")).expect("a folder");
    fs::copy(repository.path("plans/hello.toml"), repository.path("plans/sub/other.toml")).expect("a plan");
    let note = |words: &[&str], said: &str| {
        let ended = repository.engine(words);
        assert!(ended.code == 0 && ended.err.contains(said), "{words:?}: {}", ended.err);
    };
    note(&["check", "plans"], "note: subfolders are not looked at: `plans/sub/other.toml`");
    note(&["diff", "HEAD", "plans"], "note: subfolders are not looked at: `plans/sub/other.toml`");
    repository.commit();
    note(&["diff", "HEAD~1..HEAD", "plans"], "note: subfolders are not looked at: `HEAD:plans/sub/other.toml`");
    // An editor's mark is no plan.
    std::os::unix::fs::symlink("me@here.1", repository.path("plans/.#hello.toml")).expect("a link");
    note(&["check", "plans"], "subfolders");
    std::os::unix::fs::symlink("nowhere.toml", repository.path("plans/z.toml")).expect("a link");
    let check = repository.engine(&["check", "plans"]);
    assert!(
        check.code == 10
            && check.err.contains("`plans/z.toml` is a symbolic link to `nowhere.toml`, and nothing is there"),
        "{}",
        check.err
    );
    assert_eq!(check.out.lines().count(), 4, "{}", check.out);
    let diff = repository.engine(&["diff", "HEAD", "plans"]);
    assert!(diff.code == 10 && diff.err.contains("the new side does not compile: plans/z.toml"), "{}", diff.err);
    repository.commit();
    let diff = repository.engine(&["diff", "HEAD~1..HEAD", "plans"]);
    assert!(
        diff.code == 10 && diff.err.contains("`HEAD:plans/z.toml` is a symbolic link to `nowhere.toml`"),
        "{}",
        diff.err
    );
}

#[test]
fn a_side_that_does_not_compile_is_named_with_all_that_is_wrong() {
    let repository = Repository::new();
    repository.edit(PLAN, "guard.seeded", "gurad.seeded");
    repository.commit();
    repository.edit(PLAN, "gurad.seeded", "guard.seeded");
    let ended = repository.engine(&["diff", "HEAD", PLAN]);
    assert_eq!((ended.code, ended.out.as_str()), (10, ""));
    assert!(ended.err.starts_with("the old side does not compile: HEAD:plans/clone_a_to_g.toml\n"), "{}", ended.err);
    assert!(
        ended.err.contains("--> HEAD:plans/clone_a_to_g.toml:") && ended.err.contains("did you mean `guard`?"),
        "{}",
        ended.err
    );
    let json = repository.engine(&["diff", "--json", "HEAD", PLAN]);
    let document: Value = serde_json::from_str(&json.out).expect("one document");
    schema::valid(&document);
    assert_eq!((json.code, document["problems"][0]["side"].as_str()), (10, Some("old")));
    let markdown = repository.engine(&["diff", "--format", "markdown", "HEAD", PLAN]);
    assert!(markdown.out.starts_with("### ✘ the old side does not compile"), "{}", markdown.out);
}

#[test]
fn what_is_not_there_is_said_with_what_to_type() {
    let repository = Repository::new();
    let refused = |words: &[&str], code: i32, say: &str| {
        let ended = repository.engine(words);
        assert_eq!((ended.code, ended.out.as_str()), (code, ""), "{words:?}: {}", ended.err);
        assert!(ended.err.contains(say) && ended.err.contains("nothing was changed"), "{words:?}: {}", ended.err);
    };
    refused(&["diff", "plans/no.toml", PLAN], 2, "there is no file or folder `plans/no.toml`");
    refused(&["diff", "plans/../no.toml", PLAN], 2, "there is no file or folder `plans/../no.toml`");
    refused(&["diff", PLAN, "plans/no.toml"], 2, "there is no file or folder `plans/no.toml`");
    refused(&["diff", "nowhere..HEAD", PLAN], 2, "git knows no revision `nowhere`");
    refused(&["diff", "--", "-x..HEAD", PLAN], 2, "git knows no revision `-x`");
    refused(&["diff", "HEAD..HEAD", "plans/no.toml"], 2, "there is no plan `HEAD:plans/no.toml`");
    refused(&["diff", PLAN, "plans"], 2, "one is a file, one a folder");
    refused(&["diff", "HEAD..HEAD", "templates"], 2, "no plan in `HEAD:templates`");
    // Nobody knows whether the folder or the revision is meant.
    fs::create_dir_all(repository.path("work")).expect("a folder");
    repository.git(&["branch", "work"]);
    refused(&["diff", "work", "plans"], 2, "`work` is a folder, and a revision of git");
    refused(&["diff", "work", "plans"], 2, "./work for the folder, or work^0 for the revision");
    let revision = repository.engine(&["diff", "work^0", "plans"]);
    assert_eq!((revision.code, revision.err.as_str()), (0, ""), "{}", revision.out);
    let folder = repository.engine(&["diff", "./work", "plans"]);
    assert!(folder.code == 21 && folder.out.contains("a new plan"), "{}{}", folder.out, folder.err);
    // Without git, files can still be compared.
    let nothing = tempfile::tempdir().expect("a folder");
    let path = [("PATH", nothing.path().to_str().expect("UTF-8"))];
    let ended = repository.engine_with(&["diff", "HEAD", PLAN], &path);
    assert!(ended.code == 1 && ended.err.contains("git cannot be run"), "{}", ended.err);
    assert_eq!(repository.engine_with(&["diff", PLAN, PLAN], &path).code, 0);
    // Outside of a repository.
    let lonely = Repository(tempfile::tempdir().expect("a folder"));
    fs::write(lonely.path("x.toml"), "engine = 1\n").expect("a plan");
    let ceiling = [("GIT_CEILING_DIRECTORIES", lonely.0.path().parent().and_then(Path::to_str).expect("UTF-8"))];
    let ended = lonely.engine_with(&["diff", "HEAD", "x.toml"], &ceiling);
    assert!(ended.code == 2 && ended.err.contains("is in no git repository"), "{}", ended.err);
    for command in [&["diff", "nowhere", "x.toml"][..], &["graph", "x.toml", "--diff", "nowhere"]] {
        let ended = lonely.engine_with(command, &ceiling);
        assert_eq!(ended.code, 2, "{}", ended.err);
        for text in
            ["no file or folder `nowhere`, and no revision of git", "is in no git repository", "OLD.toml NEW.toml"]
        {
            assert!(ended.err.contains(text), "{text}: {}", ended.err);
        }
    }
}

/// A value is given to whichever side declares its variable; one that neither declares is refused.
#[test]
fn variables_belong_to_the_side_that_declares_them() {
    let repository = Repository::new();
    repository.edit(PLAN, "[var.worker]", "[var.extra]\ntype = \"int\"\n\n[var.worker]");
    let ended = repository.engine(&["diff", "HEAD", PLAN, "--var", "extra=1"]);
    assert_eq!((ended.code, ended.first().as_str()), (20, "added var.extra"), "{}", ended.err);
    let ended = repository.engine(&["diff", "HEAD", PLAN, "--var", "extra=1", "--var", "other=1"]);
    assert_eq!(ended.code, 10, "{}", ended.out);
    // What is said is what was typed.
    fs::write(repository.path("vars.toml"), "nope = 1\n").expect("a file");
    for (words, code, said) in [
        (&["check", "plans"][..], 2, "`nope` of --vars-file vars.toml: no plan of `plans` declares it"),
        (&["diff", "HEAD", "plans"], 2, "`nope` of --vars-file vars.toml: no plan on either side declares it"),
        (&["check", "plans/hello.toml"], 10, "`nope` was given a value by --vars-file vars.toml"),
        (&["check", "plans/hello.toml"], 10, "this plan has no variables"),
    ] {
        let ended = repository.engine(&[words, &["--vars-file", "vars.toml"]].concat());
        assert!(ended.code == code && ended.err.contains(said), "{words:?}: {} {}", ended.code, ended.err);
    }
    let ended = repository.engine(&["check", "plans", "--vars-file", "vars.toml", "--var", "nope=2"]);
    assert!(ended.code == 2 && ended.err.contains("--var nope: no plan"), "{}", ended.err);
}

/// A link in a commit holds the path it leads to; it is read as a checkout reads it.
#[test]
fn links_are_followed_as_a_checkout_follows_them_and_never_out_of_the_repository() {
    let repository = Repository::new();
    let link = |to: &str, at: &str| {
        let _ = fs::remove_file(repository.path(at));
        std::os::unix::fs::symlink(to, repository.path(at)).expect("a link");
    };
    fs::create_dir_all(repository.path("kept")).expect("a folder");
    fs::rename(repository.path(PLAN), repository.path("kept/plan.toml")).expect("moves");
    fs::rename(repository.path("templates"), repository.path("kept/sql")).expect("moves");
    link("../kept/plan.toml", PLAN);
    link("kept/sql", "templates");
    repository.commit();
    let same = repository.engine(&["diff", "HEAD~..HEAD", PLAN]);
    assert_eq!((same.code, same.err.as_str()), (0, ""), "{}", same.out);
    repository.edit("kept/plan.toml", "gap = 210\"", "gap >= 1\"");
    let edited = repository.engine(&["diff", "HEAD", PLAN]);
    assert_eq!((edited.code, edited.first()), (21, "loosened stage.a_seed.guard.gap_open".into()), "{}", edited.err);
    repository.commit();
    let folder = repository.engine(&["diff", "HEAD~..HEAD", "plans"]);
    assert!(folder.code == 21 && folder.out.contains("loosened   stage.a_seed.guard.gap_open"), "{}", folder.err);
    // A template that is a link is refused, by a commit as by the working tree.
    fs::rename(repository.path("kept/sql/clone_a_to_g/a_seed.sql"), repository.path("kept/seed.sql")).expect("moves");
    link("../../seed.sql", "kept/sql/clone_a_to_g/a_seed.sql");
    repository.commit();
    let refused = "template `clone_a_to_g/a_seed.sql`: `a_seed.sql` is a symbolic link";
    for words in [&["diff", "HEAD~", PLAN][..], &["diff", "HEAD~..HEAD", PLAN]] {
        let ended = repository.engine(words);
        assert!(ended.code == 10 && ended.err.contains(refused), "{words:?}: {}", ended.err);
    }
    // Out of the repository.
    let outside = tempfile::tempdir().expect("a folder");
    fs::copy(repository.path("kept/plan.toml"), outside.path().join("x.toml")).expect("copies");
    let far = outside.path().join("x.toml").display().to_string();
    for target in [far.as_str(), "../../../../../../../../../../etc/hostname"] {
        link(target, PLAN);
        repository.commit();
        for words in [&["diff", "HEAD~", PLAN][..], &["diff", "HEAD~..HEAD", PLAN], &["diff", "--staged", PLAN]] {
            let ended = repository.engine(words);
            let wanted = format!("`{PLAN}` is a symbolic link to `{target}`, outside of the repository");
            assert!(ended.code == 2 && ended.err.contains(&wanted), "{words:?}: {}", ended.err);
        }
        repository.git(&["reset", "--quiet", "--hard", "HEAD~"]);
    }
}

#[test]
fn what_is_staged_is_compared_with_the_commit() {
    let repository = Repository::new();
    repository.edit(PLAN, "gap = 210\"", "gap >= 1\"");
    repository.git(&["add", PLAN]);
    // Edited further, and not staged: the index counts.
    repository.edit(PLAN, "gap >= 1\"", "gap >= 0\"");
    let staged = repository.engine(&["diff", "--staged", PLAN]);
    assert_eq!((staged.code, staged.first()), (21, "loosened stage.a_seed.guard.gap_open".into()), "{}", staged.err);
    assert!(staged.out.contains(&format!("{PLAN}, HEAD -> index")), "{}", staged.out);
    assert!(staged.out.contains("gap = 210 -> gap >= 1   index:plans/clone_a_to_g.toml:"), "{}", staged.out);
    let folder = repository.engine(&["diff", "--staged", "plans"]);
    assert_eq!(folder.code, 21, "{}", folder.err);
    assert_eq!(repository.engine(&["diff", "--staged", PLAN, PLAN]).code, 2);
    assert_eq!(repository.engine(&["diff", PLAN]).code, 2);
    repository.git(&["restore", "--staged", "--worktree", PLAN]);
    let none = repository.engine(&["diff", "--staged", PLAN]);
    assert_eq!((none.code, none.out.contains("no difference")), (0, true), "{}", none.err);
    // What is only to be added some day is not in the next commit; an empty plan that was added is.
    fs::copy(repository.path("plans/hello.toml"), repository.path("plans/hello2.toml")).expect("a plan");
    repository.git(&["add", "--intent-to-add", "plans/hello2.toml"]);
    let none = repository.engine(&["diff", "--staged", "plans"]);
    assert_eq!((none.code, none.out.contains("hello2")), (0, false), "{}", none.err);
    fs::write(repository.path("plans/empty.toml"), "").expect("a plan");
    repository.git(&["add", "plans/empty.toml"]);
    let empty = repository.engine(&["diff", "--staged", "plans"]);
    assert!(empty.code == 10 && empty.err.contains("index:plans/empty.toml"), "{}", empty.err);
    assert!(!empty.err.contains("hello2"), "{}", empty.err);
}

/// A merge conflict leaves neither side in the index; a template's is as bad as a plan's.
#[test]
fn a_conflict_is_named_where_it_is() {
    for file in ["plans/hello.toml", "templates/clone_a_to_g/a_seed.sql"] {
        let repository = Repository::new();
        repository.git(&["checkout", "--quiet", "-b", "other"]);
        let text = fs::read_to_string(repository.path(file)).expect("a file");
        fs::write(repository.path(file), format!("-- one\n{text}")).expect("a file");
        repository.commit();
        repository.git(&["checkout", "--quiet", "main"]);
        fs::write(repository.path(file), format!("-- two\n{text}")).expect("a file");
        repository.commit();
        let merge = Command::new("git")
            .current_dir(repository.path("."))
            .args(["-c", "user.name=a", "-c", "user.email=a", "merge", "other"])
            .output();
        assert!(!merge.expect("git").status.success(), "{file}: no conflict");
        let ended = repository.engine(&["diff", "--staged", "plans"]);
        let said = format!("`{file}` has a merge conflict in the index");
        assert!(ended.code == 2 && ended.err.contains(&said), "{file}: {} {}", ended.code, ended.err);
    }
}
