//! What the command line calls URL and FILE: `env:NAME` and `file:PATH` as plans write them, a connection string, or
//! a stored fingerprint. A connection string that is not understood is never repeated: it may hold a password.

use crate::event::{Exit, Failure};
use crate::plan::UrlRef;
use crate::target::{Door, Reader, Settings, Url};
use std::path::PathBuf;
use std::time::Duration;

/// A database to read.
#[derive(Debug)]
pub(in super::super) struct Place {
    /// `URL` or `--against`: how messages call it.
    pub(in super::super) word: &'static str,
    /// Reads it.
    pub(in super::super) reader: Reader,
    /// Its password stands on the command line, for all of this machine to see.
    pub(in super::super) exposed: bool,
}

/// What `--against` names.
#[derive(Debug)]
pub(super) enum Other {
    Database(Box<Place>),
    Stored(PathBuf),
}

/// How a text names a database.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Reference(UrlRef),
    Literal,
}

/// The first argument.
pub(in super::super) fn url(text: &str) -> Result<Place, Failure> {
    let word = "URL";
    match named(word, text)? {
        Some(named) => place(word, text, named),
        None if std::path::Path::new(text).is_file() => Err(usage(word, "is a file, and a database is wanted there")
            .next("compare", format!("engine fingerprint env:DATABASE_URL --against {text}"))
            .next("or", format!("engine fingerprint file:{text}   if it holds a connection string"))),
        None => Err(usage(word, "names no database")
            .fact("a database is `env:NAME`, `file:PATH`, `postgresql://user@host/database` or `host=... dbname=...`")
            .next("then", "engine fingerprint env:DATABASE_URL")),
    }
}

/// What stands behind `--against`.
pub(super) fn against(text: &str) -> Result<Other, Failure> {
    let word = "--against";
    match named(word, text)? {
        Some(named) => Ok(Other::Database(Box::new(place(word, text, named)?))),
        None => Ok(Other::Stored(PathBuf::from(text))),
    }
}

/// `None`: nothing that names a database.
fn named(word: &str, text: &str) -> Result<Option<Named>, Failure> {
    if let Some(name) = text.strip_prefix("env:") {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(usage(word, "has no variable's name behind `env:`").next("then", "env:DATABASE_URL"));
        }
        return Ok(Some(Named::Reference(UrlRef::Env(name.to_owned()))));
    }
    if let Some(path) = text.strip_prefix("file:") {
        if path.trim().is_empty() {
            return Err(usage(word, "has no path behind `file:`").next("then", "file:PATH, of a file of mode 0600"));
        }
        return Ok(Some(Named::Reference(UrlRef::File(path.to_owned()))));
    }
    let pairs = text.contains('=') && !std::path::Path::new(text).exists();
    let url = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
    if !url && text.contains("://") {
        return Err(usage(word, "has a scheme that is no database's").next("then", "postgresql://user@host/database"));
    }
    Ok((url || pairs).then_some(Named::Literal))
}

/// The connection string that a text names, or is itself (`true`), for whoever connects in another way.
pub(in super::super) fn address(word: &str, text: &str) -> Result<(Url, bool), Failure> {
    match named(word, text)? {
        Some(Named::Reference(reference)) => Ok((read(word, &reference)?, false)),
        Some(Named::Literal) => Ok((Url::literal(word, text), true)),
        None => Err(usage(word, "names no database")
            .fact("a database is `env:NAME`, `file:PATH`, `postgresql://user@host/database` or `host=... dbname=...`")),
    }
}

fn place(word: &'static str, text: &str, named: Named) -> Result<Place, Failure> {
    let (url, literal) = match named {
        Named::Reference(reference) => (read(word, &reference)?, false),
        Named::Literal => (Url::literal("the command line", text), true),
    };
    // Reading may take hours; a lock is waited for as long as a stage would.
    let settings = Settings {
        search_path: String::new(),
        statement_timeout: Duration::ZERO,
        lock_timeout: Duration::from_secs(5),
        read_only: true,
    };
    let door = Door::new(word, &url, None, &settings)?;
    let exposed = literal && door.has_password();
    Ok(Place { word, reader: Reader::new(door), exposed })
}

fn read(word: &str, reference: &UrlRef) -> Result<Url, Failure> {
    Url::read(word, reference).map_err(|mut failure| {
        // What it says next of plans does not help here.
        failure.next.retain(|(_, command)| !command.starts_with("engine "));
        failure.changed("nothing was read")
    })
}

fn usage(word: &str, why: &str) -> Failure {
    Failure::new(Exit::Usage, format!("`{word}` {why}")).changed("nothing was read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_told_from_files() {
        let of = |text| named("URL", text).map_err(|failure| failure.what);
        assert_eq!(of("env:A_B"), Ok(Some(Named::Reference(UrlRef::Env("A_B".into())))));
        assert_eq!(of("file:x y"), Ok(Some(Named::Reference(UrlRef::File("x y".into())))));
        assert_eq!(of("postgres://h/d"), Ok(Some(Named::Literal)));
        assert_eq!(of("host=/tmp dbname=d"), Ok(Some(Named::Literal)));
        assert_eq!(of("prints/production.json"), Ok(None));
        assert!(of("env:").is_err() && of("env:a b").is_err() && of("file:").is_err());
    }

    #[test]
    fn what_is_not_understood_is_not_repeated() {
        for text in ["postgre://me:secret@h/d", "env:secret word", "mysql://me:secret@h/d"] {
            let failure = url(text).expect_err("no database");
            assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
            assert_eq!(failure.exit, Exit::Usage);
        }
    }

    #[test]
    fn a_password_on_the_command_line_is_noticed() {
        assert!(url("postgresql://me:x@localhost/d").expect("a place").exposed);
        assert!(url("host=localhost password=x").expect("a place").exposed);
        assert!(!url("postgresql://me@localhost/d").expect("a place").exposed);
    }
}
