//! A golden copy: later runs branch from it. After every branch production and the clone are compared row by row and
//! object by object, by witnesses that are not the engine.

mod support;

use engine::event::{Event, TableWrite};
use support::{Bench, Outcome, PLAN};

/// A plan whose clone is branched from `golden_N`.
fn plan(bench: &Bench) {
    bench.clone_plan("stream", "jobs = 2");
    bench.edit(PLAN, "[defaults]", &format!("golden = \"{}\"\n[defaults]", golden(bench)));
}

fn golden(bench: &Bench) -> String {
    bench.clone_name().replace("clone_", "golden_")
}

/// Makes the clone once more, in place of the last one.
#[track_caller]
fn apply(bench: &Bench) -> Outcome {
    bench.engine(&["apply", PLAN, "--replace"])
}

/// What the last run says of the golden copy: how, why, recent rows, writes.
#[track_caller]
fn used(bench: &Bench) -> (String, Option<String>, u64, Vec<TableWrite>) {
    let event = bench.journal().events.into_iter().rev().find_map(|event| match event {
        Event::Golden { how, why, recent, writes, .. } => Some((how, why, recent, writes)),
        _ => None,
    });
    event.expect("a golden copy")
}

/// The clone is production, and so is nothing else; the golden copy is closed.
#[track_caller]
fn right(bench: &Bench, what: &str) {
    assert_eq!(bench.unlike(), Vec::<String>::new(), "{what}");
    let open = format!("SELECT datallowconn FROM pg_database WHERE datname = '{}'", golden(bench));
    assert_eq!(bench.psql("postgres", &open), "f", "{what}");
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'engine%'";
    assert_eq!(bench.psql(bench.clone_name(), left), "0", "{what}: something is left in the clone");
}

/// Changes production, makes the clone, and demands that it was branched.
#[track_caller]
fn branched(bench: &Bench, change: &str) -> Vec<TableWrite> {
    bench.psql(bench.production(), change);
    // A clone computes them by itself.
    bench.psql(bench.production(), "REFRESH MATERIALIZED VIEW per_state; REFRESH MATERIALIZED VIEW of_view");
    apply(bench).expect(0);
    let (how, why, _, writes) = used(bench);
    assert_eq!((how.as_str(), why), ("branched", None), "{change}");
    right(bench, change);
    writes
}

/// Changes production, makes the clone, and demands that the golden copy was made anew for that reason.
#[track_caller]
fn anew(bench: &Bench, change: &str, reason: &str) {
    bench.psql(bench.production(), change);
    apply(bench).expect(0).says(&["made anew"]);
    let (how, why, _, _) = used(bench);
    assert_eq!(how, "made", "{change}");
    let why = why.unwrap_or_default();
    assert!(why.contains(reason), "{change}: `{why}` does not say `{reason}`");
    right(bench, change);
}

fn counts(writes: &[TableWrite], table: &str) -> (u64, u64, u64) {
    let found = writes.iter().find(|write| write.table == table);
    found.map_or((0, 0, 0), |write| (write.updated, write.inserted, write.deleted))
}

/// A bit of everything that makes rows hard to bring up to date.
const SHOP: &str = "
    SET ROLE shop_owner;
    CREATE TYPE state AS ENUM ('open', 'done');
    CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mail text UNIQUE, name text,
                            loud text GENERATED ALWAYS AS (upper(name)) STORED);
    INSERT INTO customers (mail, name) SELECT n || '@x', 'name ' || n FROM generate_series(1, 3000) AS n;
    CREATE TABLE orders (id int PRIMARY KEY, customer bigint NOT NULL REFERENCES customers ON DELETE CASCADE,
                         state state NOT NULL DEFAULT 'open', note text, touched timestamptz);
    INSERT INTO orders SELECT n, 1 + n % 3000, 'open', repeat(md5(n::text), 1 + n % 3) FROM generate_series(1, 9000) AS n;
    CREATE TABLE lines (ord int REFERENCES orders ON DELETE CASCADE, line int, doc jsonb, body text, PRIMARY KEY (ord, line));
    ALTER TABLE lines ALTER body SET STORAGE EXTERNAL;
    INSERT INTO lines SELECT n, 1, jsonb_build_object('n', n), CASE WHEN n % 50 = 0 THEN repeat(md5(n::text), 500) END
    FROM generate_series(1, 9000) AS n;
    CREATE TABLE log (at int, what text);
    INSERT INTO log SELECT n, 'x' FROM generate_series(1, 2000) AS n;
    CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree, v text);
    INSERT INTO tree SELECT n, nullif(n / 2, 0), 'v' FROM generate_series(1, 500) AS n;
    CREATE TABLE parts (id int, region text, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
    CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
    CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b');
    INSERT INTO parts SELECT n, CASE WHEN n % 2 = 0 THEN 'a' ELSE 'b' END, n FROM generate_series(1, 1000) AS n;
    CREATE TABLE only_key (a int, b text, PRIMARY KEY (a, b));
    INSERT INTO only_key SELECT n, 'k' FROM generate_series(1, 300) AS n;
    CREATE TABLE audit (id bigserial PRIMARY KEY, what text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO public.audit (what) VALUES (TG_OP); NEW.touched := now(); RETURN NEW; END $$;
    CREATE TRIGGER note BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER asleep BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note();
    ALTER TABLE orders DISABLE TRIGGER asleep;
    CREATE TRIGGER always BEFORE UPDATE OF note ON orders FOR EACH ROW EXECUTE FUNCTION note();
    ALTER TABLE orders ENABLE ALWAYS TRIGGER always;
    CREATE MATERIALIZED VIEW per_state AS SELECT state, count(*) FROM orders GROUP BY state;
    CREATE MATERIALIZED VIEW of_view AS SELECT sum(count) AS all_of_them FROM per_state;
";

/// Fills production, and waits until no transaction of the server is older: those of other tests would make all of it
/// recent.
fn fill(bench: &Bench, script: &str) {
    bench.psql(bench.production(), script);
    let xid = bench.psql(bench.production(), "SELECT pg_current_xact_id()");
    bench.wait_until(
        bench.production(),
        &format!("SELECT pg_snapshot_xmin(pg_current_snapshot()) > '{xid}'::xid8"),
        "t",
    );
}

fn shop(name: &str) -> Bench {
    let bench = Bench::bare(name, "");
    fill(&bench, SHOP);
    plan(&bench);
    bench.engine(&["apply", PLAN]).expect(0).says(&["made anew: there was none"]);
    right(&bench, "the first run");
    bench
}

#[test]
fn the_first_run_makes_it_and_the_second_branches_without_reading_rows() {
    let bench = shop("first");
    let before = bench.psql("postgres", "SELECT oid FROM pg_database WHERE datname LIKE 'golden_%first'");
    apply(&bench).expect(0).says(&["branched from", "0 rows updated, 0 inserted, 0 deleted in 0 tables"]);
    right(&bench, "no change");
    assert_eq!(used(&bench).3, Vec::new());
    let after = bench.psql("postgres", "SELECT oid FROM pg_database WHERE datname LIKE 'golden_%first'");
    assert_eq!(before, after, "the golden copy was made again");
    let children = bench.journal().count(|event| matches!(event, Event::Child { .. }));
    assert_eq!(children, 0, "pg_dump ran");
}

#[test]
fn rows_are_brought_up_to_date_one_by_one() {
    let bench = shop("rows");
    let writes = branched(&bench, "UPDATE customers SET name = 'new' WHERE id % 100 = 0");
    assert_eq!(counts(&writes, "public.customers"), (30, 0, 0));
    let writes = branched(&bench, "DELETE FROM orders WHERE id % 300 = 0");
    assert_eq!(counts(&writes, "public.orders"), (0, 0, 30));
    assert_eq!(counts(&writes, "public.lines"), (0, 0, 30));
    // Through triggers, to a customer that is new, with a unique value of one that is gone.
    let writes = branched(
        &bench,
        "DELETE FROM customers WHERE id = 7;
         INSERT INTO customers (mail, name) VALUES ('7@x', 'instead of 7');
         UPDATE orders SET customer = (SELECT max(id) FROM customers) WHERE id IN (11, 12);
         INSERT INTO orders VALUES (20000, 12, 'done', 'n');
         INSERT INTO lines VALUES (20000, 1, NULL, repeat('long', 5000));",
    );
    assert_eq!(counts(&writes, "public.customers"), (30, 1, 1));
    assert_eq!(counts(&writes, "public.orders").1, 1);
    branched(
        &bench,
        "INSERT INTO tree VALUES (900, 500, 'n'); UPDATE tree SET parent = 900 WHERE id = 3; DELETE FROM tree WHERE id = 499",
    );
    branched(
        &bench,
        "UPDATE parts SET v = -v WHERE id < 20; UPDATE parts SET region = 'a' WHERE id = 31; DELETE FROM parts WHERE id = 40",
    );
    branched(&bench, "UPDATE only_key SET a = a + 1000 WHERE a < 5; INSERT INTO only_key VALUES (77, 'other')");
    branched(
        &bench,
        "UPDATE customers SET mail = 'was ' || mail WHERE id = 90; UPDATE tree SET id = 1000 WHERE id = 498",
    );
    let writes = branched(&bench, "INSERT INTO log VALUES (1, 'x'), (1, 'x'); DELETE FROM log WHERE at = 9");
    assert_eq!(counts(&writes, "public.log"), (0, 2001, 2000));
    branched(
        &bench,
        "SELECT nextval('audit_id_seq') FROM generate_series(1, 50); SELECT setval('customers_id_seq', 90000)",
    );
    branched(&bench, "REFRESH MATERIALIZED VIEW per_state; REFRESH MATERIALIZED VIEW of_view");
    branched(&bench, "TRUNCATE only_key");
}

#[test]
fn what_moves_no_row_moves_nothing() {
    let bench = shop("still");
    let writes = branched(
        &bench,
        "BEGIN; UPDATE orders SET note = 'undone'; DELETE FROM lines; ROLLBACK;
         BEGIN; SAVEPOINT a; INSERT INTO log VALUES (1, 'undone'); ROLLBACK TO a; COMMIT;
         BEGIN; SELECT FROM orders WHERE id < 100 FOR UPDATE; COMMIT",
    );
    assert_eq!(writes, Vec::new());
    bench.psql(bench.production(), "VACUUM (FREEZE) orders");
    bench.psql(bench.production(), "VACUUM FULL lines");
    assert_eq!(branched(&bench, "REINDEX TABLE customers"), Vec::new());
    // Written again with the same values: looked at, and the same.
    let writes = branched(&bench, "UPDATE customers SET name = name WHERE id <= 10");
    assert_eq!(counts(&writes, "public.customers"), (10, 0, 0));
    // CLUSTER writes down by which index.
    anew(&bench, "CLUSTER tree USING tree_pkey", "clustering of public.tree");
}

#[test]
fn transactions_that_were_open_then_are_seen_now() {
    let bench = Bench::bare("open", "");
    fill(&bench, SHOP);
    plan(&bench);
    let mut early = bench.session(
        bench.production(),
        "BEGIN; UPDATE customers SET name = 'early' WHERE id = 1; SAVEPOINT s; INSERT INTO log VALUES (0, 'early');
         RELEASE s; DELETE FROM lines WHERE ord = 5;",
    );
    let undone = bench.session(bench.production(), "BEGIN; DELETE FROM log WHERE at = 1;");
    bench.psql(bench.production(), "INSERT INTO log VALUES (2, 'later than the open ones')");
    bench.engine(&["apply", PLAN]).expect(0).says(&["made anew: there was none"]);
    right(&bench, "they are not seen yet");
    early.send("COMMIT;");
    assert!(early.end());
    drop(undone);
    let writes = branched(&bench, "SELECT 1");
    assert_eq!(counts(&writes, "public.customers"), (1, 0, 0));
    assert_eq!(counts(&writes, "public.lines"), (0, 0, 1));
    assert!(counts(&writes, "public.log").1 > 0);
}

#[test]
fn any_change_but_of_rows_makes_it_anew() {
    let bench = shop("anew");
    anew(&bench, "ALTER TABLE orders ADD COLUMN extra int DEFAULT 5", "public.orders is not the table it was");
    anew(&bench, "ALTER TYPE state RENAME VALUE 'done' TO 'closed'", "is not the table it was");
    anew(&bench, "GRANT SELECT ON orders TO engine_stage", "grants on table public.orders");
    anew(&bench, "COMMENT ON TABLE log IS 'something else'", "comment on table public.log");
    anew(&bench, "ALTER TABLE orders DISABLE TRIGGER note", "trigger note on public.orders");
    anew(&bench, "CREATE TABLE more (id int)", "public.more is not the table it was");
    anew(&bench, "ALTER TABLE more RENAME TO other", "public.other is not the table it was");
    let database = bench.production().to_owned();
    anew(&bench, &format!("ALTER DATABASE {database} SET work_mem = '5MB'"), "settings of the database");
    anew(&bench, "SELECT lo_from_bytea(4711, 'large'); GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC", "large object");
}

#[test]
fn what_cannot_be_brought_up_to_date_is_made_anew() {
    let bench = Bench::bare("hard", "");
    let hard = format!(
        "{SHOP}
         CREATE TABLE swap (id int PRIMARY KEY, place int UNIQUE);
         INSERT INTO swap SELECT n, n FROM generate_series(1, 50) AS n;
         CREATE TABLE names (id int PRIMARY KEY, t regclass);
         INSERT INTO names VALUES (1, 'log');
         CREATE TABLE up (id int PRIMARY KEY, code text UNIQUE);
         CREATE TABLE down (id int PRIMARY KEY, code text REFERENCES up (code) ON UPDATE CASCADE);
         INSERT INTO up VALUES (1, 'a'); INSERT INTO down VALUES (1, 'a');
         CREATE TABLE ruled (id int PRIMARY KEY);
         CREATE RULE no AS ON DELETE TO ruled DO ALSO NOTHING;"
    );
    fill(&bench, &hard);
    plan(&bench);
    bench.engine(&["apply", PLAN]).expect(0);
    right(&bench, "the first run");
    anew(
        &bench,
        "UPDATE swap SET place = -1 WHERE id = 1; UPDATE swap SET place = 1 WHERE id = 2; UPDATE swap SET place = 2 WHERE id = 1",
        "23505",
    );
    anew(&bench, "INSERT INTO names VALUES (2, 'orders')", "travels as text");
    anew(&bench, "UPDATE up SET code = 'b'", "would cascade to public.down");
    anew(&bench, "INSERT INTO ruled VALUES (1)", "has a rule");
    anew(
        &bench,
        "UPDATE lines SET doc = '1' WHERE ord > 100; UPDATE orders SET note = 'x' WHERE id > 100",
        "too many rows are recent",
    );
}

#[test]
fn it_is_renewed_when_much_is_recent() {
    let bench = shop("renew");
    let made = "SELECT oid FROM pg_database WHERE datname LIKE 'golden_%renew'";
    let before = bench.psql("postgres", made);
    bench.psql(bench.production(), "UPDATE lines SET doc = '{}' WHERE ord <= 2000");
    // As long as a transaction of another test is older, what comes after it counts as recent.
    let settled =
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint > (SELECT max(xmin::text::bigint) FROM lines)";
    bench.wait_until(bench.production(), settled, "t");
    apply(&bench).expect(0).says(&["which was renewed"]);
    assert_ne!(bench.psql("postgres", made), before);
    right(&bench, "renewed");
    let writes = branched(&bench, "UPDATE lines SET doc = '1' WHERE ord = 1");
    assert_eq!(counts(&writes, "public.lines"), (1, 0, 0), "the rows of the time before are no longer recent");
    let states = support::files(&bench.home().join(".engine/golden"));
    assert_eq!(states.len(), 1, "{states:?}");
}

#[test]
fn a_state_that_is_gone_or_not_the_one_is_not_relied_on() {
    let bench = shop("state");
    let state = || support::files(&bench.home().join(".engine/golden")).pop().expect("a state");
    let text = std::fs::read_to_string(state()).expect("a state");
    std::fs::write(state(), text.replacen("\"rows\":3000", "\"rows\":3001", 1)).expect("a state");
    anew(&bench, "SELECT 1", "is not the one that its marker names");
    std::fs::remove_file(state()).expect("a state");
    anew(&bench, "SELECT 1", "cannot be read");
    bench.psql("postgres", &format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", golden(&bench)));
    bench.psql(&golden(&bench), "UPDATE log SET what = 'another' WHERE at = 5");
    anew(&bench, "SELECT 1", "somebody opened it");
    // Closed by an engine that could not drop it: what was done in it stays done.
    bench.psql("postgres", &format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", golden(&bench)));
    let somebody = bench.session(&golden(&bench), "UPDATE log SET what = 'a third' WHERE at = 5;");
    apply(&bench).expect(75);
    assert_eq!(
        bench.psql("postgres", &format!("SELECT datallowconn FROM pg_database WHERE datname = '{}'", golden(&bench))),
        "f"
    );
    drop(somebody);
    anew(&bench, "SELECT 1", "somebody had opened it");
    branched(&bench, "UPDATE log SET what = 'y' WHERE at = 3");
}

#[test]
fn only_golden_copies_are_dropped_or_copied() {
    let bench = shop("drop");
    bench.engine(&["drop", "latest"]).expect(0).says(&[&format!("dropped {}", bench.clone_name())]);
    assert!(bench.exists(&golden(&bench)), "a golden copy is no database of one run");
    bench.engine(&["drop", "--golden", PLAN]).expect(0).says(&[&format!("dropped {}", golden(&bench))]);
    assert!(!bench.exists(&golden(&bench)));
    bench.engine(&["drop", "--golden", PLAN]).expect(0).says(&["there is no golden copy"]);
    // A stranger's database of that name, even with a marker of another role.
    for comment in [
        "mine",
        r#"{"engine":1,"run":"x","plan":"only_clone","role":"clone","source":["1",1,"p"],"created":"","expires":null}"#,
    ] {
        bench.psql("postgres", &format!("CREATE DATABASE {}", golden(&bench)));
        bench.psql("postgres", &format!("COMMENT ON DATABASE {} IS '{comment}'", golden(&bench)));
        bench.engine(&["drop", "--golden", PLAN]).expect(63).says(&["is no golden copy of this engine"]);
        bench.engine(&["apply", PLAN]).expect(63).says(&["is no golden copy of this engine", "nothing was changed"]);
        assert!(bench.exists(&golden(&bench)) && !bench.exists(bench.clone_name()));
        bench.psql("postgres", &format!("DROP DATABASE {}", golden(&bench)));
    }
    bench.engine(&["apply", PLAN]).expect(0).says(&["made anew: there was none"]);
    let taken = format!("database = \"{}\"", bench.clone_name());
    bench.edit(PLAN, &taken, &format!("database = \"{}_x\"", golden(&bench)));
    bench.edit(PLAN, &format!("golden = \"{}\"", golden(&bench)), "");
    bench.edit(PLAN, &format!("{}_x", golden(&bench)), &golden(&bench));
    bench.engine(&["apply", PLAN, "--replace"]).expect(63);
    assert!(bench.exists(&golden(&bench)), "a clone of that name does not replace it");
}

#[test]
fn one_of_another_production_is_made_anew() {
    let bench = shop("source");
    bench.psql("postgres", &format!("ALTER DATABASE {} RENAME TO {}_was", bench.production(), bench.production()));
    let copy = format!("CREATE DATABASE {0} TEMPLATE {0}_was OWNER shop_owner", bench.production());
    bench.psql("postgres", &copy);
    let grants = format!(
        "REVOKE ALL ON DATABASE {0} FROM PUBLIC; GRANT CONNECT ON DATABASE {0} TO bare_reader, shop_owner",
        bench.production()
    );
    bench.psql("postgres", &grants);
    anew(&bench, "SELECT 1", "it is another database");
}

#[test]
fn while_a_run_uses_it_no_other_does() {
    let bench = shop("two");
    let server = bench.psql("postgres", "SELECT system_identifier FROM pg_control_system()");
    let key = format!("golden copy {} of server {server}", golden(&bench));
    let holder = bench.session(
        "postgres",
        &format!("SET application_name = 'somebody'; SELECT pg_advisory_lock(hashtextextended('{key}', 0));"),
    );
    apply(&bench).expect(60).says(&["golden copy", "somebody"]);
    bench.engine(&["drop", "--golden", PLAN]).expect(60);
    drop(holder);
    apply(&bench).expect(0).says(&["branched from"]);
    right(&bench, "after the other one");
}

/// Starts another run, and waits until its journal is there.
fn started(bench: &Bench) -> support::Running {
    let before = bench.runs();
    let mut engine = bench.start(&["apply", PLAN, "--replace"]);
    while bench.runs() == before {
        assert!(!engine.over(), "it ended before");
    }
    engine
}

#[test]
fn a_killed_run_leaves_the_golden_copy_as_it_was() {
    let bench = Bench::bare("kill", "");
    // Each row takes its time, in production and in every copy.
    let slow = format!(
        "{SHOP}
         CREATE FUNCTION slowly(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN true; END $$;
         CREATE TABLE slow (id int PRIMARY KEY, v int CHECK (slowly(v)));
         INSERT INTO slow SELECT n, n FROM generate_series(1, 20) AS n;"
    );
    fill(&bench, &slow);
    plan(&bench);
    bench.engine(&["apply", PLAN]).expect(0);
    bench.psql(
        bench.production(),
        "UPDATE slow SET v = -v; UPDATE customers SET name = 'x' WHERE id = 5; DELETE FROM log WHERE at < 9",
    );
    let oid = format!("SELECT oid FROM pg_database WHERE datname = '{}'", golden(&bench));
    let before = bench.psql("postgres", &oid);
    let mut engine = started(&bench);
    let run = bench.run_id();
    let writing = format!(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'engine_{run}' AND query LIKE 'COPY (UPDATE ONLY public.slow%' AND state = 'active')"
    );
    while bench.psql("postgres", &writing) != "t" {
        assert!(!engine.over(), "it ended before: {}", bench.engine(&["show", "latest"]).all());
    }
    engine.kill();
    bench.wait_for_silence();
    let outcome = bench.engine(&["resume", &run]).expect(0).says(&["branched from"]);
    assert!(bench.psql("postgres", &oid) == before, "{}", outcome.all());
    bench.psql(bench.production(), "REFRESH MATERIALIZED VIEW per_state");
    right(&bench, "after the kill");
    // Killed about when it is replaced: the old one, or none, and never half of one.
    bench.psql(bench.production(), "UPDATE lines SET doc = '{}' WHERE ord <= 2500");
    let mut engine = started(&bench);
    bench.wait_for(&mut engine, |event| matches!(event, Event::Compared { .. }));
    engine.kill();
    bench.wait_for_silence();
    bench.engine(&["resume", &bench.run_id()]).expect(0);
    right(&bench, "after the second kill");
    branched(&bench, "UPDATE lines SET doc = '7' WHERE ord = 8");
}

#[test]
fn a_restart_of_production_makes_it_anew() {
    let mut own = support::OwnServer::new(&[]);
    let mut bench = Bench::bare_on(own.server(), support::server(), "restart", "");
    fill(&bench, SHOP);
    plan(&bench);
    bench.engine(&["apply", PLAN]).expect(0);
    branched(&bench, "UPDATE log SET what = 'z' WHERE at = 4");
    for signal in ["INT", "QUIT"] {
        own.kill(signal);
        own.start();
        bench.moved(Some(own.server()), None);
        anew(&bench, "SELECT 1", "the server was restarted");
    }
    branched(&bench, "UPDATE log SET what = 'y' WHERE at = 4");
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// One random statement; what production refuses changes nothing there.
fn statement(dice: &mut Dice) -> String {
    let (a, b) = (1 + dice.roll(3000), 1 + dice.roll(3000));
    match dice.roll(16) {
        0 => format!("UPDATE customers SET name = 'n{a}' WHERE id BETWEEN {b} AND {b} + 20"),
        1 => format!("DELETE FROM customers WHERE id = {a}"),
        2 => format!(
            "INSERT INTO customers (mail, name) VALUES ('{a}@y', 'x') ON CONFLICT (mail) DO UPDATE SET name = 'again'"
        ),
        3 => format!("UPDATE orders SET customer = (SELECT max(id) FROM customers) WHERE id BETWEEN {a} AND {a} + 5"),
        4 => format!("DELETE FROM orders WHERE id BETWEEN {a} AND {a} + 10"),
        5 => format!(
            "INSERT INTO orders SELECT {} + n, min(id), 'done', 'r' FROM customers, generate_series(1, 5) AS n GROUP BY n",
            10000 + a * 5
        ),
        6 => format!(
            "INSERT INTO lines SELECT id, 2, NULL, repeat('z', {b}) FROM orders WHERE id BETWEEN {a} AND {a} + 9"
        ),
        7 => format!("UPDATE lines SET body = repeat(md5('{b}'), 400) WHERE ord = {a}"),
        8 => format!("DELETE FROM lines WHERE line = 2 AND ord < {a}"),
        9 => format!("INSERT INTO tree SELECT {}, id, 'r' FROM tree WHERE id % 50 = {} LIMIT 1", 1000 + a, b % 50),
        10 => format!("UPDATE tree SET parent = (SELECT max(id) FROM tree) WHERE id = {}", 2 + a % 400),
        11 => format!(
            "DELETE FROM tree AS t WHERE id = {} AND NOT EXISTS (SELECT FROM tree WHERE parent = t.id)",
            a % 500
        ),
        12 => format!("UPDATE parts SET region = CASE region WHEN 'a' THEN 'b' ELSE 'a' END WHERE id = {}", a % 1000),
        13 => format!("UPDATE only_key SET a = {} WHERE a = {}", 400 + a, b % 300),
        14 => format!("UPDATE orders SET id = -id WHERE id = {a} AND NOT EXISTS (SELECT FROM lines WHERE ord = {a})"),
        _ => format!("INSERT INTO log VALUES ({a}, 'r'); DELETE FROM log WHERE at = {b}"),
    }
}

#[test]
fn random_rounds_end_as_production_is() {
    let bench = shop("random");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut hows = Vec::new();
    for round in 0..12 {
        let statements: Vec<String> = (0..=dice.roll(25)).map(|_| statement(&mut dice)).collect();
        for statement in &statements {
            // A key that is taken, a row that is referred to: production goes on without it.
            let _ = bench.psql_as("postgres", bench.production(), statement);
        }
        bench.psql(bench.production(), "REFRESH MATERIALIZED VIEW per_state; REFRESH MATERIALIZED VIEW of_view");
        apply(&bench).expect(0);
        right(&bench, &format!("round {round}: {statements:#?}"));
        let (how, why, ..) = used(&bench);
        hows.push(format!("{how} {}", why.unwrap_or_default()));
    }
    let made = hows.iter().filter(|how| how.starts_with("made")).count();
    assert!(made <= 3, "too often anew: {hows:#?}");
}
