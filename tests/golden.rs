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

fn shop(name: &str) -> Bench {
    let bench = Bench::bare(name, "");
    bench.psql(bench.production(), SHOP);
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
