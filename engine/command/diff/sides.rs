//! What the two words of `diff` name: a tree of files each, and in them the plans that are compared.

use super::git::{self, Repository};
use crate::command::folder::{self, is_toml};
use crate::event::{Exit, Failure};
use crate::plan;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One side's files.
#[derive(Debug)]
pub(super) struct Tree {
    /// The plan, or the folder with plans; it may be missing.
    path: PathBuf,
    /// Files that were taken out of a revision, and what that is called.
    taken: Option<git::Taken>,
}

/// One plan on both sides; `None`: it is not there.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) old: Option<PathBuf>,
    pub(super) new: Option<PathBuf>,
}

impl Tree {
    /// A path in it, as people know it.
    pub(super) fn shown(&self, path: &Path) -> String {
        let text = path.display().to_string();
        let (from, to) = self.prefix();
        match text.strip_prefix(&from) {
            Some(rest) if !from.is_empty() => format!("{to}{rest}"),
            _ => text,
        }
    }

    /// The plans of the folder that it is.
    fn plans(&self) -> Result<Vec<PathBuf>, Failure> {
        let (from, to) = self.prefix();
        folder::plans(&self.path).map_err(|failure| {
            if from.is_empty() { failure } else { Failure { what: failure.what.replace(&from, &to), ..failure } }
        })
    }

    /// What its paths begin with, and what is shown instead; both empty for files of this folder.
    pub(super) fn prefix(&self) -> (String, String) {
        match &self.taken {
            Some(taken) => (format!("{}/", taken.root().display()), format!("{}:", taken.revision)),
            None => (String::new(), String::new()),
        }
    }
}

/// What a word names.
#[derive(Clone, Copy)]
enum Word<'w> {
    Path(&'w str),
    /// A revision, and the path in it.
    Blob(&'w str, &'w str),
    /// Neither a file nor `REVISION:PATH`.
    Other(&'w str),
}

fn word(text: &str) -> Word<'_> {
    match text.split_once(':') {
        _ if Path::new(text).exists() => Word::Path(text),
        Some((revision, path)) if !revision.is_empty() && !path.is_empty() => Word::Blob(revision, path),
        _ => Word::Other(text),
    }
}

/// Finds both sides.
///
/// # Errors
/// A word names nothing (2), or `git` cannot answer (1).
pub(super) fn resolve(old: &str, new: &str) -> Result<(Tree, Tree), Failure> {
    match (word(old), word(new)) {
        (Word::Path(folder), _) if is_revision_too(folder)? => Err(two_things(folder)),
        (Word::Other(range), _) if range.contains("..") && !is_toml(Path::new(range)) => between(range, new),
        (Word::Other(revision), Word::Path(path) | Word::Other(path)) => {
            let repository = Repository::around(Path::new(path)).map_err(|failure| outside(failure, revision))?;
            let old = repository.take(revision).map_err(|failure| not_there(failure, revision))?.into();
            repository.demand_inside()?;
            Ok((old, Tree { path: path.into(), taken: None }))
        }
        (old, new) => Ok((tree(old)?, tree(new)?)),
    }
}

/// Is a folder called like a revision? git asks which of them is meant, too: a folder without plans would be taken for a
/// side where there was none yet.
fn is_revision_too(text: &str) -> Result<bool, Failure> {
    if !Path::new(text).is_dir() || text.starts_with('.') || text.ends_with('/') {
        return Ok(false);
    }
    // Outside of a repository a word is no revision.
    let Ok(repository) = Repository::around(Path::new(".")) else { return Ok(false) };
    repository.knows(text)
}

fn two_things(text: &str) -> Failure {
    Failure::new(Exit::Usage, format!("`{text}` is a folder, and a revision of git"))
        .changed("nothing was changed")
        .next("write", format!("./{text} for the folder, or {text}^0 for the revision"))
}

/// `A..B` and `A...B`, where a missing end is `HEAD`; three dots mean from where the two parted.
fn between(range: &str, path: &str) -> Result<(Tree, Tree), Failure> {
    let (old, new, parted) = match range.split_once("...") {
        Some((old, new)) => (old, new, true),
        None => range.split_once("..").map(|(old, new)| (old, new, false)).unwrap_or_default(),
    };
    let named = |end: &str| if end.is_empty() { "HEAD".to_owned() } else { end.to_owned() };
    let (old, new) = (named(old), named(new));
    let repository = Repository::around(Path::new(path))?;
    let old = if parted { repository.parted(&old, &new)? } else { old };
    Ok((repository.take(&old)?.into(), repository.take(&new)?.into()))
}

/// `REVISION:PATH` as git reads it: from the top of the repository, unless it begins with `./` or `../`.
fn named(revision: &str, path: &str) -> Result<Tree, Failure> {
    let here = path.starts_with("./") || path.starts_with("../");
    let repository = Repository::around(Path::new(if here { path } else { "." }))?;
    let repository = if here { repository } else { repository.at(path) };
    let tree = Tree::from(repository.take(revision)?);
    if tree.path.exists() {
        return Ok(tree);
    }
    Err(Failure::new(Exit::Usage, format!("there is no `{path}` in `{revision}`"))
        .changed("nothing was changed")
        .next("see", format!("git ls-tree -r --name-only {revision}")))
}

/// What the next commit would change of a path: `HEAD` and the index.
///
/// # Errors
/// There is no repository or no commit, or no such path in either (2); `git` cannot answer (1).
pub(super) fn staged(path: &str) -> Result<(Tree, Tree), Failure> {
    let repository = Repository::around(Path::new(path))?;
    Ok((repository.take("HEAD")?.into(), repository.take_staged()?.into()))
}

impl From<(PathBuf, git::Taken)> for Tree {
    fn from((path, taken): (PathBuf, git::Taken)) -> Tree {
        Tree { path, taken: Some(taken) }
    }
}

fn tree(word: Word<'_>) -> Result<Tree, Failure> {
    match word {
        Word::Path(path) => Ok(Tree { path: path.into(), taken: None }),
        Word::Blob(revision, path) => named(revision, path),
        Word::Other(text) => Err(nothing(text)),
    }
}

fn nothing(text: &str) -> Failure {
    Failure::new(Exit::Usage, format!("there is no file or folder `{text}`")).changed("nothing was changed").next(
        "write",
        "engine diff OLD NEW, engine diff main..HEAD plans/x.toml, or engine diff main:plans/x.toml plans/x.toml",
    )
}

/// The first word was neither a file nor, as it turned out, a revision.
fn not_there(failure: Failure, text: &str) -> Failure {
    if failure.exit == Exit::Usage && is_toml(Path::new(text)) { nothing(text) } else { failure }
}

/// Outside of a repository a word that is no file can be nothing.
fn outside(failure: Failure, text: &str) -> Failure {
    if failure.exit != Exit::Usage {
        return failure;
    }
    let failure = not_there(failure, text);
    if is_toml(Path::new(text)) {
        return failure;
    }
    let what = format!("there is no file or folder `{text}`, and no revision of git either: {}", failure.what);
    Failure { what, ..failure }
        .next("write", "engine diff OLD.toml NEW.toml   for two files, or give the command within the repository")
}

/// What is called like a plan in a subfolder of either side, and is not compared, as people know it.
pub(super) fn below(old: &Tree, new: &Tree) -> Vec<String> {
    let (before, after) = (folder::below(&old.path), folder::below(&new.path));
    let rest = |tree: &Tree, path: &Path| path.strip_prefix(&tree.path).map(Path::to_owned).ok();
    let known: BTreeSet<_> = after.iter().map(|path| rest(new, path)).collect();
    let gone = before.iter().filter(|path| !known.contains(&rest(old, path))).map(|path| old.shown(path));
    after.iter().map(|path| new.shown(path)).chain(gone).collect()
}

/// Plans of both sides: one pair for two files; of two folders pairs of the same plan, by its name and then by its file's.
///
/// # Errors
/// A file against a folder, or no plan on either side (2).
pub(super) fn pairs(old: &Tree, new: &Tree) -> Result<Vec<Pair>, Failure> {
    let there = |tree: &Tree| tree.path.is_file().then(|| tree.path.clone());
    if !old.path.is_dir() && !new.path.is_dir() {
        let pair = Pair { old: there(old), new: there(new) };
        if pair.old.is_none() && pair.new.is_none() {
            let what = format!("there is no plan `{}` and no plan `{}`", old.shown(&old.path), new.shown(&new.path));
            return Err(Failure::new(Exit::Usage, what)
                .changed("nothing was changed")
                .next("write", "engine diff OLD..NEW plans, for two revisions of git, or two plans that are there"));
        }
        return Ok(vec![pair]);
    }
    if old.path.is_file() || new.path.is_file() {
        let what = format!("`{}` and `{}`: one is a file, one a folder", old.shown(&old.path), new.shown(&new.path));
        return Err(Failure::new(Exit::Usage, what)
            .changed("nothing was changed")
            .next("write", "two plans, or two folders with plans"));
    }
    let (before, after) = (old.plans()?, new.plans()?);
    let pairs = paired(before, after);
    if pairs.is_empty() {
        let what = format!("no plan in `{}`, none in `{}`", old.shown(&old.path), new.shown(&new.path));
        return Err(Failure::new(Exit::Usage, what)
            .changed("nothing was changed")
            .next("write", "a folder with *.toml, or with plans/"));
    }
    Ok(pairs)
}

/// Which is which: a file that has not changed is itself; then plans go by the name that they give themselves, where no other on
/// their side has it, wherever they lie now; and what is left by the names of files.
fn paired(mut before: Vec<PathBuf>, mut after: Vec<PathBuf>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut pair = |before: &mut Vec<PathBuf>, after: &mut Vec<PathBuf>, same: &dyn Fn(&PathBuf, &PathBuf) -> bool| {
        for old in std::mem::take(before) {
            match after.iter().position(|new| same(&old, new)) {
                Some(at) => pairs.push(Pair { old: Some(old), new: Some(after.remove(at)) }),
                None => before.push(old),
            }
        }
    };
    let beside = |old: &PathBuf, new: &PathBuf| old.file_name() == new.file_name();
    let bytes = |path: &PathBuf| std::fs::read(path).ok();
    pair(&mut before, &mut after, &|old, new| {
        beside(old, new) && bytes(old).is_some_and(|old| Some(old) == bytes(new))
    });
    let (was, is) = (names(&before), names(&after));
    pair(&mut before, &mut after, &|old, new| was.get(old).is_some_and(|name| is.get(new) == Some(name)));
    pair(&mut before, &mut after, &beside);
    pairs.extend(before.into_iter().map(|old| Pair { old: Some(old), new: None }));
    pairs.extend(after.into_iter().map(|new| Pair { old: None, new: Some(new) }));
    pairs.sort_by(|a, b| name_of(a).cmp(&name_of(b)));
    pairs
}

/// What plans call themselves; of those that cannot be read, and where several say the same, nothing.
fn names(plans: &[PathBuf]) -> BTreeMap<PathBuf, String> {
    let named = |path: &PathBuf| Some((path.clone(), plan::load(path).ok()?.0.name));
    let mut names: BTreeMap<PathBuf, String> = plans.iter().filter_map(named).collect();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for name in names.values() {
        *times.entry(name.clone()).or_default() += 1;
    }
    names.retain(|_, name| times.get(name) == Some(&1));
    names
}

fn name_of(pair: &Pair) -> Option<&std::ffi::OsStr> {
    pair.new.as_ref().or(pair.old.as_ref()).and_then(|path| path.file_name())
}
