//! What somebody gets to see who listens where the server should be: of role, database and password not one byte. Every
//! way to connect is tried: the driver's pool, the stream that moves rows, and `pg_dump`. (Cancels: `tests/tls.rs`.)

mod support;

use engine::event::Failure;
use engine::sandbox::Binaries;
use engine::target::{Door, Isolation, Reader, Settings, Url};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Answer, Authority, Bench, Fake, PASSWORD, PLAN, SSL_REQUEST, through};
use tempfile::TempDir;

const ROLE: &str = "canary_4712_role";
const DATABASE: &str = "canary_4713_database";
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// A liar, and the authority that is trusted.
struct Lie {
    fake: Fake,
    ca: Authority,
    home: TempDir,
}

/// One way to connect: how it ended, and in which words.
type Way = fn(&Lie) -> (i32, String);

const WAYS: [(&str, Way); 4] =
    [("pool", pool), ("stream of rows", stream), ("run of a plan", run), ("pg_dump", pg_dump)];

impl Lie {
    fn new(answer: impl FnOnce(&Authority) -> Answer) -> Lie {
        let (ca, home) = (Authority::new("right authority"), tempfile::tempdir().expect("a folder"));
        Lie { fake: Fake::new(answer(&ca)), ca, home }
    }

    fn url(&self) -> String {
        let root = self.ca.write(self.home.path(), "ca.pem");
        through(self.fake.port, ROLE, DATABASE, &format!("sslmode=verify-full&sslrootcert={root}"))
    }

    fn door(&self) -> Door {
        let bounds = Duration::from_secs(60);
        let settings =
            Settings { search_path: String::new(), statement_timeout: bounds, lock_timeout: bounds, read_only: true };
        Door::new("liar", &Url::literal("the test", self.url()), None, &settings).expect("a door")
    }

    /// Tries every way: each ends with `exit`, says `words`, comes again only when it is 75, and gives nothing
    /// away. `asks`: all that is sent is the question for TLS.
    fn gives_nothing_away(&self, exit: i32, words: &[&str], asks: bool) {
        let answer = self.fake.answer();
        for (name, way) in WAYS {
            self.fake.now(answer.clone());
            let (code, said) = way(self);
            let (raw, inside, connections) = self.fake.seen();
            assert!(!said.contains(PASSWORD), "{name} prints the password:\n{said}");
            if name == "pg_dump" {
                assert_ne!(code, 0, "{said}");
            } else {
                assert_eq!(code, exit, "{name}: {said}");
                for word in words {
                    assert!(said.contains(word), "{name}: `{word}` is not in\n{said}");
                }
            }
            // What is not temporary is not tried again; libpq tries no second time either.
            let most = if name == "run of a plan" && exit == 75 { 3 } else { 1 };
            assert_eq!(connections, most, "{name}: {said}");
            assert_eq!(raw[..8], SSL_REQUEST, "{name}");
            if asks {
                assert_eq!(raw, SSL_REQUEST.repeat(connections), "{name} says more than that it wants TLS");
            }
            assert!(inside.is_empty(), "{name}: {}", String::from_utf8_lossy(&inside));
            hides(name, &raw);
        }
    }
}

/// None of the canaries, nor a start-up message, is in what was sent as plain text.
fn hides(name: &str, sent: &[u8]) {
    for canary in [ROLE, DATABASE, PASSWORD, "user\0", "database\0"] {
        assert!(!sent.windows(canary.len()).any(|w| w == canary.as_bytes()), "{name} sends `{canary}`");
    }
}

fn outcome<T>(of: Result<T, Failure>) -> (i32, String) {
    match of {
        Ok(_) => (0, "it came through".to_owned()),
        Err(failure) => (failure.exit.code().into(), format!("{failure:?}")),
    }
}

fn waited<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(future)
}

fn pool(lie: &Lie) -> (i32, String) {
    let reader = Reader::new(lie.door());
    waited(async { outcome(reader.begin("a look", Isolation::Snapshot).await.map(drop)) })
}

fn stream(lie: &Lie) -> (i32, String) {
    let reader = Reader::new(lie.door());
    waited(async { outcome(reader.stream("rows", &Isolation::Snapshot).await.map(drop)) })
}

fn run(lie: &Lie) -> (i32, String) {
    let mut bench = Bench::bare("liar", "");
    bench.set("SHOP_PRODUCTION_URL", &lie.url());
    bench.clone_plan("dump", "");
    let ended = bench.engine(&["apply", PLAN]);
    assert!(bench.runs().is_empty(), "a run was begun\n{}", ended.all());
    (ended.code, ended.all())
}

fn pg_dump(lie: &Lie) -> (i32, String) {
    let binaries = Binaries::find().expect("PostgreSQL");
    let mut command = Command::new(binaries.path("pg_dump"));
    command.env_clear().envs(lie.door().child_environment(binaries.major()).expect("an environment"));
    command.args(["--no-password", "--schema-only"]).stdin(Stdio::null());
    let output = command.output().expect("pg_dump");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The recorder can see: to the right server each way sends what is looked for elsewhere, inside of TLS.
#[test]
fn the_right_server_is_told_everything() {
    let lie = Lie::new(|ca| Answer::with(&ca.issue(&NAMES, "server", 2099)));
    let answer = lie.fake.answer();
    for (name, way) in WAYS {
        lie.fake.now(answer.clone());
        way(&lie);
        let (raw, inside, _) = lie.fake.seen();
        for canary in [ROLE, DATABASE, PASSWORD] {
            assert!(inside.windows(canary.len()).any(|w| w == canary.as_bytes()), "{name} does not send `{canary}`");
        }
        hides(name, &raw);
    }
}

#[test]
fn an_authority_that_nobody_trusts() {
    let words = ["issued by nobody who is trusted here", "trusted: 1 authority in", "sslrootcert=FILE"];
    let stranger = |name: &str| Answer::with(&Authority::new(name).issue(&NAMES, "server", 2099));
    Lie::new(|_| stranger("another authority")).gives_nothing_away(1, &words, false);
    let namesake = Lie::new(|_| stranger("right authority"));
    namesake.gives_nothing_away(1, &words, false);
    assert!(pool(&namesake).1.contains("namesake"));
}

#[test]
fn a_certificate_for_another_host() {
    let lie = Lie::new(|ca| Answer::with(&ca.issue(&["localhost", "10.1.2.3"], "127.0.0.1", 2099)));
    lie.gives_nothing_away(1, &["is not for 127.0.0.1 but for localhost, 10.1.2.3", "subjectAltName"], false);
    // The name of old, without a subjectAltName.
    let lie = Lie::new(|ca| Answer::with(&ca.issue(&[], "127.0.0.1", 2099)));
    let (code, said) = pool(&lie);
    assert!(code == 1 && said.contains("for no name at all"), "{said}");
}

#[test]
fn a_certificate_that_has_expired() {
    let lie = Lie::new(|ca| Answer::with(&ca.issue(&NAMES, "server", 2020)));
    lie.gives_nothing_away(1, &["expired", "days ago", "SHOW ssl_cert_file"], false);
}

#[test]
fn a_server_that_says_it_has_no_tls() {
    Lie::new(|_| Answer::No).gives_nothing_away(1, &["does not speak TLS", "ssl = on"], true);
}

#[test]
fn a_server_that_answers_with_an_error() {
    let lie = Lie::new(|_| Answer::Error);
    lie.gives_nothing_away(1, &["does not speak TLS"], true);
    // What it says comes from nobody knows whom.
    assert!(!run(&lie).1.contains("no TLS!!"), "the words of a stranger are shown");
}

#[test]
fn a_server_that_hangs_up_may_come_back() {
    Lie::new(|_| Answer::Close).gives_nothing_away(75, &[], true);
}

#[test]
fn an_answer_that_is_slipped_in_before_the_handshake() {
    Lie::new(|_| Answer::Injected).gives_nothing_away(1, &["is not TLS; somebody in between"], false);
}

/// The same liars, met by a door that does not ask for TLS, would be told everything: that is what the default is for.
#[test]
fn without_tls_a_listener_learns_who_comes() {
    let lie = Lie::new(|_| Answer::No);
    let url = through(lie.fake.port, ROLE, DATABASE, "sslmode=prefer");
    let bench = Bench::bare("bare", "");
    bench.engine(&["fingerprint", &url]);
    let raw = lie.fake.seen().0;
    assert!(raw.windows(ROLE.len()).any(|w| w == ROLE.as_bytes()), "{raw:?}");
}
