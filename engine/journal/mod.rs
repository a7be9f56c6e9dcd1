//! The journal: what happened, durably. One event a line, each line chained to the one before.
//!
//! `Journal` appends: one `write` on an `O_APPEND` file, `fdatasync`, and only then may the caller act.
//! `read` gives the lines back and refuses what does not fit the chain. `store` writes whole files aside
//! and renames them. A failed sync ends the run; it is never retried.

mod anchor;
mod read;
pub mod store;

pub use anchor::Anchor;
pub use read::{Chain, History, Trouble, parse, read};

use crate::event::{Event, Exit, Failure, Line};
use crate::{crash, digest};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// File name within the run's folder.
pub const FILE: &str = "journal.jsonl";

/// The one writer of a run's journal.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    clock: crate::clock::Stopwatch,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    seq: u64,
    head: String,
    /// A write or sync failed: nothing more may be said.
    broken: bool,
}

impl Journal {
    /// Begins a journal in an existing, empty run folder.
    ///
    /// # Errors
    /// The file exists or cannot be made durable (exit 1).
    pub fn create(dir: &Path, genesis: &str) -> Result<Journal, Failure> {
        let path = dir.join(FILE);
        let file = File::options().append(true).create_new(true).open(&path).map_err(|e| lost(&path, &e))?;
        store::sync_dir(dir)?;
        Ok(Self::with(dir, file, 0, genesis.to_owned()))
    }

    /// Continues a journal that was read; a torn last line is cut first.
    ///
    /// # Errors
    /// As `create`.
    pub fn reopen(dir: &Path, history: &History) -> Result<Journal, Failure> {
        let path = dir.join(FILE);
        let file = File::options().append(true).open(&path).map_err(|e| lost(&path, &e))?;
        if history.torn_bytes > 0 {
            file.set_len(history.whole_bytes).and_then(|()| file.sync_data()).map_err(|e| lost(&path, &e))?;
        }
        Ok(Self::with(dir, file, history.lines.len() as u64, history.head.clone()))
    }

    fn with(dir: &Path, file: File, seq: u64, head: String) -> Journal {
        Journal {
            dir: dir.to_owned(),
            clock: crate::clock::Stopwatch::start(),
            state: Mutex::new(State { file, seq, head, broken: false }),
        }
    }

    /// The run's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends one event and answers its line once it is durable.
    ///
    /// # Errors
    /// The disk did not take it (exit 1): the run must stop.
    pub fn append(&self, event: Event) -> Result<Line, Failure> {
        let mut state = self.state.lock().expect("invariant: no writer panics while it holds the journal");
        let path = self.dir.join(FILE);
        if state.broken {
            return Err(lost(&path, &std::io::Error::other("an earlier write failed")));
        }
        let line = Line {
            v: 1,
            seq: state.seq,
            at: crate::clock::now(),
            mono_ns: self.clock.ns(),
            event,
            prev: state.head.clone(),
        };
        let mut bytes = serde_json::to_vec(&line).expect("invariant: an event is JSON");
        let head = link(&state.head, &bytes);
        bytes.push(b'\n');
        let place = |phase: &str| format!("journal/{}/{phase}", named(&line.event));
        crash::point(|| place("before"));
        if crash::chosen(|| place("half")) {
            let _ = state.file.write_all(&bytes[..bytes.len() / 2]);
            crash::now();
        }
        let written = state.file.write_all(&bytes).and_then(|()| {
            crash::point(|| place("written"));
            state.file.sync_data()
        });
        crash::point(|| place("synced"));
        if let Err(error) = written {
            state.broken = true;
            return Err(lost(&path, &error));
        }
        state.seq += 1;
        state.head = head;
        Ok(line)
    }

    /// Number of lines and the head's hash, for anchors.
    pub fn head(&self) -> (u64, String) {
        let state = self.state.lock().expect("invariant: no writer panics while it holds the journal");
        (state.seq, state.head.clone())
    }
}

/// `stage_done/a_seed`, for crash points.
fn named(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap_or_default();
    format!("{}/{}", value["type"].as_str().unwrap_or_default(), event.stage().unwrap_or("-"))
}

/// Hash of a line: over the hash before it and its exact bytes, without the newline.
pub fn link(prev: &str, line: &[u8]) -> String {
    digest::hex_parts([prev.as_bytes(), line])
}

fn lost(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Io, format!("the journal {} cannot be written: {error}", path.display()))
        .changed("what was committed before stays committed; nothing more is started")
}
