//! The linter: what `check`, `plan` and their documents say of risky SQL, and what `allow` lets pass.

mod support;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use support::{Bench, MINI, to_the_packet};

const HEAD: &str = r#"engine = 1
[target.production]
url = "env:P"
access = "read"
gate.open = "oks >= 1"
[target.clone]
clone_of = "production"
database = "x"
url = "env:C"
maker_url = "env:M"
[probe.oks]
on = "production"
sql = "SELECT count(*) FROM public.ok"
[stage.clone]
kind = "clone"
on = "clone"
needs = []
no_guard = "none"
"#;

/// A folder with one plan, `x.toml`, of stages that follow each other, each with its keys, its SQL and its way back.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(stages: &[(&str, &str, &str, Option<&str>)], more: &str) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        let (mut plan, mut before) = (HEAD.to_owned(), "clone");
        for (name, keys, sql, back) in stages {
            folder.write(&format!("templates/{name}.sql"), sql);
            let way_back = back.map_or("no_rollback = \"none\"".to_owned(), |text| {
                folder.write(&format!("templates/{name}.rollback.sql"), text);
                format!("rollback = \"{name}.rollback.sql\"")
            });
            plan.push_str(&format!(
                "[stage.{name}]\non = \"clone\"\nneeds = [\"{before}\"]\nfile = \"{name}.sql\"\n{way_back}\nno_guard = \"none\"\n{keys}\n"
            ));
            before = name;
        }
        folder.write("x.toml", &(plan + more));
        folder
    }

    /// One stage `a`.
    fn of(keys: &str, sql: &str) -> Folder {
        Folder::new(&[("a", keys, sql, None)], "")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("writes");
    }

    fn engine(&self, words: &[&str]) -> Output {
        engine(self.0.path(), words)
    }

    /// Code and line of each warning of a plan that is valid, as `check --json` prints them.
    fn warnings(&self) -> Vec<String> {
        let output = self.engine(&["check", "--json", "x.toml"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let lines = String::from_utf8(output.stdout.clone()).expect("UTF-8");
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let line = |line: Value| {
            let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            (line["type"] == "warning").then(|| format!("{} {}:{}", word("code"), word("path"), line["line"]))
        };
        lines.filter_map(line).collect()
    }

    /// What `check` says of a plan that it refuses.
    fn refused(&self) -> String {
        let output = self.engine(&["check", "x.toml"]);
        assert_eq!(output.status.code(), Some(10), "{}", said(&output));
        said(&output)
    }
}

fn engine(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command.args(words).current_dir(folder).stdin(Stdio::null()).env("NO_COLOR", "1").output().expect("the engine")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Each of these, alone in a stage, is found by its rule, at its line; and not any more when it is allowed.
#[test]
fn risky_statements_are_found_and_can_be_allowed() {
    let statements = [
        ("adding-field-with-default", "ALTER TABLE t ADD COLUMN c uuid DEFAULT gen_random_uuid()"),
        ("adding-required-field", "ALTER TABLE t ADD COLUMN c bigint NOT NULL"),
        ("adding-not-nullable-field", "ALTER TABLE t ALTER COLUMN c SET NOT NULL"),
        ("require-concurrent-index-creation", "CREATE INDEX i ON t (c)"),
        ("require-concurrent-index-deletion", "DROP INDEX i"),
        ("constraint-missing-not-valid", "ALTER TABLE t ADD CONSTRAINT k CHECK (c > 0)"),
        ("changing-column-type", "ALTER TABLE t ALTER COLUMN c TYPE bigint"),
        ("renaming-column", "ALTER TABLE t RENAME COLUMN c TO d"),
        ("renaming-table", "ALTER TABLE t RENAME TO u"),
        ("disallowed-unique-constraint", "ALTER TABLE t ADD CONSTRAINT k UNIQUE (c)"),
        ("ban-drop-column", "ALTER TABLE t DROP COLUMN c"),
        ("ban-drop-table", "DROP TABLE t"),
        ("ban-truncate-cascade", "TRUNCATE t CASCADE"),
        ("prefer-text-field", "CREATE TABLE n (c varchar(10))"),
    ];
    for (rule, sql) in statements {
        let text = format!("-- squawk-ignore-file {rule}\nSELECT 1;\n\n{sql};\n");
        let found = Folder::of("", &text).warnings();
        assert_eq!(found, [format!("{rule} templates/a.sql:4")], "{sql}");
        let allowed = Folder::of(&format!("allow = {{ {rule} = \"the table is empty\" }}"), &text).warnings();
        assert_eq!(allowed, [""; 0], "{sql}");
    }
    let harmless = [
        "ALTER TABLE t ADD COLUMN c bigint DEFAULT 1",
        "ALTER TABLE t ADD CONSTRAINT k CHECK (c > 0) NOT VALID",
        "INSERT INTO t (id) VALUES (1)",
        "CREATE TABLE n (id bigint); CREATE INDEX i ON n (id)",
        "ALTER TABLE t ADD COLUMN c text",
    ];
    for sql in harmless {
        assert_eq!(Folder::of("", &format!("{sql};\n")).warnings(), [""; 0], "{sql}");
    }
}

#[test]
fn a_finding_points_into_the_template_or_into_what_is_rendered() {
    let two = "{# two tables #}{% for table in ['t', 'u'] %}\nDROP TABLE {{ table | ident }};{% endfor %}\n";
    let looped = Folder::of("", two);
    // No lock yet: people see what is rendered, machines a line that is there.
    let text = said(&looped.engine(&["check", "x.toml"]));
    assert!(text.contains("--> sql/x/a.sql:2:1"), "{text}");
    let plan = std::fs::read_to_string(looped.0.path().join("x.toml")).expect("a plan");
    let line = plan.lines().position(|line| line == "file = \"a.sql\"").expect("a line") + 1;
    assert_eq!(looped.warnings(), [(); 2].map(|()| format!("ban-drop-table x.toml:{line}")));
    let text = said(&looped.engine(&["check", "--format", "github", "x.toml"]));
    assert!(text.contains(&format!("file=x.toml,line={line},")) && !text.contains("file=sql"), "{text}");
    assert!(text.contains("line 3 of what is rendered"), "{text}");
    let text = said(&looped.engine(&["check", "--format", "sarif", "x.toml"]));
    assert!(!text.contains("\"uri\": \"sql/"), "{text}");
    assert!(looped.engine(&["render", "x.toml"]).status.success());
    assert_eq!(looped.warnings(), ["ban-drop-table sql/x/a.sql:2", "ban-drop-table sql/x/a.sql:3"]);

    let folder = Folder::of("", "DROP TABLE t;\n");
    let text = said(&folder.engine(&["check", "x.toml"]));
    for part in [
        "warning[ban-drop-table]: dropping a table may break existing clients",
        "--> templates/a.sql:1:1",
        "in stage `a`",
        "say why in `[stage.a]`: allow.ban-drop-table = \"...\"",
        "x.toml: ok",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = said(&folder.engine(&["check", "--format", "github", "x.toml"]));
    assert!(
        text.starts_with(
            "::warning file=templates/a.sql,line=1,endLine=1,col=1,endColumn=13,title=ban-drop-table::dropping"
        ),
        "{text}"
    );
    let output = folder.engine(&["check", "--format", "sarif", "x.toml"]);
    let log: Value = serde_json::from_slice(&output.stdout).expect("a log");
    let result = &log["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&Value::from("ban-drop-table"), &Value::from("warning")));
    assert_eq!(output.status.code(), Some(0), "a warning is no problem: {}", said(&output));
}

#[test]
fn an_allow_is_held_against_the_rules() {
    let drop = "DROP TABLE t;\n";
    let text = Folder::of("allow = { ban-drop-tables = \"gone\" }", drop).refused();
    assert!(text.contains("error[unknown-rule]") && text.contains("did you mean `ban-drop-table`?"), "{text}");
    let text = Folder::of("allow = { require-lock-timeout = \"short\" }", drop).refused();
    assert!(text.contains("error[unknown-rule]") && text.contains("the engine sets a lock_timeout"), "{text}");
    for reason in ["\" \"", "true"] {
        let text = Folder::of(&format!("allow = {{ ban-drop-table = {reason} }}"), drop).refused();
        assert!(text.contains("error[allow-without-reason]"), "{text}");
    }
    let two = "allow = { prefer-timestamptz = \"one\", prefer-timestamp-tz = \"two\" }";
    let text = Folder::of(two, "CREATE TABLE n (at timestamp);\n").refused();
    assert!(text.contains("error[doubled]"), "{text}");
    assert_eq!(Folder::of("allow.renaming-table = \"none\"", "SELECT 1;\n").warnings(), ["unused-allow x.toml:25"]);
    let text = Folder::new(
        &[],
        "[stage.f]\nkind = \"fingerprint\"\non = \"clone\"\nneeds = [\"clone\"]\nno_guard = \"none\"\nallow.ban-drop-table = \"x\"\n",
    );
    assert!(text.refused().contains("error[unknown-key]"), "nothing is linted there");
}

/// The engine sets time-outs and transactions itself, and outside of a transaction there is none.
#[test]
fn what_the_engine_does_itself_is_not_found() {
    let keys = "transaction = false\ndone_when = \"oks = 1\"\nalters = [\"t\"]";
    let text = "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (c);\n";
    let folder = Folder::new(&[("a", keys, text, Some("DROP INDEX CONCURRENTLY IF EXISTS i;\n"))], "");
    assert_eq!(folder.warnings(), [""; 0]);
    let validated = "ALTER TABLE t ADD CONSTRAINT k CHECK (c > 0) NOT VALID;\nALTER TABLE t VALIDATE CONSTRAINT k;\n";
    assert_eq!(Folder::of("", validated).warnings(), ["constraint-missing-not-valid templates/a.sql:2"]);
}

#[test]
fn a_way_back_may_drop_what_the_way_forth_made() {
    let back = "DROP INDEX i;\nALTER TABLE t DROP COLUMN c;\nDROP TABLE n;\n";
    let folder = Folder::new(&[("a", "", "SELECT 1;\n", Some(back))], "");
    assert_eq!(folder.warnings(), ["require-concurrent-index-deletion templates/a.rollback.sql:1"]);
    assert!(said(&folder.engine(&["check", "x.toml"])).contains("in the rollback of `a`"));
}

/// Stages by themselves, and the same stages in one packet.
#[test]
fn a_packet_is_looked_at_as_one_transaction() {
    let make = ("make", "alters = [\"n\"]", "CREATE TABLE n (id bigint)", None);
    let index = ("index", "alters = [\"n\"]", "CREATE INDEX i ON n (id);\n", None);
    let add = ("add", "alters = [\"t\"]", "ALTER TABLE t ADD CONSTRAINT k CHECK (c > 0) NOT VALID -- later\n", None);
    let check = ("validate", "alters = [\"t\"]", "ALTER TABLE t VALIDATE CONSTRAINT k;\n", None);
    let drop = ("drop", "alters = [\"u\"]", "\nDROP TABLE u;\n", None);
    let stages = [make, index, add, check, drop];
    let apart = Folder::new(&stages, "");
    assert_eq!(
        apart.warnings(),
        ["ban-drop-table templates/drop.sql:2", "require-concurrent-index-creation templates/index.sql:1"]
    );
    let packet = |keys: &str| {
        format!(
            "[stage.pk]\nkind = \"packet\"\nfor = \"production\"\nneeds = [\"drop\"]\nno_guard = \"none\"\ndone_when = \"oks = 1\"\n\
             of = [\"drop\", \"make\", \"index\", \"add\", \"validate\"]\n{keys}\n"
        )
    };
    let sealed = Folder::new(&stages, &packet(""));
    assert_eq!(
        sealed.warnings(),
        ["ban-drop-table templates/drop.sql:2", "constraint-missing-not-valid templates/validate.sql:1"]
    );
    assert!(said(&sealed.engine(&["check", "x.toml"])).contains("in packet `pk`, which is one transaction"));
    let allowed = Folder::new(&stages, &packet("allow.constraint-missing-not-valid = \"t is small\""));
    assert_eq!(allowed.warnings(), ["ban-drop-table templates/drop.sql:2"]);
}

/// The plan of the tests below: one stage with a finding and an allowed one, and its packet.
fn plan(bench: &Bench) {
    let keys = "alters = [\"u\", \"t\"]\nallow = { ban-drop-table = \"nobody reads u\", renaming-table = \"spare\" }";
    let sql = "DROP TABLE u;\nALTER TABLE t ADD COLUMN c bigint NOT NULL";
    let stage = bench.mini_stage("a", "\"base\"", keys, sql, None);
    bench.mini_plan(&format!("{stage}{}", to_the_packet("\"a\"", "\"a\"", "oks = 7")));
}

#[test]
fn a_preview_lists_findings_allowed_or_not() {
    let bench = Bench::mini("lints", "");
    plan(&bench);
    let said = bench.engine(&["plan", MINI]).expect(0);
    let told = "       lint    templates/mini/a.sql:1 DROP TABLE   ban-drop-table (allowed)\n         because nobody reads u\n       \
                lint    templates/mini/a.sql:2 ALTER TABLE   adding-required-field\n         what    adding a new column";
    assert!(said.stdout.contains(told), "{}", said.stdout);
    for told in [
        "allow.renaming-table lets nothing pass",
        "carries lint of a: ban-drop-table (allowed)\n       carries lint of a: adding-required-field\n",
    ] {
        assert!(said.stdout.contains(told), "{told}: {}", said.stdout);
    }
    let said = bench.engine(&["plan", MINI, "--json"]).expect(0);
    let preview: Value = serde_json::from_str(&said.stdout).expect("one document");
    let stages = preview["stages"].as_array().expect("stages");
    let lints = &stages.iter().find(|stage| stage["name"] == "a").expect("stage a")["lints"];
    assert_eq!(lints["unused_allow"].to_string(), r#"["renaming-table"]"#);
    let found = lints["found"].as_array().expect("findings");
    assert_eq!(found.len(), 2, "{lints}");
    let drop = r#"{"rule":"ban-drop-table","message":"dropping a table may break existing clients","help":null,"stage":"a",
        "script":"forward","template":"templates/mini/a.sql","line":1,"statement":"DROP TABLE","allowed":"nobody reads u"}"#;
    assert_eq!(found[0], serde_json::from_str::<Value>(drop).expect("JSON"));
    assert_eq!((&found[1]["rule"], &found[1]["allowed"]), (&Value::from("adding-required-field"), &Value::Null));
    let sealed = &stages.iter().find(|stage| stage["name"] == "pk").expect("the packet")["lints"]["carried"];
    assert_eq!(*sealed, lints["found"], "what the packet brings to production");
    assert!(
        stages.iter().filter(|stage| stage["name"] != "a").all(|stage| stage["lints"]["found"] == Value::Array(vec![]))
    );
}

/// An `allow` of yesterday does not hide what is found today.
#[test]
fn a_diff_counts_findings_whether_they_are_allowed_or_not() {
    let keys = "alters = [\"t\"]\nallow.ban-drop-column = \"nobody reads it\"";
    let old = Folder::of(keys, "ALTER TABLE t DROP COLUMN a;\n");
    let new = Folder::of(keys, "ALTER TABLE t DROP COLUMN a;\nALTER TABLE t DROP COLUMN b;\n");
    let [before, after] = [&old, &new].map(|folder| folder.0.path().join("x.toml").display().to_string());
    let findings = |words: &[&str]| {
        let output = engine(old.0.path(), words);
        assert_eq!(output.status.code(), Some(21), "{}", said(&output));
        let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
        let all = document["plans"][0]["findings"].as_array().expect("findings").clone();
        let one =
            |finding: &Value| [&finding["risk"], &finding["class"], &finding["old"], &finding["new"]].map(Clone::clone);
        all.iter().filter(|f| f["address"] == "stage.a.lint.ban-drop-column").map(one).collect::<Vec<_>>()
    };
    let words = |words: [&str; 4]| words.map(Value::from);
    assert_eq!(findings(&["diff", "--json", &before, &after]), [words(["raised", "raised", "1 place", "2 places"])]);
    assert_eq!(findings(&["diff", "--json", &after, &before]), [words(["differs", "lowered", "2 places", "1 place"])]);
}
