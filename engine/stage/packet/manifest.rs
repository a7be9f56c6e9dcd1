//! What a packet says of itself, for machines: `rollout.json`. Also finding and verifying a packet folder.

use super::PACKETS;
use crate::digest;
use crate::event::{Exit, Failure};
use crate::fingerprint::SchemaObject;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A predicate with the probes it reads, as SQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedPredicate {
    /// Name in the plan.
    pub name: String,
    /// Text in the plan.
    pub text: String,
    /// Probes it reads: name and SQL.
    pub probes: Vec<(String, String)>,
}

/// A table's bound in the packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBound {
    /// `schema.table`.
    pub table: String,
    /// Rows changed on the clone.
    pub rehearsed: u64,
    /// The most row changes; `None`: any.
    pub most: Option<u64>,
}

/// `rollout.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format: 1.
    pub v: u32,
    /// Plan it comes from.
    pub plan: String,
    /// Run that sealed it.
    pub run: String,
    /// The run's one instant.
    pub as_of: String,
    /// Name of the target it is for.
    pub target: String,
    /// System identifier, oid and name of the database it was rehearsed for.
    pub database: (String, i64, String),
    /// Gates it is sealed with.
    pub gates: Vec<SealedPredicate>,
    /// Already applied?
    pub done_when: Option<SealedPredicate>,
    /// Stages it carries.
    pub stages: Vec<String>,
    /// What it may change.
    pub writes: Vec<SealedBound>,
    /// Objects whose definition it may create, change or drop.
    pub alters: Vec<String>,
    /// Tables that are never written or altered there.
    pub never: Vec<String>,
    /// Definitions of these tables on the target when it was sealed: drift is refused.
    pub schema: Vec<SchemaObject>,
    /// Sensitive variables that its SQL reads as settings; their values are not in the packet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sensitive: Vec<String>,
    /// The plan's search path.
    pub search_path: String,
    /// Its stages' time-outs, added up, in milliseconds.
    pub timeout_ms: u64,
    /// Shortest of its stages' lock time-outs, in milliseconds.
    pub lock_timeout_ms: u64,
    /// All technical criteria passed.
    pub technical_go: bool,
}

/// A packet whose files were verified.
#[derive(Clone, Debug)]
pub struct Packet {
    /// SHA-256 of its `SHA256SUMS`: what people approve.
    pub id: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Its `rollout.json`.
    pub manifest: Manifest,
}

impl Packet {
    /// Finds a packet by folder, id, unique prefix of an id, or `latest`, and verifies every file.
    ///
    /// # Errors
    /// None or several match (exit 2), a file differs, is missing or was added (exit 62).
    pub fn open(word: &str) -> Result<Packet, Failure> {
        let dir = find(word)?;
        let id = verify(&dir)?;
        refuse_other_id(word, &dir, &id)?;
        let path = dir.join("rollout.json");
        let bytes = std::fs::read(&path).map_err(|e| unreadable(&path, &e.to_string()))?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| unreadable(&path, &e.to_string()))?;
        if manifest.v != 1 {
            return Err(unreadable(&path, &format!("format {} is not known to this engine", manifest.v)));
        }
        Ok(Packet { id, dir, manifest })
    }

    /// The text of one of its files, as it was sealed: the folder may have been written to since it was opened.
    ///
    /// # Errors
    /// It cannot be read, or is another one by now (exit 62).
    pub fn text(&self, name: &str) -> Result<String, Failure> {
        let read = |name: &str| {
            let path = self.dir.join(name);
            std::fs::read_to_string(&path).map_err(|e| unreadable(&path, &e.to_string()))
        };
        let (sums, text) = (read("SHA256SUMS")?, read(name)?);
        let line = format!("{}  {name}", digest::hex(text.as_bytes()));
        if digest::hex(sums.as_bytes()) == self.id && sums.lines().any(|known| known == line) {
            return Ok(text);
        }
        Err(Failure::new(Exit::InputsChanged, format!("{name} of the packet was changed while it was at work"))
            .fact(format!("in {}", self.dir.display()))
            .next("seal anew", "engine apply PLAN"))
    }
}

/// The id that was named, and the one the folder is called by, must be the digest of what lies there.
fn refuse_other_id(word: &str, dir: &Path, id: &str) -> Result<(), Failure> {
    let word = word.strip_prefix("packet-").unwrap_or(word);
    let hex = word.len() <= 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let called = dir.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix("packet-")).unwrap_or("");
    if (!hex || id.starts_with(&word.to_lowercase())) && id.starts_with(called) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::InputsChanged,
        format!("the packet {} is not the one that was sealed under that id", dir.display()),
    )
    .fact(format!("asked for  {}", if hex { word } else { called }))
    .fact(format!("found      {id}"))
    .changed("nothing was changed; nothing was sent"))
}

fn unreadable(path: &Path, why: &str) -> Failure {
    Failure::new(Exit::Io, format!("{} cannot be read: {why}", path.display()))
}

fn find(word: &str) -> Result<PathBuf, Failure> {
    let direct = Path::new(word);
    if direct.join("SHA256SUMS").is_file() {
        return Ok(direct.to_owned());
    }
    let mut known: Vec<(std::time::SystemTime, String, PathBuf)> = std::fs::read_dir(PACKETS)
        .map(|entries| {
            entries
                .filter_map(Result::ok)
                .filter_map(|entry| {
                    let name = entry.file_name().to_string_lossy().strip_prefix("packet-")?.to_owned();
                    // Of the file that is never written again: a signature beside it, or attestations, make no packet newer.
                    let sealed = std::fs::metadata(entry.path().join("SHA256SUMS")).and_then(|m| m.modified());
                    let born = sealed.unwrap_or(std::time::UNIX_EPOCH);
                    Some((born, name, entry.path()))
                })
                .collect()
        })
        .unwrap_or_default();
    known.sort();
    let none = |what: String| {
        Failure::new(Exit::Usage, what)
            .fact(format!("looked in {PACKETS}"))
            .changed("nothing was changed")
            .next("seal one", "engine apply plans/clone_a_to_g.toml")
            .next("or name it", "--var packet=ID-or-folder")
    };
    if word == "latest" {
        return known
            .pop()
            .map(|(_, _, path)| path)
            .ok_or_else(|| none("there is no sealed packet here yet".to_owned()));
    }
    // A folder's name holds 12 digits of the id; a longer word is compared with as many.
    let head = digest::short(word.strip_prefix("packet-").unwrap_or(word));
    let hits: Vec<_> = known.iter().filter(|(_, name, _)| !head.is_empty() && name.starts_with(head)).collect();
    match hits.as_slice() {
        [(_, _, path)] => Ok(path.clone()),
        [] => Err(none(format!("no packet is called `{word}`"))),
        many => Err(none(format!("`{word}` means {} packets", many.len()))),
    }
}

/// Checks `SHA256SUMS` against every file of the folder, in both directions. Answers the packet's id.
///
/// # Errors
/// A file differs, is missing or was added (exit 62): names all of them.
pub fn verify(dir: &Path) -> Result<String, Failure> {
    let sums_path = dir.join("SHA256SUMS");
    let sums = std::fs::read_to_string(&sums_path).map_err(|e| unreadable(&sums_path, &e.to_string()))?;
    let mut wrong = Vec::new();
    let mut listed = std::collections::BTreeSet::new();
    for line in sums.lines() {
        let Some((sha256, name)) = line.split_once("  ") else {
            wrong.push(format!("SHA256SUMS: `{line}` is no line of it"));
            continue;
        };
        listed.insert(name.to_owned());
        match std::fs::read(dir.join(name)) {
            Err(_) => wrong.push(format!("{name}  is missing")),
            Ok(bytes) if digest::hex(&bytes) != sha256 => wrong.push(format!("{name}  differs")),
            Ok(_) => {}
        }
    }
    let mut present = Vec::new();
    files_below(dir, dir, &mut present).map_err(|e| unreadable(dir, &e.to_string()))?;
    wrong.extend(
        present
            .iter()
            .filter(|n| {
                *n != "SHA256SUMS" && *n != "SHA256SUMS.sig" && !n.starts_with("attest/") && !listed.contains(*n)
            })
            .map(|n| format!("{n}  was added")),
    );
    if wrong.is_empty() {
        return Ok(digest::hex(sums.as_bytes()));
    }
    let mut failure = Failure::new(Exit::InputsChanged, format!("the packet {} is not what was sealed", dir.display()))
        .changed("nothing was changed; nothing was sent")
        .next("seal anew", "engine apply PLAN");
    failure.facts = wrong;
    Err(failure)
}

/// All files below a folder, as paths relative to it, sorted.
pub(super) fn files_below(root: &Path, dir: &Path, into: &mut Vec<String>) -> std::io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            files_below(root, &path, into)?;
        } else {
            into.push(path.strip_prefix(root).unwrap_or(&path).display().to_string());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"{"v": 1, "plan": "p", "run": "r", "as_of": "", "target": "t", "database": ["1", 1, "d"],
        "gates": [], "done_when": null, "stages": [], "writes": [], "alters": [], "never": [], "schema": [],
        "search_path": "public", "timeout_ms": 1, "lock_timeout_ms": 1, "technical_go": true}"#;

    const SQL: &str = "SELECT 1;\n";

    /// Writes a packet of two files.
    fn write(dir: &Path, sql: &str) {
        let sums = [("apply.sql", sql), ("rollout.json", MANIFEST)]
            .map(|(name, text)| format!("{}  {name}\n", digest::hex(text.as_bytes())))
            .concat();
        for (name, text) in [("apply.sql", sql), ("rollout.json", MANIFEST), ("SHA256SUMS", &sums)] {
            std::fs::write(dir.join(name), text).expect("a file");
        }
    }

    #[test]
    fn a_file_that_was_changed_after_the_packet_was_opened_is_not_its_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        write(dir, SQL);
        let packet = Packet::open(dir.to_str().expect("UTF-8")).expect("a packet");
        let text = || packet.text("apply.sql").map_err(|failure| failure.exit);
        assert_eq!(text(), Ok(SQL.to_owned()));

        std::fs::write(dir.join("apply.sql"), "SELECT 2;\n").expect("a file");
        assert_eq!(text(), Err(Exit::InputsChanged));
        // With its sums it is a packet, but another one.
        write(dir, "SELECT 2;\n");
        assert!(verify(dir).is_ok());
        assert_eq!(text(), Err(Exit::InputsChanged));
        write(dir, SQL);
        assert_eq!(text(), Ok(SQL.to_owned()));
    }
}
