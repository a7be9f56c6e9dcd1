//! A program of PostgreSQL at work: `pg_dump`, `pg_restore`, `psql`. Told to end, each cancels what it does on its server.

use crate::event::{Exit, Failure};
use crate::target::AtWork;
use rustix::process::{Pid, Signal, kill_process};
use std::process::Output;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStdin, ChildStdout, Command};

/// Whoever does not end within this time is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// The child. When nobody waits for it any more it is interrupted, and waited for aside.
pub struct Child {
    /// Not there once it was waited for.
    process: Option<tokio::process::Child>,
    program: String,
    at_work: Option<AtWork>,
}

impl Child {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started (exit 1).
    pub fn start(command: &mut Command, program: &str) -> Result<Child, Failure> {
        let process = command.spawn().map_err(|e| cannot_run(program, &e))?;
        Ok(Child { process: Some(process), program: program.to_owned(), at_work: Some(AtWork::child()) })
    }

    /// What it prints, if that is piped and was not taken before.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.process.as_mut()?.stdout.take()
    }

    /// What it reads, if that is piped and was not taken before.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.process.as_mut()?.stdin.take()
    }

    /// Waits for its end; what it printed, as far as that is piped and was not taken.
    ///
    /// # Errors
    /// It cannot be waited for (exit 1).
    pub async fn output(mut self) -> Result<Output, Failure> {
        let ended = match &mut self.process {
            Some(process) => whole(process).await,
            None => Err(std::io::Error::other("it was waited for before")),
        };
        let output = ended.map_err(|e| cannot_run(&self.program, &e))?;
        self.process = None;
        Ok(output)
    }
}

/// What a child prints, read here. Where nobody wants it any more the child is interrupted, and until then keeps whom it writes to:
/// a broken pipe would end it before it has cancelled what it does.
pub struct Printed(Option<ChildStdout>);

impl Printed {
    /// Of a child that prints into a pipe.
    pub fn of(out: ChildStdout) -> Printed {
        Printed(Some(out))
    }

    /// Hands all of it to another child. What goes wrong one of the two says better.
    pub async fn into(mut self, mut reader: ChildStdin) {
        if let Some(out) = &mut self.0 {
            let _ = tokio::io::copy(out, &mut reader).await;
        }
        self.0 = None;
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        let (Some(out), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(async move {
            tokio::time::sleep(ENDS_WITHIN).await;
            drop(out);
        });
    }
}

async fn whole(process: &mut tokio::process::Child) -> std::io::Result<Output> {
    let (out, err) = (process.stdout.take(), process.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let reading = async {
        if let Some(mut out) = out {
            out.read_to_end(&mut stdout).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let complaining = async {
        if let Some(mut err) = err {
            err.read_to_end(&mut stderr).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let (status, read, complained) = tokio::join!(process.wait(), reading, complaining);
    read?;
    complained?;
    Ok(Output { status: status?, stdout, stderr })
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let id = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let (Some(id), Ok(runtime)) = (id, tokio::runtime::Handle::try_current()) else { return };
        // It was not waited for, so the number is still its own.
        let _ = kill_process(id, Signal::INT);
        let at_work = self.at_work.take();
        runtime.spawn(async move {
            if tokio::time::timeout(ENDS_WITHIN, process.wait()).await.is_err() {
                let _ = process.kill().await;
            }
            drop(at_work);
        });
    }
}

fn cannot_run(program: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Io, format!("{program} cannot be run: {error}"))
}
