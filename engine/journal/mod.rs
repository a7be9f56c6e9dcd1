//! The journal: what happened, durably. One event a line, each line chained to the one before.
//!
//! `Journal` appends: one `write` on an `O_APPEND` file, `fdatasync`, and only then may the caller act.
//! `read` gives the lines back and refuses what does not fit the chain. `store` writes whole files aside
//! and renames them. A failed sync ends the run; it is never retried.
//!
//! `home` says where all that is: in this working directory, or in a database (`rows`), where a line is one INSERT,
//! committed, and only then may the caller act.

mod anchor;
mod home;
mod note;
mod read;
mod rows;
pub mod store;

pub use anchor::Anchor;
pub use home::{Held, Holder, Home, KeptFolder, Place};
pub use read::{Chain, History, Trouble, parse, read};
pub use rows::Base;

use crate::event::{Event, Exit, Failure, Line};
use crate::{crash, digest};
use rows::Rows;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// File name within the run's folder.
pub const FILE: &str = "journal.jsonl";

/// The one writer of a run's journal.
#[derive(Debug)]
pub struct Journal {
    place: Place,
    clock: crate::clock::Stopwatch,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    paper: Paper,
    seq: u64,
    head: String,
    /// Why a write or sync failed: nothing more may be said.
    broken: Option<Failure>,
}

/// What lines are written on.
#[derive(Debug)]
enum Paper {
    File(File),
    Rows(Rows, note::Note),
}

impl Journal {
    fn begin(place: Place, genesis: &str) -> Result<Journal, Failure> {
        let paper = if let Some(rows) = place.rows() {
            Paper::Rows(rows.clone(), noted(&place)?)
        } else {
            let path = place.dir().join(FILE);
            let file = File::options().append(true).create_new(true).open(&path).map_err(|e| lost(&path, &e))?;
            store::sync_dir(place.dir())?;
            Paper::File(file)
        };
        Ok(Self::with(place, paper, 0, genesis.to_owned()))
    }

    /// A torn last line is cut first; no row is ever torn.
    fn go_on(place: Place, history: &History) -> Result<Journal, Failure> {
        let paper = if let Some(rows) = place.rows() {
            Paper::Rows(rows.clone(), noted(&place)?)
        } else {
            let path = place.dir().join(FILE);
            let file = File::options().append(true).open(&path).map_err(|e| lost(&path, &e))?;
            if history.torn_bytes > 0 {
                file.set_len(history.whole_bytes).and_then(|()| file.sync_data()).map_err(|e| lost(&path, &e))?;
            }
            Paper::File(file)
        };
        Ok(Self::with(place, paper, history.lines.len() as u64, history.head.clone()))
    }

    fn with(place: Place, paper: Paper, seq: u64, head: String) -> Journal {
        Journal {
            place,
            clock: crate::clock::Stopwatch::start(),
            state: Mutex::new(State { paper, seq, head, broken: None }),
        }
    }

    /// Where the run is kept: its folder, and its files.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Appends one event and answers its line once it is durable.
    ///
    /// # Errors
    /// The disk or the database did not take it, or nobody knows (exit 1): the run must stop.
    pub fn append(&self, event: Event) -> Result<Line, Failure> {
        let mut state = self.state.lock().expect("invariant: no writer panics while it holds the journal");
        if let Some(failure) = &state.broken {
            return Err(failure.clone());
        }
        let line = Line {
            v: 1,
            seq: state.seq,
            at: crate::clock::now(),
            mono_ns: self.clock.ns(),
            event,
            prev: state.head.clone(),
        };
        let bytes = serde_json::to_vec(&line).expect("invariant: an event is JSON");
        let head = link(&state.head, &bytes);
        let place = |phase: &str| format!("journal/{}/{phase}", named(&line.event));
        crash::point(|| place("before"));
        let dir = self.place.dir();
        let written = match &mut state.paper {
            Paper::File(file) => on_file(file, bytes, &place).map_err(|e| lost(&dir.join(FILE), &e)),
            Paper::Rows(rows, note) => on_rows(rows, &line, &head, &bytes, &place)
                .and_then(|()| note.write(line.seq + 1, &head).map_err(|e| lost(&dir.join(note::FILE), &e))),
        };
        crash::point(|| place("synced"));
        if let Err(failure) = written {
            state.broken = Some(failure.clone());
            return Err(failure);
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

fn on_file(file: &mut File, mut bytes: Vec<u8>, place: &impl Fn(&str) -> String) -> std::io::Result<()> {
    bytes.push(b'\n');
    if crash::chosen(|| place("half")) {
        let _ = file.write_all(&bytes[..bytes.len() / 2]);
        crash::now();
    }
    file.write_all(&bytes)?;
    crash::point(|| place("written"));
    file.sync_data()
}

fn on_rows(rows: &Rows, line: &Line, hash: &str, bytes: &[u8], place: &impl Fn(&str) -> String) -> Result<(), Failure> {
    if crash::chosen(|| place("half")) {
        rows.never_commit();
        let _ = rows.post(line.seq, &line.prev, hash, bytes).wait();
        crash::now();
    }
    let answer = rows.post(line.seq, &line.prev, hash, bytes);
    // Sent or not, committed or not: only reading tells.
    crash::point(|| place("written"));
    rows.written(answer)
}

fn noted(place: &Place) -> Result<note::Note, Failure> {
    note::Note::open(place.dir()).map_err(|e| lost(&place.dir().join(note::FILE), &e))
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
    let what = format!("the journal {} cannot be written: {error}", path.display());
    let failure = Failure::new(Exit::Io, what)
        .changed("what was committed before stays committed, what was open is rolled back; nothing more is started");
    let run = path.parent().and_then(Path::file_name).map_or("RUN".into(), |run| run.to_string_lossy());
    store::make_room(failure, path, error).next("then", format!("engine resume {run}"))
}
