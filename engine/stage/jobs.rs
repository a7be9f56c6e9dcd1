//! `jobs`: how many sessions share a stage's work.

use super::Parse;
use crate::diag::Diagnostic;
use crate::plan::keys::Keys;

/// As many as there are cores.
pub fn available() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(64)
}

/// The key, from 1 to 64; as many as there are cores without it.
pub fn of(keys: &mut Keys, cx: &mut Parse<'_>) -> usize {
    let Some(jobs) = keys.int("jobs", cx.out) else { return available() };
    if let Ok(number @ 1..=64) = usize::try_from(jobs.value) {
        return number;
    }
    cx.out.push(
        Diagnostic::new("out-of-range", format!("`jobs` is {}", jobs.value), jobs.place)
            .label("out of range")
            .help("write a number from 1 to 64"),
    );
    available()
}
