//! What is not a difference between production and its clone, or a clone and its TEMPLATE copy. Each mask that is
//! used is noted, with what it was used on.

use super::compare::Compare;
use super::in_list;
use super::print::{Fingerprint, SchemaObject};
use super::roles::OwnerMap;
use std::collections::{BTreeMap, BTreeSet};

/// The masks of one comparison and the notes they leave.
pub(super) struct Masks<'c> {
    compare: &'c Compare,
    majors_differ: bool,
    used: BTreeMap<&'static str, BTreeSet<String>>,
}

const DATABASE: &str = "the database's own owner, grants, comment and settings are not compared";
const OWNERS: &str = "owners are compared through the map";
const GRANTS: &str = "grants are compared with owners mapped and without what owners hold on their own objects";
const LEFT_OUT: &str = "left out of the clone";
const IN_LISTS: &str = "IN lists over varchar, parsed anew in the clone, are printed in another form";
const INVALID: &str = "invalid indexes are not cloned";
const COMPUTED: &str = "materialized views are computed anew in a clone";
const NOT_NULLS: &str = "names of NOT NULL constraints exist in one of the two major versions only";
const VIEW_TEXTS: &str = "texts of views are printed differently by the two major versions; their columns are compared";

impl<'c> Masks<'c> {
    pub(super) fn new(compare: &'c Compare, a: &Fingerprint, b: &Fingerprint) -> Masks<'c> {
        let majors_differ = a.database.version_num / 10_000 != b.database.version_num / 10_000;
        Masks { compare, majors_differ, used: BTreeMap::new() }
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
        if self.majors_differ && object.kind == "not null constraint" {
            self.used.entry(NOT_NULLS).or_default();
            return None;
        }
        Some(self.mapped(object, &OwnerMap::new(owner_map)))
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
                let lines = map.privileges(&object.definition, self.majors_differ);
                masked.definition = lines.into_iter().collect::<Vec<_>>().join("\n");
                self.used.entry(GRANTS).or_default();
            }
            _ => {}
        }
        masked
    }

    /// Two definitions that differ in how they are printed only?
    pub(super) fn only_printed_differently(&mut self, a: &SchemaObject, b: &SchemaObject) -> bool {
        if !matches!(self.compare, Compare::Clone { .. }) || a.kind == "comment" {
            return false;
        }
        if in_list::unified(&a.definition) == in_list::unified(&b.definition) {
            self.note(IN_LISTS, &a.identity);
            return true;
        }
        let view = matches!(a.kind.as_str(), "view" | "materialized view" | "rule");
        if view && self.majors_differ {
            self.note(VIEW_TEXTS, &a.identity);
        }
        view && self.majors_differ
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

    /// Rows of a materialized view, which the clone has computed by itself?
    pub(super) fn computed(&mut self, name: &str) -> bool {
        let masked = matches!(self.compare, Compare::Clone { .. });
        if masked {
            self.note(COMPUTED, name);
        }
        masked
    }
}

/// Two owners that map to one: their default privileges come together.
fn merge(known: &mut SchemaObject, other: &SchemaObject) {
    let lines: BTreeSet<&str> = known.definition.lines().chain(other.definition.lines()).collect();
    known.definition = lines.into_iter().collect::<Vec<_>>().join("\n");
}
