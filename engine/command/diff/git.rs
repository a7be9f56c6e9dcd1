//! Files of a revision or of the index, read through the `git` command: the plans, the templates beside them and the locks.
//! The working tree, the index and the repository stay as they are.

use super::listing::{Listing, Outside};
use crate::event::{Exit, Failure};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The repository around a path, and the path in it.
#[derive(Debug)]
pub(super) struct Repository {
    top: PathBuf,
    /// Relative to the top, with `/`.
    path: String,
}

/// Files that were taken out of a revision; they vanish with this.
#[derive(Debug)]
pub(super) struct Taken {
    folder: TempDir,
    /// As it was named.
    pub(super) revision: String,
}

impl Taken {
    /// Where the repository's top is.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join(TREE)
    }
}

/// What the index is called where a revision would stand.
const INDEX: &str = "index";

/// Ids of the empty file, in both forms that git has.
const EMPTY: [&str; 2] =
    ["e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"];

/// A folder of its own, so that what lies beside the temporary one is never taken for the plan's.
const TREE: &str = "tree";

impl Repository {
    /// Finds it; the path itself need not be there any more.
    ///
    /// # Errors
    /// There is no `git` (1), or no repository (2).
    pub(super) fn around(path: &Path) -> Result<Repository, Failure> {
        let whole = std::path::absolute(path).map_err(|e| failed(Exit::Io, format!("`{}`: {e}", path.display())))?;
        let whole = plain(&whole);
        let near = whole.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
        let real = near.canonicalize().map_err(|e| failed(Exit::Io, format!("`{}`: {e}", near.display())))?;
        let below = whole.strip_prefix(near).unwrap_or(Path::new(""));
        let top = git(&real, &["rev-parse", "--show-toplevel"], None).map_err(|failure| match failure.exit {
            Exit::Usage => failed(Exit::Usage, format!("`{}` is in no git repository", near.display())),
            _ => failure,
        })?;
        let top = PathBuf::from(String::from_utf8_lossy(&top).trim_end_matches('\n'));
        let path = real.join(below);
        let path = path.strip_prefix(&top).unwrap_or(&path).to_string_lossy().into_owned();
        Ok(Repository { top, path })
    }

    /// The same repository, and another path in it, from its top.
    pub(super) fn at(self, path: &str) -> Repository {
        Repository { path: plain(Path::new(path)).to_string_lossy().into_owned(), ..self }
    }

    /// Is there a revision of that name?
    ///
    /// # Errors
    /// `git` cannot answer (1).
    pub(super) fn knows(&self, revision: &str) -> Result<bool, Failure> {
        match self.commit(revision) {
            Ok(_) => Ok(true),
            Err(failure) if failure.exit == Exit::Usage => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Where two revisions parted.
    ///
    /// # Errors
    /// One is not known (2).
    pub(super) fn parted(&self, one: &str, other: &str) -> Result<String, Failure> {
        let (one, other) = (self.commit(one)?, self.commit(other)?);
        let base = git(&self.top, &["merge-base", &one, &other], None).map_err(|failure| {
            let what = "git finds no commit from which both revisions come".to_owned();
            if failure.exit == Exit::Usage {
                failed(Exit::Usage, what).next("fetch", "git fetch --unshallow, where the clone is a shallow one")
            } else {
                failure
            }
        })?;
        Ok(String::from_utf8_lossy(&base).trim().chars().take(12).collect())
    }

    /// Takes the plan (or the folder's plans), `templates/` and `sql/` out of a revision; answers where the path is then.
    ///
    /// # Errors
    /// The revision is not known, or a link leads out of the repository (2); its files cannot be read or put aside (1).
    pub(super) fn take(&self, revision: &str) -> Result<(PathBuf, Taken), Failure> {
        let commit = self.commit(revision)?;
        let listing = git(&self.top, &["ls-tree", "-r", "-z", "--full-tree", &commit], None);
        self.put_aside(revision, Listing::read(&String::from_utf8_lossy(&listing.map_err(|f| unread(f, revision))?)))
    }

    /// The same out of the index: what the next commit would hold.
    ///
    /// # Errors
    /// As `take`; the path has a conflict in the index (2).
    pub(super) fn take_staged(&self) -> Result<(PathBuf, Taken), Failure> {
        let listing = git(&self.top, &["ls-files", "--stage", "-z"], None).map_err(|f| unread(f, INDEX))?;
        let intended = self.intended(&listing)?;
        let mut tree = Listing::read(&String::from_utf8_lossy(&listing));
        tree.leave_out(&intended);
        self.put_aside(INDEX, tree)
    }

    /// Paths of which `git add --intent-to-add` noted the name only: the index holds them as empty, the next commit will not.
    fn intended(&self, listing: &[u8]) -> Result<BTreeSet<String>, Failure> {
        let listing = String::from_utf8_lossy(listing);
        if !EMPTY.iter().any(|id| listing.contains(id)) {
            return Ok(BTreeSet::new());
        }
        // The index does not say so itself; it is what the comparison with the commit hangs on.
        let compared = |how: &str| {
            let words = ["diff-index", "--cached", "--name-status", "--no-renames", "-z", how, "HEAD"];
            git(&self.top, &words, None).map_err(|f| unread(f, INDEX))
        };
        let pairs = |bytes: Vec<u8>| -> BTreeSet<(String, String)> {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let words: Vec<&str> = text.split('\0').collect();
            words.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
        };
        let visible = pairs(compared("--ita-visible-in-index")?);
        let invisible = pairs(compared("--ita-invisible-in-index")?);
        Ok(visible.difference(&invisible).map(|(_, path)| path.clone()).collect())
    }

    fn put_aside(&self, revision: &str, mut tree: Listing) -> Result<(PathBuf, Taken), Failure> {
        let links: Vec<String> = tree.links().map(|entry| entry.id.clone()).collect();
        tree.lead(self.contents(&links, revision)?);
        let wanted = tree.wanted(&self.path).map_err(|out| out.failure(revision))?;
        // Of a plan, a template or a lock: the next commit holds neither side of it.
        if let Some(entry) = wanted.iter().find(|entry| entry.unmerged) {
            return Err(failed(Exit::Usage, format!("`{}` has a merge conflict in the index", entry.path))
                .next("resolve", "it, and `git add` it"));
        }
        let aside = |e: std::io::Error| failed(Exit::Io, format!("the files of `{revision}` cannot be put aside: {e}"));
        let folder = tempfile::Builder::new().prefix("engine-diff-").tempdir().map_err(aside)?;
        let taken = Taken { folder, revision: revision.to_owned() };
        let root = taken.root();
        std::fs::create_dir(&root).map_err(aside)?;
        let (links, files): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|entry| entry.target.is_some());
        let ids: Vec<String> = files.iter().map(|entry| entry.id.clone()).collect();
        for (entry, bytes) in files.iter().zip(self.contents(&ids, revision)?) {
            let file = root.join(&entry.path);
            std::fs::create_dir_all(file.parent().unwrap_or(&root)).map_err(aside)?;
            std::fs::write(&file, bytes).map_err(aside)?;
        }
        for link in links {
            let file = root.join(&link.path);
            std::fs::create_dir_all(file.parent().unwrap_or(&root)).map_err(aside)?;
            std::os::unix::fs::symlink(link.target.as_deref().unwrap_or_default(), &file).map_err(aside)?;
        }
        let path = if self.path.is_empty() { root } else { root.join(&self.path) };
        Ok((path, taken))
    }

    /// Refuses a path of the working tree whose links lead out of the repository, as `take` does of a revision.
    ///
    /// # Errors
    /// They do (2).
    pub(super) fn demand_inside(&self) -> Result<(), Failure> {
        let file = self.top.join(&self.path);
        match (file.canonicalize(), self.top.canonicalize()) {
            (Ok(real), Ok(top)) if !real.starts_with(&top) => {
                let target = std::fs::read_link(&file).unwrap_or(real).display().to_string();
                Err(Outside { path: self.path.clone(), target }.failure("the working tree"))
            }
            _ => Ok(()),
        }
    }

    fn commit(&self, revision: &str) -> Result<String, Failure> {
        let named = format!("{revision}^{{commit}}");
        let words = ["rev-parse", "--verify", "--quiet", "--end-of-options", &named];
        let id = git(&self.top, &words, None).map_err(|failure| match failure.exit {
            Exit::Usage => failed(Exit::Usage, format!("git knows no revision `{revision}` in {}", self.top.display()))
                .next("see", "git branch --all, git log --oneline; a clone in CI may need git fetch --unshallow"),
            _ => failure,
        })?;
        Ok(String::from_utf8_lossy(&id).trim().to_owned())
    }

    /// Their bytes, by one process.
    fn contents(&self, blobs: &[String], revision: &str) -> Result<Vec<Vec<u8>>, Failure> {
        if blobs.is_empty() {
            return Ok(Vec::new());
        }
        let ids: String = blobs.iter().map(|id| format!("{id}\n")).collect();
        let answer = git(&self.top, &["cat-file", "--batch"], Some(&ids)).map_err(|f| unread(f, revision))?;
        let broken = || failed(Exit::Io, format!("git cat-file answered something unknown for `{revision}`"));
        let (mut at, mut contents) = (0, Vec::with_capacity(blobs.len()));
        for _ in blobs {
            let head = answer[at..].iter().position(|byte| *byte == b'\n').ok_or_else(broken)?;
            let line = String::from_utf8_lossy(&answer[at..at + head]);
            let size: usize = line.rsplit(' ').next().and_then(|size| size.parse().ok()).ok_or_else(broken)?;
            let from = at + head + 1;
            contents.push(answer.get(from..from + size).ok_or_else(broken)?.to_vec());
            at = from + size + 1;
        }
        Ok(contents)
    }
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = out.pop(),
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// Runs `git`; what it refuses is exit 2 with its words, that it cannot run is exit 1.
fn git(folder: &Path, words: &[&str], input: Option<&str>) -> Result<Vec<u8>, Failure> {
    let cannot = |e: std::io::Error| {
        failed(Exit::Io, format!("git cannot be run: {e}"))
            .next("install", "git, or compare two files: engine diff OLD NEW")
    };
    // From a file, so that neither side can wait for the other.
    let stdin = match input {
        Some(text) => {
            use std::io::{Seek, Write};
            let mut file = tempfile::tempfile().map_err(cannot)?;
            file.write_all(text.as_bytes()).and_then(|()| file.rewind()).map_err(cannot)?;
            Stdio::from(file)
        }
        None => Stdio::null(),
    };
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(words).stdin(stdin).env("LC_ALL", "C");
    let output = command.output().map_err(cannot)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(
        Exit::Usage,
        format!("git {}: {}", words.first().unwrap_or(&""), said.lines().next().unwrap_or("failed")),
    ))
}

pub(super) fn failed(exit: Exit, what: String) -> Failure {
    Failure::new(exit, what).changed("nothing was changed")
}

fn unread(failure: Failure, revision: &str) -> Failure {
    Failure { exit: Exit::Io, what: format!("the files of `{revision}` cannot be read: {}", failure.what), ..failure }
}
