//! Exit codes: how a command says in one number what happened. The table stands in docs/exit-codes.md.

use serde::{Deserialize, Serialize};

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// I/O, credentials or a bug of ours.
    Io = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The plan is invalid.
    PlanInvalid = 10,
    /// The lock is stale.
    LockStale = 11,
    /// Two things that were compared differ.
    Differs = 20,
    /// A change of a plan raises the risk.
    RiskRaised = 21,
    /// Blocked by a guard or gate.
    Blocked = 30,
    /// A guard or gate could not be evaluated.
    NotEvaluable = 31,
    /// A stage failed and was rolled back.
    StageFailed = 40,
    /// An ensure is false.
    EnsureFailed = 41,
    /// A stage wrote or altered more than it declared.
    BoundExceeded = 42,
    /// An expected refusal did not happen.
    NotRefused = 43,
    /// A proof failed.
    ProofFailed = 44,
    /// We changed production.
    ChangedByUs = 45,
    /// Others changed production, under a strict policy.
    ChangedByOthers = 46,
    /// The run ended NO-GO.
    NoGo = 47,
    /// The outcome is unknown: a person is needed.
    Stuck = 50,
    /// Another run holds the target.
    Held = 60,
    /// The plan or its inputs changed since.
    InputsChanged = 62,
    /// Not the database that was meant, or one of that name exists.
    WrongDatabase = 63,
    /// Temporary; nothing was committed.
    Temporary = 75,
    /// SIGHUP, clean.
    HungUp = 129,
    /// SIGINT, clean.
    Interrupted = 130,
    /// SIGTERM, clean.
    Terminated = 143,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The signal that made it.
    pub fn signal(self) -> &'static str {
        match self {
            Exit::HungUp => "SIGHUP",
            Exit::Terminated => "SIGTERM",
            _ => "SIGINT",
        }
    }

    /// The exit of that number.
    pub fn of(code: u8) -> Option<Exit> {
        use Exit::{
            Blocked, BoundExceeded, ChangedByOthers, ChangedByUs, Differs, EnsureFailed, Held, HungUp, InputsChanged,
            Interrupted, Io, LockStale, NoGo, NotEvaluable, NotRefused, Ok, PlanInvalid, ProofFailed, RiskRaised,
            StageFailed, Stuck, Temporary, Terminated, Usage, WrongDatabase,
        };
        let all = [
            Ok,
            Io,
            Usage,
            PlanInvalid,
            LockStale,
            Differs,
            RiskRaised,
            Blocked,
            NotEvaluable,
            StageFailed,
            EnsureFailed,
            BoundExceeded,
            NotRefused,
            ProofFailed,
            ChangedByUs,
            ChangedByOthers,
            NoGo,
            Stuck,
            Held,
            InputsChanged,
            WrongDatabase,
            Temporary,
            HungUp,
            Interrupted,
            Terminated,
        ];
        all.into_iter().find(|exit| exit.code() == code)
    }

    /// Which of two a run ends with: 50, then 45, then the largest below 60, then the others.
    #[must_use]
    pub fn worse(self, other: Exit) -> Exit {
        let rank = |exit: Exit| match exit {
            Exit::Ok => 0,
            Exit::Stuck => 1_000,
            Exit::ChangedByUs => 900,
            other if other.code() < 60 => 300 + u32::from(other.code()),
            other => u32::from(other.code()),
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn stuck_outranks_all_and_changed_by_us_the_rest() {
        let worst = |all: &[Exit]| all.iter().fold(Exit::Ok, |a, b| a.worse(*b));
        assert_eq!(worst(&[Exit::NoGo, Exit::Stuck, Exit::Held]), Exit::Stuck);
        assert_eq!(worst(&[Exit::NoGo, Exit::ChangedByUs]), Exit::ChangedByUs);
        assert_eq!(worst(&[Exit::Blocked, Exit::StageFailed, Exit::Interrupted]), Exit::StageFailed);
        assert_eq!(worst(&[Exit::Ok, Exit::Held]), Exit::Held);
    }
}
