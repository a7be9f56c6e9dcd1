//! Rows in bulk: binary COPY out of a snapshot by several sessions, hashed where they arrive, and on into another
//! database if wanted. Big tables are taken in ranges of pages, largest first, from one queue.

mod chunks;
mod crew;
mod rows;
mod sift;
mod spool;
mod transfer;

pub use chunks::{Source, Split, workers};
pub use crew::{Crew, Moved};
pub use sift::{Sieve, Sifted};
pub use spool::{Returned, Spool};
pub use transfer::{Into, Loads};
