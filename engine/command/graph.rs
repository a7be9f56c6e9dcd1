//! `graph PLAN [--diff OLD]`: the DAG as text, Mermaid, DOT or SVG; with the plan as it was, what became of each stage.

mod forms;
mod picture;
mod svg;

use super::{PlanArgs, compiled, diff, folder, print};
use crate::diag::visible::printable;
use crate::event::{Exit, Failure};
use picture::Picture;

/// What the graph is drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// One line a stage.
    Text,
    /// Mermaid, as GitHub and GitLab draw it.
    Mermaid,
    /// Graphviz.
    Dot,
    /// A picture.
    Svg,
}

/// Draws a plan's graph; beside what it was, if `old` says where that is.
///
/// # Errors
/// A variables file that cannot be read; the old plan is not there.
pub fn run(args: &PlanArgs, form: Form, old: Option<&str>) -> Result<Exit, Failure> {
    folder::one_plan(args, "graph")?;
    let picture = match old {
        None => compiled(args, false)?.map(|workflow| Picture::of(&workflow)),
        Some(old) => diff::against(old, args)?
            .map(|compared| Picture::beside(compared.before.as_ref(), compared.after.as_ref(), &compared.review)),
    };
    Ok(match picture {
        Ok(picture) => {
            print(&match form {
                Form::Text => printable(&forms::text(&picture), &['\n']),
                Form::Mermaid => forms::mermaid(&picture),
                Form::Dot => forms::dot(&picture),
                Form::Svg => svg::draw(&picture),
            });
            Exit::Ok
        }
        Err(exit) => exit,
    })
}
