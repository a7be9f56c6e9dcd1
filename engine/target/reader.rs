//! Reading a target: READ ONLY transactions and nothing else.

use super::connect::Door;
use super::powers::Confined;
use super::stall::{Flight, Flights, Readers, Watched};
use super::tx::{Isolation, Tx};
use crate::event::{Failure, Identity};
use std::sync::Arc;

/// Read access to one target.
#[derive(Clone, Debug)]
pub struct Reader {
    door: Door,
    flights: Flights,
}

impl Reader {
    /// Reads through `door`.
    pub fn new(door: Door) -> Reader {
        Reader { door, flights: Flights::default() }
    }

    /// The same for the stage at work, which is told who holds a statement of its own up.
    #[must_use]
    pub(super) fn of_stage(&self) -> Reader {
        let reader = Reader::new(self.door.clone());
        Readers::add(|| Watched::new(&reader.door, &reader.flights));
        reader
    }

    /// From here on statements of that backend are told.
    pub(super) fn flight(&self, pid: i32) -> Arc<Flight> {
        let flight = Flight::of(pid);
        self.flights.add(&flight);
        flight
    }

    /// The same, and from now on each new connection must find that its role can do no more than this.
    #[must_use]
    pub fn confined(mut self, to: Confined) -> Reader {
        self.door.confined = Some(Arc::new(to));
        self
    }

    /// The same, and from now on each new connection must lead to the database that this is.
    #[must_use]
    pub fn bound_to(self, identity: &Identity) -> Reader {
        Reader { door: self.door.bound_to(identity), ..self }
    }

    /// Begins a READ ONLY transaction for a named purpose.
    ///
    /// # Errors
    /// Cannot connect (75 or 1), or the server's.
    pub async fn begin(&self, purpose: &str, isolation: Isolation) -> Result<Tx, Failure> {
        let mut tx = Tx::read_only(&self.door, purpose, isolation).await?;
        if let Some(pid) = tx.pid() {
            tx.told_to(self.flight(pid));
        }
        Ok(tx)
    }

    /// Who and where we are.
    ///
    /// # Errors
    /// As `begin`.
    pub async fn identity(&self) -> Result<Identity, Failure> {
        let tx = self.begin("who is there", Isolation::Snapshot).await?;
        let identity = super::identity::identify(&tx).await?;
        tx.finish().await?;
        Ok(identity)
    }

    /// The door, for children such as `pg_dump`.
    pub fn door(&self) -> &Door {
        &self.door
    }
}
