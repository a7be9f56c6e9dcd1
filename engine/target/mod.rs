//! The door to PostgreSQL: connecting, who may do what, transactions, identity. The only room that knows the driver.
//!
//! `Reader` comes from a read target and can open READ ONLY transactions, nothing else. `Writer` exists for a
//! write target only and, for a clone, every one of its connections has proven that it is that clone.
//! `Maker` creates, marks, copies and drops clones. All of them lend a `Tx`, a transaction one may ask;
//! only `WriteTx` can execute statements. COMMIT is sent once and never retried. `Streamer` and `Loader` move rows in
//! bulk, out of a reader and into a database that is being made. `Lookout` asks who holds a statement up.

mod alone;
mod asked;
mod at_work;
mod bound;
mod connect;
mod copy_out;
mod dispose;
mod distrust;
mod fault;
mod held;
mod identity;
mod ledger;
mod maker;
mod names;
mod powers;
mod prepared;
mod reader;
mod sensitive;
mod stall;
mod tls;
mod tx;
mod url;
mod wire;
mod writer;

pub use alone::Alone;
pub use at_work::{AtWork, cancel_all, end_begins};
pub use bound::{Called, CloneTarget, Live, Plain, Targets};
pub use connect::{Door, Settings, lets_go};
pub use dispose::Ours;
pub use fault::RETRYABLE;
pub use held::RunLock;
pub use identity::{Expected, identify, secured};
pub use ledger::{Answer, Ledger, Value, unanswered_for};
pub use maker::{Doors, Found, GOLDEN, Locale, Maker, NewDatabase};
pub use names::Says;
pub use powers::{Confined, Grade, Power, Remedy, Unseen, powers, statements, told, unseen};
pub use reader::Reader;
pub use sensitive::Sensitive;
pub use stall::{Holding, InFlight, Lookout, Readers, Stall, Watched};
pub use tx::{Isolation, Tx};
pub use url::{Url, lend};
pub use wire::{Canceller, Loader, Piece, Streamer};
pub use writer::{CommitOutcome, WriteTx, Writer, of_run};

pub use crate::event::{Identity, Marker, TxRecord};
pub use tokio_postgres::Row;
pub use tokio_postgres::types::ToSql;
