//! The exact key/value method, with its layers for repeated and ambiguous texts, against trying everything.

mod common;

use std::collections::BTreeMap;

use common::{effects, exhaustive, exhaustive_until, fail, histories, intervals, rng};
use linearizability::models::{KvInput, KvStore};
use linearizability::{History, Operation, Options, Text, Verdict, check, verify};
use rand::RngExt;
use rand::rngs::SmallRng;

type KvHistory = History<KvInput, Text>;

/// A random history of one key. `token` makes the text of the i-th write. Some histories are spoilt on purpose:
/// an effect at the wrong moment, a write dropped, doubled at once or again later, an old value read, two
/// appends swapped.
fn random(rng: &mut SmallRng, token: &mut dyn FnMut(&mut SmallRng, usize) -> String) -> KvHistory {
    let intervals = intervals(rng, 9, 8);
    let count = intervals.len();
    let noise = rng.random_range(0..4);
    let mut ops: Vec<Operation<KvInput, Text>> = Vec::new();
    for (i, &(call, _)) in intervals.iter().enumerate() {
        let input = match rng.random_range(0..4) {
            0 => KvInput::put("k", token(rng, i)),
            1 => KvInput::append("k", token(rng, i)),
            _ => KvInput::get("k"),
        };
        ops.push(Operation::pending(i as u64, call, input));
    }
    let dropped = (rng.random_range(0..6) == 0).then(|| rng.random_range(0..count));
    let doubled = (rng.random_range(0..12) == 0).then(|| rng.random_range(0..count));
    let late =
        (rng.random_range(0..6) == 0).then(|| (rng.random_range(0..count), rng.random_range(0..count)));
    let mut state = String::new();
    let mut past = vec![String::new()];
    for i in effects(rng, &intervals, noise) {
        let mut output = String::new();
        match &ops[i].input {
            KvInput::Get { .. } => {
                output = match rng.random_range(0..20) {
                    0 => past[rng.random_range(0..past.len())].clone(),
                    _ => state.clone(),
                }
            }
            _ if dropped == Some(i) => {}
            KvInput::Put { value, .. } => state = value.to_string(),
            KvInput::Append { value, .. } => {
                state.push_str(value);
                if doubled == Some(i) {
                    state.push_str(value);
                }
            }
        }
        if let Some((again, _)) = late.filter(|&(_, after)| after == i) {
            match &ops[again].input {
                KvInput::Get { .. } => {}
                KvInput::Put { value, .. } => state = value.to_string(),
                KvInput::Append { value, .. } => state.push_str(value),
            }
        }
        past.push(state.clone());
        if let Some(at) = intervals[i].1 {
            ops[i].returned = Some(linearizability::Returned { at, output: output.into() });
        }
    }
    if rng.random_range(0..10) == 0 {
        // Two neighbouring tokens of one read change places.
        let i = rng.random_range(0..count);
        if let Some(returned) = &mut ops[i].returned {
            let tokens: Vec<&str> = returned.output.split_inclusive(';').collect();
            if tokens.len() >= 2 {
                let mut tokens = tokens.clone();
                let last = tokens.len() - 1;
                tokens.swap(last, last - 1);
                returned.output = tokens.concat().into();
            }
        }
    }
    History::new(ops).unwrap()
}

/// The history up to a moment in which every get outside the core is forgotten and every other write is free.
fn relax(history: &KvHistory, core: &[usize], until: u64) -> KvHistory {
    let called = history.operations().iter().enumerate().filter(|(_, op)| op.call < until);
    let ops = called.filter_map(|(id, op)| match (core.contains(&id), &op.input) {
        (true, _) => Some(op.clone()),
        (false, KvInput::Get { .. }) => None,
        (false, write) => Some(Operation::pending(op.client, 0, write.clone())),
    });
    History::new(ops.collect()).unwrap()
}

#[derive(Debug, Default)]
struct Seen {
    linearizable: u64,
    searched: u64,
    titles: BTreeMap<String, u64>,
    core_sizes: BTreeMap<usize, u64>,
    not_minimal: u64,
}

fn compare(first_seed: u64, count: u64, token: &mut dyn FnMut(&mut SmallRng, usize) -> String) -> Seen {
    let mut seen = Seen::default();
    for seed in first_seed..first_seed + histories(count) {
        let mut rng = rng(seed);
        let history = random(&mut rng, token);
        let truth = exhaustive(&KvStore, &history);
        match check(&KvStore, &history, &Options::default()) {
            Verdict::Linearizable(witness) => {
                seen.linearizable += 1;
                if !truth {
                    fail(seed, &history, "called linearizable, and is not");
                }
                verify(&KvStore, &history, &witness.order).unwrap();
            }
            Verdict::Violation(violation) => {
                if truth {
                    fail(seed, &history, &format!("is linearizable, but called {violation:?}"));
                }
                seen.searched += violation.stuck.is_some() as u64;
                *seen.core_sizes.entry(violation.core.len()).or_default() += 1;
                let wrong =
                    |core: &[usize]| !exhaustive_until(&KvStore, &relax(&history, core, u64::MAX), u64::MAX);
                if !wrong(&violation.core) {
                    fail(seed, &history, &format!("not a core: {violation:?}"));
                }
                if violation.core_is_minimal {
                    for spared in 0..violation.core.len() {
                        let mut core = violation.core.clone();
                        core.remove(spared);
                        if wrong(&core) {
                            fail(seed, &history, &format!("not minimal: {violation:?}"));
                        }
                    }
                } else {
                    seen.not_minimal += 1;
                }
                if violation.core.len() > 4 {
                    println!("history {seed}: {:?}\n{history:?}{}", violation.core, violation.sentence);
                }
                *seen.titles.entry(violation.title).or_default() += 1;
            }
            Verdict::Unknown(why) => fail(seed, &history, &why.to_string()),
        }
    }
    println!("{seen:?}");
    let bad: u64 = seen.titles.values().sum();
    assert!(seen.linearizable > 0 && bad > 0, "a comparison that sees one kind only compares nothing");
    seen
}

#[test]
fn every_write_has_a_text_of_its_own() {
    let seen = compare(0, 60_000, &mut |_, i| format!("{};", (b'a' + i as u8) as char));
    assert_eq!(seen.searched, 0, "the exact method decides all of these");
    let large: u64 = seen.core_sizes.iter().filter(|(size, _)| **size > 4).map(|(_, count)| count).sum();
    assert!(large * 5_000 <= histories(60_000), "cores of more than four are rare: {:?}", seen.core_sizes);
    assert_eq!(seen.not_minimal, 0);
    for title in [
        "read a value nobody wrote",
        "the same append applied twice",
        "split brain",
        "an append seen after two different puts",
        "stale read",
        "read from the future",
        "writes in the wrong order",
        "an acknowledged write vanished",
        "the value went A, B, A",
    ] {
        assert!(seen.titles.contains_key(title), "no history of {} shows: {title}", histories(60_000));
    }
}

#[test]
fn texts_repeat() {
    for letters in 2..6 {
        compare(letters * 1_000_000, 15_000, &mut |rng, _| {
            format!("{};", (b'a' + rng.random_range(0..letters as u8)) as char)
        });
    }
}

#[test]
fn texts_may_be_empty() {
    compare(10_000_000, 30_000, &mut |rng, i| match rng.random_range(0..4) {
        0 => String::new(),
        _ => format!("{};", (b'a' + (i % 5) as u8) as char),
    });
}

#[test]
fn texts_can_be_read_in_several_ways() {
    compare(20_000_000, 30_000, &mut |rng, _| {
        ["a", "b", "ab", "ba", "aa", "aba", ""][rng.random_range(0..7)].to_string()
    });
}
