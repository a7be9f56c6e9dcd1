//! Building a packet: every file in a folder aside, its sums, its id, then one rename.

use super::apply_sql::{self, Bounds, Sealing};
use super::manifest::{Manifest, SealedBound, SealedPredicate, files_below};
use super::{PACKETS, PacketStage};
use crate::event::{Event, Exit, Failure, Judgement, RunState, StageBrief, planned, standing};
use crate::guard::Check;
use crate::journal;
use crate::journal::store;
use crate::proof::{Script, bounds};
use crate::report::decision::Decision;
use crate::report::page;
use crate::sql::{Name, reads_setting};
use crate::stage::Cx;
use crate::target::{Isolation, identify};
use crate::{crash, digest};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A sealed packet.
pub struct Sealed {
    /// SHA-256 of its SHA256SUMS.
    pub id: String,
    /// Its folder.
    pub path: PathBuf,
    /// Its verdict.
    pub decision: Decision,
}

/// Builds, seals and renames a packet into place.
///
/// # Errors
/// The target cannot be read, or the disk did not take it.
pub async fn seal(cx: &Cx, stage: &PacketStage, gates: Vec<Judgement>) -> Result<Sealed, Failure> {
    let history = cx.journal.place().read()?;
    // Only what happened before this stage began: building it again gives the same bytes.
    let cut = begun_at(&history, &stage.head.name);
    let events: Vec<Event> = history.events().take(cut).cloned().collect();
    let events = standing(&events);
    let briefs = briefs(&events, &stage.upstream);
    let decision = Decision::over(&briefs, &events, gates);

    let (bounds, manifest) = facts(cx, stage, &events, &decision).await?;
    let kinds = kinds(&events);
    let rollbacks = stage.of.iter().filter_map(|built| built.work.as_ref()?.rollback.as_ref());
    let sealing = Sealing {
        run: &cx.run,
        as_of: &cx.as_of,
        probes: &cx.probes,
        kinds: &kinds,
        vars: &cx.vars,
        bounds: &bounds,
        alters: !manifest.alters.is_empty(),
        search_path: &stage.search_path,
        sensitive: &manifest.sensitive,
        sensitive_back: &sensitive(cx, rollbacks),
    };

    let runs = Path::new(PACKETS);
    let lost = |e: std::io::Error| Failure::new(Exit::Io, format!("the packet cannot be written below {PACKETS}: {e}"));
    std::fs::create_dir_all(runs).map_err(lost)?;
    let aside = tempfile::Builder::new().prefix(".sealing-").tempdir_in(runs).map_err(lost)?;
    let dir = aside.path();
    let write = |name: &str, text: &str| store::write(&dir.join(name), text.as_bytes());
    write("apply.sql", &apply_sql::apply(stage, &sealing)?)?;
    write("rollback.sql", &apply_sql::rollback(stage, &sealing)?)?;
    for work in stage.of.iter().filter_map(|built| built.work.as_ref()) {
        write(&format!("stages/{}.sql", work.stage), &work.forward.text)?;
        if let Some(rollback) = &work.rollback {
            write(&format!("stages/{}.rollback.sql", work.stage), &rollback.text)?;
        }
    }
    write("rollout.json", &json(&manifest))?;
    write("decision.json", &json(&decision))?;
    write(
        "GO-NO-GO.md",
        &page::go_no_go(&page::Sealed {
            decision: &decision,
            events: &events,
            target: &stage.target,
            writes: &shown_writes(&manifest),
        }),
    )?;
    write("VERIFY.md", VERIFY)?;
    for (name, bytes) in &cx.inputs {
        store::write(&dir.join("plan").join(name), bytes)?;
    }
    let vars: BTreeMap<&String, &String> = cx.vars.iter().map(|(name, (_, text))| (name, text)).collect();
    write("plan/vars.json", &json(&vars))?;
    evidence(cx, dir, cut, &history)?;

    let mut files = Vec::new();
    files_below(dir, dir, &mut files).map_err(lost)?;
    let mut sums = String::new();
    for name in &files {
        let bytes = std::fs::read(dir.join(name)).map_err(lost)?;
        sums.push_str(&format!("{}  {name}\n", digest::hex(&bytes)));
    }
    write("SHA256SUMS", &sums)?;
    let id = digest::hex(sums.as_bytes());
    // Unsigned, and outside of the sums: it speaks about their digest.
    write("attest/statement.json", &statement(&id, &decision))?;
    let path = runs.join(format!("packet-{}", digest::short(&id)));
    if path.exists() {
        cx.journal.place().keep_packet(&id, &path)?;
        return Ok(Sealed { id, path, decision });
    }
    std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).map_err(lost)?;
    crash::point(|| "packet/aside".to_owned());
    std::fs::rename(aside.keep(), &path).map_err(lost)?;
    crash::point(|| "packet/renamed".to_owned());
    store::sync_dir(runs)?;
    cx.journal.place().keep_packet(&id, &path)?;
    Ok(Sealed { id, path, decision })
}

/// Where the stage began: after what it depends on was undone last, if it ever was, and after its plan was changed last. Before
/// that there may have been fewer stages to wait for.
fn begun_at(history: &journal::History, name: &str) -> usize {
    let events: Vec<&Event> = history.events().collect();
    let anew = |event: &&Event| match event {
        Event::Undone { again, .. } => again.iter().any(|of| of == name),
        Event::RunResumed { inputs, .. } => !inputs.is_empty(),
        _ => false,
    };
    let from = events.iter().rposition(anew).map_or(0, |at| at + 1);
    let begun = |event: &&Event| matches!(event, Event::StageStarted { stage } if stage == name);
    events[from..].iter().position(begun).map_or(events.len(), |at| from + at)
}

/// Names resolved on the target, its tables' definitions, what the stages wrote on the clone.
async fn facts(
    cx: &Cx,
    stage: &PacketStage,
    events: &[Event],
    decision: &Decision,
) -> Result<(Bounds, Manifest), Failure> {
    let state = RunState::of(events);
    let tx = cx.targets.reader(&stage.target)?.begin("sealing the packet", Isolation::Snapshot).await?;
    let identity = identify(&tx).await?;
    let mut bounds: Bounds = BTreeMap::new();
    let mut writes: BTreeMap<String, SealedBound> = BTreeMap::new();
    let works: Vec<_> = stage.of.iter().filter_map(|b| b.work.as_ref()).collect();
    for work in &works {
        let own = bounds.entry(work.stage.clone()).or_default();
        for bound in &work.writes {
            let table = bounds::find(&tx, &bound.table).await?.unwrap_or_else(|| bounds::default_schema(&bound.table));
            let rehearsed = state
                .stage(&work.stage)
                .writes
                .iter()
                .filter(|w| w.table == table)
                .map(crate::event::TableWrite::total)
                .sum::<u64>();
            let sum = writes.entry(table.clone()).or_insert(SealedBound {
                table: table.clone(),
                rehearsed: 0,
                most: Some(0),
            });
            sum.rehearsed += rehearsed;
            sum.most = sum.most.zip(bound.most).map(|(a, b)| a + b);
            own.push((bound.table.clone(), table, bound.most));
        }
    }
    let mut altered: BTreeSet<String> = BTreeSet::new();
    for name in works.iter().flat_map(|w| &w.alters) {
        altered.insert(bounds::find(&tx, name).await?.unwrap_or_else(|| bounds::default_schema(name)));
    }
    let mut never: BTreeSet<String> = BTreeSet::new();
    for work in &works {
        never.extend(bounds::never(&tx, &work.never).await?);
    }
    // Triggers and columns of a partition are its own.
    let mut tables: BTreeSet<String> = writes.keys().chain(&altered).cloned().collect();
    for table in writes.keys().chain(&altered) {
        tables.extend(bounds::partitions(&tx, table).await?);
    }
    let objects = crate::fingerprint::objects(&tx).await?;
    cx.finish(tx).await?;
    let concerned = |parent: Option<&str>, identity: &str| {
        tables.iter().any(|t| parent == Some(t) || identity == t || identity.ends_with(&format!(" {t}")))
    };
    let schema = objects.into_iter().filter(|o| concerned(o.parent.as_deref(), &o.identity)).collect();
    let sealed = |check: &Check| SealedPredicate {
        name: check.name.clone(),
        text: check.predicate.text.trim().to_owned(),
        probes: probes_of(cx, check),
    };
    let manifest = Manifest {
        v: 1,
        plan: cx.plan.clone(),
        run: cx.run.clone(),
        as_of: cx.as_of.clone(),
        target: stage.target.clone(),
        database: (identity.system_identifier, identity.oid, identity.database),
        gates: stage.gates.iter().map(sealed).collect(),
        done_when: stage.done_when.as_ref().map(sealed),
        stages: works.iter().map(|w| w.stage.clone()).collect(),
        writes: writes.into_values().collect(),
        alters: altered.into_iter().collect(),
        never: never.into_iter().collect(),
        schema,
        sensitive: sensitive(cx, works.iter().map(|work| &work.forward)),
        search_path: stage.search_path.clone(),
        timeout_ms: super::timeout_ms(works.iter().map(AsRef::as_ref)),
        lock_timeout_ms: works.iter().map(|w| millis(w.lock_timeout)).min().unwrap_or(2_000),
        technical_go: decision.technical_go,
    };
    Ok((bounds, manifest))
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The probes a predicate reads now, with their SQL.
pub(in crate::stage) fn probes_of(cx: &Cx, check: &Check) -> Vec<(String, String)> {
    let mut probes: Vec<(String, String)> = check
        .predicate
        .uses
        .iter()
        .filter_map(|u| match &u.name {
            Name::Now(probe) => cx.probes.get(probe).map(|q| (probe.clone(), q.sql.trim().to_owned())),
            _ => None,
        })
        .collect();
    probes.sort();
    probes.dedup();
    probes
}

fn briefs(events: &[Event], upstream: &[String]) -> Vec<StageBrief> {
    planned(events).into_iter().filter(|s| upstream.contains(&s.name)).collect()
}

/// Sensitive variables that these scripts read.
fn sensitive<'s>(cx: &Cx, scripts: impl Iterator<Item = &'s Script>) -> Vec<String> {
    let texts: Vec<&str> = scripts.map(|script| script.text.as_str()).collect();
    let reads = |name: &String| texts.iter().any(|text| reads_setting(text, &format!("engine.var.{name}")));
    let mut used: Vec<String> = cx.sensitive.values().map(|(name, _)| name.to_owned()).filter(reads).collect();
    used.sort();
    used
}

/// Type of each probe as its readings showed it.
fn kinds(events: &[Event]) -> BTreeMap<String, String> {
    let mut kinds = BTreeMap::new();
    for event in events {
        if let Event::Readings { values, .. } = event {
            for reading in values.iter().filter(|r| !r.kind.is_empty()) {
                kinds.insert(reading.probe.clone(), reading.kind.clone());
            }
        }
    }
    kinds
}

fn evidence(cx: &Cx, dir: &Path, cut: usize, history: &journal::History) -> Result<(), Failure> {
    let bytes = cx.journal.place().bytes()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: String = text.lines().take(cut).map(|line| format!("{line}\n")).collect();
    store::write(&dir.join("evidence/journal.jsonl"), lines.as_bytes())?;
    let head = cut.checked_sub(1).and_then(|last| history.hashes.get(last)).cloned().unwrap_or_default();
    store::write(&dir.join("evidence/head.txt"), format!("{cut} {head}\n").as_bytes())?;
    let prints = cx.dir.join("fingerprints");
    let mut names = Vec::new();
    if prints.is_dir() {
        files_below(&prints, &prints, &mut names)
            .map_err(|e| Failure::new(Exit::Io, format!("{}: {e}", prints.display())))?;
    }
    for name in names {
        let bytes = std::fs::read(prints.join(&name)).map_err(|e| Failure::new(Exit::Io, format!("{name}: {e}")))?;
        store::write(&dir.join("evidence/fingerprints").join(&name), &bytes)?;
    }
    Ok(())
}

fn shown_writes(manifest: &Manifest) -> Vec<(String, u64, String)> {
    let most = |bound: &SealedBound| bound.most.map_or("any".to_owned(), |n| n.to_string());
    manifest.writes.iter().map(|w| (w.table.clone(), w.rehearsed, most(w))).collect()
}

fn json(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("invariant: a packet's facts are JSON");
    text.push('\n');
    text
}

/// in-toto statement of type test-result over the packet's id; people sign the id, not this file.
fn statement(id: &str, decision: &Decision) -> String {
    let passed = |pass: bool| -> Vec<&str> {
        decision.criteria.iter().filter(|c| (c.result == "PASS") == pass).map(|c| c.what.as_str()).collect()
    };
    json(&serde_json::json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "SHA256SUMS", "digest": { "sha256": id } }],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": if decision.technical_go { "PASSED" } else { "FAILED" },
            "passedTests": passed(true),
            "failedTests": passed(false),
        },
    }))
}

const VERIFY: &str = "# How to check this packet without the engine

1. `sha256sum -c SHA256SUMS` : every file is as it was sealed.
2. `sha256sum SHA256SUMS` : the packet's id, which is what people approve; its first 12 digits name the folder.
3. `find . -type f` : no file beside those listed, `SHA256SUMS` and `attest/`.
4. Read `GO-NO-GO.md`, then `apply.sql` from its first line to its last.
5. Sign it: `ssh-keygen -Y sign -n engine -f KEY < SHA256SUMS > attest/NAME.sig`.
6. Apply it by `engine apply ROLLOUT-PLAN --var packet=ID`, or by `psql -v ON_ERROR_STOP=1 -f apply.sql`:
   the file is one transaction and refuses while a gate is closed, whatever options psql is given;
   without ON_ERROR_STOP psql ends with 0 all the same.
";
