//! The general search against trying everything, for every model, on small random histories.

mod common;

use std::fmt::Debug;

use common::{exhaustive, exhaustive_until, fail, histories, random_history, rng};
use linearizability::models::{
    CasInput, CasOutput, CasRegister, Lock, LockInput, Queue, QueueInput, Set, SetInput, Stack, StackInput,
};
use linearizability::{Model, Operation, Options, Verdict, check, verify};
use rand::RngExt;
use rand::rngs::SmallRng;

/// Compares verdicts on random histories; checks witnesses, and cores: the core is bad even when all else is
/// free, and if it is called minimal no part of it is.
fn compare<M>(model: &M, input: impl Fn(&mut SmallRng) -> M::Input, outputs: &[M::Output])
where
    M: Model,
    M::Input: Clone + Debug,
    M::Output: Clone + Debug,
{
    let (mut yes, mut no, mut minimal) = (0, 0, 0);
    for seed in 0..histories(20_000) {
        let mut rng = rng(seed);
        let history = random_history(&mut rng, model, &input, outputs);
        let truth = exhaustive(model, &history);
        match check(model, &history, &Options::default()) {
            Verdict::Linearizable(witness) => {
                yes += 1;
                if !truth {
                    fail(seed, &history, "called linearizable, and is not");
                }
                verify(model, &history, &witness.order).unwrap();
            }
            Verdict::Violation(violation) => {
                no += 1;
                if truth {
                    fail(seed, &history, "called a violation, and is linearizable");
                }
                let stuck = &history.operations()[violation.stuck.unwrap()];
                let until = stuck.returned.as_ref().unwrap().at;
                let with_core =
                    |core: &[usize]| exhaustive_until(model, &relax(&history, core, until), until);
                if with_core(&violation.core) {
                    fail(seed, &history, &format!("not a core: {:?}", violation.core));
                }
                if violation.core_is_minimal {
                    minimal += 1;
                    for spared in 0..violation.core.len() {
                        let mut core = violation.core.clone();
                        core.remove(spared);
                        if !with_core(&core) {
                            fail(seed, &history, &format!("not minimal: {:?}", violation.core));
                        }
                    }
                }
            }
            Verdict::Unknown(why) => fail(seed, &history, &why.to_string()),
        }
    }
    println!("{yes} linearizable, {no} not, {minimal} minimal cores");
    assert!(yes > 0 && no > 0 && minimal > 0, "a comparison that sees one kind only compares nothing");
}

/// The history up to a return in which everything outside the core may have answered anything, at any time, or
/// not have happened.
fn relax<I: Clone, O: Clone>(
    history: &linearizability::History<I, O>,
    core: &[usize],
    until: u64,
) -> linearizability::History<I, O> {
    let called = history.operations().iter().enumerate().filter(|(_, op)| op.call < until);
    let ops = called.map(|(id, op)| match core.contains(&id) {
        true => op.clone(),
        false => Operation::pending(op.client, 0, op.input.clone()),
    });
    linearizability::History::new(ops.collect()).unwrap()
}

#[test]
fn cas_register() {
    let value = |rng: &mut SmallRng| [None, Some(1), Some(2)][rng.random_range(0..3)];
    let input = |rng: &mut SmallRng| match rng.random_range(0..3) {
        0 => CasInput::Read,
        1 => CasInput::Write(value(rng)),
        _ => CasInput::Cas(value(rng), value(rng)),
    };
    let mut outputs: Vec<CasOutput> = [None, Some(1), Some(2)].map(CasOutput::Value).to_vec();
    outputs.extend([CasOutput::Done, CasOutput::Mismatch]);
    compare(&CasRegister, input, &outputs);
}

#[test]
fn queue() {
    let input = |rng: &mut SmallRng| match rng.random() {
        true => QueueInput::Enqueue(rng.random_range(1..4)),
        false => QueueInput::Dequeue,
    };
    compare(&Queue, input, &[None, Some(1), Some(2), Some(3)]);
}

#[test]
fn stack() {
    let input = |rng: &mut SmallRng| match rng.random() {
        true => StackInput::Push(rng.random_range(1..4)),
        false => StackInput::Pop,
    };
    compare(&Stack, input, &[None, Some(1), Some(2), Some(3)]);
}

#[test]
fn lock() {
    let input = |rng: &mut SmallRng| {
        let (lock, owner) = (["a", "b"][rng.random_range(0..2)].to_string(), rng.random_range(0..2));
        match rng.random() {
            true => LockInput::Acquire { lock, owner },
            false => LockInput::Release { lock, owner },
        }
    };
    compare(&Lock, input, &[false, true]);
}

#[test]
fn set() {
    let input = |rng: &mut SmallRng| {
        let element = ["a", "b"][rng.random_range(0..2)].to_string();
        match rng.random_range(0..3) {
            0 => SetInput::Add(element),
            1 => SetInput::Remove(element),
            _ => SetInput::Contains(element),
        }
    };
    compare(&Set, input, &[false, true]);
}

/// A model that may choose: a toss shows nothing and leaves 0, 1, or what was there; a push adds one or two.
struct Moody;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum MoodyInput {
    Toss,
    Push,
    Read,
}

impl Model for Moody {
    type Input = MoodyInput;
    type Output = Option<u8>;
    type State = u8;

    fn initial(&self) -> u8 {
        0
    }

    fn step(&self, state: u8, input: &MoodyInput, output: Option<&Option<u8>>, next: &mut Vec<u8>) {
        match input {
            MoodyInput::Read => {
                if output.is_none_or(|o| *o == Some(state)) {
                    next.push(state);
                }
            }
            _ if output.is_some_and(|o| o.is_some()) => {}
            MoodyInput::Toss => next.extend([0, 1, state]),
            MoodyInput::Push => next.extend([(state + 1).min(4), (state + 2).min(4)]),
        }
    }

    fn is_read(&self, input: &MoodyInput, _: Option<&Option<u8>>) -> bool {
        *input == MoodyInput::Read
    }

    fn describe(&self, input: &MoodyInput, output: Option<&Option<u8>>) -> String {
        format!("{input:?} -> {output:?}")
    }
}

#[test]
fn a_model_that_may_choose() {
    let input = |rng: &mut SmallRng| match rng.random_range(0..4) {
        0 => MoodyInput::Toss,
        1 => MoodyInput::Push,
        _ => MoodyInput::Read,
    };
    compare(&Moody, input, &[None, Some(0), Some(1), Some(2), Some(3), Some(4)]);
}
