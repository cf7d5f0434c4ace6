//! One independent part of a history: the operations on one key.

use std::collections::BTreeMap;

use crate::history::{History, Interval, NEVER, Operation};
use crate::model::Model;

/// The operations of one partition, by call.
pub struct Part<'a, I, O> {
    name: String,
    /// Ids in the history, in the order of the calls.
    ids: Vec<usize>,
    operations: &'a [Operation<I, O>],
    intervals: &'a [Interval],
    who: &'static str,
}

impl<'a, I, O> Part<'a, I, O> {
    /// The partition's name, as [`Model::partition`] gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What one of the history's clients is called.
    pub fn who(&self) -> &'static str {
        self.who
    }

    /// The number of operations.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The id in the history of the `index`-th operation of this part (by call).
    pub fn id(&self, index: usize) -> usize {
        self.ids[index]
    }

    /// The `index`-th operation of this part (by call).
    pub fn operation(&self, index: usize) -> &'a Operation<I, O> {
        &self.operations[self.ids[index]]
    }

    /// Whether the first operation (by index) returned before the second was called.
    pub fn precedes(&self, first: usize, second: usize) -> bool {
        self.interval(first).ret < self.interval(second).call
    }

    pub(crate) fn interval(&self, index: usize) -> Interval {
        self.intervals[self.ids[index]]
    }

    pub(crate) fn intervals(&self) -> Vec<Interval> {
        self.ids.iter().map(|&id| self.intervals[id]).collect()
    }
}

/// Splits a history by the model's partition, in the order of the names.
pub(crate) fn split<'a, M: Model>(
    model: &M,
    history: &'a History<M::Input, M::Output>,
    intervals: &'a [Interval],
) -> Vec<Part<'a, M::Input, M::Output>> {
    let (operations, who) = (history.operations(), history.who());
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (id, op) in operations.iter().enumerate() {
        let name = model.partition(&op.input);
        match by_name.get_mut(&*name) {
            Some(ids) => ids.push(id),
            None => drop(by_name.insert(name.into_owned(), vec![id])),
        }
    }
    let mut parts: Vec<_> =
        by_name.into_iter().map(|(name, ids)| Part { name, ids, operations, intervals, who }).collect();
    for part in &mut parts {
        part.ids.sort_unstable_by_key(|&id| intervals[id].call);
        debug_assert!(part.ids.iter().all(|&id| intervals[id].call != NEVER));
    }
    parts
}
