//! Fingerprints on a real server: what differs is named, what means the same is the same, and a clone is compared
//! through its masks.

mod support;

use engine::event::Exit;
use engine::fingerprint::{
    Compare, Comparison, Fingerprint, Level, Scope, Verdict, Watermark, differences, hold_still, objects, sequences,
    tables, take, unchanged_since, watermark,
};
use engine::sandbox::Binaries;
use engine::target::{Door, Isolation, Reader, Says, Settings, Tx, Url};
use std::process::Command;
use std::time::Duration;
use support::{Bench, server};

/// A schema of everything that dump and restore tend to print, order or number differently.
const AWKWARD: &str = include_str!("fingerprints/awkward.sql");

const NOTHING: [&str; 0] = [];

/// Runs SQL as superuser, statement by statement.
#[track_caller]
fn psql(database: &str, sql: &str) -> String {
    server().psql(database, sql).unwrap_or_else(|failure| panic!("{sql}: {} {:?}", failure.what, failure.facts))
}

fn empty(name: &str) {
    psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
}

/// Roles of the awkward schema, which no sample has.
fn roles() {
    for role in ["engine_owner", "s_owner", "s_app", "s_b"] {
        let create = format!("CREATE ROLE {role}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;");
        psql("postgres", &format!("DO $$ BEGIN {create} END $$"));
    }
}

/// What a clone does without, as the first words of the statements of a dump.
const NOT_CLONED: [&str; 4] =
    ["CREATE EVENT TRIGGER", "ALTER EVENT TRIGGER", "ALTER DEFAULT PRIVILEGES", "COMMENT ON EXTENSION"];

/// Dumps `from` and loads it into `to`, whose objects all belong to `engine_owner`.
fn cloned(from: &str, to: &str) {
    empty(to);
    psql(to, &format!("ALTER SCHEMA public OWNER TO engine_owner; GRANT CREATE ON DATABASE {to} TO engine_owner"));
    let script = dump(from, &["--no-owner", "--no-publications", "--no-subscriptions"]);
    let mut kept = String::from("SET ROLE engine_owner;\n");
    let mut inside = false;
    for line in script.lines() {
        inside = inside || NOT_CLONED.iter().any(|start| line.starts_with(start));
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
        inside = inside && !line.ends_with(';');
    }
    psql(to, &kept);
}

fn dump(database: &str, options: &[&str]) -> String {
    let program = Binaries::find().expect("the programs of PostgreSQL").path("pg_dump");
    let run = Command::new(program).args(options).arg(server().url("postgres", database)).output().expect("pg_dump");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("UTF-8")
}

/// A database made of another one; nobody may be connected to that.
fn copied(from: &str, to: &str) {
    psql("postgres", &format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{from}'"));
    psql("postgres", &format!("CREATE DATABASE {to} TEMPLATE {from}"));
}

async fn begin(database: &str) -> Tx {
    let settings = Settings {
        search_path: "public".into(),
        statement_timeout: Duration::from_mins(1),
        lock_timeout: Duration::from_secs(5),
        read_only: true,
    };
    let url = Url::literal("test", server().url("postgres", database));
    let reader = Reader::new(Door::new("test", &url, None, &settings).expect("a door"));
    reader.begin("test", Isolation::Snapshot).await.expect("a transaction")
}

async fn print(database: &str) -> Fingerprint {
    let tx = begin(database).await;
    let taken = take(&tx, &Scope::all(Level::Content)).await.expect("a fingerprint");
    let path: String = tx.query_one_as(Says::Plan, "SHOW search_path", &[]).await.expect("the path").get(0);
    assert_eq!(path, "public, pg_temp", "what the plan says is looked up in its path");
    let record = tx.finish().await.expect("still itself");
    assert!(record.xid.is_none() && record.read_only);
    taken
}

fn lines(found: &Comparison) -> Vec<String> {
    let line = |d: &engine::fingerprint::Difference| {
        format!("{}{}: {}", if d.physical { "(physical) " } else { "" }, d.what, d.detail)
    };
    found.differences.iter().map(line).collect()
}

/// Differences of a database then and now; the digest must agree on whether there are any.
fn exact(was: &Fingerprint, is: &Fingerprint) -> Vec<String> {
    let found = differences(was, is, &Compare::Exact);
    assert!(found.masks.is_empty());
    assert_eq!(found.equal(), was.digest == is.digest, "{:?}", lines(&found));
    lines(&found)
}

fn through_masks(owners: &[&str], left_out: &[&str]) -> Compare {
    Compare::Clone {
        owner_map: owners.iter().map(|owner| ((*owner).to_owned(), "engine_owner".to_owned())).collect(),
        left_out: left_out.iter().map(|entry| (*entry).to_owned()).collect(),
    }
}

#[tokio::test]
async fn production_and_clone_agree_through_masks_only() {
    let bench = Bench::new("masks");
    let (production, clone) = (bench.production(), bench.clone_name());
    psql(
        production,
        &format!("ALTER DATABASE {production} SET work_mem = '5MB'; COMMENT ON DATABASE {production} IS 'x'"),
    );
    cloned(production, clone);
    let (one, other) = (print(production).await, print(clone).await);
    assert!(one.rows() > 2_000 && one.objects.len() > 100, "the sample is there");
    let masks = through_masks(&["directus"], &[]);
    let found = differences(&one, &other, &masks);
    assert_eq!(lines(&found), NOTHING);
    assert!(
        found.masks.iter().any(|mask| mask.starts_with("owners are compared through the map")),
        "{:?}",
        found.masks
    );
    assert!(!differences(&one, &other, &Compare::Exact).equal());

    psql(clone, "UPDATE gov_seams SET title = title || '.' WHERE seam_code = (SELECT min(seam_code) FROM gov_seams)");
    psql(clone, "GRANT SELECT ON gov_seams TO gov_tenant");
    let found = lines(&differences(&one, &print(clone).await, &masks));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("grants on table public.gov_seams: "), "{found:#?}");
    assert!(found[1].starts_with("table public.gov_seams: content differs"), "{found:#?}");
}

#[tokio::test]
async fn a_template_copy_is_exact() {
    let bench = Bench::new("template");
    let production = bench.production();
    psql("postgres", &format!("COMMENT ON DATABASE {production} IS 'x'"));
    let was = print(production).await;
    copied(production, bench.clone_name());
    let is = print(bench.clone_name()).await;
    assert_eq!(lines(&differences(&was, &is, &Compare::TemplateCopy)), NOTHING);
    let found = lines(&differences(&was, &is, &Compare::Exact));
    assert!(found[0].starts_with("database: ") && found[0].ends_with(", another one"), "{found:#?}");
}

#[tokio::test]
async fn an_awkward_schema_agrees_through_masks() {
    roles();
    empty("fp_awkward");
    psql("fp_awkward", AWKWARD);
    let whole = print("fp_awkward").await;
    psql("fp_awkward", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'st_lower'::regclass");
    let production = print("fp_awkward").await;
    assert_eq!(exact(&whole, &production), ["index public.st_lower: new `invalid`"]);

    copied("fp_awkward", "fp_awkward_copy");
    let copy = print("fp_awkward_copy").await;
    assert_eq!(lines(&differences(&production, &copy, &Compare::TemplateCopy)), NOTHING);

    cloned("fp_awkward", "fp_awkward_clone");
    let left_out = [
        "publication pub",
        "publication pub_all",
        "event trigger et2",
        "default privileges of postgres in schema public on tables",
    ];
    let masks = through_masks(&["s_owner", "postgres"], &left_out);
    let mut found = lines(&differences(&production, &print("fp_awkward_clone").await, &masks));
    // A dump has no word for a foreign key's own triggers switched off, and orders columns of partitions anew.
    found.retain(|line| !line.starts_with("internal triggers of") && !line.starts_with("(physical)"));
    assert_eq!(found, NOTHING);
}

/// A table of each sort, thirty rows in `t`.
const SMALL: &str = r#"
CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n numeric, s text DEFAULT 'a',
                g text GENERATED ALWAYS AS (s || 'x') STORED);
CREATE INDEX t_s ON t (s);
INSERT INTO t (n, s) SELECT i, i::text FROM generate_series(1, 30) AS i;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
CREATE TABLE empty ();
INSERT INTO empty DEFAULT VALUES;
CREATE TABLE p (k int, v text) PARTITION BY LIST (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE p2 PARTITION OF p DEFAULT;
INSERT INTO p VALUES (1, 'x'), (2, 'y');
CREATE TABLE "Odd.""Name" ("a	b" int);
INSERT INTO "Odd.""Name" VALUES (1);
"#;

/// What is done, one after the other, and the lines it must be told in; where there are none, nothing is told.
const STEPS: [(&str, &[&str]); 31] = [
    ("VACUUM FULL t", &[]),
    ("VACUUM (FREEZE, ANALYZE) t", &[]),
    ("REINDEX TABLE t", &[]),
    ("UPDATE t SET n = n", &[]),
    ("BEGIN; DELETE FROM t; ROLLBACK", &[]),
    ("CLUSTER t USING t_s", &["(physical) clustering of public.t: new: `t_s`"]),
    ("CLUSTER t", &[]),
    ("UPDATE t SET n = 1.0 WHERE id = 1", &["table public.t: content differs: 30 rows, "]),
    ("UPDATE t SET n = 1.00 WHERE id = 1", &["table public.t: content differs: 30 rows, 951 bytes, another sum"]),
    ("UPDATE t SET s = NULL WHERE id = 2", &["table public.t: content differs: 30 rows, bytes 951 -> 950"]),
    ("UPDATE t SET s = '' WHERE id = 2", &["table public.t: content differs: 30 rows, 950 bytes, another sum"]),
    ("INSERT INTO t OVERRIDING SYSTEM VALUE VALUES (31, 1, 'x')", &["table public.t: rows 30 -> 31"]),
    ("SELECT nextval('t_id_seq')", &["sequence public.t_id_seq: next value 31 -> 32"]),
    ("SELECT setval('t_id_seq', 32, false)", &[]),
    ("ALTER TABLE t ALTER s SET DEFAULT 'b'", &["column s of public.t: `default 'a'::text` -> `default 'b'::text`"]),
    ("ALTER TABLE t DISABLE TRIGGER tr", &["trigger tr on public.t: `enabled` -> `disabled`"]),
    ("DROP TRIGGER tr ON t", &["trigger tr on public.t: gone: `CREATE TRIGGER tr BEFORE INSERT ON public.t "]),
    ("DROP INDEX t_s", &["(physical) clustering of public.t: gone: `t_s`", "index public.t_s: gone: "]),
    ("GRANT SELECT ON t TO s_app", &["grants on table public.t: new `s_app=SELECT/postgres`"]),
    (
        "ALTER TABLE empty OWNER TO s_owner",
        &["grants on table public.empty: gone `postgres=", "owner of table public.empty: `postgres` -> `s_owner`"],
    ),
    ("COMMENT ON TABLE t IS 'hm'", &["comment on table public.t: new: `hm`"]),
    (
        "ALTER TABLE p RENAME v TO w",
        &[
            "column v of public.p: gone",
            "column v of public.p1: gone",
            "column v of public.p2: gone",
            "column w of public.p: new",
            "column w of public.p1: new",
            "column w of public.p2: new",
            "(physical) column order of public.p: ",
            "(physical) column order of public.p1: ",
            "(physical) column order of public.p2: ",
        ],
    ),
    ("UPDATE p SET w = 'z' WHERE k = 2", &["table public.p2: content differs: 1 rows, 13 bytes, another sum"]),
    ("DROP TABLE \"Odd.\"\"Name\"", &["table public.\"Odd.\"\"Name\": gone: `access method heap`"]),
    ("CREATE VIEW v AS SELECT 1 AS one", &["view public.v: new: `SELECT 1 AS one;`"]),
    ("CREATE OR REPLACE VIEW v AS SELECT 2 AS one", &["view public.v: `SELECT 1 AS one;` -> `SELECT 2 AS one;`"]),
    ("ALTER FUNCTION f() SET search_path = public", &["function public.f(): new `SET search_path TO 'public'`"]),
    ("ALTER DATABASE fp_named SET work_mem = '5MB'", &["settings of the database: new: `work_mem=5MB`"]),
    ("SELECT lo_from_bytea(4711, 'abc')", &["large objects: 0 -> 1 of them"]),
    ("SELECT lo_put(4711, 0, 'x')", &["large objects: content differs: 1 of them"]),
    ("CREATE EXTENSION IF NOT EXISTS plpgsql", &[]),
];

#[tokio::test]
async fn each_kind_of_change_is_named() {
    roles();
    empty("fp_named");
    psql("fp_named", SMALL);
    let mut was = print("fp_named").await;
    let names: Vec<&str> = was.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["public.\"Odd.\"\"Name\"", "public.empty", "public.p1", "public.p2", "public.t"]);
    assert_eq!((was.tables[1].rows, was.tables[2].root.as_deref()), (1, Some("public.p")));
    assert_eq!(was.tables[4].left_out, ["g"]);
    for (sql, wanted) in STEPS {
        psql("fp_named", sql);
        let is = print("fp_named").await;
        let found = exact(&was, &is);
        assert_eq!(found.len(), wanted.len(), "{sql}: {found:#?}");
        for line in wanted {
            assert!(found.iter().any(|found| found.starts_with(line)), "{sql}: {line} is not in {found:#?}");
        }
        was = is;
    }
}

/// Types whose binary form holds oids, and those that only look so.
const TYPED: &str = r#"
CREATE TYPE e AS ENUM ('a', 'b');
CREATE DOMAIN d AS e;
CREATE TYPE c AS (x e, y int);
CREATE TYPE deep AS (c c[]);
CREATE DOMAIN rd AS regclass;
CREATE TYPE plain AS (x int, y text);
CREATE TYPE er AS RANGE (subtype = numeric);
CREATE DOMAIN pd AS int;
CREATE TABLE t (e e, ea e[], da d[], c c, ca c[], deep deep, rc regclass, rca regtype[], rd rd, plain plain, er er,
                era er[], em er_multirange, ia int[], ta text[], p point, iv interval, j json, b bytea, acl aclitem,
                x xid, o oidvector, pda pd[], ts tsvector, m money, nm name);
INSERT INTO t VALUES ('a', '{a,b}', '{b}', '(a,1)', '{"(b,2)"}', ROW(ARRAY[ROW('a', 1)::c])::deep, 'pg_class',
                      '{int4}', 't', '(1,x)', '[1,2)', '{"[1.0,2)"}', '{[1,2)}', '{1,NULL}', '{x}', '(1,2)', '1 day',
                      '{"a": 1}', '\x00', 'postgres=r/postgres', '5', '1 2', '{7}', 'a:1', '12.50', 'n');
"#;

#[tokio::test]
async fn rows_agree_where_oids_do_not() {
    roles();
    empty("fp_types");
    psql("fp_types", TYPED);
    let was = print("fp_types").await;
    empty("fp_types_clone");
    // So that the same types get other oids in the clone.
    psql("fp_types_clone", "CREATE TYPE off1 AS ENUM ('q'); CREATE TYPE off2 AS ENUM ('r')");
    psql("fp_types_clone", &dump("fp_types", &[]));
    psql("fp_types_clone", "DROP TYPE off1, off2");
    let oids = "SELECT 'e'::regtype::oid";
    assert_ne!(psql("fp_types", oids), psql("fp_types_clone", oids));
    assert_eq!(lines(&differences(&was, &print("fp_types_clone").await, &through_masks(&[], &[]))), NOTHING);
}

#[tokio::test]
async fn a_scope_is_kept_and_a_misspelt_one_is_refused() {
    empty("fp_scope");
    psql(
        "fp_scope",
        "CREATE TABLE p (k int, v text, at timestamptz DEFAULT now()) PARTITION BY LIST (k);
         CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p DEFAULT;
         INSERT INTO p VALUES (1, 'x'), (2, 'y');
         CREATE TABLE q (i int); CREATE UNLOGGED TABLE u (i int); CREATE SEQUENCE s CYCLE MAXVALUE 3",
    );
    let tx = begin("fp_scope").await;
    let (named, ignored) = (["public.p".into(), "public.nothing".into()], [("public.p".into(), "at".into())]);
    let prints = tables(&tx, &named, &ignored).await.expect("tables");
    assert_eq!(prints.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["public.p1", "public.p2"]);
    assert_eq!(prints[0].left_out, ["at"]);

    let state = sequences(&tx).await.expect("sequences").remove(0);
    assert_eq!((state.name.as_str(), state.last_value, state.is_called, state.next), ("public.s", 1, false, Some(1)));
    assert!(!objects(&tx).await.expect("objects").is_empty());

    let mut scope = Scope { exclude: vec!["public.p".into()], ..Scope::all(Level::Counts) };
    let counted = take(&tx, &scope).await.expect("counts");
    assert_eq!(counted.excluded, ["public.p1: not in the scope", "public.p2: not in the scope"]);
    let read: Vec<(&str, bool)> = counted.tables.iter().map(|t| (t.name.as_str(), t.sum.is_none())).collect();
    assert_eq!(read, [("public.q", true), ("public.u", true)]);

    scope.exclude = vec!["public.typo".into()];
    let refused = take(&tx, &scope).await.expect_err("a name that is not there");
    assert_eq!(refused.what, "the scope of a fingerprint names the table `public.typo`, which is not there");
}

async fn marked(database: &str) -> Watermark {
    let tx = begin(database).await;
    let mark = watermark(&tx).await.expect("a watermark");
    tx.finish().await.expect("still itself");
    mark
}

/// `public.t1 Unchanged`, a line a table.
async fn told(database: &str, then: &Watermark) -> Vec<(String, Verdict)> {
    let tx = begin(database).await;
    let told = unchanged_since(&tx, then).await.expect("verdicts");
    tx.finish().await.expect("still itself");
    told.into_iter().map(|verdict| (verdict.name, verdict.verdict)).collect()
}

#[tokio::test]
async fn a_watermark_tells_what_cannot_have_changed() {
    empty("fp_water");
    psql("fp_water", "CREATE TYPE e AS ENUM ('a', 'b')");
    for t in 1..=9 {
        let rows = "SELECT i, 'a', 'b', 'a' FROM generate_series(1, 100) AS i";
        psql("fp_water", &format!("CREATE TABLE t{t} (i int, a text, b text, e e); INSERT INTO t{t} {rows}"));
    }
    let then = marked("fp_water").await;
    assert!(told("fp_water", &then).await.iter().all(|(_, verdict)| *verdict == Verdict::Unchanged));
    for sql in [
        "VACUUM (FREEZE) t1",
        "VACUUM FULL t1",
        "BEGIN; UPDATE t1 SET i = 0; ROLLBACK",
        "BEGIN; SELECT * FROM t1 FOR UPDATE; COMMIT",
        "UPDATE t2 SET i = 4 WHERE i = 3",
        "DELETE FROM t3 WHERE i = 3",
        "BEGIN; DELETE FROM t4 WHERE i = 3; INSERT INTO t4 VALUES (3, 'a', 'b', 'b'); COMMIT",
        "ALTER TABLE t5 ADD c int DEFAULT 5",
        "ALTER TABLE t6 RENAME a TO z; ALTER TABLE t6 RENAME b TO a; ALTER TABLE t6 RENAME z TO b",
        "ALTER TABLE t7 RENAME TO x; ALTER TABLE t8 RENAME TO t7; ALTER TABLE x RENAME TO t8",
        "DROP TABLE t9; CREATE TABLE t10 (i int)",
    ] {
        psql("fp_water", sql);
    }
    let said = told("fp_water", &then).await;
    let of = |table: &str| {
        let found = said.iter().find(|(name, _)| *name == format!("public.{table}"));
        found.map_or_else(|| panic!("{table} is not in {said:#?}"), |(_, verdict)| verdict.clone())
    };
    assert_eq!(of("t1"), Verdict::Unchanged, "{said:#?}");
    for table in ["t2", "t3", "t4", "t5", "t6", "t7", "t8"] {
        assert!(matches!(of(table), Verdict::Unknown(_)), "{table}: {said:#?}");
    }
    assert_eq!((of("t9"), of("t10")), (Verdict::Gone, Verdict::New));

    psql("fp_water", "ALTER TYPE e RENAME VALUE 'b' TO 'c'");
    let said = told("fp_water", &then).await;
    let relabelled = Verdict::Unknown("its columns or enum labels changed".into());
    assert!(said.contains(&("public.t1".to_owned(), relabelled)), "{said:#?}");
}

#[tokio::test]
async fn a_watermark_says_nothing_about_another_database() {
    empty("fp_water_one");
    psql("fp_water_one", "CREATE TABLE t (i int)");
    let then = marked("fp_water_one").await;
    copied("fp_water_one", "fp_water_two");
    let said = told("fp_water_two", &then).await;
    assert_eq!(said, [("public.t".to_owned(), Verdict::Unknown("it is another database".into()))]);
}

#[tokio::test]
async fn a_table_emptied_after_the_snapshot_is_not_taken_for_empty() {
    empty("still");
    psql("still", "CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 10) AS g; CREATE TABLE \"O'dd\" (a int)");
    let tx = begin("still").await;
    hold_still(&tx).await.expect("nothing moved");
    // Held: a TRUNCATE has to wait, and gives up.
    let truncate = server().psql("still", "SET lock_timeout = '100ms'; TRUNCATE t").expect_err("it is held");
    assert_eq!(truncate.sqlstate.as_deref(), Some("55P03"));
    tx.finish().await.expect("read only");

    for rewrite in ["TRUNCATE t", "ALTER TABLE t ALTER COLUMN a TYPE bigint", "DROP TABLE t"] {
        let tx = begin("still").await;
        psql("still", rewrite);
        let failure = hold_still(&tx).await.expect_err(rewrite);
        assert_eq!(failure.exit, Exit::Temporary, "{rewrite}");
        assert!(failure.facts.iter().any(|fact| fact.contains("public.t")), "{rewrite}: {:?}", failure.facts);
    }
}
