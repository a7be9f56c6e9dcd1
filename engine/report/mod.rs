//! Renderings of events: verdicts, the dossier, one page per stage. No database, no terminal, no clock.

pub mod decision;
pub mod dossier;
pub mod page;
pub mod table;
