//! What integration tests share: `mod support;`, then [`Bench`].
//!
//! One server a test binary, started by the first test that needs it and gone when the process is, in any way.
//! A test has its own production, copied from a loaded sample, its own clone name and its own working folder.
//! Roles belong to the server and so to all tests: never alter one.

// Every test binary compiles this and uses a part of it.
#![allow(dead_code, unused_imports)]

mod bench;
mod cloned;
mod end;
mod fake;
mod gate;
mod mini;
mod own;
mod proxy;
mod run;
mod server;
mod stopped;
mod tcp;
mod team;
mod witness;

pub use bench::{Bench, Outcome};
pub use cloned::{METHODS, PLAN, objects_of, rows_of, unlike};
pub use end::{End, end};
pub use fake::{Answer, Fake, SSL_REQUEST};
pub use gate::Gate;
pub use mini::{MINI, MINI_ROLLOUT, to_the_packet, to_the_rehearsal};
pub use own::OwnServer;
pub use proxy::{Does, Proxy, Spot};
pub use run::{Journal, MAIN_JOB, ROLLOUT, Running, copy, files, undone};
pub use server::{fail, server};
pub use stopped::{Farewell, PROMISED, ended, ended_after, in_time, log_tells, send, signal_to};
pub use tcp::{Authority, Issued, PASSWORD, TcpServer, through, write};
pub use team::KEEPER;
pub use witness::{Session, assert_same, dump, session_to};
