//! Bad input by hand: each is refused with its own code and its own words, and nothing is made or changed.

mod support;

use std::time::{Duration, Instant};
use support::{Bench, MAIN_JOB, Outcome};

/// Nothing was made: no clone, no run, no half-made database.
fn nothing_was_made(bench: &Bench) {
    assert!(!bench.exists(bench.clone_name()), "a clone was made");
    assert!(bench.runs().is_empty(), "a run was begun");
}

/// Runs a verb on a plan made of `text`; it must answer within `limit`.
fn soon(bench: &Bench, verb: &str, plan: &str, limit: Duration) -> Outcome {
    let since = Instant::now();
    let outcome = bench.engine(&[verb, plan]);
    assert!(since.elapsed() < limit, "{verb} {plan} took {:?}", since.elapsed());
    outcome
}

#[test]
fn a_missing_or_useless_variable_of_the_environment_is_named() {
    let mut bench = Bench::new("env");
    let var = bench.clone_var();
    let names = ["ENGINE_PRODUCTION_URL", "ENGINE_CLONE_URL", "ENGINE_CLONE_MAKER_URL"];
    for name in names {
        let output = bench.command(&["apply", MAIN_JOB, "--var", &var]).env_remove(name).output().expect("the engine");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(name) && said.contains("--sandbox"), "{said}");
    }
    for useless in ["", "no connection string", "postgresql://", "host='"] {
        bench.set("ENGINE_PRODUCTION_URL", useless);
        bench.apply(&[]).expect(1).says(&["ENGINE_PRODUCTION_URL"]);
    }
    nothing_was_made(&bench);
}

#[test]
fn a_wrong_password_is_not_tried_twice() {
    let mut bench = Bench::new("password");
    let url = bench.login("careful_reader", "BYPASSRLS", &["engine_reader"], "right");
    bench.set("ENGINE_PRODUCTION_URL", &url.replace(":right@", ":wrong-one@"));
    let log = support::server().log();
    let failures = || {
        let text = std::fs::read_to_string(&log).expect("the log of the server");
        text.matches("password authentication failed for user \"careful_reader\"").count()
    };
    let before = failures();
    let outcome = bench.apply(&[]).expect(1).says(&["careful_reader", "password authentication failed"]);
    assert!(!outcome.all().contains("wrong-one"), "the password is printed");
    assert_eq!(failures() - before, 1, "a wrong password was sent more than once");
    bench.set("ENGINE_PRODUCTION_URL", &url.replace(":right@", "@"));
    bench.apply(&[]).expect(1).says(&["password"]);
    nothing_was_made(&bench);
}

#[test]
fn a_server_that_cannot_be_reached_is_temporary() {
    let mut bench = Bench::new("far");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
    let places = [
        format!("postgresql://engine_reader@127.0.0.1:{closed}/directus"),
        "postgresql://engine_reader@no-such-host.invalid/directus".to_owned(),
        "postgresql://engine_reader@%2Ftmp%2Fno-such-folder/directus".to_owned(),
    ];
    for place in places {
        bench.set("ENGINE_PRODUCTION_URL", &place);
        bench.apply(&[]).expect(75).says(&["production", "ENGINE_PRODUCTION_URL", "nothing was changed"]);
    }
    nothing_was_made(&bench);
}

#[test]
fn a_database_that_does_not_exist_is_named() {
    let mut bench = Bench::new("absent");
    bench.set("ENGINE_PRODUCTION_URL", &bench.url("engine_reader", "no_such_database"));
    bench.apply(&[]).expect(1).says(&["no_such_database", "does not exist"]);
    nothing_was_made(&bench);
}

#[test]
fn a_name_that_is_somebody_elses_is_left_alone() {
    let bench = Bench::new("taken");
    let name = bench.clone_name();
    bench.psql("postgres", &format!("CREATE DATABASE {name} OWNER engine_cloner"));
    bench.psql(name, "CREATE TABLE precious AS SELECT 1 AS one");
    for more in [&[][..], &["--replace"]] {
        bench.apply(more).expect(63).says(&[name, "no marker"]);
        assert_eq!(bench.psql(name, "SELECT one FROM precious"), "1");
    }
    bench.psql("postgres", &format!("COMMENT ON DATABASE {name} IS 'ours, {{\"engine\": 1}}'"));
    bench.apply(&["--replace"]).expect(63).says(&[name]);
    assert_eq!(bench.psql(name, "SELECT one FROM precious"), "1");
    bench.engine(&["apply", MAIN_JOB, "--var", &format!("clone_database={}", bench.production())]).expect(63);
}

#[test]
fn a_reader_that_may_not_read_everything_makes_no_clone() {
    let bench = Bench::new("unreadable");
    bench.psql(bench.production(), "REVOKE SELECT ON dot_tool_versions FROM engine_reader");
    let outcome = bench.apply(&[]);
    assert!([1, 40].contains(&outcome.code), "exit {}\n{}", outcome.code, outcome.all());
    outcome.says(&["dot_tool_versions"]);
    assert!(!bench.exists(bench.clone_name()), "a clone was made");
}

#[test]
fn a_reader_that_row_security_would_blind_makes_no_clone() {
    let mut bench = Bench::new("blind");
    let url = bench.login("blind_reader", "", &["engine_reader"], "right");
    bench.set("ENGINE_PRODUCTION_URL", &url);
    let outcome = bench.apply(&[]);
    assert_ne!(outcome.code, 0, "rows were left out and nobody said so\n{}", outcome.all());
    outcome.says(&["vendor_contracts", "BYPASSRLS"]);
    assert!(!bench.exists(bench.clone_name()), "a clone was made");
}

#[test]
fn a_reader_that_could_write_is_refused() {
    let mut bench = Bench::new("strong");
    bench.psql("postgres", "CREATE ROLE strong_reader LOGIN BYPASSRLS IN ROLE engine_reader");
    bench.psql(bench.production(), "GRANT UPDATE (title) ON gov_seams TO strong_reader");
    bench.set("ENGINE_PRODUCTION_URL", &bench.url("strong_reader", bench.production()));
    bench.apply(&[]).expect(1).says(&["strong_reader", "may write public.gov_seams"]);
    bench.set("ENGINE_PRODUCTION_URL", &bench.url("postgres", bench.production()));
    bench.apply(&[]).expect(1).says(&["is superuser"]);
    nothing_was_made(&bench);
}

#[test]
fn a_role_of_the_clone_that_reaches_production_is_refused() {
    let mut bench = Bench::new("door");
    bench.psql("postgres", "CREATE ROLE strong_stage LOGIN IN ROLE engine_owner, directus");
    bench.psql("postgres", "ALTER ROLE strong_stage SET role = engine_owner");
    bench.set("ENGINE_CLONE_URL", &bench.url("strong_stage", "postgres"));
    bench.apply(&[]).expect(1).says(&["strong_stage", "production"]);
    nothing_was_made(&bench);
}

#[test]
fn what_is_no_plan_is_an_invalid_plan() {
    let bench = Bench::new("garbage");
    let garbage: Vec<u8> = (0..4096_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    std::fs::write(bench.home().join("plans/garbage.toml"), garbage).expect("a file");
    bench.write("plans/empty.toml", "");
    std::fs::create_dir(bench.home().join("plans/folder.toml")).expect("a folder");
    for (plan, said) in [("garbage", "UTF-8"), ("empty", "engine"), ("absent", "absent.toml")] {
        let plan = format!("plans/{plan}.toml");
        for verb in ["check", "apply", "plan", "render"] {
            bench.engine(&[verb, &plan]).expect(10).says(&[&plan, said]);
        }
    }
    // To those that take folders it is one without a plan.
    let folder = "plans/folder.toml";
    for (verb, code, said) in
        [("check", 2, "no plan in"), ("render", 2, "no plan in"), ("apply", 10, "directory"), ("plan", 10, "directory")]
    {
        bench.engine(&[verb, folder]).expect(code).says(&[folder, said]);
    }
    nothing_was_made(&bench);
}

#[test]
fn a_missing_template_is_drawn_where_it_is_named() {
    let bench = Bench::new("template");
    std::fs::remove_file(bench.home().join("templates/clone_a_to_g/e_worker.sql")).expect("a file");
    bench.apply(&[]).expect(10).says(&["clone_a_to_g/e_worker.sql", "plans/clone_a_to_g.toml:"]);
    nothing_was_made(&bench);
}

#[test]
fn a_plan_of_ten_megabytes_is_answered_in_time() {
    let bench = Bench::new("large");
    let text = bench.read("plans/hello.toml");
    let comment = format!("# {}\n", "x".repeat(1_000)).repeat(10_000);
    bench.write("plans/large.toml", &format!("{text}{comment}"));
    let large = soon(&bench, "check", "plans/large.toml", Duration::from_secs(20));
    assert!([0, 10].contains(&large.code), "exit {}", large.code);
    let long = "x".repeat(10_000_000);
    bench.write("plans/long.toml", &text.replace("only looks", &long));
    let long = soon(&bench, "check", "plans/long.toml", Duration::from_secs(20));
    assert!([0, 10].contains(&long.code), "exit {}", long.code);
    let deep = format!("{text}\nx = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    bench.write("plans/deep.toml", &deep);
    soon(&bench, "check", "plans/deep.toml", Duration::from_secs(20)).expect(10);
}

#[test]
fn a_plan_of_five_thousand_stages_is_checked_in_time() {
    let bench = Bench::new("many");
    let mut text = bench.read("plans/hello.toml").replace("\"hello\"", "\"many\"");
    for number in 0..5_000 {
        let needs = if number == 0 { "look".to_owned() } else { format!("s{}", number - 1) };
        text.push_str(&format!(
            "\n[stage.s{number}]\nkind = \"check\"\non = \"local\"\nneeds = [\"{needs}\"]\nno_guard = \"only looks\"\nensure.some = \"tables >= 1\"\n"
        ));
    }
    bench.write("plans/many.toml", &text);
    soon(&bench, "check", "plans/many.toml", Duration::from_secs(150)).expect(0).says(&["5001 stages"]);
}

#[test]
fn words_that_make_no_sense_are_a_usage_error() {
    let bench = Bench::new("words");
    let words: [&[&str]; 7] = [
        &["aply", MAIN_JOB],
        &["apply"],
        &["apply", MAIN_JOB, "--no-such-option"],
        &["apply", MAIN_JOB, "--var", "no_equals_sign"],
        &["apply", MAIN_JOB, "--until", "no_such_stage"],
        &["apply", MAIN_JOB, "--vars-file", "no-such-file.toml"],
        &["resume", "no-such-run"],
    ];
    for arguments in words {
        bench.engine(arguments).expect(2);
    }
    bench.engine(&["apply", MAIN_JOB, "--var", "no_such_variable=1"]).expect(10).says(&["no_such_variable"]);
    bench.engine(&["apply", MAIN_JOB, "--var", "clone_databas=x"]).expect(10).says(&["clone_database"]);
    for name in [String::new(), "x".repeat(64)] {
        bench.engine(&["apply", MAIN_JOB, "--var", &format!("clone_database={name}")]).expect(10);
    }
    nothing_was_made(&bench);
}

/// A connection string in a file: ours alone, and a file.
#[test]
fn a_file_that_could_be_somebody_elses_is_no_connection_string() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let bench = Bench::new("file");
    let url = bench.url("engine_reader", bench.production());
    let plan = bench.read("plans/hello.toml").replace("\"hello\"", "\"of_file\"");
    let reference = plan.split('"').find(|text| text.starts_with("env:")).expect("a reference").to_owned();
    bench.write("plans/of_file.toml", &plan.replace(&reference, "file:secrets/url"));
    let secret = bench.write("secrets/real", &format!("{url}\n"));
    let place = bench.home().join("secrets/url");
    let mode = |mode: u32| std::fs::set_permissions(&secret, PermissionsExt::from_mode(mode)).expect("a mode");
    let refused = |said: &[&str]| {
        let outcome = soon(&bench, "apply", "plans/of_file.toml", Duration::from_secs(20)).expect(1);
        outcome.says(&["secrets/url", "nothing was changed"]).says(said);
        assert!(bench.runs().is_empty(), "a run was begun");
    };
    refused(&["No such file"]);
    symlink("real", &place).expect("a link");
    for open in [0o644, 0o640, 0o602] {
        mode(open);
        refused(&[&format!("its mode is {open:04o}"), "chmod 0600 secrets/url"]);
    }
    mode(0o600);
    bench.engine(&["apply", "plans/of_file.toml"]).expect(0);
    std::fs::remove_dir_all(bench.home().join(".engine")).expect("the run");
    bench.write("secrets/real", " \n\n");
    refused(&["it is empty"]);
    bench.write("secrets/real", &url);
    // Only root can give a file away, and then nobody's file is not ours.
    if chown(&secret, Some(65_534), None).is_ok() {
        refused(&["belongs to user 65534", "chown"]);
    }
    std::fs::remove_file(&place).expect("the link");
    std::fs::create_dir(&place).expect("a folder");
    refused(&["it is a folder"]);
    std::fs::remove_dir(&place).expect("the folder");
    let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&place).status();
    assert!(made.expect("mkfifo").success());
    let (since, mut waiting) = (Instant::now(), bench.start(&["apply", "plans/of_file.toml"]));
    while !waiting.over() {
        assert!(since.elapsed() < Duration::from_secs(20), "it waits for somebody to write into a pipe");
        std::thread::sleep(Duration::from_millis(5));
    }
    refused(&["it is a pipe or a device"]);
    std::fs::remove_file(&place).expect("the pipe");
    symlink("/dev/null", &place).expect("a link");
    refused(&["it is a pipe or a device"]);
}
