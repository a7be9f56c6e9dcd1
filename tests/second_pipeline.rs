//! Pipelines of other walks of life: nothing in the engine knows the governance programme.

mod support;

use support::{Bench, assert_same};

const SHOP: &str = "plans/shop_widen_amount.toml";

#[test]
fn the_shop_widens_a_column_on_a_clone_and_seals_a_packet() {
    let bench = Bench::shop("widen");
    let before = bench.all_of(bench.production());
    bench
        .engine(&["apply", SHOP, "--var", &bench.clone_var()])
        .expect(0)
        .says(&["technical GO, production BLOCKED: approved = 0"]);

    let done = [
        "preflight",
        "clone",
        "baseline",
        "expand",
        "backfill",
        "index",
        "constrain",
        "rehearsal",
        "production_impact",
        "packet",
    ];
    assert_eq!(bench.journal().done(), done);
    assert_same(&bench.all_of(bench.production()), &before, "production was changed");
    let wide = "SELECT count(*) > 0 AND bool_and(amount_wide = amount) FROM shop.orders";
    assert_eq!(bench.psql(bench.clone_name(), wide), "t");
    let kept = "SELECT (SELECT convalidated FROM pg_constraint WHERE conname = 'orders_amount_wide_filled'),
                       (SELECT indisvalid FROM pg_index WHERE indexrelid = 'shop.orders_amount_wide_idx'::regclass)";
    assert_eq!(bench.psql(bench.clone_name(), kept), "t|t");
    let (packet, _) = bench.packet();
    bench.engine(&["verify", &packet]).expect(0);
    bench.engine(&["verify", "latest"]).expect(0);
    bench.engine(&["drop", "latest"]).expect(0);
    assert!(!bench.exists(bench.clone_name()));
}

#[test]
fn hello_looks_at_any_database() {
    let bench = Bench::new("hello");
    bench.engine(&["apply", "plans/hello.toml"]).expect(0).says(&["tables"]);
    assert_eq!(bench.journal().done(), ["look"]);
}

#[test]
fn every_plan_of_the_repository_is_valid_and_its_lock_is_fresh() {
    let bench = Bench::new("plans");
    for plan in ["clone_a_to_g", "production_rollout", "shop_widen_amount", "hello"] {
        let file = format!("plans/{plan}.toml");
        bench.engine(&["check", &file]).expect(0).says(&["ok"]);
        bench.engine(&["render", &file, "--check"]).expect(0);
        bench.engine(&["graph", &file]).expect(0);
    }
}
