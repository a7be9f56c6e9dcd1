//! The samples: databases with known facts, from the SQL in sql/sample/, which this program carries with it.

use super::server::Server;
use crate::event::Failure;

/// Names and values of environment variables: what the plans expect to be set.
pub type Environment = Vec<(String, String)>;

/// A file of a sample: its name below sql/sample/ and its text.
type File = (&'static str, &'static str);

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../sql/sample/", $name)))),*]
    };
}

/// In the order of their names, as they are loaded.
const GOVERNANCE: &[File] =
    files!["010_roles.sql", "020_schema.sql", "030_data.sql", "040_history.sql", "050_grants.sql", "060_gate.sql"];

/// In the order of their names, as they are loaded.
const SHOP: &[File] = files!["shop/010_roles.sql", "shop/020_schema.sql", "shop/030_data.sql", "shop/040_grants.sql"];

/// Environment variable, role, and whether it leads to production (or to the maintenance database).
type Door = (&'static str, &'static str, bool);

const GOVERNANCE_DOORS: &[Door] = &[
    ("ENGINE_PRODUCTION_URL", "engine_reader", true),
    ("ENGINE_PRODUCTION_WRITER_URL", "gov_rollout", true),
    ("ENGINE_CLONE_URL", "engine_stage", false),
    ("ENGINE_CLONE_MAKER_URL", "engine_cloner", false),
    ("DATABASE_URL", "engine_reader", true),
];

const SHOP_DOORS: &[Door] = &[
    ("SHOP_PRODUCTION_URL", "engine_reader", true),
    ("SHOP_CLONE_URL", "engine_stage", false),
    ("SHOP_CLONE_MAKER_URL", "engine_cloner", false),
    ("DATABASE_URL", "engine_reader", true),
];

/// A sample production.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// The governance programme: what `clone_a_to_g` and `production_rollout` are about.
    Governance,
    /// The shop: what `shop_widen_amount` is about.
    Shop,
}

impl Sample {
    /// The database it is usually loaded into.
    pub fn database(self) -> &'static str {
        match self {
            Sample::Governance => "directus",
            Sample::Shop => "shop",
        }
    }

    /// Creates `database` and loads the sample into it; `rows` is the size of its largest table, where that varies.
    /// What is there already is left alone. A load that was interrupted leaves no database of that name.
    ///
    /// # Errors
    /// A statement failed (exit 1).
    pub fn load(self, server: &Server, database: &str, rows: u64) -> Result<(), Failure> {
        let loading = format!("{database}_loading");
        let names = [("database", database), ("loading", &loading)];
        let maintain = |sql: &str| server.psql_as("postgres").variables(&names).run("postgres", "sql", sql);
        if !maintain("SELECT 1 FROM pg_catalog.pg_database WHERE datname = :'database'")?.is_empty() {
            return Ok(());
        }
        maintain(
            "DROP DATABASE IF EXISTS :\"loading\" WITH (FORCE);\nCREATE DATABASE :\"loading\" TEMPLATE template0",
        )?;
        for (name, text) in self.files() {
            server.psql_script(&loading, name, text, &[("sample.rows", &rows.to_string())])?;
        }
        maintain("ALTER DATABASE :\"loading\" RENAME TO :\"database\"").map(|_| ())
    }

    /// What the plans expect to be set, with `database` as production. Nobody in it is superuser.
    pub fn environment(self, server: &Server, database: &str) -> Environment {
        let doors = match self {
            Sample::Governance => GOVERNANCE_DOORS,
            Sample::Shop => SHOP_DOORS,
        };
        let value = |role, production| server.url(role, if production { database } else { "postgres" });
        doors.iter().map(|(name, role, production)| ((*name).to_owned(), value(role, *production))).collect()
    }

    fn files(self) -> &'static [File] {
        match self {
            Sample::Governance => GOVERNANCE,
            Sample::Shop => SHOP,
        }
    }
}

/// Loads the governance sample as `directus`, unless it is there; returns what its plans expect to be set.
///
/// # Errors
/// A statement failed (exit 1).
pub fn load_sample(server: &Server, rows: u64) -> Result<Environment, Failure> {
    load(Sample::Governance, server, rows)
}

/// Loads the shop as `shop`, unless it is there; returns what its plan expects to be set.
///
/// # Errors
/// A statement failed (exit 1).
pub fn load_shop(server: &Server) -> Result<Environment, Failure> {
    load(Sample::Shop, server, 0)
}

fn load(sample: Sample, server: &Server, rows: u64) -> Result<Environment, Failure> {
    sample.load(server, sample.database(), rows)?;
    Ok(sample.environment(server, sample.database()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// The names of the SQL files below sql/sample/`folder`, sorted, as a list here should have them.
    fn on_disk(folder: &str) -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/sample").join(folder);
        let entries = std::fs::read_dir(path).expect("the folder of the sample");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> =
            names.filter(|name| Path::new(name).extension().is_some_and(|e| e == "sql")).collect();
        names.sort();
        names.iter().map(|name| Path::new(folder).join(name).to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn every_file_of_a_sample_is_carried_in_the_order_of_names() {
        for (sample, folder) in [(Sample::Governance, ""), (Sample::Shop, "shop")] {
            let carried: Vec<&str> = sample.files().iter().map(|(name, _)| *name).collect();
            assert_eq!(carried, on_disk(folder));
        }
    }
}
