//! What a commit or the index holds: files and symbolic links, by their paths from the top. A link is followed as a checkout
//! would follow it, and never out of the repository.

use super::git::failed;
use crate::command::folder::{is_toml, may_hold_plans};
use crate::event::{Exit, Failure};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

/// Links on the way to one file; more are a circle.
const MOST_LINKS: usize = 40;

/// A file, or a link.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) path: String,
    /// Where a link leads, as git keeps it; `None` of a file.
    pub(super) target: Option<String>,
    /// It has a merge conflict, and no content of its own.
    pub(super) unmerged: bool,
}

/// A link whose target is no path of the repository.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) path: String,
    pub(super) target: String,
}

impl Outside {
    pub(super) fn failure(&self, revision: &str) -> Failure {
        let Outside { path, target } = self;
        failed(Exit::Usage, format!("`{path}` is a symbolic link to `{target}`, outside of the repository"))
            .fact(format!("in {revision}"))
            .next("keep", "the file itself in the repository, or a link to a path of it")
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Listing {
    entries: BTreeMap<String, Entry>,
}

impl Listing {
    /// Reads what `git ls-tree -r -z` or `git ls-files --stage -z` printed: `MODE TYPE ID`, or `MODE ID STAGE`, a tabulator, the path.
    pub(super) fn read(text: &str) -> Listing {
        let mut listing = Listing::default();
        for (head, path) in text.split('\0').filter_map(|entry| entry.split_once('\t')) {
            let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
            let (mode, id, stage) = match head.split(' ').collect::<Vec<_>>().as_slice() {
                [mode, "blob", id] => (*mode, *id, "0"),
                [mode, id, stage] => (*mode, *id, *stage),
                _ => continue,
            };
            let target = match mode {
                "120000" => Some(String::new()),
                _ if mode.starts_with("100") => None,
                _ => continue,
            };
            if inside {
                let entry = Entry { id: id.to_owned(), path: path.to_owned(), target, unmerged: stage != "0" };
                listing.entries.insert(path.to_owned(), entry);
            }
        }
        listing
    }

    /// Forgets these paths.
    pub(super) fn leave_out(&mut self, paths: &BTreeSet<String>) {
        self.entries.retain(|path, _| !paths.contains(path));
    }

    /// The links, in an order of their own.
    pub(super) fn links(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.target.is_some())
    }

    /// Says where they lead, in the order of `links`.
    pub(super) fn lead(&mut self, targets: Vec<Vec<u8>>) {
        let links = self.entries.values_mut().filter(|entry| entry.target.is_some());
        for (link, target) in links.zip(targets) {
            link.target = Some(String::from_utf8_lossy(&target).into_owned());
        }
    }

    /// What a comparison of `path`, a plan or a folder with plans, reads: the plans, the templates and locks as `compile` looks
    /// for them, and the links on the way. Links among the templates are taken as they are: `compile` refuses them.
    ///
    /// # Errors
    /// A link on the way leads out of the repository.
    pub(super) fn wanted(&self, path: &str) -> Result<Vec<Entry>, Outside> {
        let mut found: BTreeMap<String, Entry> = BTreeMap::new();
        let real = self.follow(path, &mut found)?;
        let is_file = self.entries.contains_key(&real);
        let folder = if is_file { parent(path) } else { folded(path) };
        if let Some(entry) = self.entries.get(&real) {
            found.insert(real, entry.clone());
        } else {
            for below in ["", "plans"] {
                let folder = self.follow(&joined(&folded(path), below), &mut found)?;
                let own: Vec<&Entry> =
                    self.below(&folded(&folder)).filter(|(rest, _)| is_plan(rest)).map(|(_, e)| e).collect();
                for entry in own {
                    let real = self.follow(&entry.path, &mut found)?;
                    found.extend(self.entries.get(&real).map(|entry| (real.clone(), entry.clone())));
                }
            }
        }
        // Of a folder also what lies beside the plans in its `plans/`.
        let inner = (!is_file).then(|| format!("{folder}plans/"));
        for root in [folder.clone(), parent(folder.trim_end_matches('/'))].into_iter().chain(inner) {
            let templates = self.follow(&joined(&root, "templates"), &mut found)?;
            found.extend(self.below(&folded(&templates)).map(|(_, entry)| (entry.path.clone(), entry.clone())));
            let locks = self.follow(&joined(&root, "sql"), &mut found)?;
            let files = self
                .below(&folded(&locks))
                .filter(|(rest, entry)| rest.matches('/').count() == 1 && entry.target.is_none());
            found.extend(files.map(|(_, entry)| (entry.path.clone(), entry.clone())));
        }
        Ok(found.into_values().collect())
    }

    /// Entries of a folder, with their paths in it.
    fn below<'l>(&'l self, folder: &str) -> impl Iterator<Item = (&'l str, &'l Entry)> + use<'l> {
        let folder = folder.to_owned();
        self.entries
            .range(folder.clone()..)
            .map_while(move |(path, entry)| path.strip_prefix(folder.as_str()).map(|rest| (rest, entry)))
    }

    /// The path without a link in it; the links on the way are put into `found`.
    fn follow(&self, path: &str, found: &mut BTreeMap<String, Entry>) -> Result<String, Outside> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            let link = ends.filter_map(|end| self.entries.get(&path[..end])).find(|entry| entry.target.is_some());
            let Some(link) = link else { return Ok(path) };
            let target = link.target.clone().unwrap_or_default();
            let next = within(&parent(&link.path), &target)
                .ok_or_else(|| Outside { path: link.path.clone(), target: target.clone() })?;
            let rest = path[link.path.len()..].to_owned();
            found.insert(link.path.clone(), link.clone());
            path = format!("{next}{rest}");
        }
        Ok(path)
    }
}

/// A plan that lies in the folder itself, or one folder below, of which it is said that it is not looked at.
fn is_plan(rest: &str) -> bool {
    let near = rest.split_once('/').is_none_or(|(folder, name)| may_hold_plans(folder) && !name.contains('/'));
    is_toml(Path::new(rest)) && near
}

/// Where a link of this folder leads, from the top; `None`: out of the repository.
fn within(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in Path::new(target).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// The folder of a path with `/` behind it; empty at the top.
fn parent(path: &str) -> String {
    path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default()
}

/// A folder with `/` behind it; empty at the top.
fn folded(folder: &str) -> String {
    if folder.is_empty() || folder.ends_with('/') { folder.to_owned() } else { format!("{folder}/") }
}

fn joined(folder: &str, name: &str) -> String {
    format!("{folder}{name}").trim_end_matches('/').to_owned()
}
