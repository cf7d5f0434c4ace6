//! Autolab: two lines of JSON, the last ones that an autograder prints.
//! <https://docs.autolabproject.com/features/formatted-feedback/>.
//!
//! One problem for each lab, by its name, so the problems of an assessment are called `2A`, `2B` and so on; before that, the tests as
//! feedback in stages.

use serde_json::{Map, Value, json};

use super::super::results::{Results, State, Status};
use crate::labs::Lab;

pub(super) fn render(results: &Results) -> String {
    let counts = results.state != State::Unfinished;
    let labs: Vec<Lab> = Lab::all().filter(|lab| results.tests.iter().any(|test| test.lab == *lab)).collect();
    let mut scores = Map::new();
    let mut feedback = Map::new();
    feedback.insert("_presentation".into(), json!("semantic"));
    feedback.insert("stages".into(), json!(labs.iter().map(|lab| lab.name()).collect::<Vec<_>>()));
    for lab in labs {
        let tests = || results.tests.iter().filter(|test| test.lab == lab);
        let points: f64 = tests().map(|test| test.points).sum();
        scores.insert(lab.name().into(), json!(if counts { points } else { 0.0 }));
        let stage = tests().map(|test| {
            let passed = test.status == Status::Passed;
            let verdict = if passed {
                json!({ "passed": true })
            } else {
                json!({ "passed": false, "hint": test.line() })
            };
            (test.short_name().to_owned(), verdict)
        });
        feedback.insert(lab.name().into(), Value::Object(stage.collect()));
    }
    // The summary may be about a submission that has no tests; each of its lines is no JSON.
    let summary = results.summary();
    let text: Vec<_> = summary.lines().map(|line| format!("# {line}")).collect();
    format!("{}\n{}\n{}\n", text.join("\n"), Value::Object(feedback), json!({ "scores": scores }))
}

#[cfg(test)]
mod tests {
    use super::super::super::results::tests::example;
    use super::*;

    #[test]
    fn the_last_two_lines_are_feedback_and_scores() {
        let text = render(&example().for_students());
        let lines: Vec<&str> = text.lines().rev().take(2).collect();
        let scores: Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(scores, json!({ "scores": { "2B": 2.0 } }));
        let feedback: Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!((&feedback["_presentation"], &feedback["stages"]), (&json!("semantic"), &json!(["2B"])));
        assert_eq!(feedback["2B"]["basic_agree_2B"], json!({ "passed": true }));
        let failed = &feedback["2B"]["backup_2B"];
        assert_eq!(failed["passed"], false);
        assert!(failed["hint"].as_str().unwrap().contains("29 of 30"));
        let unfinished = render(&Results { state: State::Unfinished, ..example() });
        assert!(unfinished.ends_with("{\"scores\":{\"2B\":0.0}}\n"), "{unfinished}");
    }
}
