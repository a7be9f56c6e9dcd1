//! What a role must be able to do to write the shared journal: asked before anything is begun or taken up.

use super::Rows;
use crate::event::{Exit, Failure};

/// What this session may not do, as in `INSERT on engine_journal.line`.
const MISSING: &str = "SELECT m.power OPERATOR(pg_catalog.||) ' on engine_journal.' OPERATOR(pg_catalog.||) t.name \
    FROM pg_catalog.unnest(ARRAY['format', 'run', 'line', 'file', 'packet', 'packet_file']) AS t (name), \
    pg_catalog.unnest(ARRAY['SELECT', 'INSERT']) AS m (power) \
    WHERE (t.name OPERATOR(pg_catalog.<>) 'format' OR m.power OPERATOR(pg_catalog.=) 'SELECT') \
    AND NOT pg_catalog.has_table_privilege('engine_journal.' OPERATOR(pg_catalog.||) t.name, m.power) \
    ORDER BY 1";

impl Rows {
    /// Demands that this role may write the journal.
    ///
    /// # Errors
    /// It may not (1): names the rights that are missing. Or the server's.
    pub fn demand_powers(&self) -> Result<(), Failure> {
        let base = &self.base;
        let rows = base.ledger.ask(MISSING, Vec::new()).map_err(|failure| super::unreadable(base.place(), &failure))?;
        let missing: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let (role, database) = (&base.identity().session_user, &base.identity().database);
        let what = format!("the role {role} may look at the journal in {} and not write it", base.place());
        let failure = missing
            .into_iter()
            .map(|power| format!("missing  {power}"))
            .fold(Failure::new(Exit::Io, what), Failure::fact);
        Err(failure
            .changed("nothing was changed, and nothing was begun")
            .next(
                "grant",
                format!(
                    "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA engine_journal TO {role}   in {database}, by the tables' owner"
                ),
            )
            .next("then", "the same command again"))
    }
}
