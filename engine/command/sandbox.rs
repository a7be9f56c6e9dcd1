//! `sandbox`: a throw-away local PostgreSQL with the sample productions; also behind `apply --sandbox`.

use super::{print, tell};
use crate::event::{Exit, Failure};
use crate::plan::{Plan, UrlRef};
use crate::sandbox::{Environment, Options, Sample, Server};
use crate::target;
use std::collections::BTreeMap;
use std::process::Command;

/// A running sandbox; it vanishes with the value, and with the process in any way.
pub struct Sandbox {
    server: Server,
    environment: Environment,
}

/// Rows of the sample's big table.
const ROWS: u64 = 20_000;

/// Starts a sandbox with the samples that a plan's variables name, and lends it to this process.
///
/// # Errors
/// No PostgreSQL is installed, or it does not start.
pub async fn lend_for(plan: &Plan) -> Result<Sandbox, Failure> {
    let needed: Vec<String> = plan
        .targets
        .iter()
        .flat_map(|t| std::iter::once(&t.url.value).chain(t.maker_url.iter().map(|m| &m.value)))
        .filter_map(|url| match url {
            UrlRef::Env(name) => Some(name.clone()),
            UrlRef::File(_) => None,
        })
        .collect();
    let sandbox =
        start(move |environment| needed.iter().any(|n| n != "DATABASE_URL" && environment.iter().any(|(k, _)| k == n)))
            .await?;
    target::lend(sandbox.environment.clone());
    Ok(sandbox)
}

/// Starts a sandbox with the samples whose environment is wanted; the first one when none is.
async fn start(wanted: impl Fn(&Environment) -> bool + Send + 'static) -> Result<Sandbox, Failure> {
    tell("starting a throw-away PostgreSQL with the sample production\n");
    let started = tokio::task::spawn_blocking(move || {
        let server = Server::start(&Options::default())?;
        let mut environment: BTreeMap<String, String> = BTreeMap::new();
        let mut samples: Vec<Sample> = [Sample::Governance, Sample::Shop]
            .into_iter()
            .filter(|sample| wanted(&sample.environment(&server, sample.database())))
            .collect();
        if samples.is_empty() {
            samples.push(Sample::Governance);
        }
        for sample in samples {
            sample.load(&server, sample.database(), ROWS)?;
            for (name, value) in sample.environment(&server, sample.database()) {
                environment.entry(name).or_insert(value);
            }
        }
        Ok(Sandbox { server, environment: environment.into_iter().collect() })
    });
    started.await.map_err(|e| Failure::new(Exit::Io, format!("a bug of the engine: the sandbox ended badly: {e}")))?
}

/// `sandbox [COMMAND...]`: runs a command with the sandbox's environment, or waits until it is told to end.
///
/// # Errors
/// As `lend_for`; or the command cannot be started.
pub async fn run(command: &[String]) -> Result<Exit, Failure> {
    let sandbox = start(|_| true).await?;
    let Some((first, rest)) = command.split_first() else {
        for (name, value) in &sandbox.environment {
            print(&format!("export {name}='{value}'\n"));
        }
        let superuser = sandbox.server.url("postgres", "directus");
        print(&format!("# psql as the superuser: psql '{superuser}'\n"));
        tell("the server is up; it vanishes with this process (Ctrl-C)\n");
        let _ = tokio::signal::ctrl_c().await;
        return Ok(Exit::Ok);
    };
    let mut child = Command::new(first);
    child.args(rest).envs(sandbox.environment.iter().cloned());
    child.env("ENGINE_SANDBOX_SUPERUSER_URL", sandbox.server.url("postgres", "directus"));
    let status = tokio::task::spawn_blocking(move || child.status()).await;
    let status = status
        .map_err(|e| Failure::new(Exit::Io, format!("a bug of the engine: {e}")))?
        .map_err(|e| Failure::new(Exit::Io, format!("`{first}` cannot be run: {e}")))?;
    drop(sandbox);
    // The command's own exit code, when it is one of ours.
    match status.code().and_then(|code| u8::try_from(code).ok()).and_then(Exit::of) {
        Some(exit) => Ok(exit),
        None => Err(Failure::new(Exit::Io, format!("`{first}` ended with {status}"))),
    }
}
