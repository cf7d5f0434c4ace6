//! A mutual-exclusion lock that is asked, not waited for.

use std::borrow::Cow;

use crate::model::Model;

/// Named locks, at first free. Each name is a partition.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lock;

/// What is asked of a [`Lock`]. Every operation answers whether it was granted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LockInput {
    /// Granted when the lock is free; then `owner` holds it.
    Acquire {
        /// The lock's name.
        lock: String,
        /// Who wants it.
        owner: u64,
    },
    /// Granted when `owner` holds the lock; then it is free.
    Release {
        /// The lock's name.
        lock: String,
        /// Who gives it back.
        owner: u64,
    },
}

impl Model for Lock {
    type Input = LockInput;
    type Output = bool;
    type State = Option<u64>;

    fn initial(&self) -> Option<u64> {
        None
    }

    fn step(
        &self,
        state: Option<u64>,
        input: &LockInput,
        output: Option<&bool>,
        next: &mut Vec<Option<u64>>,
    ) {
        let (granted, after) = match input {
            LockInput::Acquire { owner, .. } => (state.is_none(), Some(*owner)),
            LockInput::Release { owner, .. } => (state == Some(*owner), None),
        };
        if output.is_none_or(|&o| o == granted) {
            next.push(if granted { after } else { state });
        }
    }

    fn is_read(&self, _: &LockInput, output: Option<&bool>) -> bool {
        output == Some(&false)
    }

    fn partition<'a>(&self, input: &'a LockInput) -> Cow<'a, str> {
        match input {
            LockInput::Acquire { lock, .. } | LockInput::Release { lock, .. } => Cow::Borrowed(lock),
        }
    }

    fn describe(&self, input: &LockInput, output: Option<&bool>) -> String {
        let (verb, owner, lock) = match input {
            LockInput::Acquire { lock, owner } => ("acquires", owner, lock),
            LockInput::Release { lock, owner } => ("releases", owner, lock),
        };
        let answer = match output {
            None => "",
            Some(true) => " -> granted",
            Some(false) => " -> refused",
        };
        format!("{owner} {verb} {lock:?}{answer}")
    }

    fn describe_state(&self, state: &Option<u64>) -> Option<String> {
        Some(match state {
            None => "the lock is free".into(),
            Some(owner) => format!("{owner} holds the lock"),
        })
    }
}
