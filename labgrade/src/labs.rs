//! The labs, and which crate holds the suite of each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A crate with an integration test called `suite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Package {
    Raft,
    KvRaft,
}

impl Package {
    /// The crate's name, which is its directory's too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Package::Raft => "raft",
            Package::KvRaft => "kvraft",
        }
    }
}

/// A lab: the tests whose names end in `_` and its name. In the order in which students do them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Lab(usize);

/// What [`Lab`] counts.
const LABS: [(&str, Package); 6] = [
    ("2A", Package::Raft),
    ("2B", Package::Raft),
    ("2C", Package::Raft),
    ("2D", Package::Raft),
    ("3A", Package::KvRaft),
    ("3B", Package::KvRaft),
];

impl Lab {
    pub(crate) fn all() -> impl Iterator<Item = Lab> {
        (0..LABS.len()).map(Lab)
    }

    pub(crate) fn name(self) -> &'static str {
        LABS[self.0].0
    }

    pub(crate) fn package(self) -> Package {
        LABS[self.0].1
    }

    /// The lab that a test is of, by its full name.
    pub(crate) fn of_test(test: &str) -> Option<Lab> {
        Lab::all().find(|lab| lab.has(test))
    }

    /// Whether a test, by its full name, is in this lab's suite.
    pub(crate) fn has(self, test: &str) -> bool {
        test.strip_suffix(self.name()).is_some_and(|rest| rest.ends_with('_'))
    }
}

impl fmt::Display for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Lab> for String {
    fn from(lab: Lab) -> String {
        lab.name().to_owned()
    }
}

impl TryFrom<String> for Lab {
    type Error = String;

    fn try_from(name: String) -> Result<Lab, String> {
        name.parse()
    }
}

impl FromStr for Lab {
    type Err = String;

    fn from_str(name: &str) -> Result<Lab, String> {
        let found = LABS.iter().position(|(known, _)| *known == name);
        found.map(Lab).ok_or_else(|| {
            let known: Vec<_> = LABS.iter().map(|(known, _)| *known).collect();
            format!("{name:?} is no lab; the labs are {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_belongs_to_the_lab_that_its_name_ends_in() {
        let lab: Lab = "2B".parse().unwrap();
        assert!(lab.has("lab_2b::backup_2B"));
        assert!(!lab.has("lab_2b::backup_2C") && !lab.has("lab_2b::backup2B") && !lab.has("2B"));
    }

    #[test]
    fn labs_are_known_by_name_and_in_order() {
        assert!(Lab::all().all(|lab| lab.name().parse() == Ok(lab)));
        assert!(Lab::all().is_sorted());
        let error = "2b".parse::<Lab>().unwrap_err();
        assert!(error.starts_with("\"2b\" is no lab; the labs are 2A, 2B"), "{error}");
    }
}
