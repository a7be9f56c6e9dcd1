//! Comparing: what is told and in which order, how many things are equal, and what a clone is compared through.

use crate::event::{Event, Exit, Failure};
use crate::fingerprint::{self, Compare, Difference, Fingerprint, Level};
use crate::journal::Home;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Differences of one group that are shown; all are in the JSON lines.
const SHOWN: usize = 50;

/// Groups of differences, the most telling first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Scope,
    Rows,
    Objects,
    Sequences,
    Owners,
    Physical,
}

impl Group {
    const ALL: [Group; 6] =
        [Group::Scope, Group::Rows, Group::Objects, Group::Sequences, Group::Owners, Group::Physical];

    fn heading(self) -> &'static str {
        match self {
            Group::Scope => "what was looked at",
            Group::Rows => "rows",
            Group::Objects => "schema",
            Group::Sequences => "sequences",
            Group::Owners => "owners, grants, comments, settings of the database",
            Group::Physical => "physical only, which counts as equal",
        }
    }

    fn of(difference: &Difference) -> Group {
        let starts = |word: &&str| difference.what.starts_with(*word);
        let rows = ["rows ", "content differs", "columns left out", "no longer read", "was not read"];
        let telling = |word: &&str| difference.detail.starts_with(*word);
        if difference.physical {
            Group::Physical
        } else if ["format", "level", "scope"].iter().any(|word| difference.what == *word) {
            Group::Scope
        } else if difference.what == "large objects" || rows.iter().any(telling) {
            Group::Rows
        } else if difference.what.starts_with("sequence ") && difference.detail.starts_with("next value ") {
            Group::Sequences
        } else if OWNERS.iter().any(starts) {
            Group::Owners
        } else {
            Group::Objects
        }
    }
}

const OWNERS: [&str; 7] = [
    "owner of ",
    "grants on ",
    "default privileges of ",
    "comment on ",
    "security label of ",
    "limits of the database",
    "settings of the database",
];

/// What a comparison came to.
#[derive(Debug)]
pub(super) struct Told {
    /// Sorted by group.
    pub(super) differences: Vec<(Group, Difference)>,
    /// Masks that were used, and what the reader should know beside.
    pub(super) notes: Vec<String>,
    /// Tables, schema objects, sequences that are equal.
    pub(super) equal: [usize; 3],
}

impl Told {
    /// Nothing differs but, perhaps, physical order.
    pub(super) fn is_equal(&self) -> bool {
        self.differences.iter().all(|(_, difference)| difference.physical)
    }
}

/// Compares `was`, the reference, with `is`. `file`: where `was` is kept, when it was taken at this very level.
pub(super) fn told(
    was: &Fingerprint,
    is: &Fingerprint,
    compare: &Compare,
    file: Option<&str>,
    mut notes: Vec<String>,
) -> Result<Told, Failure> {
    let found = fingerprint::differences(was, is, compare);
    notes.extend(found.masks);
    let mut differences = Vec::new();
    for difference in found.differences {
        if difference.what == "database" {
            // Its name and oid are in no digest: two databases with the same content are equal.
            notes.push(format!("database {}", difference.detail));
        } else {
            differences.push((Group::of(&difference), difference));
        }
    }
    differences.sort_by_key(|(group, _)| *group);
    let told = Told { equal: equal(was, is, &differences), differences, notes };
    if let (Some(file), true, true) = (file, *compare == Compare::Exact, told.is_equal())
        && was.digest != is.digest
    {
        let what = format!("{file} was edited: its digest is not that of what it holds");
        return Err(Failure::new(Exit::InputsChanged, what).changed("nothing was changed; it was only read"));
    }
    Ok(told)
}

fn equal(was: &Fingerprint, is: &Fingerprint, differences: &[(Group, Difference)]) -> [usize; 3] {
    let differing = |group: Group| -> BTreeSet<&str> {
        differences.iter().filter(|(g, _)| *g == group).map(|(_, d)| d.what.as_str()).collect()
    };
    let rows = differing(Group::Rows);
    let tables: BTreeSet<&str> = was.tables.iter().map(|table| table.name.as_str()).collect();
    let alike = is.tables.iter().filter(|t| tables.contains(t.name.as_str()));
    let tables = alike.filter(|t| !rows.contains(format!("{} {}", t.kind.word(), t.name).as_str())).count();
    let named: BTreeSet<&str> = differences
        .iter()
        .filter(|(g, _)| matches!(g, Group::Objects | Group::Owners | Group::Physical))
        .map(|(_, d)| d.what.as_str())
        .collect();
    let known: BTreeSet<&str> = was.objects.iter().map(|object| object.identity.as_str()).collect();
    let objects = is.objects.iter().map(|object| object.identity.as_str());
    let objects = objects.filter(|identity| known.contains(identity) && !named.contains(identity)).count();
    let sequences = differing(Group::Sequences);
    let known: BTreeSet<&str> = was.sequences.iter().map(|sequence| sequence.name.as_str()).collect();
    let alike = is.sequences.iter().filter(|s| known.contains(s.name.as_str()));
    let alike = alike.filter(|s| !sequences.contains(format!("sequence {}", s.name).as_str())).count();
    [tables, objects, alike]
}

/// The screen: differences in groups, then what is equal, then the verdict.
pub(super) fn drawn(told: &Told, other: &str, level: Level) -> String {
    let mut text = format!("\nagainst {other}\n");
    for group in Group::ALL {
        let of: Vec<&Difference> = told.differences.iter().filter(|(g, _)| *g == group).map(|(_, d)| d).collect();
        if of.is_empty() {
            continue;
        }
        let _ = writeln!(text, "  {}", group.heading());
        for difference in of.iter().take(SHOWN) {
            let _ = writeln!(text, "    {}: {}", difference.what, difference.detail);
        }
        if of.len() > SHOWN {
            let _ = writeln!(text, "    and {} more; --json lists all", of.len() - SHOWN);
        }
    }
    for note in &told.notes {
        let _ = writeln!(text, "  note  {note}");
    }
    let [tables, objects, sequences] = told.equal;
    let rows = match level {
        Level::Schema => String::new(),
        Level::Counts => format!("{tables} tables by their number of rows, {sequences} sequences, "),
        Level::Content => format!("{tables} tables, {sequences} sequences, "),
    };
    let _ = writeln!(text, "  equal  {rows}{objects} schema objects");
    let count = told.differences.iter().filter(|(_, difference)| !difference.physical).count();
    let verdict = match count {
        0 => format!("equal at level {}", super::summary::word(level)),
        1 => "1 difference".to_owned(),
        _ => format!("{count} differences"),
    };
    text + &format!("{verdict}\n")
}

/// How production and its clone are compared, and how that is known.
pub(super) fn through_masks(
    home: &Home,
    production: &Fingerprint,
    clone: &Fingerprint,
    owners: &[(String, String)],
    left_out: &[String],
) -> Result<(Compare, Vec<String>), Failure> {
    let mut notes = Vec::new();
    let (mut owner_map, mut out) = (owners.to_vec(), left_out.to_vec());
    if let Some((run, made, known)) = from_journal(home, clone) {
        if owner_map.is_empty() {
            owner_map = made;
        }
        out.extend(known);
        notes.push(format!("owners and what was left out of the clone are as the journal of run {run} says"));
    } else if owner_map.is_empty() {
        owner_map = derived(production, clone)?;
        if let Some((_, to)) = owner_map.first() {
            notes.push(format!("every owner is taken for `{to}`, who owns all of the clone"));
        }
    }
    Ok((Compare::Clone { owner_map, left_out: out }, notes))
}

type Made = (String, Vec<(String, String)>, Vec<String>);

/// What the run that made the clone wrote down, if its journal is there.
fn from_journal(home: &Home, clone: &Fingerprint) -> Option<Made> {
    let run = &clone.database.marker.as_ref()?.run;
    let (id, place) = home.find(run).ok()?;
    let history = place.read().ok()?;
    let made = history.events().filter_map(|event| match event {
        Event::CloneMade { oid, owner, source_owners, left_out, .. } if *oid == clone.database.oid => {
            let map = source_owners.iter().map(|from| (from.clone(), owner.clone())).collect();
            Some((id.clone(), map, left_out.clone()))
        }
        _ => None,
    });
    made.last()
}

/// All of a clone belongs to one role: then each owner of production stands for it.
fn derived(production: &Fingerprint, clone: &Fingerprint) -> Result<Vec<(String, String)>, Failure> {
    let [from, to] = [production, clone].map(|print| {
        let owners = print.objects.iter().filter(|object| object.kind == "owner").map(|o| o.definition.as_str());
        owners.filter(|role| *role != "pg_database_owner").collect::<BTreeSet<&str>>()
    });
    if from == to {
        return Ok(Vec::new());
    }
    if let [one] = to.iter().collect::<Vec<_>>()[..] {
        return Ok(from.into_iter().map(|owner| (owner.to_owned(), (*one).to_owned())).collect());
    }
    let list = |owners: BTreeSet<&str>| owners.into_iter().collect::<Vec<_>>().join(", ");
    Err(Failure::new(Exit::Usage, "which owner of production is which owner of the clone is not known")
        .fact(format!("production  {}", list(from)))
        .fact(format!("the clone   {}", list(to)))
        .changed("nothing was changed; it was only read")
        .next("then", "--owner PRODUCTION_ROLE=CLONE_ROLE   for each owner of production"))
}
