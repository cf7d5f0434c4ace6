//! A last-in-first-out stack.

use crate::model::Model;

/// An unbounded stack of integers, at first empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stack;

/// What is asked of a [`Stack`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StackInput {
    /// Put on top. Answers `None`.
    Push(i64),
    /// Take from the top. Answers the element, or `None` when the stack is empty.
    Pop,
}

impl Model for Stack {
    type Input = StackInput;
    type Output = Option<i64>;
    type State = Vec<i64>;

    fn initial(&self) -> Vec<i64> {
        Vec::new()
    }

    fn step(
        &self,
        mut state: Vec<i64>,
        input: &StackInput,
        output: Option<&Option<i64>>,
        next: &mut Vec<Vec<i64>>,
    ) {
        let answer = match input {
            StackInput::Push(element) => {
                state.push(*element);
                None
            }
            StackInput::Pop => state.pop(),
        };
        if output.is_none_or(|o| *o == answer) {
            next.push(state);
        }
    }

    fn is_read(&self, input: &StackInput, output: Option<&Option<i64>>) -> bool {
        matches!((input, output), (StackInput::Pop, Some(None)))
    }

    fn describe(&self, input: &StackInput, output: Option<&Option<i64>>) -> String {
        match (input, output) {
            (StackInput::Push(element), _) => format!("push {element}"),
            (StackInput::Pop, None) => "pop".into(),
            (StackInput::Pop, Some(None)) => "pop -> empty".into(),
            (StackInput::Pop, Some(Some(element))) => format!("pop -> {element}"),
        }
    }

    fn describe_state(&self, state: &Vec<i64>) -> Option<String> {
        Some(match state.last() {
            None => "the stack is empty".into(),
            Some(top) => format!("the stack holds {}, {top} on top", state.len()),
        })
    }
}
