//! A server of one test alone, that it may set up as it likes and kill: `Bench::bare_on` puts production or clones there.

use super::server::fail;
use engine::sandbox::{Options, Server};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server whose data stays when it is killed, until this is dropped.
#[derive(Debug)]
pub struct OwnServer {
    server: &'static Server,
    data: PathBuf,
    /// Removed with this.
    folder: Option<TempDir>,
}

impl OwnServer {
    /// Starts one with `settings` of postgresql.conf, which may be such that need a restart.
    pub fn new(settings: &[&str]) -> OwnServer {
        let folder = tempfile::Builder::new().prefix("own-").tempdir_in("/tmp").expect("a folder");
        // The server's account must get through to its data.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("a folder of ours");
        let mut own = OwnServer::at(&folder.path().join("kept"), settings);
        own.folder = Some(folder);
        own
    }

    /// The same in a folder that somebody else looks after.
    pub fn at(data: &Path, settings: &[&str]) -> OwnServer {
        let mut own = OwnServer { server: start(data), data: data.to_path_buf(), folder: None };
        if !settings.is_empty() {
            let alter: String = settings.iter().map(|setting| format!("ALTER SYSTEM SET {setting};\n")).collect();
            own.server.psql("postgres", &alter).unwrap_or_else(|failure| fail(&failure));
            own.kill("INT");
            own.start();
        }
        own
    }

    /// The server that runs now; after `start` it is another one.
    pub fn server(&self) -> &'static Server {
        self.server
    }

    /// Its folder; the cluster is in `data` below.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Ends it by a signal and waits until it is gone; its data stays.
    pub fn kill(&self, signal: &str) {
        let Some(id) = self.server.process_id() else { return };
        let sent = Command::new("kill").args(["-s", signal, &id.to_string()]).status();
        assert!(sent.expect("kill").success());
        let since = Instant::now();
        while Path::new(&format!("/proc/{id}")).exists() {
            assert!(since.elapsed() < Duration::from_secs(60), "the server does not end by {signal}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Moves what is in its databases to `folder` and leaves the rest where it is: log, state, configuration.
    pub fn move_databases(&mut self, folder: &Path) {
        self.kill("INT");
        let (here, there) = (self.data.join("data/base"), folder.join("base"));
        let moved = Command::new("mv").arg(&here).arg(&there).status().expect("mv");
        assert!(moved.success(), "{}", here.display());
        std::os::unix::fs::symlink(&there, &here).expect("a link");
        self.start();
    }

    /// Starts it again on the same data, with another socket.
    pub fn start(&mut self) {
        self.server = start(&self.data);
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.server.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of a server's log:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        } else {
            self.kill("QUIT");
        }
    }
}

/// Never dropped, like the shared one: its supervisor sees the end of the server, or of this process.
fn start(data: &Path) -> &'static Server {
    let options = Options { dir: Some(data.to_path_buf()), fsync: false, ..Options::default() };
    Box::leak(Box::new(Server::start(&options).unwrap_or_else(|failure| fail(&failure))))
}
