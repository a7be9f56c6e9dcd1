//! Whole files in the shared journal: those of a run's folder, and sealed packets. Folders here are copies of them.

use super::{Rows, is_word, unreadable};
use crate::digest;
use crate::event::{Exit, Failure};
use crate::journal::store;
use crate::target::Value;
use std::path::{Component, Path};

impl Rows {
    /// Keeps files of the run's folder, each where it is not there like this already; all or none, committed when this
    /// returns. Without bytes a file is gone.
    ///
    /// # Errors
    /// The journal did not take them: the run must stop.
    pub fn keep(&self, files: &[(String, Option<&[u8]>)]) -> Result<(), Failure> {
        const KEEP: &str = "WITH kept AS (INSERT INTO engine_journal.file (run, path, sha256, bytes) \
            SELECT $1::text, f.path, f.sha256, f.bytes \
            FROM unnest($2::text[], $3::text[], $4::bytea[]) AS f(path, sha256, bytes) \
            WHERE pg_catalog.pg_backend_pid() = $5::integer AND f.sha256 IS DISTINCT FROM (SELECT k.sha256 \
            FROM engine_journal.file AS k WHERE k.run = $1::text AND k.path = f.path ORDER BY k.number DESC LIMIT 1)) \
            SELECT 1 WHERE pg_catalog.pg_backend_pid() = $5::integer";
        let paths: Vec<String> = files.iter().map(|(path, _)| path.clone()).collect();
        let sums: Vec<Option<String>> = files.iter().map(|(_, bytes)| bytes.map(digest::hex)).collect();
        let bytes: Vec<Option<Vec<u8>>> = files.iter().map(|(_, bytes)| bytes.map(<[u8]>::to_vec)).collect();
        let values: Vec<Value> = vec![self.id(), Box::new(paths), Box::new(sums), Box::new(bytes), self.pid()];
        self.only_by_holder(self.base.ledger.ask(KEEP, values))
    }

    /// Makes `folder` hold what is kept: what differs or is missing is fetched, what is gone there goes here.
    ///
    /// # Errors
    /// The server's, the disk's, or bytes that are not those they were kept as (62).
    pub fn bring(&self, folder: &Path) -> Result<(), Failure> {
        const FILES: &str = "SELECT DISTINCT ON (k.path) k.path, k.sha256, k.number FROM engine_journal.file AS k \
            WHERE k.run = $1 ORDER BY k.path, k.number DESC";
        const BYTES: &str = "SELECT k.bytes FROM engine_journal.file AS k WHERE k.number = $1";
        let unreadable = |failure: Failure| unreadable(self.base.place(), &failure);
        for row in self.base.ledger.ask(FILES, vec![self.id()]).map_err(unreadable)? {
            let (path, sum, number): (String, Option<String>, i64) = (row.get(0), row.get(1), row.get(2));
            let here = folder.join(self.within(&path)?);
            let found = std::fs::read(&here).ok().map(|bytes| digest::hex(&bytes));
            match sum {
                _ if found == sum => {}
                None => std::fs::remove_file(&here)
                    .map_err(|e| Failure::new(Exit::Io, format!("{} cannot be removed: {e}", here.display())))?,
                Some(sum) => {
                    let rows = self.base.ledger.ask(BYTES, vec![Box::new(number)]).map_err(unreadable)?;
                    let bytes: Vec<u8> = rows.first().and_then(|row| row.get(0)).unwrap_or_default();
                    if digest::hex(&bytes) != sum {
                        return Err(self.tampered(&format!("file {path} is not what it was kept as")));
                    }
                    store::write(&here, &bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Keeps a packet's files, all or none, unless a packet of that id is kept.
    ///
    /// # Errors
    /// The journal did not take them: the run must stop.
    pub fn keep_packet(&self, id: &str, files: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
        const SEAL: &str = "WITH sealed AS (INSERT INTO engine_journal.packet (id, run) SELECT $1::text, $2::text \
            WHERE pg_catalog.pg_backend_pid() = $5::integer ON CONFLICT DO NOTHING RETURNING id), \
            files AS (INSERT INTO engine_journal.packet_file (id, path, bytes) SELECT s.id, f.path, f.bytes \
            FROM sealed AS s, unnest($3::text[], $4::bytea[]) AS f(path, bytes)) \
            SELECT 1 WHERE pg_catalog.pg_backend_pid() = $5::integer";
        let (paths, bytes): (Vec<String>, Vec<Vec<u8>>) = files.into_iter().unzip();
        let values: Vec<Value> = vec![Box::new(id.to_owned()), self.id(), Box::new(paths), Box::new(bytes), self.pid()];
        self.only_by_holder(self.base.ledger.ask(SEAL, values))
    }

    fn tampered(&self, fact: &str) -> Failure {
        Failure::new(Exit::InputsChanged, format!("the journal of {} was TAMPERED with", self.place()))
            .fact(fact)
            .changed("nothing was changed; a journal is never repaired")
    }

    /// A path that stays within the folder it is written to.
    fn within<'p>(&self, path: &'p str) -> Result<&'p Path, Failure> {
        inside(path).ok_or_else(|| self.tampered(&format!("{path:?} is no file of a run's folder")))
    }
}

impl super::Base {
    /// The packet that a word means, `latest` or the beginning of an id, copied into `folder` unless one of its name is
    /// there: its id. `None`: no packet here is called so.
    ///
    /// # Errors
    /// Several match (2), the server's, the disk's.
    pub fn bring_packet(&self, word: &str, folder: &Path) -> Result<Option<String>, Failure> {
        const FIND: &str = "SELECT p.id FROM engine_journal.packet AS p \
            WHERE $1 = 'latest' OR pg_catalog.starts_with(p.id, $1) ORDER BY p.number DESC";
        const FILES: &str =
            "SELECT f.path, f.bytes FROM engine_journal.packet_file AS f WHERE f.id = $1 ORDER BY f.path";
        if !self.known && !self.format()? {
            return Ok(None);
        }
        let head = word.strip_prefix("packet-").unwrap_or(word).to_lowercase();
        if word != "latest" && (head.is_empty() || !head.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Ok(None);
        }
        let unreadable = |failure: Failure| unreadable(self.place(), &failure);
        let rows = self.ledger.ask(FIND, vec![Box::new(head)]).map_err(unreadable)?;
        let ids: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let id = match ids.as_slice() {
            [] => return Ok(None),
            [one] => one.clone(),
            [newest, ..] if word == "latest" => newest.clone(),
            many => {
                return Err(Failure::new(Exit::Usage, format!("`{word}` means {} packets", many.len()))
                    .fact(format!("looked in {}", self.place()))
                    .changed("nothing was changed")
                    .next("type", "more of the id"));
            }
        };
        let wrong = |what: String| {
            Failure::new(Exit::InputsChanged, format!("the packets in {} were TAMPERED with", self.place()))
                .fact(what)
                .changed("nothing was changed; nothing was sent")
        };
        if !is_word(&id) {
            return Err(wrong(format!("{id:?} is no packet's id")));
        }
        let path = folder.join(format!("packet-{}", digest::short(&id)));
        if path.exists() {
            return Ok(Some(id));
        }
        let lost = |e: std::io::Error| Failure::new(Exit::Io, format!("{} cannot be written: {e}", path.display()));
        std::fs::create_dir_all(folder).map_err(lost)?;
        let aside = tempfile::Builder::new().prefix(".fetching-").tempdir_in(folder).map_err(lost)?;
        for row in self.ledger.ask(FILES, vec![Box::new(id.clone())]).map_err(unreadable)? {
            let (name, bytes): (String, &[u8]) = (row.get(0), row.get(1));
            let name = inside(&name).ok_or_else(|| wrong(format!("{name:?} is no file of a packet")))?;
            store::write(&aside.path().join(name), bytes)?;
        }
        std::fs::set_permissions(aside.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).map_err(lost)?;
        std::fs::rename(aside.keep(), &path).map_err(lost)?;
        store::sync_dir(folder)?;
        Ok(Some(id))
    }
}

fn inside(path: &str) -> Option<&Path> {
    let path = Path::new(path);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && path.components().next().is_some()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn no_path_leads_out_of_a_folder() {
        assert!(inside("fingerprints/pre.before.json").is_some());
        for path in ["", "/etc/passwd", "../x", "a/../../x", ".."] {
            assert!(inside(path).is_none(), "{path}");
        }
    }
}
