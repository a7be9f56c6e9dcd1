//! `fingerprint URL`: what is in a database, in one watched READ ONLY snapshot; compared, on demand, with a stored
//! fingerprint or another database, down to the rows that differ. Writes nothing but the file of `-o`.

mod against;
mod place;
mod rows;
mod side;
mod stored;
mod summary;

use super::{print, tell};
use crate::event::{Exit, Failure};
use crate::fingerprint::{Compare, Fingerprint, Leaf, Level, Scope, TablePrint};
use crate::journal::store;
use crate::name;
use place::Other;
pub(super) use place::{Place, address, url as database};
pub(super) use side::of_a_command;
use side::{Side, Taken};
use std::path::{Path, PathBuf};

/// What is to be read, and compared with what.
#[derive(Clone, Debug)]
pub struct Args {
    /// The database: a connection string, `env:NAME` or `file:PATH`.
    pub url: String,
    /// A stored fingerprint or another database.
    pub against: Option<String>,
    /// How deep; that of the stored fingerprint, else content.
    pub level: Option<Level>,
    /// Sessions that read at a time; two databases share them.
    pub jobs: u16,
    /// Tables whose rows are read; none: all.
    pub include: Vec<String>,
    /// Tables whose rows are not read.
    pub exclude: Vec<String>,
    /// Where to keep it.
    pub output: Option<PathBuf>,
    /// Most differing rows to list of each table.
    pub rows: Option<usize>,
    /// `--against` is production and URL its clone: compare through the masks a clone needs.
    pub clone: bool,
    /// Production's owners and the clone's.
    pub owners: Vec<(String, String)>,
    /// What the clone does without: `extension x`, `table public.t`.
    pub left_out: Vec<String>,
    /// JSON lines on stdout.
    pub json: bool,
    /// `--journal`.
    pub journal: Option<String>,
}

/// Takes the fingerprint, and compares it.
///
/// # Errors
/// The command line makes no sense (2), a file or database cannot be read (1, 75), a stored file was edited (62).
/// A difference is no failure: it is exit 20.
pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let here = place::url(&args.url)?;
    let other = args.against.as_deref().map(place::against).transpose()?;
    args.demand_sense(other.as_ref())?;
    let mut exposed = vec![&here];
    if let Some(Other::Database(place)) = &other {
        exposed.push(place);
    }
    exposed.into_iter().for_each(warn);
    match other {
        None => {
            let (here, taken) = args.one(&here, &args.scope(args.level.unwrap_or(Level::Content), None)).await?;
            here.finish().await?;
            args.kept(&taken.print)?;
            Ok(Exit::Ok)
        }
        Some(Other::Stored(path)) => args.against_file(&here, &path).await,
        Some(Other::Database(there)) => args.against_database(&here, &there).await,
    }
}

/// Of a password that the command line shows to everyone.
pub(super) fn warn(place: &Place) {
    if place.exposed {
        tell(&exposed(place.word));
    }
}

pub(super) fn exposed(word: &str) -> String {
    format!(
        "warning: the password in `{word}` can be seen by everyone on this machine (ps); put the connection string \
         into a variable and write env:NAME\n"
    )
}

/// Can `what` be kept in this file? Asked before an hour of reading, not after it.
pub(super) fn keepable(path: Option<&Path>, what: &str) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let refuse = |why: &str| {
        let what = format!("the {what} cannot be kept in {}: {why}", path.display());
        Err(Failure::new(Exit::Io, what).changed("nothing was read"))
    };
    if path.is_dir() {
        return refuse("it is a folder");
    }
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) if !parent.is_dir() => refuse("there is no such folder"),
        _ => Ok(()),
    }
}

impl Args {
    fn demand_sense(&self, other: Option<&Other>) -> Result<(), Failure> {
        let refuse = |what: &str| Failure::new(Exit::Usage, what).changed("nothing was read");
        let needs = |option: &str| {
            refuse(&format!("`{option}` needs something to compare with"))
                .next("then", "--against FILE   or   --against env:OTHER_DATABASE_URL")
        };
        let file = matches!(other, Some(Other::Stored(_)));
        let of_clone = !self.owners.is_empty() || !self.left_out.is_empty();
        match (other, self.rows) {
            (None, _) if self.clone => return Err(needs("--clone")),
            (None, Some(_)) => return Err(needs("--rows")),
            (Some(_), Some(_)) if file => {
                return Err(refuse("a stored fingerprint holds no rows to list")
                    .next("then", "--against env:OTHER_DATABASE_URL --rows N")
                    .next("or", "leave --rows out: tables that differ are named"));
            }
            _ => {}
        }
        if of_clone && !self.clone {
            return Err(refuse("`--owner` and `--left-out` say how a clone is compared").next("then", "add --clone"));
        }
        if self.rows.is_some() && self.level == Some(Level::Schema) {
            return Err(refuse("at level `schema` no rows are read").next("then", "leave --level out"));
        }
        if self.level == Some(Level::Schema) && !(self.include.is_empty() && self.exclude.is_empty()) {
            return Err(refuse("at level `schema` no rows are read; `--include` and `--exclude` choose whose are")
                .next("then", "leave them or --level out"));
        }
        keepable(self.output.as_deref(), "fingerprint")
    }

    /// What to read: what was asked, or what the stored fingerprint covers.
    fn scope(&self, level: Level, stored: Option<&Fingerprint>) -> Scope {
        let full = |names: &[String]| -> Vec<String> {
            names.iter().map(|n| if n.contains('.') { n.clone() } else { format!("public.{n}") }).collect()
        };
        let (include, mut exclude) = (full(&self.include), full(&self.exclude));
        if let (Some(stored), true, true) = (stored, include.is_empty(), exclude.is_empty()) {
            exclude = stored::unread(stored);
        }
        Scope { level, include, exclude, ignore: Vec::new() }
    }

    /// Opens one database and takes its fingerprint; shows it.
    async fn one(&self, place: &place::Place, scope: &Scope) -> Result<(Side, Taken), Failure> {
        let side = Side::open(place).await?;
        self.demand_named(&[&side])?;
        let taken = side.take(scope, self.jobs.into()).await?;
        self.show(&side, &taken);
        Ok((side, taken))
    }

    async fn against_file(&self, place: &place::Place, path: &Path) -> Result<Exit, Failure> {
        let stored = stored::read(path)?;
        let level = stored::level(path, &stored, self.level)?;
        let (side, taken) = self.one(place, &self.scope(level, Some(&stored))).await?;
        side.finish().await?;
        self.kept(&taken.print)?;
        let name = path.display().to_string();
        let whole = (stored.level == level).then_some(name.as_str());
        let exit = self.compared(&stored::shallower(stored.clone(), level), &taken.print, whole, &name)?;
        Ok(exit)
    }

    async fn against_database(&self, here: &place::Place, there: &place::Place) -> Result<Exit, Failure> {
        let level = self.level.unwrap_or(Level::Content);
        let scope = self.scope(level, None);
        let (there, here) = tokio::try_join!(Side::open(there), Side::open(here))?;
        self.demand_named(&[&here, &there])?;
        let (was, is) = if self.jobs > 1 {
            let half = usize::from(self.jobs / 2);
            tokio::try_join!(there.take(&scope, half), here.take(&scope, half))?
        } else {
            (there.take(&scope, 1).await?, here.take(&scope, 1).await?)
        };
        self.show(&here, &is);
        self.show(&there, &was);
        self.kept(&is.print)?;
        let other = format!("{} at {}", was.print.database.database, there.address);
        let exit = self.compared(&was.print, &is.print, None, &other)?;
        if let Some(limit) = self.rows {
            let tables = differing(&was.print, &is.print);
            let found = rows::differing(&there, &here, &tables, limit).await?;
            tokio::try_join!(there.demand_whole(&was.print), here.demand_whole(&is.print))?;
            for table in found {
                self.people(&rows::show::drawn(&table));
                rows::show::json(&table).for_each(|line| self.machine(&line));
            }
        }
        there.finish().await?;
        here.finish().await?;
        Ok(exit)
    }

    /// Compares and tells; `was` is the reference.
    fn compared(&self, was: &Fingerprint, is: &Fingerprint, file: Option<&str>, other: &str) -> Result<Exit, Failure> {
        let (compare, notes) = if self.clone {
            {
                let home = super::home(self.journal.as_deref())?;
                against::through_masks(&home, was, is, &self.owners, &self.left_out)?
            }
        } else {
            (Compare::Exact, Vec::new())
        };
        let told = against::told(was, is, &compare, file, notes)?;
        for (_, difference) in &told.differences {
            self.machine(&serde_json::json!({
                "v": 1, "type": "difference", "what": difference.what, "detail": difference.detail,
                "physical": difference.physical,
            }));
        }
        let [tables, objects, sequences] = told.equal;
        self.machine(&serde_json::json!({
            "v": 1, "type": "compared", "against": other, "equal": told.is_equal(), "notes": told.notes,
            "equal_tables": tables, "equal_objects": objects, "equal_sequences": sequences,
        }));
        self.people(&against::drawn(&told, other, is.level));
        Ok(if told.is_equal() { Exit::Ok } else { Exit::Differs })
    }

    /// A misspelt name would make a fingerprint say less than it seems to.
    fn demand_named(&self, sides: &[&Side]) -> Result<(), Failure> {
        let leaves = || sides.iter().flat_map(|side| &side.leaves);
        let scope = self.scope(Level::Content, None);
        for name in scope.include.iter().chain(&scope.exclude) {
            if leaves().any(|leaf: &Leaf| leaf.answers.contains(name)) {
                continue;
            }
            let known = leaves().flat_map(|leaf| &leaf.answers).map(String::as_str);
            let failure = Failure::new(Exit::Usage, format!("there is no table `{name}` with rows of its own"))
                .changed("nothing was read");
            return Err(match name::nearest(name, known) {
                Some(near) => failure.next("did you mean", near),
                None => failure.fact("tables are named `schema.table`; without a schema `public` is meant"),
            });
        }
        Ok(())
    }

    fn kept(&self, print: &Fingerprint) -> Result<(), Failure> {
        let Some(path) = &self.output else { return Ok(()) };
        let bytes = serde_json::to_vec_pretty(print).expect("invariant: a fingerprint is JSON");
        store::write(path, &bytes)?;
        self.people(&format!("  kept in {}\n", path.display()));
        Ok(())
    }

    fn show(&self, side: &Side, taken: &Taken) {
        self.people(&summary::drawn(side, taken));
        self.machine(&summary::json(side, taken));
    }

    /// People's text goes to stderr when stdout belongs to a machine.
    fn people(&self, text: &str) {
        if self.json { tell(text) } else { print(text) }
    }

    fn machine(&self, line: &serde_json::Value) {
        if self.json {
            print(&format!("{line}\n"));
        }
    }
}

/// Tables of both sides whose rows are not the same.
fn differing<'p>(was: &Fingerprint, is: &'p Fingerprint) -> Vec<&'p TablePrint> {
    let same = |one: &TablePrint, other: &TablePrint| one.rows == other.rows && one.sum == other.sum;
    let of = |table: &TablePrint| was.tables.iter().find(|other| other.name == table.name);
    is.tables.iter().filter(|table| of(table).is_some_and(|other| !same(other, table))).collect()
}
