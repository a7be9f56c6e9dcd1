//! The programs of PostgreSQL, as the sandbox needs them: or a failure that says what to type.

use crate::event::{Exit, Failure};
use crate::programs::{Missing, Programs};
use std::path::PathBuf;

/// Server and client programs of one version.
#[derive(Clone, Debug)]
pub struct Binaries(Programs);

impl Binaries {
    /// The folder that `ENGINE_TEST_PG_BIN` or `ENGINE_PG_BIN` names; else the newest on this machine.
    ///
    /// # Errors
    /// There are none (exit 1).
    pub fn find() -> Result<Binaries, Failure> {
        Programs::server().map(Binaries).map_err(|missing| failure(&missing))
    }

    /// The programs to dump and restore with, for a server of version `server_major`: never older than it.
    ///
    /// # Errors
    /// There are none (exit 1).
    pub fn client_for(server_major: u32) -> Result<Binaries, Failure> {
        Programs::client_for(server_major).map(Binaries).map_err(|missing| failure(&missing))
    }

    /// The major version, `15`.
    pub fn major(&self) -> u32 {
        self.0.major()
    }

    /// Where the program `name` is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// The folder they are in.
    pub(super) fn folder(&self) -> &std::path::Path {
        self.0.folder()
    }
}

fn failure(missing: &Missing) -> Failure {
    let failure = Failure::new(Exit::Io, missing.to_string()).changed("nothing was changed; no server was started");
    match missing {
        Missing::Named { variable, .. } => failure.next("then", format!("unset {variable}")),
        Missing::None { what: "server", .. } => failure.next("then", "apt-get install postgresql"),
        Missing::None { oldest, .. } => failure.next("then", format!("apt-get install postgresql-client-{oldest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_names_one_command() {
        let failure = failure(&Missing::None { what: "server", oldest: 15 });
        assert_eq!(failure.exit, Exit::Io);
        assert_eq!(failure.next, [("then".to_owned(), "apt-get install postgresql".to_owned())]);
    }
}
