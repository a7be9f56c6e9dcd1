//! The programs of PostgreSQL on this machine: where they are and which version. Looks and asks `--version`,
//! runs nothing else; knows no failures, only what is missing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest major version the engine works with.
pub const OLDEST: u32 = 15;

/// Environment variables that name the folder, the first that is set wins.
pub const VARIABLES: [&str; 2] = ["ENGINE_TEST_PG_BIN", "ENGINE_PG_BIN"];

/// What a client needs: to dump, to restore, to run a script.
const CLIENT: &[&str] = &["pg_dump", "pg_restore", "psql"];

/// What a server needs, to be set up, run and filled.
const SERVER: &[&str] = &["postgres", "initdb", "pg_dump", "pg_restore", "psql"];

/// Where distributions keep one folder a version: what stands before and after the version.
const PLACES: &[(&str, &str)] =
    &[("/usr/lib/postgresql/", "bin"), ("/usr/pgsql-", "bin"), ("/opt/homebrew/opt/postgresql@", "bin")];

/// A folder with programs of PostgreSQL, all of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    folder: PathBuf,
    major: u32,
}

/// Why there are no programs to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// A variable names a folder that will not do.
    #[error("`{variable}` names {}, where {why}", folder.display())]
    Named {
        /// `ENGINE_PG_BIN`.
        variable: String,
        /// What it names.
        folder: PathBuf,
        /// `psql is missing`.
        why: String,
    },
    /// Nothing at all, or only older versions.
    #[error("no {what} of PostgreSQL {oldest} or newer was found on this machine")]
    None {
        /// `server` or `pg_dump`.
        what: &'static str,
        /// The oldest version that would do.
        oldest: u32,
    },
}

impl Programs {
    /// Server and client programs, the newest there are.
    ///
    /// # Errors
    /// There are none, or the folder that the environment names will not do.
    pub fn server() -> Result<Programs, Missing> {
        let fits = |all: &mut dyn Iterator<Item = Programs>| all.max_by_key(|found| found.major);
        find(SERVER, OLDEST, fits).map_err(|refusal| refusal.of("server"))
    }

    /// Client programs for a server of version `major`: that version if it is there, else the next newer one.
    /// (`pg_dump` refuses a newer server; a newer `pg_dump` may write what an older server does not read.)
    ///
    /// # Errors
    /// There are none, or the folder that the environment names will not do.
    pub fn client_for(major: u32) -> Result<Programs, Missing> {
        let fits = |all: &mut dyn Iterator<Item = Programs>| nearest(all, major);
        find(CLIENT, major, fits).map_err(|refusal| refusal.of("pg_dump"))
    }

    /// The major version, `15`.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The folder they are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the program `name` is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A refusal that does not know yet what was sought.
enum Refusal {
    Named(Missing),
    None(u32),
}

impl Refusal {
    fn of(self, what: &'static str) -> Missing {
        match self {
            Refusal::Named(missing) => missing,
            Refusal::None(oldest) => Missing::None { what, oldest },
        }
    }
}

/// The oldest of `all`, which are at least as new as `major`. Nothing fits better than that version itself: what comes
/// after it is not even asked for its version, which takes a wrapper script a tenth of a second.
fn nearest(all: &mut dyn Iterator<Item = Programs>, major: u32) -> Option<Programs> {
    let mut best: Option<Programs> = None;
    for found in all {
        if found.major == major {
            return Some(found);
        }
        best = best.filter(|best| best.major <= found.major).or(Some(found));
    }
    best
}

/// The folder that the environment names, and no other; else the one `choose` takes of all that would do.
fn find(
    needed: &[&str],
    oldest: u32,
    choose: impl FnOnce(&mut dyn Iterator<Item = Programs>) -> Option<Programs>,
) -> Result<Programs, Refusal> {
    for variable in VARIABLES {
        if let Some(folder) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
            return named(variable, folder, needed, oldest).map_err(Refusal::Named);
        }
    }
    let mut all = folders().into_iter().filter_map(|folder| look(folder, needed, oldest).ok());
    choose(&mut all).ok_or(Refusal::None(oldest))
}

fn named(variable: &str, folder: OsString, needed: &[&str], oldest: u32) -> Result<Programs, Missing> {
    let folder = PathBuf::from(folder);
    look(folder.clone(), needed, oldest).map_err(|why| Missing::Named { variable: variable.to_owned(), folder, why })
}

/// What is in `folder`, or why it will not do.
fn look(folder: PathBuf, needed: &[&str], oldest: u32) -> Result<Programs, String> {
    if let Some(absent) = needed.iter().find(|name| !folder.join(name).is_file()) {
        return Err(format!("`{absent}` is missing"));
    }
    // The first says the version for all: distributions do not mix versions in a folder.
    let major = version(&folder.join(needed[0])).ok_or_else(|| format!("`{} --version` says no version", needed[0]))?;
    if major < oldest {
        return Err(format!("PostgreSQL is {major}; {oldest} or newer is needed"));
    }
    Ok(Programs { folder, major })
}

/// Every folder that may hold programs: those of distributions, then those that PATH leads to.
fn folders() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = PLACES.iter().flat_map(|(before, after)| versions(before, after)).collect();
    for folder in std::env::var_os("PATH").iter().flat_map(std::env::split_paths) {
        for program in ["postgres", "pg_dump"] {
            // A link leads to the folder where the others are; a wrapper script stands for itself.
            let Ok(real) = folder.join(program).canonicalize() else { continue };
            all.extend(real.parent().map(Path::to_path_buf));
        }
        all.push(folder);
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|folder| seen.insert(folder.clone()));
    all
}

/// `/usr/lib/postgresql/15/bin` and its like, of `/usr/lib/postgresql/` and `bin`.
fn versions(before: &str, after: &str) -> Vec<PathBuf> {
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    let version = |name: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.parse::<u32>().is_ok());
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(version))
        .map(|entry| entry.path().join(after))
        .collect();
    found.sort();
    found
}

/// The major version that `program --version` says.
fn version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    major(std::str::from_utf8(&output.stdout).ok()?)
}

/// `16` of `pg_dump (PostgreSQL) 16.14 (Debian 16.14-1)` or of `... 16beta1`.
fn major(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("(PostgreSQL) ")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_programs_say() {
        assert_eq!(major("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 19devel\n"), Some(19));
        assert_eq!(major("psql (EnterpriseDB) 16.1"), None);
    }

    #[test]
    fn a_folder_without_programs_says_which_is_missing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(look(folder.path().to_path_buf(), CLIENT, OLDEST), Err("`pg_dump` is missing".to_owned()));
    }

    #[test]
    fn the_nearest_version_is_taken_and_nothing_is_asked_after_a_perfect_one() {
        let of = |major: u32| Programs { folder: PathBuf::from(major.to_string()), major };
        let mut all = [18, 17, 18].into_iter().map(of);
        assert_eq!(nearest(&mut all, 16), Some(of(17)));
        let mut all = [18, 16, 17].into_iter().map(of);
        assert_eq!(nearest(&mut all, 16), Some(of(16)));
        assert_eq!(all.next(), Some(of(17)));
        assert_eq!(nearest(&mut std::iter::empty(), 16), None);
    }

    #[test]
    fn a_wish_for_a_version_of_the_far_future_finds_nothing() {
        assert!(Programs::client_for(9_999).is_err());
    }

    #[test]
    fn what_is_missing_reads_as_a_sentence() {
        let missing = Missing::None { what: "server", oldest: 15 };
        assert_eq!(missing.to_string(), "no server of PostgreSQL 15 or newer was found on this machine");
    }
}
