//! What this process is called where others look: in lock files, and in the server's list of sessions.

/// `pid 7 on db1`.
pub fn by() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("pid {} on {host}", std::process::id())
}

/// Of a session that belongs to no run in particular: `engine pid 7 on db1`.
pub fn session() -> String {
    format!("engine {}", by())
}

/// Of a session that works for a run: `engine RUN pid 7 on db1`. The server keeps 63 bytes of it.
pub fn of_run(run: &str) -> String {
    format!("engine {run} {}", by())
}
