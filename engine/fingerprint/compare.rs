//! Comparing two fingerprints. Exact and masked comparison are never mixed.

use super::detail::{brief, detail};
use super::masks::Masks;
use super::print::{Fingerprint, SchemaObject, TableKind, TablePrint};
use std::collections::{BTreeMap, BTreeSet};

/// What is compared with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The same database then and now: no mask.
    Exact,
    /// A database and its TEMPLATE copy: what a copy does not inherit is not compared (the database's own owner,
    /// grants, comment and settings; subscriptions).
    TemplateCopy,
    /// Production and its clone: through masks.
    Clone {
        /// Production's owners and the clone's owner. `pg_database_owner` follows the first pair.
        owner_map: Vec<(String, String)>,
        /// Identities the clone does without: `publication p`, `extension x`, `table public.t` (with all its parts).
        left_out: Vec<String>,
    },
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `table public.x`.
    pub what: String,
    /// `rows 30 -> 31`.
    pub detail: String,
    /// Only physical: order of columns, what CLUSTER goes by.
    pub physical: bool,
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// In order of the schema, then tables, then sequences.
    pub differences: Vec<Difference>,
    /// Masks that were used, and on what.
    pub masks: Vec<String>,
}

impl Comparison {
    /// Nothing differs but, perhaps, physical order.
    pub fn equal(&self) -> bool {
        self.differences.iter().all(|difference| difference.physical)
    }
}

/// Compares `a` (earlier, or production) with `b` (later, or the clone).
pub fn differences(a: &Fingerprint, b: &Fingerprint, compare: &Compare) -> Comparison {
    let mut work = Work { masks: Masks::new(compare, a, b), found: Vec::new(), folded: BTreeSet::new() };
    work.frame(a, b, compare);
    work.objects(a, b);
    work.tables(a, b);
    work.sequences(a, b);
    work.large_objects(a, b);
    Comparison { differences: work.found, masks: work.masks.notes() }
}

/// What differs between two lists of schema objects of one database, without mask.
pub fn object_differences(a: &[SchemaObject], b: &[SchemaObject]) -> Vec<Difference> {
    let key = |o: &SchemaObject| (o.kind.clone(), o.identity.clone());
    let [was, is] = [a, b].map(|side| side.iter().map(|o| (key(o), o)).collect::<BTreeMap<_, _>>());
    let keys: BTreeSet<_> = was.keys().chain(is.keys()).collect();
    let mut found = Vec::new();
    for key in keys {
        let detail = match (was.get(key), is.get(key)) {
            (Some(was), Some(is)) if was.definition == is.definition => continue,
            (Some(was), Some(is)) => detail(&was.definition, &is.definition),
            (Some(was), None) => format!("gone: `{}`", brief(&was.definition)),
            (_, Some(is)) => format!("new: `{}`", brief(&is.definition)),
            (None, None) => continue,
        };
        found.push(Difference { what: key.1.clone(), detail, physical: key.0 == "physical" });
    }
    found
}

struct Work<'c> {
    masks: Masks<'c>,
    found: Vec<Difference>,
    /// Relations that one side does not have: their parts are not reported one by one.
    folded: BTreeSet<String>,
}

impl Work<'_> {
    fn say(&mut self, what: impl Into<String>, detail: impl Into<String>) {
        self.found.push(Difference { what: what.into(), detail: detail.into(), physical: false });
    }

    /// What must agree before the rest means anything.
    fn frame(&mut self, a: &Fingerprint, b: &Fingerprint, compare: &Compare) {
        if a.version != b.version {
            self.say("format", format!("{} -> {}", a.version, b.version));
        }
        if a.level != b.level {
            self.say("level", format!("{:?} -> {:?}", a.level, b.level).to_lowercase());
        }
        if *compare == Compare::Exact && !a.database.same_database(&b.database) {
            let shown = |f: &Fingerprint| format!("{} (oid {})", f.database.database, f.database.oid);
            self.say("database", format!("{} -> {}, another one", shown(a), shown(b)));
        } else if *compare == Compare::Exact && a.database.database != b.database.database {
            self.say("database", format!("renamed {} -> {}", a.database.database, b.database.database));
        }
        let sets: [BTreeSet<&String>; 2] = [a, b].map(|f| f.excluded.iter().collect());
        for (one, other, side) in [(0, 1, "first"), (1, 0, "second")] {
            for entry in sets[one].difference(&sets[other]) {
                let name = entry.split(": ").next().unwrap_or(entry);
                if name == "large objects" && self.masks.only_counted(a, b) {
                    continue;
                }
                if !self.masks.leaves_out_relation(name) && !self.masks.leaves_out(name, None) {
                    self.say("scope", format!("not read in the {side} only: {entry}"));
                }
            }
        }
    }

    fn objects(&mut self, a: &Fingerprint, b: &Fingerprint) {
        let (was, is) = (self.masks.objects(a), self.masks.objects(b));
        self.folded = lacking(&was, &is).chain(lacking(&is, &was)).collect();
        let identities: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for identity in identities {
            match (was.get(identity), is.get(identity)) {
                (Some(was), Some(is)) => self.changed(was, is),
                (Some(was), None) => self.one_sided(was, "gone"),
                (None, Some(is)) => self.one_sided(is, "new"),
                (None, None) => {}
            }
        }
    }

    fn changed(&mut self, was: &SchemaObject, is: &SchemaObject) {
        if was.definition == is.definition || self.masks.same_in_a_clone(was, is) {
            return;
        }
        let (what, detail) = (is.identity.clone(), detail(&was.definition, &is.definition));
        self.found.push(Difference { what, detail, physical: is.kind == "physical" });
    }

    fn one_sided(&mut self, object: &SchemaObject, word: &str) {
        let part = object.parent.as_ref().is_some_and(|parent| self.folded.contains(parent));
        if part || (word == "gone" && self.masks.not_cloned(object)) {
            return;
        }
        let text = brief(&object.definition);
        let detail = if text.is_empty() { word.to_owned() } else { format!("{word}: `{text}`") };
        self.found.push(Difference { what: object.identity.clone(), detail, physical: object.kind == "physical" });
    }

    fn tables(&mut self, a: &Fingerprint, b: &Fingerprint) {
        let as_one = self.masks.as_one(a, b);
        let [was, is] = [a, b].map(|side| by_name(&side.tables, |t| (t.name.as_str(), t)));
        let names: BTreeSet<&str> = was.keys().chain(is.keys()).copied().collect();
        for name in names {
            if self.folded.contains(name) || self.masks.leaves_out_relation(name) {
                continue;
            }
            match (was.get(name), is.get(name)) {
                (Some(was), Some(_)) if was.root.as_ref().is_some_and(|root| as_one.contains(root)) => {}
                (Some(was), Some(is)) => self.rows(was, is),
                (one, other) => {
                    let word = if one.is_some() { "no longer read" } else { "was not read" };
                    let kind = one.or(other).map_or(TableKind::Table, |table| table.kind);
                    self.say(format!("{} {name}", kind.word()), word);
                }
            }
        }
    }

    fn rows(&mut self, was: &TablePrint, is: &TablePrint) {
        let mut parts = Vec::new();
        if was.left_out != is.left_out {
            parts.push(format!("columns left out [{}] -> [{}]", was.left_out.join(", "), is.left_out.join(", ")));
        }
        if was.rows != is.rows {
            parts.push(format!("rows {} -> {}", was.rows, is.rows));
        } else if was.sum != is.sum && was.bytes != is.bytes {
            parts.push(format!("content differs: {} rows, bytes {} -> {}", is.rows, was.bytes, is.bytes));
        } else if was.sum != is.sum {
            parts.push(format!("content differs: {} rows, {} bytes, another sum", is.rows, is.bytes));
        }
        if parts.is_empty() || (is.kind == TableKind::MaterializedView && self.masks.computed(&is.name)) {
            return;
        }
        self.say(format!("{} {}", is.kind.word(), is.name), parts.join("; "));
    }

    fn sequences(&mut self, a: &Fingerprint, b: &Fingerprint) {
        let [was, is] = [a, b].map(|side| by_name(&side.sequences, |s| (s.name.as_str(), s.next)));
        for (name, was) in &was {
            let Some(is) = is.get(name) else { continue };
            if was != is && !self.masks.leaves_out_relation(name) {
                let shown = |next: &Option<i64>| next.map_or("none".to_owned(), |n| n.to_string());
                self.say(format!("sequence {name}"), format!("next value {} -> {}", shown(was), shown(is)));
            }
        }
    }

    fn large_objects(&mut self, a: &Fingerprint, b: &Fingerprint) {
        if self.masks.only_counted(a, b) {
            return;
        }
        if a.large_objects == b.large_objects || self.masks.leaves_out("large objects", None) {
            return;
        }
        let counts = [a, b].map(|f| f.large_objects.as_ref().map_or(0, |l| l.count));
        let detail = if counts[0] == counts[1] {
            format!("content differs: {} of them", counts[0])
        } else {
            format!("{} -> {} of them", counts[0], counts[1])
        };
        self.say("large objects", detail);
    }
}

/// Names of relations that are here and not there.
fn lacking<'o>(
    here: &'o BTreeMap<String, SchemaObject>,
    there: &'o BTreeMap<String, SchemaObject>,
) -> impl Iterator<Item = String> + 'o {
    const RELATIONS: [&str; 5] = ["table", "view", "materialized view", "foreign table", "sequence"];
    let lacking = here.values().filter(|o| RELATIONS.contains(&o.kind.as_str()) && !there.contains_key(&o.identity));
    lacking.map(|o| o.identity.strip_prefix(&o.kind).unwrap_or_default().trim_start().to_owned())
}

fn by_name<'p, P, V>(prints: &'p [P], entry: impl Fn(&'p P) -> (&'p str, V)) -> BTreeMap<&'p str, V> {
    prints.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::super::print::{Level, SequencePrint};
    use super::*;
    use crate::event::Identity;

    fn database(oid: i64) -> Identity {
        Identity {
            system_identifier: "7".into(),
            timeline: 1,
            database: format!("d{oid}"),
            oid,
            version: "16.1".into(),
            version_num: 160_001,
            started: "then".into(),
            session_user: "r".into(),
            current_user: "r".into(),
            in_recovery: false,
            marker: None,
            tls: None,
        }
    }

    fn print(objects: &[(&str, &str, &str)]) -> Fingerprint {
        let object = |(kind, identity, definition): &(&str, &str, &str)| SchemaObject {
            kind: (*kind).into(),
            identity: (*identity).into(),
            parent: identity.split_once(" of ").map(|(_, parent)| parent.to_owned()),
            definition: (*definition).into(),
        };
        Fingerprint {
            version: "fp1".into(),
            level: Level::Content,
            digest: String::new(),
            database: database(1),
            tables: Vec::new(),
            sequences: vec![SequencePrint { name: "public.s".into(), next: Some(30) }],
            large_objects: None,
            objects: objects.iter().map(object).collect(),
            excluded: Vec::new(),
            horizon: None,
        }
    }

    fn table(rows: u64, sum: &str) -> TablePrint {
        TablePrint {
            name: "public.x".into(),
            root: None,
            oid: 9,
            kind: TableKind::Table,
            rows,
            bytes: rows * 8,
            sum: Some(sum.into()),
            left_out: Vec::new(),
        }
    }

    fn said(a: &Fingerprint, b: &Fingerprint, compare: &Compare) -> Vec<String> {
        differences(a, b, compare).differences.iter().map(|d| format!("{}: {}", d.what, d.detail)).collect()
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn rows_and_sequences_are_named() {
        let mut a = print(&[]);
        a.tables = vec![table(30, "a")];
        let mut b = a.clone();
        assert_eq!(said(&a, &b, &Compare::Exact), NOTHING);
        b.tables = vec![table(31, "b")];
        b.sequences[0].next = None;
        assert_eq!(
            said(&a, &b, &Compare::Exact),
            ["table public.x: rows 30 -> 31", "sequence public.s: next value 30 -> none"]
        );
        b.tables = vec![table(30, "b")];
        assert_eq!(
            said(&a, &b, &Compare::Exact)[0],
            "table public.x: content differs: 30 rows, 240 bytes, another sum"
        );
    }

    #[test]
    fn parts_of_a_table_that_is_gone_are_not_listed() {
        let mut a = print(&[("table", "table public.x", "heap"), ("column", "column a of public.x", "integer")]);
        a.tables = vec![table(1, "a")];
        let b = print(&[]);
        assert_eq!(said(&a, &b, &Compare::Exact), ["table public.x: gone: `heap`"]);
        assert_eq!(said(&b, &a, &Compare::Exact), ["table public.x: new: `heap`"]);
        let left_out = Compare::Clone { owner_map: Vec::new(), left_out: vec!["table public.x".into()] };
        let found = differences(&a, &b, &left_out);
        assert_eq!(found.differences, []);
        assert_eq!(found.masks, ["left out of the clone: table public.x"]);
    }

    #[test]
    fn physical_order_is_told_and_counts_as_equal() {
        let of = |names| print(&[("physical", "column order of public.x", names)]);
        let found = differences(&of("a, b"), &of("b, a"), &Compare::Exact);
        assert!(found.equal());
        assert!(found.differences[0].physical);
    }

    #[test]
    fn another_database_is_never_exactly_equal() {
        let a = print(&[("database", "comment on the database", "x")]);
        let mut b = print(&[]);
        b.database = database(2);
        assert_eq!(said(&a, &b, &Compare::TemplateCopy), NOTHING);
        assert_eq!(said(&a, &b, &Compare::Exact)[0], "database: d1 (oid 1) -> d2 (oid 2), another one");
        assert_eq!(said(&a, &b, &Compare::Exact)[1], "comment on the database: gone: `x`");
    }

    #[test]
    fn what_only_one_side_read_is_told() {
        let mut a = print(&[]);
        a.excluded = vec!["public.f: foreign table".into()];
        assert_eq!(
            said(&a, &print(&[]), &Compare::Exact),
            ["scope: not read in the first only: public.f: foreign table"]
        );
        let left_out = Compare::Clone { owner_map: Vec::new(), left_out: vec!["foreign table public.f".into()] };
        assert_eq!(said(&a, &print(&[]), &left_out), NOTHING);
    }

    #[test]
    fn a_clone_differs_where_the_masks_end() {
        let of = |owner: &str, grants: &str, check: &str| {
            print(&[
                ("owner", "owner of public.x", owner),
                ("grants", "grants on table public.x", grants),
                ("constraint", "constraint c on public.x", check),
            ])
        };
        let compare = Compare::Clone { owner_map: vec![("a".into(), "o".into())], left_out: Vec::new() };
        let production = of("a", "a=SELECT/a\nr=SELECT/a", "CHECK ((ARRAY['x'::character varying])::text[])");
        let clone = of("o", "o=SELECT/o\nr=SELECT/o", "CHECK (ARRAY[('x'::character varying)::text])");
        let found = differences(&production, &clone, &compare);
        assert_eq!(found.differences, []);
        assert_eq!(found.masks.len(), 3);
        let other = of("p", "r=INSERT/o", "CHECK (ARRAY[('y'::character varying)::text])");
        assert_eq!(said(&production, &other, &compare).len(), 3);
    }

    #[test]
    fn not_nulls_may_be_called_otherwise_and_must_be_there() {
        let family = |name: &str, more: &str, parent: &str| {
            let mut print = print(&[("table", "table public.x", parent)]);
            print.database.version_num = 180_000;
            let table = "public.x".to_owned();
            print.objects.push(SchemaObject {
                kind: "not null constraint".into(),
                identity: format!("constraint {name} on {table}"),
                parent: Some(table),
                definition: format!("NOT NULL a{more}"),
            });
            print
        };
        let compare = Compare::Clone { owner_map: Vec::new(), left_out: Vec::new() };
        let (heir, alone) = ("partition of public.p", "access method heap");
        let was = family("p_a_not_null", "\ninherited\nnot local", heir);
        assert_eq!(said(&was, &family("x_a_not_null", "\ninherited", heir), &compare), NOTHING);
        assert_eq!(said(&was, &family("x_a_not_null", "\ninherited", heir), &Compare::Exact).len(), 2);
        assert_eq!(said(&was, &family("x_a_not_null", "\nnot validated\ninherited", heir), &compare).len(), 1);
        let named = |name: &str| family(name, "", alone);
        assert_eq!(said(&named("x_a_not_null"), &named("x_a_not_null1"), &compare), NOTHING);
        assert_eq!(said(&named("mine"), &named("x_a_not_null"), &compare).len(), 2);
        assert_eq!(said(&named("x_a_not_null"), &family("x_a_not_null1", "\nnot local", alone), &compare).len(), 1);
    }

    #[test]
    fn another_major_version_has_its_masks_and_no_more() {
        let of = |version: i32, objects: &[(&str, &str, &str)]| {
            let mut print = print(objects);
            print.database.version_num = version * 10_000;
            print
        };
        let (heir, order) = ("inherits public.p", "column order of public.x");
        let old = [
            ("table", "table public.x", heir),
            ("physical", order, "a, b"),
            ("view", "view public.v", "SELECT x.a FROM public.x"),
            ("extension", "extension e", "version 1.3\nschema public"),
            ("grants", "grants on table public.x", "r=SELECT/o"),
        ];
        let new = [
            ("table", "table public.x", heir),
            ("physical", order, "b, a"),
            ("view", "view public.v", "SELECT a FROM public.x"),
            ("extension", "extension e", "version 1.4\nschema public"),
            ("grants", "grants on table public.x", "r=MAINTAIN/o\nr=SELECT/o"),
            ("not null constraint", "constraint x_a_not_null on public.x", "NOT NULL a"),
        ];
        let compare = Compare::Clone { owner_map: Vec::new(), left_out: Vec::new() };
        let found = differences(&of(15, &old), &of(18, &new), &compare);
        assert_eq!(found.differences, []);
        assert!(found.masks.iter().any(|m| m.ends_with("extension e version 1.3 -> version 1.4")), "{:?}", found.masks);
        assert_eq!(found.masks.len(), 6, "{:?}", found.masks);
        // Order may change in any clone, the rest only where the versions part.
        assert_eq!(said(&of(18, &old), &of(18, &new), &compare).len(), 4);
        assert_eq!(said(&of(16, &old), &of(17, &new), &compare).len(), 2);
        assert_eq!(said(&of(15, &old), &of(18, &new), &Compare::Exact).len(), 5);
    }
}
