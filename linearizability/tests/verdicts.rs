//! The way from a running store to a verdict: recorder, budget, partitions, threads.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Mutex;
use std::time::Duration;

use linearizability::models::{KvInput, KvRecorder, KvStore};
use linearizability::{History, Operation, Options, Text, Unknown, Verdict, check, verify};

type Ops = Vec<Operation<KvInput, Text>>;

/// A key on which no exact method helps and the search must look at every set of appends: each can be
/// read in many ways, all are concurrent, and the value read at the end is one byte short.
fn hard_key(key: &str, appends: u64) -> Ops {
    let mut ops: Ops = (1..=appends)
        .map(|n| Operation::new(n, n, KvInput::append(key, "a".repeat(n as usize)), 1000 + n, "".into()))
        .collect();
    let total = (1..=appends).sum::<u64>() as usize;
    ops.push(Operation::new(0, 2000, KvInput::get(key), 2001, "a".repeat(total - 1).into()));
    ops
}

fn budget(configurations: u64) -> Options {
    Options { configurations, ..Options::default() }
}

#[test]
fn a_budget_that_runs_out_is_unknown_and_a_larger_one_decides() {
    let history = History::new(hard_key("k", 12)).unwrap();
    match check(&KvStore, &history, &budget(1000)) {
        Verdict::Unknown(Unknown::OutOfConfigurations { configurations, undecided: 1, partitions: 1 }) => {
            assert!(configurations <= 1000);
        }
        other => panic!("{other:?}"),
    }
    assert!(check(&KvStore, &history, &budget(1_000_000)).is_violation());
    let hurried = Options { time: Some(Duration::ZERO), ..Options::default() };
    assert_eq!(
        check(&KvStore, &history, &hurried),
        Verdict::Unknown(Unknown::OutOfTime { undecided: 1, partitions: 1 })
    );
}

#[test]
fn no_budget_is_needed_where_the_exact_method_applies() {
    let ops = vec![
        Operation::new(0, 1, KvInput::put("k", "x"), 2, "".into()),
        Operation::new(0, 3, KvInput::get("k"), 4, "x".into()),
    ];
    assert!(check(&KvStore, &History::new(ops).unwrap(), &budget(0)).is_linearizable());
}

#[test]
fn a_hard_key_does_not_hide_a_violation_on_another() {
    let mut ops = hard_key("a hard one", 22);
    ops.push(Operation::new(1, 1, KvInput::put("simple", "x"), 2, "".into()));
    ops.push(Operation::new(2, 3, KvInput::get("simple"), 4, "".into()));
    let mut medium = hard_key("medium", 12);
    ops.append(&mut medium);
    let history = History::new(ops).unwrap();
    let Verdict::Violation(violation) = check(&KvStore, &history, &budget(3000)) else { panic!() };
    assert_eq!((violation.partition.as_str(), violation.core.len()), ("simple", 2));

    // Without the simple one, the medium one is reached although the hard one never ends.
    let ops = history.operations().iter().filter(|op| op.input.key().as_str() != "simple").cloned();
    let history = History::new(ops.collect()).unwrap();
    let Verdict::Violation(violation) = check(&KvStore, &history, &budget(60_000)) else { panic!() };
    assert_eq!(violation.partition, "medium");
}

#[test]
fn the_number_of_threads_does_not_change_the_verdict() {
    let mut ops: Ops = Vec::new();
    for key in 0..8 {
        for round in 0..40u64 {
            // Every text twice: settled by time.
            let (at, text) = (round * 100 + key, format!("{};", round / 2));
            let name = format!("k{key}");
            ops.push(Operation::new(1, at, KvInput::put(name.as_str(), text.as_str()), at + 50, "".into()));
            for reader in 0..4 {
                let read = at + 51 + reader;
                ops.push(Operation::new(
                    2 + reader,
                    read,
                    KvInput::get(name.as_str()),
                    read + 9,
                    text.as_str().into(),
                ));
            }
        }
    }
    let good = History::new(ops.clone()).unwrap();
    assert!(good.len() > 1000);
    for key in [3, 5] {
        let stale = ops.iter().rposition(|op| op.input == KvInput::get(format!("k{key}"))).unwrap();
        ops[stale].returned.as_mut().unwrap().output = "0;".into();
    }
    let bad = History::new(ops).unwrap();
    let with = |history: &History<KvInput, Text>, threads| {
        check(&KvStore, history, &Options { threads: NonZero::new(threads), ..Options::default() })
    };
    let Verdict::Linearizable(witness) = with(&good, 4) else { panic!() };
    verify(&KvStore, &good, &witness.order).unwrap();
    assert_eq!(with(&good, 1), with(&good, 4));
    let Verdict::Violation(violation) = with(&bad, 4) else { panic!() };
    assert_eq!(violation.also, ["k5"]);
    assert_eq!(with(&bad, 1), with(&bad, 4));
}

#[test]
fn a_write_that_answers_is_a_violation() {
    let ops = vec![Operation::new(0, 1, KvInput::append("k", "x"), 2, "x".into())];
    let Verdict::Violation(violation) = check(&KvStore, &History::new(ops).unwrap(), &budget(0)) else {
        panic!()
    };
    assert_eq!((violation.title.as_str(), violation.core), ("a write answered something", vec![0]));
}

/// Runs eight clients against a store and returns what was recorded.
fn run(get: impl Fn(&Mutex<HashMap<String, String>>, usize) -> String + Sync) -> History<KvInput, Text> {
    let recorder = KvRecorder::new();
    let store = Mutex::new(HashMap::from([("k".to_string(), String::new())]));
    std::thread::scope(|s| {
        for client in 0..8 {
            let log = recorder.client(client as u64);
            let (store, get) = (&store, &get);
            s.spawn(move || {
                for i in 0..100 {
                    match i % 4 {
                        0 => log.append("k", &format!("x{client}.{i};"), || {
                            store.lock().unwrap().get_mut("k").unwrap().push_str(&format!("x{client}.{i};"));
                        }),
                        3 if i % 16 == 15 => log.put("k", &format!("y{client}.{i};"), || {
                            store.lock().unwrap().insert("k".into(), format!("y{client}.{i};"));
                        }),
                        _ => drop(log.get("k", || get(store, client))),
                    }
                }
            });
        }
    });
    recorder.finish()
}

#[test]
fn a_store_behind_a_mutex_is_linearizable_and_one_with_a_cache_is_not() {
    let history = run(|store, _| store.lock().unwrap()["k"].clone());
    assert_eq!(history.len(), 800);
    assert!(check(&KvStore, &history, &budget(0)).is_linearizable());

    // Client 0 fills its cache once and reads from it ever after; by then it has appended itself.
    let cache: Mutex<Option<String>> = Mutex::new(None);
    let history = run(|store, client| {
        let fresh = || store.lock().unwrap()["k"].clone();
        if client == 0 { cache.lock().unwrap().get_or_insert_with(fresh).clone() } else { fresh() }
    });
    let Verdict::Violation(violation) = check(&KvStore, &history, &budget(0)) else {
        panic!("a cache is stale")
    };
    assert!(violation.core.len() <= 4 && violation.core_is_minimal, "{violation:?}");
}

/// Fifteen clients in three rounds; in every round they start counting anew, so that each text occurs up to
/// three times on a key.
fn rounds(seed: u64, puts: u32, own_keys: bool) -> History<KvInput, Text> {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand::rngs::SmallRng::seed_from_u64(seed);
    let (mut plans, mut at) = (Vec::new(), 0u64);
    for _ in 0..3 {
        let mut end = at;
        for client in 0..15u64 {
            let mut now = at + rng.random_range(0..100);
            for j in 0..200 {
                let key = if own_keys { client } else { rng.random_range(0..15) }.to_string();
                let text = format!("x {client} {j} y");
                let input = match rng.random_range(0..100) {
                    _ if own_keys && j == 0 => KvInput::put(key, ""),
                    n if n < puts => KvInput::put(key, text),
                    n if n < 50 => KvInput::append(key, text),
                    _ => KvInput::get(key),
                };
                let ret = now + rng.random_range(2..2000);
                plans.push((rng.random_range(now..=ret), client, now, ret, input));
                now = ret + 1 + rng.random_range(0..20);
            }
            end = end.max(now);
        }
        at = end;
    }
    plans.sort_by_key(|plan| plan.0);
    let mut store: HashMap<String, String> = HashMap::new();
    let ops = plans.into_iter().map(|(_, client, call, ret, input)| {
        let value = store.entry(input.key().to_string()).or_default();
        let output = match &input {
            KvInput::Get { .. } => value.clone(),
            KvInput::Put { value: text, .. } => {
                *value = text.to_string();
                String::new()
            }
            KvInput::Append { value: text, .. } => {
                value.push_str(text);
                String::new()
            }
        };
        Operation::new(client, call, input, ret, output.into())
    });
    History::new(ops.collect()).unwrap()
}

#[test]
fn texts_that_recur_in_later_rounds_need_no_search() {
    for seed in 0..2 {
        for (puts, own_keys) in [(5, false), (0, true), (5, true), (0, false), (30, false)] {
            let history = rounds(seed, puts, own_keys);
            let verdict = check(&KvStore, &history, &budget(0));
            assert!(
                verdict.is_linearizable(),
                "seed {seed}, {puts} % puts, own keys {own_keys}: {verdict:?}"
            );
        }
    }
}
