//! A first-in-first-out queue.

use std::collections::VecDeque;

use crate::model::Model;

/// An unbounded queue of integers, at first empty.
///
/// Long histories are hard for the search: the order of two concurrent enqueues shows only when both elements come out,
/// and until then each order is a state of its own. With queues that stay long a history of three clients and a
/// thousand operations can exhaust any budget (the verdict is then [`Unknown`](crate::Verdict::Unknown)). Where every
/// element is different there are polynomial methods (Henzinger, Sezgin and Vafeiadis, *Aspect-Oriented Linearizability
/// Proofs*, 2013); this crate has none of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Queue;

/// What is asked of a [`Queue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueInput {
    /// Add at the back. Answers `None`.
    Enqueue(i64),
    /// Take from the front. Answers the element, or `None` when the queue is empty.
    Dequeue,
}

impl Model for Queue {
    type Input = QueueInput;
    type Output = Option<i64>;
    type State = VecDeque<i64>;

    fn initial(&self) -> VecDeque<i64> {
        VecDeque::new()
    }

    fn step(
        &self,
        mut state: VecDeque<i64>,
        input: &QueueInput,
        output: Option<&Option<i64>>,
        next: &mut Vec<VecDeque<i64>>,
    ) {
        let answer = match input {
            QueueInput::Enqueue(element) => {
                state.push_back(*element);
                None
            }
            QueueInput::Dequeue => state.pop_front(),
        };
        if output.is_none_or(|o| *o == answer) {
            next.push(state);
        }
    }

    fn is_read(&self, input: &QueueInput, output: Option<&Option<i64>>) -> bool {
        matches!((input, output), (QueueInput::Dequeue, Some(None)))
    }

    fn describe(&self, input: &QueueInput, output: Option<&Option<i64>>) -> String {
        match (input, output) {
            (QueueInput::Enqueue(element), _) => format!("enqueue {element}"),
            (QueueInput::Dequeue, None) => "dequeue".into(),
            (QueueInput::Dequeue, Some(None)) => "dequeue -> empty".into(),
            (QueueInput::Dequeue, Some(Some(element))) => format!("dequeue -> {element}"),
        }
    }

    fn describe_state(&self, state: &VecDeque<i64>) -> Option<String> {
        Some(match state.front() {
            None => "the queue is empty".into(),
            Some(front) => format!("the queue holds {}, {front} in front", state.len()),
        })
    }
}
