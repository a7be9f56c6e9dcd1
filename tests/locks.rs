//! The table of locks by class of statement, held against what a server really takes.

mod support;

use engine::diag::Source;
use engine::event::Failure;
use engine::sql::{Locks, Statement, locks, split};
use std::collections::BTreeMap;
use support::Bench;

const TABLES: &str = "
CREATE TABLE u (id int PRIMARY KEY, v text);
CREATE TABLE t (id int PRIMARY KEY, v text, uid int);
CREATE TABLE w (id int, tid int CONSTRAINT of_t REFERENCES t (id));
ALTER TABLE w ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
CREATE TABLE p (id int) PARTITION BY LIST (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE q (id int);
CREATE TABLE z (id int);
CREATE TABLE old (id int) INHERITS (q);
CREATE INDEX t_v ON t (v);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER tr BEFORE INSERT ON w FOR EACH ROW EXECUTE FUNCTION f();
CREATE RULE r AS ON UPDATE TO q DO NOTHING;
CREATE POLICY po ON u;
CREATE VIEW vw AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW mv AS SELECT 1 AS one;
CREATE UNIQUE INDEX mv_one ON mv (one);
INSERT INTO t VALUES (1, 'a', 1);
INSERT INTO u VALUES (1, 'a');
";

/// Within a transaction. What a statement makes is not there before it, and is left out of the comparison.
const STATEMENTS: &[&str] = &[
    "SELECT * FROM t JOIN public.u USING (id)",
    "SELECT count(*) FROM t WHERE EXISTS (SELECT FROM u WHERE u.id = t.id)",
    "SELECT * FROM t JOIN u AS x USING (id) FOR UPDATE OF x",
    "SELECT * FROM t, u FOR SHARE",
    "WITH x AS (SELECT * FROM t) SELECT * FROM x, u",
    "TABLE t",
    "VALUES (1)",
    "SELECT id INTO made FROM t",
    "INSERT INTO t SELECT id + 10, v FROM u",
    "INSERT INTO t AS tt VALUES (1) ON CONFLICT (id) DO UPDATE SET v = excluded.v",
    "UPDATE ONLY t SET v = u.v FROM u WHERE u.id = t.id",
    "DELETE FROM w USING t WHERE w.id = t.id",
    "WITH gone AS (DELETE FROM w RETURNING id) INSERT INTO u SELECT id FROM gone",
    "WITH src AS (SELECT * FROM z) UPDATE t SET v = 'x' FROM src WHERE src.id = t.id",
    "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN UPDATE SET v = u.v",
    "EXPLAIN SELECT * FROM t",
    "TRUNCATE z, w",
    "TRUNCATE t CASCADE",
    "LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE",
    "LOCK TABLE t IN EXCLUSIVE MODE",
    "LOCK t",
    "CREATE INDEX made ON t (uid)",
    "DROP INDEX t_v",
    "REINDEX TABLE t",
    "CLUSTER t USING t_pkey",
    "ANALYZE t",
    "ALTER TABLE t ADD COLUMN made int",
    "ALTER TABLE ONLY public.t ADD COLUMN made int DEFAULT 3, ALTER COLUMN v SET STATISTICS 10",
    "ALTER TABLE t ALTER COLUMN v SET STATISTICS 10",
    "ALTER TABLE t ALTER COLUMN v SET (n_distinct = 5)",
    "ALTER TABLE t ALTER COLUMN v TYPE varchar(20)",
    "ALTER TABLE t ALTER COLUMN v SET NOT NULL",
    "ALTER TABLE t DROP COLUMN v",
    "ALTER TABLE t SET (fillfactor = 70, autovacuum_enabled = false)",
    "ALTER TABLE t SET (fillfactor = 70, user_catalog_table = true)",
    "ALTER TABLE t RESET (fillfactor)",
    "ALTER TABLE t RENAME COLUMN v TO made",
    "ALTER TABLE t RENAME TO made",
    "ALTER TABLE t ADD CONSTRAINT made FOREIGN KEY (uid) REFERENCES u (id) NOT VALID",
    "ALTER TABLE t ADD COLUMN made int REFERENCES u (id)",
    "ALTER TABLE t ADD CONSTRAINT made CHECK (id > 0) NOT VALID",
    "ALTER TABLE w VALIDATE CONSTRAINT positive",
    "ALTER TABLE w DROP CONSTRAINT positive",
    "ALTER TABLE w DROP CONSTRAINT of_t",
    "ALTER TABLE w DISABLE TRIGGER tr",
    "ALTER TABLE w ENABLE ALWAYS TRIGGER tr",
    "ALTER TABLE t CLUSTER ON t_pkey",
    "ALTER TABLE t SET WITHOUT CLUSTER",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE p ATTACH PARTITION z FOR VALUES IN (2)",
    "ALTER TABLE p DETACH PARTITION p1",
    "ALTER TABLE old NO INHERIT q",
    "ALTER TABLE z INHERIT q",
    "ALTER TABLE t OWNER TO shop_owner",
    "CREATE TABLE made (id int REFERENCES t (id), uid int, FOREIGN KEY (uid) REFERENCES u (id))",
    "CREATE TABLE made PARTITION OF p FOR VALUES IN (7)",
    "CREATE TABLE made () INHERITS (q)",
    "CREATE TABLE made (LIKE t INCLUDING ALL)",
    "CREATE TABLE made AS SELECT * FROM t",
    "CREATE VIEW made AS SELECT * FROM t",
    "CREATE MATERIALIZED VIEW made AS SELECT * FROM t",
    "CREATE FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SEQUENCE made",
    "CREATE TRIGGER made BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
    "DROP TRIGGER tr ON w",
    "CREATE RULE made AS ON DELETE TO t DO NOTHING",
    "DROP RULE r ON q",
    "CREATE POLICY made ON t",
    "DROP POLICY po ON u",
    "ALTER POLICY po ON u USING (true)",
    "DROP TABLE w",
    "DROP TABLE IF EXISTS old, w",
    "DROP VIEW vw",
    "DROP MATERIALIZED VIEW mv",
    "REFRESH MATERIALIZED VIEW mv",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY mv",
    "COMMENT ON TABLE t IS 'x'",
    "COMMENT ON COLUMN t.v IS 'x'",
    "SET LOCAL work_mem = '8MB'",
];

fn statement(sql: &str) -> Statement {
    let (mut statements, problems) = split(&Source::new("locks.sql", sql));
    assert!(problems.0.is_empty() && statements.len() == 1, "{sql}: {}", problems.draw(false));
    statements.remove(0)
}

/// The strongest lock on each relation that was there before, weakest modes first.
fn taken(bench: &Bench, sql: &str) -> Result<BTreeMap<String, String>, Failure> {
    let asked = format!(
        "CREATE TEMPORARY TABLE there AS SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace;
         BEGIN; SET LOCAL client_min_messages = error;
         SELECT 'begin';
         {sql};
         SELECT 'lock:' || relname || ':' || mode FROM (
           SELECT DISTINCT ON (r.oid) r.relname, l.mode FROM pg_locks AS l JOIN there AS r ON r.oid = l.relation
           WHERE l.pid = pg_backend_pid() AND l.granted
           ORDER BY r.oid, array_position(ARRAY['AccessShareLock','RowShareLock','RowExclusiveLock',
             'ShareUpdateExclusiveLock','ShareLock','ShareRowExclusiveLock','ExclusiveLock','AccessExclusiveLock'], l.mode) DESC
         ) AS strongest;
         ROLLBACK"
    );
    let said = bench.psql_as("postgres", bench.production(), &asked)?;
    let lines = said.lines().filter_map(|line| line.strip_prefix("lock:")?.split_once(':'));
    Ok(lines.map(|(table, mode)| (table.to_owned(), mode.to_owned())).collect())
}

/// `ACCESS SHARE` as `pg_locks` spells it.
fn as_the_server(words: &str) -> String {
    let capital = |word: &str| word[..1].to_owned() + &word[1..].to_lowercase();
    words.split(' ').map(capital).collect::<String>() + "Lock"
}

fn said_by(locks: &Locks) -> BTreeMap<String, String> {
    let bare = |table: &String| table.rsplit('.').next().expect("a name").to_owned();
    locks.tables.iter().map(|(table, mode)| (bare(table), as_the_server(mode.words()))).collect()
}

#[test]
fn each_class_of_statement_takes_what_the_table_says() {
    let bench = Bench::bare("locks", "");
    bench.psql(bench.production(), TABLES);
    let indexes = ["t_pkey", "u_pkey", "t_v", "mv_one"];
    let mut wrong = Vec::new();
    for sql in STATEMENTS {
        let locks = locks(&statement(sql));
        let said = said_by(&locks);
        let mut found = match taken(&bench, sql) {
            Ok(found) => found,
            Err(failure) => {
                wrong.push(format!("{sql}\n  {} {:?}", failure.what, failure.facts));
                continue;
            }
        };
        // Indexes follow their table; of those that a statement names itself the table of locks speaks.
        found.retain(|table, _| !indexes.contains(&table.as_str()) || said.contains_key(table));
        let whole =
            if locks.unknown.is_empty() { found == said } else { said.iter().all(|(t, m)| found.get(t) == Some(m)) };
        if !whole {
            wrong.push(format!("{sql}\n  said  {said:?} {:?}\n  found {found:?}", locks.unknown));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_runs_outside_of_a_transaction_asks_for_what_the_table_says() {
    let bench = Bench::bare("locks_alone", "");
    bench.psql(bench.production(), TABLES);
    for sql in [
        "CREATE INDEX CONCURRENTLY made ON t (uid)",
        "VACUUM t",
        "VACUUM (FULL) t",
        "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY",
        "REINDEX TABLE CONCURRENTLY t",
    ] {
        let table = if sql.contains("PARTITION") { "p" } else { "t" };
        let holder =
            bench.session(bench.production(), &format!("BEGIN; LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE;"));
        let asked = std::thread::scope(|scope| {
            let other = scope.spawn(|| bench.psql(bench.production(), sql));
            let asked = waited_for(&bench, table);
            drop(holder);
            other.join().expect("it runs once the lock is free");
            asked
        });
        assert_eq!(Some(asked), said_by(&locks(&statement(sql))).remove(table), "{sql}");
    }
}

/// The mode in which somebody waits for a table.
fn waited_for(bench: &Bench, table: &str) -> String {
    let asked = format!("SELECT mode FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted");
    let since = std::time::Instant::now();
    loop {
        let mode = bench.psql(bench.production(), &asked);
        if !mode.is_empty() {
            return mode;
        }
        assert!(since.elapsed().as_secs() < 60, "nobody waits for {table}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn what_no_text_shows_is_said_to_be_unknown() {
    for (sql, why) in [
        ("DO $$ BEGIN DELETE FROM t; END $$", "what it does is not in its text"),
        ("CALL p()", "what it does is not in its text"),
        ("SELECT shop.refund(1) FROM t", "what `refund` does"),
        ("TRUNCATE t CASCADE", "tables whose foreign keys refer to it, as CASCADE empties them"),
        ("GRANT SELECT ON t TO x", "this kind of statement"),
    ] {
        let locks = locks(&statement(sql));
        assert_eq!(locks.unknown, [why], "{sql}");
    }
    for sql in [
        "SELECT count(*), max(id) FROM t",
        "INSERT INTO t SELECT id FROM u WHERE NOT EXISTS (SELECT FROM t AS o WHERE o.id = u.uid)",
        "SELECT extract(year FROM made), trim(name) FROM t",
    ] {
        assert_eq!(locks(&statement(sql)).unknown, [""; 0], "{sql}");
    }
    // A function inside of one is called all the same.
    let inside = locks(&statement("SELECT 1 FROM t WHERE EXISTS (SELECT refund(id) FROM u)"));
    assert_eq!(inside.unknown, ["what `refund` does"]);
}
