//! What a change of a plan means: two compiled plans become findings, riskiest first. Pure: nothing here reads a file,
//! a database or the clock.
//!
//! `section` lists what can change, `facts` says what a plan holds, address by address, `weigh` what it means that one of
//! them is another now, `owners` that a whole table came or went, `renamed` that a stage only has another name, `order` which stages lost their order, `reach` how far a
//! change goes, `past` what a changed guard would have done to earlier runs, `sealed` which packets of theirs are none of the new plan, `sql` what became of rendered statements,
//! `layout` how many lines only moved. `text`, `markdown` and `json` show the same findings, `comment` as many as fit. Start at `compare`.

mod comment;
mod facts;
mod json;
mod layout;
mod markdown;
mod order;
mod owners;
mod past;
mod reach;
mod renamed;
mod sealed;
mod section;
mod sql;
mod text;
mod weigh;

pub use comment::{Refused, comment, refused};
pub use json::json;
pub use layout::Layout;
pub use markdown::markdown;
pub use past::{Asked, PastRun, look_back, wants_runs};
pub use sealed::{Opened, Outdated, PastPacket};
pub use text::{Paint, text};

use crate::compile::Workflow;
use crate::diag::visible::printable;
use crate::event::Exit;
use facts::Facts;
use sealed::Sealing;
use section::Section;
use serde::Serialize;
use std::collections::BTreeSet;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// More may happen than before, less is checked, or nobody can tell.
    Raised,
    /// Another meaning, and no more risk.
    Differs,
    /// Words for people, or the layout of SQL.
    None,
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It is gone.
    Removed,
    /// It lets more through.
    Loosened,
    /// Another value, or a predicate of which nothing can be decided.
    Changed,
    /// A number or a time went up.
    Raised,
    /// It is new.
    Added,
    /// It lets less through.
    Tightened,
    /// A number or a time went down.
    Lowered,
    /// The same stage under another name.
    Renamed,
    /// Other words, true for the same readings; or SQL that differs in blanks and comments only.
    Reworded,
}

impl Class {
    /// As it is shown.
    pub fn word(self) -> &'static str {
        match self {
            Class::Removed => "removed",
            Class::Loosened => "loosened",
            Class::Changed => "changed",
            Class::Raised => "raised",
            Class::Added => "added",
            Class::Tightened => "tightened",
            Class::Lowered => "lowered",
            Class::Renamed => "renamed",
            Class::Reworded => "reworded",
        }
    }
}

/// One thing that is another now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub risk: Risk,
    /// What became of it.
    pub class: Class,
    /// What it is: `guard`, `write bound`, `rendered SQL`.
    pub what: &'static str,
    /// Its stable address, as in `stage.a_seed.guard.gap_open`.
    pub address: String,
    /// The stage it belongs to.
    pub stage: Option<String>,
    /// As it was; `None`: it was not there.
    pub old: Option<String>,
    /// As it is; `None`: it is not there.
    pub new: Option<String>,
    /// `file:line` of what it was.
    pub old_place: Option<String>,
    /// `file:line` of what it is.
    pub new_place: Option<String>,
    /// What follows from it.
    pub notes: Vec<String>,
    /// A unified diff of its statements.
    pub diff: Option<String>,
    #[serde(skip)]
    section: Section,
    /// What it weighs as: a probe as much as the highest that reads it.
    #[serde(skip)]
    rank: Section,
}

/// How many of something are what they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unchanged {
    /// What.
    pub what: &'static str,
    /// How many in the new plan, all equal to the old one's.
    pub count: usize,
}

/// All that a change of one plan means.
#[derive(Clone, Debug, Serialize)]
pub struct Review {
    /// Name of the plan.
    pub plan: String,
    /// Where the old one is; `None`: there was none.
    pub old: Option<String>,
    /// Where the new one is; `None`: there is none any more.
    pub new: Option<String>,
    /// Stages of the new plan; of the old one when there is no new one.
    pub stages: usize,
    /// Riskiest first.
    pub findings: Vec<Finding>,
    /// Kinds of things of which none changed.
    pub unchanged: Vec<Unchanged>,
    /// Lines that moved or were spelled anew.
    pub layout: Layout,
    /// Beside the findings: approvals that no longer cover it, a stale lock, new warnings.
    pub remarks: Vec<String>,
    /// Packets of earlier runs that are none of the new plan.
    pub packets: Vec<Outdated>,
    /// What both plans would seal.
    #[serde(skip)]
    sealing: Sealing,
    /// Stages that ask gates, and the targets whose gates they ask.
    #[serde(skip)]
    asks: Vec<(String, String)>,
}

impl Review {
    /// Is nothing different, not even the layout?
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty() && self.layout.is_empty()
    }

    /// 21 when the risk is raised, 20 when the meaning differs, else 0.
    pub fn exit(&self) -> Exit {
        match self.findings.first().map(|finding| finding.risk) {
            Some(Risk::Raised) => Exit::RiskRaised,
            Some(_) => Exit::Differs,
            None => Exit::Ok,
        }
    }

    /// The same for people: nothing that a plan or the name of a file says steers a terminal, or is there and cannot be seen.
    fn seen(&self) -> Review {
        let seen = |text: &String| printable(text, &[]);
        let maybe = |text: &Option<String>| text.as_ref().map(seen);
        let finding = |finding: &Finding| Finding {
            address: seen(&finding.address),
            stage: maybe(&finding.stage),
            old: maybe(&finding.old),
            new: maybe(&finding.new),
            old_place: maybe(&finding.old_place),
            new_place: maybe(&finding.new_place),
            notes: finding.notes.iter().map(seen).collect(),
            diff: finding.diff.as_ref().map(|diff| printable(diff, &['\n', '\t'])),
            ..finding.clone()
        };
        Review {
            plan: seen(&self.plan),
            old: maybe(&self.old),
            new: maybe(&self.new),
            findings: self.findings.iter().map(finding).collect(),
            remarks: self.remarks.iter().map(seen).collect(),
            ..self.clone()
        }
    }

    /// Names of the stages that findings belong to, and how many findings belong to none.
    fn touched(&self) -> Vec<&str> {
        let mut stages: Vec<&str> = self.findings.iter().filter_map(|finding| finding.stage.as_deref()).collect();
        stages.sort_unstable();
        stages.dedup();
        stages
    }

    /// Findings of this risk.
    fn of(&self, risk: Risk) -> usize {
        self.findings.iter().filter(|finding| finding.risk == risk).count()
    }
}

/// One side of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Side<'s> {
    /// As people call it: a path, or a revision and a path.
    pub shown: &'s str,
    /// What stands before its paths where its files were put, and what is shown instead.
    pub prefix: (&'s str, &'s str),
    /// The plan; `None`: there is none on this side.
    pub workflow: Option<&'s Workflow>,
}

/// Those of which nothing is to be said, and the others.
pub fn parted(reviews: &[Review]) -> (Vec<&Review>, Vec<&Review>) {
    let silent = |review: &&Review| {
        reviews.len() > 1 && review.findings.is_empty() && review.remarks.is_empty() && review.layout.is_empty()
    };
    reviews.iter().partition(silent)
}

/// One line for all of them; empty for none.
pub fn no_difference(same: &[&Review], name: impl Fn(&str) -> String) -> String {
    if same.is_empty() {
        return String::new();
    }
    let names: Vec<String> = same.iter().map(|review| name(&review.plan)).collect();
    format!("no difference: {}\n", names.join(", "))
}

/// Compares an old plan with a new one.
pub fn compare(old: Side<'_>, new: Side<'_>) -> Review {
    let (mut before, after, layout) = looked_at(&old, &new);
    let names = renamed::carry_over(&mut before, &after);
    let mut findings = renamed::findings(&names, &before, &after);
    findings.extend(owners::findings(&before, &after));
    findings.extend(weigh::findings(&before, &after));
    if let (Some(old), Some(new)) = (old.workflow, new.workflow) {
        order::explain(old, new, &names, &mut findings);
        order::packets((old, new), &names, (&before, &after), &mut findings);
        findings = reach::gather(old, new, &names, findings);
        reach::note(new, &mut findings);
    }
    if old.workflow.is_none() || new.workflow.is_none() {
        // Nobody wrote it.
        let default = |value: &Option<String>| value.as_deref().is_none_or(|path| path == "public");
        findings.retain(|f| f.address != "plan.search_path" || !default(&f.old) || !default(&f.new));
    }
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| (finding.risk, finding.rank, finding.class);
        key(a).cmp(&key(b)).then_with(|| a.address.cmp(&b.address))
    });
    let changed: BTreeSet<Section> = findings.iter().map(|finding| finding.section).collect();
    let shown = new.workflow.or(old.workflow);
    Review {
        plan: shown.map(|workflow| workflow.plan.name.clone()).unwrap_or_default(),
        old: old.workflow.map(|_| old.shown.to_owned()),
        new: new.workflow.map(|_| new.shown.to_owned()),
        stages: shown.map_or(0, |workflow| workflow.stages.len()),
        unchanged: if old.workflow.is_some() {
            after.counts(&before, |section| changed.contains(&section))
        } else {
            Vec::new()
        },
        layout,
        remarks: reach::remarks(old.workflow, new.workflow, &findings),
        packets: Vec::new(),
        sealing: Sealing::of(old.workflow, new.workflow, &findings),
        asks: [old.workflow, new.workflow].into_iter().flatten().flat_map(asking).collect(),
        findings,
    }
}

/// The facts of both sides and what became of the text; of plans with thousands of stages in two threads.
fn looked_at<'s>(old: &Side<'s>, new: &Side<'s>) -> (Facts<'s>, Facts<'s>, Layout) {
    let aside = || (Facts::of(old), layout::of(old.workflow, new.workflow));
    std::thread::scope(|scope| {
        let Ok(thread) = std::thread::Builder::new().spawn_scoped(scope, aside) else {
            let (before, layout) = aside();
            return (before, Facts::of(new), layout);
        };
        let after = Facts::of(new);
        let (before, layout) = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (before, after, layout)
    })
}

/// The stages of a plan that ask gates: packets and rollouts, each with its target.
fn asking(workflow: &Workflow) -> Vec<(String, String)> {
    let asks = workflow.plan.stages.iter().filter(|stage| matches!(stage.kind.value.as_str(), "packet" | "rollout"));
    asks.filter_map(|stage| Some((stage.name.value.clone(), sealed::asks(stage)?))).collect()
}
