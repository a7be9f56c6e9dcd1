//! A file that is either there whole or as it was: written aside in the same folder, synced, then renamed over the old one.
//! Whether the folder is synced as well is the caller's affair: what can be made again need not outlive a power cut.

use std::io::{Result, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Rights of a file for its owner alone.
pub const PRIVATE: u32 = 0o600;

/// Rights of a file that all may read.
pub const READABLE: u32 = 0o644;

/// A file that is written and synced, and has another name yet. Dropped, it is removed, and nothing was changed.
#[derive(Debug)]
pub struct Aside {
    file: NamedTempFile,
    path: PathBuf,
}

/// Writes `bytes` beside `path`, with the rights `mode`.
///
/// # Errors
/// The folder is not there, or the disk did not take it; what is at `path` is as it was.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<Aside> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Hidden, and for the owner alone from the start.
    let mut file = tempfile::Builder::new().prefix(".aside-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    Ok(Aside { file, path: path.to_owned() })
}

impl Aside {
    /// Gives it its name: whoever opens that sees the old bytes or the new ones.
    ///
    /// # Errors
    /// The disk did not take it; what was there is as it was.
    pub fn put(self) -> Result<()> {
        self.file.persist(&self.path).map(drop).map_err(|e| e.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_whole_or_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        let names = || std::fs::read_dir(folder.path()).expect("reads").count();
        std::fs::write(&path, "old").expect("writes");
        let aside = write(&path, b"new", READABLE).expect("writes");
        assert_eq!((std::fs::read_to_string(&path).expect("reads").as_str(), names()), ("old", 2));
        drop(aside);
        assert_eq!((std::fs::read_to_string(&path).expect("reads").as_str(), names()), ("old", 1));
        for mode in [READABLE, PRIVATE] {
            write(&path, b"new", mode).and_then(Aside::put).expect("writes");
            let rights = std::fs::metadata(&path).expect("is there").permissions().mode() & 0o777;
            assert_eq!((std::fs::read_to_string(&path).expect("reads").as_str(), rights, names()), ("new", mode, 1));
        }
        assert!(write(&folder.path().join("no/x"), b"", READABLE).is_err());
    }
}
