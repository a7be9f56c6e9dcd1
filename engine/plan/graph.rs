//! The DAG over the stages of a plan: who needs whom, directly or not.
//!
//! Stages are their indices in file order. An edge goes from a stage to one that needs it. Built once;
//! what lies above a stage is a row of bits, so that "is j above i" is one look for thousands of stages.

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};

/// An acyclic graph of stages.
#[derive(Clone, Debug)]
pub struct Graph {
    dag: DiGraph<usize, ()>,
    needs: Vec<Vec<usize>>,
    dependents: Vec<Vec<usize>>,
    order: Vec<usize>,
    above: Vec<Bits>,
}

/// A set of stages.
#[derive(Clone, Debug)]
struct Bits(Vec<u64>);

impl Bits {
    fn none(count: usize) -> Self {
        Bits(vec![0; count.div_ceil(64)])
    }

    fn add(&mut self, stage: usize) {
        self.0[stage / 64] |= 1 << (stage % 64);
    }

    fn add_all(&mut self, others: &Bits) {
        self.0.iter_mut().zip(&others.0).for_each(|(a, b)| *a |= b);
    }

    fn has(&self, stage: usize) -> bool {
        self.0.get(stage / 64).is_some_and(|word| word >> (stage % 64) & 1 == 1)
    }
}

impl Graph {
    /// Builds the graph; `needs[i]` are the stages that stage `i` needs, each below `needs.len()`.
    ///
    /// # Errors
    /// The stages of a shortest cycle, each needing the next and the last the first.
    pub fn build(needs: &[Vec<usize>]) -> Result<Graph, Vec<usize>> {
        let mut dag = DiGraph::with_capacity(needs.len(), 0);
        let nodes: Vec<NodeIndex> = (0..needs.len()).map(|stage| dag.add_node(stage)).collect();
        let mut dependents = vec![Vec::new(); needs.len()];
        for (stage, above) in needs.iter().enumerate() {
            for need in above {
                dag.add_edge(nodes[*need], nodes[stage], ());
                dependents[*need].push(stage);
            }
        }
        if let Some(cycle) = cycle(&dag, needs) {
            return Err(cycle);
        }
        let order = order(needs, &dependents);
        let above = above(needs, &order);
        Ok(Graph { dag, needs: needs.to_vec(), dependents, order, above })
    }

    /// The graph itself; node weights are stages.
    pub fn dag(&self) -> &DiGraph<usize, ()> {
        &self.dag
    }

    /// All stages, each after all it needs; of those that are ready, the first in the file comes first.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// What a stage needs directly, as written.
    pub fn needs(&self, stage: usize) -> &[usize] {
        &self.needs[stage]
    }

    /// Who needs a stage directly, in file order.
    pub fn dependents(&self, stage: usize) -> &[usize] {
        &self.dependents[stage]
    }

    /// Is `other` among the needs of `stage`, directly or not?
    pub fn upstream(&self, stage: usize, other: usize) -> bool {
        self.above[stage].has(other)
    }

    /// All that a stage needs, directly or not, in the graph's order.
    pub fn all_upstream(&self, stage: usize) -> Vec<usize> {
        self.order.iter().copied().filter(|other| self.upstream(stage, *other)).collect()
    }

    /// All that need a stage, directly or not, in the graph's order.
    pub fn all_downstream(&self, stage: usize) -> Vec<usize> {
        self.order.iter().copied().filter(|other| self.upstream(*other, stage)).collect()
    }
}

/// Kahn's algorithm with the smallest index first. The graph has no cycle.
fn order(needs: &[Vec<usize>], dependents: &[Vec<usize>]) -> Vec<usize> {
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut ready: BinaryHeap<_> = (0..needs.len()).filter(|stage| missing[*stage] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(stage)) = ready.pop() {
        order.push(stage);
        for dependent in &dependents[stage] {
            missing[*dependent] -= 1;
            if missing[*dependent] == 0 {
                ready.push(Reverse(*dependent));
            }
        }
    }
    order
}

fn above(needs: &[Vec<usize>], order: &[usize]) -> Vec<Bits> {
    let mut above = vec![Bits::none(needs.len()); needs.len()];
    for stage in order {
        let mut row = std::mem::replace(&mut above[*stage], Bits(Vec::new()));
        for need in &needs[*stage] {
            row.add(*need);
            row.add_all(&above[*need]);
        }
        above[*stage] = row;
    }
    above
}

/// A shortest cycle through the first stage of the file that lies on one.
fn cycle(dag: &DiGraph<usize, ()>, needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    let parts = tarjan_scc(dag).into_iter().map(|part| part.into_iter().map(NodeIndex::index).collect::<HashSet<_>>());
    let circular = parts.filter(|part| part.len() > 1 || part.iter().any(|stage| needs[*stage].contains(stage)));
    let part = circular.min_by_key(|part| part.iter().min().copied())?;
    let start = part.iter().min().copied()?;
    // Breadth first along the needs, inside the component, until one needs the start again.
    let mut from = vec![None; needs.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(stage) = queue.pop_front() {
        for need in needs[stage].iter().filter(|need| part.contains(need)) {
            if *need == start {
                return Some(walk_back(stage, &from));
            }
            if from[*need].is_none() {
                from[*need] = Some(stage);
                queue.push_back(*need);
            }
        }
    }
    None
}

fn walk_back(last: usize, from: &[Option<usize>]) -> Vec<usize> {
    let mut path: Vec<usize> = std::iter::successors(Some(last), |stage| from[*stage]).collect();
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_the_file_where_it_is_free() {
        // 0 needs 2; 1 and 2 are free; 3 needs 0 and 1.
        let graph = Graph::build(&[vec![2], vec![], vec![], vec![0, 1]]).expect("acyclic");
        assert_eq!(graph.order(), [1, 2, 0, 3]);
        assert_eq!(graph.needs(3), [0, 1]);
        assert_eq!(graph.dependents(2), [0]);
        assert!(graph.upstream(3, 2) && !graph.upstream(2, 3) && !graph.upstream(3, 3));
        assert_eq!(graph.all_upstream(3), [1, 2, 0]);
        assert_eq!(graph.all_downstream(2), [0, 3]);
        assert_eq!(graph.dag().edge_count(), 3);
    }

    #[test]
    fn a_cycle_is_walked_whole() {
        // 0 is outside; 1 -> 2 -> 3 -> 1 in needs.
        assert_eq!(Graph::build(&[vec![1], vec![2], vec![3], vec![1]]).expect_err("cyclic"), [1, 2, 3]);
        assert_eq!(Graph::build(&[vec![0]]).expect_err("cyclic"), [0]);
    }

    #[test]
    fn thousands_of_stages_are_no_matter() {
        let needs: Vec<Vec<usize>> = (0..5_000usize).map(|i| (i.saturating_sub(4)..i).collect()).collect();
        let graph = Graph::build(&needs).expect("acyclic");
        assert_eq!(graph.all_upstream(4_999).len(), 4_999);
        assert!((0..5_000).all(|i| (0..5_000).all(|j| graph.upstream(i, j) == (j < i))));
    }
}
