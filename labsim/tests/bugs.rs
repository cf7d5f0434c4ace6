//! Schedules that find bugs: seeded bugs, and how many of how many seeds show each.
//!
//! Each bug is a function that says whether it struck. `cargo test -p labsim --test bugs -- --nocapture` prints
//! the counts for each way to draw schedules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use labsim::{Failure, Options, Schedule};
use parking_lot::{Condvar, Mutex};

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

/// Read under one lock hold, written under the next.
fn lost_update() -> bool {
    let value = Arc::new(Mutex::new(0u64));
    let add = |value: Arc<Mutex<u64>>| {
        move || {
            for _ in 0..5 {
                let read = *value.lock();
                let text = format!("the value is {read}");
                let next = text["the value is ".len()..].parse::<u64>().unwrap() + 1;
                *value.lock() = next;
                thread::sleep(Duration::from_millis(1));
            }
        }
    };
    let threads: Vec<_> = (0..3).map(|_| thread::spawn(add(Arc::clone(&value)))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let value = *value.lock();
    value != 15
}

/// Two locks in two orders; strikes as a deadlock.
fn lock_order() -> bool {
    let locks = Arc::new((Mutex::new(Vec::new()), Mutex::new(Vec::new())));
    let theirs = Arc::clone(&locks);
    let other = thread::spawn(move || {
        for i in 0..3 {
            let mut b = theirs.1.lock();
            b.push(Box::new(i));
            theirs.0.lock().push(Box::new(i));
        }
    });
    for i in 0..3 {
        let mut a = locks.0.lock();
        a.push(Box::new(i));
        locks.1.lock().push(Box::new(i));
    }
    other.join().unwrap();
    false
}

/// The flag is looked at, and then waited for under another hold of the lock; strikes as a deadlock.
fn missed_wake_up() -> bool {
    let shared = Arc::new((Mutex::new(()), Condvar::new(), AtomicBool::new(false)));
    let theirs = Arc::clone(&shared);
    let waker = thread::spawn(move || {
        theirs.2.store(true, Ordering::SeqCst);
        let _guard = theirs.0.lock();
        theirs.1.notify_all();
    });
    if !shared.2.load(Ordering::SeqCst) {
        let _work = Box::new([1u8; 100]);
        let mut guard = shared.0.lock();
        shared.1.wait(&mut guard);
    }
    waker.join().unwrap();
    false
}

/// Two consumers each check that the channel is not empty, then take; strikes as a deadlock.
fn check_then_act() -> bool {
    let (sender, receiver) = crossbeam_channel::unbounded();
    sender.send(Box::new(1)).unwrap();
    let take = |receiver: crossbeam_channel::Receiver<Box<u32>>| {
        move || {
            if !receiver.is_empty() {
                let _note = format!("{} left", receiver.len());
                receiver.recv().unwrap();
            }
        }
    };
    let threads: Vec<_> = (0..2).map(|_| thread::spawn(take(receiver.clone()))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    false
}

type Bug = (&'static str, fn() -> bool);
const BUGS: [Bug; 4] = [
    ("lost_update", lost_update),
    ("lock_order", lock_order),
    ("missed_wake_up", missed_wake_up),
    ("check_then_act", check_then_act),
];
/// Seeds for the mix, which is what users get, and for each other way.
const SEEDS: u64 = 400;
const FEWER: u64 = 100;

/// In how many of the seeds the bug strikes.
fn found(bug: fn() -> bool, schedule: &Schedule, seeds: u64) -> usize {
    let strikes = |seed| {
        let options = Options { schedule: schedule.clone(), ..Options::new(seed) };
        match labsim::run(options, bug).result {
            Ok(struck) => struck,
            Err(Failure::Deadlock(_)) => true,
            Err(other) => panic!("seed {seed}: {other}"),
        }
    };
    (1..=seeds).filter(|seed| strikes(*seed)).count()
}

#[test]
fn the_mix_finds_every_bug() {
    let ways = [
        ("mix", Schedule::PerSeed),
        ("blocking only", Schedule::Uniform { alloc_one_in: 0, sync_one_in: 0 }),
        ("uniform 1/8", Schedule::Uniform { alloc_one_in: 8, sync_one_in: 8 }),
        ("pct d=2 k=64", Schedule::Pct { depth: 2, steps: 64 }),
        ("pct d=3 k=64", Schedule::Pct { depth: 3, steps: 64 }),
    ];
    for (name, bug) in BUGS {
        let count = |(way, schedule): &(&'static str, Schedule)| {
            let seeds = if *schedule == Schedule::PerSeed { SEEDS } else { FEWER };
            (*way, found(bug, schedule, seeds))
        };
        let counts = ways.each_ref().map(count);
        println!("{name}: of {SEEDS} seeds for the mix, {FEWER} for others: {counts:?}");
        assert!(
            counts[0].1 >= 3,
            "{name}: the mix of schedules finds it in {} of {SEEDS} seeds",
            counts[0].1
        );
        if name == "lost_update" {
            assert_eq!(counts[1].1, 0, "without preemption the two lock holds never come apart");
        }
    }
}

#[test]
fn a_right_program_is_never_accused() {
    let right = || {
        let value = Arc::new(Mutex::new(0u64));
        let add = |value: Arc<Mutex<u64>>| move || (0..5).for_each(|_| *value.lock() += 1);
        let threads: Vec<_> = (0..3).map(|_| thread::spawn(add(Arc::clone(&value)))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let value = *value.lock();
        value != 15
    };
    assert_eq!(found(right, &Schedule::PerSeed, SEEDS), 0);
}
