//! Edits that are layout: lines that moved, were spelled anew, came or went, in plan and templates. They are counted, so that
//! nobody has to believe that there were none; what they mean is in the findings.

use crate::compile::Workflow;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Lines of plan and templates that are not where they were; blank ones do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// The same line, elsewhere.
    pub moved: usize,
    /// Lines of the old side only.
    pub gone: usize,
    /// Lines of the new side only.
    pub come: usize,
    /// Comment lines among those that came or went.
    pub comments: usize,
    /// Templates of the same text under another name.
    pub renamed: usize,
    /// Any byte differs, be it a blank one.
    pub bytes_differ: bool,
}

impl Layout {
    /// Is every byte what it was?
    pub fn is_empty(&self) -> bool {
        !self.bytes_differ
    }

    /// Lines that moved or were spelled anew: a line that came for one that went is one.
    pub fn lines(&self) -> usize {
        self.moved + self.gone.max(self.come)
    }

    fn add(&mut self, old: &str, new: &str) {
        if old == new {
            return;
        }
        self.bytes_differ = true;
        let (old, new) = (numbered(old), numbered(new));
        let place: HashMap<&(&str, usize), usize> = old.iter().enumerate().map(|(at, line)| (line, at)).collect();
        let kept: Vec<usize> = new.iter().filter_map(|line| place.get(line).copied()).collect();
        self.moved += kept.len() - longest_rise(&kept);
        self.gone += old.len() - kept.len();
        self.come += new.len() - kept.len();
        let comments = |lines: &[(&str, usize)]| {
            lines.iter().filter(|(line, _)| line.starts_with('#') || line.starts_with("--")).count()
        };
        let told: HashSet<&(&str, usize)> = new.iter().collect();
        let gone: Vec<_> = old.iter().filter(|line| !told.contains(line)).copied().collect();
        let come: Vec<_> = new.iter().filter(|line| !place.contains_key(line)).copied().collect();
        self.comments += comments(&gone).max(comments(&come));
    }
}

/// Compares the texts of two plans and their templates.
pub(super) fn of(old: Option<&Workflow>, new: Option<&Workflow>) -> Layout {
    let mut layout = Layout::default();
    let (Some(old), Some(new)) = (old, new) else { return layout };
    layout.add(&old.plan.source.text, &new.plan.source.text);
    let (mut before, mut after) = (templates(old), templates(new));
    let names: Vec<&str> = before.keys().filter(|name| after.contains_key(*name)).copied().collect();
    for name in names {
        let (Some(old), Some(new)) = (before.remove(name), after.remove(name)) else { continue };
        layout.add(&old, &new);
    }
    for text in before.into_values() {
        if let Some(name) = after.iter().find(|(_, other)| **other == text).map(|(name, _)| *name) {
            after.remove(name);
            layout.renamed += 1;
        } else {
            layout.add(&text, "");
        }
        layout.bytes_differ = true;
    }
    for text in after.into_values() {
        layout.add("", &text);
        layout.bytes_differ = true;
    }
    layout
}

fn templates(workflow: &Workflow) -> BTreeMap<&str, String> {
    let plan = std::path::Path::new(&workflow.plan.source.path).file_name().map(|name| name.to_string_lossy());
    let files = workflow.files.iter().filter(|(name, _)| plan.as_deref() != Some(name.as_str()));
    files.map(|(name, bytes)| (name.as_str(), String::from_utf8_lossy(bytes).into_owned())).collect()
}

/// Lines that say something, each with how often it stood before: so every one is told from the others.
fn numbered(text: &str) -> Vec<(&str, usize)> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let times = seen.entry(line).or_default();
            *times += 1;
            (line, *times)
        })
        .collect()
}

/// Length of the longest rising row within `places`, none of which stands twice.
fn longest_rise(places: &[usize]) -> usize {
    let mut ends: Vec<usize> = Vec::new();
    for place in places {
        let at = ends.partition_point(|end| end < place);
        if at == ends.len() { ends.push(*place) } else { ends[at] = *place }
    }
    ends.len()
}
