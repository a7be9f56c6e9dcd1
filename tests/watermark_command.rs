//! `engine watermark` on a real server: what it proves, what it cannot, and how it refuses bad input.

mod support;

use serde_json::Value;
use support::{Bench, Outcome};

const TABLES: &str = "
CREATE TABLE public.item (id int PRIMARY KEY, v text);
INSERT INTO public.item SELECT n, 'v' || n FROM generate_series(1, 3000) AS n;
CREATE TABLE public.other (v text);
INSERT INTO public.other VALUES ('same');
GRANT SELECT ON ALL TABLES IN SCHEMA public TO engine_reader;
";

fn bench(name: &str) -> Bench {
    let mut bench = Bench::shop(name);
    bench.psql(bench.production(), TABLES);
    bench.set("A", &bench.url("engine_reader", bench.production()));
    bench
}

fn against(bench: &Bench) -> Outcome {
    bench.engine(&["watermark", "env:A", "--against", "w.json"])
}

/// Tables that `--json` says may have changed.
fn moved(bench: &Bench) -> Vec<String> {
    let told = bench.engine(&["watermark", "env:A", "--against", "w.json", "--json"]);
    let lines = told.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    let moved = lines.filter(|line| line["type"] == "table" && line["unchanged"] == false);
    moved.map(|line| line["table"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn what_did_not_move_is_proved_and_what_did_is_named() {
    let bench = bench("moved");
    bench.engine(&["watermark", "env:A", "-o", "w.json"]).expect(0).says(&["watermark of ", "kept in w.json"]);
    against(&bench).expect(0).says(&["unchanged: no row of ", "proved by the watermark"]);
    // None of these touches a row that is seen.
    for nothing in [
        "BEGIN; DELETE FROM public.item; ROLLBACK",
        "VACUUM (FREEZE) public.item",
        "VACUUM FULL public.item",
        "CLUSTER public.item USING item_pkey",
        "SELECT count(*) FROM (SELECT FROM public.item FOR UPDATE) AS locked",
    ] {
        bench.psql(bench.production(), nothing);
        against(&bench).expect(0);
    }
    bench.psql(bench.production(), "UPDATE public.item SET v = 'x' WHERE id = 7");
    against(&bench).expect(20).says(&["1 of ", "public.item  recent rows 0 -> 1"]);
    assert_eq!(moved(&bench), ["public.item"]);
    // Put back: the row is the same, and only the content can say so.
    bench.psql(bench.production(), "UPDATE public.item SET v = 'v7' WHERE id = 7");
    assert_eq!(moved(&bench), ["public.item"]);
    bench.psql(bench.production(), "DELETE FROM public.other; CREATE TABLE public.fresh (v text)");
    bench.psql(bench.production(), "GRANT SELECT ON public.fresh TO engine_reader");
    against(&bench).expect(20).says(&["public.other  rows 1 -> 0", "public.fresh  it is new"]);
    bench.psql(bench.production(), "DROP TABLE public.fresh, public.other");
    against(&bench).expect(20).says(&["public.other  it is gone"]);
    // A new one is taken and an old one compared in the same look.
    bench.engine(&["watermark", "env:A", "--against", "w.json", "-o", "w.json"]).expect(20);
    against(&bench).expect(0);
}

#[test]
fn a_watermark_of_another_database_proves_nothing() {
    let bench = bench("strange");
    bench.engine(&["watermark", &bench.url("postgres", "postgres"), "-o", "w.json"]).expect(0);
    let told = bench.engine(&["watermark", &bench.url("postgres", "template1"), "--against", "w.json"]).expect(0);
    assert!(told.stdout.contains("no row of 0 tables"), "neither has tables: {}", told.stdout);
    against(&bench).expect(20).says(&["public.item  it is new"]);
    bench.engine(&["watermark", "env:A", "-o", "w.json"]).expect(0);
    let other = bench.read("w.json").replace("\"oid\"", "\"oid\" ").replacen("\"oid\" : ", "\"oid\": 1", 1);
    bench.write("w.json", &other);
    against(&bench).expect(20).says(&["it is another database"]);
}

#[test]
fn bad_input_is_refused_with_what_to_type() {
    let bench = bench("refused");
    bench.engine(&["watermark", "env:A"]).expect(2).says(&["engine watermark env:A -o FILE", "nothing was read"]);
    bench.engine(&["watermark", "env:A", "--against", "none.json"]).expect(1).says(&["none.json", "cannot be read"]);
    bench.write("bad.json", "{\"horizon\": \"x\"}");
    bench
        .engine(&["watermark", "env:A", "--against", "bad.json"])
        .expect(1)
        .says(&["bad.json:1:", "no stored watermark"]);
    bench
        .engine(&["watermark", "postgre://u:secret@h/d", "-o", "w.json"])
        .expect(2)
        .says(&["no database's", "nothing was read"]);
    bench
        .engine(&["watermark", "env:A", "-o", "no/such/folder/w.json"])
        .expect(1)
        .says(&["no such folder", "nothing was read"]);
}
