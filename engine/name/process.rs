//! What this process is called where others look: in lock files, and in the server's list of sessions.

/// This machine's name, for people who look for the process.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// `pid 7 on db1`.
pub fn by() -> String {
    format!("pid {} on {}", std::process::id(), host())
}

/// Of a session that works for a verb or a run, `engine WORD pid 7 on db1`, in the 63 bytes that the server keeps.
pub fn of(word: &str) -> String {
    let name = format!("engine {word} {}", by());
    name.get(..63).unwrap_or(&name).to_owned()
}

/// Of a session that belongs to no run in particular: `engine pid 7 on db1`.
pub fn session() -> String {
    format!("engine {}", by())
}
