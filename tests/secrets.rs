//! A canary as every password, and one in a row: it must be in no file, no output, no command line and no `Debug`.

mod support;

use engine::target::{Door, Isolation, Maker, Reader, Settings, Url};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{Bench, MAIN_JOB, Outcome, ROLLOUT, files};

const CANARY: &str = "Kanarienvogel5d1f";

/// The four roles with passwords, in variables and, for the writer, in a file.
fn bench(name: &str) -> Bench {
    let mut bench = Bench::new(name);
    let reader = bench.login(&format!("{name}_reader"), "BYPASSRLS", &["engine_reader"], CANARY);
    bench.set("ENGINE_PRODUCTION_URL", &reader);
    bench.set("DATABASE_URL", &reader);
    let stage =
        bench.login(&format!("{name}_stage"), "", &["engine_owner"], CANARY).replace(bench.production(), "postgres");
    bench.psql("postgres", &format!("ALTER ROLE {name}_stage SET role = engine_owner"));
    bench.set("ENGINE_CLONE_URL", &stage);
    let maker = bench
        .login(&format!("{name}_maker"), "CREATEDB", &["engine_owner"], CANARY)
        .replace(bench.production(), "postgres");
    bench.set("ENGINE_CLONE_MAKER_URL", &maker);
    let writer = bench.login(&format!("{name}_writer"), "", &["gov_rollout"], CANARY);
    bench.set("ENGINE_PRODUCTION_WRITER_URL", &writer);
    bench
}

/// Nothing of the canary was printed, or written below the working folder.
fn nowhere(bench: &Bench, outputs: &[Outcome]) {
    for outcome in outputs {
        assert!(!outcome.all().contains(CANARY), "printed in\n{}", outcome.all().replace(CANARY, "<CANARY>"));
    }
    let kept = files(&bench.home().join(".engine"));
    assert!(kept.len() > 50, "the files of a run");
    for file in kept {
        let bytes = std::fs::read(&file).expect("a file");
        let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!found, "written to {}", file.display());
    }
}

/// Command lines of all processes, again and again, until it is told to stop: how many had the canary.
fn lurker() -> (Arc<AtomicBool>, std::thread::JoinHandle<(BTreeSet<String>, bool)>) {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let lurking = std::thread::spawn(move || {
        let (mut seen, mut children) = (BTreeSet::new(), false);
        while !told.load(Ordering::Relaxed) {
            for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                children |= line.contains("pg_dump") || line.contains("pg_restore");
                if line.contains(CANARY) {
                    seen.insert(line);
                }
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        (seen, children)
    });
    (stop, lurking)
}

#[test]
fn a_password_stands_in_no_file_and_no_output() {
    let mut bench = bench("canary");
    let reader = bench.url("canary_reader", bench.production()).replacen('@', &format!(":{CANARY}@"), 1);
    let (stop, lurking) = lurker();
    let mut outputs = vec![bench.apply(&["--json"]).expect(0)];
    stop.store(true, Ordering::Relaxed);
    let (seen, children) = lurking.join().expect("a look");
    assert!(seen.is_empty(), "on a command line: {seen:?}");
    assert!(children, "no child was seen, so nothing was looked at");
    assert!(outputs[0].stdout.contains("canary_reader"), "roles are named, passwords are not");

    // The gate is closed, then open: the writer's password is used as well.
    outputs.push(bench.engine(&["apply", ROLLOUT]).expect(30));
    bench.psql(
        bench.production(),
        "INSERT INTO os_proposal_approvals (request_code, level, approver) VALUES ('APR-BOOT-AUTHMODEL-1', 'L4', 'sovereign')",
    );
    outputs.push(bench.engine(&["apply", ROLLOUT]).expect(0));
    let packet = bench.packet().0;
    for verb in ["plan", "doctor", "check", "gc"] {
        outputs.push(bench.engine(&[verb, MAIN_JOB]));
    }
    outputs.push(bench.engine(&["doctor", ROLLOUT]));
    for words in [
        &["show", "latest"][..],
        &["show", "latest", "--json"],
        &["status"],
        &["verify", "latest"],
        &["verify", &packet],
        &["runs", "--json"],
    ] {
        outputs.push(bench.engine(words).expect(0));
    }
    for verb in ["fingerprint", "watermark"] {
        outputs.push(bench.engine(&[verb, &reader]));
        outputs.push(bench.engine(&[verb, &reader, "-o", verb]).expect(0));
        outputs.push(bench.engine(&[verb, &reader, "--against", verb, "--json"]).expect(0));
        assert!(!bench.read(verb).contains(CANARY));
    }

    // Everything that goes wrong with a connection string, in every place where one is read.
    let spoilt = [
        bench.url("canary_reader", "no_such_database").replacen('@', &format!(":{CANARY}@"), 1),
        reader.replacen(CANARY, &format!("{CANARY}wrong"), 1),
        format!("{reader}?no_such_option={CANARY}"),
        format!("{reader}?sslmode={CANARY}"),
        format!("postgresql://{CANARY}:{CANARY}:no@["),
        format!("host=127.0.0.1 port=1 user=x password={CANARY}"),
        format!("host='127.0.0.1 password={CANARY}"),
    ];
    let good: Vec<(&str, String)> = vec![
        ("ENGINE_PRODUCTION_URL", reader.clone()),
        ("ENGINE_CLONE_URL", bench.url("canary_stage", "postgres").replacen('@', &format!(":{CANARY}@"), 1)),
        ("ENGINE_CLONE_MAKER_URL", bench.url("canary_maker", "postgres").replacen('@', &format!(":{CANARY}@"), 1)),
    ];
    for (variable, right) in &good {
        for url in &spoilt {
            bench.set(variable, url);
            let outcome = bench.engine(&["doctor", MAIN_JOB]);
            assert_ne!(outcome.code, 0, "{variable}");
            outputs.push(outcome);
        }
        let outcome = bench.apply(&["--replace"]);
        assert_ne!(outcome.code, 0, "{variable}");
        outputs.push(outcome);
        bench.set(variable, right);
    }
    for url in &spoilt {
        outputs.push(bench.engine(&["fingerprint", url]));
        outputs.push(bench.engine(&["watermark", url]));
    }
    outputs.push(bench.engine(&["drop", &bench.runs()[0].clone()]).expect(0));
    nowhere(&bench, &outputs);
}

/// DETAIL of an error carries rows: the terminal of an operator may show it, a file and a pipe may not.
#[test]
fn a_row_in_an_error_stands_in_no_file() {
    let bench = bench("rows");
    let rows = format!(
        "SET ROLE directus; CREATE TABLE told (id text PRIMARY KEY); GRANT SELECT ON told TO engine_reader;
         INSERT INTO told VALUES ('{CANARY}')"
    );
    bench.psql(bench.production(), &rows);
    // A row that is there already: the server's DETAIL names its key.
    let template = "templates/clone_a_to_g/a_seed.sql";
    let text = bench.read(template);
    bench.write(template, &format!("{text}\nINSERT INTO told SELECT * FROM told;\n"));
    bench.engine(&["render", MAIN_JOB]).expect(0);
    let outcome = bench.apply(&["--json"]).expect(40);
    assert!(outcome.all().contains("23505"), "{}", outcome.all());
    let outputs =
        [outcome, bench.engine(&["show", "latest", "a_seed"]), bench.engine(&["status"]), bench.engine(&["runs"])];
    for outcome in &outputs {
        assert!(!outcome.all().contains(CANARY), "printed in\n{}", outcome.all().replace(CANARY, "<CANARY>"));
    }
    for file in files(&bench.home().join(".engine")) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).expect("a file")).into_owned();
        assert!(!text.contains(CANARY), "written to {}", file.display());
    }
}

/// Whatever holds a connection string, printed for debugging.
#[tokio::test]
async fn debug_shows_no_password() {
    let bench = bench("debug");
    let url =
        Url::literal("test", bench.url("debug_reader", bench.production()).replacen('@', &format!(":{CANARY}@"), 1));
    let settings = Settings {
        search_path: String::new(),
        statement_timeout: Duration::from_secs(20),
        lock_timeout: Duration::from_secs(5),
        read_only: true,
    };
    let door = Door::new("production", &url, None, &settings).expect("a door");
    let (maker, reader) = (Maker::new(door.clone()), Reader::new(door.clone()));
    let tx = reader.begin("debug", Isolation::Snapshot).await.expect("a transaction");
    let stream = reader.stream("debug", &Isolation::Snapshot).await.expect("a stream");
    let told = [
        format!("{url:?} {url:#?}"),
        format!("{door:?} {door:#?}"),
        format!("{maker:?} {maker:#?}"),
        format!("{reader:?} {reader:#?}"),
        format!("{tx:?} {tx:#?} {:?}", tx.canceller()),
        format!("{stream:?} {stream:#?} {:?}", stream.canceller()),
    ];
    for text in told {
        assert!(!text.is_empty() && !text.contains(CANARY), "{}", text.replace(CANARY, "<CANARY>"));
    }
}
