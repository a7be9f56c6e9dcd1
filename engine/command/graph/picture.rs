//! What is drawn, whatever it is drawn as: stages and needs, and what became of each.

use crate::compile::Workflow;
use crate::review::{Class, Review, Risk};
use std::collections::{BTreeMap, BTreeSet};

/// What became of a stage or a need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// As it was; also where there is nothing to compare with.
    Same,
    /// It means something else, and no risk is raised.
    Changed,
    /// Something about it raises the risk.
    Riskier,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
}

impl Mark {
    /// All that can be seen of a comparison, with the sign, the word and the fill of each.
    pub(super) const SEEN: [Mark; 4] = [Mark::Riskier, Mark::Changed, Mark::Added, Mark::Removed];

    /// One character, as `diff` writes it.
    pub(super) fn sign(self) -> char {
        match self {
            Mark::Same => ' ',
            Mark::Changed => '~',
            Mark::Riskier => '!',
            Mark::Added => '+',
            Mark::Removed => '-',
        }
    }

    /// For the legend, and as a class.
    pub(super) fn word(self) -> &'static str {
        match self {
            Mark::Same => "same",
            Mark::Changed => "changed",
            Mark::Riskier => "riskier",
            Mark::Added => "added",
            Mark::Removed => "removed",
        }
    }

    /// Fill and line, as `#rrggbb`: told apart by those who see no red or no green, too.
    pub(super) fn colours(self) -> (&'static str, &'static str) {
        match self {
            Mark::Same => ("#ffffff", "#333333"),
            Mark::Changed => ("#fff3bf", "#8a6d00"),
            Mark::Riskier => ("#ffc9c9", "#c92a2a"),
            Mark::Added => ("#d0ebff", "#1864ab"),
            Mark::Removed => ("#e9ecef", "#868e96"),
        }
    }
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: String,
    /// Kind, and where it works.
    pub(super) does: String,
    pub(super) mark: Mark,
}

/// Stages in an order in which they may start, those that are gone last; and needs, from what is needed to what needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) title: String,
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<(usize, usize, Mark)>,
    /// There was something to compare with.
    pub(super) compared: bool,
    /// Findings that belong to no stage, such as a gate's, and whether one of them raises the risk.
    pub(super) beside: (usize, bool),
}

impl Picture {
    /// A plan as it is.
    pub(super) fn of(workflow: &Workflow) -> Picture {
        Picture::between(None, Some(workflow), &BTreeMap::new(), None)
    }

    /// A plan beside what it was.
    pub(super) fn beside(before: Option<&Workflow>, after: Option<&Workflow>, review: &Review) -> Picture {
        let mut risks: BTreeMap<&str, Risk> = BTreeMap::new();
        for finding in &review.findings {
            let stage = finding.stage.as_deref().filter(|_| finding.risk != Risk::None);
            if let Some(stage) = stage {
                let worst = risks.entry(stage).or_insert(finding.risk);
                *worst = (*worst).min(finding.risk);
            }
        }
        let stageless = review.findings.iter().filter(|finding| finding.stage.is_none() && finding.risk != Risk::None);
        let beside = stageless.fold((0, false), |(count, risky), f| (count + 1, risky || f.risk == Risk::Raised));
        let renamed = review.findings.iter().filter(|finding| finding.class == Class::Renamed);
        let names: BTreeMap<&str, &str> =
            renamed.filter_map(|f| Some((f.old.as_deref()?, f.new.as_deref()?))).collect();
        Picture { beside, ..Picture::between(before, after, &risks, Some(&names)) }
    }

    fn between(
        before: Option<&Workflow>,
        after: Option<&Workflow>,
        risks: &BTreeMap<&str, Risk>,
        names: Option<&BTreeMap<&str, &str>>,
    ) -> Picture {
        let compared = names.is_some();
        // What only has another name is there on both sides.
        let now = |name| names.and_then(|names| names.get(name)).copied().unwrap_or(name);
        let (old, new) = (before.map(stages).unwrap_or_default(), after.map(stages).unwrap_or_default());
        let old: Vec<(&str, String)> = old.into_iter().map(|(name, does)| (now(name), does)).collect();
        let was: BTreeSet<&str> = old.iter().map(|(name, _)| *name).collect();
        let is: BTreeSet<&str> = new.iter().map(|(name, _)| *name).collect();
        let kept = |name: &str| match risks.get(name) {
            Some(Risk::Raised) => Mark::Riskier,
            Some(_) => Mark::Changed,
            None => Mark::Same,
        };
        let there = new.iter().map(|(name, does)| {
            let mark = if !compared || was.contains(name) { kept(name) } else { Mark::Added };
            Node { name: (*name).to_owned(), does: does.clone(), mark }
        });
        let gone = old.iter().filter(|(name, _)| !is.contains(name));
        let gone = gone.map(|(name, does)| Node { name: (*name).to_owned(), does: does.clone(), mark: Mark::Removed });
        let nodes: Vec<Node> = there.chain(gone).collect();
        let at: BTreeMap<&str, usize> = nodes.iter().enumerate().map(|(at, node)| (node.name.as_str(), at)).collect();
        let (had, has) = (before.map(needs).unwrap_or_default(), after.map(needs).unwrap_or_default());
        let had: BTreeSet<(&str, &str)> = had.into_iter().map(|(from, to)| (now(from), now(to))).collect();
        let mut edges: Vec<(usize, usize, Mark)> = has
            .union(&had)
            .map(|(from, to)| {
                let mark = match (had.contains(&(*from, *to)), has.contains(&(*from, *to))) {
                    (false, _) if compared => Mark::Added,
                    (_, false) => Mark::Removed,
                    _ => Mark::Same,
                };
                (at[from], at[to], mark)
            })
            .collect();
        edges.sort_by_key(|(from, to, _)| (*to, *from));
        let title = after.or(before).map(|workflow| workflow.plan.name.clone()).unwrap_or_default();
        Picture { title, nodes, edges, compared, beside: (0, false) }
    }

    /// What no stage shows: a gate, `never`, a probe or a default that changed.
    pub(super) fn remark(&self) -> Option<(Mark, String)> {
        let (count, risky) = self.beside;
        let plural = if count == 1 { "" } else { "s" };
        let mark = if risky { Mark::Riskier } else { Mark::Changed };
        (count > 0).then(|| (mark, format!("{count} finding{plural} beside the stages, see engine diff")))
    }

    /// Names of what a stage needs, with what became of each need.
    pub(super) fn needs(&self, stage: usize) -> impl Iterator<Item = (&str, Mark)> {
        self.edges
            .iter()
            .filter(move |(_, to, _)| *to == stage)
            .map(|(from, _, mark)| (self.nodes[*from].name.as_str(), *mark))
    }
}

/// Names and what they do, in the order in which they may start.
fn stages(workflow: &Workflow) -> Vec<(&str, String)> {
    let of = |index: &usize| {
        let head = workflow.stages[*index].head();
        let on = head.on.as_deref().map(|on| format!(" on {on}")).unwrap_or_default();
        (workflow.plan.stages[*index].name.value.as_str(), format!("{}{on}", head.kind))
    };
    workflow.plan.graph.order().iter().map(of).collect()
}

fn needs(workflow: &Workflow) -> BTreeSet<(&str, &str)> {
    let plan = &workflow.plan;
    let name = |index: usize| plan.stages[index].name.value.as_str();
    plan.graph
        .order()
        .iter()
        .flat_map(|i| plan.graph.needs(*i).iter().map(move |need| (name(*need), name(*i))))
        .collect()
}
