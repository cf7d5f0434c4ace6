//! A register of one integer with compare-and-set, as Jepsen's register tests use it.

use crate::model::Model;

/// One register, at first nil.
#[derive(Debug, Clone, Copy, Default)]
pub struct CasRegister;

/// What is asked of a [`CasRegister`]. `None` is nil.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CasInput {
    /// Read the value.
    Read,
    /// Write a value.
    Write(Option<i64>),
    /// Write the second value if the register holds the first.
    Cas(Option<i64>, Option<i64>),
}

/// What a [`CasRegister`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CasOutput {
    /// The value read.
    Value(Option<i64>),
    /// The write, or the compare-and-set, took effect.
    Done,
    /// The compare-and-set found another value and changed nothing.
    Mismatch,
}

impl Model for CasRegister {
    type Input = CasInput;
    type Output = CasOutput;
    type State = Option<i64>;

    fn initial(&self) -> Option<i64> {
        None
    }

    fn step(
        &self,
        state: Option<i64>,
        input: &CasInput,
        output: Option<&CasOutput>,
        next: &mut Vec<Option<i64>>,
    ) {
        let (answer, after) = match *input {
            CasInput::Read => (CasOutput::Value(state), state),
            CasInput::Write(value) => (CasOutput::Done, value),
            CasInput::Cas(from, to) if from == state => (CasOutput::Done, to),
            CasInput::Cas(..) => (CasOutput::Mismatch, state),
        };
        if output.is_none_or(|&o| o == answer) {
            next.push(after);
        }
    }

    fn is_read(&self, input: &CasInput, output: Option<&CasOutput>) -> bool {
        matches!((input, output), (CasInput::Read, _) | (CasInput::Cas(..), Some(CasOutput::Mismatch)))
    }

    fn describe(&self, input: &CasInput, output: Option<&CasOutput>) -> String {
        let question = match input {
            CasInput::Read => "read".to_string(),
            CasInput::Write(value) => format!("write {}", show(*value)),
            CasInput::Cas(from, to) => format!("cas {} to {}", show(*from), show(*to)),
        };
        match output {
            None => question,
            Some(CasOutput::Value(value)) => format!("{question} -> {}", show(*value)),
            Some(CasOutput::Done) => format!("{question} -> ok"),
            Some(CasOutput::Mismatch) => format!("{question} -> mismatch"),
        }
    }

    fn describe_state(&self, state: &Option<i64>) -> Option<String> {
        Some(format!("the register holds {}", show(*state)))
    }
}

fn show(value: Option<i64>) -> String {
    value.map_or("nil".to_string(), |v| v.to_string())
}
