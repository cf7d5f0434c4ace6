//! PrairieLearn's external grading: `/grade/results/results.json`, at most 1 MB.
//! <https://prairielearn.readthedocs.io/en/latest/externalGrading/>.
//!
//! `score` is a share from 0 to 1. `gradable: false` says that the attempt does not count, which is right for a submission that
//! cannot be graded and for a grader that broke.

use serde_json::{Value, json};

use super::super::results::{Results, State, TestResult};
use super::pretty;

/// Reports are left out where the file would become larger than it may.
const SIZE_MAX: usize = 1_000_000;

pub(super) fn render(results: &Results) -> String {
    let whole = pretty(&value(results, true));
    if whole.len() <= SIZE_MAX { whole } else { pretty(&value(results, false)) }
}

fn value(results: &Results, with_reports: bool) -> Value {
    let message = results.summary();
    match results.state {
        State::Refused(_) => return json!({ "gradable": false, "format_errors": [message] }),
        // No score is final here; the student may try again.
        State::Unfinished => {
            return json!({ "gradable": false, "message": message, "format_errors": [message] });
        }
        State::Graded | State::Incomplete => {}
    }
    let max = results.points_max();
    let score = if max > 0.0 { (results.final_points() / max).clamp(0.0, 1.0) } else { 0.0 };
    let tests: Vec<Value> = results.tests.iter().map(|test| test_of(test, with_reports)).collect();
    let mut value = json!({ "gradable": results.state == State::Graded, "score": score, "message": message, "tests": tests });
    if results.state == State::Incomplete {
        value["format_errors"] = json!([message]);
    }
    value
}

fn test_of(test: &TestResult, with_report: bool) -> Value {
    json!({
        "name": test.short_name(),
        "description": format!("Lab {}", test.lab),
        "points": test.points,
        "max_points": test.points_max,
        "message": test.line(),
        "output": if with_report { test.report.as_str() } else { "" },
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::results::tests::example;
    use super::*;

    fn parsed(results: &Results) -> Value {
        serde_json::from_str(&render(results)).unwrap()
    }

    #[test]
    fn it_is_what_prairielearn_documents() {
        let mut results = example().for_students();
        results.state = State::Graded;
        let value = parsed(&results);
        assert_eq!((&value["gradable"], &value["score"]), (&json!(true), &json!(0.25)));
        for test in value["tests"].as_array().unwrap() {
            assert!(["name", "description", "message", "output"].iter().all(|key| test[key].is_string()));
            assert!(["points", "max_points"].iter().all(|key| test[key].is_number()));
        }
        results.state = State::Refused("it does not compile".into());
        let value = parsed(&results);
        assert_eq!(value["gradable"], false);
        assert!(value["format_errors"][0].as_str().unwrap().contains("does not compile"));
        results.state = State::Incomplete;
        assert_eq!(parsed(&results)["gradable"], false);
        assert_eq!(parsed(&Results::unfinished("a", "b"))["gradable"], false);
    }

    #[test]
    fn it_is_never_larger_than_it_may_be() {
        let mut results = example();
        results.state = State::Graded;
        let mut test = results.tests[1].clone();
        test.report = "x".repeat(8 << 10);
        results.tests = vec![test; 200];
        assert!(render(&results).len() <= SIZE_MAX);
    }
}
