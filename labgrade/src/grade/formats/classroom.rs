//! GitHub Classroom: what `autograding-grading-reporter` reads, in Base64, from a step's `<NAME>_RESULTS`.
//!
//! The reporter adds the tests' scores up and divides by `max_score`. It knows the states `pass`, `fail` and `error`, of a test
//! and of the whole; the last is for what is no verdict.

use serde_json::{Value, json};

use super::super::results::{Results, State, Status, TestResult};
use super::pretty;

pub(super) fn render(results: &Results) -> String {
    let unfinished = results.state == State::Unfinished;
    let mut tests: Vec<Value> = results.tests.iter().map(|test| test_of(test, unfinished)).collect();
    if tests.is_empty() {
        // It divides by their number.
        let message = results.summary();
        let status = if matches!(results.state, State::Refused(_)) { "fail" } else { "error" };
        tests.push(json!({ "name": "submission", "status": status, "message": message, "score": 0.0 }));
    }
    let status = match results.state {
        State::Unfinished | State::Incomplete => "error",
        State::Refused(_) => "fail",
        State::Graded if results.tests.iter().all(|test| test.status == Status::Passed) => "pass",
        State::Graded => "fail",
    };
    pretty(&json!({ "version": 1, "status": status, "max_score": results.points_max(), "tests": tests }))
}

fn test_of(test: &TestResult, unfinished: bool) -> Value {
    let status = match test.status {
        Status::Passed => "pass",
        Status::Failed => "fail",
        Status::NotRun | Status::NotJudged => "error",
    };
    json!({
        "name": test.short_name(),
        "status": status,
        "message": test.text(),
        "score": if unfinished { 0.0 } else { test.points },
        "execution_time": format!("{:.1}s", test.cpu_s),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::results::tests::example;
    use super::*;

    #[test]
    fn it_is_what_the_reporter_reads() {
        let value: Value = serde_json::from_str(&render(&example().for_students())).unwrap();
        let tests = value["tests"].as_array().unwrap();
        let score: f64 = tests.iter().map(|test| test["score"].as_f64().unwrap()).sum();
        assert_eq!((score, value["max_score"].as_f64(), &value["status"]), (2.0, Some(8.0), &json!("error")));
        let statuses: Vec<_> = tests.iter().map(|test| test["status"].as_str().unwrap()).collect();
        assert_eq!(statuses, ["pass", "fail", "error", "fail"]);
        assert!(tests.iter().all(|test| test["name"].is_string() && test["message"].is_string()));
    }

    #[test]
    fn there_is_always_a_test_to_divide_by() {
        let mut results = Results::unfinished("a", "b");
        let status = |results: &Results| -> (Value, Value) {
            let value: Value = serde_json::from_str(&render(results)).unwrap();
            (value["status"].clone(), value["tests"][0]["status"].clone())
        };
        assert_eq!(status(&results), (json!("error"), json!("error")));
        results.state = State::Refused("no".into());
        assert_eq!(status(&results), (json!("fail"), json!("fail")));
    }
}
