//! `fmt PLAN... [--check]`: lays plan files out, or says which are not.

use super::{print, tell};
use crate::aside;
use crate::event::{Exit, Failure};
use crate::plan::format::{Refused, formatted};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Lays out plans. A file that cannot be read, or is no TOML, is left alone, and the others are done.
///
/// # Errors
/// A file cannot be written.
pub fn run(plans: &[PathBuf], only_check: bool) -> Result<Exit, Failure> {
    let mut exit = Exit::Ok;
    for path in plans {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) => {
                tell(&format!(
                    "{shown} cannot be read: {e}\n  it was not changed\n  then  name plan files, as in plans/*.toml\n"
                ));
                exit = exit.worse(Exit::Io);
                continue;
            }
        };
        match formatted(&text) {
            Err(Refused::Unknown(why)) => tell(&format!("{shown}: left as it is: {why}\n")),
            Err(Refused::NoToml(why)) => {
                tell(&format!("{shown}: {}\n  it was not changed\n  then  engine check {shown}\n", why.trim_end()));
                exit = exit.worse(Exit::PlanInvalid);
            }
            Ok(laid_out) if laid_out == text => {}
            Ok(_) if only_check => {
                tell(&format!("{shown}: not laid out\n  it was not changed\n  then  engine fmt {shown}\n"));
                exit = exit.worse(Exit::LockStale);
            }
            Ok(laid_out) => {
                write(path, (&text, &laid_out)).map_err(|e| {
                    Failure::new(Exit::Io, format!("{shown} cannot be written: {e}")).changed("it was not changed")
                })?;
                print(&format!("{shown}: laid out\n"));
            }
        }
    }
    Ok(exit)
}

/// Prints a plan laid out, for who compares texts, such as `git diff`. One that is no TOML is printed as it is.
///
/// # Errors
/// The file cannot be read.
pub fn show(path: &Path) -> Result<Exit, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::new(Exit::Io, format!("{} cannot be read: {e}", path.display())))?;
    print(&formatted(&text).unwrap_or(text));
    Ok(Exit::Ok)
}

/// Written aside and renamed, with the rights it had: whoever reads meanwhile sees the old text or the new one.
fn write(path: &Path, (old, text): (&str, &str)) -> std::io::Result<()> {
    // Where a link leads to is written, not the link.
    let path = path.canonicalize()?;
    let mode = std::fs::metadata(&path)?.permissions().mode();
    let aside = aside::write(&path, text.as_bytes(), mode)?;
    if std::fs::read_to_string(&path)? != old {
        return Err(std::io::Error::other("somebody else has just written it"));
    }
    aside.put()
}
