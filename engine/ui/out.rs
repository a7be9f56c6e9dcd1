//! Standard output: what cannot be written there is said once, and is no success.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Something could not be written, such as on a full disk.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);

/// Is something of what was printed not there?
pub fn is_unwritten() -> bool {
    UNWRITTEN.load(Ordering::Relaxed)
}

/// Prints; a reader that went away is no error of ours. `but` goes on what is said when it cannot be written, or is empty.
pub fn print(text: &str, but: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = write!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
        && !UNWRITTEN.swap(true, Ordering::Relaxed)
    {
        let _ = writeln!(std::io::stderr().lock(), "failed: standard output cannot be written: {error}{but}");
    }
}
