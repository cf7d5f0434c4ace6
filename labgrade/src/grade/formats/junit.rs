//! JUnit's XML: a suite for each lab. `failure` is a test that failed, `error` one that has no verdict, `skipped` one whose turn has not
//! come.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::super::results::{Results, State, Status, TestResult};
use crate::labs::Lab;

pub(super) fn render(results: &Results) -> Result<String, SerializeError> {
    let mut report = Report::new(results.assignment.as_str());
    if let State::Unfinished | State::Refused(_) = results.state {
        let mut suite = TestSuite::new("submission");
        let kind = match results.state {
            State::Unfinished => NonSuccessKind::Error,
            _ => NonSuccessKind::Failure,
        };
        suite.add_test_case(case("accepted", "submission", Some((kind, &results.summary(), "")), 0.0));
        report.add_test_suite(suite);
    }
    for lab in Lab::all() {
        let mut suite = TestSuite::new(lab.name());
        suite.add_test_cases(results.tests.iter().filter(|test| test.lab == lab).map(case_of));
        if !suite.test_cases.is_empty() {
            report.add_test_suite(suite);
        }
    }
    report.to_string()
}

fn case_of(test: &TestResult) -> TestCase {
    let line = test.line();
    let (name, class) = (test.short_name(), test.lab.name());
    let objection = match test.status {
        Status::Passed => None,
        Status::Failed => Some((NonSuccessKind::Failure, line.as_str(), test.report.as_str())),
        Status::NotJudged => Some((NonSuccessKind::Error, line.as_str(), "")),
        Status::NotRun => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(line.as_str());
            return TestCase::new(name, status);
        }
    };
    case(name, class, objection, test.cpu_s)
}

fn case(name: &str, class: &str, objection: Option<(NonSuccessKind, &str, &str)>, seconds: f64) -> TestCase {
    let status = objection.map_or_else(TestCaseStatus::success, |(kind, message, text)| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(message).set_description(text);
        status
    });
    let mut case = TestCase::new(name, status);
    case.set_classname(class).set_time(Duration::from_secs_f64(seconds.max(0.0)));
    case
}

#[cfg(test)]
mod tests {
    use super::super::super::results::tests::example;
    use super::*;

    #[test]
    fn it_is_what_junit_readers_read() {
        let text = render(&example().for_students()).unwrap();
        let report = Report::deserialize_from_str(&text).unwrap();
        assert_eq!((report.tests, report.failures, report.errors), (4, 2, 1));
        let cases = &report.test_suites[0].test_cases;
        assert_eq!(report.test_suites[0].name.as_str(), "2B");
        assert_eq!(cases[0].name.as_str(), "basic_agree_2B");
        let TestCaseStatus::NonSuccess { kind, message, description, .. } = &cases[1].status else {
            panic!("{text}");
        };
        assert_eq!(*kind, NonSuccessKind::Failure);
        assert!(message.as_ref().unwrap().as_str().contains("`<b>&\"'` at index 2"), "{text}");
        assert!(description.as_ref().unwrap().as_str().contains("</script>]]><b>hostile</b>"), "{text}");
    }

    #[test]
    fn what_is_no_verdict_is_an_error() {
        let text = render(&Results::unfinished("a", "b")).unwrap();
        let report = Report::deserialize_from_str(&text).unwrap();
        assert_eq!((report.tests, report.errors), (1, 1));
        let refused = Results { state: State::Refused("no".into()), ..Results::unfinished("a", "b") };
        let report = Report::deserialize_from_str(&render(&refused).unwrap()).unwrap();
        assert_eq!((report.tests, report.failures), (1, 1));
    }
}
