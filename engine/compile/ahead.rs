//! Parses the SQL of all stages before they are compiled, so that two threads can share the work: see `Ahead`. What comes of
//! it is only remembered; whatever is wrong is said when its stage is compiled.

use super::{Ahead, Given};
use crate::diag::Source;
use crate::plan::keys::{Leaf, LeafValue};
use crate::plan::{Plan, Stage};
use crate::render::Renderer;
use crate::sql::Where;
use std::collections::BTreeMap;

pub(super) fn parse(plan: &Plan, renderer: &Renderer, given: &Given) {
    let one = |stage: &Stage| of(stage, renderer, given);
    match given.ahead {
        Ahead::Not => {}
        Ahead::FromFirst => plan.stages.iter().for_each(one),
        Ahead::FromLast => plan.stages.iter().rev().for_each(one),
    }
}

fn of(stage: &Stage, renderer: &Renderer, given: &Given) {
    for guard in &stage.guards {
        drop(given.known.predicate(&guard.text.value, &guard.text.place));
    }
    let leaves = stage.body.leaves();
    let alone = leaves.iter().any(|leaf| leaf.path == ["transaction"] && leaf.value.line() == "false");
    let at = if alone { Where::Alone } else { Where::Clone };
    for Leaf { path, value, place, .. } in &leaves {
        let LeafValue::Text(text) = value else { continue };
        match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["ensure", _] | ["done_when"] => drop(given.known.predicate(text, place)),
            ["file" | "rollback"] => {
                if let Ok(rendered) = renderer.file(text, place, &BTreeMap::new()) {
                    drop(given.known.check(&Source::new("", rendered.text), at));
                }
            }
            _ => {}
        }
    }
}
