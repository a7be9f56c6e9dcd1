//! `watermark URL`: which tables cannot have changed since an earlier look, at about the price of `count(*)`. Taken and
//! compared in one watched READ ONLY snapshot. Writes nothing but the file of `-o`.

use super::fingerprint::{Place, database, keepable, of_a_command, warn};
use super::{print, tell};
use crate::clock::{Stopwatch, show_ms};
use crate::event::{Exit, Failure};
use crate::fingerprint::{TableVerdict, Verdict, Watermark, unchanged_since, watermark};
use crate::journal::store;
use crate::target::{Isolation, Tx};
use std::path::{Path, PathBuf};

const MOVED: &str = include_str!("../../sql/engine/fingerprint/moved.sql");

/// Tables that are listed; JSON has all of them.
const LISTED: usize = 40;

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Args {
    /// The database: a connection string, `env:NAME` or `file:PATH`.
    pub url: String,
    /// A stored watermark of the same database.
    pub against: Option<PathBuf>,
    /// Where to keep a new one.
    pub output: Option<PathBuf>,
    /// JSON lines on stdout.
    pub json: bool,
}

/// Takes a watermark, or tells what an earlier one proves.
///
/// # Errors
/// The command line makes no sense (2), a file or database cannot be read (1, 75). That something may have changed is
/// no failure: it is exit 20.
pub async fn run(args: &Args) -> Result<Exit, Failure> {
    if args.against.is_none() && args.output.is_none() {
        // A connection string can hold a password.
        let named = ["env:", "file:"].iter().any(|start| args.url.starts_with(start));
        let url = if named { args.url.as_str() } else { "URL" };
        return Err(Failure::new(
            Exit::Usage,
            "a watermark is of use only when it is kept, or compared with a kept one",
        )
        .changed("nothing was read")
        .next("first", format!("engine watermark {url} -o FILE"))
        .next("later", format!("engine watermark {url} --against FILE")));
    }
    keepable(args.output.as_deref(), "watermark")?;
    let place = database(&args.url)?;
    warn(&place);
    let then = args.against.as_deref().map(stored).transpose()?;
    let watch = Stopwatch::start();
    let tx = place.reader.begin("watermark", Isolation::Snapshot).await.map_err(of_a_command)?;
    let exit = args.looked(&tx, &place, then.as_ref(), &watch).await.map_err(of_a_command)?;
    tx.finish().await.map_err(of_a_command)?;
    Ok(exit)
}

impl Args {
    async fn looked(
        &self,
        tx: &Tx,
        place: &Place,
        then: Option<&Watermark>,
        watch: &Stopwatch,
    ) -> Result<Exit, Failure> {
        let verdicts = match then {
            Some(then) => Some(unchanged_since(tx, then).await?),
            None => None,
        };
        let taken = match &self.output {
            Some(_) => Some(watermark(tx).await?),
            None => None,
        };
        whole(tx).await?;
        let exit = verdicts.map_or(Exit::Ok, |verdicts| self.told(place, &verdicts, watch));
        if let (Some(path), Some(taken)) = (&self.output, taken) {
            let bytes = serde_json::to_vec_pretty(&taken).expect("invariant: a watermark is JSON");
            store::write(path, &bytes)?;
            let rows: u64 = taken.tables.iter().map(|table| table.rows).sum();
            let (tables, database) = (taken.tables.len(), &taken.database.database);
            self.people(&format!(
                "watermark of {database}: {rows} rows in {tables} tables, at transaction {}, read in {}\n  kept in {}\n",
                taken.horizon,
                show_ms(watch.ms()),
                path.display()
            ));
        }
        Ok(exit)
    }

    fn told(&self, place: &Place, verdicts: &[TableVerdict], watch: &Stopwatch) -> Exit {
        let (same, moved): (Vec<_>, Vec<_>) = verdicts.iter().partition(|told| told.verdict == Verdict::Unchanged);
        for told in verdicts {
            self.machine(&serde_json::json!({
                "v": 1, "type": "table", "table": told.name, "oid": told.oid,
                "unchanged": told.verdict == Verdict::Unchanged, "why": why(&told.verdict),
            }));
        }
        self.machine(&serde_json::json!({
            "v": 1, "type": "watermark", "unchanged": same.len(), "moved": moved.len(), "ms": watch.ms(),
        }));
        let at = place.reader.door().address();
        if moved.is_empty() {
            self.people(&format!(
                "unchanged: no row of {} tables at {at}, proved by the watermark in {}\n  not looked at: schema, \
                 sequences, large objects; engine fingerprint --level schema\n",
                same.len(),
                show_ms(watch.ms())
            ));
            return Exit::Ok;
        }
        let mut text = format!("{} of {} tables at {at} may have changed\n", moved.len(), verdicts.len());
        for told in moved.iter().take(LISTED) {
            text.push_str(&format!("  {}  {}\n", told.name, why(&told.verdict).unwrap_or_default()));
        }
        if moved.len() > LISTED {
            text.push_str(&format!("  and {} more; --json lists all of them\n", moved.len() - LISTED));
        }
        text.push_str(&format!(
            "  {} unchanged, proved in {}; whether the others have is for engine fingerprint to say\n",
            same.len(),
            show_ms(watch.ms())
        ));
        self.people(&text);
        Exit::Differs
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

fn why(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Unchanged => None,
        Verdict::Unknown(why) => Some(why.clone()),
        Verdict::New => Some("it is new".to_owned()),
        Verdict::Gone => Some("it is gone".to_owned()),
    }
}

/// A TRUNCATE or a rewrite after the snapshot reads as 0 rows, without any error.
async fn whole(tx: &Tx) -> Result<(), Failure> {
    let moved: Vec<String> = tx.query(MOVED, &[]).await?.iter().map(|row| row.get(0)).collect();
    if moved.is_empty() {
        return Ok(());
    }
    let what = format!("`{}`: tables were truncated or rewritten while they were read", tx.target());
    let mut failure = Failure::new(Exit::Temporary, what)
        .changed("nothing was changed; it was only read")
        .next("then", "the same command again");
    failure.facts = moved;
    Err(failure)
}

fn stored(path: &Path) -> Result<Watermark, Failure> {
    let refuse = |why: String| {
        Failure::new(Exit::Io, format!("{}{why}", path.display()))
            .changed("nothing was read")
            .next("make one", "engine watermark env:DATABASE_URL -o FILE")
    };
    let bytes = std::fs::read(path).map_err(|error| refuse(format!(": the watermark cannot be read: {error}")))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| refuse(format!(":{}:{} is no stored watermark: {error}", error.line(), error.column())))
}
