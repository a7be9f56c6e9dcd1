//! Connecting: parse, decide on TLS, pin the session's settings in the start-up packet, keep a pool.

use super::fault;
use super::identity::Expected;
use super::url::Url;
use crate::event::{Exit, Failure};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What every session of a door is pinned to, beside the fixed settings that make output comparable.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The plan's `search_path`; `pg_temp` is added last. Empty for fingerprints.
    pub search_path: String,
    /// Default bound of one statement; stages narrow it.
    pub statement_timeout: Duration,
    /// Longest wait for a lock.
    pub lock_timeout: Duration,
    /// `default_transaction_read_only` and `row_security = off`: a policy becomes an error, never half a table.
    pub read_only: bool,
}

impl Settings {
    /// The whole path, `pg_temp` last.
    fn path(&self) -> String {
        if self.search_path.is_empty() { "pg_temp".into() } else { format!("{}, pg_temp", self.search_path) }
    }

    /// Options of the start-up packet, so that a reset keeps them.
    fn options(&self) -> String {
        let read_only = if self.read_only { "on" } else { "off" };
        let row_security = if self.read_only { "off" } else { "on" };
        let pairs = [
            ("search_path", self.path()),
            ("TimeZone", "UTC".into()),
            ("DateStyle", "ISO, YMD".into()),
            ("IntervalStyle", "postgres".into()),
            ("extra_float_digits", "1".into()),
            ("bytea_output", "hex".into()),
            ("lc_monetary", "C".into()),
            ("row_security", row_security.into()),
            ("default_transaction_read_only", read_only.into()),
            ("default_transaction_isolation", "read committed".into()),
            ("statement_timeout", self.statement_timeout.as_millis().to_string()),
            ("lock_timeout", self.lock_timeout.as_millis().to_string()),
            // The coordinator of a clone waits for pg_dump in its transaction; a stage bounds its own time.
            ("idle_in_transaction_session_timeout", "86400000".into()),
            ("client_connection_check_interval", "500".into()),
            ("standard_conforming_strings", "on".into()),
            // Catalog queries are many and short: compiling them costs more than running them.
            ("jit", "off".into()),
        ];
        let escape = |v: &str| v.replace('\\', "\\\\").replace(' ', "\\ ");
        pairs.iter().map(|(k, v)| format!("-c {k}={}", escape(v))).collect::<Vec<_>>().join(" ")
    }
}

/// A pool of sessions to one database as one role.
#[derive(Clone)]
pub struct Door {
    pub(super) target: String,
    pub(super) place: String,
    pub(super) expected: Option<Expected>,
    /// Where its sessions look names up that have no schema.
    pub(super) path: String,
    config: Config,
    tls: bool,
    pool: Pool,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Door({} at {})", self.target, self.place)
    }
}

impl Door {
    /// Prepares a pool; connects only when a session is asked for.
    ///
    /// # Errors
    /// The connection string cannot be understood, or would go over a network without TLS (exit 1).
    pub fn new(target: &str, url: &Url, database: Option<&str>, settings: &Settings) -> Result<Door, Failure> {
        let refuse = |why: String| {
            Failure::new(Exit::Io, format!("the connection string of `{target}` (from {}) {why}", url.origin))
                .changed("nothing was changed")
        };
        // The driver's own message can quote parts of the string, so only its kind is shown.
        let mut config: Config =
            url.text.parse().map_err(|_| refuse("cannot be understood: neither a URL nor key=value pairs".into()))?;
        if let Some(name) = database {
            config.dbname(name);
        }
        if config.get_hosts().is_empty() {
            return Err(refuse("names no host: give a host name, an address or a socket directory".into()));
        }
        let local = is_local(&config);
        let tls = !local || config.get_ssl_mode() == SslMode::Require;
        config.ssl_mode(if tls { SslMode::Require } else { SslMode::Disable });
        config.application_name("engine").options(settings.options());
        config.connect_timeout(config.get_connect_timeout().copied().unwrap_or(Duration::from_secs(10)));
        config.keepalives(true).keepalives_idle(Duration::from_secs(30)).tcp_user_timeout(Duration::from_secs(30));
        let place = format!("{} ({})", shown_address(&config), url.origin);
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = if tls {
            Manager::from_config(config.clone(), tls_connector().map_err(refuse)?, manager_config)
        } else {
            Manager::from_config(config.clone(), NoTls, manager_config)
        };
        let pool = Pool::builder(manager).max_size(16).build().map_err(|e| refuse(format!("makes no pool: {e}")))?;
        Ok(Door { target: target.to_owned(), place, expected: None, path: settings.path(), config, tls, pool })
    }

    /// The same door, each of whose sessions must first prove that it leads to `expected`.
    #[must_use]
    pub fn expecting(mut self, expected: Expected) -> Door {
        self.expected = Some(expected);
        self
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// How TLS is spoken; `None`: it is not.
    pub(super) fn tls(&self) -> Result<Option<MakeRustlsConnect>, String> {
        if self.tls { tls_connector().map(Some) } else { Ok(None) }
    }

    /// The role of the connection string.
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or("")
    }

    /// The database of the connection string.
    pub fn database(&self) -> &str {
        self.config.get_dbname().or(self.config.get_user()).unwrap_or("")
    }

    /// Host (or socket directory) and port, for people.
    pub fn address(&self) -> String {
        shown_address(&self.config)
    }

    /// Environment of a child such as `pg_dump` that connects as this door does. Holds the password: never log it.
    pub fn child_environment(&self) -> Vec<(String, String)> {
        let mut env = vec![
            ("PGUSER".to_owned(), self.user().to_owned()),
            ("PGDATABASE".to_owned(), self.database().to_owned()),
            ("PGAPPNAME".to_owned(), "engine".to_owned()),
            ("PGSSLMODE".to_owned(), if self.tls { "verify-full" } else { "disable" }.to_owned()),
        ];
        match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => env.push(("PGHOST".into(), host.clone())),
            Some(Host::Unix(path)) => env.push(("PGHOST".into(), path.display().to_string())),
            None => {}
        }
        if let Some(port) = self.config.get_ports().first() {
            env.push(("PGPORT".into(), port.to_string()));
        }
        if let Some(password) = self.config.get_password() {
            env.push(("PGPASSWORD".into(), String::from_utf8_lossy(password).into_owned()));
        }
        env
    }

    /// A session from the pool, its identity proven if the door expects one.
    pub(super) async fn session(&self) -> Result<Object, Failure> {
        let session = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => fault::connecting(&self.target, &self.place, &error),
            other => Failure::new(Exit::Temporary, format!("cannot reach `{}`: {other}, {}", self.target, self.place)),
        })?;
        if let Some(expected) = &self.expected
            && let Err(failure) = expected.prove(&session, &self.target).await
        {
            drop(Object::take(session));
            return Err(failure);
        }
        Ok(session)
    }

    /// Ends all pooled sessions; a TEMPLATE copy needs the clone free of them.
    pub fn close(&self) {
        self.pool.close();
    }

    /// The same role at the same server, another database. Proves no identity of its own.
    ///
    /// # Errors
    /// As `new`.
    pub fn to_database(&self, database: &str) -> Result<Door, Failure> {
        let mut other = self.clone();
        other.config.dbname(database);
        other.expected = None;
        other.reopened()
    }

    /// A fresh pool to the same place, after `close`.
    ///
    /// # Errors
    /// As `new`.
    pub fn reopened(&self) -> Result<Door, Failure> {
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let refuse = |why: String| Failure::new(Exit::Io, format!("cannot reopen `{}`: {why}", self.target));
        let manager = if self.tls {
            Manager::from_config(self.config.clone(), tls_connector().map_err(refuse)?, manager_config)
        } else {
            Manager::from_config(self.config.clone(), NoTls, manager_config)
        };
        let pool = Pool::builder(manager).max_size(16).build().map_err(|e| refuse(e.to_string()))?;
        Ok(Door { pool, ..self.clone() })
    }
}

/// Gives a session back clean, or closes it.
pub(super) async fn give_back(session: Object) {
    // The statements of deadpool's `Clean`: DISCARD ALL would drop statements the driver relies on.
    let clean = RecyclingMethod::Clean.query().unwrap_or("");
    if session.batch_execute(clean).await.is_err() {
        drop(Object::take(session));
    }
}

fn is_local(config: &Config) -> bool {
    let loopback = |host: &str| host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    let hosts_local = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => loopback(name),
    });
    hosts_local && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
}

fn shown_address(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    };
    format!("{host}:{}", config.get_ports().first().copied().unwrap_or(5432))
}

/// verify-full against the system's certificate authorities, or those of `PGSSLROOTCERT`.
fn tls_connector() -> Result<MakeRustlsConnect, String> {
    let mut roots = rustls::RootCertStore::empty();
    if let Ok(path) = std::env::var("PGSSLROOTCERT") {
        use rustls::pki_types::pem::PemObject;
        let certificates = rustls::pki_types::CertificateDer::pem_file_iter(&path)
            .map_err(|e| format!("needs PGSSLROOTCERT, which cannot be read: {e}"))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|e| format!("needs PGSSLROOTCERT, which is no PEM file: {e}"))?;
            roots.add(certificate).map_err(|e| format!("needs PGSSLROOTCERT, which holds a bad certificate: {e}"))?;
        }
    } else {
        for certificate in rustls_native_certs::load_native_certs().certs {
            // One broken certificate of the system's store does not make the others unusable.
            let _ = roots.add(certificate);
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("finds no TLS: {e}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
