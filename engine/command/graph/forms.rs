//! The graph as text. Names of stages are plain words; those that a language keeps for itself (`end`, `graph`) stand behind
//! a prefix or in quotes.

use super::picture::{Mark, Picture};

/// One line a stage: what became of it, number, name, what it does, after what.
pub(super) fn text(picture: &Picture) -> String {
    let width = |of: fn(&super::picture::Node) -> &str| picture.nodes.iter().map(|n| of(n).len()).max().unwrap_or(0);
    let (names, does) = (width(|node| &node.name), width(|node| &node.does));
    let line = |(at, node): (usize, &super::picture::Node)| {
        let needs: Vec<String> = picture
            .needs(at)
            .map(|(name, mark)| match mark {
                // A need that goes with its stage is no news.
                Mark::Added | Mark::Removed if mark != node.mark => format!("{}{name}", mark.sign()),
                _ => name.to_owned(),
            })
            .collect();
        let needs = if needs.is_empty() { String::new() } else { format!("  after {}", needs.join(", ")) };
        let sign = if picture.compared { format!("{} ", node.mark.sign()) } else { String::new() };
        let line = format!("{sign}{:>3} {:<names$}  {:<does$}{needs}", at + 1, node.name, node.does);
        format!("{}\n", line.trim_end())
    };
    let lines: String = picture.nodes.iter().enumerate().map(line).collect();
    if !picture.compared {
        return lines;
    }
    let legend: Vec<String> = Mark::SEEN.iter().map(|mark| format!("{} {}", mark.sign(), mark.word())).collect();
    let remark = picture.remark().map(|(mark, words)| format!("{} {words}\n", mark.sign())).unwrap_or_default();
    format!("{lines}{remark}\n{}\n", legend.join("   "))
}

/// Mermaid.
pub(super) fn mermaid(picture: &Picture) -> String {
    let node = |node: &super::picture::Node| {
        let class = if node.mark == Mark::Same { String::new() } else { format!(":::{}", node.mark.word()) };
        // Behind the name: a label that begins with a sign would be a list.
        let sign = if node.mark == Mark::Same { String::new() } else { format!(" ({})", node.mark.word()) };
        format!("    s_{}[\"{}{sign}<br/>{}\"]{class}\n", node.name, node.name, node.does)
    };
    let name = |at: usize| picture.nodes[at].name.as_str();
    let edge = |(from, to, mark): &(usize, usize, Mark)| {
        let arrow = match mark {
            Mark::Added => "==>",
            Mark::Removed => "-.->",
            _ => "-->",
        };
        format!("    s_{} {arrow} s_{}\n", name(*from), name(*to))
    };
    let nodes: String = picture.nodes.iter().map(node).collect();
    let edges: String = picture.edges.iter().map(edge).collect();
    let class = |mark: &Mark| {
        let (fill, line) = mark.colours();
        let dashes = if *mark == Mark::Removed { ",stroke-dasharray:4" } else { "" };
        format!("    classDef {} fill:{fill},stroke:{line},color:#000000{dashes}\n", mark.word())
    };
    let remark = picture.remark();
    let beside =
        remark.as_ref().map(|(mark, words)| format!("    beside[\"{} {words}\"]:::{}\n", mark.sign(), mark.word()));
    let beside = beside.unwrap_or_default();
    let is_seen = |mark: &Mark| {
        picture.nodes.iter().any(|node| node.mark == *mark) || remark.as_ref().is_some_and(|(m, _)| m == mark)
    };
    let seen = Mark::SEEN.iter().filter(|mark| is_seen(mark));
    let classes: String = seen.map(class).collect();
    format!("graph TD\n{nodes}{beside}{edges}{classes}")
}

/// Graphviz.
pub(super) fn dot(picture: &Picture) -> String {
    let node = |node: &super::picture::Node| {
        let (fill, line) = node.mark.colours();
        let style = if node.mark == Mark::Removed { "filled,dashed" } else { "filled" };
        let look = if picture.compared {
            format!(", style=\"{style}\", fillcolor=\"{fill}\", color=\"{line}\"")
        } else {
            String::new()
        };
        format!("    \"{}\" [label=\"{}\\n{}\"{look}];\n", node.name, node.name, node.does)
    };
    let beside = picture.remark().map(|(mark, words)| {
        let (fill, line) = mark.colours();
        format!("    \"beside the stages\" [label=\"{} {words}\", style=\"filled\", fillcolor=\"{fill}\", color=\"{line}\"];\n", mark.sign())
    });
    let beside = beside.unwrap_or_default();
    let name = |at: usize| picture.nodes[at].name.as_str();
    let edge = |(from, to, mark): &(usize, usize, Mark)| {
        let look = match mark {
            Mark::Added => format!(" [color=\"{}\", penwidth=2]", mark.colours().1),
            Mark::Removed => format!(" [color=\"{}\", style=dashed]", mark.colours().1),
            _ => String::new(),
        };
        format!("    \"{}\" -> \"{}\"{look};\n", name(*from), name(*to))
    };
    let nodes: String = picture.nodes.iter().map(node).collect();
    let edges: String = picture.edges.iter().map(edge).collect();
    format!("digraph \"{}\" {{\n    node [shape=box];\n{nodes}{beside}{edges}}}\n", picture.title)
}
