//! What the differential tests share: an exhaustive decision procedure and random histories.
#![allow(dead_code)] // each test binary uses its own part

use std::collections::HashSet;
use std::fmt::Debug;

use linearizability::{History, Model, Operation, Returned};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// How many histories a differential test examines: `LINEARIZABILITY_HISTORIES`, or this.
pub(crate) fn histories(default: u64) -> u64 {
    match std::env::var("LINEARIZABILITY_HISTORIES") {
        Ok(n) => n.parse().expect("LINEARIZABILITY_HISTORIES takes a number"),
        Err(_) => default,
    }
}

/// The random source of history number `seed`.
pub(crate) fn rng(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

/// Whether the history is linearizable, by trying everything: which operation is next, over all sets of
/// operations done. No reduction but remembering (set, state), which is why only short histories can be asked.
pub(crate) fn exhaustive<M: Model>(model: &M, history: &History<M::Input, M::Output>) -> bool {
    exhaustive_until(model, history, u64::MAX)
}

/// The same for the history up to a moment: what returned later need not have happened, but if it did it
/// answered what it did.
pub(crate) fn exhaustive_until<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    until: u64,
) -> bool {
    let ops = history.operations();
    assert!(ops.len() <= 20);
    // Partitions are independent; here they are joined in one state, so that the claim itself is tested.
    let mut names: Vec<_> = ops.iter().map(|op| model.partition(&op.input).into_owned()).collect();
    names.sort();
    names.dedup();
    let home = |i: usize| names.iter().position(|n| *n == *model.partition(&ops[i].input)).unwrap();
    let homes: Vec<usize> = (0..ops.len()).map(home).collect();
    let mut seen = HashSet::new();
    let mut todo = vec![(0u32, vec![model.initial(); names.len()])];
    while let Some((done, states)) = todo.pop() {
        let left = (0..ops.len()).filter(|i| done >> i & 1 == 0);
        let returns = left.clone().filter_map(|i| ops[i].returned.as_ref().map(|r| r.at));
        let Some(first_return) = returns.filter(|&at| at <= until).min() else { return true };
        for i in left.filter(|&i| ops[i].call <= first_return) {
            let mut next = Vec::new();
            model.step(states[homes[i]].clone(), &ops[i].input, ops[i].output(), &mut next);
            for state in next {
                let mut states = states.clone();
                states[homes[i]] = state;
                let entry = (done | 1 << i, states);
                if seen.insert(entry.clone()) {
                    todo.push(entry);
                }
            }
        }
    }
    false
}

/// Calls and returns of a few operations, at random: unique stamps, about one in `never` without a return.
pub(crate) fn intervals(rng: &mut SmallRng, most: usize, never: u32) -> Vec<(u64, Option<u64>)> {
    let n = rng.random_range(2..=most);
    let span = rng.random_range(2..=3 * n);
    let mut events: Vec<(usize, u32, usize, bool)> = Vec::new();
    for i in 0..n {
        let call = rng.random_range(0..4 * n);
        let ret = call + rng.random_range(1..=span);
        events.push((call, rng.random(), i, false));
        events.push((ret, rng.random(), i, true));
    }
    events.sort_unstable();
    let mut out = vec![(0, None); n];
    for (stamp, &(_, _, i, is_return)) in events.iter().enumerate() {
        if is_return {
            out[i].1 = Some(stamp as u64);
        } else {
            out[i].0 = stamp as u64;
        }
    }
    for op in &mut out {
        if rng.random_range(0..never) == 0 {
            op.1 = None;
        }
    }
    out
}

/// The moments at which the operations take effect: mostly inside their interval, with more `noise` (0 to 3)
/// more often a little outside, so that about half of the histories are near misses.
pub(crate) fn effects(rng: &mut SmallRng, intervals: &[(u64, Option<u64>)], noise: u32) -> Vec<usize> {
    let mut at: Vec<(f64, usize)> = intervals
        .iter()
        .enumerate()
        .map(|(i, &(call, ret))| {
            let (from, to) = (call as f64, ret.unwrap_or(call + 6) as f64);
            let mut t = from + (to - from) * rng.random::<f64>();
            if rng.random_range(0..4) < noise {
                t += rng.random_range(-3.0..3.0);
            }
            (t, i)
        })
        .collect();
    at.sort_by(|a, b| a.partial_cmp(b).unwrap());
    // A pending operation takes effect, or not.
    at.into_iter().map(|(_, i)| i).filter(|&i| intervals[i].1.is_some() || rng.random()).collect()
}

/// A random history of a model: inputs drawn by `input`, answers found among `outputs` by running the model at
/// noisy moments; now and then an answer is any answer.
pub(crate) fn random_history<M: Model>(
    rng: &mut SmallRng,
    model: &M,
    mut input: impl FnMut(&mut SmallRng) -> M::Input,
    outputs: &[M::Output],
) -> History<M::Input, M::Output>
where
    M::Output: Clone,
{
    let intervals = intervals(rng, 9, 6);
    let noise = rng.random_range(1..4);
    let mut ops: Vec<Operation<M::Input, M::Output>> = intervals
        .iter()
        .enumerate()
        .map(|(i, &(call, _))| Operation::pending(i as u64, call, input(rng)))
        .collect();
    let mut states = std::collections::HashMap::new();
    for i in effects(rng, &intervals, noise) {
        let name = model.partition(&ops[i].input).into_owned();
        let state = states.entry(name).or_insert_with(|| model.initial());
        let mut options = Vec::new();
        for output in outputs {
            let mut next = Vec::new();
            model.step(state.clone(), &ops[i].input, Some(output), &mut next);
            options.extend(next.into_iter().map(|after| (after, output)));
        }
        let choice = rng.random_range(0..options.len());
        let (after, output) = options.swap_remove(choice);
        *state = after;
        if let Some(at) = intervals[i].1 {
            ops[i].returned = Some(Returned { at, output: output.clone() });
        }
    }
    if rng.random_range(0..3) == 0 {
        let i = rng.random_range(0..ops.len());
        if let Some(returned) = &mut ops[i].returned {
            returned.output = outputs[rng.random_range(0..outputs.len())].clone();
        }
    }
    History::new(ops).unwrap()
}

/// Prints a history on the way out of a failing test.
pub(crate) fn fail<I: Debug, O: Debug>(seed: u64, history: &History<I, O>, what: &str) -> ! {
    panic!("history {seed}: {what}\n{history:?}");
}
