//! Where journals are: in this working directory, or in a database that several machines share.
//!
//! `Home` knows all runs, `Place` is one of them: its folder here and, with a shared journal, its rows there. The folder
//! is then a copy, and what is in it is fetched again where it differs.

use super::read::{History, read};
use super::rows::{Base, Rows, RowsLock};
use super::store::{self, RunFolderLock};
use super::{Anchor, Journal, note, rows};
use crate::crash;
use crate::event::{Event, Exit, Failure};
use crate::name::process;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where runs are kept.
#[derive(Clone, Debug, Default)]
pub enum Home {
    /// In `.engine/runs` of the working directory.
    #[default]
    Folder,
    /// In a database.
    Shared(Arc<Base>),
}

/// One run's place.
#[derive(Clone, Debug)]
pub struct Place {
    dir: PathBuf,
    rows: Option<Rows>,
}

/// A run that no other process may work on.
#[derive(Debug)]
pub struct Held {
    _rows: Option<RowsLock>,
    _folder: RunFolderLock,
}

/// A process that works on a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// `engine RUN pid N on HOST`, when it is known who it is.
    pub named: Option<String>,
}

impl Home {
    /// Opens the shared journal at `url`; `word` is how messages call it. `true`: `url` holds a password.
    ///
    /// # Errors
    /// As `Base::open`.
    pub fn shared(word: &str, url: &crate::target::Url) -> Result<(Home, bool), Failure> {
        let (base, password) = Base::open(word, url)?;
        Ok((Home::Shared(Arc::new(base)), password))
    }

    /// The database, if it is in one.
    pub fn base(&self) -> Option<&Base> {
        match self {
            Home::Folder => None,
            Home::Shared(base) => Some(base),
        }
    }

    /// Where it is, for people.
    pub fn shown(&self) -> String {
        self.base().map_or_else(|| store::RUNS.to_owned(), |base| base.place().to_owned())
    }

    /// Is it in a database on a standby, where nobody's locks are seen?
    pub fn is_standby(&self) -> bool {
        self.base().is_some_and(Base::is_standby)
    }

    /// The place of the run of that id.
    pub fn place(&self, run: &str) -> Place {
        let rows = match self {
            Home::Folder => None,
            Home::Shared(base) => Some(Rows::new(base, run)),
        };
        Place { dir: Path::new(store::RUNS).join(run), rows }
    }

    /// All runs, oldest first, with the process that works on each.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn runs(&self) -> Result<Vec<(String, Option<Holder>)>, Failure> {
        match self {
            Home::Folder => Ok(store::runs()?.into_iter().map(|(id, dir)| (id, folder_holder(&dir))).collect()),
            Home::Shared(base) => {
                let holder = |named: Option<String>| named.map(|named| Holder { named: Some(named) });
                Ok(base.runs()?.into_iter().map(|(id, named)| (id, holder(named))).collect())
            }
        }
    }

    /// The run a person means: any unique prefix of an id, or `latest`.
    ///
    /// # Errors
    /// None or several match (exit 2): lists them.
    pub fn find(&self, word: &str) -> Result<(String, Place), Failure> {
        let id = match self {
            Home::Folder => store::find_run(word)?.0,
            Home::Shared(base) => {
                let all = base.runs()?.into_iter().map(|(id, _)| id).collect();
                let unbegun = |failure| if base.has_not_begun(word) { not_begun(word, base) } else { failure };
                store::meant(all, word, base.place()).map_err(unbegun)?
            }
        };
        let place = self.place(&id);
        Ok((id, place))
    }

    /// Demands that `word` does not mean a run of another machine just because it is the newest: what disposes of a run is
    /// told which one.
    ///
    /// # Errors
    /// It does (exit 2): names the run.
    pub fn demand_meant(&self, word: &str) -> Result<(), Failure> {
        if word != "latest" || self.base().is_none() {
            return Ok(());
        }
        let (id, place) = self.find(word)?;
        // Its lock: who only looked at it has a folder of it, too.
        if place.dir.join("lock").is_file() {
            return Ok(());
        }
        Err(Failure::new(Exit::Usage, format!("`latest` is run {id}, which nobody worked on from this directory"))
            .fact(format!("journal {}", self.shown()))
            .changed("nothing was changed")
            .next("type", format!("the id, if it is meant: {id}"))
            .next("look", "engine runs"))
    }

    /// Makes the place of a new run, and holds it; nobody sees the run before its first line.
    ///
    /// # Errors
    /// It exists or cannot be made.
    pub fn begin(&self, run: &str) -> Result<(Place, Held), Failure> {
        let place = self.place(run);
        if let (Some(base), Some(rows)) = (self.base(), &place.rows) {
            base.prepare()?;
            let held = rows.lock(&process::of(run))?;
            rows.demand_powers()?;
            rows.begin()?;
            let dir = store::new_run(run)?;
            place.sign(base)?;
            return Ok((place, Held { _rows: Some(held), _folder: store::lock(&dir, &process::by())? }));
        }
        let dir = store::new_run(run)?;
        let folder = store::lock(&dir, &process::by())?;
        Ok((place, Held { _rows: None, _folder: folder }))
    }

    /// Copies a packet of the shared journal into `folder`, unless one of its name is there: its id. `None`: it knows
    /// none that is called so, or there is no shared journal.
    ///
    /// # Errors
    /// As `Base::bring_packet`.
    pub fn bring_packet(&self, word: &str, folder: &Path) -> Result<Option<String>, Failure> {
        self.base().map_or(Ok(None), |base| base.bring_packet(word, folder))
    }
}

/// A run that is known, and has no line.
fn not_begun(run: &str, base: &Base) -> Failure {
    Failure::new(Exit::Usage, format!("run {run} was stopped before its first line: it has done nothing"))
        .fact(format!("in {}", base.place()))
        .changed("nothing was changed")
        .next("start", "engine apply PLAN")
}

fn folder_holder(dir: &Path) -> Option<Holder> {
    store::is_running(dir).then(|| Holder { named: store::holder_of(dir) })
}

impl Place {
    /// A folder whose journal is in it.
    pub fn at(dir: &Path) -> Place {
        Place { dir: dir.to_owned(), rows: None }
    }

    /// The run's id.
    fn run(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The run's folder here.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn rows(&self) -> Option<&rows::Rows> {
        self.rows.as_ref()
    }

    /// Holds an existing run, so that no other process works on it.
    ///
    /// # Errors
    /// Another process holds it (exit 60).
    pub fn hold(&self) -> Result<Held, Failure> {
        let Some(rows) = &self.rows else {
            return Ok(Held { _rows: None, _folder: store::lock(&self.dir, &process::by())? });
        };
        // Before the lock: one that is taken on a standby keeps nobody away.
        rows.base().demand_primary()?;
        let held = rows.lock(&process::of(&self.run()))?;
        rows.demand_powers()?;
        let lost = |e: std::io::Error| Failure::new(Exit::Io, format!("{} cannot be made: {e}", self.dir.display()));
        std::fs::create_dir_all(&self.dir).map_err(lost)?;
        store::sync_dir(Path::new(store::RUNS))?;
        let folder = store::lock(&self.dir, &process::by())?;
        self.sign(rows.base())?;
        Ok(Held { _rows: Some(held), _folder: folder })
    }

    /// Makes the folder here what is kept of it in the shared journal; the run is held.
    ///
    /// # Errors
    /// The server's, the disk's, or bytes that are not those they were kept as (62).
    pub fn bring(&self) -> Result<(), Failure> {
        self.rows.as_ref().map_or(Ok(()), |rows| rows.bring(&self.dir))
    }

    /// Makes the plan that the run began with, its templates too, a part of the folder here.
    ///
    /// # Errors
    /// As `bring`.
    pub fn bring_plan(&self) -> Result<(), Failure> {
        if self.rows.is_none() {
            return Ok(());
        }
        let kept = self.kept()?;
        let files = store::files_of(&kept.dir, "plan")?;
        files.iter().try_for_each(|(name, bytes)| store::write(&self.dir.join(name), bytes))
    }

    /// Says in the folder where its journal is: it has none itself.
    fn sign(&self, base: &Base) -> Result<(), Failure> {
        store::write(&self.dir.join(store::ELSEWHERE), format!("{}\n", base.place()).as_bytes())
    }

    /// The process that works on it.
    ///
    /// # Errors
    /// The server's.
    pub fn holder(&self) -> Result<Option<Holder>, Failure> {
        match &self.rows {
            None => Ok(folder_holder(&self.dir)),
            Some(rows) => Ok(rows.holder()?.map(|named| Holder { named: Some(named) })),
        }
    }

    /// Reads its journal.
    ///
    /// # Errors
    /// It cannot be read (exit 1, 75), or a line does not fit the chain (exit 62: TAMPERED, nothing is repaired).
    pub fn read(&self) -> Result<History, Failure> {
        let history = self.rows.as_ref().map_or_else(|| read(&self.dir), Rows::read)?;
        demand_own(&self.dir, &history)?;
        Ok(history)
    }

    /// Reads on, behind what is known: what this process has written since.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_on(&self, known: History) -> Result<History, Failure> {
        match &self.rows {
            Some(rows) => rows.read(),
            None => known.read_on(&self.dir),
        }
    }

    /// Demands that the journal is as it was read, now that the run is held.
    ///
    /// # Errors
    /// Another process went on with it in between (60), or it cannot be read.
    pub fn demand_still(&self, history: &History) -> Result<(), Failure> {
        let same = match &self.rows {
            Some(rows) => rows.read()?.head == history.head,
            None => history.is_still_so(&self.dir)?,
        };
        if same {
            return Ok(());
        }
        let failure = Failure::new(Exit::Held, "another process went on with this run just now");
        let mut last = String::new();
        for event in self.read()?.events() {
            if let Event::RunStarted { pid, host, .. } | Event::RunResumed { pid, host, .. } = event {
                last = format!("it was pid {pid} on {host}");
            }
        }
        let failure = failure.fact(last);
        Err(failure
            .fact(format!("the journal had {} events when it was read, and is another one now", history.lines.len()))
            .changed("nothing was changed")
            .next("then", "the same command again, which goes on from there"))
    }

    /// The exact bytes of its journal.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let path = self.dir.join(super::FILE);
        let read = || std::fs::read(&path).map_err(|e| Failure::new(Exit::Io, format!("{}: {e}", path.display())));
        self.rows.as_ref().map_or_else(read, Rows::bytes)
    }

    /// Demands that the server and the database that answer are those that took the last line.
    ///
    /// # Errors
    /// It is another one, or another timeline of it (exit 62); with `accept` what moved is answered instead. `again` is
    /// the command that asks.
    pub fn same_server(&self, accept: bool, again: &str) -> Result<Option<String>, Failure> {
        let Some(rows) = &self.rows else { return Ok(None) };
        match rows.moved()? {
            None => Ok(None),
            Some(_) if accept => Ok(Some("the journal's server".to_owned())),
            Some((then, now)) => Err(Failure::new(
                Exit::InputsChanged,
                format!("the journal of {} is not where its last line was written", rows.place()),
            )
            .fact(format!("then  {then}"))
            .fact(format!("now   {now}   system identifier, timeline, and oid of the database"))
            .fact("after a failover, from a backup or in a copy its last lines can be missing, and stages would run twice")
            .changed("nothing was changed")
            .next("look", "is the newest state of the journal's database here? else bring that back first")
            .next("go on", format!("{again} --accept-journal   when you know that no line was lost"))),
        }
    }

    /// Demands that the shared journal has the last line that this machine wrote. It may have been brought back, in its
    /// place, from before that.
    ///
    /// # Errors
    /// It has not (exit 62).
    pub fn demand_noted(&self, history: &History) -> Result<(), Failure> {
        let Some(rows) = &self.rows else { return Ok(()) };
        let Some((count, hash)) = note::read(&self.dir) else { return Ok(()) };
        let by = format!("{}, on this machine,", self.dir.join(note::FILE).display());
        history.demand(&self.run(), &Anchor { by, count, hash }).map_err(|failure| Failure {
            what: format!("the journal of {} lacks what this machine wrote into it", rows.place()),
            next: vec![
                (
                    "then".to_owned(),
                    "bring the newest state of the journal's database back, and the same command again".to_owned(),
                ),
                ("or".to_owned(), format!("engine drop {}   and apply its plan again", self.run())),
            ],
            ..failure
        })
    }

    /// Begins its journal.
    ///
    /// # Errors
    /// As `Journal::create`.
    pub fn create(&self, genesis: &str) -> Result<Journal, Failure> {
        Journal::begin(self.clone(), genesis)
    }

    /// Continues its journal.
    ///
    /// # Errors
    /// As `Journal::reopen`.
    pub fn reopen(&self, history: &History) -> Result<Journal, Failure> {
        Journal::go_on(self.clone(), history)
    }

    /// Keeps a file of the run's folder, whole, before anything names it: there first, then here.
    ///
    /// # Errors
    /// The journal or the disk did not take it: the run must stop.
    pub fn keep(&self, file: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.keep_all(&[(file.to_owned(), bytes)])
    }

    /// The same for several, which another machine sees all or none of.
    ///
    /// # Errors
    /// As `keep`.
    pub fn keep_all(&self, files: &[(String, &[u8])]) -> Result<(), Failure> {
        if let Some(rows) = &self.rows {
            let all: Vec<_> = files.iter().map(|(file, bytes)| (file.clone(), Some(*bytes))).collect();
            rows.keep(&all)?;
            crash::point(|| "store/shared".to_owned());
        }
        files.iter().try_for_each(|(file, bytes)| store::write(&self.dir.join(file), bytes))
    }

    /// Removes a file of the run's folder.
    ///
    /// # Errors
    /// As `keep`.
    pub fn forget(&self, file: &str) -> Result<(), Failure> {
        if let Some(rows) = &self.rows {
            rows.keep(&[(file.to_owned(), None)])?;
        }
        let path = self.dir.join(file);
        std::fs::remove_file(&path).map_err(|e| Failure::new(Exit::Io, format!("{}: {e}", path.display())))
    }

    /// Keeps what others wrote into a folder of the run, for other machines.
    ///
    /// # Errors
    /// As `keep`.
    pub fn keep_folder(&self, name: &str) -> Result<(), Failure> {
        let Some(rows) = &self.rows else { return Ok(()) };
        let files = store::files_of(&self.dir, name)?;
        let all: Vec<_> = files.iter().map(|(file, bytes)| (file.clone(), Some(bytes.as_slice()))).collect();
        rows.keep(&all)
    }

    /// Keeps a packet that was sealed in a folder here, for other machines.
    ///
    /// # Errors
    /// As `keep`.
    pub fn keep_packet(&self, id: &str, folder: &Path) -> Result<(), Failure> {
        let Some(rows) = &self.rows else { return Ok(()) };
        rows.keep_packet(id, store::files_of(folder, "")?)?;
        crash::point(|| "packet/kept".to_owned());
        Ok(())
    }

    /// A packet for this run's rollout, as `Home::bring_packet`.
    ///
    /// # Errors
    /// As `Home::bring_packet`.
    pub fn bring_packet(&self, word: &str, folder: &Path) -> Result<Option<String>, Failure> {
        self.rows.as_ref().map_or(Ok(None), |rows| rows.base().bring_packet(word, folder))
    }

    /// The run's folder as it is kept: with a shared journal a copy of it that is gone when this is.
    ///
    /// # Errors
    /// As `Rows::bring`.
    pub fn kept(&self) -> Result<KeptFolder, Failure> {
        let Some(rows) = &self.rows else { return Ok(KeptFolder { dir: self.dir.clone(), _aside: None }) };
        let aside = tempfile::tempdir().map_err(|e| Failure::new(Exit::Io, format!("no temporary folder: {e}")))?;
        rows.bring(aside.path())?;
        Ok(KeptFolder { dir: aside.path().to_owned(), _aside: Some(aside) })
    }
}

/// A run's folder to look into.
#[derive(Debug)]
pub struct KeptFolder {
    /// Where it is.
    pub dir: PathBuf,
    _aside: Option<tempfile::TempDir>,
}

/// A copy of a run's folder under another name is no run: both would go on from the same line, and each stage would run twice.
fn demand_own(dir: &Path, history: &History) -> Result<(), Failure> {
    let Some(Event::RunStarted { run, .. }) = history.events().next() else { return Ok(()) };
    if dir.file_name().is_some_and(|name| name.to_string_lossy() == run.as_str()) {
        return Ok(());
    }
    Err(Failure::new(Exit::InputsChanged, format!("{} is the folder of another run", dir.display()))
        .fact(format!("line 1: it began as run {run}; somebody copied or renamed its folder"))
        .changed("nothing was changed")
        .next(
            "then",
            format!("engine status {run}   if that run is there too, remove the copy; else give it its name back"),
        ))
}
