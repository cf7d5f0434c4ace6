//! A set of strings.

use std::borrow::Cow;

use crate::model::Model;

/// A set, at first empty. Operations on different elements do not touch each other, so each element is a
/// partition. (A read of the whole set would join them all; this model has none.)
#[derive(Debug, Clone, Copy, Default)]
pub struct Set;

/// What is asked of a [`Set`]. Every operation answers whether the element was there before it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SetInput {
    /// Put the element in.
    Add(String),
    /// Take the element out.
    Remove(String),
    /// Only ask.
    Contains(String),
}

impl Model for Set {
    type Input = SetInput;
    type Output = bool;
    /// Whether the element is there.
    type State = bool;

    fn initial(&self) -> bool {
        false
    }

    fn step(&self, state: bool, input: &SetInput, output: Option<&bool>, next: &mut Vec<bool>) {
        if output.is_none_or(|&o| o == state) {
            next.push(match input {
                SetInput::Add(_) => true,
                SetInput::Remove(_) => false,
                SetInput::Contains(_) => state,
            });
        }
    }

    fn is_read(&self, input: &SetInput, output: Option<&bool>) -> bool {
        match input {
            SetInput::Contains(_) => true,
            SetInput::Add(_) => output == Some(&true),
            SetInput::Remove(_) => output == Some(&false),
        }
    }

    fn partition<'a>(&self, input: &'a SetInput) -> Cow<'a, str> {
        match input {
            SetInput::Add(e) | SetInput::Remove(e) | SetInput::Contains(e) => Cow::Borrowed(e),
        }
    }

    fn describe(&self, input: &SetInput, output: Option<&bool>) -> String {
        let question = match input {
            SetInput::Add(e) => format!("add {e:?}"),
            SetInput::Remove(e) => format!("remove {e:?}"),
            SetInput::Contains(e) => format!("contains {e:?}"),
        };
        match output {
            None => question,
            Some(true) => format!("{question} -> was there"),
            Some(false) => format!("{question} -> was not there"),
        }
    }

    fn describe_state(&self, state: &bool) -> Option<String> {
        Some(if *state { "the element is there" } else { "the element is not there" }.into())
    }
}
