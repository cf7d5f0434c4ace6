//! The general search as the procedure of any model, and how it explains a dead end.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use crate::history::{Interval, NEVER};
use crate::model::Model;
use crate::part::Part;
use crate::procedure::{Procedure, Progress, Slice};
use crate::search::{Machine, Outcome, Search, Stuck};
use crate::shrink::{Trial, shrink};
use crate::verdict::Violation;

/// What one trial of shrinking a core may cost, in configurations.
const TRIAL: u64 = 2_000;
/// What all trials together may cost, in operations looked at: the core is a help for the reader, the verdict
/// stands before.
const TRIALS: u64 = 20_000_000;

/// Decides a partition by searching through the model's own steps.
pub(crate) struct ModelProcedure<'a, M: Model> {
    model: &'a M,
    part: Arc<Part<'a, M::Input, M::Output>>,
    search: Search<Steps<'a, M>>,
}

/// A model's operations by number.
struct Steps<'a, M: Model> {
    model: &'a M,
    part: Arc<Part<'a, M::Input, M::Output>>,
    /// By number: index in the part, and whether the answer counts.
    ops: Vec<(usize, bool)>,
}

impl<M: Model> Machine for Steps<'_, M> {
    type State = M::State;

    fn initial(&self) -> M::State {
        self.model.initial()
    }

    fn step(&self, state: M::State, op: usize, next: &mut Vec<M::State>) {
        let (index, answer_counts) = self.ops[op];
        let op = self.part.operation(index);
        self.model.step(state, &op.input, op.output().filter(|_| answer_counts), next);
    }

    fn is_read(&self, op: usize) -> bool {
        let (index, answer_counts) = self.ops[op];
        let op = self.part.operation(index);
        self.model.is_read(&op.input, op.output().filter(|_| answer_counts))
    }
}

impl<'a, M: Model> Steps<'a, M> {
    fn search(
        model: &'a M,
        part: &Arc<Part<'a, M::Input, M::Output>>,
        ops: Vec<(usize, bool)>,
        intervals: &[Interval],
    ) -> Search<Self> {
        let kinds = kinds(ops.iter().map(|&(index, answer_counts)| {
            let op = part.operation(index);
            (&op.input, op.output().filter(|_| answer_counts))
        }));
        Search::new(Steps { model, part: part.clone(), ops }, intervals, kinds)
    }
}

/// Numbers equal items equally.
pub(crate) fn kinds<T: Eq + Hash>(items: impl Iterator<Item = T>) -> Vec<u32> {
    let mut numbers = HashMap::new();
    items
        .map(|item| {
            let next = numbers.len() as u32;
            *numbers.entry(item).or_insert(next)
        })
        .collect()
}

impl<'a, M: Model> ModelProcedure<'a, M> {
    pub(crate) fn new(model: &'a M, part: Part<'a, M::Input, M::Output>) -> Self {
        let part = Arc::new(part);
        let ops = (0..part.len()).map(|index| (index, true)).collect();
        let search = Steps::search(model, &part, ops, &part.intervals());
        ModelProcedure { model, part, search }
    }
}

impl<M: Model> Procedure for ModelProcedure<'_, M> {
    fn run(&mut self, slice: &mut Slice) -> Progress {
        match self.search.run(slice) {
            Outcome::Undecided => Progress::Undecided,
            Outcome::Order(order) => {
                Progress::Linearizable(order.into_iter().map(|op| self.part.id(op as usize)).collect())
            }
            Outcome::Stuck(stuck) => Progress::Violation(Box::new(self.explain(&stuck))),
        }
    }
}

impl<M: Model> ModelProcedure<'_, M> {
    /// The dead end in words, with a core: operations that cannot have happened together even if every other
    /// one that was called before the dead end may have answered anything, at any time, or not have happened at
    /// all.
    fn explain(&self, stuck: &Stuck) -> Violation {
        let at = stuck.at as usize;
        // What was called after the return that could not be satisfied had no part in it.
        let until = self.part.interval(at).ret;
        let called: Vec<usize> =
            (0..self.part.len()).filter(|&op| self.part.interval(op).call < until).collect();
        let mut left = TRIALS;
        let (core, core_is_minimal) =
            shrink(called.clone(), |core| self.try_core(core, &called, until, &mut left));
        let op = self.part.operation(at);
        let answer = self.model.describe(&op.input, op.output());
        let state = match self.state_after(&stuck.partial) {
            Some(state) => format!("there {state}"),
            None => "the model allows no answer of that kind there".into(),
        };
        Violation {
            partition: self.part.name().to_string(),
            title: "no order explains it".into(),
            sentence: format!(
                "{} {}'s \"{answer}\" has no place in any order: the longest that is right so far explains {} \
                 operations, and {state}",
                self.part.who(),
                op.client,
                stuck.partial.len(),
            ),
            core: core.into_iter().map(|op| self.part.id(op)).collect(),
            core_is_minimal,
            stuck: Some(self.part.id(at)),
            partial: stuck.partial.iter().map(|&op| self.part.id(op as usize)).collect(),
            also: Vec::new(),
        }
    }

    fn try_core(&self, core: &[usize], called: &[usize], until: u32, left: &mut u64) -> Trial {
        // In each configuration every operation that is free may be next.
        let cost = (called.len() - core.len() + 1) as u64;
        let mut slice = Slice::new(TRIAL.min(*left / cost), None);
        *left = left.saturating_sub(called.len() as u64);
        if *left == 0 {
            return Trial::GiveUp;
        }
        let kept: HashSet<usize> = core.iter().copied().collect();
        // The others come first: called before everything, never returned, answer unknown.
        let others = called.iter().filter(|op| !kept.contains(op)).map(|&op| (op, false));
        let ops: Vec<(usize, bool)> = others.chain(core.iter().map(|&op| (op, true))).collect();
        let intervals: Vec<Interval> = ops
            .iter()
            .map(|&(op, is_core)| match self.part.interval(op) {
                // In flight at the dead end: it need not have happened by then.
                Interval { call, ret } if is_core && ret > until => Interval { call, ret: NEVER },
                interval if is_core => interval,
                _ => Interval { call: 0, ret: NEVER },
            })
            .collect();
        let outcome = Steps::search(self.model, &self.part, ops, &intervals).run(&mut slice);
        *left = left.saturating_sub(slice.used() * cost);
        match outcome {
            Outcome::Stuck(_) => Trial::Holds,
            Outcome::Order(_) => Trial::Lost,
            Outcome::Undecided => Trial::Unknown,
        }
    }

    /// The state after a partial order, if it is the only one possible.
    fn state_after(&self, order: &[u32]) -> Option<String> {
        let mut states = vec![self.model.initial()];
        for &op in order {
            let op = self.part.operation(op as usize);
            let mut next = Vec::new();
            for state in states {
                self.model.step(state, &op.input, op.output(), &mut next);
            }
            let mut known = HashSet::new();
            next.retain(|state| known.insert(state.clone()));
            states = next;
        }
        match states.as_slice() {
            [state] => self.model.describe_state(state),
            _ => None,
        }
    }
}
