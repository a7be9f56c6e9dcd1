//! A COMMIT that was given up: its session must not be lent to whoever comes next.

use crate::support::{Bench, Does, OwnServer, Proxy, Spot};
use engine::target::{Door, Settings, Url, Writer};
use std::time::Duration;

/// Long enough for whoever gets an answer at all.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_commit_that_is_given_up_leaves_no_session_for_the_next() {
    let own = OwnServer::new(&[]);
    let bench = Bench::mini_on(own.server(), "given_up", "");
    let proxy = Proxy::before(own.server().socket());
    let settings = Settings {
        search_path: "public".to_owned(),
        statement_timeout: PATIENCE,
        lock_timeout: PATIENCE,
        read_only: false,
    };
    let url = Url::literal("test", proxy.url("shop_owner", bench.production()));
    let door = Door::new("production", &url, None, &settings).expect("a door");
    let writer = Writer::to_rollout_target(door).expect("a writer");

    let tx = writer.session("given up").await.expect("a session");
    let given_up = tx.backend_pid;
    tx.begin(PATIENCE, PATIENCE).await.expect("BEGIN");
    tx.execute("INSERT INTO public.u VALUES (1, 'x')").await.expect("a row");
    let xid = tx.xid().await.expect("an answer");
    proxy.arm(Spot::Commit, Does::Stall);
    let answer = tokio::time::timeout(Duration::from_secs(2), tx.commit(xid.as_deref())).await;
    assert!(answer.is_err(), "{answer:?}");

    let next = tokio::time::timeout(PATIENCE, writer.session("the next")).await;
    let next = next.expect("it got the session whose answer never comes").expect("a session");
    assert_ne!(next.backend_pid, given_up);
}
