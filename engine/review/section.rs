//! What there is in a plan that can change, in the order in which a reviewer looks, and its words.

/// What a fact is about, in the order in which a reviewer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Never,
    Gate,
    Target,
    On,
    Kind,
    Writes,
    Alters,
    Ignore,
    Stage,
    Guard,
    Ensure,
    DoneWhen,
    Batch,
    Proof,
    Reject,
    Sql,
    Probe,
    Rollback,
    Allow,
    Lint,
    Needs,
    Setting,
    Timeout,
    Reason,
    Var,
    Retry,
    Doc,
}

impl Section {
    /// One of it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Section::Never => "never",
            Section::Gate => "gate",
            Section::Target => "target",
            Section::On => "stage's target",
            Section::Kind => "kind",
            Section::Writes => "write bound",
            Section::Alters => "alters",
            Section::Ignore => "ignored column",
            Section::Stage => "stage",
            Section::Guard => "guard",
            Section::Ensure => "ensure",
            Section::DoneWhen => "done_when",
            Section::Batch => "batch",
            Section::Proof => "proof",
            Section::Reject => "reject",
            Section::Sql => "rendered SQL",
            Section::Probe => "probe",
            Section::Rollback => "rollback",
            Section::Allow => "allowed finding",
            Section::Lint => "finding of the linter",
            Section::Needs => "needs",
            Section::Setting => "setting",
            Section::Timeout => "time-out",
            Section::Reason => "reason",
            Section::Var => "variable",
            Section::Retry => "retry",
            Section::Doc => "doc",
        }
    }

    /// So many of it, none of which changed; `None`: not worth a word.
    pub(super) fn counted(self, count: usize) -> Option<&'static str> {
        let (one, many) = match self {
            Section::Never => ("table of `never`", "tables of `never`"),
            Section::Gate => ("gate", "gates"),
            Section::Target => ("target", "targets"),
            Section::Writes => ("write bound", "write bounds"),
            Section::Alters => ("entry of `alters`", "entries of `alters`"),
            Section::Guard => ("guard", "guards"),
            Section::Ensure => ("ensure", "ensures"),
            Section::Proof => ("proof", "proofs"),
            Section::Reject => ("case of rejects", "cases of rejects"),
            Section::Sql => ("rendering", "renderings"),
            Section::Probe => ("probe", "probes"),
            Section::Rollback => ("rollback", "rollbacks"),
            Section::Needs => ("need", "needs"),
            _ => return None,
        };
        Some(if count == 1 { one } else { many })
    }
}
