//! Sensitive variables: SQL reads them, and nothing else holds them: no journal, no rendering, no packet, no screen.

mod support;

use support::{Bench, MINI, MINI_ROLLOUT, server, to_the_packet};

const SECRET: &str = "tr0ub4dor'\"&3 horse";
const VAR: &str = "[var.token]\ntype = \"text\"\nsensitive = true\ndefault = \"env:MINI_TOKEN\"\n";
const TOLD: &str = "INSERT INTO u SELECT 1, md5(current_setting('engine.var.token'))";

/// A plan whose stage `a` is told the secret.
fn bench(name: &str, sql: &str, more: &str, rest: &str) -> Bench {
    let mut bench = Bench::mini(name, "CREATE TABLE w (v text UNIQUE)");
    bench.psql(bench.production(), "GRANT SELECT ON w TO engine_reader");
    bench.set("MINI_TOKEN", SECRET);
    let stage = bench.mini_stage("a", "\"base\"", more, sql, Some("DELETE FROM u"));
    bench.mini_plan(&format!("{VAR}{stage}{rest}"));
    bench
}

/// Every file below the bench's folder, but for the environment that a test itself may have written.
fn nowhere(bench: &Bench) {
    let hex: String = SECRET.bytes().map(|b| format!("{b:02x}")).collect();
    for file in support::files(&bench.home().join(".engine")) {
        let bytes = std::fs::read(&file).expect("a file");
        let text = String::from_utf8_lossy(&bytes);
        for form in [SECRET, "tr0ub4dor", hex.as_str()] {
            assert!(!text.contains(form), "{} holds it: {text}", file.display());
        }
    }
}

/// Its value is in no text, and still the stage that was told it is not what it would be.
#[test]
fn a_committed_stage_is_not_told_another_value_afterwards() {
    let bad = |bench: &Bench| bench.mini_stage("bad", "\"a\"", "writes.w = 1", "SELECT 1 / 0", Some("DELETE FROM w"));
    let mut bench = bench("told_anew", TOLD, "writes.u = 1", "");
    let stage = bad(&bench);
    let plan = bench.read(MINI);
    bench.write(MINI, &format!("{plan}{stage}"));
    bench.mini_apply(&[]).expect(40);
    bench.write("templates/mini/bad.sql", "INSERT INTO w VALUES ('w');\n");
    bench.set("MINI_TOKEN", "quite another one");
    bench
        .engine(&["resume", "--accept-changes"])
        .expect(62)
        .says(&["a stage that is committed was changed since", "a"]);
    bench.set("MINI_TOKEN", SECRET);
    bench.engine(&["resume", "--accept-changes"]).expect(0);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT v FROM u"), md5(&bench));
}

/// Names of settings are blind for case, and one may begin like another one.
#[test]
fn who_reads_a_setting_is_told_by_its_whole_name() {
    let read = "INSERT INTO u VALUES (1, md5(current_setting('Engine.Var.TOKEN')))";
    for (name, sql, code) in [("case", read, 62), ("longer", &read.replace("TOKEN", "token_2"), 0)] {
        let mut bench = bench(&format!("name_{name}"), sql, "writes.u = 1", "");
        let plan = bench.read(MINI);
        let other = "[var.token_2]\ntype = \"text\"\nsensitive = true\ndefault = \"env:MINI_TOKEN_2\"\n";
        let token = bench.mini_stage("b", "\"a\"", "writes.w = 1", "SELECT 1 / 0", Some("DELETE FROM w"));
        bench.write(MINI, &format!("{plan}{other}{token}"));
        bench.set("MINI_TOKEN_2", "another secret altogether");
        bench.mini_apply(&[]).expect(40);
        bench.write("templates/mini/b.sql", "INSERT INTO w SELECT left(current_setting('engine.var.token'), 1);\n");
        bench.set("MINI_TOKEN", "quite another one");
        bench.engine(&["resume", "--accept-changes"]).expect(code);
    }
}

fn md5(bench: &Bench) -> String {
    bench.psql("postgres", &format!("SELECT md5('{}')", SECRET.replace('\'', "''")))
}

#[test]
fn a_stage_its_proofs_and_its_rehearsal_are_told_and_nothing_keeps_it() {
    let proofs = "writes.u = 1\nprove = [\"reversible\"]\nensure.one = \"us = 1\"";
    let bench = bench("secret", TOLD, proofs, &to_the_packet("\"a\"", "\"a\"", "oks = 77"));
    let outcome = bench.mini_apply(&[]).expect(0);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT v FROM u"), md5(&bench));
    assert!(!outcome.all().contains("tr0ub4dor"), "{}", outcome.all());
    nowhere(&bench);
    for verb in [&["show", "latest", "a"][..], &["status"], &["verify", "latest"], &["show", "latest", "--json"]] {
        let outcome = bench.engine(verb).expect(0);
        assert!(!outcome.all().contains("tr0ub4dor"), "{verb:?}");
    }

    // The rollout: its plan has to bring the value, and psql has to be told.
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    bench.engine(&["apply", MINI_ROLLOUT]).expect(10).says(&["the packet reads sensitive variables", "[var.token]"]);
    let (folder, _) = bench.packet();
    let apply = bench.read(&format!("{folder}/apply.sql"));
    let said = bench.psql_as("shop_owner", bench.production(), &apply).expect_err("nobody told it");
    assert!(
        format!("{said:?}").contains("engine.var.token is not set: its value is sensitive and in no packet"),
        "{said:?}"
    );
    assert_eq!(bench.psql(bench.production(), "SELECT count(*) FROM u"), "0");
    let plan = bench.read(MINI_ROLLOUT);
    bench.write(MINI_ROLLOUT, &format!("{plan}{VAR}"));
    bench.engine(&["apply", MINI_ROLLOUT]).expect(0);
    assert_eq!(bench.psql(bench.production(), "SELECT v FROM u"), md5(&bench));
    nowhere(&bench);

    // Once more with bare psql, told before.
    bench.psql(bench.production(), "DELETE FROM u");
    let told = format!("SET engine.var.token = '{}';\n{apply}", SECRET.replace('\'', "''"));
    bench.psql_as("shop_owner", bench.production(), &told).expect("applied");
    assert_eq!(bench.psql(bench.production(), "SELECT v FROM u"), md5(&bench));
}

#[test]
fn what_a_server_says_of_it_is_hidden() {
    for (number, (sql, says)) in [
        ("INSERT INTO u SELECT current_setting('engine.var.token')::int", "invalid input syntax for type integer"),
        ("DO $$ BEGIN RAISE EXCEPTION 'no: %', current_setting('engine.var.token'); END $$", "no: "),
        ("DO $$ BEGIN RAISE EXCEPTION 'no' USING HINT = current_setting('engine.var.token'); END $$", "hint: "),
        (
            "INSERT INTO w VALUES (current_setting('engine.var.token')); INSERT INTO w SELECT v FROM w",
            "duplicate key value violates unique constraint",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let bench = bench(&format!("secret_said_{number}"), sql, "writes.u = 1\nwrites.w = 2", "");
        let outcome = bench.mini_apply(&[]).expect(40).says(&[says]);
        // DETAIL is not shown at all.
        assert_eq!(outcome.all().contains("[sensitive token]"), number < 3, "{}", outcome.all());
        assert!(!outcome.all().contains("tr0ub4dor"), "{}", outcome.all());
        nowhere(&bench);
    }
    // A reading that an ensure names is what it is.
    let probe = "[probe.said]\non = \"clone\"\nsql = \"SELECT v FROM public.w\"\n";
    let sql = "INSERT INTO w VALUES (current_setting('engine.var.token'))";
    let bench = bench("secret_read", sql, "writes.w = 1\nensure.none = \"said = 'x'\"", probe);
    let outcome = bench.mini_apply(&[]).expect(41).says(&["said is [sensitive token]"]);
    assert!(!outcome.all().contains("tr0ub4dor"), "{}", outcome.all());
    nowhere(&bench);
}

/// Its digests are compared by a key that is in no journal, shared or not.
#[test]
fn another_machine_is_told_that_it_needs_the_key() {
    let mut one = bench("secret_team", TOLD, "writes.u = 1", "");
    one.keep_runs_on(server());
    one.mini_apply(&[]).expect(0);
    let two = one.another_machine();
    for words in [&["resume"][..], &["resume", "--accept-changes"]] {
        let said = two.engine(words).expect(62);
        said.says(&[
            "sensitive variables cannot be compared",
            "sensitive.key of this run from the machine that began it",
        ]);
    }
    let key = one.of_run("sensitive.key");
    let there = two.home().join(&key);
    std::fs::create_dir_all(there.parent().expect("a folder")).expect("a folder");
    std::fs::copy(one.home().join(&key), there).expect("a copy");
    two.engine(&["resume"]).expect(0);
}

#[test]
fn a_resume_reads_it_again_and_tells_another_value_from_the_same() {
    let mut bench = bench("secret_resume", TOLD, "writes.u = 1", "");
    bench.mini_apply(&["--until", "base"]).expect(0);
    bench.set("MINI_TOKEN", "another value");
    bench.engine(&["resume"]).expect(62).says(&["var.token"]);
    bench.set("MINI_TOKEN", "short");
    bench.engine(&["resume"]).expect(1).says(&["the value of `var.token` is shorter than 8 bytes"]);
    bench.unset("MINI_TOKEN");
    bench
        .engine(&["resume"])
        .expect(1)
        .says(&["the environment variable `MINI_TOKEN` is not set", "export MINI_TOKEN"]);
    bench.set("MINI_TOKEN", SECRET);
    bench.engine(&["resume", "--until", "base"]).expect(0);
    let key = bench.home().join(bench.of_run("sensitive.key"));
    let mode = || std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&key).expect("the key")) & 0o777;
    assert_eq!(mode(), 0o600);
    // Without the key nobody can say that it is the same: that is a change, which a person may accept.
    std::fs::remove_file(&key).expect("remove");
    bench.engine(&["resume"]).expect(62).says(&["var.token"]);
    bench.engine(&["resume", "--accept-changes"]).expect(0);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT v FROM u"), md5(&bench));
    // What was accepted can be compared from then on.
    assert_eq!(mode(), 0o600);
    bench.set("MINI_TOKEN", "another value");
    bench.engine(&["resume"]).expect(62).says(&["var.token", "accepted by pid "]);
    bench.set("MINI_TOKEN", SECRET);
    bench.engine(&["resume"]).expect(0);
    nowhere(&bench);
}

#[test]
fn its_value_is_never_written_down() {
    let bench = bench("secret_literal", TOLD, "writes.u = 1", "");
    let outcome =
        bench.engine(&["check", MINI, "--var", "token=tr0ub4dor"]).expect(10).says(&["`env:NAME` or `file:PATH`"]);
    assert!(!outcome.all().contains("tr0ub4dor"), "{}", outcome.all());
    let plan = bench.read(MINI);
    bench.write(MINI, &plan.replace("env:MINI_TOKEN", "tr0ub4dor"));
    let outcome = bench.engine(&["check", MINI]).expect(10).says(&["does not fit its type"]);
    assert!(!outcome.all().contains("tr0ub4dor"), "{}", outcome.all());
    // A file will do, if it is nobody else's.
    let file = bench.home().join("token");
    bench.write("token", SECRET);
    bench.write(MINI, &plan);
    let given = format!("token=file:{}", file.display());
    bench.mini_apply(&["--var", &given]).expect(1).says(&["its mode is", "chmod 0600"]);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    bench.mini_apply(&["--var", &given]).expect(0);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT v FROM u"), md5(&bench));
}

#[test]
fn a_rollback_that_fails_with_it_does_not_show_it_and_a_name_of_the_plan_is_no_secret() {
    let mut bench = bench("secret_back", TOLD, "writes.u = 1", "");
    bench.write("templates/mini/a.rollback.sql", "SELECT current_setting('engine.var.token')::int;\n");
    bench.mini_apply(&[]).expect(0);
    let outcome = bench.engine(&["rollback", "latest"]).expect(40).says(&["[sensitive token]"]);
    assert!(!outcome.all().contains("tr0ub4dor"), "{}", outcome.all());
    nowhere(&bench);
    bench.set("MINI_TOKEN", "PRODUCTION");
    bench.mini_apply(&[]).expect(1).says(&["the value of `var.token` stands in `production`, a name of the plan"]);
}
