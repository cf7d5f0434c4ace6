//! The history of the clerks as a run leaves it, and the second look at it that a grader may ask for: in a process of its
//! own, which no code under test shares.

use std::collections::HashMap;

use labcodec::Limits;
use linearizability::models::{KvInput, KvStore};
use linearizability::{History, Operation, Options, Returned, Text, TextPool, Verdict, check};
use serde::{Deserialize, Serialize};

use super::history::CONFIGURATIONS;

/// More than any run leaves: some hundred bytes for each operation.
const LIMITS: Limits = Limits::new().max_bytes(1 << 28).max_memory(1 << 29);
/// Values that are longer are no test's.
const VALUE_MAX: usize = 1 << 24;

/// An operation.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    client: u64,
    call: u64,
    asked: Asked,
    key: String,
    returned: Option<Answer>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Asked {
    Get,
    Put(String),
    Append(String),
}

/// What was read: so many bytes of what was last read of that key, and more. Most reads go on where another has ended.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    at: u64,
    shared: usize,
    more: String,
}

/// The history as evidence.
pub(super) fn encode(history: &History<KvInput, Text>) -> Vec<u8> {
    let mut last: HashMap<&str, &str> = HashMap::new();
    let told = |op| told(op, &mut last);
    let told: Vec<Told> = history.operations().iter().map(told).collect();
    // Beyond its limits it is none, and its review will say so.
    LIMITS.encode(&told).unwrap_or_default()
}

fn told<'a>(op: &'a Operation<KvInput, Text>, last: &mut HashMap<&'a str, &'a str>) -> Told {
    let key = op.input.key().as_str();
    let asked = match &op.input {
        KvInput::Get { .. } => Asked::Get,
        KvInput::Put { value, .. } => Asked::Put(value.to_string()),
        KvInput::Append { value, .. } => Asked::Append(value.to_string()),
    };
    let returned = op.returned.as_ref().map(|returned| {
        let output = returned.output.as_str();
        let before = last.insert(key, output).unwrap_or_default();
        let same = before.bytes().zip(output.bytes()).take_while(|(one, other)| one == other).count();
        let shared = (0..=same).rev().find(|&at| output.is_char_boundary(at)).unwrap_or(0);
        Answer { at: returned.at, shared, more: output[shared..].to_owned() }
    });
    Told { client: op.client, call: op.call, asked, key: key.to_owned(), returned }
}

/// Whether the clerks can have been told this. The error says why not.
pub(super) fn review(evidence: &[u8]) -> Result<(), String> {
    let unreadable = || "the clerks' history cannot be read".to_owned();
    let history = decode(evidence).ok_or_else(unreadable)?;
    let options = Options { configurations: CONFIGURATIONS, ..Options::default() };
    match check(&KvStore, &history, &options) {
        Verdict::Linearizable(_) => Ok(()),
        Verdict::Violation(violation) => {
            Err(format!("what the clerks were told is impossible: {}", violation.sentence))
        }
        Verdict::Unknown(why) => {
            Err(format!("whether what the clerks were told is possible is unknown: {why}"))
        }
    }
}

fn decode(evidence: &[u8]) -> Option<History<KvInput, Text>> {
    let told: Vec<Told> = LIMITS.decode(evidence).ok()?;
    let mut pool = TextPool::default();
    let mut last: HashMap<&str, String> = HashMap::new();
    let mut outputs = Vec::new();
    for Told { key, returned, .. } in &told {
        let Some(answer) = returned else {
            outputs.push(None);
            continue;
        };
        let value = last.entry(key).or_default();
        if !value.is_char_boundary(answer.shared) || answer.shared + answer.more.len() > VALUE_MAX {
            return None;
        }
        value.truncate(answer.shared);
        value.push_str(&answer.more);
        outputs.push(Some((answer.at, pool.add(key, value))));
    }
    let texts = pool.finish();
    let operation = |(told, output): (Told, Option<_>)| Operation {
        client: told.client,
        call: told.call,
        input: match told.asked {
            Asked::Get => KvInput::get(told.key),
            Asked::Put(value) => KvInput::put(told.key, value),
            Asked::Append(value) => KvInput::append(told.key, value),
        },
        returned: output.map(|(at, value)| Returned { at, output: texts.get(value) }),
        note: String::new(),
    };
    History::new(told.into_iter().zip(outputs).map(operation).collect()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(read: &str) -> History<KvInput, Text> {
        let operations = vec![
            Operation::new(1, 1, KvInput::put("k", "ä"), 2, "".into()),
            Operation::new(1, 3, KvInput::append("k", "ö"), 4, "".into()),
            Operation::new(2, 5, KvInput::get("k"), 6, read.into()),
            Operation::new(2, 7, KvInput::get("k"), 8, "äö".into()),
            Operation::new(3, 7, KvInput::get("other"), 9, "".into()),
            Operation::pending(1, 9, KvInput::append("k", "z")),
        ];
        History::new(operations).unwrap()
    }

    #[test]
    fn what_is_left_is_the_history_and_is_judged_again() {
        for read in ["äö", "ä", "äü", "", "something else"] {
            let history = history(read);
            let evidence = encode(&history);
            assert_eq!(decode(&evidence).unwrap().operations(), history.operations());
            assert_eq!(review(&evidence).is_ok(), read == "äö", "{read}");
        }
        let why = review(&encode(&history("ä"))).unwrap_err();
        assert!(why.starts_with("what the clerks were told is impossible: "), "{why}");
    }

    #[test]
    fn a_part_of_a_history_is_none() {
        let evidence = encode(&history("äö"));
        for cut in 0..evidence.len() {
            assert_eq!(review(&evidence[..cut]).unwrap_err(), "the clerks' history cannot be read");
        }
        for at in 0..evidence.len() {
            let mut bytes = evidence.clone();
            bytes[at] ^= 0xff;
            let _ = review(&bytes);
        }
    }
}
