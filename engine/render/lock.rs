//! The lock's folder: the rendered texts under version control, and their sums as `sha256sum` writes them.
//!
//! Pure but for `compare`, which reads, and `write`, which writes aside and renames.

use crate::{aside, digest};
use std::collections::BTreeSet;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// The file that lists the others.
pub const SUMS: &str = "SHA256SUMS";

/// One file of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFile {
    /// A plain file name, such as `a_seed.rollback.sql`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// How a folder differs from what would be written there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockDifference {
    /// The file is not there.
    Missing(String),
    /// The file has other bytes.
    Changed(String),
    /// A file that nothing renders.
    Extra(String),
}

/// `<sha256>  <name>` a line, sorted by name: what `sha256sum -c SHA256SUMS` reads.
pub fn sums(files: &[LockFile]) -> String {
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let lines: Vec<_> = sorted.iter().map(|f| format!("{}  {}\n", digest::hex(f.text.as_bytes()), f.name)).collect();
    lines.concat()
}

/// Every difference between the folder and `files` with their sums, by name. A folder that is not there lacks
/// all of them.
pub fn compare(dir: &Path, files: &[LockFile]) -> Result<Vec<LockDifference>> {
    let mut found = Vec::new();
    let expected = with_sums(files)?;
    for file in &expected {
        match std::fs::read(dir.join(&file.name)) {
            Ok(bytes) if bytes == file.text.as_bytes() => {}
            Ok(_) => found.push(LockDifference::Changed(file.name.clone())),
            Err(e) if e.kind() == ErrorKind::NotFound => found.push(LockDifference::Missing(file.name.clone())),
            Err(e) => return Err(e),
        }
    }
    let names: BTreeSet<&str> = expected.iter().map(|f| f.name.as_str()).collect();
    match std::fs::read_dir(dir) {
        Ok(entries) => {
            for entry in entries {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if !names.contains(name.as_str()) {
                    found.push(LockDifference::Extra(name));
                }
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    found.sort();
    Ok(found)
}

/// Writes `files` and their sums. A file that the old sums list and that is no longer rendered goes; nothing
/// else is touched.
pub fn write(dir: &Path, files: &[LockFile]) -> Result<()> {
    let expected = with_sums(files)?;
    std::fs::create_dir_all(dir)?;
    let old = match std::fs::read_to_string(dir.join(SUMS)) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
        Err(e) => return Err(e),
    };
    for file in &expected {
        aside::write(&dir.join(&file.name), file.text.as_bytes(), aside::READABLE)?.put()?;
    }
    let names: BTreeSet<&str> = expected.iter().map(|f| f.name.as_str()).collect();
    let gone = old.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name);
    for name in gone.filter(|name| is_plain(name) && !names.contains(name)) {
        match std::fs::remove_file(dir.join(name)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// The files and, last, their sums.
fn with_sums(files: &[LockFile]) -> Result<Vec<LockFile>> {
    if let Some(bad) = files.iter().find(|f| !is_plain(&f.name) || f.name == SUMS) {
        return Err(Error::new(ErrorKind::InvalidInput, format!("`{}` cannot be a file of a lock", bad.name)));
    }
    let sums = LockFile { name: SUMS.to_owned(), text: sums(files) };
    Ok(files.iter().cloned().chain([sums]).collect())
}

/// One name, of one folder: no path, nothing hidden, nothing that `sha256sum` would escape.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> LockFile {
        LockFile { name: name.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn what_is_written_compares_equal() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path().join("deep/plan");
        let files = [file("b.sql", "SELECT 2;\n"), file("a.sql", "SELECT 1;\n")];
        assert_eq!(compare(&dir, &files).expect("reads").len(), 3);
        write(&dir, &files).expect("writes");
        assert_eq!(compare(&dir, &files).expect("reads"), []);
        let names: Vec<_> = sums(&files).lines().map(|l| l[66..].to_owned()).collect();
        assert_eq!(names, ["a.sql", "b.sql"]);
    }

    #[test]
    fn only_what_the_old_sums_list_goes() {
        let dir = tempfile::tempdir().expect("a folder");
        let outside = dir.path().join("outside.sql");
        let dir = dir.path().join("plan");
        write(&dir, &[file("a.sql", "1"), file("gone.sql", "2")]).expect("writes");
        std::fs::write(&outside, "x").expect("writes");
        std::fs::write(dir.join("mine.txt"), "x").expect("writes");
        let sums = std::fs::read_to_string(dir.join(SUMS)).expect("reads");
        std::fs::write(dir.join(SUMS), format!("{sums}00  ../outside.sql\n")).expect("writes");
        let files = [file("a.sql", "changed")];
        write(&dir, &files).expect("writes");
        assert!(outside.exists() && !dir.join("gone.sql").exists());
        assert_eq!(compare(&dir, &files).expect("reads"), [LockDifference::Extra("mine.txt".into())]);
        std::fs::write(dir.join("a.sql"), "other").expect("writes");
        assert!(compare(&dir, &files).expect("reads").contains(&LockDifference::Changed("a.sql".into())));
        assert!(write(&dir, &[file("../x", "1")]).is_err());
    }
}
