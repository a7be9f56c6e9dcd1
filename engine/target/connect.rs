//! Connecting: parse, decide on TLS, pin the session's settings in the start-up packet, keep a pool.

use super::identity::{self, Expected};
use super::powers::Confined;
use super::tls::{Mode, Reach, Refusal, Tls};
use super::url::Url;
use super::wire::Canceller;
use super::{asked, at_work, fault};
use crate::event::{Exit, Failure, Identity};
use crate::name::process;
use crate::plan::Tls as Word;
use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use std::pin::Pin;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::config::{ChannelBinding, Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};

/// How long a server that has accepted a connection may take to let the session in.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// How many addresses of a host are tried within a connection's time, each as long as `connect_timeout` says.
const ADDRESSES: u32 = 4;

type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

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

/// For how long a server keeps what it has to say to a writer that does not take it.
const UNHEARD: Duration = Duration::from_secs(30);

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
            // What the journal calls done is done, whatever the server or the role is set to.
            ("synchronous_commit", "on".into()),
            ("standard_conforming_strings", "on".into()),
            // Catalog queries are many and short: compiling them costs more than running them.
            ("jit", "off".into()),
        ];
        // A writer reads what it is answered at once. So an answer that nobody takes has nobody there, and its transaction
        // holds locks.
        let heard = (!self.read_only).then(|| ("tcp_user_timeout", UNHEARD.as_millis().to_string()));
        let escape = |v: &str| v.replace('\\', "\\\\").replace(' ', "\\ ");
        let own: Vec<String> = pairs.iter().chain(&heard).map(|(k, v)| format!("-c {k}={}", escape(v))).collect();
        format!("{} {}", own.join(" "), lets_go())
    }
}

/// How a server is to treat any session of ours, as options of its start: one whose client is gone ends soon and lets go of
/// its locks, also when its whole machine vanished and nobody says so (the system's own patience is two hours); one that
/// only waits, for a long stage or for the end of the run, is not ended for it. `tcp_user_timeout` is not among them: it
/// would also end who has rows for a reader that pauses, as a clone's does while the other server is busy.
pub fn lets_go() -> &'static str {
    "-c client_connection_check_interval=500 -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 \
     -c tcp_keepalives_count=4 -c idle_session_timeout=0"
}

/// A pool of sessions to one database as one role.
#[derive(Clone)]
pub struct Door {
    pub(super) target: String,
    pub(super) place: String,
    pub(super) expected: Option<Expected>,
    /// What it led to when the run was bound to it, if it is no clone; asked on each new connection.
    pub(super) bound: Option<std::sync::Arc<Identity>>,
    /// What its role may be able to do, asked on each new connection.
    pub(super) confined: Option<std::sync::Arc<Confined>>,
    /// A plan names the target; else there is no plan to say anything in.
    pub(super) planned: bool,
    /// Where its sessions look names up that have no schema.
    pub(super) path: String,
    config: Config,
    tls: Tls,
    /// What the plan lets pass on the way there, for the evidence.
    waived: Option<String>,
    /// Nobody but the engine says anything in its sessions.
    engines_own: bool,
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
    /// The connection string cannot be understood, or asks for less of TLS than the plan (exit 1).
    pub fn new(target: &str, url: &Url, database: Option<&str>, settings: &Settings) -> Result<Door, Failure> {
        let refuse = |refusal: Refusal| {
            let what = format!("the connection string of `{target}` (from {}) {}", url.origin, refusal.why);
            let failure = Failure::new(Exit::Io, what).changed("nothing was changed");
            refusal.next.into_iter().fold(failure, |failure, (word, next)| failure.next(word, next))
        };
        let (text, asked) = asked::part(&url.text).map_err(|why| refuse(why.into()))?;
        // The driver's own message can quote parts of the string, so only its kind is shown.
        let not_understood = |_| refuse("cannot be understood: neither a URL nor key=value pairs".to_owned().into());
        let mut config: Config = text.parse().map_err(not_understood)?;
        if let Some(name) = database {
            config.dbname(name);
        }
        if config.get_hosts().is_empty() {
            let why = "names no host: give a host name, an address or a socket directory";
            return Err(refuse(why.to_owned().into()));
        }
        let reach = reach(&config);
        let tls = Tls::new(url.tls, &asked, reach).map_err(|mut refusal| {
            if reach == Reach::Network && url.planned && url.tls.is_none() && !refusal.next.is_empty() {
                let says = format!("say in [target.{target}]: tls = \"plain\", where nobody on the way can listen");
                refusal.next.push(("or", says));
            }
            refuse(refusal)
        })?;
        config.ssl_mode(if tls.mode() == Mode::Off { SslMode::Disable } else { SslMode::Require });
        config.application_name(process::session()).options(settings.options());
        config.connect_timeout(config.get_connect_timeout().copied().unwrap_or(Duration::from_secs(10)));
        config.keepalives(true).keepalives_idle(Duration::from_secs(30)).tcp_user_timeout(Duration::from_secs(30));
        let place = format!("{} ({})", shown_address(&config), url.origin);
        let pool = pool(&config, &tls, true).map_err(|why| refuse(format!("makes no pool: {why}").into()))?;
        let waived = waived(url, tls.mode(), reach);
        let (target, planned, path) = (target.to_owned(), url.planned, settings.path());
        Ok(Door {
            target,
            place,
            expected: None,
            bound: None,
            confined: None,
            planned,
            path,
            config,
            tls,
            waived,
            engines_own: false,
            pool,
        })
    }

    /// The same door, each of whose sessions must first prove that it leads to `expected`.
    #[must_use]
    pub fn expecting(mut self, expected: Expected) -> Door {
        self.expected = Some(expected);
        self
    }

    /// As this door's role at the place of another: for trying whether it lets us in.
    ///
    /// # Errors
    /// As `new`.
    pub fn at(&self, place: &Door) -> Result<Door, Failure> {
        let mut other =
            Door { expected: None, bound: None, confined: None, place: place.place.clone(), ..place.clone() };
        other.config.dbname(place.database());
        other.config.user(self.user());
        other.tls = place.tls.with_own(&self.tls).map_err(|refusal| {
            Failure::new(Exit::Io, format!("`{}` cannot be tried: {}", place.target, refusal.why))
        })?;
        // The driver has no way to take a password back; an empty one opens nothing.
        other.config.password(self.config.get_password().unwrap_or_default());
        other.reopened()
    }

    /// Tries to connect, and leaves at once. `None`: it opened; else what the server said when it refused.
    ///
    /// # Errors
    /// Nobody refused, and nobody let us in: the server is not reached, or has no room.
    pub async fn knock(&self) -> Result<Option<String>, Failure> {
        match self.session().await {
            Ok(session) => {
                drop(Object::take(session));
                Ok(None)
            }
            Err(failure) => match &failure.sqlstate {
                Some(code) if code.starts_with("28") || code == "42501" => {
                    let said = failure.what.strip_suffix(&format!(", {}", self.place)).unwrap_or(&failure.what);
                    let said = said.strip_prefix(&format!("cannot reach `{}`: ", self.target)).unwrap_or(said);
                    Ok(Some(format!("{said} ({code})")))
                }
                _ => Err(failure),
            },
        }
    }

    /// The same door, each of whose new connections must lead to the very database that `identity` is: what is reached through
    /// a balancer or a name may be another server each time.
    #[must_use]
    pub fn bound_to(mut self, identity: &Identity) -> Door {
        self.bound = Some(std::sync::Arc::new(identity.clone()));
        self
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The host that a certificate must be for; empty for a socket.
    pub(super) fn host(&self) -> &str {
        host(&self.config)
    }

    /// What the plan lets pass on the way there: a certificate that nobody checked, or plain text.
    pub fn waived(&self) -> Option<&str> {
        self.waived.as_deref()
    }

    /// Has the connection string a password?
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
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

    /// Environment of a child such as `pg_dump`, of PostgreSQL `major`, that connects as this door does, and no less
    /// safely. Holds the password: never log it.
    ///
    /// # Errors
    /// That version cannot check a certificate as this door does (exit 1).
    pub fn child_environment(&self, major: u32) -> Result<Vec<(String, String)>, Failure> {
        let mut env = vec![
            ("PGUSER".to_owned(), self.user().to_owned()),
            ("PGDATABASE".to_owned(), self.database().to_owned()),
            ("PGAPPNAME".to_owned(), process::session()),
        ];
        env.extend(self.tls.environment(major)?.into_iter().map(|(name, value)| (name.to_owned(), value)));
        if self.config.get_channel_binding() == ChannelBinding::Require {
            env.push(("PGCHANNELBINDING".into(), "require".into()));
        }
        if let Some(address) = self.config.get_hostaddrs().first() {
            env.push(("PGHOSTADDR".into(), address.to_string()));
        }
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
        Ok(env)
    }

    /// A session from the pool, its identity proven if the door expects one.
    pub(super) async fn session(&self) -> Result<Object, Failure> {
        let session = self.unproven().await?;
        if let Err(failure) = self.prove(&session).await {
            drop(Object::take(session));
            return Err(failure);
        }
        Ok(session)
    }

    /// A session from the pool. Nothing may be written in it before it is proven.
    pub(super) async fn unproven(&self) -> Result<Object, Failure> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => fault::connecting(self, &error),
            PoolError::Timeout(TimeoutType::Create) => {
                let what = format!("cannot reach `{}`: it does not answer, {}", self.target, self.place);
                Failure::new(Exit::Temporary, what).fact("nobody lets a session in, or says why not")
            }
            other => Failure::new(Exit::Temporary, format!("cannot reach `{}`: {other}, {}", self.target, self.place)),
        })
    }

    /// Demands that it leads to what the door expects, if it expects anything.
    pub(super) async fn prove(&self, session: &Object) -> Result<(), Failure> {
        if let Some(expected) = &self.expected {
            return expected.prove(session, &self.target, self.engines_own).await;
        }
        match &self.bound {
            Some(bound) if Object::metrics(session).recycle_count == 0 => {
                identity::demand_bound(session, bound, &self.target).await
            }
            _ => Ok(()),
        }
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
        (other.expected, other.bound, other.confined) = (None, None, None);
        other.reopened()
    }

    /// A fresh pool to the same place, after `close`.
    ///
    /// # Errors
    /// As `new`.
    pub fn reopened(&self) -> Result<Door, Failure> {
        self.with_pool(true)
    }

    /// The same for a session that only holds something: it is left alone at the end of a run, until the very last.
    ///
    /// # Errors
    /// As `new`.
    pub(super) fn only_holding(&self) -> Result<Door, Failure> {
        self.with_pool(false)
    }

    /// The same with sessions in which only the engine ever says something: what it prepared there is its own.
    ///
    /// # Errors
    /// As `new`.
    pub(super) fn engines_own(&self) -> Result<Door, Failure> {
        Ok(Door { engines_own: true, ..self.reopened()? })
    }

    fn with_pool(&self, at_work: bool) -> Result<Door, Failure> {
        let refuse = |why: String| Failure::new(Exit::Io, format!("cannot reopen `{}`: {why}", self.target));
        let pool = pool(&self.config, &self.tls, at_work).map_err(refuse)?;
        Ok(Door { pool, ..self.clone() })
    }
}

/// Gives a session back clean, or closes it.
pub(super) async fn give_back(session: Object) {
    let cleaned = clean(&session).await;
    give_back_if(session, &cleaned);
}

/// The same of one that was cleaned on the way, or could not be.
pub(super) fn give_back_if<E>(session: Object, cleaned: &Result<(), E>) {
    if cleaned.is_err() {
        drop(Object::take(session));
    }
}

/// Leaves nothing of whoever had the session. One that cannot be cleaned must be closed.
pub(super) async fn clean(session: &Object) -> Result<(), tokio_postgres::Error> {
    // The statements of deadpool's `Clean`: DISCARD ALL would drop statements the driver relies on.
    session.batch_execute(RecyclingMethod::Clean.query().unwrap_or("")).await
}

/// The host of a connection string; empty for a socket.
pub(super) fn host(config: &Config) -> &str {
    match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host,
        _ => "",
    }
}

/// How long a session may take to be there. The driver's own limit ends when the server has accepted: one that then says nothing
/// would be waited for without end.
pub(super) fn lets_in_within(config: &Config) -> Duration {
    let places = u32::try_from(config.get_hosts().len().max(config.get_hostaddrs().len())).unwrap_or(1);
    config.get_connect_timeout().copied().unwrap_or_default() * places * ADDRESSES + ANSWERS_WITHIN
}

fn pool(config: &Config, tls: &Tls, at_work: bool) -> Result<Pool, String> {
    let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match tls.connector() {
        _ if at_work => Manager::from_connect(config.clone(), Attended(tls.clone()), fast),
        Some(connector) => Manager::from_config(config.clone(), connector.clone(), fast),
        None => Manager::from_config(config.clone(), NoTls, fast),
    };
    let pool =
        Pool::builder(manager).max_size(16).create_timeout(Some(lets_in_within(config))).runtime(Runtime::Tokio1);
    let pool = pool.build().map_err(|e| e.to_string())?;
    if at_work {
        at_work::remember(&pool);
    }
    Ok(pool)
}

/// Connects, and enters each session in the book of those at work.
struct Attended(Tls);

impl Connect for Attended {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let (config, tls) = (config.clone(), self.0.clone());
        Box::pin(async move {
            let enter = |client: &Client| {
                at_work::AtWork::session(Canceller::of(config.clone(), tls.clone(), client.cancel_token()))
            };
            if let Some(connector) = tls.connector().cloned() {
                let (client, connection) = config.connect(connector).await?;
                let entry = enter(&client);
                return Ok((client, at_work::attend(connection, entry)));
            }
            let (client, connection) = config.connect(NoTls).await?;
            let entry = enter(&client);
            Ok((client, at_work::attend(connection, entry)))
        })
    }
}

fn reach(config: &Config) -> Reach {
    let loopback = |host: &str| host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    let local = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => loopback(name),
    };
    if !config.get_hosts().iter().all(local) || !config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback) {
        return Reach::Network;
    }
    let socket =
        config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    if socket { Reach::Socket } else { Reach::Loopback }
}

fn waived(url: &Url, mode: Mode, reach: Reach) -> Option<String> {
    let said = url.tls.map(Word::text).unwrap_or_default();
    let how = match (mode, url.tls) {
        (Mode::Unverified, _) => "over TLS whose certificate nobody checked",
        (Mode::Off, Some(Word::Plain)) if reach != Reach::Socket => "as plain text",
        _ => return None,
    };
    Some(format!("reached {how}, by {}: the plan says tls = \"{said}\"", url.origin))
}

fn shown_address(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    };
    format!("{host}:{}", config.get_ports().first().copied().unwrap_or(5432))
}
