//! What a sequential object does: the specification a concurrent history is measured against.

use std::borrow::Cow;
use std::hash::Hash;

use crate::general::ModelProcedure;
use crate::part::Part;
use crate::procedure::Procedure;

/// A sequential specification: which answers an object may give when operations come one at a time.
///
/// A model is a value, so that it can carry parameters (a queue's capacity). It must be a pure function of what
/// it is given.
///
/// ```
/// use linearizability::Model;
///
/// /// A counter that anyone may increment; `None` reads it.
/// struct Counter;
///
/// impl Model for Counter {
///     type Input = Option<u32>;
///     type Output = u32;
///     type State = u32;
///
///     fn initial(&self) -> u32 {
///         0
///     }
///
///     fn step(&self, state: u32, input: &Option<u32>, output: Option<&u32>, next: &mut Vec<u32>) {
///         let after = state + input.unwrap_or(0);
///         if output.is_none_or(|&o| o == after) {
///             next.push(after);
///         }
///     }
///
///     fn describe(&self, input: &Option<u32>, output: Option<&u32>) -> String {
///         format!("{input:?} -> {output:?}")
///     }
/// }
/// ```
pub trait Model: Sync {
    /// What is asked. Two operations of equal input (and output) are interchangeable.
    type Input: Eq + Hash + Sync;
    /// What is answered.
    type Output: Eq + Hash + Sync;
    /// The object's state between operations. Equal states must behave equally from there on; unequal ones may.
    type State: Clone + Eq + Hash + Send;

    /// The state before any operation. (An object that may start in several states starts in one that
    /// stands for "not chosen yet".)
    fn initial(&self) -> Self::State;

    /// Appends to `next` every state the object may be in after `input` was applied in `state` and answered
    /// with `output`; nothing when that answer is impossible; several when the object may choose. `output` is
    /// `None` for an operation whose answer nobody saw: then any possible answer counts.
    fn step(
        &self,
        state: Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
        next: &mut Vec<Self::State>,
    );

    /// Whether the operation leaves every state as it is in which this answer (`None`: any answer) is possible.
    /// "No" is always right; "yes" where it holds saves the search most of its work.
    fn is_read(&self, input: &Self::Input, output: Option<&Self::Output>) -> bool {
        let _ = (input, output);
        false
    }

    /// The independent part of the object that this operation concerns: a key, an element. Each part is checked
    /// by itself (linearizability is local), from [`initial`](Model::initial). By default there is one part.
    fn partition<'a>(&self, input: &'a Self::Input) -> Cow<'a, str> {
        let _ = input;
        Cow::Borrowed("")
    }

    /// An operation in a few words, for people. Large values are abridged.
    fn describe(&self, input: &Self::Input, output: Option<&Self::Output>) -> String;

    /// A state in a few words, for people; `None` if there is nothing worth saying.
    fn describe_state(&self, state: &Self::State) -> Option<String> {
        let _ = state;
        None
    }

    /// How the answer `after` differs from the earlier answer `before`, when that is shorter than showing both.
    fn difference(&self, before: &Self::Output, after: &Self::Output) -> Option<String> {
        let _ = (before, after);
        None
    }

    /// The procedure that decides one partition. By default the general search; a model with a better method of
    /// its own overrides this. Whatever order a procedure claims is replayed through [`step`](Model::step)
    /// before it becomes a verdict.
    fn procedure<'a>(&'a self, part: Part<'a, Self::Input, Self::Output>) -> Box<dyn Procedure + 'a>
    where
        Self: Sized,
    {
        Box::new(ModelProcedure::new(self, part))
    }
}
