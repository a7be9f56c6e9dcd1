//! Production then and now: what is proved by its watermark, what must be read, and what was changed by somebody else.

mod support;

use engine::event::{Event, Unchanged};
use support::Bench;

const PLAN: &str = r#"engine = 1
plan.name = "look"
[target.production]
url = "env:SHOP_PRODUCTION_URL"
access = "read"
POLICY
[stage.pre]
kind = "fingerprint"
on = "production"
needs = []
no_guard = "looks"
[stage.post]
kind = "fingerprint"
on = "production"
needs = ["pre"]
equals = "pre"
no_guard = "looks"
"#;

const MORE: &str =
    "CREATE TABLE w (id int PRIMARY KEY, v text); INSERT INTO w SELECT n, 'w' FROM generate_series(1, 100) AS n;
    ALTER TABLE w CLUSTER ON w_pkey; CREATE SEQUENCE s; GRANT SELECT ON SEQUENCE s TO engine_reader";

/// What a look at production came to.
#[derive(Debug)]
struct Look {
    verdict: Unchanged,
    differences: Vec<String>,
    by_watermark: u64,
    read: Vec<String>,
    code: i32,
}

/// Looks, lets somebody do `sql`, looks again.
fn look(bench: &Bench, policy: &str, sql: &[&str]) -> Look {
    bench.write("plans/look.toml", &PLAN.replace("POLICY", policy));
    bench.engine(&["apply", "plans/look.toml", "--until", "pre"]).expect(0);
    // As long as a transaction of another test is older, what comes after it counts as recent: then more is read.
    for statement in sql {
        bench.psql(bench.production(), statement);
    }
    let code = bench.engine(&["resume"]).code;
    let seen = bench.journal().events.into_iter().rev().find_map(|event| match event {
        Event::ProductionChecked { verdict, tables, by_watermark, read, .. } => {
            Some(Look { verdict, differences: tables, by_watermark, read, code })
        }
        _ => None,
    });
    seen.expect("a look at production")
}

/// Nothing in flight on the server is older than the rows of these tables.
fn settled(bench: &Bench) {
    let old = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint > pg_current_xact_id()::text::bigint - 2";
    bench.wait_until(bench.production(), old, "t");
}

#[test]
fn what_moves_no_row_is_unchanged_and_is_not_read() {
    let bench = Bench::mini("still", MORE);
    settled(&bench);
    let all = [
        "SELECT 1",
        "VACUUM FULL w",
        "VACUUM FREEZE t",
        "CLUSTER w",
        "REINDEX TABLE w",
        "ANALYZE",
        "BEGIN; UPDATE w SET v = 'x'; ROLLBACK",
        "BEGIN; SELECT FROM w FOR UPDATE; COMMIT",
    ];
    for sql in all {
        let look = look(&bench, "", &[sql]);
        assert_eq!((look.verdict, look.code), (Unchanged::ByWatermark, 0), "{sql}: {look:?}");
        assert_eq!((look.by_watermark, look.read.len()), (5, 0), "{sql}: {look:?}");
    }
}

#[test]
fn what_may_have_changed_is_read_and_nothing_else() {
    let bench = Bench::mini("maybe", MORE);
    settled(&bench);
    let same = [
        "UPDATE w SET v = v WHERE id = 7",
        "WITH gone AS (DELETE FROM w WHERE id = 8 RETURNING *) INSERT INTO w SELECT id + 1000, v FROM gone; UPDATE w SET id = 8 WHERE id = 1008",
    ];
    for sql in same {
        let look = look(&bench, "", &[sql]);
        assert_eq!((look.verdict, look.code), (Unchanged::ByContent, 0), "{sql}: {look:?}");
        assert_eq!(look.by_watermark, 4, "{sql}: {look:?}");
        assert!(look.read.len() == 1 && look.read[0].starts_with("public.w: "), "{sql}: {look:?}");
    }
}

#[test]
fn what_others_changed_is_named_and_nothing_else() {
    let bench = Bench::mini("others", MORE);
    settled(&bench);
    let changes: [(&[&str], &[&str]); 6] = [
        (
            &["INSERT INTO w VALUES (500, 'x')", "DELETE FROM w WHERE id = 500", "UPDATE w SET v = 'y' WHERE id = 3"],
            &["table public.w: content differs"],
        ),
        (&["DELETE FROM w WHERE id = 4; INSERT INTO w VALUES (4, 'z')"], &["table public.w: content differs"]),
        (
            &["UPDATE w SET v = 'a' WHERE id = 1", "INSERT INTO u VALUES (1, 'a')"],
            &["table public.u: rows 0 -> 1", "table public.w: content differs"],
        ),
        (&["SELECT nextval('s')"], &["sequence public.s: next value 1 -> 2"]),
        (&["ALTER TABLE w ADD COLUMN more int DEFAULT 5"], &["column more of public.w", "table public.w"]),
        (&["TRUNCATE w"], &["table public.w: rows 100 -> 0"]),
    ];
    for (sql, named) in changes {
        let look = look(&bench, "", sql);
        assert_eq!((look.verdict, look.code), (Unchanged::ChangedByOthers, 0), "{sql:?}: {look:?}");
        for words in named {
            assert!(look.differences.iter().any(|line| line.starts_with(words)), "{sql:?}: {words}: {look:?}");
        }
        let tables = |line: &&String| line.starts_with("table ");
        let wanted = named.iter().filter(|words| words.starts_with("table ")).count();
        assert_eq!(look.differences.iter().filter(tables).count(), wanted, "{sql:?}: {look:?}");
    }
}

#[test]
fn a_strict_policy_ends_the_run_over_it() {
    let bench = Bench::mini("strictly", MORE);
    let look = look(&bench, "policy = \"strict\"", &["UPDATE w SET v = 'b' WHERE id = 2"]);
    assert_eq!((look.verdict, look.code), (Unchanged::ChangedByOthers, 46), "{look:?}");
}
