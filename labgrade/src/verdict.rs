//! What a test binary says about one test, read from its output.
//!
//! A run in virtual or real time ends with `NAME: ok; ...` or with `NAME: FAILED with seed N`, a report, and the
//! command that shows it again. Anything else is neither: a binary that says nothing has judged nothing.

use serde::{Deserialize, Serialize};

/// What became of one test over some seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed(Failure),
    /// No word on the test, or a contradictory one; why.
    Unknown(String),
}

/// The smallest seed that failed, and what was said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    /// The rule that the report names, if it does: the name of its page in `docs/rules`.
    pub(crate) rule: Option<String>,
    /// The report's first line of substance.
    pub(crate) headline: String,
}

/// Longer headlines are cut.
const HEADLINE_MAX: usize = 160;

impl Verdict {
    /// Reads the `output` of a test binary that was told to run `test` and nothing else, and has ended as `passed`
    /// says. `rules` are the known rules.
    pub(crate) fn read(test: &str, output: &str, passed: bool, rules: &[String]) -> Verdict {
        let failed = format!("{test}: FAILED with seed ");
        let ok = format!("{test}: ok;");
        // The last one: what stands before was printed by the code under test.
        let begin = output.rfind(&format!("\n{failed}")).map(|at| at + 1);
        let begin = begin.or_else(|| output.starts_with(&failed).then_some(0));
        let said_ok = output.lines().any(|line| line.starts_with(&ok));
        match (begin, passed) {
            (Some(begin), false) => match Failure::read(test, &output[begin + failed.len()..], rules) {
                Some(failure) => Verdict::Failed(failure),
                None => Verdict::Unknown(format!("the report of {test} cannot be read")),
            },
            (None, true) if said_ok => Verdict::Passed,
            (None, true) => Verdict::Unknown(format!("the test binary ended well without a word on {test}")),
            (Some(_), true) => {
                Verdict::Unknown(format!("{test} is said to have failed, but the binary ended well"))
            }
            (None, false) => {
                let last = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output");
                Verdict::Unknown(format!("the test binary ended badly without a verdict on {test}: {last}"))
            }
        }
    }
}

impl Failure {
    /// Reads output from the seed on.
    fn read(test: &str, text: &str, rules: &[String]) -> Option<Failure> {
        let (seed, report) = text.split_once('\n')?;
        let report = report.split("\nto see it again").next()?;
        Some(Failure::of_report(test, seed.trim().parse().ok()?, report, rules))
    }

    /// What a run's report says.
    pub(crate) fn of_report(test: &str, seed: u64, report: &str, rules: &[String]) -> Failure {
        let said = said(report);
        let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut headline = lines.next().unwrap_or("no reason given").to_owned();
        let short = test.rsplit("::").next().unwrap_or(test);
        if headline.starts_with(&format!("{short} failed ")) {
            headline = lines.next().unwrap_or("no reason given").to_owned();
        }
        if headline.starts_with("thread '") && headline.contains(" panicked ") {
            headline = format!("panic: {}", lines.next().unwrap_or("without a message"));
        }
        if let Some((end, _)) = headline.char_indices().nth(HEADLINE_MAX) {
            headline.truncate(end);
            headline += "...";
        }
        Failure { seed, rule: rule_in(said, rules), headline }
    }
}

/// What the check said: it ends where the run's own story begins.
pub(crate) fn said(report: &str) -> &str {
    report.split("\nphases:").next().unwrap_or(report)
}

/// The first known rule that is named as one: `rule one-vote`, `[one-vote]` or `docs/rules/one-vote.md`.
fn rule_in(said: &str, rules: &[String]) -> Option<String> {
    let position = |rule: &String| {
        ["rule ", "rule `", "rule: ", "[", "docs/rules/"]
            .iter()
            .filter_map(|before| {
                let name = format!("{before}{rule}");
                let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
                said.match_indices(&name).find(|(at, _)| !goes_on(&said[at + name.len()..])).map(|(at, _)| at)
            })
            .min()
    };
    rules.iter().filter_map(|rule| Some((position(rule)?, rule))).min().map(|(_, rule)| rule.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = "lab_2b::backup_2B";

    fn read(output: &str, passed: bool) -> Verdict {
        Verdict::read(TEST, output, passed, &["commit-own-term".into(), "commit".into(), "one-vote".into()])
    }

    fn failed(output: &str) -> Failure {
        match read(output, false) {
            Verdict::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    // As the suite of lab 2B printed them, the failure for a follower that does not compare terms.
    const PASSED: &str = "
running 1 test
lab_2b::backup_2B: ok; 5 peers, 2,074 RPCs, 1,846,720 bytes, index 102; 13.313 s, 61 threads, seed=1 (and 2 more) switches=15324 trace=3329067c3b3f55ce
test lab_2b::backup_2B ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 43 filtered out; finished in 0.02s
";
    const FAILED: &str = "
running 1 test
a line of the code under test
lab_2b::backup_2B: FAILED with seed 3
backup_2B failed after 8.423 s, in phase \"bring the first leader, its follower and the other one together: they agree\":

server 2 applied `1767195409` at index 2, but server 0 has applied `3363230027` there
  thread `applier` of server 2

phases:
    0.502 s  leave the leader with one follower: many commands that cannot be committed

server  alive  connected    term  leader  applied up to
0       yes    no              3  yes     51
highest index applied anywhere: 51
to see it again:
  LAB_SEED=3@155f6068 cargo test -p raft -- --exact lab_2b::backup_2B

test lab_2b::backup_2B ... FAILED

failures:
    lab_2b::backup_2B
";

    #[test]
    fn what_passed_has_said_so() {
        assert_eq!(read(PASSED, true), Verdict::Passed);
    }

    #[test]
    fn a_failure_has_a_seed_and_a_headline() {
        let headline =
            "server 2 applied `1767195409` at index 2, but server 0 has applied `3363230027` there"
                .to_owned();
        assert_eq!(failed(FAILED), Failure { seed: 3, rule: None, headline });
        assert_eq!(failed(FAILED.split_once("under test\n").unwrap().1).seed, 3, "from the first line on");
    }

    #[test]
    fn failures_of_the_run_itself_have_headlines_too() {
        let with =
            |report: &str| failed(&format!("{TEST}: FAILED with seed 8\n{report}\nto see it again:\n  x\n"));
        assert_eq!(
            with("deadlock: every thread waits\n  thread 'a'").headline,
            "deadlock: every thread waits"
        );
        let panic =
            "thread 'main' of node 'server 1' panicked 0.2 s into the run, at raft/src/a.rs:1:2:\nit broke";
        assert_eq!(with(panic).headline, "panic: it broke");
        let long = with(&"ä".repeat(200)).headline;
        assert_eq!(long.chars().count(), HEADLINE_MAX + 3);
    }

    #[test]
    fn a_rule_is_found_where_it_is_named_as_one() {
        let rule = |message: &str| failed(&FAILED.replace("server 2 applied", message)).rule;
        assert_eq!(rule("rule commit-own-term: x").as_deref(), Some("commit-own-term"));
        assert_eq!(rule("see docs/rules/one-vote.md, rule commit").as_deref(), Some("one-vote"), "the first");
        assert_eq!(rule("broken rule `commit`").as_deref(), Some("commit"));
        assert_eq!(rule("[one-vote] x").as_deref(), Some("one-vote"));
        assert_eq!(rule("a rule of commit; rule commits; rule unknown"), None);
        assert_eq!(
            failed(&FAILED.replace("leave the leader", "rule one-vote")).rule,
            None,
            "a phase's title"
        );
    }

    #[test]
    fn silence_and_contradictions_are_no_verdict() {
        let unknown = |output: &str, passed| match read(output, passed) {
            Verdict::Unknown(why) => why,
            other => panic!("{other:?}"),
        };
        assert!(unknown("", true).contains("without a word"));
        assert!(unknown("test result: ok. 1 passed", true).contains("without a word"));
        assert!(unknown("lab_2b::backup_2C: ok; x", true).contains("without a word"));
        assert!(unknown("LAB_RUNS=\"x\": it takes\n\n", false).ends_with("LAB_RUNS=\"x\": it takes"));
        assert!(unknown(PASSED, false).contains("ended badly"));
        assert!(unknown(FAILED, true).contains("ended well"));
        assert!(unknown(&FAILED.replace("seed 3", "seed x"), false).contains("cannot be read"));
    }
}
