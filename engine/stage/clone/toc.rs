//! The list of entries that a clone takes from the dumped schema, and what becomes of the others.

use crate::name::quote::ident;

/// Entries that reach outward or that only a superuser can restore.
const OUTWARD: [&str; 6] =
    ["SUBSCRIPTION ", "EVENT TRIGGER ", "USER MAPPING ", "SERVER ", "FOREIGN DATA WRAPPER ", "FOREIGN TABLE "];

/// What is restored of an archive's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Lines for `--use-list`.
    pub kept: String,
    /// Lines of default privileges: re-issued for the clone's owner.
    pub defaults: String,
    /// Foreign tables, as `foreign table public.t`.
    pub left_out: Vec<String>,
}

/// Lines of a list but those that `out` names by the oid and the description of their entry.
pub fn without(kept: &str, out: impl Fn(i64, &str) -> bool) -> String {
    let told = |line: &&str| {
        let mut words = line.splitn(4, ' ');
        let oid = words.nth(2).and_then(|oid| oid.parse().ok()).unwrap_or(0);
        !out(oid, words.next().unwrap_or(""))
    };
    kept.lines().filter(told).map(|line| format!("{line}\n")).collect()
}

/// Oids of the materialised views that hold data, in the order in which they can be filled.
pub fn views_with_data(kept: &str) -> Vec<i64> {
    let oid = |line: &str| {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        words.get(3).filter(|text| text.starts_with("MATERIALIZED VIEW DATA ")).and_then(|_| words[2].parse().ok())
    };
    kept.lines().filter_map(oid).collect()
}

/// Lines of large objects, without their content.
pub fn large_objects(kept: &str) -> String {
    const OF: [&str; 4] = ["BLOB", "ACL - LARGE OBJECT", "COMMENT - LARGE OBJECT", "SECURITY LABEL - LARGE OBJECT"];
    without(kept, |_, text| !OF.iter().any(|start| text.starts_with(start)))
}

/// Oids of the checks that are added after the rows.
pub fn late_checks(kept: &str) -> Vec<i64> {
    let oid = |line: &str| {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        words.get(3).filter(|text| text.starts_with("CHECK CONSTRAINT ")).and_then(|_| words[2].parse().ok())
    };
    kept.lines().filter_map(oid).collect()
}

impl Entries {
    /// Sorts the lines that `pg_restore --list` prints: `123; 1259 16385 TABLE public t owner`.
    pub fn of(listed: &str, extensions_out: &[String], publications_out: &[String]) -> Entries {
        let entry = |line: &str| line.splitn(4, ' ').nth(3).unwrap_or("").to_owned();
        let mut entries = Entries::default();
        let mut gone: Vec<(String, String)> = Vec::new();
        for line in listed.lines() {
            let words: Vec<String> = entry(line).split(' ').map(str::to_owned).collect();
            if let [foreign, table, schema, name, ..] = words.as_slice()
                && foreign == "FOREIGN"
                && table == "TABLE"
            {
                entries.left_out.push(format!("foreign table {schema}.{name}"));
                gone.push((schema.clone(), name.clone()));
            }
        }
        for line in listed.lines() {
            let text = entry(line);
            let into = if text.starts_with("DEFAULT ACL ") {
                &mut entries.defaults
            } else if restored(&text, extensions_out, publications_out) && !belongs_to(&text, &gone) {
                &mut entries.kept
            } else {
                continue;
            };
            into.push_str(line);
            into.push('\n');
        }
        entries
    }
}

fn restored(entry: &str, extensions_out: &[String], publications_out: &[String]) -> bool {
    // What hangs on what is left out says so behind its own kind: `COMMENT - EVENT TRIGGER t`.
    let hangs_on = ["ACL - ", "COMMENT - ", "SECURITY LABEL - "].iter().find_map(|kind| entry.strip_prefix(kind));
    let of_out = |prefix: &str, all: &[String]| hangs_on.is_some_and(|of| names_one(of, prefix, all));
    !(OUTWARD.iter().any(|kind| entry.starts_with(kind) || hangs_on.is_some_and(|of| of.starts_with(kind)))
        || hangs_on.is_some_and(|of| of.starts_with("FOREIGN "))
        || names_one(entry, "EXTENSION - ", extensions_out)
        || of_out("EXTENSION ", extensions_out)
        || names_one(entry, "PUBLICATION - ", publications_out)
        || of_out("PUBLICATION ", publications_out))
}

/// Does an entry begin with a kind, and then one of these names?
fn names_one(entry: &str, kind: &str, all: &[String]) -> bool {
    let named = |rest: &str, name: &String| rest.trim_end() == name || rest.starts_with(&format!("{name} "));
    entry.strip_prefix(kind).is_some_and(|rest| all.iter().any(|name| named(rest, name)))
}

/// Grants, comments and labels of a table that is left out.
fn belongs_to(entry: &str, gone: &[(String, String)]) -> bool {
    let rest = ["ACL ", "COMMENT ", "SECURITY LABEL "].iter().find_map(|kind| entry.strip_prefix(kind));
    rest.is_some_and(|rest| {
        gone.iter().any(|(schema, name)| {
            rest.starts_with(&format!("{schema} ")) && rest.contains(&format!("TABLE {name} "))
                || rest.starts_with(&format!("{schema} COLUMN {name}."))
        })
    })
}

/// `ALTER DEFAULT PRIVILEGES FOR ROLE <owner>` as `pg_restore` prints it, one a line, for the clone's owner instead.
/// Answers the statements, and those of roles that own nothing in production, which are left out.
pub fn default_privileges(printed: &str, owners: &[String], owner: &str) -> (Vec<String>, Vec<String>) {
    let (mut statements, mut left_out) = (Vec::new(), Vec::new());
    let quoted = |role: &str| ident(role).unwrap_or_default();
    for line in printed.lines().filter_map(|l| l.strip_prefix("ALTER DEFAULT PRIVILEGES FOR ROLE ")) {
        let of = owners.iter().find_map(|role| line.strip_prefix(&format!("{} ", quoted(role))));
        match of {
            Some(rest) => {
                let text = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {} {rest}", quoted(owner));
                statements.push(text.trim_end_matches(';').to_owned());
            }
            None => left_out.push(format!("default privileges of role {}", line.split(' ').next().unwrap_or("?"))),
        }
    }
    left_out.dedup();
    (statements, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_outward_is_not_restored_with_its_grants() {
        let listed = "1; 1259 10 TABLE public t o\n2; 1259 11 FOREIGN TABLE public ft o\n3; 0 0 ACL public TABLE ft o\n\
                      4; 0 0 ACL public TABLE t o\n5; 826 9 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES o\n\
                      6; 3079 8 EXTENSION - dblink \n7; 0 0 ACL - SERVER s o\n";
        let entries = Entries::of(listed, &["dblink".to_owned()], &[]);
        assert_eq!(entries.kept, "1; 1259 10 TABLE public t o\n4; 0 0 ACL public TABLE t o\n");
        assert!(entries.defaults.starts_with("5;") && entries.defaults.lines().count() == 1);
        assert_eq!(entries.left_out, ["foreign table public.ft"]);
    }

    #[test]
    fn what_hangs_on_what_is_left_out_is_left_out_too() {
        let listed = "1; 0 0 COMMENT - EVENT TRIGGER audit o\n2; 0 0 COMMENT - PUBLICATION all_tables o\n\
                      3; 0 0 COMMENT - PUBLICATION some o\n4; 0 0 SECURITY LABEL - SUBSCRIPTION s o\n\
                      5; 0 0 COMMENT - EXTENSION dblink \n6; 0 0 COMMENT - SCHEMA public o\n7; 0 0 COMMENT - SERVER s o\n";
        let entries = Entries::of(listed, &["dblink".to_owned()], &["all_tables".to_owned()]);
        assert_eq!(entries.kept, "3; 0 0 COMMENT - PUBLICATION some o\n6; 0 0 COMMENT - SCHEMA public o\n");
    }

    #[test]
    fn default_privileges_are_given_by_the_clones_owner() {
        let printed = "--\nALTER DEFAULT PRIVILEGES FOR ROLE directus IN SCHEMA public GRANT SELECT ON TABLES TO r;\n\
                       ALTER DEFAULT PRIVILEGES FOR ROLE nobody GRANT SELECT ON TABLES TO r;\n";
        let (statements, left_out) = default_privileges(printed, &["directus".to_owned()], "engine_owner");
        assert_eq!(
            statements,
            ["ALTER DEFAULT PRIVILEGES FOR ROLE engine_owner IN SCHEMA public GRANT SELECT ON TABLES TO r"]
        );
        assert_eq!(left_out, ["default privileges of role nobody"]);
    }
}
