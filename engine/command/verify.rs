//! `verify RUN|PACKET`: is the journal whole, is the packet what was sealed?

use super::{as_begun, print};
use crate::compile::{self, Given};
use crate::event::{self, Event, Exit, Failure, RunState, Status, evidence};
use crate::journal::{self, Anchor, Home, Place};
use crate::run;
use crate::stage::packet::PACKETS;
use crate::stage::packet::manifest::Packet;
use std::collections::BTreeMap;
use std::path::Path;

/// Verifies a run or a packet.
///
/// # Errors
/// Something does not fit (exit 62): names it.
pub async fn run(home: &Home, word: &str) -> Result<Exit, Failure> {
    if Path::new(word).join("SHA256SUMS").is_file() && Path::new(word).join("apply.sql").is_file() {
        return packet(word);
    }
    match home.find(word) {
        Ok((id, place)) => verify_run(home, &id, &place).await,
        // A journal that is gone is no word for a packet.
        Err(no_run) if no_run.exit != Exit::Usage => Err(no_run),
        Err(no_run) => brought(home, word)
            .and_then(|word| packet(&word))
            .map_err(|no_packet| if no_packet.exit == Exit::Usage { neither(no_run, no_packet) } else { no_packet }),
    }
}

/// The word is no run's and no packet's: both are said, and where they were looked for.
fn neither(no_run: Failure, no_packet: Failure) -> Failure {
    no_packet.facts.into_iter().fold(no_run.fact(no_packet.what), Failure::fact)
}

fn packet(word: &str) -> Result<Exit, Failure> {
    let packet = Packet::open(word)?;
    print(&format!("packet {}\n  every file is as it was sealed, none was added\n", packet.id));
    print(&format!(
        "  sealed by run {} of {} for `{}` ({})\n",
        packet.manifest.run, packet.manifest.plan, packet.manifest.target, packet.manifest.database.2
    ));
    verdicts(journal::read(&packet.dir.join("evidence"))?.events())?;
    Ok(Exit::Ok)
}

/// A packet of the shared journal is fetched if it is not here.
fn brought(home: &Home, word: &str) -> Result<String, Failure> {
    Ok(home.bring_packet(word, Path::new(PACKETS))?.unwrap_or_else(|| word.to_owned()))
}

async fn verify_run(home: &Home, id: &str, place: &Place) -> Result<Exit, Failure> {
    let history = place.read()?;
    print(&format!("run {id}\n  journal  whole: {} events", history.lines.len()));
    if history.torn_bytes > 0 {
        print(&format!(", and {} bytes of a half-written one", history.torn_bytes));
    }
    print("\n");
    let kept = place.kept()?;
    let state = RunState::of(history.events());
    sums(&kept.dir, &state)?;
    fingerprints(&kept.dir, history.events(), &state)?;
    once(&history.events().cloned().collect::<Vec<_>>())?;
    verdicts(history.events())?;
    // Those too that were sealed before the run was rolled back: they are anchors all the same.
    let sealed: Vec<(&str, &str)> = history
        .events()
        .filter_map(|event| match event {
            Event::PacketSealed { id, path, .. } => Some((id.as_str(), path.as_str())),
            _ => None,
        })
        .collect();
    for (packet, _) in &sealed {
        brought(home, packet)?;
    }
    let mut best: Option<Anchor> = None;
    for anchor in of_packets(id, &sealed)?.into_iter().chain(of_clones(&state).await) {
        if history.demand(id, &anchor).is_err() {
            // It may have gone on, and been anchored, since it was read.
            place.read()?.demand(id, &anchor)?;
        }
        best = best.filter(|known| known.count >= anchor.count).or(Some(anchor));
    }
    let events = history.lines.len();
    match best {
        Some(Anchor { by, count, .. }) => {
            let rest = events.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
            print(&format!("  anchored up to event {count} of {events} by {by}; {rest} are not\n"));
        }
        None => print(&format!("  anchored nowhere: nothing outside tells whether any of {events} events were cut\n")),
    }
    Ok(Exit::Ok)
}

/// Whatever happened, nothing may be committed a second time that stands already.
fn once(events: &[Event]) -> Result<(), Failure> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for event in event::standing(events) {
        match event {
            Event::StageCommitted { stage, .. } => *times.entry(format!("stage `{stage}`")).or_default() += 1,
            Event::BatchCommitted { stage, batch, .. } => {
                *times.entry(format!("batch {batch} of stage `{stage}`")).or_default() += 1;
            }
            _ => {}
        }
    }
    let twice = times.into_iter().filter(|(_, times)| *times > 1);
    refuse(twice.map(|(what, times)| format!("{what}: {times} times")).collect(), "what stands was committed again")
}

/// Heads that are sealed with the run's packets: those that the journal names, and those that name the run, which a journal
/// that was cut does not name any more.
///
/// # Errors
/// A packet is not what was sealed (62).
fn of_packets(run: &str, sealed: &[(&str, &str)]) -> Result<Vec<Anchor>, Failure> {
    let mut anchors = Vec::new();
    for (id, path) in sealed {
        if !Path::new(path).is_dir() {
            print(&format!("  not asked: the packet {}, which is not in {path}\n", crate::digest::short(id)));
            continue;
        }
        let packet = Packet::open(path)?;
        if packet.id != *id {
            return Err(Failure::new(Exit::InputsChanged, format!("{path} is another packet than the run sealed"))
                .fact(format!("sealed  {id}"))
                .fact(format!("found   {}", packet.id))
                .changed("nothing was changed"));
        }
        anchors.extend(head_of(&packet)?);
    }
    let entries = std::fs::read_dir(PACKETS).into_iter().flatten().filter_map(Result::ok);
    for path in entries.map(|entry| entry.path()).filter(|path| path.join("rollout.json").is_file()) {
        // What is no packet is none of this run's.
        let Ok(packet) = Packet::open(&path.to_string_lossy()) else { continue };
        if packet.manifest.run == run && sealed.iter().all(|(id, _)| *id != packet.id) {
            anchors.extend(head_of(&packet)?);
        }
    }
    Ok(anchors)
}

/// The head that a packet was sealed with, as it was sealed.
fn head_of(packet: &Packet) -> Result<Option<Anchor>, Failure> {
    let text = packet.text("evidence/head.txt")?;
    let head = text.trim().split_once(' ').and_then(|(count, hash)| Some((count.parse().ok()?, hash.to_owned())));
    let by = format!("the packet {}", crate::digest::short(&packet.id));
    Ok(head.map(|(count, hash)| Anchor { by, count, hash }))
}

/// Heads in the markers of the run's databases, where these can be reached: only their maker's credentials are needed.
async fn of_clones(state: &RunState) -> Vec<Anchor> {
    let Some(Event::RunStarted { plan_path, vars, as_of, date, stages, .. }) = &state.started else {
        return Vec::new();
    };
    if stages.iter().all(|stage| stage.kind != "clone") {
        return Vec::new();
    }
    let args = as_begun(plan_path, vars, as_of, date.as_deref());
    let given = Given { vars: args.vars, date: args.date, ..Given::default() };
    let Ok(workflow) = compile::workflow(&args.plan, &given) else {
        print(&format!("  not asked: the marker of its clone, since {plan_path} is not there any more, or wrong\n"));
        return Vec::new();
    };
    let mut anchors = Vec::new();
    for (database, answer) in run::ask(&workflow, state).await {
        match answer {
            Ok(Some(anchor)) => anchors.push(anchor),
            Ok(None) => print(&format!("  not asked: there is no clone `{database}` of this run\n")),
            Err(failure) => print(&format!("  not asked: the marker of the clone `{database}`: {}\n", failure.what)),
        }
    }
    anchors
}

/// The run's own SHA256SUMS; and what it was given, by the journal's first line, which is in the chain.
fn sums(dir: &Path, state: &RunState) -> Result<(), Failure> {
    let path = dir.join("SHA256SUMS");
    let text =
        std::fs::read_to_string(&path).map_err(|e| Failure::new(Exit::Io, format!("{}: {e}", path.display())))?;
    let given: Vec<(String, String)> = match &state.started {
        Some(Event::RunStarted { inputs, .. }) => {
            let files = inputs.iter().filter(|(name, _)| !name.starts_with("var."));
            files.map(|(name, sha256)| (sha256.clone(), format!("plan/{name}"))).collect()
        }
        _ => Vec::new(),
    };
    let listed = text
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sha256, name)| (sha256.to_owned(), name.to_owned()));
    let is = |name: &str| std::fs::read(dir.join(name)).map(|bytes| crate::digest::hex(&bytes)).unwrap_or_default();
    let mut wrong: Vec<String> =
        listed.chain(given).filter(|(sha256, name)| is(name) != *sha256).map(|(_, name)| name).collect();
    wrong.sort();
    wrong.dedup();
    refuse(wrong, "files of the run are not what they were")?;
    print(&format!("  inputs   {} files as they were\n", text.lines().count()));
    Ok(())
}

fn fingerprints<'e>(dir: &Path, events: impl Iterator<Item = &'e Event>, state: &RunState) -> Result<(), Failure> {
    // A stage that was interrupted takes its fingerprint again, in place of the one before, and may be at it.
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for event in events {
        if let Event::FingerprintTaken { stage, file, file_sha256, .. } = event
            && !matches!(state.stage(stage).status, Status::Started | Status::Committed)
        {
            last.insert(file, file_sha256);
        }
    }
    let is = |file: &str| std::fs::read(dir.join(file)).map(|bytes| crate::digest::hex(&bytes)).unwrap_or_default();
    let wrong = last.iter().filter(|(file, sha256)| is(file) != **sha256).map(|(file, _)| (*file).to_owned()).collect();
    let count = last.len();
    refuse(wrong, "fingerprints are not what the journal says")?;
    print(&format!("  prints   {count} fingerprints as the journal says\n"));
    Ok(())
}

/// Every verdict of a proof, a reject or a comparison follows from what it saw.
fn verdicts<'e>(events: impl Iterator<Item = &'e Event>) -> Result<(), Failure> {
    let mut count = 0;
    let mut wrong = Vec::new();
    for event in events {
        let decides = match event {
            // A preflight is said in words only.
            Event::Proved { evidence, .. } => !evidence.is_empty(),
            other => matches!(other, Event::Rejects { .. } | Event::Compared { .. }),
        };
        count += usize::from(decides);
        wrong.extend(evidence::contradiction(event));
    }
    refuse(wrong, "verdicts do not follow from what was seen")?;
    print(&format!("  proofs   {count} verdicts follow from what they saw\n"));
    Ok(())
}

fn refuse(wrong: Vec<String>, what: &str) -> Result<(), Failure> {
    if wrong.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::InputsChanged, what).changed("nothing was changed");
    failure.facts = wrong;
    Err(failure)
}
