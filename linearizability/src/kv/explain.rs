//! A violation in one sentence, in the words of someone who wrote the store.

use crate::models::KvInput;
use crate::part::Part;
use crate::text::{Text, common_prefix};

use super::tokens::{Match, Tokens};
use super::{Flaw, INITIAL, Kind, Op};

/// How much of a value a sentence shows.
const SHOWN: usize = 32;

type KvPart<'a> = Part<'a, KvInput, Text>;

/// The title and the sentence for a flaw.
pub(super) fn sentence(part: &KvPart<'_>, ops: &[Op<'_>], flaw: &Flaw) -> (&'static str, String) {
    let name = |op: u32| name(part, op);
    let value =
        |op: u32| part.operation(op as usize).output().map_or_else(String::new, |v| v.abridged(SHOWN));
    match *flaw {
        Flaw::Answered(op) => (
            "a write answered something",
            format!("{} returned {}; a write returns nothing", name(op), value(op)),
        ),
        Flaw::Unwritten { read, offset } => (
            "read a value nobody wrote",
            format!(
                "{} returned a value with {} at byte {offset}, which nobody wrote there",
                name(read),
                rest(part, read, offset),
            ),
        ),
        Flaw::Twice { read, write } => (
            "the same append applied twice",
            format!(
                "{} returned a value that contains {} twice: it was applied twice",
                name(read),
                name(write)
            ),
        ),
        Flaw::Fork { reads: [a, b] } => ("split brain", {
            let (x, y) = (text(part, a), text(part, b));
            let same = common_tokens(ops, &x, &y);
            let after = if same == 0 { String::new() } else { format!("after the same {} ", bytes(same)) };
            format!(
                "two reads disagree about the order of writes: {after}{} read {} where {} read {}",
                name(a),
                Text::from(&x[same..]).abridged(SHOWN),
                name(b),
                Text::from(&y[same..]).abridged(SHOWN),
            )
        }),
        Flaw::TwoBases { reads: [a, b], write } => (
            "an append seen after two different puts",
            format!(
                "{} was seen by {} and by {} after different puts, but happened only once",
                name(write),
                name(a),
                name(b)
            ),
        ),
        Flaw::NoBase { read } => (
            "stale read",
            format!(
                "{} returned {}, but every write that value can start with was certainly overwritten before the get was \
                 called, or was called only after it returned",
                name(read),
                value(read),
            ),
        ),
        Flaw::NoWrite { read, offset } => (
            "read a write that was over, or to come",
            format!(
                "{} returned a value with {} at byte {offset}, but each write of that was certainly overwritten by then, \
                 is seen elsewhere, or was called only later",
                name(read),
                rest(part, read, offset),
            ),
        ),
        Flaw::Chain { first, second } => chain(part, ops, first, second),
        Flaw::Inside { span, intruder, bases, crossing } => {
            inside(part, ops, span, intruder, bases, crossing)
        }
    }
}

/// The values say `first` came before `second`, but `second` returned before `first` was called.
fn chain(part: &KvPart<'_>, ops: &[Op<'_>], first: u32, second: u32) -> (&'static str, String) {
    let (a, b) = (name(part, first), name(part, second));
    match (ops[first as usize].is_write(), ops[second as usize].is_write()) {
        (true, false) => (
            "read from the future",
            format!("{b} had returned, with the effect of {a} in its value, before that was called"),
        ),
        (false, true) => {
            ("stale read", format!("{a} misses {b}, although that had returned before the get was called"))
        }
        (false, false) => ("stale read", {
            let (older, newer) = (text(part, first), text(part, second));
            let same = common_tokens(ops, &older, &newer);
            format!(
                "{a} misses {}, which {b} had already returned before the former was called",
                Text::from(&newer[same..]).abridged(SHOWN),
            )
        }),
        (true, true) => (
            "writes in the wrong order",
            format!(
                "in the values read {a} comes before {b}, although the latter had returned before the former was called"
            ),
        ),
    }
}

fn inside(
    part: &KvPart<'_>,
    ops: &[Op<'_>],
    span: [u32; 2],
    intruder: [u32; 2],
    bases: [u32; 2],
    crossing: bool,
) -> (&'static str, String) {
    let outer = base(part, bases[0]);
    if !crossing && intruder[0] == intruder[1] && ops[intruder[0] as usize].is_write() {
        let write = name(part, intruder[0]);
        let last = match part.operation(span[1] as usize).output() {
            Some(value) if !ops[span[1] as usize].is_write() => {
                format!("{} returned {}", name(part, span[1]), value.abridged(SHOWN))
            }
            _ => format!("{} was applied", name(part, span[1])),
        };
        let base = match bases[0] {
            INITIAL => String::new(),
            op if span[0] == op => format!(" (called after {} had returned)", name(part, op)),
            op => {
                format!(" (called after {}, based on {}, had returned)", name(part, span[0]), name(part, op))
            }
        };
        if let Some(later) = later_in(ops, span[1], intruder[0]) {
            // No store ever was like that: what was read is not merely old.
            return (
                "an acknowledged write vanished",
                format!(
                    "{last}, where {write}{base} is missing, although that had returned before {}, which is there, was called",
                    name(part, later)
                ),
            );
        }
        return if was_seen(ops, intruder[0]) {
            (
                "stale read",
                format!("{last} as if {write}{base} had not been, although that had returned before"),
            )
        } else {
            (
                "an acknowledged write vanished",
                format!(
                    "{write}{base} returned, but nobody ever saw it: afterwards {last} as if it had not been"
                ),
            )
        };
    }
    let inner = base(part, bases[1]);
    let (from, until) = (name(part, span[1]), name(part, intruder[0]));
    let sentence = if crossing {
        let start = match span[0] {
            INITIAL => String::new(),
            op => {
                format!("{} had returned before {} was called, and ", name(part, op), name(part, intruder[1]))
            }
        };
        format!(
            "the values based on {outer} and on {inner} overlap: {start}{until} had returned before {from} was called"
        )
    } else if intruder[0] == intruder[1] && span[0] != INITIAL {
        format!(
            "{}, {until} and {from} happened one after the other, but the first and the last belong to the value based on {outer}, \
             and the one in the middle to the value based on {inner}",
            name(part, span[0]),
        )
    } else {
        let start = match span[0] {
            INITIAL => "until".to_string(),
            op => format!("from the return of {} to", name(part, op)),
        };
        format!(
            "{start} the call of {from} the value was the one based on {outer}, but in between it was the one based on {inner}: \
             {} was called after, and {until} had returned before that",
            name(part, intruder[1]),
        )
    };
    ("the value went A, B, A", sentence)
}

/// A write in the value of a read that was called only after `write` had returned.
fn later_in(ops: &[Op<'_>], read: u32, write: u32) -> Option<u32> {
    let (read, until) = (&ops[read as usize], ops[write as usize].at.ret);
    if read.kind != Kind::Get {
        return None;
    }
    let tokens = Tokens::new(ops);
    // Of a text that was written more than once it is not known which write is seen.
    let is_later = |op: u32| ops[op as usize].at.call > until;
    let mut at = 0;
    if let Match::One(len, put) = tokens.puts.at_start_of(read.text) {
        if tokens.puts.of(&read.text[..len]).all(is_later) {
            return Some(put);
        }
        at = len;
    }
    while let Match::One(len, append) = tokens.appends.at_start_of(&read.text[at..]) {
        if tokens.appends.of(&read.text[at..at + len]).all(is_later) {
            return Some(append);
        }
        at += len;
    }
    None
}

/// Whether a value read contains what was written.
fn was_seen(ops: &[Op<'_>], write: u32) -> bool {
    let write = &ops[write as usize];
    ops.iter().filter(|op| op.kind == Kind::Get).any(|get| match write.kind {
        Kind::Put => get.text.starts_with(write.text),
        _ => get.text.windows(write.text.len()).any(|text| text == write.text),
    })
}

/// The sentence for a dead end of the search.
pub(super) fn stuck(part: &KvPart<'_>, at: u32) -> (&'static str, String) {
    let answer = match part.operation(at as usize).output() {
        Some(value) if !ops_is_write(part, at) => format!(" (which returned {})", value.abridged(SHOWN)),
        _ => String::new(),
    };
    (
        "no order explains it",
        format!("{}{answer} has no place in any order of the operations before it", name(part, at)),
    )
}

fn ops_is_write(part: &KvPart<'_>, op: u32) -> bool {
    !matches!(part.operation(op as usize).input, KvInput::Get { .. })
}

/// "client 3's append "x" (#17)"
fn name(part: &KvPart<'_>, op: u32) -> String {
    let id = part.id(op as usize);
    let op = part.operation(op as usize);
    let what = match &op.input {
        KvInput::Get { .. } => "get".to_string(),
        KvInput::Put { value, .. } => format!("put {}", value.abridged(SHOWN)),
        KvInput::Append { value, .. } => format!("append {}", value.abridged(SHOWN)),
    };
    format!("{} {}'s {what} (#{id})", part.who(), op.client)
}

/// How many bytes two values share, up to the end of a text that was written.
fn common_tokens(ops: &[Op<'_>], a: &str, b: &str) -> usize {
    let (tokens, same) = (Tokens::new(ops), common_prefix(a, b));
    let mut end = match tokens.puts.at_start_of(a.as_bytes()) {
        Match::One(len, _) if len <= same => len,
        _ => 0,
    };
    while let Match::One(len, _) = tokens.appends.at_start_of(&a.as_bytes()[end..]) {
        if end + len > same {
            break;
        }
        end += len;
    }
    end
}

fn base(part: &KvPart<'_>, op: u32) -> String {
    if op == INITIAL { "the initial value".into() } else { name(part, op) }
}

fn text(part: &KvPart<'_>, op: u32) -> Text {
    part.operation(op as usize).output().cloned().unwrap_or_else(|| Text::from(""))
}

/// What a value goes on with at an offset.
fn rest(part: &KvPart<'_>, read: u32, offset: usize) -> String {
    let text = text(part, read);
    // A token may end inside a character of another; then the character is shown whole.
    let start = (0..=offset.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    Text::from(&text[start..]).abridged(SHOWN)
}

fn bytes(count: usize) -> String {
    if count == 1 { "1 byte".into() } else { format!("{count} bytes") }
}
