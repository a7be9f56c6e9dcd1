//! What is in a golden copy: a file in the working folder, whose digest the copy's marker carries.

use super::super::making::Made;
use crate::digest;
use crate::event::{Exit, Failure, Identity, Marker};
use crate::fingerprint::{Fingerprint, Horizon, TableKind};
use crate::journal::store;
use crate::target::Found;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where the states of golden copies lie, relative to the working directory.
const FOLDER: &str = ".engine/golden";
/// Version of the file.
const FORMAT: u32 = 1;

/// All that a later run must know of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    /// Another version may clone otherwise.
    engine: String,
    /// The database.
    pub name: String,
    /// Of the golden copy itself.
    pub oid: i64,
    /// The server it is on, when it was made.
    server: Option<Identity>,
    owner: String,
    /// What the plan and production's powers left out.
    pub asked: Vec<String>,
    /// All that is left out.
    pub left_out: Vec<String>,
    /// Production's horizon at the snapshot.
    pub horizon: Horizon,
    /// Production at the snapshot, and so the golden copy.
    pub print: Fingerprint,
    /// Materialised views that hold data, in the order in which they can be filled.
    pub views: Vec<String>,
}

impl State {
    pub(super) fn new(name: &str, made: &Made, (horizon, asked): (Horizon, Vec<String>), owner: &str) -> State {
        State {
            format: FORMAT,
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            name: name.to_owned(),
            oid: 0,
            server: None,
            owner: owner.to_owned(),
            asked,
            left_out: made.facts.left_out.clone(),
            horizon,
            print: made.print.clone(),
            views: made.views.clone(),
        }
    }

    /// The state of the golden copy that was found, or why there is none to rely on.
    pub(super) fn load(name: &str, found: Option<&Found>, server: &Identity, owner: &str) -> Result<State, String> {
        let found = found.ok_or("there was none")?;
        let marker = found.marker.as_ref().ok_or("it has no marker")?;
        let wanted = marker.state.as_deref().ok_or("it was never finished, or somebody had opened it")?;
        // It is made shut and nobody of ours opens it.
        if !found.shut {
            return Err("somebody opened it, and may have changed it".to_owned());
        }
        let path = folder(name, server).join(format!("{wanted}.json"));
        let bytes = std::fs::read(&path).map_err(|e| format!("its state {} cannot be read: {e}", path.display()))?;
        if digest::hex(&bytes) != wanted {
            return Err(format!("its state {} is not the one that its marker names", path.display()));
        }
        let state: State =
            serde_json::from_slice(&bytes).map_err(|e| format!("its state cannot be understood: {e}"))?;
        if state.format != FORMAT || state.engine != env!("CARGO_PKG_VERSION") {
            return Err(format!("engine {} made it", state.engine));
        }
        let home = state.server.as_ref().ok_or("its state names no server")?;
        if state.name != name || state.oid != found.oid || home.system_identifier != server.system_identifier {
            return Err("its state is that of another database".to_owned());
        }
        if home.timeline != server.timeline {
            return Err(format!("its server went from timeline {} to {}", home.timeline, server.timeline));
        }
        if state.owner != owner {
            return Err(format!("its objects belong to `{}`", state.owner));
        }
        // A crash empties them, and leaves no trace but the time of the start.
        let unlogged = state.print.tables.iter().any(|table| table.kind == TableKind::Unlogged);
        if unlogged && home.started != server.started {
            return Err("it holds unlogged tables, and its server was restarted".to_owned());
        }
        Ok(state)
    }

    /// Makes it durable; answers its digest.
    pub(super) fn write(&mut self, server: &Identity) -> Result<String, Failure> {
        self.server = Some(server.clone());
        let bytes = serde_json::to_vec(self).expect("invariant: a state is JSON");
        let digest = digest::hex(&bytes);
        store::write(&folder(&self.name, server).join(format!("{digest}.json")), &bytes)?;
        Ok(digest)
    }

    /// Removes the states of golden copies that this one has replaced.
    pub(super) fn forget_others(&self, marker: &Marker) -> Result<(), Failure> {
        let (Some(server), Some(kept)) = (&self.server, &marker.state) else { return Ok(()) };
        let folder = folder(&self.name, server);
        let lost = |e: std::io::Error| Failure::new(Exit::Io, format!("{} cannot be tidied: {e}", folder.display()));
        for entry in std::fs::read_dir(&folder).map_err(lost)? {
            let path = entry.map_err(lost)?.path();
            if path.file_stem().is_none_or(|stem| stem != kept.as_str()) {
                std::fs::remove_file(&path).map_err(lost)?;
            }
        }
        Ok(())
    }
}

/// Two servers can each have a golden copy of one name.
fn folder(name: &str, server: &Identity) -> PathBuf {
    Path::new(FOLDER).join(format!("{name}@{}", server.system_identifier))
}
