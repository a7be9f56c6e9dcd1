//! What is left when a clone's schema is whole: foreign keys to validate, materialised views to fill, statistics.
//! Each table is one step, the largest first, shared out among several sessions.

use super::indexes::session;
use crate::event::Failure;
use crate::target::CloneTarget;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// Statements that one session runs one after the other, each a transaction of its own.
#[derive(Debug)]
struct Step {
    bytes: u64,
    statements: Vec<String>,
}

/// The clone that is finished.
pub(super) struct LastSteps<'w> {
    /// Where it is.
    pub target: &'w CloneTarget,
    /// Its name so far.
    pub working: &'w str,
    /// Sessions.
    pub jobs: usize,
    /// `search_path` of the database: expressions of indexes and views may call what needs it.
    pub path: String,
}

impl LastSteps<'_> {
    /// Validates (by table), fills the views in this order, analyses.
    ///
    /// # Errors
    /// The server's, such as a row that breaks a key, with the statement.
    pub(super) async fn run(
        &self,
        mut validations: BTreeMap<String, Vec<String>>,
        views: &[&str],
    ) -> Result<(), Failure> {
        let mut first = self.session().await?;
        // What the engine asks itself looks nothing up on that path.
        first.run("SET search_path = pg_catalog, pg_temp").await?;
        let found = first.run(include_str!("../../../sql/engine/target/analyzed.sql")).await?;
        first.run(&format!("SET search_path = {}", self.path)).await?;
        let filled =
            views.iter().flat_map(|view| [format!("REFRESH MATERIALIZED VIEW {view}"), format!("ANALYZE {view}")]);
        // They read other tables, and one may read another: nobody knows how long that takes.
        let mut steps = vec![Step { bytes: u64::MAX, statements: filled.collect() }];
        for row in found {
            let mut texts = row.into_iter().skip(1).map(Option::unwrap_or_default);
            let (name, kind, bytes) = (texts.next(), texts.next(), texts.next());
            let (name, bytes) = (name.unwrap_or_default(), bytes.and_then(|b| b.parse().ok()).unwrap_or(0));
            if kind.as_deref() == Some("m") && views.contains(&name.as_str()) {
                continue;
            }
            let mut statements = validations.remove(&name).unwrap_or_default();
            statements.push(format!("ANALYZE {name}"));
            steps.push(Step { bytes, statements });
        }
        // Keys of single partitions.
        steps.extend(validations.into_values().map(|statements| Step { bytes: 0, statements }));
        steps.sort_by_key(|step| std::cmp::Reverse(step.bytes));
        let queue: Arc<Mutex<VecDeque<Step>>> = Arc::new(Mutex::new(steps.into()));
        let (mut at_work, mut ready) = (JoinSet::new(), Some(first));
        for _ in 0..self.jobs.max(1) {
            let mut session = match ready.take() {
                Some(session) => session,
                None => self.session().await?,
            };
            let queue = Arc::clone(&queue);
            at_work.spawn(async move {
                loop {
                    let next = queue.lock().expect("invariant: no holder of the queue panics").pop_front();
                    let Some(step) = next else { return Ok::<(), Failure>(()) };
                    for statement in step.statements {
                        session.run(&statement).await.map_err(|f| f.fact(statement))?;
                    }
                }
            });
        }
        while let Some(done) = at_work.join_next().await {
            done.expect("invariant: no worker panics or is cancelled")?;
        }
        Ok(())
    }

    async fn session(&self) -> Result<crate::target::Loader, Failure> {
        let mut session = session(self.target, self.working, "validating, filling views, analysing").await?;
        session.run(&format!("SET search_path = {}", self.path)).await?;
        Ok(session)
    }
}
