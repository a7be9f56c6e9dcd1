//! `engine diff` where a plan is written to mislead who reviews it: names, blanks and characters that cannot be seen, comments
//! that fill a page, readings that fail, names of files that were exchanged.

use std::fs;
use std::process::Command;

/// A plan of a clone, two writing stages, the way back and a packet.
const PLAN: &str = r#"engine = 1

[plan]
name = "p"

[var.zone]
enum = ["a, b", "c"]
default = "c"

[var.tok]
type = "text"
default = "env:TOK"
sensitive = true

[target.production]
url = "env:P"
access = "read"
never = ["secrets"]
gate.ok = "approved >= 1"

[target.clone]
clone_of = "production"
database = "p_clone"
url = "env:C"
maker_url = "env:M"

[probe.approved]
on = "production"
sql = "SELECT count(*) FROM approvals"

[probe.gap]
on = "clone"
sql = "SELECT count(*) FROM gap WHERE zone = {{ zone | literal }}"

[probe.state]
on = "clone"
sql = "SELECT max(state) FROM gap"

[stage.clone]
kind = "clone"
on = "clone"
needs = []
no_guard = "x"

[stage.a]
on = "clone"
needs = ["clone"]
guard.open = "gap = 210"
guard.named = "state = 'a b'"
file = "a.sql"
rollback = "back.sql"
writes.orders = 5

[stage.b]
on = "clone"
needs = ["a"]
guard.open = "gap >= 1"
file = "b.sql"
rollback = "back.sql"
writes."a.items" = 5
ensure.filled = "wrote.\"a.items\" >= 1 AND a.gap = 1"

[stage.b.reject.twice]
file = "r.sql"
given = "g.sql"
permit = { word = "x" }
refuse.unknown = { with.word = "y", error = "23503" }
"#;

/// Two folders, `old` and `new`, with the plan in each.
struct Sides(tempfile::TempDir);

impl Sides {
    fn new() -> Sides {
        let sides = Sides(tempfile::tempdir().expect("a folder"));
        for side in ["old", "new"] {
            for (file, text) in [
                ("plans/p.toml", PLAN),
                ("templates/a.sql", "UPDATE orders SET n = 1 WHERE id = 1;\n"),
                ("templates/b.sql", "UPDATE a.items SET n = 1 WHERE id = 1;\n"),
                ("templates/back.sql", "UPDATE orders SET n = 0 WHERE id = 1;\n"),
                ("templates/r.sql", "INSERT INTO a.items (word) VALUES ({{ word | literal }});\n"),
                ("templates/g.sql", "UPDATE a.items SET n = 2 WHERE id = 1;\n"),
            ] {
                sides.write(&format!("{side}/{file}"), text);
            }
        }
        sides
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Replaces texts in a file, wherever they stand in it.
    fn edit(&self, file: &str, edits: &[(&str, &str)]) {
        let path = self.0.path().join(file);
        let mut text = fs::read_to_string(&path).expect("a file");
        for (old, new) in edits {
            assert!(text.contains(old), "{file} does not hold {old}");
            text = text.replace(old, new);
        }
        fs::write(path, text).expect("a file");
    }

    fn engine(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
        let ended = command.current_dir(self.0.path()).args(words).output().expect("the engine");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (ended.status.code().expect("a code"), text(ended.stdout), text(ended.stderr))
    }

    fn diff(&self, more: &[&str]) -> (i32, String) {
        let (code, out, err) = self.engine(&[&["diff", "old/plans/p.toml", "new/plans/p.toml"], more].concat());
        (code, out + &err)
    }
}

/// What `diff` says of the plan with these edits on either side.
fn diff(old: &[(&str, &str)], new: &[(&str, &str)]) -> (i32, String) {
    let sides = Sides::new();
    sides.edit("old/plans/p.toml", old);
    sides.edit("new/plans/p.toml", new);
    sides.diff(&[])
}

/// Without a hole in it, whoever reads it.
fn is_harmless(text: &str) -> bool {
    let unseen = |c: char| {
        c != '\n' && c.is_control() || matches!(c, '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{202e}' | '\u{3164}')
    };
    !text.contains(unseen)
}

#[test]
fn a_set_up_that_is_gone_is_told_and_no_case_is_called_like_it() {
    let (code, out) = diff(&[], &[("given = \"g.sql\"\n", "")]);
    assert!(code == 21 && out.contains("! removed    stage.b.reject.twice.given"), "{code} {out}");
    for key in ["given", "permit", "no_permit"] {
        let (code, out) = diff(&[], &[("refuse.unknown", &format!("refuse.{key}"))]);
        assert!(code == 10 && out.contains(&format!("error[name-reserved]: `{key}` is no name for a case")), "{out}");
    }
}

#[test]
fn words_of_a_variable_are_a_set() {
    let (code, out) = diff(&[], &[("[\"a, b\", \"c\"]", "[\"a\", \"b\", \"c\"]")]);
    assert!(code == 21, "{code} {out}");
    assert!(out.contains("var.zone.type  one of \"a, b\", \"c\" -> one of \"a\", \"b\", \"c\""), "{out}");
    let (code, out) = diff(&[], &[("[\"a, b\", \"c\"]", "[\"c\", \"a, b\"]")]);
    assert!(code == 0 && out.contains("formatting only"), "{code} {out}");
}

#[test]
fn nobody_knows_who_reads_a_sensitive_variable() {
    let sides = Sides::new();
    let other = [("env:TOK", "env:OTHER")];
    sides.edit("new/plans/p.toml", &other);
    let (code, out) = sides.diff(&[]);
    assert!(code == 21 && out.contains("! changed    var.tok.default") && !out.contains("nothing reads it"), "{out}");
    assert!(out.contains("SQL may put the name of its setting together"), "{out}");
    for side in ["old", "new"] {
        let read = "UPDATE orders SET n = 1 WHERE t = current_setting('Engine.Var.Tok');\n";
        sides.write(&format!("{side}/templates/a.sql"), read);
    }
    let (code, out) = sides.diff(&[]);
    assert!(code == 21 && out.contains("read by `templates/a.sql`"), "{out}");
}

#[test]
fn blanks_in_quotes_are_seen() {
    let (code, out) = diff(&[], &[("'a b'", "'a  b'")]);
    assert!(code == 21 && out.contains("state = 'a b' -> state = 'a  b'"), "{out}");
    let (_, out) = diff(&[], &[("state = 'a b'", "state  =   'a\tb'")]);
    assert!(out.contains("state = 'a b' -> state = 'a<U+0009>b'"), "{out}");
    // Where nothing but blanks tells two texts apart, they are shown.
    let (_, out) =
        diff(&[("\"x\"\n\n[stage.a]", "\"x y\"\n\n[stage.a]")], &[("\"x\"\n\n[stage.a]", "\"x  y\"\n\n[stage.a]")]);
    assert!(out.contains("stage.clone.no_guard  x y -> x  y"), "{out}");
}

#[test]
fn a_guard_that_could_not_be_evaluated_and_now_can_is_no_tighter_one() {
    for (old, new) in [
        ("gap IN (1, 'abc')", "gap IN (1)"),
        ("gap = 'abc' OR gap >= 1", "gap >= 1"),
        ("state = 'a' OR state = 5", "state = 'a'"),
    ] {
        let (code, out) = diff(&[("gap = 210", old)], &[("gap = 210", new)]);
        assert!(code == 21 && out.contains("! changed    stage.a.guard.open"), "{old} | {new}: {out}");
    }
}

#[test]
fn what_a_plan_says_neither_steers_nor_hides() {
    let sides = Sides::new();
    sides.edit(
        "new/plans/p.toml",
        &[
            ("state = 'a b'", "state = 'a\u{a0}\u{ad}\u{3164}b'"),
            ("[\"secrets\"]", "[\"secrets\", \"\\\"a\\u001b[1A\\u001b[2K\\\"\"]"),
            (
                "writes.orders = 5\n",
                "writes.orders = 5\nalters = [\"\\\"x\\u001b[8m\\\"\"]\nignore = [\"orders.\\\"y\\u001b[2J\\\"\"]\n",
            ),
        ],
    );
    sides.edit("new/templates/a.sql", &[("SET n = 1", "SET n = '\u{202e}1\u{200b}'")]);
    let (code, out) = sides.diff(&[]);
    assert_eq!(code, 21, "{out}");
    assert!(is_harmless(&out), "{out:?}");
    for shown in [
        "state = 'a<U+00A0><U+00AD><U+3164>b'",
        "<U+001B>[1A<U+001B>[2K",
        "alters.\"\"x<U+001B>[8m\"\"",
        "y<U+001B>[2J",
        "'<U+202E>1<U+200B>'",
    ] {
        assert!(out.contains(shown), "{shown} is not in {out}");
    }
    let (_, markdown) = sides.diff(&["--format", "markdown"]);
    assert!(is_harmless(&markdown) && markdown.contains("<U+00A0><U+00AD><U+3164>"), "{markdown:?}");
    // Where it does not compile, the words of the plan stand in the problems.
    sides.edit("new/plans/p.toml", &[("refuse.unknown", "refuse.\"x\\u001b[1A\"")]);
    for form in ["text", "markdown"] {
        let (code, out) = sides.diff(&["--format", form]);
        assert!(code == 10 && is_harmless(&out) && out.contains("`x<U+001B>[1A` is no name"), "{out:?}");
    }
    for form in ["text", "github"] {
        let (code, out, err) = sides.engine(&["check", "--format", form, "new/plans/p.toml"]);
        assert!(code == 10 && is_harmless(&(out.clone() + &err)), "{out:?} {err:?}");
    }
}

#[test]
fn a_stage_that_names_a_renamed_one_is_renamed_too() {
    let names = [("[stage.a]", "[stage.first]"), ("needs = [\"a\"]", "needs = [\"first\"]"), ("a.gap", "first.gap")];
    let second = [("[stage.b", "[stage.second")];
    let (code, out) = diff(&[], &[names.as_slice(), &second].concat());
    assert_eq!(code, 20, "{out}");
    for renamed in ["renamed    stage.first   a -> first", "renamed    stage.second  b -> second"] {
        assert!(out.contains(renamed), "{out}");
    }
    assert!(!out.contains("removed") && !out.contains("added"), "{out}");
    // What is shown as the old value is what the old file says, and a table is no stage.
    let wider = [("wrote.\\\"a.items\\\" >= 1 AND a.gap = 1", "wrote.\\\"a.items\\\" >= 0 AND first.gap = 1")];
    let (code, out) = diff(&[], &[&names[..2], &wider].concat());
    assert_eq!(code, 21, "{out}");
    let values = "wrote.\"a.items\" >= 1 AND a.gap = 1 -> wrote.\"a.items\" >= 0 AND first.gap = 1";
    assert!(out.contains(&format!("! loosened   stage.b.ensure.filled  {values}")), "{out}");
}

#[test]
fn plans_in_exchanged_files_are_compared_with_themselves() {
    let sides = Sides::new();
    let (p, q) = (PLAN.to_owned(), PLAN.replace("name = \"p\"", "name = \"q\"").replace("p_clone", "q_clone"));
    let put = |files: &[(&str, &str)]| {
        for side in ["old", "new"] {
            fs::remove_dir_all(sides.0.path().join(side).join("plans")).expect("plans");
        }
        for (file, text) in files {
            sides.write(file, text);
        }
    };
    put(&[("old/plans/a.toml", &p), ("old/plans/b.toml", &q), ("new/plans/a.toml", &q), ("new/plans/b.toml", &p)]);
    let (code, out, err) = sides.engine(&["diff", "old", "new"]);
    assert_eq!((code, out.trim_end()), (0, "no difference: q, p"), "{err}");
    // Another plan took the old name of the file.
    let looser = p.replace("gap = 210", "gap >= 1");
    put(&[("old/plans/a.toml", &p), ("new/plans/a.toml", &q), ("new/plans/c.toml", &looser)]);
    let (code, out, _) = sides.engine(&["diff", "old", "new"]);
    assert!(
        code == 21 && out.contains("old/plans/a.toml -> new/plans/c.toml") && out.contains("a.toml, a new plan"),
        "{out}"
    );
    assert!(out.contains("! loosened   stage.a.guard.open  gap = 210 -> gap >= 1"), "{out}");
    // Another name in the same file is the same plan.
    put(&[("old/plans/a.toml", &p), ("new/plans/a.toml", &q)]);
    let (_, out, _) = sides.engine(&["diff", "old", "new"]);
    assert!(out.contains("plan.name") && !out.contains("a new plan"), "{out}");
}

#[test]
fn a_comment_that_is_too_long_keeps_what_matters() {
    let sides = Sides::new();
    for side in ["old", "new"] {
        let q = PLAN.replace("name = \"p\"", "name = \"q\"").replace("p_clone", "q_clone").replace("a.sql", "q.sql");
        sides.write(&format!("{side}/plans/q.toml"), &q);
        sides.write(&format!("{side}/templates/q.sql"), "UPDATE orders SET n = 1 WHERE id = 1;\n");
        sides.write(&format!("{side}/plans/same.toml"), &PLAN.replace("name = \"p\"", "name = \"same\""));
        sides.write(&format!("{side}/plans/broken.toml"), "engine = 1\nwhat = 2\n");
    }
    let comments = format!("-- {}\n", "0".repeat(60)).repeat(1_000);
    sides.edit("new/templates/q.sql", &[("UPDATE", &format!("{comments}UPDATE"))]);
    sides.edit("new/plans/p.toml", &[("approved >= 1", "approved >= 0")]);
    let (code, out, _) = sides.engine(&["diff", "old", "new", "--format", "markdown"]);
    assert!(code == 10 && out.len() < 20_000, "{code} {}", out.len());
    for said in [
        "### ✘ the old side does not compile · `old/plans/broken.toml`",
        "| ⚠ loosened |  | `target.production.gate.ok` | `approved >= 1` | `approved >= 0` |",
        "### ⚠ risk raised: 1 finding · `old/plans/p.toml -> new/plans/p.toml`",
        "| reworded | `a` | `sql` |",
        "1 diff of SQL** left out",
        "no difference: `same`",
    ] {
        assert!(out.contains(said), "{said} is not in {out}");
    }
}

#[test]
fn no_two_files_of_a_lock_are_called_alike() {
    let sides = Sides::new();
    let (code, _, err) = sides.engine(&["render", "old/plans/p.toml"]);
    assert_eq!(code, 0, "{err}");
    let sums = fs::read_to_string(sides.0.path().join("old/sql/p/SHA256SUMS")).expect("sums");
    assert_eq!(sums.matches("  b.reject.twice.given.sql\n").count(), 1, "{sums}");
    // Each of these was written twice, and the lock was never fresh.
    for edit in
        [("refuse.unknown", "refuse.given"), ("refuse.unknown", "refuse.permit"), ("stage.b", "stage.predicates")]
    {
        sides.edit("new/plans/p.toml", &[edit]);
        let (code, _, err) = sides.engine(&["render", "new/plans/p.toml"]);
        assert!(code == 10 && err.contains("error[name-reserved]"), "{edit:?}: {err}");
        assert!(!sides.0.path().join("new/sql").exists(), "{edit:?}");
        sides.write("new/plans/p.toml", PLAN);
    }
}
