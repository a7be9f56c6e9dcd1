//! What may start now: a pure question to the graph and to what is known.

use crate::plan::graph::Graph;
use std::collections::BTreeMap;

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

/// What may start, kept up to date as stages end: a run of many thousands asks after each of them.
#[derive(Debug)]
pub struct Schedule<'g> {
    graph: &'g Graph,
    states: Vec<Ready>,
    /// Place of each stage in the schedule.
    place: Vec<usize>,
    /// For each stage: needs that are not done.
    missing: Vec<usize>,
    /// Stages that may start, by place.
    ready: BTreeMap<usize, usize>,
}

impl<'g> Schedule<'g> {
    /// Begins with what is known of each stage, by index.
    pub fn new(graph: &'g Graph, states: Vec<Ready>) -> Schedule<'g> {
        let mut place = vec![0; states.len()];
        for (at, stage) in graph.order().iter().enumerate() {
            place[*stage] = at;
        }
        let done = |stage: &usize| states[*stage] == Ready::Done;
        let missing: Vec<usize> =
            (0..states.len()).map(|stage| graph.needs(stage).iter().filter(|need| !done(need)).count()).collect();
        let free = (0..states.len()).filter(|stage| states[*stage] == Ready::Waiting && missing[*stage] == 0);
        let ready = free.map(|stage| (place[stage], stage)).collect();
        Schedule { graph, states, place, missing, ready }
    }

    /// The next stage that may start: waiting, all its needs are done, and `free` for it now. The first in schedule order.
    pub fn next(&self, free: impl Fn(usize) -> bool) -> Option<usize> {
        self.ready.values().copied().find(|stage| free(*stage))
    }

    /// Says where a stage stands now. What is done stays done.
    pub fn set(&mut self, stage: usize, state: Ready) {
        let before = std::mem::replace(&mut self.states[stage], state);
        self.ready.remove(&self.place[stage]);
        if state != Ready::Done || before == Ready::Done {
            return;
        }
        for dependent in self.graph.dependents(stage) {
            // A need that is written twice counts twice on both sides.
            self.missing[*dependent] -= 1;
            if self.missing[*dependent] == 0 && self.states[*dependent] == Ready::Waiting {
                self.ready.insert(self.place[*dependent], *dependent);
            }
        }
    }

    /// Stages that stand there, in file order.
    pub fn standing(&self, state: Ready) -> impl Iterator<Item = usize> {
        self.states.iter().enumerate().filter(move |(_, of)| **of == state).map(|(stage, _)| stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_ready(graph: &Graph, states: &[Ready]) -> Vec<usize> {
        Schedule::new(graph, states.to_vec()).ready.into_values().collect()
    }

    #[test]
    fn a_failed_stage_stops_what_depends_on_it_and_nothing_else() {
        // 0 -> 1 -> 2, and 3 alone.
        let graph = Graph::build(&[vec![], vec![0], vec![1], vec![]]).expect("acyclic");
        assert_eq!(all_ready(&graph, &[Ready::Waiting; 4]), [0, 3]);
        assert_eq!(all_ready(&graph, &[Ready::Done, Ready::Ended, Ready::Waiting, Ready::Waiting]), [3]);
        assert_eq!(all_ready(&graph, &[Ready::Done, Ready::Done, Ready::Waiting, Ready::Running]), [2]);
    }

    /// Whatever ends in whatever order: what may start is what a look over all stages says.
    #[test]
    fn it_is_kept_as_a_look_over_all_stages_would_find_it() {
        let needs: Vec<Vec<usize>> =
            (0..40usize).map(|i| (0..i).filter(|j| (i * 7 + j * 13) % 11 == 0).collect()).collect();
        let graph = Graph::build(&needs).expect("acyclic");
        for salt in 0..50usize {
            let mut schedule = Schedule::new(&graph, vec![Ready::Waiting; needs.len()]);
            let mut running = Vec::new();
            for step in 0usize.. {
                let found: Vec<usize> = schedule.ready.values().copied().collect();
                assert_eq!(found, all_ready(&graph, &schedule.states), "salt {salt}, step {step}");
                assert_eq!(schedule.next(|_| true), found.first().copied());
                match (schedule.next(|_| true), running.is_empty()) {
                    (None, true) => break,
                    (Some(stage), idle) if idle || (step * 31 + salt) % 3 > 0 => {
                        schedule.set(stage, Ready::Running);
                        running.push(stage);
                    }
                    _ => {
                        let stage = running.swap_remove((step * 17 + salt) % running.len());
                        let failed = (stage + salt) % 13 == 0;
                        schedule.set(stage, if failed { Ready::Ended } else { Ready::Done });
                    }
                }
            }
        }
    }
}
