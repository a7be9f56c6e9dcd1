//! Where a case is played: a server of one's own, a production, the proxy before it, and an engine at work.

use crate::case::{Act, Case, Left};
use crate::support::{
    Bench, Does, KEEPER, MINI, MINI_ROLLOUT, Outcome, OwnServer, Proxy, Session, Spot, session_to, to_the_packet,
};
use engine::sandbox::Server;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

/// Whose COMMIT is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A stage's on a clone.
    Stage,
    /// The second of three batches of such a stage.
    Batch,
    /// The rollback of such a stage.
    Back,
    /// Nobody's: the shared journal of its run, on another server.
    Journal,
    /// A rollout's on production.
    Rollout,
}

/// Beside what every small production has: rows that can be counted, and room for many bytes.
const TABLES: &str = "CREATE TABLE n (id int GENERATED ALWAYS AS IDENTITY, v text);
                      CREATE TABLE big (v text); ALTER TABLE big ALTER v SET STORAGE EXTERNAL;
                      CREATE FUNCTION conflicts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                          IF EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND objid = 4711) THEN
                              RAISE 'somebody else is at it' USING ERRCODE = '40001';
                          END IF;
                          RETURN new;
                      END $$;
                      CREATE TRIGGER conflicts BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION conflicts()";

/// What the stage inserts: nothing would refuse it a second time.
const DRAWN: &str = "INSERT INTO n (v) SELECT 'x' || k FROM generate_series(1, 3) AS k";

/// The same without a sequence, which on production keeps what a rolled-back transaction took.
const GIVEN: &str = "INSERT INTO n (id, v) OVERRIDING SYSTEM VALUE SELECT k, 'x' || k FROM generate_series(1, 3) AS k";

/// Three batches: rows of `t` are taken two at a time, of five.
const BATCH: &str = "INSERT INTO n (v) SELECT 'x' || k FROM generate_series(1, 3) AS k;
                     UPDATE t SET v = 'second' WHERE id IN (SELECT id FROM t WHERE v = 'v' ORDER BY id LIMIT 2)";

const OLD: &str = "[probe.old]\non = \"clone\"\nsql = \"SELECT count(*) FROM public.t WHERE v = 'v'\"\n";

const BACK: &str = "DELETE FROM n WHERE v LIKE 'x%';\nUPDATE t SET v = 'v' WHERE id IN (1, 2)";

const UPDATES: &str = "UPDATE t SET v = 'first' WHERE id = 2;\nUPDATE t SET v = 'second' WHERE id = 1";

/// More than a file may have when the disk is called full; a file of WAL has 16 MB.
const BIG: &str = "INSERT INTO big SELECT repeat('x', 1000000) FROM generate_series(1, 24)";

/// At its begin: its transaction has no id yet, so that somebody else can get that one.
pub const FIRST: Spot = Spot::Statement("generate_series(1, 3)");

/// In the middle of the stage: one row is locked, the next statement is on its way.
pub const MIDDLE: Spot = Spot::Statement("'second'");

/// WAL is not written of itself: what the engine does not make durable is lost with the server. `synchronous_commit`
/// is off on this server.
const SETTINGS: [&str; 4] =
    ["wal_writer_delay = '10s'", "bgwriter_delay = '10s'", "autovacuum = off", "superuser_reserved_connections = 20"];

/// A server and what an undisturbed run leaves there.
pub struct World {
    pub own: OwnServer,
    /// Where the journal is, if it is not in files.
    team: Option<OwnServer>,
    subject: Subject,
    /// By whether it writes many bytes.
    whole: [Option<String>; 2],
    /// Where the packet is, for rollouts.
    sealed: Option<Bench>,
}

/// One case's place.
pub struct Bed<'w> {
    pub own: &'w mut OwnServer,
    /// The journal's server.
    pub team: Option<&'w mut OwnServer>,
    pub bench: Bench,
    pub proxy: Proxy,
    pub subject: Subject,
    /// Is the server at work?
    pub up: bool,
    /// Others who are connected.
    pub others: Vec<Session>,
    pub engine: Option<Engine>,
    home: &'w mut Option<Bench>,
    plan: String,
}

impl World {
    pub fn new(subject: Subject) -> World {
        let team = (subject == Subject::Journal).then(|| OwnServer::new(&SETTINGS));
        World { own: OwnServer::new(&SETTINGS), team, subject, whole: [None, None], sealed: None }
    }

    /// After a case that failed: whatever it left of the server goes, and the next one finds it at work.
    pub fn mend(&mut self) {
        for server in [Some(&mut self.own), self.team.as_mut()].into_iter().flatten() {
            server.kill("QUIT");
            server.start();
        }
    }

    /// What an undisturbed run leaves.
    pub fn whole(&mut self, big: bool) -> String {
        if self.whole[usize::from(big)].is_none() {
            let case = Case { big, ..crate::case::PLAIN };
            let bed = self.bed(&case, 0);
            let words = bed.command();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            bed.bench.engine(&words).expect(0);
            assert_eq!(bed.left(), Left::Whole);
            let all = bed.all();
            bed.over();
            self.whole[usize::from(big)] = Some(all);
        }
        self.whole[usize::from(big)].clone().expect("it was just made")
    }

    pub fn bed(&mut self, case: &Case, number: usize) -> Bed<'_> {
        let server = self.own.server();
        let subject = self.subject;
        let mut bench = match subject {
            Subject::Stage | Subject::Batch | Subject::Back | Subject::Journal => {
                planned(self, &format!("fault_{number}"), case)
            }
            Subject::Rollout => match self.sealed.take() {
                Some(bench) => bench,
                None => sealed(self),
            },
        };
        if let Some(team) = &self.team {
            bench.keep_runs_on(team.server());
        }
        if subject == Subject::Back {
            bench.mini_apply(&[]).expect(0);
        }
        let proxy = Proxy::before(self.team.as_ref().map_or(server, OwnServer::server).socket());
        let plan = bench.read(MINI_ROLLOUT);
        if subject == Subject::Rollout {
            let stage = "[stage.go_production]\n";
            bench.write(MINI_ROLLOUT, &plan.replace(stage, &format!("{stage}{}\n", case.keys)));
        }
        lead(&mut bench, &proxy, subject);
        let home = &mut self.sealed;
        let (own, team) = (&mut self.own, self.team.as_mut());
        Bed { own, team, bench, proxy, subject, up: true, others: Vec::new(), engine: None, home, plan }
    }
}

/// A production, and the plan of one stage on its clone.
fn planned(world: &World, name: &str, case: &Case) -> Bench {
    let bench = Bench::mini_on(world.own.server(), name, TABLES);
    let (more, bound) = if case.big { (format!(";\n{BIG}"), "writes.big = 24\n") } else { (String::new(), "") };
    let keys = format!("writes.n = 3\nwrites.t = 2\n{bound}{}", case.keys);
    let sql = format!("{DRAWN};\n{UPDATES}{more}");
    let stage = |keys: &str, sql: &str, back| bench.mini_stage("a", "\"base\"", keys, sql, back);
    let plan = match world.subject {
        Subject::Batch => {
            let until = "batch = { until = \"old = 0\", rows = 5, most = 3 }\nwrites.n = 9\nwrites.t = 5\n";
            format!("{OLD}{}", stage(&format!("{until}{}", case.keys), BATCH, None))
        }
        Subject::Back => stage(&keys, &sql, Some(BACK)),
        _ => stage(&keys, &sql, None),
    };
    bench.mini_plan(&plan);
    bench
}

/// The same to a sealed packet, with the gate open.
fn sealed(world: &World) -> Bench {
    let bench = Bench::mini_on(world.own.server(), "fault_rollout", TABLES);
    let back = "DELETE FROM n;\nUPDATE t SET v = 'v' WHERE id IN (1, 2)";
    let stage =
        bench.mini_stage("a", "\"base\"", "writes.n = 3\nwrites.t = 2", &format!("{GIVEN};\n{UPDATES}"), Some(back));
    bench.mini_plan(&format!("{stage}{}", to_the_packet("\"a\"", "\"a\"", "oks = 77")));
    bench.mini_apply(&[]).expect(0);
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    bench
}

fn lead(bench: &mut Bench, proxy: &Proxy, subject: Subject) {
    let production = bench.production().to_owned();
    match subject {
        Subject::Journal => {
            let database = format!("journal_of_{}", bench.clone_name());
            bench.set("ENGINE_JOURNAL", &proxy.url(KEEPER, &database));
        }
        Subject::Stage | Subject::Batch | Subject::Back => {
            bench.set("SHOP_CLONE_URL", &proxy.url("engine_stage", "postgres"));
        }
        Subject::Rollout => bench.set("MINI_WRITER_URL", &proxy.url("shop_owner", &production)),
    }
}

impl Bed<'_> {
    /// The command that is disturbed.
    pub fn command(&self) -> Vec<String> {
        match self.subject {
            Subject::Rollout => vec!["apply".to_owned(), MINI_ROLLOUT.to_owned()],
            Subject::Back => vec!["rollback".to_owned(), self.bench.run_id()],
            Subject::Stage | Subject::Batch | Subject::Journal => vec!["apply".to_owned(), MINI.to_owned()],
        }
    }

    /// The stage that is disturbed.
    pub fn stage(&self) -> &'static str {
        if self.subject == Subject::Rollout { "go_production" } else { "a" }
    }

    /// The database it writes.
    pub fn database(&self) -> &str {
        if self.subject == Subject::Rollout { self.bench.production() } else { self.bench.clone_name() }
    }

    /// What of the stage is there.
    pub fn left(&self) -> Left {
        if !self.bench.exists(self.database()) {
            return Left::Gone;
        }
        let written = "SELECT (SELECT count(*) FROM n), (SELECT count(*) FROM t WHERE v IN ('first', 'second'))";
        match (self.subject, self.bench.psql(self.database(), written).as_str()) {
            // Of batches: the second, and then all of them.
            (Subject::Back, "0|0")
            | (Subject::Batch, "6|4" | "9|5")
            | (Subject::Stage | Subject::Journal | Subject::Rollout, "3|2") => Left::Whole,
            (Subject::Back | Subject::Batch, "3|2") | (_, "0|0") => Left::Nothing,
            (_, other) => panic!("a part of the stage is there: {other}"),
        }
    }

    /// Every row and definition, whatever the databases are called.
    pub fn all(&self) -> String {
        let all = self.bench.all_of(self.database());
        all.replace(self.bench.clone_name(), "CLONE").replace(self.bench.production(), "PRODUCTION")
    }

    /// Runs the command and does to it what is to be done.
    pub fn suffer(&mut self, act: &Act) -> Outcome {
        match act {
            Act::Proxy(spot, does) => self.proxy.arm(*spot, *does),
            Act::Slow if self.subject == Subject::Journal => self.proxy.byte_by_byte(),
            Act::Slow => {
                self.proxy.byte_by_byte();
                // Every door, also those that rows are copied through and that pg_dump uses.
                let reader = self.proxy.url("bare_reader", self.bench.production());
                self.bench.set("SHOP_PRODUCTION_URL", &reader);
                self.bench.set("SHOP_CLONE_MAKER_URL", &self.proxy.url("engine_cloner", "postgres"));
            }
            Act::Held(spot, _) => self.proxy.arm(*spot, Does::Hold),
            Act::Crowded(spot) => {
                // The rest takes less than the two seconds after which the engine connects to look who holds up a statement:
                // that session would leave its place to another one.
                let server = self.own.server();
                self.crowd(server, "postgres", 40);
                self.proxy.arm(*spot, Does::Hold);
            }
            Act::Vanish(_) => {}
        }
        let place = if let Act::Vanish(place) = act { Some(*place) } else { None };
        self.engine = Some(Engine::start(&self.bench, &self.command(), place));
        let done = match act {
            Act::Held(_, done) => Some(*done),
            Act::Crowded(_) => Some(crowd_out as fn(&mut Bed)),
            _ => None,
        };
        if let Some(done) = done {
            self.proxy.wait();
            done(self);
            self.proxy.release();
        }
        let outcome = self.engine.take().expect("it was started").end();
        assert!(!self.proxy.armed(), "nothing was done to it\n{}", outcome.all());
        outcome
    }

    /// Stops the server as if it had crashed.
    pub fn crash(&mut self) {
        self.own.kill("QUIT");
        self.up = false;
    }

    /// Takes every connection of `server` but those that superusers keep and `left` more, and waits until no session that is
    /// just ending or has just been closed by the engine has left one free again.
    pub fn crowd(&mut self, server: &Server, database: &str, left: i32) {
        let free = "SELECT current_setting('max_connections')::int
                               - current_setting('superuser_reserved_connections')::int - (count(*) - 1)
                    FROM pg_stat_activity WHERE backend_type = 'client backend'";
        let mut steady = 0;
        while steady < 3 {
            let said = server.psql(database, free).unwrap_or_else(|failure| panic!("{failure}"));
            let free = said.parse::<i32>().expect("a number") - left;
            steady = if free > 0 { 0 } else { steady + 1 };
            for _ in 0..free {
                self.others.push(session_to(&server.url("postgres", database), "SELECT 1;"));
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// Starts it again; then others are at work, and take the next transaction ids.
    pub fn restart(&mut self) {
        self.start();
        let take = "SELECT pg_current_xact_id();\n".repeat(30);
        self.bench.psql("postgres", &take);
    }

    /// Starts it again; all doors follow it.
    pub fn start(&mut self) {
        self.own.start();
        self.up = true;
        let server = self.own.server();
        self.bench.moved(Some(server), Some(server));
        self.proxy.moved(server.socket());
        lead(&mut self.bench, &self.proxy, self.subject);
    }

    /// The journal's server, as if it had crashed, and started again.
    pub fn journal_crashes(&mut self) {
        let team = self.team.as_mut().expect("a journal of its own");
        team.kill("QUIT");
        team.start();
        let server = team.server();
        self.bench.journal_moved(server);
        self.proxy.moved(server.socket());
        lead(&mut self.bench, &self.proxy, self.subject);
    }

    /// The end of a case.
    pub fn over(mut self) {
        self.others.clear();
        if self.subject == Subject::Rollout {
            // As it was when the packet was sealed, and no crash undoes it: the packet of this bench is used again.
            let production = self.bench.production().to_owned();
            let back = "SET synchronous_commit = on; DELETE FROM n; UPDATE t SET v = 'v'";
            self.bench.psql(&production, back);
            self.bench.write(MINI_ROLLOUT, &self.plan);
            *self.home = Some(self.bench);
        } else {
            let drop = format!("DROP DATABASE {} WITH (FORCE)", self.bench.production());
            self.bench.psql("postgres", &drop);
        }
    }
}

/// An engine at work.
pub struct Engine(Child);

impl Engine {
    /// Starts it so that a file that may not grow is an error, as a full disk is, and not a signal.
    fn start(bench: &Bench, words: &[String], vanish: Option<&str>) -> Engine {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let plain = bench.command(&words);
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
        command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.envs(vanish.map(|place| ("ENGINE_CRASH_AT", place)));
        command.current_dir(bench.home()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Engine(command.spawn().expect("the engine"))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.0.kill().expect("a child");
    }

    fn end(self) -> Outcome {
        let output = self.0.wait_with_output().expect("the engine");
        let code = output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal));
        let text = |bytes| String::from_utf8(bytes).expect("the engine prints UTF-8");
        Outcome { code: code.expect("a code"), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Bounds the size of the files a process may write, as whoever it belongs to; what it starts later inherits that.
pub fn limit_files(process: u32, bytes: &str) {
    let owner = std::fs::metadata(format!("/proc/{process}")).expect("a process");
    let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
    let mut set = Command::new("prlimit");
    set.uid(uid).gid(gid).args(["--pid", &process.to_string(), &format!("--fsize={bytes}:")]);
    assert!(set.status().expect("prlimit").success());
}

/// No connection is left but those of superusers.
pub fn crowd_out(bed: &mut Bed) {
    let server = bed.own.server();
    bed.crowd(server, "postgres", 0);
    bed.bench.psql_as("engine_cloner", "postgres", "SELECT 1").expect_err("every connection is taken");
}
