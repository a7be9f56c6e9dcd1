//! A row that does not get into a clone until it is let: the copy provably stands still there, for as long as a test
//! wants, while everything else goes on.

use super::Bench;

/// A closed gate; it opens when it is told to, or dropped.
#[derive(Debug)]
pub struct Gate<'b> {
    bench: &'b Bench,
    role: String,
}

impl<'b> Gate<'b> {
    /// Puts a gate before the rows of `table` where `condition` holds. It is a CHECK of production's, whose function
    /// waits in a database that is being made, as long as a role is there: roles belong to the server.
    #[track_caller]
    pub fn before(bench: &'b Bench, table: &str, condition: &str) -> Gate<'b> {
        let role = format!("gate_{}", bench.clone_name());
        bench.psql("postgres", &format!("CREATE ROLE {role}"));
        let sql = format!(
            "SET ROLE shop_owner;
             CREATE FUNCTION gate() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                 WHILE current_database() LIKE 'engine\\_%'
                       AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') LOOP
                     PERFORM pg_catalog.pg_sleep(0.005);
                 END LOOP;
                 RETURN true;
             END $$;
             ALTER TABLE {table} ADD CONSTRAINT gate CHECK (NOT ({condition}) OR public.gate())"
        );
        bench.psql(bench.production(), &sql);
        Gate { bench, role }
    }

    /// Lets the row pass.
    pub fn open(&self) {
        self.bench.psql("postgres", &format!("DROP ROLE IF EXISTS {}", self.role));
    }

    /// Closes it again.
    pub fn close(&self) {
        self.bench.psql("postgres", &format!("CREATE ROLE {}", self.role));
    }

    /// Waits until a session stands before it in a database that is being made.
    #[track_caller]
    pub fn wait(&self) {
        let sql = format!(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname LIKE 'engine\\_{}%' AND wait_event = 'PgSleep')",
            self.bench.run_id()
        );
        self.bench.wait_until("postgres", &sql, "t");
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        // The server may be gone with the test.
        let _ = self.bench.psql_as("postgres", "postgres", &format!("DROP ROLE IF EXISTS {}", self.role));
    }
}
