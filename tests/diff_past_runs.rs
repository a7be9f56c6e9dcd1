//! `diff` looks at earlier runs: which of them a changed guard stopped, and what it would do with their readings now.

mod support;

use support::Bench;

const PLAN: &str = "plans/stock.toml";

fn plan(guard: &str) -> String {
    format!(
        "engine = 1\n[plan]\nname = \"stock\"\n[target.shop]\nurl = \"env:SHOP_PRODUCTION_URL\"\naccess = \"read\"\n\
         [probe.stock]\non = \"shop\"\nsql = \"SELECT sum(n) FROM public.stock\"\n\
         [stage.look]\nkind = \"check\"\non = \"shop\"\nneeds = []\nguard.enough = \"{guard}\"\nensure.there = \"stock >= 1\"\n"
    )
}

/// A bench with three recorded runs of a guard that wants 100: with 42 and 7 it stopped them, with 210 it did not.
fn recorded() -> Bench {
    let bench = Bench::bare("diff_past", "");
    let production = bench.production().to_owned();
    bench.psql(&production, "CREATE TABLE public.stock (n numeric); INSERT INTO public.stock VALUES (42)");
    bench.write(PLAN, &plan("stock >= 100"));
    bench.write("old.toml", &plan("stock >= 100"));
    for (stock, code) in [("42", 30), ("7", 30), ("210", 0)] {
        bench.psql(&production, &format!("UPDATE public.stock SET n = {stock}"));
        let ran = bench.engine(&["apply", PLAN]);
        assert_eq!(ran.code, code, "{}", ran.stderr);
    }
    bench
}

#[test]
fn earlier_runs_say_what_a_changed_guard_means() {
    let bench = recorded();
    let told = |guard: &str| {
        bench.write(PLAN, &plan(guard));
        bench.engine(&["diff", "old.toml", PLAN]).stdout
    };
    let loosened = told("stock >= 40");
    let line = "of the last 3 runs that asked it, 2 were stopped here (stock 7, stock 42); 1 of these would have started `look` now (stock 42)\n";
    assert!(loosened.contains("! loosened   stage.look.guard.enough") && loosened.contains(line), "{loosened}");
    let tightened = told("stock >= 1000");
    let line = "2 were stopped here (stock 7, stock 42); 1 that passed would be stopped now (stock 210)\n";
    assert!(tightened.contains(line), "{tightened}");
    let changed = told("abs(stock) >= 100");
    assert!(changed.contains("of 3 it cannot be told from the readings kept"), "{changed}");
    // What did not change is not looked up, and the plan of another name has no runs.
    assert!(!told("stock >=  100").contains("of the last"));
    bench.write("other.toml", &plan("stock >= 1").replace("\"stock\"\n", "\"other\"\n"));
    assert!(!bench.engine(&["diff", "old.toml", "other.toml"]).stdout.contains("of the last"));
    let comment = {
        bench.write(PLAN, &plan("stock >= 40"));
        bench.engine(&["diff", "old.toml", PLAN, "--format", "markdown"]).stdout
    };
    assert!(comment.contains("- of the last 3 runs that asked it, 2 were stopped here"), "{comment}");
}

/// A review needs no runs: a journal that nobody can read is said, and the review is there.
#[test]
fn a_journal_that_cannot_be_read_is_a_remark() {
    let bench = recorded();
    bench.write(PLAN, &plan("stock >= 40"));
    let run = bench.runs().pop().expect("a run");
    let journal = format!(".engine/runs/{run}/journal.jsonl");
    let broken = bench.read(&journal).replacen("stock", "stork", 1);
    bench.write(&journal, &broken);
    let ended = bench.engine(&["diff", "old.toml", PLAN]);
    assert_eq!(ended.code, 21, "{}", ended.stderr);
    assert!(ended.stdout.contains("1 journal of an earlier run cannot be read"), "{}", ended.stdout);
    assert!(ended.stdout.contains("of the last 2 runs that asked it, 2 were stopped here"), "{}", ended.stdout);
    let far = bench.engine(&["--journal", "postgresql://nobody@127.0.0.1:1/none", "diff", "old.toml", PLAN]);
    assert_eq!(far.code, 21, "{}", far.stderr);
    assert!(far.stdout.contains("note: earlier runs were not looked at: "), "{}", far.stdout);
}
