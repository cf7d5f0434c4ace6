//! Gradescope's `results.json`: <https://gradescope-autograders.readthedocs.io/en/latest/specs/>.
//!
//! Gradescope shows a test to students as its `visibility` says, one of `visible`, `after_due_date`, `after_published` and
//! `hidden`; so nothing is left out here. The score of the whole is given, as the tests' would be added up otherwise even
//! where grading did not finish.

use serde_json::{Value, json};

use super::super::policy::Visibility;
use super::super::results::{Results, State, Status, TestResult};
use super::pretty;

pub(super) fn render(results: &Results) -> String {
    let unfinished = results.state == State::Unfinished;
    let tests: Vec<Value> =
        results.tests.iter().enumerate().map(|(place, test)| test_of(test, place + 1, unfinished)).collect();
    let mut value = json!({
        "score": results.final_points(),
        "execution_time": results.seconds.ceil(),
        "output": results.summary(),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        // Standard output is the grader's own, and may name hidden tests.
        "stdout_visibility": "hidden",
        "tests": tests,
    });
    if !results.staff_notes.is_empty() {
        value["extra_data"] = json!({ "staff_notes": results.staff_notes });
    }
    pretty(&value)
}

fn test_of(test: &TestResult, number: usize, unfinished: bool) -> Value {
    let mut value = json!({
        "score": if unfinished { 0.0 } else { test.points },
        "max_score": test.points_max,
        "name": test.short_name(),
        "number": number.to_string(),
        "output": test.text(),
        "tags": [test.lab.name()],
        "visibility": visibility(test.visibility),
    });
    // There are two words; a test that has no verdict gets neither.
    match test.status {
        Status::Passed => value["status"] = json!("passed"),
        Status::Failed => value["status"] = json!("failed"),
        Status::NotRun | Status::NotJudged => {}
    }
    value
}

fn visibility(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Visible => "visible",
        Visibility::AfterDueDate => "after_due_date",
        Visibility::AfterPublished => "after_published",
        Visibility::Hidden => "hidden",
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::results::tests::example;
    use super::*;

    /// What the documentation says of keys and values.
    fn check(value: &Value) {
        const KEYS: [&str; 11] = [
            "score",
            "execution_time",
            "output",
            "output_format",
            "test_output_format",
            "test_name_format",
            "visibility",
            "stdout_visibility",
            "extra_data",
            "tests",
            "leaderboard",
        ];
        const TEST_KEYS: [&str; 12] = [
            "score",
            "max_score",
            "status",
            "name",
            "name_format",
            "number",
            "output",
            "output_format",
            "tags",
            "visibility",
            "extra_data",
            "image",
        ];
        const VISIBILITIES: [&str; 4] = ["hidden", "after_due_date", "after_published", "visible"];
        const FORMATS: [&str; 5] = ["text", "html", "simple_format", "md", "ansi"];
        let one_of = |value: &Value, all: &[&str]| assert!(all.contains(&value.as_str().unwrap()), "{value}");
        value.as_object().unwrap().keys().for_each(|key| assert!(KEYS.contains(&key.as_str()), "{key}"));
        assert!(
            value["score"].is_f64() && value["execution_time"].is_number() && value["output"].is_string()
        );
        ["output_format", "test_output_format", "test_name_format"]
            .iter()
            .for_each(|key| one_of(&value[key], &FORMATS));
        ["visibility", "stdout_visibility"].iter().for_each(|key| one_of(&value[key], &VISIBILITIES));
        for test in value["tests"].as_array().unwrap() {
            test.as_object()
                .unwrap()
                .keys()
                .for_each(|key| assert!(TEST_KEYS.contains(&key.as_str()), "{key}"));
            let (score, max) = (test["score"].as_f64().unwrap(), test["max_score"].as_f64().unwrap());
            assert!((0.0..=max).contains(&score));
            assert!(test["name"].is_string() && test["number"].is_string() && test["output"].is_string());
            assert!(test["tags"].as_array().unwrap().iter().all(Value::is_string));
            one_of(&test["visibility"], &VISIBILITIES);
            if let Some(status) = test.get("status") {
                one_of(status, &["passed", "failed"]);
            }
        }
    }

    #[test]
    fn it_is_what_gradescope_documents() {
        let value: Value = serde_json::from_str(&render(&example())).unwrap();
        check(&value);
        assert_eq!(value["score"], 2.0);
        let of = |place: usize, key: &str| value["tests"][place][key].clone();
        assert_eq!((of(0, "status"), of(1, "status")), (json!("passed"), json!("failed")));
        assert_eq!((of(2, "status"), of(3, "visibility")), (Value::Null, json!("hidden")));
        assert!(of(1, "output").as_str().unwrap().starts_with("29 of 30 runs passed; seed 17"));
    }

    #[test]
    fn a_killed_grader_leaves_a_zero() {
        let mut results = example();
        results.state = State::Unfinished;
        let value: Value = serde_json::from_str(&render(&results)).unwrap();
        check(&value);
        assert_eq!((&value["score"], &value["tests"][0]["score"]), (&json!(0.0), &json!(0.0)));
        assert!(value["output"].as_str().unwrap().contains("did not finish"));
        check(&serde_json::from_str(&render(&Results::unfinished("a", "b"))).unwrap());
    }
}
