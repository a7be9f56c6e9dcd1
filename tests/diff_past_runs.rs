//! `diff` looks at earlier runs: which of them a changed guard stopped, and what it would do with their readings now.

mod support;

#[path = "diff_pairs/schema.rs"]
mod schema;

use support::{Bench, MINI, MINI_ROLLOUT, to_the_packet};

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

/// A packet that a run sealed is named when the change would seal another one, with what is known of its gates.
#[test]
fn a_packet_that_is_not_the_new_plans_is_named() {
    let bench = Bench::mini("diff_packets", "");
    let insert = "INSERT INTO u VALUES (1, 'b')";
    let stage = bench.mini_stage("s", "\"base\"", "writes.u = 1", insert, Some("DELETE FROM u"));
    bench.mini_plan(&format!("{stage}{}", to_the_packet("\"s\"", "\"s\"", "us = 1")));
    for file in [MINI, "templates/mini/s.sql", "templates/mini/s.rollback.sql"] {
        bench.write(&format!("old/{file}"), &bench.read(file));
    }
    let old = format!("old/{MINI}");
    let diff = |form: &str| bench.engine(&["diff", &old, MINI, "--format", form]).stdout;
    let whole = bench.read(MINI);
    bench.mini_apply(&[]).expect(0);
    let (id, run) = (bench.packet().1, bench.run_id());
    let named = format!("packet `{}` of run `{run}` (`pk`)", &id[..12]);
    assert!(!diff("text").contains("packet `"), "nothing changed, and it is told: {}", diff("text"));

    // What is applied stays, the bytes beside it do not.
    bench.write(MINI, &format!("{whole}# read by many\n"));
    let beside = diff("text");
    assert!(beside.contains(&format!("{named} carries the old text; it would apply the same")), "{beside}");

    bench.write(MINI, &whole);
    bench.write("templates/mini/s.sql", &format!("{};\n", insert.replace('b', "c")));
    let another = diff("text");
    assert!(another.contains(&format!("{named} does not match any more")), "{another}");
    assert!(another.contains("no journal here knows of an approval of it"), "{another}");
    assert!(diff("markdown").contains(&format!("**Note**: {named} does not match any more")), "{}", diff("markdown"));
    let document: serde_json::Value = serde_json::from_str(&diff("json")).expect("JSON");
    let packet = &document["plans"][0]["packets"][0];
    assert_eq!((packet["id"].as_str(), packet["run"].as_str()), (Some(id.as_str()), Some(run.as_str())), "{packet}");
    assert_eq!((packet["applies_the_same"].as_bool(), packet["applied"].as_u64()), (Some(false), Some(0)), "{packet}");
    schema::valid(&document);

    // Asked at the target, closed and then open; the rollouts' journals say so.
    let rollout = || bench.engine(&["apply", MINI_ROLLOUT, "--var", &format!("packet={id}")]);
    assert_ne!(rollout().code, 0);
    assert!(diff("text").contains("; its gates were asked last: open closed (oks 0)"), "{}", diff("text"));
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    rollout().expect(0);
    assert!(diff("text").contains(&format!("{named} does not match any more")), "{}", diff("text"));
    assert!(diff("text").contains("; it was applied\n"), "{}", diff("text"));

    // A plan that ran already has its own packet; what the run before it sealed is no news.
    bench.psql(bench.production(), "DELETE FROM u");
    bench.mini_apply(&["--replace"]).expect(0);
    assert!(!diff("text").contains("packet `"), "{}", diff("text"));
}

#[test]
fn earlier_runs_say_what_a_changed_gate_means() {
    let bench = Bench::mini("diff_gates", "");
    let stage =
        bench.mini_stage("s", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1, 'b')", Some("DELETE FROM u"));
    bench.mini_plan(&format!("{stage}{}", to_the_packet("\"s\"", "\"s\"", "us = 1")));
    bench.mini_apply(&[]).expect(0);
    let id = bench.packet().1;
    let rollout = || bench.engine(&["apply", MINI_ROLLOUT, "--var", &format!("packet={id}")]);
    assert_ne!(rollout().code, 0);
    bench.psql(bench.production(), "INSERT INTO ok VALUES (1)");
    rollout().expect(0);
    let told = |plan: &str, gate: &str| {
        let whole = bench.read(plan);
        bench.write("old.toml", &whole);
        bench.write("new.toml", &whole.replace("gate.open = \"oks >= 1\"", &format!("gate.open = \"{gate}\"")));
        for file in ["old.toml", "new.toml"] {
            let named = format!(
                "engine = 1\n[plan]\nname = \"{}\"\n",
                plan.trim_start_matches("plans/").trim_end_matches(".toml")
            );
            let text = bench.read(file);
            bench.write(
                &format!("x/{file}"),
                &if text.contains("[plan]") { text } else { text.replacen("engine = 1\n", &named, 1) },
            );
        }
        bench.write("x/templates/mini/s.sql", &bench.read("templates/mini/s.sql"));
        bench.write("x/templates/mini/s.rollback.sql", &bench.read("templates/mini/s.rollback.sql"));
        bench.engine(&["diff", "x/old.toml", "x/new.toml"]).stdout
    };
    let loosened = told(MINI_ROLLOUT, "oks >= 0");
    let line =
        "of the last 2 runs that asked it, 1 found it closed (oks 0); 1 of these would find it open now (oks 0)\n";
    assert!(loosened.contains("loosened   target.production.gate.open") && loosened.contains(line), "{loosened}");
    let tightened = told(MINI_ROLLOUT, "oks >= 2");
    assert!(
        tightened.contains("1 found it closed (oks 0); 1 that found it open would find it closed now (oks 1)\n"),
        "{tightened}"
    );
    // The run that sealed asked it as well.
    let sealed = told(MINI, "oks >= 0");
    assert!(sealed.contains("of the last run that asked it, 1 found it closed (oks 0)"), "{sealed}");
}
