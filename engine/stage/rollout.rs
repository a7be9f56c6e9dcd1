//! `rollout`: applies one sealed packet to a target that is no clone, behind its gates, in one transaction, once.
//!
//! What is sent is the packet's own `apply.sql`, statement by statement, so that this way and bare psql are the same
//! bytes. Around it: the packet's files are verified, the approvals are held against change where that is possible,
//! drift is refused, and COMMIT goes through the commit protocol.

mod gate;
mod sealed;

use super::packet::PACKETS;
use super::packet::manifest::{Manifest, Packet};
use super::{Cx, Done, Head, Kind, Parse, Recovery, Running, Stage, commit, readings, stall};
use crate::diag::Diagnostic;
use crate::event::{Event, Exit, Failure, Role, StageState, Status};
use crate::guard::{self, Check};
use crate::plan::keys::Keys;
use crate::proof::{forward, measure};
use crate::target::{Plain, RETRYABLE, WriteTx, Writer};
use std::collections::BTreeMap;
use std::path::Path;
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

impl RolloutStage {
    async fn go(&self, cx: &Cx) -> Result<Done, Failure> {
        let plain = cx.targets.plain(&self.on)?;
        let writer =
            plain.writer.clone().ok_or_else(|| Failure::new(Exit::Io, format!("`{}` has no writer", self.on)))?;
        let writer = writer.apart();
        stall::over(cx, &self.head.name, &writer, Box::pin(self.work_on(cx, plain, &writer))).await
    }

    async fn work_on(&self, cx: &Cx, plain: &Plain, writer: &Writer) -> Result<Done, Failure> {
        let known = cx.with_state(|state| state.stage(&self.head.name));
        // Before anything that could refuse: a rollout that was committed must not be called blocked.
        if known.attempts > 0
            && (known.status == Status::Committed || commit::recover(cx, &self.head.name, writer, &known).await?)
        {
            return self.remembered(cx, &known);
        }
        // A resumed run goes on with the packet it began with, whatever `latest` means by now.
        let word = known.opened.as_deref().unwrap_or(&self.packet);
        let brought = cx.journal.place().bring_packet(word, Path::new(PACKETS))?;
        let packet = Packet::open(brought.as_deref().unwrap_or(word))?;
        cx.record(Event::PacketOpened { stage: self.head.name.clone(), id: packet.id.clone() })?;
        let manifest = &packet.manifest;
        let short = crate::digest::short(&packet.id).to_owned();
        cx.say(&self.head.name, &format!("packet {short}, sealed by run {}", manifest.run));
        self.refuse_other_gates(cx, &packet)?;
        if !manifest.technical_go {
            return Err(Failure::new(Exit::NoGo, format!("packet {short} was sealed NO-GO"))
                .next("then", "put right what it says, seal a new packet, and have that one approved")
                .fact(format!("read {}", packet.dir.join("GO-NO-GO.md").display()))
                .changed(unchanged(&self.on)));
        }
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
        self.attempts(cx, writer, &packet, known.attempts).await
    }

    /// Attempts, as many as `retry` grants after the first: each is a transaction of its own, and asks gates and guards anew.
    async fn attempts(&self, cx: &Cx, writer: &Writer, packet: &Packet, before: u32) -> Result<Done, Failure> {
        let mut attempt = before;
        loop {
            attempt += 1;
            match self.attempt(cx, writer, packet, attempt).await {
                Err(failure)
                    if attempt - before <= self.head.retry
                        && failure.sqlstate.as_deref().is_some_and(|code| RETRYABLE.contains(&code)) =>
                {
                    cx.say(&self.head.name, &format!("attempt {attempt} ended with {}; trying again", failure.what));
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt(&self, cx: &Cx, writer: &Writer, packet: &Packet, attempt: u32) -> Result<Done, Failure> {
        let short = crate::digest::short(&packet.id);
        readings::guards_outside(cx, &self.head).await?;
        let tx = writer.session("rollout").await?.in_path(&packet.manifest.search_path);
        cx.record(Event::AttemptStarted {
            stage: self.head.name.clone(),
            attempt,
            backend_pid: tx.backend_pid,
            backend_start: tx.backend_start.clone(),
        })?;
        match self.within(cx, &tx, packet).await {
            Ok(Some((held, summary))) => self.commit(cx, packet, writer, tx, held, summary).await,
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
            "{} in one transaction · packet {} · committed before",
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
        let [timeout, lock_timeout] = [manifest.timeout_ms, manifest.lock_timeout_ms].map(Duration::from_millis);
        tx.begin_within(self.head.timeout.max(timeout), timeout, lock_timeout).await?;
        commit::stage_lock(tx, &self.on, false, &self.head.name).await?;
        self.refuse_missing(cx, manifest)?;
        let (run, as_of) = (manifest.run.clone(), manifest.as_of.clone());
        forward::settle(tx, &crate::proof::RunSettings { run, as_of, ..cx.settings() }).await?;
        if self.is_done(cx, tx).await? {
            return Ok(None);
        }
        if let Some(done_when) = &manifest.done_when {
            let judged = self.judge(cx, tx, Role::DoneWhen, std::slice::from_ref(done_when)).await?;
            if guard::decided(Role::DoneWhen, "the packet", &judged)? {
                return Ok(None);
            }
        }
        let gates = self.judge(cx, tx, Role::Gate, &manifest.gates).await?;
        let held = self.hold(tx, &manifest.gates).await?;
        let own = self.judge_own(cx, tx).await?;
        for judgements in [&gates, &own] {
            if let Some(failure) = guard::refusal(Role::Gate, &format!("target `{}`", self.on), judgements) {
                return Err(self.closed(failure, cx));
            }
        }
        sealed::refuse_drift(&self.on, tx, manifest).await?;

        let before = measure::before_without_sequences(tx).await?;
        let script = sealed::script(packet)?;
        let ran = forward::run(tx, &script, &before, None).await.map_err(|failure| self.refused(failure))?;
        let statements = ran.statements.clone();
        cx.record(Event::Statements { stage: name.to_owned(), purpose: "rollout".into(), statements })?;
        let resolved = sealed::bounds_of(manifest);
        let writes = resolved.writes(&ran.delta);
        cx.record(ran.measured(name, "forward", writes.clone()))?;
        crate::proof::hold(tx, &resolved, name, &ran).await?;
        // New statements, last before COMMIT.
        let again = self.judge(cx, tx, Role::Gate, &manifest.gates).await?;
        let own_again = self.judge_own(cx, tx).await?;
        for judgements in [&again, &own_again] {
            if let Some(failure) = guard::refusal(Role::Gate, &format!("target `{}`", self.on), judgements) {
                return Err(self.closed(failure, cx).changed(self.ran_and_rolled_back()));
            }
        }
        Ok(Some((held, writes)))
    }

    /// What is sensitive is not in the packet: this plan has to bring it.
    fn refuse_missing(&self, cx: &Cx, manifest: &Manifest) -> Result<(), Failure> {
        let missing: Vec<&str> =
            manifest.sensitive.iter().map(String::as_str).filter(|name| !cx.sensitive.has(name)).collect();
        let Some(first) = missing.first() else { return Ok(()) };
        let what = format!("the packet reads sensitive variables that this plan does not have: {}", missing.join(", "));
        Err(Failure::new(Exit::PlanInvalid, what).changed(unchanged(&self.on)).next(
            "write",
            format!("[var.{first}] with type = \"text\", sensitive = true and default = \"env:NAME\" into the rollout's plan"),
        ))
    }

    /// What the packet's own blocks raise, in the engine's words.
    fn refused(&self, mut failure: Failure) -> Failure {
        let state = failure.sqlstate.as_deref().unwrap_or("");
        failure.exit = match state {
            "EN001" | "EN002" | "EN006" => Exit::Blocked,
            "EN003" => Exit::EnsureFailed,
            "EN005" => Exit::BoundExceeded,
            _ => failure.exit,
        };
        failure.changed(self.ran_and_rolled_back())
    }

    fn ran_and_rolled_back(&self) -> String {
        format!("{}; the transaction was rolled back (values it took from sequences stay taken)", unchanged(&self.on))
    }
}

fn unchanged(target: &str) -> String {
    format!("`{target}` was not changed")
}
