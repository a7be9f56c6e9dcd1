//! TLS to real servers with real certificates: what comes through, what is refused and in which words, and that a
//! connection string weakens nothing. What liars get to see is in `tests/tls_liars.rs`.

mod support;

use engine::event::Event;
use engine::target::{Door, Isolation, Reader, Settings, Url};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::{Answer, Authority, Bench, Fake, METHODS, PASSWORD, PLAN, SSL_REQUEST, TcpServer, files, through, write};

/// Names in the certificate of the server with TLS.
const NAMES: [&str; 3] = ["127.0.0.1", "localhost", "db.engine.test"];

struct World {
    tls: TcpServer,
    ca: Authority,
    other: Authority,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let (ca, other) = (Authority::new("right authority"), Authority::new("another authority"));
        World { tls: TcpServer::with_tls(&ca.issue(&NAMES, "server", 2099), &ca), ca, other }
    })
}

/// A bench on the server with TLS; `PGSSLROOTCERT` names its authority.
fn bench(name: &str, words: &str) -> Bench {
    let mut bench = world().tls.bench(name, words);
    let root = world().ca.write(bench.home(), "ca.pem");
    bench.set("PGSSLROOTCERT", &root);
    bench
}

/// Writes the plan that only clones, with more keys of production and of the clone.
fn plan(bench: &Bench, method: &str, production: &str, clone: &str) {
    bench.clone_plan(method, "");
    let text = bench.read(PLAN).replace("access = \"read\"", &format!("access = \"read\"\n{production}"));
    bench.write(PLAN, &text.replace("clone_of = ", &format!("{clone}\nclone_of = ")));
}

const VERIFIED: &str = "tls = \"verify-full\"";

/// What `target_bound` says of a target: the server's words on TLS, and what was let pass.
fn bound(bench: &Bench, name: &str) -> (Option<String>, Vec<String>) {
    let found = bench.journal().events.into_iter().find_map(|event| match event {
        Event::TargetBound { target, identity, waived, .. } if target == name => Some((identity.tls, waived)),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{name} was not bound"))
}

/// The lines of the server's log that say who came in, but for psql of these tests, which comes by the socket.
fn arrivals() -> Vec<String> {
    let log = std::fs::read_to_string(world().tls.server().log()).expect("the log of the server");
    let came = |line: &&str| line.contains("connection authorized") && !line.contains("user=postgres");
    log.lines().filter(came).map(str::to_owned).collect()
}

/// All pages of the newest run's dossier.
fn dossier(bench: &Bench) -> String {
    let pages = files(&bench.home().join(bench.of_run("dossier")));
    pages.iter().map(|page| std::fs::read_to_string(page).expect("a page")).collect()
}

fn nothing_was_made(bench: &Bench) {
    assert!(!bench.exists(bench.clone_name()), "a clone was made");
    assert!(bench.runs().is_empty(), "a run was begun");
}

#[test]
fn a_whole_run_goes_over_tls_and_the_journal_says_which() {
    for method in METHODS {
        let bench = bench(&format!("whole_{method}"), "sslmode=prefer&channel_binding=require");
        plan(&bench, method, VERIFIED, VERIFIED);
        bench.engine(&["apply", PLAN]).expect(0).says(&["over TLSv1.3"]);
        assert_eq!(bench.unlike(), Vec::<String>::new());
        for target in ["production", "clone"] {
            let (tls, waived) = bound(&bench, target);
            assert!(tls.as_deref().is_some_and(|tls| tls.starts_with("TLSv1.3 TLS_")), "{target}: {tls:?}");
            assert_eq!(waived, Vec::<String>::new(), "{target}");
        }
        // Ours, those that move rows, and the children.
        let arrivals = arrivals();
        let dumps = |event: &Event| matches!(event, Event::Child { program, .. } if program == "pg_dump");
        assert!(bench.journal().count(dumps) > 0 && arrivals.len() > 9, "{arrivals:#?}");
        assert!(arrivals.iter().all(|line| line.contains("SSL enabled (protocol=TLSv1.3")), "{arrivals:#?}");
        let dossier = dossier(&bench);
        assert!(
            dossier.contains("as bare_reader, over TLSv1.3 TLS_") && !dossier.contains("the plan says tls"),
            "{dossier}"
        );
        bench.engine(&["doctor", PLAN]).says(&["over TLSv1.3 TLS_"]);
    }
}

#[test]
fn the_authority_may_stand_in_the_connection_string_and_then_counts_more() {
    let mut bench = bench("string", "");
    let (right, wrong) = (world().ca.write(bench.home(), "ca.pem"), world().other.write(bench.home(), "other.pem"));
    bench.set("PGSSLROOTCERT", &wrong);
    let pairs = |role: &str, database: &str| {
        format!(
            "host=db.engine.test hostaddr=127.0.0.1 port={} user={role} password='{PASSWORD}' dbname={database} \
             sslmode = 'verify-ca' sslrootcert='{right}'",
            world().tls.port
        )
    };
    let production = bench.production().to_owned();
    bench.set("SHOP_PRODUCTION_URL", &pairs("bare_reader", &production));
    bench.set("SHOP_CLONE_URL", &pairs("engine_stage", "postgres"));
    bench.set("SHOP_CLONE_MAKER_URL", &pairs("engine_cloner", "postgres"));
    plan(&bench, "dump", "", "");
    bench.engine(&["apply", PLAN]).expect(0);
    assert!(bound(&bench, "production").0.is_some());
    assert_eq!(bench.unlike(), Vec::<String>::new());
}

#[test]
fn our_own_certificate_is_shown_to_a_server_that_wants_one() {
    let mut bench = bench("own", "sslmode=require");
    let issued = world().ca.issue(&[], "cert_reader", 2099);
    let certificate = write(bench.home(), "own.pem", &issued.pem, 0o644);
    let key = write(bench.home(), "own.key", &issued.key.serialize_pem(), 0o600);
    let words = format!("sslmode=verify-full&sslcert={certificate}&sslkey={key}");
    let url = world().tls.url("cert_reader", bench.production(), &words).replace(&format!(":{PASSWORD}"), "");
    bench.set("SHOP_PRODUCTION_URL", &url);
    plan(&bench, "dump", "", "");
    bench.engine(&["apply", PLAN]).expect(0);
    assert_eq!(bench.unlike(), Vec::<String>::new());

    let bare = url.split('?').next().expect("a URL").to_owned();
    let refused = |words: &str, said: &[&str]| {
        let output = bench.engine(&["fingerprint", &format!("{bare}?sslmode=verify-full&{words}")]);
        output.expect(1).says(said);
    };
    refused("", &["valid client certificate"]);
    refused(&format!("sslcert={certificate}"), &["one of `sslcert` and `sslkey`"]);
    refused(&format!("sslcert={certificate}&sslkey={certificate}"), &["own.pem", "0644", "chmod 0600"]);
    write(bench.home(), "own.pem", "no certificate", 0o600);
    refused(&format!("sslcert={certificate}&sslkey={key}"), &["needs sslcert", "own.pem", "no certificate in PEM"]);
    refused("sslpassword=canary-secret", &["`sslpassword`"]);
}

#[test]
fn a_certificate_of_somebody_else_is_refused_unless_the_plan_says_otherwise() {
    let mut bench = bench("stranger", "");
    let wrong = world().other.write(bench.home(), "other.pem");
    bench.set("PGSSLROOTCERT", &wrong);
    plan(&bench, "dump", VERIFIED, VERIFIED);
    let refused = bench.engine(&["apply", PLAN]).expect(1).says(&[
        "the certificate of 127.0.0.1 was issued by nobody who is trusted here",
        "trusted: 1 authority in",
        "other.pem (PGSSLROOTCERT)",
        "SHOP_PRODUCTION_URL",
        "neither role nor database nor password was sent",
        "nothing was changed",
        "sslrootcert=FILE",
        "say in [target.production]: tls = \"unverified\"",
    ]);
    assert!(!refused.all().contains(PASSWORD), "the password is printed");
    nothing_was_made(&bench);
    // Each target for itself: the clone's word does not count for production.
    plan(&bench, "dump", VERIFIED, "tls = \"unverified\"");
    bench.engine(&["apply", PLAN]).expect(1).says(&["`production`", "nobody who is trusted"]);
    plan(&bench, "dump", "tls = \"unverified\"", VERIFIED);
    bench.engine(&["apply", PLAN]).expect(1).says(&["`clone`", "nobody who is trusted"]);
    nothing_was_made(&bench);

    plan(&bench, "dump", "tls = \"unverified\"", "tls = \"unverified\"");
    let said = "whose certificate nobody checked, by SHOP_PRODUCTION_URL: the plan says tls = \"unverified\"";
    bench.engine(&["apply", PLAN]).expect(0).says(&[said]);
    assert_eq!(bench.unlike(), Vec::<String>::new());
    let (tls, waived) = bound(&bench, "production");
    assert!(tls.is_some_and(|tls| tls.starts_with("TLSv1.3")) && waived.iter().any(|waived| waived.contains(said)));
    assert_eq!(bound(&bench, "clone").1.len(), 2, "stages and maker");
    let dossier = dossier(&bench);
    assert!(dossier.contains(&format!("`production` was reached over TLS {said}")), "{dossier}");
    bench.engine(&["doctor", PLAN]).says(&[said]);
    // What the connection string asks for beyond the plan is done.
    bench.set("SHOP_PRODUCTION_URL", &world().tls.url("bare_reader", bench.production(), "sslmode=verify-full"));
    bench.engine(&["apply", PLAN, "--replace"]).expect(1).says(&["nobody who is trusted"]);
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let mut bench = bench("name", "");
    let url = |host: &str| {
        let url = world().tls.url("bare_reader", bench.production(), "hostaddr=127.0.0.1");
        url.replace("@127.0.0.1:", &format!("@{host}:"))
    };
    let (wrong, right) = (url("production.example"), url("db.engine.test"));
    bench.set("SHOP_PRODUCTION_URL", &wrong);
    plan(&bench, "dump", "", VERIFIED);
    bench.engine(&["apply", PLAN]).expect(1).says(&[
        "the certificate that production.example shows is not for production.example but for",
        "localhost, db.engine.test",
        "host=",
        "subjectAltName",
    ]);
    nothing_was_made(&bench);
    bench.engine(&["fingerprint", &right]).expect(0);
    // Without a plan there is no plan to say anything in.
    for command in [&["fingerprint", &wrong][..], &["watermark", &wrong, "-o", "w.json"]] {
        let refused = bench.engine(command).expect(1).says(&["not for production.example"]);
        assert!(!refused.all().contains("[target"), "{}", refused.all());
    }
}

#[test]
fn a_connection_string_turns_nothing_off() {
    let mut bench = bench("off", "");
    let production = bench.production().to_owned();
    let far = |words: &str| {
        let url = world().tls.url("bare_reader", &production, &format!("hostaddr=127.0.0.1&{words}"));
        url.replace("@127.0.0.1:", "@db.engine.test:")
    };
    plan(&bench, "dump", "", VERIFIED);
    bench.set("SHOP_PRODUCTION_URL", &far("sslmode=disable"));
    bench.engine(&["apply", PLAN]).expect(1).says(&[
        "SHOP_PRODUCTION_URL) says sslmode=disable and leads over a network",
        "take sslmode=disable off the connection string",
        "say in [target.production]: tls = \"plain\"",
    ]);
    let off = far("sslmode=disable");
    bench.engine(&["fingerprint", &off]).expect(1).says(&["says sslmode=disable"]);
    bench.engine(&["watermark", &off, "-o", "w.json"]).expect(1).says(&["says sslmode=disable"]);
    assert!(!bench.engine(&["watermark", &off]).expect(2).all().contains(PASSWORD), "the password is printed");
    for word in ["verify-full", "unverified"] {
        plan(&bench, "dump", &format!("tls = \"{word}\""), VERIFIED);
        bench.engine(&["apply", PLAN]).expect(1).says(&[&format!("the plan says tls = \"{word}\"")]);
    }
    bench.set("SHOP_PRODUCTION_URL", &far("sslmode=never"));
    bench.engine(&["apply", PLAN]).expect(1).says(&["`sslmode`", "`verify-full`"]);
    nothing_was_made(&bench);
    // Words that libpq takes for "whatever there is" change nothing: the server would let nobody in without TLS.
    for mode in ["allow", "prefer", "require", "verify-ca", "verify-full"] {
        bench.engine(&["fingerprint", &far(&format!("sslmode={mode}"))]).expect(0);
        let stranger = far(&format!("sslmode={mode}&sslrootcert={}", world().other.write(bench.home(), "other.pem")));
        bench.engine(&["fingerprint", &stranger]).expect(1).says(&["nobody who is trusted", "(sslrootcert)"]);
    }
}

#[test]
fn a_server_without_tls_is_refused_unless_the_plan_says_plain() {
    let server = TcpServer::without_tls();
    let mut bench = server.bench("plain", "");
    plan(&bench, "stream", VERIFIED, VERIFIED);
    bench.engine(&["apply", PLAN]).expect(1).says(&[
        "does not speak TLS, and nothing is sent as plain text",
        "ssl = on",
        "say in [target.production]: tls = \"plain\"",
    ]);
    let far = |role: &str, database: &str| {
        server.url(role, database, "hostaddr=127.0.0.1").replace("@127.0.0.1:", "@db.engine.test:")
    };
    let production = bench.production().to_owned();
    bench.set("SHOP_PRODUCTION_URL", &far("bare_reader", &production));
    bench.set("SHOP_CLONE_MAKER_URL", &far("engine_cloner", "postgres"));
    bench.set("SHOP_CLONE_URL", &far("engine_stage", "postgres"));
    plan(&bench, "stream", "", "");
    bench.engine(&["apply", PLAN]).expect(1).says(&["does not speak TLS"]);
    nothing_was_made(&bench);
    for method in METHODS {
        plan(&bench, method, "tls = \"plain\"", "tls = \"plain\"");
        bench.engine(&["apply", PLAN, "--replace"]).expect(0).says(&["as plain text"]);
        assert_eq!(bench.unlike(), Vec::<String>::new());
        let (tls, waived) = bound(&bench, "production");
        assert_eq!(tls, None);
        assert_eq!(waived, ["reached as plain text, by SHOP_PRODUCTION_URL: the plan says tls = \"plain\""]);
    }
    bench.engine(&["fingerprint", &far("bare_reader", &production)]).expect(1).says(&["does not speak TLS"]);
    // This machine needs no TLS where nobody asks for it, and says nothing of it.
    bench.engine(&["fingerprint", &server.url("bare_reader", &production, "sslmode=prefer")]).expect(0);
    bench.engine(&["fingerprint", &server.url("bare_reader", &production, "sslmode=require")]).expect(1);
}

#[test]
fn the_authorities_of_the_system_are_asked_where_no_others_are_named() {
    let mut bench = world().tls.bench("system", "sslmode=verify-full");
    let (right, wrong) = (world().ca.write(bench.home(), "ca.pem"), world().other.write(bench.home(), "other.pem"));
    let url = |words: &str| world().tls.url("bare_reader", bench.production(), words);
    let (plain, named) = (url("sslmode=verify-full"), url("sslmode=verify-full&sslrootcert=system"));
    bench.set("SSL_CERT_FILE", &right);
    bench.engine(&["fingerprint", &plain]).expect(0);
    plan(&bench, "dump", "", "");
    let outcome = bench.engine(&["apply", PLAN]);
    if world().tls.server().major() >= 16 {
        outcome.expect(0);
    } else {
        // libpq 15 knows files only; that is found before anything is made.
        outcome.expect(1).says(&["authorities of this system", "export PGSSLROOTCERT=FILE", "ENGINE_PG_BIN"]);
        let said = |event: &Event| matches!(event, Event::Proved { proof, passed: false, .. } if proof == "preflight");
        assert_eq!(bench.journal().count(said), 1);
        assert!(!bench.exists(bench.clone_name()), "a clone was made");
    }
    bench.set("PGSSLROOTCERT", &wrong);
    bench.engine(&["fingerprint", &plain]).expect(1).says(&["other.pem (PGSSLROOTCERT)"]);
    bench.engine(&["fingerprint", &named]).expect(0);
    bench.set("SSL_CERT_FILE", &wrong);
    bench.engine(&["fingerprint", &named]).expect(1).says(&["1 authority of this system"]);
}

#[test]
fn files_of_authorities_that_will_not_do_are_named() {
    let mut bench = bench("files", "sslmode=verify-full");
    plan(&bench, "dump", "", "");
    let empty = write(bench.home(), "empty.pem", "", 0o644);
    let broken =
        write(bench.home(), "broken.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", 0o644);
    let folder = bench.home().to_str().expect("UTF-8").to_owned();
    for (path, said) in [
        (empty.as_str(), "holds no certificate"),
        (broken.as_str(), "a certificate that is none"),
        (folder.as_str(), "cannot be read"),
        ("no-such-file.pem", "cannot be read"),
    ] {
        bench.set("PGSSLROOTCERT", path);
        bench.engine(&["apply", PLAN]).expect(1).says(&["SHOP_PRODUCTION_URL", "needs PGSSLROOTCERT", path, said]);
    }
    nothing_was_made(&bench);
}

fn settings() -> Settings {
    let bounds = Duration::from_secs(120);
    Settings { search_path: String::new(), statement_timeout: bounds, lock_timeout: bounds, read_only: true }
}

/// Variables that a child gets, in so many words: libpq's own defaults are weaker, and lie in HOME.
#[test]
fn children_are_told_the_same() {
    let told = |words: &str, major: u32| {
        let url = Url::literal("the test", format!("postgresql://u@db.engine.test/d?hostaddr=127.0.0.1&{words}"));
        let door = Door::new("far", &url, None, &settings()).expect("a door");
        door.child_environment(major)
    };
    let ours = |name: &str| name.starts_with("PGSSL") || name.starts_with("PGGSS") || name.starts_with("PGCH");
    let about = |words: &str, major: u32| -> Vec<String> {
        let all = told(words, major).expect("variables").into_iter();
        all.filter(|(name, _)| ours(name)).map(|(name, value)| format!("{name}={value}")).collect()
    };
    let home = tempfile::tempdir().expect("a folder");
    let root = world().ca.write(home.path(), "ca.pem");
    let (named, none) = (format!("PGSSLROOTCERT={root}"), "/dev/null/none");
    let nothing = ["PGSSLCERT", "PGSSLKEY", "PGSSLCRL", "PGSSLCRLDIR"].map(|name| format!("{name}={none}"));
    let rest = [nothing.to_vec(), vec!["PGGSSENCMODE=disable".to_owned()]].concat();
    let expected = |first: &[&str], last: &[&str]| -> Vec<String> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        [owned(first), rest.clone(), owned(last)].concat()
    };
    let verified = expected(&["PGSSLMODE=verify-full", &named], &["PGCHANNELBINDING=require"]);
    assert_eq!(about(&format!("sslrootcert={root}&channel_binding=require"), 15), verified);
    assert_eq!(
        about("sslmode=prefer&sslrootcert=system", 16),
        expected(&["PGSSLMODE=verify-full", "PGSSLROOTCERT=system"], &[])
    );
    let failure = told("sslrootcert=system", 15).expect_err("libpq 15 knows files only");
    assert!(failure.what.contains("authorities of this system"), "{failure:?}");
    let address = |(name, value): &(String, String)| name == "PGHOSTADDR" && value == "127.0.0.1";
    assert!(told("sslrootcert=system", 16).expect("variables").iter().any(address), "the name is looked up again");
}

/// Flows from the start, and for a hundred seconds.
const ENDLESS: &str = "COPY (SELECT repeat('x', 20000), pg_sleep(0.01) FROM generate_series(1, 10000)) TO STDOUT";

/// Cancels go over connections of their own: through something that turns into a liar once the session is there.
#[tokio::test]
async fn a_cancel_goes_over_tls_and_never_as_plain_text() {
    let bench = bench("cancel", "");
    let root = world().ca.write(bench.home(), "ca.pem");
    let relay = Fake::new(Answer::Forward(world().tls.port));
    let words = format!("sslmode=verify-full&sslrootcert={root}");
    let url = Url::literal("the test", through(relay.port, "bare_reader", bench.production(), &words));
    let reader = Reader::new(Door::new("relay", &url, None, &settings()).expect("a door"));
    let tx = reader.begin("sleeping", Isolation::Snapshot).await.expect("a session");
    let mut stream = reader.stream("sleeping", &Isolation::Snapshot).await.expect("a stream");
    stream.begin_copy(ENDLESS).await.expect("a COPY");
    let stranger = world().other.issue(&NAMES, "server", 2099);
    for canceller in [tx.canceller(), stream.canceller()] {
        for answer in [Answer::No, Answer::Error, Answer::Injected, Answer::with(&stranger), Answer::Close] {
            relay.now(answer);
            canceller.cancel().await;
            let (raw, inside, connections) = relay.seen();
            assert_eq!((connections, &raw[..8]), (1, &SSL_REQUEST[..]));
            // CancelRequest begins with its length, 16, and its code.
            assert!(!raw.windows(8).any(|w| w == [0, 0, 0, 16, 4, 210, 22, 46]), "a cancel was sent as plain text");
            assert!(inside.is_empty(), "{inside:?}");
        }
    }
    relay.now(Answer::Forward(world().tls.port));
    let since = Instant::now();
    let canceller = tx.canceller();
    let (slept, ()) = tokio::join!(tx.query("SELECT pg_sleep(100)", &[]), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        canceller.cancel().await;
    });
    let failure = slept.expect_err("cancelled");
    assert_eq!(failure.sqlstate.as_deref(), Some("57014"), "{failure:?}");
    stream.canceller().cancel().await;
    let failure = loop {
        match stream.wait().await {
            Err(failure) => break failure,
            Ok(rows) => assert_eq!(rows, None, "it came to its end"),
        }
        stream.give(|_| {}).expect("data");
    };
    assert_eq!(failure.sqlstate.as_deref(), Some("57014"), "{failure:?}");
    assert!(since.elapsed() < Duration::from_secs(60), "nothing was cancelled");
}
