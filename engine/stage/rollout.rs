//! `rollout`: applies one sealed packet to a target that is no clone, behind its gates, in one transaction, once.
//!
//! What is sent is the packet's own `apply.sql`, statement by statement, so that this way and bare psql are the same
//! bytes. Around it: the packet's files are verified, the approvals are held against change where that is possible,
//! drift is refused, and COMMIT goes through the commit protocol.

use super::packet::manifest::{Manifest, Packet, SealedPredicate};
use super::{Cx, Done, Head, Kind, Parse, Recovery, Running, Stage, commit, readings};
use crate::diag::{Diagnostic, Place, Source};
use crate::event::{Event, Exit, Failure, Judgement, Moment, Reading, Role, StageState, Status, Truth};
use crate::fingerprint::{self, SchemaObject};
use crate::guard::{self, Check, Values};
use crate::plan::keys::Keys;
use crate::probe::{self, Query};
use crate::proof::{Bound, Script, bounds, forward, measure};
use crate::sql::{self, Name, Predicate};
use crate::target::{WriteTx, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The kind.
pub static KIND: Kind = Kind { name: "rollout", keys: &["packet", "done_when"], recovery: Recovery::Atomic, parse };

#[derive(Debug)]
struct RolloutStage {
    head: Head,
    on: String,
    /// Id, prefix, folder or `latest`.
    packet: String,
    gates: Vec<Check>,
    done_when: Option<Check>,
}

const GATE_TABLES: &str = include_str!("../../sql/engine/gate_tables.sql");
const GATE_HOLD: &str = include_str!("../../sql/engine/gate_hold.sql");
const HELD: &str = include_str!("../../sql/engine/held_tables.sql");

fn parse(head: Head, mut keys: Keys, cx: &mut Parse<'_>) -> Option<Box<dyn Stage>> {
    let on = cx.needs_target(&head)?;
    let place = cx.plan_stage().name.place.clone();
    let packet = keys.text("packet", cx.out);
    let done_when = cx.done_when(&mut keys);
    keys.finish(&cx.known(&KIND), cx.out);
    let target = cx.plan.target(&on)?;
    if target.clone_of.is_some() || target.access != crate::plan::Access::Write {
        cx.out.push(
            Diagnostic::new("rollout-target", format!("a rollout cannot run on `{on}`"), place.clone())
                .label("here")
                .help("its target is no clone and has `access = \"write\"`"),
        );
        return None;
    }
    let others = cx.plan.stages.iter().filter(|s| s.kind.value == "rollout").count();
    if others > 1 {
        cx.out.push(
            Diagnostic::new("two-rollouts", format!("this plan has {others} rollouts"), place.clone())
                .label("one of them")
                .help("a plan has at most one: one packet, one transaction"),
        );
    }
    let Some(packet) = packet else {
        cx.out.push(
            Diagnostic::new("rollout-without-packet", format!("stage `{}` names no `packet`", head.name), place)
                .label("which packet?")
                .help("write `packet = \"{{ packet }}\"` with `[var.packet] type = \"packet\"`"),
        );
        return None;
    };
    let word = match cx.renderer.plain("packet", &packet.value, &packet.place, &BTreeMap::new()) {
        Ok(word) => word,
        Err(problem) => {
            cx.out.push(problem);
            return None;
        }
    };
    let gates = cx.gates.get(&on).cloned().unwrap_or_default();
    Some(Box::new(RolloutStage { head, on, packet: word, gates, done_when }))
}

impl Stage for RolloutStage {
    fn head(&self) -> &Head {
        &self.head
    }

    fn writes_target(&self) -> bool {
        true
    }

    fn other_checks(&self) -> &[Check] {
        self.done_when.as_slice()
    }

    fn run<'r>(&'r self, cx: &'r Cx) -> Running<'r> {
        Box::pin(self.go(cx))
    }
}

/// A packet's predicate, parsed again, with its own probes.
struct Sealed {
    checks: Vec<Check>,
    queries: Vec<Query>,
}

impl RolloutStage {
    async fn go(&self, cx: &Cx) -> Result<Done, Failure> {
        let plain = cx.targets.plain(&self.on)?;
        let writer =
            plain.writer.clone().ok_or_else(|| Failure::new(Exit::Io, format!("`{}` has no writer", self.on)))?;
        let known = cx.with_state(|state| state.stage(&self.head.name));
        // Before anything that could refuse: a rollout that was committed must not be called blocked.
        if known.attempts > 0
            && (known.status == Status::Committed || commit::recover(cx, &self.head.name, &writer, &known).await?)
        {
            return self.remembered(cx, &known);
        }
        // A resumed run goes on with the packet it began with, whatever `latest` means by now.
        let packet = Packet::open(known.opened.as_deref().unwrap_or(&self.packet))?;
        cx.record(Event::PacketOpened { stage: self.head.name.clone(), id: packet.id.clone() })?;
        let manifest = &packet.manifest;
        let short = crate::digest::short(&packet.id).to_owned();
        cx.say(&self.head.name, &format!("packet {short}, sealed by run {}", manifest.run));
        self.refuse_other_gates(cx, &packet)?;
        if !manifest.technical_go {
            return Err(Failure::new(Exit::NoGo, format!("packet {short} was sealed NO-GO"))
                .fact(format!("read {}", packet.dir.join("GO-NO-GO.md").display()))
                .changed(unchanged(&self.on)));
        }
        readings::guards_outside(cx, &self.head).await?;
        if (plain.identity.system_identifier.as_str(), plain.identity.oid)
            != (manifest.database.0.as_str(), manifest.database.1)
        {
            return Err(Failure::new(Exit::WrongDatabase, format!("packet {short} was sealed for another database"))
                .fact(format!(
                    "sealed for {} (oid {}), this is {} (oid {})",
                    manifest.database.2, manifest.database.1, plain.identity.database, plain.identity.oid
                ))
                .changed(unchanged(&self.on)));
        }
        let tx = writer.session("rollout").await?;
        cx.record(Event::AttemptStarted {
            stage: self.head.name.clone(),
            attempt: known.attempts + 1,
            backend_pid: tx.backend_pid,
            backend_start: tx.backend_start.clone(),
        })?;
        match self.within(cx, &tx, &packet).await {
            Ok(Some((held, summary))) => self.commit(cx, &packet, &writer, tx, held, summary).await,
            Ok(None) => {
                tx.rollback().await;
                cx.record(Event::RolledOut {
                    stage: self.head.name.clone(),
                    target: self.on.clone(),
                    packet: packet.id.clone(),
                    already: true,
                    held: Vec::new(),
                    writes: Vec::new(),
                })?;
                Ok(Done { summary: format!("packet {short} is already applied; nothing was sent") })
            }
            Err(failure) => {
                tx.rollback().await;
                let changed = failure
                    .changed
                    .clone()
                    .unwrap_or_else(|| format!("{}; the transaction was rolled back", unchanged(&self.on)));
                Err(failure.changed(changed))
            }
        }
    }

    /// The attempt that the server says was committed.
    fn remembered(&self, cx: &Cx, known: &StageState) -> Result<Done, Failure> {
        let packet = known.opened.clone().unwrap_or_default();
        let summary = format!(
            "{} in one transaction · packet {}, committed before",
            super::sql::wrote_words(&known.writes),
            crate::digest::short(&packet)
        );
        cx.record(Event::RolledOut {
            stage: self.head.name.clone(),
            target: self.on.clone(),
            packet,
            already: false,
            held: Vec::new(),
            writes: known.writes.clone(),
        })?;
        Ok(Done { summary })
    }

    async fn commit(
        &self,
        cx: &Cx,
        packet: &Packet,
        writer: &Writer,
        tx: WriteTx,
        held: Vec<String>,
        writes: Vec<crate::event::TableWrite>,
    ) -> Result<Done, Failure> {
        commit::commit(cx, &self.head.name, writer, tx).await?;
        let summary = format!(
            "{} in one transaction · packet {}",
            super::sql::wrote_words(&writes),
            crate::digest::short(&packet.id)
        );
        cx.record(Event::RolledOut {
            stage: self.head.name.clone(),
            target: self.on.clone(),
            packet: packet.id.clone(),
            already: false,
            held,
            writes,
        })?;
        Ok(Done { summary })
    }

    /// Everything between BEGIN and COMMIT. `None`: already applied.
    async fn within(
        &self,
        cx: &Cx,
        tx: &WriteTx,
        packet: &Packet,
    ) -> Result<Option<(Vec<String>, Vec<crate::event::TableWrite>)>, Failure> {
        let manifest = &packet.manifest;
        let name = self.head.name.as_str();
        tx.begin(Duration::from_millis(manifest.timeout_ms), Duration::from_millis(manifest.lock_timeout_ms)).await?;
        // A temporary table must not shadow the approvals.
        let path = format!("{}, pg_temp", manifest.search_path);
        tx.query("SELECT pg_catalog.set_config('search_path', $1, true)", &[&path]).await?;
        commit::stage_lock(tx, &self.on, false, &self.head.name).await?;
        forward::settle(tx, &crate::proof::RunSettings { run: manifest.run.clone(), as_of: manifest.as_of.clone() })
            .await?;
        if self.is_done(cx, tx).await? {
            return Ok(None);
        }
        if let Some(done_when) = &manifest.done_when
            && self
                .judge(cx, tx, Role::DoneWhen, std::slice::from_ref(done_when))
                .await?
                .iter()
                .all(|j| j.truth == Truth::True)
        {
            return Ok(None);
        }
        let gates = self.judge(cx, tx, Role::Gate, &manifest.gates).await?;
        let held = self.hold(tx, &manifest.gates).await?;
        let own = self.judge_own(cx, tx).await?;
        for judgements in [&gates, &own] {
            if let Some(failure) = guard::refusal(Role::Gate, &format!("target `{}`", self.on), judgements) {
                return Err(self.closed(failure, cx));
            }
        }
        self.refuse_drift(tx, manifest).await?;

        let before = measure::before_without_sequences(tx).await?;
        let script = script(packet)?;
        let statements = forward::send(tx, &script).await.map_err(|failure| self.refused(failure))?;
        cx.record(Event::Statements { stage: name.to_owned(), purpose: "rollout".into(), statements })?;
        let delta = measure::delta(tx, &before).await?;
        let resolved = sealed_bounds(manifest);
        let writes = resolved.writes(&delta);
        cx.record(Event::Measured {
            stage: name.to_owned(),
            purpose: "forward".into(),
            writes: writes.clone(),
            altered: crate::proof::bounds::Resolved::altered(&delta),
            sequences: delta.sequences.clone(),
            locks: measure::locks(tx).await?,
        })?;
        resolved.hold(name, &delta)?;
        // New statements, last before COMMIT.
        let again = self.judge(cx, tx, Role::Gate, &manifest.gates).await?;
        let own_again = self.judge_own(cx, tx).await?;
        for judgements in [&again, &own_again] {
            if let Some(failure) = guard::refusal(Role::Gate, &format!("target `{}`", self.on), judgements) {
                return Err(self.closed(failure, cx));
            }
        }
        Ok(Some((held, writes)))
    }

    /// The plan's own `done_when`.
    async fn is_done(&self, cx: &Cx, tx: &WriteTx) -> Result<bool, Failure> {
        let Some(done_when) = &self.done_when else { return Ok(false) };
        let checks = std::slice::from_ref(done_when);
        let (names, _) = readings::wanted(checks);
        let now = readings::read_probes(cx, &names, Some((&self.on, tx))).await?;
        let judgements = guard::judge(tx, checks, &Values { now, ..readings::values(cx) }).await?;
        let done = judgements.iter().all(|j| j.truth == Truth::True);
        cx.record(Event::Judged { stage: self.head.name.clone(), role: Role::DoneWhen, judgements })?;
        Ok(done)
    }

    /// Evaluates sealed predicates in this transaction, with the packet's own probes.
    async fn judge(
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
    async fn judge_own(&self, cx: &Cx, tx: &WriteTx) -> Result<Vec<Judgement>, Failure> {
        let (names, _): (BTreeSet<String>, _) = readings::wanted(&self.gates);
        let now = readings::read_probes(cx, &names, Some((&self.on, tx))).await?;
        let judgements = guard::judge(tx, &self.gates, &Values { now, ..readings::values(cx) }).await?;
        cx.record(Event::Judged { stage: self.head.name.clone(), role: Role::Gate, judgements: judgements.clone() })?;
        Ok(judgements)
    }

    /// Holds what the gates read against change, where that is possible; refuses a role that could forge it.
    async fn hold(&self, tx: &WriteTx, gates: &[SealedPredicate]) -> Result<Vec<String>, Failure> {
        // The judged readings were taken in a savepoint that was rolled back, and their locks with it: each probe is
        // read once more outside, so that its tables stay locked and can be told. It was proved to only read.
        for (_, sql) in gates.iter().flat_map(|gate| &gate.probes) {
            tx.query(&format!("SELECT pg_catalog.count(*) FROM (\n{sql}\n) AS p"), &[]).await?;
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

    /// The definitions of the tables to be written are production's at seal time: same server, exact.
    async fn refuse_drift(&self, tx: &WriteTx, manifest: &Manifest) -> Result<(), Failure> {
        let objects = fingerprint::objects(tx).await?;
        let now: BTreeSet<(String, String, String)> = objects.iter().map(line).collect();
        let known: BTreeSet<(String, String, String)> = manifest.schema.iter().map(line).collect();
        let named: BTreeSet<(String, String)> = known.iter().map(|(k, i, _)| (k.clone(), i.clone())).collect();
        let gone: Vec<String> = known.difference(&now).map(|(_, identity, _)| identity.clone()).collect();
        // Something new on a written table (a trigger, a constraint) is drift as well.
        let parents: BTreeSet<&str> = manifest.writes.iter().map(|w| w.table.as_str()).collect();
        let added: Vec<String> = objects
            .into_iter()
            .filter(|o| o.parent.as_deref().is_some_and(|p| parents.contains(p)))
            .filter(|o| !named.contains(&(o.kind.clone(), o.identity.clone())))
            .map(|o| o.identity)
            .collect();
        if gone.is_empty() && added.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::new(
            Exit::InputsChanged,
            format!("definitions on `{}` are not those the packet was sealed for", self.on),
        )
        .next("seal anew", format!("engine apply plans/{}.toml", manifest.plan));
        failure.facts = gone
            .iter()
            .map(|g| format!("{g}  changed or gone"))
            .chain(added.iter().map(|a| format!("{a}  is new")))
            .collect();
        Err(failure)
    }

    /// The plan's gates must contain the packet's, with equal predicates and probe SQL.
    fn refuse_other_gates(&self, cx: &Cx, packet: &Packet) -> Result<(), Failure> {
        let own: Vec<SealedPredicate> = self
            .gates
            .iter()
            .map(|check| SealedPredicate {
                name: check.name.clone(),
                text: check.predicate.text.trim().to_owned(),
                probes: super::packet::probes_of(cx, check),
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

    fn closed(&self, failure: Failure, cx: &Cx) -> Failure {
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

    /// What the packet's own blocks raise, in the engine's words.
    fn refused(&self, mut failure: Failure) -> Failure {
        let state = failure.sqlstate.as_deref().unwrap_or("");
        failure.exit = match state {
            "EN001" | "EN002" => Exit::Blocked,
            "EN003" => Exit::EnsureFailed,
            "EN005" => Exit::BoundExceeded,
            _ => failure.exit,
        };
        failure.changed(format!("{}; the transaction was rolled back", unchanged(&self.on)))
    }
}

fn unchanged(target: &str) -> String {
    format!("`{target}` was not changed")
}

fn line(o: &SchemaObject) -> (String, String, String) {
    (o.kind.clone(), o.identity.clone(), o.definition.clone())
}

/// The packet's `apply.sql` without its first and last statement, which the engine sends itself.
fn script(packet: &Packet) -> Result<Script, Failure> {
    let text = packet.text("apply.sql")?;
    let source = Source::new("apply.sql", text.clone());
    let (mut statements, problems) = sql::split(&source);
    let framed = statements.first().is_some_and(|s| s.text.starts_with("BEGIN"))
        && statements.last().is_some_and(|s| s.text == "COMMIT");
    if problems.has_errors() || !framed {
        return Err(
            Failure::new(Exit::InputsChanged, "apply.sql is not framed by BEGIN and COMMIT").fact(problems.draw(false))
        );
    }
    statements.remove(0);
    statements.pop();
    Ok(Script { template: "apply.sql".to_owned(), sha256: crate::digest::hex(text.as_bytes()), text, statements })
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

fn sealed_bounds(manifest: &Manifest) -> bounds::Resolved {
    let bound = |w: &super::packet::manifest::SealedBound| Bound {
        table: w.table.clone(),
        most: w.most,
        place: "packet: rollout.json".to_owned(),
    };
    let tables = manifest.writes.iter().map(|w| (w.table.clone(), bound(w))).collect();
    bounds::Resolved::sealed(tables, manifest.alters.clone(), manifest.never.clone())
}
