//! Richer samples, in the spirit of those that PostgreSQL is taught with: the clone of each is its source by content and
//! schema fingerprint, and `pg_dump -s` of both differ in nothing but what the clone stage lists as left out.

#[path = "../support/mod.rs"]
mod support;

use engine::event::Event;
use engine::fingerprint::{Compare, Fingerprint, Level, Scope, differences, take};
use engine::target::{Door, Isolation, Reader, Settings, Url};
use std::time::Duration;
use support::{Bench, METHODS};

/// Reads whatever is granted to it, and bypasses row level security; the large objects of `trade` are.
const READER: &str = "
    DO $$ BEGIN
        CREATE ROLE sample_reader LOGIN BYPASSRLS;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$";

const GRANTS: &str = r"
    SELECT format('GRANT USAGE ON SCHEMA %I TO sample_reader; GRANT SELECT ON ALL TABLES IN SCHEMA %1$I TO sample_reader; GRANT SELECT ON ALL SEQUENCES IN SCHEMA %1$I TO sample_reader', nspname)
    FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' \gexec
    SELECT format('GRANT CONNECT ON DATABASE %I TO sample_reader', current_database()) \gexec";

/// A production made of `sql`, as its owner would.
fn production(name: &str, sql: &str) -> Bench {
    let mut bench = Bench::bare(name, "");
    bench.psql("postgres", READER);
    bench
        .psql(bench.production(), &format!("GRANT CREATE ON SCHEMA public TO shop_owner; SET ROLE shop_owner;\n{sql}"));
    bench.psql(bench.production(), GRANTS);
    bench.set("SHOP_PRODUCTION_URL", &bench.url("sample_reader", bench.production()));
    bench
}

/// The fingerprint of a database as its superuser takes it, apart from any clone stage.
async fn print(bench: &Bench, database: &str) -> Fingerprint {
    let settings = Settings {
        search_path: String::new(),
        statement_timeout: Duration::from_secs(60),
        lock_timeout: Duration::from_secs(5),
        read_only: true,
    };
    let url = Url::literal("test", bench.url("postgres", database));
    let reader = Reader::new(Door::new("test", &url, None, &settings).expect("a door"));
    let tx = reader.begin("test", Isolation::Snapshot).await.expect("a transaction");
    let taken = take(&tx, &Scope::all(Level::Content)).await.expect("a fingerprint");
    tx.finish().await.expect("still itself");
    taken
}

/// Clones the sample and compares; `left_out` is what must be listed, and how `pg_dump` calls it.
async fn cloned(name: &str, sql: &str, left_out: &[(&str, &str)]) {
    for method in METHODS {
        let bench = production(name, sql);
        bench.make_clone(method, "").expect(0);

        let journal = bench.journal();
        let listed = journal.events.iter().find_map(|event| match event {
            Event::CloneMade { left_out, .. } => Some(left_out.clone()),
            _ => None,
        });
        let listed = listed.expect("a clone was made");
        let wanted: Vec<&str> = left_out.iter().map(|(listed, _)| *listed).collect();
        assert_eq!(listed, wanted, "{method}: what is listed as left out");

        let found = bench.unlike();
        let known = |line: &&String| left_out.iter().any(|(_, dumped)| **line == format!("not in the clone: {dumped}"));
        let unknown: Vec<&String> = found.iter().filter(|line| !known(line)).collect();
        assert!(unknown.is_empty(), "{method}: {unknown:#?}");
        assert_eq!(found.len(), left_out.len(), "{method}: {found:#?}");

        let compare = Compare::Clone {
            owner_map: ["shop_owner", "postgres"].map(|owner| (owner.to_owned(), "engine_owner".to_owned())).to_vec(),
            left_out: listed,
        };
        let (source, clone) = (print(&bench, bench.production()).await, print(&bench, bench.clone_name()).await);
        let compared = differences(&source, &clone, &compare);
        assert!(compared.equal(), "{method}: {:#?}", compared.differences);
        assert!(source.tables.iter().map(|table| table.rows).sum::<u64>() > 10_000, "{method}: hardly a row was read");
    }
}

#[tokio::test]
async fn film_rental() {
    cloned("film_rental", include_str!("film_rental.sql"), &[]).await;
}

#[tokio::test]
async fn airline() {
    cloned("airline", include_str!("airline.sql"), &[]).await;
}

#[tokio::test]
async fn trade() {
    let left_out = [
        ("event trigger watches", "- / watches / EVENT TRIGGER"),
        ("publication all_of_it", "- / all_of_it / PUBLICATION"),
        ("subscription branch", "- / branch / SUBSCRIPTION"),
    ];
    cloned("trade", include_str!("trade.sql"), &left_out).await;
}
