//! What this machine wrote into a shared journal, noted beside it: the number of its lines and the hash of the last one. A
//! journal that was brought back in its place from before that looks whole otherwise.
//!
//! Only ever behind the journal: it is written once a line is answered, without a sync.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// File name within the run's folder here.
pub(super) const FILE: &str = "journal.head";

/// The open file.
#[derive(Debug)]
pub(super) struct Note(File);

impl Note {
    /// Opens it; what it says stays as it is.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn open(dir: &Path) -> std::io::Result<Note> {
        File::options().write(true).create(true).truncate(false).open(dir.join(FILE)).map(Note)
    }

    /// Says that there are `count` lines, and `hash` is that of the last one. One write of always the same length.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write(&self, count: u64, hash: &str) -> std::io::Result<()> {
        self.0.write_all_at(format!("{count:020} {hash}\n").as_bytes(), 0)
    }
}

/// What it says; `None`: nothing, or nothing whole.
pub(super) fn read(dir: &Path) -> Option<(u64, String)> {
    let text = std::fs::read_to_string(dir.join(FILE)).ok()?;
    let (count, hash) = text.strip_suffix('\n')?.split_once(' ')?;
    Some((count.parse().ok()?, hash.to_owned()))
}
