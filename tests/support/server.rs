//! The server of this test binary, and the productions on it.

use engine::event::Failure;
use engine::sandbox::{Options, Sample, Server};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Rows of the sample's big table: enough for several chunks, loaded in a moment.
const ROWS: u64 = 2_000;

/// The script that copies a database with its grants and settings.
const COPY: &str = include_str!("copy.sql");

/// The one server, started by whoever asks first. `ENGINE_TEST_PG_BIN` selects another major version.
///
/// It is never dropped, for nothing drops a static: its supervisor sees the end of this process.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&Options::default()).unwrap_or_else(|failure| fail(&failure)))
}

/// Makes `database` a production like `sample`: objects, rows, owner, grants and settings.
pub fn production(sample: Sample, database: &str) {
    // One after the other: a database that is being loaded or copied cannot be copied.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let template = format!("{}_template", sample.database());
    sample.load(server(), &template, ROWS).unwrap_or_else(|failure| fail(&failure));
    let names = [("template", template.as_str()), ("copy", database)];
    let psql = server().psql_as("postgres").variables(&names);
    psql.run("postgres", "tests/support/copy.sql", COPY).unwrap_or_else(|failure| fail(&failure));
}

/// Makes the roles of the shop, and a reader who needs no grants.
pub fn bare_roles(server: &Server) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    Sample::Shop.load(server, "shop_template", 0).unwrap_or_else(|failure| fail(&failure));
    let sql = "SELECT format('CREATE ROLE %I %s', r.name, r.powers) \
               FROM (VALUES ('bare_reader', 'LOGIN BYPASSRLS IN ROLE pg_read_all_data'), ('bare_other', '')) AS r (name, powers) \
               WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r.name) \\gexec";
    server.psql("postgres", sql).unwrap_or_else(|failure| fail(&failure));
}

/// Makes `database` of nothing, with `options` of CREATE DATABASE, for `shop_owner` and `bare_reader` only.
pub fn empty_production(server: &Server, database: &str, options: &str) {
    let sql = format!(
        "CREATE DATABASE {database} TEMPLATE template0 OWNER shop_owner {options};
         REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC;
         GRANT CONNECT ON DATABASE {database} TO bare_reader"
    );
    server.psql("postgres", &sql).unwrap_or_else(|failure| fail(&failure));
}

/// A test cannot go on: says all there is to say.
pub fn fail(failure: &Failure) -> ! {
    let next = failure.next.iter().map(|(word, command)| format!("  {word}  {command}"));
    let facts = failure.facts.iter().map(|fact| format!("  {fact}"));
    panic!("{}\n{}", failure.what, facts.chain(next).collect::<Vec<_>>().join("\n"))
}
