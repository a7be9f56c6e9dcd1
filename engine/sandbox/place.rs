//! The folders of a server: a private one for the socket and the log, and one for the data.

use super::account::Account;
use super::io;
use crate::event::{Exit, Failure};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where private folders are made. Not TMPDIR: the path of a socket must stay below some hundred bytes, and
/// another account must be able to get there.
const ROOT: &str = "/tmp";

/// What a kept folder may hold.
const KEPT: [&str; 2] = ["data", "data.new"];

/// The folders of one server.
#[derive(Debug)]
pub(super) struct Place {
    /// Socket and log, and the data unless that is kept; removed by the supervisor, and when this is dropped.
    private: TempDir,
    /// The data folder.
    pub(super) data: PathBuf,
    /// Does the data stay when the server ends?
    pub(super) kept: bool,
}

impl Place {
    /// Makes the folders; with `keep` the data lives there and stays.
    pub(super) fn make(keep: Option<&Path>, account: &Account) -> Result<Place, Failure> {
        let private = tempfile::Builder::new()
            .prefix("engine-")
            .tempdir_in(ROOT)
            .map_err(|e| io(format_args!("cannot make a folder in {ROOT}"), &e))?;
        account.give(private.path())?;
        let home = match keep {
            Some(dir) => kept(dir, account)?,
            None => private.path().to_path_buf(),
        };
        Ok(Place { private, data: home.join("data"), kept: keep.is_some() })
    }

    /// The private folder: the socket is in it.
    pub(super) fn private(&self) -> &Path {
        self.private.path()
    }

    /// What the server, and whoever sets it up, has to say.
    pub(super) fn log(&self) -> PathBuf {
        self.private.path().join("log")
    }

    /// Written by the supervisor when the server ended without being asked to.
    pub(super) fn ended(&self) -> PathBuf {
        self.private.path().join("ended")
    }

    /// The server's own word: its process id if it is up and ready in *this* place.
    pub(super) fn ready(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let here = lines.get(4).is_some_and(|socket| Path::new(socket) == self.private());
        let ready = lines.get(7) == Some(&"ready");
        if here && ready { lines.first()?.parse().ok() } else { None }
    }

    /// The major version that made the data, if there is any.
    pub(super) fn data_major(&self) -> Option<String> {
        std::fs::read_to_string(self.data.join("PG_VERSION")).ok().map(|text| text.trim().to_owned())
    }
}

/// A folder to keep data in: new, empty, or one of ours.
fn kept(dir: &Path, account: &Account) -> Result<PathBuf, Failure> {
    let cannot = |e: std::io::Error| io(format_args!("cannot use {} for a sandbox", dir.display()), &e);
    std::fs::create_dir_all(dir).map_err(cannot)?;
    for entry in std::fs::read_dir(dir).map_err(cannot)? {
        let name = entry.map_err(cannot)?.file_name();
        if !KEPT.iter().any(|known| name == *known) {
            let what = format!("{} is no sandbox: it holds `{}`", dir.display(), name.display());
            return Err(Failure::new(Exit::Io, what).changed("nothing was changed; no server was started"));
        }
    }
    account.give(dir)?;
    dir.canonicalize().map_err(cannot)
}
