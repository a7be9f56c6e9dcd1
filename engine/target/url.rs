//! Connection strings: read from the environment or a 0600 file, never shown.

use crate::event::{Exit, Failure};
use crate::plan::{Target, Tls, UrlRef};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// No connection string is longer; a file that is, is something else.
const LONGEST: u64 = 64 << 10;

/// A connection string that was read; its `Debug` shows only where it came from.
#[derive(Clone)]
pub struct Url {
    /// `ENGINE_PRODUCTION_URL` or the file's path.
    pub origin: String,
    pub(super) text: String,
    /// What the plan says of TLS.
    pub(super) tls: Option<Tls>,
    /// It is a plan's.
    pub(super) planned: bool,
}

/// Connection strings lent by a throw-away server; they come before the environment's.
static LENT: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Lends variables to this process: a sandbox cannot set its own environment. The first call counts.
pub fn lend(variables: impl IntoIterator<Item = (String, String)>) {
    LENT.get_or_init(|| variables.into_iter().collect());
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Url(from {})", self.origin)
    }
}

impl Url {
    /// Who reads a target of the plan or, for a clone, who runs its stages.
    ///
    /// # Errors
    /// As `read`.
    pub fn of(target: &Target) -> Result<Url, Failure> {
        Ok(Url { tls: target.tls, planned: true, ..Url::read(&target.name.value, &target.url.value)? })
    }

    /// Who makes a clone of the plan.
    ///
    /// # Errors
    /// As `read`.
    pub fn of_maker(target: &Target) -> Result<Url, Failure> {
        let reference = &target.maker_url.as_ref().unwrap_or(&target.url).value;
        Ok(Url { tls: target.tls, planned: true, ..Url::read(&target.name.value, reference)? })
    }

    /// Reads it from where the plan says it is.
    ///
    /// # Errors
    /// The variable is not set, or the file cannot be read or is readable by others (exit 1).
    pub fn read(target: &str, reference: &UrlRef) -> Result<Url, Failure> {
        let of = format!("the connection string of `{target}`");
        let text =
            text(&Kept { of: &of, example: "postgresql://user@host:5432/database" }, reference).map_err(|failure| {
                match reference {
                    UrlRef::Env(_) => failure
                        .next("or", "engine apply PLAN --sandbox   for a throw-away server with the sample production"),
                    UrlRef::File(_) => failure,
                }
            })?;
        let (UrlRef::Env(origin) | UrlRef::File(origin)) = reference;
        Ok(Url::literal(origin, text))
    }

    /// A connection string that is not a plan's: an argument of `engine fingerprint`, the sandbox.
    pub fn literal(origin: impl Into<String>, text: impl Into<String>) -> Url {
        Url { origin: origin.into(), text: text.into(), tls: None, planned: false }
    }
}

/// Reads the value of a sensitive variable from where its text says it is.
///
/// # Errors
/// As `Url::read`.
pub(super) fn secret(variable: &str, reference: &UrlRef) -> Result<String, Failure> {
    text(&Kept { of: &format!("the value of `var.{variable}`"), example: "..." }, reference)
}

/// What is kept in an environment variable or a file.
struct Kept<'k> {
    of: &'k str,
    example: &'k str,
}

fn text(kept: &Kept<'_>, reference: &UrlRef) -> Result<String, Failure> {
    match reference {
        UrlRef::Env(name) if LENT.get().is_some_and(|lent| lent.contains_key(name)) => {
            Ok(LENT.get().and_then(|lent| lent.get(name)).cloned().unwrap_or_default())
        }
        UrlRef::Env(name) => match std::env::var(name) {
            Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            Ok(_) => Err(missing(kept, name, "is empty")),
            Err(std::env::VarError::NotPresent) => Err(missing(kept, name, "is not set")),
            Err(std::env::VarError::NotUnicode(_)) => Err(missing(kept, name, "is not UTF-8")),
        },
        UrlRef::File(path) => from_file(kept, path),
    }
}

fn from_file(kept: &Kept<'_>, path: &str) -> Result<String, Failure> {
    let refuse = |why: String| {
        Failure::new(Exit::Io, format!("cannot read {} from {path}: {why}", kept.of))
            .changed("nothing was changed; no run was started")
    };
    // A link leads where it leads; a pipe that nobody writes to must not be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| refuse(std::io::Error::from(e).to_string()))?;
    let file = std::fs::File::from(file);
    let meta = file.metadata().map_err(|e| refuse(e.to_string()))?;
    if !meta.is_file() {
        let what = if meta.is_dir() { "a folder" } else { "a pipe or a device" };
        return Err(refuse(format!("it is {what}, no file")));
    }
    if meta.mode() & 0o077 != 0 {
        let mode = meta.mode() & 0o777;
        return Err(
            refuse(format!("its mode is {mode:04o}, others may read it")).next("then", format!("chmod 0600 {path}"))
        );
    }
    let (owner, us) = (meta.uid(), rustix::process::geteuid().as_raw());
    if owner != us {
        return Err(refuse(format!("it belongs to user {owner}, who may change it, and we are user {us}"))
            .next("then", format!("chown {us} {path}")));
    }
    let mut text = String::new();
    let read = file.take(LONGEST).read_to_string(&mut text);
    read.map_err(|e| refuse(e.to_string()))?;
    match text.trim() {
        "" => Err(refuse("it is empty".to_owned()).next("then", format!("write {} into {path}", kept.example))),
        text => Ok(text.to_owned()),
    }
}

fn missing(kept: &Kept<'_>, name: &str, why: &str) -> Failure {
    Failure::new(Exit::Io, format!("the environment variable `{name}` {why}; it holds {}", kept.of))
        .changed("nothing was changed; no run was started")
        .next("then", format!("export {name}='{}'", kept.example))
}
