//! What `labgrade policy check` has found of a policy, kept beside it: in `policy.checked` for `policy.toml`.
//!
//! It says of each lab with what correct solutions were graded, and which of them got full marks. Another policy, course or
//! compiler makes other runs of the same seeds: what was found before then says nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::results::{Results, Status};
use crate::files::write_whole;
use crate::labs::Lab;

/// The findings on one policy.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Checked(BTreeMap<Lab, Findings>);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Findings {
    /// A digest of policy, course and compiler.
    graded_with: String,
    /// Whether they got full marks, of correct solutions by their names.
    full_marks: BTreeMap<String, bool>,
}

impl Checked {
    fn beside(policy: &Path) -> PathBuf {
        policy.with_extension("checked")
    }

    /// What is known of the policy in that file; nothing, if that cannot be read.
    pub(crate) fn read(policy: &Path) -> Checked {
        let text = fs::read(Checked::beside(policy)).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    pub(crate) fn write(&self, policy: &Path) -> io::Result<()> {
        write_whole(&Checked::beside(policy), serde_json::to_string_pretty(self)? + "\n")
    }

    /// Adds what a correct solution got in a lab, if that is known.
    pub(crate) fn add(&mut self, lab: Lab, graded_with: String, results: &Results) {
        let of_lab = || results.tests.iter().filter(|test| test.lab == lab);
        // Of one that does not compile no run was made.
        let failed = of_lab().any(|test| test.status == Status::Failed && test.known > 0);
        if !failed && of_lab().any(|test| test.status != Status::Passed) {
            return;
        }
        let findings = self.0.entry(lab).or_default();
        if findings.graded_with != graded_with {
            *findings = Findings { graded_with, full_marks: BTreeMap::new() };
        }
        findings.full_marks.insert(results.submission.clone(), !failed);
    }

    /// The correct solutions that do not get full marks in a lab; `None` if none was tried.
    pub(crate) fn failing(&self, lab: Lab, graded_with: &str) -> Option<Vec<&str>> {
        let findings = self.0.get(&lab).filter(|findings| findings.graded_with == graded_with)?;
        let failing = findings.full_marks.iter().filter(|(_, full)| !**full).map(|(name, _)| name.as_str());
        Some(failing.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::example;
    use super::*;

    #[test]
    fn what_was_found_holds_for_one_policy_course_and_compiler() {
        let place = tempfile::tempdir().unwrap();
        let policy = place.path().join("policy.toml");
        let lab: Lab = "2B".parse().unwrap();
        let solution = |name: &str, status: Status, known| {
            let mut results = example();
            results.submission = name.to_owned();
            for test in &mut results.tests {
                (test.status, test.known) = (Status::Passed, 30);
            }
            (results.tests[1].status, results.tests[1].known) = (status, known);
            results
        };
        let add = |with: &str, results: &Results| {
            let mut checked = Checked::read(&policy);
            checked.add(lab, with.to_owned(), results);
            checked.write(&policy).unwrap();
        };
        let known = |with: &str| {
            let failing = Checked::read(&policy).failing(lab, with).map(|all| all.join(", "));
            failing.map_or("unknown".to_owned(), |all| format!("failing: {all}"))
        };
        assert_eq!(known("a"), "unknown");
        // Neither of these is a verdict on a seed.
        add("a", &solution("one", Status::NotJudged, 3));
        add("a", &solution("one", Status::Failed, 0));
        assert_eq!(known("a"), "unknown");
        add("a", &solution("one", Status::Passed, 30));
        assert_eq!((known("a").as_str(), known("b").as_str()), ("failing: ", "unknown"));
        add("a", &solution("two", Status::Failed, 7));
        add("a", &solution("one", Status::Passed, 30));
        assert_eq!(known("a"), "failing: two", "one that passes makes no good of another that fails");
        add("a", &solution("two", Status::Passed, 30));
        assert_eq!(known("a"), "failing: ");
        add("b", &solution("one", Status::Failed, 7));
        assert_eq!((known("a").as_str(), known("b").as_str()), ("unknown", "failing: one"));
        fs::write(place.path().join("policy.checked"), "{").unwrap();
        assert_eq!(known("b"), "unknown");
    }
}
