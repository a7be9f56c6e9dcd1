//! `graph PLAN`: the DAG as text, Mermaid or DOT.

use super::{PlanArgs, compiled, print};
use crate::compile::Workflow;
use crate::event::{Exit, Failure};

/// What the graph is drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One line a stage.
    Text,
    /// Mermaid.
    Mermaid,
    /// Graphviz.
    Dot,
}

/// Draws a plan's graph.
///
/// # Errors
/// A variables file that cannot be read.
pub fn run(args: &PlanArgs, form: Form) -> Result<Exit, Failure> {
    match compiled(args, false)? {
        Ok(workflow) => {
            print(&draw(&workflow, form));
            Ok(Exit::Ok)
        }
        Err(exit) => Ok(exit),
    }
}

fn draw(workflow: &Workflow, form: Form) -> String {
    let plan = &workflow.plan;
    let name = |index: usize| plan.stages[index].name.value.as_str();
    let order = plan.graph.order();
    let edges = || order.iter().flat_map(|i| plan.graph.needs(*i).iter().map(move |need| (*need, *i)));
    match form {
        Form::Text => {
            let width = order.iter().map(|i| name(*i).len()).max().unwrap_or(0);
            let line = |(n, i): (usize, &usize)| {
                let needs: Vec<&str> = plan.graph.needs(*i).iter().map(|need| name(*need)).collect();
                let needs = if needs.is_empty() { String::new() } else { format!("  after {}", needs.join(", ")) };
                format!("{:>3} {:<width$}  {:<11}{needs}\n", n + 1, name(*i), workflow.stages[*i].head().kind)
            };
            order.iter().enumerate().map(line).collect()
        }
        Form::Mermaid => {
            let nodes: String = order
                .iter()
                .map(|i| format!("    {}[\"{} ({})\"]\n", name(*i), name(*i), workflow.stages[*i].head().kind))
                .collect();
            let lines: String = edges().map(|(from, to)| format!("    {} --> {}\n", name(from), name(to))).collect();
            format!("graph TD\n{nodes}{lines}")
        }
        Form::Dot => {
            let nodes: String = order
                .iter()
                .map(|i| format!("    {} [label=\"{}\\n{}\"];\n", name(*i), name(*i), workflow.stages[*i].head().kind))
                .collect();
            let lines: String = edges().map(|(from, to)| format!("    {} -> {};\n", name(from), name(to))).collect();
            format!("digraph {} {{\n{nodes}{lines}}}\n", plan.name)
        }
    }
}
