//! Whole files in a run's folder: written aside, synced, renamed, folder synced.

use crate::aside;
use crate::crash;
use crate::event::{Exit, Failure};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Where runs live, relative to the working directory.
pub const RUNS: &str = ".engine/runs";

/// In the folder of a run whose journal is in a database: which one.
pub const ELSEWHERE: &str = "journal.place";

/// Writes a file so that it is either there whole or not at all.
///
/// # Errors
/// The disk did not take it (exit 1).
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let lost = |e: std::io::Error| {
        make_room(Failure::new(Exit::Io, format!("{} cannot be written: {e}", path.display())), path, &e)
    };
    std::fs::create_dir_all(dir).map_err(lost)?;
    let file = aside::write(path, bytes, aside::READABLE).map_err(lost)?;
    crash::point(|| "store/aside".to_owned());
    file.put().map_err(lost)?;
    crash::point(|| "store/renamed".to_owned());
    sync_dir(dir)
}

/// What to do about a disk that is full, or a file that may not grow.
pub(super) fn make_room(failure: Failure, path: &Path, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let of_room = matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge);
    let next = format!("on the disk of {}   (df, ulimit -f, quota)", path.parent().unwrap_or(path).display());
    if of_room { failure.next("make room", next) } else { failure }
}

/// Makes a folder's entries durable.
///
/// # Errors
/// The disk did not take it (exit 1).
pub fn sync_dir(dir: &Path) -> Result<(), Failure> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(|e| Failure::new(Exit::Io, format!("the folder {} cannot be synced: {e}", dir.display())))
}

/// Makes the folder of a new run.
///
/// # Errors
/// It exists or cannot be made (exit 1).
pub fn new_run(id: &str) -> Result<PathBuf, Failure> {
    let runs = Path::new(RUNS);
    let dir = runs.join(id);
    let lost = |e: std::io::Error| {
        let failure = unusable(Failure::new(Exit::Io, format!("{} cannot be made: {e}", dir.display())));
        let failure = failure.next("or", "work in another directory, or keep runs in a database: --journal");
        make_room(failure.changed("nothing was changed; no run was begun"), &dir, &e)
    };
    std::fs::create_dir_all(runs).map_err(lost)?;
    std::fs::create_dir(&dir).map_err(lost)?;
    sync_dir(runs)?;
    Ok(dir)
}

/// What to do about a place for runs that cannot be used.
fn unusable(failure: Failure) -> Failure {
    match std::fs::symlink_metadata(".engine") {
        Ok(found) if !found.is_dir() && !Path::new(".engine").is_dir() => failure
            .fact(".engine is here, and is no folder")
            .next("then", "move .engine away, and the same command again"),
        _ => failure.next("then", "make .engine a folder that this user may write, and the same command again"),
    }
}

/// All runs of this working directory: id and folder, oldest first.
///
/// # Errors
/// The folder cannot be read (exit 1); that it is missing is no error.
pub fn runs() -> Result<Vec<(String, PathBuf)>, Failure> {
    let entries = match std::fs::read_dir(RUNS) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => {
            let failure = Failure::new(Exit::Io, format!("{RUNS} cannot be read: {e}"));
            return Err(unusable(failure.changed("nothing was changed")));
        }
    };
    let mut found: Vec<(std::time::SystemTime, String, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join(super::FILE).is_file())
        .map(|entry| {
            let born = first_written(&entry.path());
            (born, entry.file_name().to_string_lossy().into_owned(), entry.path())
        })
        .collect();
    found.sort();
    Ok(found.into_iter().map(|(_, id, path)| (id, path)).collect())
}

/// When the run began: its lock file is made first and never written again.
fn first_written(dir: &Path) -> std::time::SystemTime {
    let stamp = |path: PathBuf| std::fs::metadata(path).and_then(|m| m.modified());
    stamp(dir.join("lock")).or_else(|_| stamp(dir.join(super::FILE))).unwrap_or(std::time::UNIX_EPOCH)
}

/// The run a person means: any unique prefix of an id, or `latest`.
///
/// # Errors
/// None or several match (exit 2): lists them.
pub fn find_run(word: &str) -> Result<(String, PathBuf), Failure> {
    let all = runs()?;
    if word == "latest" {
        refuse_newer_elsewhere(all.last().map(|(_, dir)| dir.as_path()))?;
    }
    let all = all.into_iter().map(|(id, _)| id).collect();
    let id = meant(all, word, RUNS).map_err(|failure| match elsewhere(word) {
        Some(place) => failure
            .fact(format!("a run of that id was kept in {place}"))
            .next("or", "engine --journal PLACE ...   or ENGINE_JOURNAL, as when it began"),
        None => failure,
    })?;
    let dir = Path::new(RUNS).join(&id);
    Ok((id, dir))
}

/// `latest` is no run in files when one was begun here since whose journal is in a database: that one would be meant.
fn refuse_newer_elsewhere(newest: Option<&Path>) -> Result<(), Failure> {
    let Some(newest) = newest.map(first_written) else { return Ok(()) };
    let entries = std::fs::read_dir(RUNS).into_iter().flatten().filter_map(Result::ok);
    let elsewhere = entries.filter(|entry| first_written(&entry.path()) > newest).find_map(|entry| {
        let place = std::fs::read_to_string(entry.path().join(ELSEWHERE)).ok()?;
        Some((entry.file_name().to_string_lossy().into_owned(), place.trim().to_owned()))
    });
    let Some((id, place)) = elsewhere else { return Ok(()) };
    Err(Failure::new(Exit::Usage, format!("`latest` would pass over run {id}, whose journal is in {place}"))
        .changed("nothing was changed")
        .next("then", "engine --journal PLACE ...   or ENGINE_JOURNAL, as when it began")
        .next("or", "name the run: engine runs   lists those whose journals are here"))
}

/// Where the journal of a run is that has only its folder here.
fn elsewhere(word: &str) -> Option<String> {
    let entries = std::fs::read_dir(RUNS).ok()?.filter_map(Result::ok);
    let mut named = entries.filter(|entry| word == "latest" || entry.file_name().to_string_lossy().starts_with(word));
    let place = named.find_map(|entry| std::fs::read_to_string(entry.path().join(ELSEWHERE)).ok())?;
    Some(place.trim().to_owned())
}

/// Which of `all` (oldest first) a word means.
pub(super) fn meant(mut all: Vec<String>, word: &str, place: &str) -> Result<String, Failure> {
    if word == "latest" {
        return all.pop().ok_or_else(|| {
            Failure::new(Exit::Usage, "there is no run here yet")
                .fact(format!("looked in {place}"))
                .next("start", "engine apply PLAN")
        });
    }
    // Every id begins with nothing: a variable of a script that is not set means no run.
    all.retain(|id| !word.is_empty() && id.starts_with(word));
    match all.as_slice() {
        [one] => Ok(one.clone()),
        [] => match gone(word, place) {
            Some(failure) => Err(failure),
            None => Err(Failure::new(Exit::Usage, format!("no run is called `{word}`"))
                .changed("nothing was changed")
                .next("look", "engine runs")),
        },
        many => Err(Failure::new(Exit::Usage, format!("`{word}` means {} runs", many.len()))
            .fact(many.join(", "))
            .next("type", "more of the id")),
    }
}

/// All files of `folder` below `name`, whole, by their paths relative to `folder`, sorted.
pub(super) fn files_of(folder: &Path, name: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join(name)];
    while let Some(dir) = folders.pop() {
        let lost = |e: std::io::Error| Failure::new(Exit::Io, format!("{} cannot be read: {e}", dir.display()));
        for entry in std::fs::read_dir(&dir).map_err(lost)? {
            let path = entry.map_err(lost)?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).map_err(lost)?;
                found.push((path.strip_prefix(folder).unwrap_or(&path).display().to_string(), bytes));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A folder of exactly that name without a journal in it.
fn gone(run: &str, place: &str) -> Option<Failure> {
    let dir = Path::new(RUNS).join(run);
    let plain = Path::new(run).components().count() == 1 && dir.join("lock").is_file();
    plain.then(|| {
        if let Some(there) = elsewhere(run).filter(|_| place != RUNS) {
            return not_there(run, place, &there);
        }
        Failure::new(Exit::InputsChanged, format!("the journal {} is gone", dir.join(super::FILE).display()))
            .fact("line 1: there is none; a run that was killed before it has done nothing, else somebody removed it")
            .changed("nothing was changed; a journal is never repaired")
            .next("start", "engine apply PLAN   if it was killed before its first line")
    })
}

/// The journal that is asked knows nothing of a run whose folder is here.
fn not_there(run: &str, place: &str, there: &str) -> Failure {
    let failure = Failure::new(Exit::InputsChanged, format!("the journal in {place} knows no run {run}"));
    let failure = if place == there {
        failure
            .fact("its folder here says that it was kept there: that is another database now, or its rows were removed")
            .next("then", "bring the journal's database back from its backup")
    } else {
        failure
            .fact(format!("its folder here says that it was kept in {there}"))
            .next("then", "name that one in --journal or ENGINE_JOURNAL, as when it began")
    };
    failure
        .changed("nothing was changed; a journal is never repaired")
        .next(
            "or, its clone",
            format!(
                "SELECT datname FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE '%{run}%'   where clones \
                 are made, and as their maker DROP DATABASE what it names"
            ),
        )
        .next("or, later", "engine gc PLAN   drops it once it has expired")
}

/// The run's own lock: held while a process works on it.
#[derive(Debug)]
pub struct RunFolderLock {
    _file: File,
}

/// Who has the lock, in words; beside it, because the lock's own file says when the run began.
const HOLDER: &str = "holder";

/// Others look whether the lock is held, for a moment: that long it is tried again.
const TRIES: u32 = 20;
const BETWEEN: std::time::Duration = std::time::Duration::from_millis(10);

/// Takes the folder's lock for `holder`, such as `pid 7 on db1`.
///
/// # Errors
/// Another process holds it (exit 60, and names it) or the file cannot be made (exit 1).
pub fn lock(dir: &Path, holder: &str) -> Result<RunFolderLock, Failure> {
    for _ in 0..TRIES {
        if let Some(lock) = tried(dir, FlockOperation::NonBlockingLockExclusive)? {
            let path = dir.join(HOLDER);
            std::fs::write(&path, holder).map_err(|e| {
                let failure = Failure::new(Exit::Io, format!("{} cannot be written: {e}", path.display()));
                make_room(failure.changed("nothing was changed"), &path, &e).next("then", "the same command again")
            })?;
            return Ok(lock);
        }
        std::thread::sleep(BETWEEN);
    }
    let run = dir.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    let who = holder_of(dir).unwrap_or_else(|| "a process that has not said who it is".to_owned());
    Err(Failure::new(Exit::Held, format!("another process works on run {run}"))
        .fact(format!("held by engine {run} {who}"))
        .changed("nothing was changed")
        .next("wait", "until it has ended; its lock dies with it")
        .next("look", "engine status"))
}

fn tried(dir: &Path, how: FlockOperation) -> Result<Option<RunFolderLock>, Failure> {
    let path = dir.join("lock");
    let own = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    // Somebody else's run can still be looked at.
    let looks = how == FlockOperation::NonBlockingLockShared;
    let file = own.or_else(|e| if looks { File::open(&path) } else { Err(e) }).map_err(|e| {
        let failure = Failure::new(Exit::Io, format!("{} cannot be opened: {e}", path.display()));
        unusable(failure.changed("nothing was changed"))
    })?;
    match rustix::fs::flock(&file, how) {
        Ok(()) => Ok(Some(RunFolderLock { _file: file })),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(e) => {
            let failure = Failure::new(Exit::Io, format!("{} cannot be locked: {e}", path.display()));
            Err(failure.changed("nothing was changed"))
        }
    }
}

/// Who took the folder's lock last, in words.
pub fn holder_of(dir: &Path) -> Option<String> {
    std::fs::read_to_string(dir.join(HOLDER)).ok().filter(|text| !text.is_empty())
}

/// Does some process hold the folder's lock? Two that ask at once do not take each other for one.
pub fn is_running(dir: &Path) -> bool {
    matches!(tried(dir, FlockOperation::NonBlockingLockShared), Ok(None))
}
