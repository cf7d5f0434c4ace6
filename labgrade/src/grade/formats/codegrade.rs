//! CodeGrade, AutoTest V2, *Custom Test*: lines of JSON for descriptor 3, of which `points` gives the share that was won. A message
//! above 250 kB is dropped without a word, so there is one short line. The tests themselves are for CodeGrade's unit test block, which reads
//! JUnit's XML.

use serde_json::json;

use super::super::results::{Results, State, number};

pub(super) fn render(results: &Results) -> String {
    let (points, max) = (results.final_points(), results.points_max());
    // Nothing of nothing is no share.
    let share = if max > 0.0 { format!("{}/{}", number(points), number(max)) } else { "0/1".to_owned() };
    let share = if results.state == State::Unfinished { "0/1".to_owned() } else { share };
    format!("{}\n", json!({ "tag": "points", "points": share }))
}

#[cfg(test)]
mod tests {
    use super::super::super::results::tests::example;
    use super::*;

    #[test]
    fn it_is_one_line_with_a_share() {
        assert_eq!(render(&example()), "{\"points\":\"2/8\",\"tag\":\"points\"}\n");
        assert_eq!(render(&Results::unfinished("a", "b")), "{\"points\":\"0/1\",\"tag\":\"points\"}\n");
    }
}
