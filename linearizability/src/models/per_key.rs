//! Many objects of one kind, each under a key of its own.

use std::borrow::Cow;

use crate::model::Model;
use crate::text::Text;

/// An object for each key, all like the one of model `M`. Each key is checked by itself.
///
/// ```
/// use linearizability::models::{CasInput, CasOutput, CasRegister, Keyed, PerKey};
/// use linearizability::{History, Operation, Options, check};
///
/// let on = |key: &str, input| Keyed { key: key.into(), input };
/// let history = History::new(vec![
///     Operation::new(0, 1, on("a", CasInput::Write(Some(1))), 2, CasOutput::Done),
///     Operation::new(1, 3, on("b", CasInput::Read), 4, CasOutput::Value(None)),
/// ])?;
/// assert!(check(&PerKey(CasRegister), &history, &Options::default()).is_linearizable());
/// # Ok::<(), linearizability::MalformedHistory>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct PerKey<M>(pub M);

/// What is asked of the object under a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Keyed<I> {
    /// Which object is asked.
    pub key: Text,
    /// What it is asked.
    pub input: I,
}

impl<M: Model> Model for PerKey<M> {
    type Input = Keyed<M::Input>;
    type Output = M::Output;
    type State = M::State;

    fn initial(&self) -> M::State {
        self.0.initial()
    }

    fn step(
        &self,
        state: M::State,
        input: &Self::Input,
        output: Option<&M::Output>,
        next: &mut Vec<M::State>,
    ) {
        self.0.step(state, &input.input, output, next);
    }

    fn is_read(&self, input: &Self::Input, output: Option<&M::Output>) -> bool {
        self.0.is_read(&input.input, output)
    }

    fn partition<'a>(&self, input: &'a Self::Input) -> Cow<'a, str> {
        match self.0.partition(&input.input) {
            part if part.is_empty() => Cow::Borrowed(&input.key),
            // Quoted, so that different pairs have different names.
            part => Cow::Owned(format!("{:?} {part:?}", input.key.as_str())),
        }
    }

    fn describe(&self, input: &Self::Input, output: Option<&M::Output>) -> String {
        format!("{} (key {})", self.0.describe(&input.input, output), input.key.as_str())
    }

    fn describe_state(&self, state: &M::State) -> Option<String> {
        self.0.describe_state(state)
    }

    fn difference(&self, before: &M::Output, after: &M::Output) -> Option<String> {
        self.0.difference(before, after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{CasInput, CasOutput, CasRegister, Set, SetInput};
    use crate::{History, Operation, Options, Verdict, check};

    fn on<I>(key: &str, input: I) -> Keyed<I> {
        Keyed { key: key.into(), input }
    }

    #[test]
    fn keys_are_objects_of_their_own() {
        let read = |key| on(key, CasInput::Read);
        let history = |value| {
            History::new(vec![
                Operation::new(0, 1, on("a", CasInput::Write(Some(1))), 2, CasOutput::Done),
                Operation::new(1, 3, read("b"), 4, CasOutput::Value(None)),
                Operation::new(1, 5, read("a"), 6, CasOutput::Value(value)),
            ])
            .unwrap()
        };
        let check = |value| check(&PerKey(CasRegister), &history(value), &Options::default());
        assert!(check(Some(1)).is_linearizable());
        let Verdict::Violation(violation) = check(None) else { panic!("the read of a is stale") };
        assert_eq!((violation.partition.as_str(), violation.core), ("a", vec![0, 2]));
    }

    #[test]
    fn the_parts_of_an_object_stay_parts_under_its_key() {
        let name =
            |key, element: &str| PerKey(Set).partition(&on(key, SetInput::Add(element.into()))).into_owned();
        assert_ne!(name("a", "x"), name("a", "y"));
        assert_ne!(name("a", "x"), name("b", "x"));
        assert_ne!(name("a", "b c"), name("a b", "c"));
    }
}
