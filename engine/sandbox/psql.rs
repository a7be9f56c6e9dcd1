//! SQL through `psql`: a script in, what it prints out, a failure with what the server said.

use super::io;
use super::server::bare;
use crate::event::{Exit, Failure};
use std::io::{Seek, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The client program on one socket, as one user.
#[derive(Clone, Debug)]
pub struct Psql {
    program: PathBuf,
    socket: PathBuf,
    user: String,
    settings: Vec<(String, String)>,
    variables: Vec<(String, String)>,
}

impl Psql {
    pub(super) fn new(program: PathBuf, socket: PathBuf, user: String) -> Psql {
        Psql { program, socket, user, settings: Vec::new(), variables: Vec::new() }
    }

    /// Settings of the session.
    #[must_use]
    pub fn settings(mut self, settings: &[(&str, &str)]) -> Psql {
        self.settings.extend(owned(settings));
        self
    }

    /// Variables of psql: `:'name'` and `:"name"` in a script.
    #[must_use]
    pub fn variables(mut self, variables: &[(&str, &str)]) -> Psql {
        self.variables.extend(owned(variables));
        self
    }

    /// Runs the script `text`, called `name` in a failure; returns what it prints: a line a row, columns parted by `|`.
    ///
    /// # Errors
    /// psql cannot be run, or a statement failed (exit 1, with its SQLSTATE); those before it stay done.
    pub fn run(&self, database: &str, name: &str, text: &str) -> Result<String, Failure> {
        let cannot = |e: std::io::Error| io(format_args!("cannot run {}", self.program.display()), &e);
        // A file, not a pipe: whoever writes to one end and reads from the other can wait for ever.
        let mut script = tempfile::tempfile().map_err(cannot)?;
        script.write_all(text.as_bytes()).and_then(|()| script.rewind()).map_err(cannot)?;
        let output = self.command(database).stdin(Stdio::from(script)).output().map_err(cannot)?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        } else {
            Err(refused(&format!("{name} on `{database}` as `{}`", self.user), &output))
        }
    }

    fn command(&self, database: &str) -> Command {
        let mut command = Command::new(&self.program);
        bare(&mut command);
        command.env("PGCLIENTENCODING", "UTF8").env("PGOPTIONS", self.options()).env("PGAPPNAME", "engine sandbox");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-f", "-"]);
        for (name, value) in &self.variables {
            command.arg("-v").arg(format!("{name}={value}"));
        }
        command.arg("-h").arg(&self.socket).args(["-p", "5432", "-U", &self.user, "-d", database]);
        command
    }

    fn options(&self) -> String {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace(' ', "\\ ");
        let each = self.settings.iter().map(|(name, value)| format!("-c {name}={}", escaped(value)));
        each.collect::<Vec<_>>().join(" ")
    }
}

fn owned<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (String, String)> + 'a {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

/// What psql said when it gave up. `psql:<stdin>:7: ERROR:  42P01: relation "x" does not exist`, then lines on it.
fn refused(what: &str, output: &Output) -> Failure {
    let said = String::from_utf8_lossy(&output.stderr);
    let told = said.lines().filter(|line| !line.starts_with("LOCATION:"));
    let mut failure = told.fold(Failure::new(Exit::Io, format!("{what} failed")), Failure::fact);
    failure.sqlstate = said.lines().find_map(sqlstate);
    failure
}

fn sqlstate(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("ERROR:  ").or_else(|| line.split_once("FATAL:  "))?;
    let (code, _) = rest.split_once(": ")?;
    let valid = code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    valid.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sqlstate_is_found_where_verbose_messages_have_it() {
        let line = "psql:<stdin>:1: ERROR:  42P01: relation \"x\" does not exist";
        assert_eq!(sqlstate(line), Some("42P01".to_owned()));
        assert_eq!(sqlstate("psql: error: connection to server failed: FATAL:  role \"x\" does not exist"), None);
    }

    #[test]
    fn values_of_settings_keep_their_spaces() {
        let psql = Psql::new(PathBuf::new(), PathBuf::new(), String::new());
        assert_eq!(psql.settings(&[("a.b", "c \\d"), ("e", "f")]).options(), "-c a.b=c\\ \\\\d -c e=f");
    }
}
