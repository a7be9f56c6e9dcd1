//! What is not a difference between production and its clone, or a clone and its TEMPLATE copy. Each mask that is
//! used is noted, with what it was used on.

use super::chains;
use super::compare::Compare;
use super::in_list;
use super::print::{Fingerprint, SchemaObject};
use super::qualifiers;
use super::roles::OwnerMap;
use crate::digest::RowSum;
use std::collections::{BTreeMap, BTreeSet};

/// The masks of one comparison and the notes they leave.
pub(super) struct Masks<'c> {
    compare: &'c Compare,
    /// Major versions of production and the clone.
    majors: [i32; 2],
    /// Names of schemas, on either side.
    schemas: BTreeSet<&'c str>,
    /// Tables that inherit from others, partitions too.
    heirs: BTreeSet<&'c str>,
    used: BTreeMap<&'static str, BTreeSet<String>>,
}

const DATABASE: &str = "the database's own owner, grants, comment and settings are not compared";
const OWNERS: &str = "owners are compared through the map";
const GRANTS: &str = "grants are compared with owners mapped and without what owners hold on their own objects";
const LEFT_OUT: &str = "left out of the clone";
const IN_LISTS: &str = "IN lists over varchar, parsed anew in the clone, are printed in another form";
const INVALID: &str = "invalid indexes are not cloned";
const COMPUTED: &str = "materialized views are computed anew in a clone";
const COLUMN_ORDER: &str = "the order of columns of an heir or a partition is made anew in a clone";
const VIEW_TEXTS: &str = "columns of views and rules over one table are printed with the table before PostgreSQL 16";
const MAINTAIN: &str = "the privilege MAINTAIN exists from PostgreSQL 17 on";
const CHAINS: &str = "chains of AND and OR, parsed anew in the clone, are printed with fewer brackets";
const AS_ONE: &str = "rows lie in other leaves of the clone, and are the same as a whole";
const COUNTED: &str = "large objects, which one of the two roles may not read, are compared by number";
const NOT_NULLS: &str = "NOT NULL constraints have names from PostgreSQL 18 on";
const RENAMED: &str = "names that PostgreSQL makes up for NOT NULL constraints, and those of heirs with whether they are \
                       their own, are made anew in a clone";
const EXTENSIONS: &str = "an extension has the version that the clone's server brings along";

/// From which major version on columns of a view over one table are printed bare.
const BARE_COLUMNS: i32 = 16;
/// From which on there is the privilege MAINTAIN.
const MAINTAINED: i32 = 17;
/// From which on a NOT NULL is a constraint with a name.
const NAMED_NOT_NULLS: i32 = 18;

impl<'c> Masks<'c> {
    pub(super) fn new(compare: &'c Compare, a: &'c Fingerprint, b: &'c Fingerprint) -> Masks<'c> {
        let heir = |object: &'c SchemaObject| {
            let inherits = |line: &str| line.starts_with("inherits ") || line.starts_with("partition of ");
            let table = object.identity.strip_prefix("table ")?;
            object.definition.lines().any(inherits).then_some(table)
        };
        let both = || a.objects.iter().chain(&b.objects);
        Masks {
            compare,
            majors: [a, b].map(|side| side.database.version_num / 10_000),
            schemas: both().filter_map(|object| object.identity.strip_prefix("schema ")).collect(),
            heirs: a.objects.iter().filter_map(heir).collect(),
            used: BTreeMap::new(),
        }
    }

    /// Is one side older than `major`, and the other not?
    fn crosses(&self, major: i32) -> bool {
        (self.majors[0] < major) != (self.majors[1] < major)
    }

    /// The notes, a line a mask.
    pub(super) fn notes(self) -> Vec<String> {
        let note = |(mask, on): (&str, BTreeSet<String>)| {
            let on: Vec<String> = on.into_iter().collect();
            if on.is_empty() { mask.to_owned() } else { format!("{mask}: {}", on.join(", ")) }
        };
        self.used.into_iter().map(note).collect()
    }

    fn note(&mut self, mask: &'static str, on: impl Into<String>) {
        self.used.entry(mask).or_default().insert(on.into());
    }

    /// One side's objects as they are compared, by identity.
    pub(super) fn objects(&mut self, side: &Fingerprint) -> BTreeMap<String, SchemaObject> {
        let mut kept: BTreeMap<String, SchemaObject> = BTreeMap::new();
        for object in &side.objects {
            let Some(masked) = self.object(object) else { continue };
            kept.entry(masked.identity.clone()).and_modify(|known| merge(known, &masked)).or_insert(masked);
        }
        kept
    }

    fn object(&mut self, object: &SchemaObject) -> Option<SchemaObject> {
        if matches!(self.compare, Compare::Exact) {
            return Some(object.clone());
        }
        if matches!(object.kind.as_str(), "database" | "subscription") {
            self.used.entry(DATABASE).or_default();
            return None;
        }
        let Compare::Clone { owner_map, .. } = self.compare else { return Some(object.clone()) };
        if self.leaves_out(&object.identity, object.parent.as_deref()) {
            return None;
        }
        if self.crosses(NAMED_NOT_NULLS) && object.kind == "not null constraint" {
            self.used.entry(NOT_NULLS).or_default();
            return None;
        }
        if let Some(table) = self.renamed(object) {
            self.note(RENAMED, table);
            let heir = self.heirs.contains(table);
            let told = object.definition.lines().filter(|line| !heir || *line != "not local");
            let definition = told.collect::<Vec<_>>().join("\n");
            let identity = format!("{} of {table}", first(&definition));
            return Some(SchemaObject { identity, definition, ..object.clone() });
        }
        Some(self.mapped(object, &OwnerMap::new(owner_map)))
    }

    /// The table, when `pg_restore` may give this NOT NULL constraint of it another name: it was made up, and so is that of
    /// a table that comes first; or it is an heir's.
    fn renamed<'o>(&self, object: &'o SchemaObject) -> Option<&'o str> {
        let table = object.parent.as_deref().filter(|_| object.kind == "not null constraint")?;
        let name = object.identity.strip_suffix(table)?.strip_suffix(" on ")?.trim_end_matches('"');
        let made_up = name.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with("_not_null");
        (made_up || self.heirs.contains(table)).then_some(table)
    }

    /// Is the relation on the list of what the clone leaves out?
    pub(super) fn leaves_out_relation(&mut self, name: &str) -> bool {
        self.leaves_out("", Some(name))
    }

    /// Is it, or does it describe or belong to, something on the list of what the clone leaves out?
    pub(super) fn leaves_out(&mut self, identity: &str, parent: Option<&str>) -> bool {
        let Compare::Clone { left_out, .. } = self.compare else { return false };
        let about =
            |entry: &str| identity.strip_suffix(entry).is_some_and(|s| s.ends_with(" on ") || s.ends_with(" of "));
        let parts = |entry: &str| parent.is_some_and(|p| entry.strip_suffix(p).is_some_and(|kind| kind.ends_with(' ')));
        let found = left_out.iter().find(|entry| identity == entry.as_str() || about(entry) || parts(entry));
        let Some(entry) = found.cloned() else { return false };
        self.note(LEFT_OUT, entry);
        true
    }

    fn mapped(&mut self, object: &SchemaObject, map: &OwnerMap) -> SchemaObject {
        let mut masked = object.clone();
        match object.kind.as_str() {
            "owner" => {
                map.role(&object.definition).clone_into(&mut masked.definition);
                if masked.definition != object.definition {
                    self.note(OWNERS, format!("{} -> {}", object.definition, masked.definition));
                }
            }
            "grants" | "default privileges" => {
                masked.identity = map.default_privileges(&object.identity);
                let maintain = self.crosses(MAINTAINED);
                let lines = map.privileges(&object.definition, maintain);
                if maintain && object.definition.contains("=MAINTAIN") {
                    self.used.entry(MAINTAIN).or_default();
                }
                masked.definition = lines.into_iter().collect::<Vec<_>>().join("\n");
                self.used.entry(GRANTS).or_default();
            }
            _ => {}
        }
        masked
    }

    /// Two definitions that mean the same, or what a clone cannot have the same?
    pub(super) fn same_in_a_clone(&mut self, a: &SchemaObject, b: &SchemaObject) -> bool {
        if !matches!(self.compare, Compare::Clone { .. }) || a.kind == "comment" {
            return false;
        }
        let (was, is) = (in_list::unified(&a.definition), in_list::unified(&b.definition));
        let mask = if was == is {
            IN_LISTS
        } else if chains::flattened(&was) == chains::flattened(&is) {
            CHAINS
        } else if self.only_qualified(&a.kind, &was, &is) {
            VIEW_TEXTS
        } else if self.only_order(a, b) {
            COLUMN_ORDER
        } else if self.only_version(a, b) {
            return self.noted(EXTENSIONS, format!("{} {} -> {}", a.identity, first(&was), first(&is)));
        } else {
            return false;
        };
        self.noted(mask, a.identity.clone())
    }

    fn noted(&mut self, mask: &'static str, on: String) -> bool {
        self.note(mask, on);
        true
    }

    fn only_qualified(&self, kind: &str, was: &str, is: &str) -> bool {
        matches!(kind, "view" | "materialized view" | "rule")
            && self.majors[0] < BARE_COLUMNS
            && self.crosses(BARE_COLUMNS)
            && qualifiers::only_dropped(was, is, &self.schemas)
    }

    /// Columns of a parent that came later than the heir's own: a dump puts them first.
    fn only_order(&self, a: &SchemaObject, b: &SchemaObject) -> bool {
        let ordered = a.identity.strip_prefix("column order of ");
        ordered.is_some_and(|table| self.heirs.contains(table)) && names(&a.definition) == names(&b.definition)
    }

    fn only_version(&self, a: &SchemaObject, b: &SchemaObject) -> bool {
        let rest = |o: &SchemaObject| o.definition.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        let versioned = [a, b].iter().all(|o| first(&o.definition).starts_with("version "));
        a.kind == "extension" && self.majors[0] != self.majors[1] && versioned && rest(a) == rest(b)
    }

    /// Something production has and its clone need not?
    pub(super) fn not_cloned(&mut self, object: &SchemaObject) -> bool {
        let invalid = object.kind == "index" && object.definition.lines().any(|line| line == "invalid");
        let masked = invalid && matches!(self.compare, Compare::Clone { .. });
        if masked {
            self.note(INVALID, &object.identity);
        }
        masked
    }

    /// Partitioned tables whose rows are the same as a whole and lie in other leaves: those of a hash over a type that
    /// has its own oids in the clone, such as an enum.
    pub(super) fn as_one(&mut self, a: &Fingerprint, b: &Fingerprint) -> BTreeSet<String> {
        if !matches!(self.compare, Compare::Clone { .. }) {
            return BTreeSet::new();
        }
        let [was, is] = [a, b].map(leaves_by_root);
        let moved = was.into_iter().filter(|(root, was)| {
            is.get(root).is_some_and(|is| was.sums != is.sums && was.total.is_some() && was.total == is.total)
        });
        let moved: BTreeSet<String> = moved.map(|(root, _)| root).collect();
        for root in &moved {
            self.note(AS_ONE, root);
        }
        moved
    }

    /// Large objects that one side may not read: their number is compared.
    pub(super) fn only_counted(&mut self, a: &Fingerprint, b: &Fingerprint) -> bool {
        let unread = |side: &Fingerprint| {
            let count = |text: &String| text.strip_prefix("large objects: ")?.split(',').next()?.parse::<u64>().ok();
            side.excluded.iter().find_map(count)
        };
        let read = |side: &Fingerprint| side.large_objects.as_ref().map(|large| large.count);
        let counts = [a, b].map(|side| unread(side).or_else(|| read(side)));
        let one_sided = unread(a).is_some() != unread(b).is_some();
        let masked = matches!(self.compare, Compare::Clone { .. }) && one_sided && counts[0] == counts[1];
        if masked {
            self.note(COUNTED, format!("{} of them", counts[0].unwrap_or(0)));
        }
        masked
    }

    /// Rows of a materialized view, which the clone has computed by itself?
    pub(super) fn computed(&mut self, name: &str) -> bool {
        let masked = matches!(self.compare, Compare::Clone { .. });
        if masked {
            self.note(COMPUTED, name);
        }
        masked
    }
}

/// Leaves of a partitioned table, and their rows as a whole; no total where they were only counted.
#[derive(Default)]
struct Leaves {
    sums: BTreeMap<String, Option<String>>,
    total: Option<RowSum>,
}

fn leaves_by_root(side: &Fingerprint) -> BTreeMap<String, Leaves> {
    let mut roots: BTreeMap<String, Leaves> = BTreeMap::new();
    for table in &side.tables {
        let Some(root) = &table.root else { continue };
        let sum = table.sum.as_deref().and_then(|hex| RowSum::of_hex(hex, table.rows, table.bytes));
        let leaves =
            roots.entry(root.clone()).or_insert_with(|| Leaves { total: Some(RowSum::default()), ..Leaves::default() });
        leaves.sums.insert(table.name.clone(), table.sum.clone());
        leaves.total = leaves.total.take().zip(sum).map(|(mut total, sum)| {
            total.merge(&sum);
            total
        });
    }
    roots
}

fn first(definition: &str) -> &str {
    definition.lines().next().unwrap_or_default()
}

/// The names in a list, in whatever order.
fn names(list: &str) -> BTreeSet<&str> {
    list.split(", ").collect()
}

/// Two owners that map to one: their default privileges come together.
fn merge(known: &mut SchemaObject, other: &SchemaObject) {
    let lines: BTreeSet<&str> = known.definition.lines().chain(other.definition.lines()).collect();
    known.definition = lines.into_iter().collect::<Vec<_>>().join("\n");
}
