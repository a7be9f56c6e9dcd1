//! A throw-away PostgreSQL with the sample production: for `engine sandbox`, `apply --sandbox` and the tests.
//!
//! Start at [`Server::start`], then [`load_sample`]. The server listens on a socket in a private folder and
//! vanishes with this process in any way, `kill -9` included: see `supervisor.sh`. SQL goes in through `psql`;
//! there is no connection here, and nothing here knows plans.

mod account;
mod binaries;
mod place;
mod psql;
mod sample;
mod server;
#[cfg(test)]
mod tests;

pub use binaries::Binaries;
pub use psql::Psql;
pub use sample::{Environment, Sample, load_sample, load_shop};
pub use server::{Options, Server};

use crate::event::{Exit, Failure};

/// An operating system call went wrong while `doing`.
fn io(doing: impl std::fmt::Display, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Io, format!("{doing}: {error}"))
}
