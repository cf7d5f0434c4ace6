//! What a key must hold to which a client has appended: texts that name client and number, all of them, each once and
//! in order.

use labtest::{Rule, rules, show};

/// The text that `client` appends as its `number`th, from 0.
pub(crate) fn text(client: usize, number: usize) -> String {
    format!("x {client} {number} y")
}

/// The objection to `value`, to which `client` has appended its first `count` texts.
pub(crate) fn objection(value: &str, client: usize, count: usize) -> Option<(&'static Rule, String)> {
    let mut before = None;
    for number in 0..count {
        let wanted = text(client, number);
        let shown = show(wanted.as_bytes());
        let places: Vec<usize> = value.match_indices(&wanted).map(|(at, _)| at).collect();
        match places[..] {
            [] => {
                return Some((
                    &rules::LINEARIZABLE,
                    format!(
                        "{shown} is missing, although its append has returned: what a clerk was told is done must \
                     have been committed"
                    ),
                ));
            }
            [at] if before > Some(at) => {
                return Some((
                    &rules::LINEARIZABLE,
                    format!(
                        "{shown} stands before the clerk's text of before, although it was appended when that \
                     append had returned"
                    ),
                ));
            }
            [at] => before = Some(at),
            _ => {
                return Some((
                    &rules::EXECUTED_ONCE,
                    format!(
                        "{shown} was appended {} times, and the clerk did it once: a request that is sent again \
                     must not be executed again (section 8)",
                        places.len()
                    ),
                ));
            }
        }
    }
    None
}

/// How `value` differs from what it should be, in a few words.
pub(crate) fn difference(expected: &str, value: &str) -> String {
    let same = expected.bytes().zip(value.bytes()).take_while(|(a, b)| a == b).count();
    // From the beginning of the text that differs.
    let same = match expected.get(..same).and_then(|equal| equal.rfind('x')) {
        Some(begin) if same < expected.len().max(value.len()) && !expected[..same].ends_with('y') => begin,
        _ => same,
    };
    let rest = |text: &str| show(&text.as_bytes()[same..]);
    match (expected.len() - same, value.len() - same) {
        (0, 0) => "they are equal".to_string(),
        _ if same == 0 => format!("expected {}, got {}", rest(expected), rest(value)),
        (_, 0) => format!("it ends after {same} bytes, and {} should follow", rest(expected)),
        (0, _) => format!("{} follows after the {same} bytes expected", rest(value)),
        _ => format!("after {same} bytes expected {}, got {}", rest(expected), rest(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(numbers: &[usize]) -> String {
        numbers.iter().map(|&number| text(3, number)).collect()
    }

    #[test]
    fn all_once_and_in_order_is_right_whatever_stands_between() {
        assert_eq!(objection(&value(&[0, 1, 2]), 3, 3), None);
        assert_eq!(objection("x 3 0 yx 1 0 yx 3 1 y", 3, 2), None);
        assert_eq!(objection("", 3, 0), None);
    }

    #[test]
    fn what_is_missing_doubled_or_out_of_order_is_named() {
        for (numbers, part) in [
            (&[0, 2][..], "`x 3 1 y` is missing"),
            (&[0, 1, 1, 2], "`x 3 1 y` was appended 2 times"),
            (&[0, 2, 1], "`x 3 2 y` stands before"),
            (&[], "`x 3 0 y` is missing"),
        ] {
            let (rule, objection) = objection(&value(numbers), 3, 3).expect(part);
            assert!(objection.contains(part), "{objection}");
            assert_eq!(rule == &rules::EXECUTED_ONCE, part.contains("2 times"));
        }
    }

    #[test]
    fn a_difference_is_told_from_where_it_begins() {
        for (expected, value, told) in [
            ("abc", "abc", "they are equal"),
            ("abc", "xbc", "expected `abc`, got `xbc`"),
            ("abc", "ab", "it ends after 2 bytes, and `c` should follow"),
            ("ab", "abc", "`c` follows after the 2 bytes expected"),
            ("abc", "abd", "after 2 bytes expected `c`, got `d`"),
            ("x 0 7 yx 0 18 y", "x 0 7 yx 0 17 y", "after 7 bytes expected `x 0 18 y`, got `x 0 17 y`"),
            ("x 0 7 y", "x 0 7 yx 0 8 y", "`x 0 8 y` follows after the 7 bytes expected"),
        ] {
            assert_eq!(difference(expected, value), told);
        }
    }
}
