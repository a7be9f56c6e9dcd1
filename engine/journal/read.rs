//! Reading a journal back: cut what is torn, refuse what was tampered with.

use super::{FILE, link};
use crate::event::{Event, Exit, Failure, Line};
use serde::Deserialize;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// A journal as it was read.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// All whole lines.
    pub lines: Vec<Line>,
    /// Hash of the last line.
    pub head: String,
    /// Hash after each line, in order.
    pub hashes: Vec<String>,
    /// Bytes of the whole lines.
    pub whole_bytes: u64,
    /// Bytes of a last line without newline: the writer was killed within its write.
    pub torn_bytes: u64,
}

impl History {
    /// The events in order.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.lines.iter().map(|line| &line.event)
    }
}

impl History {
    /// Reads on, behind the whole lines that are known: what this process has written since. A torn line is cut by then.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_on(mut self, dir: &Path) -> Result<History, Failure> {
        let path = dir.join(FILE);
        let lost =
            |e: std::io::Error| Failure::new(Exit::Io, format!("the journal {} cannot be read: {e}", path.display()));
        let mut file = std::fs::File::open(&path).map_err(lost)?;
        file.seek(SeekFrom::Start(self.whole_bytes)).map_err(lost)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(lost)?;
        let mut chain = Chain { seq: self.lines.len() as u64, head: std::mem::take(&mut self.head) };
        self.follow(&mut chain, &bytes).map_err(|trouble| tampered(&path, &trouble))?;
        Ok(self)
    }

    /// Is the file still as long, and its last line the one it was when this was read?
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_still_so(&self, dir: &Path) -> Result<bool, Failure> {
        let path = dir.join(FILE);
        let bytes = std::fs::read(&path)
            .map_err(|e| Failure::new(Exit::Io, format!("the journal {} cannot be read: {e}", path.display())))?;
        let whole = usize::try_from(self.whole_bytes).unwrap_or(usize::MAX);
        let same = bytes.len() as u64 == self.whole_bytes + self.torn_bytes;
        let last = bytes.get(..whole.saturating_sub(1)).and_then(|text| text.rsplit(|b| *b == b'\n').next());
        let prev = self.lines.last().map(|line| line.prev.as_str());
        Ok(same && matches!((last, prev), (Some(raw), Some(prev)) if link(prev, raw) == self.head))
    }

    /// Takes the whole lines of `bytes`, which come next.
    fn follow(&mut self, chain: &mut Chain, bytes: &[u8]) -> Result<(), Trouble> {
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let mut rest = bytes[..whole].split_inclusive(|b| *b == b'\n').map(|raw| &raw[..raw.len() - 1]).peekable();
        while let Some(raw) = rest.next() {
            let line = chain.take(raw).map_err(|trouble| {
                let followed = rest.peek().map(|next| follows(next, raw));
                match followed {
                    Some(false) => Trouble { format: None, newer: false, ..trouble },
                    // Nothing but the anchors holds the bytes of the last line: whether it was changed cannot be told.
                    None if trouble.newer => Trouble {
                        newer: false,
                        what: format!("{}; it was changed, or a newer engine wrote it", trouble.what),
                        ..trouble
                    },
                    _ => trouble,
                }
            })?;
            self.lines.push(line);
            self.hashes.push(chain.head.clone());
        }
        self.head.clone_from(&chain.head);
        self.whole_bytes += whole as u64;
        self.torn_bytes = (bytes.len() - whole) as u64;
        Ok(())
    }
}

fn tampered(path: &Path, trouble: &Trouble) -> Failure {
    trouble.failure(&format!("the journal {}", path.display()))
}

impl Trouble {
    /// What does not fit at a line, from 1.
    pub fn at(line: u64, what: impl Into<String>) -> Trouble {
        Trouble { line, what: what.into(), format: None, newer: false }
    }

    /// For people: `journal` is what they call it.
    pub fn failure(&self, journal: &str) -> Failure {
        let place = format!("line {}: {}", self.line, self.what);
        match self.format {
            Some(format) => Failure::new(
                Exit::InputsChanged,
                format!("{journal} is of format {format}, and this engine reads format {FORMAT}"),
            )
            .fact(place)
            .changed("nothing was changed")
            .next("use", "the engine that wrote it, or a newer one"),
            None if self.newer => Failure::new(
                Exit::InputsChanged,
                format!(
                    "{journal} was written by an engine that knows more than this one, {}",
                    env!("CARGO_PKG_VERSION")
                ),
            )
            .fact(place)
            .changed("nothing was changed")
            .next("use", "the engine that wrote it, or a newer one"),
            None => Failure::new(Exit::InputsChanged, format!("{journal} was TAMPERED with"))
                .fact(place)
                .changed("nothing was changed; a journal is never repaired"),
        }
    }
}

/// A journal that cannot be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Line, from 1.
    pub line: u64,
    /// What does not fit.
    pub what: String,
    /// The line is whole, and of a format that this engine does not know.
    pub format: Option<u32>,
    /// The line follows the one before it, is of the known format, and tells of something that this engine does not know.
    pub newer: bool,
}

/// The format of lines that this engine writes, and the only one it reads.
const FORMAT: u32 = 1;

/// What lines of every format have.
#[derive(Deserialize)]
struct Frame {
    v: u32,
    prev: String,
}

/// Reads the journal of a run's folder.
///
/// # Errors
/// It cannot be read (exit 1), or a line does not fit the chain (exit 62: TAMPERED, nothing is repaired).
pub fn read(dir: &Path) -> Result<History, Failure> {
    let path = dir.join(FILE);
    let bytes = std::fs::read(&path)
        .map_err(|e| Failure::new(Exit::Io, format!("the journal {} cannot be read: {e}", path.display())))?;
    let history = parse(&bytes).map_err(|trouble| tampered(&path, &trouble))?;
    if history.lines.is_empty() {
        return Err(Failure::new(Exit::InputsChanged, format!("the journal {} is empty", path.display()))
            .fact("line 1: there is none; a run that was killed before it has done nothing, else somebody emptied it")
            .changed("nothing was changed; a journal is never repaired")
            .next("look", "engine runs   lists the others: name the one to go on with, where `latest` was taken"));
    }
    Ok(history)
}

/// Does a line name the one before it? Both may be of a format that is not known.
fn follows(next: &[u8], raw: &[u8]) -> bool {
    let frame = |bytes| serde_json::from_slice::<Frame>(bytes).ok();
    matches!((frame(raw), frame(next)), (Some(raw_frame), Some(next)) if link(&raw_frame.prev, raw) == next.prev)
}

/// The chain as far as it was followed.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    seq: u64,
    head: String,
}

impl Chain {
    /// Hash of the last line; empty when there is none.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Takes the next line, without its newline.
    ///
    /// # Errors
    /// It does not follow.
    pub fn take(&mut self, raw: &[u8]) -> Result<Line, Trouble> {
        let at = |what: String| Trouble::at(self.seq + 1, what);
        if raw.is_empty() {
            return Err(at("an empty line".into()));
        }
        let frame = serde_json::from_slice::<Frame>(raw).ok();
        let fits = frame.as_ref().is_some_and(|frame| self.seq > 0 && frame.prev == self.head);
        if let Some(frame) = frame.filter(|frame| frame.v != FORMAT) {
            // Only one that fits is somebody else's: whoever changes a digit breaks the chain.
            let format = Some(frame.v).filter(|_| self.seq == 0 || frame.prev == self.head);
            return Err(Trouble { format, ..at(format!("format {} is not known to this engine", frame.v)) });
        }
        let line: Line = serde_json::from_slice(raw)
            .map_err(|e| Trouble { newer: fits, ..at(format!("is no event that this engine knows: {e}")) })?;
        if self.seq == 0 {
            match &line.event {
                Event::RunStarted { genesis, .. } if *genesis == line.prev => self.head.clone_from(genesis),
                _ => return Err(at("the first line does not begin the run that its hash names".into())),
            }
        }
        if line.prev != self.head {
            return Err(at("does not follow the line before it".into()));
        }
        if line.seq != self.seq {
            return Err(at(format!("is numbered {} where {} was expected", line.seq, self.seq)));
        }
        self.head = link(&self.head, raw);
        self.seq += 1;
        Ok(line)
    }
}

/// Reads the bytes of a journal. A last line without newline is left out.
///
/// # Errors
/// The first line that does not fit.
pub fn parse(bytes: &[u8]) -> Result<History, Trouble> {
    let mut history = History::default();
    history.follow(&mut Chain::default(), bytes)?;
    Ok(history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Place;

    fn begun() -> Event {
        Event::RunStarted {
            run: "a".into(),
            plan: "p".into(),
            plan_path: "p.toml".into(),
            doc: None,
            engine_version: "0".into(),
            as_of: "2026-01-01T00:00:00Z".into(),
            date: None,
            genesis: "g".into(),
            vars: std::collections::BTreeMap::new(),
            inputs: std::collections::BTreeMap::new(),
            stages: Vec::new(),
            host: "h".into(),
            pid: 1,
        }
    }

    fn written(dir: &Path, more: usize) -> Vec<u8> {
        let journal = Place::at(dir).create("g").expect("create");
        journal.append(begun()).expect("append");
        for n in 0..more {
            journal.append(Event::StageStarted { stage: format!("s{n}") }).expect("append");
        }
        std::fs::read(dir.join(FILE)).expect("read")
    }

    #[test]
    fn what_is_written_is_read_back_and_continued() {
        let dir = tempfile::tempdir().expect("dir");
        written(dir.path(), 2);
        let history = read(dir.path()).expect("whole");
        assert_eq!(history.lines.len(), 3);
        let journal = Place::at(dir.path()).reopen(&history).expect("reopen");
        journal.append(Event::StageStarted { stage: "later".into() }).expect("append");
        assert_eq!(read(dir.path()).expect("whole").lines.len(), 4);
    }

    #[test]
    fn a_torn_last_line_is_cut() {
        let dir = tempfile::tempdir().expect("dir");
        let bytes = written(dir.path(), 2);
        for cut in 1..60 {
            let history = parse(&bytes[..bytes.len() - cut]).expect("torn, not tampered");
            assert_eq!(history.lines.len(), 2, "cut {cut}");
        }
    }

    #[test]
    fn any_changed_byte_is_seen() {
        let dir = tempfile::tempdir().expect("dir");
        let bytes = written(dir.path(), 3);
        // The last line has no successor: its own bytes are held by the anchors, not by the chain.
        let last = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').expect("lines");
        for at in 0..last {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(parse(&changed).is_err() || changed[at] == bytes[at], "byte {at}");
        }
        let removed: Vec<u8> = bytes.splitn(3, |b| *b == b'\n').nth(2).expect("lines").to_vec();
        assert!(parse(&removed).is_err());
    }
}
