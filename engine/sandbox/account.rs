//! Who runs the server: PostgreSQL refuses to run as root, so root lends it another account.

use super::io;
use crate::event::{Exit, Failure};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The accounts that root may lend, in the order of preference.
const LENT: [&str; 2] = ["postgres", "nobody"];

/// An account of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// Ours, which is not root.
    Own,
    /// Lent by root.
    Lent { name: String, uid: u32, gid: u32 },
}

impl Account {
    /// Our own account; if we are root, `postgres` or else `nobody`.
    pub(super) fn choose() -> Result<Account, Failure> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").map_err(|e| io("cannot read /etc/passwd", &e))?;
        LENT.iter().find_map(|name| entry(&passwd, name)).ok_or_else(|| {
            Failure::new(Exit::Io, "PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody`")
                .next("then", "useradd --system postgres")
        })
    }

    /// Makes `command` run as this account.
    pub(super) fn dress(&self, command: &mut Command) {
        if let Account::Lent { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
    }

    /// Gives a file or folder to this account.
    pub(super) fn give(&self, path: &Path) -> Result<(), Failure> {
        match self {
            Account::Own => Ok(()),
            Account::Lent { name, uid, gid } => std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
                .map_err(|e| io(format_args!("cannot give {} to `{name}`", path.display()), &e)),
        }
    }

    /// A line for a failure: as whom the server runs, where that explains a refusal.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Account::Own => None,
            Account::Lent { name, .. } => Some(format!(
                "we are root, so the server runs as `{name}`: it must be able to reach its programs and its folder"
            )),
        }
    }
}

/// The account `name` in the text of /etc/passwd; never root under another name.
fn entry(passwd: &str, name: &str) -> Option<Account> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let uid: u32 = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    (uid != 0).then(|| Account::Lent { name: name.to_owned(), uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name_and_root_is_never_one() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\npostgres2:x:7:7::/:/x\npostgres:x:101:104:a,b:/p:/x\nnobody:x:0:0::/:/x\n";
        let postgres = Account::Lent { name: "postgres".to_owned(), uid: 101, gid: 104 };
        assert_eq!(entry(passwd, "postgres"), Some(postgres));
        assert_eq!(entry(passwd, "nobody"), None);
        assert_eq!(entry(passwd, "www"), None);
    }
}
