//! Where names without a schema, and operators, are looked up: in the plan's path for what the plan says, among the
//! system's alone for what the engine says.
//!
//! `pg_catalog` comes first in any path, but that does not help: an operator of the plan's schemas that fits exactly is
//! taken before one of the system that needs a cast, such as `numeric = integer` or `name ~ 'text'`. Somebody's operator
//! must neither make a guard true nor hide a table from being counted.

use std::sync::atomic::{AtomicU8, Ordering};

/// Who says a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// The engine: only what the system brings is found.
    Engine,
    /// The plan: its `search_path` is searched.
    Plan,
}

/// The path of the engine's own statements.
const ENGINE: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// The path of one transaction, changed only when somebody else has the word.
#[derive(Debug)]
pub(super) struct Path {
    plan: String,
    /// 0: not known, 1: the engine's, 2: the plan's.
    now: AtomicU8,
}

impl Path {
    pub(super) fn new(plan: &str) -> Path {
        Path { plan: plan.to_owned(), now: AtomicU8::new(0) }
    }

    /// What must be sent first, if anything.
    pub(super) fn change(&self, says: Says) -> Option<String> {
        let wanted = number(says);
        if self.now.load(Ordering::Relaxed) == wanted {
            return None;
        }
        Some(match says {
            Says::Engine => ENGINE.to_owned(),
            // A list: SET would take a constant for one name.
            Says::Plan => {
                let path = self.plan.replace('\'', "''");
                format!("SELECT pg_catalog.set_config('search_path', '{path}', true)")
            }
        })
    }

    /// It was sent.
    pub(super) fn is(&self, says: Says) {
        self.now.store(number(says), Ordering::Relaxed);
    }

    /// BEGIN, ROLLBACK TO and their kin were sent: it may be another one by now.
    pub(super) fn unknown(&self) {
        self.now.store(0, Ordering::Relaxed);
    }
}

fn number(says: Says) -> u8 {
    match says {
        Says::Engine => 1,
        Says::Plan => 2,
    }
}
