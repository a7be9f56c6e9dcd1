//! `engine`: a declarative workflow engine for PostgreSQL, driven by TOML plans. This page is the map.
//!
//! ```text
//! plan.toml -> plan -> compile -> target (bind) -> run -> journal -> event (fold) -> report
//! ```
//!
//! Rooms stand on floors; a room may use rooms on lower floors only, and two on one floor may not use each other.
//! `tests/tidy` reads the sources and enforces it.
//!
//! | floor | rooms |
//! | --- | --- |
//! | 10 | `cli`: clap definitions, exit codes |
//! | 9 | `command`: one file a verb: parse, call, show |
//! | 8 | `run`, `ui`, `sandbox`, `review`: time, the terminal, a throw-away server, what a change of a plan means |
//! | 7 | `compile`: plan and kinds become a workflow |
//! | 6 | `stage`: the kinds, one file each |
//! | 5 | `guard`, `proof`: may it start, did it keep its promise |
//! | 4 | `probe`, `journal`, `fingerprint`: readings, what happened, what is in a database |
//! | 3 | `copy`: rows in bulk, hashed where they pass |
//! | 2 | `target`, `report`: the door to PostgreSQL, renderings of events |
//! | 1 | `plan`, `event`, `render`, `sql`: paper, the vocabulary of what happened, templates, statements |
//! | 0 | `name`, `digest`, `diag`, `clock`, `programs`, `crash`, `aside`: words and tools |
//!
//! Start at `stage` to see what a stage does, at `run` to see how stages become a run.

pub mod aside;
pub mod cli;
pub mod clock;
pub mod command;
pub mod compile;
pub mod copy;
pub mod crash;
pub mod diag;
pub mod digest;
pub mod event;
pub mod fingerprint;
pub mod guard;
pub mod journal;
pub mod name;
pub mod plan;
pub mod probe;
pub mod programs;
pub mod proof;
pub mod render;
pub mod report;
pub mod review;
pub mod run;
pub mod sandbox;
pub mod sql;
pub mod stage;
pub mod target;
pub mod ui;
