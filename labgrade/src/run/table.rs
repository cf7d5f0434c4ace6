//! The tables at the end of a run.

use std::time::Duration;

use super::plan::Tally;
use crate::grade::policy::Policy;
use crate::labs::Lab;
use crate::workspace::Selection;

/// A row for each lab.
pub(super) fn by_lab(selection: &Selection, tallies: &[Tally]) -> String {
    let mut table = format!(
        "{:<4} {:>6} {:>7} {:>7} {:>8} {:>8} {:>9}\n",
        "lab", "tests", "passed", "failed", "unknown", "runs", "CPU"
    );
    for lab in Lab::all() {
        let of_lab: Vec<&Tally> = selection
            .tests
            .iter()
            .zip(tallies)
            .filter(|(test, _)| test.lab == lab)
            .map(|(_, tally)| tally)
            .collect();
        if of_lab.is_empty() {
            continue;
        }
        let count = |of: fn(&Tally) -> bool| of_lab.iter().filter(|tally| of(tally)).count();
        let runs: u32 = of_lab.iter().map(|tally| tally.tried()).sum();
        let cpu: Duration = of_lab.iter().map(|tally| tally.cpu).sum();
        table += &format!(
            "{:<4} {:>6} {:>7} {:>7} {:>8} {:>8} {:>7.1} s\n",
            lab.name(),
            of_lab.len(),
            count(|tally| tally.passed == tally.wanted),
            count(|tally| tally.failed > 0),
            count(|tally| tally.failed == 0 && tally.passed < tally.wanted),
            runs,
            cpu.as_secs_f64()
        );
    }
    table
}

/// What the tests would score: each its points if all its runs have passed, as the grader has it.
pub(super) fn points(selection: &Selection, tallies: &[Tally], policy: &Policy) -> String {
    let all =
        || selection.tests.iter().zip(tallies).map(|(test, tally)| (policy.points_of(&test.name), tally));
    let won: f64 = all().filter(|(_, tally)| tally.passed == tally.wanted).map(|(points, _)| points).sum();
    let most: f64 = all().map(|(points, _)| points).sum();
    format!("{won} of {most} points for what the policy publishes\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Test;

    #[test]
    fn tests_are_counted_by_lab_and_score_if_all_their_runs_pass() {
        let test = |name: &str| Test { name: name.to_owned(), lab: Lab::of_test(name).unwrap(), suite: 0 };
        let tests = ["a_2A", "b_2A", "c_3A"].map(|name| test(&format!("lab::{name}"))).into();
        let selection = Selection { suites: Vec::new(), tests };
        let tally = |passed, failed| Tally { wanted: 10, passed, failed, ..Tally::default() };
        let tallies = [tally(10, 0), tally(9, 1), tally(9, 0)];
        let table = by_lab(&selection, &tallies);
        let rows: Vec<Vec<&str>> =
            table.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
        assert_eq!(
            rows,
            [["2A", "2", "1", "1", "0", "20", "0.0", "s"], ["3A", "1", "0", "0", "1", "9", "0.0", "s"]]
        );
        let policy = Policy::without_secret();
        assert_eq!(points(&selection, &tallies, &policy), "1 of 3 points for what the policy publishes\n");
    }
}
