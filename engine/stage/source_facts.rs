//! What a clone must know of its source before anything is created: obstacles, outward links, owners, settings.

use crate::event::{Exit, Failure};
use crate::target::{Locale, Tx, unseen};

/// Facts about a source, read in the snapshot that is cloned.
#[derive(Clone, Debug)]
pub struct SourceFacts {
    /// Its locale.
    pub locale: Locale,
    /// Roles that own something in it.
    pub owners: Vec<String>,
    /// `ALTER DATABASE SET`: name, value; settings of single roles are listed as left out.
    pub settings: Vec<(String, String)>,
    /// What is not restored, as `kind name`.
    pub left_out: Vec<String>,
    /// Extensions that are not restored.
    pub extensions_out: Vec<String>,
    /// Publications FOR ALL TABLES: need a superuser.
    pub publications_out: Vec<String>,
}

const DATABASE: &str = include_str!("../../sql/engine/source/database.sql");
const OUTWARD: &str = include_str!("../../sql/engine/source/outward.sql");
const OWNERS: &str = include_str!("../../sql/engine/source/owners.sql");
const SETTINGS: &str = include_str!("../../sql/engine/source/settings.sql");

impl SourceFacts {
    /// Reads them. What keeps the source from being cloned faithfully goes to `problems`: tables the reader may not
    /// read, outward links that the plan does not acknowledge (exit 40).
    ///
    /// # Errors
    /// The server's.
    pub async fn read(tx: &Tx, acknowledged: &[String], problems: &mut Vec<Failure>) -> Result<SourceFacts, Failure> {
        problems.extend(obstacles(tx).await?);
        let row = tx.query_one(DATABASE, &[]).await?;
        let locale = Locale {
            encoding: row.get(0),
            collate: row.get(1),
            ctype: row.get(2),
            provider: row.get(3),
            locale: row.get(4),
        };
        let owners = tx.query(OWNERS, &[]).await?.iter().map(|row| row.get(0)).collect();
        let mut facts = SourceFacts {
            locale,
            owners,
            settings: Vec::new(),
            left_out: Vec::new(),
            extensions_out: Vec::new(),
            publications_out: Vec::new(),
        };
        problems.extend(facts.outward(tx, acknowledged).await?);
        for row in tx.query(SETTINGS, &[]).await? {
            let (name, value, role): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            if role.is_empty() {
                facts.settings.push((name, value));
            } else {
                facts.left_out.push(format!("setting {name} of role {role}"));
            }
        }
        Ok(facts)
    }

    async fn outward(&mut self, tx: &Tx, acknowledged: &[String]) -> Result<Option<Failure>, Failure> {
        let mut unknown = Vec::new();
        for row in tx.query(OUTWARD, &[]).await? {
            let (kind, name, harmless): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
            match (kind.as_str(), harmless) {
                ("extension", true) => continue,
                ("extension" | "language", false) if !acknowledged.contains(&name) => {
                    unknown.push(format!("{kind} {name}"));
                }
                ("extension", false) => self.extensions_out.push(name.clone()),
                ("publication", _) => self.publications_out.push(name.clone()),
                _ => {}
            }
            self.left_out.push(format!("{kind} {name}"));
        }
        if unknown.is_empty() {
            return Ok(None);
        }
        let mut failure =
            Failure::new(Exit::StageFailed, "production holds what could reach out of a clone, or needs a superuser")
                .changed("nothing was created; production was only read")
                .next(
                    "then",
                    "name them in the clone stage: acknowledge = [\"NAME\", ...]; they are left out of the clone",
                );
        failure.facts = unknown;
        Ok(Some(failure))
    }
}

/// What to type for each kind of obstacle.
const FIXES: [(&str, &str, &str); 4] = [
    ("unreachable", "schemas", "GRANT USAGE ON SCHEMA NAME TO engine_reader, by its owner"),
    (
        "unreadable",
        "tables",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO engine_reader, by production's owner; ON ALL SEQUENCES as well",
    ),
    ("row level security", "row level security", "ALTER ROLE engine_reader BYPASSRLS, by a superuser"),
    ("large object", "large objects", "GRANT SELECT ON LARGE OBJECT OID TO engine_reader, by its owner, for each"),
];

async fn obstacles(tx: &Tx) -> Result<Option<Failure>, Failure> {
    let unseen = unseen(tx).await?;
    if unseen.is_empty() {
        return Ok(None);
    }
    let mut failure = Failure::new(Exit::StageFailed, format!("the reader cannot read all of `{}`", tx.target()))
        .changed("nothing was created; production was only read");
    for (kind, word, fix) in FIXES {
        if unseen.iter().any(|found| found.kind == kind) {
            failure = failure.next(word, fix);
        }
    }
    failure = failure.next("see", "engine doctor PLAN");
    failure.facts = unseen.iter().map(|found| format!("{}  {}", found.kind, found.name)).collect();
    Ok(Some(failure))
}
