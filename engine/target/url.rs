//! Connection strings: read from the environment or a 0600 file, never shown.

use crate::event::{Exit, Failure};
use crate::plan::UrlRef;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// A connection string that was read; its `Debug` shows only where it came from.
#[derive(Clone)]
pub struct Url {
    /// `ENGINE_PRODUCTION_URL` or the file's path.
    pub origin: String,
    pub(super) text: String,
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
    /// Reads it from where the plan says it is.
    ///
    /// # Errors
    /// The variable is not set, or the file cannot be read or is readable by others (exit 1).
    pub fn read(target: &str, reference: &UrlRef) -> Result<Url, Failure> {
        match reference {
            UrlRef::Env(name) if LENT.get().is_some_and(|lent| lent.contains_key(name)) => {
                let text = LENT.get().and_then(|lent| lent.get(name)).cloned().unwrap_or_default();
                Ok(Url { origin: name.clone(), text })
            }
            UrlRef::Env(name) => match std::env::var(name) {
                Ok(text) if !text.trim().is_empty() => Ok(Url { origin: name.clone(), text: text.trim().to_owned() }),
                Ok(_) => Err(missing(target, name, "is empty")),
                Err(std::env::VarError::NotPresent) => Err(missing(target, name, "is not set")),
                Err(std::env::VarError::NotUnicode(_)) => Err(missing(target, name, "is not UTF-8")),
            },
            UrlRef::File(path) => Self::from_file(target, path),
        }
    }

    /// A connection string that is not a plan's: an argument of `engine fingerprint`, the sandbox.
    pub fn literal(origin: impl Into<String>, text: impl Into<String>) -> Url {
        Url { origin: origin.into(), text: text.into() }
    }

    fn from_file(target: &str, path: &str) -> Result<Url, Failure> {
        let refuse = |why: String| {
            Failure::new(Exit::Io, format!("cannot read the connection string of `{target}` from {path}: {why}"))
                .changed("nothing was changed; no run was started")
        };
        let meta = std::fs::metadata(path).map_err(|e| refuse(e.to_string()))?;
        if meta.mode() & 0o077 != 0 {
            let mode = meta.mode() & 0o777;
            return Err(refuse(format!("its mode is {mode:04o}, others may read it"))
                .next("then", format!("chmod 0600 {path}")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
        Ok(Url { origin: path.to_owned(), text: text.trim().to_owned() })
    }
}

fn missing(target: &str, name: &str, why: &str) -> Failure {
    Failure::new(
        Exit::Io,
        format!("the environment variable `{name}` {why}; it holds the connection string of `{target}`"),
    )
    .changed("nothing was changed; no run was started")
    .next("then", format!("export {name}='postgresql://user@host:5432/database'"))
    .next("or", "engine apply PLAN --sandbox   for a throw-away server with the sample production")
}
