//! What came of grading, as it is kept and turned into the formats.

use serde::{Deserialize, Serialize};

use super::jail::Strength;
use super::policy::{Visibility, last_part};
use crate::labs::Lab;

/// Everything about one grading. This is the plain JSON that `--format json` writes, for staff only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Of this form.
    pub(crate) version: u32,
    pub(crate) assignment: String,
    /// What was graded, as it was named.
    pub(crate) submission: String,
    pub(crate) state: State,
    /// What the student is told beside the tests.
    pub(crate) notes: Vec<String>,
    /// What only the staff is told.
    pub(crate) staff_notes: Vec<String>,
    pub(crate) jail: Option<Strength>,
    /// Digests of course, policy and compiler, and of what was handed in: the same work, graded with the same, gets the same
    /// result.
    #[serde(default)]
    pub(crate) graded_with: String,
    #[serde(default)]
    pub(crate) handed_in: String,
    pub(crate) tests: Vec<TestResult>,
    /// Real time so far.
    pub(crate) seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// The grader was killed, or is still at it.
    Unfinished,
    /// The submission was not taken, or nothing of it compiles; why.
    Refused(String),
    Graded,
    /// Some tests were not judged, through no fault of the student's that is known.
    Incomplete,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TestResult {
    /// With modules.
    pub(crate) name: String,
    pub(crate) lab: Lab,
    pub(crate) visibility: Visibility,
    pub(crate) status: Status,
    pub(crate) points: f64,
    pub(crate) points_max: f64,
    /// Runs that passed, runs whose outcome is known, and runs that were asked for.
    pub(crate) passed: u32,
    pub(crate) known: u32,
    pub(crate) wanted: u32,
    /// The first seed that failed.
    pub(crate) seed: Option<u64>,
    /// In one line, what is to be said.
    pub(crate) headline: String,
    /// What the harness reported of that seed. The code under test may have written some of it.
    pub(crate) report: String,
    pub(crate) cpu_s: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Its turn has not come.
    NotRun,
    Passed,
    Failed,
    /// No zero, but no verdict.
    NotJudged,
}

impl Results {
    /// The zero that stands until something better is known.
    pub(crate) fn unfinished(assignment: &str, submission: &str) -> Results {
        Results {
            version: 1,
            assignment: assignment.to_owned(),
            submission: submission.to_owned(),
            state: State::Unfinished,
            notes: Vec::new(),
            staff_notes: Vec::new(),
            jail: None,
            graded_with: String::new(),
            handed_in: String::new(),
            tests: Vec::new(),
            seconds: 0.0,
        }
    }

    pub(crate) fn points(&self) -> f64 {
        self.tests.iter().map(|test| test.points).sum()
    }

    pub(crate) fn points_max(&self) -> f64 {
        self.tests.iter().map(|test| test.points_max).sum()
    }

    /// What counts: nothing, until grading has come to its end.
    pub(crate) fn final_points(&self) -> f64 {
        if self.state == State::Unfinished { 0.0 } else { self.points() }
    }

    /// One paragraph on the whole, for the student.
    pub(crate) fn summary(&self) -> String {
        let not_judged = match self.tests.iter().filter(|test| test.status == Status::NotJudged).count() {
            1 => "1 test".to_owned(),
            count => format!("{count} tests"),
        };
        let points = format!("{} of {} points", number(self.final_points()), number(self.points_max()));
        let mut text = match &self.state {
            State::Unfinished => {
                "The grader did not finish: this is no result. Hand in again, or tell the staff.".to_owned()
            }
            State::Refused(why) => format!("The submission was not graded.\n\n{why}"),
            State::Graded => points,
            State::Incomplete => format!(
                "{points} so far. {not_judged} could not be judged. That is not held against you: no zero was \
                 given for them, and the staff has been told."
            ),
        };
        for note in &self.notes {
            text = format!("{text}\n{note}");
        }
        text
    }

    /// The same for those who may see only what is visible now: all other tests are one, without names or reports.
    pub(crate) fn for_students(&self) -> Results {
        let mut theirs = self.clone();
        theirs.staff_notes.clear();
        let (shown, kept): (Vec<_>, Vec<_>) =
            theirs.tests.into_iter().partition(|test| test.visibility == Visibility::Visible);
        theirs.tests = shown;
        if let Some(first) = kept.first() {
            let count = |status| kept.iter().filter(|test| test.status == status).count();
            let status = match kept.len() {
                n if n == count(Status::Passed) => Status::Passed,
                _ if count(Status::NotRun) > 0 => Status::NotRun,
                _ if count(Status::NotJudged) > 0 => Status::NotJudged,
                _ => Status::Failed,
            };
            theirs.tests.push(TestResult {
                name: "tests_that_are_not_shown".into(),
                lab: first.lab,
                visibility: Visibility::Visible,
                status,
                points: kept.iter().map(|test| test.points).sum(),
                points_max: kept.iter().map(|test| test.points_max).sum(),
                passed: kept.iter().map(|test| test.passed).sum(),
                known: kept.iter().map(|test| test.known).sum(),
                wanted: kept.iter().map(|test| test.wanted).sum(),
                seed: None,
                headline: String::new(),
                report: String::new(),
                cpu_s: kept.iter().map(|test| test.cpu_s).sum(),
            });
        }
        theirs
    }
}

impl TestResult {
    /// A test whose turn has not come.
    pub(crate) fn waiting(
        name: &str,
        lab: Lab,
        visibility: Visibility,
        points_max: f64,
        wanted: u32,
    ) -> TestResult {
        TestResult {
            name: name.to_owned(),
            lab,
            visibility,
            status: Status::NotRun,
            points: 0.0,
            points_max,
            passed: 0,
            known: 0,
            wanted,
            seed: None,
            headline: "not run".into(),
            report: String::new(),
            cpu_s: 0.0,
        }
    }

    /// Without modules.
    pub(crate) fn short_name(&self) -> &str {
        last_part(&self.name)
    }

    /// `29 of 30`, and what of the rest.
    pub(crate) fn runs(&self) -> String {
        let tried = if self.known < self.wanted && self.status == Status::Failed {
            format!(" ({} not tried, as none had passed)", self.wanted - self.known)
        } else {
            String::new()
        };
        format!("{} of {} runs passed{tried}", self.passed, self.wanted)
    }

    /// Runs and headline.
    pub(crate) fn line(&self) -> String {
        match (self.headline.as_str(), self.seed) {
            ("", _) => self.runs(),
            (headline, Some(seed)) => format!("{}; seed {seed}: {headline}", self.runs()),
            // No run was ever made, and the reason says it all.
            (headline, None) if self.known == 0 => headline.to_owned(),
            (headline, None) => format!("{}; {headline}", self.runs()),
        }
    }

    /// All that is to be said of it.
    pub(crate) fn text(&self) -> String {
        if self.report.is_empty() { self.line() } else { format!("{}\n\n{}", self.line(), self.report) }
    }
}

/// Points without needless decimals.
pub(crate) fn number(points: f64) -> String {
    let text = format!("{points:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One of each kind: passed, failed, not judged, and one that is hidden.
    pub(crate) fn example() -> Results {
        let test = |name: &str, status, passed| {
            let lab = "2B".parse().unwrap();
            let mut test = TestResult::waiting(name, lab, Visibility::Visible, 2.0, 30);
            test.status = status;
            (test.passed, test.known) = (passed, 30);
            test.points = if status == Status::Passed { 2.0 } else { 0.0 };
            test.headline.clear();
            test.cpu_s = 1.25;
            test
        };
        let mut failed = test("lab_2b::backup_2B", Status::Failed, 29);
        failed.seed = Some(17);
        failed.headline = "server 2 applied `<b>&\"'` at index 2".into();
        failed.report =
            "</script>]]><b>hostile</b> | `x` \u{1b}[31m\u{0}\nto see it again: LAB_SEED=17".into();
        let mut unknown = test("lab_2b::count_2B", Status::NotJudged, 3);
        (unknown.known, unknown.headline) = (3, "the grader broke".into());
        let mut hidden = test("extra::secret_2B", Status::Failed, 0);
        (hidden.visibility, hidden.headline) = (Visibility::Hidden, "confidential".into());
        let mut results = Results::unfinished("lab <2B>", "alice.zip");
        results.state = State::Incomplete;
        results.tests = vec![test("lab_2b::basic_agree_2B", Status::Passed, 30), failed, unknown, hidden];
        results.notes = vec!["raft/Cargo.toml was ignored".into()];
        results.staff_notes = vec!["for staff only".into()];
        results.seconds = 61.25;
        results
    }

    #[test]
    fn nothing_counts_until_the_end() {
        let mut results = example();
        assert_eq!((results.points(), results.points_max(), results.final_points()), (2.0, 8.0, 2.0));
        assert!(results.summary().starts_with("2 of 8 points so far. 1 test could not be judged"));
        results.state = State::Unfinished;
        assert_eq!(results.final_points(), 0.0);
        assert!(results.summary().starts_with("The grader did not finish"));
    }

    #[test]
    fn students_see_of_hidden_tests_only_what_they_are_worth() {
        let theirs = example().for_students();
        let text = serde_json::to_string(&theirs).unwrap();
        assert!(
            !text.contains("secret_2B") && !text.contains("confidential") && !text.contains("staff only")
        );
        assert_eq!((theirs.points(), theirs.points_max()), (2.0, 8.0));
        let last = theirs.tests.last().unwrap();
        assert_eq!((last.status, last.points_max), (Status::Failed, 2.0));
    }

    #[test]
    fn a_line_says_how_many_runs_passed_and_which_seed_did_not() {
        let results = example();
        let lines: Vec<_> = results.tests.iter().map(TestResult::line).collect();
        assert_eq!(lines[0], "30 of 30 runs passed");
        assert!(lines[1].starts_with("29 of 30 runs passed; seed 17: server 2 applied"), "{}", lines[1]);
        assert_eq!(lines[2], "3 of 30 runs passed; the grader broke");
        let mut hopeless = results.tests[3].clone();
        hopeless.known = 3;
        assert!(hopeless.line().contains("0 of 30 runs passed (27 not tried, as none had passed)"));
        (hopeless.known, hopeless.seed, hopeless.headline) = (0, None, "it does not compile".into());
        assert_eq!(hopeless.line(), "it does not compile");
        assert_eq!((number(2.0), number(2.5), number(0.333)), ("2".into(), "2.5".into(), "0.33".into()));
    }
}
