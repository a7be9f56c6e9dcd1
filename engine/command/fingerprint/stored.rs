//! Stored fingerprints: read, held to their format, and made shallower where less is asked.

use super::summary::word;
use crate::event::{Exit, Failure};
use crate::fingerprint::{Fingerprint, Level};
use std::path::Path;

/// Reads one. Also those below `.engine/runs/<run>/fingerprints/`.
pub(super) fn read(path: &Path) -> Result<Fingerprint, Failure> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        let odd = path.to_string_lossy().contains('@');
        let what = if odd {
            "`--against` is no file, and no connection string either".to_owned()
        } else {
            format!("the fingerprint {shown} cannot be read: {error}")
        };
        Failure::new(Exit::Io, what)
            .changed("nothing was read")
            .next("make one", "engine fingerprint env:DATABASE_URL -o FILE")
            .next("or", "--against env:OTHER_DATABASE_URL")
    })?;
    let refuse = |why: String| {
        Failure::new(Exit::Io, format!("{shown}{why}"))
            .changed("nothing was read")
            .next("make one", "engine fingerprint env:DATABASE_URL -o FILE")
    };
    let print: Fingerprint = serde_json::from_slice(&bytes)
        .map_err(|error| refuse(format!(":{}:{} is no stored fingerprint: {error}", error.line(), error.column())))?;
    if print.version != "fp1" {
        return Err(refuse(format!(" is a fingerprint of format `{}`, and this engine knows `fp1`", print.version)));
    }
    Ok(print)
}

/// The level to read at, given what the file holds and what was asked.
pub(super) fn level(path: &Path, stored: &Fingerprint, asked: Option<Level>) -> Result<Level, Failure> {
    let Some(asked) = asked else { return Ok(stored.level) };
    if depth(asked) <= depth(stored.level) {
        return Ok(asked);
    }
    let (asked, held) = (word(asked), word(stored.level));
    let what = format!("{} was taken at level `{held}`; `{asked}` cannot be compared with it", path.display());
    Err(Failure::new(Exit::Usage, what).changed("nothing was read").next("then", format!("--level {held}")))
}

/// What a shallower look would have seen. Its digest stays that of the deeper one.
pub(super) fn shallower(mut print: Fingerprint, level: Level) -> Fingerprint {
    if print.level == level {
        return print;
    }
    print.level = level;
    if level == Level::Schema {
        print.tables.clear();
        print.sequences.clear();
        print.excluded.clear();
        print.large_objects = None;
        return print;
    }
    for table in &mut print.tables {
        (table.bytes, table.sum) = (0, None);
        table.left_out.clear();
    }
    if let Some(large) = &mut print.large_objects {
        large.sum = None;
    }
    print
}

/// Tables that the file left unread because it was told to.
pub(super) fn unread(stored: &Fingerprint) -> Vec<String> {
    stored.excluded.iter().filter_map(|entry| entry.strip_suffix(": not in the scope")).map(str::to_owned).collect()
}

fn depth(level: Level) -> u8 {
    match level {
        Level::Schema => 0,
        Level::Counts => 1,
        Level::Content => 2,
    }
}
