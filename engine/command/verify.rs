//! `verify RUN|PACKET`: is the journal whole, is the packet what was sealed?

use super::print;
use crate::event::{Event, Exit, Failure, evidence};
use crate::journal::{self, store};
use crate::stage::packet::manifest::Packet;
use std::collections::BTreeMap;
use std::path::Path;

/// Verifies a run or a packet.
///
/// # Errors
/// Something does not fit (exit 62): names it.
pub fn run(word: &str) -> Result<Exit, Failure> {
    if Path::new(word).join("SHA256SUMS").is_file() && Path::new(word).join("apply.sql").is_file() {
        return packet(word);
    }
    match store::find_run(word) {
        Ok((id, dir)) => verify_run(&id, &dir),
        Err(no_run) => packet(word).map_err(|no_packet| if no_packet.exit == Exit::Usage { no_run } else { no_packet }),
    }
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

fn verify_run(id: &str, dir: &Path) -> Result<Exit, Failure> {
    let history = journal::read(dir)?;
    print(&format!("run {id}\n  journal  whole: {} events", history.lines.len()));
    if history.torn_bytes > 0 {
        print(&format!(", and {} bytes of a half-written one", history.torn_bytes));
    }
    print("\n");
    sums(dir)?;
    fingerprints(dir, history.events())?;
    verdicts(history.events())?;
    // Of a packet too that was sealed before the run was rolled back: it is an anchor all the same.
    let sealed = history.events().filter_map(|event| match event {
        Event::PacketSealed { path, .. } => Some(path),
        _ => None,
    });
    let anchored = sealed.filter_map(|path| {
        let text = std::fs::read_to_string(Path::new(path).join("evidence/head.txt")).ok()?;
        let (count, hash) = text.trim().split_once(' ')?;
        Some((count.parse::<usize>().ok()?, hash.to_owned()))
    });
    let mut best = 0;
    for (count, hash) in anchored {
        if count > history.hashes.len() || (count > 0 && history.hashes[count - 1] != hash) {
            return Err(Failure::new(
                Exit::InputsChanged,
                format!("the journal of run {id} is not the one its packet was sealed with"),
            )
            .fact(format!("anchored at {count} events, it has {}", history.lines.len())));
        }
        best = best.max(count);
    }
    let rest = history.lines.len() - best;
    print(&format!("  anchored up to event {best} by its packet; {rest} events are not\n"));
    Ok(Exit::Ok)
}

/// The run's own SHA256SUMS.
fn sums(dir: &Path) -> Result<(), Failure> {
    let path = dir.join("SHA256SUMS");
    let text =
        std::fs::read_to_string(&path).map_err(|e| Failure::new(Exit::Io, format!("{}: {e}", path.display())))?;
    let wrong: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_once("  "))
        .filter(|(sha256, name)| {
            std::fs::read(dir.join(name)).map_or(true, |bytes| crate::digest::hex(&bytes) != *sha256)
        })
        .map(|(_, name)| name.to_owned())
        .collect();
    refuse(wrong, "files of the run are not what they were")?;
    print(&format!("  inputs   {} files as they were\n", text.lines().count()));
    Ok(())
}

fn fingerprints<'e>(dir: &Path, events: impl Iterator<Item = &'e Event>) -> Result<(), Failure> {
    // A stage that was interrupted takes its fingerprint again, in place of the one before.
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for event in events {
        if let Event::FingerprintTaken { file, file_sha256, .. } = event {
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
