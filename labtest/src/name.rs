//! The name of a test, taken from the type of its closure.

use std::fmt;

/// The name of the test function in which a closure was written.
///
/// The name of the running thread would not do: with `--test-threads=1` tests run on the main thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestName {
    path: &'static str,
}

impl TestName {
    /// The name of the function that wrote the closure of type `F`.
    pub fn of<F>() -> TestName {
        TestName::from_type_name(std::any::type_name::<F>())
    }

    fn from_type_name(mut path: &'static str) -> TestName {
        while let Some(outer) = path.strip_suffix("::{{closure}}") {
            path = outer;
        }
        TestName { path }
    }

    /// The name by which the test runner knows the function: with its modules, without its crate.
    pub(crate) fn full(&self) -> &'static str {
        self.path.split_once("::").map_or(self.path, |(_, inner)| inner)
    }

    /// The function's name without its modules: `basic_agree_2B`.
    pub fn short(&self) -> &'static str {
        self.path.rsplit("::").next().unwrap_or(self.path)
    }
}

impl fmt::Display for TestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of<F: Fn()>(_closure: F) -> TestName {
        TestName::of::<F>()
    }

    #[test]
    fn a_closure_is_named_after_its_function() {
        assert_eq!(name_of(|| ()).short(), "a_closure_is_named_after_its_function");
    }

    #[test]
    fn modules_and_nested_closures_are_stripped() {
        let name = TestName::from_type_name("suite::lab::basic_agree::{{closure}}::{{closure}}");
        assert_eq!((name.full(), name.short()), ("lab::basic_agree", "basic_agree"));
        assert_eq!(name.to_string(), "basic_agree");
    }
}
