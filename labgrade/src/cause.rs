//! By what failures are told apart: the rule that was broken, or what was said, without the numbers of this one run.

use std::iter::Peekable;
use std::str::Chars;

use crate::verdict::{Failure, said};

/// Where students' code is.
const ROOMS: [&str; 2] = ["raft/src/", "kvraft/src/"];

/// The cause of a failure in words that are the same for all failures of the cause, as far as a report tells.
pub(crate) fn cause(failure: &Failure, report: &str) -> String {
    if let Some(rule) = &failure.rule {
        return format!("rule {rule}");
    }
    let mut cause = without_numbers(&failure.headline);
    // Many panics have the same words; where they were raised tells them apart.
    if let Some(place) = place(said(report)) {
        cause += &format!(", at {place}");
    }
    cause
}

/// `raft/src/raft.rs:12`: the first line of the student's code that is named as a place.
fn place(said: &str) -> Option<&str> {
    let from = said.match_indices(" at ").map(|(at, before)| &said[at + before.len()..]);
    from.filter(|place| ROOMS.iter().any(|room| place.starts_with(room))).find_map(|place| {
        let end = place.find([',', '\n', ' ']).unwrap_or(place.len());
        let place = place[..end].trim_end_matches(':');
        // File, line and column; the last says little.
        place.rsplit_once(':').map(|(place, _)| place)
    })
}

/// The text with `N` for every number and list of numbers, and nothing of what is quoted by backticks, which may be a
/// command that was drawn.
pub(crate) fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '`' => {
                rest.by_ref().take_while(|c| *c != '`').for_each(drop);
                out += "`..`";
            }
            // Part of a word, as in `u64`.
            _ if c.is_ascii_digit() && !out.ends_with(|before: char| before.is_alphanumeric()) => {
                let mut after = rest.clone();
                skip_number(&mut after);
                if after.peek().is_some_and(char::is_ascii_uppercase) {
                    // A lab, as in `2A`.
                    out.push(c);
                } else {
                    rest = after;
                    out.push('N');
                }
            }
            c => out.push(c),
        }
    }
    // Lists differ in their length.
    for (list, one) in [("N, N", "N"), ("N and N", "N"), ("servers N", "server N")] {
        while out.contains(list) {
            out = out.replace(list, one);
        }
    }
    out
}

/// Digits, with what may stand between them: `1,024`, `0.5`, `3:12`.
fn skip_number(rest: &mut Peekable<Chars<'_>>) {
    loop {
        let mut ahead = rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some(c), _) if c.is_ascii_digit() => drop(rest.next()),
            (Some('.' | ',' | ':'), Some(c)) if c.is_ascii_digit() => drop(rest.next()),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(rule: Option<&str>, headline: &str) -> Failure {
        Failure { seed: 1, rule: rule.map(str::to_owned), headline: headline.to_owned() }
    }

    #[test]
    fn a_rule_is_the_cause_whatever_is_said() {
        let one = failure(Some("commit-rule"), "server 3, leader of term 3, applied index 2");
        assert_eq!(cause(&one, "whatever"), "rule commit-rule");
    }

    #[test]
    fn numbers_and_drawn_commands_do_not_tell_causes_apart() {
        let same = |one: &str, other: &str| {
            assert_eq!(cause(&failure(None, one), ""), cause(&failure(None, other), ""));
        };
        same(
            "`104` was not applied by 3 servers within 10 s",
            "`9 x` was not applied by 2 servers within 10 s",
        );
        same("servers 0, 1 and 4 lead term 3", "servers 2 and 3 lead term 1,024");
        same("server 1 waits since 0.512 s", "server 4 waits since 12 s");
        let differ = cause(&failure(None, "server 1 applied nothing"), "");
        assert_eq!(differ, "server N applied nothing");
        assert_ne!(differ, cause(&failure(None, "server 1 voted twice"), ""));
        assert_eq!(without_numbers("a u64 at index 7:12."), "a u64 at index N.");
        assert_eq!(without_numbers("2A: write it within 10s"), "2A: write it within Ns");
    }

    #[test]
    fn panics_are_told_apart_by_their_place_in_the_students_code() {
        let report = |line: u32| {
            format!(
                "a_2A failed after 1 s:\n\nit is none\n  at raft/src/raft.rs:{line}:9, thread `x`\n\nphases:\n  at raft/src/other.rs:1:1, y"
            )
        };
        let cause = |line| cause(&failure(None, "it is none"), &report(line));
        assert_eq!(cause(12), "it is none, at raft/src/raft.rs:12");
        assert_ne!(cause(12), cause(13));
        assert_eq!(
            place("x panicked 1 s into the run, at kvraft/src/a.rs:3:4:\nno"),
            Some("kvraft/src/a.rs:3")
        );
        assert_eq!(place("failed\n  at raft/tests/a.rs:3:4, thread `x`"), None);
    }
}
