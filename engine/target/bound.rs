//! Targets that were reached: production-like ones to read, clones to write, and the clone that is alive now.

use super::connect::{Door, Settings};
use super::identity::Expected;
use super::{Maker, Reader, Url, Writer};
use crate::event::{Exit, Failure, Identity};
use std::collections::BTreeMap;
use std::sync::RwLock;

/// All targets of a run.
#[derive(Debug, Default)]
pub struct Targets {
    /// Targets that are no clones.
    pub plain: BTreeMap<String, Plain>,
    /// Clones, made or not yet.
    pub clones: BTreeMap<String, CloneTarget>,
}

/// A target that is no clone.
#[derive(Debug)]
pub struct Plain {
    /// Reads it. Also where `pg_dump` connects.
    pub reader: Reader,
    /// Writes it: only where the plan says `access = "write"`, for a rollout.
    pub writer: Option<Writer>,
    /// Who it was when it was bound.
    pub identity: Identity,
}

/// A clone's doors.
#[derive(Debug)]
pub struct CloneTarget {
    /// Name of the target it is a clone of.
    pub source: String,
    /// The database's name.
    pub database: String,
    /// How long it may live.
    pub expires: Option<std::time::Duration>,
    /// The database it is branched from, if any.
    pub golden: Option<String>,
    /// Creates, loads, copies and drops it.
    pub maker: Maker,
    /// The role that runs the stages.
    pub stage_role: String,
    /// The role that owns what is in it.
    pub owner_role: String,
    url: Url,
    settings: Settings,
    live: RwLock<Option<Live>>,
}

/// How a clone is called, and of what.
#[derive(Clone, Debug)]
pub struct Called {
    /// Name of the target it is a clone of.
    pub source: String,
    /// The database's name.
    pub database: String,
    /// How long it may live.
    pub expires: Option<std::time::Duration>,
    /// The database it is branched from, if any.
    pub golden: Option<String>,
}

/// A clone that exists, with doors whose every session proves that it is this one.
#[derive(Clone, Debug)]
pub struct Live {
    /// Reads.
    pub reader: Reader,
    /// Writes.
    pub writer: Writer,
    /// What each session proves.
    pub expected: Expected,
}

impl Live {
    /// The same doors; only the writer's own sessions are `watched`.
    #[must_use]
    pub fn apart(mut self) -> Live {
        self.writer = self.writer.apart();
        self
    }
}

impl Targets {
    /// A target that is no clone.
    ///
    /// # Errors
    /// Not bound: a bug, since `compile` resolved the name.
    pub fn plain(&self, name: &str) -> Result<&Plain, Failure> {
        self.plain.get(name).ok_or_else(|| unbound(name))
    }

    /// A clone.
    ///
    /// # Errors
    /// As `plain`.
    pub fn clone_target(&self, name: &str) -> Result<&CloneTarget, Failure> {
        self.clones.get(name).ok_or_else(|| unbound(name))
    }

    /// A reader of either sort; a clone that is not made yet has none.
    ///
    /// # Errors
    /// The clone is not there yet.
    pub fn reader(&self, name: &str) -> Result<Reader, Failure> {
        match self.plain.get(name) {
            Some(plain) => Ok(plain.reader.of_stage()),
            None => Ok(self.clone_target(name)?.live()?.reader),
        }
    }

    /// Is it a clone?
    pub fn is_clone(&self, name: &str) -> bool {
        self.clones.contains_key(name)
    }
}

impl CloneTarget {
    /// Prepares the doors of a clone that need not exist yet. `roles`: who runs the stages, who owns what is in it.
    pub fn new(called: Called, maker: Maker, roles: (String, String), door: (Url, Settings)) -> CloneTarget {
        let Called { source, database, expires, golden } = called;
        let (stage_role, owner_role) = roles;
        let (url, settings) = door;
        let live = RwLock::new(None);
        CloneTarget { source, database, expires, golden, maker, stage_role, owner_role, url, settings, live }
    }

    /// The clone's doors.
    ///
    /// # Errors
    /// It is not made yet.
    pub fn live(&self) -> Result<Live, Failure> {
        let live = self.live.read().expect("invariant: no holder of this lock panics");
        live.clone()
            .map(|live| Live { reader: live.reader.of_stage(), ..live })
            .ok_or_else(|| Failure::new(Exit::WrongDatabase, format!("the clone `{}` is not there yet", self.database)))
    }

    /// Doors to any database this run has made (the clone itself, or a copy of it).
    ///
    /// # Errors
    /// The connection string cannot be understood.
    pub fn doors(&self, expected: &Expected) -> Result<Live, Failure> {
        let door = |read_only: bool| {
            let settings = Settings { read_only, ..self.settings.clone() };
            Ok::<_, Failure>(
                Door::new(&self.database, &self.url, Some(&expected.database), &settings)?.expecting(expected.clone()),
            )
        };
        Ok(Live {
            reader: Reader::new(door(true)?).of_stage(),
            writer: Writer::to_clone(door(false)?)?,
            expected: expected.clone(),
        })
    }

    /// The clone is there: from now on its doors are open.
    ///
    /// # Errors
    /// As `doors`.
    pub fn came_alive(&self, expected: &Expected) -> Result<(), Failure> {
        let doors = self.doors(expected)?;
        *self.live.write().expect("invariant: no holder of this lock panics") = Some(doors);
        Ok(())
    }

    /// Ends all sessions of the clone's pools (before a TEMPLATE copy); `came_alive` opens them again.
    pub fn close_doors(&self) {
        let mut live = self.live.write().expect("invariant: no holder of this lock panics");
        if let Some(doors) = live.take() {
            doors.reader.door().close();
            doors.writer.close();
        }
    }
}

fn unbound(name: &str) -> Failure {
    Failure::new(Exit::Io, format!("a bug of the engine: target `{name}` was not bound"))
}
