//! Time: binding targets, scheduling, signals, the life of a run. The only room that spawns.
//!
//! `start` begins a new run, `resume` continues one from its journal; both end in `drive`, which is the same machine
//! with more or less history. `rollback` goes back over stages of a run on its clone. Nothing here prints: lines go to the sink, hints to the progress listener.

mod anchors;
pub mod bind;
mod changed;
mod committed;
mod differs;
mod dispose;
mod drive;
mod life;
mod rebound;
mod rollback;
mod schedule;
mod sensitive;
mod signals;

pub use anchors::{Answer, ask};
pub use bind::{Binding, bind};
pub use dispose::{Disposed, Fate, Old, drop_clones, drop_golden, gc};
pub use drive::Outcome;
pub use life::{Ended, Options, Resumption, resume, start};
pub use rollback::rollback;
pub use schedule::{Ready, Schedule};
pub use signals::{Cut, until_at_work};
