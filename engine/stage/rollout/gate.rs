//! Gates of a rollout: judged in its own transaction, held against change, asked again last before COMMIT.

use super::{RolloutStage, unchanged};
use crate::diag::{Place, Source};
use crate::event::{Event, Exit, Failure, Judgement, Moment, Reading, Role};
use crate::guard::{self, Check, Values};
use crate::probe::{self, Query};
use crate::sql::{Name, Predicate};
use crate::stage::packet::manifest::{Packet, SealedPredicate};
use crate::stage::{Cx, packet, readings};
use crate::target::{Says, WriteTx};
use std::collections::{BTreeMap, BTreeSet};

const GATE_TABLES: &str = include_str!("../../../sql/engine/gate_tables.sql");
const GATE_HOLD: &str = include_str!("../../../sql/engine/gate_hold.sql");
const HELD: &str = include_str!("../../../sql/engine/held_tables.sql");

/// A packet's predicate, parsed again, with its own probes.
struct Sealed {
    checks: Vec<Check>,
    queries: Vec<Query>,
}

impl RolloutStage {
    /// The plan's own `done_when`.
    pub(super) async fn is_done(&self, cx: &Cx, tx: &WriteTx) -> Result<bool, Failure> {
        let Some(done_when) = &self.done_when else { return Ok(false) };
        let checks = std::slice::from_ref(done_when);
        let (names, _) = readings::wanted(checks);
        let now = readings::read_probes(cx, &names, Some((&self.on, tx))).await?;
        let judgements = guard::judge(tx, checks, &Values { now, ..readings::values(cx) }).await?;
        let done = guard::decided(Role::DoneWhen, &format!("stage `{}`", self.head.name), &judgements);
        cx.record(Event::Judged { stage: self.head.name.clone(), role: Role::DoneWhen, judgements })?;
        done
    }

    /// Evaluates sealed predicates in this transaction, with the packet's own probes.
    pub(super) async fn judge(
        &self,
        cx: &Cx,
        tx: &WriteTx,
        role: Role,
        sealed: &[SealedPredicate],
    ) -> Result<Vec<Judgement>, Failure> {
        let sealed = parsed(&self.on, sealed)?;
        let queries: Vec<&Query> = sealed.queries.iter().collect();
        let values: BTreeMap<String, Reading> =
            probe::read(tx, &queries).await?.into_iter().map(|r| (r.probe.clone(), r)).collect();
        readings::keep(cx, &self.head.name, Moment::Before, &values)?;
        let judgements = guard::judge(tx, &sealed.checks, &Values { now: values, ..Values::default() }).await?;
        cx.record(Event::Judged { stage: self.head.name.clone(), role, judgements: judgements.clone() })?;
        Ok(judgements)
    }

    /// The plan's own gates, which may be more than the packet's.
    pub(super) async fn judge_own(&self, cx: &Cx, tx: &WriteTx) -> Result<Vec<Judgement>, Failure> {
        let (names, _): (BTreeSet<String>, _) = readings::wanted(&self.gates);
        let now = readings::read_probes(cx, &names, Some((&self.on, tx))).await?;
        let judgements = guard::judge(tx, &self.gates, &Values { now, ..readings::values(cx) }).await?;
        cx.record(Event::Judged { stage: self.head.name.clone(), role: Role::Gate, judgements: judgements.clone() })?;
        Ok(judgements)
    }

    /// Holds what the gates read against change, where that is possible; refuses a role that could forge it.
    pub(super) async fn hold(&self, tx: &WriteTx, gates: &[SealedPredicate]) -> Result<Vec<String>, Failure> {
        // The judged readings were taken in a savepoint that was rolled back, and their locks with it: each probe is
        // read once more outside, so that its tables stay locked and can be told. It was proved to only read.
        for (_, sql) in gates.iter().flat_map(|gate| &gate.probes) {
            tx.query_as(Says::Plan, &format!("SELECT pg_catalog.count(*) FROM (\n{sql}\n) AS p"), &[]).await?;
        }
        let rows = tx.query(GATE_TABLES, &[]).await?;
        let forgeable: Vec<String> = rows.iter().filter(|r| r.get::<_, bool>(2)).map(|r| r.get(1)).collect();
        if !forgeable.is_empty() {
            return Err(Failure::new(
                Exit::Blocked,
                format!("the role of `{}` may write what its gates read", self.on),
            )
            .fact(forgeable.join(", "))
            .changed(unchanged(&self.on))
            .next("then", "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON those tables FROM that role, by their owner"));
        }
        if tx.query_one(GATE_HOLD, &[]).await?.get(0) {
            tx.query("SELECT engine_gate.hold()", &[]).await?;
        } else {
            for table in rows.iter().map(|r| r.get::<_, String>(1)) {
                // From 17 on MAINTAIN allows it; where it is refused the evidence says that nothing was held.
                tx.control("SAVEPOINT engine_hold").await?;
                // The name was quoted by the server.
                match tx.control(&format!("LOCK TABLE {table} IN SHARE MODE")).await {
                    Ok(()) => tx.control("RELEASE SAVEPOINT engine_hold").await?,
                    Err(refused) if refused.sqlstate.as_deref() == Some("42501") => {
                        tx.control("ROLLBACK TO SAVEPOINT engine_hold").await?;
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(tx.query(HELD, &[]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// The plan's gates must contain the packet's, with equal predicates and probe SQL.
    pub(super) fn refuse_other_gates(&self, cx: &Cx, packet: &Packet) -> Result<(), Failure> {
        let own: Vec<SealedPredicate> = self
            .gates
            .iter()
            .map(|check| SealedPredicate {
                name: check.name.clone(),
                text: check.predicate.text.trim().to_owned(),
                probes: packet::probes_of(cx, check),
            })
            .collect();
        let missing: Vec<&SealedPredicate> = packet
            .manifest
            .gates
            .iter()
            .filter(|g| !own.iter().any(|o| o.text == g.text && o.probes == g.probes))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::new(
            Exit::InputsChanged,
            format!("the gates of `{}` in this plan are not those the packet was sealed with", self.on),
        )
        .changed(unchanged(&self.on))
        .next("then", "give the plan the packet's gates, with the same probe SQL");
        failure.facts = missing.iter().map(|g| format!("gate `{}`: {}", g.name, g.text)).collect();
        Err(failure)
    }

    pub(super) fn closed(&self, failure: Failure, cx: &Cx) -> Failure {
        let docs: Vec<String> = cx
            .probes
            .values()
            .filter_map(|q| Some(format!("{}: {}", q.name, q.doc.as_ref()?)))
            .filter(|d| failure.facts.iter().any(|f| f.contains(d.split(':').next().unwrap_or(""))))
            .collect();
        let mut failure = failure;
        failure.facts.extend(docs);
        failure
            .changed(format!("{}; no write transaction got past its first statements", unchanged(&self.on)))
            .next("wait for", "a person with that authority to record the ratification; this engine cannot")
            .next("then", "the same command again")
    }
}

fn parsed(target: &str, sealed: &[SealedPredicate]) -> Result<Sealed, Failure> {
    let mut checks = Vec::new();
    let mut queries: Vec<Query> = Vec::new();
    for one in sealed {
        let source = Source::new("rollout.json", one.text.clone());
        let place = Place::new(&source, 0..one.text.len());
        let predicate = Predicate::parse(&one.text, &place).map_err(|problems| {
            Failure::new(Exit::InputsChanged, "a predicate of the packet does not parse").fact(problems.draw(false))
        })?;
        if predicate.uses.iter().any(|u| !matches!(u.name, Name::Now(_))) {
            return Err(Failure::new(
                Exit::InputsChanged,
                format!("gate `{}` of the packet reads more than probes", one.name),
            ));
        }
        checks.push(Check { name: one.name.clone(), predicate, place: "packet: rollout.json".to_owned() });
        for (name, sql) in &one.probes {
            if !queries.iter().any(|q| q.name == *name) {
                queries.push(Query { name: name.clone(), target: target.to_owned(), sql: sql.clone(), doc: None });
            }
        }
    }
    Ok(Sealed { checks, queries })
}
