//! Crash points: places where a test makes this process vanish, as if somebody had pulled the plug.
//!
//! `ENGINE_CRASH_AT=NAME#N` dies the N-th time that place is reached; `ENGINE_CRASH_LOG=FILE` writes down every place
//! that is. Without the feature `crash-points` none of this is there.

#[cfg(feature = "crash-points")]
mod points {
    use std::collections::BTreeMap;
    use std::io::Write;
    use std::sync::Mutex;

    static REACHED: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

    /// Counts a place, and says whether it is the one to die at.
    pub fn chosen(name: impl FnOnce() -> String) -> bool {
        let at = std::env::var("ENGINE_CRASH_AT").ok();
        let log = std::env::var_os("ENGINE_CRASH_LOG");
        if at.is_none() && log.is_none() {
            return false;
        }
        let name = name();
        let mut reached = REACHED.lock().expect("invariant: counting does not panic");
        let times = reached.entry(name.clone()).or_default();
        *times += 1;
        let place = format!("{name}#{times}");
        if let Some(log) = log {
            let file = std::fs::File::options().append(true).create(true).open(log);
            // A place that is not written down makes the test count too few, which it checks.
            let _ = file.and_then(|mut file| writeln!(file, "{place}"));
        }
        at.is_some_and(|at| at == place)
    }

    /// Dies, and nothing that would tidy up runs.
    pub fn now() -> ! {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }

    /// Dies here, if this is the place.
    pub fn point(name: impl FnOnce() -> String) {
        if chosen(name) {
            now();
        }
    }
}

#[cfg(not(feature = "crash-points"))]
mod points {
    /// Nothing without the feature.
    #[inline]
    pub fn chosen(_: impl FnOnce() -> String) -> bool {
        false
    }

    /// Nothing without the feature.
    #[inline]
    pub fn now() {}

    /// Nothing without the feature.
    #[inline]
    pub fn point(_: impl FnOnce() -> String) {}
}

pub use points::{chosen, now, point};
