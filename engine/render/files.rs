//! Reading templates: below one folder, through no symbolic link, once, as plain UTF-8.

use crate::diag::{Diagnostic, Place, Source};
use crate::name;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Longest template, in bytes.
const LONGEST: u64 = 4 << 20;

/// Files looked at for a suggestion.
const MOST_LISTED: usize = 2_000;

/// The templates' folder, and what was read from it.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    read: Mutex<BTreeMap<String, Arc<Source>>>,
}

/// Why a template cannot be read.
enum Refused {
    /// Nothing of that name.
    Missing,
    /// Its path or its kind breaks a rule.
    Path(String),
    /// Its bytes break a rule.
    Encoding(String),
}

impl Files {
    pub(super) fn new(root: PathBuf) -> Self {
        Files { root, read: Mutex::default() }
    }

    /// The text of `path`; every later call gets the same bytes.
    pub(super) fn read(&self, path: &str, place: &Place) -> Result<Arc<Source>, Diagnostic> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = read.get(path) {
            return Ok(Arc::clone(source));
        }
        let text = self.open(path).and_then(content).map_err(|refused| self.diagnostic(path, place, refused))?;
        let source = Source::new(self.root.join(path).display().to_string(), text);
        if let Some(conflict) = crate::diag::conflicts(&source).into_iter().next() {
            return Err(conflict);
        }
        read.insert(path.to_owned(), Arc::clone(&source));
        Ok(source)
    }

    /// All that was read.
    pub(super) fn sources(&self) -> Vec<Arc<Source>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Opens one component after the other, each without following a link.
    fn open(&self, path: &str) -> Result<File, Refused> {
        let parts = components(path)?;
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at: OwnedFd = rustix::fs::open(&self.root, folder, Mode::empty()).map_err(|_| Refused::Missing)?;
        for (i, part) in parts.iter().enumerate() {
            let last = i + 1 == parts.len();
            let stat = rustix::fs::statat(&at, *part, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| Refused::Missing)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => return Err(Refused::Path(format!("`{part}` is a symbolic link"))),
                FileType::RegularFile if last => {}
                FileType::Directory if !last => {}
                _ if last => return Err(Refused::Path(format!("`{part}` is not a regular file"))),
                _ => return Err(Refused::Path(format!("`{part}` is not a folder"))),
            }
            // NONBLOCK: should it have become a pipe meanwhile, opening it does not wait.
            let flags =
                if last { OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC } else { folder } | OFlags::NOFOLLOW;
            at = rustix::fs::openat(&at, *part, flags, Mode::empty())
                .map_err(|error| Refused::Path(format!("`{part}` cannot be opened: {error}")))?;
        }
        Ok(File::from(at))
    }

    fn diagnostic(&self, path: &str, place: &Place, refused: Refused) -> Diagnostic {
        let (code, message) = match refused {
            Refused::Missing => {
                ("template-missing", format!("there is no template `{path}` in `{}`", self.root.display()))
            }
            Refused::Path(why) => ("template-path", format!("template `{path}`: {why}")),
            Refused::Encoding(why) => ("template-encoding", format!("template `{path}`: {why}")),
        };
        let known = if code == "template-missing" { self.list() } else { Vec::new() };
        let help = match near(path, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "a template is a regular file below the templates folder: UTF-8, no byte order mark, LF, at most 4 MiB"
                    .into()
            }
        };
        Diagnostic::new(code, message, place.clone()).label("this template").help(help)
    }

    /// The regular files there are, as a plan would name them.
    fn list(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() && all.len() < MOST_LISTED {
                    all.extend(relative(&self.root, &entry.path()));
                }
            }
            if all.len() >= MOST_LISTED {
                break;
            }
        }
        all.sort();
        all
    }
}

/// A file that was meant, most likely: of the same folder and nearly the same name, or of the same name where the folder is
/// missing or mistyped. The file of another stage is no suggestion, so a folder that is the same counts for nothing, nor
/// does an ending; names that begin otherwise, or differ in their digits only, are names of different things.
fn near<'k>(path: &str, known: &'k [String]) -> Option<&'k str> {
    let parts = |path: &str| {
        path.rsplit_once('/').map_or((String::new(), path.to_owned()), |(a, b)| (a.to_owned(), b.to_owned()))
    };
    let stem = |file: &str| file.strip_suffix(".sql").unwrap_or(file).to_owned();
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let first = |text: &str| text.chars().next();
    let alike = |a: &str, b: &str| {
        let near = strsim::damerau_levenshtein(a, b) <= 1 + a.len().max(b.len()) / 8;
        near && first(a) == first(b) && letters(a) != letters(b)
    };
    let (folder, file) = parts(path);
    let found = known.iter().find(|other| {
        let (other_folder, other_file) = parts(other);
        other_file == file && (folder.is_empty() || alike(&folder, &other_folder))
    });
    let beside = known.iter().filter(|other| parts(other).0 == folder && alike(&stem(&file), &stem(&parts(other).1)));
    let best = name::nearest(path, beside.map(String::as_str));
    found.map(String::as_str).or(best)
}

fn relative(root: &Path, path: &Path) -> Option<String> {
    Some(path.strip_prefix(root).ok()?.to_str()?.to_owned())
}

/// The parts of a relative path with nothing special in it.
fn components(path: &str) -> Result<Vec<&str>, Refused> {
    let why = match path {
        "" => "a path may not be empty",
        p if p.starts_with('/') => "a path starts below the templates folder, not with `/`",
        p if p.contains(['\\', '\0']) => "a path holds no backslash and no NUL",
        p if p.split('/').any(|part| part == "..") => "`..` leaves the templates folder",
        p if p.split('/').any(|part| part.is_empty() || part == ".") => "write each part of the path once, without `.`",
        _ => return Ok(path.split('/').collect()),
    };
    Err(Refused::Path(why.to_owned()))
}

fn content(file: File) -> Result<String, Refused> {
    let failed = |error: std::io::Error| Refused::Path(format!("it cannot be read: {error}"));
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Refused::Path("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(Refused::Encoding("it has more than 4 MiB".to_owned()));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| Refused::Encoding(format!("it is not UTF-8 (byte {})", error.utf8_error().valid_up_to())))?;
    let line = |at: usize| 1 + text[..at].matches('\n').count();
    match () {
        () if text.starts_with('\u{feff}') => Err(Refused::Encoding("it starts with a byte order mark".to_owned())),
        () => match text.find(['\r', '\0']) {
            Some(at) if text.as_bytes()[at] == 0 => {
                Err(Refused::Encoding(format!("it holds a NUL in line {}", line(at))))
            }
            Some(at) => Err(Refused::Encoding(format!("line {} ends in CR LF or holds a CR", line(at)))),
            None => Ok(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn a_file_of_another_stage_is_no_suggestion() {
        let known = [
            "a_to_g/a_seed.sql",
            "a_to_g/a_seed.rollback.sql",
            "a_to_g/b_read.sql",
            "a_to_g/s01.sql",
            "other/only.sql",
        ];
        let known = known.map(str::to_owned);
        let cases = [
            ("a_to_g/a_sed.sql", Some("a_to_g/a_seed.sql")),
            ("a_to_g/a_seed.rolback.sql", Some("a_to_g/a_seed.rollback.sql")),
            ("a_too_g/b_read.sql", Some("a_to_g/b_read.sql")),
            ("a_seed.sql", Some("a_to_g/a_seed.sql")),
            ("a_to_g/c_weed.sql", None),
            ("a_to_g/b_seed.sql", None),
            ("a_to_g/b_done.sql", None),
            ("a_to_g/s02.sql", None),
            ("a_to_g/only.sql", None),
            ("mine/only.sql", None),
        ];
        for (path, wanted) in cases {
            assert_eq!(near(path, &known), wanted, "{path}");
        }
    }
}
