//! Runs that are kept in a database: another machine sees them, takes them up and is kept out of them; a journal that
//! was changed, that is gone or that is somebody else's is told.

mod support;

use engine::event::{Event, StageBrief};
use engine::journal::Home;
use engine::target::Url;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{
    Authority, Bench, Gate, KEEPER, MINI, MINI_ROLLOUT, Outcome, OwnServer, PASSWORD, Running, TcpServer, files,
    server, to_the_packet,
};

/// A production, a plan to the packet, and a journal on the tests' server.
fn team(name: &str) -> Bench {
    let mut bench = planned(name);
    bench.keep_runs_on(server());
    bench
}

fn planned(name: &str) -> Bench {
    let bench = Bench::mini(name, "CREATE TABLE n (id int PRIMARY KEY)");
    bench.psql(bench.production(), "GRANT SELECT ON n TO engine_reader");
    let a = bench.mini_stage(
        "a",
        "\"base\"",
        "writes.u = 1\nensure.one = \"us = 1\"\nprove = [\"idempotent\", \"reversible\"]",
        "INSERT INTO u VALUES (1, 'a') ON CONFLICT DO NOTHING",
        Some("DELETE FROM u WHERE id = 1"),
    );
    bench.mini_plan(&format!("{a}{}", to_the_packet("\"a\"", "\"a\"", "oks = 77")));
    bench
}

fn committed(event: &Event) -> bool {
    matches!(event, Event::StageCommitted { .. })
}

/// Whatever happened on the way: each stage once, nothing left over, and every line as it was written.
#[track_caller]
fn ended_well(bench: &Bench) {
    let journal = bench.journal();
    assert!(journal.verdict().starts_with("technical GO"), "{}", journal.verdict());
    assert_eq!(journal.count(committed), 1);
    assert_eq!(bench.psql(bench.clone_name(), "SELECT id, v FROM u"), "1|a");
    bench.engine(&["verify", &journal.run]).expect(0).says(&["journal  whole", "anchored up to event"]);
}

/// The run stands still within its copy.
fn at_the_gate(bench: &Bench) -> (Gate<'_>, Running) {
    let gate = Gate::before(bench, "t", "id = 3");
    let engine = bench.start(&["apply", MINI]);
    bench.wait_for_a_run();
    gate.wait();
    (gate, engine)
}

#[track_caller]
fn until(mut so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !so() {
        assert!(since.elapsed() < Duration::from_mins(2), "what was waited for does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_run_that_was_killed_is_taken_up_on_another_machine() {
    let one = team("elsewhere");
    let mut engine = one.start(&["apply", MINI]);
    one.wait_for(&mut engine, committed);
    assert_eq!(engine.kill().signal(), Some(9), "it ended before it was killed");
    let two = one.another_machine();
    two.engine(&["resume"]).expect(0);
    ended_well(&two);
    // The folder there is as whole as it would be on the first.
    let run = two.run_id();
    let of_run = |bench: &Bench| {
        let folder = bench.home().join(format!(".engine/runs/{run}"));
        let files = files(&folder).into_iter().map(|file| file.strip_prefix(&folder).expect("below it").to_owned());
        files.collect::<BTreeSet<PathBuf>>()
    };
    let there = of_run(&two);
    for file in ["plan/mini.toml", "SHA256SUMS", "vars.json", "fingerprints/pre.own.json", "dossier/00-overview.md"] {
        assert!(there.contains(Path::new(file)), "{file} is not among {there:?}");
    }
    assert!(!two.home().join(two.of_run("journal.jsonl")).exists(), "the journal is in the database, and nowhere else");
    // And the first machine can go on from what the second did.
    one.engine(&["resume", &run]).expect(0);
    ended_well(&one);
    assert_eq!(of_run(&one), there);
}

#[test]
fn two_machines_exclude_each_other() {
    let one = team("two");
    let two = one.another_machine();
    let (gate, engine) = at_the_gate(&one);
    let (run, pid) = (one.run_id(), format!("pid {} on ", engine.id()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let named = format!("engine {run} {pid}{host}");
    two.engine(&["resume", &run]).expect(60).says(&["another process works on run", &named]);
    two.engine(&["drop", &run]).expect(60).says(&[&named]);
    two.engine(&["status"]).expect(0).says(&[&format!("running: {named}")]);
    two.engine(&["runs"]).expect(0).says(&[&run, "running"]);
    assert_eq!(engine.kill().signal(), Some(9));
    // Nothing says "running" that is not: the lock went with its session.
    let unlocked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = \
                    (SELECT oid FROM pg_database WHERE datname = current_database())";
    until(|| one.in_journal(unlocked) == "0");
    two.engine(&["status"]).expect(0).says(&["ended without a farewell", &format!("engine resume {run}")]);
    two.engine(&["runs"]).expect(0).says(&["ended without a farewell"]);
    // Both take it up: one does, the other is told who.
    one.wait_for_silence();
    let mut both = [one.start(&["resume", &run]), two.start(&["resume", &run])];
    gate.wait();
    until(|| both.iter_mut().any(Running::over));
    let [mut first, second] = both;
    let (late, early) = if first.over() { (first, second) } else { (second, first) };
    assert_eq!(late.end(), Some(60));
    gate.open();
    assert_eq!(early.end(), Some(0));
    ended_well(&two);
}

#[test]
fn rows_that_were_changed_are_told() {
    let one = team("tampered");
    one.mini_apply(&[]).expect(0);
    let run = one.run_id();
    let two = one.another_machine();
    for sql in
        ["UPDATE engine_journal.line SET seq = seq", "DELETE FROM engine_journal.file", "TRUNCATE engine_journal.run"]
    {
        let (server, database) = (server(), format!("journal_of_{}", one.clone_name()));
        let refused = server.psql_as(KEEPER).run(&database, "sql", sql).expect_err("it is append-only");
        assert!(format!("{refused:?}").contains("only ever appended to"), "{refused:?}");
    }
    one.in_journal("CREATE TABLE kept AS SELECT * FROM engine_journal.line; CREATE TABLE files AS SELECT * FROM engine_journal.file");
    let last = "(SELECT max(seq) FROM engine_journal.line)";
    let flip = |seq: &str| {
        format!("UPDATE engine_journal.line SET line = set_byte(line, 30, get_byte(line, 30) # 1) WHERE seq = {seq}")
    };
    let line = "engine_journal.line";
    let cases = [
        ("a byte", flip("5"), "line"),
        ("a byte of the last line", flip(last), "its bytes are not those that its column `hash`"),
        (
            "a number in a line",
            format!(
                "UPDATE {line} SET line = convert_to(replace(convert_from(line, 'UTF8'), '\"mono_ns\":', '\"mono_ns\":1'), 'UTF8') WHERE seq = 5"
            ),
            "line 7: does not follow the line before it",
        ),
        ("one removed", format!("DELETE FROM {line} WHERE seq = 5"), "line 6: is missing: the next row is numbered 6"),
        ("the first removed", format!("DELETE FROM {line} WHERE seq = 0"), "line 1: is missing"),
        (
            "two swapped",
            format!(
                "UPDATE {line} SET seq = -1 WHERE seq = 5; UPDATE {line} SET seq = 5 WHERE seq = 6; UPDATE {line} SET seq = 6 WHERE seq = -1"
            ),
            "line 6: does not follow the line before it",
        ),
        (
            "one doubled",
            format!(
                "INSERT INTO {line} SELECT run, {last} + 1, 'x', hash, line, server FROM {line} WHERE seq = {last}"
            ),
            "does not follow the line before it",
        ),
        (
            "one closed up",
            format!(
                "DELETE FROM {line} WHERE seq = 5; UPDATE {line} SET seq = -seq WHERE seq > 5; UPDATE {line} SET seq = -seq - 1 WHERE seq < 0"
            ),
            "line 6: does not follow the line before it",
        ),
        (
            "prev",
            format!("UPDATE {line} SET prev = 'x' WHERE seq = 5"),
            "line 6: its column `prev` is not what its bytes say",
        ),
        (
            "hash",
            format!("UPDATE {line} SET hash = 'x' WHERE seq = 5"),
            "line 6: its bytes are not those that its column `hash`",
        ),
        (
            "a line break",
            format!("UPDATE {line} SET line = line || '\\x0a' WHERE seq = 5"),
            "line 6: is no single line",
        ),
    ];
    for (what, sql, why) in cases {
        one.tamper(&sql);
        for machine in [&one, &two] {
            for words in [&["verify", &run][..], &["resume", &run], &["status", &run], &["show", &run]] {
                let told = machine.engine(words);
                assert_eq!(told.code, 62, "{what}: {words:?}\n{}", told.all());
                assert!(told.all().contains("TAMPERED") && told.all().contains(why), "{what}: {}", told.all());
            }
        }
        one.engine(&["runs"]).expect(0).says(&["TAMPERED"]);
        one.tamper(&format!("DELETE FROM {line}; INSERT INTO {line} SELECT * FROM kept"));
    }
    let (file, print) = ("engine_journal.file", "path LIKE 'fingerprints/pre.%'");
    one.tamper(&format!("UPDATE {file} SET bytes = bytes || ' ' WHERE {print}"));
    two.engine(&["verify", &run]).expect(62).says(&["TAMPERED", "fingerprints/pre."]);
    two.engine(&["resume", &run]).expect(62).says(&["TAMPERED", "fingerprints/pre."]);
    one.tamper(&format!("UPDATE {file} SET sha256 = encode(sha256(bytes), 'hex') WHERE {print}"));
    two.engine(&["verify", &run]).expect(62).says(&["fingerprints are not what the journal says"]);
    one.tamper(&format!("DELETE FROM {file}; INSERT INTO {file} OVERRIDING SYSTEM VALUE SELECT * FROM files"));
    one.tamper(&format!("UPDATE {file} SET path = '../../' || path WHERE {print}"));
    two.engine(&["verify", &run]).expect(62).says(&["is no file of a run's folder"]);
    one.tamper(&format!("DELETE FROM {file}; INSERT INTO {file} OVERRIDING SYSTEM VALUE SELECT * FROM files"));
    two.engine(&["verify", &run]).expect(0);
    two.engine(&["resume", &run]).expect(0);
}

/// What ends too early fits the chain; the anchors know better, and `verify` says how far they reach.
#[test]
fn rows_removed_at_the_end_are_told_by_the_anchors() {
    let one = team("shortened");
    one.mini_apply(&[]).expect(0);
    let run = one.run_id();
    one.in_journal("CREATE TABLE kept AS SELECT * FROM engine_journal.line");
    let count: u64 = one.in_journal("SELECT count(*) FROM kept").parse().expect("a number");
    let (line, two) = ("engine_journal.line", one.another_machine());
    // Every end from the first line on; the last anchor is of the run's very end.
    for left in (1..count).rev().step_by(5).chain([1, 2]) {
        one.tamper(&format!("DELETE FROM {line} WHERE seq >= {left}"));
        for verb in ["verify", "resume"] {
            let told = two.engine(&[verb, &run]).expect(62);
            told.says(&["TAMPERED", &format!("line {}: the journal ends before it, and was anchored at", left + 1)]);
        }
        one.tamper(&format!("DELETE FROM {line}; INSERT INTO {line} SELECT * FROM kept"));
    }
    two.engine(&["verify", &run]).expect(0).says(&[&format!("anchored up to event {count} of {count}")]);
    two.engine(&["resume", &run]).expect(0);
}

/// A copy that took the journal's name, as a restored backup does, may lack lines that were answered.
#[test]
fn an_older_copy_of_the_journal_is_not_gone_on_with() {
    let one = team("copied");
    one.mini_apply(&["--until", "base"]).expect(0);
    let (run, journal) = (one.run_id(), format!("journal_of_{}", one.clone_name()));
    let psql = |sql: &str| server().psql("postgres", sql).unwrap_or_else(|failure| support::fail(&failure));
    psql(&format!("CREATE DATABASE {journal}_copy TEMPLATE {journal} OWNER {KEEPER}"));
    one.engine(&["resume", "--until", "a"]).expect(0);
    let rename = |from: &str, to: &str| psql(&format!("ALTER DATABASE {journal}{from} RENAME TO {journal}{to}"));
    rename("", "_real");
    rename("_copy", "");
    assert_eq!(one.journal().count(committed), 0, "the copy knows of no stage");
    let two = one.another_machine();
    for machine in [&one, &two] {
        let said = machine.engine(&["resume", &run]).expect(62);
        said.says(&["is not where its last line was written", "oid of the database", "--accept-journal"]);
    }
    assert_eq!(one.journal().count(committed), 0);
    rename("", "_copy");
    rename("_real", "");
    two.engine(&["resume", &run]).expect(0);
    ended_well(&two);
    psql(&format!("DROP DATABASE {journal}_copy"));
    // Gone altogether, it is no journal that is empty.
    rename("", "_real");
    let said = two.engine(&["resume", &run]);
    assert!(said.code != 0 && said.all().contains(&format!("database \"{journal}\" does not exist")), "{}", said.all());
    rename("_real", "");
}

#[test]
fn another_machine_sees_all_of_a_run_and_disposes_of_it() {
    let one = team("seen");
    one.mini_apply(&[]).expect(0);
    let (run, two) = (one.run_id(), one.another_machine());
    // Its folder is in the database, all of it but what is of the machine.
    let folder = one.home().join(format!(".engine/runs/{run}"));
    let here =
        files(&folder).into_iter().map(|file| file.strip_prefix(&folder).expect("below it").display().to_string());
    let here: BTreeSet<String> =
        here.filter(|file| !["lock", "holder", "journal.place", "journal.head"].contains(&file.as_str())).collect();
    let there = one.in_journal("SELECT DISTINCT path FROM engine_journal.file");
    assert_eq!(there.lines().map(str::to_owned).collect::<BTreeSet<String>>(), here);
    two.engine(&["runs"]).expect(0).says(&[&run, "technical GO"]);
    two.engine(&["status"]).expect(0).says(&[&run, "technical GO"]);
    let shown = |bench: &Bench, words: &[&str]| bench.engine(words).expect(0).stdout;
    for words in [&["show", &run][..], &["show", &run, "a"], &["show", &run, "--json"]] {
        assert_eq!(shown(&one, words), shown(&two, words), "{words:?}");
    }
    assert!(!two.home().join(".engine").exists(), "looking leaves nothing behind");
    // The clone's marker is further than the packet, which was fetched and asked as well.
    let verified =
        two.engine(&["verify", &run]).expect(0).says(&["anchored up to event", "by the marker of its clone"]);
    assert!(!verified.all().contains("not asked"), "{}", verified.all());
    assert!(!two.home().join(".engine/runs").exists());
    // Without the shared journal this folder has no run, and says where one of that name was.
    let (folder, mut without) = (one.another_machine(), one.another_machine());
    without.set("ENGINE_JOURNAL", "");
    without.engine(&["runs"]).expect(0);
    without.engine(&["status"]).expect(2);
    without.write(&format!(".engine/runs/{run}/journal.place"), &one.read(&one.of_run("journal.place")));
    without.engine(&["resume", &run]).expect(2).says(&["was kept in", "journal_of_", "--journal"]);
    folder.engine(&["drop", &run]).expect(0).says(&[one.clone_name()]);
    assert!(!one.exists(one.clone_name()));
    one.engine(&["drop", &run]).expect(0).says(&["no database left"]);
}

#[test]
fn a_packet_is_rolled_out_on_another_machine() {
    let one = team("rolled");
    one.mini_apply(&[]).expect(0);
    let (path, id) = one.packet();
    one.psql(one.production(), "INSERT INTO ok VALUES (1)");
    let (two, three) = (one.another_machine(), one.another_machine());
    two.engine(&["verify", &id]).expect(0).says(&["every file is as it was sealed"]);
    let sums = |bench: &Bench| bench.read(&format!("{path}/SHA256SUMS"));
    assert_eq!(sums(&one), sums(&two));
    // One whose bytes are not those of its id is not sent anywhere.
    one.in_journal("CREATE TABLE kept AS SELECT * FROM engine_journal.packet_file");
    one.tamper("UPDATE engine_journal.packet_file SET bytes = bytes || ' ' WHERE path = 'apply.sql'");
    let short = format!("packet={}", &id[..12]);
    let refused = three.engine(&["apply", MINI_ROLLOUT, "--var", &short]).expect(62);
    refused.says(&["is not what was sealed", "apply.sql  differs"]);
    one.tamper("UPDATE engine_journal.packet_file AS f SET bytes = k.bytes FROM kept AS k WHERE k.id = f.id AND k.path = f.path");
    std::fs::remove_dir_all(three.home().join(".engine/packets")).expect("a packet");
    three.engine(&["apply", MINI_ROLLOUT]).expect(0);
    assert_eq!(one.psql(one.production(), "SELECT id, v FROM u"), "1|a");
    let rolled = |event: &Event| matches!(event, Event::RolledOut { packet, .. } if *packet == id);
    assert_eq!(three.journal().count(rolled), 1);
}

#[test]
fn a_journal_whose_server_went_away_ends_the_run_and_is_gone_on_with() {
    let mut own = OwnServer::new(&[]);
    let mut one = planned("server");
    one.keep_runs_on(own.server());
    let (gate, engine) = at_the_gate(&one);
    own.kill("QUIT");
    gate.open();
    assert_eq!(engine.end(), Some(1));
    one.engine(&["resume"]).expect(75).says(&["cannot reach `ENGINE_JOURNAL`"]);
    own.start();
    drop(gate);
    one.journal_moved(own.server());
    one.wait_for_silence();
    let two = one.another_machine();
    two.engine(&["resume"]).expect(0);
    ended_well(&two);
}

#[test]
fn a_journal_whose_session_was_ended_ends_the_run_and_is_gone_on_with() {
    let one = team("session");
    let gate = Gate::before(&one, "t", "id = 3");
    let mut command = one.command(&["apply", MINI]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the engine");
    one.wait_for_a_run();
    gate.wait();
    let ended = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'engine {} pid%' AND datname = current_database()",
        one.run_id()
    );
    assert_eq!(one.in_journal(&ended), "1");
    // Another machine takes it up at once; the first, still at work, can write no line and so commits nothing.
    let two = one.another_machine();
    two.engine(&["status"]).expect(0).says(&["ended without a farewell"]);
    for verb in [&["resume"][..], &["drop", "latest"]] {
        let said = two.engine(verb).expect(60);
        said.says(&["another run holds", &format!("pid {} on ", child.id()), "nothing was changed"]);
    }
    gate.open();
    let output = child.wait_with_output().expect("the engine");
    let said = Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    said.expect(1).says(&[
        "the journal of run",
        "cannot be written",
        "what was committed before stays committed",
        "engine resume",
    ]);
    one.wait_for_silence();
    two.engine(&["resume"]).expect(0);
    ended_well(&two);
}

/// The session that holds the lock is the one that writes; without the lock nothing is written.
#[test]
fn who_lost_the_lock_writes_nothing() {
    let mut bench = Bench::shop("fence");
    bench.keep_runs_on(server());
    let url = Url::literal("test", server().url(KEEPER, &format!("journal_of_{}", bench.clone_name())));
    let home = std::env::temp_dir().join(format!("fence-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a folder");
    std::env::set_current_dir(&home).expect("a folder");
    let (home, password) = Home::shared("--journal", &url).expect("a journal");
    assert!(!password);
    let (place, held) = home.begin("fenced").expect("a run");
    let journal = place.create("g").expect("a journal");
    let begun = Event::RunStarted {
        run: "fenced".into(),
        plan: "p".into(),
        plan_path: "p.toml".into(),
        doc: None,
        engine_version: "0".into(),
        as_of: "2026-01-01T00:00:00Z".into(),
        date: None,
        genesis: "g".into(),
        vars: BTreeMap::new(),
        inputs: BTreeMap::new(),
        stages: Vec::<StageBrief>::new(),
        host: "h".into(),
        pid: 1,
    };
    journal.append(begun).expect("it is held");
    drop(held);
    assert_eq!(place.holder().expect("an answer"), None);
    for write in [
        journal.append(Event::StageStarted { stage: "a".into() }).map(|_| ()),
        place.keep("a", b"a"),
        journal.append(Event::StageStarted { stage: "a".into() }).map(|_| ()),
    ] {
        let failure = write.expect_err("it is not held");
        assert!(failure.what.contains("cannot be written"), "{failure:?}");
    }
    assert_eq!(place.read().expect("a journal").lines.len(), 1);
}

#[test]
fn what_is_no_journal_of_ours_is_left_alone() {
    let mut bench = team("foreign");
    bench.in_journal("CREATE SCHEMA engine_journal; CREATE TABLE engine_journal.mine (id int); GRANT USAGE ON SCHEMA engine_journal TO PUBLIC");
    bench.mini_apply(&[]).expect(63).says(&["is no journal of this engine", "nothing was changed"]);
    bench.in_journal("DROP SCHEMA engine_journal CASCADE");
    bench.mini_apply(&[]).expect(0);
    bench.tamper("UPDATE engine_journal.format SET version = 2");
    for words in [&["apply", MINI][..], &["resume"], &["runs"], &["status"], &["verify", "latest"]] {
        bench.engine(words).expect(62).says(&["has a format this engine does not know", "found  2", "known  1"]);
    }
    bench.tamper("UPDATE engine_journal.format SET version = 1");
    // A server that took over from the one that answered: lines may be missing.
    let run = bench.run_id();
    bench.tamper("UPDATE engine_journal.line SET server = split_part(server, '/', 1) || '/000000FF'");
    bench.engine(&["resume", &run]).expect(62).says(&[
        "is not where its last line was written",
        "/000000FF",
        "/00000001",
    ]);
    bench.engine(&["resume", &run, "--accept-changes"]).expect(62).says(&["--accept-journal"]);
    bench.engine(&["resume", &run, "--accept-journal"]).expect(0);
    bench.engine(&["resume", &run]).expect(0);
    let accepted =
        |event: &Event| matches!(event, Event::RunResumed { accepted, .. } if accepted == &["the journal's server"]);
    assert_eq!(bench.journal().count(accepted), 1);
    // Who may only read the database makes no tables in it.
    bench.in_journal(
        "DROP SCHEMA engine_journal CASCADE; ALTER DATABASE journal_of_CLONE OWNER TO postgres"
            .replace("CLONE", bench.clone_name())
            .as_str(),
    );
    bench.in_journal(&format!("GRANT CONNECT ON DATABASE journal_of_{} TO {}", bench.clone_name(), KEEPER));
    bench.engine(&["runs"]).expect(0);
    bench
        .mini_apply(&["--replace"])
        .expect(1)
        .says(&["the journal's tables cannot be made", "GRANT CREATE ON DATABASE"]);
    // Unless the owner made them, and it may append.
    bench.in_journal(include_str!("../sql/engine/journal.sql"));
    bench.in_journal(&format!(
        "GRANT USAGE ON SCHEMA engine_journal TO {KEEPER}; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA engine_journal TO {KEEPER}"
    ));
    bench.mini_apply(&["--replace"]).expect(0);
    ended_well(&bench.another_machine());
    for (word, code) in [("nonsense", 2), ("mysql://me:secret@h/d", 2), ("env:NOT_THERE", 1), ("file:/not/there", 1)] {
        bench.set("ENGINE_JOURNAL", word);
        let told = bench.engine(&["runs"]).expect(code).says(&["ENGINE_JOURNAL"]);
        assert!(!told.all().contains("secret"), "{}", told.all());
    }
}

/// Whatever the database's own settings say.
#[test]
fn a_line_is_on_the_disk_before_it_is_acted_on() {
    let one = team("durable");
    let database = format!("journal_of_{}", one.clone_name());
    one.in_journal(&format!("ALTER DATABASE {database} SET synchronous_commit = off"));
    one.in_journal(&format!("ALTER DATABASE {database} SET idle_session_timeout = '1min'"));
    one.in_journal(include_str!("../sql/engine/journal.sql"));
    one.in_journal(&format!(
        "GRANT USAGE ON SCHEMA engine_journal TO {KEEPER}; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA engine_journal TO {KEEPER};
         CREATE TABLE seen (said text); GRANT INSERT ON seen TO {KEEPER};
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO public.seen VALUES (current_setting('synchronous_commit') || ' ' || current_setting('idle_session_timeout'));
             RETURN NULL;
         END $$;
         CREATE TRIGGER see AFTER INSERT ON engine_journal.line FOR EACH ROW EXECUTE FUNCTION see()"
    ));
    one.mini_apply(&["--until", "pre"]).expect(0);
    assert_eq!(one.in_journal("SELECT DISTINCT said FROM seen"), "on 0");
    assert_eq!(one.in_journal("SELECT (SELECT count(*) FROM seen) = (SELECT count(*) FROM engine_journal.line)"), "t");
}

#[test]
fn a_target_is_no_place_for_a_journal() {
    let mut bench = planned("target");
    let untouched = "SELECT to_regnamespace('engine_journal') IS NULL";
    let url = bench.url("shop_owner", bench.production());
    bench.psql(bench.production(), &format!("GRANT CREATE ON DATABASE {} TO shop_owner", bench.production()));
    bench
        .mini_apply(&["--journal", &url])
        .expect(63)
        .says(&["the journal would be kept in the target `production`", "no run was started"]);
    assert_eq!(bench.psql(bench.production(), untouched), "t");
    bench.set("MINE", &url);
    bench.mini_apply(&["--journal", "env:MINE"]).expect(63);
    bench.psql("postgres", &format!("CREATE DATABASE {} OWNER shop_owner", bench.clone_name()));
    let url = bench.url("shop_owner", bench.clone_name());
    bench.mini_apply(&["--journal", &url]).expect(63).says(&["the journal would be kept in the target `clone`"]);
    assert_eq!(bench.psql(bench.clone_name(), untouched), "t");
    assert!(!bench.home().join(".engine/runs").exists());
}

/// By the rules of `engine fingerprint`: the name on the certificate is checked, and a network is never plain.
#[test]
fn a_journal_is_reached_over_tls() {
    let (ours, another) = (Authority::new("ours"), Authority::new("another"));
    let tcp = TcpServer::with_tls(&ours.issue(&["127.0.0.1"], "server", 2099), &ours);
    let made = tcp.server().psql("postgres", "CREATE DATABASE kept OWNER engine_cloner");
    made.unwrap_or_else(|failure| support::fail(&failure));
    let mut bench = planned("tls");
    let to = |authority: &Authority, file: &str| {
        let words = format!("sslmode=verify-full&sslrootcert={}", authority.write(bench.home(), file));
        tcp.url("engine_cloner", "kept", &words)
    };
    let (right, wrong) = (to(&ours, "ours.pem"), to(&another, "another.pem"));
    bench.set("ENGINE_JOURNAL", &wrong);
    bench.mini_apply(&["--until", "pre"]).expect(1).says(&["nobody who is trusted"]);
    bench.set("ENGINE_JOURNAL", "postgresql://somebody@192.0.2.1/kept?sslmode=disable");
    bench.mini_apply(&["--until", "pre"]).expect(1).says(&["cannot turn TLS off"]);
    // Whoever comes without TLS is not let in there.
    bench.set("ENGINE_JOURNAL", &right);
    bench.mini_apply(&["--until", "pre"]).expect(0);
    bench.engine(&["runs"]).expect(0).says(&["mini"]);
}

#[test]
fn a_password_is_never_shown() {
    let tcp = TcpServer::without_tls();
    let mut bench = planned("password");
    let run = |sql: &str| tcp.server().psql("postgres", sql).unwrap_or_else(|failure| support::fail(&failure));
    run("CREATE DATABASE kept OWNER engine_cloner");
    let url = tcp.url("engine_cloner", "kept", "sslmode=disable");
    let mut said =
        vec![bench.mini_apply(&["--journal", &url]).expect(0).says(&["warning: the password in `--journal`"])];
    bench.set("ENGINE_JOURNAL", &url);
    for words in [
        &["--help"][..],
        &["runs"],
        &["runs", "--help"],
        &["status"],
        &["show", "latest", "--json"],
        &["verify", "latest"],
        &["resume", "--json"],
    ] {
        said.push(bench.engine(words).expect(0));
    }
    let wrong = url.replace("/kept?", "/not_there?");
    for (url, code) in [
        (wrong.as_str(), 1),
        (&url.replace("127.0.0.1", "127.0.0.1,x"), 1),
        (&url.replace("sslmode=disable", "sslmode=secret"), 1),
    ] {
        bench.set("ENGINE_JOURNAL", url);
        said.push(bench.engine(&["status"]).expect(code));
    }
    let mut kept = run("SELECT version()");
    for table in ["run", "line", "file", "packet", "packet_file"] {
        let text = if table == "line" { "convert_from(line, 'UTF8')" } else { "t::text" };
        kept.push_str(
            &tcp.server().psql("kept", &format!("SELECT {text} FROM engine_journal.{table} AS t")).expect("a table"),
        );
    }
    assert!(kept.contains("run_started"));
    for file in support::files(&bench.home().join(".engine")) {
        kept.push_str(&String::from_utf8_lossy(&std::fs::read(file).expect("a file")));
    }
    let hex: String = PASSWORD.bytes().map(|byte| format!("{byte:02x}")).collect();
    for text in said.iter().map(Outcome::all).chain([kept]) {
        assert!(!text.contains(PASSWORD) && !text.contains(&hex), "{text}");
    }
}
