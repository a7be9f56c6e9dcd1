//! `engine fingerprint` on a real server: what it prints and keeps, which differences it names, which rows, and how it
//! refuses bad input.

mod support;

use engine::fingerprint::Fingerprint;
use serde_json::Value;
use support::{Bench, Outcome};

const TABLES: &str = "
CREATE TABLE public.item (id int PRIMARY KEY, v text, w numeric);
INSERT INTO public.item SELECT n, 'v' || n, n FROM generate_series(1, 3000) AS n;
CREATE TABLE public.loose (v text);
INSERT INTO public.loose SELECT 'same' FROM generate_series(1, 5);
CREATE TABLE public.\"Odd one\" (b text NOT NULL, a int NOT NULL, UNIQUE (b, a));
INSERT INTO public.\"Odd one\" VALUES ('x', 1), ('x', 2);
GRANT SELECT ON ALL TABLES IN SCHEMA public TO engine_reader;
";

/// What is changed in the second database, and what is said of it.
const CHANGES: &str = "
UPDATE public.item SET v = 'other' WHERE id = 7;
UPDATE public.item SET w = 8.0 WHERE id = 8;
DELETE FROM public.item WHERE id = 9;
INSERT INTO public.item VALUES (5000, NULL, 1);
INSERT INTO public.loose VALUES ('same'), ('new');
UPDATE public.\"Odd one\" SET a = 3 WHERE a = 2;
ALTER TABLE public.item ADD CONSTRAINT positive CHECK (w > 0);
";

/// A bench whose production has the tables above; its clone's name is a copy of it.
fn bench(name: &str) -> Bench {
    let mut bench = Bench::shop(name);
    bench.psql(bench.production(), TABLES);
    bench.set("A", &bench.url("engine_reader", bench.production()));
    bench.set("B", &bench.url("postgres", bench.clone_name()));
    bench
}

/// Makes the copy, which nobody may be connected to while it is made.
fn copy(bench: &Bench) {
    let end = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = ";
    bench.psql("postgres", &format!("{end} '{}'", bench.production()));
    bench.psql("postgres", &format!("CREATE DATABASE {} TEMPLATE {}", bench.clone_name(), bench.production()));
    // A copy has no grants of its own, and this database is not a clone of the engine.
    bench.psql("postgres", &format!("ALTER DATABASE {} OWNER TO shop_owner", bench.clone_name()));
}

fn fingerprint(bench: &Bench, more: &[&str]) -> Outcome {
    bench.engine(&[&["fingerprint"], more].concat())
}

fn lines(outcome: &Outcome, kind: &str) -> Vec<Value> {
    let all = outcome.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    all.filter(|line| line["type"] == kind).collect()
}

#[test]
fn it_is_shown_kept_and_equal_to_itself() {
    let bench = bench("kept");
    let schema = bench.production();
    fingerprint(&bench, &["env:A", "-o", "a.json"]).expect(0).says(&[
        &format!("{schema} at "),
        "as engine_reader, which can only read",
        "level      content, one snapshot",
        "public.item  3000 rows",
        "kept in a.json",
    ]);
    let kept: Fingerprint = serde_json::from_str(&bench.read("a.json")).expect("a fingerprint");
    let item = kept.tables.iter().find(|table| table.name == "public.item").expect("the table");
    assert_eq!((item.rows, item.sum.as_ref().map(String::len)), (3000, Some(64)));

    let same = fingerprint(&bench, &["env:A", "--against", "a.json", "--json"]).expect(0);
    assert_eq!(lines(&same, "fingerprint")[0]["digest"], kept.digest.as_str());
    assert_eq!(lines(&same, "compared")[0]["equal"], true);
    // What was not read stays so: the file says what it covers.
    fingerprint(&bench, &["env:A", "--exclude", "loose", "-o", "b.json"]).expect(0).says(&["public.loose: not in the"]);
    fingerprint(&bench, &["env:A", "--against", "b.json"]).expect(0).says(&["equal at level content"]);
    fingerprint(&bench, &["env:A", "--include", "item", "--against", "b.json"])
        .expect(20)
        .says(&["what was looked at"]);
    for level in ["schema", "counts"] {
        let said = format!("equal at level {level}");
        fingerprint(&bench, &["env:A", "--against", "a.json", "--level", level]).expect(0).says(&[&said]);
    }
}

#[test]
fn a_role_that_could_write_is_named_and_writes_nothing() {
    let bench = bench("reads");
    let url = bench.url("postgres", bench.production());
    let written = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables";
    // Whoever loaded it tells the statistics a little later.
    bench.wait_until(bench.production(), "SELECT sum(n_tup_ins) > 3000 FROM pg_stat_user_tables", "t");
    let before = bench.psql(bench.production(), written);
    let said = fingerprint(&bench, &[&url]).expect(0);
    assert!(said.stdout.contains("which is superuser; this transaction was READ ONLY and wrote nothing"));
    assert!(!said.stderr.contains("warning"), "no password, no warning: {}", said.stderr);
    assert_eq!(bench.psql(bench.production(), written), before);
}

#[test]
fn differences_are_named_most_telling_first() {
    let bench = bench("named");
    fingerprint(&bench, &["env:A", "-o", "a.json"]).expect(0);
    bench.psql(bench.production(), CHANGES);
    bench.psql(bench.production(), "COMMENT ON TABLE public.item IS 'x'");
    let found = fingerprint(&bench, &["env:A", "--against", "a.json"]).expect(20).says(&[
        "table public.item: content differs: 3000 rows",
        "table public.loose: rows 5 -> 7",
        "constraint positive on public.item: new: `CHECK ((w > (0)::numeric))`",
        "comment on table public.item: new: `x`",
        "5 differences",
    ]);
    let at = |text: &str| found.stdout.find(text).expect("it is there");
    assert!(at("public.item: content") < at("constraint positive"));
    assert!(at("constraint positive") < at("comment on table"));
    let counted = fingerprint(&bench, &["env:A", "--against", "a.json", "--level", "counts", "--json"]).expect(20);
    let told = lines(&counted, "difference");
    let what: Vec<&str> = told.iter().filter_map(|line| line["what"].as_str()).collect();
    assert_eq!(what[0], "table public.loose");
    assert!(!what.contains(&"table public.item"), "the number of its rows is the same: {what:?}");
    let schema = fingerprint(&bench, &["env:A", "--against", "a.json", "--level", "schema", "--json"]).expect(20);
    assert_eq!(lines(&schema, "difference").len(), 2);
}

#[test]
fn rows_that_differ_are_listed_by_key() {
    let bench = bench("rows");
    copy(&bench);
    fingerprint(&bench, &["env:B", "--against", "env:A", "--rows", "5"]).expect(20).says(&["grants on the database: "]);
    bench.psql(bench.clone_name(), CHANGES);
    let found = fingerprint(&bench, &["env:B", "--against", "env:A", "--rows", "10"]).expect(20).says(&[
        "rows of public.item: 4, by id\n",
        "changed     id=7  (v: v7 -> other)",
        "changed     id=8  (w: 8 -> 8.0)",
        "only there  id=9  (v=v9, w=9)",
        "only here   id=5000  (v=NULL, w=1)",
        "rows of public.loose: 2, no key on both sides: by content",
        "times       v=new  (0 there, 1 here)",
        "times       v=same  (5 there, 6 here)",
        "rows of public.\"Odd one\": 2, by a, b\n",
        "only here   a=3 b=x",
        "only there  a=2 b=x",
    ]);
    assert!(!found.stdout.contains("id=10 "), "a row that is the same was listed");
    // The other way round, both at the level that only counts, and no more than was asked for.
    let few = fingerprint(&bench, &["env:A", "--against", "env:B", "--rows", "2", "--jobs", "1", "--json"]).expect(20);
    let of_item = lines(&few, "row").into_iter().filter(|row| row["table"] == "public.item");
    assert_eq!(of_item.count(), 2);
    let silent = fingerprint(&bench, &["env:A", "--against", "env:B"]).expect(20);
    assert!(!silent.stdout.contains("id=7"), "rows are listed only on demand");
}

#[test]
fn a_clone_of_the_engine_is_compared_through_its_masks() {
    let bench = Bench::mini("masks", "");
    bench.mini_plan("");
    bench.mini_apply(&[]).expect(0);
    let mut bench = bench;
    bench.set("A", &bench.url("engine_reader", bench.production()));
    bench.set("B", &bench.url("postgres", bench.clone_name()));
    let of_run = format!("as the journal of run {} says", bench.run_id());
    fingerprint(&bench, &["env:B", "--against", "env:A", "--clone"])
        .expect(0)
        .says(&[&of_run, "equal at level content"]);
    let stored = bench.of_run("fingerprints/clone.source.json");
    fingerprint(&bench, &["env:B", "--against", &stored, "--clone"]).expect(0).says(&["owners are compared through"]);
    fingerprint(&bench, &["env:B", "--against", "env:A"]).expect(20).says(&["owner of table public.t: `shop_owner`"]);
    // Without the journal: everything belongs to one role.
    std::fs::rename(bench.home().join(".engine"), bench.home().join("elsewhere")).expect("a folder");
    let derived = fingerprint(&bench, &["env:B", "--against", "env:A", "--clone"]).expect(0);
    assert!(derived.stdout.contains("every owner is taken for `engine_owner`"), "{}", derived.stdout);
    let wrong = ["env:B", "--against", "env:A", "--clone", "--owner", "shop_owner=shop_reader"];
    fingerprint(&bench, &wrong).expect(20).says(&["owner of table public.t: `shop_reader` -> `engine_owner`"]);
    bench.psql(bench.clone_name(), "ALTER TABLE public.u OWNER TO shop_owner; DELETE FROM public.t WHERE id = 1");
    let two = fingerprint(&bench, &["env:B", "--against", "env:A", "--clone"]).expect(2);
    assert!(two.stderr.contains("--owner PRODUCTION_ROLE=CLONE_ROLE"), "{}", two.stderr);
    let given = ["env:B", "--against", "env:A", "--clone", "--owner", "shop_owner=engine_owner"];
    fingerprint(&bench, &given).expect(20).says(&["table public.t: rows 5 -> 4"]);
}

#[test]
fn bad_input_is_refused_with_what_to_type() {
    let bench = bench("bad");
    let secret = "canary-in-a-url";
    let password = bench.url("engine_reader", bench.production()).replace('@', &format!(":{secret}@"));
    let warned = fingerprint(&bench, &[&password, "--level", "schema"]).expect(0);
    assert!(warned.stderr.contains("warning: the password in `URL` can be seen"), "{}", warned.stderr);
    assert!(!warned.all().contains(secret), "{}", warned.all());
    bench.write("x.json", "{\"version\": \"fp1\",\n \"level\": 3}");
    fingerprint(&bench, &["env:A", "--level", "counts", "-o", "counts.json"]).expect(0);
    fingerprint(&bench, &["env:A", "-o", "a.json"]).expect(0);
    let edited = bench.read("a.json").replacen("\"digest\": \"", "\"digest\": \"0", 1);
    bench.write("edited.json", &edited);
    let cases: [(&[&str], i32, &[&str]); 17] = [
        (&[], 2, &["Usage: engine fingerprint"]),
        (&["production"], 2, &["`URL` names no database", "engine fingerprint env:DATABASE_URL"]),
        (&["postgre://me:canary-in-a-url@h/d"], 2, &["has a scheme that is no database's"]),
        (&["x.json"], 2, &["`URL` is a file", "--against x.json"]),
        (&["env:NOT_SET"], 1, &["the environment variable `NOT_SET` is not set", "export NOT_SET="]),
        (&["env:A", "--against", "none.json"], 1, &["none.json cannot be read", "-o FILE"]),
        (&["env:A", "--against", "x.json"], 1, &["x.json:2:11 is no stored fingerprint"]),
        (&["env:A", "--against", "edited.json"], 62, &["edited.json was edited"]),
        (&["env:A", "--against", "counts.json", "--level", "content"], 2, &["--level counts"]),
        (&["env:A", "--against", "counts.json", "--rows", "3"], 2, &["holds no rows to list"]),
        (&["env:A", "--rows", "3"], 2, &["--against env:OTHER_DATABASE_URL"]),
        (&["env:A", "--clone"], 2, &["`--clone` needs something to compare with"]),
        (&["env:A", "--against", "a.json", "--owner", "a=b"], 2, &["add --clone"]),
        (&["env:A", "--include", "itme"], 2, &["there is no table `public.itme`", "did you mean", "public.item"]),
        (&["env:A", "--level", "schema", "--exclude", "item"], 2, &["no rows are read"]),
        (&["env:A", "-o", "no/such/folder/x.json"], 1, &["there is no such folder", "nothing was read"]),
        (&["host=127.0.0.1 port=1 user=x dbname=x"], 75, &["cannot reach `URL`"]),
    ];
    for (arguments, code, said) in cases {
        let outcome = fingerprint(&bench, arguments).expect(code).says(said);
        assert!(!outcome.all().contains(secret), "{}", outcome.all());
    }
}

#[test]
fn a_table_that_may_not_be_read_says_how() {
    let bench = bench("unread");
    bench.psql(bench.production(), "CREATE TABLE public.hidden (a int)");
    let refused = fingerprint(&bench, &["env:A"]).expect(1).says(&[
        "permission denied for table hidden",
        "reading public.hidden",
        "GRANT SELECT ON ALL TABLES",
        "--exclude",
    ]);
    assert!(!refused.all().contains("engine doctor"), "there is no plan: {}", refused.all());
    fingerprint(&bench, &["env:A", "--exclude", "hidden"]).expect(0).says(&["public.hidden: not in the scope"]);
    // The reader of the samples passes by policies; this one does not, and must not see half a table.
    let role = format!(
        "CREATE ROLE narrow LOGIN IN ROLE pg_read_all_data; GRANT CONNECT ON DATABASE {} TO narrow",
        bench.production()
    );
    bench.psql("postgres", &role);
    bench.psql(bench.production(), "ALTER TABLE public.hidden ENABLE ROW LEVEL SECURITY");
    let url = bench.url("narrow", bench.production());
    fingerprint(&bench, &[&url]).expect(1).says(&["row-level security", "BYPASSRLS"]);
}

#[test]
fn a_table_that_is_truncated_meanwhile_is_not_taken_for_empty() {
    let bench = bench("moved");
    // Truncates, and commits as soon as somebody with an older snapshot waits for it (or for its TOAST table).
    let truncate = "BEGIN; TRUNCATE public.loose;
        DO $$ BEGIN
            FOR i IN 1 .. 6000 LOOP
                EXIT WHEN EXISTS (SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
                                  WHERE d.datname = current_database() AND NOT l.granted);
                PERFORM pg_sleep(0.01);
            END LOOP;
        END $$;
        COMMIT";
    let outcome = std::thread::scope(|scope| {
        let database = bench.production();
        scope.spawn(|| bench.psql(database, truncate));
        let held = "SELECT count(*) > 0 FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database \
                    WHERE l.mode = 'AccessExclusiveLock' AND l.granted AND d.datname = ";
        bench.wait_until("postgres", &format!("{held}'{database}'"), "t");
        fingerprint(&bench, &["env:A", "-o", "a.json"])
    });
    outcome.expect(75).says(&["truncated or rewritten while they were read", "public.loose", "the same command again"]);
    assert!(!bench.home().join("a.json").exists(), "a fingerprint of half a database was kept");
    fingerprint(&bench, &["env:A", "--json"]).expect(0);

    let _held = bench.session(bench.production(), "BEGIN; LOCK TABLE public.loose;");
    fingerprint(&bench, &["env:A"]).expect(75).says(&["lock timeout", "it was only read"]);
    fingerprint(&bench, &["env:A", "--exclude", "loose", "--level", "counts"]).expect(0);
}
