//! What may start now: a pure question to the graph and to what is known.

use crate::plan::graph::Graph;

/// Where a stage stands for the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Not begun.
    Waiting,
    /// At work.
    Running,
    /// Done.
    Done,
    /// Ended otherwise: what depends on it never starts.
    Ended,
}

/// Stages that may start: waiting, and all their needs are done. In schedule order.
pub fn ready(graph: &Graph, states: &[Ready]) -> Vec<usize> {
    graph
        .order()
        .iter()
        .copied()
        .filter(|i| states[*i] == Ready::Waiting)
        .filter(|i| graph.needs(*i).iter().all(|need| states[*need] == Ready::Done))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stage_stops_what_depends_on_it_and_nothing_else() {
        // 0 -> 1 -> 2, and 3 alone.
        let graph = Graph::build(&[vec![], vec![0], vec![1], vec![]]).expect("acyclic");
        assert_eq!(ready(&graph, &[Ready::Waiting; 4]), [0, 3]);
        assert_eq!(ready(&graph, &[Ready::Done, Ready::Ended, Ready::Waiting, Ready::Waiting]), [3]);
        assert_eq!(ready(&graph, &[Ready::Done, Ready::Done, Ready::Waiting, Ready::Running]), [2]);
    }
}
